"""What every part of a model says of itself: its parameters, and how it looks on a grid at unit flux.

A component is a small frozen value, `Sersic("bulge")`. Components add up to a `Model` (`model.py`). What is common to
all of them lives here; the profiles are in `profiles.py`, `radial_profiles.py`, `edge_on.py` and `sky.py`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from rosse.errors import OptionError, rows_text, unknown_name
from rosse.light.psf import FourierGrid

if TYPE_CHECKING:
    from rosse.light.model import Model


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One number that describes a component.

    Parameters
    ----------
    name : column name.
    unit : ``"length"`` (arcsec, or pixels where the scale is unknown), ``"angle"`` (degrees east of north),
        ``"pixel"`` (a position, pixels of the image), ``"flux"``, ``"level"`` (flux per pixel), ``"slope"`` (flux
        per pixel and pixel), ``"degree"`` (an angle that is not one on the sky), or empty.
    description : one sentence for tables.
    lower, upper : bounds of a fit; lengths in pixels, angles in radians.
    log : whether the fit works in its natural logarithm (for what is positive and spans decades).
    start : where a fit starts; lengths in units of the half-light radius that the moments of the image give.
    step : largest change in one iteration, in the coordinate of the fit.
    """

    name: str
    unit: str = ""
    description: str
    lower: float = -float("inf")
    upper: float = float("inf")
    log: bool = False
    start: float = 0.0
    step: float = 0.5

    @classmethod
    def length(cls, name: str, description: str = "", *, start: float = 1.0) -> Parameter:
        """A radius or another length: positive, in arcsec in tables; `start` in half-light radii of the galaxy."""
        return cls(
            name=name, unit="length", description=description or f"length {name}", lower=0.02, upper=5000.0, log=True,
            start=start, step=0.7,
        )  # fmt: skip

    @classmethod
    def number(
        cls, name: str, lower: float, upper: float, description: str = "", *, start: float | None = None
    ) -> Parameter:
        """A positive pure number between two bounds; it starts at their geometric mean if not told."""
        if not 0 < lower < upper:
            raise OptionError(f"bounds of {name} are ({lower}, {upper}); 0 < low < high is wanted")
        middle = math.sqrt(lower * upper) if start is None else start
        about = description or f"parameter {name}"
        return cls(name=name, description=about, lower=lower, upper=upper, log=True, start=middle)

    @property
    def possible(self) -> tuple[float, float]:
        """Lowest and highest value in the units of the table; what is a size may be anything above 0."""
        if self.name == "q":
            return self.lower, 1.0
        if self.unit == "flux":
            return 0.0, float("inf")
        if self.unit:
            return (float(np.finfo(float).tiny) if self.log else -float("inf")), float("inf")
        return self.lower, self.upper

    @property
    def possible_text(self) -> str:
        """The same for a message: *0.3 to 8 is possible*."""
        low, high = self.possible
        if math.isinf(high):
            return "only what is above 0 is possible" if self.log else "only 0 and above is possible"
        return f"{low:g} to {high:g} is possible"


FLUX = Parameter(name="flux", unit="flux", description="total flux")
X = Parameter(name="x", unit="pixel", description="fitted centre along x, 0 at the centre of the image's first pixel")
Y = Parameter(name="y", unit="pixel", description="fitted centre along y, 0 at the centre of the image's first pixel")
# q may pass 1 within a fit: the axes then trade places, and a round galaxy is not at a bound.
RATIO = Parameter(name="q", description="axis ratio b/a", lower=0.02, upper=50.0, log=True)
ANGLE = Parameter(name="pa", unit="angle", description="position angle of the major axis, east of north")

FREE = "free"


@dataclass(frozen=True, repr=False)
class Component(ABC):
    """One part of a galaxy.

    Parameters
    ----------
    name : prefix of its columns (``bulge_r_e``); none for a model of one component.
    fixed : parameters that are not fitted, e.g. ``{"n": 4}``: a number, or one per galaxy. Units are those of the
        table: lengths in arcsec (pixels where the scale is unknown), `pa` in degrees east of north, `x` and `y` in
        pixels of the image.
    bounds : narrower bounds, e.g. ``{"n": (0.5, 6)}``, in the same units; each a number, or one per galaxy.
    prior : mean and one-sigma width of what is known beforehand, e.g. ``{"n": (4.0, 0.5)}``, in the same units; each a
        number, one per galaxy, or one per galaxy and band (B, C).
    start : starting values instead of those that the pixels suggest: a number, or one per galaxy, in the same units.
    bands : how a parameter may change from band to band: ``"free"``, or the degree of a polynomial in wavelength. What
        is not named is the same in all bands; fluxes are always free.
    own_centre : whether it has a centre of its own instead of the model's common one.
    """

    name: str = ""
    _: KW_ONLY
    fixed: Mapping[str, ArrayLike] = field(default_factory=dict)
    bounds: Mapping[str, tuple[ArrayLike, ArrayLike]] = field(default_factory=dict)
    prior: Mapping[str, tuple[ArrayLike, ArrayLike]] = field(default_factory=dict)
    start: Mapping[str, ArrayLike] = field(default_factory=dict)
    bands: Mapping[str, int | str] = field(default_factory=dict)
    own_centre: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or (self.name and not self.name.isidentifier()):
            raise OptionError(f"component name {self.name!r} cannot be a column prefix; use letters, digits and _")
        self._check_names()
        for what in ("fixed", "start"):
            for name, value in getattr(self, what).items():
                self._numbers(what, name, value)
        for name, pair in self.prior.items():
            self._pair("prior", name, pair, "(mean, width)")
        self._check_bounds()
        for name, freedom in self.bands.items():
            if freedom != FREE and not (isinstance(freedom, int) and freedom >= 0):
                raise OptionError(
                    f"{self._label}: bands of {name} is {freedom!r}; 'free' or the degree of a polynomial "
                    "(0, 1, 2, ...) is wanted"
                )

    def _check_names(self) -> None:
        known = [parameter.name for parameter in self.slots]
        for what in ("fixed", "bounds", "prior", "start", "bands"):
            given = getattr(self, what)
            if not isinstance(given, Mapping):
                raise OptionError(f"{self._label}: {what} is {given!r}; a dict by parameter is wanted")
            for name in given:
                if name not in known:
                    raise OptionError(f"{self._label}: {unknown_name('parameter', str(name), known)}")

    @property
    def _label(self) -> str:
        """What it is called in messages: ``Sersic('bulge')``."""
        return f"{type(self).__name__}({self.name!r})" if self.name else type(self).__name__

    def _numbers(self, what: str, name: str, value: Any) -> np.ndarray[Any, Any]:
        try:
            return np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise OptionError(
                f"{self._label}: {what} of {name} is {value!r}; a number, or one for each galaxy, is wanted"
            ) from None

    def _pair(self, what: str, name: str, pair: Any, wanted: str) -> list[np.ndarray[Any, Any]]:
        """Both numbers, or both arrays, of what comes in pairs."""
        try:
            first, second = [pair] if isinstance(pair, str) else pair
        except (TypeError, ValueError):
            raise OptionError(
                f'{self._label}: {what} of {name} is {pair!r}; a pair is wanted, {what}={{"{name}": {wanted}}}'
            ) from None
        return [self._numbers(what, name, each) for each in (first, second)]

    def _check_bounds(self) -> None:
        """Bounds are pairs in their order, and leave something of what the parameter can be."""
        slots = {slot.name: slot for slot in self.slots}
        for name, pair in self.bounds.items():
            low, high = self._pair("bounds", name, pair, "(low, high)")
            slot = slots[name]
            least, most = slot.possible
            if low.ndim and high.ndim and low.shape != high.shape:
                raise OptionError(f"{self._label}: bounds of {name} have the shapes {low.shape} and {high.shape}")
            low, high = (v.reshape(-1) for v in np.broadcast_arrays(low, high))
            for wrong, why in (
                (~(low < high), "low < high is wanted"),
                ((low >= most) | (high <= least), slot.possible_text),
            ):
                if wrong.any():
                    at = int(np.argmax(wrong))
                    where = f" ({rows_text(np.nonzero(wrong)[0].tolist())})" if len(low) > 1 else ""
                    raise OptionError(f"{self._label}: bounds of {name} are ({low[at]:g}, {high[at]:g}){where}; {why}")

    @property
    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]:
        """Shape parameters."""

    @property
    def slots(self) -> tuple[Parameter, ...]:
        """All it has: flux, centre and shape, in the order of `unit_rows`."""
        return (FLUX, X, Y, *self.parameters)

    @property
    def scale_radius(self) -> str:
        """Name of the parameter that says how large it is; empty for what has no size."""
        return self.parameters[0].name if self.parameters and self.parameters[0].unit == "length" else ""

    @abstractmethod
    def unit_rows(self, values: Tensor, grid: FourierGrid, rows: Tensor) -> None:
        """Draw at unit flux, with derivatives.

        Parameters
        ----------
        values : (B, K, R) float64
            Each of its slots in the coordinates of the fit: logarithms where `Parameter.log`, lengths in pixels,
            angles in radians from +x to +y. K is 1 where all bands share them, else C.
        grid : where, and through which PSF.
        rows : (B, C, R or 1, H, W), written
            The image at unit flux, then its derivative by each further slot; only the image if there is one row.
        """

    @property
    def linear(self) -> tuple[bool, ...]:
        """Which slots the image is linear in; the rows of the others are to be multiplied by the flux."""
        return (True, *([False] * (len(self.slots) - 1)))

    def __repr__(self) -> str:
        given = [repr(self.name)] if self.name else []
        given += [f"{f.name}={value!r}" for f in fields(self)[1:] if (value := getattr(self, f.name))]
        return f"{type(self).__name__}({', '.join(given)})"

    def __add__(self, other: Component | Model) -> Model:
        from rosse.light.model import Model

        return Model((self,)) + other
