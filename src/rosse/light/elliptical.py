"""Components with elliptical isophotes, drawn in Fourier space.

What such a component is made of is a function of radius alone: its Hankel transform, its brightness and its curve of
growth. Ellipse, centre, PSF and pixel are put on here, for all of them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rosse.light.components import ANGLE, RATIO, Component, Parameter
from rosse.light.copies import copies_in_frame
from rosse.light.psf import FourierGrid


class Transform(NamedTuple):
    """Cubic pieces of the Hankel transforms of M profiles, in ln kappa = ln (k r_scale).

    Attributes
    ----------
    pieces : (M * K, 4 * (1 + D))
        Polynomial coefficients on each of K intervals: of the transform, and of its derivative by D parameters.
    intervals : K.
    first, step : ln kappa where the first interval starts, and their width.
    """

    pieces: Tensor
    intervals: int
    first: float
    step: float


@dataclass(frozen=True, repr=False)
class Elliptical(Component):
    """A profile of unit flux as a function of radius, flattened by q and turned by pa.

    Its parameters are its radial ones (the first is the scale radius), then q and pa.
    """

    @property
    @abstractmethod
    def radial(self) -> tuple[Parameter, ...]:
        """Radial parameters, the scale radius first."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (*self.radial, RATIO, ANGLE)

    @abstractmethod
    def transform(self, radial: Tensor) -> Transform:
        """Hankel transforms for radial parameters (M, E).

        Their derivatives are by the parameters after the scale radius, or by all of them where the profile is not a
        function of the radius in units of the scale radius.
        """

    @abstractmethod
    def brightness(self, radius: Tensor, radial: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Round profile of unit flux at `radius` (M, N): value, derivative by ln radius, and by each of (M, E)."""

    @abstractmethod
    def flux_within(self, radius: Tensor, radial: Tensor) -> Tensor:
        """Fraction (M, N) of the flux within `radius` (M, N)."""

    def unit_rows(self, values: Tensor, grid: FourierGrid, rows: Tensor) -> None:
        spectra = self._spectra(values, grid, derivatives=rows.shape[2] > 1)
        copies = copies_in_frame(self, values, grid, derivatives=rows.shape[2] > 1)
        torch.sub(grid.to_images(spectra), copies, out=rows)

    def _spectra(self, values: Tensor, grid: FourierGrid, *, derivatives: bool) -> Tensor:
        """(B, C, R or 1, Ky, Kx) complex: at unit flux, by x, by y, by each shape parameter."""
        batch, sets = values.shape[:2]
        shape = values[..., 3:].flatten(0, 1)
        round_rows = self._round_spectra(shape, grid, derivatives=derivatives)
        response = grid.shifted(values[..., 1:3])
        first = round_rows[0].view(batch, sets, *round_rows[0].shape[1:])
        out = response.new_empty(*response.shape[:2], values.shape[2] if derivatives else 1, *response.shape[2:])
        torch.mul(response, first, out=out[:, :, 0])
        if derivatives:
            torch.mul(out[:, :, 0], -1j * grid.kx, out=out[:, :, 1])
            torch.mul(out[:, :, 0], -1j * grid.ky[:, None], out=out[:, :, 2])
            for i, part in enumerate(round_rows[1:]):
                torch.mul(response, part.view_as(first), out=out[:, :, 3 + i])
        return out

    def _round_spectra(self, shape: Tensor, grid: FourierGrid, *, derivatives: bool) -> list[Tensor]:
        """Real spectra (M, Ky, Kx) around the origin: value and derivatives by shape parameters (M, S)."""
        ln_r, ln_q, theta = (shape[:, i] for i in (0, -2, -1))
        c, s, q2 = (_on_grid(v) for v in (torch.cos(theta), torch.sin(theta), torch.exp(2 * ln_q)))
        y, x = grid.ky[None, :, None], grid.kx[None, None, :]
        along, across = x * c + y * s, y * c - x * s
        minor = q2 * across.square()
        k2 = torch.addcmul(minor, along, along).clamp_min_(1e-20)  # at k = 0 the logarithm is infinite
        ln_kappa = torch.log(k2).mul_(0.5).add_(_on_grid(ln_r))
        value, slope, by = read(self.transform(shape[:, :-2]), ln_kappa, derivatives=derivatives)
        if not derivatives:
            return [value]
        ratio = slope / k2
        by_theta = (ratio * along).mul_(across).mul_(1 - q2)
        if len(by) == shape.shape[1] - 3:
            by = [slope, *by]
        return [value, *by, ratio.mul_(minor), by_theta]

    def wings(self, shape: Tensor, dx: Tensor, dy: Tensor) -> list[Tensor]:
        """Surface brightness at unit flux far from the centre, then its derivatives by dx, dy and shape (M, S).

        Parameters
        ----------
        shape : (M, S) float64.
        dx, dy : (M, ...) offsets from the centre in pixels.
        """
        ln_q, theta = (shape[:, i].reshape(-1, *(1,) * (dx.ndim - 1)) for i in (-2, -1))
        c, s, q = torch.cos(theta), torch.sin(theta), torch.exp(ln_q)
        along, across = dx * c + dy * s, dy * c - dx * s
        minor = (across / q).square()
        radius2 = (along.square() + minor).clamp_min(1e-12)
        flat, by_ln_radius, by = self.brightness(torch.sqrt(radius2).flatten(1), shape[:, :-2])
        value, by_ln_radius, *by = (v.view_as(dx) / q for v in (flat, by_ln_radius, *by))  # unit flux: area q
        ratio = by_ln_radius / radius2
        by_dx = ratio * (along * c - across * s / q.square())
        by_dy = ratio * (along * s + across * c / q.square())
        by_theta = ratio * along * across * (1 - 1 / q.square())
        return [value, by_dx, by_dy, *by, -ratio * minor - value, by_theta]

    def flux_outside(self, shape: Tensor, half_size: tuple[float, float]) -> Tensor:
        """Fraction (M,) of the flux outside a box of this half height and half width around the centre."""
        ln_q, theta = shape[:, -2:-1], shape[:, -1:]
        turn = torch.arange(8, device=shape.device, dtype=shape.dtype) * (math.pi / 8)  # the other half is the same
        along, across = torch.cos(turn), torch.exp(ln_q) * torch.sin(turn)
        dx = along * torch.cos(theta) - across * torch.sin(theta)
        dy = along * torch.sin(theta) + across * torch.cos(theta)
        reach = torch.maximum(dx.abs() / half_size[1], dy.abs() / half_size[0]).reciprocal()
        return (1 - self.flux_within(reach, shape[:, :-2])).mean(1)


def read(transform: Transform, ln_kappa: Tensor, *, derivatives: bool = True) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Transform H, dH/dln kappa and its D derivatives at each frequency.

    Parameters
    ----------
    transform : of M profiles.
    ln_kappa : (M, ...) float32.
    derivatives : whether all are wanted, or only H.

    Returns
    -------
    Each shaped like `ln_kappa`.
    """
    shape, last = ln_kappa.shape, transform.intervals
    at = ((ln_kappa - transform.first) * (1.0 / transform.step)).clamp_(0.0, last - 1e-3)
    left = at.to(torch.int32)
    t = (at - left).reshape(-1)
    first = torch.arange(0, shape[0] * last, last, dtype=torch.int32, device=at.device)
    row = (left.reshape(shape[0], -1) + first[:, None]).reshape(-1)
    c = torch.index_select(transform.pieces, 0, row)
    value = _cubic(c, 0, t).view(shape)
    if not derivatives:
        return value, value, []
    slope = torch.addcmul(c[:, 1], t, torch.addcmul(2 * c[:, 2], t, c[:, 3], value=3.0)).mul_(1.0 / transform.step)
    return value, slope.view(shape), [_cubic(c, i, t).view(shape) for i in range(4, c.shape[1], 4)]


def hermite_pieces(value: Tensor, slope: Tensor, step: float) -> Tensor:
    """Coefficients (..., K - 1, 4) of the cubic on each interval, from values and slopes (..., K) at its ends."""
    y0, y1 = value[..., :-1], value[..., 1:]
    m0, m1 = step * slope[..., :-1], step * slope[..., 1:]
    return torch.stack([y0, m0, 3 * (y1 - y0) - 2 * m0 - m1, 2 * (y0 - y1) + m0 + m1], dim=-1)


def _cubic(c: Tensor, i: int, t: Tensor) -> Tensor:
    return torch.addcmul(c[:, i], t, torch.addcmul(c[:, i + 1], t, torch.addcmul(c[:, i + 2], t, c[:, i + 3])))


def _on_grid(value: Tensor) -> Tensor:
    """(M,) double to (M, 1, 1) of the pixels' precision."""
    return value.to(torch.float32)[:, None, None]
