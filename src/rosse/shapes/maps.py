"""Maps of the pixels that Gini and M20, shape asymmetry, and multimode are measured on."""

from __future__ import annotations

import torch
from torch import Tensor

from rosse.shapes.apertures import Ellipses, elliptical_radius
from rosse.shapes.connected import component_at, largest_component
from rosse.shapes.smoothing import boxcar, smooth
from rosse.shapes.stamps import Stamps

CLIP, CLIPPINGS = 3.0, 20  # sigmas, rounds
TRIALS, HALVINGS = 50, 12


def gini_map(stamps: Stamps, smoothed: Tensor, threshold: Tensor) -> Tensor:
    """Pixels (B, N, N) of Gini and M20 (Lotz et al. 2004, sect. 3.1; Rodriguez-Gomez et al. 2019, sect. 4.3).

    Those where the smoothed image is not below its own mean at the Petrosian semi-major axis, connected to the
    brightest pixel of the smoothed galaxy.
    """
    above = (smoothed >= threshold[:, None, None]) & stamps.inside
    own = torch.where(stamps.segment, smoothed, -torch.inf).flatten(1).argmax(1)
    side = smoothed.shape[2]
    return component_at(above, own % side, torch.div(own, side, rounding_mode="floor")) & ~stamps.bad


def shape_map(stamps: Stamps, ellipses: Ellipses, inner: Tensor, width: int) -> Tensor:
    """Pixels (B, N, N) of shape asymmetry (Pawlik et al. 2016, sect. 3.1).

    The image smoothed by a boxcar of `width` pixels, at least one sigma above the sky's mode, connected to the centre.
    The sky is that of a circular ring from `inner` (B,) pixels to twice that, its mode 2.5 median - 1.5 mean after
    clipping at three sigma.
    """
    side = stamps.image.shape[1]
    s = elliptical_radius(side, side, Ellipses.circles(ellipses.x, ellipses.y))
    ring = (s > inner[:, None, None]) & (s <= 2 * inner[:, None, None]) & ~stamps.bad
    mode, sigma = clipped_mode(stamps.image, ring)
    kernel = [boxcar(torch.full_like(inner, float(width)), extent, side) for extent in (stamps.height, stamps.width)]
    smoothed = smooth(stamps.image, kernel[0], kernel[1])
    above = (smoothed >= (mode + sigma)[:, None, None]) & stamps.inside & ~stamps.bad
    return component_at(above, ellipses.x.round(), ellipses.y.round())


def clipped_mode(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mode, 2.5 median - 1.5 mean, and standard deviation (B,) of the pixels of a mask, clipped about the median.

    What a clipping leaves is a stretch of the sorted pixels, so that they are sorted once.
    """
    ordered = torch.where(mask, image, torch.inf).flatten(1).sort(1).values
    finite = torch.where(torch.isfinite(ordered), ordered, 0.0)
    sums = [torch.nn.functional.pad(v.cumsum(1), (1, 0)) for v in (finite, finite.square())]
    first, stop = torch.zeros_like(mask[:, :1, 0], dtype=torch.long), mask.sum((1, 2))[:, None]
    for _ in range(CLIPPINGS):
        median, _, sigma = _moments(ordered, sums, first, stop)
        low = torch.searchsorted(ordered, median - CLIP * sigma)
        high = torch.searchsorted(ordered, median + CLIP * sigma, right=True)
        low, high = torch.maximum(first, low), torch.minimum(stop, high)
        if torch.equal(low, first) and torch.equal(high, stop):
            break
        first, stop = low, high
    median, mean, sigma = _moments(ordered, sums, first, stop)
    return (2.5 * median - 1.5 * mean)[:, 0], sigma[:, 0]


def _moments(ordered: Tensor, sums: list[Tensor], first: Tensor, stop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Median (mean of the two in the middle), mean, standard deviation (B, 1) of sorted values from first to stop."""
    n = stop - first
    middle = [(first + torch.div(n - i, 2, rounding_mode="floor")).clamp(0, ordered.shape[1] - 1) for i in (0, 1)]
    median = 0.5 * (ordered.gather(1, middle[0]) + ordered.gather(1, middle[1]))
    mean, square = ((v.gather(1, stop) - v.gather(1, first)) / n for v in sums)
    return torch.where(n > 0, median, torch.nan), mean, (square - mean.square()).clamp_min(0).sqrt()


def mid_map(stamps: Stamps, *, eta: float, width: int) -> Tensor:
    """Pixels (B, N, N) of multimode, intensity and deviation (Freeman et al. 2013, sect. 4.3).

    The largest clump above the quantile at which its faintest pixels are `eta` times as bright as its mean, made smooth
    by a boxcar of `width` pixels, and of that again the largest clump.
    """
    image = torch.where(stamps.segment & ~stamps.bad, stamps.image, 0.0).clamp_min(0)
    mask = stamps.segment & ~stamps.bad & (stamps.image >= 0)
    values = torch.where(mask, image, torch.inf).flatten(1).sort(1).values
    n = mask.sum((1, 2))

    def clump(quantile: Tensor) -> tuple[Tensor, Tensor]:
        place = (quantile * (n - 1).clamp_min(0)).floor().long()
        level = values.gather(1, place[:, None])[:, 0]
        return largest_component(mask & (image >= level[:, None, None])), level

    def too_faint(quantile: Tensor) -> Tensor:
        main, level = clump(quantile)
        mean = torch.where(main, image, 0.0).sum((1, 2)) / main.sum((1, 2))
        return level < eta * mean

    low, high = torch.zeros_like(values[:, 0]), torch.ones_like(values[:, 0])
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        faint = too_faint(middle)
        low, high = torch.where(faint, middle, low), torch.where(faint, high, middle)
    main, _ = clump(torch.where(low > 0, high, 0.0))
    side = image.shape[1]
    whole = torch.full_like(low, float(width))
    rows, columns = (boxcar(whole, extent, side) for extent in (stamps.height, stamps.width))
    return largest_component((smooth(main.to(image.dtype), rows, columns) > 0.5) & stamps.inside)
