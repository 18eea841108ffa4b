"""Where stars are too few, a round profile as wide as a point: against GalSim's points."""

import logging

import galsim
import numpy as np
import pytest

from rosse.detection import DetectOptions, build_psf, detect
from rosse.detection.assumed import moffat_stamp
from rosse.io import open_mosaic


def image_of(points: list[tuple[float, float, float]], fwhm: float, size: int = 160) -> np.ndarray:
    image = galsim.ImageD(size, size)
    for x, y, flux in points:
        star = galsim.Moffat(beta=3.0, fwhm=fwhm, flux=flux)
        star.drawImage(image, scale=1.0, offset=(x - (size - 1) / 2, y - (size - 1) / 2), add_to_image=True)
    return np.asarray(image.array + np.random.default_rng(3).normal(0, 1.0, image.array.shape))


@pytest.mark.parametrize("fwhm", [1.8, 3.0, 5.5])
def test_stamp_is_galsims(fwhm: float) -> None:
    exact = galsim.Moffat(beta=3.0, fwhm=fwhm).drawImage(galsim.ImageD(31, 31), scale=1.0).array
    ours = moffat_stamp(fwhm, 31)
    np.testing.assert_allclose(ours, exact / exact.sum(), atol=2e-3 * exact.max())


@pytest.mark.parametrize("fwhm", [2.5, 4.0])
def test_two_stars_tell_the_width_and_it_is_said(fwhm: float, caplog: pytest.LogCaptureFixture) -> None:
    mosaic = open_mosaic(image_of([(40, 45, 4e4), (110, 90, 2e4)], fwhm), sigma=1.0, name="two")
    with caplog.at_level(logging.WARNING):
        psf = build_psf(mosaic)
    assert psf is not None
    assert any("assumed" in record.message and "two" in record.message for record in caplog.records)
    stamp = psf.at(80.0, 80.0)[0, 0]
    truth = galsim.Moffat(beta=3.0, fwhm=fwhm).drawImage(galsim.ImageD(*stamp.shape), scale=1.0).array
    assert stamp.max() == pytest.approx(truth.max() / truth.sum(), rel=0.12)


def test_the_surveys_seeing_where_nothing_is_bright() -> None:
    mosaic = open_mosaic(image_of([(40, 45, 150.0)], 4.0), sigma=1.0, survey="decals", bands=("r",), scale=0.262)
    psf = build_psf(mosaic)
    assert psf is not None
    half = psf.at(80.0, 80.0)[0, 0]
    assert np.sqrt((half > 0.5 * half.max()).sum() * 4 / np.pi) == pytest.approx(1.18 / 0.262, rel=0.15)


def test_nothing_is_assumed_where_nothing_tells_a_width() -> None:
    noise = np.random.default_rng(0).normal(0, 1.0, (120, 120))
    assert build_psf(open_mosaic(noise, sigma=1.0)) is None
    assert detect(noise, sigma=1.0, options=DetectOptions(psf_from_stars=False)).psf is None
