"""Hankel transforms of any radial profile, from its values on a logarithmic line of radii.

    H(k) = 2 pi integral I(r) J0(k r) r dr

The integral is a sum over the line with a kernel that is J0 as far as the line can tell: its Mellin transform is cut
off where the spacing would alias it (Hamilton 2000, arXiv:astro-ph/9905191, appendix B; without the periodicity). For a
profile that is smooth in ln r the sum is exact to rounding, however fast J0 oscillates between two radii.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from rosse.light.elliptical import Transform, hermite_pieces

# Radii in units of the scale radius. The spacing holds what changes within a tenth of its radius; a profile that ends
# at the scale radius ends a quarter of a cell beyond a node, where the sum is best for an end that is a straight line.
STEP_RADIUS = 0.025
LN_RADIUS = (-460.25 * STEP_RADIUS, 10.3)
LN_KAPPA = (math.log(1e-4), math.log(2e3))
RADII_PER_KAPPA = 2
STEP_KAPPA = RADII_PER_KAPPA * STEP_RADIUS  # the kernel depends on ln r + ln kappa, which then takes few values
# The Mellin transform of J0 is taken along Re s = BIAS: any value in 0..3/2; 1 weighs both ends of the line alike.
BIAS = 1.0


def radii(scale: Tensor) -> Tensor:
    """Radii (M, N) at which a profile of this scale radius (M,) has to be known."""
    line = torch.from_numpy(_ln_radii()).to(scale)
    return scale[:, None] * torch.exp(line)


def hankel_transform(profiles: Tensor) -> Transform:
    """Transforms of profiles, brought to unit flux, with their derivatives.

    Parameters
    ----------
    profiles : (M, 1 + D, N) at `radii`: the profile, and its derivative by D parameters at fixed radius.
    """
    kernel = _kernels(profiles.device)
    line = torch.exp(torch.from_numpy(_ln_radii()).to(profiles))
    weighted = profiles * line.square()
    total = 2 * math.pi * STEP_RADIUS * weighted.sum(-1, keepdim=True)
    value, slope = (weighted @ part / total[:, :1] for part in kernel)  # (M, 1 + D, K)
    change = total[:, 1:] / total[:, :1]
    value[:, 1:] -= change * value[:, :1]
    slope[:, 1:] -= change * slope[:, :1]
    pieces = hermite_pieces(value, slope, STEP_KAPPA).permute(0, 2, 1, 3)  # (M, K - 1, 1 + D, 4)
    count = pieces.shape[1]
    flat = pieces.reshape(len(pieces) * count, -1).to(torch.float32)
    return Transform(flat.contiguous(), count, LN_KAPPA[0], STEP_KAPPA)


def growth(scale: Tensor, profiles: Tensor) -> Tensor:
    """Flux (M, 1 + D, N + 1) within the start of each cell of the line and, at the end, in all."""
    line = torch.exp(torch.from_numpy(_ln_radii()).to(profiles))
    rings = profiles * (2 * math.pi * STEP_RADIUS * (scale[:, None, None] * line).square())
    return torch.nn.functional.pad(torch.cumsum(rings, -1), (1, 0))


def read_growth(grown: Tensor, u: Tensor) -> Tensor:
    """Flux (M, 1 + D, A) within radii `u` (M, A), in units of the scale radius."""
    at = ((torch.log(u) - LN_RADIUS[0]) / STEP_RADIUS + 0.5).clamp(0, grown.shape[-1] - 1.000001)
    left = at.floor().long()[:, None].expand(-1, grown.shape[1], -1)
    low, high = grown.gather(2, left), grown.gather(2, left + 1)
    return low + (at - at.floor())[:, None] * (high - low)


def read_profiles(profiles: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Profiles (M, 1 + D, A) at radii `u` (M, A) in units of the scale radius, and their derivatives by ln u.

    Cubic through the four nearest radii of `profiles` (M, 1 + D, N).
    """
    at = ((torch.log(u) - LN_RADIUS[0]) / STEP_RADIUS).clamp(1, profiles.shape[-1] - 2.000001)
    left = at.floor().long()
    t = (at - left)[:, None]
    index = (left[..., None] + torch.arange(-1, 3, device=u.device)).flatten(1)
    near = profiles.gather(2, index[:, None].expand(-1, profiles.shape[1], -1))
    a, b, c, d = (near[..., i::4] for i in range(4))
    slope_b, slope_c = (c - a) / 2, (d - b) / 2
    second = 3 * (c - b) - 2 * slope_b - slope_c
    third = 2 * (b - c) + slope_b + slope_c
    return b + t * (slope_b + t * (second + t * third)), (slope_b + t * (2 * second + 3 * t * third)) / STEP_RADIUS


@lru_cache(maxsize=1)
def _ln_radii() -> NDArray[np.float64]:
    return np.arange(LN_RADIUS[0], LN_RADIUS[1], STEP_RADIUS)


@lru_cache(maxsize=4)
def _kernels(device: torch.device) -> Tensor:
    """(2, N, K): what each radius adds to H at each kappa, and to dH/dln kappa."""
    count = len(np.arange(LN_KAPPA[0], LN_KAPPA[1], STEP_KAPPA))
    radii_count = len(_ln_radii())
    line = LN_RADIUS[0] + LN_KAPPA[0] + STEP_RADIUS * np.arange(radii_count + RADII_PER_KAPPA * (count - 1))
    bessel = _band_limited_bessel(line) * (2 * math.pi * STEP_RADIUS)
    place = np.arange(radii_count)[:, None] + RADII_PER_KAPPA * np.arange(count)
    return torch.from_numpy(bessel[:, place]).to(device)


def _band_limited_bessel(ln_x: NDArray[Any]) -> NDArray[np.float64]:
    """J0 and its derivative by ln x, (2, A), without the part that a line of spacing `STEP_RADIUS` cannot hold.

    Notes
    -----
    The Mellin transform of J0 is ``2^(s-1) Gamma(s/2) / Gamma(1 - s/2)`` (Gradshteyn & Ryzhik 6.561.14).
    """
    highest = math.pi / STEP_RADIUS
    count = math.ceil(highest * float(np.ptp(ln_x)) / math.pi) + 64  # two nodes and more for every turn of x^-s
    node, weight = np.polynomial.legendre.leggauss(count)
    s = BIAS + 0.5j * highest * (node + 1)
    ln_mellin = (s - 1) * math.log(2) + special.loggamma(s / 2) - special.loggamma(1 - s / 2)
    # A sharp cut would ring far away from where a profile ends; what is smooth has nothing left in the taper.
    taper = np.cos(0.5 * math.pi * np.clip(2 * s.imag / highest - 1, 0, 1)) ** 2
    each = np.exp(ln_mellin) * taper * weight * (0.5 * highest / math.pi)
    power = np.exp(-np.outer(ln_x, s))
    return np.stack([(power @ each).real, -(power @ (s * each)).real])
