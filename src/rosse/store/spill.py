"""Rows waiting for their partition: in memory while they are few, in files when they are many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


class Spill:
    """Tables by key, of which at most ``budget`` rows are in memory.

    Parameters
    ----------
    folder : where files go; made when the first is written.
    schema : of every table.
    budget : rows kept in memory over all keys.
    """

    def __init__(self, folder: Path, schema: pa.Schema, budget: int) -> None:
        self._folder, self._schema, self._budget = folder, schema, budget
        self._tables: dict[int, list[pa.Table]] = defaultdict(list)
        self._files: dict[int, list[Path]] = defaultdict(list)
        self._rows = 0
        self._written = 0

    def add(self, key: int, table: pa.Table) -> None:
        """Keep these rows, after those that the key already has."""
        self._tables[key].append(table)
        self._rows += len(table)
        if self._rows > self._budget:
            self._flush()

    def take(self, key: int) -> pa.Table:
        """All rows of a key, in the order in which they came; they are gone afterwards."""
        return pa.concat_tables([self._schema.empty_table(), *self.take_slices(key)])

    def take_slices(self, key: int) -> Iterator[pa.Table]:
        """The rows of a key piece by piece."""
        for path in self._files.pop(key, []):
            with pq.ParquetFile(path) as file:
                yield file.read()
            path.unlink()
        tables = self._tables.pop(key, [])
        self._rows -= sum(map(len, tables))
        yield from tables

    def _flush(self) -> None:
        """Write the largest keys until half of the budget is free again."""
        self._folder.mkdir(exist_ok=True)
        sizes = sorted(((sum(map(len, tables)), key) for key, tables in self._tables.items()), reverse=True)
        for rows, key in sizes:
            if 2 * self._rows <= self._budget:
                return
            path = self._folder / f"{self._written}.parquet"
            pq.write_table(pa.concat_tables(self._tables.pop(key)), path, compression="lz4")
            self._files[key].append(path)
            self._rows -= rows
            self._written += 1
