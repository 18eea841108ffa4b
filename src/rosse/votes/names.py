"""What tables call the columns of a tree: one way to compare names, and the columns of each question in a table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rosse.errors import InputError, OptionError
from rosse.tree import Question, Tree

COUNTS = ("", "_count")  # what follows the name of an answer where its votes are counted
FRACTIONS = ("_fraction", "_frac")  # where its share is given
TOTALS = ("_total_votes", "_total", "_total_count", "_count")  # what follows the name of a question
PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)")  # a picture in Zooniverse's markdown


@lru_cache(maxsize=100_000)  # an export repeats the same few texts a million times
def key_of(name: str) -> str:
    """A name as all names are compared: small letters and numbers, joined by ``_``, without pictures."""
    plain = PICTURE.sub(" ", name).casefold().replace("'", "").replace("’", "")
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where a table holds the votes on one question.

    Parameters
    ----------
    answers : columns of the table, one for each answer, in the tree's order.
    total : column with the number of people who answered, if there is one.
    shares : whether the columns hold fractions, not counts.
    suffix : what the table appends to the name of the question.
    """

    answers: tuple[str, ...]
    total: str | None
    shares: bool
    suffix: str


def layout_of(question: Question, tree: Tree, columns: Sequence[str], suffix: str | None = None) -> Layout | None:
    """Where a table with these columns holds the votes on a question; None if it does not.

    Parameters
    ----------
    suffix : which of the tree's suffixes counts, ``""`` for none; None: whichever is there.
    """
    known = _by_key(columns)
    suffixes = ("", *tree.suffixes) if suffix is None else (suffix,)
    found = [layout for each in suffixes if (layout := _layout(question, known, each))]
    if len(found) > 1:
        several = ", ".join(repr(layout.suffix) for layout in found)
        raise OptionError(
            f"the table has votes on {question.name} from several campaigns, suffixes {several}; choose one by suffix="
        )
    return found[0] if found else None


def _by_key(columns: Sequence[str]) -> dict[str, str]:
    """Columns under the names by which they are compared; the first counts where two are the same."""
    known: dict[str, str] = {}
    for column in columns:
        known.setdefault(key_of(column), column)
    return known


def _layout(question: Question, known: Mapping[str, str], suffix: str) -> Layout | None:
    partly: tuple[str, list[str]] | None = None
    for base in dict.fromkeys(key_of(name + suffix) for name in (question.name, *question.also)):
        total = next((known[base + end] for end in TOTALS if base + end in known), None)
        for ends, shares in ((COUNTS, False), (FRACTIONS, True)):
            answers = [_column(base, (a.name, *a.also), ends, known) for a in question.answers]
            if all(answers):
                names = tuple(answer for answer in answers if answer)
                return Layout(answers=names, total=total, shares=shares, suffix=suffix)
            if any(answers):
                absent = [
                    f"{base}_{a.name}{ends[-1]}"
                    for a, column in zip(question.answers, answers, strict=True)
                    if not column
                ]
                partly = partly or (base, absent)
    if partly:
        raise InputError(
            f"the table has only some answers of question {question.name}; it lacks {', '.join(partly[1])}"
        )
    return None


def _column(base: str, names: Sequence[str], ends: Sequence[str], known: Mapping[str, str]) -> str | None:
    keys = (f"{base}_{key_of(name)}{end}" for name in names for end in ends)
    return next((known[key] for key in keys if key in known), None)


def wanted(tree: Tree) -> Iterator[str]:
    """One name for each question under which its votes may be found, for a message."""
    for question in tree.questions:
        yield f"{question.name}{tree.suffixes[0] if tree.suffixes else ''}_{question.answers[0].name}"
