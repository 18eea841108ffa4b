"""Which pixels are the galaxy, which are other sources: a map that came, or one made by smoothing and a threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rosse.errors import InputError
from rosse.shapes.connected import areas, components
from rosse.shapes.deblend import part_of
from rosse.shapes.options import ShapeOptions
from rosse.shapes.smoothing import gaussian, smooth

SKY, TARGET, OTHER = 0, 1, 2
NEAR = 3.0  # pixels from the centre at which a source of a given map still is the galaxy


def given_segments(segments: Any, shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """Map (B, H, W) of `SKY`, `TARGET` and `OTHER` from whole numbers, 0 sky; the number at the centre is the galaxy's.

    Where that is 0 it is the number that comes nearest to the centre, within three pixels.

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
    found, at = _nearest(labels != 0, NEAR)
    own = torch.where(found, labels.flatten(1).gather(1, at[:, None])[:, 0], 0)[:, None, None]
    return torch.where(labels == 0, SKY, torch.where(labels == own, TARGET, OTHER))


def made_segments(flux: Tensor, ivar: Tensor, options: ShapeOptions) -> Tensor:
    """Map (B, H, W) of `SKY`, `TARGET` and `OTHER` from cutouts (B, H, W).

    Flux and variance are smoothed with a Gaussian, pixels without weight left out; pixels above `threshold` sigma of
    that are sources, connected over edges and corners. The galaxy is the source that comes nearest to the centre,
    within twice `smoothing` pixels; what touches it, but is joined to it by a faint `bridge` alone, is another source.
    Other sources of `min_pixels` and more are others, smaller ones are noise.
    """
    mean, noise = _smoothed(flux, ivar, options.smoothing)
    label = components((mean > options.threshold * noise) & (ivar > 0))
    large = (areas(label) >= options.min_pixels).double()
    kept = torch.nn.functional.pad(large, (0, 1)).gather(1, label.flatten(1)).view(label.shape) > 0
    own, at = _nearest(kept, max(2.0, 2 * options.smoothing))
    number = torch.where(own, label.flatten(1).gather(1, at[:, None])[:, 0], -1)
    galaxy = label == number[:, None, None]
    if options.bridge > 0:
        galaxy = _told_apart(mean, galaxy, at, options.bridge)
    return torch.where(galaxy, TARGET, torch.where(kept, OTHER, SKY))


def _smoothed(flux: Tensor, ivar: Tensor, width: float) -> tuple[Tensor, Tensor]:
    """Images (B, H, W) smoothed with a Gaussian of `width` pixels, in units of the least noise, and their noise."""
    b, height, side = flux.shape
    sigma = torch.full((b,), width, dtype=torch.float64, device=flux.device)
    ky, kx = (gaussian(sigma, torch.full_like(sigma, n), n) for n in (height, side))
    good = (ivar > 0).float()
    top = ivar.flatten(1).amax(1).double().clamp_min(1e-300)[:, None, None]
    light = (flux.double() * top.sqrt()).float() * good
    variance = good * (top / ivar.double().clamp_min(1e-300)).clamp_max(1e12).float()
    norm = smooth(good, ky, kx).clamp_min(1e-12)
    noise = (smooth(variance, ky.square(), kx.square()) / norm.square()).clamp_min(0).sqrt()
    return smooth(light, ky, kx) / norm, noise


def _nearest(mask: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Whether (B,) a pixel of a mask (B, H, W) lies within `reach` of the centre, and which (B,) is the nearest one."""
    height, width = mask.shape[1:]
    y, x = (torch.arange(n, device=mask.device) - n // 2 for n in (height, width))
    distance = (y[:, None].square() + x.square()).double()
    near = torch.where(mask & (distance <= reach**2), distance, torch.inf).flatten(1)
    return torch.isfinite(near.amin(1)), near.argmin(1)


def _told_apart(light: Tensor, galaxy: Tensor, at: Tensor, bridge: float) -> Tensor:
    """Sources (B, H, W) without what only touches them, see `part_of`; `at` (B,) is a pixel of each."""
    out = galaxy.cpu().numpy().copy()
    images, width = light.double().cpu().numpy(), galaxy.shape[2]
    for mask, image, place in zip(out, images, at.tolist(), strict=True):
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        if len(rows):
            box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            middle = (place // width - rows[0], place % width - columns[0])
            mask[box] = part_of(image[box], mask[box], middle, bridge=bridge)
    return torch.from_numpy(out).to(galaxy.device)
