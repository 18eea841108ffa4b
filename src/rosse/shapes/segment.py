"""Which pixels are the galaxy, which are other sources: a map that came, or one made by smoothing and a threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rosse.errors import InputError
from rosse.shapes.connected import areas, components
from rosse.shapes.smoothing import gaussian, smooth

SKY, TARGET, OTHER = 0, 1, 2


def given_segments(segments: Any, shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """Map (B, H, W) of `SKY`, `TARGET` and `OTHER` from whole numbers, 0 sky; the number at the centre is the galaxy's.

    Raises
    ------
    InputError
        The shape is not that of the cutouts, or the map does not hold whole numbers.
    """
    labels = torch.as_tensor(np.array(segments) if not isinstance(segments, Tensor) else segments, device=device)
    if labels.ndim == 2:
        labels = labels[None]
    if tuple(labels.shape) != shape:
        raise InputError(f"segments have shape {tuple(labels.shape)}; {shape}, one map for each galaxy, is wanted")
    if labels.is_floating_point() and not bool((labels == labels.round()).all()):
        raise InputError("segments are not whole numbers; 0 for sky and a number for each source is wanted")
    labels = labels.long()
    own = labels[:, shape[1] // 2, shape[2] // 2, None, None]
    return torch.where(labels == 0, SKY, torch.where(labels == own, TARGET, OTHER))


def made_segments(flux: Tensor, ivar: Tensor, *, threshold: float, smoothing: float, min_pixels: int) -> Tensor:
    """Map (B, H, W) of `SKY`, `TARGET` and `OTHER` from cutouts (B, H, W).

    Flux and variance are smoothed with a Gaussian, pixels without weight left out; pixels above `threshold` sigma of
    that are sources, connected over edges and corners. The galaxy is the source that comes nearest to the centre,
    within twice `smoothing` pixels; other sources of `min_pixels` and more are others, smaller ones are noise.
    """
    b, height, width = flux.shape
    sigma = torch.full((b,), smoothing, dtype=torch.float64, device=flux.device)
    ky, kx = (gaussian(sigma, torch.full_like(sigma, n), n) for n in (height, width))
    good = (ivar > 0).float()
    top = ivar.flatten(1).amax(1).double().clamp_min(1e-300)[:, None, None]  # in units of the least noise
    light = (flux.double() * top.sqrt()).float() * good
    variance = good * (top / ivar.double().clamp_min(1e-300)).clamp_max(1e12).float()
    norm = smooth(good, ky, kx).clamp_min(1e-12)
    mean = smooth(light, ky, kx) / norm
    noise = (smooth(variance, ky.square(), kx.square()) / norm.square()).clamp_min(0).sqrt()
    above = (mean > threshold * noise) & (ivar > 0)
    label = components(above)
    large = (areas(label) >= min_pixels).double()
    kept = torch.nn.functional.pad(large, (0, 1)).gather(1, label.flatten(1)).view(label.shape) > 0
    yy, xx = torch.meshgrid(
        torch.arange(height, device=flux.device) - height // 2,
        torch.arange(width, device=flux.device) - width // 2,
        indexing="ij",
    )
    distance = (yy.square() + xx.square()).double()
    reach = max(2.0, 2 * smoothing)
    near = torch.where(kept & (distance <= reach**2), distance, torch.inf).flatten(1)
    at = near.argmin(1)
    own = torch.where(torch.isfinite(near.amin(1)), label.flatten(1).gather(1, at[:, None])[:, 0], -1)
    return torch.where(label == own[:, None, None], TARGET, torch.where(kept, OTHER, SKY))
