"""Sky level and noise: SExtractor's mesh, measured around the sources instead of through them."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import sep
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import CubicSpline

from rosse.detection.options import DetectOptions

log = logging.getLogger(__name__)

Pixels = NDArray[np.float32]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_CLIP = 5.0  # sigma; wide, because a clip that the skew of Poisson noise reaches lowers the mean
_BLOCK = 16  # pixels; wider than a PSF: noise that resampling has correlated, and faint sources, are white beyond
_RARE = 4.0  # sigma at which the mean of a block tells of something that is not sky
_FEWEST = 25  # blocks that tell a scatter
_MEDIAN = float(np.sqrt(np.pi / 2))  # error of a median over that of a mean


@dataclass(frozen=True, kw_only=True, eq=False)
class Sky:
    """Sky of a section.

    Parameters
    ----------
    level : (C, H, W) background.
    sigma : (C, H, W) error of `level`: nearby pixels share it, so that it adds up over an aperture.
    rms : (C, H, W) noise of a pixel.
    """

    level: Pixels
    sigma: Pixels
    rms: Pixels


def cell_size(shape: tuple[int, int], mesh: int) -> tuple[int, int]:
    """Height and width of cells of about `mesh` pixels that divide a mosaic evenly.

    Else a few rows would be left for the last cells, whose noisy level the spline carries far into the image. All
    regions of a mosaic have the same cells.
    """
    high, wide = (-(-length // max(1, round(length / mesh))) for length in shape)
    return high, wide


def measure_sky(
    flux: Pixels, mask: Mask, cell: tuple[int, int], options: DetectOptions, *, sources_masked: bool
) -> Sky:
    """Background and noise of every band from the pixels that `mask` leaves.

    Parameters
    ----------
    flux : (C, H, W)
    mask : (C, H, W), True for bad pixels and sources.
    cell : height and width of the cells, pixels.
    sources_masked : whether `mask` holds the sources, so that a mean may be taken.

    Notes
    -----
    Levels of cells, median-filtered over cells and spline-interpolated (Bertin & Arnouts 1996, sect. 3); cells with
    less than half of their pixels left take the level of the nearest ones. With sources among the pixels, the level is
    a clipped mode. Once they are masked it is the mean: under the skew of Poisson noise the mode is too low (by 0.01
    of the noise at 2000 electrons per pixel), and its error is twice as large. The light of sources too faint to be
    found is part of this sky, as it is of every aperture.
    """
    parts = [_one_band(image, out, cell, options, sources_masked) for image, out in zip(flux, mask, strict=True)]
    level, sigma, rms = (np.stack(planes).astype(np.float32, copy=False) for planes in zip(*parts, strict=True))
    return Sky(level=level, sigma=sigma, rms=rms)


def _one_band(
    image: Pixels, mask: Mask, cell: tuple[int, int], options: DetectOptions, sources_masked: bool
) -> tuple[Pixels, Pixels, Pixels]:
    """Level, its error, and the noise of a pixel."""
    meshed = _has_good_cell(mask, cell)
    level, rms = _modes(image, mask, cell, options) if meshed else _constant(image, mask)
    use = ~mask & (np.abs(image - level) < _CLIP * rms)
    if meshed and sources_masked:
        cells = _cells(image - level, use, cell)
        # Means of residuals, so that a slope within a cell does not enter with where its mask happens to lie.
        mean = cells.mean + _per_cell(level, cell) / _per_cell(np.ones_like(mask), cell)
        level = _over_pixels(_smooth(mean, cells.enough, options), cell, mask.shape)
    return level, _level_error(image - level, use, cell if meshed else mask.shape, options), rms


def _modes(image: Pixels, mask: Mask, cell: tuple[int, int], options: DetectOptions) -> tuple[Pixels, Pixels]:
    """SExtractor's estimates of level and noise, which bear sources among the pixels."""
    fit = sep.Background(image, mask=mask, bw=cell[1], bh=cell[0], fw=options.mesh_filter, fh=options.mesh_filter)
    rms = fit.rms(dtype=np.float32)
    if not np.ptp(image[~mask]) > 0 or not np.median(rms) > 0:
        return _constant(image, mask)
    # The spline through noisy cells may dip below zero next to a quiet one.
    return fit.back(dtype=np.float32), np.maximum(rms, 0.1 * float(np.median(rms)))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Cells:
    """Mean and scatter of the pixels in each cell (h, w), their number, and whether they are enough."""

    mean: Floats
    scatter: Floats
    count: Floats
    enough: Mask


def _cells(residual: Pixels, use: Mask, cell: tuple[int, int]) -> _Cells:
    """Cells of a mesh; half of a cell's pixels are enough, or what the fullest one has where that is less."""
    used = np.where(use, residual, 0.0).astype(np.float64)
    count = _per_cell(use, cell)
    share = count / _per_cell(np.ones_like(use), cell)
    mean = _per_cell(used, cell) / np.maximum(count, 1.0)
    variance = _per_cell(np.square(used), cell) / np.maximum(count, 1.0) - mean**2
    return _Cells(
        mean=mean,
        scatter=np.sqrt(np.maximum(variance, 0.0)),
        count=count,
        enough=(share >= min(0.5, float(share.max()))) & (count > 0),
    )


def _per_cell(values: NDArray[np.generic], cell: tuple[int, int]) -> Floats:
    """Sum of the pixels of each cell."""
    rows, columns = (np.arange(0, length, side) for length, side in zip(values.shape, cell, strict=True))
    return np.asarray(np.add.reduceat(np.add.reduceat(values, columns, 1, dtype=np.float64), rows, 0))


def _smooth(values: Floats, enough: Mask, options: DetectOptions) -> Floats:
    """Median over neighbouring cells; cells without enough pixels count as the nearest one that has them.

    Slopes go on beyond the border: a median of what is on one side only would bend them.
    """
    border = options.mesh_filter // 2
    wide = np.pad(_filled(values, enough), border, mode="reflect", reflect_type="odd")
    smooth = ndimage.median_filter(wide, size=options.mesh_filter)
    return np.asarray(smooth[border : border + len(values), border : border + values.shape[1]])


def _filled(values: Floats, enough: Mask) -> Floats:
    if enough.all() or not enough.any():
        return values
    y, x = ndimage.distance_transform_edt(~enough, return_distances=False, return_indices=True)
    return np.asarray(values[y, x])


def _over_pixels(values: Floats, cell: tuple[int, int], shape: tuple[int, ...]) -> Pixels:
    """Natural cubic spline through the centres of cells."""
    for axis, (length, side) in enumerate(zip(shape, cell, strict=True)):
        first = np.arange(0, length, side)
        centre = 0.5 * (first + np.minimum(first + side, length) - 1.0)
        if len(first) == 1:
            values = np.repeat(values, length, axis)
        else:
            values = CubicSpline(centre, values, axis=axis, bc_type="natural")(np.arange(length))
    return values.astype(np.float32)


def _level_error(residual: Pixels, use: Mask, cell: tuple[int, ...], options: DetectOptions) -> Pixels:
    """Error of the level at every pixel, from what it leaves.

    Notes
    -----
    Two parts. The pixels' noise, enlarged by how much more the means of blocks scatter than those of independent
    pixels would: this averages down over the cells of the median. And structure: by how much more than that whole
    cells scatter around the map, which is what the sky at a source may differ by from the map.
    """
    side = (int(cell[0]), int(cell[1]))
    cells = _cells(residual, use, side)
    if not cells.enough.any():
        return np.full(use.shape, np.nan, dtype=np.float32)
    variance = np.square(cells.scatter) / np.maximum(cells.count, 1.0)
    window = np.ones((options.mesh_filter, options.mesh_filter))
    here = cells.enough.astype(np.float64)
    near = np.maximum(ndimage.convolve(here, window, mode="constant"), 1.0)
    added = ndimage.convolve(here * variance, window, mode="constant")
    # What is reflected at the border, 2 a - b, takes away what its original adds.
    counting = np.maximum(ndimage.convolve(here, window, mode="constant", cval=-1.0), 1.0)
    averaged = _filled(_MEDIAN**2 * added / (near * counting), cells.enough)
    noise, _ = _excess(residual, use, (_BLOCK, _BLOCK))
    total, blocks = _excess(residual, use, tuple(min(s, max(1, n // 5)) for s, n in zip(side, use.shape, strict=True)))
    # A variance of N blocks is known to sqrt(2 / N): a chance excess among few is not taken for structure.
    structure = total - noise if total * (1.0 - np.sqrt(2.0 / max(blocks, 2))) > noise else 0.0
    sigma = np.sqrt(noise * averaged + structure * _filled(variance, cells.enough))
    rows, columns = (np.arange(length) // s for length, s in zip(use.shape, side, strict=True))
    return np.asarray(sigma[np.ix_(rows, columns)], dtype=np.float32)


def _excess(residual: Pixels, use: Mask, side: tuple[int, ...]) -> tuple[float, int]:
    """Variance of the means of blocks over that of independent pixels, at least 1, and the number of blocks."""
    blocks = _cells(residual, use, (side[0], side[1]))
    good = blocks.enough & (blocks.scatter > 0)
    pulls = blocks.mean[good] * np.sqrt(blocks.count[good]) / blocks.scatter[good]
    if len(pulls) < _FEWEST:
        return 1.0, len(pulls)
    spread = 1.4826 * np.median(np.abs(pulls - np.median(pulls)))
    common = np.abs(pulls - np.median(pulls)) <= _RARE * spread
    return max(1.0, float(np.var(pulls[common]))), len(pulls)


def _has_good_cell(mask: Mask, cell: tuple[int, int]) -> bool:
    """Whether any cell keeps half of its pixels, which is what sep asks of it."""
    rows, columns = (range(0, length, side) for length, side in zip(mask.shape, cell, strict=True))
    return any(mask[y : y + cell[0], x : x + cell[1]].mean() <= 0.5 for y in rows for x in columns)


def _constant(image: Pixels, mask: Mask) -> tuple[Pixels, Pixels]:
    """One level and one noise for the whole image, where it is too crowded, too small or too even for a mesh."""
    values = image[~mask].astype(np.float64)
    if values.size == 0:
        return np.zeros_like(image), np.ones_like(image)
    centre = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - centre)))
    if not spread > 0:
        spread = 1e-3 * float(np.abs(image - centre)[~mask].max(initial=0.0))
        if spread > 0:
            log.warning("the image has no measurable noise; a thousandth of its peak stands for it")
    return np.full_like(image, centre), np.full_like(image, spread or 1.0)


def grow_sources(labels: NDArray[np.int32], factor: float) -> Mask:
    """Pixels of sources and of a margin around each: `factor` times its own radius, and two pixels more."""
    if not labels.any():
        return np.zeros(labels.shape, dtype=bool)
    radius = np.sqrt(np.bincount(labels.ravel()) / np.pi)
    distance, (y, x) = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    return np.asarray(distance <= factor * radius[labels[y, x]] + 2.0)
