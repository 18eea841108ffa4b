"""Gini, M20 and what they say of bulges and mergers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rosse.shapes.moments import centroid
from rosse.shapes.order import ordered


def gini(image: Tensor, mask: Tensor) -> Tensor:
    """G = sum (2 i - n - 1) |I_i| / (mean |I| n (n - 1)), pixels sorted by |I| (Lotz et al. 2004, eq. 6).

    Parameters
    ----------
    image, mask : (B, H, W) light, and the pixels that count.
    """
    values = ordered(torch.where(mask, image.abs(), torch.inf).flatten(1)).double()
    n = mask.sum((1, 2)).double()
    rank = torch.arange(1, values.shape[1] + 1, dtype=values.dtype, device=image.device)
    values = torch.where(rank <= n[:, None], values, 0.0)
    weight = 2 * rank - n[:, None] - 1
    return (weight * values).sum(1) / (values.sum(1) * (n - 1))


def m20(image: Tensor, mask: Tensor, fraction: float = 0.2) -> Tensor:
    """M20 = log10 of the second moment of the brightest pixels over that of all (Lotz et al. 2004, eqs. 8-9).

    Both are about the centroid of the pixels of the mask, where the total is least. The brightest pixels are counted
    until they hold `fraction` of the light.
    """
    light = torch.where(mask, image, 0.0)
    x, y = centroid(light)
    kind: Any = {"dtype": x.dtype, "device": image.device}
    dx = torch.arange(image.shape[2], **kind)[None, None, :] - x[:, None, None]
    dy = torch.arange(image.shape[1], **kind)[None, :, None] - y[:, None, None]
    moment = light * (dx.square() + dy.square()).to(image.dtype)
    values = ordered(torch.where(mask, image, torch.inf).flatten(1))
    finite = torch.where(torch.isfinite(values), values, 0.0)
    share = finite.double().cumsum(1)
    share = share / share[:, -1:]
    place = ((share <= 1 - fraction) & torch.isfinite(values)).sum(1).clamp_max(values.shape[1] - 1)
    threshold = values.gather(1, place[:, None])[:, :, None]
    bright = torch.where(mask & (image >= threshold), moment, 0.0).sum((1, 2), dtype=torch.float64)
    ratio = bright / moment.sum((1, 2), dtype=torch.float64)
    return torch.where(ratio > 0, ratio.clamp_min(1e-30).log10(), math.nan)


def bulge_statistic(g: Tensor, m: Tensor, *, factors: tuple[float, float, float] = (-0.693, 4.95, -3.96)) -> Tensor:
    """F(G, M20) = -0.693 M20 + 4.95 G - 3.96, large for bulges (Snyder et al. 2015, MNRAS 454, 1886; eq. 4)."""
    return factors[0] * m + factors[1] * g + factors[2]


def merger_statistic(g: Tensor, m: Tensor, *, factors: tuple[float, float, float] = (0.139, 0.990, -0.327)) -> Tensor:
    """S(G, M20) = 0.139 M20 + 0.990 G - 0.327, positive for mergers (Snyder et al. 2015; Lotz et al. 2008, eq. 4)."""
    return factors[0] * m + factors[1] * g + factors[2]
