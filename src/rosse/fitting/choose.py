"""Which of several models a galaxy needs: fits of all of them, compared by BIC and by evidence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.cutouts import Cutouts
from rosse.errors import InputError, OptionError, unknown_name
from rosse.fitting.evidence import bic, log_evidence
from rosse.fitting.fit import fit
from rosse.fitting.given import check_cutouts
from rosse.fitting.options import FitOptions
from rosse.fitting.order import in_order, parts, rows_of, unphysical
from rosse.fitting.result import Fit
from rosse.light.components import Component
from rosse.light.model import Model, as_model, no_model
from rosse.status import Status, labels
from rosse.tables import Column, table_of

if TYPE_CHECKING:
    from astropy.table import Table

Floats = NDArray[np.float64]
# Lead in ln evidence that a model needs over a simpler one: 2 % of pure Sersic galaxies then pass for two parts, 5 % if
# it were 0, and 93 % of clear bulges and discs are found.
CLEAR = 0.5
NO_NUMBERS = (Status.SINGULAR, Status.NO_DATA, Status.SKIPPED, Status.UNREADABLE, Status.FAILED)


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """Fits of M models to the same B galaxies, and which of them each galaxy needs.

    Parameters
    ----------
    fits : name of a model → its fit of all galaxies.
    bic : (B, M) Bayesian information criterion; NaN where a fit has no numbers.
    log_evidence : (B, M) natural logarithm of the evidence, see `log_evidence`.
    """

    fits: Mapping[str, Fit]
    bic: Floats
    log_evidence: Floats

    def __len__(self) -> int:
        return len(self.bic)

    def __repr__(self) -> str:
        counts = ", ".join(f"{int((self.model == name).sum())} {name}" for name in self.fits)
        return f"Choice for {len(self)} galaxies: {counts}"

    @cached_property
    def number(self) -> NDArray[np.int64]:
        """Number (B,) of the best model; -1 where none has numbers."""
        best = np.full(len(self), -1)
        evidence = np.full(len(self), -np.inf)
        for i in np.argsort([one.free for one in self.fits.values()], kind="stable"):
            value = np.nan_to_num(self.log_evidence[:, i], nan=-np.inf)
            better = value > evidence + np.where(best < 0, 0.0, CLEAR)
            best[better], evidence[better] = i, value[better]
        return best

    @cached_property
    def model(self) -> NDArray[np.str_]:
        """Name (B,) of the best model: the simplest, unless one with more parameters has clearly more evidence."""
        return np.array([*self.fits, ""])[self.number]

    def best(self, row: int) -> Fit:
        """Fit of one galaxy by its best model; by the first model where none has numbers."""
        if not -len(self) <= row < len(self):
            raise InputError(f"there is no row {row}; {len(self)} galaxies were fitted")
        return rows_of(list(self.fits.values())[max(int(self.number[row]), 0)], [row % len(self)])

    def of(self, name: str) -> Fit:
        """Fit of the galaxies whose best model is `name`."""
        if name not in self.fits:
            raise OptionError(unknown_name("model", name, self.fits))
        return rows_of(self.fits[name], np.nonzero(self.model == name)[0])

    def table(self) -> Table:
        """One row per galaxy: the best model, by how much, its parts, and the numbers of every model."""
        cutouts = next(iter(self.fits.values())).cutouts
        columns: list[tuple[Column, Any]] = [
            (Column(name="id", description="name of the galaxy", dtype="str"), cutouts.id),
            (Column(name="ra", unit="deg", description="right ascension of the cutout's target"), cutouts.ra),
            (Column(name="dec", unit="deg", description="declination of the cutout's target"), cutouts.dec),
        ]
        about = "the simplest model that no other clearly surpasses in evidence, of " + ", ".join(self.fits)
        columns.append((Column(name="model", description=about, dtype="str"), self.model))
        columns += self._lead()
        columns += self._fractions()
        about = "why the parts of the best model cannot be what their names say; empty where they can"
        columns.append((Column(name="unphysical", description=about, dtype="str"), self._reasons()))
        about = "outcome of the fit of the best model"
        columns.append((Column(name="status", description=about, dtype="str"), self._status()))
        for i, (name, one) in enumerate(self.fits.items()):
            key = name.replace("+", "_")
            columns += [
                (Column(name=f"bic_{key}", description=f"Bayesian information criterion of {name}"), self.bic[:, i]),
                (Column(name=f"ln_evidence_{key}", description=f"log evidence of {name}"), self.log_evidence[:, i]),
                (Column(name=f"chi2_{key}", description=f"chi^2 of {name}"), one.chi2),
                (Column(name=f"status_{key}", description=f"outcome of {name}", dtype="str"), labels(one.status)),
            ]
        return table_of(columns)

    def _lead(self) -> list[tuple[Column, Any]]:
        about = "lowest BIC of the other models minus that of the best; above 10 is decisive"
        gap = Column(name="delta_bic", description=about)
        about = "ln of the evidence of the best model over that of the most likely other; above 5 is decisive"
        return [
            (gap, self._ahead(-self.bic)),
            (Column(name="ln_evidence_ratio", description=about), self._ahead(self.log_evidence)),
        ]

    def _ahead(self, values: Floats) -> Floats:
        """Value (B,) of the best model minus the highest of the others; NaN where it stands alone."""
        rows = np.arange(len(self))
        others = np.nan_to_num(values, nan=-np.inf)
        mine = others[rows, self.number]
        others[rows, self.number] = -np.inf
        with np.errstate(invalid="ignore"):
            ahead = mine - others.max(1)
        return np.where(np.isfinite(ahead), ahead, np.nan)

    def _fractions(self) -> list[tuple[Column, Any]]:
        """Share of the light in the inner part (B/T), and its error, of galaxies whose best model has two."""
        out: dict[str, tuple[Column, Floats]] = {}
        for i, one in enumerate(self.fits.values()):
            pair = parts(one.plan)
            if pair is None:
                continue
            table, inner = one.table(), one.plan.model.components[pair[0]]
            for name in table.colnames:
                if name.removeprefix("sigma_").startswith(f"{one.plan.model.prefix(inner)}fraction"):
                    column = Column(name=name, description=str(table[name].description))
                    values = out.setdefault(name, (column, np.full(len(self), np.nan)))[1]
                    chosen = self.number == i
                    values[chosen] = np.asarray(table[name])[chosen]
        return list(out.values())

    def _reasons(self) -> NDArray[np.str_]:
        each = np.stack([unphysical(one) for one in self.fits.values()], 1)
        return np.where(self.number < 0, "", each[np.arange(len(self)), self.number])

    def _status(self) -> NDArray[np.str_]:
        each = np.stack([one.status for one in self.fits.values()], 1)
        return labels(each[np.arange(len(self)), self.number])


def choose_model(
    cutouts: Cutouts,
    models: Component | Model | Sequence[Component | Model] | Mapping[str, Component | Model],
    *,
    neighbours: Any = None,
    options: FitOptions | None = None,
    advance: Callable[[int], None] | None = None,
) -> Choice:
    """Fit several models to each galaxy and say which one it needs.

    Parameters
    ----------
    cutouts : B galaxies.
    models : M of them; names are ``sersic``, ``sersic+exponential`` and so on, or the keys of a dict. Of two extended
        components the first is the inner one, the bulge.
    neighbours, options : as in `fit`.
    advance : called with the number of galaxies done after each batch; there are M times B to do.

    Returns
    -------
    Choice
        Bulges and discs that came out exchanged are put back where the pixels allow it.

    Notes
    -----
    The evidence is Laplace's approximation (see `rosse.fitting.evidence`); it decides, for ``BIC = chi^2 + P ln N``
    (Schwarz 1978), with N pixels most of which are sky, misses a quarter of the bulges that it finds. Both take the
    noise map at its word.
    """
    if not isinstance(cutouts, Cutouts):
        check_cutouts(cutouts)
        raise OptionError("models are chosen on one set of cutouts; give a Cutouts")
    named = _named(models)
    fits = {}
    for name, model in named.items():
        one = fit(cutouts, model, neighbours=neighbours, options=options, advance=advance)
        fits[name] = in_order(one)
    usable = [~np.isin(one.status, NO_NUMBERS) for one in fits.values()]
    return Choice(
        fits=fits,
        bic=np.stack([np.where(good, bic(one), math.nan) for good, one in zip(usable, fits.values(), strict=True)], 1),
        log_evidence=np.stack(
            [np.where(good, log_evidence(one), math.nan) for good, one in zip(usable, fits.values(), strict=True)], 1
        ),
    )


def _named(
    models: Component | Model | Sequence[Component | Model] | Mapping[str, Component | Model],
) -> dict[str, Model]:
    """Models by name."""
    if isinstance(models, (Component, Model)):
        models = [models]
    if isinstance(models, (str, type)) or not isinstance(models, Iterable):
        raise OptionError(no_model(models))
    if isinstance(models, Mapping):
        named = {str(name): as_model(model) for name, model in models.items()}
        total = len(models)
    else:
        each = [as_model(model) for model in models]
        named = {"+".join(type(c).__name__.lower() for c in model.components): model for model in each}
        total = len(each)
    if not named:
        raise OptionError("no model came; give at least one, e.g. [Sersic(), Sersic('bulge') + Exponential('disc')]")
    if len(named) < total:
        raise OptionError("two models are of the same components; give a dict with a name for each")
    return named
