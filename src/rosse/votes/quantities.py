"""Numbers that galaxies are labelled with, such as a Hubble stage or the length of a bar, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rosse.errors import InputError, OptionError, rows_text
from rosse.status import Status, labels
from rosse.tables import Column, table_of

if TYPE_CHECKING:
    from astropy.table import Table

Numbers = NDArray[np.float64]
Bounds = tuple[float, float]
LOW, HIGH = 0.05, 0.95
STEPS = 60  # halvings of an interval


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantities:
    """Labels of N galaxies, T numbers each.

    Parameters
    ----------
    id : (N,) names of the galaxies.
    names : (T,) of the numbers.
    values : (N, T), NaN where a number is not known.
    bounds : (T,) least and largest possible value of each, infinite where there is none.
    """

    id: NDArray[np.str_]
    names: tuple[str, ...]
    values: Numbers
    bounds: tuple[Bounds, ...]

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.id), len(self.names)) or not self.names:
            raise InputError(f"values have shape {self.values.shape} for {len(self.id)} galaxies and {len(self.names)} "
                             "names; a number of each name for each galaxy is wanted")  # fmt: skip
        if len(set(self.id.tolist())) < len(self.id):
            raise InputError("a galaxy comes twice among the labels; give each one row")
        for name, column, (low, high) in zip(self.names, self.values.T, self.bounds, strict=True):
            if not low < high:
                raise OptionError(f"bounds of {name} are {low} and {high}; a smaller and a larger number are wanted")
            outside = np.flatnonzero((column < low) | (column > high))
            if len(outside):
                raise InputError(f"{name} lies outside its bounds {low} to {high} in {rows_text(outside.tolist())}; "
                                 "put NaN where it is not known")  # fmt: skip
            if np.isfinite(column).sum() < 2 or not np.nanstd(np.where(np.isfinite(column), column, np.nan)) > 0:
                raise InputError(f"{name} has no two different values; there is nothing to learn")

    def __len__(self) -> int:
        return len(self.id)

    def __getitem__(self, which: NDArray[Any]) -> Quantities:
        return _rows(self, which)

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N,) whether a galaxy has any label."""
        return np.asarray(np.isfinite(self.values).any(1))

    @classmethod
    def of(
        cls,
        id: Sequence[str] | NDArray[Any],
        values: Mapping[str, ArrayLike],
        bounds: Mapping[str, Bounds] | None = None,
    ) -> Quantities:
        """From columns.

        Parameters
        ----------
        id : (N,) names of the galaxies.
        values : name → (N,) numbers, NaN where not known.
        bounds : name → least and largest possible value; none for the others.
        """
        known = dict(bounds or {})
        strange = set(known) - set(values)
        if strange:
            raise OptionError(f"bounds came for {min(strange)}, which is not among {', '.join(values)}")
        columns = [np.asarray(column, dtype=np.float64) for column in values.values()]
        table = np.stack(columns, 1) if columns else np.empty((len(id), 0))
        free = (-np.inf, np.inf)
        table = np.where(np.isfinite(table), table, np.nan)
        return cls(id=np.asarray(id, dtype=str), names=tuple(values), values=table,
                   bounds=tuple(known.get(name, free) for name in values))  # fmt: skip


def _rows(quantities: Quantities, which: NDArray[Any]) -> Quantities:
    """Some rows; what was checked of all is not asked of few."""
    out = object.__new__(Quantities)
    for name, value in (("id", quantities.id[which]), ("names", quantities.names),
                        ("values", quantities.values[which]), ("bounds", quantities.bounds)):  # fmt: skip
        object.__setattr__(out, name, value)
    return out


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimates:
    """What a model says of T numbers of B galaxies: mixtures of M normal distributions, cut at the bounds.

    Parameters
    ----------
    names, bounds : (T,) of the numbers.
    id : (B,) names of the galaxies.
    ra, dec : (B,) degrees, NaN where unknown.
    means, sigmas : (B, M, T) of the components; NaN where `status` is not OK.
    status : (B,) codes of `rosse.Status`.
    model : hash of the model.
    """

    names: tuple[str, ...]
    bounds: tuple[Bounds, ...]
    id: NDArray[np.str_]
    ra: Numbers
    dec: Numbers
    means: Numbers
    sigmas: Numbers
    status: NDArray[np.int64]
    model: str

    def __len__(self) -> int:
        return len(self.id)

    def __repr__(self) -> str:
        done = int((self.status == Status.OK).sum())
        return f"Estimates of {', '.join(self.names)}: {done} of {len(self)} galaxies, by model {self.model}"

    @cached_property
    def values(self) -> Numbers:
        """(B, T) expected value of each number, within its bounds."""
        return self._within(self.means.mean(1))

    @cached_property
    def errors(self) -> Numbers:
        """(B, T) one-sigma error: scatter of the labels, and disagreement of the components."""
        return np.asarray(np.sqrt(np.square(self.sigmas).mean(1) + self.means.var(1)))

    def quantile(self, level: float) -> Numbers:
        """(B, T) quantile of each number under the mixture, within its bounds."""
        return self._within(normal_quantiles(self.means, self.sigmas, level))

    def table(self) -> Table:
        """A row for each galaxy: ``t_type``, ``sigma_t_type``, ``t_type_05``, ``t_type_95``, and so on."""
        low, high = self.quantile(LOW), self.quantile(HIGH)
        entries: list[tuple[Column, Any]] = [
            (Column(name="id", dtype="str", description="name of the galaxy"), self.id),
            (Column(name="ra", unit="deg", description="right ascension; NaN: not known"), self.ra),
            (Column(name="dec", unit="deg", description="declination; NaN: not known"), self.dec),
        ]
        for k, name in enumerate(self.names):
            entries += [
                (Column(name=name, description=f"expected {name}"), self.values[:, k]),
                (Column(name=f"sigma_{name}", description=f"one-sigma error of {name}"), self.errors[:, k]),
                (Column(name=f"{name}_05", description=f"5 % quantile of {name}"), low[:, k]),
                (Column(name=f"{name}_95", description=f"95 % quantile of {name}"), high[:, k]),
            ]
        entries += [
            (Column(name="weights", dtype="str", description="hash of the model"), np.full(len(self), self.model)),
            (Column(name="status", dtype="str", description="how the prediction ended"), labels(self.status)),
        ]
        table = table_of(entries)
        table.meta |= {"weights": self.model}
        return table

    def _within(self, values: Numbers) -> Numbers:
        low, high = np.array(self.bounds).T
        return np.asarray(np.clip(values, low, high))


def normal_quantiles(means: Numbers, sigmas: Numbers, level: float) -> Numbers:
    """Quantile (B, T) of equal mixtures of normal distributions (B, M, T), by halving; NaN stays NaN."""
    from scipy.special import ndtr

    if not 0 < level < 1:
        raise OptionError(f"level is {level}; a number between 0 and 1 is wanted")
    low, high = (means - 9 * sigmas).min(1), (means + 9 * sigmas).max(1)
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        below = ndtr((middle[:, None] - means) / sigmas).mean(1) < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(np.where(np.isfinite(means).all(1), 0.5 * (low + high), np.nan))
