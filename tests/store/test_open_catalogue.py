"""What an opened catalogue gives: rows, columns, tables of other libraries, and plain words when it cannot."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosse.errors import CatalogueError, InputError, OptionError
from rosse.store import Catalogue, open_catalogue, write_catalogue
from rosse.store.layout import HEALPIX
from store.galaxy_rows import SCHEMA, as_rows, by_id, galaxies, without_positions


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return galaxies(400, seed=3)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory, rows: pa.Table) -> Catalogue:
    return write_catalogue(tmp_path_factory.mktemp("c") / "field", [rows], threshold=70, provenance={"command": "run"})


def test_columns_have_units_and_descriptions(catalogue: Catalogue) -> None:
    told = {column.name: (column.unit, column.description, column.dtype) for column in catalogue.columns}
    assert list(told) == SCHEMA.names
    assert told["ra"] == ("deg", "right ascension, ICRS", "f8")
    assert told["r_e"] == ("arcsec", "half-light radius along the major axis, ± 0.1", "f4")
    assert [told[name][2] for name in ("id", "flags", "npix", "blended")] == ["str", "i4", "i8", "bool"]


def test_astropy_table(catalogue: Catalogue, rows: pa.Table) -> None:
    table = catalogue.to_astropy()
    assert str(table["ra"].unit) == "deg"
    assert table["r_e"].description == "half-light radius along the major axis, ± 0.1"
    wanted = by_id(rows)
    for row in table:
        npix = wanted[row["id"]]["npix"]
        assert row["npix"] is np.ma.masked if npix is None else row["npix"] == npix
    assert np.isnan(table["n"]).sum() == 40


def test_pandas_frame_loses_nothing(catalogue: Catalogue, rows: pa.Table) -> None:
    frame = catalogue.to_pandas()
    assert frame["npix"].dtype == "Int64"
    assert frame["blended"].dtype == "boolean"
    assert frame["flags"].dtype == np.int32
    wanted = by_id(rows)
    for name, npix in zip(frame["id"], frame["npix"], strict=True):
        assert (None if npix is frame["npix"].dtype.na_value else npix) == wanted[name]["npix"]
    assert frame.attrs["units"]["ra"] == "deg"
    assert frame.attrs["descriptions"]["n"] == "Sersic index"


def test_select_get_head(catalogue: Catalogue, rows: pa.Table) -> None:
    assert catalogue.select(["n", "id"]).to_arrow().schema.names == ["n", "id"]
    got = catalogue.get("g_44")
    assert got == rows.slice(44, 1).to_pylist()[0]
    assert catalogue.select(["id", "r_e"]).get("g_2") == {"id": "g_2", "r_e": None}
    head = catalogue.head(3)
    assert list(head["id"]) == catalogue.to_arrow()["id"].to_pylist()[:3]
    assert str(head["dec"].unit) == "deg"
    assert len(catalogue.head(1000)) == 400
    assert HEALPIX in catalogue.select([HEALPIX]).to_arrow().schema.names


def test_what_is_not_there(catalogue: Catalogue) -> None:
    with pytest.raises(InputError, match="unknown column 'stat'; did you mean 'status'"):
        catalogue.select(["id", "stat"])
    with pytest.raises(InputError, match="twice"):
        catalogue.select(["id", "id"])
    with pytest.raises(OptionError, match="list of column names"):
        catalogue.select("id")
    with pytest.raises(InputError, match="no row with id 'g_400'"):
        catalogue.get("g_400")
    with pytest.raises(InputError, match="among the rows where n > 100"):
        catalogue.where("n > 100").get("g_1")


def test_get_needs_ids(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "c", [pa.table({"n": [1.0]})])
    with pytest.raises(CatalogueError, match="no column 'id'"):
        catalogue.get("x")
    whole_numbers = write_catalogue(tmp_path / "d", [pa.table({"id": [2**63 - 1, -(2**63)]})])
    assert whole_numbers.get(2**63 - 1) == {"id": 2**63 - 1}


def test_partitions_are_the_rows_piece_by_piece(catalogue: Catalogue) -> None:
    pieces = list(catalogue.partitions())
    assert len(pieces) == len(catalogue.files) > 5
    assert as_rows(pa.concat_tables(pieces)) == as_rows(catalogue.to_arrow())
    few = catalogue.where("id = 'g_7' or id = 'g_8'")
    assert sum(len(table) for table in few.partitions()) == 2


def test_text_for_people(catalogue: Catalogue) -> None:
    text = repr(catalogue.where("n > 4").select(["id", "ra", "n"]))
    assert "400 rows, 3 columns" in text
    assert "where n > 4" in text
    assert "ra [deg]" in text
    html = catalogue.where("n < 4")._repr_html_()
    assert "where n &lt; 4" in html
    assert "<td>right ascension, ICRS</td>" in html


def test_it_travels_to_another_process(catalogue: Catalogue) -> None:
    again = pickle.loads(pickle.dumps(catalogue.where("n > 4")))
    assert as_rows(again.to_arrow()) == as_rows(catalogue.where("n > 4").to_arrow())


def test_it_does_not_depend_on_the_working_directory(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(catalogue.directory.parent)
    opened = open_catalogue(catalogue.directory.name)
    monkeypatch.chdir(tmp_path)
    assert len(opened.where("n > 4").to_arrow()) == len(catalogue.where("n > 4"))


def test_parent_directories_that_look_like_partitions(tmp_path: Path, rows: pa.Table) -> None:
    catalogue = write_catalogue(tmp_path / "field=3" / "n=4", [rows])
    assert catalogue.to_arrow().schema.names == SCHEMA.names
    assert len(catalogue.where("n = 4")) == 0


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (None, "there is no such directory"),
        ([], "the directory is empty"),
        (["a.fits", "b.fits"], "there is no run.json, only a.fits, b.fits"),
        ([".rosse-building"], "under way or was not finished"),
        (["properties", "dataset"], "HATS catalogue of another program; open it with lsdb"),
    ],
)
def test_not_a_catalogue(tmp_path: Path, names: list[str] | None, message: str) -> None:
    for name in names or []:
        (tmp_path / name).touch()
    with pytest.raises(CatalogueError, match="is not a catalogue") as caught:
        open_catalogue(tmp_path / "nowhere" if names is None else tmp_path)
    assert message in str(caught.value)


def test_a_file_is_not_a_catalogue(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").touch()
    with pytest.raises(CatalogueError, match="it is a file"):
        open_catalogue(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "not written by rosse"),
        ('{"format": "x"}', "not written by rosse"),
        ('{"format": "rosse-catalogue", "format_version": 99}', "newer rosse"),
    ],
)
def test_strange_run_json(tmp_path: Path, run: str, message: str) -> None:
    (tmp_path / "run.json").write_text(run)
    with pytest.raises(CatalogueError, match=message):
        open_catalogue(tmp_path)


def test_a_file_that_went_missing_is_named(tmp_path: Path, rows: pa.Table) -> None:
    catalogue = write_catalogue(tmp_path / "c", [rows], threshold=70)
    catalogue.files[2].unlink()
    with pytest.raises(CatalogueError, match=f"lacks 1 of its files, e.g. .*{catalogue.files[2].name}"):
        open_catalogue(tmp_path / "c")
    with pytest.raises(CatalogueError, match="cannot be read"):
        catalogue.to_arrow()


def test_a_broken_file_is_a_catalogue_error(tmp_path: Path, rows: pa.Table) -> None:
    catalogue = write_catalogue(tmp_path / "c", [rows])
    os.truncate(catalogue.files[0], 1000)
    with pytest.raises(CatalogueError, match="cannot be read"):
        catalogue.to_pandas()


def test_a_replaced_catalogue_is_not_mixed_with_the_old(tmp_path: Path, rows: pa.Table) -> None:
    old = write_catalogue(tmp_path / "c", [rows], threshold=70)
    pieces = old.partitions()
    next(pieces)
    write_catalogue(tmp_path / "c", [rows.slice(0, 100)], threshold=70)
    with pytest.raises(CatalogueError, match="replaced or removed"):
        list(pieces)
    with pytest.raises(CatalogueError, match="open it again"):
        len(old.where("n > 4"))


def test_provenance_is_run_json(catalogue: Catalogue) -> None:
    assert catalogue.provenance == json.loads((catalogue.directory / "run.json").read_text())
    assert catalogue.provenance["counts"] == {"not_converged": 40, "ok": 360}


def test_import_is_quick_and_light() -> None:
    heavy = {"torch", "pandas", "duckdb", "astropy", "hats", "lsdb"}
    code = f"import sys, rosse.store; print({{n.split('.')[0] for n in sys.modules}} & {heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# Text that Parquet, SQL and sorting could stumble over, and numbers at the ends of their ranges.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
TABLES = st.integers(0, 12).flatmap(
    lambda count: st.fixed_dictionaries(
        {
            "id": st.lists(TEXTS, min_size=count, max_size=count, unique=True),
            "ra": st.lists(st.none() | st.floats(-360, 720) | st.just(float("nan")), min_size=count, max_size=count),
            "dec": st.lists(st.none() | st.floats(-90, 90), min_size=count, max_size=count),
            "note": st.lists(st.none() | TEXTS, min_size=count, max_size=count),
            "whole": st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=count, max_size=count),
            "big": st.lists(st.none() | st.integers(0, 2**64 - 1), min_size=count, max_size=count),
            "single": st.lists(st.none() | st.floats(width=32), min_size=count, max_size=count),
            "yes": st.lists(st.none() | st.booleans(), min_size=count, max_size=count),
        }
    )
)
KINDS = pa.schema(
    [
        ("id", pa.string()), ("ra", pa.float64()), ("dec", pa.float64()), ("note", pa.string()), ("whole", pa.int64()),
        ("big", pa.uint64()), ("single", pa.float32()), ("yes", pa.bool_()),
    ]
)  # fmt: skip


@settings(max_examples=30)
@given(values=TABLES, threshold=st.integers(1, 5), cut=st.integers(0, 12))
def test_any_rows_come_back(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, list[object]], threshold: int, cut: int
) -> None:
    table = pa.table(values, schema=KINDS)
    folder = tmp_path_factory.mktemp("any")
    catalogue = write_catalogue(folder, [table.slice(0, cut), table.slice(cut)], threshold=threshold)
    assert by_id(catalogue.to_arrow()) == by_id(table)
    assert len(catalogue) == len(table)
    for row in table.to_pylist()[:2]:
        assert catalogue.get(row["id"])["whole"] == row["whole"]


def test_a_field_without_positions_opens_the_same(tmp_path: Path, rows: pa.Table) -> None:
    catalogue = write_catalogue(tmp_path / "c", [without_positions(rows)], threshold=90)
    assert len(catalogue.where("n > 4")) == sum(value > 4 for value in rows["n"].to_pylist())
    assert catalogue.get("g_399")["n"] == rows["n"][399].as_py()
