"""A box of empty sky beside the galaxy: what noise alone adds to its asymmetry and smoothness."""

from __future__ import annotations

import torch
from torch import Tensor


def empty_box(empty: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """First square without sources, row by row from the lower left, halved until one fits.

    Parameters
    ----------
    empty : (B, H, W) pixels that are sky.
    side : of the largest square, pixels.

    Returns
    -------
    (B, 2), (B,)
        Column and row of its first pixel; its side, 0 where there is none.
    """
    b, height, width = empty.shape
    full = torch.nn.functional.pad((~empty).to(torch.int32), (1, 0, 1, 0))
    full = full.cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32)
    first = torch.zeros(b, 2, dtype=torch.long, device=empty.device)
    found = torch.zeros(b, dtype=torch.long, device=empty.device)
    while side >= 2:  # a pixel alone has no counterpart
        if side <= min(height, width):
            taken = full[:, side:, side:] - full[:, :-side, side:] - full[:, side:, :-side] + full[:, :-side, :-side]
            free = (taken == 0).flatten(1)
            at = free.int().argmax(1)
            new = (found == 0) & free.any(1)
            line = width - side + 1
            place = torch.stack([at % line, torch.div(at, line, rounding_mode="floor")], 1)
            first = torch.where(new[:, None], place, first)
            found = torch.where(new, side, found)
        side //= 2
    return first, found


def sky_pixels(image: Tensor, first: Tensor, side: int) -> Tensor:
    """Boxes (B, side, side) of images (B, H, W)."""
    height, width = image.shape[1:]
    line = torch.arange(side, device=image.device)
    y, x = (first[:, 1, None] + line).clamp_max(height - 1), (first[:, 0, None] + line).clamp_max(width - 1)
    index = y[:, :, None] * width + x[:, None, :]
    return image.flatten(1).gather(1, index.flatten(1)).view(-1, side, side)
