"""The commands as a person gives them: real processes, real files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

import rosse
from rosse.cli import main

sys.path.insert(0, str(Path(__file__).parent / "pipeline"))
import small_sky

Done = subprocess.CompletedProcess[str]

COMMAND = [sys.executable, "-m", "rosse"]
HEAVY = ("torch", "astropy", "sep", "matplotlib", "pandas", "scipy", "ray", "pyarrow", "duckdb")


class Call(Protocol):
    def __call__(self, *arguments: object, code: int = 0) -> Done: ...


def call(*arguments: object, cwd: Path | None = None, code: int = 0) -> Done:
    """Run a command, check its exit code, give back what it wrote."""
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr  # nobody's terminal: no control characters
    assert "\r" not in done.stdout + done.stderr
    return done


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Like `call`, in this process and in `tmp_path`: torch need not be loaded again."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, code: int = 0) -> Done:
        with pytest.raises(SystemExit) as ended:
            main([str(text) for text in arguments])
        done = subprocess.CompletedProcess([], int(ended.value.code or 0), *capsys.readouterr())
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return call


def error(done: Done) -> str:
    """The one line that a failing command says."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning:")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


def same_rows(first: Path, second: Path) -> None:
    one, two = (rosse.open_catalogue(directory).to_astropy() for directory in (first, second))
    assert one.colnames == two.colnames
    for name in one.colnames:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a field, its PSF, and the catalogue of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("field")
    image, _, _ = small_sky.draw()
    small_sky.write(folder / "field.fits", image)
    fits.writeto(folder / "psf.fits", small_sky.psf_stamp())
    (folder / "run.toml").write_text(
        'images = ["field.fits"]\npsf = "psf.fits"\nsize = 150\nzeropoint = 20.0\nworkers = 1\nthreshold = 5\n'
    )
    return folder


@pytest.fixture(scope="module")
def run_once(field: Path) -> Done:
    return call("run", "--config", "run.toml", "--zeropoint", 25, "--out", "out", cwd=field)


# --- first contact ---------------------------------------------------------------------------------------------------


def test_help_is_quick_because_nothing_heavy_is_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "rosse", "--help"], capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & set(HEAVY)
    microseconds = sum(int(line.split(":")[1].split("|")[0]) for line in done.stderr.splitlines()[1:])
    assert microseconds < 1_000_000
    for command in ("run", "fit", "show", "export", "demo"):
        assert f" {command} " in done.stdout


def test_version() -> None:
    assert call("--version").stdout == f"rosse {rosse.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rum"], "No such command 'rum'"),
        (["run", "--sigm", "1"], "No such option: --sigm"),
        (["run", "--workers", "two"], "Invalid value for '--workers'"),
        (["run", "a.fits"], "--out is missing"),
        (["run", "--out", "o"], "no image came; give at least one"),
        (["run", "a.fits", "--out", "o"], "a.fits"),
        (["run", "a.fits", "--bands", "g=b.fits", "--out", "o"], "not both"),
        (["run", "a.fits", "b.fits", "--weight", "w.fits", "--out", "o"], "--weight is one file for 2 images"),
        (["run", "a.fits", "--zeropoint", "bright", "--out", "o"], "--zeropoint: a number is wanted, 'bright' came"),
        (["run", "--config", "none.toml"], "none.toml cannot be read"),
        (["fit"], "no cutout came"),
        (["fit", ".", "--scale", "-1"], "scale is -1; a positive number of arcsec/pixel is wanted"),
        (["fit", ".", "--sigma", "-1"], "sigma is -1; a positive number is wanted"),
        (["fit", ".", "--gain", "0"], "gain is 0; a positive number is wanted"),
        (["run", ".", "--out", "o"], ". is a folder, an image is wanted; rosse run ./*.fits takes its images as tiles"),
        (["show", "nowhere"], "nowhere is not a catalogue: there is no such directory"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, tmp_path: Path, inside: Call) -> None:
    assert message in error(inside(*arguments, code=2))
    assert not (tmp_path / "o").exists()


def test_misspelt_option_in_a_file(tmp_path: Path, inside: Call) -> None:
    (tmp_path / "run.toml").write_text("worker = 2\n")
    said = error(inside("run", "--config", "run.toml", code=2))
    assert said == "run.toml: unknown option 'worker'; did you mean 'workers'?"


def test_debug_shows_where(tmp_path: Path) -> None:
    assert "Traceback" in call("run", "a.fits", "--debug", cwd=tmp_path, code=1).stderr


# --- rosse run -------------------------------------------------------------------------------------------------------


def test_run_measures_a_field(field: Path, run_once: Done) -> None:
    said = run_once.stdout
    table = rosse.open_catalogue(field / "out").to_astropy()
    galaxies = int((table["kind"] == "galaxy").sum())
    assert f"sources    {len(table)}: {galaxies} galaxies, {len(table) - galaxies} stars" in said
    assert f"fitted     {galaxies}: ok " in said
    assert "galaxies/s" in said
    assert "rosse.open_catalogue('out')" in said
    assert len(table) == 32
    assert run_once.stderr == ""


def test_command_line_wins_over_the_file(field: Path, run_once: Done) -> None:
    kept = rosse.open_catalogue(field / "out").provenance
    assert kept["options"]["zeropoint"] == 25.0
    assert kept["options"]["threshold"] == 5.0
    assert kept["command"] == "rosse run --config run.toml --zeropoint 25 --out out"


def test_same_command_again_has_nothing_to_do(field: Path, run_once: Done) -> None:
    said = call("run", "--config", "run.toml", "--zeropoint", 25, "--out", "out", "--workers", 2, cwd=field).stdout
    assert "nothing was left to do" in said


def test_other_options_are_refused(field: Path, run_once: Done, inside: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(field)
    said = error(inside("run", "--config", "run.toml", "--out", "out", code=2))
    assert said == (
        "out holds a run of something else: zeropoint: 25.0 then, 20.0 now. "
        "Give --overwrite to replace it, or another --out"
    )


def test_show_and_export(field: Path, run_once: Done, tmp_path: Path, inside: Call) -> None:
    said = inside("show", field / "out", "--where", "kind = 'star'", "--rows", 2).stdout
    assert said.count("skipped") == 3  # two rows, and the counts
    assert "rows       8 of 32" in said
    assert inside("export", field / "out", "t.fits").stdout == "32 rows in t.fits\n"
    assert len(Table.read(tmp_path / "t.fits")) == 32
    assert "'kin'" in error(inside("show", field / "out", "--where", "kin = 'star'", code=2))


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_kill_9_and_again(field: Path, run_once: Done, tmp_path: Path, workers: int) -> None:
    command: list[object] = [
        "run",
        "--config",
        "run.toml",
        "--zeropoint",
        25,
        "--out",
        tmp_path / "out",
        "--workers",
        workers,
    ]
    with started(command, field) as process:
        wait_for_parts(tmp_path / "out", 2, process)
        process.send_signal(signal.SIGKILL)
    call(*command, cwd=field)
    same_rows(tmp_path / "out", field / "out")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_and_again(field: Path, run_once: Done, tmp_path: Path, workers: int) -> None:
    command: list[object] = [
        "run",
        "--config",
        "run.toml",
        "--zeropoint",
        25,
        "--out",
        tmp_path / "out",
        "--workers",
        workers,
    ]
    with started(command, field) as process:
        wait_for_parts(tmp_path / "out", 1, process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 130
    assert said.startswith("stopped; ")
    assert "the same command without --overwrite goes on" in said
    assert len(said.splitlines()) == 1
    call(*command, cwd=field)
    same_rows(tmp_path / "out", field / "out")


def test_no_source(tmp_path: Path, inside: Call) -> None:
    sky = np.random.default_rng(1).normal(100, 1, (100, 100)).astype(np.float32)
    fits.writeto(tmp_path / "sky.fits", sky)
    said = inside("run", "sky.fits", "--psf", "none", "--out", "out")
    assert "sources    none was found; the catalogue is empty" in said.stdout
    assert len(rosse.open_catalogue(tmp_path / "out")) == 0


def test_bands_templates_and_tiles(tmp_path: Path, inside: Call) -> None:
    """Two overlapping tiles in two bands each cannot be given; two tiles with maps by template can."""
    image, galaxies, stars = small_sky.draw((150, 260), galaxies=8, stars=3)
    for name, part, x0 in (("a", image[:, :160], 0), ("b", image[:, 100:], 100)):
        small_sky.write(tmp_path / f"{name}.fits", part, x0=x0)
        fits.writeto(tmp_path / f"{name}.rms.fits", np.ones(part.shape, np.float32))
    fits.writeto(tmp_path / "psf.fits", small_sky.psf_stamp())
    inside("run", "a.fits", "b.fits", "--sigma", "{name}.rms.fits", "--psf", "psf.fits", "--zeropoint", 25,
         "--out", "tiles", "--workers", 1)  # fmt: skip
    table = rosse.open_catalogue(tmp_path / "tiles").to_astropy()
    assert len(table) == len(galaxies) + len(stars)
    assert set(table["tile"]) == {"a", "b"}
    inside("run", "--bands", "g=a.fits,r=a.fits", "--sigma", 1, "--psf", "none", "--zeropoint", "g=25,r=24",
         "--out", "bands", "--workers", 1)  # fmt: skip
    table = rosse.open_catalogue(tmp_path / "bands").to_astropy()
    good = table["status"] == "ok"
    np.testing.assert_allclose((table["mag_g"] - table["mag_r"])[good], 1.0, atol=1e-3)


def test_eso_field_has_what_sextractor_lists(real_data: Path, tmp_path: Path, inside: Call) -> None:
    folder = real_data / "eso-ntt-field"
    inside("run", folder / "image.fits", "--psf", "none", "--out", "out", "--workers", 1)
    ours = rosse.open_catalogue(tmp_path / "out").to_astropy()
    theirs = Table.read(folder / "image.cat", format="ascii.sextractor")
    bright = theirs[theirs["FLUX_AUTO"] > 5 * theirs["FLUXERR_AUTO"]]
    distance = np.hypot(
        ours["x_image"][:, None] - (bright["X_IMAGE"] - 1), ours["y_image"][:, None] - (bright["Y_IMAGE"] - 1)
    )
    assert (distance.min(0) < 3.0).mean() >= 0.97


# --- rosse fit -------------------------------------------------------------------------------------------------------


def test_fit_prints_a_table(tmp_path: Path) -> None:
    small_sky.write_cutouts(tmp_path, count=3)
    said = call("fit", ".", "--scale", 0.4, "--zeropoint", 22.5, "--plot", "figures", cwd=tmp_path).stdout
    rows = [line.split() for line in said.splitlines() if line.strip().startswith("g0")]
    assert [row[0] for row in rows] == ["g00", "g01", "g02"]
    assert all(row[-1] == "ok" and "±" in row for row in rows)
    assert len(list((tmp_path / "figures").glob("*.png"))) == 3
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["figures"]


def test_fit_writes_a_catalogue_and_names_what_is_broken(tmp_path: Path, inside: Call) -> None:
    names = small_sky.write_cutouts(tmp_path, count=4)
    lines = [f"{name},{name}_image.fits,{name}_sigma.fits" for name in names]
    (tmp_path / "list.csv").write_text("\n".join(["id,image,sigma", *lines]))
    (tmp_path / "g02_image.fits").unlink()
    done = inside("fit", "list.csv", "--psf", "g00_psf.fits", "--out", "out", "--model", "exponential")
    assert "fitted     4: ok 3, unreadable 1" in done.stdout
    assert "unreadable 1: g02; run.log says why" in done.stdout
    assert "warning: galaxy g02 cannot be read: " in done.stderr
    assert (tmp_path / "out" / "run.log").read_text().count("g02 cannot be read: ") == 1
    assert "n" not in rosse.open_catalogue(tmp_path / "out").schema.names
    (tmp_path / "list.csv").write_text("\n".join(["id,image,sigma", *lines[:3]]))
    again = inside("fit", "list.csv", "--psf", "g00_psf.fits", "--out", "out", "--model", "exponential", code=2)
    assert "list.csv had" in error(again)


def test_galmoss_galaxies_agree_with_the_peers(real_data: Path, tmp_path: Path, inside: Call) -> None:
    """r_e and n of the second and third galaxy as imfit and AstroPhot find them; the first fills its frame."""
    inside("fit", real_data / "galmoss-sdss", "--zeropoint", 22.5, "--out", "out")
    table = rosse.open_catalogue(tmp_path / "out").to_astropy()
    assert list(table["status"]) == ["exceeds_frame", "ok", "ok"]
    np.testing.assert_allclose(table["r_e"][1:], [4.7, 13.0], rtol=0.02)  # pixels: no scale was given
    np.testing.assert_allclose(table["n"][1:], [1.6, 2.7], atol=0.06)
    assert table["r_e"].unit == "pix"


def test_models_by_name(tmp_path: Path, inside: Call) -> None:
    small_sky.write_cutouts(tmp_path, count=1)
    said = error(inside("fit", ".", "--model", "sersi", code=2))
    assert said == "--model: unknown profile 'sersi'; did you mean 'sersic'?"
    said = inside("fit", ".", "--model", "sersic+pointsource").stdout
    assert "sersic_r_e" in said
    assert "pointsource_mag" in said


# --- helpers ---------------------------------------------------------------------------------------------------------


def started(command: list[object], cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *map(str, command)], cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def wait_for_parts(directory: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if len(list(directory.glob("parts/field*"))) >= count:
            return
        time.sleep(0.005)
    raise AssertionError("the run ended before it could be stopped")
