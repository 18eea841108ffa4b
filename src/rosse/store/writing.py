"""Parts of a run → a catalogue directory, in memory bounded by one partition."""

from __future__ import annotations

import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rosse.errors import CatalogueError, FileError, OptionError
from rosse.store import layout
from rosse.store.catalogue import Catalogue, open_catalogue
from rosse.store.provenance import as_json, versions
from rosse.store.publish import replacing
from rosse.store.schema import conform, unify, with_index
from rosse.store.sky import Counts, Division, has_positions, healpix_index
from rosse.store.spill import Spill

THRESHOLD = 250_000
BATCH = 65_536
ROW_GROUP = 65_536
# Footers of all partitions are gathered in one `_metadata` file, which HATS does not demand; beyond this many column
# chunks the file takes longer to read than it saves.
FOOTERS = 250_000


def write_catalogue(
    directory: str | Path,
    parts: Iterable[pa.Table] | Sequence[str | Path],
    *,
    provenance: Mapping[str, Any] | None = None,
    threshold: int = THRESHOLD,
    name: str | None = None,
) -> Catalogue:
    """Write rows as a catalogue directory, in place of the one that may be there.

    Parameters
    ----------
    directory : created if missing; only the catalogue's own files in it are replaced.
    parts : tables, or Parquet files, that hold the same columns; read twice, one batch at a time. Field metadata
        ``unit`` and ``description`` are kept.
    provenance : what `describe_run` made; anything that JSON can hold.
    threshold : rows per partition, about.
    name : name of the catalogue in its HATS properties; the directory's name if left out.

    Notes
    -----
    With finite ``ra`` and ``dec`` (degrees) in any row the directory is a HATS catalogue: rows are sorted by their
    HEALPix pixel of order 29, then ``id``, whatever the order of the parts. Rows without a position come after them
    in files of their own, which HATS readers do not see and every other reader does. A catalogue without any
    position keeps the order in which rows came.
    """
    if threshold < 1:
        raise OptionError(f"threshold is {threshold}; it must be at least 1 row")
    target = Path(directory)
    with replacing(target) as building:
        files = _part_files(parts, building / "parts")
        build = _Build(building / layout.DATASET, files, threshold)
        build.run(building / "spill")
        for scratch in ("parts", "spill"):
            if (building / scratch).exists():
                shutil.rmtree(building / scratch)
        if build.division is not None:
            _write_hats(building, name or target.resolve().name, build)
        _write_run(building, build, provenance or {})
    return open_catalogue(target)


class _Build:
    """The passes over the parts and what they found."""

    def __init__(self, dataset: Path, files: Sequence[Path], threshold: int) -> None:
        self.dataset, self.files, self.threshold = dataset, files, threshold
        self.schema = unify((path.name, _read_schema(path)) for path in files)
        self.division: Division | None = None
        self.counts: Counter[str] = Counter()
        self.rows = 0
        self.placed = 0
        self.partitions = 0
        self._footers: list[Any] = []

    def run(self, scratch: Path) -> None:
        """Write every partition."""
        self.dataset.mkdir(parents=True)
        self.division = self._survey() if has_positions(self.schema) else None
        if self.division is None:
            self._write_numbered(layout.PLAIN, self._batches())
        else:
            self._write_pixels(scratch)
        self._write_metadata()

    def _survey(self) -> Division | None:
        """First pass: which pixels become partitions; None when no row has a position."""
        counts = Counts()
        for path in self.files:
            for batch in _read_batches(path, ["ra", "dec"]):
                counts.add(healpix_index(batch))
        division = counts.divide(self.threshold)
        return division if len(division.rows) else None

    def _write_pixels(self, scratch: Path) -> None:
        """Second pass: sort rows into pixels, then write pixel by pixel."""
        assert self.division is not None
        schema = with_index(self.schema)
        spill = Spill(scratch, schema, self.threshold)
        for batch in self._batches():
            index = healpix_index(batch)
            table = pa.table([pa.array(index), *batch.columns], schema=schema)
            place = np.where(index >= 0, self.division.locate(index), -1)
            for key in np.unique(place):
                spill.add(int(key), table.filter(pa.array(place == key)))
        for key, (order, pixel) in enumerate(zip(self.division.order, self.division.pixel, strict=True)):
            table = spill.take(key)
            self.placed += len(table)
            self._write(layout.pixel_file(int(order), int(pixel)), _sorted(table))
        null = pa.field(layout.HEALPIX, pa.int64(), metadata=schema.field(0).metadata)
        lost = (t.set_column(0, null, pa.nulls(len(t), pa.int64())) for t in spill.take_slices(-1))
        self._write_numbered(layout.NO_POSITION, lost, may_be_empty=True)

    def _batches(self) -> Iterator[pa.Table]:
        for path in self.files:
            for batch in _read_batches(path, self.schema.names):
                table = conform(batch, self.schema)
                self.rows += len(table)
                if "status" in self.schema.names:
                    self.counts.update(str(value) for value in table.column("status").to_pylist())
                yield table

    def _write_numbered(self, kind: str, tables: Iterable[pa.Table], *, may_be_empty: bool = False) -> None:
        waiting: list[pa.Table] = []
        number = 0
        for table in tables:
            waiting.append(table)
            while sum(map(len, waiting)) >= self.threshold:
                joined = pa.concat_tables(waiting)
                self._write(layout.numbered_file(kind, number), joined.slice(0, self.threshold))
                waiting, number = [joined.slice(self.threshold)], number + 1
        rest = pa.concat_tables(waiting) if waiting else self.schema.empty_table()
        if len(rest) or not (number or may_be_empty):
            self._write(layout.numbered_file(kind, number), rest)

    def _write(self, name: str, table: pa.Table) -> None:
        path = self.dataset / name
        path.parent.mkdir(parents=True, exist_ok=True)
        footers: list[Any] = []
        pq.write_table(
            table.combine_chunks(), path, compression="zstd", row_group_size=ROW_GROUP, metadata_collector=footers
        )
        self.partitions += 1
        if not name.startswith(layout.NO_POSITION) and self.partitions * len(table.schema) <= FOOTERS:
            footers[0].set_file_path(name)
            self._footers += footers

    def _write_metadata(self) -> None:
        schema = self.schema if self.division is None else with_index(self.schema)
        pq.write_metadata(schema, self.dataset / layout.COMMON_METADATA)
        if self.partitions * len(schema) <= FOOTERS:
            pq.write_metadata(schema, self.dataset / layout.METADATA, metadata_collector=self._footers)


def _sorted(table: pa.Table) -> pa.Table:
    keys = [(layout.HEALPIX, "ascending")] + ([("id", "ascending")] if "id" in table.schema.names else [])
    return table.sort_by(keys)


def _part_files(parts: Iterable[pa.Table] | Sequence[str | Path], scratch: Path) -> list[Path]:
    """Paths of the parts; tables are set down first, since they are read twice and may not fit in memory."""
    files: list[Path] = []
    for number, part in enumerate(parts):
        if isinstance(part, pa.Table):
            scratch.mkdir(exist_ok=True)
            files.append(scratch / f"part {number}")
            pq.write_table(part, files[-1], compression="lz4")
        else:
            files.append(Path(part))
    if not files:
        raise CatalogueError("no parts to write; a catalogue without rows needs one empty table with its columns")
    return files


def _read_schema(path: Path) -> pa.Schema:
    with _reading(path) as file:
        return file.schema_arrow


def _read_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    with _reading(path) as file:
        for batch in file.iter_batches(batch_size=BATCH, columns=list(columns)):
            yield pa.Table.from_batches([batch])


@contextmanager
def _reading(path: Path) -> Iterator[pq.ParquetFile]:
    """An open part; what goes wrong in reading it names the part."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, pa.ArrowInvalid) as err:
        raise FileError(f"part {path} is missing or not a whole Parquet file ({err}); make it again") from err


def _write_hats(building: Path, name: str, build: _Build) -> None:
    from hats.catalog.dataset.table_properties import TableProperties
    from hats.catalog.partition_info import PartitionInfo
    from hats.pixel_math.healpix_pixel import HealpixPixel

    assert build.division is not None
    pixels = [HealpixPixel(int(o), int(p)) for o, p in zip(build.division.order, build.division.pixel, strict=True)]
    PartitionInfo.from_healpix(pixels).write_to_file(catalog_path=building)
    properties = {
        "obs_collection": name,
        "dataproduct_type": "object",
        "hats_nrows": build.placed,
        "hats_col_ra": "ra",
        "hats_col_dec": "dec",
        "hats_col_healpix": layout.HEALPIX,
        "hats_col_healpix_order": layout.HEALPIX_ORDER,
        "hats_max_rows": int(build.division.rows.max()),
        "hats_order": int(build.division.order.max()),
        "hats_builder": f"rosse {versions()['rosse']}",
        "hats_version": "v1.0",
    }
    TableProperties.model_validate(properties).to_properties_file(building)


def _write_run(building: Path, build: _Build, provenance: Mapping[str, Any]) -> None:
    about = {
        "format": layout.FORMAT,
        "format_version": layout.FORMAT_VERSION,
        "catalogue": {
            "key": uuid.uuid4().hex,
            "layout": "plain" if build.division is None else "hats",
            "rows": build.rows,
            "rows_without_position": build.rows - build.placed,
            "partitions": build.partitions,
        },
        "counts": dict(sorted(build.counts.items())),
        "finished": as_json(datetime.now(UTC)),
    }
    record = {
        **about,
        **{key: value for key, value in as_json({"versions": versions(), **provenance}).items() if key not in about},
    }
    (building / layout.RUN).write_text(json.dumps(record, indent=2, allow_nan=False) + "\n")
