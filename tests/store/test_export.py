"""One file in another format: same rows, units, descriptions; whole or not at all."""

from __future__ import annotations

import csv
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits, votable
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning
from hypothesis import given, settings
from hypothesis import strategies as st

from rosse.errors import FileError, InputError, OptionError
from rosse.store import Catalogue, write_catalogue
from rosse.store.export import export
from store.galaxy_rows import SCHEMA, as_rows, galaxies

FORMATS = [".fits", ".vot", ".xml", ".csv", ".parquet"]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return write_catalogue(tmp_path_factory.mktemp("c") / "c", [galaxies(250, seed=4)], threshold=60)


def same_values(table: Table, wanted: pa.Table) -> None:
    """Equal but for what these formats or astropy's readers of them cannot tell apart: missing is NaN, blank, False."""
    for field in wanted.schema:
        for got, want in zip(table[field.name], wanted[field.name].to_pylist(), strict=True):
            if want is None or (isinstance(want, float) and math.isnan(want)):
                blank = not got if field.type in (pa.string(), pa.bool_()) else got != got  # noqa: PLR0124
                assert got is np.ma.masked or blank, field.name
            else:
                assert got is not np.ma.masked, field.name
                assert (got.decode() if isinstance(got, bytes) else got) == want


def read_fits(path: Path) -> Table:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Column '.*' contains NULL", category=AstropyUserWarning)
        return Table.read(path)


def test_fits(catalogue: Catalogue, tmp_path: Path) -> None:
    path = catalogue.export(tmp_path / "c.fits")
    with fits.open(path) as file:
        file.verify("exception")
        header = file[1].header
        assert path.stat().st_size % 2880 == 0
        told = {header[f"TTYPE{n}"]: (header.get(f"TUNIT{n}"), header[f"TCOMM{n}"]) for n in range(1, 10)}
    assert told["ra"] == ("deg", "right ascension, ICRS")
    assert told["r_e"] == ("arcsec", "half-light radius along the major axis, +- 0.1")
    assert told["npix"][0] == "pix"
    same_values(read_fits(path), catalogue.to_arrow())


@pytest.mark.parametrize("ending", [".vot", ".xml"])
def test_votable(catalogue: Catalogue, tmp_path: Path, ending: str) -> None:
    path = catalogue.export(tmp_path / f"c{ending}")
    table = votable.parse(path, verify="exception").get_first_table()
    assert {field.name: str(field.unit) for field in table.fields}["r_e"] == "arcsec"
    assert table.get_field_by_id_or_name("r_e").description == "half-light radius along the major axis, ± 0.1"
    assert table.get_field_by_id_or_name("dec").ucd == "pos.eq.dec;meta.main"
    same_values(Table.read(path), catalogue.to_arrow())


def test_csv(catalogue: Catalogue, tmp_path: Path) -> None:
    with catalogue.export(tmp_path / "c.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    wanted = catalogue.to_arrow().to_pylist()
    assert [row["id"] for row in rows] == [row["id"] for row in wanted]
    assert [row["npix"] for row in rows] == ["" if row["npix"] is None else str(row["npix"]) for row in wanted]
    assert [float(row["n"]) for row in rows] == pytest.approx([row["n"] for row in wanted], nan_ok=True, rel=0)


def test_parquet(catalogue: Catalogue, tmp_path: Path) -> None:
    path = catalogue.export(tmp_path / "c.parquet")
    table = pq.ParquetFile(path).read()
    assert as_rows(table) == as_rows(catalogue.to_arrow())
    assert table.schema.remove_metadata().equals(SCHEMA, check_metadata=True)
    assert str(Table.read(path)["ra"].unit) == "deg"


@pytest.mark.parametrize("ending", FORMATS)
def test_filtered_and_empty(catalogue: Catalogue, tmp_path: Path, ending: str) -> None:
    few = catalogue.where("n > 4").select(["id", "n", "flags"])
    path = few.export(tmp_path / f"few{ending}")
    assert len(Table.read(path, format="votable" if ending == ".xml" else None)) == len(few)
    none = catalogue.where("n > 100").export(tmp_path / f"none{ending}")
    if ending != ".csv":  # astropy takes a CSV of one line for one without columns
        assert Table.read(none, format="votable" if ending == ".xml" else None).colnames == SCHEMA.names
    assert len(none.read_bytes()) > 10


@pytest.mark.parametrize("ending", FORMATS)
def test_an_existing_file_is_kept_unless_told(catalogue: Catalogue, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"c{ending}"
    path.write_bytes(b"mine")
    with pytest.raises(FileError, match="overwrite=True"):
        catalogue.export(path)
    assert path.read_bytes() == b"mine"
    catalogue.export(path, overwrite=True)
    assert path.stat().st_size > 1000
    assert os.listdir(tmp_path) == [path.name]


def test_unknown_ending(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"unknown file ending '\.fit'; did you mean '\.fits'"):
        catalogue.export(tmp_path / "c.fit")


@pytest.mark.parametrize("ending", [".fits", ".vot"])
def test_what_a_format_cannot_hold_is_named_and_leaves_no_file(tmp_path: Path, ending: str) -> None:
    lists = pa.table({"id": ["a"], "vector": [[1.0, 2.0]]})
    catalogue = write_catalogue(tmp_path / "c", [lists])
    with pytest.raises(InputError, match=r"column 'vector' holds list.*select"):
        catalogue.export(tmp_path / f"out{ending}")
    assert os.listdir(tmp_path) == ["c"]
    assert len(Table.read(catalogue.select(["id"]).export(tmp_path / f"out{ending}"))) == 1


def test_letters_beyond_ascii(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "c", [pa.table({"id": ["Zoë", "𝛼", "plain"]})])
    with pytest.raises(InputError, match=r"column 'id' holds letters beyond ASCII.*\.vot"):
        catalogue.export(tmp_path / "c.fits")
    assert list(Table.read(catalogue.export(tmp_path / "c.vot"))["id"]) == ["Zoë", "𝛼", "plain"]


def test_no_number_left_for_missing(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b", "c"], "k": pa.array([-(2**63), None, 2**63 - 1], pa.int64())})
    catalogue = write_catalogue(tmp_path / "c", [table])
    with pytest.raises(InputError, match=r"column 'k' uses the smallest and the largest 64-bit number"):
        catalogue.export(tmp_path / "c.fits")
    found = Table.read(catalogue.export(tmp_path / "c.vot"))["k"]
    assert list(found.mask) == [False, True, False]
    assert [int(found[0]), int(found[2])] == [-(2**63), 2**63 - 1]


def test_units_that_fits_spells_differently(tmp_path: Path) -> None:
    units = {"a": "mag/arcsec2", "b": "arcsec^2", "c": "1/Å", "d": "nanomaggy", "e": "e-/s"}
    schema = pa.schema([pa.field(name, pa.float64(), metadata={"unit": unit}) for name, unit in units.items()])
    catalogue = write_catalogue(tmp_path / "c", [pa.table([[1.0]] * 5, schema=schema)])
    with fits.open(catalogue.export(tmp_path / "c.fits")) as file:
        written = [file[1].header[f"TUNIT{n}"] for n in range(1, 6)]
    assert written == ["mag arcsec-2", "arcsec2", "Angstrom-1", "nanomaggy", "e-/s"]


KINDS: dict[str, Any] = {
    "i1": (pa.int8(), st.integers(-(2**7), 2**7 - 1)),
    "i2": (pa.int16(), st.integers(-(2**15) + 1, 2**15 - 1)),
    "i4": (pa.int32(), st.integers(-(2**31) + 1, 2**31 - 1)),
    "i8": (pa.int64(), st.integers(-(2**63) + 1, 2**63 - 1)),
    "u1": (pa.uint8(), st.integers(0, 255)),
    "u2": (pa.uint16(), st.integers(0, 2**16 - 1)),
    "u4": (pa.uint32(), st.integers(0, 2**32 - 1)),
    "u8": (pa.uint64(), st.integers(0, 2**63 - 1)),
    "f4": (pa.float32(), st.floats(width=32, allow_nan=False)),
    "f8": (pa.float64(), st.floats(allow_nan=False)),
    "yes": (pa.bool_(), st.booleans()),
    "text": (pa.string(), st.text("abc xyz_09'<&>\"", min_size=1, max_size=9).map(lambda text: f"{text}.")),
}
ROWS = st.lists(st.fixed_dictionaries({name: st.none() | values for name, (_, values) in KINDS.items()}), max_size=8)


@settings(max_examples=40)
@given(rows=ROWS)
def test_any_numbers_come_back_from_fits_and_votable(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    schema = pa.schema([pa.field(name, kind) for name, (kind, _) in KINDS.items()])
    catalogue = write_catalogue(folder / "c", [pa.Table.from_pylist(rows, schema=schema)], threshold=3)
    same_values(read_fits(catalogue.export(folder / "c.fits")), catalogue.to_arrow())
    same_values(Table.read(catalogue.export(folder / "c.vot")), catalogue.to_arrow())


def test_a_missing_boolean_is_undefined_in_fits(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "c", [pa.table({"id": ["a", "b", "c"], "yes": [True, None, False]})])
    with fits.open(catalogue.export(tmp_path / "c.fits"), logical_as_bytes=True) as file:
        assert file[1].data["yes"].tolist() == [b"T", b"", b"F"]


@pytest.mark.parametrize("ending", FORMATS)
def test_memory_is_bounded_by_a_partition(tmp_path: Path, ending: str) -> None:
    catalogue = write_catalogue(tmp_path / "c", [galaxies(20_000, seed=1)], threshold=500)
    whole = catalogue.to_arrow().nbytes
    before, peak = pa.total_allocated_bytes(), 0

    def watched() -> Iterator[pa.Table]:
        nonlocal peak
        for table in catalogue.partitions():
            peak = max(peak, pa.total_allocated_bytes() - before)
            yield table

    export(tmp_path / f"c{ending}", catalogue.to_arrow().schema, watched, overwrite=False)
    assert 0 < peak < whole / 4
