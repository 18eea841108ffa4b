"""The PSF from the stars of a field, against the one that GalSim drew with."""

import logging

import galsim
import numpy as np
import pytest

from rosse.detection import build_psf
from rosse.detection.psf_fit import windowed_centroid
from rosse.io import open_mosaic

from .galsim_field import draw_field, moffat, psf_stamp, stamp_fwhm


@pytest.mark.parametrize("fwhm", [2.6, 3.5, 5.0])
def test_thirty_stars_give_the_psf(fwhm: float) -> None:
    field = draw_field(size=700, stars=40, galaxies=60, gap=40, fwhm=fwhm, faintest=2500, brightest=1e5, seed=5)
    psf = build_psf(open_mosaic(field.flux))
    assert psf is not None
    assert not psf.assumed
    stamp = psf.at(350.0, 350.0)[0, 0].astype(np.float64)
    truth = psf_stamp(moffat(fwhm), stamp.shape[0])
    assert stamp.shape[0] % 2 == 1
    assert 8 * fwhm < stamp.shape[0] < 16 * fwhm
    assert stamp.sum() == pytest.approx(1.0, abs=1e-5)
    assert stamp_fwhm(stamp) == pytest.approx(stamp_fwhm(truth), rel=0.01)
    assert np.std(stamp - truth) < 0.01 * truth.max()
    assert np.abs(stamp - truth).max() < 0.03 * truth.max()
    assert max(map(abs, windowed_centroid(stamp))) < 0.03
    assert np.abs(stamp[[0, -1]]).max() < 1e-5


def test_elliptical_psf_keeps_its_shape() -> None:
    seeing = moffat(4.0, g1=0.06, g2=-0.04)
    image = galsim.ImageD(500, 500)
    rng = np.random.default_rng(2)
    for i in range(36):
        x, y = 60 + 70 * (i % 6) + rng.uniform(-5, 5), 60 + 70 * (i // 6) + rng.uniform(-5, 5)
        seeing.withFlux(rng.uniform(3e3, 5e4)).drawImage(
            image, scale=1.0, center=galsim.PositionD(x + 1, y + 1), add_to_image=True
        )
    psf = build_psf(open_mosaic((image.array + rng.normal(size=(500, 500))).astype(np.float32)))
    assert psf is not None
    stamp = psf.at(250.0, 250.0)[0, 0].astype(np.float64)
    ours, truth = (galsim.Image(s.copy(), scale=1.0).FindAdaptiveMom() for s in (stamp, psf_stamp(seeing)))
    assert ours.observed_shape.g1 == pytest.approx(truth.observed_shape.g1, abs=0.004)
    assert ours.observed_shape.g2 == pytest.approx(truth.observed_shape.g2, abs=0.004)
    assert ours.moments_sigma == pytest.approx(truth.moments_sigma, rel=0.005)


def test_a_psf_that_widens_across_the_field() -> None:
    field = draw_field(
        size=1100, stars=90, galaxies=20, gap=50, fwhm=4.0, bend=0.12, faintest=4e3, brightest=1e5, seed=3
    )
    psf = build_psf(open_mosaic(field.flux))
    assert psf is not None
    assert psf.degree == 1
    for x in (150.0, 950.0):
        truth = psf_stamp(moffat(4.0 * (1 + 0.12 * (x / 1100 - 0.5))))
        assert stamp_fwhm(psf.at(x, 550.0)[0, 0].astype(np.float64)) == pytest.approx(stamp_fwhm(truth), rel=0.012)


@pytest.mark.parametrize("seed", [1, 2])
def test_galaxies_alone_give_no_psf(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    field = draw_field(size=600, stars=0, galaxies=120, faintest=500, fwhm=3.5, seed=seed)
    psf = build_psf(open_mosaic(field.flux, name="galaxies"))
    assert psf is None or psf.assumed
    assert any("galaxies: no PSF can be built" in record.message for record in caplog.records)


def test_few_stars_are_too_few(caplog: pytest.LogCaptureFixture) -> None:
    field = draw_field(size=300, stars=3, galaxies=0, faintest=1e4, seed=1)
    with caplog.at_level(logging.WARNING):
        psf = build_psf(open_mosaic(field.flux))
    assert psf is None or psf.assumed
    assert any("no PSF can be built" in record.message for record in caplog.records)


def test_saturated_and_masked_stars_are_left_out() -> None:
    field = draw_field(size=700, stars=45, galaxies=20, gap=40, fwhm=4.0, faintest=3000, brightest=3e5, seed=8)
    level = 4000.0
    clipped = np.minimum(field.flux, level)
    psf = build_psf(open_mosaic(clipped, saturation=0.98 * level))
    assert psf is not None
    truth = psf_stamp(moffat(4.0))
    assert stamp_fwhm(psf.at(350.0, 350.0)[0, 0].astype(np.float64)) == pytest.approx(stamp_fwhm(truth), rel=0.01)


def test_every_band_has_its_own() -> None:
    narrow = draw_field(size=500, stars=35, galaxies=0, gap=45, fwhm=3.2, faintest=3000, seed=9)
    wide = draw_field(size=500, stars=35, galaxies=0, gap=45, fwhm=5.0, faintest=3000, seed=9)
    psf = build_psf(open_mosaic(np.concatenate([narrow.flux, wide.flux]), bands=("r", "u")))
    assert psf is not None
    assert psf.bands == ("r", "u")
    for stamp, fwhm in zip(psf.at(250.0, 250.0)[0], (3.2, 5.0), strict=True):
        assert stamp_fwhm(stamp.astype(np.float64)) == pytest.approx(stamp_fwhm(psf_stamp(moffat(fwhm))), rel=0.015)
