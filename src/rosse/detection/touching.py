"""Which labels of an image touch each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int32]


_HALF_PLANE = ((0, 1), (1, 0), (1, 1), (1, -1))  # one of each pair of opposite neighbours

Slices = tuple[slice, slice]


def neighbour_steps() -> tuple[tuple[int, int], ...]:
    """Steps (dy, dx) to half of a pixel's eight neighbours: with their opposites, all of them."""
    return _HALF_PLANE


def neighbour_slices(shape: tuple[int, ...], dy: int, dx: int) -> tuple[Slices, Slices]:
    """Slices of all pixels that have a neighbour a step away, and of these neighbours."""
    rows, columns = shape
    return (
        (slice(max(0, -dy), rows - max(0, dy)), slice(max(0, -dx), columns - max(0, dx))),
        (slice(max(0, dy), rows + min(0, dy)), slice(max(0, dx), columns + min(0, dx))),
    )


def touching_labels(labels: Labels) -> NDArray[np.int64]:
    """Pairs (P, 2) of labels that meet, diagonally too, the smaller first."""
    pairs = []
    for dy, dx in _HALF_PLANE:
        here, there = neighbour_slices(labels.shape, dy, dx)
        meet = (labels[here] != labels[there]) & (labels[here] > 0) & (labels[there] > 0)
        pairs.append(np.stack([labels[here][meet], labels[there][meet]], axis=1))
    joined = np.sort(np.concatenate(pairs), axis=1).astype(np.int64)
    return np.unique(joined, axis=0)


def highest_contact(labels: Labels, light: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """Largest light of each label's pixels beside another label, (count,); 0 for labels that touch none."""
    level = np.zeros(count + 1)
    for dy, dx in _HALF_PLANE:
        here, there = neighbour_slices(labels.shape, dy, dx)
        meet = (labels[here] != labels[there]) & (labels[here] > 0) & (labels[there] > 0)
        for side in (here, there):
            np.maximum.at(level, labels[side][meet], light[side][meet])
    return level[1:]
