"""Light inside circles and ellipses: pixels that an edge crosses count by the part of them that lies inside.

A curve of growth is summed once, at steps of half a pixel; every radius of a galaxy is then read off it. To find a
root on the image itself would read all pixels again for each of its steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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

    def area(self, radius: Tensor) -> Tensor:
        """Area inside semi-major axes (B, ...), pixels."""
        return math.pi * radius.square() / _as(self.elongation, radius)


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Curve of growth of B galaxies.

    Parameters
    ----------
    light, area : (B, K) sums, and pixels with data, within the ellipse of semi-major axis ``k * STEP``.
    """

    light: Tensor
    area: Tensor

    def at(self, radius: Tensor) -> Tensor:
        """Light within semi-major axes (B, M), pixels."""
        return interpolated(self.light[:, None], radius)[:, 0]

    def mean(self, inner: Tensor, outer: Tensor) -> Tensor:
        """Mean surface brightness between two semi-major axes (B, M) where there are data; 0 where there are none."""
        both = torch.stack([self.light, self.area], 1)
        light, area = (interpolated(both, outer) - interpolated(both, inner)).unbind(1)
        return torch.where(area > 1e-6, light / area.clamp_min(1e-6), 0.0)


def interpolated(sums: Tensor, radius: Tensor) -> Tensor:
    """Sums (B, F, K) at steps of `STEP` at radii (B, M): the cubic through the four nearest (Catmull & Rom 1974)."""
    last, fields = sums.shape[2] - 1, sums.shape[1]
    place = (radius / STEP).clamp(0, last - 1e-9).nan_to_num(0.0)
    low = place.floor()
    t, index = (place - low)[:, None], low.long()[:, None].expand(-1, fields, -1)
    before, a, b, after = (sums.gather(2, (index + i).clamp_(0, last)) for i in (-1, 0, 1, 2))
    before = torch.where(index == 0, after - 3 * (b - a), before)  # the parabola goes on at both ends
    after = torch.where(index + 1 >= last, before + 3 * (b - a), after)
    value = a + 0.5 * t * (b - before + t * (2 * before - 5 * a + 4 * b - after + t * (3 * (a - b) + after - before)))
    return torch.where(torch.isfinite(radius)[:, None], value, math.nan)


def growth(image: Tensor, ellipses: Ellipses, largest: float, data: Tensor | None = None) -> Curve:
    """Curve of growth of images (B, H, W) to a semi-major axis of `largest` pixels.

    A pixel's light is spread evenly over the range of semi-major axes that has the mean and the variance of those
    within it: along a smooth edge, what one pixel has too little its neighbours have too much, to 1e-3. `data`
    (B, H, W), where given, tells which pixels have some.
    """
    count = math.ceil(largest / STEP) + 4
    data = torch.ones_like(image) if data is None else data.to(image.dtype)
    dx, dy = _grid(image, ellipses)
    near = (dx.abs() <= MIDDLE) & (dy.abs() <= MIDDLE)
    sums = torch.zeros(4, len(image) * (count + 1), dtype=torch.float64, device=image.device)
    both = (torch.where(near, 0.0, image), torch.where(near, 0.0, data))
    _add(sums, both, _range(dx, dy, 1.0, ellipses), count)
    pieces, px, py = _middle(torch.stack([image, data], 1), ellipses)
    _add(sums, pieces.unbind(1), _range(px, py, 1.0 / PARTS, ellipses), count)
    light, light_rest, area, area_rest = sums.view(4, len(image), count + 1)[:, :, :-1].cumsum(2)
    light, area = (rest + STEP * (whole.cumsum(1) - whole) for whole, rest in ((light, light_rest), (area, area_rest)))
    return Curve(light=light, area=area)


def _grid(image: Tensor, ellipses: Ellipses) -> tuple[Tensor, Tensor]:
    """Offsets (B, 1, W) and (B, H, 1) of columns and rows from the centres."""
    height, width = image.shape[1:]
    x, y = (torch.arange(n, device=image.device) for n in (width, height))
    dx, dy = x - ellipses.x[:, None], y - ellipses.y[:, None]
    return dx[:, None, :].to(image.dtype), dy[:, :, None].to(image.dtype)


def _middle(fields: Tensor, ellipses: Ellipses) -> tuple[Tensor, Tensor, Tensor]:
    """Pieces (B, F, M, M) of the pixels of fields (B, F, H, W) around the centre; offsets (B, 1, M), (B, M, 1)."""
    b, f, height, width = fields.shape
    side = torch.arange(-MIDDLE - 1, MIDDLE + 2, device=fields.device)
    x, y = (v.nan_to_num(0.0).round().long()[:, None] + side for v in (ellipses.x, ellipses.y))
    dx, dy = (x - ellipses.x[:, None]).to(fields.dtype), (y - ellipses.y[:, None]).to(fields.dtype)
    ok_x, ok_y = ((v >= 0) & (v < n) & (d.abs() <= MIDDLE) for v, n, d in ((x, width, dx), (y, height, dy)))
    ok = ok_y[:, :, None] & ok_x[:, None, :]
    index = (y.clamp(0, height - 1)[:, :, None] * width + x.clamp(0, width - 1)[:, None, :]).view(b, 1, -1)
    value = fields.flatten(2).gather(2, index.expand(-1, f, -1)).view(b, f, *ok.shape[1:])
    value = torch.where(ok[:, None], value, 0.0) / PARTS**2
    offset = (torch.arange(PARTS, dtype=fields.dtype, device=fields.device) + 0.5) / PARTS - 0.5
    px, py = ((d[:, :, None] + offset).flatten(1) for d in (dx, dy))
    pieces = value.repeat_interleave(PARTS, 2).repeat_interleave(PARTS, 3)
    return pieces, px[:, None, :], py[:, :, None]


def _range(dx: Tensor, dy: Tensor, size: float, ellipses: Ellipses) -> tuple[Tensor, Tensor]:
    """Mean semi-major axis (B, H, W) within squares of side `size`, and half of the even range of their variance."""
    e = ellipses.elongation.to(dx.dtype)[:, None, None]
    if bool((e == 1).all()):
        s = (dx.square() + dy.square()).sqrt_().clamp_min_(size / 4)  # at the centre there is no direction
        return s.add_((size**2 / 24) / s).clamp_min_(size / 2), torch.full_like(e, size / 2)
    cos, sin = (v.to(dx.dtype)[:, None, None] for v in (ellipses.theta.cos(), ellipses.theta.sin()))
    along, across = cos * dx + sin * dy, e * (cos * dy - sin * dx)
    s = (along.square() + across.square()).sqrt_().clamp_min_(size / 4)
    slope = torch.addcmul(along.square(), (e * across), (e * across)).sqrt_().div_(s).clamp_min_(1e-3)
    bend = ((1 + e.square()) - slope.square()).div_(s).clamp_(0, 4 / size)
    half = slope.mul_(size / 2)
    return torch.maximum(bend.mul_(size**2 / 24).add_(s), half), half


def _add(sums: Tensor, fields: Sequence[Tensor], where: tuple[Tensor, Tensor], count: int) -> None:
    """Add light and area of squares to the sums: of slopes of the curve, and of what begins within a step.

    The curve of one square rises evenly from the least to the greatest of its semi-major axes: two kinks, each in
    one step of the curve; what all kinks before a step make of it is a sum of sums.
    """
    s, half = where
    b = len(s)
    density = [0.5 * (f / half).flatten(1) for f in fields]
    row = (torch.arange(b, device=s.device) * (count + 1))[:, None]
    for sign in (1, -1):
        place = ((s - sign * half) / STEP).flatten(1)
        step = place.ceil().clamp_(0, count)
        part = (step - place) * STEP  # from the kink to the end of its step
        at = (step.nan_to_num(0.0).long() + row).flatten()
        for i, d in enumerate(density):
            sums[2 * i].scatter_add_(0, at, (sign * d).double().flatten())
            sums[2 * i + 1].scatter_add_(0, at, (d * (sign * part)).double().flatten())


def ellipse_weights(image: Tensor, radius: Tensor, ellipses: Ellipses) -> Tensor:
    """Part (B, H, W) of each pixel of images (B, H, W) inside ellipses of semi-major axis `radius` (B,).

    Within a pixel the edge of the ellipse is a line with a curvature.
    """
    dx, dy = _grid(image, ellipses)
    cos, sin, e, t = (
        v.to(dx.dtype)[:, None, None] for v in (ellipses.theta.cos(), ellipses.theta.sin(), ellipses.elongation, radius)
    )
    along, across = cos * dx + sin * dy, e * (cos * dy - sin * dx)
    s = (along.square() + across.square()).sqrt_().clamp_min_(0.25)  # at the centre there is no direction
    gx = (along * cos - across * (e * sin)).abs_().div_(s).clamp_min_(1e-4)
    gy = (along * sin + across * (e * cos)).abs_().div_(s).clamp_min_(1e-4)
    bend = ((1 + e.square()) - gx.square() - gy.square()).div_(s).clamp_(0, 4)
    t = t - s.add_(bend, alpha=1 / 24)
    u, v = (gx + gy) / 2, (gx - gy).abs_() / 2
    ramps = ((t + u).clamp_min_(0).square_() - (t + v).clamp_min_(0).square_()
             - (t - v).clamp_min_(0).square_() + (t - u).clamp_min_(0).square_())  # fmt: skip
    return torch.where(t >= u, 1.0, ramps.div_(2 * gx.mul_(gy)))


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


def elliptical_radius(image: Tensor, ellipses: Ellipses) -> Tensor:
    """Semi-major axis (B, H, W) of the ellipse through the centre of each pixel of images (B, H, W)."""
    dx, dy = _grid(image, ellipses)
    cos, sin = (v.to(dx.dtype)[:, None, None] for v in (ellipses.theta.cos(), ellipses.theta.sin()))
    e = ellipses.elongation.to(dx.dtype)[:, None, None]
    return ((cos * dx + sin * dy).square_().add_((e * (cos * dy - sin * dx)).square_())).sqrt_()


def _as(value: Tensor, like: Tensor) -> Tensor:
    return value.view(-1, *[1] * (like.ndim - 1))
