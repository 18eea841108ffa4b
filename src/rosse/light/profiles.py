"""The Sersic family and the point source."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, final

import torch
from torch import Tensor

from rosse.light import formulas
from rosse.light.components import Component, Parameter
from rosse.light.copies import DIFFERENCE
from rosse.light.elliptical import Elliptical, Profiles, Transform
from rosse.light.psf import FourierGrid
from rosse.light.radial import (
    SersicConstants,
    sersic_brightness,
    sersic_constants,
    sersic_flux_within,
    sersic_profile,
    sersic_transform,
)

RADIUS = Parameter(
    name="r_e", unit="length", description="half-light radius along the major axis", lower=0.05, upper=5000.0,
    log=True, start=1.0, step=0.7,
)  # fmt: skip
INDEX = Parameter(name="n", description="Sersic index", lower=0.3, upper=8.0, log=True, start=2.0)


@dataclass(frozen=True, repr=False)
class _SersicFamily(Elliptical):
    """What Sersic components of free and fixed index share."""

    @abstractmethod
    def _index(self, radial: Tensor) -> Tensor:
        """Sersic index (M,) of radial parameters (M, E)."""

    def value(self, radius: Tensor, radial: Tensor) -> Tensor:
        return formulas.sersic(radius, torch.exp(radial[:, :1]), self._index(radial)[:, None])

    def profile(self, radial: Tensor) -> Profiles:
        return _SersicProfiles(r_e=torch.exp(radial[:, :1]), n=self._index(radial), free_index=radial.shape[1] > 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class _SersicProfiles(Profiles):
    """M Sersic profiles: r_e (M, 1), n (M,), and whether derivatives by n are wanted."""

    r_e: Tensor
    n: Tensor
    free_index: bool

    @cached_property
    def _constants(self) -> SersicConstants:
        return sersic_constants(self.n)

    def transform(self) -> Transform:
        whole = sersic_transform(self.n)
        return whole if self.free_index else whole._replace(pieces=whole.pieces[:, :4].contiguous())

    def brightness(self, radius: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        area = self.r_e.square()
        value, by_ln_u, by_ln_n = (v / area for v in sersic_profile(radius / self.r_e, self._constants))
        return value, by_ln_u, self._wanted(-by_ln_u - 2 * value, by_ln_n)

    def value(self, radius: Tensor) -> Tensor:
        return sersic_brightness(radius / self.r_e, self._constants) / self.r_e.square()

    def within(self, radius: Tensor) -> Tensor:
        return sersic_flux_within(radius / self.r_e, self._constants)

    def growth(self, radius: Tensor) -> tuple[Tensor, list[Tensor]]:
        within = self.within(radius)
        by_ln_radius = 2 * math.pi * radius.square() * self.brightness(radius)[0]
        if not self.free_index:
            return within, [-by_ln_radius]
        at = self._constants
        moved = at._replace(n=at.n * (1 + DIFFERENCE), b=at.b + at.db * DIFFERENCE)
        more = sersic_flux_within(radius / self.r_e, moved)
        return within, [-by_ln_radius, (more - within) / DIFFERENCE]

    def _wanted(self, by_ln_r: Tensor, by_ln_n: Tensor) -> list[Tensor]:
        return [by_ln_r, by_ln_n] if self.free_index else [by_ln_r]


@final
@dataclass(frozen=True, repr=False)
class Sersic(_SersicFamily):
    """Sersic (1963) profile: ``I(r) = I_e exp(-b ((r / r_e)^(1/n) - 1))`` (Graham & Driver 2005, eq. 1).

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`.
    """

    @property
    def radial(self) -> tuple[Parameter, ...]:
        return RADIUS, INDEX

    def _index(self, radial: Tensor) -> Tensor:
        return torch.exp(radial[:, 1])


@dataclass(frozen=True, repr=False)
class _FixedIndex(_SersicFamily):
    """Sersic components whose index is part of their name."""

    index: ClassVar[float]

    @property
    def radial(self) -> tuple[Parameter, ...]:
        return (RADIUS,)

    def _index(self, radial: Tensor) -> Tensor:
        return torch.full_like(radial[:, 0], self.index)


@final
@dataclass(frozen=True, repr=False)
class Gaussian(_FixedIndex):
    """Gaussian profile, the Sersic profile with n = 1/2; its dispersion is ``r_e / 1.1774``.

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`.
    """

    index = 0.5


@final
@dataclass(frozen=True, repr=False)
class Exponential(_FixedIndex):
    """Exponential disc (Freeman 1970): the Sersic profile with n = 1; its scale length is ``r_e / 1.678``.

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`.
    """

    index = 1.0


@final
@dataclass(frozen=True, repr=False)
class DeVaucouleurs(_FixedIndex):
    """De Vaucouleurs (1948) profile: the Sersic profile with n = 4.

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`.
    """

    index = 4.0


@final
@dataclass(frozen=True, repr=False)
class PointSource(Component):
    """An unresolved source: a star, an active nucleus.

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`.
    """

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return ()

    def unit_rows(self, values: Tensor, grid: FourierGrid, rows: Tensor) -> None:
        response = grid.shifted(values[..., 1:3])
        slopes = [response * (-1j * grid.kx), response * (-1j * grid.ky[:, None])] if rows.shape[2] > 1 else []
        rows.copy_(grid.to_images(torch.stack([part.mT for part in (response, *slopes)], 2).mT))
