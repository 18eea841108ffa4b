"""The figure of a fit shows what was measured and what was fitted."""

from __future__ import annotations

import galsim
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import rosse
from rosse import Cutouts, Exponential, Sersic
from rosse.fitting.profile_figure import Profile, component_images, isophote_profile, ring_profile

from .galaxies import SCALE, ZEROPOINT, draw_one, psf_stamp

NOISE = 0.01


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    rng = np.random.default_rng(4)
    pixels = 200 * draw_one(1.0, 11.0, 0.6, 0.7, 48.2, 47.9, 96) + 40 * draw_one(3.0, 2.5, 0.9, 0.2, 48.2, 47.9, 96)
    return pixels + rng.normal(0, NOISE, pixels.shape)


@pytest.mark.parametrize("kind", ["isophotes", "rings"])
def test_the_profile_of_an_image_is_that_of_its_galaxy(kind: str) -> None:
    disc = galsim.Exponential(half_light_radius=11.0 * 0.6**0.5, flux=200).shear(q=0.6, beta=0.7 * galsim.radians)
    image = disc.drawImage(galsim.ImageD(96, 96), scale=1.0, offset=(48.2 - 47.5, 47.9 - 47.5)).array
    image = image + np.random.default_rng(2).normal(0, NOISE, image.shape)
    ivar, ellipse = np.full(image.shape, NOISE**-2), (48.2, 47.9, 0.6, 0.7)
    ivar[10:20, 60:80] = 0  # a masked neighbour
    spoilt = np.where(ivar > 0, image, 1e3)
    found = (isophote_profile if kind == "isophotes" else ring_profile)(spoilt, ivar, ellipse)
    assert isinstance(found, Profile)
    outside = (found.radius > 15) & (found.radius < 30)  # of scale lengths, where rings are thin
    scale_length = 11.0 / 1.67835
    exact = 200 * np.exp(-found.radius / scale_length) / (2 * np.pi * scale_length**2 * 0.6)
    off = np.abs(found.mean - exact)[outside]
    assert outside.sum() >= 3
    assert (off < 0.04 * exact[outside] + 4 * found.error[outside]).all()
    assert (found.error[outside] < 0.1 * exact[outside]).all()


def test_isophotes_of_noise_are_not_shown() -> None:
    noise = np.random.default_rng(1).normal(0, 1, (48, 48))
    assert isophote_profile(noise, np.ones((48, 48)), (24.0, 24.0, 0.7, 0.3)) is None


def test_components_add_up_to_the_model_and_have_their_names_in_the_figure(image: np.ndarray) -> None:
    cutouts = Cutouts.from_arrays(image, sigma=NOISE, psf=psf_stamp(), scale=SCALE, zeropoint=ZEROPOINT)
    fit = rosse.fit(cutouts, Sersic("bulge") + Exponential("disc"))
    parts = component_images(fit, 0)
    assert parts.shape == (2, 1, 96, 96)
    assert torch.allclose(parts.sum(0), fit.model_images([0])[0], atol=1e-4)
    figure = fit.plot(0)
    assert isinstance(figure, Figure)
    labels = [text.get_text() for text in figure.axes[-2].get_legend().get_texts()]
    assert {"image", "model", "bulge", "disc"} <= set(labels)
    assert "mag" in figure.axes[-2].get_ylabel()
