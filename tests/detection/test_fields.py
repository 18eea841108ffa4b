"""Simulated fields: what is found, where, how bright, how round, against GalSim's truth."""

import numpy as np
import pytest
from astropy.wcs import WCS
from numpy.typing import NDArray

from rosse.detection import Detection, DetectOptions, detect
from rosse.io import open_mosaic

from .galsim_field import GalsimField, draw_field, nearest


def matched(field: GalsimField, found: Detection) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.bool_]]:
    """Which objects were found, by which row, and which rows are objects."""
    at = np.stack([found.sources["x_image"], found.sources["y_image"]], axis=1)
    truth = np.stack([field.x, field.y], axis=1)
    distance, row = nearest(at, truth)
    back, _ = nearest(truth, at)
    return distance < 2.0, row, back < 2.0


@pytest.fixture(scope="module")
def field() -> GalsimField:
    return draw_field(size=500, stars=30, galaxies=70, bands=2, faintest=250, seed=2)


@pytest.fixture(scope="module", params=["psf", "no psf"])
def found(request: pytest.FixtureRequest, field: GalsimField) -> Detection:
    return detect(field.flux, psf=field.psf if request.param == "psf" else None, zeropoint=22.5, bands=("g", "r"))


def test_everything_bright_is_found_and_nothing_else(field: GalsimField, found: Detection) -> None:
    ok, _, real = matched(field, found)
    compact = field.light / np.hypot(2.8, field.half) > 60  # about ten sigma
    assert ok[compact].mean() >= 0.98
    assert np.count_nonzero(~real) <= 0.02 * len(real)


def test_crowding(field: GalsimField) -> None:
    """Objects as close as two and a half widths of the PSF, where SExtractor's deblending loses one bright in six."""
    crowded = draw_field(size=400, stars=30, galaxies=200, gap=11, faintest=60, seed=3)
    ok, _, real = matched(crowded, detect(crowded.flux, psf=crowded.psf))
    assert ok[crowded.light > 5000].mean() >= 0.95
    assert ok[(crowded.light > 1000) & (crowded.light <= 5000)].mean() >= 0.75
    assert np.count_nonzero(~real) <= 0.04 * len(real)


def test_positions_and_magnitudes(field: GalsimField, found: Detection) -> None:
    ok, row, _ = matched(field, found)
    t = found.sources[row[ok]]
    clean = np.asarray(t["flags"]) == 0
    bright = clean & (field.light[ok] > 3000)
    x, y = np.asarray(t["x_image"]) - field.x[ok], np.asarray(t["y_image"]) - field.y[ok]
    assert np.median(np.hypot(x, y)[bright]) < 0.05
    mag = np.asarray(t["mag_auto_g"]) - (22.5 - 2.5 * np.log10(field.light[ok]))
    star = field.star[ok]
    assert np.abs(np.median(mag[bright & star])) < 0.06  # Moffat wings beyond the Kron aperture
    assert 0.0 < np.median(mag[bright & ~star]) < 0.15  # Kron apertures hold about 94 % of a galaxy
    assert np.percentile(np.abs(mag[bright]), 90) < 0.25


def test_errors_are_those_of_repeated_observations() -> None:
    """Faint stars, whose apertures are small: for large galaxies the sky's level adds to the noise of the pixels."""
    still = draw_field(size=260, stars=16, galaxies=0, sigma=0.0, faintest=400, brightest=1500, seed=5, gap=40)
    rng = np.random.default_rng(8)
    fluxes, errors = [], []
    for _ in range(16):
        found = detect(still.flux + rng.normal(size=still.flux.shape), psf=still.psf)
        ok, row, _ = matched(still, found)
        assert ok.all()
        fluxes.append(np.asarray(found.sources["flux_auto"])[row])
        errors.append(np.asarray(found.sources["sigma_flux_auto"])[row])
    scatter = np.std(fluxes, axis=0, ddof=1) / np.mean(errors, axis=0)
    assert 0.8 < np.median(scatter) < 1.6  # apertures follow the noise a little


def test_photon_noise_is_added_where_the_gain_is_known() -> None:
    field = draw_field(size=200, stars=8, galaxies=0, faintest=20000, seed=6)
    gain = 2.0
    plain = detect(open_mosaic(field.flux), psf=field.psf)
    with_photons = detect(open_mosaic(field.flux, gain=gain), psf=field.psf)
    flux = np.asarray(plain.sources["flux_auto"])
    more = np.asarray(with_photons.sources["sigma_flux_auto"]) ** 2 - np.asarray(plain.sources["sigma_flux_auto"]) ** 2
    np.testing.assert_allclose(more, flux / gain, rtol=0.03)


def test_position_angles_follow_the_sky() -> None:
    """The same picture under four orientations of the sky: angles on the sky move with it."""
    import galsim

    shape = galsim.Sersic(n=1, half_light_radius=8.0, flux=2e4).shear(q=0.4, beta=25 * galsim.degrees)
    image = shape.drawImage(nx=121, ny=121, scale=1.0).array + np.random.default_rng(1).normal(size=(121, 121))
    for angle, parity in ((0.0, 1), (35.0, 1), (0.0, -1), (-120.0, -1)):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [10.0, 60.0], [61.0, 61.0]
        c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        wcs.wcs.cd = np.array([[-parity * c, s], [parity * s, c]]) * 0.3 / 3600
        source = detect(open_mosaic(image.astype(np.float32), wcs=wcs, scale=0.3)).sources[0]
        # the major axis in the sky, from where its ends lie
        step = 5.0 * np.array([np.cos(np.deg2rad(25.0)), np.sin(np.deg2rad(25.0))])
        ends = wcs.all_pix2world([[60 - step[0], 60 - step[1]], [60 + step[0], 60 + step[1]]], 0)
        east = (ends[1, 0] - ends[0, 0]) * np.cos(np.deg2rad(60.0))
        expected = np.rad2deg(np.arctan2(east, ends[1, 1] - ends[0, 1])) % 180.0
        off = (source["pa_image"] - expected + 90.0) % 180.0 - 90.0
        assert abs(off) < 2.0, (angle, parity)
        np.testing.assert_allclose([source["ra"], source["dec"]], [10.0, 60.0], atol=0.3 / 3600)


def test_every_column_is_described(found: Detection) -> None:
    for name in found.sources.colnames:
        assert found.sources[name].description, name
    assert str(found.sources["mag_auto_g"].unit) == "mag"
    assert {"flux_auto_r", "sigma_mag_auto_r", "flux_iso_g", "kron_radius"} <= set(found.sources.colnames)
    single = detect(np.asarray(found.flux[0]), options=DetectOptions(psf_from_stars=False)).sources
    assert "flux_auto" in single.colnames
    assert str(single["r_half"].unit) == "pix"
    assert np.isnan(single["mag_auto"]).all()


def test_an_unknown_zero_point_is_said_once(field: GalsimField, caplog: pytest.LogCaptureFixture) -> None:
    detect(field.flux[0])
    said = [record for record in caplog.records if "zero point" in record.message]
    assert len(said) == 1


def test_same_input_same_output(field: GalsimField) -> None:
    first, second = (detect(field.flux) for _ in range(2))
    for name in first.sources.colnames:
        np.testing.assert_array_equal(np.asarray(first.sources[name]), np.asarray(second.sources[name]))
    np.testing.assert_array_equal(first.segmentation, second.segmentation)


def test_a_band_that_is_missing_in_places(field: GalsimField) -> None:
    ivar = np.ones_like(field.flux)
    ivar[0, :, 250:] = 0.0
    half = detect(field.flux, ivar=ivar, psf=field.psf)
    ok, row, _ = matched(field, half)
    compact = field.light / np.hypot(2.8, field.half) > 100
    assert ok[compact].mean() >= 0.97
    right = ok & compact & (field.x > 290)
    assert np.isnan(np.asarray(half.sources["flux_auto_band0"])[row[right]]).all()
    assert np.isfinite(np.asarray(half.sources["flux_auto_band1"])[row[right]]).all()
    assert (np.asarray(half.sources["flags"])[row[right]] & 16 > 0).all()
