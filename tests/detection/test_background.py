"""Sky under galaxies and gradients."""

import galsim
import numpy as np
import pytest

from rosse.detection import DetectOptions, detect
from rosse.detection.background import grow_sources

PLAIN = DetectOptions(psf_from_stars=False)


def test_level_and_noise_of_an_empty_gradient() -> None:
    y, x = np.indices((400, 500))
    truth = 1000.0 + 0.05 * x + 0.02 * y
    image = truth + np.random.default_rng(1).normal(scale=3.0, size=truth.shape)
    found = detect(image.astype(np.float32), options=PLAIN)
    assert np.abs(found.background[0] - truth).max() < 1.5
    assert np.sqrt(np.mean((found.background[0] - truth) ** 2)) < 0.3
    np.testing.assert_allclose(found.rms, 3.0, rtol=0.08)


@pytest.mark.parametrize("half", [15.0, 30.0])
def test_a_galaxy_larger_than_a_cell_is_not_taken_for_sky(half: float) -> None:
    flux = 60.0 * half**2
    galaxy = galsim.Exponential(half_light_radius=half, flux=flux)
    image = galaxy.drawImage(nx=600, ny=600, scale=1.0).array + np.random.default_rng(2).normal(size=(600, 600))
    found = detect(image.astype(np.float32), options=PLAIN)
    assert len(found) == 1
    assert found.background.max() < 0.5
    assert found.sources["flux_auto"][0] == pytest.approx(flux, rel=0.15)
    assert found.sources["r_half"][0] == pytest.approx(half, rel=0.15)


def test_background_of_many_sources_is_unbiased() -> None:
    from .galsim_field import draw_field

    field = draw_field(size=500, stars=30, galaxies=150, gap=15, seed=4)
    found = detect(field.flux, options=PLAIN)
    assert abs(float(found.background.mean())) < 0.1
    assert float(np.median(found.rms)) == pytest.approx(1.0, abs=0.04)


def test_growth_follows_the_size() -> None:
    labels = np.zeros((80, 80), dtype=np.int32)
    labels[10:12, 10:12] = 1
    y, x = np.indices(labels.shape)
    labels[np.hypot(x - 50, y - 50) < 12] = 2
    grown = grow_sources(labels, 0.5)
    assert grown[50, 50 + 12 + 6]
    assert not grown[50, 50 + 12 + 10]
    assert not grown[10, 16]
    assert not grow_sources(np.zeros((5, 5), dtype=np.int32), 0.5).any()
