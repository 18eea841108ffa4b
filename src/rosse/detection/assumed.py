"""A stand-in for the PSF where an image has too few stars to show its own: a round profile as wide as a point looks."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rosse.detection.measure import Patch
from rosse.detection.options import Flag
from rosse.detection.psf import stamp_size

if TYPE_CHECKING:
    from rosse.io import FieldPsf, Mosaic

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

BETA = 3.0  # of the Moffat profile; seeing-limited images have 2.5 to 4.5 (Trujillo+2001, arXiv:astro-ph/0109067)
_SPOILT = Flag.SATURATED | Flag.MASKED | Flag.TRUNCATED
_BRIGHT = 30.0  # signal-to-noise ratio from which a half-light radius is known to some per cent
_SAME = 0.15  # compact sources within this much in ln(radius) of the smallest are taken for points
_ROOM = 1.6  # points may be wider than the survey's typical seeing by this factor, not narrower than its inverse
_SUBPIXELS = 9
_PIXEL = 2.355 / math.sqrt(12)  # full width at half maximum of a Gaussian as wide as a pixel


def assumed_psf(patches: Sequence[Patch], mosaic: Mosaic) -> FieldPsf | None:
    """Round Moffat profile of the width of the most compact bright sources, else of the survey's typical seeing.

    It is said in the log, for sizes near and below it mean little; None where nothing tells a width.

    Parameters
    ----------
    patches : measured sections of the mosaic.
    mosaic : for its survey and pixel scale.
    """
    from rosse.io import FieldPsf

    width, whence = _width(patches, mosaic)
    if not math.isfinite(width):
        return None
    log.warning(
        "%s: the PSF is assumed to be a round Moffat profile of %.2f pixels full width at half maximum, %s; sizes near "
        "and below it mean little, so give a PSF if you have one",
        mosaic.name, width, whence,
    )  # fmt: skip
    stamp = moffat_stamp(width, stamp_size(width / 1.7))
    basis = np.broadcast_to(stamp, (len(mosaic.bands), 1, *stamp.shape)).copy()
    return FieldPsf(basis=basis, bands=mosaic.bands, assumed=True)


def moffat_stamp(fwhm: float, size: int, beta: float = BETA) -> Floats:
    """Moffat (1969) profile integrated over the pixels, unit sum: (size, size), size odd.

    Parameters
    ----------
    fwhm : full width at half maximum, pixels; of the profile alone.
    """
    alpha = fwhm / (2 * math.sqrt(2 ** (1 / beta) - 1))
    line = (np.arange(size * _SUBPIXELS) + 0.5) / _SUBPIXELS - size / 2
    profile = (1 + (line[:, None] ** 2 + line[None, :] ** 2) / alpha**2) ** -beta
    stamp = profile.reshape(size, _SUBPIXELS, size, _SUBPIXELS).mean((1, 3))
    return np.asarray(stamp / stamp.sum())


def _width(patches: Sequence[Patch], mosaic: Mosaic) -> tuple[float, str]:
    """Full width at half maximum in pixels, and where it comes from; NaN where nothing tells."""
    seeing = math.nan
    if mosaic.survey is not None and math.isfinite(mosaic.scale):
        seeing = float(np.median(mosaic.survey.psf_fwhm)) / mosaic.scale
    bright = [(p.light.snr > _BRIGHT) & ((p.flags & _SPOILT) == 0) & (p.light.half > 0) for p in patches]
    half = np.concatenate([p.light.half[b] for b, p in zip(bright, patches, strict=True)])
    # Half the light of a Moffat profile lies within alpha sqrt(2^(1 / (beta - 1)) - 1).
    per_half = 2 * math.sqrt(2 ** (1 / BETA) - 1) / math.sqrt(2 ** (1 / (BETA - 1)) - 1)
    fwhm = np.sort(per_half * half[np.isfinite(half)])
    if math.isfinite(seeing):
        fwhm = fwhm[(fwhm > seeing / _ROOM) & (fwhm < seeing * _ROOM)]
    points = fwhm[np.log(fwhm / fwhm[0]) < _SAME] if len(fwhm) else fwhm
    # A lone compact source is a point only if it is as wide as the seeing: it may be the galaxy of a cutout.
    if len(points) >= (1 if math.isfinite(seeing) else 2):
        many = "source" if len(points) == 1 else f"sources ({len(points)})"
        # Its own pixel is taken out, because the stamp is integrated over pixels again.
        wide = math.sqrt(max(float(np.median(points)) ** 2 - _PIXEL**2, 0.5))
        return wide, f"the width of the most compact bright {many}"
    return seeing, f"the typical seeing of {mosaic.survey.name}" if mosaic.survey is not None else ""
