"""PSFs of the surveys against GalSim's own seeing and telescopes."""

from __future__ import annotations

import galsim
import numpy as np
import pytest
import torch

from rosse.errors import InputError, OptionError
from rosse.sky import psf as psfs
from rosse.sky.psf import Psf, PsfScatter, annulus_transfer, psf_stamps, survey_psf
from rosse.surveys import SURVEYS

GROUND = sorted(set(SURVEYS) - set(psfs.TELESCOPES))


def drawn_by_galsim(psf: Psf, band: int, scale: float, side: int, count: int) -> np.ndarray:
    """The same PSF, sheared by (0.05, -0.03) and widened by a tenth, with GalSim."""
    precise = galsim.GSParams(folding_threshold=1e-3, maxk_threshold=1e-4, maximum_fft_size=16384)
    if psf.wavelength:
        sharp = galsim.Airy(lam=psf.wavelength[band], diam=psf.diameter, obscuration=psf.obscuration, gsparams=precise)
        largest, _ = psfs._transfer_table(*psfs._band(psf, band))
        nu = np.linspace(0, 1, psfs.TABLE)
        sigma = psfs._blur(psf.fwhm[band], nu * largest, annulus_transfer(nu, psf.obscuration))
        star = galsim.Convolve(sharp, galsim.Gaussian(sigma=sigma)) if sigma else sharp
    else:
        star = galsim.Moffat(beta=psf.beta, fwhm=psf.fwhm[band], gsparams=precise)
    seen = galsim.Convolve(star.dilate(1.1).shear(g1=0.05, g2=-0.03), galsim.Pixel(scale))
    image = seen.drawImage(nx=side, ny=side, scale=scale / count, method="no_pixel", dtype=float).array
    return np.asarray(image / image.sum())


@pytest.mark.parametrize("name", [*GROUND, "euclid-vis", "hst-acs", "csst"])
def test_stamps_are_those_of_galsim(name: str) -> None:
    it = SURVEYS[name]
    psf = survey_psf(it)
    count = psf.oversampling(it.scale)
    bands = len(it.bands)
    shear = torch.tensor([0.05, -0.03]).expand(1, bands, 2)
    stamps = psf_stamps(psf, it.scale, width=torch.full((1, bands), 1.1), shear=shear)[0].numpy()
    for band in {0, bands - 1}:
        truth = drawn_by_galsim(psf, band, it.scale, stamps.shape[-1], count)
        # periodic copies of an Airy disc's wings are what is left in space
        assert np.abs(stamps[band] - truth).max() < (3e-3 if psf.wavelength else 4e-4) * truth.max()
        ours, theirs = (
            galsim.hsm.FindAdaptiveMom(galsim.Image(np.ascontiguousarray(image, dtype=float)))
            for image in (stamps[band], truth)
        )
        assert ours.moments_sigma == pytest.approx(theirs.moments_sigma, rel=5e-4)
        assert ours.observed_shape.g1 == pytest.approx(theirs.observed_shape.g1, abs=2e-4)
        assert ours.observed_shape.g2 == pytest.approx(theirs.observed_shape.g2, abs=2e-4)
        centre = stamps.shape[-1] // 2 + 1  # GalSim counts from 1
        assert ours.moments_centroid.x == pytest.approx(centre, abs=1e-3)
        assert ours.moments_centroid.y == pytest.approx(centre, abs=1e-3)


@pytest.mark.parametrize("name", sorted(SURVEYS))
def test_every_survey_has_a_psf(name: str) -> None:
    it = SURVEYS[name]
    psf = survey_psf(it)
    stamps = psf_stamps(psf, it.scale)
    assert stamps.shape[:2] == (1, len(it.bands))
    assert stamps.shape[-1] % 2 == 1
    torch.testing.assert_close(stamps.sum((-2, -1)), torch.ones(1, len(it.bands)))
    assert float(stamps.min()) > -1e-4 * float(stamps.max())
    assert it.scale / psf.oversampling(it.scale) <= min(psf.fwhm) / psfs.SAMPLES + 1e-9


@pytest.mark.parametrize("obscuration", [0.0, 0.2, 0.33, 0.6])
def test_transfer_of_an_annulus_is_that_of_galsim(obscuration: float) -> None:
    airy = galsim.Airy(lam_over_diam=1.0, obscuration=obscuration)
    nu = np.linspace(0, 0.999, 40)
    truth = [airy.kValue(2 * np.pi * each, 0.0).real for each in nu]
    np.testing.assert_allclose(annulus_transfer(nu, obscuration), truth, atol=1e-5)


def test_telescope_has_the_width_that_the_survey_says() -> None:
    it = SURVEYS["hst-acs"]
    psf = survey_psf(it)
    fine = psf_stamps(psf, 0.004, oversampling=1)[0]
    for band, fwhm in enumerate(it.psf_fwhm):
        image = galsim.Image(np.ascontiguousarray(fine[band].numpy(), dtype=float), scale=0.004)
        assert image.calculateFWHM() == pytest.approx(fwhm, rel=0.01)


def test_a_width_below_diffraction_is_diffraction() -> None:
    psf = Psf(fwhm=(0.05,), wavelength=(800.0,), diameter=2.4)
    largest, table = psfs._transfer_table(*psfs._band(psf, 0))
    np.testing.assert_allclose(table, annulus_transfer(np.linspace(0, 1, psfs.TABLE), 0.0))
    assert largest == pytest.approx(2 * np.pi * 2.4 / 800e-9 / 206264.8, rel=1e-5)


def test_scatter_is_that_asked_for_and_belongs_to_the_row() -> None:
    it = SURVEYS["decals"]
    scatter = PsfScatter(width=0.08, ellipticity=0.03)
    width, shear = scatter.draw(5, torch.arange(4000), it)
    assert float(width.log().std()) == pytest.approx(0.08, rel=0.05)
    assert float(shear.std()) == pytest.approx(0.03, rel=0.05)
    some, _ = scatter.draw(5, torch.tensor([7, 3]), it)
    torch.testing.assert_close(some, width[[7, 3]], rtol=0, atol=0)
    only, _ = scatter.draw(5, torch.arange(4), it.select(("z",)))
    torch.testing.assert_close(only[:, 0], width[:4, 2], rtol=0, atol=0)
    other, _ = scatter.draw(6, torch.arange(4), it)
    assert not torch.equal(other, width[:4])


def test_impossible_psfs_are_refused() -> None:
    with pytest.raises(OptionError, match="positive and above 1"):
        Psf(fwhm=(0.0,))
    with pytest.raises(OptionError, match="a wavelength for each FWHM"):
        Psf(fwhm=(0.1, 0.1), wavelength=(500.0,), diameter=1.0)
    with pytest.raises(OptionError, match=r"0 to 0\.2 are wanted"):
        PsfScatter(ellipticity=0.5)
    with pytest.raises(InputError, match=r"\(B, 1\) and \(B, 1, 2\)"):
        psf_stamps(Psf(fwhm=(1.0,)), 0.2, shear=torch.zeros(3, 2))
