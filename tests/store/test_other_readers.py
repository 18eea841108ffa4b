"""Other programs open the directory as it is: lsdb, hats' own validation, pandas, DuckDB, astropy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table

from rosse.store import Catalogue, write_catalogue
from rosse.store.layout import HEALPIX
from store.galaxy_rows import by_id, galaxies, without_positions


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return pa.concat_tables(
        [
            galaxies(600, seed=1),
            galaxies(50, seed=2, prefix="p", centre=(0.0, 89.0)),
            without_positions(galaxies(15, seed=3, prefix="w")),
        ]
    )


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory, rows: pa.Table) -> Catalogue:
    return write_catalogue(tmp_path_factory.mktemp("c") / "field", [rows], threshold=70)


@contextmanager
def quiet_lsdb() -> Iterator[None]:
    with warnings.catch_warnings():
        # what dask, nested-pandas and fsspec say about each other's and pandas' future
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield


@pytest.mark.parametrize(("ra", "dec", "radius"), [(150.0, 2.0, 1800.0), (151.3, 0.9, 4000.0), (120.0, 89.9, 3000.0)])
def test_lsdb_cone_search(catalogue: Catalogue, rows: pa.Table, ra: float, dec: float, radius: float) -> None:
    with quiet_lsdb():
        lsdb = pytest.importorskip("lsdb", reason="lsdb is not installed; it comes with: pip install 'rosse[lsdb]'")
        found = lsdb.open_catalog(catalogue.directory).cone_search(ra, dec, radius).compute()
    placed = rows.filter(pa.compute.is_valid(rows["ra"]))
    sky = SkyCoord(placed["ra"].to_numpy(), placed["dec"].to_numpy(), unit="deg")
    near = sky.separation(SkyCoord(ra, dec, unit="deg")) < radius * u.arcsec
    assert 5 < near.sum() < 400
    assert sorted(found["id"]) == sorted(np.array(placed["id"].to_pylist())[near])


def test_lsdb_sees_every_row_with_a_position(catalogue: Catalogue) -> None:
    with quiet_lsdb():
        lsdb = pytest.importorskip("lsdb", reason="lsdb is not installed; it comes with: pip install 'rosse[lsdb]'")
        opened = lsdb.open_catalog(catalogue.directory)
        frame = opened.compute()
    assert len(opened) == len(frame) == 650
    assert opened.hc_structure.catalog_info.catalog_name == "field"
    assert frame["flags"].dtype == pd.ArrowDtype(pa.int32())


def test_hats_finds_it_valid(catalogue: Catalogue) -> None:
    with quiet_lsdb():
        from hats.io.validation import is_valid_catalog

        assert is_valid_catalog(catalogue.directory, strict=True)


def test_pandas_reads_the_dataset_folder(catalogue: Catalogue, rows: pa.Table) -> None:
    frame = pd.read_parquet(catalogue.directory / "dataset")
    assert sorted(frame["id"]) == sorted(rows["id"].to_pylist())


def test_pandas_cannot_read_the_directory_itself(catalogue: Catalogue) -> None:
    """HATS needs files there that pyarrow takes for Parquet; the day this passes, the docs can promise more."""
    with pytest.raises(pa.ArrowInvalid, match="properties"):
        pd.read_parquet(catalogue.directory)


def test_pandas_reads_a_plain_catalogue_the_same_way(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "c", [without_positions(galaxies(20))], threshold=6)
    assert len(pd.read_parquet(tmp_path / "c" / "dataset")) == 20


def test_duckdb(catalogue: Catalogue, rows: pa.Table) -> None:
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT id FROM '{catalogue.directory}/dataset/**/*.parquet'").fetchall()
    assert sorted(name for (name,) in found) == sorted(rows["id"].to_pylist())


@pytest.mark.parametrize("number", [0, -1])
def test_astropy_reads_a_partition_with_units(catalogue: Catalogue, number: int) -> None:
    table = Table.read(catalogue.files[number])
    assert str(table["ra"].unit) == "deg"
    assert table["n"].description == "Sersic index"


def test_astropy_reads_the_votable_description(tmp_path: Path) -> None:
    """VOParquet, which TOPCAT reads; astropy's reader of it cannot do missing booleans."""
    catalogue = write_catalogue(tmp_path / "c", [galaxies(20).drop_columns(["blended"])])
    table = Table.read(catalogue.files[0], format="parquet.votable")
    assert str(table["r_e"].unit) == "arcsec"
    assert table["r_e"].description == "half-light radius along the major axis, ± 0.1"
    assert table["ra"].meta["ucd"] == "pos.eq.ra;meta.main"


def test_all_columns_are_described_in_every_file(catalogue: Catalogue) -> None:
    import pyarrow.parquet as pq

    for file in [*catalogue.files, catalogue.directory / "dataset" / "_common_metadata"]:
        for field in pq.read_schema(file):
            assert field.metadata[b"description"]
            assert b"unit" in field.metadata


def test_rows_are_the_same_everywhere(catalogue: Catalogue, rows: pa.Table) -> None:
    import pyarrow.dataset as ds

    everywhere = ds.dataset(catalogue.directory / "dataset").to_table().drop_columns([HEALPIX])
    assert by_id(everywhere) == by_id(rows)
