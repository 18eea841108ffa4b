"""Parts of a run as they come in: Parquet files, or tables that are set down as files first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rosse.errors import CatalogueError, FileError, StorageError
from rosse.store.query import connect
from rosse.store.schema import conform

BATCH = 65_536


def part_files(parts: Iterable[pa.Table] | Sequence[str | Path], scratch: Path) -> list[Path]:
    """Paths of the parts; tables are written to ``scratch``, since parts are read twice and may not fit in memory."""
    files: list[Path] = []
    for number, part in enumerate(parts):
        if isinstance(part, pa.Table):
            scratch.mkdir(exist_ok=True)
            files.append(scratch / f"{number}.parquet")
            pq.write_table(part, files[-1], compression="lz4")
        else:
            files.append(Path(part))
    if not files:
        raise CatalogueError("no parts to write; a catalogue without rows needs one empty table with its columns")
    return files


def read_schema(path: Path) -> pa.Schema:
    """Columns of a part."""
    with _open(path) as file:
        return file.schema_arrow


def read_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Rows of a part, a batch at a time; at least one batch, so that an empty part passes through as well."""
    with _open(path) as file:
        if not file.metadata.num_rows:
            yield file.schema_arrow.empty_table().select(list(columns))
        for batch in file.iter_batches(batch_size=BATCH, columns=list(columns)):
            yield pa.Table.from_batches([batch]).select(list(columns))


def check_ids(files: Sequence[Path], kind: pa.DataType, scratch: Path) -> None:
    """Every row needs an id of its own; memory stays bounded, since DuckDB puts on disk what does not fit.

    Parameters
    ----------
    files : parts with a column ``id``.
    kind : type of the ids.
    scratch : folder for what does not fit in memory.
    """
    import duckdb

    for path in files:
        _check_no_id_is_missing(path)
    schema = pa.schema([pa.field("id", kind), pa.field("part", pa.int64())])
    reader = pa.RecordBatchReader.from_batches(schema, _ids(files, schema))
    with closing(connect(spill=scratch)) as connection:
        connection.register("ids", reader)
        try:
            twice = connection.execute(
                "SELECT id, min(part), max(part) FROM ids GROUP BY id HAVING count(*) > 1 ORDER BY id LIMIT 3"
            ).fetchall()
        except duckdb.Error as err:  # what is left to go wrong is room: every part was read once already
            raise StorageError(f"ids cannot be compared in {scratch}: {err}; make room there") from err
    if twice:
        told = [f"{key!r} in {' and '.join(sorted({files[a].name, files[b].name}))}" for key, a, b in twice]
        raise CatalogueError(f"the same id stands in more than one row: {'; '.join(told)}; give every row its own")


def _check_no_id_is_missing(path: Path) -> None:
    row = 0
    for batch in read_batches(path, ["id"]):
        column = batch.column("id")
        if column.null_count:
            first = row + column.is_null().to_pylist().index(True)
            raise CatalogueError(f"part {path.name}: row {first} has no id; every row needs its own")
        row += len(batch)


def _ids(files: Sequence[Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for number, path in enumerate(files):
        for batch in read_batches(path, ["id"]):
            column = conform(batch, pa.schema([schema.field("id")])).column("id")
            yield from pa.table([column, pa.array([number] * len(batch), pa.int64())], schema=schema).to_batches()


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    """An open part; what goes wrong in reading it names the part."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, pa.ArrowInvalid) as err:
        raise FileError(f"part {path} is missing or not a whole Parquet file ({err}); make it again") from err
