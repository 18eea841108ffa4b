"""What is written: nothing lost, sorted, partitioned, typed, described."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosse.errors import CatalogueError, FileError, OptionError
from rosse.store import open_catalogue, write_catalogue
from rosse.store import spill as spill_module
from rosse.store.layout import HEALPIX, data_files
from store.galaxy_rows import SCHEMA, as_rows, by_id, described, galaxies, without_positions


def test_every_row_comes_back(tmp_path: Path) -> None:
    rows = galaxies(500)
    catalogue = write_catalogue(tmp_path / "c", [rows.slice(0, 200), rows.slice(200)], threshold=60)
    assert len(catalogue) == 500
    assert by_id(catalogue.to_arrow()) == by_id(rows)
    assert catalogue.to_arrow().schema.equals(SCHEMA, check_metadata=True)


def test_partitions_hold_at_most_the_threshold_and_only_their_pixel(tmp_path: Path) -> None:
    from astropy.coordinates import SkyCoord
    from cdshealpix.nested import skycoord_to_healpix

    write_catalogue(tmp_path / "c", [galaxies(500)], threshold=60)
    files = data_files(tmp_path / "c")
    assert len(files) > 8
    for file in files:
        table = pq.ParquetFile(file).read()
        order, pixel = (int(part.split("=")[1].removesuffix(".parquet")) for part in (file.parts[-3], file.parts[-1]))
        sky = SkyCoord(table["ra"].to_numpy(), table["dec"].to_numpy(), unit="deg")
        assert len(table) <= 60
        assert set(skycoord_to_healpix(sky, order).tolist()) == {pixel}


def test_rows_are_sorted_on_the_sky_whatever_the_parts(tmp_path: Path) -> None:
    rows = galaxies(300)
    one = write_catalogue(tmp_path / "one", [rows], threshold=50).to_arrow()
    shuffled = rows.take(np.random.default_rng(5).permutation(300))
    other = write_catalogue(tmp_path / "other", [shuffled.slice(0, 7), shuffled.slice(7)], threshold=90).to_arrow()
    assert as_rows(one) == as_rows(other)
    index = write_catalogue(tmp_path / "c", [shuffled]).select([HEALPIX]).to_arrow()[HEALPIX].to_numpy()
    assert (np.diff(index) >= 0).all()


def test_same_bytes_from_the_same_rows(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_catalogue(tmp_path / name, [galaxies(300)], threshold=50, name="same")
    for file in data_files(tmp_path / "a"):
        twin = tmp_path / "b" / file.relative_to((tmp_path / "a").absolute())
        assert file.read_bytes() == twin.read_bytes()


@pytest.mark.parametrize("place", [(0.0, 0.0), (359.5, -45.0), (180.0, 90.0), (20.0, -89.5)])
def test_poles_and_the_meridian(tmp_path: Path, place: tuple[float, float]) -> None:
    rows = galaxies(200, centre=place)
    assert by_id(write_catalogue(tmp_path / "c", [rows], threshold=30).to_arrow()) == by_id(rows)


def test_many_rows_at_one_place_are_one_partition(tmp_path: Path) -> None:
    same = galaxies(50).set_column(1, SCHEMA.field("ra"), pa.array([10.0] * 50))
    same = same.set_column(2, SCHEMA.field("dec"), pa.array([5.0] * 50))
    catalogue = write_catalogue(tmp_path / "c", [same], threshold=10)
    assert len(catalogue.files) == 1
    assert catalogue.to_arrow()["id"].to_pylist() == sorted(same["id"].to_pylist())


@pytest.mark.parametrize("ra", [None, float("nan"), float("inf")])
def test_rows_without_position_come_last_and_are_counted(tmp_path: Path, ra: float | None) -> None:
    rows = galaxies(100)
    values = [ra if number % 9 == 0 else value for number, value in enumerate(rows["ra"].to_pylist())]
    rows = rows.set_column(1, SCHEMA.field("ra"), pa.array(values, pa.float64()))
    catalogue = write_catalogue(tmp_path / "c", [rows], threshold=5)
    back = catalogue.to_arrow()
    assert by_id(back) == by_id(rows)
    assert back["id"].to_pylist()[-12:] == [f"g_{number}" for number in range(0, 100, 9)]
    assert catalogue.provenance["catalogue"]["rows_without_position"] == 12
    assert [file.name for file in catalogue.files[-3:]] == [f"no_position-0000{number}.parquet" for number in range(3)]


def test_declination_beyond_the_pole_is_no_position(tmp_path: Path) -> None:
    rows = galaxies(3).set_column(2, SCHEMA.field("dec"), pa.array([1.0, 90.1, -100.0]))
    catalogue = write_catalogue(tmp_path / "c", [rows])
    assert catalogue.provenance["catalogue"]["rows_without_position"] == 2
    assert by_id(catalogue.to_arrow()) == by_id(rows)


@pytest.mark.parametrize("columns", ["null", "absent"])
def test_a_field_without_sky_keeps_its_order(tmp_path: Path, columns: str) -> None:
    rows = without_positions(galaxies(100)) if columns == "null" else galaxies(100).drop_columns(["ra", "dec"])
    rows = rows.take(np.random.default_rng(1).permutation(100))
    catalogue = write_catalogue(tmp_path / "c", [rows.slice(0, 33), rows.slice(33)], threshold=30)
    assert catalogue.provenance["catalogue"]["layout"] == "plain"
    assert not (tmp_path / "c" / "properties").exists()
    assert [len(table) for table in catalogue.partitions()] == [30, 30, 30, 10]
    assert as_rows(catalogue.to_arrow()) == as_rows(rows)


def test_positions_may_be_whole_numbers(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b", "c"], "ra": [10, 350, None], "dec": [-90, 90, 0]})
    catalogue = write_catalogue(tmp_path / "c", [table])
    assert catalogue.provenance["catalogue"]["layout"] == "hats"
    assert by_id(catalogue.to_arrow()) == by_id(table)


def test_positions_as_text_are_no_positions(tmp_path: Path) -> None:
    table = pa.table({"id": ["a"], "ra": ["10:00:00"], "dec": ["-1:00:00"]})
    assert write_catalogue(tmp_path / "c", [table]).provenance["catalogue"]["layout"] == "plain"


def test_no_rows(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "c", [galaxies(0)])
    assert len(catalogue) == 0
    assert catalogue.to_arrow().schema.equals(SCHEMA, check_metadata=True)
    assert len(catalogue.where("n > 4")) == 0
    assert catalogue.to_astropy().colnames == SCHEMA.names


def test_an_empty_part_among_others(tmp_path: Path) -> None:
    assert len(write_catalogue(tmp_path / "c", [galaxies(0), galaxies(20), galaxies(0)])) == 20


def test_all_null_partition_keeps_its_type(tmp_path: Path) -> None:
    untyped = pa.table({"id": ["a", "b"], "ra": [1.0, 2.0], "dec": [0.0, 0.0], "n": pa.nulls(2)})
    typed = pa.table({"id": ["c"], "ra": [200.0], "dec": [0.0], "n": pa.array([3], pa.int16())})
    catalogue = write_catalogue(tmp_path / "c", [untyped, typed], threshold=1)
    kinds = {pq.read_schema(file).field("n").type for file in catalogue.files}
    assert kinds == {pa.int16()}
    assert catalogue.select(["id", "n"]).to_arrow().to_pylist()[-1] == {"id": "c", "n": 3}


def test_column_without_any_value_becomes_a_float(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "c", [pa.table({"id": ["a"], "n": pa.nulls(1)})])
    assert catalogue.schema.field("n").type == pa.float64()


def test_kinds_of_text_are_the_same(tmp_path: Path) -> None:
    parts = [pa.table({"id": pa.array(["a"], kind)}) for kind in (pa.string(),)]
    parts += [
        pa.table({"id": pa.array(["b"], pa.large_string())}),
        pa.table({"id": pa.array(["c"]).dictionary_encode()}),
    ]
    assert write_catalogue(tmp_path / "c", parts).to_arrow()["id"].to_pylist() == ["a", "b", "c"]


def test_metadata_of_a_later_part_is_taken(tmp_path: Path) -> None:
    bare = pa.table({"id": ["a"], "r_e": [1.0]})
    full = pa.table(
        [["b"], [2.0]], schema=pa.schema([pa.field("id", pa.string()), described("r_e", pa.float64(), "arcsec")])
    )
    columns = write_catalogue(tmp_path / "c", [bare, full]).columns
    assert [column.unit for column in columns] == ["", "arcsec"]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"id": ["b"], "n": ["x"]}, "part 1.parquet: column 'n' is string, but double in part 0.parquet"),
        ({"id": ["b"], "n": [1]}, "part 1.parquet: column 'n' is int64, but double in part 0.parquet"),
        ({"id": ["b"]}, "part 1.parquet lacks columns ['n'] of part 0.parquet"),
        ({"id": ["b"], "n": [1.0], "q": [1.0]}, "part 1.parquet has columns ['q'] that part 0.parquet lacks"),
        ({"id": ["b"], "N": [1.0], "n": [1.0]}, "same name but for case"),
        ({"id": ["b"], "n": [1.0], "Npix": [1]}, "'Npix' is taken by the directory layout"),
        ({"id": ["a"], "n": [1.0]}, "'a' in 0.parquet and 1.parquet"),
        ({"id": [None], "n": [1.0]}, "part 1.parquet: row 0 has no id"),
    ],
)
def test_parts_that_do_not_fit(tmp_path: Path, second: dict[str, list[object]], message: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        write_catalogue(tmp_path / "c", [pa.table({"id": ["a"], "n": [1.0]}), pa.table(second)])
    assert message in str(caught.value)
    assert not (tmp_path / "c").exists()


def test_files_as_parts(tmp_path: Path) -> None:
    rows = galaxies(100)
    files = [tmp_path / "p1.parquet", tmp_path / "p2.parquet"]
    for file, table in zip(files, [rows.slice(0, 40), rows.slice(40)], strict=True):
        pq.write_table(table, file)
    assert by_id(write_catalogue(tmp_path / "c", files).to_arrow()) == by_id(rows)
    assert all(file.exists() for file in files)


def test_a_catalogue_can_be_written_from_another(tmp_path: Path) -> None:
    first = write_catalogue(tmp_path / "a", [galaxies(100)], threshold=20)
    second = write_catalogue(tmp_path / "b", list(first.files))
    assert as_rows(second.to_arrow()) == as_rows(first.to_arrow())


def test_broken_part_is_named(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.parquet", tmp_path / "broken.parquet"
    pq.write_table(galaxies(50), whole)
    broken.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(FileError, match=r"broken\.parquet"):
        write_catalogue(tmp_path / "c", [whole, broken])
    with pytest.raises(FileError, match=r"gone\.parquet"):
        write_catalogue(tmp_path / "c", [whole, tmp_path / "gone.parquet"])


def test_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no parts to write"):
        write_catalogue(tmp_path / "c", [])
    with pytest.raises(OptionError, match="threshold"):
        write_catalogue(tmp_path / "c", [galaxies(1)], threshold=0)


def test_more_rows_than_memory_may_hold_go_through_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []
    flush = spill_module.Spill._flush

    def counted(self: spill_module.Spill) -> None:
        flushed.append(self._rows)
        flush(self)

    monkeypatch.setattr(spill_module.Spill, "_flush", counted)
    rows = galaxies(2000)
    parts = (rows.slice(start, 50) for start in range(0, 2000, 50))
    catalogue = write_catalogue(tmp_path / "c", parts, threshold=100)
    assert max(flushed) <= 150  # the budget, and one part on top of it
    assert by_id(catalogue.to_arrow()) == by_id(rows)
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == [
        "dataset", "hats.properties", "partition_info.csv", "properties", "run.json",
    ]  # fmt: skip


def test_tables_are_taken_one_by_one(tmp_path: Path) -> None:
    alive = []

    def parts() -> Iterator[pa.Table]:
        for number in range(5):
            alive.append(pa.total_allocated_bytes())
            yield galaxies(20_000, seed=number, prefix=f"p{number}")

    write_catalogue(tmp_path / "c", parts())
    assert alive[-1] - alive[1] < 0.5 * galaxies(20_000).nbytes


def test_footers_are_gathered_and_match(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "c", [galaxies(200)], threshold=30)
    metadata = pq.read_metadata(tmp_path / "c" / "dataset" / "_metadata")
    assert metadata.num_rows == 200
    assert pq.read_schema(tmp_path / "c" / "dataset" / "_common_metadata").names == [HEALPIX, *SCHEMA.names]


def test_only_the_catalogues_own_files_are_replaced(tmp_path: Path) -> None:
    target = tmp_path / "c"
    write_catalogue(target, [galaxies(50)])
    (target / "parts").mkdir()
    (target / "parts" / "x.parquet").write_bytes(b"kept")
    (target / "contact.png").write_bytes(b"kept")
    write_catalogue(target, [without_positions(galaxies(20))])
    assert (target / "parts" / "x.parquet").read_bytes() == (target / "contact.png").read_bytes() == b"kept"
    assert sorted(path.name for path in target.iterdir()) == ["contact.png", "dataset", "parts", "run.json"]
    assert len(open_catalogue(target)) == 20


@pytest.mark.parametrize("name", ["dataset", "properties", "run.json"])
def test_files_of_others_are_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps({"format": "another"}))
    with pytest.raises(CatalogueError, match="not of a rosse catalogue"):
        write_catalogue(tmp_path, [galaxies(5)])
    assert (tmp_path / name).exists()
