"""The comparison with other fitters runs from a clone, and its table says what was measured."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return pytest.importorskip("report")


def truth(count: int) -> np.ndarray:
    table = np.ones(count, dtype=[(name, "f8") for name in ("snr", "mag", "re", "n", "q")])
    table["snr"], table["mag"] = 500.0, 20.0
    return table


def fitter(report, *, n: float, chi2: float, rate: float, count: int):
    rows = [
        {
            "i": i,
            "ok": True,
            "flux": 10.0,
            "re": 1.0,
            "n": n + 0.01 * (i % 3 - 1),
            "q": 1.0,
            "sigma_n": 0.01,
            "chi2": chi2,
        }
        for i in range(count)
    ]
    return report.Measured(title="a fitter", workers="2", rate=rate, memory=100.0, rows=rows)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_bias_of_n_and_difference_of_chi2_are_those_that_were_put_in(report) -> None:
    ours = fitter(report, n=1.0, chi2=100.0, rate=400.0, count=30)
    theirs = fitter(report, n=1.1, chi2=103.0, rate=8.0, count=9)
    theirs.rows[0] |= {"ok": False, "chi2": 1e9, "n": 50.0}
    *_, first, second = report.accuracy_table([ours, theirs], truth(30), zeropoint=22.5, bright=300.0)
    names = cells("| fitter | cores | rate | ratio | fitted | re | n | q | mag | bias | width | chi2 | memory |")
    first, second = (dict(zip(names, cells(line), strict=True)) for line in (first, second))
    assert second["ratio"] == "50"
    assert second["fitted"] == "8 of 9"
    assert second["bias"] == "+10.00 %"
    assert second["chi2"] == "+3.00"
    assert (first["bias"], first["mag"], first["width"]) == ("+0.00 %", "0.0000", "1.00")


def test_what_was_not_measured_is_a_dash(report) -> None:
    one = fitter(report, n=1.0, chi2=100.0, rate=1.0, count=5)
    for row in one.rows:
        del row["sigma_n"], row["chi2"]
    line = report.accuracy_table([one, one], truth(5), zeropoint=22.5, bright=1e9)[-1]
    assert "nan" not in line
    assert cells(line)[5:11] == ["-"] * 6


def test_only_what_stands_between_the_markers_is_replaced(report, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.publish(page, "new")
    report.publish(page, "newer")
    assert page.read_text() == f"before\n{report.BEGIN}\nnewer\n{report.END}\nafter\n"
    page.write_text("no markers")
    with pytest.raises(SystemExit, match="has no"):
        report.publish(page, "new")


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCH))
    pytest.importorskip("sep", reason="start values are measured by sep: pip install 'rosse[demo]'")
    return importlib.import_module("fit")


def test_every_adapter_is_a_peer_whose_constants_are_read_without_it(fit) -> None:
    adapters = {path.stem for path in (BENCH / "peers").glob("*.py")} - {"__init__", "__main__", "formulas"}
    assert adapters == set(fit.PEERS)
    for name in fit.PEERS:
        about = fit.described(name)
        assert about["TITLE"]
        assert set(about["PSFS"]) <= set(fit.TITLES)
        assert about["BULGE_DISC"] in (True, False)
        assert about["LIMIT"] is None or about["LIMIT"] > 0
    assert {name for name in fit.PEERS if fit.described(name)["LIMIT"]} == {"pysersic", "galmoss"}


@pytest.mark.parametrize(
    ("limits", "count"), [((None, None), 256), ((64, None), 64), ((None, 32), 32), ((4, 32), 4), ((500, 300), 256)]
)
def test_a_peer_fits_no_more_galaxies_than_any_limit_allows(fit, limits: tuple, count: int) -> None:
    assert fit.fewest(256, *limits) == count


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what peers warn of is theirs
@pytest.mark.parametrize("name", ["pyimfit", "petrofit", "statmorph", "astrophot", "pysersic", "galmoss"])
def test_a_peer_that_is_installed_finds_the_galaxy_that_galsim_drew(fit, name: str) -> None:
    """Pixels from 0, angles from +x, flux as a flux: an adapter translates them all."""
    pytest.importorskip(name)
    from simulate import Ranges, simulate
    from starts import start_values

    data = simulate(1, seed=5, size=96, ranges=Ranges(n=(1.2, 1.3), re=(5.0, 6.0), snr=(800.0, 900.0)))
    start = start_values(data, bulge_disc=False)
    image, sigma = (data[key][0].astype(float) for key in ("image", "sigma"))
    given = {key: float(start[key][0]) for key in start.dtype.names}
    row = importlib.import_module(f"peers.{name}").fit_one(image, sigma, data["psf"].astype(float), given)
    (true,) = data["truth"]
    assert row["ok"]
    assert row["x"] == pytest.approx(true["x"], abs=0.05)
    assert row["y"] == pytest.approx(true["y"], abs=0.05)
    assert -2.5 * np.log10(row["flux"]) + data["zp"] == pytest.approx(true["mag"], abs=0.02)
    assert row["re"] == pytest.approx(true["re"], rel=0.02)
    assert row["n"] == pytest.approx(true["n"], rel=0.05)
    assert row["q"] == pytest.approx(true["q"], abs=0.02)
    assert abs((row["pa"] - true["pa"] + 90) % 180 - 90) < 3
    chi2 = np.sum(((image - row["model"]()) / sigma) ** 2)
    assert abs(chi2 / image.size - 1) < 0.1


@pytest.mark.parametrize("script", ["fit.py", "roofline.py", "sky_speed.py", "sky_realism.py"])
def test_the_page_has_a_place_for_the_figures(script: str) -> None:
    text = (BENCH.parent / "docs" / "benchmarks.md").read_text()
    assert re.search(rf"<!-- figures of bench/{script} -->.*<!-- end of the \w+ -->", text, flags=re.DOTALL)


@pytest.mark.slow
def test_one_command_measures_rosse_on_galaxies_of_its_own() -> None:
    pytest.importorskip("galsim", reason="the galaxies are drawn with GalSim: pip install 'rosse[demo]'")
    options = ["--simulate", "8", "--limit", "4", "--bright", "0", "--seconds", "0"]
    done = subprocess.run([sys.executable, BENCH / "fit.py", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    single, pair = [cells(line) for line in done.stdout.splitlines() if line.startswith("| **rosse**")]
    for line, fitted in ((single, "8 of 8"), (pair, "2 of 2")):
        assert line[4] == fitted
        assert float(line[2]) > 0
        errors = [float(cell.removesuffix("%")) for cell in line[5:9]]
        assert np.isfinite(errors).all()
    assert abs(float(single[9].removesuffix("%"))) < 10  # bias of n: starts at 2, truth is 0.5 to 6


@pytest.fixture
def sky_measures(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return pytest.importorskip("sky_measures")


def test_measures_of_pictures_are_those_of_a_known_gaussian(sky_measures) -> None:
    y, x = np.indices((64, 64)) - 31.5
    u, v = (x + y) / np.sqrt(2), (y - x) / np.sqrt(2)
    light = np.exp(-0.5 * ((u / 6) ** 2 + (v / 3) ** 2))
    picture = np.rint(np.stack([200 * light, 150 * light, 100 * light], -1)).astype(np.uint8)
    size, ratio, colour, _, asymmetry, _, _ = sky_measures.measures(picture.astype(float))
    assert 0.4 < ratio < 0.6
    assert 4 < 64 * size < 5.5  # the radius of half the light is near 1.18 times the mean dispersion
    assert abs(colour - 2.5 * np.log10(2)) < 0.1
    assert asymmetry < 0.05
    even = sky_measures.gini(np.ones(50))
    single = sky_measures.gini(np.eye(1, 50)[0])
    assert abs(even) < 1e-9
    assert abs(single - 1) < 1e-9


@pytest.mark.slow
def test_one_command_holds_the_virtual_sky_against_the_real_one(real_data: Path) -> None:
    pytest.importorskip("galsim", reason="spectra come with GalSim: pip install 'rosse[sky]'")
    options = ["--data", real_data, "--count", "256", "--epochs", "1"]
    done = subprocess.run(
        [sys.executable, BENCH / "sky_realism.py", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = {cells(line)[0]: cells(line) for line in done.stdout.splitlines() if line.startswith("|")}
    figures = [float(row[1]) for name, row in rows.items() if "Galaxy Zoo 1," in name or "EFIGI," in name]
    assert len(figures) == 2
    assert all(-1 <= figure <= 1 for figure in figures)
    found = [float(cell.split()[0]) for cell in rows["spiral"][2:]]
    assert abs(sum(found) - 100) < 2
    for name in sky_measures_names():
        assert 0 <= float(rows[name][3]) <= 1


def sky_measures_names() -> tuple[str, ...]:
    return ("size", "axis ratio", "colour", "concentration", "asymmetry", "Gini", "M20")


@pytest.mark.slow
def test_the_virtual_sky_is_timed_by_one_command() -> None:
    pytest.importorskip("galsim", reason="spectra come from GalSim: pip install 'rosse[sky]'")
    options = ["--count", "16", "--tries", "1"]
    done = subprocess.run(
        [sys.executable, BENCH / "sky_speed.py", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [cells(line) for line in done.stdout.splitlines() if line.startswith("| `")]
    assert {row[0].split(",")[0] for row in rows} >= {"`observe`", "`rosse simulate --workers 2`"}
    assert all(float(row[2]) > 0 for row in rows)
