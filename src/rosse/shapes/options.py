"""How shapes are measured: every constant of the papers, with the paper's value."""

from __future__ import annotations

from dataclasses import dataclass, fields

from rosse.errors import OptionError


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
    smoothing_gini : sigma of the Gaussian that finds the pixels of Gini and M20, in Petrosian semi-major axes.
    extent_flux : semi-major axis of the Petrosian flux, in Petrosian semi-major axes (SDSS).
    boxcar_shape : side of the boxcar that regularises the map of shape asymmetry, pixels (Pawlik et al. 2016).
    boxcar_mid : side of the boxcar that regularises the map of multimode, intensity and deviation, pixels.
    sigma_mid : sigma of the Gaussian before clumps are told apart for intensity and deviation, pixels.
    levels_mid : brightness levels that are tried for multimode, quantiles; those next to the best are tried after them.
    kron_factor : semi-major axis of the Kron aperture, in Kron radii (Kron 1980; SExtractor's 2.5).
    kron_minimum : smallest semi-major axis of that aperture, in those of the second moments (SExtractor's 3.5).
    threshold : where segments are made: smoothed surface brightness that belongs to a source, in its own sigmas.
    smoothing : where segments are made: sigma of the Gaussian that smooths the image, pixels.
    min_pixels : where segments are made: smallest source that is taken for a neighbour, pixels.
    max_steps : steps of the search for the centre of least asymmetry at most.
    tolerance : accuracy of that centre, pixels.
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
    smoothing_gini: float = 0.2
    extent_flux: float = 2.0
    boxcar_shape: int = 3
    boxcar_mid: int = 3
    sigma_mid: float = 1.0
    levels_mid: int = 50
    kron_factor: float = 2.5
    kron_minimum: float = 3.5
    threshold: float = 3.0
    smoothing: float = 1.5
    min_pixels: int = 10
    max_steps: int = 200
    tolerance: float = 5e-3
    batch_pixels: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "outlier":
                if value < 0:
                    raise OptionError(f"outlier is {value}; 0 or a positive number is wanted")
            elif value is not None and not value > 0:
                raise OptionError(f"{field.name} is {value}; a positive number is wanted")
        if not self.eta < 1:
            raise OptionError(f"eta is {self.eta}; a number between 0 and 1 is wanted, 0.2 is usual")
        if self.stamp < 1:
            raise OptionError(f"stamp is {self.stamp}; 1 or more is wanted, 2.5 is usual")
