"""Starting values from the pixels themselves: adaptive moments and a curve of growth, no human."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rosse.light.coordinates import elliptical_radius

GROWTH_STEPS = 24


def starting_ellipses(flux: Tensor, ivar: Tensor, *, psf_sigma: Tensor | None = None) -> tuple[Tensor, ...]:
    """Centre, half-light radius, axis ratio and orientation of each target.

    Parameters
    ----------
    flux, ivar : (B, C, H, W); bands are summed with the weight of their noise.
    psf_sigma : (B,) width of the PSF in pixels; taken off the size in quadrature.

    Returns
    -------
    x, y, r_e, q, theta : (B,) float64; pixels and radians from +x to +y.

    Notes
    -----
    Moments under an elliptical Gaussian weight that is matched to the galaxy (Bernstein & Jarvis 2002,
    arXiv:astro-ph/0107431, sect. 3), then the radius of half the light from the curve of growth in ellipses.
    """
    image, weight = _one_band(flux, ivar)
    x, y, cov = _adaptive_moments(image, weight)
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


def _adaptive_moments(image: Tensor, weight: Tensor, iterations: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    batch, height, width = image.shape
    y_grid = torch.arange(height, dtype=image.dtype, device=image.device)[:, None]
    x_grid = torch.arange(width, dtype=image.dtype, device=image.device)[None, :]
    x = torch.full((batch,), float(width // 2), dtype=image.dtype, device=image.device)
    y = torch.full((batch,), float(height // 2), dtype=image.dtype, device=image.device)
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
