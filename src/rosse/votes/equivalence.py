"""Answers of two trees that mean the same.

Surveys gave other names to the same answers, and joined or split some: *strong* and *weak* bars of one are the *bar*
of another. A column of the same name means the same; what has another name is said in a tree's `Answer.same`. Two trees
that do not name each other meet in a third, whose answers are fine enough to make up those of both.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from rosse.tree import Question, Tree, read_tree

MEETING = "gz-decals"  # whose answers name those of the other trees that come with rosse

Atoms = dict[str, frozenset[str]]


def same_answers(source: Tree, target: Tree) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Which answers of one tree make up each answer of another.

    Parameters
    ----------
    source : A answers.
    target : B answers.

    Returns
    -------
    joined : (A, B)
        1 where votes for an answer of `source` are votes for one of `target`, else 0.
    known : (B,)
        Whether an answer of `target` is made up at all; so are all answers of a question, or none.

    Notes
    -----
    Who is asked may differ: Hubble's question about edge-on discs is for those who see no clumps.

    A question carries over where the answers of one question of `source` share themselves out among all of its
    answers. One left over would be votes that the other tree asked people to give elsewhere.
    """
    joined = np.zeros((len(source.columns), len(target.columns)))
    known = np.zeros(len(target.columns), dtype=bool)
    middles = [source, target, *([_meeting()] if MEETING not in (source.name, target.name) else [])]
    for question, here in zip(target.questions, target.slices, strict=True):
        for middle in middles:
            share = _share(question, _atoms(middle, source), _atoms(middle, target), source)
            if share:
                for column, parts in zip(range(here.start, here.stop), share, strict=True):
                    joined[[source.columns.index(part) for part in parts], column] = 1
                known[here] = True
                break
    return joined, known


@cache
def _meeting() -> Tree:
    return read_tree(MEETING)


def _atoms(middle: Tree, tree: Tree) -> Atoms:
    """Column of a tree → columns of the tree in the middle that it is made of."""
    out: dict[str, set[str]] = {column: set() for column in tree.columns}
    for question in middle.questions:
        for answer, column in zip(question.answers, question.columns, strict=True):
            same = column if middle.name == tree.name else answer.same.get(tree.name, column)
            if same in out:
                out[same].add(column)
    return {column: frozenset(parts) for column, parts in out.items()}


def _share(question: Question, source: Atoms, target: Atoms, tree: Tree) -> list[list[str]] | None:
    """For each answer of a question of the target the columns of the source that make it up; None if any lacks."""
    share = []
    for column in question.columns:
        parts = [name for name, atoms in source.items() if atoms and atoms <= target[column]]
        if not target[column] or frozenset().union(*(source[name] for name in parts)) != target[column]:
            return None
        share.append(parts)
    used = {name for parts in share for name in parts}
    asked = {tree.question_of[tree.columns.index(name)] for name in used}
    whole = {column for i in asked for column in tree.questions[i].columns}
    same_kind = all(tree.questions[i].multiple == question.multiple for i in asked)
    return share if len(asked) == 1 and used == whole and same_kind else None
