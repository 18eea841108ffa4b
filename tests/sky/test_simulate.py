"""`rosse simulate`: the same bytes from any number of workers, and nothing lost when it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import rosse
from rosse.cli import main
from rosse.errors import RunError
from rosse.io import open_packed
from rosse.sky import shards
from rosse.sky.observe import View, observe
from rosse.sky.shards import Shards
from rosse.surveys import SURVEYS

COMMAND = [sys.executable, "-m", "rosse", "simulate"]
SMALL = ["--survey", "sdss", "--bands", "g,r,i", "--frame", "32", "--seed", "5"]


def call(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done


def inside(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    """The command in this process; what it wrote."""
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *map(str, arguments)])
    said = capsys.readouterr()
    assert int(ended.value.code or 0) == code, said.out + said.err
    return said.out + said.err


def same_files(first: Path, second: Path) -> None:
    names = sorted(path.name for path in first.glob("*.parquet"))
    assert names == sorted(path.name for path in second.glob("*.parquet"))
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def job(folder: Path, n: int = 20) -> Shards:
    population = rosse.Population(n, seed=5)
    return Shards(directory=folder, population=population, survey="sdss", view=View(bands=("r",), frame=32), seed=5)


def test_a_store_holds_what_observe_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD", 8)
    work = job(tmp_path)
    assert work.missing() == [0, 1, 2]
    with pytest.raises(RunError, match="3 of 3 shards are missing"):
        work.finish()
    assert [work(number) for number in (2, 0, 1)] == [(2, 4), (0, 8), (1, 8)]
    store = work.finish()
    seen = observe(work.population, "sdss", bands=("r",), frame=32)
    batch = store.batch(np.arange(20))
    assert list(batch.id) == list(seen.cutouts.id)
    sigma = float(seen.cutouts.ivar.rsqrt().nan_to_num(posinf=1e9).min())
    assert float((batch.flux - seen.cutouts.flux).abs().max()) < 0.01 * sigma
    np.testing.assert_array_equal(batch.ra, seen.cutouts.ra)
    truth = pq.read_table(sorted(tmp_path.glob("truth-*.parquet")))
    assert truth["id"].to_pylist() == [int(each) for each in store.ids]
    assert truth["mag_r"].to_pylist() == pytest.approx(list(seen.truth["mag_r"]))
    assert truth.schema.field("r_e").metadata[b"unit"] == b"kpc"


def test_a_shard_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD", 8)
    work = job(tmp_path)

    def fail(*_: object) -> None:
        raise RunError("stopped in the middle")

    with monkeypatch.context() as broken:
        broken.setattr(pq, "write_table", fail)
        with pytest.raises(RunError, match="in the middle"):
            work(1)
    assert list(tmp_path.iterdir()) == []
    assert work.missing() == [0, 1, 2]
    work(1)
    assert work.missing() == [0, 2]


@pytest.mark.slow
def test_two_workers_write_the_bytes_of_one(tmp_path: Path) -> None:
    for folder, workers in (("one", 1), ("two", 2)):
        call(*SMALL, "--n", 1100, "--psf-scatter", 0.05, "--workers", workers, "--out", tmp_path / folder)
    same_files(tmp_path / "one", tmp_path / "two")
    assert len(open_packed(tmp_path / "two")) == 1100


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_what_was_stopped_goes_on(tmp_path: Path, how: signal.Signals) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    call(*SMALL, "--n", 2100, "--workers", 1, "--out", whole)
    command = [*COMMAND, *SMALL, "--n", "2100", "--workers", "1", "--out", str(stopped)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as run:
        until = time.monotonic() + 120
        while not (stopped / "part-00001.parquet").exists():
            assert time.monotonic() < until
            assert run.poll() is None
            time.sleep(0.02)
        run.send_signal(how)
        _, said = run.communicate(timeout=60)
    assert not (stopped / "packed.json").exists()
    if how is signal.SIGINT:
        assert run.returncode == 130
        assert "of 5 shards are finished, the same command goes on from there" in said
        assert not list(stopped.glob(".writing-*"))
    finished = {path: path.stat().st_mtime_ns for path in stopped.glob("part-*.parquet")}
    call(*SMALL, "--n", 2100, "--workers", 1, "--out", stopped)
    assert all(path.stat().st_mtime_ns == then for path, then in finished.items())  # not made again
    same_files(whole, stopped)
    assert not list(stopped.glob(".writing-*"))


def test_command_with_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sky"
    types = "spiral=3,elliptical=1"
    said = inside(capsys, *SMALL, "--n", 12, "--types", types, "--limit", 16.5, "--jpeg", "--workers", 1, "--out", out)
    assert "12 in 1 shard, as sdss sees them" in said
    truth = pq.read_table(out / "truth-00000.parquet")
    assert set(truth["type"].to_pylist()) <= {"spiral", "elliptical"}
    assert max(truth["mag_r"].to_pylist()) <= 16.5
    pictures = sorted((out / "pictures").glob("*.jpg"))
    assert len(pictures) == 12
    pixels = np.asarray(Image.open(pictures[0]))
    assert pixels.shape == (32, 32, 3)
    assert pixels[14:19, 14:19].mean() > 2 * pixels[:3].mean()
    # all is there: nothing is made again
    before = (out / "part-00000.parquet").stat().st_mtime_ns
    inside(capsys, *SMALL, "--n", 12, "--types", types, "--limit", 16.5, "--jpeg", "--workers", 1, "--out", out)
    assert (out / "part-00000.parquet").stat().st_mtime_ns == before
    said = inside(capsys, *SMALL, "--n", 13, "--types", types, "--limit", 16.5, "--jpeg", "--out", out, code=2)
    assert "holds a simulation of something else: n: 12 then, 13 now" in said


def test_what_is_finished_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without torch, which takes seconds to load; other options are still refused, and a lost part is made again."""
    inside(capsys, *SMALL, "--n", 6, "--out", tmp_path)
    again = ["simulate", *SMALL, "--n", "6", "--out", str(tmp_path)]
    code = f"import sys, rosse.cli\ntry: rosse.cli.main({again!r})\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "6 in 1 shard, as sdss sees them" in done.stdout
    assert "nothing was to be done" in done.stdout
    assert done.stdout.endswith("False\n")
    assert "n: 6 then, 7 now" in inside(capsys, *SMALL, "--n", 7, "--out", tmp_path, code=2)
    part = tmp_path / "part-00000.parquet"
    before = part.read_bytes()
    part.unlink()
    assert "galaxies/s (6 in" in inside(capsys, *SMALL, "--n", 6, "--out", tmp_path)
    assert part.read_bytes() == before


def test_mosaic_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "field"
    said = inside(
        capsys, "--mosaic", "--survey", "decals", "--bands", "g,r", "--pixels", 128, "--limit", 20, "--n", 5,
        "--centre", "10.5,-3", "--psf-variation", 0.03, "--out", out,
    )  # fmt: skip
    assert "rosse run --config run.toml" in said
    kinds = pq.read_table(out / "truth.parquet")["kind"].to_pylist()
    stars = kinds.count("star")
    assert said.strip().splitlines()[-1].endswith(f"{len(kinds) - stars} galaxies, {stars} stars to r = 20")
    image = rosse.open_mosaic(
        {band: out / f"{band}.fits" for band in "gr"}, ivar={b: out / f"{b}.ivar.fits" for b in "gr"}
    )
    assert image.shape == (128, 128)


@pytest.mark.parametrize(("survey", "limit"), [("sdss", 23.7), ("decals", 25.54), ("euclid-vis", None)])
def test_a_mosaic_is_as_faint_as_its_survey(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], survey: str, limit: float | None
) -> None:
    """Depth in r plus 1, whichever bands are wanted; a field that is finished is not made again."""
    known = SURVEYS[survey]
    limit = limit or known.depth[0] + 1
    command = ["--mosaic", "--survey", survey, "--bands", known.bands[0], "--pixels", 64, "--out", tmp_path / "f"]
    said = inside(capsys, *command)
    assert f"stars to r = {limit:g}" in said.strip().splitlines()[-1]
    truth = pq.read_table(tmp_path / "f" / "truth.parquet")
    faint = np.asarray(truth["mag_r"])[np.asarray(truth["kind"]) == "galaxy"]
    assert faint.max() <= limit + 1e-6
    before = (tmp_path / "f" / "truth.parquet").stat().st_mtime_ns
    assert "made before" in inside(capsys, *command)
    assert (tmp_path / "f" / "truth.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frame", 0, "--out", "o"], "frame is 0; two sides of 4 pixels or more"),
        (["--size", 0, "--out", "o"], "size is 0"),
        (["--scale", 0, "--out", "o"], "scale is 0"),
        (["--workers", 0, "--out", "o"], "--workers is 0; at least 1 is wanted"),
        (["--frame", 64, "--size", 12, "--out", "o"], "--frame 64 and --size 12 came; one of the two is wanted"),
        (["--mosaic", "--pixels", 0, "--out", "o"], "an image of (0, 0) pixels"),
        (["--mosaic", "--scale", 0, "--out", "o"], "pixels of 0.0 arcsec"),
        (["--mosaic", "--size", 0, "--out", "o"], "--size is for cutouts"),
        (["--rotation", 0, "--out", "o"], "--rotation is for a mosaic"),
        (["--mosaic", "--psf-variation", -1, "--out", "o"], "variation of the PSF's width of -1.0"),
        (["--mosaic", "--types", "star", "--out", "o"], "types star came for a field; at least one type of galaxies"),
        (["--n", 3], "--out is missing"),
        (["--n", 0, "--out", "o"], "--n is 0; at least 1 is wanted"),
        (["--survey", "lst", "--out", "o"], "unknown survey 'lst'; did you mean 'lsst'?"),
        (["--bands", "g,q", "--out", "o"], "unknown band 'q'"),
        (["--types", "spirl", "--out", "o"], "--types: unknown type 'spirl'; did you mean 'spiral'?"),
        (["--z", "0.1,0.2,0.3", "--out", "o"], "one redshift or the two ends of a range are wanted"),
        (["--pixels", 300, "--out", "o"], "--pixels is for a mosaic: give --mosaic too"),
        (["--mosaic", "--workers", 2, "--out", "o"], "--workers is for cutouts; a mosaic is drawn by one process"),
        (["--mosaic", "--device", "cuda", "--out", "o"], "a mosaic is drawn on the processor"),
        (["--mosaic", "--frame", 64, "--out", "o"], "--frame is for cutouts, not for --mosaic"),
        (["--mosaic", "--centre", "3", "--out", "o"], "two numbers, RA,DEC in degrees, are wanted"),
        (["--frame", 1, "--out", "o"], "frame is 1; two sides of 4 pixels or more"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    said = inside(capsys, *arguments, code=2)
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    said = inside(capsys, "--n", 3, "--out", tmp_path, code=2)
    assert "holds letter.txt and is no simulation's" in said
