"""What may be wrong with a source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from rosse.detection.gaps import large_gaps
from rosse.detection.moments import Shapes
from rosse.detection.options import Flag
from rosse.detection.photometry import Photometry
from rosse.detection.touching import touching_labels

Bools = NDArray[np.bool_]
Labels = NDArray[np.int32]

_BRIGHTER = 10.0  # a neighbour this many times brighter disturbs the photometry within its Kron aperture


def labels_with(pixels: Bools, labels: Labels, count: int) -> Bools:
    """Which of the labels 1..count own any of these pixels, (count,)."""
    found = np.zeros(count + 1, dtype=bool)
    found[labels[pixels]] = True
    return found[1:]


def near_bright(shapes: Shapes, light: Photometry) -> Bools:
    """Sources whose centre lies within the Kron aperture of one that is far brighter."""
    brightness = np.nan_to_num(light.auto_detection)
    reach = light.kron * shapes.a
    hit = np.zeros(len(shapes), dtype=bool)
    if len(shapes) < 2:
        return hit
    tree = cKDTree(np.stack([shapes.x, shapes.y], axis=1))
    for row in np.nonzero(brightness > _BRIGHTER * np.median(brightness))[0]:
        near = np.array(tree.query_ball_point((shapes.x[row], shapes.y[row]), reach[row]), dtype=np.int64)
        hit[near[brightness[near] * _BRIGHTER < brightness[row]]] = True
    return hit


def image_flags(
    labels: Labels, *, no_data: Bools, saturated: Bools, sides: tuple[bool, bool, bool, bool], shapes: Shapes
) -> NDArray[np.int32]:
    """Flags that follow from the pixels: `EDGE`, `SATURATED`, `BLENDED`.

    Parameters
    ----------
    labels : (H, W)
    no_data : (H, W) pixels without weight in every band.
    saturated : (H, W) pixels that are saturated in any band.
    sides : whether the first row, last row, first column, last column of the section is the image's own border.
    shapes : of the labels.
    """
    count = len(shapes)
    flags = np.zeros(count, dtype=np.int32)
    border = np.zeros(labels.shape, dtype=bool)
    first_row, last_row, first_column, last_column = sides
    border[0] = first_row
    border[-1] |= last_row
    border[:, 0] |= first_column
    border[:, -1] |= last_column
    beside = ndimage.binary_dilation(large_gaps(no_data), structure=np.ones((3, 3), dtype=bool))
    flags[labels_with(border | beside, labels, count)] |= Flag.EDGE
    column, row = np.rint(shapes.x).astype(int), np.rint(shapes.y).astype(int)
    lost = ndimage.uniform_filter(no_data.astype(np.float32), size=3, mode="nearest") > 0.5
    core = lost[np.clip(row, 0, labels.shape[0] - 1), np.clip(column, 0, labels.shape[1] - 1)]
    flags[labels_with(saturated, labels, count) | core] |= Flag.SATURATED
    flags[np.unique(touching_labels(labels)) - 1] |= Flag.BLENDED
    return flags
