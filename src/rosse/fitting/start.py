"""Starting values from the pixels themselves: adaptive moments and a curve of growth, no human."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rosse.light.coordinates import elliptical_radius

GROWTH_STEPS = 24


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a starting point departs from what the moments say.

    Parameters
    ----------
    size, index : factors on lengths and on Sersic indices.
    inner, outer : size of the first and of the other extended components of a sum, in half-light radii of the galaxy.
    """

    size: float = 1.0
    index: float = 1.0
    inner: float = 0.5
    outer: float = 1.3


FIRST = Trial()


def starting_ellipses(
    flux: Tensor, ivar: Tensor, *, psf_sigma: Tensor | None = None, centre: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, ...]:
    """Centre, half-light radius, axis ratio and orientation of each target.

    Parameters
    ----------
    flux, ivar : (B, C, H, W); bands are summed with the weight of their noise.
    psf_sigma : (B,) width of the PSF in pixels; taken off the size in quadrature.
    centre : x and y (B,) where to look first; the middle of the frame if None.

    Returns
    -------
    x, y, r_e, q, theta : (B,) float64; pixels and radians from +x to +y.

    Notes
    -----
    Moments under an elliptical Gaussian weight that is matched to the galaxy (Bernstein & Jarvis 2002,
    arXiv:astro-ph/0107431, sect. 3), then the radius of half the light from the curve of growth in ellipses.
    """
    image, weight = _one_band(flux, ivar)
    x, y, cov = _adaptive_moments(image, weight, centre)
    if psf_sigma is not None:
        extra = psf_sigma.to(cov).square()[:, None, None] * torch.eye(2, dtype=cov.dtype, device=cov.device)
        cov = _positive(cov - extra, floor=0.05)
    major, minor, theta = _axes(cov)
    q = (minor / major).sqrt().clamp(0.1, 0.95)
    radius = _half_light(image, weight, x=x, y=y, q=q, theta=theta)
    if psf_sigma is not None:
        blur = 1.17741 * psf_sigma.to(radius)  # half-light radius of a Gaussian in units of its sigma
        radius = (radius.square() - blur.square()).clamp_min((0.3 * radius).square()).sqrt()
    return x, y, radius.clamp_min(0.3), q, theta


def psf_width(psf: Tensor) -> Tensor:
    """Gaussian width (B or 1,) in pixels of PSF stamps (B or 1, C, h, w): from peak and sum, mean over bands."""
    peak = psf.amax((-2, -1)).clamp_min(1e-6)
    sigma: Tensor = (1 / (2 * math.pi * peak)).sqrt().mean(1)
    return sigma


def _one_band(flux: Tensor, ivar: Tensor) -> tuple[Tensor, Tensor]:
    """Noise-weighted sum of bands, and 1 where at least one band has weight: (B, H, W) float64."""
    flux, ivar = flux.to(torch.float64), ivar.to(torch.float64)
    level = ivar.amax((-2, -1), keepdim=True)  # one weight per band, so that the sum is an image and not a patchwork
    weight = (ivar > 0) * level
    total = weight.sum(1)
    image = (flux * weight).sum(1) / total.clamp_min(1e-300)
    return image, (total > 0).to(torch.float64)


def nearest_only(ivar: Tensor, centres: list[tuple[Tensor, Tensor]], own: int) -> Tensor:
    """Weights (B, C, H, W) of the pixels that are nearer to centre `own` than to any other, 0 elsewhere."""
    height, width = ivar.shape[-2:]
    y_grid = torch.arange(height, dtype=torch.float64, device=ivar.device)[:, None]
    x_grid = torch.arange(width, dtype=torch.float64, device=ivar.device)
    distance = [(x_grid - x[:, None, None]).square() + (y_grid - y[:, None, None]).square() for x, y in centres]
    others = torch.stack([d for i, d in enumerate(distance) if i != own]).amin(0)
    return ivar * (distance[own] <= others)[:, None]


def rough_sky(flux: Tensor, ivar: Tensor) -> Tensor:
    """Median (B, C, 1, 1) along the rim of the frame, where there is least of the galaxy."""
    height, width = flux.shape[-2:]
    rim = torch.ones(height, width, dtype=torch.bool, device=flux.device)
    wide = max(2, min(height, width) // 16)
    rim[wide:-wide, wide:-wide] = False
    edge = torch.where(ivar > 0, flux, torch.nan)[:, :, rim]
    return edge.nanmedian(-1).values.nan_to_num(0.0)[..., None, None]


def _adaptive_moments(
    image: Tensor, weight: Tensor, centre: tuple[Tensor, Tensor] | None, iterations: int = 12
) -> tuple[Tensor, Tensor, Tensor]:
    batch, height, width = image.shape
    y_grid = torch.arange(height, dtype=image.dtype, device=image.device)[:, None]
    x_grid = torch.arange(width, dtype=image.dtype, device=image.device)[None, :]
    middle = (torch.full_like(image[:, 0, 0], float(length // 2)) for length in (width, height))
    x, y = middle if centre is None else centre
    cov = torch.eye(2, dtype=image.dtype, device=image.device).repeat(batch, 1, 1) * 9.0
    largest = (min(height, width) / 4) ** 2
    for step in range(iterations):
        dx, dy = x_grid - x[:, None, None], y_grid - y[:, None, None]
        inverse = torch.linalg.inv(cov)
        a, b, c = (inverse[:, i, j, None, None] for i, j in ((0, 0), (0, 1), (1, 1)))
        gauss = torch.exp(-0.5 * (a * dx * dx + 2 * b * dx * dy + c * dy * dy)) * weight
        light = gauss * image
        total = light.sum((1, 2))
        good = total > 1e-12 * gauss.sum((1, 2)).clamp_min(1e-300) * image.abs().amax((1, 2))
        safe = torch.where(good, total, torch.ones_like(total))
        mean_x, mean_y = (light * dx).sum((1, 2)) / safe, (light * dy).sum((1, 2)) / safe
        reach = cov.diagonal(dim1=1, dim2=2).sum(1).sqrt()
        x = x + torch.where(good, mean_x.clamp(-reach, reach), 0.0)
        y = y + torch.where(good, mean_y.clamp(-reach, reach), 0.0)
        second = torch.stack(
            [(light * dx * dx).sum((1, 2)), (light * dx * dy).sum((1, 2)), (light * dy * dy).sum((1, 2))]
        )
        xx, xy, yy = 2 * second / safe  # a Gaussian under a weight like itself comes out half as wide
        new = torch.stack([torch.stack([xx, xy], -1), torch.stack([xy, yy], -1)], -2)
        new = _positive(new, floor=0.6, ceiling=largest)
        if step:  # the first pass only centres
            cov = torch.where(good[:, None, None], 0.5 * (cov + new) if step > 6 else new, cov)
    x = x.clamp(0, width - 1)
    y = y.clamp(0, height - 1)
    return x, y, cov


def _positive(cov: Tensor, *, floor: float, ceiling: float = math.inf) -> Tensor:
    """Covariance matrices (B, 2, 2) with both variances within limits."""
    values, vectors = torch.linalg.eigh(cov.nan_to_num(floor))
    limited: Tensor = vectors @ torch.diag_embed(values.clamp(floor, ceiling)) @ vectors.transpose(-1, -2)
    return limited


def _axes(cov: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(cov)
    theta = torch.atan2(vectors[:, 1, 1], vectors[:, 0, 1]) % math.pi
    return values[:, 1], values[:, 0], theta


def _half_light(image: Tensor, weight: Tensor, *, x: Tensor, y: Tensor, q: Tensor, theta: Tensor) -> Tensor:
    """Semi-major axis of half the light: mean surface brightness in elliptical rings, summed outwards."""
    height, width = image.shape[1:]
    y_grid = torch.arange(height, dtype=image.dtype, device=image.device)[:, None] - y[:, None, None]
    x_grid = torch.arange(width, dtype=image.dtype, device=image.device)[None, :] - x[:, None, None]
    radius = elliptical_radius(x_grid, y_grid, q[:, None, None], theta[:, None, None])
    limit = 0.5 * max(height, width)
    edges = torch.linspace(0, 1, GROWTH_STEPS + 1, dtype=image.dtype, device=image.device) ** 1.5 * limit
    ring = torch.bucketize(radius, edges[1:-1].contiguous()).flatten(1)
    light = image.new_zeros(len(image), GROWTH_STEPS).scatter_add_(1, ring, (image * weight).flatten(1))
    count = image.new_zeros(len(image), GROWTH_STEPS).scatter_add_(1, ring, weight.flatten(1))
    area = math.pi * q[:, None] * (edges[1:].square() - edges[:-1].square())
    grown = torch.cumsum(light / count.clamp_min(1.0) * area, 1)
    peak, last = grown.max(1)
    above = grown >= 0.5 * peak[:, None]
    first = torch.where(peak > 0, above.to(torch.int8).argmax(1), torch.full_like(last, 4))
    before = torch.where(first > 0, grown.gather(1, (first - 1).clamp_min(0)[:, None])[:, 0], torch.zeros_like(peak))
    at = grown.gather(1, first[:, None])[:, 0]
    part = ((0.5 * peak - before) / (at - before).clamp_min(1e-300)).clamp(0, 1)
    return edges[first] + part * (edges[first + 1] - edges[first])
