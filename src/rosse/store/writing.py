"""Parts of a run → a catalogue directory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from rosse import __version__
from rosse.errors import OptionError
from rosse.store import layout
from rosse.store.build import Build
from rosse.store.catalogue import Catalogue, open_catalogue
from rosse.store.parts import part_files
from rosse.store.provenance import as_json, versions
from rosse.store.publish import replacing
from rosse.store.sky import Division

THRESHOLD = 250_000


def write_catalogue(
    directory: str | Path,
    parts: Iterable[pa.Table] | Sequence[str | Path],
    *,
    provenance: Mapping[str, Any] | None = None,
    threshold: int = THRESHOLD,
    name: str | None = None,
) -> Catalogue:
    """Write rows as a catalogue directory, in place of the catalogue that may be there.

    Parameters
    ----------
    directory : created if missing; only the catalogue's own files in it are replaced.
    parts : tables, or Parquet files, that hold the same columns; read twice, one batch at a time. Field metadata
        ``unit`` and ``description`` are kept. Values in ``id``, if there is such a column, must differ.
    provenance : what `describe_run` made; anything that JSON can hold.
    threshold : rows per partition, at most (a HEALPix pixel of order 10, 3.4 arcmin, is never divided).
    name : name of the catalogue in its HATS properties; the directory's name if left out.

    Notes
    -----
    With finite ``ra`` and ``dec`` (degrees) in any row the directory is a HATS catalogue: rows are sorted by their
    HEALPix pixel of order 29, then ``id``, whatever the order of the parts. Rows without a position come after them,
    in the order in which they came, in files of their own, which HATS readers do not see and every other reader does.
    A catalogue without any position keeps the order in which rows came.
    """
    if threshold < 1:
        raise OptionError(f"threshold is {threshold}; it must be at least 1 row")
    target = Path(directory)
    with replacing(target) as building:
        files = part_files(parts, building / "parts")
        build = Build(building / layout.DATASET, files, threshold)
        build.run(building / "scratch")
        for temporary in ("parts", "scratch"):
            if (building / temporary).exists():
                shutil.rmtree(building / temporary)
        if build.division is not None:
            _write_hats(building, name or target.resolve().name, build.division)
        _write_run(building, build, provenance or {})
    return open_catalogue(target)


def _write_hats(building: Path, name: str, division: Division) -> None:
    """Properties and the list of pixels, by the standard's own library."""
    from hats.catalog.dataset.table_properties import TableProperties
    from hats.catalog.partition_info import PartitionInfo
    from hats.pixel_math.healpix_pixel import HealpixPixel

    pixels = [HealpixPixel(int(o), int(p)) for o, p in zip(division.order, division.pixel, strict=True)]
    PartitionInfo.from_healpix(pixels).write_to_file(catalog_path=building)
    properties = {
        "obs_collection": name,
        "dataproduct_type": "object",
        "hats_nrows": int(division.rows.sum()),
        "hats_col_ra": "ra",
        "hats_col_dec": "dec",
        "hats_col_healpix": layout.HEALPIX,
        "hats_col_healpix_order": layout.HEALPIX_ORDER,
        "hats_max_rows": int(division.rows.max()),
        "hats_order": int(division.order.max()),
        "hats_builder": f"rosse {__version__}",
        "hats_version": "v1.0",
    }
    TableProperties.model_validate(properties).to_properties_file(building)


def _write_run(building: Path, build: Build, provenance: Mapping[str, Any]) -> None:
    hats = build.division is not None
    record = {
        "versions": versions(),
        **as_json(provenance),
        "format": layout.FORMAT,
        "format_version": layout.FORMAT_VERSION,
        "catalogue": {
            "layout": "hats" if hats else "plain",
            "rows": build.rows,
            "rows_without_position": build.rows - build.placed,
            "partitions": build.partitions,
        },
        "counts": dict(sorted(build.counts.items())),
        "finished": as_json(datetime.now(UTC)),
        "read_with": layout.HOW_TO_READ if hats else {k: v for k, v in layout.HOW_TO_READ.items() if k != "lsdb"},
    }
    text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False)
    (building / layout.RUN).write_text(text + "\n", encoding="utf-8")
