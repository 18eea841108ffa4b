"""Areas of an image without data, as opposed to single bad pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Bools = NDArray[np.bool_]

_SIDE = 5  # pixels of the smallest square that is an area


def large_gaps(no_data: Bools) -> Bools:
    """Pixels of gaps that hold a square of five by five; bad pixels and bad columns are left out.

    Parameters
    ----------
    no_data : (H, W)
    """
    if not no_data.any():
        return no_data
    # Beyond the border there is no data either: a strip along it counts however narrow.
    wide = np.pad(no_data, _SIDE, constant_values=True)
    opened = ndimage.binary_opening(wide, structure=np.ones((_SIDE, _SIDE), dtype=bool))
    return np.asarray(opened[_SIDE:-_SIDE, _SIDE:-_SIDE] & no_data)


def beside_nothing(data: Bools) -> Bools:
    """Pixels beside a large gap or beside the image's border."""
    gaps = np.pad(large_gaps(~data), 1, constant_values=True)
    return np.asarray(ndimage.binary_dilation(gaps, structure=np.ones((3, 3), dtype=bool))[1:-1, 1:-1])
