"""What noise and the PSF do to asymmetry and concentration, taken off: a calibration on the virtual sky.

An image shifts an index, and draws it nearer to a usual value. How much are polynomials of two numbers that say how
good the image of a galaxy is: ``noise``, that of a pixel over the mean light of a pixel of the aperture, and ``blur``,
the FWHM of the PSF over the Petrosian radius. They vanish where both do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.errors import InputError
from rosse.shapes.indices import CORRECTED, INDICES, Reason

if TYPE_CHECKING:
    from rosse.cutouts import Cutouts
    from rosse.shapes.result import Shapes

Floats = NDArray[np.float64]
FILE = Path(__file__).with_name("correction.json")  # bench/shapes_correction.py makes it


@dataclass(frozen=True, kw_only=True)
class Terms:
    """observed = reference + shift + (true - reference) / (1 + stretch), polynomials of noise and blur both.

    Parameters
    ----------
    reference : value that is shifted, but not drawn nearer to anything.
    shift, stretch : i, j and factor of each term factor noise^i blur^j.
    """

    reference: float
    shift: tuple[tuple[int, int, float], ...]
    stretch: tuple[tuple[int, int, float], ...]

    def biased(self, true: Floats, noise: Floats, blur: Floats) -> Floats:
        """What an image shows (B,) on average of true values."""
        shift, stretch = (_polynomial(terms, noise, blur) for terms in (self.shift, self.stretch))
        return self.reference + shift + (true - self.reference) / (1 + stretch)

    def corrected(self, observed: Floats, noise: Floats, blur: Floats) -> tuple[Floats, Floats]:
        """Estimate (B,) of the true value, and its derivative by the observed one."""
        shift, stretch = (_polynomial(terms, noise, blur) for terms in (self.shift, self.stretch))
        return self.reference + (observed - self.reference - shift) * (1 + stretch), 1 + stretch

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Terms:
        """From the file."""
        shift, stretch = (tuple((int(i), int(j), float(x)) for i, j, x in entry[name]) for name in ("shift", "stretch"))
        return cls(reference=float(entry["reference"]), shift=shift, stretch=stretch)


def _polynomial(terms: Iterable[tuple[int, int, float]], noise: Floats, blur: Floats) -> Floats:
    return sum((factor * noise**i * blur**j for i, j, factor in terms), np.zeros_like(noise))


def correct_shapes(shapes: Shapes) -> Shapes:
    """Take what noise and the PSF do on average off asymmetry and concentration.

    Parameters
    ----------
    shapes : measured on cutouts that have a PSF.

    Returns
    -------
    Shapes
        Like those that came, but for `asymmetry`, `concentration` and their errors: estimates of what the same galaxy
        would have in an image without noise whose PSF is one pixel wide. Where the S/N of a mean pixel of the aperture
        or the resolution are below those of the calibration, they are NaN and the reason is `Reason.UNCALIBRATED`.

    Raises
    ------
    InputError
        The cutouts have no PSF, or the shapes are corrected already.

    Notes
    -----
    The calibration is that of ``rosse/shapes/correction.json``, which names how it was made. It holds on average for
    galaxies as they are in the virtual sky. The error of a single galaxy's asymmetry grows: what the PSF took away is
    multiplied back, and noise with it.
    """
    if shapes.corrected:
        raise InputError("these shapes are corrected already; correct what measure_shapes gave")
    if shapes.cutouts.psf is None:
        raise InputError("the cutouts have no PSF, and how much it blurs is part of the correction; give psf")
    known = calibration()
    noise, blur = image_quality(shapes)
    with np.errstate(invalid="ignore"):
        outside = (noise > 1 / known["lowest"]["snr"]) | (blur > 1 / known["lowest"]["resolution"])
    values, reasons = dict(shapes.values), shapes.reasons.copy()
    sigma = None if shapes.sigma is None else dict(shapes.sigma)
    for name in CORRECTED:
        value, slope = Terms.of(known[name]).corrected(values[name], noise, blur)
        lost = outside & np.isfinite(values[name])
        reasons[lost, list(INDICES).index(name)] = Reason.UNCALIBRATED
        values[name] = np.where(outside, np.nan, value)
        if sigma is not None:
            sigma[name] = np.where(outside, np.nan, sigma[name] * slope)
    return replace(shapes, values=values, sigma=sigma, reasons=reasons, corrected=True)


@cache
def calibration() -> dict[str, Any]:
    """What the file holds."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def image_quality(shapes: Shapes) -> tuple[Floats, Floats]:
    """Noise of a pixel over the mean light of one within the aperture of asymmetry, and PSF width over r_petro, (B,).

    The first is the inverse of the signal-to-noise of a mean pixel; the light is that within two Petrosian radii.
    """
    values = shapes.values
    with np.errstate(divide="ignore", invalid="ignore"):
        area = np.pi * (shapes.options.extent_cas * values["r_petro"]) ** 2
        light = np.where(values["flux_petro_circle"] > 0, values["flux_petro_circle"], np.nan)
        return area * values["sky_sigma"] / light, psf_width(shapes.cutouts, shapes.band) / values["r_petro"]


def psf_width(cutouts: Cutouts, band: int) -> Floats:
    """FWHM (B,) of the Gaussian with the noise-equivalent area of each PSF, 2.3548 sqrt(area / 4 pi), pixels."""
    assert cutouts.psf is not None
    stamp = cutouts.psf[:, band].double()
    area = stamp.sum((1, 2)).square() / stamp.square().sum((1, 2)) / cutouts.psf_oversampling**2
    width = 2.3548 * np.sqrt(area.cpu().numpy() / (4 * np.pi))
    return np.broadcast_to(width, (len(cutouts),)).astype(np.float64)
