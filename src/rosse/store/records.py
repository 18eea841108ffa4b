"""Rows as fixed-size big-endian records, which is what FITS tables and binary VOTables are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rosse.errors import InputError
from rosse.store.schema import is_text

# Arrow type → numpy type of the record. Neither format has all of Arrow's: the next larger one that both have is taken.
NUMBERS = {
    pa.int8(): ">i2",
    pa.int16(): ">i2",
    pa.int32(): ">i4",
    pa.int64(): ">i8",
    pa.uint8(): ">u1",
    pa.uint16(): ">i4",
    pa.uint32(): ">i8",
    pa.float16(): ">f4",
    pa.float32(): ">f4",
    pa.float64(): ">f8",
}


@dataclass(kw_only=True)
class Extent:
    """What a first pass over the rows finds out: everything that a header must know before the first row.

    Parameters
    ----------
    rows : their number.
    nulls : column → missing values.
    length : text column → characters of the longest (16-bit ones where it is not ASCII), at least 1.
    not_ascii : text columns that need more than ASCII.
    range : integer column → smallest and largest value.
    """

    rows: int = 0
    nulls: dict[str, int] = field(default_factory=dict)
    length: dict[str, int] = field(default_factory=dict)
    not_ascii: set[str] = field(default_factory=set)
    range: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Slot:
    """Place of one column in a record.

    Parameters
    ----------
    name : column.
    dtype : numpy type; text is ``S``, encoded with ``codec``.
    null : what stands for a missing value.
    """

    name: str
    dtype: str
    null: Any
    codec: str = ""


def measure(schema: pa.Schema, tables: Iterable[pa.Table]) -> Extent:
    """One pass over the rows.

    Parameters
    ----------
    schema : of every table.
    tables : the rows.
    """
    extent = Extent()
    for table in tables:
        extent.rows += len(table)
        for about, column in zip(schema, table.columns, strict=True):
            extent.nulls[about.name] = extent.nulls.get(about.name, 0) + column.null_count
            if is_text(about.type):
                _measure_text(extent, about.name, column)
            elif pa.types.is_integer(about.type):
                _measure_integers(extent, about.name, column)
    return extent


def slot(about: pa.Field, extent: Extent, *, null: Any) -> Slot:
    """Place of a column.

    Parameters
    ----------
    about : the column.
    extent : what `measure` found.
    null : stands for a missing number.
    """
    name = about.name
    if is_text(about.type):
        wide = name in extent.not_ascii
        size = extent.length.get(name, 1) * (2 if wide else 1)
        return Slot(name=name, dtype=f"S{size}", null=b"", codec="utf-16-be" if wide else "ascii")
    if pa.types.is_boolean(about.type):
        return Slot(name=name, dtype="S1", null=b"\0")
    if about.type == pa.uint64() and extent.range.get(name, (0, 0))[1] < 2**63:
        return Slot(name=name, dtype=">i8", null=null)
    if about.type not in NUMBERS:
        raise InputError(
            f"column {name!r} holds {about.type}, which this format cannot; leave it out with select([...]) "
            "or export to .parquet"
        )
    return Slot(name=name, dtype=NUMBERS[about.type], null=null)


def pack(
    table: pa.Table,
    slots: Sequence[Slot],
    fill: Callable[[NDArray[np.void], pa.Table], None] | None = None,
    before: Sequence[tuple[str, Any]] = (),
) -> bytes:
    """Records of the rows.

    Parameters
    ----------
    table : rows, columns in the order of the slots.
    slots : one for each column.
    fill : sets what comes before the columns.
    before : numpy fields in front of the columns.
    """
    names = [f"c{number}" for number in range(len(slots))]
    records = np.zeros(len(table), dtype=[*before, *((name, s.dtype) for name, s in zip(names, slots, strict=True))])
    for name, place, column in zip(names, slots, table.columns, strict=True):
        records[name] = _values(column, place)
    if fill is not None:
        fill(records, table)
    return records.tobytes()


def _values(column: pa.ChunkedArray, place: Slot) -> Any:
    if place.codec:
        return [b"" if text is None else text.encode(place.codec) for text in column.to_pylist()]
    if pa.types.is_boolean(column.type):
        return [place.null if value is None else b"T" if value else b"F" for value in column.to_pylist()]
    if not column.null_count:
        return column.to_numpy()
    missing = column.is_null().to_numpy()
    known = column.fill_null(pa.scalar(0).cast(column.type)).to_numpy().astype(place.dtype)
    return np.where(missing, np.asarray(place.null, dtype=place.dtype), known)


def _measure_text(extent: Extent, name: str, column: pa.ChunkedArray) -> None:
    longest = 1
    if pc.all(pc.string_is_ascii(column), min_count=0).as_py() and name not in extent.not_ascii:
        longest = pc.max(pc.binary_length(column)).as_py() or 1
    else:
        extent.not_ascii.add(name)
        longest = max((len(text.encode("utf-16-be")) // 2 for text in column.to_pylist() if text), default=1)
    extent.length[name] = max(longest, extent.length.get(name, 1))


def _measure_integers(extent: Extent, name: str, column: pa.ChunkedArray) -> None:
    found = pc.min_max(column).as_py()
    if found["min"] is None:
        return
    low, high = extent.range.get(name, (found["min"], found["max"]))
    extent.range[name] = (min(low, found["min"]), max(high, found["max"]))
