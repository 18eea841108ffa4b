"""Point-spread functions that the room is given or makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rosse.errors import InputError

if TYPE_CHECKING:
    from rosse.io import FieldPsf

Floats = NDArray[np.float64]


def constant_psf(stamp: Floats, bands: int) -> FieldPsf:
    """The same PSF everywhere, from a stamp (h, w) for all bands or (C, h, w)."""
    from rosse.io import FieldPsf

    stamps = np.broadcast_to(stamp, (bands, *stamp.shape[-2:])) if stamp.ndim == 2 else stamp
    if stamps.ndim != 3 or len(stamps) != bands:
        raise InputError(f"psf has shape {stamp.shape}; (h, w) or ({bands}, h, w) is wanted")
    return FieldPsf(basis=np.array(stamps[:, None], dtype=np.float64), degree=0)


def psf_at_centre(psf: FieldPsf, shape: tuple[int, int]) -> Floats:
    """PSF (C, h, w) in the middle of an image of `shape`."""
    y, x = (np.array([0.5 * (length - 1)]) for length in shape)
    return np.asarray(psf.at(x, y)[0], dtype=np.float64)


def central_part(stamp: Floats, light: float = 0.98) -> Floats:
    """The smallest centred square of an odd stamp that holds a fraction of its light, without negative pixels."""
    size = min(stamp.shape) | 1
    middle = (stamp.shape[0] // 2, stamp.shape[1] // 2)
    positive = np.maximum(stamp, 0.0)
    for half in range(1, size // 2 + 1):
        part = positive[middle[0] - half : middle[0] + half + 1, middle[1] - half : middle[1] + half + 1]
        if part.sum() >= light * positive.sum():
            return part
    return positive
