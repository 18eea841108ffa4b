import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import small_sky
from astropy.io import fits as fitsio
from astropy.table import Table
from numpy.typing import NDArray

import rosse
from rosse.cutouts import Cutouts
from rosse.errors import FileError, InputError
from rosse.io import FieldPsf, list_cutouts, open_mosaic
from rosse.pipeline.jobs import FieldOptions, field_job, file_job
from rosse.pipeline.local import LocalEngine
from rosse.pipeline.rows import Fitting
from rosse.pipeline.run import Job, run
from rosse.pipeline.steps import MeasureField

Field = tuple[Path, NDArray[np.float64], NDArray[np.float64]]  # image, places of galaxies and stars

ONE = LocalEngine(workers=1)
FAST = FieldOptions(size=160, margin=64)
PSF = FieldPsf.constant(small_sky.psf_stamp())


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Field:
    folder = tmp_path_factory.mktemp("field")
    image, galaxies, stars = small_sky.draw()
    return small_sky.write(folder / "field.fits", image), galaxies, stars


@pytest.fixture(scope="module")
def measured(field: Field, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The field in four partitions, one process."""
    directory = tmp_path_factory.mktemp("measured") / "out"
    run(job(field[0]), directory, engine=ONE)
    return directory


def job(path: Path, *, options: FieldOptions = FAST, psf: FieldPsf = PSF) -> Job:
    return field_job([open_mosaic(path, zeropoint=25.0)], psfs=[psf], options=options, inputs=[path])


def rows(directory: Path) -> Table:
    return rosse.open_catalogue(directory).to_astropy()


def test_every_source_is_there_once(field: Field, measured: Path) -> None:
    table = rows(measured)
    found = np.stack([table["x_image"], table["y_image"]], axis=1)
    for x, y in (*field[1], *field[2]):
        assert (np.hypot(found[:, 0] - x, found[:, 1] - y) < 1.5).sum() == 1
    assert len(table) <= len(field[1]) + len(field[2]) + 1


def test_galaxies_are_fitted_and_the_rest_skipped(field: Field, measured: Path) -> None:
    table = rows(measured)
    star = table["kind"] == "star"
    assert set(table["status"][star]) <= {"skipped"}
    assert np.isnan(table["n"][star]).all()
    fitted = table[table["status"] == "ok"]
    assert len(fitted) > 0.8 * len(field[1])
    assert np.allclose(np.median(fitted["n"]), 0.5, atol=0.1)  # a Gaussian is a Sersic profile with n = 0.5
    assert np.hypot(fitted["x"] - fitted["x_image"], fitted["y"] - fitted["y_image"]).max() < 1.0
    assert set(table["tile"]) == {"field"}
    assert table["r_e"].unit == "arcsec"
    assert len(set(table["id"])) == len(table)


def test_psf_is_kept_beside_the_catalogue(measured: Path) -> None:
    kept = rosse.io.read_psf(measured / "psf.fits")
    assert np.allclose(kept.at(0, 0), PSF.at(0, 0), atol=1e-7)


def test_workers_do_not_change_a_bit(field: Field, measured: Path, tmp_path: Path) -> None:
    run(job(field[0]), tmp_path / "out", engine=LocalEngine(workers=2))
    one, two = rows(measured), rows(tmp_path / "out")
    assert one.colnames == two.colnames
    for name in one.colnames:
        np.testing.assert_array_equal(two[name], one[name], err_msg=name)  # NaN equals NaN here


def test_partitions_change_little(field: Field, measured: Path, tmp_path: Path) -> None:
    """One partition instead of four: the same galaxies, numbers that differ by less than their errors."""
    run(job(field[0], options=FieldOptions(size=400)), tmp_path / "out", engine=ONE)
    whole, parts = rows(tmp_path / "out"), rows(measured)
    assert len(whole) == len(parts)
    for row in whole[whole["status"] == "ok"]:
        other = parts[np.argmin(np.hypot(parts["x_image"] - row["x_image"], parts["y_image"] - row["y_image"]))]
        assert other["status"] == "ok"
        for name in ("mag", "r_e", "n"):
            assert abs(other[name] - row[name]) < 0.7 * row[f"sigma_{name}"], name


def test_tiles_that_overlap_give_every_source_once(tmp_path: Path) -> None:
    image, galaxies, stars = small_sky.draw((200, 360))
    mosaics = [
        open_mosaic(small_sky.write(tmp_path / "a.fits", image[:, :220]), zeropoint=25.0),
        open_mosaic(small_sky.write(tmp_path / "b.fits", image[:, 140:], x0=140), zeropoint=25.0),
    ]
    run(field_job(mosaics, psfs=[PSF, PSF], options=FieldOptions(size=400)), tmp_path / "out", engine=ONE)
    table = rows(tmp_path / "out")
    x = table["x_image"] + 140 * (table["tile"] == "b")
    for px, py in (*galaxies, *stars):
        near = np.hypot(x - px, table["y_image"] - py) < 1.5
        assert near.sum() == 1
        edges_a, edges_b = (px, 219 - px, py, 199 - py), (px - 140, 359 - px, py, 199 - py)
        if abs(min(edges_a) - min(edges_b)) > 1:
            assert table["tile"][near][0] == ("a" if min(edges_a) > min(edges_b) else "b")


def test_faint_galaxies_are_listed_only(field: Field, tmp_path: Path) -> None:
    run(job(field[0], options=FieldOptions(size=400, min_snr=100.0)), tmp_path / "out", engine=ONE)
    table = rows(tmp_path / "out")
    faint = (table["kind"] == "galaxy") & (table["snr"] < 100)
    assert faint.any()
    assert set(table["status"][faint]) == {"skipped"}


def test_no_source_at_all(tmp_path: Path) -> None:
    image = np.random.default_rng(1).normal(100, 1, (200, 200)).astype(np.float32)
    path = small_sky.write(tmp_path / "empty.fits", image)
    report = run(job(path, options=FieldOptions(size=120, margin=64)), tmp_path / "out", engine=ONE)
    catalogue = rosse.open_catalogue(tmp_path / "out")
    assert (report.rows, len(catalogue), report.failed) == (0, 0, {})
    assert {"id", "n", "status", "tile"} <= set(catalogue.schema.names)


def test_galaxy_that_makes_the_fit_raise_costs_no_neighbour(
    field: Field, measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import rosse.fitting

    real, before = rosse.fitting.fit, rows(measured)
    victim = str(before["id"][before["status"] == "ok"][3])

    def fit(cutouts: Cutouts, *args: Any, **kwargs: Any) -> Any:
        if victim in cutouts.id and bool((cutouts.ivar > 0).any()):
            raise ZeroDivisionError("made to fail")
        return real(cutouts, *args, **kwargs)

    monkeypatch.setattr(rosse.fitting, "fit", fit)
    run(job(field[0]), tmp_path / "out", engine=ONE)
    after = rows(tmp_path / "out")
    assert f"galaxy {victim} failed: ZeroDivisionError: made to fail" in caplog.text
    failed = after["id"] == victim
    assert list(after["status"][failed]) == ["failed"]
    assert np.isnan(after["n"][failed]).all()
    assert np.isfinite(after["mag_auto"][failed]).all()  # what detection measured stays
    for name in ("n", "r_e", "mag"):
        np.testing.assert_allclose(
            after[name][~failed], before[name][~failed], rtol=1e-4
        )  # other batches, other rounding


def test_psf_is_built_from_the_stars_and_kept_for_a_run_that_goes_on(tmp_path: Path) -> None:
    image, *_ = small_sky.draw((300, 300), galaxies=10, stars=24, seed=3)
    job_ = field_job([open_mosaic(small_sky.write(tmp_path / "stars.fits", image), zeropoint=25.0)], options=FAST)
    step = job_.prepare(tmp_path)
    again = job_.prepare(tmp_path)
    assert isinstance(step, MeasureField)
    assert isinstance(again, MeasureField)
    assert step.psfs[0] is not None
    assert again.psfs[0] is not None
    assert np.array_equal(step.psfs[0].at(99, 99), again.psfs[0].at(99, 99))
    stamp = rosse.io.read_psf(tmp_path / "psf.fits").at(99, 99)[0, 0]
    y, x = np.mgrid[: stamp.shape[0], : stamp.shape[1]] - stamp.shape[0] // 2
    truth = np.exp(-0.5 * (x**2 + y**2) / small_sky.PSF_SIGMA**2)
    np.testing.assert_allclose(stamp, truth / truth.sum(), atol=0.002)


def test_a_field_that_shows_no_psf_is_measured_and_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    noise = np.random.default_rng(1).normal(0.0, 1.0, (120, 120)).astype(np.float32)
    mosaic = open_mosaic(small_sky.write(tmp_path / "empty.fits", noise), zeropoint=25.0)
    run(field_job([mosaic], options=FAST), tmp_path / "out", engine=ONE)
    assert any("empty: no PSF was given" in record.getMessage() for record in caplog.records)
    assert not (tmp_path / "out" / "psf.fits").exists()
    assert len(rosse.open_catalogue(tmp_path / "out")) < 4


def test_tiles_must_be_alike(field: Field, tmp_path: Path) -> None:
    mosaic = open_mosaic(field[0], zeropoint=25.0)
    other = open_mosaic(field[0], bands=["r"], name="other", zeropoint=25.0)
    with pytest.raises(InputError, match=r"other has band r, field a band without a name; .* --bands"):
        field_job([mosaic, other], psfs=[None, None])
    plain = open_mosaic(np.zeros((99, 99)), name="plain", bands=mosaic.bands)
    with pytest.raises(InputError, match="pixel scale of one of field and plain"):
        field_job([mosaic, plain], psfs=[None, None])


def test_tiles_with_their_bands_in_another_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Refused as they are; named, every plane goes to its band."""
    planes = {"g": np.full((80, 80), 1.0), "r": np.full((80, 80), 2.0)}
    paths = []
    for order in ("gr", "rg"):
        cube = np.stack([planes[band] for band in order])
        header = fitsio.Header({"BANDS": order, "MAGZERO": 22.5 if order == "gr" else 25.0})
        fitsio.writeto(tmp_path / f"{order}.fits", cube, header)
        paths.append(tmp_path / f"{order}.fits")
    with pytest.raises(InputError, match=r"rg has bands r, g, gr bands g, r; .* --bands"):
        field_job([open_mosaic(path, scale=0.3) for path in paths], psfs=[None, None])
    mosaics = [open_mosaic(path, scale=0.3, bands=["g", "r"]) for path in paths]
    field_job(mosaics, psfs=[None, None])
    assert "the zero points of gr and rg differ" in caplog.text
    for mosaic in mosaics:
        assert mosaic.section(slice(0, 1), slice(0, 1)).flux.ravel().tolist() == [1.0, 2.0]


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cutouts").mkdir()
    small_sky.write_cutouts(tmp_path / "cutouts")
    return tmp_path / "cutouts"


def test_cutouts_are_fitted_in_their_order(folder: Path, tmp_path: Path) -> None:
    report = run(file_job(list_cutouts(folder, scale=0.4, zeropoint=22.5)), tmp_path / "out", engine=ONE)
    table = rows(tmp_path / "out")
    assert report.counts == {"ok": 5}
    assert list(table["id"]) == [f"g{i:02d}" for i in range(5)]
    np.testing.assert_allclose(table["n"], 0.5, atol=4 * float(np.max(table["sigma_n"])))
    assert table["r_e"].unit == "arcsec"


def test_broken_files_are_rows_and_the_rest_goes_on(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "g01_image.fits").write_bytes((folder / "g01_image.fits").read_bytes()[:4000])
    (folder / "g03_sigma.fits").unlink()
    report = run(file_job(list_cutouts(folder, scale=0.4, zeropoint=22.5)), tmp_path / "out", engine=ONE)
    table = rows(tmp_path / "out")
    assert report.counts == {"ok": 3, "unreadable": 2}
    assert list(table["status"]) == ["ok", "unreadable", "ok", "unreadable", "ok"]
    assert np.isnan(table["n"][1])
    assert "galaxy g01 cannot be read: " in caplog.text
    assert "galaxy g03 cannot be read: " in caplog.text


def test_nothing_readable_is_an_error(folder: Path, tmp_path: Path) -> None:
    for path in folder.glob("*_image.fits"):
        path.write_bytes(b"")
    with pytest.raises(FileError, match="none of 5 cutouts can be read; the first: g00: "):
        run(file_job(list_cutouts(folder)), tmp_path / "out", engine=ONE)


def test_zero_points_of_files_are_brought_to_one(folder: Path, tmp_path: Path) -> None:
    """The same galaxy with its flux unit changed: the same magnitude, and the same flux in the table."""
    with fitsio.open(folder / "g00_image.fits") as hdus:
        image = hdus[0].data.copy()
    for name, zeropoint in (("g00", 22.5), ("g01", 25.0)):
        factor = 10 ** (0.4 * (zeropoint - 22.5))
        header = fitsio.Header({"MAGZERO": zeropoint})
        fitsio.writeto(folder / f"{name}_image.fits", image * factor, header, overwrite=True)
        fitsio.writeto(folder / f"{name}_sigma.fits", np.full(image.shape, factor), overwrite=True)
    entries = [e for e in list_cutouts(folder, scale=0.4) if e.id in ("g00", "g01")]
    assert len(entries) == 2
    run(file_job(entries), tmp_path / "out", engine=ONE)
    table = rows(tmp_path / "out")
    np.testing.assert_allclose(table["mag"][1], table["mag"][0], rtol=1e-5)
    np.testing.assert_allclose(table["flux"][1], table["flux"][0], rtol=1e-4)


def test_cutouts_without_psf_or_scale_stand_beside_others(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "g02_psf.fits").unlink()
    csv = tmp_path / "list.csv"
    lines = [
        f"g{i:02d},{folder}/g{i:02d}_image.fits,{folder}/g{i:02d}_sigma.fits,{0.4 if i != 4 else ''}" for i in range(5)
    ]
    csv.write_text("\n".join(["id,image,sigma,scale", *lines]))
    run(file_job(list_cutouts(csv, zeropoint=22.5)), tmp_path / "out", engine=ONE)
    table = rows(tmp_path / "out")
    assert list(table["status"]) == ["ok"] * 4 + ["unreadable"]
    assert "galaxy g04 cannot be read: its pixel scale is not known" in caplog.text


def test_figures_are_drawn_where_asked(folder: Path, tmp_path: Path) -> None:
    fitting = Fitting(figures=tmp_path / "figures")
    run(file_job(list_cutouts(folder, scale=0.4, zeropoint=22.5)[:2], measuring=fitting), tmp_path / "out", engine=ONE)
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == ["g00.png", "g01.png"]


def test_figures_are_drawn_later_without_new_rows(folder: Path, tmp_path: Path) -> None:
    entries = list_cutouts(folder, scale=0.4, zeropoint=22.5)
    run(file_job(entries), tmp_path / "out", engine=ONE)
    written = (tmp_path / "out" / "run.json").read_bytes()
    figures = tmp_path / "figures"
    report = run(file_job(entries, measuring=Fitting(figures=figures)), tmp_path / "out", engine=ONE)
    assert sorted(p.stem for p in figures.iterdir()) == [f"g{i:02d}" for i in range(5)]
    assert (report.computed, report.completed) == ({}, 1)
    assert (tmp_path / "out" / "run.json").read_bytes() == written
    (figures / "g03.png").unlink()
    (figures / "g01.png").write_text("left as it is")
    run(file_job(entries, measuring=Fitting(figures=figures)), tmp_path / "out", engine=ONE)
    assert (figures / "g03.png").exists()
    assert (figures / "g01.png").read_text() == "left as it is"


def test_figures_of_a_field_are_drawn_later(field: Field, measured: Path, tmp_path: Path) -> None:
    shutil.copytree(measured, tmp_path / "out")
    figures = FieldOptions(size=160, margin=64, fitting=Fitting(figures=tmp_path / "figures"))
    run(job(field[0], options=figures), tmp_path / "out", engine=ONE)
    table = rows(tmp_path / "out")
    drawn = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert set(table["id"][table["status"] == "ok"]) <= drawn
    assert not (tmp_path / "out" / "parts").exists()
    (tmp_path / "figures" / f"{table['id'][table['status'] == 'ok'][0]}.png").unlink()
    run(job(field[0], options=figures), tmp_path / "out", engine=ONE)
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == drawn


def test_columns_of_an_empty_partition_fit_those_of_a_full_one(measured: Path) -> None:
    columns = Fitting().columns(("band",), scale=True)
    full = rosse.open_catalogue(measured).schema
    for column in columns:
        assert full.field(column.name).type == column.type or pa.types.is_string(column.type)
        assert full.field(column.name).metadata[b"unit"] == column.metadata[b"unit"]
