"""The passes over the parts that make the partitions of a catalogue, in memory bounded by one partition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rosse.store import layout
from rosse.store.file_metadata import text_lengths, with_descriptions, with_lengths
from rosse.store.parts import check_ids, read_batches, read_schema
from rosse.store.schema import conform, unify, with_index
from rosse.store.sky import Counts, Division, has_positions, healpix_index
from rosse.store.spill import Spill

ROW_GROUP = 65_536
# Footers of all partitions are gathered in one `_metadata` file, which HATS does not demand; beyond this many column
# chunks it takes longer to read than it saves.
FOOTERS = 250_000


class Build:
    """A data set that is being written.

    Parameters
    ----------
    dataset : folder to write to.
    files : parts.
    threshold : rows per partition.

    Attributes
    ----------
    schema : of the parts, as `unify` found it.
    division : pixels that became partitions; None when no row has a position.
    rows, placed : rows in all, and those with a position.
    counts : rows by status.
    partitions : files written.
    """

    def __init__(self, dataset: Path, files: Sequence[Path], threshold: int) -> None:
        self.dataset, self.files, self.threshold = dataset, files, threshold
        self.schema = unify((path.name, read_schema(path)) for path in files)
        self.division: Division | None = None
        self.counts: Counter[str] = Counter()
        self.rows = self.placed = self.partitions = 0
        self._stored = self.schema
        self._footers: list[Any] = []

    def run(self, scratch: Path) -> None:
        """Write every partition; ``scratch`` is a folder for what does not fit in memory."""
        if "id" in self.schema.names:
            check_ids(self.files, self.schema.field("id").type, scratch)
        self.division = self._survey() if has_positions(self.schema) else None
        self._stored = with_descriptions(self.schema if self.division is None else with_index(self.schema))
        self.dataset.mkdir(parents=True)
        if self.division is None:
            self._write_numbered(layout.PLAIN, self._batches())
        else:
            self._write_pixels(self.division, Spill(scratch, with_index(self.schema), self.threshold))
        pq.write_metadata(self._stored, self.dataset / layout.COMMON_METADATA)
        if self._keeps_footers:
            pq.write_metadata(self._stored, self.dataset / layout.METADATA, metadata_collector=self._footers)

    @property
    def _keeps_footers(self) -> bool:
        return self.partitions * len(self._stored) <= FOOTERS

    def _survey(self) -> Division | None:
        """First pass: which pixels become partitions."""
        counts = Counts()
        for path in self.files:
            for batch in read_batches(path, ["ra", "dec"]):
                counts.add(healpix_index(batch))
        division = counts.divide(self.threshold)
        return division if len(division.rows) else None

    def _write_pixels(self, division: Division, spill: Spill) -> None:
        """Second pass: sort rows into pixels, then write pixel by pixel."""
        for batch in self._batches():
            index = healpix_index(batch)
            null = index < 0
            table = pa.table([pa.array(index, mask=null), *batch.columns], schema=with_index(self.schema))
            place = np.where(null, -1, division.locate(index))
            order = np.argsort(place, kind="stable")
            for rows in np.split(order, np.flatnonzero(np.diff(place[order])) + 1):
                if len(rows):
                    spill.add(int(place[rows[0]]), table.take(rows))  # a copy: a slice would keep all of the batch
        for key, (depth, pixel) in enumerate(zip(division.order, division.pixel, strict=True)):
            table = _sorted(spill.take(key))
            self.placed += len(table)
            self._write(layout.pixel_file(int(depth), int(pixel)), table)
        self._write_numbered(layout.NO_POSITION, spill.take_slices(-1))

    def _batches(self) -> Iterator[pa.Table]:
        for path in self.files:
            for batch in read_batches(path, self.schema.names):
                table = conform(batch, self.schema)
                self.rows += len(table)
                if "status" in self.schema.names:
                    for entry in pc.value_counts(table.column("status")).to_pylist():
                        self.counts[str(entry["values"])] += entry["counts"]
                yield table

    def _write_numbered(self, kind: str, tables: Iterable[pa.Table]) -> None:
        waiting: list[pa.Table] = []
        rows = number = 0
        for table in tables:
            waiting.append(table)
            rows += len(table)
            while rows >= self.threshold:
                joined = pa.concat_tables(waiting)
                self._write(layout.numbered_file(kind, number), joined.slice(0, self.threshold))
                waiting, number, rows = [joined.slice(self.threshold)], number + 1, rows - self.threshold
        if rows or not self.partitions:  # a catalogue without rows has one file, which holds its columns
            self._write(layout.numbered_file(kind, number), pa.concat_tables(waiting))

    def _write(self, name: str, table: pa.Table) -> None:
        path = self.dataset / name
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = table.combine_chunks().cast(with_lengths(self._stored, text_lengths(table)))
        pq.write_table(stored, path, compression="zstd", row_group_size=ROW_GROUP)
        self.partitions += 1
        if self._keeps_footers and not name.startswith(layout.NO_POSITION):
            footer = pq.read_metadata(path)  # pyarrow's metadata_collector would hide that the disk is full
            footer.set_file_path(name)
            self._footers.append(footer)


def _sorted(table: pa.Table) -> pa.Table:
    keys = [(layout.HEALPIX, "ascending")] + ([("id", "ascending")] if "id" in table.schema.names else [])
    return table.sort_by(keys)
