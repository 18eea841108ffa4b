"""Profiles that are plain functions of radius: Moffat, King, Ferrers, core-Sersic, Nuker, broken disc, and your own.

A profile is a torch function of radius and its parameters, of any normalisation: it is brought to unit flux, and its
transform and derivatives follow by themselves (`hankel.py` and forward-mode automatic differentiation).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from rosse.errors import OptionError
from rosse.light import formulas
from rosse.light.components import Parameter
from rosse.light.elliptical import Elliptical, Profiles, Transform
from rosse.light.hankel import growth, hankel_transform, radii, read_growth, read_profiles
from rosse.light.profiles import INDEX, RADIUS
from rosse.light.slopes import slope_along

Formula = Callable[..., Tensor]

# Columns that a fit's table has beside the parameters of a profile.
TAKEN = (
    "id", "ra", "dec", "flux", "mag", "fraction", "x", "y", "q", "pa", "level", "chi2", "chi2_dof", "n_pixels",
    "flux_in_frame", "neighbours", "noise_factor", "iterations", "status",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class RadialProfile(Elliptical):
    """An elliptical component whose brightness is a formula."""

    @abstractmethod
    def formula(self, radius: Tensor, *values: Tensor) -> Tensor:
        """Surface brightness at `radius` for each radial parameter; lengths in pixels, all broadcasting."""

    def profile(self, radial: Tensor) -> Profiles:
        line = radii(torch.exp(radial[:, 0]))
        return _FormulaProfiles(scale=torch.exp(radial[:, 0]), table=self.with_slopes(line, radial))

    def value(self, radius: Tensor, radial: Tensor) -> Tensor:
        """Brightness (M, N) at `radius` (M, N), of any normalisation, for radial parameters (M, E) of a fit."""
        columns = [radial[:, i : i + 1] for i in range(radial.shape[1])]
        natural = [torch.exp(v) if p.log else v for v, p in zip(columns, self.radial, strict=True)]
        return self.formula(radius, *natural).expand(radius.shape)

    def with_slopes(self, radius: Tensor, radial: Tensor) -> Tensor:
        """Brightness at `radius` (M, N), and its derivative by each radial parameter: (M, 1 + E, N)."""
        count, each = radial.shape
        ways = torch.eye(each, dtype=radial.dtype, device=radial.device).repeat_interleave(count, 0)
        lines = radius.repeat(each, 1)  # all directions at once: what a derivative costs hardly depends on its size
        value, slope = slope_along(lambda p: self.value(lines, p), radial.repeat(each, 1), ways)
        slope = torch.where(value == 0, 0.0, slope)  # where the light has faded out, infinity over infinity
        return torch.cat([value[:count], slope]).view(1 + each, count, -1).transpose(0, 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class _FormulaProfiles(Profiles):
    """M profiles given by a formula.

    Parameters
    ----------
    scale : (M,) scale radius.
    table : (M, 1 + E, N) the formula and its slopes at `radii`.
    """

    scale: Tensor
    table: Tensor

    @cached_property
    def _flux(self) -> Tensor:
        """(M, 1 + E) flux of the formula, and its slopes."""
        return growth(self.scale, self.table)[..., -1]

    def transform(self) -> Transform:
        return hankel_transform(self.table)

    def brightness(self, radius: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        total, change = self._flux[:, :1, None], self._flux[:, 1:, None] / self._flux[:, :1, None]
        value, by_ln_radius = (v / total for v in read_profiles(self.table, radius / self.scale[:, None]))
        slopes = value[:, 1:] - value[:, :1] * change
        return value[:, 0], by_ln_radius[:, 0], list(slopes.unbind(1))

    def growth(self, radius: Tensor) -> tuple[Tensor, list[Tensor]]:
        grown = read_growth(growth(self.scale, self.table), radius / self.scale[:, None])
        within = grown[:, 0] / self._flux[:, :1]
        by = [(grown[:, i] - within * self._flux[:, i : i + 1]) / self._flux[:, :1] for i in range(1, grown.shape[1])]
        return within, by


@final
@dataclass(frozen=True, repr=False)
class Profile(RadialProfile):
    """A profile of your own.

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`.
    function : surface brightness of radius (pixels) and of each parameter of `declared`, in their order. Made of torch
        functions; of any normalisation, but with a finite total flux, and smooth within a tenth of each radius.
    declared : its parameters; the first is the radius that says how large it is (`Parameter.length`).

    Examples
    --------
    >>> import torch
    >>> from rosse import Parameter, Profile
    >>> sech = Profile(function=lambda r, r_s: 1 / torch.cosh(r / r_s), declared=(Parameter.length("r_s"),))
    >>> [parameter.name for parameter in sech.parameters]
    ['r_s', 'q', 'pa']
    """

    function: Formula | None = None
    declared: tuple[Parameter, ...] = ()

    def __post_init__(self) -> None:
        if self.function is None or not self.declared:
            raise OptionError("a Profile needs a function of radius and the parameters that it takes (declared)")
        if self.declared[0].unit != "length" or not self.declared[0].log:
            raise OptionError(
                f"the first parameter of a Profile is its size, but {self.declared[0].name} is no length; "
                f"declare it as Parameter.length({self.declared[0].name!r})"
            )
        names = [p.name for p in self.declared]
        for i, name in enumerate(names):
            if not name.isidentifier():
                raise OptionError(f"parameter name {name!r} cannot be a column; use letters, digits and _")
            if name in TAKEN or (name.startswith("sigma_") and name.removeprefix("sigma_") in (*TAKEN, *names)):
                raise OptionError(f"parameter name {name!r} is taken by every component or its table; choose another")
            if name in names[:i]:
                raise OptionError(f"parameter {name!r} is declared twice; each needs a name of its own")
        super().__post_init__()
        self._try()

    @property
    def radial(self) -> tuple[Parameter, ...]:
        return self.declared

    def formula(self, radius: Tensor, *values: Tensor) -> Tensor:
        assert self.function is not None
        return self.function(radius, *values)

    def _try(self) -> None:
        """Whether the function can be called as a fit does, with slopes, and what it gives is a profile."""
        start = [math.log(p.start) if p.log else p.start for p in self.declared]
        radial = torch.tensor([start], dtype=torch.float64)
        try:
            value = self.value(radii(torch.exp(radial[:, 0])), radial)
        except (TypeError, ValueError, IndexError, RuntimeError, AttributeError) as err:
            raise OptionError(
                f"the function of a Profile cannot be called with a radius and {len(self.declared)} parameters: {err}"
            ) from err
        if not bool(torch.isfinite(value).all()) or bool((value < 0).any()) or not bool((value > 0).any()):
            raise OptionError("the function of a Profile is negative, zero or not finite where its parameters start")
        try:
            slopes = self.with_slopes(radii(torch.exp(radial[:, 0])), radial)[0, 1:]
        except (TypeError, ValueError, IndexError, RuntimeError, AttributeError) as err:
            raise OptionError(
                f"the function of a Profile has no derivatives; make it of torch functions only, not NumPy's: {err}"
            ) from err
        for parameter, slope in zip(self.declared, slopes, strict=True):
            if not bool(torch.isfinite(slope).all()):
                raise OptionError(f"the derivative of a Profile's function by {parameter.name} is not finite")
        if not bool(slopes[0].any()):
            raise OptionError(
                f"{self.declared[0].name} is to be the size of a Profile, but its function does not change with it; "
                "use it, and only torch functions of it"
            )


@final
@dataclass(frozen=True, repr=False)
class Moffat(RadialProfile):
    """Moffat (1969) profile: ``(1 + (r / r_d)^2)^-beta``, with the full width at half maximum as its size.

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`.
    """

    @property
    def radial(self) -> tuple[Parameter, ...]:
        return (
            Parameter.length("fwhm", "full width at half maximum along the major axis"),
            Parameter.number("beta", 1.05, 20.0, "Moffat's exponent", start=3.0),
        )

    def formula(self, radius: Tensor, *values: Tensor) -> Tensor:
        return formulas.moffat(radius, *values)


@final
@dataclass(frozen=True, repr=False)
class King(RadialProfile):
    """King (1962) profile of a core and a tidal radius.

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`.
    """

    @property
    def radial(self) -> tuple[Parameter, ...]:
        return CORE, TIDAL

    def formula(self, radius: Tensor, *values: Tensor) -> Tensor:
        r_c, r_t = values
        return formulas.king(radius, r_c, r_t, torch.full_like(r_c, 2.0))


@final
@dataclass(frozen=True, repr=False)
class ModifiedKing(RadialProfile):
    """King profile with a free exponent (Elson 1999); 2 is King's own.

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`.
    """

    @property
    def radial(self) -> tuple[Parameter, ...]:
        return CORE, TIDAL, Parameter.number("alpha", 0.5, 10.0, "exponent of the modified King profile", start=2.0)

    def formula(self, radius: Tensor, *values: Tensor) -> Tensor:
        return formulas.king(radius, *values)


@final
@dataclass(frozen=True, repr=False)
class Ferrers(RadialProfile):
    """Ferrers (1877) profile of a bar: flat within, and nothing beyond its end.

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`.
    """

    @property
    def radial(self) -> tuple[Parameter, ...]:
        return (
            Parameter.length("r_out", "radius where the profile ends, along the major axis", start=2.0),
            Parameter.number("alpha", 0.5, 8.0, "how gently the profile ends", start=2.0),
            Parameter(name="beta", description="slope of the profile at its centre", lower=-4.0, upper=1.8, start=0.0),
        )

    def formula(self, radius: Tensor, *values: Tensor) -> Tensor:
        return formulas.ferrers(radius, *values)


@final
@dataclass(frozen=True, repr=False)
class CoreSersic(RadialProfile):
    """Sersic profile with a power law within a break radius (Graham et al. 2003).

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`. `r_e` and `n` are those of the outer
        Sersic profile.
    """

    @property
    def radial(self) -> tuple[Parameter, ...]:
        return (
            RADIUS,
            INDEX,
            Parameter.length("r_b", "radius of the break between core and envelope", start=0.2),
            Parameter.number("alpha", 0.3, 20.0, "sharpness of the break", start=3.0),
            Parameter(name="gamma", description="slope of the core", lower=-1.0, upper=1.8, start=0.2),
        )

    def formula(self, radius: Tensor, *values: Tensor) -> Tensor:
        r_e, n, r_b, alpha, gamma = values
        return formulas.core_sersic(radius, r_e, n, r_b=r_b, alpha=alpha, gamma=gamma)


@final
@dataclass(frozen=True, repr=False)
class Nuker(RadialProfile):
    """Double power law of galaxy centres (Lauer et al. 1995).

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`. The outer power law is cut off by a
        Gaussian of 300 break radii, without which most of them hold an infinite flux: what is in the frame
        (`flux_in_frame`) is what was measured.
    """

    @property
    def radial(self) -> tuple[Parameter, ...]:
        return (
            Parameter.length("r_b", "radius of the break", start=0.5),
            Parameter.number("alpha", 0.2, 20.0, "sharpness of the break", start=2.0),
            Parameter.number("beta", 0.5, 8.0, "slope outside of the break", start=1.6),
            Parameter(name="gamma", description="slope within the break", lower=-1.0, upper=1.8, start=0.3),
        )

    def formula(self, radius: Tensor, *values: Tensor) -> Tensor:
        return formulas.nuker(radius, *values)


@final
@dataclass(frozen=True, repr=False)
class BrokenExponential(RadialProfile):
    """Disc whose scale length changes at a break radius (Erwin, Pohlen & Beckman 2008).

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`.
    """

    @property
    def radial(self) -> tuple[Parameter, ...]:
        return (
            Parameter.length("r_s", "scale length within the break", start=0.6),
            Parameter.length("r_s_out", "scale length outside of the break", start=0.4),
            Parameter.length("r_b", "radius of the break", start=1.5),
            Parameter.length("dr_b", "width of the break", start=0.2),
        )

    def formula(self, radius: Tensor, *values: Tensor) -> Tensor:
        return formulas.broken_exponential(radius, *values)


@final
@dataclass(frozen=True, repr=False)
class TruncatedSersic(RadialProfile):
    """Sersic profile that fades out beyond a radius, within one, or both: truncated discs and rings.

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`. `r_e` and `n` are those of the whole
        profile, the flux is that of what is left.
    outer, inner : where it fades.
    """

    outer: bool = True
    inner: bool = False

    def __post_init__(self) -> None:
        if not (self.outer or self.inner):
            raise OptionError("a truncated profile fades out at its outer or its inner side, but both are off")
        super().__post_init__()

    @property
    def radial(self) -> tuple[Parameter, ...]:
        found = [RADIUS, INDEX]
        if self.outer:
            found += [
                Parameter.length("r_out", "radius of 98 % of the light of the whole profile", start=2.5),
                Parameter.length("dr_out", "further radius to 1 % of it", start=1.5),
            ]
        if self.inner:
            found += [
                Parameter.length("r_in", "radius of 98 % of the light of the whole profile", start=0.6),
                Parameter.number("hole", 0.02, 0.95, "radius of 1 % of it, as a fraction of r_in", start=0.5),
            ]
        return tuple(found)

    def formula(self, radius: Tensor, *values: Tensor) -> Tensor:
        r_e, n, *rest = values
        cut = 2 if self.outer else 0
        return formulas.truncated_sersic(radius, r_e, n, rest[:cut], rest[cut:])


CORE = Parameter.length("r_c", "core radius along the major axis", start=0.5)
TIDAL = Parameter.length("r_t", "tidal radius, where the profile ends", start=5.0)
