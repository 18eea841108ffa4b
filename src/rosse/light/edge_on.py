"""The edge-on disc."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from rosse.light.components import ANGLE, Parameter
from rosse.light.copies import Copies, Light, Nodes, copies_in_frame
from rosse.light.elliptical import Symmetric
from rosse.light.psf import FourierGrid


@final
@dataclass(frozen=True, repr=False)
class EdgeOnDisc(Symmetric):
    """Exponential disc seen edge-on, with a sech^2 layer across (van der Kruit & Searle 1981, eqs. 4-5).

    ``I = I_0 (r / r_s) K_1(r / r_s) sech^2(h / h_s)`` along and across the disc.

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`.
    """

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (
            Parameter.length("r_s", "scale length of the disc", start=0.6),
            Parameter.length("h_s", "scale height of the disc", start=0.15),
            ANGLE,
        )

    def drawn(
        self, values: Tensor, grid: FourierGrid, *, derivatives: bool
    ) -> tuple[list[Tensor], Tensor | None, Copies]:
        shape, aliases = values[:, 3:], grid.aliases
        count = values.shape[1] if derivatives else 1

        def light_of(which: Tensor | slice, nodes: Nodes) -> Light:
            return Light(lambda dx, dy: edge_on_brightness(shape[which], dx, dy)[:count])

        single = shape.to(torch.float32)
        spectra = [part.mT for part in edge_on_transform(single, grid.ky, grid.kx[:, None])]
        folded = None if aliases is None else edge_on_transform(single, aliases.ky, aliases.kx)[0]
        return spectra if derivatives else spectra[:1], folded, copies_in_frame(light_of, values[:, 1:3], grid)


def edge_on_brightness(shape: Tensor, dx: Tensor, dy: Tensor) -> list[Tensor]:
    """Brightness at unit flux, and its derivatives by dx, dy, ln r_s, ln h_s and theta, at offsets (M, N)."""
    r_s, h_s = torch.exp(shape[:, :1]), torch.exp(shape[:, 1:2])
    c, s = torch.cos(shape[:, 2:]), torch.sin(shape[:, 2:])
    along, across = dx * c + dy * s, dy * c - dx * s
    t = (along.abs() / r_s).clamp_min(1e-9)  # at t = 0 K_1 is infinite, t K_1 is 1
    layer = across / h_s
    peak = 1 / (2 * math.pi * r_s * h_s)
    thin = peak / torch.cosh(layer.clamp(-300, 300)).square()
    value = thin * t * torch.special.modified_bessel_k1(t)
    by_t = -thin * t * torch.special.modified_bessel_k0(t)
    by_along = by_t * torch.sign(along) / r_s
    by_across = -2 * torch.tanh(layer) / h_s * value
    by_dx, by_dy = by_along * c - by_across * s, by_along * s + by_across * c
    by_r, by_h = -value - by_t * t, -value - by_across * across
    return [value, by_dx, by_dy, by_r, by_h, by_along * across - by_across * along]


def edge_on_transform(shape: Tensor, ky: Tensor, kx: Tensor) -> list[Tensor]:
    """Transform at unit flux, and its derivatives by ln r_s, ln h_s and theta, at frequencies that broadcast.

    Notes
    -----
    ``(1 + k^2 r_s^2)^(-3/2)`` along the disc (Gradshteyn & Ryzhik 6.699.12), ``w / sinh w`` with ``w = pi k h_s / 2``
    across it.
    """
    ln_r, ln_h, theta = (shape[:, i, None, None] for i in range(3))
    c, s, r_s, h_s = torch.cos(theta), torch.sin(theta), torch.exp(ln_r), torch.exp(ln_h)
    along, across = kx * c + ky * s, ky * c - kx * s
    flat = 1 + (along * r_s).square()
    w = (0.5 * math.pi * h_s * across).abs().clamp(1e-3, 80.0)  # w / sinh w is 1 at 0, where 0 / 0 stands
    value = flat**-1.5 * w / torch.sinh(w)
    by_ln_r = -3 * value * (1 - 1 / flat)
    by_ln_h = value * (1 - w / torch.tanh(w))
    slope_along = -3 * value * along * r_s.square() / flat
    slope_across = by_ln_h * torch.sign(across) / across.abs().clamp_min(1e-12)
    return [value, by_ln_r, by_ln_h, slope_along * across - slope_across * along]
