"""Centroid, axes and direction of a galaxy from its second moments."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PIXEL = 1.0 / 12.0  # variance of a uniform square of side 1


def centroid(image: Tensor) -> tuple[Tensor, Tensor]:
    """Mean position x, y (B,), pixels, of the light of images (B, H, W)."""
    xs, ys = _axes(image)
    columns, rows = image.sum(1, dtype=torch.float64), image.sum(2, dtype=torch.float64)
    total = rows.sum(1)
    return (columns * xs).sum(1) / total, (rows * ys).sum(1) / total


def second_moments(image: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means of dx^2, dy^2 and dx dy (B,), pixel^2, around a centre, weighted by images (B, H, W).

    Where a galaxy is thinner than a pixel the matrix has no inverse; the variance of a pixel is then added to both
    axes (Bertin & Arnouts 1996, sect. 10.1.5 of the manual).
    """
    xs, ys = _axes(image)
    dx, dy = xs - x[:, None], ys - y[:, None]
    columns, rows = image.sum(1, dtype=torch.float64), image.sum(2, dtype=torch.float64)
    total = rows.sum(1)
    xx = (columns * dx.square()).sum(1) / total
    yy = (rows * dy.square()).sum(1) / total
    xy = ((image * dx[:, None, :].to(image.dtype)).sum(2, dtype=torch.float64) * dy).sum(1) / total
    thin = xx * yy - xy.square() < PIXEL**2
    return torch.where(thin, xx + PIXEL, xx), torch.where(thin, yy + PIXEL, yy), xy


def axes(xx: Tensor, yy: Tensor, xy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Semi-major and semi-minor axis, pixels, and direction, radians from +x to +y, of the moments' ellipse."""
    mean, half = (xx + yy) / 2, (((xx - yy) / 2).square() + xy.square()).sqrt()
    theta = 0.5 * torch.atan2(2 * xy, xx - yy)
    return (mean + half).abs().sqrt(), (mean - half).abs().sqrt(), theta


def ellipticity(major: Tensor, minor: Tensor) -> Tensor:
    """1 - b/a."""
    return 1 - minor / major


def _axes(image: Tensor) -> tuple[Tensor, Tensor]:
    height, width = image.shape[-2:]
    kind: Any = {"dtype": torch.float64, "device": image.device}
    return torch.arange(width, **kind), torch.arange(height, **kind)
