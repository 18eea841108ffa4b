"""The demo from end to end on a small field, and what happens when it is started again."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import rosse
from rosse.demo import DemoOptions, run_demo
from rosse.demo import run as run_module
from rosse.demo.field import read_truth
from rosse.demo.report import next_commands
from rosse.errors import OptionError

pytest.importorskip("galsim", reason="the demo's field is drawn with GalSim: pip install 'rosse[demo]'")

SMALL = DemoOptions(size=400, galaxies=36, stars=32, seed=11, hubble=False)


def started(folder: Path, options: DemoOptions = SMALL) -> tuple[dict[str, Any], str, float]:
    """Summary, text and duration of a run whose output goes to no terminal."""
    text, start = io.StringIO(), time.monotonic()
    summary = run_demo(folder, options=options, workers=1, console=Console(file=text, width=200, highlight=False))
    return summary, text.getvalue(), time.monotonic() - start


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    folder = tmp_path_factory.mktemp("work") / "demo"
    summary, text, _ = started(folder)
    return folder, summary, text


def test_everything_is_there(demo: tuple[Path, dict[str, Any], str]) -> None:
    folder, summary, _ = demo
    catalogue = rosse.open_catalogue(folder)
    assert len(catalogue) == summary["simulated"]["sources"]
    assert json.loads((folder / "demo.json").read_text()) == summary
    for name in ("contact-sheet.png", "recovered.png"):
        with Image.open(folder / name) as image:
            assert min(image.size) > 600
            assert np.asarray(image.convert("L")).std() > 5  # something is drawn
    assert not (folder / ".unfinished").exists()


def test_numbers_agree_with_the_truth(demo: tuple[Path, dict[str, Any], str]) -> None:
    folder, summary, _ = demo
    simulated, truth = summary["simulated"], read_truth(folder / "images" / "truth.fits")
    found = simulated["detection"]
    bright = truth["mag_r"] < found["bright"]
    assert found["stars_bright"] == (bright & (truth["kind"] == "star")).sum()
    assert found["galaxies_found"] >= 0.8 * found["galaxies_bright"]
    assert found["called_star_right"] >= 0.8 * found["called_star"]
    assert sum(simulated["kinds"].values()) == simulated["sources"]
    assert sum(simulated["status"].values()) == simulated["fitted"]
    assert simulated["status"]["ok"] > 0.5 * simulated["fitted"]
    by_name = {row["quantity"]: row for row in simulated["recovered"]}
    assert by_name["mag_r"]["count"] >= 3
    assert abs(by_name["mag_r"]["offset"]) < 0.1
    assert abs(by_name["r_e"]["offset"]) < 0.15


def test_text_says_what_was_found_and_what_to_try(demo: tuple[Path, dict[str, Any], str]) -> None:
    folder, summary, text = demo
    assert f"{summary['simulated']['sources']} sources" in text
    for word in ("galaxies/s", "magnitude r", "radius r_e", "Sersic index n", "axis ratio q", "pull mean", "recovered"):
        assert word in text
    for command in next_commands(folder):
        assert command in text
    assert "\x1b" not in text  # no colours in a pipe


def test_cutouts_on_disk_can_be_fitted(demo: tuple[Path, dict[str, Any], str]) -> None:
    """The files of the second command hold the galaxies: the same size and place come back from r alone."""
    folder, _, _ = demo
    cutouts = rosse.read_cutouts(folder / "cutouts")
    catalogue = {str(row["id"]): row for row in rosse.open_catalogue(folder).to_astropy()}
    assert len(cutouts) == 12
    assert np.allclose(cutouts.scale, 0.262, rtol=1e-4)
    assert np.allclose(cutouts.zeropoint, 22.5)
    fit = rosse.fit(cutouts).table()
    assert {str(row["id"]) for row in fit} <= set(catalogue)
    same = [row for row in fit if row["status"] == "ok"]
    assert len(same) >= 6
    off = [row["mag"] - catalogue[str(row["id"])]["mag_r"] for row in same]
    assert np.median(np.abs(off)) < 0.05


def test_second_start_only_reads(demo: tuple[Path, dict[str, Any], str]) -> None:
    folder, summary, text = demo
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    again, shown, seconds = started(folder)
    assert again == summary
    assert seconds < 2
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == times
    head = text.partition("\nMeasured by")[0]
    assert shown.partition("\nMeasured by")[0] == head
    assert "earlier run" in shown


def test_other_options_measure_again(demo: tuple[Path, dict[str, Any], str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, _ = demo
    asked: list[DemoOptions] = []

    def measured(folder: Path, options: DemoOptions, workers: int | None) -> dict[str, Any]:
        asked.append(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "_measured", measured)
    copy = folder.parent / "copy"
    copy.mkdir()
    for name in ("demo.json", ".rosse-demo"):
        (copy / name).write_bytes((folder / name).read_bytes())
    (copy / "mine.txt").write_text("stays")
    with pytest.raises(KeyboardInterrupt):
        started(copy, DemoOptions(size=400, hubble=False))
    assert asked == [DemoOptions(size=400, hubble=False)]
    assert (copy / "mine.txt").read_text() == "stays"


def test_interrupted_demo_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the figures are drawn: the next start measures nothing again."""
    from rosse.demo import measure

    tiny = DemoOptions(size=288, galaxies=14, stars=36, seed=4, hubble=False)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(measure, "_simulated_sheet", interrupted)
        with pytest.raises(KeyboardInterrupt):
            started(tmp_path / "demo", tiny)
    assert not (tmp_path / "demo" / "demo.json").exists()
    drawn = (tmp_path / "demo" / "images" / "field-g.fits").stat().st_mtime_ns
    summary, _, _ = started(tmp_path / "demo", tiny)
    assert summary["simulated"]["rate"] is None  # nothing was left to measure
    assert (tmp_path / "demo" / "images" / "field-g.fits").stat().st_mtime_ns == drawn
    assert len(rosse.open_catalogue(tmp_path / "demo")) == summary["simulated"]["sources"]


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(OptionError, match="holds no demo"):
        run_demo(tmp_path, options=SMALL, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.slow
def test_hubble_field(tmp_path: Path) -> None:
    """The whole demo with the real field: catalogue and sheet beside those of the simulated one."""
    pytest.importorskip("skimage", reason="the picture comes with scikit-image: pip install 'rosse[demo]'")
    summary, text, _ = started(tmp_path / "demo", replace(SMALL, hubble=True))
    catalogue = rosse.open_catalogue(tmp_path / "demo" / "hubble")
    assert len(catalogue) == summary["hubble"]["sources"] > 300
    assert summary["hubble"]["status"]["ok"] >= 12
    assert "no PSF" in text
    columns = {column.name: column.unit for column in catalogue.columns}
    assert columns["r_e"] == "pix"
    with Image.open(tmp_path / "demo" / "hubble" / "contact-sheet.png") as image:
        assert min(image.size) > 600
