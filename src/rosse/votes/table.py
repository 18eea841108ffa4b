"""Votes of people, galaxy by galaxy, for the answers of a tree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rosse.errors import InputError, rows_text
from rosse.tables import Column, table_of
from rosse.tree import Tree
from rosse.votes.equivalence import same_answers

if TYPE_CHECKING:
    from astropy.table import Table

Numbers = NDArray[np.float64]
Texts = NDArray[np.str_]


@dataclass(frozen=True, kw_only=True, eq=False)
class VoteTable:
    """Votes on N galaxies, through a tree of Q questions with A answers in all.

    `VoteTable.of` fills in `people`, `rosse.read_votes` reads tables.

    Parameters
    ----------
    tree : whose questions were asked.
    id : (N,) names of the galaxies, each once.
    counts : (N, A) votes for each answer, whole numbers. 0: nobody gave this answer. NaN in all answers of a question:
        the table does not say what people answered.
    people : (N, Q) people who answered each question; NaN where the votes are missing.
    """

    tree: Tree
    id: Texts
    counts: Numbers
    people: Numbers

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_ids(self.id)
        for question, here, people in zip(self.tree.questions, self.tree.slices, self.people.T, strict=True):
            _check_votes(question.name, self.counts[:, here], people, multiple=question.multiple)

    @classmethod
    def of(cls, tree: Tree, id: ArrayLike, counts: ArrayLike, people: ArrayLike | None = None) -> VoteTable:
        """Votes from a table of counts.

        Parameters
        ----------
        tree : whose questions were asked.
        id : (N,) names or numbers of the galaxies.
        counts : (N, A) votes, NaN where they are missing.
        people : (N, Q) people who answered each question. Needed for questions that take several answers only, and
            there, where it is NaN or not given, all who were sent to the question count.
        """
        votes = np.asarray(counts, dtype=np.float64)
        if votes.ndim != 2 or votes.shape[1] != len(tree.columns):
            raise InputError(f"counts have shape {votes.shape}; (galaxies, {len(tree.columns)}) of {tree} is wanted")
        given = None if people is None else np.asarray(people, dtype=np.float64)
        names = np.asarray(id).astype(str)
        return cls(tree=tree, id=names, counts=votes, people=_people(tree, votes, given))

    def __len__(self) -> int:
        return len(self.id)

    def __repr__(self) -> str:
        asked = np.nansum(self.people, axis=0) > 0
        return f"VoteTable of {self.tree.name}: {len(self)} galaxies, votes on {asked.sum()} of {len(asked)} questions"

    def __getitem__(self, rows: slice | ArrayLike) -> VoteTable:
        """The votes on some galaxies: a slice, row numbers, or a mask (N,)."""
        which = rows if isinstance(rows, slice) else np.atleast_1d(np.asarray(rows))
        return VoteTable(tree=self.tree, id=self.id[which], counts=self.counts[which], people=self.people[which])

    @property
    def fractions(self) -> Numbers:
        """(N, A) share of each answer among the people who answered its question; NaN where nobody did."""
        people = self.people[:, list(self.tree.question_of)]
        return np.asarray(np.where(people > 0, self.counts / np.where(people > 0, people, 1), np.nan))

    def of_ids(self, ids: Iterable[Any]) -> VoteTable:
        """The votes on galaxies of these names, in their order."""
        row_of = {name: row for row, name in enumerate(self.id.tolist())}
        names = [str(name) for name in ids]
        absent = [name for name in names if name not in row_of]
        if absent:
            raise InputError(f"{len(absent)} of {len(names)} galaxies have no votes, such as {absent[0]!r}")
        return self[np.array([row_of[name] for name in names], dtype=np.int64)]

    def to(self, tree: Tree) -> VoteTable:
        """The votes as another tree counts them, where its answers mean the same as answers of this one.

        A question of the other tree that this one cannot answer is missing: a yes for *bar* does not say whether the
        bar is strong or weak.
        """
        joined, known = same_answers(self.tree, tree)
        counts = np.nan_to_num(self.counts) @ joined
        missing = (np.isnan(self.counts).astype(float) @ joined) > 0
        counts[missing | ~known] = np.nan
        people = np.full((len(self), len(tree.questions)), np.nan)
        for i, (question, here) in enumerate(zip(tree.questions, tree.slices, strict=True)):
            if question.multiple and known[here].all():
                people[:, i] = self.people[:, self.tree.question_of[int(joined[:, here.start].argmax())]]
        return VoteTable.of(tree, self.id, counts, people)

    def table(self) -> Table:
        """Votes under the names of public catalogues: ``bar_yes``, ``bar_yes_fraction``, ``bar_total-votes``."""
        entries: list[tuple[Column, Any]] = [
            (Column(name="id", dtype="str", description="name of the galaxy"), self.id)
        ]
        fractions = self.fractions
        for i, (question, here) in enumerate(zip(self.tree.questions, self.tree.slices, strict=True)):
            about = f"people who answered: {question.text or question.name}; NaN: not known"
            entries.append((Column(name=f"{question.name}_total-votes", description=about), self.people[:, i]))
            for k, answer in enumerate(question.answers, here.start):
                name, text = self.tree.columns[k], answer.text or answer.name
                about = f"people who answered: {text}; NaN: not known"
                entries.append((Column(name=name, description=about), self.counts[:, k]))
                about = f"share of those who answered that said: {text}; NaN where nobody answered"
                entries.append((Column(name=f"{name}_fraction", description=about), fractions[:, k]))
        return table_of(entries)


def _people(tree: Tree, counts: Numbers, given: Numbers | None) -> Numbers:
    """(N, Q) people who answered: the votes, and for several answers what is given, else who was sent there."""
    people = np.stack([counts[:, here].sum(1) for here in tree.slices], 1) if len(tree.slices) else counts
    if given is not None and given.shape != people.shape:
        raise InputError(f"people have shape {given.shape}; {people.shape}, one column for each question, is wanted")
    for i in tree.order:
        if not tree.questions[i].multiple:
            continue
        parents = list(tree.parents[i])
        sent = counts[:, parents].sum(1) if parents else np.full(len(counts), np.nan)
        known = sent if given is None else np.where(np.isnan(given[:, i]), sent, given[:, i])
        people[:, i] = np.where(np.isnan(people[:, i]), np.nan, known)
        if (np.isnan(people[:, i]) & ~np.isnan(counts[:, tree.slices[i]]).any(1)).any():
            raise InputError(
                f"question {tree.questions[i].name} takes several answers, whose votes do not tell how many people "
                "answered; pass people, or give it a column of totals"
            )
    return people


def _check_shapes(votes: VoteTable) -> None:
    size = len(votes.id)
    wanted = {"id": (size,), "counts": (size, len(votes.tree.columns)), "people": (size, len(votes.tree.questions))}
    for name, shape in wanted.items():
        if getattr(votes, name).shape != shape:
            raise InputError(f"{name} has shape {getattr(votes, name).shape}; {shape} is wanted for {votes.tree}")


def _check_ids(ids: Texts) -> None:
    names, number = np.unique(ids, return_counts=True)
    if (names == "").any():
        raise InputError(f"a galaxy has no name, {_rows(ids == '')}")
    if (number > 1).any():
        worst = names[number > 1][0]
        raise InputError(
            f"{(number > 1).sum()} galaxies are there several times, such as {str(worst)!r}, {_rows(ids == worst)}; "
            "each galaxy must have one row"
        )


def _check_votes(name: str, counts: Numbers, people: Numbers, *, multiple: bool) -> None:
    missing = np.isnan(counts)
    broken = ~missing & (counts != np.rint(counts))
    faults = {
        "votes for some answers only; missing votes are missing for the whole question": missing.any(1)
        & ~missing.all(1),
        "infinite votes": np.isinf(counts).any(1),
        "negative votes; where they mark missing ones, put NaN": (counts < 0).any(1),
        "votes that are no whole numbers; weighted or debiased votes are no counts": broken.any(1),
        "votes of an unknown number of people": np.isnan(people) & ~missing.any(1),
    }
    if multiple:
        faults["an answer with more votes than people"] = (counts > people[:, None]).any(1)
    else:
        faults["other votes than people"] = ~missing.any(1) & (counts.sum(1) != people)
    for fault, rows in faults.items():
        if rows.any():
            raise InputError(f"question {name} has {fault}, {_rows(rows)}")


def _rows(where: Any) -> str:
    return rows_text(np.flatnonzero(where).tolist())
