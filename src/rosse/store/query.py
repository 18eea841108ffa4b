"""Rows of partition files that meet conditions, through DuckDB: closed to the network and to every other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rosse.store.layout import DATASET

if TYPE_CHECKING:
    import duckdb

MEMORY = "1GiB"


@dataclass(frozen=True, kw_only=True, eq=False)
class Condition:
    """A checked condition.

    Parameters
    ----------
    text : as the user wrote it.
    sql : as it is run.
    columns : columns that it uses.
    values : values of the ``?`` in it.
    """

    text: str
    sql: str
    columns: tuple[str, ...]
    values: tuple[Any, ...] = ()


def connect(directory: Path) -> duckdb.DuckDBPyConnection:
    """A connection that can read the partitions of this catalogue and nothing else, and can write nothing."""
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
        "temp_directory": "",
    }
    connection = duckdb.connect(":memory:", config=settings)
    connection.execute(f"SET allowed_directories = [{literal(str(directory.resolve() / DATASET))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def matching_sql(schema: pa.Schema, conditions: Sequence[Condition], what: str) -> str:
    """SELECT over the rows of partition files that meet all conditions; its one parameter is the list of files.

    Parameters
    ----------
    schema : columns of the files.
    conditions : all must hold.
    what : ``"file_row_number"`` or ``"count(*)"``.

    Notes
    -----
    In conditions NaN counts as missing, as comparisons with NaN fail everywhere else in Python; DuckDB by itself
    holds NaN for larger than every number, so that failed fits would pass ``n > 4``.
    """
    used = dict.fromkeys(name for condition in conditions for name in condition.columns)
    values = [f"{_nan_as_null(schema.field(name))} AS {quoted(name)}" for name in used]
    source = "read_parquet(?, hive_partitioning = false, file_row_number = true)"
    where = " AND ".join(f"({condition.sql})" for condition in conditions) or "true"
    return f"SELECT {what} FROM (SELECT {', '.join([*values, 'file_row_number'])} FROM {source}) WHERE {where}"


def matching_rows(
    connection: duckdb.DuckDBPyConnection, file: Path, schema: pa.Schema, conditions: Sequence[Condition]
) -> NDArray[np.int64]:
    """Ascending numbers of the rows of one file that meet all conditions."""
    sql = matching_sql(schema, conditions, "file_row_number")
    values = [value for condition in conditions for value in condition.values]
    found = connection.execute(sql, [[str(file.resolve())], *values]).fetchnumpy()
    return np.sort(np.asarray(found["file_row_number"], dtype=np.int64))


def read_rows(file: Path, names: Sequence[str], rows: NDArray[np.int64] | None = None) -> pa.Table:
    """Columns of a partition file: all rows, or these, for which only the row groups that hold them are read."""
    with pq.ParquetFile(file) as source:
        if rows is None:
            return source.read(columns=list(names)).select(list(names))
        sizes = [source.metadata.row_group(group).num_rows for group in range(source.metadata.num_row_groups)]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        pieces = [source.schema_arrow.empty_table().select(list(names))]
        for group in np.unique(np.searchsorted(starts, rows, side="right") - 1):
            inside = rows[(rows >= starts[group]) & (rows < starts[group + 1])] - starts[group]
            pieces.append(source.read_row_group(int(group), columns=list(names)).select(list(names)).take(inside))
    return pa.concat_tables(pieces)


def quoted(name: str) -> str:
    """A column name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def _nan_as_null(field: pa.Field) -> str:
    if not pa.types.is_floating(field.type):
        return quoted(field.name)
    return f"nullif({quoted(field.name)}, 'nan'::{'DOUBLE' if field.type.bit_width == 64 else 'FLOAT'})"
