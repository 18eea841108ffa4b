"""Peaks of an image, the pixels that lead up to each, and the saddles between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rosse.detection.touching import neighbour_slices, neighbour_steps

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Basins:
    """The hills of an image.

    Parameters
    ----------
    labels : (H, W) 0 outside the footprint, 1..P hills; from each pixel the steepest way up leads to its peak.
    peak : (P,) index of each peak in the flattened image.
    pairs : (S, 2) hills that meet, by 0-based number.
    saddle : (S,) height of the highest pass between them.
    """

    labels: Labels
    peak: NDArray[np.int64]
    pairs: NDArray[np.int64]
    saddle: Floats


def find_basins(height: NDArray[np.float32], footprint: NDArray[np.bool_]) -> Basins:
    """Divide a footprint into hills by steepest ascent, as FellWalker does (Berry 2015, sect. 2).

    Parameters
    ----------
    height, footprint : (H, W)
    """
    labels, peak = _climb(np.where(footprint, height, -np.inf).astype(np.float32), footprint)
    pairs, saddle = _passes(height, labels)
    return Basins(labels=labels, peak=peak, pairs=pairs, saddle=saddle)


def _climb(height: NDArray[np.float32], footprint: NDArray[np.bool_]) -> tuple[Labels, NDArray[np.int64]]:
    """Label every pixel by the local maximum above it; among equals the first pixel is the higher."""
    index = np.arange(height.size, dtype=np.int64).reshape(height.shape)
    best, target = height.copy(), index.copy()
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy == dx == 0:
                continue
            here, there = neighbour_slices(height.shape, dy, dx)
            value, number = height[there], index[there]
            higher = (value > best[here]) | ((value == best[here]) & (number < target[here]))
            best[here] = np.where(higher, value, best[here])
            target[here] = np.where(higher, number, target[here])
    root = target.ravel()
    while True:
        onward = root[root]
        if np.array_equal(onward, root):
            break
        root = onward
    inside = footprint.ravel()
    labels = np.zeros(height.size, dtype=np.int32)
    peak, found = np.unique(root[inside], return_inverse=True)
    labels[inside] = found.ravel() + 1
    return labels.reshape(height.shape), peak


def _passes(height: NDArray[np.float32], labels: Labels) -> tuple[NDArray[np.int64], Floats]:
    """Pairs of hills that touch and the highest pass between them."""
    pairs, heights = [], []
    for dy, dx in neighbour_steps():
        here, there = neighbour_slices(labels.shape, dy, dx)
        a, b = labels[here], labels[there]
        meet = (a != b) & (a > 0) & (b > 0)
        pairs.append(np.stack([a[meet], b[meet]], axis=1))
        heights.append(np.minimum(height[here][meet], height[there][meet]))
    all_pairs = np.sort(np.concatenate(pairs), axis=1).astype(np.int64) - 1
    value = np.concatenate(heights).astype(np.float64)
    order = np.lexsort((-value, all_pairs[:, 1], all_pairs[:, 0]))
    all_pairs, value = all_pairs[order], value[order]
    first = np.ones(len(value), dtype=bool)
    first[1:] = (all_pairs[1:] != all_pairs[:-1]).any(1)
    return all_pairs[first], value[first]
