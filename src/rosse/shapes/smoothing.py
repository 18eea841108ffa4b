"""Smoothing with a width of each galaxy's own: rows and columns times a matrix of weights.

The matrix holds what happens beyond the edge of a stamp, and with it stamps of different extent share a batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TRUNCATE = 4.0  # sigmas at which a Gaussian ends


def smooth(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images (B, H, W) smoothed by weights (B, H, H) along y and (B, W, W) along x."""
    if image.device.type == "cpu" and len(image):  # one by one: the rounding then is the same in any batch
        return torch.stack([r @ i @ c.T for r, i, c in zip(rows, image, columns, strict=True)])
    return rows @ image @ columns.transpose(1, 2)


def gaussian(sigma: Tensor, extent: Tensor, size: int, *, mirrored: bool = True) -> Tensor:
    """Weights (B, size, size) of a Gaussian of `sigma` (B,) pixels on a line of `extent` (B,) pixels.

    Beyond the extent the line is mirrored, the last pixel first (SciPy's mode "reflect"), or else 0.
    """
    line = torch.arange(2 * size, dtype=sigma.dtype, device=sigma.device)
    reach = (TRUNCATE * sigma + 0.5).floor()[:, None]
    kernel = torch.exp(-0.5 * (line / sigma[:, None]).square()) * (line <= reach)
    kernel = kernel / (2 * kernel.sum(1, keepdim=True) - kernel[:, :1])
    if mirrored:
        return _folded(_toeplitz(kernel, size), kernel, reach, extent)
    return _within(_toeplitz(kernel, size), extent)


def boxcar(width: Tensor, extent: Tensor, size: int) -> Tensor:
    """Weights (B, size, size) of the mean of `width` (B,) pixels; an even box reaches one further to lower numbers.

    Beyond the extent the line is mirrored, as by `gaussian`.
    """
    width = width.float()  # holds whole numbers as well
    line = torch.arange(size, dtype=width.dtype, device=width.device)
    n = extent[:, None].to(width.dtype)
    low = line - (width / 2).floor()[:, None]  # (B, size) first pixel of each box, and the one after its last
    stop = low + width[:, None]
    total = torch.zeros(len(width), size, size, dtype=width.dtype, device=width.device)
    copies = int((width / extent).nan_to_num(0.0).ceil().max()) // 2 + 1 if len(width) else 0
    for k in range(-copies, copies + 1):
        first, last = (low - 2 * k * n)[:, :, None], (stop - 2 * k * n)[:, :, None]
        total += (line >= first) & (line < last)
        first, last = (2 * (k + 1) * n - stop)[:, :, None], (2 * (k + 1) * n - low)[:, :, None]
        total += (line >= first) & (line < last)
    return _within(total / width[:, None, None], extent)


def both_ways(weights: Callable[[Tensor], Tensor], height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of rows and of columns, which are the same where all stamps are square."""
    rows = weights(height)
    return rows, rows if torch.equal(height, width) else weights(width)


def _toeplitz(kernel: Tensor, size: int) -> Tensor:
    """Matrix (B, size, size) of a kernel (B, >= size) of the distance between two pixels."""
    line = torch.cat([kernel[:, 1:size].flip(1), kernel[:, :size]], 1).contiguous()
    return line.as_strided((len(line), size, size), (line.stride(0), 1, 1)).flip(1)


def _folded(matrix: Tensor, kernel: Tensor, reach: Tensor, extent: Tensor) -> Tensor:
    """Matrix (B, N, N) with what falls beyond the edges of the extent added to the mirrored pixels."""
    size = matrix.shape[1]
    line = torch.arange(size, device=kernel.device)
    period = 2 * extent[:, None, None].long()
    total = matrix.clone()
    longest = kernel.shape[1] - 1
    copies = int(torch.ceil(reach[:, 0].nan_to_num(0.0) / extent.clamp_min(1)).max()) // 2 + 1 if len(reach) else 0
    sums = line[:, None] + line
    gaps = line - line[:, None]
    for k in range(-copies, copies + 1):
        for place in ([gaps + k * period] if k else []) + [(k + 1) * period - 1 - sums]:
            distance = place.abs().expand(len(kernel), -1, -1)
            add = kernel.gather(1, distance.clamp_max(longest).flatten(1)).view(distance.shape)
            total += torch.where(distance <= longest, add, 0.0)
    return _within(total, extent)


def _within(matrix: Tensor, extent: Tensor) -> Tensor:
    """Weights in single precision, 0 beyond the extent."""
    line = torch.arange(matrix.shape[1], device=matrix.device) < extent[:, None]
    return (matrix * (line[:, :, None] & line[:, None, :])).float()
