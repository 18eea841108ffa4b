"""Cutouts of detected galaxies: sized by the galaxy, neighbours masked, padded where the image ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rosse.detection.options import DetectOptions

if TYPE_CHECKING:
    from rosse.cutouts import Cutouts
    from rosse.detection.result import Detection
    from rosse.io import FieldPsf

# Sides come in these steps, so that a batch holds many galaxies: odd, about 15 % apart.
_STEP = 1.15


def cutout_sizes(extent: NDArray[np.float64], options: DetectOptions) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Side of each cutout in pixels, always odd, and whether the largest allowed one was too small.

    Parameters
    ----------
    extent : (N,) half the side of the box around the Kron aperture, pixels.

    Notes
    -----
    Sides are odd, so that the target's pixel ``(size // 2, size // 2)`` has equally many on every side, and rounded
    up to the next of a ladder of sizes; `cutout_minimum` and `cutout_maximum` are rounded to odd numbers as well.
    """
    smallest, largest = options.cutout_minimum | 1, (options.cutout_maximum - 1) | 1
    ladder = [smallest]
    while ladder[-1] < largest:
        ladder.append(min(largest, max(ladder[-1] + 2, int(ladder[-1] * _STEP) | 1)))
    wanted = 2.0 * np.ceil(options.cutout_factor * np.nan_to_num(extent, nan=0.0)) + 1.0
    at = np.searchsorted(np.array(ladder), wanted)
    return np.array(ladder)[np.minimum(at, len(ladder) - 1)], at == len(ladder)


def cut(
    detection: Detection, rows: NDArray[np.int64], size: int, *, along: Sequence[NDArray[np.int64]] = ()
) -> Cutouts:
    """Cutouts of some sources on one frame.

    Parameters
    ----------
    detection : where pixels, segmentation and PSF are taken from.
    rows : (B,) rows of its source table.
    size : side of the frame, odd.
    along : for each of `rows` the sources that are not masked, because they will be fitted along.

    Returns
    -------
    Cutouts
        Pixels of other sources (grown by `mask_grow`), bad pixels and pixels outside the image have zero ivar.
    """
    import torch

    from rosse.cutouts import Cutouts

    sources, mosaic = detection.sources, detection.mosaic
    x, y = np.asarray(sources["x_image"])[rows], np.asarray(sources["y_image"])[rows]
    corner = np.stack([np.rint(x), np.rint(y)], axis=1).astype(np.int64) - size // 2
    x0, y0 = detection.origin
    flux = np.zeros((len(rows), len(mosaic.bands), size, size), dtype=np.float32)
    ivar = np.zeros_like(flux)
    for i, row in enumerate(rows):
        there, here = _overlap(detection.segmentation.shape, (corner[i, 1] - y0, corner[i, 0] - x0), size)
        labels = detection.segmentation[there]
        if len(along):
            labels = np.where(np.isin(labels, along[i] + 1), 0, labels)
        own = _not_neighbours(labels, int(row) + 1, detection.options.mask_grow)
        flux[i, :, *here] = detection.flux[:, *there]
        ivar[i, :, *here] = np.where(own, detection.ivar[:, *there], 0.0)
    north, parity = detection.orientation(rows)
    psf = None if detection.psf is None else torch.from_numpy(np.ascontiguousarray(_psf_at(detection.psf, x, y)))
    return Cutouts(
        flux=torch.from_numpy(flux),
        ivar=torch.from_numpy(ivar),
        psf=psf,
        psf_has_pixel=True if detection.psf is None else detection.psf.has_pixel,
        scale=torch.full((len(rows),), float(mosaic.scale), dtype=torch.float64),
        zeropoint=torch.as_tensor(np.asarray(mosaic.zeropoint, dtype=np.float64)),
        bands=mosaic.bands,
        id=np.asarray(sources["id"])[rows],
        ra=np.asarray(sources["ra"], dtype=np.float64)[rows],
        dec=np.asarray(sources["dec"], dtype=np.float64)[rows],
        corner=torch.from_numpy(corner.astype(np.float64)),
        north=torch.from_numpy(north),
        parity=torch.from_numpy(parity),
    )


def _psf_at(psf: FieldPsf, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
    """PSF of each source; a single one where it is the same everywhere, or where there is no source."""
    if psf.degree == 0 or not len(x):
        return psf.at(psf.x_zero, psf.y_zero)
    return psf.at(x, y)


def _overlap(
    shape: tuple[int, int], first: tuple[int, int], size: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of the image and of the frame where they overlap; `first` is (y, x) of the frame's first pixel."""
    there, here = [], []
    for start, length in zip(first, shape, strict=True):
        low, high = max(0, start), max(0, min(length, start + size))
        low = min(low, high)
        there.append(slice(int(low), int(high)))
        here.append(slice(int(low - start), int(high - start)))
    return (there[0], there[1]), (here[0], here[1])


def _not_neighbours(labels: NDArray[np.int32], own: int, grow: int) -> NDArray[np.bool_]:
    """Pixels of no other source; their isophotes are widened by `grow` pixels, but never into the own one."""
    mine = labels == own
    other = (labels != 0) & ~mine
    if grow and other.any():
        other = ndimage.binary_dilation(other, iterations=grow) & ~mine
    return np.asarray(~other)
