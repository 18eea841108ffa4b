"""The periodic copies of a galaxy in its frame.

The inverse discrete transform draws a galaxy and all its copies, one every grid length. In the frame they are far
from their centres and smooth: the PSF does not change them, and a polynomial of low degree holds them. They are
summed on a few Chebyshev nodes and interpolated, to be subtracted; without this, n = 4 with r_e = 12 pixels in a frame
of 128 pixels is 0.6 % wrong, and 25 % in its wings.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from rosse.light.psf import FourierGrid

NODES = 7  # along each axis, for the eight copies that touch the grid
FAR_NODES = 3  # for the sixteen around them, which are smoother; all copies beyond are spread evenly
DIFFERENCE = 1e-5  # step of one-sided differences in double precision, where a slope is small and smooth


class Winged(Protocol):
    """What must be known of a component: see `Elliptical`."""

    def wings(self, shape: Tensor, dx: Tensor, dy: Tensor) -> list[Tensor]: ...
    def flux_outside(self, shape: Tensor, half_size: tuple[float, float]) -> Tensor: ...


def copies_in_frame(component: Winged, values: Tensor, grid: FourierGrid, *, derivatives: bool) -> Tensor:
    """All periodic copies together, (B, K, R or 1, H, W), at unit flux and by each further slot.

    Parameters
    ----------
    component : what was drawn.
    values : (B, K, R) its slots: flux, x, y, shape.
    grid : where it was drawn.
    derivatives : whether those are wanted, or only the copies.
    """
    flat = values.flatten(0, 1)
    points, near = _points(grid.frame, grid.size, values.device)
    dx, dy = (points[i] - flat[:, 1 + i, None] for i in (0, 1))
    rows = torch.stack(component.wings(flat[:, 3:], dx, dy)[: None if derivatives else 1], 1)  # (M, R, points)
    lead = rows.shape[:2]
    sums = rows[..., :near].view(*lead, 8, NODES, NODES).sum(2)
    far = rows[..., near:].view(*lead, 16, FAR_NODES, FAR_NODES).sum(2)
    between = _between(values.device)
    sums += between @ far @ between.T
    sums[:, 1:3] *= -1.0  # the centre moves against the offset
    rest = _evenly_spread(component, flat[:, 3:], grid, derivatives=derivatives)
    sums[:, :1] += rest[:, :1, None, None]
    sums[:, 3:] += rest[:, 1:, None, None]
    weight_y, weight_x = (_weights(length, values.device) for length in grid.frame)
    copies = weight_y @ sums.to(torch.float32) @ weight_x.T
    return copies.view(*values.shape[:2], *copies.shape[1:])


@lru_cache(maxsize=64)
def _points(frame: tuple[int, int], size: tuple[int, int], device: torch.device) -> tuple[Tensor, int]:
    """The frame's nodes as seen from where each copy is: x and y (2, N), and how many of them are those of `NODES`."""
    parts = []
    for ring, count in ((1, NODES), (2, FAR_NODES)):
        step = torch.arange(-ring, ring + 1, dtype=torch.float64)
        copy_y, copy_x = torch.meshgrid(step, step, indexing="ij")
        outer = torch.maximum(copy_y.abs(), copy_x.abs()) == ring
        y = chebyshev_nodes(frame[0], count)[None, :, None] - copy_y[outer][:, None, None] * size[0]
        x = chebyshev_nodes(frame[1], count)[None, None, :] - copy_x[outer][:, None, None] * size[1]
        parts.append(torch.stack([v.expand(-1, count, count).flatten() for v in (x, y)]))
    return torch.cat(parts, 1).to(device), parts[0].shape[1]


@lru_cache(maxsize=64)
def _weights(length: int, device: torch.device) -> Tensor:
    """(length, NODES) weights that interpolate a line of pixels from its nodes."""
    pixel = torch.arange(length, dtype=torch.float64)
    return interpolation(chebyshev_nodes(length, NODES), pixel).to(device, torch.float32)


@lru_cache(maxsize=4)
def _between(device: torch.device) -> Tensor:
    """(NODES, FAR_NODES) weights from the few nodes to the many; the same for every frame."""
    return interpolation(chebyshev_nodes(2, FAR_NODES), chebyshev_nodes(2, NODES)).to(device)


def chebyshev_nodes(length: int, count: int) -> Tensor:
    """Nodes (count,) over a line of `length` pixels."""
    k = torch.arange(count, dtype=torch.float64)
    return (length - 1) / 2 * (1 - torch.cos((2 * k + 1) * (math.pi / (2 * count))))


def interpolation(node: Tensor, at: Tensor) -> Tensor:
    """Barycentric weights (A, N) of Chebyshev nodes (N,) at points (A,)."""
    k = torch.arange(len(node), dtype=torch.float64)
    barycentric = (-1.0) ** k * torch.sin((2 * k + 1) * (math.pi / (2 * len(node))))
    gap = at[:, None] - node
    gap = torch.where(gap.abs() < 1e-9, 1e-9, gap)  # on a node the weights tend to that node's alone
    weight = barycentric / gap
    return weight / weight.sum(1, keepdim=True)


def _evenly_spread(component: Winged, shape: Tensor, grid: FourierGrid, *, derivatives: bool) -> Tensor:
    """Surface brightness (M, 1 + S) of all copies beyond the two rings together, and its slopes by shape.

    Their light within one cell of the grid is what one galaxy has outside the box of all nearer cells.
    """
    half = 2.5 * grid.size[0], 2.5 * grid.size[1]
    area = grid.size[0] * grid.size[1]
    if not derivatives:
        return component.flux_outside(shape, half)[:, None] / area
    count = shape.shape[1]
    moved = shape[:, None].repeat(1, 1 + count, 1)
    moved[:, 1:] += DIFFERENCE * torch.eye(count, dtype=shape.dtype, device=shape.device)
    outside = component.flux_outside(moved.flatten(0, 1), half).view(-1, 1 + count) / area
    outside[:, 1:] = (outside[:, 1:] - outside[:, :1]) / DIFFERENCE
    return outside
