"""The parts that models are made of, and how they add up.

A component is a small frozen value: `Sersic("bulge")`, `Exponential("disc")`. Components add up to a `Model`. What a
component must say of itself is its parameters and how it looks at unit flux, in Fourier space and, far from its
centre, in real space; flux, centre, PSF and bands are common to all and live in `render.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from rosse.errors import OptionError, unknown_name
from rosse.light.radial import (
    read_transform,
    sersic_constants,
    sersic_flux_within,
    sersic_profile,
    sersic_transform,
)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A shape parameter of a component.

    Parameters
    ----------
    name : column name.
    unit : ``"length"`` (arcsec, or pixels where the scale is unknown), ``"angle"`` or empty.
    description : one sentence for tables.
    lower, upper : bounds of a fit; lengths in pixels.
    log : whether the fit works in its natural logarithm (for what is positive and spans decades).
    """

    name: str
    unit: str = ""
    description: str
    lower: float
    upper: float
    log: bool = False


RADIUS = Parameter(
    name="r_e", unit="length", description="half-light radius along the major axis", lower=0.05, upper=5000.0, log=True
)
INDEX = Parameter(name="n", description="Sersic index", lower=0.3, upper=8.0, log=True)
# q may pass 1 within a fit: the axes then trade places, and a round galaxy is not at a bound.
RATIO = Parameter(name="q", description="axis ratio b/a", lower=0.02, upper=50.0, log=True)
ANGLE = Parameter(
    name="pa", unit="angle", description="position angle of the major axis, east of north", lower=-1e6, upper=1e6
)


class Component(ABC):
    """One part of a galaxy at unit flux, centred on the origin."""

    name: str
    fixed: Mapping[str, float]
    bounds: Mapping[str, tuple[float, float]]

    @property
    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]:
        """Shape parameters, in the order of the last axis of `values`."""

    @abstractmethod
    def spectrum(self, values: Tensor, ky: Tensor, kx: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Fourier transform at unit flux, and its derivative by each parameter.

        Parameters
        ----------
        values : (B, S) in the coordinates of the fit: logarithms where `Parameter.log`, lengths in pixels, angles in
            radians from +x to +y.
        ky, kx : frequencies, radians per pixel.

        Returns
        -------
        (B, Ky, Kx) real, because components are symmetric under a turn by pi; and S like it.
        """

    @abstractmethod
    def wings(self, values: Tensor, dx: Tensor, dy: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Surface brightness at unit flux far from the centre, and its derivative by dx, dy and each parameter.

        Parameters
        ----------
        values : (B, S).
        dx, dy : (B, ...) offsets from the centre in pixels.
        """

    @abstractmethod
    def flux_outside(self, values: Tensor, half_size: tuple[float, float]) -> Tensor:
        """Fraction (B,) of the flux outside a box of this half height and half width around the centre."""

    def __add__(self, other: Component | Model) -> Model:
        return Model((self,)) + other

    def _check(self) -> None:
        known = [parameter.name for parameter in self.parameters]
        for name in (*self.fixed, *self.bounds):
            if name not in known:
                raise OptionError(f"{type(self).__name__}: {unknown_name('parameter', name, known)}")
        for name, (low, high) in self.bounds.items():
            if not low < high:
                raise OptionError(f"{type(self).__name__}: bounds of {name} are ({low}, {high}); low < high is wanted")
        if self.name and not self.name.isidentifier():
            raise OptionError(f"component name {self.name!r} cannot be a column prefix; use letters, digits and _")


class _Elliptical(Component):
    """What Sersic components of free and fixed index share."""

    @abstractmethod
    def _split(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logarithm of r_e, n, logarithm of q, and theta, (B,) each."""

    def spectrum(self, values: Tensor, ky: Tensor, kx: Tensor) -> tuple[Tensor, list[Tensor]]:
        ln_r, n, ln_q, theta = self._split(values)
        c, s, q2 = (v[:, None, None] for v in (torch.cos(theta), torch.sin(theta), torch.exp(2 * ln_q)))
        y, x = ky[None, :, None], kx[None, None, :]
        along, across = x * c + y * s, y * c - x * s
        minor = q2 * across.square()
        k2 = torch.addcmul(minor, along, along).clamp_min_(1e-20)  # at k = 0 the logarithm is infinite
        ln_kappa = torch.log(k2).mul_(0.5).add_(ln_r[:, None, None])
        value, by_ln_k, by_ln_n = read_transform(sersic_transform(n), ln_kappa)
        ratio = by_ln_k / k2
        by_theta = ratio * along * across * (1 - q2)
        return value, self._join(by_ln_k, by_ln_n, ratio * minor, by_theta)

    def wings(self, values: Tensor, dx: Tensor, dy: Tensor) -> tuple[Tensor, list[Tensor]]:
        ln_r, n, ln_q, theta = (v.reshape(v.shape + (1,) * (dx.ndim - 1)) for v in self._split(values))
        c, s, q, r = torch.cos(theta), torch.sin(theta), torch.exp(ln_q), torch.exp(ln_r)
        along, across = dx * c + dy * s, dy * c - dx * s
        minor = (across / q).square()
        radius2 = (along.square() + minor).clamp_min(1e-12)
        value, by_ln_u, by_ln_n = sersic_profile(torch.sqrt(radius2) / r, sersic_constants(n.flatten()))
        area = q * r.square()  # the unit profile has r_e = 1 and q = 1
        value, by_ln_u, by_ln_n = value / area, by_ln_u / area, by_ln_n / area
        ratio = by_ln_u / radius2
        by_dx = ratio * (along * c - across * s / q.square())
        by_dy = ratio * (along * s + across * c / q.square())
        by_theta = ratio * along * across * (1 - 1 / q.square())
        shape = self._join(-by_ln_u - 2 * value, by_ln_n, -ratio * minor - value, by_theta)
        return value, [by_dx, by_dy, *shape]

    def flux_outside(self, values: Tensor, half_size: tuple[float, float]) -> Tensor:
        ln_r, n, ln_q, theta = (v[:, None] for v in self._split(values))
        turn = torch.arange(16, device=values.device, dtype=values.dtype) * (
            torch.pi / 16
        )  # the other half is the same
        along, across = torch.cos(turn), torch.exp(ln_q) * torch.sin(turn)
        dx = along * torch.cos(theta) - across * torch.sin(theta)
        dy = along * torch.sin(theta) + across * torch.cos(theta)
        reach = torch.maximum(dx.abs() / half_size[1], dy.abs() / half_size[0]).reciprocal()
        within = sersic_flux_within(reach / torch.exp(ln_r), sersic_constants(n.flatten()))
        return (1 - within).mean(1)

    @abstractmethod
    def _join(self, by_ln_r: Tensor, by_ln_n: Tensor, by_ln_q: Tensor, by_theta: Tensor) -> list[Tensor]:
        """Derivatives in the order of `parameters`."""


@final
@dataclass(frozen=True)
class Sersic(_Elliptical):
    """Sersic (1963) profile with elliptical isophotes: ``I(r) = I_e exp(-b ((r / r_e)^(1/n) - 1))``.

    Parameters
    ----------
    name : prefix of its columns (``bulge_r_e``); none for a model of one component.
    fixed : parameters that are not fitted, e.g. ``{"n": 4}``; ``r_e`` in pixels, ``pa`` in radians from +x to +y.
    bounds : narrower bounds, e.g. ``{"n": (0.5, 6)}``; ``r_e`` in pixels.
    """

    name: str = ""
    fixed: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return RADIUS, INDEX, RATIO, ANGLE

    def _split(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return values[:, 0], torch.exp(values[:, 1]), values[:, 2], values[:, 3]

    def _join(self, by_ln_r: Tensor, by_ln_n: Tensor, by_ln_q: Tensor, by_theta: Tensor) -> list[Tensor]:
        return [by_ln_r, by_ln_n, by_ln_q, by_theta]


class _FixedIndex(_Elliptical):
    """Sersic components whose index is part of their name."""

    index: float

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return RADIUS, RATIO, ANGLE

    def _split(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return values[:, 0], torch.full_like(values[:, 0], self.index), values[:, 1], values[:, 2]

    def _join(self, by_ln_r: Tensor, by_ln_n: Tensor, by_ln_q: Tensor, by_theta: Tensor) -> list[Tensor]:
        return [by_ln_r, by_ln_q, by_theta]


@final
@dataclass(frozen=True)
class Exponential(_FixedIndex):
    """Exponential disc (Freeman 1970): the Sersic profile with n = 1; its scale length is ``r_e / 1.678``.

    Parameters
    ----------
    name, fixed, bounds : as in `Sersic`.
    """

    name: str = ""
    fixed: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    index = 1.0

    def __post_init__(self) -> None:
        self._check()


@final
@dataclass(frozen=True)
class DeVaucouleurs(_FixedIndex):
    """De Vaucouleurs (1948) profile: the Sersic profile with n = 4.

    Parameters
    ----------
    name, fixed, bounds : as in `Sersic`.
    """

    name: str = ""
    fixed: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    index = 4.0

    def __post_init__(self) -> None:
        self._check()


@final
@dataclass(frozen=True)
class PointSource(Component):
    """An unresolved source: a star, an active nucleus.

    Parameters
    ----------
    name : prefix of its columns.
    """

    name: str = ""
    fixed: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return ()

    def spectrum(self, values: Tensor, ky: Tensor, kx: Tensor) -> tuple[Tensor, list[Tensor]]:
        return torch.ones(len(values), len(ky), len(kx), device=ky.device), []

    def wings(self, values: Tensor, dx: Tensor, dy: Tensor) -> tuple[Tensor, list[Tensor]]:
        return torch.zeros_like(dx), [torch.zeros_like(dx), torch.zeros_like(dx)]

    def flux_outside(self, values: Tensor, half_size: tuple[float, float]) -> Tensor:
        return torch.zeros(len(values), dtype=torch.float64, device=values.device)


@final
@dataclass(frozen=True)
class Model:
    """A sum of components that share their centre.

    Parameters
    ----------
    components : at least one; more than one need names.
    """

    components: tuple[Component, ...]

    def __post_init__(self) -> None:
        names = [component.name for component in self.components]
        if not names:
            raise OptionError("a model needs at least one component")
        if len(names) > 1 and (len(set(names)) < len(names) or "" in names):
            raise OptionError(
                f"components that add up need names of their own, e.g. Sersic('bulge'); these came: {names}"
            )

    def __add__(self, other: Component | Model) -> Model:
        return Model(self.components + (other.components if isinstance(other, Model) else (other,)))

    def prefix(self, component: Component) -> str:
        """Prefix of a component's columns, ``"bulge_"``; nothing for a model of one component."""
        return f"{component.name}_" if component.name and len(self.components) > 1 else ""


def as_model(model: Component | Model) -> Model:
    """A model of one component, or the model itself."""
    return model if isinstance(model, Model) else Model((model,))
