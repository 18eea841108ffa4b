"""One galaxy or several sources: spirals with knots, companions, stars in haloes, edges of the data."""

import galsim
import numpy as np
import pytest
from numpy.typing import NDArray

from rosse.detection import DetectOptions, detect
from rosse.detection.peaks import find_basins

PLAIN = DetectOptions(psf_from_stars=False)
SEEING = galsim.Moffat(beta=3.0, fwhm=4.5)


def drawn(*things: tuple[galsim.GSObject, float, float], size: int = 400, seed: int = 4) -> NDArray[np.float32]:
    """Objects at places of a noisy image."""
    image = galsim.ImageD(size, size)
    for thing, x, y in things:
        seen = galsim.Convolve(thing, SEEING)
        seen.drawImage(image, scale=1.0, center=galsim.PositionD(x + 1, y + 1), add_to_image=True)
    noise = np.random.default_rng(seed).normal(size=(size, size))
    return np.asarray(image.array + noise, dtype=np.float32)


def disc(flux: float, half: float, q: float = 0.7) -> galsim.GSObject:
    return galsim.Exponential(half_light_radius=half, flux=flux).shear(q=q, beta=30 * galsim.degrees)


def star(flux: float) -> galsim.GSObject:
    return galsim.Gaussian(sigma=1e-3, flux=flux)


def test_a_disc_full_of_knots_is_one_galaxy() -> None:
    flux, half = 1e6, 40.0
    knots = galsim.RandomKnots(120, profile=disc(0.15 * flux, half), rng=galsim.BaseDeviate(3))
    bulge = galsim.DeVaucouleurs(half_light_radius=6.0, flux=0.1 * flux)
    found = detect(drawn((disc(0.75 * flux, half) + knots + bulge, 200, 200)), options=PLAIN)
    t = found.sources
    main = int(np.argmax(t["npix"]))
    assert np.hypot(t["x_image"][main] - 200, t["y_image"][main] - 200) < 3
    within = np.hypot(np.asarray(t["x_image"]) - 200, np.asarray(t["y_image"]) - 200) < 1.5 * half
    assert np.count_nonzero(within) <= 3
    y, x = np.indices(found.segmentation.shape)
    assert np.mean(found.segmentation[np.hypot(x - 200, y - 200) < half] == main + 1) > 0.95


def test_two_armed_spiral_is_one_galaxy() -> None:
    y, x = np.indices((300, 300)) - 150.0
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    arms = 1.0 + 0.8 * np.cos(2 * (angle - 2.5 * np.log(np.maximum(r, 2.0))))
    image = 120.0 * np.exp(-r / 25.0) * np.where(r > 12, arms, 1.0) + 300.0 * np.exp(-((r / 5.0) ** 2))
    noisy = image + np.random.default_rng(2).normal(size=image.shape)
    t = detect(noisy.astype(np.float32), options=PLAIN).sources
    assert np.count_nonzero(np.hypot(t["x_image"] - 150, t["y_image"] - 150) < 60) == 1


@pytest.mark.parametrize(("flux", "x"), [(3000.0, 240.0), (20000.0, 225.0), (800.0, 270.0)])
def test_a_star_on_a_disc_is_its_own_source(flux: float, x: float) -> None:
    t = detect(drawn((disc(2e5, 30.0), 200, 200), (star(flux), x, 210)), options=PLAIN).sources
    near = np.hypot(t["x_image"] - x, t["y_image"] - 210) < 2.0
    host = np.hypot(t["x_image"] - 200, t["y_image"] - 200) < 2.0
    assert near.sum() == 1
    assert host.sum() == 1
    assert t["npix"][host][0] > 5 * t["npix"][near][0]


def test_companions_of_equal_brightness_are_two() -> None:
    pair = drawn((disc(5000.0, 3.0), 190, 200), (disc(5000.0, 3.0), 203, 200))
    t = detect(pair, options=PLAIN).sources
    assert len(t) == 2
    assert (np.asarray(t["flags"]) & 4 > 0).all()
    np.testing.assert_allclose(sorted(t["x_image"]), [190, 203], atol=0.5)
    np.testing.assert_allclose(t["flux_auto"], 5000.0, rtol=0.2)


def test_a_bitten_galaxy_keeps_position_and_shape() -> None:
    alone = detect(drawn((disc(1e5, 15.0), 200, 200)), options=PLAIN).sources
    bitten = detect(drawn((disc(1e5, 15.0), 200, 200), (star(30000.0), 218, 206)), options=PLAIN).sources
    main = int(np.argmax(bitten["npix"]))
    assert np.hypot(bitten["x_image"][main] - 200, bitten["y_image"][main] - 200) < 0.5
    assert bitten["a_image"][main] == pytest.approx(alone["a_image"][0], rel=0.1)
    assert bitten["flux_auto"][main] == pytest.approx(alone["flux_auto"][0], rel=0.08)
    off = (bitten["pa_image"][main] - alone["pa_image"][0] + 90) % 180 - 90
    assert abs(off) < 10


def test_correlated_noise_makes_no_sources() -> None:
    """Resampled images: noise smoothed over pixels, as sharp in the filter as sources."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(7).normal(size=(600, 600)), 1.0).astype(np.float32)
    assert len(detect(noise, options=PLAIN)) <= 3


def test_pure_noise_makes_no_sources() -> None:
    noise = np.random.default_rng(9).normal(size=(1000, 1000)).astype(np.float32)
    assert len(detect(noise, options=PLAIN)) <= 1


def test_basins_are_those_of_steepest_ascent() -> None:
    height = np.array([[1, 2, 1, 3, 1], [1, 5, 2, 6, 1], [1, 2, 1, 3, 1]], dtype=np.float32)
    basins = find_basins(height, height > 0)
    assert len(basins.peak) == 2
    assert basins.labels[1, 1] != basins.labels[1, 3]
    assert len(basins.pairs) == 1
    assert basins.saddle[0] == 2.0


def test_a_flat_top_is_one_peak() -> None:
    height = np.zeros((9, 9), dtype=np.float32)
    height[2:7, 2:7] = 4.0
    basins = find_basins(height, height > 0)
    assert len(basins.peak) == 1
