"""Light of templates in bands: against GalSim, SciPy, astropy and published colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.cosmology import Planck18
from scipy import integrate

from rosse.errors import OptionError
from rosse.sky import photometry, templates
from rosse.sky.columns import PARTS
from rosse.sky.filters import FILTERS, curve
from rosse.sky.population import Population
from rosse.surveys import SURVEYS

galsim: Any = pytest.importorskip("galsim")

REDSHIFTS = (0.0, 0.07, 0.4, 1.1)
SDSS_R = SURVEYS["sdss"].select(("r",))


def bandpass(survey: str, band: str) -> Any:
    wavelength, throughput = curve(SURVEYS[survey], band)
    return galsim.Bandpass(galsim.LookupTable(wavelength, throughput, "linear"), "nm").withZeropoint("AB")


@pytest.mark.parametrize("survey", SURVEYS)
def test_every_band_of_every_survey_has_a_curve(survey: str) -> None:
    assert set(FILTERS[survey]) == set(SURVEYS[survey].bands)
    for band in SURVEYS[survey].bands:
        wavelength, throughput = curve(SURVEYS[survey], band)
        assert (np.diff(wavelength) > 0).all()
        assert throughput.min() >= 0
        assert throughput.max() > 0


# Mean or pivot wavelengths as published, nm: Fukugita+1996, Abbott+2021, Aihara+2018, Ivezic+2019, Euclid, STScI.
PUBLISHED = {
    ("sdss", "u"): 355, ("sdss", "g"): 469, ("sdss", "r"): 617, ("sdss", "i"): 748, ("sdss", "z"): 893,
    ("decals", "g"): 481, ("decals", "r"): 642, ("decals", "z"): 917,
    ("des", "i"): 781, ("des", "Y"): 990,
    ("hsc", "g"): 477, ("hsc", "r"): 622, ("hsc", "i"): 771, ("hsc", "z"): 891, ("hsc", "y"): 978,
    ("lsst", "g"): 483, ("lsst", "r"): 622, ("lsst", "i"): 755,
    ("euclid-vis", "VIS"): 715,
    ("hst-acs", "F814W"): 807, ("hst-acs", "F606W"): 596,
    ("jwst-nircam", "F115W"): 1154, ("jwst-nircam", "F200W"): 1990, ("jwst-nircam", "F444W"): 4421,
}  # fmt: skip


@pytest.mark.parametrize(("survey", "band"), PUBLISHED)
def test_bands_stand_where_the_surveys_say(survey: str, band: str) -> None:
    wavelength, throughput = curve(SURVEYS[survey], band)
    mean = np.trapezoid(wavelength * throughput, wavelength) / np.trapezoid(throughput, wavelength)
    assert mean == pytest.approx(PUBLISHED[survey, band], rel=0.015)


@pytest.mark.parametrize("survey", ["sdss", "lsst", "decals", "hst-acs"])
def test_colours_are_those_of_galsim(survey: str) -> None:
    """To 5 mmag, GalSim reading the files and integrating by itself."""
    reference = bandpass("sdss", "r")
    ours = -2.5 * np.log10(templates.template_light(np.array(REDSHIFTS), SURVEYS[survey]))
    ours_r = -2.5 * np.log10(templates.template_light(np.array(REDSHIFTS), SDSS_R))
    for number, name in enumerate(templates.NAMES):
        spectrum = galsim.SED(f"CWW_{name}_ext.sed", "ang", "flambda", fast=False)
        for i, z in enumerate(REDSHIFTS):
            seen = spectrum.atRedshift(z)
            r = seen.calculateMagnitude(reference)
            for j, band in enumerate(SURVEYS[survey].bands):
                expected = seen.calculateMagnitude(bandpass(survey, band)) - r
                assert ours[i, j, number] - ours_r[i, 0, number] == pytest.approx(expected, abs=5e-3), (name, z, band)


@pytest.mark.parametrize("z", [0.0, 0.2, 1.0])
def test_k_correction_is_the_integral_of_hogg(z: float) -> None:
    """Hogg+2002, eq. 8, by SciPy on GalSim's file: the factor 1 / (1 + z) included."""
    values = np.loadtxt(Path(galsim.meta_data.share_dir) / "SEDs" / "CWW_Sbc_ext.sed").T
    band, throughput = curve(SURVEYS["sdss"], "r")

    def photons(stretch: float) -> float:
        x = np.linspace(band[0], band[-1], 400_001)
        return float(integrate.simpson(x * np.interp(x, band, throughput) * np.interp(10 * x / stretch, *values), x=x))

    expected = -2.5 * np.log10(photons(1 + z) / photons(1.0) / (1 + z))
    found = -2.5 * np.log10(templates.template_light(np.array([z]), SDSS_R)[0, 0, 1])
    assert found == pytest.approx(expected, abs=3e-3)


def test_distances_are_those_of_astropy() -> None:
    z = np.geomspace(1e-4, 6, 50)
    np.testing.assert_allclose(photometry.distance_modulus(z), Planck18.distmod(z).value, atol=2e-5)
    np.testing.assert_allclose(
        photometry.kpc_per_arcsec(z), Planck18.kpc_proper_per_arcmin(z).to_value(u.kpc / u.arcsec), rtol=2e-5
    )
    np.testing.assert_allclose(photometry.comoving_volume(z), Planck18.comoving_volume(z).value, rtol=1e-4)


def test_a_mixture_has_unit_light_in_r() -> None:
    sed = np.linspace(0, 3, 31)
    share = templates.mixture(sed)
    np.testing.assert_allclose(share.sum(axis=-1), 1)
    light = templates.template_light(np.zeros(1), SDSS_R)[0, 0]
    np.testing.assert_allclose(share @ light, 1, rtol=1e-6)
    np.testing.assert_allclose(templates.colour(np.arange(4.0)), sorted(templates.colour(np.arange(4.0)))[::-1])


@pytest.fixture(scope="module")
def table() -> Any:
    return Population(4000, seed=3, limit=19.0, mix={"spiral": 4, "merger": 1, "elliptical": 2, "star": 1}).table()


def test_parts_add_up_to_mag_r(table: Any) -> None:
    flux = photometry.part_fluxes(table, "sdss")
    assert flux.shape == (4000, len(PARTS), 5)
    assert np.isfinite(flux).all()
    assert flux.min() >= 0
    magnitude = 22.5 - 2.5 * np.log10(flux.sum(axis=1)[:, 2])
    np.testing.assert_allclose(magnitude, table["mag_r"], atol=1e-9)
    absent = np.stack([np.asarray(table[name]) == 0 for name in photometry.SHARES], axis=1)
    assert (flux[absent] == 0).all()
    assert (flux[~absent] > 0).all()


def test_zero_points_of_surveys(table: Any) -> None:
    """The same r-like light in nanomaggies and nanojansky: 1 nanomaggy is 3.631 microjansky."""
    sdss = photometry.part_fluxes(table, "sdss").sum(axis=1)[:, 2] * 3.631e3
    lsst = photometry.part_fluxes(table, "lsst").sum(axis=1)[:, 2]
    assert np.abs(np.median(lsst / sdss) - 1) < 0.03


def test_magnitude_follows_from_mass_and_distance() -> None:
    """Absolute magnitude by Taylor+2011, K-correction and astropy's distance: without galaxies' mixtures."""
    table = Population(200, seed=1, mix={"elliptical": 1}).table()
    z, sed = np.asarray(table["z"]), np.asarray(table["bulge_sed"])
    absolute = (1.15 + 0.70 * templates.colour(sed, "g", "i")) / 0.4 + templates.colour(sed, "r", "i")
    light = np.einsum("bt,bt->b", templates.mixture(sed), templates.template_light(z, SDSS_R)[:, 0])
    expected = absolute - 2.5 * table["log_mass"] - 2.5 * np.log10(light) + Planck18.distmod(z).value - 0.97 * z
    np.testing.assert_allclose(table["mag_r"], expected, atol=0.01)


def test_stars_are_black_bodies(table: Any) -> None:
    star = np.asarray(table["kind"]) == "star"
    flux = photometry.part_fluxes(table[star], "sdss")
    assert (flux[:, 1:] == 0).all()
    g, r, i = -2.5 * np.log10(flux[:, 0, 1:4]).T
    # Ivezic+2008, eq. 3: temperature from g - r, good to 0.1 mag for a black body around 5,500 to 7,000 K
    temperature = np.asarray(table["temperature"])[star]
    warm = temperature > 5200
    assert np.abs((g - r)[warm] - (0.5 - 1.7e-4 * (temperature[warm] - 5700))).max() < 0.15
    assert stats_slope(g - r, r - i) > 0.4


def stats_slope(x: Any, y: Any) -> float:
    return float(np.polyfit(x, y, 1)[0])


def test_unknown_bands_and_surveys() -> None:
    table = Population(5).table()
    with pytest.raises(OptionError, match="did you mean 'sdss'"):
        photometry.part_fluxes(table, "sdds")
    own = SURVEYS["des"].select(("Y",))
    with pytest.raises(OptionError, match="no transmission curve of band 'Y'"):
        photometry.part_fluxes(table, type(own)(**{**vars(own), "name": "mine"}))
