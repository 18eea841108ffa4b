"""Classifications as Zooniverse exports them: one line for one person and one galaxy, with all answers as JSON."""

from __future__ import annotations

import csv
import gzip
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from rosse.errors import FileError, InputError, OptionError, unknown_name
from rosse.tree import Tree, read_tree
from rosse.votes.names import key_of
from rosse.votes.table import VoteTable

logger = logging.getLogger(__name__)

NEEDED = ("annotations", "subject_ids")
LONGEST = 10_000_000  # characters of a cell

Given = dict[int, list[int]]  # question → columns of the answers that one person gave


def is_export(columns: Sequence[str]) -> bool:
    """Whether these are the columns of exported classifications."""
    return all(name in columns for name in NEEDED)


def read_classifications(
    path: str | Path,
    tree: Tree | str | Path,
    *,
    id: str | None = None,
    tasks: Mapping[str, str] | None = None,
    workflow: str | int | None = None,
) -> VoteTable:
    """Votes counted from a file of classifications exported from Zooniverse.

    Parameters
    ----------
    path : the CSV file, also compressed by gzip.
    tree : a tree, or what `rosse.tree.read_tree` takes.
    id : entry of the subject's metadata that names a galaxy (``"iauname"``), also where Zooniverse hides it as
        ``#iauname`` or ``!iauname``; None: the number of the subject.
    tasks : task or its wording → question, such as ``{"T0": "smooth-or-featured"}``, where the tree's file does not
        know the wording under which people were asked.
    workflow : name or number of the workflow that counts; needed where the file holds several.

    Notes
    -----
    Each person counts once for each galaxy, with the first classification. Of a question answered twice, the last
    answer counts. Answers on a way that was left again (whoever says *smooth* is not asked about spiral arms) do not
    count. Tasks that are no question of the tree are left out; an answer that the tree does not know is an error.
    """
    known = tree if isinstance(tree, Tree) else read_tree(tree)
    reader = _Reader(tree=known, questions=_questions(known, tasks or {}), answers=_answers(known))
    votes = _Votes(tree=known)
    try:
        for line, row in _lines(Path(path), workflow):
            try:
                name = _subject(row, id)
                person = row.get("user_name") or row.get("user_id") or row.get("classification_id") or f"line {line}"
                votes.add(name, person, reader.read(_json(row["annotations"], "annotations")))
            except InputError as err:
                raise InputError(f"line {line}: {err}") from err
        return votes.table(reader)
    except FileError:
        raise
    except OptionError as err:
        raise OptionError(f"{path}: {err}") from err
    except InputError as err:
        raise FileError(f"{path}: {err}") from err


@dataclass(kw_only=True)
class _Reader:
    """What the tasks and answers of an export are in a tree."""

    tree: Tree
    questions: dict[str, int]
    answers: list[dict[str, int]]
    left_out: Counter[str] = field(default_factory=Counter)

    def read(self, annotations: Any) -> Given:
        """The answers one person gave, on the way that was not left again."""
        given: Given = {}
        for entry in _flat(annotations):
            label = str(entry.get("task_label") or entry.get("task") or "")
            question = self.questions.get(key_of(str(entry.get("task", ""))), self.questions.get(key_of(label)))
            if question is None:
                self.left_out[label] += 1
                continue
            answers = self._columns(question, entry.get("value"))
            if answers is not None:
                given[question] = answers
        return self._on_the_way(given)

    def _columns(self, question: int, value: Any) -> list[int] | None:
        """Columns of the answers; None where nothing was answered."""
        asked = self.tree.questions[question]
        if value is None or value == "" or (value == [] and not asked.multiple):
            return None
        values = value if isinstance(value, list) else [value]
        if len(values) > 1 and not asked.multiple:
            raise InputError(f"question {asked.name} takes one answer of a person, and {values!r} came")
        if any(not isinstance(one, str) for one in values):
            raise InputError(
                f"question {asked.name}: the answer {values[0]!r} is no text; export classifications with their texts"
            )
        known = self.answers[question]
        for one in values:
            if key_of(one) not in known:
                raise InputError(
                    f"question {asked.name} of tree {self.tree.name}: unknown answer {one!r}; write it into the tree's "
                    f"file, as also = [...] of one of {', '.join(answer.name for answer in asked.answers)}"
                )
        return sorted({known[key_of(one)] for one in values})

    def _on_the_way(self, given: Given) -> Given:
        """Without answers to questions that the other answers do not lead to."""
        kept: Given = {}
        for i in self.tree.order:
            if i not in given:
                continue
            parents = self.tree.parents[i]
            told = [q for q in (self.tree.question_of[parent] for parent in parents) if q in given]
            if not told or any(parent in kept.get(q, ()) for q in told for parent in parents):  # parents may lack
                kept[i] = given[i]
        return kept


@dataclass(kw_only=True)
class _Votes:
    """Votes as they are counted."""

    tree: Tree
    row_of: dict[str, int] = field(default_factory=dict)
    counts: list[list[int]] = field(default_factory=list)
    people: list[list[int]] = field(default_factory=list)
    seen: set[tuple[int, str]] = field(default_factory=set)
    again: int = 0

    def add(self, name: str, person: str, given: Given) -> None:
        """One person's answers for one galaxy."""
        row = self.row_of.setdefault(name, len(self.row_of))
        if row == len(self.counts):
            self.counts.append([0] * len(self.tree.columns))
            self.people.append([0] * len(self.tree.questions))
        if (row, person) in self.seen:
            self.again += 1
            return
        self.seen.add((row, person))
        for question, columns in given.items():
            self.people[row][question] += 1
            for column in columns:
                self.counts[row][column] += 1

    def table(self, reader: _Reader) -> VoteTable:
        """What was counted; questions that nobody was asked in the whole file are missing."""
        if not self.row_of:
            raise InputError("there are no classifications")
        counts, people = np.array(self.counts, dtype=np.float64), np.array(self.people, dtype=np.float64)
        if not people.any():
            raise InputError(
                f"no task is a question of tree {self.tree.name}; there are {_examples(reader.left_out)}; "
                "say which is which with tasks={task: question}"
            )
        if self.again:
            logger.info("%d classifications of galaxies that the same person had classified were left out", self.again)
        if reader.left_out:
            logger.info("tasks that are no question of tree %s: %s", self.tree.name, _examples(reader.left_out))
        for i, here in enumerate(self.tree.slices):
            if not people[:, i].any():
                counts[:, here] = people[:, i] = np.nan
        return VoteTable.of(self.tree, list(self.row_of), counts, people)


def _examples(labels: Counter[str]) -> str:
    return ", ".join(repr(label) for label, _ in labels.most_common(5))


def _questions(tree: Tree, tasks: Mapping[str, str]) -> dict[str, int]:
    """Task or wording → question."""
    names = [question.name for question in tree.questions]
    out: dict[str, int] = {}
    for i, question in enumerate(tree.questions):
        for text in (question.name, question.text, *question.also):
            out.setdefault(key_of(text), i)
    out.pop("", None)
    for task, name in tasks.items():
        if name not in names:
            raise OptionError(f"tasks: {unknown_name('question', name, names)}")
        out[key_of(task)] = names.index(name)
    return out


def _answers(tree: Tree) -> list[dict[str, int]]:
    """For each question: text → column."""
    out = []
    for question, here in zip(tree.questions, tree.slices, strict=True):
        known: dict[str, int] = {}
        for column, answer in enumerate(question.answers, here.start):
            for text in (answer.name, answer.text, *answer.also):
                known.setdefault(key_of(text), column)
        out.append(known)
    return out


def _flat(annotations: Any) -> Iterator[dict[str, Any]]:
    """Annotations one by one, also those that several tasks on one page give together."""
    for entry in annotations if isinstance(annotations, list) else []:
        if not isinstance(entry, dict):
            raise InputError(f"an annotation is {entry!r}; task and value are wanted")
        value = entry.get("value")
        if isinstance(value, list) and value and all(isinstance(one, dict) and "task" in one for one in value):
            yield from _flat(value)
        else:
            yield entry


def _subject(row: Mapping[str, str], id: str | None) -> str:
    """Name of the galaxy."""
    number = row["subject_ids"].strip()
    if id is None:
        return number
    data = _json(row.get("subject_data") or "{}", "subject_data")
    about: dict[str, Any] = next(iter(data.values()), {}) if isinstance(data, dict) else {}
    for key in (id, f"#{id}", f"!{id}", f"//{id}"):
        if about.get(key) not in (None, ""):
            return str(about[key])
    raise InputError(f"subject {number} has no {id!r}; its metadata are {', '.join(about) or 'empty'}")


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as err:
        raise InputError(f"{what} are no JSON: {err}") from err


def _lines(path: Path, workflow: str | int | None) -> Iterator[tuple[int, dict[str, str]]]:
    """Lines of the file that belong to the workflow, with their numbers."""
    first: tuple[str, str] | None = None
    csv.field_size_limit(LONGEST)
    with _open(path) as file:
        rows = csv.DictReader(file)
        if not is_export(rows.fieldnames or []):
            raise InputError(f"these are no classifications of Zooniverse: columns {', '.join(NEEDED)} are wanted")
        for row in rows:
            its = (row.get("workflow_id") or "", row.get("workflow_name") or "")
            if workflow is not None and str(workflow) not in its:
                continue
            first = first or its
            if workflow is None and its != first:
                raise OptionError(
                    f"there are several workflows, {' '.join(first)} and {' '.join(its)}; choose with workflow="
                )
            yield rows.line_num, row
    if first is None and workflow is not None:
        raise OptionError(f"no classification is of workflow {workflow!r}")


def _open(path: Path) -> IO[str]:
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as err:
        raise FileError(f"{path} cannot be read: {err.strerror or err}") from err
