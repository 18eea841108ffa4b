"""How large a galaxy is in its image, and the image cut so that all galaxies are equally large in it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

FALL = 0.2  # brightness over the mean brightness within, at the Petrosian radius (Blanton+2001, doi:10.1086/320405)
LEAST = 4.0  # pixels from the centre that are always seen


def petrosian_radius(light: Tensor, there: Tensor) -> Tensor:
    """Radius (B,), pixels, at which brightness has fallen to a fifth of the mean within, in circles about the target.

    Parameters
    ----------
    light : (B, H, W), without sky.
    there : (B, H, W) whether a pixel counts.

    Returns
    -------
    Tensor
        Not more than the way from the target to the nearest border, which it is where brightness does not fall so far.

    Notes
    -----
    The first radius at which the ratio eta of Petrosian 1976 (doi:10.1086/182253) in rings of one pixel, each averaged
    with its neighbours, falls below 0.2, between two rings in proportion. It depends neither on distance nor, above the
    noise, on depth.
    """
    height, width = light.shape[-2:]
    y = (torch.arange(height, device=light.device) - height // 2)[:, None]
    x = torch.arange(width, device=light.device) - width // 2
    radius = torch.sqrt((y * y + x * x).double()).round().long().flatten()
    most = min(height - height // 2, width - width // 2, height // 2 + 1, width // 2 + 1)
    counts, sums = (
        torch.zeros(len(light), int(radius.max()) + 1, dtype=torch.float64, device=light.device).index_add_(
            1, radius, value.flatten(1).double()
        )[:, :most]
        for value in (there, torch.where(there, light, 0.0))
    )
    wide = functional.avg_pool1d(torch.stack((counts, sums)), 3, 1, 1, count_include_pad=False)
    ring = wide[1] / wide[0].clamp_min(1e-9)
    within = sums.cumsum(1) / counts.cumsum(1).clamp_min(1e-9)
    ratio = torch.where(within > 0, ring / within.clamp_min(1e-30), torch.inf)
    fallen = ratio < FALL
    fallen[:, 0] = False
    first = fallen.double().argmax(1).clamp_min(1)
    above, below = (ratio.gather(1, at[:, None])[:, 0] for at in (first - 1, first))
    inner = ((FALL - below) / (above - below).clamp_min(1e-9)).clamp(0, 1).nan_to_num(0.0)
    return torch.where(fallen.any(1), first - inner, most - 1.0).to(light.dtype)


def half_widths(radius: Tensor, radii: float, frame: tuple[int, int]) -> Tensor:
    """Half the side (B,), whole pixels, of squares that reach `radii` Petrosian radii from the target.

    Parameters
    ----------
    radius : (B,) Petrosian radius, pixels.
    radii : how many of them.
    frame : (H, W) pixels that there are; more are not given.
    """
    most = max(1, min(frame) // 2)
    return (radii * radius).round().clamp(min(LEAST, most), most).long()


def cropped(images: Tensor, half: Tensor, side: int) -> Tensor:
    """Squares of images (B, C, H, W) about the target, resized to (B, C, side, side).

    Parameters
    ----------
    images : the target is at pixel (H // 2, W // 2).
    half : (B,) half a square's side, whole pixels.
    side : pixels of the result.
    """
    height, width = images.shape[-2:]
    out = images.new_zeros(*images.shape[:2], side, side)
    for reach in torch.unique(half).tolist():
        rows = torch.nonzero(half == reach).flatten()
        top, left = max(0, height // 2 - reach), max(0, width // 2 - reach)
        square = images[rows][..., top : top + 2 * reach, left : left + 2 * reach]
        out[rows] = functional.interpolate(square, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return out
