"""How shapes are measured: every constant of the papers, with the paper's value."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from rosse.errors import OptionError

MAY_BE_ZERO = ("outlier", "bridge", "most_lost", "most_sky")


@dataclass(frozen=True, kw_only=True)
class ShapeOptions:
    """How shapes are measured; the defaults are those of Rodriguez-Gomez et al. (2019, arXiv:1809.08239), sect. 4.

    Parameters
    ----------
    eta : surface brightness at the Petrosian radius over the mean inside it (Petrosian 1976).
    annulus : width of the annuli in which surface brightness is measured, pixels.
    stamp : side of the stamp around a galaxy, in units of that of the smallest square around its segment.
    stamp_minimum : smallest side of the stamp, pixels.
    outlier : pixels that deviate from their eight neighbours by more than this many of their standard deviations are
        left out (Lotz et al. 2004, sect. 2); 0 leaves none out.
    sky_box : side of the box of empty sky that tells what noise adds to asymmetry and smoothness, pixels; halved
        until one fits.
    extent_cas : radius of the aperture for concentration, asymmetry and smoothness, in Petrosian radii
        (Conselice 2003).
    smoothing_cas : width of the boxcar of smoothness and radius of the middle that it leaves out, in Petrosian radii.
    whole_ring : whether the sky's smoothness is taken off for all of the ring of smoothness, as by statmorph; else for
        those of its pixels that lie in the stamp and have data, as is done for asymmetry.
    smoothing_gini : sigma of the Gaussian that finds the pixels of Gini and M20, in Petrosian semi-major axes.
    dark_gini : whether pixels of the map of Gini without data count as dark, as by statmorph; else they are left out.
    fraction_m20 : part of the light that the brightest pixels of M20 hold (Lotz et al. 2004, eq. 9).
    extent_flux : semi-major axis of the Petrosian flux, in Petrosian semi-major axes (SDSS).
    ring_shape : outer over inner radius of the ring of sky for the map of shape asymmetry, whose inner radius is that
        of the Petrosian flux (Pawlik et al. 2016, sect. 3.1; Rodriguez-Gomez et al. 2019, sect. 4.6).
    clip_shape : sigmas at which that sky is clipped.
    threshold_shape : surface brightness of that map's pixels over the mode of the sky, in the sky's sigmas (Pawlik et
        al. 2016, sect. 3.1).
    boxcar_shape : side of the boxcar that regularises the map of shape asymmetry, pixels (Pawlik et al. 2016).
    boxcar_mid : side of the boxcar that regularises the map of multimode, intensity and deviation, pixels.
    sigma_mid : sigma of the Gaussian before clumps are told apart for intensity and deviation, pixels.
    levels_mid : brightness levels that are tried for multimode, quantiles; those next to the best are tried after them.
    kron_reach : semi-major axis within which the Kron radius is measured, in those of the second moments (SExtractor's
        6).
    kron_factor : semi-major axis of the Kron aperture, in Kron radii (Kron 1980; SExtractor's 2.5).
    kron_minimum : smallest semi-major axis of that aperture, in those of the second moments (SExtractor's 3.5).
    threshold : where segments are made: smoothed surface brightness that belongs to a source, in its own sigmas.
    smoothing : where segments are made: sigma of the Gaussian that smooths the image, pixels.
    bridge : where segments are made: sources that touch are told apart where the brightest way between them is fainter
        than this part of the fainter one's peak; 0 tells none apart.
    min_pixels : where segments are made: smallest source that is taken for a neighbour, pixels.
    max_steps : steps of the search for the centre of least asymmetry at most.
    tolerance : accuracy of that centre, pixels.
    most_lost : part of the pixels within r50 that may have no data; with more, every index is to be used with care,
        as are smoothness with more of its ring and Gini with more of its map.
    most_sky : part of the flux within the aperture of concentration that may be left of the sky, where the mean of the
        box of sky is more than its sigma away from 0; with more, every index is to be used with care.
    batch_pixels : pixels of a batch; None chooses what stays in the cache of a CPU or fills a GPU.
    """

    eta: float = 0.2
    annulus: float = 1.0
    stamp: float = 2.5
    stamp_minimum: int = 48
    outlier: float = 10.0
    sky_box: int = 32
    extent_cas: float = 1.5
    smoothing_cas: float = 0.25
    whole_ring: bool = True
    smoothing_gini: float = 0.2
    dark_gini: bool = True
    fraction_m20: float = 0.2
    extent_flux: float = 2.0
    ring_shape: float = 2.0
    clip_shape: float = 3.0
    threshold_shape: float = 1.0
    boxcar_shape: int = 3
    boxcar_mid: int = 3
    sigma_mid: float = 1.0
    levels_mid: int = 50
    kron_reach: float = 6.0
    kron_factor: float = 2.5
    kron_minimum: float = 3.5
    threshold: float = 3.0
    smoothing: float = 1.5
    bridge: float = 0.5
    min_pixels: int = 10
    max_steps: int = 200
    tolerance: float = 5e-3
    most_lost: float = 0.1
    most_sky: float = 0.05
    batch_pixels: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name), field.default)
        for name in ("eta", "fraction_m20", "most_lost", "bridge"):
            if not getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}; a number between 0 and 1 is wanted")
        if self.stamp < 1:
            raise OptionError(f"stamp is {self.stamp}; 1 or more is wanted, 2.5 is usual")
        if self.ring_shape <= 1:
            raise OptionError(f"ring_shape is {self.ring_shape}; more than 1 is wanted, 2 is usual")


def _check(name: str, value: object, usual: object) -> None:
    """Refuse what cannot be the value of a constant whose usual value is known."""
    if name == "batch_pixels" and value is None:
        return
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise OptionError(f"{name} is {value!r}; a number is wanted, {usual} is usual")
    if isinstance(usual, bool):
        if value not in (0, 1):
            raise OptionError(f"{name} is {value}; true (1) or false (0) is wanted")
    elif (isinstance(usual, int) or name == "batch_pixels") and value != int(value):
        raise OptionError(f"{name} is {value}; a whole number is wanted")
    elif name in MAY_BE_ZERO and value < 0:
        raise OptionError(f"{name} is {value}; 0 or a positive number is wanted")
    elif name not in MAY_BE_ZERO and not value > 0:
        raise OptionError(f"{name} is {value}; a positive number is wanted")
