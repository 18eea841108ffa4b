"""Sky level and noise: SExtractor's mesh, measured around the sources instead of through them."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import sep
from numpy.typing import NDArray
from scipy import ndimage

from rosse.detection.options import DetectOptions

log = logging.getLogger(__name__)

Pixels = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sky:
    """Sky of a section.

    Parameters
    ----------
    level : (C, H, W) background.
    rms : (C, H, W) its noise, flux per pixel.
    """

    level: Pixels
    rms: Pixels


def cell_size(shape: tuple[int, int], mesh: int) -> tuple[int, int]:
    """Height and width of cells of about `mesh` pixels that divide a mosaic evenly.

    Else a few rows would be left for the last cells, whose noisy level the spline carries far into the image. All
    regions of a mosaic have the same cells.
    """
    high, wide = (-(-length // max(1, round(length / mesh))) for length in shape)
    return high, wide


def measure_sky(flux: Pixels, mask: Mask, cell: tuple[int, int], options: DetectOptions) -> Sky:
    """Background and noise of every band from the pixels that `mask` leaves.

    Parameters
    ----------
    flux : (C, H, W)
    mask : (C, H, W), True for bad pixels and sources.
    cell : height and width of the cells, pixels.

    Notes
    -----
    Clipped mode in cells, median-filtered over cells and spline-interpolated (Bertin & Arnouts 1996, sect. 3); cells
    with less than half of their pixels left take the level of the nearest ones.
    """
    level, rms = np.empty_like(flux), np.empty_like(flux)
    for c, (image, out) in enumerate(zip(flux, mask, strict=True)):
        level[c], rms[c] = _one_band(image, out, cell, options)
    return Sky(level=level, rms=rms)


def _one_band(image: Pixels, mask: Mask, cell: tuple[int, int], options: DetectOptions) -> tuple[Pixels, Pixels]:
    if not _has_good_cell(mask, cell):
        return _constant(image, mask)
    fit = sep.Background(image, mask=mask, bw=cell[1], bh=cell[0], fw=options.mesh_filter, fh=options.mesh_filter)
    rms = fit.rms(dtype=np.float32)
    if not np.ptp(image[~mask]) > 0 or not np.median(rms) > 0:
        return _constant(image, mask)
    # The spline through noisy cells may dip below zero next to a quiet one.
    return fit.back(dtype=np.float32), np.maximum(rms, 0.1 * float(np.median(rms)))


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
