"""Maps of the pixels that Gini and M20, and shape asymmetry, are measured on."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from rosse.shapes.apertures import Ellipses, elliptical_radius
from rosse.shapes.connected import component_at
from rosse.shapes.options import ShapeOptions
from rosse.shapes.order import ordered
from rosse.shapes.smoothing import both_ways, boxcar, smooth
from rosse.shapes.stamps import Stamps

INNER, OUTER = 10, 100  # rounds of clipping about the median, and about the mode
Sums = tuple[Tensor, Tensor]


def gini_map(stamps: Stamps, smoothed: Tensor, threshold: Tensor) -> Tensor:
    """Pixels (B, N, N) of Gini and M20 (Lotz et al. 2004, sect. 3.1; Rodriguez-Gomez et al. 2019, sect. 4.3).

    Those where the smoothed image is not below its own mean at the Petrosian semi-major axis, connected to the
    brightest pixel of the smoothed image. Pixels without data, 0 in the image, are among them.
    """
    above = (smoothed >= threshold[:, None, None]) & stamps.inside
    return component_at(above, *_brightest(smoothed, stamps))


def shape_map(stamps: Stamps, ellipses: Ellipses, inner: Tensor, box: Tensor, options: ShapeOptions) -> Tensor:
    """Pixels (B, N, N) of shape asymmetry (Pawlik et al. 2016, sect. 3.1).

    The image smoothed by a boxcar, at least one sigma above the sky's mode, connected to its brightest pixel. The sky
    is that of a circular ring from `inner` (B,) pixels on, after Rodriguez-Gomez et al. (2019); the paper's is from 20
    to 40 FWHM. Where fewer of its pixels than a whole box of sky has lie in the stamp, it is that of the box (B, N, N).
    """
    image = stamps.image
    s = elliptical_radius(image, Ellipses.circles(ellipses.x, ellipses.y))
    radius = inner.to(s.dtype)[:, None, None]
    ring = (s > radius) & (s < options.ring_shape * radius) & ~stamps.bad
    few = ring.sum((1, 2)) < options.sky_box**2
    return _outline(stamps, torch.where(few[:, None, None], box, ring), options)


def _outline(stamps: Stamps, sky: Tensor, options: ShapeOptions) -> Tensor:
    """Pixels of the smoothed image that stand out from the mode of the pixels of `sky`, around the brightest."""
    image, side = stamps.image, stamps.image.shape[1]
    mode, sigma = clipped_mode(image, sky, clip=options.clip_shape)
    widths = torch.full_like(mode, float(options.boxcar_shape))
    rows, columns = both_ways(lambda extent: boxcar(widths, extent, side), stamps.height, stamps.width)
    smoothed = smooth(image, rows, columns)
    above = (smoothed >= (mode + options.threshold_shape * sigma)[:, None, None]) & stamps.inside
    return component_at(above, *_brightest(smoothed, stamps))


def _brightest(image: Tensor, stamps: Stamps) -> tuple[Tensor, Tensor]:
    """Column and row (B,) of the brightest pixel."""
    at = torch.where(stamps.inside, image, -torch.inf).flatten(1).argmax(1)
    return at % image.shape[2], torch.div(at, image.shape[2], rounding_mode="floor")


def clipped_mode(
    image: Tensor, mask: Tensor, *, clip: float = 3.0, factors: tuple[float, float] = (2.5, -1.5)
) -> tuple[Tensor, Tensor]:
    """Mode and standard deviation (B,) of the pixels of a mask, clipped at `clip` sigma about the mode.

    The mode is 2.5 median - 1.5 mean of pixels that are themselves clipped about their median (Bertin & Arnouts 1996,
    sect. 3). What a clipping leaves is a stretch of the sorted pixels, so that they are sorted once.
    """
    values = ordered(torch.where(mask, image, torch.inf).flatten(1)).double()
    finite = torch.where(torch.isfinite(values), values, 0.0)
    sums = (pad(finite.cumsum(1), (1, 0)), pad(finite.square().cumsum(1), (1, 0)))
    first, stop = torch.zeros_like(mask[:, :1, 0], dtype=torch.long), mask.sum((1, 2))[:, None]
    for _ in range(OUTER):
        inner = (first, stop)
        for _ in range(INNER):
            median, _, sigma = _moments(values, sums, *inner)
            inner, same = _clip(values, (median, clip * sigma), *inner)
            if same:
                break
        median, mean, _ = _moments(values, sums, *inner)
        sigma = _moments(values, sums, first, stop)[2]
        (first, stop), same = _clip(values, (factors[0] * median + factors[1] * mean, clip * sigma), first, stop)
        if same:
            break
    median, mean, sigma = _moments(values, sums, first, stop)
    return (factors[0] * median + factors[1] * mean)[:, 0], sigma[:, 0]


def _clip(values: Tensor, about: Sums, first: Tensor, stop: Tensor) -> tuple[Sums, bool]:
    """What is left of sorted values from first to stop around a middle, and whether that is all of them."""
    low = torch.searchsorted(values, about[0] - about[1])
    high = torch.searchsorted(values, about[0] + about[1], right=True)
    low, high = torch.maximum(first, low), torch.minimum(stop, high)
    return (low, high), torch.equal(low, first) and torch.equal(high, stop)


def _moments(values: Tensor, sums: Sums, first: Tensor, stop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Median (mean of the two in the middle), mean, standard deviation (B, 1) of sorted values from first to stop."""
    n = stop - first
    middle = [(first + torch.div(n - i, 2, rounding_mode="floor")).clamp(0, values.shape[1] - 1) for i in (0, 1)]
    median = 0.5 * (values.gather(1, middle[0]) + values.gather(1, middle[1]))
    mean, square = ((v.gather(1, stop) - v.gather(1, first)) / n for v in sums)
    return torch.where(n > 0, median, torch.nan), mean, (square - mean.square()).clamp_min(0).sqrt()
