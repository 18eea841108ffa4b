"""The periodic copies of a galaxy in its frame.

The inverse discrete transform draws a galaxy and all its copies, one every grid length. In the frame they are far
from their centres and smooth: the PSF does not change them, and a polynomial of low degree holds them. They are
summed on a few Chebyshev nodes and interpolated, to be subtracted; without this, n = 4 with r_e = 12 pixels in a frame
of 128 pixels is 0.6 % wrong, and 25 % in its wings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from rosse.light.psf import FourierGrid

NODES = 7  # along each axis, for the eight copies that touch the grid
FAR_NODES = 3  # for the sixteen around them, which are smoother; all copies beyond are spread evenly
DIFFERENCE = 1e-5  # step of one-sided differences in double precision, of what is smooth and matters little


class Round(Protocol):
    """What must be known of M profiles: see `Profiles` in `elliptical.py`."""

    def brightness(self, radius: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]: ...
    def growth(self, radius: Tensor) -> tuple[Tensor, list[Tensor]]: ...


def copies_in_frame(
    rows_at: Callable[[Tensor, Tensor], list[Tensor]], centre: Tensor, grid: FourierGrid, rest: Tensor | None = None
) -> Tensor:
    """All periodic copies of galaxies, (M, R, H, W).

    Parameters
    ----------
    rows_at : brightness at offsets dx, dy (M, N) from the centre, then its derivatives by dx, dy and the shape.
    centre : (M, 2) x, y.
    grid : where they were drawn.
    rest : (M, R) light of the copies beyond the two rings, per pixel; see `evenly_spread`.
    """
    points, near = _points(grid.frame, grid.size, centre.device)
    drawn = torch.stack(rows_at(points[0] - centre[:, :1], points[1] - centre[:, 1:]), 1)  # (M, R, points)
    lead = drawn.shape[:2]
    sums = drawn[..., :near].view(*lead, 8, NODES, NODES).sum(2)
    far = drawn[..., near:].view(*lead, 16, FAR_NODES, FAR_NODES).sum(2)
    between = _between(centre.device)
    sums += between @ far @ between.T
    sums[:, 1:3] *= -1.0  # the centre moves against the offset
    if rest is not None:
        sums += rest[:, :, None, None]
    weight_y, weight_x = (_weights(length, centre.device) for length in grid.frame)
    copies: Tensor = weight_y @ sums.to(torch.float32) @ weight_x.T
    return copies


def wings(profile: Round, dx: Tensor, dy: Tensor, *, ln_q: Tensor, theta: Tensor) -> list[Tensor]:
    """Surface brightness (M, N) at unit flux, then its derivatives by dx, dy, the radial parameters, ln q and theta.

    Parameters
    ----------
    profile : M of them.
    dx, dy : (M, N) offsets from the centre in pixels, far from it.
    ln_q, theta : (M, 1)
    """
    c, s, q = torch.cos(theta), torch.sin(theta), torch.exp(ln_q)
    along, across = dx * c + dy * s, dy * c - dx * s
    minor = (across / q).square()
    radius2 = (along.square() + minor).clamp_min(1e-12)
    flat, by_ln_radius, by = profile.brightness(torch.sqrt(radius2))
    value, by_ln_radius, *by = (v / q for v in (flat, by_ln_radius, *by))  # unit flux: area q
    ratio = by_ln_radius / radius2
    by_dx = ratio * (along * c - across * s / q.square())
    by_dy = ratio * (along * s + across * c / q.square())
    by_theta = ratio * along * across * (1 - 1 / q.square())
    return [value, by_dx, by_dy, *by, -ratio * minor - value, by_theta]


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


def evenly_spread(profile: Round, ln_q: Tensor, theta: Tensor, grid: FourierGrid) -> Tensor:
    """Surface brightness of all copies beyond the two rings together, and its slopes: (M, R) like `wings`.

    Their light within one cell of the grid is what one galaxy has outside the box of all nearer cells.
    """
    half = 2.5 * grid.size[0], 2.5 * grid.size[1]
    reach = _reach(ln_q, theta, half)
    within, by = profile.growth(reach)
    flat, _, _ = profile.brightness(reach)
    by_ln_radius = 2 * math.pi * reach.square() * flat
    for step_q, step_theta in ((DIFFERENCE, 0.0), (0.0, DIFFERENCE)):
        moved = torch.log(_reach(ln_q + step_q, theta + step_theta, half) / reach) / DIFFERENCE
        by = [*by, by_ln_radius * moved]
    still = torch.zeros_like(within)  # moving the centre changes nothing so far away
    outside = torch.stack([1 - within, still, still, *(-part for part in by)], 1).mean(2)
    return outside / (grid.size[0] * grid.size[1])


def _reach(ln_q: Tensor, theta: Tensor, half: tuple[float, float]) -> Tensor:
    """Elliptical radii (M, 8) at which rays from the centre leave a box of this half height and half width."""
    turn = torch.arange(8, device=theta.device, dtype=theta.dtype) * (math.pi / 8)  # the other half is the same
    along, across = torch.cos(turn), torch.exp(ln_q) * torch.sin(turn)
    dx = along * torch.cos(theta) - across * torch.sin(theta)
    dy = along * torch.sin(theta) + across * torch.cos(theta)
    return torch.maximum(dx.abs() / half[1], dy.abs() / half[0]).reciprocal()
