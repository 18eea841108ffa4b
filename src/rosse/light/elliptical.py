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
from rosse.light.copies import FEW, Copies, Light, Nodes, copies_in_frame, evenly_spread, wing_light, wings
from rosse.light.psf import ONE_BY_ONE, FourierGrid


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


SPECTRA_IN_CACHE = 2**18  # values of the spectra that a CPU transforms at once: in its cache it is twice as fast
WIDE_AT_ONCE = 64  # galaxies that are drawn on a wider grid at once


@dataclass(frozen=True, repr=False)
class Symmetric(Component):
    """A component that half a turn does not change: its transform around its centre is real."""

    @abstractmethod
    def drawn(
        self, values: Tensor, grid: FourierGrid, *, derivatives: bool
    ) -> tuple[list[Tensor], Tensor | None, Copies]:
        """Real spectra around the centre, and what the periodic copies put into the frame.

        Parameters
        ----------
        values : (M, R) slots: flux, x, y, shape.
        grid : where to draw.
        derivatives : whether those are wanted.

        Returns
        -------
        spectra : 1 + S of (M, Ky, Kx) float32: at unit flux, and by each shape parameter; one without derivatives.
            Contiguous along ky.
        folded : (M, 1, A) the first of them at the frequencies of `grid.aliases`; None where there are none.
        copies : of R or 1 rows, with x and y before the shape parameters.
        """

    def unit_rows(self, values: Tensor, grid: FourierGrid, rows: Tensor) -> None:
        lead = values.shape[:2]
        spectra, folded, copies = self.drawn(values.flatten(0, 1), grid, derivatives=rows.shape[2] > 1)
        response, light = grid.shifted(values[..., 1:3]), None
        if grid.aliases is not None and folded is not None:
            light = grid.aliases.light(response, folded.view(*lead, -1), values[..., 1:3])
        parts = [part.view(*lead, *part.shape[1:]) for part in spectra]
        drawing = _Drawing(grid=grid, response=response, spectra=parts, light=light, copies=copies)
        if response[0, 0].numel() > ONE_BY_ONE:
            drawing.one_by_one(rows)
            return
        each = response[0].numel() * rows.shape[2]
        step = max(1, SPECTRA_IN_CACHE // each) if rows.device.type == "cpu" else lead[0]
        for first in range(0, lead[0], step):
            drawing.put(first, min(first + step, lead[0]), rows)
        if len(copies.crowded):
            for some in torch.unique(copies.crowded // lead[1]).split(WIDE_AT_ONCE):
                wide = grid.rows(some).wider
                assert wide is not None
                drawn = rows.new_empty(len(some), *rows.shape[1:])
                self.unit_rows(values[some], wide, drawn)
                rows[some] = drawn


@dataclass(frozen=True, kw_only=True, eq=False)
class _Drawing:
    """What is known of B galaxies before they are brought to pixels; see `Symmetric.drawn`.

    Parameters
    ----------
    grid : frame, PSF and pixel.
    response : (B, C, Ky, Kx) transfer function and phase of the shift to the centre.
    spectra : 1 + S of (B, K, Ky, Kx).
    light : (B, C, A) what is folded at unit flux, or None.
    copies : of the B K galaxies.
    """

    grid: FourierGrid
    response: Tensor
    spectra: list[Tensor]
    light: Tensor | None
    copies: Copies

    def put(self, first: int, end: int, rows: Tensor) -> None:
        """Draw galaxies `first` to `end` of `rows` (B, C, R, H, W)."""
        grid, response, bands = self.grid, self.response[first:end], self.spectra[0].shape[1]
        out = response.new_empty(*response.shape[:2], rows.shape[2], *response.shape[:1:-1]).mT
        for i, part in enumerate(self.spectra):
            own = part[first:end]
            if self.light is not None and grid.aliases is not None and i == 0:
                own = own * grid.aliases.own[first:end] if len(grid.aliases.own) > 1 else own * grid.aliases.own
            torch.mul(response, own, out=out[:, :, i + 2 if i else 0])
        if rows.shape[2] > 1:  # slopes by shape are as if nothing were folded: they need not be as exact
            torch.mul(out[:, :, 0], -1j * grid.kx, out=out[:, :, 1])
            torch.mul(out[:, :, 0], -1j * grid.ky[:, None], out=out[:, :, 2])
        if self.light is not None and grid.aliases is not None:
            grid.aliases.add(out[:, :, :3], self.light[first:end])
        copies = self.copies.pixels(first * bands, end * bands)
        torch.sub(grid.to_images(out), copies.view(end - first, bands, *copies.shape[1:]), out=rows[first:end])

    def one_by_one(self, rows: Tensor) -> None:
        """The same for large frames, where the spectra of all rows would not fit; what is folded is left out there."""
        lead = self.spectra[0].shape[:2]
        for i in range(rows.shape[2]):
            spectrum = self.response * self.spectra[max(0, i - 2)]
            if i in (1, 2):
                spectrum *= -1j * (self.grid.kx if i == 1 else self.grid.ky[:, None])
            copies = self.copies.pixels(0, lead[0] * lead[1], slice(i, i + 1))[:, 0]
            torch.sub(self.grid.to_images(spectrum), copies.view(*lead, *copies.shape[1:]), out=rows[:, :, i])


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

    def value(self, radius: Tensor) -> Tensor:
        """The first of `brightness` alone."""
        return self.brightness(radius)[0]

    @abstractmethod
    def growth(self, radius: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Fraction of the flux within `radius` (M, N), and its derivative by each radial parameter."""

    def within(self, radius: Tensor) -> Tensor:
        """Fraction of the flux within `radius` (M, N)."""
        return self.growth(radius)[0]


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
    ) -> tuple[list[Tensor], Tensor | None, Copies]:
        shape, ln_q, theta = values[:, 3:], values[:, -2:-1], values[:, -1:]
        profile = self.profile(shape[:, :-2])
        transform = profile.transform()
        at = grid.ky, grid.kx[:, None]
        spectra = [part.mT for part in _in_slabs(transform, shape, at, derivatives=derivatives)]
        folded = None
        if grid.aliases is not None:
            at = grid.aliases.ky, grid.aliases.kx
            (folded,) = _round_spectra(transform, shape, at, derivatives=False)

        def light_of(which: Tensor | slice, nodes: Nodes) -> Light:
            some = profile if isinstance(which, slice) else self.profile(shape[which, :-2])
            q, pa = ln_q[which], theta[which]
            rest = evenly_spread(some, q, pa, grid, nodes, slopes=derivatives and nodes is not FEW)  # too little there
            if not derivatives:
                return Light(lambda dx, dy: [wing_light(some, dx, dy, ln_q=q, theta=pa)], rest)
            count = shape.shape[1] + 3
            return Light(lambda dx, dy: wings(some, dx, dy, ln_q=q, theta=pa)[:count], rest)

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


def _in_slabs(transform: Transform, shape: Tensor, at: tuple[Tensor, Tensor], *, derivatives: bool) -> list[Tensor]:
    """The same as `_round_spectra`, some kx at a time where the frame is large: it needs ten times what it returns."""
    y, x = at
    step = max(1, ONE_BY_ONE // (4 * len(y)))
    if len(y) * len(x) <= ONE_BY_ONE:
        return _round_spectra(transform, shape, at, derivatives=derivatives)
    count = shape.shape[1] + 1 if derivatives else 1
    spectra = [torch.empty(len(shape), len(x), len(y), device=x.device) for _ in range(count)]
    for first in range(0, len(x), step):
        slab = slice(first, first + step)
        for whole, part in zip(
            spectra, _round_spectra(transform, shape, (y, x[slab]), derivatives=derivatives), strict=True
        ):
            whole[:, slab] = part
    return spectra


def _round_spectra(
    transform: Transform, shape: Tensor, at: tuple[Tensor, Tensor], *, derivatives: bool
) -> list[Tensor]:
    """Real spectra (M, ...) around the origin: value and derivatives by shape parameters (M, S).

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
