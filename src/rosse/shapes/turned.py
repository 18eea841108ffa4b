"""A galaxy and itself turned by 180 degrees about a point, and the sums from which every asymmetry is made.

Turning by 180 degrees about any point is a flip and a shift; the part of the shift within a pixel is the same for all
pixels, so that bilinear interpolation is a mean of four shifted images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Difference:
    """Sums over an aperture, (N,) each; pixels of which one of the two has no data do not count.

    Parameters
    ----------
    absolute, squared : of the galaxy minus itself turned.
    light, power : of the galaxy's absolute value, and of its square.
    area : of the aperture, pixels.
    """

    absolute: Tensor
    squared: Tensor
    light: Tensor
    power: Tensor
    area: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Flipped:
    """Images of B stamps turned about their middles: what is left to do for a centre is a shift.

    Parameters
    ----------
    image : (B, 3 N, 3 N) with a border of 0 as wide as the stamp.
    side : of the stamp, N pixels.
    """

    image: Tensor
    side: int

    @classmethod
    def of(cls, image: Tensor) -> Flipped:
        """Of images (B, N, N)."""
        side = image.shape[1]
        return cls(image=torch.nn.functional.pad(image.flip(1, 2), (side,) * 4), side=side)

    def about(self, centre: Tensor, rows: Tensor, first: Tensor, side: int) -> Tensor:
        """Images turned about points, bilinear: the value at p is that at 2 c - p.

        Parameters
        ----------
        centre : (N, 2) x and y in the stamps, within them.
        rows : (N,) which images.
        first : (N, 2) x and y of the first pixel that is wanted.
        side : how many are wanted, (N, side, side).
        """
        block, part = self._block(centre, rows, first, side)
        px, py = part[:, 0, None, None], part[:, 1, None, None]
        lines = torch.lerp(block[:, 1:], block[:, :-1], py)
        return torch.lerp(lines[:, :, 1:], lines[:, :, :-1], px)

    def _block(self, centre: Tensor, rows: Tensor, first: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """Pixels (N, side + 1, side + 1) that are shifted, and by which part (N, 2) of a pixel.

        Its last row is the pixel below 2 c - p, the one before it the pixel above.
        """
        twice = 2 * centre
        low = twice.floor()
        start = 2 * self.side - 2 - low.long() + first
        start = start.clamp(0, 3 * self.side - side - 1)
        part = (twice - low).to(self.image.dtype)
        n = side + 1
        if self.image.device.type == "cpu":  # views cost a fraction of the numbers that an index is made of
            at = torch.cat([rows[:, None], start], 1).tolist()
            return torch.stack([self.image[i, y : y + n, x : x + n] for i, x, y in at]), part
        line = torch.arange(n, device=start.device)
        wide = self.image.shape[2]
        index = (start[:, 1, None] + line)[:, :, None] * wide + (start[:, 0, None] + line)[:, None, :]
        return self.image.flatten().take(index + (rows * wide**2)[:, None, None]), part


FAR = -(10**6)  # where holes lie that fill up a row


@dataclass(frozen=True, kw_only=True, eq=False)
class Holes:
    """Pixels without data within the extents of B stamps: few, so that their places are quicker than a map.

    Parameters
    ----------
    count : (B,) how many a stamp has.
    x, y : (B, K) columns and rows, `FAR` where there are no more.
    """

    count: Tensor
    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, holes: Tensor) -> Holes:
        """Of maps (B, N, N)."""
        row, y, x = holes.nonzero().unbind(1)
        count = holes.sum((1, 2))
        place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        out = torch.full((2, len(holes), int(count.max()) if len(holes) else 0), FAR, device=row.device)
        out[0, row, place], out[1, row, place] = x, y
        return cls(count=count, x=out[0], y=out[1])

    def cut_out(self, weight: Tensor, centre: Tensor, rows: Tensor, first: Tensor) -> None:
        """Put 0 into weights (N, side, side) where the nearest pixel of the turned stamp has no data.

        Parameters
        ----------
        centre : (N, 2) x and y about which stamps are turned.
        rows : (N,) which stamps.
        first : (N, 2) x and y of the first pixel of the weights in the stamps.
        """
        count, side = weight.shape[:2]
        most = int(self.count[rows].max())
        corner = (2 * centre + 0.5).floor().long() - first
        x, y = corner[:, :1] - self.x[rows, :most], corner[:, 1:] - self.y[rows, :most]
        seen = (x >= 0) & (x < side) & (y >= 0) & (y < side)
        line = torch.arange(count, device=weight.device)[:, None]
        weight.view(-1)[((line * side + y) * side + x)[seen]] = 0.0


def difference(image: Tensor, back: Tensor, weight: Tensor) -> Difference:
    """Sums of images and themselves turned, (B, H, W) both, with a weight for each pixel (0 without data)."""

    def total(values: Tensor) -> Tensor:
        return values.flatten(1).sum(1, dtype=torch.float64)

    delta, own = (image - back).abs_(), image.abs()
    return Difference(
        absolute=total(weight * delta),
        squared=total(weight * delta.square_()),
        light=total(weight * own),
        power=total(weight * own.square_()),
        area=total(weight),
    )
