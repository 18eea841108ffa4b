"""The periodic copies of a galaxy in its frame.

The inverse discrete transform draws a galaxy and all its copies, one every grid length. In the frame they are far
from their centres and smooth: the PSF does not change them, and a polynomial of low degree holds them. They are
summed on a few Chebyshev nodes and interpolated, to be subtracted; without this, n = 4 with r_e = 12 pixels in a frame
of 128 pixels is 0.6 % wrong, and 25 % in its wings. Flat galaxies have ridges and large ones much light far away: where
the polynomial shows that a few nodes are too few, more are used, and the PSF is no longer neglected; where a ridge is
so sharp that the PSF's second moment does not tell what becomes of it, the galaxy is drawn again on twice the grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rosse.light.psf import FourierGrid


class Nodes(NamedTuple):
    """How finely copies are summed.

    Parameters
    ----------
    near : nodes along each axis for the eight copies that touch the grid.
    far : the same for those of the rings around them, which are smoother.
    rings : how many rings are summed; all copies beyond are spread evenly.
    rays : along which the light beyond the rings is measured.
    spread : share of the galaxy's light that may be spread evenly over the frame; it is a few per cent uneven.
    last : share of the galaxy's light that the highest terms of the polynomial may hold in the whole frame.
    """

    near: int
    far: int
    rings: int
    rays: int
    spread: float
    last: float


FEW = Nodes(7, 3, 2, 8, 4e-4, 3e-5)
FINER = Nodes(11, 3, 4, 32, 4e-4, 2e-5), Nodes(26, 5, 6, 64, 1e-3, 3e-6)  # where those are too few
# The same on a grid beyond which there is none.
FINEST = Nodes(11, 3, 4, 32, 4e-4, 2e-5), Nodes(26, 5, 6, 64, 1e-2, 2e-5), Nodes(68, 6, 6, 64, 1.0, 2e-5)
BLURRED = 1e-3  # of the galaxy's light in the whole frame: what the second order of the PSF's width may move anywhere
DIFFERENCE = 1e-5  # step of one-sided differences in double precision, of what is smooth and matters little


class Round(Protocol):
    """What must be known of M profiles: see `Profiles` in `elliptical.py`."""

    def brightness(self, radius: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]: ...
    def value(self, radius: Tensor) -> Tensor: ...
    def growth(self, radius: Tensor) -> tuple[Tensor, list[Tensor]]: ...
    def within(self, radius: Tensor) -> Tensor: ...


class Light(NamedTuple):
    """Light of M galaxies far from their centres.

    Parameters
    ----------
    rows_at : brightness at offsets dx, dy (M, N) from the centre, then its derivatives by dx, dy and the shape.
    rest : (M, R or 1) light of the copies beyond the rings, per pixel; see `evenly_spread`. None where it is nothing.
    """

    rows_at: Callable[[Tensor, Tensor], list[Tensor]]
    rest: Tensor | None = None


class Summed(NamedTuple):
    """Light of all copies of some galaxies at nodes.

    Parameters
    ----------
    which : (G,) of the M galaxies.
    at_nodes : (G, R, near, near) brightness and its derivatives.
    """

    which: Tensor
    at_nodes: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Copies:
    """All periodic copies of M galaxies in their frame.

    Parameters
    ----------
    frame : (H, W).
    summed : on ever more nodes; for each galaxy the last one that has it counts. The first has all.
    crowded : (G,) galaxies whose copies are too near: they are to be drawn on a wider grid.
    """

    frame: tuple[int, int]
    summed: tuple[Summed, ...]
    crowded: Tensor

    def pixels(self, first: int, end: int, row: int | slice = slice(None)) -> Tensor:
        """Of galaxies `first` to `end`, (end - first, R, H, W), or one row of them."""
        drawn = _interpolated(self.summed[0].at_nodes[first:end, row], self.frame)
        for which, at_nodes in self.summed[1:]:
            here = ((which >= first) & (which < end)).nonzero()[:, 0]
            if len(here):
                drawn[which[here] - first] = _interpolated(at_nodes[here][:, row], self.frame)
        return drawn


def copies_in_frame(light_of: Callable[[Tensor | slice, Nodes], Light], centre: Tensor, grid: FourierGrid) -> Copies:
    """All periodic copies of M galaxies.

    Parameters
    ----------
    light_of : the light of some of the galaxies, given which, for the rings of these nodes.
    centre : (M, 2) x, y.
    grid : where they were drawn.
    """
    light, which = light_of(slice(None), FEW), torch.arange(len(centre), device=centre.device)
    sums = _sums(light, centre, grid, FEW)
    found = [Summed(which, sums)]
    if not grid.exact:
        return Copies(frame=grid.frame, summed=tuple(found), crowded=which[:0])
    which = _too_few(sums, light.rest, grid, FEW).nonzero()[:, 0]
    variance = grid.variance.repeat_interleave(len(centre) // len(grid.variance))[:, None, None, None]
    last = grid.widest or grid.wider is None
    for nodes in FINEST if last else FINER:
        if not len(which):
            break
        light = light_of(which, nodes)
        sums = _sums(light, centre[which], grid, nodes)
        seen = _blurred(sums, variance[which], grid.frame)
        change = (seen[:, 0] - sums[:, 0]).abs().amax((1, 2)) * (grid.frame[0] * grid.frame[1])
        sharp = change > BLURRED  # of a ridge between nodes second derivatives say nothing
        found.append(Summed(which, torch.where(sharp[:, None, None, None], sums, seen)))
        which = which[_too_few(sums, light.rest, grid, nodes) | sharp]
    return Copies(frame=grid.frame, summed=tuple(found), crowded=which[:0] if last else which)


def _sums(light: Light, centre: Tensor, grid: FourierGrid, nodes: Nodes) -> Tensor:
    """Light of all copies at the nodes, (M, R, near, near)."""
    points, near = _points(grid.frame, grid.size, nodes, centre.device)
    drawn = torch.stack(light.rows_at(points[0] - centre[:, :1], points[1] - centre[:, 1:]), 1)  # (M, R, points)
    lead = drawn.shape[:2]
    sums = drawn[..., :near].view(*lead, -1, nodes.near, nodes.near).sum(2)
    far = drawn[..., near:].view(*lead, -1, nodes.far, nodes.far).sum(2)
    between = _between(nodes, centre.device)
    sums += between @ far @ between.T
    sums[:, 1:3] *= -1.0  # the centre moves against the offset
    if light.rest is not None:
        sums[:, : light.rest.shape[1]] += light.rest[:, :, None, None]
    return sums


def _interpolated(sums: Tensor, frame: tuple[int, int]) -> Tensor:
    """From the nodes (..., near, near) to all pixels (..., H, W)."""
    weight_y, weight_x = (_weights(length, sums.shape[-1], sums.device) for length in frame)
    pixels: Tensor = weight_y @ sums.to(torch.float32) @ weight_x.T
    return pixels


def _blurred(sums: Tensor, variance: Tensor, frame: tuple[int, int]) -> Tensor:
    """What the PSF makes of it, to the second order of its width."""
    by_y, by_x = (_second_derivative(length, sums.shape[-1], sums.device) for length in frame)
    return sums + variance / 2 * (by_y @ sums + sums @ by_x.T)


def _too_few(sums: Tensor, rest: Tensor | None, grid: FourierGrid, nodes: Nodes) -> Tensor:
    """For which galaxies (M,) the nodes are too few: their sums (M, R, near, near) have high Chebyshev terms left."""
    series = _series(nodes.near, sums.device)
    terms = (series @ sums[:, 0] @ series.T).abs()
    last = torch.maximum(terms[:, -2:].amax((1, 2)), terms[:, :, -2:].amax((1, 2)))
    area = grid.frame[0] * grid.frame[1]
    too_few = last * area > nodes.last
    return too_few if rest is None else too_few | (rest[:, 0] * area > nodes.spread)


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


def wing_light(profile: Round, dx: Tensor, dy: Tensor, *, ln_q: Tensor, theta: Tensor) -> Tensor:
    """The first of `wings` alone, (M, N): a third of the work where no derivatives are wanted."""
    c, s, q = torch.cos(theta), torch.sin(theta), torch.exp(ln_q)
    along, across = dx * c + dy * s, (dy * c - dx * s).div_(q)
    radius = torch.addcmul(along.square_(), across, across).clamp_min_(1e-12).sqrt_()
    return profile.value(radius) / q  # unit flux: area q


@lru_cache(maxsize=64)
def _points(frame: tuple[int, int], size: tuple[int, int], nodes: Nodes, device: torch.device) -> tuple[Tensor, int]:
    """The frame's nodes as seen from where each copy is: x and y (2, N), and how many of them are near ones."""
    parts = []
    for ring in range(1, nodes.rings + 1):
        count = nodes.near if ring == 1 else nodes.far
        step = torch.arange(-ring, ring + 1, dtype=torch.float64)
        copy_y, copy_x = torch.meshgrid(step, step, indexing="ij")
        outer = torch.maximum(copy_y.abs(), copy_x.abs()) == ring
        y = chebyshev_nodes(frame[0], count)[None, :, None] - copy_y[outer][:, None, None] * size[0]
        x = chebyshev_nodes(frame[1], count)[None, None, :] - copy_x[outer][:, None, None] * size[1]
        parts.append(torch.stack([v.expand(-1, count, count).flatten() for v in (x, y)]))
    return torch.cat(parts, 1).to(device), parts[0].shape[1]


@lru_cache(maxsize=64)
def _weights(length: int, count: int, device: torch.device) -> Tensor:
    """(length, count) weights that interpolate a line of pixels from its nodes."""
    pixel = torch.arange(length, dtype=torch.float64)
    return interpolation(chebyshev_nodes(length, count), pixel).to(device, torch.float32)


@lru_cache(maxsize=4)
def _between(nodes: Nodes, device: torch.device) -> Tensor:
    """(near, far) weights from the few nodes to the many; the same for every frame."""
    return interpolation(chebyshev_nodes(2, nodes.far), chebyshev_nodes(2, nodes.near)).to(device)


@lru_cache(maxsize=4)
def _series(count: int, device: torch.device) -> Tensor:
    """(count, count) from values at the nodes to coefficients of Chebyshev polynomials."""
    k = torch.arange(count, dtype=torch.float64)
    waves = torch.cos(k[:, None] * (2 * k + 1) * (math.pi / (2 * count))) * (2 / count)
    waves[0] /= 2
    return waves.to(device)


@lru_cache(maxsize=64)
def _second_derivative(length: int, count: int, device: torch.device) -> Tensor:
    """(count, count) from values at the nodes of a line of pixels to second derivatives there."""
    node = chebyshev_nodes(length, count)
    k = torch.arange(count, dtype=torch.float64)
    barycentric = (-1.0) ** k * torch.sin((2 * k + 1) * (math.pi / (2 * count)))
    gap = node[:, None] - node + torch.eye(count, dtype=torch.float64)
    first = barycentric / barycentric[:, None] / gap
    first -= torch.diag(first.sum(1))  # the derivative of a constant is 0
    return (first @ first).to(device)


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


def evenly_spread(
    profile: Round, ln_q: Tensor, theta: Tensor, grid: FourierGrid, nodes: Nodes, *, slopes: bool
) -> Tensor:
    """Surface brightness of all copies beyond the rings together, (M, 1), and its slopes: (M, R) like `wings`.

    Their light within one cell of the grid is what one galaxy has outside the box of all nearer cells.
    """
    half = (nodes.rings + 0.5) * grid.size[0], (nodes.rings + 0.5) * grid.size[1]
    reach = _reach(ln_q, theta, half, nodes.rays)
    cell = grid.size[0] * grid.size[1]
    if not slopes:
        return (1 - profile.within(reach)).mean(1, keepdim=True) / cell
    within, by = profile.growth(reach)
    flat, _, _ = profile.brightness(reach)
    by_ln_radius = 2 * math.pi * reach.square() * flat
    for step_q, step_theta in ((DIFFERENCE, 0.0), (0.0, DIFFERENCE)):
        moved = torch.log(_reach(ln_q + step_q, theta + step_theta, half, nodes.rays) / reach) / DIFFERENCE
        by = [*by, by_ln_radius * moved]
    still = torch.zeros_like(within)  # moving the centre changes nothing so far away
    outside = torch.stack([1 - within, still, still, *(-part for part in by)], 1).mean(2)
    return outside / cell


def _reach(ln_q: Tensor, theta: Tensor, half: tuple[float, float], rays: int) -> Tensor:
    """Elliptical radii (M, rays) at which rays from the centre leave a box of this half height and half width."""
    turn = torch.arange(rays, device=theta.device, dtype=theta.dtype) * (math.pi / rays)  # the other half is the same
    along, across = torch.cos(turn), torch.exp(ln_q) * torch.sin(turn)
    dx = along * torch.cos(theta) - across * torch.sin(theta)
    dy = along * torch.sin(theta) + across * torch.cos(theta)
    return torch.maximum(dx.abs() / half[1], dy.abs() / half[0]).reciprocal()
