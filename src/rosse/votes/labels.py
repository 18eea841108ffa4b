"""Labels of people who have a question of their own: classes and numbers in a table, with ids or paths of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rosse.errors import FileError, InputError, unknown_name
from rosse.io.columns import ID_COLUMNS, IMAGE_COLUMNS
from rosse.io.manifest import read_table
from rosse.tree import Answer, Question, Tree
from rosse.votes.quantities import Bounds, Quantities
from rosse.votes.table import VoteTable

if TYPE_CHECKING:
    import pandas as pd

EMPTY = ("", "nan", "none", "null", "na")  # cells that say nothing


def class_votes(ids: Sequence[str], labels: Sequence[str], *, question: str = "class") -> VoteTable:
    """Classes as votes: a tree of one question, each galaxy with the vote of one person for its class.

    With one vote, the log-probability is that of the expected share of the class, as for any classifier.

    Parameters
    ----------
    ids : (N,) names of the galaxies.
    labels : (N,) names of the classes; an empty text: not known.
    question : name of the question.
    """
    names = sorted({str(label) for label in labels if str(label)})
    if len(names) < 2:
        raise InputError(f"labels name {len(names)} class ({', '.join(names)}); two or more are wanted")
    tree = Tree(name=question, questions=(Question(name=question, answers=tuple(Answer(name=n) for n in names)),))
    counts = np.full((len(ids), len(names)), np.nan)
    for row, label in enumerate(labels):
        if str(label):
            counts[row] = [str(label) == name for name in names]
    return VoteTable.of(tree, np.asarray(ids, dtype=str), counts)


def read_classes(path: str | Path, column: str, *, id: str | None = None) -> VoteTable:
    """Classes of a CSV or Parquet table, as votes.

    Parameters
    ----------
    path : of the table.
    column : of the classes; empty cells are not known.
    id : column of the galaxies' names; None: the first of the usual ones, or of those that name files.
    """
    table, named = _table(Path(path), [column], id)
    return class_votes(table[named].tolist(), table[column].tolist(), question=column)


def read_quantities(
    path: str | Path, columns: Sequence[str], *, id: str | None = None, bounds: Mapping[str, Bounds] | None = None
) -> Quantities:
    """Numbers of a CSV or Parquet table.

    Parameters
    ----------
    path : of the table.
    columns : of the numbers; empty cells and NaN are not known.
    id : column of the galaxies' names; None: the first of the usual ones, or of those that name files.
    bounds : column → least and largest possible number.
    """
    table, named = _table(Path(path), columns, id)
    values = {}
    for column in columns:
        cells = [str(cell).strip() for cell in table[column]]
        try:
            values[column] = [np.nan if cell.lower() in EMPTY else float(cell) for cell in cells]
        except ValueError as err:
            raise FileError(f"{path}: column {column} holds something that is no number: {err}") from err
    return Quantities.of(table[named].tolist(), values, bounds)


def _table(path: Path, columns: Sequence[str], id: str | None) -> tuple[pd.DataFrame, str]:
    """The table, which has these columns, and the column of the galaxies' names."""
    table = read_table(path)
    known = {str(name).lower(): str(name) for name in table.columns}
    usual = [known[name] for name in (*ID_COLUMNS, *IMAGE_COLUMNS) if name in known]
    named = id if id is not None else next(iter(usual), None)
    if named is None:
        raise FileError(f"{path} has no column of names; say which with id (--id): {', '.join(known.values())}")
    for what, name in (*(("label", column) for column in columns), ("id", named)):
        if name not in table.columns:
            raise FileError(f"{path}: {unknown_name(f'column of the {what}', name, list(known.values()))}")
    return table, named
