"""A galaxy and itself turned by 180 degrees about a point, and the sums from which every asymmetry is made.

Turning by 180 degrees about any point is a flip and a shift; the part of the shift within a pixel is the same for all
pixels, so that bilinear interpolation is a mean of four shifted images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rosse.shapes.apertures import Ellipses, circle_weights, ellipse_weights

FREE = 6  # pixels by which a centre may leave the middle of its box


@dataclass(frozen=True, kw_only=True, eq=False)
class Box:
    """Squares around the middles of B galaxies, large enough for their apertures.

    Parameters
    ----------
    image, bad : (B, M, M) light, 0 where bad; 1 where there is no data. Wider than the square by `FREE + 2`
        on each side.
    x, y : (B,) position of the square's first pixel (without that border) in the stamp.
    side : of the square, pixels.
    """

    image: Tensor
    bad: Tensor | None
    x: Tensor
    y: Tensor
    side: int

    @cached_property
    def flipped(self) -> Tensor:
        """The image turned about its middle: what is left to do for another centre is a shift."""
        return self.image.flip(1, 2)

    @cached_property
    def flipped_bad(self) -> Tensor | None:
        """`bad` turned about its middle."""
        return None if self.bad is None else self.bad.flip(1, 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Difference:
    """Sums over an aperture, (N,) each; pixels of which one of the two has no data do not count.

    Parameters
    ----------
    absolute, squared : of the galaxy minus itself turned.
    light, power : of the galaxy's absolute value, and of its square. The squares are 0 where they were not asked for.
    area : of the aperture, pixels.
    """

    absolute: Tensor
    squared: Tensor
    light: Tensor
    power: Tensor
    area: Tensor


def box_around(image: Tensor, bad: Tensor | None, centre: Tensor, radius: float) -> Box:
    """Squares of stamps (B, H, W) around centres (B, 2) that hold circles of a radius."""
    border = FREE + 2
    side = 2 * (math.ceil(radius) + FREE) + 1
    first = centre.round().long() - side // 2  # (B, 2), x and y
    line = torch.arange(-border, side + border, device=image.device)
    height, width = image.shape[1:]
    x, y = first[:, :1] + line, first[:, 1:] + line
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    index = (y.clamp(0, height - 1)[:, :, None] * width + x.clamp(0, width - 1)[:, None, :]).flatten(1)

    def cut(whole: Tensor) -> Tensor:
        part = whole.flatten(1).gather(1, index).view(inside.shape)
        return torch.where(inside, part, 0.0)

    return Box(image=cut(image), bad=None if bad is None else cut(bad), x=first[:, 0], y=first[:, 1], side=side)


def difference(box: Box, centre: Tensor, rows: Tensor, radius: Tensor, *, squares: bool = True) -> Difference:
    """Sums over circles of a radius (N,) around centres (N, 2) of galaxies `rows` (N,)."""
    dx, dy = _offsets(box, centre, rows)
    return _difference(box, centre, rows, circle_weights(dx, dy, radius), squares)


def ring_difference(box: Box, ellipses: Ellipses, inner: Tensor, outer: Tensor) -> Difference:
    """Sums between two ellipses of semi-major axes (B,) of all galaxies of a box."""
    centre, rows = torch.stack([ellipses.x, ellipses.y], 1), torch.arange(len(inner), device=inner.device)
    dx, dy = _offsets(box, centre, rows)
    weight = ellipse_weights(dx, dy, outer, ellipses) - ellipse_weights(dx, dy, inner, ellipses)
    return _difference(box, centre, rows, weight, True)


def _offsets(box: Box, centre: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Columns and rows of squares (N, S), counted from centres (N, 2)."""
    line = torch.arange(box.side, dtype=centre.dtype, device=centre.device)
    return line - (centre[:, 0] - box.x[rows])[:, None], line - (centre[:, 1] - box.y[rows])[:, None]


def _difference(box: Box, centre: Tensor, rows: Tensor, weight: Tensor, squares: bool) -> Difference:
    border = FREE + 2
    c = centre - torch.stack([box.x[rows], box.y[rows]], 1)
    own = box.image[rows, border:-border, border:-border]
    back = turned(box.flipped, c, rows, box.side)
    if box.bad is not None and box.flipped_bad is not None:
        either = (box.bad[rows, border:-border, border:-border] > 0) | (
            turned(box.flipped_bad, c, rows, box.side) >= 0.5
        )
        weight = torch.where(either, 0.0, weight)
    delta = own - back
    area = weight.sum((1, 2))

    def total(values: Tensor) -> Tensor:
        return (weight * values).sum((1, 2))

    return Difference(
        absolute=total(delta.abs()),
        squared=total(delta.square()) if squares else torch.zeros_like(area),
        light=total(own.abs()),
        power=total(own.square()) if squares else torch.zeros_like(area),
        area=area,
    )


def turned(flipped: Tensor, centre: Tensor, rows: Tensor, side: int) -> Tensor:
    """Images `rows` (N,) of flipped ones (B, M, M) turned about points (N, 2) of their squares: (N, S, S).

    The value at p is that at 2 c - p, bilinear. Beyond `FREE` pixels from the middle the border runs out; what lies
    there is taken from the border, and the search that ends there is repeated on the whole stamp.
    """
    border = FREE + 2
    size = flipped.shape[1]
    twice = 2 * centre
    low = twice.floor()
    part = (twice - low).to(flipped.dtype)
    # row j of what is read is row low + 1 - j of the square, for j = 0 .. side
    first = (size - 1) - (low.long() + 1 + border)  # where that is in the flipped image
    first = first.clamp(0, size - side - 1)
    line = torch.arange(side + 1, device=flipped.device)
    index = (first[:, 1, None] + line)[:, :, None] * size + (first[:, 0, None] + line)[:, None, :]
    base = rows * (size * size)
    block = flipped.reshape(-1).take(base[:, None, None] + index)
    px, py = part[:, 0, None, None], part[:, 1, None, None]
    lines = torch.lerp(block[:, 1:], block[:, :-1], py)
    return torch.lerp(lines[:, :, 1:], lines[:, :, :-1], px)
