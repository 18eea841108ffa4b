"""What `correct_shapes` takes off, on GalSim galaxies that its calibration has not seen."""

from __future__ import annotations

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import rosse
from rosse.shapes.correction import CORRECTED, FILE, Terms, calibration, image_quality, psf_width
from rosse.shapes.indices import INDICES, Reason

SIDE, COUNT = 101, 70


@functools.lru_cache(maxsize=1)
def galaxies() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Discs with bulges and clumps behind Moffat PSFs of 2.6 to 4 pixels, with noise, its sigma, the PSFs; and sharp.

    The sharp images have no noise, a PSF of one pixel and pixels half as large. S/N is 2.5 to 25 in a mean pixel of
    those that hold 80 % of the light.
    """
    import galsim

    rng = np.random.default_rng(8)
    small = galsim.Gaussian(fwhm=1.0)
    seen, sigmas, stamps, sharp = [], [], [], []
    for _ in range(COUNT):
        psf = galsim.Moffat(beta=3, fwhm=float(rng.uniform(2.6, 4)))
        galaxy = _galaxy(rng)
        image = galsim.Convolve(galaxy, psf).drawImage(nx=SIDE, ny=SIDE, scale=1.0).array.astype(np.float64)
        fine = galsim.Convolve(galaxy, small).drawImage(nx=2 * SIDE, ny=2 * SIDE, scale=0.5, offset=(0.5, 0.5))
        level = np.sort(image.ravel())[::-1]
        inside = np.searchsorted(np.cumsum(level), 0.8 * image.sum())
        sigma = level[:inside].mean() / 10 ** rng.uniform(np.log10(2.5), np.log10(25))
        stamp = psf.drawImage(nx=33, ny=33, scale=1.0).array.astype(np.float64)
        seen.append(image + rng.normal(0, sigma, image.shape))
        sigmas.append(np.full(image.shape, sigma))
        stamps.append(stamp / stamp.sum())
        sharp.append(fine.array.astype(np.float64))
    return np.array(seen), np.array(sigmas), np.array(stamps)[:, None], np.array(sharp)


def _galaxy(rng: np.random.Generator):
    import galsim

    r, q, bulge = float(rng.uniform(5, 10)), float(rng.uniform(0.5, 1)), float(rng.choice([0, 0.1, 0.3]))
    angle = float(rng.uniform(0, 3.1)) * galsim.radians
    galaxy = galsim.Exponential(half_light_radius=r).shear(q=q, beta=angle) * (1 - bulge)
    if bulge:
        galaxy += galsim.Sersic(n=2, half_light_radius=r / 3) * bulge
    count, light = int(rng.integers(3, 12)), float(rng.uniform(0.05, 0.2))
    for _ in range(count):
        x, y = rng.normal(0, r, 2)
        galaxy += galsim.Gaussian(fwhm=float(rng.uniform(1, 4)), flux=light / count).shift(x, y * q).rotate(angle)
    return galaxy


@functools.lru_cache(maxsize=1)
def observed() -> rosse.Shapes:
    image, sigma, psf, _ = galaxies()
    return rosse.measure_shapes(rosse.Cutouts.from_arrays(image, sigma=sigma, psf=psf))


@functools.lru_cache(maxsize=1)
def true() -> rosse.Shapes:
    """On the same segments, so that the same pixels are left out."""
    sharp = galaxies()[3]
    segments = observed().segments.numpy().repeat(2, 1).repeat(2, 2)
    cutouts = rosse.Cutouts.from_arrays(sharp, sigma=np.full(sharp.shape, 1e-7))
    return rosse.measure_shapes(cutouts, segments=segments, options=rosse.ShapeOptions(outlier=0))


@pytest.mark.slow
@pytest.mark.parametrize("name", CORRECTED)
def test_bias_shrinks_by_more_than_half(name: str) -> None:
    """Of all, of the fainter and the brighter half, of the smaller and the larger half."""
    corrected = rosse.correct_shapes(observed()).values[name]
    good = np.isfinite(corrected) & (observed().status == rosse.Status.OK) & (true().status == rosse.Status.OK)
    assert good.sum() > 0.8 * COUNT
    noise, blur = image_quality(observed())
    faint, small = noise > np.median(noise[good]), blur > np.median(blur[good])
    for some in (good, good & faint, good & ~faint, good & small, good & ~small):
        before = np.median((observed().values[name] - true().values[name])[some])
        after = np.median((corrected - true().values[name])[some])
        print(f"{name} {some.sum()} before {before:+.3f} after {after:+.3f}")
        assert abs(after) < 0.5 * abs(before)


def test_what_is_not_corrected_stays_and_the_error_follows_the_slope() -> None:
    image, sigma, psf, _ = galaxies()
    cutouts = rosse.Cutouts.from_arrays(image[:4], sigma=sigma[:4], psf=psf[:4])
    shapes = rosse.measure_shapes(cutouts, draws=3)
    corrected = rosse.correct_shapes(shapes)
    assert corrected.corrected
    assert not shapes.corrected
    assert shapes.sigma is not None
    assert corrected.sigma is not None
    for name in INDICES:
        if name not in CORRECTED and name in shapes.values:
            np.testing.assert_array_equal(corrected.values[name], shapes.values[name], err_msg=name)
    noise, blur = image_quality(shapes)
    for name in CORRECTED:
        terms, step = Terms.of(calibration()[name]), 1e-4
        more, _ = terms.corrected(shapes.values[name] + step, noise, blur)
        slope = (more - corrected.values[name]) / step  # by differences, not by the formula
        np.testing.assert_allclose(corrected.sigma[name], shapes.sigma[name] * slope, rtol=1e-6)
    assert "corrected for noise and PSF" in corrected.table()["asymmetry"].description
    assert "corrected" not in shapes.table()["asymmetry"].description


def test_a_perfect_image_needs_no_correction_and_the_formula_is_solved() -> None:
    """Without noise and blur the value stays; a value made by the formula comes back."""
    value, none = np.array([0.2, -0.1, 3.0]), np.zeros(3)
    for name in CORRECTED:
        terms = Terms.of(calibration()[name])
        np.testing.assert_allclose(terms.corrected(value, none, none)[0], value, rtol=1e-12)
        noise, blur = np.array([0.1, 0.3, 0.5]), np.array([0.1, 0.2, 0.3])
        shift = sum(x * noise**i * blur**j for i, j, x in terms.shift)
        stretch = sum(x * noise**i * blur**j for i, j, x in terms.stretch)
        biased = terms.reference + shift + (value - terms.reference) / (1 + stretch)
        np.testing.assert_allclose(terms.corrected(biased, noise, blur)[0], value, rtol=1e-9)


def test_too_faint_or_too_small_says_so() -> None:
    image, sigma, psf, _ = galaxies()
    faint = sigma[0] * np.array([1, 12])[:, None, None]
    noise = np.random.default_rng(1).normal(size=image[0].shape) * sigma[0]
    images = np.stack([image[0], image[0] + 11 * noise])
    cutouts = rosse.Cutouts.from_arrays(images, sigma=faint, psf=psf[:1])
    segments = observed().segments[:1].expand(2, -1, -1)
    corrected = rosse.correct_shapes(rosse.measure_shapes(cutouts, segments=segments))
    assert corrected.reason("asymmetry") == [Reason.NONE, Reason.UNCALIBRATED]
    assert np.isnan(corrected.values["concentration"]).tolist() == [False, True]
    assert "asymmetry, concentration" in corrected.table()["reason"][1].replace(
        "concentration, asymmetry", "asymmetry, concentration"
    )


def test_without_psf_and_twice_are_refused() -> None:
    image, sigma, psf, _ = galaxies()
    shapes = rosse.measure_shapes(rosse.Cutouts.from_arrays(image[:1], sigma=sigma[:1]))
    with pytest.raises(rosse.InputError, match="the cutouts have no PSF"):
        rosse.correct_shapes(shapes)
    with_psf = replace(shapes, cutouts=replace(shapes.cutouts, psf=torch.from_numpy(psf[:1])))
    once = rosse.correct_shapes(with_psf)
    with pytest.raises(rosse.InputError, match="corrected already"):
        rosse.correct_shapes(once)


@pytest.mark.parametrize("oversampling", [1, 3])
def test_width_of_a_gaussian_psf(oversampling: int) -> None:
    y, x = np.mgrid[:61, :61] - 30.0
    stamp = np.exp(-0.5 * (x**2 + y**2) / (2.0 * oversampling) ** 2)
    cutouts = rosse.Cutouts.from_arrays(
        np.zeros((1, 9, 9)), sigma=np.ones((1, 9, 9)), psf=stamp / stamp.sum(), psf_oversampling=oversampling
    )
    assert psf_width(cutouts, 0)[0] == pytest.approx(2.0 * 2 * np.sqrt(2 * np.log(2)), rel=1e-3)


def test_the_file_says_how_it_was_made() -> None:
    known = json.loads(FILE.read_text())
    assert known["made"].startswith("python bench/shapes_correction.py")
    assert known["galaxies"] > 300
    for name in CORRECTED:
        assert abs(known[name]["median_bias_after"]) < 0.2 * abs(known[name]["median_bias_before"])
