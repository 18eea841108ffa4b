"""Votes of volunteers on virtual galaxies, whose true probabilities are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from rosse.errors import OptionError, unknown_name
from rosse.sky import chance
from rosse.sky.observe import Observation
from rosse.sky.opinions import Opinions, opinions
from rosse.sky.sight import Array
from rosse.tables import Column, table_of
from rosse.tree import Question, Tree

if TYPE_CHECKING:
    from astropy.table import Table

Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]
ROWS = 4096  # at a time


@dataclass(frozen=True, kw_only=True)
class Turnout:
    """How many people look at a galaxy: groups of galaxies, in each a normal number, rounded, at least one.

    Parameters
    ----------
    shares : of the galaxies in each group.
    means : of the numbers of people.
    sigmas : their scatter.
    reference : where these figures come from.
    """

    shares: tuple[float, ...] = (1.0,)
    means: tuple[float, ...]
    sigmas: tuple[float, ...]
    reference: str = ""

    def __post_init__(self) -> None:
        if not 0 < len(self.shares) == len(self.means) == len(self.sigmas):
            raise OptionError("shares, means and sigmas of a turnout must be as many, one for each group of galaxies")
        if min(self.shares) < 0 or not sum(self.shares) > 0 or min(self.means) < 1 or min(self.sigmas) < 0:
            raise OptionError("a turnout needs shares and sigmas from 0 on, and means from 1 on")

    def draw(self, seed: int, rows: Counts) -> Counts:
        """Number of people (B,) who look at each row."""
        number = chance.uniform(seed, torch.from_numpy(rows), "turnout", (2,)).numpy()
        edges = np.cumsum(self.shares) / sum(self.shares)
        group = (number[:, :1] >= edges[:-1]).sum(1)
        normal = torch.special.ndtri(torch.from_numpy(number[:, 1])).numpy()
        people = np.array(self.means)[group] + np.array(self.sigmas)[group] * normal
        return np.asarray(np.maximum(np.rint(people), 1), dtype=np.int64)


TURNOUTS = {
    "gz2": Turnout(
        shares=(0.41, 0.59), means=(20.8, 19.9), sigmas=(1.7, 3.8),
        reference="fitted to the 19,761 galaxies of Stripe 82 in the release of Willett+2013, Table 5",
    ),
    "gz-decals": Turnout(
        shares=(0.446, 0.554), means=(38.0, 5.0), sigmas=(3.5, 1.2),
        reference="Walmsley+2022: 140,000 of 314,000 galaxies have 30 classifications or more, 40 being sought, the "
        "others about 5; the scatter is assumed",
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Volunteers:
    """Votes on B galaxies, through a tree of Q questions with A answers in all.

    Parameters
    ----------
    tree : whose questions were asked.
    id : (B,) row numbers of the population.
    probability : (B, A) of each answer among those asked its question: what the votes were drawn from.
    counts : (B, A) people who gave each answer.
    asked : (B, Q) people who were asked each question.
    """

    tree: Tree
    id: Counts
    probability: Array
    counts: Counts
    asked: Counts

    def __len__(self) -> int:
        return len(self.id)

    def __repr__(self) -> str:
        people = int(np.median(self.asked[:, self.tree.order[0]])) if len(self) else 0
        return f"Volunteers of {self.tree.name}: {people} people (median) for each of {len(self)} galaxies"

    @property
    def fractions(self) -> Array:
        """(B, A) share of each answer among those asked its question; NaN where nobody was."""
        total = self.asked[:, list(self.tree.question_of)]
        return np.asarray(np.where(total > 0, self.counts / np.maximum(total, 1), np.nan))

    def table(self, *, truth: bool = False) -> Table:
        """Votes under the names of public catalogues: ``bar_strong``, ``bar_strong_fraction``, ``bar_total-votes``.

        Parameters
        ----------
        truth : with the probabilities from which votes were drawn, ``bar_strong_probability``.
        """
        row = Column(name="id", dtype="i8", description="row of the population")
        entries: list[tuple[Column, NDArray[Any]]] = [(row, self.id)]
        fractions = self.fractions
        for i, (question, here) in enumerate(zip(self.tree.questions, self.tree.slices, strict=True)):
            about = f"people who were asked: {question.text or question.name}"
            entries.append(
                (Column(name=f"{question.name}_total-votes", dtype="i8", description=about), self.asked[:, i])
            )
            for k, answer in enumerate(question.answers, here.start):
                name, text = self.tree.columns[k], answer.text or answer.name
                about = f"people who answered: {text}"
                entries.append((Column(name=name, dtype="i8", description=about), self.counts[:, k]))
                about = f"share of those asked who answered: {text}; NaN if nobody was asked"
                entries.append((Column(name=f"{name}_fraction", description=about), fractions[:, k]))
                if truth:
                    about = f"probability that one who is asked answers: {text}"
                    entries.append((Column(name=f"{name}_probability", description=about), self.probability[:, k]))
        return table_of(entries)


def volunteers(
    seen: Observation | Opinions,
    tree: Tree | str = "gz-decals",
    *,
    seed: int,
    voters: int | str | Turnout = "gz2",
    concentration: float | None = None,
) -> Volunteers:
    """Votes of people who look at virtual galaxies.

    Parameters
    ----------
    seen : observation with the images of parts (``view=View(also=Truth(parts=True))``), or `Opinions`, whose tree then
        is the one that counts.
    tree : a decision tree, or its name.
    seed : of the votes. A row's votes depend on seed, row, question and voter, never on the other rows; fewer voters
        are the first of more.
    voters : people per galaxy: a number, a name of `TURNOUTS`, or a `Turnout`.
    concentration : None: votes are multinomial. A number: each galaxy's probabilities are first drawn from a Dirichlet
        distribution around the opinions, ``Dirichlet(concentration * p)`` for each question.

    Notes
    -----
    Every person walks through the tree on their own: a question's total are the votes for the answers that lead to it.
    That people differ does not make the counts of one galaxy wider than multinomial, as long as each galaxy meets
    people at random. A concentration stands for what makes a galaxy different that its opinions do not know.

    Examples
    --------
    >>> import rosse
    >>> from rosse.sky.draw import Truth
    >>> from rosse.sky.observe import View
    >>> sky = rosse.observe(rosse.Population(4, seed=1), "sdss", view=View(bands=("r",), also=Truth(parts=True)))
    >>> rosse.volunteers(sky, seed=1, voters=40)
    Volunteers of gz-decals: 40 people (median) for each of 4 galaxies
    """
    known = seen if isinstance(seen, Opinions) else opinions(seen, tree)
    people = _turnout(voters).draw(seed, known.id)
    probability = known.probability if concentration is None else _scattered(known, seed, concentration)
    counts = np.zeros((len(known), len(known.tree.columns)), dtype=np.int64)
    asked = np.zeros((len(known), len(known.tree.questions)), dtype=np.int64)
    for first in range(0, len(known), ROWS):
        rows = slice(first, first + ROWS)
        counts[rows], asked[rows] = _walk(known.tree, (seed, known.id[rows]), people[rows], probability[rows])
    return Volunteers(tree=known.tree, id=known.id, probability=probability, counts=counts, asked=asked)


def _turnout(voters: int | str | Turnout) -> Turnout:
    if isinstance(voters, Turnout):
        return voters
    if isinstance(voters, str):
        if voters not in TURNOUTS:
            raise OptionError(unknown_name("turnout", voters, TURNOUTS))
        return TURNOUTS[voters]
    if isinstance(voters, bool) or not isinstance(voters, int | np.integer) or voters < 1:
        raise OptionError(f"voters is {voters!r}; 1 or more people, a turnout or its name are wanted")
    return Turnout(means=(float(voters),), sigmas=(0.0,))


def _walk(tree: Tree, key: tuple[int, Counts], people: Counts, probability: Array) -> tuple[Counts, Counts]:
    """Counts (B, A) and totals (B, Q) of people who walk through the tree one by one."""
    most = int(people.max(initial=0))
    there = np.arange(most) < people[:, None]  # (B, people)
    given = np.zeros((len(people), most, len(tree.columns)), dtype=bool)
    asked = np.zeros((len(people), len(tree.questions)), dtype=np.int64)
    for i in tree.order:
        reached: Flags = np.asarray(given[..., list(tree.parents[i])].any(axis=2)) if tree.parents[i] else there
        here = tree.slices[i]
        given[..., here] = _answers(tree.questions[i], key, most, probability[:, here]) & reached[..., None]
        asked[:, i] = reached.sum(1)
    return given.sum(1), asked


def _answers(question: Question, key: tuple[int, Counts], people: int, probability: Array) -> Flags:
    """What each person would answer, (B, people, answers)."""
    seed, rows = key
    name, keys = f"vote on {question.name}", torch.from_numpy(rows)
    number = probability.shape[1]
    if question.multiple:
        return np.asarray(chance.uniform(seed, keys, name, (people, number)).numpy() < probability[:, None])
    edges = np.cumsum(probability, axis=1)[:, None, :-1]
    choice = (chance.uniform(seed, keys, name, (people,)).numpy()[..., None] >= edges).sum(2)
    return np.asarray(choice[..., None] == np.arange(number))


def _scattered(known: Opinions, seed: int, concentration: float) -> Array:
    """Probabilities (B, A) drawn around the opinions: Dirichlet, or Beta where several answers may be ticked."""
    from scipy.special import betaincinv, gammaincinv

    if not (np.isfinite(concentration) and concentration >= 1):
        raise OptionError(f"concentration is {concentration}; a number from 1 on, or None, is wanted")
    out = np.empty_like(known.probability)
    for question, here in zip(known.tree.questions, known.tree.slices, strict=True):
        mean = known.probability[:, here].clip(1e-6, 1 - 1e-6)  # a Dirichlet parameter must be positive
        name = f"opinion on {question.name}"
        u = chance.uniform(seed, torch.from_numpy(known.id), name, (mean.shape[1],)).numpy()
        if question.multiple:
            out[:, here] = betaincinv(concentration * mean, concentration * (1 - mean), u)
        else:
            gamma = gammaincinv(concentration * mean, u)
            out[:, here] = gamma / gamma.sum(1, keepdims=True)
    return out
