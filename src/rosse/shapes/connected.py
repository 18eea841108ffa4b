"""Connected pixels, for a batch at once, on any device; and the peaks that pixels belong with."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

Floats = NDArray[np.float64]
NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx)


def components(mask: Tensor, *, diagonal: bool = True) -> Tensor:
    """Number of the first pixel of each pixel's connected component, (B, H, W) of the mask (B, H, W); H W outside.

    On a CPU one image after the other is quicker, on other devices all at once.
    """
    if mask.device.type == "cpu":
        return torch.from_numpy(_one_by_one(mask.numpy(), diagonal))
    return all_at_once(mask, diagonal)


def all_at_once(mask: Tensor, diagonal: bool = True) -> Tensor:
    """`components` by operations on the whole batch.

    Labels fall to the least of their neighbours and, along the way, to the label of their label (Zhang, Azad & Hu 2020,
    arXiv:1910.05971): steps grow with the logarithm of a component's size.
    """
    b, height, width = mask.shape
    none = height * width
    label = torch.arange(none, device=mask.device).view(1, height, width).expand(b, -1, -1)
    label = torch.where(mask, label, none)
    steps = [(dy, dx) for dy, dx in NEIGHBOURS if diagonal or not (dy and dx)]
    while True:
        padded = pad(label, (1, 1, 1, 1), value=none)
        least = label
        for dy, dx in steps:
            least = torch.minimum(least, padded[:, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width])
        least = torch.where(mask, least, none)
        flat = pad(label.flatten(1), (0, 1), value=none)
        hooked = flat.scatter_reduce(1, label.flatten(1), least.flatten(1), "amin")
        hooked = torch.minimum(hooked, pad(least.flatten(1), (0, 1), value=none))
        hooked = torch.minimum(hooked, hooked.gather(1, hooked))
        new = hooked[:, :-1].view(b, height, width)
        if torch.equal(new, label):
            return label
        label = new


def _one_by_one(masks: NDArray[np.bool_], diagonal: bool) -> NDArray[np.int64]:
    """`components` on a CPU, where one image after the other is quicker."""
    from scipy import ndimage

    structure = np.ones((3, 3), dtype=int) if diagonal else None
    out = np.full(masks.shape, masks[0].size if len(masks) else 0, dtype=np.int64)
    for mask, label in zip(masks, out, strict=True):
        number, _ = ndimage.label(mask, structure)
        flat = np.flatnonzero(mask)
        own = number.ravel()[flat]
        found, first = np.unique(own, return_index=True)
        names = np.zeros(len(found) + 1, dtype=np.int64)
        names[found] = flat[first]
        label.ravel()[flat] = names[own]
    return out


def component_at(mask: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The component (B, H, W), over edges and corners, of the pixel x, y (B,); empty where it is not in the mask."""
    height, width = mask.shape[1:]
    x, y = x.clamp(0, width - 1).long(), y.clamp(0, height - 1).long()
    if mask.device.type == "cpu":
        return torch.from_numpy(_around(mask.numpy(), x.tolist(), y.tolist()))
    label = components(mask)
    at = y * width + x
    return (label == label.flatten(1).gather(1, at[:, None])[:, :, None]) & mask


def _around(masks: NDArray[np.bool_], x: list[int], y: list[int]) -> NDArray[np.bool_]:
    """`component_at` on a CPU."""
    from scipy import ndimage

    out = np.zeros_like(masks)
    for mask, i, j, found in zip(masks, y, x, out, strict=True):
        label, _ = ndimage.label(mask, np.ones((3, 3), dtype=int))
        np.logical_and(mask, label == label[i, j], out=found)
    return out


def areas(label: Tensor) -> Tensor:
    """Pixels (B, H W) of each component, at the number that `components` gives it."""
    b, height, width = label.shape
    counts = torch.zeros(b, height * width + 1, dtype=torch.long, device=label.device)
    counts.scatter_add_(1, label.flatten(1), torch.ones_like(label).flatten(1))
    return counts[:, :-1]


def summits(image: Floats) -> NDArray[np.int64]:
    """Number of the local maximum that the steepest way up leads to, (H, W), over the eight neighbours.

    The regions are those of a watershed of the inverted image: each pixel belongs with the highest of its neighbours.
    """
    height, width = image.shape
    padded = np.pad(image, 1, constant_values=-np.inf)
    best, way = image.copy(), np.arange(image.size).reshape(height, width)
    own = way.copy()
    for dy, dx in itertools.product((-1, 0, 1), repeat=2):
        there = padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        higher = there > best
        np.copyto(way, own + (dy * width + dx), where=higher)
        np.copyto(best, there, where=higher)
    flat = way.ravel()
    while True:
        further = flat[flat]
        if np.array_equal(further, flat):
            return flat.reshape(height, width)
        flat = further
