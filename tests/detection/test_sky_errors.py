"""Level of the sky under skewed noise, its stated error, and that of fluxes: against drawn truth."""

import galsim
import numpy as np
import pytest
import sep
from numpy.typing import NDArray
from scipy import ndimage

from rosse.detection import Detection, DetectOptions, detect
from rosse.io import open_mosaic

from .galsim_field import moffat

PLAIN = DetectOptions(psf_from_stars=False)
SKY, GAIN = 40.0, 1.0  # electrons per pixel

Floats = NDArray[np.float64]


@pytest.mark.parametrize("electrons", [5, 50, 500])
def test_the_skew_of_photon_noise_does_not_bias_the_level(electrons: int) -> None:
    """SExtractor's clipped mode is off by 0.02 sigma in either direction."""
    off = []
    for seed in range(3):
        counts = np.random.default_rng(seed).poisson(electrons, (640, 640)).astype(np.float32)
        found = detect(counts, options=PLAIN)
        off.append((found.background[0].mean() - electrons) / np.sqrt(electrons))
    assert abs(np.mean(off)) < 0.0035  # three times the error of the mean of all pixels


def white(rng: np.random.Generator, size: int) -> tuple[Floats, Floats]:
    return np.zeros((size, size)), rng.normal(size=(size, size))


def resampled(rng: np.random.Generator, size: int) -> tuple[Floats, Floats]:
    noise = ndimage.gaussian_filter(rng.normal(size=(size, size)), 1.2, mode="wrap")
    return np.zeros((size, size)), noise / noise.std()


def uneven(rng: np.random.Generator, size: int) -> tuple[Floats, Floats]:
    """Sky with structure little wider than the cells, which the map follows in part: 10 per cent of the noise."""
    level = ndimage.gaussian_filter(rng.normal(size=(size, size)), 40.0, mode="wrap")
    return 0.1 * level / level.std(), rng.normal(size=(size, size))


@pytest.mark.parametrize("kind", [white, resampled, uneven])
def test_the_error_of_the_level_is_what_it_is_off_by(kind) -> None:  # type: ignore[no-untyped-def]
    pulls = []
    for seed in range(6):
        level, noise = kind(np.random.default_rng(seed), 640)
        found = detect((100.0 + level + noise).astype(np.float32), ivar=np.ones(level.shape), options=PLAIN)
        pull = (found.background[0] - 100.0 - level) / found.background_sigma[0]
        pulls.append(pull[16::32, 16::32])
    # Structure finer than a cell is seen only as far as it moves a cell's mean.
    assert 0.75 < np.sqrt(np.mean(np.square(pulls))) < (1.7 if kind is uneven else 1.2)


@pytest.fixture(scope="module")
def pulls() -> tuple[Floats, Floats, Floats]:
    """Pull of the Kron flux, that without the sky level's error, and area of the aperture, for some 320 galaxies.

    The sky has structure of 3 per cent of its noise, as scattered light and flat fields leave it.
    """
    parts = []
    for seed in range(3):
        light = galaxies(np.random.default_rng(seed), size=1080, count=36)
        for turn in range(3):
            rng = np.random.default_rng([seed, turn])
            structure = 0.3 * np.sqrt(SKY) * uneven(rng, len(light))[0]
            counts = rng.poisson(light + SKY + structure).astype(np.float32)
            parts.append(flux_pulls(detect(open_mosaic(counts, gain=GAIN), options=PLAIN), light))
    whole, pixels, area = np.concatenate(parts, axis=1)
    return whole, pixels, area


def galaxies(rng: np.random.Generator, *, size: int, count: int) -> Floats:
    """Noise-free field of galaxies, small and large, on a jittered lattice so that none covers another."""
    image = galsim.ImageD(size, size)
    side = int(np.sqrt(count))
    for i in range(count):
        half = float(rng.choice([1.5, 3.0, 6.0, 13.0]))
        flux = 25.0 * half * np.sqrt(SKY) * float(rng.uniform(1.5, 6.0)) * np.sqrt(half)
        n = float(rng.choice([1.0, 2.0])) if half < 10 else 1.0  # wings of large ones reach beyond any margin
        shape = galsim.Sersic(n=n, half_light_radius=half, flux=flux)
        shape = shape.shear(q=float(rng.uniform(0.5, 1.0)), beta=float(rng.uniform(0, 180)) * galsim.degrees)
        x, y = ((np.array([i % side, i // side]) + 0.5 + rng.uniform(-0.1, 0.1, 2)) * size / side).tolist()
        stamp = galsim.Convolve(shape, moffat(4.0)).drawImage(nx=351, ny=351, scale=1, center=galsim.PositionD(x, y))
        common = stamp.bounds & image.bounds
        image[common] += stamp[common]
    return np.asarray(np.maximum(image.array, 0.0))


def flux_pulls(found: Detection, light: Floats) -> Floats:
    """(3, N): pull, pull without the error of the sky level, area of the Kron aperture."""
    t = found.sources[np.asarray(found.sources["flags"]) == 0]
    x, y, a, b, kron, flux, sigma = (
        np.asarray(t[name], dtype=np.float64)
        for name in ("x_image", "y_image", "a_image", "b_image", "kron_radius", "flux_auto", "sigma_flux_auto")
    )
    angle = np.deg2rad(found.angles(np.nonzero(np.asarray(found.sources["flags"]) == 0)[0]))
    true, _, _ = sep.sum_ellipse(light, x, y, a, b, (angle + np.pi / 2) % np.pi - np.pi / 2, kron / a, subpix=5)
    area = np.pi * kron**2 * b / a
    without = np.sqrt(sigma**2 - (area * np.asarray(t["sigma_sky"])) ** 2)
    return np.stack([(flux - true) / sigma, (flux - true) / without, area])


def test_flux_errors_hold_for_small_and_large_galaxies(pulls: tuple[Floats, Floats, Floats]) -> None:
    whole, pixels, area = pulls
    assert len(whole) > 300
    # Wings of the large ones that reach beyond the margin are taken for sky.
    for part, off in ((area < 400, 0.3), ((area >= 400) & (area < 2000), 0.3), (area >= 2000, 0.75)):
        assert np.count_nonzero(part) > 40
        assert 0.8 < np.std(whole[part]) < 1.3
        assert abs(np.mean(whole[part])) < off
    # What would be stated from the pixels' noise alone is too small for the large ones.
    assert np.std(pixels[area >= 2000]) > 1.25 * np.std(whole[area >= 2000])
