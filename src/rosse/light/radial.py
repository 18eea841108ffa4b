"""The Sersic profile, in real space and in Fourier space.

Everything here is for unit total flux and unit half-light radius, as a function of ``u = r / r_e`` or of
``kappa = k r_e``; size, shape and flux are the business of the callers.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from rosse.light.elliptical import Transform, hermite_pieces

# Ranges that the tables cover, in steps that leave interpolation errors below 1e-6 of the total flux.
N_RANGE = (0.25, 12.0)
KAPPA_RANGE = (1e-5, 2e4)
STEP_LN_N = 0.04
STEP_LN_KAPPA = 0.04


def sersic_b(n: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Constant b of the Sersic profile: ``gammainc(2n, b) = 1/2`` puts half the light within r_e.

    Exact, by SciPy's inverse (Ciotti & Bertin 1999, arXiv:astro-ph/9911078, eq. 2).
    """
    return np.asarray(special.gammaincinv(2.0 * np.asarray(n, dtype=np.float64), 0.5))


class SersicConstants(NamedTuple):
    """Constants of the profile at each n: (B,) tensors, with derivatives by ln n."""

    n: Tensor
    b: Tensor
    db: Tensor
    ln_norm: Tensor
    dln_norm: Tensor


def sersic_constants(n: Tensor) -> SersicConstants:
    """Constant b and ln of the normalisation ``b^(2n) / (2 pi n Gamma(2n))`` with their derivatives by ln n, (B,)."""
    values, slopes = _constants_tensors(n.device)
    value, slope = _hermite(values, slopes, torch.log(n.to(torch.float64)), math.log(N_RANGE[0]), STEP_LN_N)
    value, slope = value.to(n), slope.to(n)
    return SersicConstants(n, value[..., 0], slope[..., 0], value[..., 1], slope[..., 1])


def sersic_profile(u: Tensor, constants: SersicConstants) -> tuple[Tensor, Tensor, Tensor]:
    """Surface brightness of the unit Sersic profile, and its derivatives by ln u and by ln n.

    Parameters
    ----------
    u : (B, ...) radius in half-light radii.
    constants : of B galaxies.

    Notes
    -----
    ``I(u) = b^(2n) / (2 pi n Gamma(2n)) exp(-b u^(1/n))`` (Graham & Driver 2005, arXiv:astro-ph/0503176, eqs. 1-5,
    divided by the total flux).
    """
    n, b, db, ln_norm, dln_norm = (c.reshape(c.shape + (1,) * (u.ndim - c.ndim)) for c in constants)
    ln_u = torch.log(u.clamp_min(1e-12))  # at u = 0 the gradient of u**(1/n) is infinite
    power = torch.exp(ln_u / n)
    value = torch.exp(ln_norm - b * power)
    d_ln_u = -value * b * power / n
    d_ln_n = value * (dln_norm - power * (db - b * ln_u / n))
    return value, d_ln_u, d_ln_n


def sersic_brightness(u: Tensor, constants: SersicConstants) -> Tensor:
    """The first of `sersic_profile` alone."""
    n, b, _, ln_norm, _ = (c.reshape(c.shape + (1,) * (u.ndim - c.ndim)) for c in constants)
    power = u.clamp_min(1e-12).log_().div_(n).exp_()
    return torch.addcmul(ln_norm, b, power, value=-1).exp_()


def sersic_flux_within(u: Tensor, constants: SersicConstants) -> Tensor:
    """Fraction of the total flux within `u` half-light radii (Graham & Driver 2005, eq. 2)."""
    n, b = (c.reshape(c.shape + (1,) * (u.ndim - c.ndim)).to(torch.float64) for c in constants[:2])
    within: Tensor = torch.special.gammainc(2 * n, b * u.to(torch.float64) ** (1 / n))
    return within


def sersic_transform(n: Tensor) -> Transform:
    """Hankel transform of the unit Sersic profile of each n, with its derivative by ln n.

    Parameters
    ----------
    n : (B,) Sersic indices within `N_RANGE`.

    Notes
    -----
    Tabulated once from its Mellin-Barnes integral (see `_transform_table`) with its exact slopes, so that bicubic
    Hermite interpolation gives value and derivatives together.
    """
    table = _transform_tensor(n.device)
    at = ((torch.log(n.to(torch.float64)) - math.log(N_RANGE[0])) / STEP_LN_N).clamp(0, table.shape[0] - 1.000001)
    left = at.floor().long()
    low, high = table[left], table[left + 1]  # (B, 4, K): H, dH/dlnk, dH/dlnn, d2H/dlnk dlnn at two nodes of n
    t = (at - left)[:, None, None]
    by_ln_n = torch.stack(_cubic(low[:, :2], low[:, 2:], high[:, :2], high[:, 2:], t, STEP_LN_N), 2)  # (B, 2, 2, K)
    pieces = hermite_pieces(by_ln_n[:, 0], by_ln_n[:, 1], STEP_LN_KAPPA).permute(0, 2, 1, 3).to(torch.float32)
    return Transform(pieces.reshape(-1, 8).contiguous(), pieces.shape[1], math.log(KAPPA_RANGE[0]), STEP_LN_KAPPA)


def _nodes(span: tuple[float, float], step: float) -> NDArray[np.float64]:
    count = math.ceil(math.log(span[1] / span[0]) / step) + 1
    return math.log(span[0]) + step * np.arange(count, dtype=np.float64)


def _b_slope(n: NDArray[np.float64]) -> NDArray[np.float64]:
    """db/dn, by a five-point difference of the exact inverse."""
    h = 1e-3 * n
    return np.asarray(
        (8 * (sersic_b(n + h) - sersic_b(n - h)) - (sersic_b(n + 2 * h) - sersic_b(n - 2 * h))) / (12 * h)
    )


@lru_cache(maxsize=1)
def _constants_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values and slopes by ln n of b and of the log of the normalisation, each (N, 2)."""
    n = np.exp(_nodes(N_RANGE, STEP_LN_N))
    b, db = sersic_b(n), _b_slope(n)
    ln_norm = 2 * n * np.log(b) - np.log(2 * np.pi * n) - special.gammaln(2 * n)
    d_ln_norm = 2 * np.log(b) + 2 * n * db / b - 1 / n - 2 * special.digamma(2 * n)
    return np.stack([b, ln_norm], -1), np.stack([n * db, n * d_ln_norm], -1)


@lru_cache(maxsize=4)
def _constants_tensors(device: torch.device) -> tuple[Tensor, Tensor]:
    values, slopes = _constants_table()
    return torch.as_tensor(values, device=device), torch.as_tensor(slopes, device=device)


@lru_cache(maxsize=1)
def _transform_table() -> NDArray[np.float64]:
    """(N, 4, K): H, dH/dln kappa, dH/dln n and the mixed derivative on the nodes of ln n and ln kappa.

    Notes
    -----
    The Mellin transform of the Hankel transform is a product of gamma functions, because those of the profile and of
    J0 are (Gradshteyn & Ryzhik 6.561.14 and 3.478.1):

        M(s) = 2^(s-1) Gamma(s/2) / Gamma(1 - s/2) b^(n s) Gamma(n (2 - s)) / Gamma(2n),    0 < Re s < 2.

    Along Re s = 1 it falls like exp(-pi n |t| / 2), so the trapezoidal rule gives the inverse to rounding error:
    neither the cusp at r = 0 nor the wings are ever sampled.
    """
    n, ln_kappa = np.exp(_nodes(N_RANGE, STEP_LN_N)), _nodes(KAPPA_RANGE, STEP_LN_KAPPA)
    step = 0.03
    t = step * np.arange(-int(110 / step), int(110 / step) + 1)  # exp(-pi 0.25 110 / 2) = 2e-19
    s = 1.0 + 1j * t
    kernel = np.exp(-np.outer(ln_kappa, s)) * (step / (2 * np.pi))  # (K, T)
    b, db = sersic_b(n)[:, None], _b_slope(n)[:, None]
    bessel = (s - 1) * math.log(2) + special.loggamma(s / 2) - special.loggamma(1 - s / 2)
    m = np.exp(
        bessel + n[:, None] * s * np.log(b) + special.loggamma(n[:, None] * (2 - s)) - special.gammaln(2 * n)[:, None]
    )
    psi = s * np.log(b) + n[:, None] * s * db / b + (2 - s) * special.digamma(n[:, None] * (2 - s))
    d_ln_n = n[:, None] * (psi - 2 * special.digamma(2 * n)[:, None])
    parts = [m, -s * m, d_ln_n * m, -s * d_ln_n * m]
    return np.asarray(np.stack([(part @ kernel.T).real for part in parts], axis=1), dtype=np.float64)


@lru_cache(maxsize=4)
def _transform_tensor(device: torch.device) -> Tensor:
    return torch.as_tensor(_transform_table(), device=device)


def _cubic(y0: Tensor, s0: Tensor, y1: Tensor, s1: Tensor, t: Tensor, step: float) -> tuple[Tensor, Tensor]:
    """Cubic Hermite interpolation between two nodes: value and slope at fraction `t` of the step."""
    m0, m1 = step * s0, step * s1
    c2 = 3 * (y1 - y0) - 2 * m0 - m1
    c3 = 2 * (y0 - y1) + m0 + m1
    return y0 + t * (m0 + t * (c2 + t * c3)), (m0 + t * (2 * c2 + 3 * t * c3)) / step


def _hermite(values: Tensor, slopes: Tensor, x: Tensor, start: float, step: float) -> tuple[Tensor, Tensor]:
    """Rows of a table (K, C) and their slopes, interpolated at `x` (B,): two (B, C)."""
    at = ((x - start) / step).clamp(0, values.shape[0] - 1.000001)
    left = at.floor().long()
    t: Any = (at - left)[..., None]
    return _cubic(values[left], slopes[left], values[left + 1], slopes[left + 1], t, step)
