"""Vote tables of Galaxy Zoo and Zooniverse, under any of the names they are published with."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.errors import FileError, InputError, OptionError, rows_text, unknown_name
from rosse.tree import Question, Tree, read_tree
from rosse.votes import zooniverse
from rosse.votes.names import Layout, layout_of, wanted
from rosse.votes.shares import votes_of_shares
from rosse.votes.table import Numbers, VoteTable

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table

logger = logging.getLogger(__name__)

# Columns that name a galaxy, the surest first, in small letters.
IDS = (
    "id", "id_str", "iauname", "dr8_id", "dr7objid", "objid", "object_id", "zooniverse_id", "subject_id", "survey_id",
    "asset_id", "filename", "file_loc", "name",
)  # fmt: skip


def read_votes(
    source: str | Path | pd.DataFrame | Table,
    tree: Tree | str | Path,
    *,
    id: str | None = None,
    suffix: str | None = None,
    rounded: bool = False,
) -> VoteTable:
    """Votes of a table, for the answers of a tree.

    Parameters
    ----------
    source : a file (CSV, also compressed, Parquet, FITS, VOTable, ECSV), or a table in memory. A file of
        classifications exported from Zooniverse is read by `read_classifications`, with its defaults.
    tree : a tree, or what `rosse.tree.read_tree` takes.
    id : column that names the galaxies; None: the first of the usual ones that is there.
    suffix : what the table appends to questions, where it holds several campaigns: ``"-dr8"``, or ``""`` for nothing.
    rounded : whether shares of weighted votes become the nearest whole numbers of votes, which is an error otherwise.

    Returns
    -------
    VoteTable
        Empty cells, and questions that are not in the table, are missing votes, not none.

    Notes
    -----
    Known columns, for question *bar* and answer *yes* of tree *gz2*: ``bar_yes`` or ``bar-gz2_yes`` (counts),
    ``bar-gz2_yes_fraction`` with ``bar-gz2_total-votes``, and what the tree's file names as well
    (``t03_bar_a06_bar_count``). Counts are preferred. Fractions become the whole numbers of votes they were made from.
    Columns called weighted or debiased are never read: they count no people.
    """
    known = tree if isinstance(tree, Tree) else read_tree(tree)
    where = f"{source}: " if isinstance(source, str | Path) else ""
    try:
        return _read(_opened(source), known, id, suffix, rounded=rounded)
    except FileError:
        raise
    except OptionError as err:
        raise OptionError(f"{where}{err}") from err
    except InputError as err:
        raise (FileError if where else InputError)(f"{where}{err}") from err


def _read(source: Any, tree: Tree, id: str | None, suffix: str | None, *, rounded: bool) -> VoteTable:
    columns = _columns(source)
    if zooniverse.is_export(columns):
        if not isinstance(source, str | Path):
            raise InputError("classifications of Zooniverse are read from their file; pass its path")
        return zooniverse.read_classifications(source, tree, id=id)
    layouts = {q.name: layout_of(q, tree, columns, suffix) for q in tree.questions}
    found = {name: layout for name, layout in layouts.items() if layout}
    if not found:
        names = ", ".join(list(wanted(tree))[:3])
        raise InputError(f"no column holds votes on a question of {tree}; looked for {names} ... and their other names")
    name = _id_column(columns, id)
    needed = [name, *(column for layout in found.values() for column in (*layout.answers, layout.total) if column)]
    frame = _load(source, list(dict.fromkeys(needed)), name)
    absent = [question for question in layouts if question not in found]
    if absent:
        logger.info("tree %s: no votes on %s in the table", tree.name, ", ".join(absent))
    return VoteTable.of(tree, _names(frame[name]), *_votes(frame, tree, found, rounded=rounded))


def _votes(frame: pd.DataFrame, tree: Tree, found: dict[str, Layout], *, rounded: bool) -> tuple[Numbers, Numbers]:
    """Counts (N, A) and people (N, Q), NaN where the table has none."""
    counts = np.full((len(frame), len(tree.columns)), np.nan)
    people = np.full((len(frame), len(tree.questions)), np.nan)
    for i, (question, here) in enumerate(zip(tree.questions, tree.slices, strict=True)):
        layout = found.get(question.name)
        if layout is None:
            continue
        total = _numbers(frame, layout.total) if layout.total else None
        counts[:, here] = _counts(frame, layout, total, question, rounded=rounded)
        if total is not None:
            people[:, i] = total
            _check_total(question, counts[:, here], total)
    return counts, people


def _counts(
    frame: pd.DataFrame, layout: Layout, total: Numbers | None, question: Question, *, rounded: bool
) -> Numbers:
    """Votes (N, K) on a question."""
    values = np.stack([_numbers(frame, column) for column in layout.answers], 1)
    if not layout.shares:
        return values
    if total is None:
        raise InputError(
            f"question {question.name} has shares of votes ({layout.answers[0]}) but no number of people; a column "
            f"such as {question.name}_total-votes is wanted, for without it nobody knows how sure a share is"
        )
    votes, odd = votes_of_shares(values, total, multiple=question.multiple)
    if odd.any() and not rounded:
        raise InputError(
            f"question {question.name}: shares times {layout.total} are no whole numbers of votes, "
            f"{rows_text(np.flatnonzero(odd).tolist())}; they are of weighted votes: rounded=True takes the nearest "
            "whole numbers, tree.only([...]) leaves the question out"
        )
    return votes


def _check_total(question: Question, counts: Numbers, total: Numbers) -> None:
    """Totals that differ from the sum of the votes are not used, but said."""
    if not question.multiple and (differ := np.abs(counts.sum(1) - total) > 0.5).any():
        rows = rows_text(np.flatnonzero(differ).tolist())
        logger.warning("question %s: the total is not the sum of its votes, which counts, %s", question.name, rows)


def _id_column(columns: Sequence[str], id: str | None) -> str:
    if id is not None:
        if id not in columns:
            raise OptionError(unknown_name("column", id, columns))
        return id
    small = {column.casefold(): column for column in reversed(columns)}
    for name in IDS:
        if name in small:
            return small[name]
    raise OptionError(f"no column names the galaxies ({', '.join(IDS[:6])} ...); say which with id=")


def _numbers(frame: pd.DataFrame, column: str) -> Numbers:
    """A column as numbers, NaN where a cell is empty."""
    import pandas as pd

    try:
        return np.asarray(pd.to_numeric(frame[column]).to_numpy(dtype=np.float64, na_value=np.nan))
    except (ValueError, TypeError) as err:
        raise InputError(f"column {column} holds what is no number: {err}") from err


def _names(ids: pd.Series[Any]) -> NDArray[np.str_]:
    """Names of the galaxies, an empty text where there is none."""
    return np.where(ids.isna(), "", ids.astype(str)).astype(str)


def _opened(source: Any) -> Any:
    """The path of a CSV or Parquet file, of which only some columns are read; any other table as it is in memory."""
    if not isinstance(source, str | Path) or _kind(Path(source)) != "astropy":
        return source
    return _table(Path(source))


def _columns(source: Any) -> list[str]:
    """Names of a table's columns, without reading its rows."""
    import pandas as pd

    if not isinstance(source, str | Path):
        return list(source.columns if isinstance(source, pd.DataFrame) else source.colnames)
    path = Path(source)
    return _parquet(path) if _kind(path) == "parquet" else list(_csv(path, nrows=0).columns)


def _load(source: Any, columns: list[str], id: str) -> pd.DataFrame:
    """The columns that are wanted; the name of a galaxy stays text, for a float keeps no 18 digits."""
    import pandas as pd

    if isinstance(source, str | Path):
        path = Path(source)
        return _table(path, columns) if _kind(path) == "parquet" else _csv(path, usecols=columns, dtype={id: str})
    frame = source if isinstance(source, pd.DataFrame) else _frame(source)
    return frame[columns]


def _kind(path: Path) -> str:
    suffixes = [
        suffix.casefold() for suffix in path.suffixes if suffix.casefold() not in (".gz", ".bz2", ".xz", ".zip")
    ]
    last = suffixes[-1] if suffixes else ""
    return "parquet" if last in (".parquet", ".pq") else "csv" if last in (".csv", ".txt", "") else "astropy"


def _csv(path: Path, **options: Any) -> pd.DataFrame:
    import pandas as pd

    try:
        frame: pd.DataFrame = pd.read_csv(path, low_memory=False, **options)
    except (OSError, ValueError, EOFError) as err:  # pandas' own errors are ValueErrors
        raise FileError(f"{path} cannot be read as CSV: {getattr(err, 'strerror', None) or err}") from err
    return frame


def _parquet(path: Path) -> list[str]:
    """Names of the columns of a Parquet file, which may hold images as well."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(path).names)
    except (OSError, pa.ArrowInvalid) as err:
        raise FileError(f"{path} cannot be read as a table: {getattr(err, 'strerror', None) or err}") from err


def _table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """A table in another format than CSV."""
    import pandas as pd

    try:
        if _kind(path) == "parquet":
            return pd.read_parquet(path, columns=columns, dtype_backend="numpy_nullable")
        from astropy.table import Table

        return _frame(Table.read(path))
    except Exception as err:  # readers of many formats raise errors of many kinds
        raise FileError(f"{path} cannot be read as a table: {err}") from err


def _frame(table: Table) -> pd.DataFrame:
    """The plain columns of an astropy table, its masked cells empty."""
    plain = [name for name in table.colnames if table[name].ndim == 1]
    frame: pd.DataFrame = table[plain].to_pandas()
    for name in plain:
        if table[name].dtype.kind == "S":
            frame[name] = [value.decode().strip() if isinstance(value, bytes) else value for value in frame[name]]
    return frame
