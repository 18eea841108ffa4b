"""Hills of an image: peaks that stand out from their neighbours by more than noise does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rosse.detection.gaps import beside_nothing
from rosse.detection.options import DetectOptions
from rosse.detection.peaks import Basins, find_basins
from rosse.detection.significance import DetectionImage

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]
Image = NDArray[np.float32]

_RIPPLE = 1.05  # a peak less than this above its saddle is a ripple, however significant


@dataclass(frozen=True, kw_only=True, eq=False)
class Hills:
    """Peaks that noise does not explain.

    Parameters
    ----------
    labels : (H, W) 0 outside the footprint, 1..P.
    row, column : (P,) pixel of each peak.
    rise : (P,) light above the saddle to a higher hill, summed over the hill's pixels.
    """

    labels: Labels
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    rise: Floats


def find_hills(image: DetectionImage, footprint: NDArray[np.bool_], options: DetectOptions) -> Hills:
    """Hills of the filtered image; those that do not stand out from their neighbour are part of it."""
    basins = find_basins(image.smooth, footprint)
    root, saddle = _without_ripples(basins, image, options)
    tops, hill = np.unique(root, return_inverse=True)
    labels = np.zeros_like(basins.labels)
    labels[footprint] = hill[basins.labels[footprint] - 1] + 1
    above = np.maximum(image.smooth - np.append(0.0, saddle[tops])[labels], 0.0)
    rise = np.bincount(labels.ravel(), weights=above.ravel(), minlength=len(tops) + 1)[1:].astype(np.float64)
    row, column = np.unravel_index(basins.peak[tops], labels.shape)
    return Hills(labels=labels, row=row.astype(np.int64), column=column.astype(np.int64), rise=rise)


def _without_ripples(basins: Basins, image: DetectionImage, options: DetectOptions) -> tuple[NDArray[np.int64], Floats]:
    """For every basin the one whose hill it belongs to, and for those the saddle to a higher hill (0 without).

    Saddles are taken from the highest down, so that when two hills meet each already holds all that is above.
    """
    height = image.smooth.ravel()[basins.peak].astype(np.float64)
    needed = np.maximum(
        np.sqrt(2.0) * options.threshold * image.noise.ravel()[basins.peak], (1.0 - 1.0 / _RIPPLE) * height
    )
    needed[beside_nothing(image.ivar > 0).ravel()[basins.peak]] = np.inf
    heights = _sorted_heights(basins, image.smooth)
    members = [[i] for i in range(len(height))]
    parent = list(range(len(height)))
    saddle = np.zeros(len(height))
    order = np.argsort(-basins.saddle, kind="stable")
    for (a, b), level in zip(basins.pairs[order].tolist(), basins.saddle[order].tolist(), strict=True):
        high, low = _root(parent, a), _root(parent, b)
        if high == low:
            continue
        if (height[high], -high) < (height[low], -low):
            high, low = low, high
        pixels = sum(len(heights[i]) - int(np.searchsorted(heights[i], level, "right")) for i in members[low])
        if height[low] - level < needed[low] or pixels < options.min_pixels:
            parent[low] = high
            members[high] += members[low]
        elif saddle[low] == 0.0:
            saddle[low] = level
    return np.array([_root(parent, i) for i in range(len(parent))], dtype=np.int64), saddle


def _sorted_heights(basins: Basins, light: Image) -> list[Image]:
    """The pixels of each basin, lowest first."""
    inside = basins.labels > 0
    label, value = basins.labels[inside], light[inside]
    order = np.lexsort((value, label))
    ends = np.cumsum(np.bincount(label, minlength=len(basins.peak) + 1))[1:-1]
    return np.split(value[order], ends)


def _root(parent: list[int], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i
