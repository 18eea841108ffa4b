"""Radial profiles as an astronomer writes them: surface brightness of radius, of any normalisation.

Radii are in any one unit; everything broadcasts and can be differentiated, the centre and the ends included.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rosse.light.radial import sersic_constants
from rosse.light.shapes import truncation

TINY = 1e-9
NUKER_CUT = 300.0


def sersic(r: Tensor, r_e: Tensor, n: Tensor) -> Tensor:
    """Sersic profile, 1 at r_e (Graham & Driver 2005, eq. 1)."""
    u = (r / r_e).clamp_min(TINY)  # at r = 0 the gradient of u**(1/n) is infinite
    return torch.exp(-_sersic_b(n) * (u ** (1 / n) - 1))


def truncated_sersic(r: Tensor, r_e: Tensor, n: Tensor, outer: list[Tensor], inner: list[Tensor]) -> Tensor:
    """Sersic profile times the truncation of Peng et al. (2010, eqs. 10-12).

    Parameters
    ----------
    r, r_e, n : as in `sersic`.
    outer : radius of 98 % of the light and how much farther out 1 % of it is left; or nothing.
    inner : radius of 98 % of the light and which fraction of it has 1 %; or nothing.
    """
    light = sersic(r, r_e, n)
    if outer:
        light = light * truncation(r, outer[0], outer[0] + outer[1])
    return light * truncation(r, inner[0], inner[0] * inner[1]) if inner else light


def moffat(r: Tensor, fwhm: Tensor, beta: Tensor) -> Tensor:
    """Moffat profile, 1 at the centre (Moffat 1969, eq. 5, with the FWHM instead of the core radius)."""
    core = fwhm / (2 * torch.sqrt(2 ** (1 / beta) - 1))
    return (1 + (r / core).square()) ** -beta


def king(r: Tensor, r_c: Tensor, r_t: Tensor, alpha: Tensor) -> Tensor:
    """King profile with exponent `alpha`, 0 beyond r_t (King 1962, eq. 14 at alpha = 2; Elson 1999, eq. 1)."""
    inner = (1 + (r / r_c).square()) ** (-1 / alpha)
    edge = (1 + (r_t / r_c).square()) ** (-1 / alpha)
    return (inner - edge).clamp_min(TINY) ** alpha * (r < r_t)  # at the edge the gradient of x**alpha may be infinite


def ferrers(r: Tensor, r_out: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Ferrers profile, 0 beyond r_out (Peng et al. 2010, eq. 23)."""
    inner = (r / r_out).clamp_min(TINY) ** (2 - beta)
    return (1 - inner).clamp_min(TINY) ** alpha * (r < r_out)  # at the end the gradient of x**alpha may be infinite


def core_sersic(r: Tensor, r_e: Tensor, n: Tensor, *, r_b: Tensor, alpha: Tensor, gamma: Tensor) -> Tensor:
    """Core-Sersic profile (Graham et al. 2003, eq. 5; Trujillo et al. 2004, eq. 5)."""
    ratio = (r / r_b).clamp_min(1e-6)
    # ln(1 + (r_b / r)^alpha) and the like without powers that overflow
    inner = torch.logaddexp(torch.zeros_like(ratio), -alpha * torch.log(ratio))
    ln_r = torch.logaddexp(alpha * torch.log(ratio * r_b), alpha * torch.log(r_b)) / alpha
    power = torch.exp((ln_r - torch.log(r_e)) / n)
    return torch.exp(gamma / alpha * inner - _sersic_b(n) * (power - 1))


def nuker(r: Tensor, r_b: Tensor, alpha: Tensor, beta: Tensor, gamma: Tensor) -> Tensor:
    """Nuker profile, 1 at r_b (Lauer et al. 1995, eq. 3), times a Gaussian of `NUKER_CUT` break radii."""
    ln_ratio = torch.log((r / r_b).clamp_min(1e-6))
    outer = torch.logaddexp(torch.zeros_like(ln_ratio), alpha * ln_ratio) - torch.log(torch.full_like(ln_ratio, 2.0))
    cut = (r / (NUKER_CUT * r_b)).square()
    return torch.exp(-gamma * ln_ratio + (gamma - beta) / alpha * outer - cut)


def broken_exponential(r: Tensor, r_s: Tensor, r_s_out: Tensor, r_b: Tensor, dr_b: Tensor) -> Tensor:
    """Exponential of scale length r_s that turns into one of r_s_out at r_b (Erwin et al. 2008, eq. 5).

    `dr_b` is the inverse of their alpha: the length over which it turns.
    """
    zero = torch.zeros_like(r + r_b)
    turn = dr_b * (torch.logaddexp(zero, (r - r_b) / dr_b) - torch.logaddexp(zero, -r_b / dr_b + zero))
    return torch.exp(-r / r_s + (1 / r_s - 1 / r_s_out) * turn)


def _sersic_b(n: Tensor) -> Tensor:
    """Constant b of the Sersic profile, differentiable by n."""
    return _SersicB.apply(n)  # type: ignore[no-any-return]


class _SersicB(torch.autograd.Function):
    """b(n) from its table, which knows its own slope."""

    generate_vmap_rule = True

    @staticmethod
    def forward(n: Tensor) -> Tensor:
        b: Tensor = sersic_constants(n.flatten()).b.view_as(n)
        return b

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor], output: Tensor) -> None:
        (ctx.n,) = inputs  # type: ignore[attr-defined]

    @staticmethod
    def jvp(ctx: object, tangent: Tensor) -> Tensor:
        n = ctx.n  # type: ignore[attr-defined]
        constants = sersic_constants(n.flatten())
        slope: Tensor = tangent * (constants.db.view_as(n) / n)
        return slope
