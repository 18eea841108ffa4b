"""Rows of partition files that meet conditions, found by a DuckDB that reaches neither files nor the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

if TYPE_CHECKING:
    import duckdb

MEMORY = "1GiB"
ROWS = "_rows"


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


def connect(spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A connection that computes on what is handed to it: no files, no network, no extensions, bounded memory.

    Parameters
    ----------
    spill : folder for what does not fit in memory; without one DuckDB gives up instead.
    """
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "temp_directory": "" if spill is None else str(spill),
        "python_enable_replacements": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    connection = duckdb.connect(":memory:", config=settings)
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def matching_rows(
    connection: duckdb.DuckDBPyConnection, file: Path, conditions: Sequence[Condition]
) -> NDArray[np.int64]:
    """Ascending numbers of the rows of one partition file that meet all conditions.

    DuckDB gets the columns from memory and not from the file: it would skip row groups by their extremes, which do
    not count NaN, and get ``is null`` wrong.
    """
    names = dict.fromkeys(name for condition in conditions for name in condition.columns)
    table = without_nan(read_rows(file, list(names)))
    connection.register(ROWS, table.append_column("_row", pa.array(np.arange(len(table)))))
    where = " AND ".join(f"({condition.sql})" for condition in conditions)
    values = [value for condition in conditions for value in condition.values]
    found = connection.execute(f"SELECT _row FROM {ROWS} WHERE {where}", values).fetchnumpy()
    return np.sort(np.asarray(found["_row"], dtype=np.int64))


def without_nan(table: pa.Table) -> pa.Table:
    """The table with null for NaN."""
    for number, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            column = table.column(number).cast(pa.float64())
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
            table = table.set_column(number, pa.field(field.name, pa.float64()), column)
    return table


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
