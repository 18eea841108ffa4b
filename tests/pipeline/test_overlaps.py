from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from rosse.errors import InputError, OptionError
from rosse.pipeline.overlaps import Once
from rosse.pipeline.partitions import OVERLAP, file_name, file_partitions, survey_partitions

SCALE = 0.3


def tile(name: str, shape: tuple[int, int], *, x0: int = 0, wcs: bool = True) -> Any:
    """A mosaic as far as partitions know it; `x0`: pixels by which it is shifted to the right on the sky."""
    sky = WCS(naxis=2)
    sky.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    sky.wcs.crval = [150.0, 2.0]
    sky.wcs.crpix = [1.0 - x0, 1.0]
    sky.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    return SimpleNamespace(name=name, shape=shape, wcs=sky if wcs else None, scale=SCALE if wcs else np.nan)


@given(height=st.integers(64, 700), width=st.integers(64, 700), size=st.integers(64, 300))
@settings(max_examples=30, deadline=None)
def test_partitions_tile_the_mosaic(height: int, width: int, size: int) -> None:
    count = np.zeros((height, width), int)
    for part in survey_partitions([tile("a", (height, width))], size=size, margin=50):
        assert max(part.rows.stop - part.rows.start, part.columns.stop - part.columns.start) <= size
        count[part.rows, part.columns] += 1
        region = part.region
        assert region.rows.start == max(0, part.rows.start - OVERLAP)
        assert region.columns.stop == min(width, part.columns.stop + OVERLAP)
    assert (count == 1).all()


def test_keys_are_file_names_and_differ() -> None:
    keys = [p.key for p in survey_partitions([tile("a/b", (300, 300)), tile("c", (300, 300))], size=150)]
    assert len(set(keys)) == 8
    assert keys[0] == "a_b-00000"
    assert file_name("..") == "_"
    with pytest.raises(InputError, match="more than once: a"):
        survey_partitions([tile("a", (300, 300)), tile("a", (300, 300))])
    with pytest.raises(OptionError, match="size is 10 pixels"):
        survey_partitions([tile("a", (300, 300))], size=10)


def test_chunks_keep_the_order() -> None:
    anything: list[Any] = list(range(10))
    chunks = file_partitions(anything, size=4)
    assert [c.entries for c in chunks] == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9)]
    assert sum(c.weight for c in chunks) == 10


def merged(
    tmp_path: Path,
    mosaics: list[Any],
    seen: list[tuple[str, int, str, float, float]],
    *,
    size: int = 200,
    radius: float = 1.0,
) -> list[str]:
    """Ids that are kept; `seen`: (tile, key's number, id, x, y) of every row."""
    partitions = survey_partitions(mosaics, size=size)
    files = []
    for part in partitions:
        rows = [row for row in seen if (mosaics[part.tile].name, part.region.index) == (row[0], row[1])]
        x, y = np.array([row[3] for row in rows], float), np.array([row[4] for row in rows], float)
        ra, dec = mosaics[part.tile].wcs.all_pix2world(x, y, 0) if mosaics[part.tile].wcs else (x * np.nan, y * np.nan)
        path = tmp_path / f"{part.key}.parquet"
        ids = pa.array([row[2] for row in rows], pa.string())
        pq.write_table(pa.table({"id": ids, "x_image": x, "y_image": y, "ra": ra, "dec": dec}), path)
        files.append(path)
    once = Once(partitions={p.key: p for p in partitions}, mosaics=mosaics, radius=radius)
    tables = once(files)
    return sorted(i for t in tables for i in (pq.read_table(t) if not isinstance(t, pa.Table) else t)["id"].to_pylist())


def test_source_on_a_border_is_kept_once(tmp_path: Path) -> None:
    """Partitions of 200 pixels, border at x = 199.5: each place belongs to one of them."""
    both = [("a", 0, "left-own", 195.0, 50.0), ("a", 1, "left-seen", 195.4, 50.0),
            ("a", 0, "right-seen", 204.0, 90.0), ("a", 1, "right-own", 204.2, 90.1)]  # fmt: skip
    assert merged(tmp_path, [tile("a", (200, 400))], both) == ["left-own", "right-own"]


def test_source_that_jitters_over_the_border_is_neither_lost_nor_doubled(tmp_path: Path) -> None:
    lost = [("a", 0, "a0", 199.8, 50.0), ("a", 1, "a1", 199.3, 50.0)]  # each sees it on the other's side
    double = [("a", 0, "b0", 199.3, 90.0), ("a", 1, "b1", 199.8, 90.0)]  # each sees it on its own side
    assert merged(tmp_path, [tile("a", (200, 400))], lost) == ["a1"]
    assert merged(tmp_path, [tile("a", (200, 400))], double) == ["b1"]


def test_owner_of_a_place_is_believed(tmp_path: Path) -> None:
    """What only the neighbour saw is dropped; close pairs within one partition are both kept."""
    seen = [("a", 0, "stray", 205.0, 50.0), ("a", 1, "pair-1", 210.0, 90.0), ("a", 1, "pair-2", 212.0, 90.0)]
    assert merged(tmp_path, [tile("a", (200, 400))], seen) == ["pair-1", "pair-2"]


def test_border_without_coordinates(tmp_path: Path) -> None:
    both = [("a", 0, "own", 195.0, 50.0), ("a", 1, "seen", 195.4, 50.0)]
    assert merged(tmp_path, [tile("a", (200, 400), wcs=False)], both) == ["own"]


def test_overlapping_tiles_keep_the_deeper_one(tmp_path: Path) -> None:
    """Tile b begins at x = 100 of tile a; both are 200 wide."""
    mosaics = [tile("a", (200, 200)), tile("b", (200, 200), x0=100)]
    seen = [("a", 0, "near-middle-of-a", 120.0, 100.0), ("b", 0, "near-edge-of-b", 20.5, 100.0),
            ("a", 0, "near-edge-of-a", 190.0, 50.0), ("b", 0, "deeper-in-b", 90.0, 50.0),
            ("a", 0, "only-a", 150.0, 150.0), ("b", 0, "only-b", 50.0, 20.0)]  # fmt: skip
    kept = merged(tmp_path, mosaics, seen)
    assert kept == ["deeper-in-b", "near-middle-of-a", "only-a", "only-b"]
    assert merged(tmp_path, mosaics[::-1], seen) == kept  # the order of the tiles does not matter
    assert len(merged(tmp_path, mosaics, seen, radius=0.05)) == 5  # 0.5 pixels apart is 0.15 arcsec
