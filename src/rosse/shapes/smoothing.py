"""Smoothing with a width of each galaxy's own: rows and columns times a matrix of weights.

Beyond the edge of its stamp an image is mirrored, the pixel at the edge first (SciPy's mode "reflect"); the matrix
holds that, and with it stamps of different extent share a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

TRUNCATE = 4.0  # sigmas at which a Gaussian ends


def smooth(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images (B, H, W) smoothed by weights (B, H, H) along y and (B, W, W) along x."""
    return rows @ image @ columns.transpose(1, 2)


def gaussian(sigma: Tensor, extent: Tensor, size: int) -> Tensor:
    """Weights (B, size, size) of a Gaussian of `sigma` (B,) pixels on a line of `extent` (B,) pixels."""
    reach = (TRUNCATE * sigma + 0.5).floor()
    return _weights(lambda d: torch.where(d.abs() <= reach[:, None, None], torch.exp(-0.5 * (d / sigma[:, None, None])
                    .square()), 0.0), reach, extent, size)  # fmt: skip


def boxcar(width: Tensor, extent: Tensor, size: int) -> Tensor:
    """Weights (B, size, size) of the mean of `width` (B,) pixels; an even box reaches one further to lower numbers."""
    low = (width / 2).floor()
    high = width - low - 1
    return _weights(
        lambda d: ((d >= -low[:, None, None]) & (d <= high[:, None, None])).to(width.dtype), low + 1, extent, size
    )


def _weights(kernel, reach: Tensor, extent: Tensor, size: int) -> Tensor:  # type: ignore[no-untyped-def]
    """Kernel of the distance to every pixel and to its mirror images, each row of unit sum within the extent."""
    line = torch.arange(size, dtype=reach.dtype, device=reach.device)
    to, source = line[None, :, None], line[None, None, :]
    period = 2 * extent[:, None, None].to(reach.dtype)
    total = torch.zeros(len(reach), size, size, dtype=reach.dtype, device=reach.device)
    copies = int(torch.ceil(reach.nan_to_num(0.0) / extent.clamp_min(1)).max()) // 2 + 1 if len(reach) else 0
    for k in range(-copies, copies + 1):
        total = total + kernel(source + k * period - to) + kernel((k + 1) * period - 1 - source - to)
    total = torch.where((source < period / 2) & (to < period / 2), total, 0.0)
    return total / total.sum(2, keepdim=True).clamp_min(1e-30)
