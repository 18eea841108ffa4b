"""Stamps: what is measured of each galaxy, on squares of few sizes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True, kw_only=True, eq=False)
class Stamps:
    """B galaxies on squares of N pixels; each fills its first `height` rows and `width` columns.

    Parameters
    ----------
    image : (B, N, N) light, 0 where there are no data.
    variance : (B, N, N) of a pixel, 0 where there are no data.
    bad : (B, N, N) no data: masked, another source, or beyond the stamp.
    segment : (B, N, N) pixels of the galaxy.
    height, width : (B,) extent, pixels.
    corner : (B, 2) x and y of the stamp's first pixel in the cutout.
    """

    image: Tensor
    variance: Tensor
    bad: Tensor
    segment: Tensor
    height: Tensor
    width: Tensor
    corner: Tensor

    @property
    def diagonal(self) -> Tensor:
        """Length (B,) of the diagonal, pixels."""
        return torch.hypot(self.height.to(self.image.dtype), self.width.to(self.image.dtype))

    @property
    def inside(self) -> Tensor:
        """Pixels (B, N, N) within the extent."""
        line = torch.arange(self.image.shape[1], device=self.image.device)
        rows = line[None, :, None] < self.height[:, None, None]
        return rows & (line[None, None, :] < self.width[:, None, None])


MARGIN = 8  # pixels around a segment in a close-up: smoothing must not see its edge


def close_up(stamps: Stamps) -> tuple[Stamps, Tensor]:
    """The part of each stamp that holds its segment, and where (B, 2) it begins.

    What is measured inside the segment only needs a fraction of the stamp's pixels.
    """
    first, size = extents(stamps.segment, factor=1.0, minimum=1, margin=MARGIN)
    last = torch.minimum(first + size, torch.stack([stamps.width, stamps.height], 1))
    size = (last - first).clamp_min(0)
    side = max(8, -(-int(size.max()) // 8) * 8)
    whole = stamps.image.shape[1]
    line = torch.arange(side, device=first.device)
    y, x = first[:, 1, None] + line, first[:, 0, None] + line
    inside = (line < size[:, 1, None])[:, :, None] & (line < size[:, 0, None])[:, None, :]
    index = (y.clamp_max(whole - 1)[:, :, None] * whole + x.clamp_max(whole - 1)[:, None, :]).flatten(1)

    def part(array: Tensor, outside: float | bool) -> Tensor:
        return torch.where(inside, array.flatten(1).gather(1, index).view(inside.shape), outside)

    small = Stamps(
        image=part(stamps.image, 0.0),
        variance=part(stamps.variance, 0.0),
        bad=part(stamps.bad, True),
        segment=part(stamps.segment, False),
        height=size[:, 1],
        width=size[:, 0],
        corner=stamps.corner + first,
    )
    return small, first


def bounds(segment: Tensor) -> tuple[Tensor, Tensor]:
    """First pixel (B, 2), x and y, of the rectangle around each segment (B, H, W), and the pixel after its last."""
    lows, stops = [], []
    for line in (segment.any(1), segment.any(2)):
        place = torch.arange(line.shape[1], device=line.device)
        lows.append(torch.where(line, place, line.shape[1]).amin(1))
        stops.append(torch.where(line, place + 1, 0).amax(1))
    return torch.stack(lows, 1), torch.stack(stops, 1)


def extents(segment: Tensor, *, factor: float, minimum: int, margin: int = 0) -> tuple[Tensor, Tensor]:
    """First pixel (B, 2), x and y, and size (B, 2) of the stamps around segments (B, H, W); size 0 where empty.

    A square of `factor` times the longer side of the segment's bounding box (and `margin` pixels more on each side)
    around the middle of that box, of `minimum` pixels at least, as far as it lies in the frame (Rodriguez-Gomez et al.
    2019, sect. 4.1).
    """
    low, stop = bounds(segment)
    longest = (stop - low).amax(1).clamp_min(0)
    half = torch.div((factor * longest).clamp_min(minimum), 2, rounding_mode="floor").long()
    half = half + (margin + 1 if margin else 0)
    middle = torch.div(low + stop, 2, rounding_mode="floor")
    frame = torch.tensor([segment.shape[2], segment.shape[1]], device=segment.device)
    first = (middle - half[:, None]).clamp_min(0)
    last = torch.minimum(middle + half[:, None], frame)
    empty = longest <= 0
    size = torch.where(empty[:, None], 0, last - first)
    return torch.where(empty[:, None], 0, first), size


def whole_map(mask: Tensor, first: Tensor, side: int) -> Tensor:
    """A map (B, h, w) of close-ups that begin at `first` (B, 2), on the stamps of `side` pixels."""
    out = torch.zeros(len(mask), side, side, dtype=torch.bool, device=mask.device)
    row, y, x = mask.nonzero().unbind(1)
    out[row, y + first[row, 1], x + first[row, 0]] = True
    return out


def cut(
    flux: Tensor, ivar: Tensor, labels: Tensor, *, first: Tensor, size: Tensor, side: int, outlier: float
) -> Stamps:
    """Stamps of `side` pixels of cutouts (B, H, W).

    Parameters
    ----------
    flux, ivar, labels : (B, H, W) light, inverse variance, and a map of the sources: 1 the galaxy, 0 sky, else others.
    first, size : (B, 2) from `extents`.
    outlier : see `ShapeOptions`.
    """
    height, width = flux.shape[1:]
    line = torch.arange(side, device=flux.device)
    x, y = first[:, 0, None] + line, first[:, 1, None] + line
    inside = (line < size[:, 1, None])[:, :, None] & (line < size[:, 0, None])[:, None, :]
    index = (y.clamp_max(height - 1)[:, :, None] * width + x.clamp_max(width - 1)[:, None, :]).flatten(1)

    def part(whole: Tensor) -> Tensor:
        return whole.flatten(1).gather(1, index).view(inside.shape)

    image, weight, label = part(flux).double(), part(ivar).double(), part(labels)
    bad = ~inside | (weight <= 0) | ((label != 0) & (label != 1))
    if outlier > 0:
        bad = bad | outliers(image, inside, outlier)
    return Stamps(
        image=torch.where(bad, 0.0, image),
        variance=torch.where(bad, 0.0, 1 / weight.clamp_min(1e-300)),
        bad=bad,
        segment=(label == 1) & inside,
        height=size[:, 1],
        width=size[:, 0],
        corner=first,
    )


def outliers(image: Tensor, inside: Tensor, times: float) -> Tensor:
    """Pixels (B, H, W) further from the mean of their eight neighbours than `times` their standard deviation.

    Lotz et al. (2004), sect. 2. Pixels at the edge of a stamp have no eight neighbours and are kept.
    """
    height, width = image.shape[1:]
    padded = pad(image, (1, 1, 1, 1))
    total, square, count = torch.zeros_like(image), torch.zeros_like(image), torch.zeros_like(image)
    there = pad(inside.to(image.dtype), (1, 1, 1, 1))
    for dy in range(3):
        for dx in range(3):
            if (dy, dx) != (1, 1):
                near = padded[:, dy : dy + height, dx : dx + width]
                total, square = total + near, square + near.square()
                count = count + there[:, dy : dy + height, dx : dx + width]
    mean = total / 8
    spread = (square / 8 - mean.square()).clamp_min(0).sqrt()
    return ((image - mean).abs() > times * spread) & (count == 8) & inside
