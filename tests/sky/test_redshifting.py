"""Galaxies moved to higher redshift against the formulas, astropy's cosmology, and GalSim drawing them there."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import galsim
import numpy as np
import pytest
import torch
from astropy.cosmology import Planck18
from astropy.io import fits

from rosse.cutouts import Cutouts
from rosse.errors import InputError, OptionError
from rosse.sky.noise import Noise, lanczos_kernel, noise_level
from rosse.sky.psf import Psf, pivot, psf_stamps, survey_psf
from rosse.sky.redshifting import Target, band_weights, flux_ratio, redshift, size_ratio
from rosse.surveys import SURVEYS

SDSS, LSST = SURVEYS["sdss"], SURVEYS["lsst"]
Z, TO = 0.05, 0.25
PRECISE = galsim.GSParams(folding_threshold=5e-4, maxk_threshold=5e-4, maximum_fft_size=16384)


def galaxy(r_e: float, flux: float, n: float = 1.5) -> galsim.GSObject:
    """`r_e` of the circle, arcsec."""
    return galsim.Sersic(n=n, half_light_radius=r_e, flux=flux, gsparams=PRECISE).shear(g1=0.2, g2=0.1)


def seen_by_sdss(
    r_e: float, fluxes: tuple[float, ...], *, bands: tuple[str, ...], side: int = 160, noise: float = 0.0
) -> Cutouts:
    """Galaxies in SDSS, each band with its own PSF."""
    it = SDSS.select(bands)
    psf = psf_stamps(survey_psf(it), it.scale)
    images = []
    for flux, fwhm in zip(fluxes, it.psf_fwhm, strict=True):
        star = galsim.Moffat(beta=3, fwhm=fwhm, gsparams=PRECISE)
        image = galsim.Convolve(galaxy(r_e, flux), star).drawImage(
            nx=side + 1, ny=side + 1, scale=it.scale, dtype=float
        )
        images.append(image.array[:side, :side])
    flux = torch.as_tensor(np.stack(images)[None], dtype=torch.float32)
    rng = np.random.default_rng(1)
    if noise:
        flux = flux + torch.as_tensor(rng.normal(0, noise, flux.shape), dtype=torch.float32)
    return Cutouts(
        flux=flux, ivar=torch.full_like(flux, 1 / max(noise, 1e-4) ** 2), psf=psf, bands=bands,
        scale=torch.full((1,), it.scale), zeropoint=torch.tensor(it.zeropoint, dtype=torch.float64),
    )  # fmt: skip


def test_sizes_and_fluxes_follow_the_distances() -> None:
    before, after = np.array([0.01, 0.1, 0.5]), np.array([0.1, 0.8, 3.0])
    angular = Planck18.angular_diameter_distance
    np.testing.assert_allclose(size_ratio(before, after), (angular(before) / angular(after)).value, rtol=1e-4)
    luminosity = (Planck18.luminosity_distance(before) / Planck18.luminosity_distance(after)).value ** 2
    np.testing.assert_allclose(flux_ratio(before, after), luminosity * (1 + after) / (1 + before), rtol=1e-4)
    # surface brightness of all wavelengths together dims as (1 + z)^-4 (Tolman): per frequency one power less
    dimming = flux_ratio(before, after) / size_ratio(before, after) ** 2
    np.testing.assert_allclose(dimming, ((1 + before) / (1 + after)) ** 3, rtol=3e-4)


def test_a_galaxy_is_what_galsim_draws_at_the_new_redshift() -> None:
    flux, r_e = 3000.0, 6.0
    wide = Psf(fwhm=(0.9,))  # still wider than SDSS's, made smaller by 3.6
    old_band = SDSS.index("i")
    # LSST's i at z = 0.25 shows what r shows at 0.05: both bands hold the same flux here, so the weights do not matter
    cutouts = seen_by_sdss(r_e, (flux, flux), bands=("r", "i"))
    new = redshift(
        cutouts, Z, Target(z=TO, bands=("i",), frame=(64, 64), psf=wide, noise=None), seen_by="sdss", to="lsst"
    )
    scale = float(size_ratio(Z, TO))
    units = 10 ** (0.4 * (LSST.zeropoint[3] - SDSS.zeropoint[old_band]))
    there = galaxy(r_e * scale, flux * units * float(flux_ratio(Z, TO)))
    star = galsim.Moffat(beta=3, fwhm=0.9, gsparams=PRECISE)
    truth = galsim.Convolve(there, star).drawImage(nx=65, ny=65, scale=LSST.scale, dtype=float).array[:64, :64]
    ours = new.flux[0, 0].double().numpy()
    assert ours.sum() == pytest.approx(truth.sum(), rel=0.005)
    assert np.abs(ours - truth).max() < 0.006 * truth.max()
    moments = [galsim.hsm.FindAdaptiveMom(galsim.Image(np.ascontiguousarray(image))) for image in (ours, truth)]
    assert moments[0].moments_sigma == pytest.approx(moments[1].moments_sigma, rel=0.005)
    assert moments[0].observed_shape.e1 == pytest.approx(moments[1].observed_shape.e1, abs=0.005)


def test_undersampled_targets_are_drawn_without_interpolation() -> None:
    """From SDSS to a telescope in space with a PSF of two pixels."""
    it = replace(LSST, scale=0.4)
    cutouts = seen_by_sdss(12.0, (3000.0, 3000.0), bands=("r", "i"), side=256)
    wide = Psf(fwhm=(0.8,))
    new = redshift(cutouts, Z, Target(z=TO, bands=("i",), frame=(48, 48), psf=wide, noise=None), seen_by="sdss", to=it)
    assert new.psf_oversampling == 2
    there = galaxy(12.0 * float(size_ratio(Z, TO)), 3000.0 * 10 ** (0.4 * 8.9) * float(flux_ratio(Z, TO)))
    star = galsim.Moffat(beta=3, fwhm=0.8, gsparams=PRECISE)
    truth = galsim.Convolve(there, star).drawImage(nx=49, ny=49, scale=0.4, dtype=float).array[:48, :48]
    assert np.abs(new.flux[0, 0].double().numpy() - truth).max() < 0.01 * truth.max()


def test_bands_are_mixed_by_wavelength() -> None:
    own = np.array([480.0, 620.0, 750.0])
    weights = band_weights(own, np.array([480.0, 545.5, 750.0, 800.0]))
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(weights[[0, 2, 3]], [[1, 0, 0], [0, 0, 1], [0, 0, 1]], atol=1e-12)
    assert weights[1, 0] == pytest.approx(0.5, abs=2e-3)  # the geometric mean
    np.testing.assert_allclose(
        band_weights(own[::-1], np.array([500.0])), band_weights(own, np.array([500.0]))[:, ::-1]
    )
    with pytest.raises(InputError, match=r"light of 300 nm .* is wanted"):
        band_weights(own, np.array([300.0]))


def test_a_red_galaxy_is_seen_in_its_bluer_band() -> None:
    """K-correction: LSST's i at z = 0.25 shows the rest frame of r and g in SDSS at 0.05."""
    cutouts = seen_by_sdss(6.0, (1000.0, 2000.0, 3000.0), bands=("g", "r", "i"))
    new = redshift(
        cutouts, Z, Target(z=TO, bands=("i",), psf=Psf(fwhm=(0.9,)), noise=None, frame=(96, 96)), seen_by="sdss"
    )
    wanted = pivot(LSST, "i") * (1 + Z) / (1 + TO)
    waves = [pivot(SDSS, band) for band in "gri"]
    old = cutouts.flux.double().sum((2, 3))[0].numpy()  # all but the light beyond the cutout
    assert old == pytest.approx([1000.0, 2000.0, 3000.0], rel=0.015)
    flux = np.interp(np.log(wanted), np.log(waves), old)
    analytic = flux * 10 ** (0.4 * 8.9) * float(flux_ratio(Z, TO))
    assert float(new.flux.sum()) == pytest.approx(analytic, rel=0.003)


def test_noise_is_that_of_the_target_survey() -> None:
    cutouts = seen_by_sdss(4.0, (300.0, 300.0), bands=("r", "i"), noise=0.02)
    many = cutouts[[0]]
    target = Target(z=TO, bands=("i",), frame=(64, 64), psf=Psf(fwhm=(0.9,)))
    quiet = redshift(
        seen_by_sdss(4.0, (300.0, 300.0), bands=("r", "i")), Z, replace(target, noise=None), seen_by="sdss"
    )
    pulls = []
    for seed in range(12):
        new = redshift(many, Z, target, seen_by="sdss", seed=seed)
        pulls.append((new.flux - quiet.flux) * new.ivar.sqrt())
    assert float(torch.cat(pulls).var()) == pytest.approx(1, abs=0.05)
    stamp = psf_stamps(target.psf or survey_psf(LSST), LSST.scale)
    level = noise_level(LSST.select(("i",)), stamp, noise=Noise())
    assert float(new.ivar[0, 0, :5].rsqrt().mean()) == pytest.approx(float(level.sigma), rel=0.02)


def test_noise_that_is_left_is_told_without_adding_more(caplog: pytest.LogCaptureFixture) -> None:
    """An old image that is noisier than the target survey, even after dimming."""
    rng = np.random.default_rng(3)
    loud = seen_by_sdss(4.0, (300.0, 300.0), bands=("r", "i"))
    flux = torch.as_tensor(rng.normal(0, 40.0, (40, *loud.flux.shape[1:])), dtype=torch.float32)
    loud = Cutouts(
        flux=flux, ivar=torch.full_like(flux, 1 / 1600), psf=loud.psf, bands=loud.bands,
        scale=torch.full((40,), SDSS.scale), zeropoint=loud.zeropoint,
    )  # fmt: skip
    target = Target(z=TO, bands=("i",), frame=(32, 32), psf=Psf(fwhm=(0.9,)))
    with caplog.at_level(logging.WARNING):
        new = redshift(loud, Z, target, seen_by="sdss")
    assert "noisier than the survey" in caplog.text
    assert float((new.flux.square() * new.ivar).mean()) == pytest.approx(1, rel=0.1)


def test_pixels_without_weight_are_filled_by_symmetry() -> None:
    cutouts = seen_by_sdss(4.0, (300.0, 300.0), bands=("r", "i"))
    target = Target(z=TO, bands=("i",), psf=Psf(fwhm=(0.9,)), noise=None)
    whole = redshift(cutouts, Z, target, seen_by="sdss")
    flux, ivar = cutouts.flux.clone(), cutouts.ivar.clone()
    flux[..., 84:90, 70:78], ivar[..., 84:90, 70:78] = 1e5, 0.0
    masked = redshift(replace(cutouts, flux=flux, ivar=ivar), Z, target, seen_by="sdss")
    assert float((masked.flux - whole.flux).abs().max()) < 1e-3 * float(whole.flux.max())


def test_sharper_targets_are_refused() -> None:
    cutouts = seen_by_sdss(4.0, (300.0, 300.0), bands=("r", "i"))
    with pytest.raises(InputError, match=r"rows \[0\]: the target's PSF is not wider"):
        redshift(cutouts, Z, Target(z=0.08, bands=("i",)), seen_by="sdss")
    with pytest.raises(OptionError, match="cannot be moved to 0"):
        redshift(cutouts, 0.3, Target(z=0.2, bands=("i",)), seen_by="sdss")
    with pytest.raises(OptionError, match="noise with a kernel came"):
        redshift(cutouts, Z, Target(z=TO, noise=Noise(kernel=lanczos_kernel())), seen_by="sdss")
    with pytest.raises(InputError, match="without PSF came"):
        redshift(replace(cutouts, psf=None), Z, Target(z=TO), seen_by="sdss")


def test_a_real_galaxy_keeps_its_light(real_data: Path) -> None:
    """An SDSS galaxy moved out until LSST's PSF is wider than its own."""
    folder = real_data / "galmoss-sdss"
    image = sorted(folder.rglob("*image*.fits*"))
    psfs = sorted(folder.rglob("*psf*.fits*"))
    if not image or not psfs:
        pytest.skip("the SDSS galaxies are not here")
    flux, psf = (fits.getdata(each[0]).astype(np.float64) for each in (image, psfs))
    cutouts = Cutouts.from_arrays(flux, sigma=0.02, psf=psf / psf.sum(), scale=0.396, zeropoint=22.5, bands=("r",))
    # r as seen at z = 0.02 is LSST's i at this redshift
    z_to = pivot(LSST, "i") / pivot(SDSS, "r") * 1.02 - 1
    new = redshift(cutouts, 0.02, Target(z=z_to, bands=("i",), frame=(64, 64), noise=None), seen_by="sdss")
    units = 10 ** (0.4 * (31.4 - 22.5)) * float(flux_ratio(0.02, z_to))
    side = flux.shape[0]
    inner = flux[side // 8 : -side // 8, side // 8 : -side // 8].sum()
    assert float(new.flux.sum()) == pytest.approx(units * flux.sum(), rel=0.02)
    assert inner * units < float(new.flux.sum()) * 1.2
