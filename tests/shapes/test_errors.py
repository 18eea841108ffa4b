"""One-sigma errors of shapes: over images that differ in their noise alone, values scatter as their errors say."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

import rosse
from rosse.shapes.errors import spread, without_noise
from rosse.shapes.indices import INDICES
from shapes.profiles import cutouts, round_segment, sersic

# Sersic index, axis ratio, signal-to-noise of the whole galaxy in a matched filter
GALAXIES = ((1.0, 0.7, 50), (1.0, 0.5, 100), (2.0, 0.8, 60), (4.0, 0.9, 100), (0.7, 0.6, 80), (1.0, 0.9, 200),
            (3.0, 0.6, 150), (1.5, 0.8, 400))  # fmt: skip
# These jump from one clump or level to the next: noise decides whether there is a second clump at all.
JUMPY = ("multimode", "intensity")
REALISATIONS, DRAWS = 20, 20


@functools.lru_cache(maxsize=1)
def galaxies() -> tuple[np.ndarray, np.ndarray]:
    """Clumpy galaxies behind a Moffat PSF, (8, 81, 81), and the noise of their pixels, (8,)."""
    import galsim

    rng = np.random.default_rng(5)
    psf = galsim.Moffat(beta=3, fwhm=3.5)
    images, sigmas = [], []
    for n, q, snr in GALAXIES:
        angle = float(rng.uniform(0, 3)) * galsim.radians
        shape = galsim.Sersic(n=n, half_light_radius=5.0).shear(q=q, beta=angle)
        for _ in range(4):
            shape += galsim.Gaussian(fwhm=2.5, flux=0.04).shift(*rng.normal(0, 4, 2))
        image = galsim.Convolve(shape, psf).drawImage(nx=81, ny=81, scale=1.0).array.astype(np.float64)
        images.append(image)
        sigmas.append(np.sqrt(np.square(image).sum()) / snr)
    return np.array(images), np.array(sigmas)


def observed(realisations: int, seed: int = 1) -> rosse.Cutouts:
    """Each galaxy `realisations` times, with new noise."""
    images, sigmas = galaxies()
    rng = np.random.default_rng(seed)
    sigma = np.repeat(sigmas, realisations)[:, None, None] * np.ones(images.shape[1:])
    return rosse.Cutouts.from_arrays(np.repeat(images, realisations, 0) + sigma * rng.normal(size=sigma.shape),
                                     sigma=sigma)  # fmt: skip


@pytest.mark.slow
def test_pulls_have_width_one() -> None:
    """The table of docs/shapes.md: scatter of (value - mean of the galaxy) / error."""
    shapes = rosse.measure_shapes(observed(REALISATIONS), draws=DRAWS)
    assert shapes.sigma is not None
    widths = {}
    for name in ("theta", *(name for name in INDICES if name != "pa")):  # pa is made of theta
        value, sigma = (v[name].reshape(len(GALAXIES), REALISATIONS) for v in (shapes.values, shapes.sigma))
        if name == "theta":
            mean = 0.5 * np.angle(np.exp(2j * value).sum(1, keepdims=True))
            value = (value - mean + np.pi / 2) % np.pi - np.pi / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            pull = (value - np.nanmean(value, 1, keepdims=True)) / sigma * np.sqrt(REALISATIONS / (REALISATIONS - 1))
        assert np.isfinite(pull).mean() > 0.95 or name in JUMPY, name
        pull = pull[np.isfinite(pull)]
        widths[name], two_thirds = float(np.sqrt(np.square(pull).mean())), np.percentile(np.abs(pull), 68.27)
        print(f"| {name} | {widths[name]:.2f} | two of three within {two_thirds:.2f} |")
        assert name not in JUMPY or 0.4 < two_thirds < 1.25, name
    off = {name: width for name, width in widths.items() if name not in JUMPY and not 0.8 < width < 1.25}
    assert not off, off


def test_noise_is_taken_off_and_galaxies_stay() -> None:
    """Of noise alone a few per cent of the variance are left; of a bright galaxy its light to a part of the noise."""
    rng = np.random.default_rng(2)
    noise = torch.from_numpy(rng.normal(size=(4, 96, 96)))
    assert float(without_noise(noise, torch.ones_like(noise)).var()) < 0.1
    image = torch.from_numpy(sersic(1.0, 6.0, 0.6, 0.4, side=96)[None] * 3e5) + noise[:1]  # up to a thousand sigma
    rest = without_noise(image, torch.ones_like(image)) - (image - noise[:1])
    assert float(rest.var()) < 0.35
    assert float(rest.abs().max()) < 5.0


def test_pixels_without_weight_are_not_seen() -> None:
    rng = np.random.default_rng(3)
    image = torch.from_numpy(rng.normal(size=(1, 64, 64)))
    weight = torch.ones_like(image)
    weight[:, 20:30, 20:30] = 0
    spoilt = torch.where(weight > 0, image, 1e6)
    one, other = without_noise(image, weight), without_noise(spoilt, weight)
    np.testing.assert_allclose(one[weight > 0].numpy(), other[weight > 0].numpy(), rtol=1e-9)


def test_errors_do_not_depend_on_the_batch_and_come_again() -> None:
    batch = observed(1)
    whole = rosse.measure_shapes(batch, draws=3)
    again = rosse.measure_shapes(batch[[5, 2]], draws=3)
    assert whole.sigma is not None
    assert again.sigma is not None
    for name in INDICES:
        np.testing.assert_allclose(again.sigma[name], whole.sigma[name][[5, 2]], rtol=1e-6, err_msg=name)
    other = rosse.measure_shapes(batch[[5, 2]], draws=3, seed=1)
    assert other.sigma is not None
    assert (other.sigma["asymmetry"] != again.sigma["asymmetry"]).all()


def test_error_of_the_flux_of_a_bright_galaxy_is_that_of_its_pixels() -> None:
    """Noise of a known number of pixels: those of the Petrosian aperture, whose edge hardly moves at this S/N."""
    image, sigma = sersic(1.0, 6.0, side=121), 1e-5
    batch = cutouts(image + sigma * np.random.default_rng(1).normal(size=image.shape), sigma)
    shapes = rosse.measure_shapes(batch, segments=round_segment(121, 20)[None], draws=60)
    assert shapes.sigma is not None
    expected = sigma * np.sqrt(np.pi) * 2 * shapes.values["r_petro"][0]
    assert shapes.sigma["flux_petro_circle"][0] == pytest.approx(expected, rel=0.3)  # 60 draws: 9 %; and the edge


def test_progress_counts_galaxies_once() -> None:
    told: list[int] = []
    rosse.measure_shapes(observed(1), draws=3, advance=told.append)
    assert sum(told) == len(GALAXIES)


def test_spread_of_angles_and_of_what_is_often_lost() -> None:
    """Half a turn is no turn; 0.01 and pi - 0.01 are neighbours."""
    angles = np.array([[0.01], [np.pi - 0.01], [0.01 - np.pi], [np.pi - 0.01]])
    assert spread(angles, angle=True)[0] == pytest.approx(0.01 * np.sqrt(4 / 3), rel=1e-6)
    values = np.array([[1.0, 1.0], [3.0, np.nan], [1.0, np.nan], [3.0, np.nan]])
    np.testing.assert_allclose(spread(values), [np.std([1, 3, 1, 3], ddof=1), np.nan])
