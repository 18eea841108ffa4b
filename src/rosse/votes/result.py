"""`Votes`: posteriors for what volunteers would say of B galaxies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.errors import InputError
from rosse.status import Status, labels
from rosse.tables import Column, table_of
from rosse.tree import Tree
from rosse.votes.calibration import tail_level
from rosse.votes.mixture import asked_probability, beta_parameters, matched, mean_fractions, quantiles

if TYPE_CHECKING:
    from astropy.table import Table

Numbers = NDArray[np.float64]
HARDLY = 0.1  # probability of being asked below which an answer is a guess about few people, or none
LOW, HIGH = 0.05, 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class Votes:
    """Posteriors of votes on B galaxies, through a tree of Q questions with A answers in all.

    Parameters
    ----------
    tree : whose questions.
    id : (B,) names of the galaxies.
    ra, dec : (B,) degrees, NaN where unknown.
    concentrations : (B, M, outputs) of M equally likely components; NaN where `status` is not OK.
    status : (B,) codes of `rosse.Status`.
    model : hash of the model.
    tails : (A, 2) parameters of `rosse.votes.calibration.tail_level`; None: quantiles are those of the mixture.
    """

    tree: Tree
    id: NDArray[np.str_]
    ra: Numbers
    dec: Numbers
    concentrations: Numbers
    status: NDArray[np.int64]
    model: str
    tails: Numbers | None = None

    def __post_init__(self) -> None:
        for name in ("ra", "dec", "concentrations", "status"):
            if len(getattr(self, name)) != len(self.id):
                raise InputError(f"{name} has {len(getattr(self, name))} rows for {len(self.id)} galaxies")

    def __len__(self) -> int:
        return len(self.id)

    def __repr__(self) -> str:
        done = int((self.status == Status.OK).sum())
        return f"Votes of {self.tree.name}: {done} of {len(self)} galaxies, by model {self.model}"

    @cached_property
    def fractions(self) -> Numbers:
        """(B, A) expected share of each answer among those who are asked its question."""
        return mean_fractions(self.tree, self.concentrations)

    @cached_property
    def asked(self) -> Numbers:
        """(B, Q) probability that a volunteer is asked each question."""
        good = self.status == Status.OK
        out = np.full((len(self), len(self.tree.questions)), np.nan)
        if good.any():
            out[good] = asked_probability(self.tree, self.concentrations[good])
        return out

    @property
    def hardly_asked(self) -> NDArray[np.bool_]:
        """(B, Q) whether fewer than a tenth of the volunteers would be asked: the answers are kept, but mean little."""
        return np.asarray(self.asked < HARDLY)

    def quantile(self, level: float) -> Numbers:
        """(B, A) quantile of the share of each answer, under the mixture of all components with recalibrated tails."""
        out = np.full((len(self), len(self.tree.columns)), np.nan)
        good = self.status == Status.OK
        a, b = beta_parameters(self.tree, self.concentrations[good])
        a, b = np.moveaxis(a, 1, -1), np.moveaxis(b, 1, -1)
        out[good] = quantiles(a, b, level if self.tails is None else tail_level(level, self.tails))
        return out

    def table(self) -> Table:
        """Posteriors, galaxy by galaxy.

        For each answer ``bar_yes_concentration`` (of the Dirichlet distribution with the mixture's mean and variance),
        ``bar_yes_fraction``, ``bar_yes_fraction_05`` and ``_95``; for each question ``bar_asked`` and
        ``bar_hardly_asked``; ``weights``, the model's hash.
        """
        entries = [
            (Column(name="id", dtype="str", description="name of the galaxy"), self.id),
            (Column(name="ra", unit="deg", description="right ascension; NaN: not known"), self.ra),
            (Column(name="dec", unit="deg", description="declination; NaN: not known"), self.dec),
            *self._answers(),
            (Column(name="weights", dtype="str", description="hash of the model"), np.full(len(self), self.model)),
            (Column(name="status", dtype="str", description="how the prediction ended"), labels(self.status)),
        ]
        table = table_of(entries)
        table.meta |= {"weights": self.model, "tree": self.tree.name, "tree_hash": self.tree.hash}
        return table

    def _answers(self) -> list[tuple[Column, Any]]:
        means, low, high = self.fractions, self.quantile(LOW), self.quantile(HIGH)
        size = matched(self.tree, self.concentrations)
        out: list[tuple[Column, Any]] = []
        for i, (question, here) in enumerate(zip(self.tree.questions, self.tree.slices, strict=True)):
            text = question.text or question.name
            about = f"probability that a volunteer is asked: {text}"
            out.append((Column(name=f"{question.name}_asked", description=about), self.asked[:, i]))
            about = f"whether fewer than a tenth of the volunteers would be asked: {text}"
            name = f"{question.name}_hardly_asked"
            out.append((Column(name=name, dtype="bool", description=about), self.hardly_asked[:, i]))
            for k, answer in enumerate(question.answers, here.start):
                column, said = self.tree.columns[k], answer.text or answer.name
                for ending, values, what in (
                    ("concentration", size, "concentration of the Dirichlet distribution nearest to the posterior"),
                    ("fraction", means, "expected share of those asked who say"),
                    ("fraction_05", low, "5 % quantile of the share of those asked who say"),
                    ("fraction_95", high, "95 % quantile of the share of those asked who say"),
                ):
                    out.append((Column(name=f"{column}_{ending}", description=f"{what}: {said}"), values[:, k]))
        return out
