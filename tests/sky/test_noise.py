"""Noise of the virtual surveys against its formulas, SciPy's Poisson distribution and the meaning of a depth."""

from __future__ import annotations

from dataclasses import replace

import galsim
import numpy as np
import pytest
import torch
from scipy import stats

from rosse.errors import InputError, OptionError
from rosse.sky import chance
from rosse.sky.noise import (
    COUNTED,
    Level,
    Noise,
    bilinear_kernel,
    correlate,
    deviations,
    effective_area,
    few_electrons,
    lanczos_kernel,
    noise_level,
    poisson,
    variance,
)
from rosse.sky.observe import expose
from rosse.sky.psf import psf_stamps, survey_psf
from rosse.surveys import SURVEYS

ROWS = torch.arange(64)


def level(sky: float, read: float = 0.0, gain: float = 1.0) -> Level:
    """`sky` electrons of sky and `read` of read noise per pixel."""
    return Level(
        sigma=torch.tensor([(sky + read**2) ** 0.5 / gain], dtype=torch.float64),
        gain=torch.tensor([gain], dtype=torch.float64),
        read_variance=torch.tensor([read**2], dtype=torch.float64),
    )


def noise_of(electrons: float, sky: float, read: float, gain: float) -> np.ndarray:
    """A quarter of a million pixels of noise, electrons, around a source of `electrons` per pixel."""
    flux = torch.full((64, 1, 64, 64), electrons / gain)
    normal, second = (chance.noise(3, ROWS, what, (1, 64, 64)) for what in ("a", "b"))
    return deviations(flux, level(sky, read, gain), normal=normal, read=second).numpy().ravel() * gain


@pytest.mark.parametrize("electrons", [0.0, 3.0, 25.0, 60.0, 1e3, 1e6])
@pytest.mark.parametrize(("sky", "read"), [(0.5, 0.0), (20.0, 3.0), (200.0, 5.0)])
def test_moments_are_those_of_photons_and_read_noise(electrons: float, sky: float, read: float) -> None:
    noise = noise_of(electrons, sky, read, gain=7.0)
    photons = electrons + sky
    whole = photons + read**2
    n = len(noise)
    assert noise.mean() == pytest.approx(0, abs=4 * (whole / n) ** 0.5)
    assert noise.var() == pytest.approx(whole, rel=4 * ((2 + 1 / whole) / n) ** 0.5)
    assert stats.skew(noise) == pytest.approx(photons / whole**1.5, abs=4 * (6 / n) ** 0.5 * (1 + 3 / whole))
    assert stats.kurtosis(noise) == pytest.approx(photons / whole**2, abs=4 * (24 / n) ** 0.5 * (1 + 9 / whole))


@pytest.mark.parametrize("mean", [0.05, 1.0, 7.5, COUNTED])
def test_few_photons_are_counted_as_scipy_counts_them(mean: float) -> None:
    normal = torch.linspace(-5.5, 5.5, 4001, dtype=torch.float64)
    counted = poisson(torch.full_like(normal, mean), normal).numpy()
    truth = stats.poisson.ppf(stats.norm.cdf(normal.numpy()), mean)
    assert np.mean(counted != truth) < 1e-3  # where a probability falls on a step, the last digit decides
    assert np.abs(counted - truth).max() <= 1


def test_many_photons_have_the_quantiles_of_scipys_poisson_distribution() -> None:
    normal = torch.linspace(-3.5, 3.5, 1001)
    for mean in (40.0, 400.0):
        flux = torch.full((1, 1, 1, 1001), mean)
        ours = deviations(flux, level(1e-6), normal=normal[None, None, None]).numpy().ravel() + mean
        truth = stats.poisson.ppf(stats.norm.cdf(normal.double().numpy()), mean)
        assert np.abs(ours - truth).max() < 1.05  # whole numbers against a smooth line through them
        assert abs(np.mean(ours - truth)) < 0.02  # their mean is the same


@pytest.mark.parametrize("name", sorted(SURVEYS))
def test_a_star_at_the_depth_has_a_signal_to_noise_ratio_of_five(name: str) -> None:
    """Stars that GalSim draws through the survey's PSF, weighted by it (the filter that is best)."""
    it = SURVEYS[name].select(SURVEYS[name].bands[-1:])
    psf = survey_psf(it)
    count = psf.oversampling(it.scale)
    stamp = psf_stamps(psf, it.scale)
    seen = galsim.InterpolatedImage(
        galsim.Image(stamp[0, 0].double().numpy(), scale=it.scale / count), normalization="flux"
    )
    side = 2 * (stamp.shape[-1] // (2 * count)) - 3
    star = seen.drawImage(nx=side, ny=side, scale=it.scale, method="no_pixel", dtype=float).array
    flux = 10 ** (-0.4 * (it.depth[0] - it.zeropoint[0]))
    image = torch.as_tensor(flux * star, dtype=torch.float32).expand(2000, 1, side, side)
    noisy, ivar = expose(
        image, noise_level(it, stamp, noise=Noise(), oversampling=count), Noise(), (1, torch.arange(2000), it.name)
    )
    weight = float(ivar[0, 0, 0, 0])
    measured = (noisy[:, 0].double().numpy() * star).sum((1, 2)) / (star**2).sum()
    error = 1 / np.sqrt(weight * (star**2).sum())
    assert flux / error == pytest.approx(5, rel=0.02)
    # the photons of the source itself add a little to the scatter, where the sky is dark
    own = (star**3).sum() / (star**2).sum() ** 2 * flux / it.gain[0]
    assert measured.std() == pytest.approx(np.sqrt(error**2 + own), rel=0.06)
    assert measured.mean() == pytest.approx(flux, rel=0.025)


def test_inverse_variance_is_that_of_the_noise() -> None:
    it = SURVEYS["decals"]
    stamp = psf_stamps(survey_psf(it), it.scale)
    flux = 30 * stamp.expand(1, 3, -1, -1).repeat(3000, 1, 1, 1)
    rows = torch.arange(3000)
    noisy, ivar = expose(flux, noise_level(it, stamp, noise=Noise()), Noise(), (2, rows, it.name))
    ratio = ((noisy - flux).square() * ivar).mean(0)
    assert float(ratio.mean()) == pytest.approx(1, abs=0.003)
    centre = stamp.shape[-1] // 2
    assert float(ratio[:, centre - 2 : centre + 3, centre - 2 : centre + 3].mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kernel", [bilinear_kernel(0.5, 0.5), bilinear_kernel(0.3, 0.0), lanczos_kernel(0.4, 0.6)])
def test_correlated_noise_keeps_the_variance_of_large_apertures(kernel: torch.Tensor) -> None:
    noise = Noise(kernel=kernel)
    rows = torch.arange(400)
    flux = torch.zeros(400, 1, 64, 64)
    seen, ivar = expose(flux, level(500.0), noise, (4, rows, "x"))
    assert seen.shape == ivar.shape == flux.shape
    pixel = float(seen.var())
    assert pixel == pytest.approx(float(1 / ivar.mean()), rel=0.01)
    assert pixel * noise.correlation == pytest.approx(500, rel=0.01)
    sums = seen[:, 0, 8:56, 8:56].sum((1, 2)).double().numpy()
    whole = correlate(torch.nn.functional.pad(torch.ones(1, 1, 48, 48), [8] * 4), kernel).square().sum()
    assert sums.var() == pytest.approx(500 * float(whole), rel=5 * (2 / 400) ** 0.5)
    # of the variance of white noise only that of the border is lost
    assert float(whole) / 48**2 == pytest.approx(1, abs=0.05)
    neighbours = float((seen[..., 1:] * seen[..., :-1]).mean()) / pixel
    k = kernel.numpy()
    assert neighbours == pytest.approx((k[:, 1:] * k[:, :-1]).sum() / (k**2).sum(), abs=0.01)


def test_kernels_shift_as_interpolation_does() -> None:
    image = torch.arange(20.0).reshape(1, 1, 1, 20).expand(1, 1, 9, 20)
    for kernel, tolerance in ((bilinear_kernel(0.25, 0.0), 1e-5), (lanczos_kernel(0.25, 0.0), 0.02)):
        assert float(kernel.sum()) == pytest.approx(1)
        edge = kernel.shape[1] // 2
        shifted = correlate(image, kernel)[0, 0, 0]
        expected = torch.arange(float(edge), 20.0 - edge) - 0.25
        assert float((shifted - expected).abs().max()) < tolerance


def test_effective_area_of_a_gaussian() -> None:
    """4 pi sigma^2 (King 1983)."""
    star = galsim.Gaussian(sigma=3.0).drawImage(nx=61, ny=61, scale=1.0, dtype=float).array
    ours = float(effective_area(torch.as_tensor(star / star.sum())))
    assert ours == pytest.approx(4 * np.pi * (9 + 1 / 12), rel=1e-3)


def test_depth_holds_at_any_pixel_scale() -> None:
    it = SURVEYS["lsst"].select(("r",))
    sigmas = []
    for scale in (0.1, 0.2, 0.4):
        psf = survey_psf(it)
        stamp = psf_stamps(psf, scale)
        found = noise_level(replace(it, scale=scale), stamp, noise=Noise(), oversampling=psf.oversampling(scale))
        sigmas.append(float(found.sigma) / scale)
    # noise per arcsec^2 is that of the sky, but for the blur of the pixel itself
    assert sigmas[0] == pytest.approx(sigmas[1], rel=0.05)
    assert sigmas[2] == pytest.approx(sigmas[1], rel=0.2)


def test_read_noise_beyond_the_depth_is_refused() -> None:
    it = SURVEYS["jwst-nircam"]
    psf = survey_psf(it)
    stamp = psf_stamps(psf, it.scale)
    with pytest.raises(OptionError, match=r"jwst-nircam F.*a read noise of 500 electrons is more than"):
        noise_level(it, stamp, noise=Noise(read_noise=500.0), oversampling=psf.oversampling(it.scale))


def test_kernels_that_lose_noise_are_refused() -> None:
    with pytest.raises(InputError, match="sums to 2"):
        Noise(kernel=2 * bilinear_kernel())
    with pytest.raises(InputError, match="two odd sides"):
        Noise(kernel=torch.full((2, 2), 0.25))
    with pytest.raises(OptionError, match="read_noise is -1"):
        Noise(read_noise=-1.0)


def test_counted_pixels_need_read_noise() -> None:
    flux = torch.zeros(1, 1, 4, 4)
    assert bool(few_electrons(flux, level(2.0)).all())
    assert not bool(few_electrons(flux, level(200.0)).any())
    with pytest.raises(InputError, match="few electrons"):
        deviations(flux, level(2.0), normal=torch.zeros_like(flux))
    assert float(variance(flux + 3, level(2.0, 1.0))[0, 0, 0, 0]) == pytest.approx(6)
