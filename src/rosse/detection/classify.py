"""Stars and galaxies: how concentrated a source is, compared with a point source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from rosse.detection.measure import Patch
from rosse.detection.psf_fit import lanczos_rows

if TYPE_CHECKING:
    from rosse.io import FieldPsf

Floats = NDArray[np.float64]

_EXTENT = 1.0 / 16.0  # scale length of the galaxy that sources are compared with, over the PSF's FWHM
_BOUNDARY = 0.004  # spread at which a well measured source is as likely a star as a galaxy
_SCATTER = 0.0015  # of the spread of bright stars: PSFs are known to that
_BATCH = 512


def stellarity(patch: Patch, psf: FieldPsf | None) -> tuple[Floats, Floats]:
    """Number between 0 (galaxy) and 1 (point source), and the spread it was made from in units of its error.

    Parameters
    ----------
    patch : a measured section.
    psf : None, or an assumed one, gives NaN: without a measured PSF nothing is known about points.

    Notes
    -----
    The spread of Desai et al. (2012, ApJ 757, 83, sect. 4.1; SExtractor's SPREAD_MODEL): a normalised difference
    between the fit of the local PSF and that of the PSF convolved with a small exponential disc, 0 for stars, above
    0 for galaxies, below 0 for cosmic rays. It is measured in every band and averaged by its error; the error function
    turns it into a number that tends to 1/2 where a source is too faint to tell.
    """
    count = len(patch.shapes)
    if psf is None or psf.assumed or not count:
        return np.full(count, np.nan), np.full(count, np.nan)
    parts = [_spread(patch, psf, np.arange(i, min(i + _BATCH, count))) for i in range(0, count, _BATCH)]
    spread, error = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    total = np.hypot(error, _SCATTER)
    return 0.5 * erfc((spread - _BOUNDARY) / (np.sqrt(2.0) * total)), spread / total


def _spread(patch: Patch, psf: FieldPsf, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Spread and its error, (B,), averaged over the bands."""
    x, y = patch.shapes.x[rows], patch.shapes.y[rows]
    stamps = np.asarray(psf.at(x + patch.origin[0], y + patch.origin[1]), dtype=np.float64)
    size = _window(stamps[0].mean(0))
    top, bottom = np.zeros(len(rows)), np.zeros(len(rows))
    for c in range(stamps.shape[1]):
        data, weight = _pixels(patch, c, rows, size)
        point, broad = _templates(stamps[:, c], x - np.rint(x), y - np.rint(y), size)
        value, error = _compare(data, weight, point, broad)
        good = np.isfinite(value) & (error > 0)
        top += np.where(good, value, 0.0) / np.where(good, error, 1.0) ** 2
        bottom += np.where(good, 1.0 / np.where(good, error, 1.0) ** 2, 0.0)
    some = bottom > 0
    bottom = np.where(some, bottom, 1.0)
    return np.where(some, top / bottom, np.nan), np.where(some, 1.0 / np.sqrt(bottom), np.nan)


def _window(stamp: Floats) -> int:
    """Side of the window in which sources are compared with the PSF: three and a half times its width, odd."""
    return min(2 * int(np.ceil(1.75 * _fwhm(stamp))) + 1, int(stamp.shape[-1]))


def _fwhm(stamp: Floats) -> float:
    """Full width at half maximum of a PSF as if it were Gaussian of the same noise-equivalent area, pixels."""
    return float(2.3548 * np.sqrt(stamp.sum() ** 2 / np.square(stamp).sum() / (4.0 * np.pi)))


def _pixels(patch: Patch, c: int, rows: NDArray[np.int64], size: int) -> tuple[Floats, Floats]:
    """Flux and weight (B, size, size) around the sources' central pixels; other sources have no weight."""
    field, half = patch.field, size // 2
    height, width = field.labels.shape
    column, row = np.rint(patch.shapes.x[rows]).astype(int), np.rint(patch.shapes.y[rows]).astype(int)
    reach = np.arange(size) - half
    yy, xx = row[:, None, None] + reach[:, None], column[:, None, None] + reach
    inside = (yy >= 0) & (xx >= 0) & (yy < height) & (xx < width)
    yy, xx = np.clip(yy, 0, height - 1), np.clip(xx, 0, width - 1)
    label = field.labels[yy, xx]
    own = inside & ((label == 0) | (label == rows[:, None, None] + 1)) & ~field.saturated[yy, xx]
    return field.flux[c][yy, xx].astype(np.float64), np.where(own, field.sky_ivar[c][yy, xx], 0.0).astype(np.float64)


def _templates(stamps: Floats, dx: Floats, dy: Floats, size: int) -> tuple[Floats, Floats]:
    """PSF and slightly extended PSF (B, size, size), at the sources' sub-pixel positions."""
    side = stamps.shape[-1]
    scale = _EXTENT * _fwhm(stamps.mean(0))
    frequency = 2.0 * np.pi * np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    disc = (1.0 + np.square(scale * frequency)) ** -1.5  # Fourier transform of an exponential disc
    broad = np.fft.irfft2(np.fft.rfft2(stamps) * disc, s=(side, side))
    x, y = (lanczos_rows(offset, size, side, 1.0) for offset in (dx, dy))
    point, wide = (np.asarray(y @ image @ x.transpose(0, 2, 1)) for image in (stamps, broad))
    return point, wide


def _compare(data: Floats, weight: Floats, point: Floats, broad: Floats) -> tuple[Floats, Floats]:
    """Spread and its error for one band."""

    def product(a: Floats, b: Floats) -> Floats:
        return np.asarray(np.einsum("nij,nij,nij->n", weight, a, b))

    gp, pp = product(broad, data), product(point, data)
    gf, ff, gg = product(broad, point), product(point, point), product(broad, broad)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = gp / pp - gf / ff
        variance = (gg * pp**2 + ff * gp**2 - 2.0 * gf * gp * pp) / pp**4
        return np.where(pp > 0, spread, np.nan), np.sqrt(np.maximum(variance, 0.0))
