"""Mosaics and exposures: places by astropy, PSFs and moments by GalSim, noise by the survey's depth."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import galsim
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

import rosse
from rosse.errors import InputError, OptionError
from rosse.io import read_psf
from rosse.sky.draw import draw
from rosse.sky.exposures import Dither, expose_dithered, single_exposure
from rosse.sky.fields import Pointing, galaxies_per_square_degree, populate, turned
from rosse.sky.mosaic import Field, FieldView, PsfVariation, mosaic, stamps_at
from rosse.sky.observe import View, observe
from rosse.surveys import SURVEYS

POINTING = Pointing(shape=(300, 360), scale=0.262, rotation=25.0, centre=(310.0, -35.0))


def stars(places: list[tuple[float, float]], pointing: Pointing = POINTING) -> Table:
    """Stars of mag_r 18 at pixels of a pointing."""
    table = rosse.Population(len(places), seed=9, mix={"star": 1.0}, limit=20.0).table()
    table["mag_r"][:] = 18.0
    x, y = np.array(places).T
    table["ra"], table["dec"] = pointing.wcs().pixel_to_world_values(x, y)
    table.meta["seed"] = 9
    return table


def moments(image: np.ndarray, x: float, y: float, half: int = 20) -> galsim.hsm.ShapeData:
    """Adaptive moments around a pixel."""
    left, bottom = round(x) - half, round(y) - half
    stamp = np.ascontiguousarray(image[bottom : bottom + 2 * half + 1, left : left + 2 * half + 1], dtype=float)
    return galsim.hsm.FindAdaptiveMom(galsim.Image(stamp, xmin=left, ymin=bottom))


def direction(image: np.ndarray) -> float:
    """Direction of the long axis, degrees from +x, by second moments of what is above a thousandth of the peak."""
    light = np.where(image > 1e-3 * image.max(), image, 0).astype(float)
    y, x = np.indices(light.shape)
    x, y = (each - (light * each).sum() / light.sum() for each in (x, y))
    xx, yy, xy = ((light * a * b).sum() for a, b in ((x, x), (y, y), (x, y)))
    return float(np.degrees(np.arctan2(2 * xy, xx - yy) / 2))


@pytest.fixture(scope="module")
def field() -> Field:
    table = populate(rosse.Population(40, seed=2, limit=20.5, redshift=(0.02, 0.6)), POINTING, stars=3000.0)
    return mosaic(table, POINTING, "decals", seed=4)


def test_places_are_those_of_the_world_coordinates() -> None:
    places = [(60.3, 71.8), (250.0, 100.25), (180.7, 240.4)]
    table = stars(places)
    seen = mosaic(table, POINTING, "decals", view=FieldView(bands=("r",), noise=None))
    header = seen.header(0)
    x, y = WCS(header).world_to_pixel_values(np.asarray(table["ra"]), np.asarray(table["dec"]))
    for (wanted_x, wanted_y), px, py in zip(places, x, y, strict=True):
        assert (px, py) == pytest.approx((wanted_x, wanted_y), abs=1e-6)
        found = moments(seen.light[0], wanted_x, wanted_y)
        assert found.moments_centroid.x == pytest.approx(wanted_x, abs=0.005)
        assert found.moments_centroid.y == pytest.approx(wanted_y, abs=0.005)
    np.testing.assert_allclose(seen.truth["x"], [each[0] for each in places], atol=1e-6)
    flux = 10 ** (-0.4 * (np.asarray(seen.truth["mag_r_seen"]) - 22.5))
    assert seen.light[0].sum() == pytest.approx(flux.sum(), rel=1e-3)
    # DECam's r is not quite that of SDSS
    assert np.abs(np.asarray(seen.truth["mag_r_seen"]) - 18.0).max() < 0.15


def test_scale_and_orientation_of_the_pointing() -> None:
    wcs = POINTING.wcs()
    ra, dec = wcs.pixel_to_world_values(179.5, 149.5)
    assert (float(ra), float(dec)) == pytest.approx(POINTING.centre, abs=1e-9)
    north = np.array(wcs.world_to_pixel_values(310.0, -35.0 + 10 / 3600)) - (179.5, 149.5)
    assert np.hypot(*north) == pytest.approx(10 / 0.262, rel=1e-6)
    assert np.degrees(np.arctan2(north[1], north[0])) == pytest.approx(90 + 25, abs=1e-6)
    east = np.array(wcs.world_to_pixel_values(310.0 + 10 / 3600 / np.cos(np.radians(35)), -35.0)) - (179.5, 149.5)
    assert np.degrees(np.arctan2(east[1], east[0])) == pytest.approx(180 + 25 - 360, abs=1e-3)


def test_a_turned_field_shows_turned_galaxies() -> None:
    one = rosse.Population(1, seed=31, mix={"edge_on": 1.0})
    table = one.table()
    table["ra"], table["dec"] = POINTING.centre[0] * np.ones(1), POINTING.centre[1] * np.ones(1)
    table.meta["seed"] = one.seed
    seen = mosaic(table, POINTING, "decals", view=FieldView(bands=("r",), noise=None))
    straight = observe(one, "decals", view=View(bands=("r",), noise=None, frame=121))
    angles = [direction(light) for light in (seen.light[0, 89:210, 119:240], straight.cutouts.flux[0, 0].numpy())]
    assert abs((angles[0] - angles[1] - 25 + 90) % 180 - 90) < 0.5
    assert abs((angles[1] - 90 - float(table["pa"][0]) + 90) % 180 - 90) < 2


def test_companions_turn_with_their_galaxies() -> None:
    table = rosse.Population(30, seed=1, mix={"merger": 1.0}).table()
    there = np.asarray(table["companion_share"]) > 0
    quarter = turned(table, 90.0)
    np.testing.assert_allclose(quarter["companion_x"][there], -np.asarray(table["companion_y"])[there], atol=1e-9)
    np.testing.assert_allclose(quarter["companion_y"][there], table["companion_x"][there], atol=1e-9)
    np.testing.assert_allclose(quarter["pa"], np.asarray(table["pa"]) + 90)


@pytest.mark.parametrize("kind", ["merger", "spiral"])
def test_all_of_a_galaxy_turns(kind: str) -> None:
    """Tides of remnants, arms and dust too, twice by a quarter: position angles beyond 180 degrees are others."""
    table = rosse.Population(24, seed=2, mix={kind: 1.0}, z=0.05).table()
    straight, twice = (draw(each, "decals", frame=65).flux.numpy() for each in (table, turned(table, 180.0)))
    once = draw(turned(table, 90.0), "decals", frame=65).flux.numpy()
    peak = straight.max((2, 3), keepdims=True)
    # rows count upwards on the sky: a quarter turn counter-clockwise there is one clockwise of the array as printed
    assert (np.abs(np.rot90(straight, -1, (2, 3)) - once) / peak).max() < 0.02
    assert (np.abs(straight[..., ::-1, ::-1] - twice) / peak).max() < 0.02


def test_noise_of_a_mosaic_is_that_of_the_depth(field: Field) -> None:
    pull = (field.flux - field.light) * np.sqrt(field.ivar)
    assert pull.mean() == pytest.approx(0, abs=0.01)
    assert pull.var() == pytest.approx(1, abs=0.01)
    psf = field.psf.at(150.0, 150.0)[0].astype(float)
    for band, depth in enumerate(SURVEYS["decals"].depth):
        faintest = 10 ** (-0.4 * (depth - 22.5))
        assert faintest * np.sqrt((psf[band] ** 2).sum() * np.median(field.ivar[band])) == pytest.approx(5, rel=0.03)


def test_a_psf_that_varies_is_the_one_that_stars_show() -> None:
    places = [(50.0, 50.0), (310.0, 60.0), (180.0, 150.0), (55.0, 250.0), (300.0, 245.0)]
    view = FieldView(bands=("r",), noise=None, variation=PsfVariation(width=0.1, ellipticity=0.04))
    seen = mosaic(stars(places), POINTING, "decals", seed=3, view=view)
    widths = []
    for x, y in places:
        truth = galsim.hsm.FindAdaptiveMom(galsim.Image(seen.psf.at(x, y)[0, 0].astype(float)))
        found = moments(seen.light[0], x, y, half=21)
        assert found.moments_sigma == pytest.approx(truth.moments_sigma, rel=2e-3)
        assert found.observed_shape.g1 == pytest.approx(truth.observed_shape.g1, abs=2e-3)
        assert found.observed_shape.g2 == pytest.approx(truth.observed_shape.g2, abs=2e-3)
        widths.append(truth.moments_sigma)
    assert max(widths) / min(widths) > 1.03


def test_files_are_read_back(field: Field, tmp_path: Path) -> None:
    files = field.write(tmp_path / "out")
    image = rosse.open_mosaic({band: files[band] for band in "grz"}, ivar={b: files[f"ivar-{b}"] for b in "grz"})
    assert image.bands == ("g", "r", "z")
    assert list(image.zeropoint) == [22.5] * 3
    header = fits.getheader(files["r"])
    assert header["GAIN"] == 11000.0
    psf = read_psf(files["psf"])
    np.testing.assert_allclose(psf.at(10.0, 20.0), field.psf.at(10.0, 20.0), atol=1e-6)
    truth = pq.read_table(files["truth"])
    assert truth.num_rows == len(field.truth)
    assert truth.schema.field("mag_r").metadata[b"unit"] == b"mag"
    assert {"x", "y", "ra", "dec", "mag_g_seen"} <= set(truth.column_names)
    assert not list((tmp_path / "out").glob(".writing*"))


def test_undersampled_surveys_give_finer_psfs() -> None:
    pointing = Pointing(shape=(80, 80), scale=0.1)
    seen = mosaic(stars([(40.3, 39.6)], pointing), pointing, "euclid-vis", view=FieldView(noise=None))
    assert seen.psf.sampling == 0.5
    assert stamps_at(seen.psf, np.zeros(1), np.zeros(1), most=66).shape == (1, 1, 67, 67)
    found = moments(seen.light[0], 40.3, 39.6)
    # a Gaussian weight on pixels as wide as half the PSF is pulled towards their centres
    assert found.moments_centroid.x == pytest.approx(40.3, abs=0.03)
    assert found.moments_centroid.y == pytest.approx(39.6, abs=0.03)


@pytest.mark.slow
def test_rosse_run_recovers_the_magnitudes(tmp_path: Path) -> None:
    """Ellipticals are what `rosse run` fits, a Sersic profile; one profile for a bulge and a disc would be biased."""
    pointing = Pointing(shape=(900, 900), scale=0.262)
    kind = rosse.Population(70, seed=12, limit=20.0, redshift=(0.05, 0.6), mix={"elliptical": 1.0})
    seen = mosaic(
        populate(kind, pointing, stars=6000.0), pointing, "decals", seed=1, view=FieldView(variation=PsfVariation())
    )
    seen.write(tmp_path)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rosse", "run", "--config", "run.toml", "--workers", "1"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = rosse.open_catalogue(tmp_path / "catalogue").to_pandas().dropna(subset=["x", "y"])
    truth = seen.truth.to_pandas()
    inside = truth[["x", "y"]].sub(449.5).abs().max(axis=1) < 420
    apart = np.hypot(*(truth[name].to_numpy()[:, None] - found[name].to_numpy() for name in ("x", "y")))
    galaxy = inside & (truth["kind"] == "galaxy")
    matched = galaxy & (apart.min(1) < 2)
    assert matched.sum() >= 0.9 * galaxy.sum()
    for band in "grz":
        near = apart.argmin(1)[matched]
        off = (found[f"mag_{band}"].to_numpy()[near] - truth[f"mag_{band}_seen"].to_numpy()[matched]).astype(float)
        assert abs(np.nanmedian(off)) < 0.03, band
        assert 1.4826 * np.nanmedian(np.abs(off - np.nanmedian(off))) < 0.1, band


def test_the_wings_of_bright_stars_end_in_the_noise() -> None:
    """No square is seen: at the edge of its stamp a star of 15 mag is fainter than a tenth of the noise."""
    pointing = Pointing(shape=(200, 200), scale=0.2)
    table = stars([(100.0, 100.0)], pointing)
    table["mag_r"][:] = 15.0
    seen = mosaic(table, pointing, "lsst", view=FieldView(bands=("r",), noise=None))
    lit = seen.light[0] > 0
    edge = seen.light[0][100, np.flatnonzero(lit[100])[0] + 1]
    assert edge < 0.1 / np.sqrt(seen.ivar[0, 0, 0])
    cut = observe(rosse.Population(40, seed=9, mix={"star": 1.0}, limit=16.0), "lsst", bands=("r",), noise=False)
    brightest = int(cut.cutouts.flux.amax((1, 2, 3)).argmax())
    assert bool((cut.cutouts.flux[brightest, 0] > 0).all())  # out to the corners


def test_exposures_are_dithered_and_add_up_to_the_depth() -> None:
    places = [(100.2, 110.4), (250.1, 180.3)]
    dither = Dither(count=4, shift=4.0, rotation=15.0, seeing=0.15, sky=0.2)
    shots = expose_dithered(stars(places), POINTING, "decals", seed=2, dither=dither, view=FieldView(bands=("r",)))
    again = expose_dithered(stars(places), POINTING, "decals", seed=2, dither=dither, view=FieldView(bands=("r",)))
    assert len({shot.pointing for shot in shots}) == 4
    widths, weights = [], []
    for shot, twin in zip(shots, again, strict=True):
        np.testing.assert_array_equal(shot.flux, twin.flux)
        x, y = WCS(shot.header(0)).world_to_pixel_values(shot.truth["ra"], shot.truth["dec"])
        for px, py in zip(x, y, strict=True):
            found = moments(shot.light[0], px, py)
            assert (found.moments_centroid.x, found.moments_centroid.y) == pytest.approx((px, py), abs=0.01)
        widths.append(found.moments_sigma)
        weights.append(float(np.median(shot.ivar)))
    assert max(widths) / min(widths) > 1.05
    noise = [(shot.flux - shot.light) * np.sqrt(shot.ivar) for shot in shots]
    assert abs(np.mean(noise[0] * noise[1])) < 0.02
    typical = np.median(mosaic(stars(places), POINTING, "decals", view=FieldView(bands=("r",))).ivar)
    assert sum(weights) == pytest.approx(typical, rel=0.35)  # but for nights that are darker or brighter
    plain = Dither(count=3, seeing=0.0, sky=0.0)
    still = expose_dithered(stars(places), POINTING, "decals", dither=plain, view=FieldView(bands=("r",)))
    assert sum(float(np.median(shot.ivar)) for shot in still) == pytest.approx(typical, rel=0.01)
    assert single_exposure(SURVEYS["decals"], 100).depth[1] == pytest.approx(24.54 - 2.5)


@pytest.mark.parametrize(
    ("limit", "published"),
    [
        (17.77, 92.0),  # Strauss+2002
        (20.0, 1.2e3),  # Yasuda+2001 (doi:10.1086/322093): some 600 per 0.5 mag at r = 19.75
        (25.7, 55 * 3600.0),  # LSST Science Book: the gold sample, i < 25.3
    ],
)
def test_number_counts(limit: float, published: float) -> None:
    assert galaxies_per_square_degree(limit) == pytest.approx(published, rel=0.35)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(OptionError, match="16 pixels or more"):
        Pointing(shape=(4, 300))
    with pytest.raises(InputError, match="lacks ra and dec"):
        mosaic(rosse.Population(2).table(), POINTING)
    with pytest.raises(OptionError, match="at least one exposure"):
        Dither(count=0)
    with pytest.raises(OptionError, match="finite numbers from 0 on"):
        Dither(seeing=float("nan"))
    with pytest.raises(OptionError, match=r"PSF.s width of -0\.1"):
        PsfVariation(width=-0.1)
    for bad in ({"shape": (64.5, 64)}, {"rotation": float("nan")}, {"scale": float("inf")}, {"centre": (1.0,)}):
        with pytest.raises(OptionError, match="16 pixels or more"):
            Pointing(**bad)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="positive factors"):
        mosaic(stars([(5.0, 5.0)]), POINTING, "decals", view=FieldView(sky=(1.0,)))
