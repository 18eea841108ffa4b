"""Shapes as a step of `rosse run`, and `rosse shapes`: rows, units, reasons, figures, and what stops and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_sky
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray
from scipy.optimize import brentq

import rosse
from rosse.cli import main
from rosse.cutouts import Cutouts
from rosse.errors import InputError, OptionError
from rosse.io import FieldPsf, list_cutouts, open_mosaic
from rosse.pipeline.jobs import FieldOptions, field_job, file_job
from rosse.pipeline.local import LocalEngine
from rosse.pipeline.run import Job, run
from rosse.pipeline.shaping import STATUS, Shaping, shape_column
from rosse.shapes.indices import INDICES

ONE = LocalEngine(workers=1)
PSF = FieldPsf.constant(small_sky.psf_stamp())
PLACES = ((40, 40), (120, 44), (44, 118), (122, 120), (80, 80))  # the last one is a star
GALAXIES = ((4.0, 0.6, 0.4), (3.0, 0.8, 1.2), (4.0, 0.9, 2.0), (3.5, 0.5, 2.8))  # sigma along the axis, b/a, angle
NOISE = 1.0


def gaussian(place: tuple[int, int], shape: tuple[float, float, float], flux: float) -> NDArray[np.float64]:
    y, x = np.mgrid[:160, :160]
    a, q, angle = shape
    u = (x - place[0]) * np.cos(angle) + (y - place[1]) * np.sin(angle)
    v = (y - place[1]) * np.cos(angle) - (x - place[0]) * np.sin(angle)
    image = np.exp(-0.5 * ((u / a) ** 2 + (v / (q * a)) ** 2))
    return np.asarray(flux * image / image.sum())


def petrosian_radius_of_a_gaussian(eta: float = 0.2) -> float:
    """In sigmas: where exp(-x), x = r^2 / 2 sigma^2, is `eta` times its mean inside, (1 - exp(-x)) / x."""
    x = brentq(lambda x: x * np.exp(-x) / -np.expm1(-x) - eta, 0.1, 10)
    return float(np.sqrt(2 * x))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(4)
    pixels = rng.normal(100, NOISE, (160, 160))
    for place, shape in zip(PLACES, GALAXIES, strict=False):
        pixels += gaussian(place, shape, 8000.0)
    pixels += gaussian(PLACES[-1], (small_sky.PSF_SIGMA, 1.0, 0.0), 4000.0)
    return small_sky.write(tmp_path_factory.mktemp("image") / "field.fits", pixels.astype(np.float32))


def job(path: Path, shaping: Shaping | None = None, *, size: int = 400, **about: Any) -> Job:
    options = FieldOptions(size=size, margin=64, shaping=shaping, **about)
    return field_job([open_mosaic(path, zeropoint=25.0)], psfs=[PSF], options=options, inputs=[path])


@pytest.fixture(scope="module")
def measured(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("measured") / "out"
    run(job(image, Shaping(draws=4)), directory, engine=ONE)
    return directory


def rows(directory: Path) -> Table:
    return rosse.open_catalogue(directory).to_astropy()


def row_at(table: Table, place: tuple[int, int]) -> Any:
    near = np.hypot(table["x_image"] - place[0], table["y_image"] - place[1]) < 2
    assert near.sum() == 1
    return table[np.flatnonzero(near)[0]]


# --- the step --------------------------------------------------------------------------------------------------------


def test_galaxies_get_their_shapes_and_stars_are_skipped(measured: Path) -> None:
    """Petrosian axes and ellipticities of elliptical Gaussians, with the PSF that is one as well."""
    table, factor = rows(measured), petrosian_radius_of_a_gaussian()
    for place, (a, q, _) in zip(PLACES, GALAXIES, strict=False):
        row = row_at(table, place)
        assert row[STATUS] == "ok"
        assert row["a_petro"] == pytest.approx(factor * a * small_sky.SCALE, rel=0.05)
        assert row["shape_ellipticity"] == pytest.approx(1 - q, abs=0.03)
        assert row["sigma_a_petro"] > 0
        assert (row["shape_x"], row["shape_y"]) == pytest.approx(place, abs=0.2)
    star = row_at(table, PLACES[-1])
    assert (star["kind"], star[STATUS], star["shape_reason"]) == ("star", "skipped", "")
    assert np.isnan(star["concentration"])


def test_every_index_is_a_column_with_unit_and_description(measured: Path) -> None:
    columns = {column.name: column for column in rosse.open_catalogue(measured).columns}
    for name, index in INDICES.items():
        column = columns[shape_column(name)]
        assert column.description.startswith(index.about)
        assert column.unit == {"length": "arcsec", "pixel": "pix", "angle": "deg"}.get(index.kind, "")
        assert shape_column(f"sigma_{name}") in columns
    assert {"status", STATUS, "shape_reason", "r_half", "shape_r_half"} <= set(columns)


def test_a_neighbour_is_left_out(tmp_path: Path) -> None:
    """The same galaxy and noise with and without a neighbour, which the detection tells apart."""
    rng = np.random.default_rng(5)
    alone = rng.normal(100, NOISE, (160, 160)) + gaussian((80, 80), GALAXIES[2], 8000.0)
    both = alone + gaussian((98, 84), (2.5, 0.8, 0.0), 3000.0)
    found = []
    for name, pixels in (("alone", alone), ("both", both)):
        path = small_sky.write(tmp_path / f"{name}.fits", pixels.astype(np.float32))
        run(job(path, Shaping()), tmp_path / name, engine=ONE)
        found.append(row_at(rows(tmp_path / name), (80, 80)))
    assert len(rows(tmp_path / "both")) == 2
    for name in ("r_petro", "concentration", "gini", "r50"):
        assert found[1][name] == pytest.approx(found[0][name], rel=0.05), name
    assert found[1]["asymmetry"] == pytest.approx(found[0]["asymmetry"], abs=0.1)


def test_without_shapes_there_are_no_columns(image: Path, tmp_path: Path) -> None:
    run(job(image), tmp_path / "out", engine=ONE)
    assert not {STATUS, "concentration", "gini"} & set(rosse.open_catalogue(tmp_path / "out").schema.names)


def test_a_run_with_other_shapes_is_not_gone_on_with(image: Path, measured: Path) -> None:
    with pytest.raises(OptionError, match="shapes_draws: 4 then, 5 now"):
        run(job(image, Shaping(draws=5)), measured, engine=ONE)
    report = run(job(image, Shaping(draws=4)), measured, engine=ONE)
    assert report.computed == {}


def test_no_source_has_the_columns_of_a_full_catalogue(measured: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(100, 1, (160, 160)).astype(np.float32)
    path = small_sky.write(tmp_path / "empty.fits", noise)
    run(job(path, Shaping(draws=4)), tmp_path / "out", engine=ONE)
    empty, full = (rosse.open_catalogue(directory).schema.names for directory in (tmp_path / "out", measured))
    assert empty == [name for name in full if name != "_healpix_29"]  # which needs a place on the sky


def test_galaxy_that_makes_it_raise_costs_no_neighbour(
    image: Path, measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import rosse.shapes

    real, before = rosse.shapes.measure_shapes, rows(measured)
    victim = str(row_at(before, PLACES[1])["id"])

    def raising(cutouts: Cutouts, **about: Any) -> rosse.Shapes:
        if victim in cutouts.id and bool((cutouts.ivar > 0).any()):
            raise ZeroDivisionError("made to fail")
        return real(cutouts, **about)

    monkeypatch.setattr(rosse.shapes, "measure_shapes", raising)
    run(job(image, Shaping(draws=4)), tmp_path / "out", engine=ONE)
    after = rows(tmp_path / "out")
    assert f"galaxy {victim} failed: ZeroDivisionError: made to fail" in caplog.text
    failed = after["id"] == victim
    assert list(after[STATUS][failed]) == ["failed"]
    assert list(after["status"][failed]) == ["ok"]  # the fit stays
    for name in ("r_petro", "gini", "asymmetry", "sigma_asymmetry"):
        np.testing.assert_allclose(after[name][~failed], before[name][~failed], rtol=1e-5, err_msg=name)


def test_what_would_fail_everywhere_is_refused_at_once(image: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="shapes: unknown band 'q'"):
        job(image, Shaping(band="q"))
    with pytest.raises(OptionError, match="draws is 1"):
        job(image, Shaping(draws=1))
    options = FieldOptions(size=400, margin=64, shaping=Shaping(correct=True))
    without = field_job([open_mosaic(image, zeropoint=25.0)], psfs=[None], options=options, inputs=[image])
    with pytest.raises(InputError, match="shapes cannot be corrected for a PSF that is not known"):
        run(without, tmp_path / "out", engine=ONE)


def test_figures_are_drawn_where_asked_and_later(image: Path, measured: Path, tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    shaping = Shaping(draws=4, figures=folder)
    written = (measured / "run.json").read_bytes()
    report = run(job(image, shaping), measured, engine=ONE)
    table = rows(measured)
    galaxies = set(table["id"][table[STATUS] == "ok"])
    assert {path.stem for path in folder.iterdir()} == galaxies
    assert (report.computed, report.completed) == ({}, 1)
    assert (measured / "run.json").read_bytes() == written
    assert run(job(image, shaping), measured, engine=ONE).completed == 0


# --- rosse shapes ----------------------------------------------------------------------------------------------------


def command(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(text) for text in arguments])
    said = capsys.readouterr()
    assert int(ended.value.code or 0) == code, said.out + said.err
    return said.out, said.err


def test_a_table_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_sky.write_cutouts(tmp_path, count=3, size=61)
    out, err = command(capsys, "shapes", tmp_path, "--scale", 0.4, "--draws", 3, "--workers", 1)
    lines = [line.split() for line in out.splitlines() if line.strip().startswith("g0")]
    assert [line[0] for line in lines] == ["g00", "g01", "g02"]
    assert all(line[-1] == "ok" and "±" in line for line in lines)
    assert "r_petro [arcsec]" in out
    assert err == ""  # nobody's terminal: no progress


def test_catalogue_figures_and_what_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    small_sky.write_cutouts(tmp_path / "in", count=4, size=61)
    (tmp_path / "in" / "g02_image.fits").write_bytes(b"")
    given = ("shapes", "in", "--scale", 0.4, "--out", "out", "--workers", 1)
    out, err = command(capsys, *given)
    assert "measured   4: ok 3, unreadable 1" in out
    assert "galaxy g02 cannot be read" in err
    table = rows(tmp_path / "out")
    assert list(table["status"]) == ["ok", "ok", "unreadable", "ok"]
    # the galaxies are Gaussians of three pixels
    np.testing.assert_allclose(
        table["r_petro"][[0, 1, 3]], 0.4 * 3 * petrosian_radius_of_a_gaussian(), rtol=0.05
    )  # fmt: skip
    out, _ = command(capsys, *given, "--plot", "figures")
    assert "those that were missing are drawn" in out
    assert sorted(path.stem for path in (tmp_path / "figures").iterdir()) == ["g00", "g01", "g03"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "shapes.fits"], "the directory of a catalogue is wanted: --out shapes, and then rosse export"),
        (["--constants", "etta=0.3"], "shapes: unknown constant 'etta'; did you mean 'eta'?"),
        (["--constants", "eta"], "--constants: name=number, several with commas, is wanted, 'eta' came"),
        (["--constants", "sky_box=2.5"], "shapes: sky_box is 2.5; a whole number is wanted"),
        (["--constants", "eta=2"], "eta is 2.0; a number between 0 and 1 is wanted"),
        (["--band", "q"], "shapes: unknown band 'q'"),
        (["--draws", "1"], "shapes: draws is 1; 0 for no errors, or at least 2 is wanted"),
        (["--correct", "--psf", "none"], "galaxy g00 has no PSF, which the correction needs; give one with --psf"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    small_sky.write_cutouts(tmp_path / "in", count=2)
    _, err = command(capsys, "shapes", "in", *arguments, code=2)
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert message in err


def test_constants_are_used(tmp_path: Path) -> None:
    """The Petrosian radius where brightness is half the mean inside lies further in."""
    small_sky.write_cutouts(tmp_path, count=1, size=61)
    shaping = Shaping(options=rosse.ShapeOptions(eta=0.5))
    run(file_job(list_cutouts(tmp_path, scale=0.4), measuring=shaping), tmp_path / "out", engine=ONE)
    expected = 0.4 * 3 * petrosian_radius_of_a_gaussian(0.5)
    assert rows(tmp_path / "out")["r_petro"][0] == pytest.approx(expected, rel=0.05)
    assert rosse.open_catalogue(tmp_path / "out").provenance["options"]["shapes"]["eta"] == 0.5


@pytest.mark.slow
def test_ctrl_c_and_again(tmp_path: Path) -> None:
    """Stopped when the first 64 galaxies were measured; the second call ends with the rows of an undisturbed one."""
    (tmp_path / "in").mkdir()
    small_sky.write_cutouts(tmp_path / "in", count=1, size=61)
    for end in ("image", "sigma"):
        pixels = fits.getdata(tmp_path / "in" / f"g00_{end}.fits")
        for i in range(1, 140):
            fits.writeto(tmp_path / "in" / f"g{i:03d}_{end}.fits", np.roll(pixels, i % 3, 0))
    given = [sys.executable, "-m", "rosse", "shapes", "in", "--scale", "0.4", "--draws", "2", "--workers", "1"]
    quiet: Any = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*given, "--out", "out"], start_new_session=True, **quiet) as process:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "out").glob("parts/*.parquet")):
            assert process.poll() is None, "it ended before it could be stopped"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 130
    assert said.startswith("stopped; ")
    assert len(said.splitlines()) == 1
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("parts/*.parquet")}
    assert 1 <= len(kept) < 3
    entries = list_cutouts(tmp_path / "in", scale=0.4, psf=False)
    subprocess.run([*given, "--out", "out"], check=True, **quiet)
    run(file_job(entries, measuring=Shaping(draws=2)), tmp_path / "whole", engine=ONE)
    one, two = rows(tmp_path / "out"), rows(tmp_path / "whole")
    assert len(one) == 140
    for name in one.colnames:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
