"""One-sigma errors: a galaxy is measured again and again with its noise drawn anew.

Noise that is added to an image as it came would be there twice, and every index that noise biases (asymmetry above
all) would scatter as it does in an image that is worse. So most of the noise is taken from the image first.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

Floats = NDArray[np.float64]
ANGLES = ("theta",)
WINDOW = 5  # pixels; wide enough to average noise away, narrow enough for the outskirts of a galaxy


def resampled(
    measured: Callable[[Tensor], Mapping[str, Floats]],
    flux: Tensor,
    ivar: Tensor,
    *,
    ids: NDArray[np.str_],
    draws: int,
    seed: int,
) -> dict[str, Floats]:
    """Standard deviation (B,) of each index over images that differ in their noise alone.

    Parameters
    ----------
    measured : images (B, H, W) → name → (B,) values.
    flux, ivar : (B, H, W) light and inverse variance.
    ids : (B,) names of the galaxies: their noise follows from seed and name, not from the place in the batch.
    draws : number of images.
    seed : of the noise.
    """
    light = without_noise(flux, ivar)
    sigma = torch.where(ivar > 0, ivar.clamp_min(1e-30).rsqrt(), 0.0)
    generators = [torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode())) for name in ids]
    found: dict[str, list[Floats]] = {}
    for _ in range(draws):
        noise = [torch.randn(tuple(flux.shape[1:]), generator=g, dtype=flux.dtype) for g in generators]
        image = light + sigma * torch.stack(noise).to(flux.device) if noise else light
        for name, value in measured(image).items():
            found.setdefault(name, []).append(value.copy())
    return {name: spread(np.array(values), angle=name in ANGLES) for name, values in found.items()}


def without_noise(flux: Tensor, ivar: Tensor) -> Tensor:
    """Images (B, H, W) with most of their noise gone: local Wiener filter (Lee 1980, IEEE TPAMI 2, 165).

    A pixel becomes ``mean + gain (pixel - mean)`` with ``gain = 1 - noise variance / variance``, mean and variance of
    the square of `WINDOW` pixels around it: where the galaxy rules it stays, where noise rules it becomes the mean.
    Pixels without weight do not count, and stay.
    """
    good = (ivar > 0).to(flux.dtype)
    share = _mean(good).clamp_min(1e-6)
    mean = _mean(flux * good) / share
    square = (_mean(good * flux.square()) / share - mean.square()).clamp_min(0)
    noise = _mean(torch.where(ivar > 0, 1 / ivar.clamp_min(1e-30), 0.0)) / share
    gain = (1 - noise / square.clamp_min(1e-30)).clamp(0, 1)
    return torch.where(ivar > 0, mean + gain * (flux - mean), flux)


def _mean(image: Tensor) -> Tensor:
    half = WINDOW // 2
    return avg_pool2d(image[:, None], WINDOW, stride=1, padding=half, count_include_pad=False)[:, 0]


def spread(values: Floats, *, angle: bool = False) -> Floats:
    """Standard deviation (B,) of draws (D, B); NaN where an index is lost in half of them.

    An angle, in radians, is the same after half a turn: its deviations are those from the mean direction.
    """
    good = np.isfinite(values)
    count = good.sum(0)
    if angle:
        double = np.where(good, np.exp(2j * np.where(good, values, 0.0)), 0).sum(0)
        values = (values - 0.5 * np.angle(double) + np.pi / 2) % np.pi - np.pi / 2
        mean = np.zeros(values.shape[1])
    else:
        mean = np.where(good, values, 0.0).sum(0) / np.maximum(count, 1)
    square = np.where(good, np.where(good, values, 0.0) - mean, 0.0) ** 2
    sigma = np.sqrt(square.sum(0) / np.maximum(count - 1, 1))
    return np.where(count >= max(2, len(values) // 2), sigma, np.nan)
