"""What noise and the PSF do to asymmetry and concentration, taken off: a calibration on the virtual sky.

The bias of an index is a polynomial of two numbers that say how good the image of a galaxy is: ``noise``, the inverse
of the mean signal-to-noise of its pixels, and ``blur``, the FWHM of the PSF over its Petrosian radius. It vanishes
where both do, and depends linearly on the true value, so that it can be solved for that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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
LEAST_SLOPE = 0.25  # of observed over true value: below, the image says little about the true one


@dataclass(frozen=True, kw_only=True)
class Terms:
    """observed = true + sum over k of (shift_k + slope_k (true - reference)) noise^i_k blur^j_k.

    Parameters
    ----------
    reference : a usual value of the index.
    powers : i and j of every term.
    shift, slope : one number for every term.
    """

    reference: float
    powers: tuple[tuple[int, int], ...]
    shift: tuple[float, ...]
    slope: tuple[float, ...]

    def corrected(self, observed: Floats, noise: Floats, blur: Floats) -> tuple[Floats, Floats]:
        """Estimate (B,) of the true value, and its derivative by the observed one."""
        power = [noise**i * blur**j for i, j in self.powers]
        shift = sum((c * x for c, x in zip(self.shift, power, strict=True)), np.zeros_like(observed))
        slope = sum((d * x for d, x in zip(self.slope, power, strict=True)), np.ones_like(observed))
        slope = np.maximum(slope, LEAST_SLOPE)
        return self.reference + (observed - self.reference - shift) / slope, 1 / slope

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        names = ("i", "j", "shift", "slope")
        rows = [(*p, float(c), float(d)) for p, c, d in zip(self.powers, self.shift, self.slope, strict=True)]
        return {"reference": self.reference, "terms": [dict(zip(names, row, strict=True)) for row in rows]}

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Terms:
        """From the file."""
        terms = entry["terms"]
        return cls(
            reference=entry["reference"],
            powers=tuple((t["i"], t["j"]) for t in terms),
            shift=tuple(t["shift"] for t in terms),
            slope=tuple(t["slope"] for t in terms),
        )


def correct_shapes(shapes: Shapes) -> Shapes:
    """Take what noise and the PSF do on average off asymmetry and concentration.

    Parameters
    ----------
    shapes : measured on cutouts that have a PSF.

    Returns
    -------
    Shapes
        Like those that came, but for `asymmetry`, `concentration` and their errors: estimates of what the same galaxy
        would have in an image without noise whose PSF is one pixel wide. Where S/N per pixel or resolution are below
        those of the calibration, they are NaN and the reason is `Reason.UNCALIBRATED`.

    Raises
    ------
    InputError
        The cutouts have no PSF, or the shapes are corrected already.

    Notes
    -----
    The calibration is that of ``rosse/shapes/correction.json``, which names how it was made. It holds on average for
    galaxies as they are in the virtual sky, and does not make the scatter of a single galaxy smaller.
    """
    if shapes.corrected:
        raise InputError("these shapes are corrected already; correct what measure_shapes gave")
    if shapes.cutouts.psf is None:
        raise InputError("the cutouts have no PSF, and how much it blurs is part of the correction; give psf")
    known = calibration()
    noise, blur = image_quality(shapes)
    with np.errstate(invalid="ignore"):
        outside = (noise > 1 / known["lowest"]["snr_pixel"]) | (blur > 1 / known["lowest"]["resolution"])
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
    """Inverse of the mean S/N of a pixel, and PSF width over Petrosian radius, (B,) each."""
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = np.where(shapes.values["snr_pixel"] > 0, 1 / shapes.values["snr_pixel"], np.nan)
        return noise, psf_width(shapes.cutouts, shapes.band) / shapes.values["r_petro"]


def psf_width(cutouts: Cutouts, band: int) -> Floats:
    """FWHM (B,) of the Gaussian with the noise-equivalent area of each PSF, 2.3548 sqrt(area / 4 pi), pixels."""
    assert cutouts.psf is not None
    stamp = cutouts.psf[:, band].double()
    area = stamp.sum((1, 2)).square() / stamp.square().sum((1, 2)) / cutouts.psf_oversampling**2
    width = 2.3548 * np.sqrt(area.cpu().numpy() / (4 * np.pi))
    return np.broadcast_to(width, (len(cutouts),)).astype(np.float64)
