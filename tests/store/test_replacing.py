"""A crash, a full disk, two writers, a reader at the wrong moment: the old catalogue or the new one, never half."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rosse.store
from rosse.errors import CatalogueError, RunError, StorageError
from rosse.store import open_catalogue, write_catalogue
from rosse.store import publish as publish_module
from store.galaxy_rows import as_rows, galaxies, without_positions

HERE = Path(__file__).parent
OLD = galaxies(30, seed=1, prefix="old")
NEW = pa.concat_tables([galaxies(30, seed=2, prefix="new"), without_positions(galaxies(5, seed=3, prefix="nowhere"))])


def state(directory: Path) -> str:
    """Which catalogue is there: "old", "new" or "none"; anything else fails."""
    try:
        rows = as_rows(open_catalogue(directory).to_arrow())
    except CatalogueError as err:
        assert "is not a catalogue" in str(err)  # noqa: PT017
        return "none"
    kinds = {str(row["id"]).split("_")[0] for row in rows}
    assert (kinds, len(rows)) in (({"old"}, 30), ({"new", "nowhere"}, 35))
    return "old" if kinds == {"old"} else "new"


def seen_by_others(directory: Path) -> int | None:
    """Rows that a HATS reader gets without our help; None if it finds no catalogue."""
    found = [path for name in ("hats.properties", "properties") if (path := directory / name).exists()]
    if not found:
        return None
    count = 0
    for line in (directory / "partition_info.csv").read_text().splitlines()[1:]:
        order, pixel = map(int, line.split(","))
        file = directory / f"dataset/Norder={order}/Dir={pixel - pixel % 10000}/Npix={pixel}.parquet"
        count += pq.read_metadata(file).num_rows
    assert f"hats_nrows={count}\n" in found[0].read_text()
    return count


def killed(tmp_path: Path, old: pa.Table | None) -> list[Path]:
    """Directories after a kill at each change, in the order of the changes."""
    if old is not None:
        write_catalogue(tmp_path / "old", [old], threshold=20, name="c")
    for folder in ("parts", "work"):
        (tmp_path / folder).mkdir()
    for number in range(2):
        pq.write_table(NEW.slice(20 * number, 20), tmp_path / "parts" / f"{number}.parquet")
    folders = [str(tmp_path / name) for name in ("old", "parts", "work")]
    command = [sys.executable, str(HERE / "kill_writer.py"), *folders]
    subprocess.run(command, check=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return sorted((tmp_path / "work").iterdir(), key=lambda path: int(path.name))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork: Python would have to start anew for each kill")
@pytest.mark.parametrize("before", ["sky", *(pytest.param(name, marks=pytest.mark.slow) for name in ("plain", "none"))])
def test_killed_at_every_change_of_the_file_system(tmp_path: Path, before: str) -> None:
    old = {"sky": OLD, "plain": without_positions(OLD), "none": None}[before]
    directories = killed(tmp_path, old)
    assert len(directories) > 20
    others = [seen_by_others(directory) for directory in directories]
    states = [state(directory) for directory in directories]
    start = "none" if old is None else "old"
    turn = states.index("new")
    assert states == [start] * turn + ["new"] * (len(states) - turn)
    # a reader that knows nothing of ours sees one, nothing for a moment, then the other
    assert set(others) <= {None, 30}
    assert others[0] == (30 if before == "sky" else None)
    assert others[-1] == 30
    # and the next run finishes, whatever was left, and leaves nothing behind
    for directory in directories[:: max(len(directories) // 5, 1)]:
        write_catalogue(directory, [NEW], threshold=8)
        assert state(directory) == "new"
        assert not [path for path in directory.iterdir() if path.name.startswith(".")]


def test_an_error_leaves_the_old_and_nothing_else(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "c", [OLD])
    before = sorted((tmp_path / "c").rglob("*"))

    def parts() -> Iterator[pa.Table]:
        yield NEW
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_catalogue(tmp_path / "c", parts())
    assert sorted((tmp_path / "c").rglob("*")) == before
    assert state(tmp_path / "c") == "old"


def test_two_writers_at_once(tmp_path: Path) -> None:
    def parts() -> Iterator[pa.Table]:
        with pytest.raises(RunError, match="another process is writing"):
            write_catalogue(tmp_path / "c", [OLD])
        yield NEW

    write_catalogue(tmp_path / "c", parts())
    assert state(tmp_path / "c") == "new"


def test_readers_while_it_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "c"
    write_catalogue(target, [OLD], threshold=8)
    done = threading.Event()
    trouble: list[BaseException] = []
    looks = 0

    def look() -> None:
        nonlocal looks
        while not done.is_set():
            try:
                rows = as_rows(open_catalogue(target).to_arrow())
                assert (rows[0]["id"].split("_")[0], len(rows)) in (("old", 30), ("new", 35))
                looks += 1
            except CatalogueError as err:
                if "replaced" not in str(err):
                    trouble.append(err)
            except BaseException as err:
                trouble.append(err)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(12):
        write_catalogue(target, [NEW if number % 2 else OLD], threshold=8)
    done.set()
    for reader in readers:
        reader.join()
    assert not trouble
    assert looks > 0


def test_a_reader_waits_for_a_live_writer_only_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_module, "PATIENCE", 0.1)
    write_catalogue(tmp_path / "c", [OLD])
    (tmp_path / "c" / publish_module.READY).mkdir()
    lock = publish_module._lock(tmp_path / "c" / publish_module.READY)
    assert lock is not None
    with pytest.raises(RunError, match="another process has been replacing"):
        open_catalogue(tmp_path / "c")
    os.close(lock)
    assert state(tmp_path / "c") == "old"


FULL = """
import os, subprocess, sys
from pathlib import Path
from rosse.errors import StorageError
from rosse.store import open_catalogue, write_catalogue
from store.galaxy_rows import galaxies

disk = Path(sys.argv[1])
write_catalogue(disk / "c", [galaxies(100, prefix="old")])
before = sorted(disk.rglob("*"))
for count in (3_000, 30_000, 60_000):
    parts = [galaxies(count, prefix="new")]
    for target in ("c", "other"):
        try:
            write_catalogue(disk / target, parts)
        except StorageError as err:
            assert "No space left on device; make room there or choose another place" in str(err), err
        else:
            assert count == 3_000, "two megabytes took 30000 rows"
            before = sorted(disk.rglob("*"))
        assert sorted(disk.rglob("*")) == before
big = write_catalogue(sys.argv[2], [galaxies(100_000)])
for ending in (".fits", ".vot", ".csv", ".parquet"):
    try:
        big.export(disk / f"x{ending}")
    except StorageError as err:
        assert "No space left on device" in str(err), err
    else:
        raise AssertionError(ending)
assert sorted(disk.rglob("*")) == before
rows = len(open_catalogue(disk / "c").where("n > 4"))
subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
try:
    write_catalogue(disk / "c", [galaxies(5)])
except StorageError as err:
    assert "Read-only file system" in str(err) and "permission" in str(err), err
else:
    raise AssertionError("written to a read-only disk")
assert len(open_catalogue(disk / "c").where("n > 4")) == rows
"""


def test_full_and_read_only_disk(tmp_path: Path) -> None:
    """A real disk of two megabytes, mounted in a name space of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs -o size=2m none {disk} && exec "$@"',
        "sh",
    ]
    if shutil.which("unshare") is None or subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a small disk")
    path = os.pathsep.join([str(HERE.parent), *sys.path])
    done = subprocess.run(
        [*mount, sys.executable, "-c", FULL, disk, tmp_path / "big"],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "c", [OLD])
    (tmp_path / "c").chmod(0o500)
    try:
        with pytest.raises(StorageError, match="write permission"):
            write_catalogue(tmp_path / "c", [NEW])
        assert state(tmp_path / "c") == "old"
        with pytest.raises(StorageError, match="write permission"):
            open_catalogue(tmp_path / "c").export(tmp_path / "c" / "x.csv")
    finally:
        (tmp_path / "c").chmod(0o700)


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("mine")
    with pytest.raises(StorageError, match="cannot write"):
        write_catalogue(tmp_path / "c", [NEW])
    assert (tmp_path / "c").read_text() == "mine"


def test_the_room_says_what_it_offers() -> None:
    assert sorted(rosse.store.__all__) == ["Catalogue", "describe_run", "open_catalogue", "write_catalogue"]
