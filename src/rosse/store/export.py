"""Rows to one file in the formats of other programs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from rosse.errors import FileError, OptionError, unknown_name
from rosse.store.file_metadata import text_lengths, with_descriptions, with_lengths
from rosse.store.fits_table import write_fits
from rosse.store.publish import storage_errors, sync
from rosse.store.votable import write_votable

Tables = Callable[[], Iterable[pa.Table]]


def write_csv(stream: IO[bytes], schema: pa.Schema, tables: Tables) -> None:
    """Comma-separated text with one line of column names; units and descriptions have no place in it."""
    from pyarrow import csv

    with csv.CSVWriter(stream, schema) as writer:
        for table in tables():
            writer.write_table(table)


def write_parquet(stream: IO[bytes], schema: pa.Schema, tables: Tables) -> None:
    """One Parquet file with units and descriptions; rows are read twice, since texts' lengths come with the columns."""
    lengths = text_lengths(schema.empty_table())
    for table in tables():
        lengths = {name: max(longest, lengths.get(name, 1)) for name, longest in text_lengths(table).items()}
    described = with_lengths(with_descriptions(schema), lengths)
    with pq.ParquetWriter(stream, described, compression="zstd") as writer:
        for table in tables():
            writer.write_table(table.cast(described))


WRITERS: dict[str, Callable[[IO[bytes], pa.Schema, Tables], None]] = {
    ".fits": write_fits,
    ".vot": write_votable,
    ".xml": write_votable,
    ".csv": write_csv,
    ".parquet": write_parquet,
}


def export(path: Path, schema: pa.Schema, tables: Tables, *, overwrite: bool) -> None:
    """Write rows to a file whose name says the format; it appears when it is whole.

    Parameters
    ----------
    path : ends in one of `WRITERS`.
    schema : of the rows.
    tables : gives the rows anew at each call, one partition at a time.
    overwrite : replace an existing file.
    """
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise OptionError(f"{path}: {unknown_name('file ending', path.suffix, WRITERS)}")
    if path.exists() and not overwrite:
        raise FileError(f"{path} is there already; give another name, or overwrite it (overwrite=True, --overwrite)")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    with storage_errors(path):
        try:
            with unfinished.open("wb") as stream:
                write(stream, schema, tables)
            sync(unfinished)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
