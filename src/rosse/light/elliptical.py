"""Components with elliptical isophotes, drawn in Fourier space.

What such a component is made of is a function of radius alone: its Hankel transform, its brightness and its curve of
growth. Ellipse, centre, PSF and pixel are put on here, for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rosse.light.components import ANGLE, RATIO, Component, Parameter
from rosse.light.copies import Light, Nodes, copies_in_frame, evenly_spread, wings
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


ONE_BY_ONE = 2**22  # frequencies of one image beyond which its rows are transformed one after the other


@dataclass(frozen=True, repr=False)
class Symmetric(Component):
    """A component that half a turn does not change: its transform around its centre is real."""

    @abstractmethod
    def drawn(
        self, values: Tensor, grid: FourierGrid, *, derivatives: bool
    ) -> tuple[list[Tensor], Tensor | None, Tensor]:
        """Real spectra around the centre, and what the periodic copies put into the frame.

        Parameters
        ----------
        values : (M, R) slots: flux, x, y, shape.
        grid : where to draw.
        derivatives : whether those are wanted.

        Returns
        -------
        spectra : 1 + S of (M, Ky, Kx) float32: at unit flux, and by each shape parameter; one without derivatives.
        folded : (M, 1, A) the first of them at the frequencies of `grid.aliases`; None where there are none.
        copies : (M, R or 1, H, W), with x and y before the shape parameters.
        """

    def unit_rows(self, values: Tensor, grid: FourierGrid, rows: Tensor) -> None:
        lead, derivatives = values.shape[:2], rows.shape[2] > 1
        spectra, folded, copies = self.drawn(values.flatten(0, 1), grid, derivatives=derivatives)
        response = grid.shifted(values[..., 1:3])
        if response[0, 0].numel() > ONE_BY_ONE:
            self._one_by_one(response, spectra, copies.view(*lead, *copies.shape[1:]), grid, rows)
            return
        out = response.new_empty(*response.shape[:2], rows.shape[2], *response.shape[2:])
        for i, part in enumerate(spectra):  # slopes as if nothing were folded: they need not be as exact
            own = part.view(*lead, *part.shape[1:])
            own = own if i or grid.aliases is None else own * grid.aliases.own
            torch.mul(response, own, out=out[:, :, i + 2 if i else 0])
        if derivatives:
            torch.mul(out[:, :, 0], -1j * grid.kx, out=out[:, :, 1])
            torch.mul(out[:, :, 0], -1j * grid.ky[:, None], out=out[:, :, 2])
        if grid.aliases is not None and folded is not None:
            light = grid.aliases.light(response, folded.view(*lead, -1), values[..., 1:3])
            grid.aliases.add(out[:, :, :3], light)
        torch.sub(grid.to_images(out), copies.view(*lead, *copies.shape[1:]), out=rows)

    @staticmethod
    def _one_by_one(response: Tensor, spectra: list[Tensor], copies: Tensor, grid: FourierGrid, rows: Tensor) -> None:
        """The same for a large frame, where the spectra of all rows would not fit; what is folded is left out there."""
        lead = copies.shape[:2]
        first = response * spectra[0].view(*lead, *spectra[0].shape[1:])
        for i in range(rows.shape[2]):
            if i == 1:
                spectrum = first * (-1j * grid.kx)
            elif i == 2:
                spectrum = first * (-1j * grid.ky[:, None])
            else:
                part = spectra[max(i - 2, 0)]
                spectrum = response * part.view(*lead, *part.shape[1:]) if i else first
            torch.sub(grid.to_images(spectrum), copies[:, :, i], out=rows[:, :, i])


class Profiles(ABC):
    """M round profiles of unit flux."""

    @abstractmethod
    def transform(self) -> Transform:
        """Their Hankel transforms.

        Derivatives are by the parameters after the scale radius, or by all of them where the profile is not a function
        of the radius in units of the scale radius.
        """

    @abstractmethod
    def brightness(self, radius: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """At `radius` (M, N): value, derivative by ln radius, and by each radial parameter."""

    @abstractmethod
    def growth(self, radius: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Fraction of the flux within `radius` (M, N), and its derivative by each radial parameter."""


@dataclass(frozen=True, repr=False)
class Elliptical(Symmetric):
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
    def value(self, radius: Tensor, radial: Tensor) -> Tensor:
        """Brightness (M, N) at `radius` (M, N), of any normalisation, for radial parameters (M, E) of a fit."""

    @abstractmethod
    def profile(self, radial: Tensor) -> Profiles:
        """The round profiles of M sets of radial parameters (M, E)."""

    def drawn(
        self, values: Tensor, grid: FourierGrid, *, derivatives: bool
    ) -> tuple[list[Tensor], Tensor | None, Tensor]:
        shape, ln_q, theta = values[:, 3:], values[:, -2:-1], values[:, -1:]
        profile = self.profile(shape[:, :-2])
        transform = profile.transform()
        spectra = _round_spectra(transform, shape, (grid.ky[:, None], grid.kx), derivatives=derivatives)
        folded = None
        if grid.aliases is not None:
            at = grid.aliases.ky, grid.aliases.kx
            (folded,) = _round_spectra(transform, shape, at, derivatives=False)

        def light_of(which: Tensor | slice, nodes: Nodes) -> Light:
            some = profile if isinstance(which, slice) else self.profile(shape[which, :-2])
            q, pa = ln_q[which], theta[which]
            rest = evenly_spread(some, q, pa, grid, nodes)
            count = rest.shape[1] if derivatives else 1
            return Light(lambda dx, dy: wings(some, dx, dy, ln_q=q, theta=pa)[:count], rest[:, :count])

        return spectra, folded, copies_in_frame(light_of, values[:, 1:3], grid)


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


def _round_spectra(
    transform: Transform, shape: Tensor, at: tuple[Tensor, Tensor], *, derivatives: bool
) -> list[Tensor]:
    """Real spectra (M, Ky, Kx) around the origin: value and derivatives by shape parameters (M, S).

    Parameters
    ----------
    transform : of the radial parameters.
    shape : (M, S) float64.
    at : frequencies ky and kx, radians per pixel.
    derivatives : whether those are wanted, or only the value.
    """
    ln_r, ln_q, theta = (shape[:, i] for i in (0, -2, -1))
    c, s, q2 = (_on_grid(v) for v in (torch.cos(theta), torch.sin(theta), torch.exp(2 * ln_q)))
    y, x = at
    along, across = x * c + y * s, y * c - x * s
    minor = q2 * across.square()
    k2 = torch.addcmul(minor, along, along).clamp_min_(1e-20)  # at k = 0 the logarithm is infinite
    ln_kappa = torch.log(k2).mul_(0.5).add_(_on_grid(ln_r))
    value, slope, by = read(transform, ln_kappa, derivatives=derivatives)
    if not derivatives:
        return [value]
    ratio = slope / k2
    by_theta = (ratio * along).mul_(across).mul_(1 - q2)
    if len(by) == shape.shape[1] - 3:
        by = [slope, *by]
    return [value, *by, ratio.mul_(minor), by_theta]
