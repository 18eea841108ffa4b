"""Smoothness, and multimode, intensity and deviation: light in clumps."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.shapes.connected import summits

Floats = NDArray[np.float64]


def residual(image: Tensor, smoothed: Tensor) -> Tensor:
    """What an image has in excess of its smoothed self; deficits do not count (Lotz et al. 2004, eq. 8)."""
    return (image - smoothed).clamp_min(0)


def smoothness(clumps: Tensor, light: Tensor, area: Tensor, sky: Tensor) -> Tensor:
    """S = (sum (I - I_s) - n S_sky) / sum I (Conselice 2003, without his factor of 10; Lotz et al. 2004, eq. 11).

    Parameters
    ----------
    clumps, light : (B,) sums of the residual and of the image over the ring from 0.25 to 1.5 Petrosian radii.
    area : (B,) of that ring, pixels.
    sky : (B,) mean residual of a pixel of empty sky.
    """
    return (clumps - area * sky) / light


def multimode(image: Tensor, mask: Tensor, levels: int) -> Tensor:
    """M = A_2 / A_1, areas of the two largest clumps at the level where A_2^2 / A_1 is largest.

    Peth et al. (2016), eq. 1, after Freeman et al. (2013), whose statistic is A_2^2 / A_1 itself.

    Parameters
    ----------
    image, mask : (B, H, W) light, and the pixels that count (Freeman et al. 2013, sect. 4.3).
    levels : quantiles of brightness that are tried; a fifth as many again lie around the best of them.
    """
    found = [
        _largest_ratio(light[on.any(1)][:, on.any(0)], on[on.any(1)][:, on.any(0)], levels)
        for light, on in zip(image.cpu().numpy(), mask.cpu().numpy(), strict=True)
    ]
    return torch.tensor(found, dtype=image.dtype, device=image.device)


def _largest_ratio(light: Floats, mask: NDArray[np.bool_], levels: int) -> float:
    """M of one galaxy on the rectangle around its pixels; NaN where there are none."""
    values = np.sort(light[mask]).astype(np.float64)
    if not len(values):
        return math.nan
    step, fine = 1 / levels, max(levels // 5, 1)
    tried = np.arange(levels, dtype=np.float64) * step
    score, ratio = _two_largest(light, mask, _quantile(values, tried))
    best = int(score.argmax())
    around: Floats = tried[best] + step * (np.arange(1, 2 * fine) / fine - 1.0)
    score_2, ratio_2 = _two_largest(light, mask, _quantile(values, around.clip(0, 1)))
    again = int(score_2.argmax())
    return float(ratio_2[again] if score_2[again] > score[best] else ratio[best])


def _quantile(values: Floats, q: Floats) -> Floats:
    """Sorted values at quantiles, the lower of the two that are next."""
    return np.asarray(values[(q * (len(values) - 1)).astype(int)])


def _two_largest(light: Floats, mask: NDArray[np.bool_], level: Floats) -> tuple[Floats, Floats]:
    """A_2^2 / A_1 and A_2 / A_1 at levels (Q,)."""
    from scipy import ndimage

    above = mask & (light >= level[:, None, None])
    within = np.zeros((3, 3, 3), dtype=int)
    within[1] = 1  # edges and corners
    label, count = ndimage.label(above, within)  # all levels at once: they touch nowhere
    sizes = np.bincount(label.ravel(), minlength=count + 1)[1:]
    start = np.concatenate([[0], np.maximum.accumulate(label.reshape(len(level), -1).max(1))])
    first, second = np.zeros(len(level)), np.zeros(len(level))
    for q, (low, high) in enumerate(itertools.pairwise(start)):
        if high - low == 1:
            first[q] = sizes[low]
        elif high > low:
            second[q], first[q] = np.partition(sizes[low:high], high - low - 2)[-2:]
    safe = np.maximum(first, 1)
    return second**2 / safe, second / safe


def intensity_and_deviation(image: Tensor, smoothed: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """I = I_2 / I_1 and D = sqrt(pi / n) |x_centroid - x_peak| (Peth et al. 2016, eqs. 2 and 3).

    Parameters
    ----------
    image, mask : (B, H, W) light, and the pixels that count.
    smoothed : (B, H, W) whose local maxima are the clumps; its steepest ascent decides which pixels are theirs, and
        I_1, I_2 are its sums over the brightest two.
    """
    b, height, width = image.shape
    regions = summits(smoothed, mask)
    sums = torch.zeros(b, height * width, dtype=image.dtype, device=image.device)
    sums.scatter_add_(1, regions.flatten(1), torch.where(mask, smoothed, 0.0).flatten(1))
    top = sums.topk(2, dim=1)
    first, second = top.values.unbind(1)
    peak = top.indices[:, 0]
    light = torch.where(mask, image, 0.0)
    total = light.sum((1, 2))
    kind: Any = {"dtype": image.dtype, "device": image.device}
    x = (light.sum(1) * torch.arange(width, **kind)).sum(1) / total
    y = (light.sum(2) * torch.arange(height, **kind)).sum(1) / total
    distance = torch.hypot(x - peak % width, y - torch.div(peak, width, rounding_mode="floor"))
    return second / first, distance * (math.pi / mask.sum((1, 2))).sqrt()
