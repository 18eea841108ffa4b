"""The packed store gives back what was put in, bit for bit, in any order, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rosse.cutouts import Cutouts, stack_cutouts
from rosse.errors import FileError, InputError, StorageError
from rosse.io import open_packed, packing, write_packed

TENSORS = ("flux", "ivar", "psf", "scale", "zeropoint", "corner", "north", "parity")


def galaxies(count: int, size: int = 16, first: int = 0, psf: str = "each", **about: Any) -> Cutouts:
    """Random cutouts in two bands; some pixels without weight."""
    rng = np.random.default_rng(first + size)
    flux = rng.normal(0, 1, (count, 2, size, size + 3))
    ivar = rng.uniform(0, 3, flux.shape) * (rng.uniform(size=flux.shape) > 0.1)
    stamps = rng.uniform(0.1, 1, ((1 if psf == "one" else count), 2, 9, 9))
    given: dict[str, Any] = {
        "flux": torch.from_numpy(flux).float(), "ivar": torch.from_numpy(ivar).float(), "bands": ("g", "r"),
        "psf": None if psf == "none" else torch.from_numpy(stamps / stamps.sum((2, 3), keepdims=True)),
        "id": np.array([f"galaxy-{first + i}" for i in range(count)]), "scale": torch.full((count,), 0.2),
        "zeropoint": torch.tensor([22.5, torch.nan]), "ra": rng.uniform(0, 360, count), "dec": np.full(count, np.nan),
        "corner": torch.from_numpy(rng.uniform(0, 1000, (count, 2))), "north": torch.from_numpy(rng.normal(size=count)),
        "parity": torch.from_numpy(rng.choice([-1.0, 1.0], count)),
    }  # fmt: skip
    return Cutouts(**given | about)


def assert_same(one: Cutouts, other: Cutouts) -> None:
    for name in TENSORS:
        mine, theirs = getattr(one, name), getattr(other, name)
        assert (mine is None) == (theirs is None), name
        if mine is not None:
            np.testing.assert_array_equal(mine.numpy(), theirs.expand(mine.shape).numpy(), err_msg=name)
    assert one.bands == other.bands
    assert one.psf_has_pixel == other.psf_has_pixel
    assert one.psf_oversampling == other.psf_oversampling
    for name in ("id", "ra", "dec"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("psf", ["each", "one", "none"])
def test_what_comes_back_is_what_went_in(tmp_path: Path, psf: str) -> None:
    cutouts = galaxies(23, psf=psf, psf_has_pixel=False, psf_oversampling=3)
    store = write_packed(tmp_path / "s", cutouts)
    assert len(store) == 23
    assert store.ids.tolist() == cutouts.id.tolist()
    back = open_packed(tmp_path / "s").batch(np.arange(23))
    assert_same(cutouts, back)
    if psf == "one":
        assert back.psf is not None
        assert back.psf.shape[0] == 1


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Cutouts]:
    """Fifty galaxies over several row groups and parts."""
    path = tmp_path_factory.mktemp("packed") / "s"
    parts = [galaxies(20), galaxies(17, first=20), galaxies(13, first=37)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "GROUP_BYTES", 8000)
        patch.setattr(packing, "PART_BYTES", 60_000)
        written = write_packed(path, iter(parts))
    assert len(written.parts) == 3
    assert pq.ParquetFile(path / "part-00000.parquet").num_row_groups == 20
    return path, stack_cutouts(parts)


@given(rows=st.lists(st.integers(-50, 49), min_size=1, max_size=30, unique_by=lambda row: row % 50))
def test_any_rows_in_any_order(store: tuple[Path, Cutouts], rows: list[int]) -> None:
    path, cutouts = store
    assert_same(cutouts[rows], open_packed(path).batch(rows))


def test_other_ways_to_choose_rows(store: tuple[Path, Cutouts]) -> None:
    path, cutouts = store
    packed = pickle.loads(pickle.dumps(open_packed(path)))
    assert packed.batch(7).id.tolist() == ["galaxy-7"]
    assert packed.batch(np.arange(50) % 10 == 3).id.tolist() == [f"galaxy-{i}" for i in (3, 13, 23, 33, 43)]
    assert packed.rows(["galaxy-41", "galaxy-2"]).tolist() == [41, 2]
    assert_same(cutouts[[41, 2]], packed.batch(packed.rows(["galaxy-41", "galaxy-2"])))
    with pytest.raises(InputError, match="galaxy-50"):
        packed.rows(["galaxy-1", "galaxy-50"])
    with pytest.raises(InputError, match=r"rows \[50\] do not exist"):
        packed.batch([3, 50])
    with pytest.raises(InputError, match="empty list"):
        packed.batch([])
    with pytest.raises(InputError, match="more than once"):
        packed.batch([3, 3])


def test_rows_are_readable_without_rosse(store: tuple[Path, Cutouts]) -> None:
    path, cutouts = store
    row = pq.read_table(path / "part-00000.parquet").to_pylist()[5]
    pixels = np.frombuffer(row["flux"], "<f4").reshape(2, row["height"], row["width"])
    np.testing.assert_array_equal(pixels, cutouts.flux[5].numpy())
    assert row["id"] == "galaxy-5"


def test_stamps_of_different_sizes(tmp_path: Path) -> None:
    small, large = galaxies(3, size=15), galaxies(2, size=22, first=3)
    packed = write_packed(tmp_path / "s", [small, large])
    assert_same(stack_cutouts([small, large]), packed.batch(range(5)))
    assert_same(small, packed.batch(range(3)))  # alone they keep their frame


def test_appending(tmp_path: Path) -> None:
    first, second = galaxies(4), galaxies(3, first=4)
    write_packed(tmp_path / "s", first)
    with pytest.raises(InputError, match="append=True"):
        write_packed(tmp_path / "s", second)
    before = open_packed(tmp_path / "s")
    assert len(write_packed(tmp_path / "s", second, append=True)) == 7
    assert len(before.batch(range(4))) == 4  # who had opened it goes on with what was there
    assert_same(stack_cutouts([first, second]), open_packed(tmp_path / "s").batch(range(7)))
    assert len(write_packed(tmp_path / "new", first, append=True)) == 4


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (galaxies(2), "galaxy-0, galaxy-1"),
        (galaxies(2, first=50, bands=("g", "i")), "do not go into a store of"),
        (galaxies(2, first=50, zeropoint=torch.tensor([25.0, 22.5])), "zero points"),
        (galaxies(2, first=50, psf_has_pixel=False), "contains the pixel"),
    ],
)
def test_what_does_not_fit_changes_nothing(tmp_path: Path, other: Cutouts, message: str) -> None:
    write_packed(tmp_path / "s", galaxies(4))
    before = sorted((file.name, file.stat().st_size) for file in (tmp_path / "s").iterdir())
    with pytest.raises(InputError, match=message):
        write_packed(tmp_path / "s", [galaxies(3, first=10), other], append=True)
    assert sorted((file.name, file.stat().st_size) for file in (tmp_path / "s").iterdir()) == before
    assert len(open_packed(tmp_path / "s")) == 4


def test_an_id_that_comes_twice_in_one_call(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="galaxy-0"):
        write_packed(tmp_path / "s", [galaxies(3), galaxies(3)])
    with pytest.raises(FileError, match="not a packed store"):
        open_packed(tmp_path / "s")


def test_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no cutouts came"):
        write_packed(tmp_path / "s", [])


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills up while a second part is written: the store is as it was."""
    write_packed(tmp_path / "s", galaxies(4))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_packed(tmp_path / "s", galaxies(4, first=4), append=True)
    monkeypatch.undo()
    assert len(open_packed(tmp_path / "s")) == 4
    assert len(write_packed(tmp_path / "s", galaxies(4, first=4), append=True)) == 8


def test_killed_while_writing(tmp_path: Path) -> None:
    """kill -9 in the middle of an append; the same append again."""
    write_packed(tmp_path / "s", galaxies(4))
    code = f"""
import os, signal, torch
from rosse.cutouts import Cutouts
from rosse.io import write_packed
def batches():
    for first in (4, 8):
        one = torch.ones(4, 2, 16, 19)
        yield Cutouts(flux=one, ivar=one, bands=("g", "r"), zeropoint=torch.tensor([22.5, torch.nan]),
                      id=[f"galaxy-{{first + i}}" for i in range(4)])
    os.kill(os.getpid(), signal.SIGKILL)
write_packed({str(tmp_path / "s")!r}, batches(), append=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert len(open_packed(tmp_path / "s")) == 4
    assert len(write_packed(tmp_path / "s", galaxies(8, first=4), append=True)) == 12
    assert not list((tmp_path / "s").glob(".writing-*"))


def test_the_source_of_batches_fails(tmp_path: Path) -> None:
    def failing() -> Iterator[Cutouts]:
        yield galaxies(3)
        raise RuntimeError("elsewhere")

    with pytest.raises(RuntimeError, match="elsewhere"):
        write_packed(tmp_path / "s", failing())
    assert [file.name for file in (tmp_path / "s").iterdir()] == [".lock"]


def test_a_store_that_is_written_anew(tmp_path: Path) -> None:
    """What was read of the files before is not taken for what they hold now."""
    for first in (0, 100):
        write_packed(tmp_path / "s", galaxies(3, first=first))
        assert_same(galaxies(3, first=first), open_packed(tmp_path / "s").batch(range(3)))
        shutil.rmtree(tmp_path / "s")


def test_damaged_stores(tmp_path: Path) -> None:
    write_packed(tmp_path / "s", galaxies(3))
    part, about = tmp_path / "s" / "part-00000.parquet", tmp_path / "s" / "packed.json"
    whole, text = part.read_bytes(), about.read_text()
    part.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="part-00000"):
        open_packed(tmp_path / "s").batch([0])
    part.unlink()
    with pytest.raises(FileError, match="lacks part-00000"):
        open_packed(tmp_path / "s")
    part.write_bytes(whole)
    about.write_text(text[:20])
    with pytest.raises(FileError, match="damaged"):
        open_packed(tmp_path / "s")
    about.write_text(text.replace("cutouts 1", "cutouts 9"))
    with pytest.raises(FileError, match="format"):
        open_packed(tmp_path / "s")


def test_a_random_batch_is_fast(tmp_path: Path) -> None:
    """Only the row groups that are asked for are read: a batch costs the same in a store ten times as large."""
    rng = np.random.default_rng(0)
    flux = torch.from_numpy(rng.normal(0, 1, (1000, 3, 64, 64))).float()
    ids = np.array([f"{i}" for i in range(1000)])
    packed = write_packed(tmp_path / "s", Cutouts(flux=flux, ivar=torch.ones_like(flux), id=ids))
    file = pq.ParquetFile(tmp_path / "s" / "part-00000.parquet")
    largest = max(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))
    assert largest == 4
    rows = rng.choice(1000, 64, replace=False)
    np.testing.assert_array_equal(packed.batch(rows).flux.numpy(), flux[rows].numpy())
