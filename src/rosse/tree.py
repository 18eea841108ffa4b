"""Decision trees: the questions that volunteers answer, and which answer leads to which question.

A tree is a TOML file, the one place where its questions, columns and parents are written, what other tables call them,
and what means the same in other trees. A question without `after` is asked to everyone; the others to whoever gave one
of the answers that `after` names.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from rosse.errors import FileError, InputError, OptionError, unknown_name

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

Values = TypeVar("Values")  # an array or a tensor


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer of a question.

    Parameters
    ----------
    name : as in column names.
    text : as people read it.
    same : other tree → the column of that tree with the same meaning; a column of the same name needs none. Where
        several answers name one column, it means all of them together.
    also : what tables and volunteers' answers call it as well.
    """

    name: str
    text: str = ""
    same: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    also: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of a tree.

    Parameters
    ----------
    name : as in column names.
    text : as people read it.
    answers : in the order of the columns, two at least.
    after : columns ``question_answer``, one of which leads here; empty: everyone is asked.
    multiple : whether one person may tick several answers.
    also : what tables call it as well, and other wordings under which people were asked.
    """

    name: str
    text: str = ""
    answers: tuple[Answer, ...]
    after: tuple[str, ...] = ()
    multiple: bool = False
    also: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names ``question_answer`` of the answers."""
        return tuple(f"{self.name}_{answer.name}" for answer in self.answers)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tree:
    """A decision tree of Q questions with A answers in all; answers stand in columns, question after question.

    Parameters
    ----------
    name : of the survey's tree, as in its file name.
    version : of the tree, as the survey calls it.
    title : as people read it.
    reference : where it is published.
    suffixes : what some tables append to the name of every question, such as ``-dr8``.
    questions : in the order of the columns. A question may come after answers of several questions, as long as nobody
        can give two of them.
    """

    name: str
    version: str = ""
    title: str = ""
    reference: str = ""
    suffixes: tuple[str, ...] = ()
    questions: tuple[Question, ...]

    def __post_init__(self) -> None:
        _check_names(self)
        _check_parents(self)
        _check_cycles(self)
        _check_exclusive(self)

    def __repr__(self) -> str:
        plural = "s" if len(self.questions) > 1 else ""
        return f"Tree {self.name}: {len(self.questions)} question{plural}, {len(self.columns)} answers"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """A names ``question_answer``, in order."""
        return tuple(column for question in self.questions for column in question.columns)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Columns of each question: contiguous, each begins where the one before ends."""
        out, first = [], 0
        for question in self.questions:
            out.append(slice(first, first + len(question.answers)))
            first += len(question.answers)
        return tuple(out)

    @cached_property
    def parents(self) -> tuple[tuple[int, ...], ...]:
        """For each question the positions in `columns` of the answers that lead to it; () where everyone is asked."""
        return tuple(tuple(self.columns.index(column) for column in q.after) for q in self.questions)

    @cached_property
    def question_of(self) -> tuple[int, ...]:
        """For each column the position of its question in `questions`."""
        return tuple(i for i, question in enumerate(self.questions) for _ in question.answers)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Positions of the questions, every one after those that lead to it."""
        out: list[int] = []
        while len(out) < len(self.questions):
            out += [
                i
                for i, columns in enumerate(self.parents)
                if i not in out and all(self.question_of[column] in out for column in columns)
            ]
        return tuple(out)

    @cached_property
    def hash(self) -> str:
        """Twelve hexadecimal digits of what decides on the meaning of the columns.

        Names, answers, their order, parents and `multiple`; neither the file's formatting nor texts for people.
        """
        meaning = [[q.name, [a.name for a in q.answers], sorted(q.after), q.multiple] for q in self.questions]
        return hashlib.sha256(json.dumps([self.name, meaning]).encode()).hexdigest()[:12]

    def __getitem__(self, name: str) -> slice:
        """Columns of a question."""
        names = [question.name for question in self.questions]
        if name not in names:
            raise OptionError(f"tree {self.name}: " + unknown_name("question", name, names))
        return self.slices[names.index(name)]

    def asked_probability(self, fractions: Values) -> Values:
        """Probability (..., Q) that a volunteer is asked each question.

        Parameters
        ----------
        fractions : (..., A)
            Share of each answer among those asked its question, an array or a tensor (which keeps its gradient);
            anything but NaN where nobody was asked.

        Notes
        -----
        The sum over a question's parent answers of the probability that the parent's question is asked, times the
        share of that answer: exact, because nobody can give two of the parent answers.
        """
        values: Any = fractions
        if values.ndim == 0 or values.shape[-1] != len(self.columns):
            raise InputError(
                f"fractions have shape {tuple(values.shape)}; the last side must be the {len(self.columns)} answers of "
                f"tree {self.name}"
            )
        if not bool((abs(values) >= 0).all()):
            raise InputError("fractions hold NaN; put 0 where nobody was asked")
        asked: dict[int, Any] = {}
        for i in self.order:
            terms = [asked[self.question_of[column]] * values[..., column] for column in self.parents[i]]
            asked[i] = sum(terms[1:], start=terms[0]) if terms else 1.0
        out = values[..., [0] * len(self.questions)]  # a copy of the right shape and kind, to be filled
        for i, value in asked.items():
            out[..., i] = value
        return out  # type: ignore[no-any-return]

    def only(self, names: Iterable[str]) -> Tree:
        """The tree with some of its questions, which may come after each other but not after one that is left out."""
        kept = list(names)
        for name in kept:
            self[name]  # the name of a question
        questions = tuple(question for question in self.questions if question.name in kept)
        for i, parents in zip(range(len(self.questions)), self.parents, strict=True):
            left_out = {self.questions[self.question_of[column]].name for column in parents} - set(kept)
            if self.questions[i].name in kept and left_out:
                raise OptionError(f"question {self.questions[i].name} comes after {', '.join(sorted(left_out))}")
        return replace(self, questions=questions)

    def leading_to(self, column: int) -> Iterator[dict[int, int]]:
        """Every way to an answer: question → the answer that is given there, as positions, this answer included."""
        question = self.question_of[column]
        if not self.parents[question]:
            yield {question: column}
        for parent in self.parents[question]:
            for path in self.leading_to(parent):
                yield path | {question: column}


OTHER_NAMES = {"gz-desi": "gz-decals"}  # one tree in two surveys


def trees() -> tuple[str, ...]:
    """Names of the trees that come with rosse."""
    names = (entry.name for entry in _shipped().iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def read_tree(tree: str | Path) -> Tree:
    """A decision tree that comes with rosse, by name, or one of your own, by the path of its TOML file.

    Parameters
    ----------
    tree : a name of `trees()`, ``gz-desi``, whose tree is ``gz-decals``, or a path: anything that ends in ``.toml``.

    Examples
    --------
    >>> from rosse.tree import read_tree
    >>> read_tree("gz-decals")
    Tree gz-decals: 10 questions, 34 answers
    """
    path = Path(tree)
    if path.suffix != ".toml":
        tree = OTHER_NAMES.get(str(tree), tree)
        if str(tree) not in trees():
            raise OptionError(unknown_name("tree", str(tree), trees()) + "; a file of your own ends in .toml")
        return _parse(_shipped().joinpath(f"{tree}.toml").read_text(encoding="utf-8"), f"{tree}.toml")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as err:
        raise FileError(f"{path} cannot be read: {err.strerror or err}") from err
    except UnicodeDecodeError as err:
        raise FileError(f"{path} is not TOML: {err}") from err
    return _parse(text, str(path))


def _shipped() -> Traversable:
    return files("rosse").joinpath("votes", "trees")


def _parse(text: str, where: str) -> Tree:
    """Tree of a TOML text; errors name the file."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise FileError(f"{where} is not TOML: {err}") from err
    try:
        texts = dict.fromkeys(("name", "version", "title", "reference"), str)
        fields = _fields(found, "the tree", {**texts, "suffixes": list, "question": list}, needed=("name",))
        questions = tuple(_question(entry, number) for number, entry in enumerate(fields.pop("question", []), 1))
        return Tree(questions=questions, **(fields | {"suffixes": _texts(fields, "suffixes", "the tree")}))
    except InputError as err:
        raise FileError(f"{where}: {err}") from err


def _question(entry: Any, number: int) -> Question:
    where = f"question {entry['name']}" if isinstance(entry, dict) and "name" in entry else f"question number {number}"
    kinds = {"name": str, "text": str, "answers": list, "after": list, "multiple": bool, "same": dict, "also": list}
    fields = _fields(entry, where, kinds, needed=("name", "answers"))
    after = _texts(fields, "after", where, "columns question_answer")
    same = _same_of_answers(fields.pop("same", {}), where)
    answers = tuple(_answer(answer, where, same) for answer in fields["answers"])
    unknown = [name for name in same if name not in {answer.name for answer in answers}]
    if unknown:
        raise InputError(f"{where}: same names an " + unknown_name("answer", unknown[0], [a.name for a in answers]))
    return Question(**(fields | {"after": after, "also": _texts(fields, "also", where), "answers": answers}))


def _same_of_answers(same: dict[str, Any], where: str) -> dict[str, dict[str, str]]:
    """Answer → tree → column, from the file's tree → answer → column."""
    out: dict[str, dict[str, str]] = {}
    for tree, columns in same.items():
        if not isinstance(columns, dict) or not all(isinstance(column, str) for column in columns.values()):
            raise InputError(f"{where}: same.{tree} is {columns!r}; {{ answer = column of that tree }} is wanted")
        for answer, column in columns.items():
            out.setdefault(answer, {})[tree] = column
    return out


def _answer(entry: Any, where: str, same_of: Mapping[str, Mapping[str, str]]) -> Answer:
    kinds = {"name": str, "text": str, "same": dict, "also": list}
    fields = _fields(entry, f"{where}: an answer", kinds, needed=("name",))
    where = f"{where}, answer {fields['name']}"
    same = fields.get("same", {})
    if not all(isinstance(column, str) for column in same.values()):
        raise InputError(f"{where}: same is {same!r}; tree = column is wanted")
    same = MappingProxyType({**same_of.get(fields["name"], {}), **same})
    return Answer(**(fields | {"same": same, "also": _texts(fields, "also", where)}))


def _texts(fields: Mapping[str, Any], key: str, where: str, what: str = "") -> tuple[str, ...]:
    """A list of texts of a file."""
    texts = fields.get(key, [])
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"{where}: {key} is {texts!r}; a list of {what or 'texts'} is wanted")
    return tuple(texts)


def _fields(entry: Any, where: str, kinds: Mapping[str, type], needed: tuple[str, ...] = ()) -> dict[str, Any]:
    """The entry, when it holds what it may and must."""
    if not isinstance(entry, dict):
        raise InputError(f"{where} is {entry!r}; a table with {', '.join(kinds)} is wanted")
    for key, value in entry.items():
        if key not in kinds:
            raise InputError(f"{where}: {unknown_name('entry', key, kinds)}")
        if not isinstance(value, kinds[key]):
            raise InputError(f"{where}: {key} is {value!r}; {_KINDS[kinds[key]]} is wanted")
    for key in needed:
        if key not in entry:
            raise InputError(f"{where} has no {key}")
    return dict(entry)


_KINDS = {str: "a text", list: "a list", bool: "true or false", dict: "a table"}


def _check_names(tree: Tree) -> None:
    if not tree.questions:
        raise InputError(f"tree {tree.name}: there are no questions")
    names = [question.name for question in tree.questions]
    _check_unique(f"tree {tree.name}: question", names)
    for question in tree.questions:
        where = f"tree {tree.name}, question {question.name}"
        if len(question.answers) < 2:
            raise InputError(f"{where}: {len(question.answers)} answer; two or more are wanted")
        _check_unique(f"{where}: answer", [answer.name for answer in question.answers])
    _check_unique(f"tree {tree.name}: column", tree.columns)


def _check_unique(what: str, names: list[str] | tuple[str, ...]) -> None:
    for name in names:
        if not name:
            raise InputError(f"{what} without a name")
        if names.count(name) > 1:
            raise InputError(f"{what} {name!r} is there {names.count(name)} times; names must be unique")


def _check_parents(tree: Tree) -> None:
    for question in tree.questions:
        where = f"tree {tree.name}, question {question.name}"
        _check_unique(f"{where}: parent", question.after)
        for column in question.after:
            if column not in tree.columns:
                raise InputError(f"{where} comes after an " + unknown_name("answer", column, tree.columns))


def _check_cycles(tree: Tree) -> None:
    done: set[int] = set()
    left = set(range(len(tree.questions)))
    while left:
        free = {i for i in left if all(tree.question_of[column] in done for column in tree.parents[i])}
        if not free:
            names = ", ".join(sorted(tree.questions[i].name for i in left))
            raise InputError(f"tree {tree.name}: questions come after each other in a circle, among {names}")
        done |= free
        left -= free


def _check_exclusive(tree: Tree) -> None:
    for i, columns in enumerate(tree.parents):
        for k, one in enumerate(columns):
            for other in columns[k + 1 :]:
                if not _exclude_each_other(tree, one, other):
                    raise InputError(
                        f"tree {tree.name}, question {tree.questions[i].name}: one person could answer both "
                        f"{tree.columns[one]} and {tree.columns[other]}; parents must exclude each other"
                    )


def _exclude_each_other(tree: Tree, one: int, other: int) -> bool:
    """Whether every two ways to these answers need different answers to a question that takes only one."""
    return all(
        any(
            second.get(q, column) != column and not tree.questions[q].multiple  # they part at this question
            for q, column in first.items()
        )
        for first in tree.leading_to(one)
        for second in tree.leading_to(other)
    )
