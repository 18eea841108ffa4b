import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from toy_survey import Counting, Faulty, KillOnce, Moments, Tile, toy_job

import rosse
from rosse.errors import InputError, OptionError, RunError, StorageError
from rosse.io.say import once, say
from rosse.pipeline.directory import locked
from rosse.pipeline.local import LocalEngine
from rosse.pipeline.run import Stopped, run

ONE = LocalEngine(workers=1)
TWO = LocalEngine(workers=2)


def rows(directory: Path) -> pa.Table:
    return rosse.open_catalogue(directory).to_arrow()


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    directory = tmp_path_factory.mktemp("truth") / "out"
    run(toy_job(), directory, engine=ONE)
    return rows(directory)


def test_every_tile_is_in_the_catalogue(truth: pa.Table) -> None:
    assert truth.num_rows == 40
    assert len(set(truth["id"].to_pylist())) == 40


def test_report_and_directory(tmp_path: Path) -> None:
    report = run(toy_job(), tmp_path / "out", engine=ONE)
    assert (report.rows, report.computed, report.counts, report.failed) == (40, {"ok": 40}, {"ok": 40}, {})
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")) == [
        "dataset", "hats.properties", "partition_info.csv", "properties", "run.json",
    ]  # fmt: skip
    kept = json.loads((tmp_path / "out" / "run.json").read_text())
    assert kept["options"] == {"blobs": 5}
    assert kept["versions"]["rosse"] == rosse.__version__


def test_two_processes_give_the_same_rows(truth: pa.Table, tmp_path: Path) -> None:
    run(toy_job(), tmp_path / "out", engine=TWO)
    assert rows(tmp_path / "out").equals(truth)


def test_finished_run_is_not_computed_again(truth: pa.Table, tmp_path: Path) -> None:
    run(toy_job(), tmp_path / "out", engine=ONE)
    step = Counting()
    report = run(toy_job(step), tmp_path / "out", engine=ONE)
    assert step.seen == []
    assert (report.rows, report.computed) == (40, {})
    assert rows(tmp_path / "out").equals(truth)


def test_catalogue_that_lost_a_file_is_made_again(truth: pa.Table, tmp_path: Path) -> None:
    run(toy_job(), tmp_path / "out", engine=ONE)
    next((tmp_path / "out" / "dataset").rglob("Npix*.parquet")).unlink()
    run(toy_job(), tmp_path / "out", engine=ONE)
    assert rows(tmp_path / "out").equals(truth)


def test_killed_worker_loses_nothing(truth: pa.Table, tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    report = run(toy_job(KillOnce(folder=tmp_path / "marks", victims=(2, 5))), tmp_path / "out", engine=TWO)
    assert len(list((tmp_path / "marks").iterdir())) == 2
    assert report.failed == {}
    assert rows(tmp_path / "out").equals(truth)


def test_failed_tiles_are_named_and_tried_again(
    truth: pa.Table, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = run(toy_job(Faulty(raising=(1,), deadly=(6,))), tmp_path / "out", engine=TWO)
    assert set(report.failed) == {"tile-001", "tile-006"}
    assert report.failed["tile-001"] == "ValueError: tile 1 is broken"
    assert "killed" in report.failed["tile-006"]
    assert "partition tile-001 failed: ValueError: tile 1 is broken" in caplog.text
    assert rows(tmp_path / "out").num_rows == 30
    step = Counting()
    assert run(toy_job(step), tmp_path / "out", engine=ONE).failed == {}
    assert step.seen == [1, 6]
    assert rows(tmp_path / "out").equals(truth)


def test_nothing_but_failures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no partition came to an end.*tile 0 is broken"):
        run(toy_job(Faulty(raising=(0,)), tiles=1), tmp_path / "out", engine=ONE)


def test_half_a_part_is_computed_again(truth: pa.Table, tmp_path: Path) -> None:
    step = Counting(stop_at=4)
    with pytest.raises(Stopped):
        run(toy_job(step), tmp_path / "out", engine=ONE)
    part = tmp_path / "out" / "parts" / "tile-002.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    (tmp_path / "out" / "parts" / ".tile-004.parquet.tmp").write_bytes(b"what a killed process leaves")
    again = Counting()
    run(toy_job(again), tmp_path / "out", engine=ONE)
    assert again.seen == [2, 4, 5, 6, 7]
    assert rows(tmp_path / "out").equals(truth)


def test_ctrl_c_in_process_keeps_parts(tmp_path: Path) -> None:
    with pytest.raises(Stopped, match=r"3 of 8 partitions are kept in .*the same command without --overwrite goes on"):
        run(toy_job(Counting(stop_at=3)), tmp_path / "out", engine=ONE)


@pytest.mark.parametrize("state", ["finished", "stopped"])
def test_other_options_or_inputs_are_refused(tmp_path: Path, state: str) -> None:
    image = tmp_path / "image.fits"
    image.write_bytes(b"x" * 100)
    job = toy_job(Counting(stop_at=-1 if state == "finished" else 3), inputs=(image,))
    if state == "finished":
        run(job, tmp_path / "out", engine=ONE)
    else:
        with pytest.raises(Stopped):
            run(job, tmp_path / "out", engine=ONE)
    with pytest.raises(OptionError, match=r"blobs: 5 then, 6 now.*--overwrite to replace it, or another --out"):
        run(toy_job(options={"blobs": 6}, inputs=(image,)), tmp_path / "out", engine=ONE)
    with pytest.raises(OptionError, match=r"image.fits is no longer among the inputs"):
        run(toy_job(), tmp_path / "out", engine=ONE)
    os.utime(image, (1e9, 1e9))  # touched only
    run(toy_job(inputs=(image,)), tmp_path / "out", engine=ONE)
    image.write_bytes(b"y" * 100)
    with pytest.raises(OptionError, match=r"image.fits has other content now"):
        run(toy_job(inputs=(image,)), tmp_path / "out", engine=ONE)


def test_overwrite_starts_anew_and_keeps_the_old_catalogue_until_then(tmp_path: Path) -> None:
    run(toy_job(), tmp_path / "out", engine=ONE)
    other: dict[str, Any] = {"options": {"blobs": 3}}
    with pytest.raises(Stopped):
        run(toy_job(Counting(stop_at=3), **other), tmp_path / "out", engine=ONE, overwrite=True)
    assert rows(tmp_path / "out").num_rows == 40
    run(toy_job(Moments(blobs=3), **other), tmp_path / "out", engine=ONE)
    assert len(list((tmp_path / "out").glob("parts"))) == 0
    assert rows(tmp_path / "out").num_rows == 3 * 5 + 5 * 3  # the stopped run had five in a tile


def test_somebody_elses_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    with pytest.raises(OptionError, match="holds dataset, which rosse did not write"):
        run(toy_job(), tmp_path, engine=ONE)
    (tmp_path / "dataset").rmdir()
    (tmp_path / "run.json").write_text('{"mine": true}')
    with pytest.raises(OptionError, match=r"run.json was not written by rosse"):
        run(toy_job(), tmp_path, engine=ONE, overwrite=True)
    (tmp_path / "run.json").unlink()
    (tmp_path / "notes.txt").write_text("mine")
    run(toy_job(), tmp_path, engine=ONE)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_two_runs_at_once_are_kept_apart(tmp_path: Path) -> None:
    with locked(tmp_path / "out"), pytest.raises(RunError, match=rf"process {os.getpid()} on .* is writing to"):
        run(toy_job(), tmp_path / "out", engine=ONE)
    run(toy_job(), tmp_path / "out", engine=ONE)


def test_keys_must_differ(tmp_path: Path) -> None:
    job = toy_job()
    job = type(job)(partitions=[Tile(number=1), Tile(number=1)], prepare=job.prepare)
    with pytest.raises(InputError, match="more than once: tile-001"):
        run(job, tmp_path / "out", engine=ONE)


SCRIPT = """
    import sys
    sys.path.insert(0, {here!r})
    from toy_survey import Moments, toy_job
    from rosse.pipeline.local import LocalEngine
    from rosse.pipeline.run import run
    if __name__ == "__main__":
        run(toy_job(Moments(pause=0.05)), sys.argv[1], engine=LocalEngine(workers=int(sys.argv[2])))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT).format(here=str(Path(__file__).parent)))
    return path


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("parts", [0, 3, 8])
def test_kill_9_in_mid_run(truth: pa.Table, tmp_path: Path, script: Path, workers: int, parts: int) -> None:
    """Killed when `parts` partitions were finished (8: while the catalogue is written)."""
    command = [sys.executable, str(script), str(tmp_path / "out"), str(workers)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for_parts(tmp_path / "out", parts, process)
        process.send_signal(signal.SIGKILL)
    subprocess.run(command, check=True, timeout=60)
    assert rows(tmp_path / "out").equals(truth)
    assert not (tmp_path / "out" / "parts").exists()


def test_ctrl_c_stops_processes_at_once(truth: pa.Table, tmp_path: Path, script: Path) -> None:
    command = [sys.executable, str(script), str(tmp_path / "out"), "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for_parts(tmp_path / "out", 3, process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
        assert process.stderr is not None
        said = process.stderr.read()
    assert said.count("Traceback") <= 1  # no worker complains
    assert "Stopped: stopped; " in said
    subprocess.run(command, check=True, timeout=60)
    assert rows(tmp_path / "out").equals(truth)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("a tmpfs cannot be mounted here, so that no disk can be filled: it takes the rights of root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize(("room", "when"), [(24_000, "parts"), (60_000, "catalogue")])
def test_full_disk_keeps_what_is_finished(small_disk: Path, truth: pa.Table, room: int, when: str) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2**20 - room))
    with pytest.raises(StorageError, match=r"(No space left|disk is full).*the same command"):
        run(toy_job(), small_disk / "out", engine=ONE)
    kept = sorted(path.stem for path in (small_disk / "out" / "parts").glob("tile-*.parquet"))
    assert 1 <= len(kept) < 8 if when == "parts" else len(kept) == 8
    assert not list((small_disk / "out" / "parts").glob("*.tmp"))
    ballast.unlink()
    again = Counting()
    run(toy_job(again), small_disk / "out", engine=ONE)
    assert [f"tile-{i:03d}" for i in again.seen] == sorted({f"tile-{i:03d}" for i in range(8)} - set(kept))
    assert rows(small_disk / "out").equals(truth)


def test_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(StorageError, match=r"cannot write .*file/out"):
        run(toy_job(), tmp_path / "file" / "out", engine=ONE)


def wait_for_parts(directory: Path, count: int, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        if (directory / "parts" / "run.json").exists() and len(list(directory.glob("parts/tile*"))) >= count:
            return
        time.sleep(0.002)
    raise AssertionError("the run ended before it could be killed")


@pytest.mark.parametrize("workers", [1, 2])
def test_what_workers_log_and_warn_of_arrives_here(tmp_path: Path, workers: int) -> None:
    """As often as it was said: by a handler of rosse's own logger too, and where the worker is this process."""
    log, text = logging.getLogger("rosse"), StringIO()
    handler = logging.StreamHandler(text)
    log.addHandler(handler)
    try:
        run(toy_job(Talking(run=str(tmp_path)), tiles=6), tmp_path / "out", engine=LocalEngine(workers=workers))
    finally:
        log.removeHandler(handler)
    assert text.getvalue().splitlines().count("measured") == 6
    assert text.getvalue().splitlines().count("of one kind") == 1


@dataclass(frozen=True)
class Talking:
    run: str

    def __call__(self, tile: Tile) -> pa.Table:
        log = logging.getLogger("rosse.toy")
        log.warning("measured")
        with once(self.run):
            say(log, logging.WARNING, "kind", "of one kind")
        return Moments()(tile)
