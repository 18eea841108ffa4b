"""Light inside circles and ellipses: pixels that an edge crosses count by the part of them that lies inside.

A curve of growth is summed once, at steps of half a pixel; every radius of a galaxy is then read off it. To find a
root on the image itself would read all pixels again for each of its steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

STEP = 0.5  # of a curve of growth, pixels: the annuli one pixel wide of the Petrosian radius end on it
MIDDLE, PARTS = 4, 5  # pixels around the centre in each direction that are cut into PARTS x PARTS pieces


@dataclass(frozen=True, kw_only=True, eq=False)
class Ellipses:
    """Concentric ellipses of B galaxies.

    Parameters
    ----------
    x, y : (B,) centre, pixels.
    elongation : (B,) semi-major over semi-minor axis.
    theta : (B,) major axis, radians from +x to +y.
    """

    x: Tensor
    y: Tensor
    elongation: Tensor
    theta: Tensor

    @classmethod
    def circles(cls, x: Tensor, y: Tensor) -> Ellipses:
        """Circles around a centre."""
        return cls(x=x, y=y, elongation=torch.ones_like(x), theta=torch.zeros_like(x))

    def of(self, rows: Tensor) -> Ellipses:
        """Those of some galaxies."""
        return Ellipses(x=self.x[rows], y=self.y[rows], elongation=self.elongation[rows], theta=self.theta[rows])

    def area(self, radius: Tensor) -> Tensor:
        """Area inside semi-major axes (B, ...), pixels."""
        return math.pi * radius.square() / _as(self.elongation, radius)


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Curve of growth of B galaxies.

    Parameters
    ----------
    inside : (B, K) light within the ellipse of semi-major axis ``k * STEP``.
    ellipses : (B) on which it was summed.
    """

    inside: Tensor
    ellipses: Ellipses

    def at(self, radius: Tensor) -> Tensor:
        """Light within semi-major axes (B, M), pixels; the cubic through the four nearest sums."""
        last = self.inside.shape[1] - 1
        place = (radius / STEP).clamp(0, last - 1e-9).nan_to_num(0.0)
        low = place.floor()
        t, low = place - low, low.long()
        before, a, b, after = (self.inside.gather(1, (low + i).clamp(0, last)) for i in (-1, 0, 1, 2))
        before = torch.where(low == 0, after - 3 * (b - a), before)  # the parabola goes on at both ends
        after = torch.where(low + 1 >= last, before + 3 * (b - a), after)
        value = a + 0.5 * t * (
            b - before + t * (2 * before - 5 * a + 4 * b - after + t * (3 * (a - b) + after - before))
        )
        return torch.where(torch.isfinite(radius), value, math.nan)

    def mean(self, inner: Tensor, outer: Tensor) -> Tensor:
        """Mean surface brightness between two semi-major axes (B, M); pixels without data count as dark."""
        area = self.ellipses.area(outer) - self.ellipses.area(inner)
        return (self.at(outer) - self.at(inner)) / area


def growth(image: Tensor, ellipses: Ellipses, largest: float) -> Curve:
    """Curve of growth of images (B, H, W) to a semi-major axis of `largest` pixels.

    The edge of the ellipse is a line with a curvature within each pixel: exact to 1e-3 of a pixel's light where the
    radius of curvature is two pixels, and better beyond.
    """
    count = math.ceil(largest / STEP) + 4
    b, height, width = image.shape
    ys = torch.arange(height, dtype=image.dtype, device=image.device)
    xs = torch.arange(width, dtype=image.dtype, device=image.device)
    dx = xs[None, None, :] - ellipses.x[:, None, None]
    dy = ys[None, :, None] - ellipses.y[:, None, None]
    near = (dx.abs() <= MIDDLE) & (dy.abs() <= MIDDLE)
    rings = image.new_zeros(b, count + 1)
    offset = ((dx + 0 * dy).flatten(1), (dy + 0 * dx).flatten(1))
    _add(rings, torch.where(near, 0.0, image).flatten(1), offset, 1.0, ellipses)
    pieces, px, py = _middle(image, ellipses)
    _add(rings, pieces, (px, py), 1.0 / PARTS, ellipses)
    return Curve(inside=rings[:, :-1].cumsum(1), ellipses=ellipses)


def _middle(image: Tensor, ellipses: Ellipses) -> tuple[Tensor, Tensor, Tensor]:
    """Light (B, N) and offsets of the pieces of the pixels around the centre."""
    b, height, width = image.shape
    side = torch.arange(-MIDDLE, MIDDLE + 1, device=image.device)
    centre_x, centre_y = ellipses.x.round().long(), ellipses.y.round().long()
    x, y = centre_x[:, None] + side, centre_y[:, None] + side  # (B, 9)
    dx, dy = x - ellipses.x[:, None], y - ellipses.y[:, None]
    ok_x = (x >= 0) & (x < width) & (dx.abs() <= MIDDLE)
    ok_y = (y >= 0) & (y < height) & (dy.abs() <= MIDDLE)
    index = y.clamp(0, height - 1)[:, :, None] * width + x.clamp(0, width - 1)[:, None, :]
    flux = image.flatten(1).gather(1, index.flatten(1)).view(b, len(side), len(side))
    flux = torch.where(ok_y[:, :, None] & ok_x[:, None, :], flux, 0.0) / PARTS**2
    offset = (torch.arange(PARTS, dtype=image.dtype, device=image.device) + 0.5) / PARTS - 0.5
    px, py = ((d[:, :, None] + offset).flatten(1) for d in (dx, dy))  # (B, 45)
    pieces = flux.repeat_interleave(PARTS, 1).repeat_interleave(PARTS, 2)
    shape = pieces.shape
    return pieces.flatten(1), px[:, None, :].expand(shape).flatten(1), py[:, :, None].expand(shape).flatten(1)


def _add(rings: Tensor, flux: Tensor, offset: tuple[Tensor, Tensor], size: float, ellipses: Ellipses) -> None:
    """Add light (B, N) of squares of side `size` to the rings (B, K) that they reach into."""
    s, wide, narrow = _edge(*offset, size, ellipses)
    norm, u, v = flux / (wide.square() - narrow.square()), wide / 2, narrow / 2
    norm = norm * 2  # wide^2 - narrow^2 is four times the product of the two extents
    first = ((s - u) / STEP).floor().clamp_min(-1).long() + 1
    last = rings.shape[1] - 1
    before = torch.zeros_like(flux)
    for j in range(int(2 * float(u.nan_to_num(1.0).max()) / STEP) + 2):  # rings that the widest square reaches into
        t = (first + j) * STEP - s
        ramps = [(t + at).clamp_min(0).square() for at in (u, v)] + [(t - at).clamp_min(0).square() for at in (v, u)]
        now = torch.where(t >= u, flux, norm * (ramps[0] - ramps[1] - ramps[2] + ramps[3]))
        rings.scatter_add_(1, (first + j).clamp(0, last), now - before)
        before = now


def _edge(dx: Tensor, dy: Tensor, size: float, ellipses: Ellipses) -> tuple[Tensor, Tensor, Tensor]:
    """Mean semi-major axis of squares at (B, N), its whole range in them, and the range in which it is even."""
    cos, sin = ellipses.theta.cos()[:, None], ellipses.theta.sin()[:, None]
    e = ellipses.elongation[:, None]
    along, across = cos * dx + sin * dy, e * (cos * dy - sin * dx)
    s = (along.square() + across.square()).sqrt().clamp_min(size / 4)  # at the centre there is no direction
    gx = ((along * cos - across * e * sin).abs() / s).clamp_min(1e-4) * size
    gy = ((along * sin + across * e * cos).abs() / s).clamp_min(1e-4) * size
    bend = ((1 + e.square()) - (along.square() + (e * across).square()) / s.square()) / s
    return s + size**2 / 24 * bend.clamp(0, 4 / size), gx + gy, (gx - gy).abs()


def ellipse_weights(x: Tensor, y: Tensor, radius: Tensor, ellipses: Ellipses) -> Tensor:
    """Part (B, H, W) of each pixel inside ellipses of semi-major axis `radius` (B,) around 0.

    `x` (B, W) and `y` (B, H) are the centres of columns and rows, counted from the centre of the ellipses; within
    a pixel their edge is taken for a line.
    """
    shape = (len(x), y.shape[1], x.shape[1])
    dx, dy = x[:, None, :].expand(shape).flatten(1), y[:, :, None].expand(shape).flatten(1)
    s, wide, narrow = _edge(dx, dy, 1.0, ellipses)
    t, u, v = radius[:, None] - s, wide / 2, narrow / 2
    ramps = [(t + at).clamp_min(0).square() for at in (u, v)] + [(t - at).clamp_min(0).square() for at in (v, u)]
    part = 2 * (ramps[0] - ramps[1] - ramps[2] + ramps[3]) / (wide.square() - narrow.square())
    return torch.where(t >= u, 1.0, part).view(shape)


def circle_weights(x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Part of each pixel that lies in a circle around 0, exact.

    Parameters
    ----------
    x, y : (B, W), (B, H)
        Centres of the pixels' columns and rows, counted from the circle's centre.
    radius : (B,) of the circle.

    Returns
    -------
    (B, H, W)
        From the areas left of and below each corner, which are sums of functions of x and of y alone.
    """
    r = radius.clamp_min(1e-6)[:, None]
    ex, ey = (torch.cat([v - 0.5, v[:, -1:] + 0.5], 1) for v in (x, y))
    ex, ey = ex.clamp(-r, r), ey.clamp(-r, r)
    hx, hy = _half_segment(ex, r)[:, None, :], _half_segment(ey, r)[:, :, None]
    x, y, r = ex[:, None, :], ey[:, :, None], r[:, :, None]
    whole = math.pi * r.square()
    outside = torch.where(x < 0, torch.where(y < 0, 0.0, 2 * hx), torch.where(y < 0, 2 * hy, 2 * (hx + hy) - whole))
    inside = x * y + hx + hy - whole / 4
    area = torch.where(x.square() + y.square() < r.square(), inside, outside)
    rows = area[:, 1:] - area[:, :-1]
    return rows[:, :, 1:] - rows[:, :, :-1]


def _half_segment(x: Tensor, r: Tensor) -> Tensor:
    """Area of the upper half of a disc of radius r left of x."""
    root = (r.square() - x.square()).clamp_min(0).sqrt()
    return 0.5 * (x * root + r.square() * (x / r).clamp(-1, 1).asin()) + math.pi / 4 * r.square()


def elliptical_radius(height: int, width: int, ellipses: Ellipses) -> Tensor:
    """Semi-major axis (B, H, W) of the ellipse through each pixel's centre."""
    kind: Any = {"dtype": ellipses.x.dtype, "device": ellipses.x.device}
    dx = torch.arange(width, **kind)[None, None, :] - ellipses.x[:, None, None]
    dy = torch.arange(height, **kind)[None, :, None] - ellipses.y[:, None, None]
    cos, sin = ellipses.theta.cos()[:, None, None], ellipses.theta.sin()[:, None, None]
    e = ellipses.elongation[:, None, None]
    return ((cos * dx + sin * dy).square() + (e * (cos * dy - sin * dx)).square()).sqrt()


def _as(value: Tensor, like: Tensor) -> Tensor:
    return value.view(-1, *[1] * (like.ndim - 1))
