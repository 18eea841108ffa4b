"""Connected pixels and paths of steepest ascent, for a batch at once, on any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx)


def components(mask: Tensor, *, diagonal: bool = True) -> Tensor:
    """Number of the first pixel of each pixel's connected component, (B, H, W) of the mask (B, H, W); H W outside.

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


def component_at(mask: Tensor, x: Tensor, y: Tensor, *, diagonal: bool = True) -> Tensor:
    """The component (B, H, W) of the pixel x, y (B,); empty where that pixel is not in the mask."""
    label = components(mask, diagonal=diagonal)
    height, width = mask.shape[1:]
    at = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).long()
    return (label == label.flatten(1).gather(1, at[:, None])[:, :, None]) & mask


def areas(label: Tensor) -> Tensor:
    """Pixels (B, H W) of each component, at the number that `components` gives it."""
    b, height, width = label.shape
    counts = torch.zeros(b, height * width + 1, dtype=torch.long, device=label.device)
    counts.scatter_add_(1, label.flatten(1), torch.ones_like(label).flatten(1))
    return counts[:, :-1]


def largest_component(mask: Tensor, *, diagonal: bool = True) -> Tensor:
    """The component (B, H, W) of most pixels; of equals the one that begins first."""
    label = components(mask, diagonal=diagonal)
    return (label == areas(label).argmax(1)[:, None, None]) & mask


def summits(image: Tensor, mask: Tensor) -> Tensor:
    """Number of the local maximum that the steepest way up leads to, (B, H, W), over the eight neighbours.

    The regions are those of a watershed of the inverted image: each pixel belongs with the highest of its neighbours.
    """
    b, height, width = image.shape
    padded = pad(torch.where(mask, image, -torch.inf), (1, 1, 1, 1), value=-torch.inf)
    best, own = padded[:, 1:-1, 1:-1], torch.arange(height * width, device=image.device).view(1, height, width)
    way = own.expand(b, -1, -1)
    for dy, dx in NEIGHBOURS:
        there = padded[:, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        way = torch.where(there > best, own + dy * width + dx, way)
        best = torch.maximum(best, there)
    flat = way.flatten(1)
    while True:
        further = flat.gather(1, flat)
        if torch.equal(further, flat):
            return flat.view(b, height, width)
        flat = further
