"""Sources that touch the galaxy, told apart from it by the bridge between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rosse.shapes.connected import summits

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
HALF = ((0, 1), (1, -1), (1, 0), (1, 1))  # each pair of neighbours once


def part_of(light: Floats, mask: Mask, at: tuple[int, int], *, bridge: float) -> Mask:
    """Pixels (H, W) of a mask that belong with one of them.

    Each pixel belongs with the peak that the steepest way up leads to. From the highest saddle down, two parts become
    one unless that saddle is lower than `bridge` times the lower one of their peaks: a valley as deep as that is
    between sources, while the arms and clumps of a galaxy stand in its light.

    Parameters
    ----------
    light : (H, W) smoothed surface brightness.
    mask : (H, W) connected pixels.
    at : row and column of the pixel.
    bridge : part of the lower peak.
    """
    region = np.where(mask, summits(np.where(mask, light, -np.inf)), -1)
    peaks = np.unique(region[mask])
    if len(peaks) < 2:
        return mask
    height, flat = light.ravel(), np.full(light.size, -1)
    flat[peaks] = np.arange(len(peaks))
    member = np.where(mask, flat[region], -1)
    joined = _joined(*_saddles(light, member), height[peaks], bridge)
    return np.asarray(mask & (joined[member] == joined[member[at]]))


def _saddles(light: Floats, member: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """Pairs (S, 2) of parts (H, W) that touch, and how high (S,) the highest way between them is; highest first."""
    h, w = member.shape
    pairs, heights = [], []
    for dy, dx in HALF:
        one = np.s_[: h - dy, max(-dx, 0) : w - max(dx, 0)]
        two = np.s_[dy:, max(dx, 0) : w + min(dx, 0)]
        touch = (member[one] != member[two]) & (member[one] >= 0) & (member[two] >= 0)
        pairs.append(np.stack([member[one][touch], member[two][touch]], 1))
        heights.append(np.minimum(light[one], light[two])[touch])
    pair, saddle = np.sort(np.concatenate(pairs), 1), np.concatenate(heights)
    order = np.argsort(-saddle, kind="stable")
    return pair[order], saddle[order]


def _joined(pairs: NDArray[np.int64], saddles: Floats, peaks: Floats, bridge: float) -> NDArray[np.int64]:
    """Number (P,) of the source that each part belongs to."""
    root, top = list(range(len(peaks))), peaks.tolist()

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for (i, j), saddle in zip(pairs.tolist(), saddles.tolist(), strict=True):
        a, b = find(i), find(j)
        if a != b and saddle >= bridge * min(top[a], top[b]):
            root[b] = a
            top[a] = max(top[a], top[b])
    return np.array([find(i) for i in range(len(root))])
