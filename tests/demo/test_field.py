"""The simulated field against what its own truth table and plain sums say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.ndimage import zoom

from rosse.demo.field import SURVEY, SimulatedField, read_truth, simulate_field
from rosse.errors import InputError

pytest.importorskip("galsim", reason="the simulated field is drawn with GalSim: pip install 'rosse[demo]'")


@pytest.fixture(scope="module")
def field() -> SimulatedField:
    return simulate_field(size=512, galaxies=40, stars=12, seed=3, rotation=20.0)


def pixel_distance(field: SimulatedField, row: Table.Row) -> NDArray[np.float64]:
    y, x = np.indices(field.flux.shape[1:], dtype=np.float64)
    distance: NDArray[np.float64] = np.hypot(x - float(row["x"]), y - float(row["y"]))
    return distance


def test_counts_and_shapes(field: SimulatedField) -> None:
    kinds = list(field.truth["kind"])
    assert len(kinds) == 52
    assert kinds.count("star") == 12
    assert kinds.count("galaxy") > kinds.count("bulge+disc") > 5
    assert field.flux.shape == field.ivar.shape == (3, 512, 512)
    assert np.isfinite(field.flux).all()
    assert (field.ivar > 0).all()
    assert {"x", "ra", "mag_g", "r_e", "bulge_to_total_z", "blended"} <= set(field.truth.colnames)
    assert all(field.truth[name].description for name in field.truth.colnames)
    assert 0 < field.truth["blended"].sum() < 40


def test_truth_holds_the_numbers_of_its_kind_only(field: SimulatedField) -> None:
    truth = field.truth
    single, composite, star = (truth["kind"] == kind for kind in ("galaxy", "bulge+disc", "star"))
    assert np.array_equal(np.isfinite(truth["n"]), single)
    assert np.array_equal(np.isfinite(truth["bulge_to_total_r"]), composite)
    assert np.array_equal(np.isnan(truth["pa"]), star)
    assert np.isfinite(truth["mag_r"]).all()
    assert (truth["bulge_to_total_z"][composite] > truth["bulge_to_total_g"][composite] - 0.15).all()


def test_aperture_flux_agrees_with_the_true_magnitude(field: SimulatedField) -> None:
    """A plain sum over a wide aperture around the brightest objects that stand alone."""
    truth = field.truth
    checked = 0
    for row in truth[(truth["mag_r"] < 20.5) & (truth["neighbour"] > 9)]:
        small = row["kind"] == "star" or (row["r_e"] < 1.6 and row["n"] < 1.5)  # all light within 8 arcsec
        if not small or min(row["x"], row["y"], 511 - row["x"], 511 - row["y"]) < 31:
            continue
        inside = pixel_distance(field, row) < 30
        others = [o for o in truth if o["id"] != row["id"] and np.hypot(o["x"] - row["x"], o["y"] - row["y"]) < 60]
        for other in others:
            inside &= pixel_distance(field, other) > 15
        for i, band in enumerate(field.bands):
            flux = field.flux[i][inside].sum(dtype=np.float64)
            noise = np.sqrt((1 / field.ivar[i][inside].astype(np.float64)).sum())
            expected = 10 ** (-0.4 * (row[f"mag_{band}"] - 22.5))
            assert abs(flux - expected) < 4 * noise + 0.02 * expected, (row["id"], band)
            checked += 1
    assert checked >= 9


def test_noise_is_that_of_the_survey(field: SimulatedField) -> None:
    """Sky pixels scatter as ivar says, and a PSF-weighted flux at the survey's depth has S/N 5."""
    far = np.ones(field.flux.shape[1:], bool)
    for row in field.truth:
        far &= pixel_distance(field, row) > 45
    assert far.sum() > 2000
    for i, depth in enumerate(SURVEY.depth):
        pulls = field.flux[i][far] * np.sqrt(field.ivar[i][far])
        assert abs(pulls.std() - 1) < 0.05
        assert abs(pulls.mean()) < 0.1
        ivar = np.median(field.ivar[i][far])
        sigma_point = 1 / np.sqrt(ivar * np.square(field.psf[i]).sum())
        assert -2.5 * np.log10(5 * sigma_point) + 22.5 == pytest.approx(depth, abs=0.01)


def test_psf_width_and_sum(field: SimulatedField) -> None:
    for stamp, fwhm in zip(field.psf, SURVEY.psf_fwhm, strict=True):
        assert stamp.sum() == pytest.approx(1)
        assert np.unravel_index(stamp.argmax(), stamp.shape) == (31, 31)
        fine = zoom(stamp[16:47, 16:47], 8, order=3)
        above = (fine > fine.max() / 2).sum() * (30 / (len(fine) - 1)) ** 2  # area of the half-maximum ellipse, pixels
        assert 2 * np.sqrt(above / np.pi) * SURVEY.scale == pytest.approx(fwhm * 1.02, rel=0.03)  # the pixel widens it


def test_world_coordinates_and_files_round_trip(field: SimulatedField, tmp_path: Path) -> None:
    files = field.write(tmp_path / "field")
    truth = read_truth(files["truth"])
    assert list(truth["kind"]) == list(field.truth["kind"])
    assert np.array_equal(truth["n"], field.truth["n"], equal_nan=True)
    for i, band in enumerate(field.bands):
        image, header = fits.getdata(files[band]), fits.getheader(files[band])
        assert np.array_equal(image, field.flux[i])
        assert np.array_equal(fits.getdata(files[f"ivar-{band}"]), field.ivar[i])
        x, y = WCS(header).world_to_pixel_values(truth["ra"], truth["dec"])
        assert np.allclose(x, truth["x"], atol=1e-4)
        assert np.allclose(y, truth["y"], atol=1e-4)
        assert header["FILTER"] == band
    scale = np.sqrt(np.abs(np.linalg.det(WCS(header).pixel_scale_matrix))) * 3600
    assert scale == pytest.approx(SURVEY.scale, rel=1e-6)


def test_position_angles_are_east_of_north_on_the_sky(field: SimulatedField) -> None:
    """Second moments of bright flattened galaxies, taken in ra and dec, point along the true angle."""
    truth = field.truth
    wcs = WCS(field.header)
    checked = 0
    flat = np.where(truth["kind"] == "galaxy", truth["q"], truth["disc_q"]) < 0.65  # stars: NaN
    size = np.where(truth["kind"] == "galaxy", truth["r_e"], truth["disc_r_e"])
    for row, r_e in zip(truth[flat], size[flat], strict=True):
        if row["mag_r"] > 22 or row["blended"]:
            continue
        near = pixel_distance(field, row) < 3 * r_e / SURVEY.scale
        y, x = np.nonzero(near)
        ra, dec = wcs.pixel_to_world_values(x, y)
        east, north = (ra - row["ra"]) * np.cos(np.deg2rad(row["dec"])), dec - row["dec"]
        weight = np.clip(field.flux[1][near], 0, None)
        angle = 0.5 * np.arctan2(2 * (weight * east * north).sum(), (weight * (north**2 - east**2)).sum())
        off = (np.rad2deg(angle) - row["pa"] + 90) % 180 - 90
        assert abs(off) < 12, row["id"]
        checked += 1
    assert checked >= 4


def test_same_seed_same_field_and_another_seed_another() -> None:
    first, second, other = (simulate_field(size=160, galaxies=4, stars=2, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first.flux, second.flux)
    assert np.array_equal(first.ivar, second.ivar)
    assert first.truth.values_equal(second.truth)["x"].all()
    assert not np.array_equal(first.flux, other.flux)


def test_progress_counts_every_object() -> None:
    seen: list[tuple[int, int]] = []
    simulate_field(size=160, galaxies=3, stars=2, seed=1, progress=lambda *count: seen.append(count))
    assert seen == [(i, 5) for i in range(1, 6)]


def test_a_field_too_small_is_refused() -> None:
    with pytest.raises(InputError, match="at least 128 pixels"):
        simulate_field(size=64)
