"""Several bands at once: what they share, what changes with wavelength, and the pixels and PSF of each."""

import galsim
import numpy as np
import pytest

import rosse
from rosse import FitOptions, Sersic

from .galaxies import SCALE, cutouts_of, draw_one, within

BANDS = {"u": 356.0, "g": 475.0, "r": 622.0, "i": 763.0, "z": 905.0}


def gradient(seed: int = 6, *, slope: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """ln r_e falls linearly with wavelength, by `slope` from u to z."""
    rng = np.random.default_rng(seed)
    wave = np.array(list(BANDS.values()))
    sizes = 5.0 * np.exp(-slope * (wave - wave.mean()) / np.ptp(wave))
    image = np.stack([20 * draw_one(1.5, r, 0.6, 0.7, 32.2, 31.7, 64) for r in sizes])
    return image + rng.normal(0, 0.02, image.shape), sizes


def test_a_size_may_follow_wavelength_as_a_polynomial_or_be_free() -> None:
    image, sizes = gradient()
    cutouts = cutouts_of(image[None], bands=tuple(BANDS))
    tables = {how: rosse.fit(cutouts, Sersic(bands={"r_e": how})).table() for how in (1, 2, "free")}
    errors = {}
    for how, table in tables.items():
        for band, true in zip(BANDS, sizes, strict=True):
            within(table, f"r_e_{band}", true * SCALE)
        errors[how] = np.mean([table[f"sigma_r_e_{band}"][0] for band in BANDS])
    assert errors[1] < errors[2] < errors["free"]
    constant = rosse.fit(cutouts)
    assert constant.chi2[0] > rosse.fit(cutouts, Sersic(bands={"r_e": 1})).chi2[0] + 50
    assert "r_e" in constant.table().colnames
    assert tables[1]["r_e_g"].description.endswith("in g")
    assert str(tables[1]["r_e_g"].unit) == "arcsec"


def test_a_polynomial_of_full_degree_is_as_free_as_can_be() -> None:
    image, _ = gradient()
    cutouts = cutouts_of(image[None, :3], bands=tuple(BANDS)[:3])
    full, free = (rosse.fit(cutouts, Sersic(bands={"r_e": how, "n": how})) for how in (2, "free"))
    assert full.free == free.free
    assert full.chi2[0] == pytest.approx(free.chi2[0], abs=0.01)
    for name in ("r_e_g", "n_r", "sigma_r_e_u"):
        assert full.table()[name][0] == pytest.approx(free.table()[name][0], rel=2e-3)


def test_unknown_bands_want_their_wavelengths() -> None:
    image, sizes = gradient()
    names = ("b1", "b2", "b3", "b4", "b5")
    cutouts = cutouts_of(image[None], bands=names)
    with pytest.raises(rosse.OptionError, match="wavelengths of the bands b1, b2"):
        rosse.fit(cutouts, Sersic(bands={"r_e": 1}))
    options = FitOptions(wavelength=dict(zip(names, BANDS.values(), strict=True)))
    within(rosse.fit(cutouts, Sersic(bands={"r_e": 1}), options=options).table(), "r_e_b5", sizes[-1] * SCALE)


def test_each_band_has_its_own_psf_and_zero_point() -> None:
    rng = np.random.default_rng(2)
    seeing = [galsim.Moffat(beta=3.5, fwhm=f) for f in (2.5, 4.5)]
    galaxy = galsim.Sersic(n=2.0, half_light_radius=4.0 * np.sqrt(0.6)).shear(q=0.6, beta=0.5 * galsim.radians)
    stamps = np.stack([p.drawImage(galsim.ImageD(51, 51), scale=1.0).array for p in seeing])
    image = np.stack([galsim.Convolve(galaxy, p).drawImage(galsim.ImageD(65, 65), scale=1.0).array for p in seeing])
    image = 30 * image + rng.normal(0, 0.02, image.shape)
    stamps /= stamps.sum((1, 2), keepdims=True)
    table = rosse.fit(cutouts_of(image[None], psf=stamps[None], bands=("g", "r"), zeropoint=[22.5, 25.0])).table()
    within(table, "n", 2.0)
    within(table, "r_e", 4.0 * SCALE)
    assert table["mag_r"][0] - table["mag_g"][0] == pytest.approx(2.5, abs=0.03)


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize("oversampling", [2, 3])
def test_an_undersampled_psf_given_finer_than_the_image(size: int, oversampling: int) -> None:
    rng = np.random.default_rng(oversampling)
    psf = galsim.Moffat(beta=3.0, fwhm=1.3)  # pixels: Hubble's
    whole = galsim.Convolve(psf, galsim.Pixel(1.0))
    length = 41 * oversampling + (size + oversampling) % 2  # odd and even stamps
    offset = (0.0, 0.0) if length % 2 else (0.5, 0.5)
    stamp = whole.drawImage(galsim.ImageD(length, length), scale=1 / oversampling, method="no_pixel", offset=offset)
    image = np.stack([30 * galsim_sersic(psf, *at, size) for at in ((0.2, -0.4), (-0.3, 0.1), (0.5, 0.45))])
    cutouts = cutouts_of(
        image + rng.normal(0, 0.01, image.shape), sigma=0.01,
        psf=stamp.array / stamp.array.sum(), psf_oversampling=oversampling,
    )  # fmt: skip
    table = rosse.fit(cutouts).table()
    within(table, "n", 2.5)
    within(table, "r_e", 2.0 * SCALE)
    within(table, "x", (size - 1) / 2 + np.array([0.2, -0.3, 0.5]))


def galsim_sersic(psf: galsim.GSObject, dx: float, dy: float, size: int) -> np.ndarray:
    galaxy = galsim.Sersic(n=2.5, half_light_radius=2.0 * np.sqrt(0.7)).shear(q=0.7, beta=0.9 * galsim.radians)
    image = galsim.ImageD(size, size)
    return galsim.Convolve(galaxy, psf).drawImage(image, scale=1.0, offset=(dx, dy)).array


@pytest.mark.parametrize("degree", [1, 2])
def test_a_polynomial_keeps_every_band_within_the_range_of_its_parameter(degree: int) -> None:
    """In noise a free slope of ln n would go anywhere: galaxies of total S/N 10 in each of five bands."""
    rng = np.random.default_rng(12)
    galaxy = draw_one(1.0, 4.0, 0.7, 0.4, 20.0, 20.0, 41)
    image = np.repeat(galaxy[None, None], 24, 0) + np.zeros((24, 5, 1, 1))
    sigma = float(np.sqrt((galaxy**2).sum()) / 10)
    image = image + rng.normal(0, sigma, image.shape)
    cutouts = cutouts_of(image, sigma=sigma, bands=tuple(BANDS))
    table = rosse.fit(cutouts, Sersic(bands={"n": degree}, bounds={"n": (0.5, 4.0)})).table()
    n = np.array([table[f"n_{band}"] for band in BANDS])
    assert np.isfinite(n).all()
    slack = 1e-6 if degree == 1 else 0.15  # between its nodes a parabola may rise over them a little
    assert (n > 0.5 * (1 - slack)).all()
    assert (n < 4.0 * (1 + slack)).all()
    assert ((n < 0.51) | (n > 3.99)).any(), "some galaxy is to reach a bound, or nothing is tested"
