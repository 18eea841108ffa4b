"""Spectra: their magnitudes, line fluxes, widths and noise, each measured on the spectrum by other means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.cosmology import Planck18
from scipy import stats

import rosse
from rosse.errors import OptionError
from rosse.sky import lines, spectra
from rosse.sky.filters import curve
from rosse.surveys import SURVEYS


@pytest.fixture(scope="module")
def table() -> Any:
    mix = {"spiral": 5, "irregular": 2, "elliptical": 3, "star": 1, "merger": 1}
    return rosse.Population(200, seed=11, mix=mix).table()


@pytest.fixture(scope="module", params=spectra.SPECTROGRAPHS)
def observed(request: pytest.FixtureRequest, table: Any) -> spectra.Spectra:
    return spectra.observe_spectra(table, request.param, seed=3, snr=12)


def synthetic_r(wavelength: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """AB magnitude in SDSS r of spectra in 1e-17 erg/s/cm^2/Angstrom; units by astropy."""
    band, throughput = curve(SURVEYS["sdss"], "r")
    weight = np.interp(wavelength, band * 10, throughput, left=0, right=0)
    unit = 1e-17 * u.erg / u.s / u.cm**2 / u.AA
    mean = np.trapezoid(flux * weight * wavelength, wavelength) / np.trapezoid(weight * wavelength, wavelength)
    pivot = np.sqrt(np.trapezoid(weight * wavelength, wavelength) / np.trapezoid(weight / wavelength, wavelength))
    return (mean * unit).to(u.ABmag, u.spectral_density(pivot * u.AA)).value


def test_magnitude_of_a_spectrum_is_that_of_the_table(table: Any, observed: spectra.Spectra) -> None:
    """Through whatever dust, with lines: mag_r comes back, in magnitudes of astropy."""
    assert (np.asarray(table["dust_tau"]) > 1).sum() > 20
    found = synthetic_r(observed.wavelength, observed.truth)
    np.testing.assert_allclose(found, np.asarray(table["mag_r"]), atol=0.02)


def test_a_spectrum_is_as_bright_as_the_image(table: Any) -> None:
    """Noiseless images of the same rows, behind the same dust, in SDSS r."""
    from rosse.sky.draw import draw

    dusty = np.flatnonzero((np.asarray(table["type"]) == "spiral") & (np.asarray(table["dust_tau"]) > 1))[:6]
    some = table[dusty]
    flux = draw(some, "sdss", frame=301, seed=11).flux[:, 2].double().sum((1, 2)).numpy()
    seen = spectra.observe_spectra(some)
    apart = 22.5 - 2.5 * np.log10(flux) - synthetic_r(seen.wavelength, seen.truth)
    assert np.median(np.abs(apart)) < 0.02
    assert np.abs(apart).max() < 0.08


def test_dust_reddens_the_starlight(table: Any) -> None:
    """Slope of the continuum with the dust and without it, of discs without much of a bulge, which has no dust."""
    disc = (np.asarray(table["bulge_share"]) < 0.1) & (np.asarray(table["companion_share"]) == 0)
    dusty = table[disc & (np.asarray(table["dust_tau"]) > 1)]
    assert len(dusty) > 10
    clear = dusty.copy()
    clear["dust_tau"] = 0.0
    blue, red = (spectra.continuum(each, np.array([4700.0, 7500.0])) for each in (clear, dusty))
    assert (red[:, 1] / red[:, 0] > blue[:, 1] / blue[:, 0]).all()


def test_line_fluxes_are_in_the_spectrum(table: Any, observed: spectra.Spectra) -> None:
    """Summed over the pixels around H-alpha and [NII], above the light beside them."""
    z, lit = np.asarray(table["z"]), np.asarray(table["type"]) == "spiral"
    names = ("nii_6550", "h_alpha", "nii_6585")
    total = observed.line_flux[:, [observed.lines.index(name) for name in names]].sum(axis=1)
    step, measured = np.gradient(observed.wavelength), 0
    for row in np.flatnonzero(lit & (total > 0))[:40]:
        rest = observed.wavelength / (1 + z[row])
        near = np.abs(rest - 6567) < 60
        side = near & (np.abs(rest - 6567) > 45)
        base = np.polyval(np.polyfit(rest[side], observed.truth[row, side], 1), rest[near])
        if total[row] / base.mean() < 3:  # Angstrom: starlight itself is no straight line, by some 0.03 Angstrom
            continue
        assert np.sum((observed.truth[row, near] - base) * step[near]) == pytest.approx(total[row], rel=0.02)
        measured += 1
    assert measured > 20


def test_luminosities_are_those_of_the_star_formation_rate(table: Any) -> None:
    """Kennicutt & Evans 2012: 1 Msun/yr is 10^41.27 erg/s of H-alpha; flux by astropy's distance."""
    galaxy = np.asarray(table["kind"]) == "galaxy"
    found = spectra.halpha_luminosity(table)
    np.testing.assert_allclose(np.log10(found[galaxy]) - 41.27, np.asarray(table["log_sfr"])[galaxy], atol=1e-9)
    assert (found[~galaxy] == 0).all()
    clear = np.asarray(table["type"]) == "elliptical"
    flux = spectra.observe_spectra(table[clear]).line_flux[:, list(lines.LINES).index("h_alpha")] * 1e-17
    area = 4 * np.pi * Planck18.luminosity_distance(np.asarray(table["z"])[clear]).to_value(u.cm) ** 2
    np.testing.assert_allclose(flux * area, found[clear], rtol=1e-4)


def test_balmer_decrement_tells_the_dust(table: Any, observed: spectra.Spectra) -> None:
    """Dominguez+2013, eq. 4: E(B - V) = 1.97 log10 (decrement / 2.86) for Calzetti's curve; A_V is 4.05 times it."""
    galaxy = np.asarray(table["kind"]) == "galaxy"
    line = dict(zip(observed.lines, observed.line_flux[galaxy].T, strict=True))
    reddening = 1.97 * np.log10(line["h_alpha"] / line["h_beta"] / 2.86)
    np.testing.assert_allclose(4.05 * reddening, observed.attenuation[galaxy], rtol=0.02, atol=1e-6)


def test_width_of_a_line_is_rotation_and_resolution(table: Any, observed: spectra.Spectra) -> None:
    spectrograph = next(s for s in spectra.SPECTROGRAPHS.values() if len(s.edges()) == len(observed.wavelength) + 1)
    z = np.asarray(table["z"])
    row = np.flatnonzero((np.asarray(table["type"]) == "irregular") & (z < 0.1))[0]
    centre = 6564.61 * (1 + z[row])
    part = (centre - spectrograph.range[0]) / np.ptp(spectrograph.range)
    resolution = np.interp(part, [0, 1], spectrograph.resolution)
    expected = centre * np.hypot(observed.line_width[row] / 299792.458, 1 / 2.3548 / resolution)
    pixel = np.interp(centre, observed.wavelength, np.gradient(observed.wavelength))
    expected = np.hypot(expected, pixel / np.sqrt(12))  # the average over a pixel
    near = np.abs(observed.wavelength - centre) < 2.2 * expected  # [NII] is 20 Angstrom away
    light = observed.truth[row, near] - np.median(observed.truth[row, np.abs(observed.wavelength - centre) < 200])
    curvature = np.polyfit(observed.wavelength[near] - centre, np.log(light), 2)[0]
    assert np.sqrt(-0.5 / curvature) == pytest.approx(expected, rel=0.05)


def test_noise_is_what_ivar_says(table: Any, observed: spectra.Spectra) -> None:
    pulls = (observed.flux - observed.truth) * np.sqrt(observed.ivar)
    assert stats.kstest(pulls.ravel()[::7], "norm").pvalue > 1e-3
    ratio = np.median(observed.truth * np.sqrt(observed.ivar), axis=1)
    np.testing.assert_allclose(ratio, 12, rtol=1e-6)


def test_a_spectrum_does_not_depend_on_the_batch(table: Any) -> None:
    whole = spectra.observe_spectra(table, seed=5)
    part = spectra.observe_spectra(table[40:50], seed=5)
    np.testing.assert_allclose(part.flux, whole.flux[40:50], rtol=1e-12)
    assert not np.allclose(spectra.observe_spectra(table[40:50], seed=6).flux, part.flux)


def test_light_in_the_fibre(table: Any) -> None:
    magnitude = np.asarray(table["mag_r"])
    whole, part = (
        spectra.observe_spectra(table, fibre_mag=each) for each in (magnitude, magnitude + 2.5 * np.log10(4))
    )
    np.testing.assert_allclose(part.truth * 4, whole.truth, rtol=1e-9)
    np.testing.assert_allclose(part.line_flux * 4, whole.line_flux, rtol=1e-9)


def test_impossible_spectra(table: Any) -> None:
    with pytest.raises(OptionError, match="did you mean 'sdss'"):
        spectra.observe_spectra(table, "sds")
    with pytest.raises(OptionError, match="snr must be above 0; got -1"):
        spectra.observe_spectra(table, snr=-1)
