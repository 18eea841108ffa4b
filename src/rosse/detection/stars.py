"""Which sources are stars bright and lonely enough to show the PSF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rosse.detection.measure import Patch
from rosse.detection.options import Flag
from rosse.detection.psf import MIN_STARS, StarList, stamp_size

if TYPE_CHECKING:
    from rosse.surveys import Survey

Floats = NDArray[np.float64]

_SPOILT = Flag.EDGE | Flag.SATURATED | Flag.MASKED | Flag.NEAR_BRIGHT | Flag.TRUNCATED
_BRIGHT = 50.0  # signal-to-noise ratio from which half-light radii of stars scatter by a few per cent only
_BIN = 0.10  # width in ln(radius) that holds the stars
_RISE = 2.0  # sigma of the rise at the locus of stars
_MOST = 300  # stars; more do not make a PSF better


def point_radius(half: Floats, expected: float = np.nan) -> float:
    """Half-light radius of stars among bright clean sources, pixels; NaN where none stand out.

    Stars are the smallest things in an image and all of the same size: their radius is the first one at which the
    number of sources per logarithmic bin rises above that of the next smaller bin by twice its Poisson noise.

    Parameters
    ----------
    half : (N,) half-light radii.
    expected : what the survey's seeing makes one expect; radii off by more than a factor of two are left out.
    """
    known = np.log(half[np.isfinite(half) & (half > 0)])
    if np.isfinite(expected):
        known = known[np.abs(known - np.log(expected)) < np.log(2.0)]
    radius = np.sort(known)
    if len(radius) < MIN_STARS:
        return float("nan")
    here = np.searchsorted(radius, radius + _BIN) - np.arange(len(radius))
    before = np.arange(len(radius)) - np.searchsorted(radius, radius - _BIN)
    rise = (here - before) / np.sqrt(here + before + 1.0)
    steep = np.nonzero((rise >= _RISE) & (here >= MIN_STARS))[0]
    if not len(steep):
        return float("nan")
    # The steepest within the first bin that rises at all: galaxies may rise more steeply, but further out.
    start = steep[0]
    first = start + int(np.argmax(rise[start : start + here[start]]))
    return float(np.exp(np.median(radius[first : first + here[first]])))


def find_stars(patches: Sequence[Patch], survey: Survey | None, scale: float) -> StarList | str:
    """Stars of some sections with their pixels, or why there are none.

    Parameters
    ----------
    survey, scale : for the size that stars are expected to have; None and NaN where unknown.
    """
    clean = [((p.flags & _SPOILT) == 0) & (p.light.crowded < 0.2) for p in patches]
    bright = [c & (p.light.snr > _BRIGHT) for c, p in zip(clean, patches, strict=True)]
    half = np.concatenate([p.light.half[b] for b, p in zip(bright, patches, strict=True)])
    point = point_radius(half, _expected(survey, scale))
    if not np.isfinite(point):
        return f"no stars stand out among {len(half)} bright clean sources"
    size = stamp_size(point)
    like = [b & (np.abs(np.log(np.maximum(p.light.half, 1e-3) / point)) < 0.6 * _BIN)
            for b, p in zip(bright, patches, strict=True)]  # fmt: skip
    least = np.sort(np.concatenate([p.light.snr[b] for b, p in zip(like, patches, strict=True)]))[-_MOST:]
    cut = [_stamps(p, b & (p.light.snr >= least[0]), size) for b, p in zip(like, patches, strict=True)]
    x, y, data, ivar, radius = (np.concatenate([c[k] for c in cut]) for k in range(5))
    return StarList(x=x, y=y, data=data, ivar=ivar, radius=radius, half=point)


def _expected(survey: Survey | None, scale: float) -> float:
    """Half-light radius that the survey's seeing makes one expect, pixels."""
    if survey is None or not np.isfinite(scale):
        return float("nan")
    return 0.6 * float(np.median(survey.psf_fwhm)) / scale


def _stamps(patch: Patch, rows: NDArray[np.bool_], size: int) -> Any:
    """Position in the mosaic, flux, ivar (neighbours masked with a margin) and half-light radius of some sources."""
    which = np.nonzero(rows)[0]
    half = size // 2
    field = patch.field
    pad = ((0, 0), (half, half), (half, half))
    flux, ivar = np.pad(field.flux, pad), np.pad(field.sky_ivar, pad)
    labels = np.pad(field.labels, half)
    data, weight = [], []
    for i in which:
        column, row = int(np.rint(patch.shapes.x[i])), int(np.rint(patch.shapes.y[i]))
        box = (slice(row, row + size), slice(column, column + size))
        other = (labels[box] > 0) & (labels[box] != i + 1)
        keep = ~ndimage.binary_dilation(other, iterations=2) | (labels[box] == i + 1)
        data.append(flux[:, *box])
        weight.append(ivar[:, *box] * keep)
    shape = (len(which), len(field.flux), size, size)
    return (
        patch.shapes.x[which] + patch.origin[0],
        patch.shapes.y[which] + patch.origin[1],
        np.array(data, dtype=np.float64).reshape(shape),
        np.array(weight, dtype=np.float64).reshape(shape),
        patch.light.half[which],
    )
