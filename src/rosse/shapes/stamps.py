"""Stamps: what is measured of each galaxy, on squares of few sizes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rosse.shapes.segment import SKY, TARGET


@dataclass(frozen=True, kw_only=True, eq=False)
class Stamps:
    """B galaxies on squares of N pixels; each fills its first `height` rows and `width` columns.

    Parameters
    ----------
    image : (B, N, N) light in single precision over `unit`, 0 where there are no data.
    variance : (B, N, N) of a pixel, over the square of `unit`; 0 where there are no data.
    bad : (B, N, N) no data: masked, another source, an outlier, or beyond the stamp.
    taken : (B, N, N) not sky: the galaxy, or no data for another reason than that it is an outlier.
    segment : (B, N, N) pixels of the galaxy that carry weight.
    height, width : (B,) extent, pixels.
    corner : (B, 2) x and y of the stamp's first pixel in the cutout.
    unit : (B,) a power of two near the brightest pixel: squares of any survey's fluxes then fit into single precision.
    """

    image: Tensor
    variance: Tensor
    bad: Tensor
    taken: Tensor
    segment: Tensor
    height: Tensor
    width: Tensor
    corner: Tensor
    unit: Tensor

    @property
    def diagonal(self) -> Tensor:
        """Length (B,) of the diagonal, pixels."""
        return torch.hypot(self.height.double(), self.width.double())

    @property
    def lost(self) -> Tensor:
        """Pixels (B, N, N) within the extent without weight or of another source; outliers do not count."""
        return self.taken & ~self.segment & self.inside

    @property
    def inside(self) -> Tensor:
        """Pixels (B, N, N) within the extent."""
        line = torch.arange(self.image.shape[1], device=self.image.device)
        rows = line[None, :, None] < self.height[:, None, None]
        return rows & (line[None, None, :] < self.width[:, None, None])


def bounds(segment: Tensor) -> tuple[Tensor, Tensor]:
    """First pixel (B, 2), x and y, of the rectangle around each segment (B, H, W), and the pixel after its last."""
    lows, stops = [], []
    for line in (segment.any(1), segment.any(2)):
        place = torch.arange(line.shape[1], device=line.device)
        lows.append(torch.where(line, place, line.shape[1]).amin(1))
        stops.append(torch.where(line, place + 1, 0).amax(1))
    return torch.stack(lows, 1), torch.stack(stops, 1)


def extents(segment: Tensor, *, factor: float, minimum: int) -> tuple[Tensor, Tensor]:
    """First pixel (B, 2), x and y, and size (B, 2) of the stamps around segments (B, H, W); size 0 where empty.

    A square of `factor` times the longer side of the segment's bounding box
    around the middle of that box, of `minimum` pixels at least, as far as it lies in the frame (Rodriguez-Gomez et al.
    2019, sect. 4.1).
    """
    low, stop = bounds(segment)
    longest = (stop - low).amax(1).clamp_min(0)
    half = torch.div((factor * longest).clamp_min(minimum), 2, rounding_mode="floor").long()
    middle = torch.div(low + stop, 2, rounding_mode="floor")
    frame = torch.tensor([segment.shape[2], segment.shape[1]], device=segment.device)
    first = (middle - half[:, None]).clamp_min(0)
    last = torch.minimum(middle + half[:, None], frame)
    empty = longest <= 0
    size = torch.where(empty[:, None], 0, last - first)
    return torch.where(empty[:, None], 0, first), size


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
    line = torch.arange(-1, side + 1, device=flux.device)  # with a border that repeats the pixels at the edge
    at = [first[:, i, None] + line.clamp_min(0).minimum((size[:, i, None] - 1).clamp_min(0)) for i in (0, 1)]
    index = (at[1].clamp_max(height - 1)[:, :, None] * width + at[0].clamp_max(width - 1)[:, None, :]).flatten(1)
    inside = (line[1:-1] < size[:, 1, None])[:, :, None] & (line[1:-1] < size[:, 0, None])[:, None, :]

    def part(whole: Tensor) -> Tensor:
        return whole.flatten(1).gather(1, index).view(len(index), side + 2, side + 2)

    def inner(whole: Tensor) -> Tensor:
        return part(whole)[:, 1:-1, 1:-1]

    around, weight, label = part(torch.where(ivar > 0, flux, 0.0)), inner(ivar), inner(labels)
    taken = ~inside | (weight <= 0) | (label != SKY)
    bad = taken & ~(inside & (weight > 0) & (label == TARGET))
    if outlier > 0:
        bad = bad | (outliers(around, outlier) & inside)
    image = torch.where(bad, 0.0, around[:, 1:-1, 1:-1])
    unit = torch.exp2(image.abs().amax((1, 2)).double().clamp_min(1e-300).log2().floor())
    sigma = weight.double().clamp_min(1e-300).rsqrt() / unit[:, None, None]
    return Stamps(
        image=(image / unit[:, None, None]).float(),
        variance=torch.where(bad, 0.0, sigma.square()).float(),
        bad=bad,
        taken=taken,
        segment=(label == TARGET) & inside & (weight > 0),
        height=size[:, 1],
        width=size[:, 0],
        corner=first,
        unit=unit,
    )


def outliers(around: Tensor, times: float) -> Tensor:
    """Pixels (B, N, N) further from the mean of their eight neighbours than `times` their standard deviation.

    Lotz et al. (2004), sect. 2. `around` (B, N + 2, N + 2) are the images with a border of one pixel. Sums are of
    differences to the pixel itself, so that bright ones lose no digits.
    """
    height, width = (n - 2 for n in around.shape[1:])
    image = around[:, 1:-1, 1:-1]
    total, square = torch.zeros_like(image), torch.zeros_like(image)
    for dy in range(3):
        for dx in range(3):
            if (dy, dx) != (1, 1):
                step = around[:, dy : dy + height, dx : dx + width] - image
                total.add_(step)
                square.addcmul_(step, step)
    mean = total / 8
    spread = (square / 8 - mean.square()).clamp_min_(0)
    return mean.square() > times**2 * spread
