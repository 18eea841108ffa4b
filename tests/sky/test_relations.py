"""Relations against other papers, astropy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.cosmology import Planck18
from astropy.modeling.physical_models import BlackBody
from scipy import integrate, special

from rosse.sky import lines, relations, sizes
from rosse.sky.hubble import GALAXIES, type_shares
from rosse.sky.templates import colour, light_per_mass

MASS = np.linspace(9.0, 11.0, 21)  # beyond, each of the two samples has a few dozen galaxies


def test_local_mass_function_agrees_with_another_survey() -> None:
    """Kelvin+2014's double Schechter function, from the abstract; its fit is to other galaxies of GAMA."""
    x = 10 ** (MASS - 10.64)
    kelvin = np.log(10) * np.exp(-x) * 1e-3 * (4.18 * x**0.57 + 0.74 * x**-0.5)
    ratio = relations.mass_function(MASS, np.zeros_like(MASS)) / kelvin
    assert np.abs(ratio - 1).max() < 0.15


def test_mass_density_falls_with_redshift_as_observed() -> None:
    """Madau & Dickinson 2014, Fig. 11: about half of today's stellar mass was there at z = 1, a fifth at z = 2."""

    def density(z: float) -> float:
        return float(integrate.quad(lambda m: relations.mass_function(np.array(m), np.array(z)) * 10**m, 8, 12.5)[0])

    assert 0.45 < density(1.0) / density(0.1) < 0.75
    assert 0.12 < density(2.0) / density(0.1) < 0.40


def test_hubble_classes_hold_the_published_share_of_mass() -> None:
    """Kelvin+2014, abstract: E : S0-Sa : Sab-Scd : Sd-Irr = 34 : 37 : 24 : 5 of the stellar mass above 1e9 Msun."""
    masses = [
        integrate.quad(lambda m, v=values: relations.schechter(m, *v) * 10**m, 9, 13)[0]
        for values in relations.HUBBLE_CLASSES.values()
    ]
    np.testing.assert_allclose(np.array(masses) / sum(masses), [0.34, 0.37, 0.24, 0.05], atol=0.03)


def test_types_share_out_all_galaxies() -> None:
    mass = np.linspace(6, 13, 200)
    shares = dict(zip(GALAXIES, type_shares(mass).T, strict=True))
    np.testing.assert_allclose(sum(shares.values()), 1, rtol=1e-12)
    assert min(share.min() for share in shares.values()) >= 0
    assert shares["elliptical"][mass > 12].min() > 0.6
    assert shares["elliptical"][(mass > 9.5) & (mass < 10.3)].max() < 0.3
    assert shares["dwarf"][40] > 0.25  # 7.4


def test_age_is_that_of_astropy() -> None:
    z = np.array([0.0, 0.1, 1.0, 3.0, 6.0])
    np.testing.assert_allclose(relations.age(z), Planck18.age(z).value, rtol=5e-3)


def test_main_sequence_agrees_with_a_local_one() -> None:
    """Renzini & Peng 2015, eq. 4: log SFR = 0.76 log M - 7.64 at z < 0.085."""
    mass = np.linspace(9, 10.8, 10)
    assert np.abs(relations.star_formation(mass, np.full(10, 0.05)) - (0.76 * mass - 7.64)).max() < 0.25


def test_mass_to_light_agrees_with_another_calibration() -> None:
    """Bell+2003, Table 7: log M/L_r = -0.306 + 1.097 (g - r), less 0.15 dex for a Kroupa mass function.

    The two calibrations differ by up to 0.2 dex in red galaxies (Taylor+2011, Sect. 5.3).
    """
    sed = np.linspace(0, 2.5, 11)
    ratio = np.log10(10 ** (-0.4 * 4.65) / light_per_mass(sed))  # the sun has M_r = 4.65 (Willmer 2018)
    assert np.abs(ratio - (-0.456 + 1.097 * colour(sed))).max() < 0.2


def test_planck_law_is_that_of_astropy() -> None:
    wavelength = np.linspace(300, 1000, 50)
    law = BlackBody(5800 * u.K, scale=1 * u.erg / u.s / u.cm**2 / u.nm / u.sr)(wavelength * u.nm).value
    np.testing.assert_allclose(
        relations.blackbody(wavelength, np.array(5800.0)) / relations.blackbody(np.array(550.0), np.array(5800.0)),
        law / BlackBody(5800 * u.K, scale=1 * u.erg / u.s / u.cm**2 / u.nm / u.sr)(550 * u.nm).value,
        rtol=1e-6,
    )


@pytest.mark.parametrize("n", [0.6, 1.0, 2.5, 4.0, 8.0])
def test_light_within_a_radius(n: float) -> None:
    x = np.geomspace(0.01, 50, 200)
    b = special.gammaincinv(2 * n, 0.5)
    exact = special.gammainc(2 * n, b * x ** (1 / n))
    np.testing.assert_allclose(sizes.within(np.full(200, n), np.log(x)), exact, atol=1.5e-3)


def test_half_light_radius_of_bulge_and_disc() -> None:
    rng = np.random.default_rng(0)
    share, n, ratio = rng.uniform(0, 1, 20), rng.uniform(0.8, 5, 20), rng.uniform(0.05, 0.4, 20)
    found = sizes.half_light(share, n, np.ones(20), ratio)

    def profile(r: float, k: float) -> float:  # surface brightness of unit total light, half-light radius 1
        b = special.gammaincinv(2 * k, 0.5)
        return float(np.exp(-b * r ** (1 / k)) / (2 * np.pi * k * b ** (-2 * k) * special.gamma(2 * k)))

    def light(radius: float, k: float) -> float:
        return float(integrate.quad(lambda r: 2 * np.pi * r * profile(r, k), 0, radius, limit=200)[0])

    for s, k, q, radius in zip(share, n, ratio, found, strict=True):
        assert abs(s * light(radius / q, k) + (1 - s) * light(radius, 1.0) - 0.5) < 2e-3


def test_attenuation_curve_at_the_balmer_lines() -> None:
    """Calzetti+2000 as tabulated by Dominguez+2013 (doi:10.1088/0004-637X/763/2/145): k = 3.33 and 4.60."""
    k = lines.calzetti(np.array([6564.6, 4862.7, 5500.0])) * 4.05
    np.testing.assert_allclose(k, [3.33, 4.60, 4.05], atol=0.02)


def test_layer_of_stars_and_dust() -> None:
    tau = np.array([0.0, 0.1, 1.0, 5.0])
    direct = [integrate.quad(lambda x, t=t: np.exp(-t * x), 0, 1)[0] for t in tau]
    np.testing.assert_allclose(lines.slab(tau), direct, rtol=1e-6)
    light = integrate.quad(lambda x: np.exp(-2 * x) * x, 0, 50)[0] / integrate.quad(lambda x: np.exp(-x) * x, 0, 50)[0]
    np.testing.assert_allclose(lines.mean_depth(np.array([2.0]), np.array([60.0])), 2.0 * light / 0.5)


def test_line_ratios_of_a_solar_galaxy_and_a_poor_one() -> None:
    """The sequence of HII regions: Kauffmann+2003 (doi:10.1111/j.1365-2966.2003.07154.x), eq. 1, is its upper edge."""
    metal = np.linspace(8.1, 8.8, 8)
    ratio = dict(zip(lines.LINES, lines.line_ratios(metal).T, strict=True))
    n2, o3 = np.log10(ratio["nii_6585"]), np.log10(ratio["oiii_5008"] / ratio["h_beta"])
    assert (o3 < 0.61 / (n2 - 0.05) + 1.3).all()
    assert (np.diff(n2) > 0).all()
    assert (np.diff(o3) < 0).all()
    np.testing.assert_allclose(ratio["h_alpha"] / ratio["h_beta"], 2.86)
    # O3N2 of Pettini & Pagel 2004, eq. 3, gives the metallicity back: 95 % of HII regions are within 0.25 dex
    np.testing.assert_allclose((8.73 - 0.32 * (o3 - n2))[1:], metal[1:], atol=0.25)


def test_intergalactic_hydrogen() -> None:
    """Effective depth of the Lyman alpha forest, Faucher-Giguere+2008: 0.0018 (1 + z)^3.92 from z = 2 to 4."""
    for z in (2.2, 3.0, 4.0):
        wavelength = np.linspace(104, 119, 16)  # between Lyman alpha and beta
        absorber = wavelength * (1 + z) / 121.567
        depth = -np.log(relations.intergalactic(wavelength, z))
        assert np.abs(depth / (0.0018 * absorber**3.92) - 1).max() < 0.35
    assert (relations.intergalactic(np.array([122.0, 500.0]), 6.0) == 1).all()
    # the mean free path at z = 3 is so short that hardly any light below 60 nm arrives (Madau 1995, Fig. 3)
    assert relations.intergalactic(np.array([60.0]), 3.0)[0] < 0.1
    np.testing.assert_allclose(relations.intergalactic(np.array([50.0, 90.0]), 0.0), 1, atol=0.02)


def test_sizes_agree_with_the_local_universe() -> None:
    """Shen+2003, eq. 18 and Table 1 (late types, circularised half-light radii in z, kpc).

    A disc of random inclination has a semi-major axis 1.25 times its circularised radius, and is 1.1 times as large in
    r as in z (Kelvin+2012, doi:10.1111/j.1365-2966.2012.20355.x, Fig. 20). Van der Wel+2014 find larger discs than
    Shen+2003, by less than the 0.2 dex that galaxies scatter by.
    """
    mass = np.linspace(9, 11, 9)
    shen = 0.1 * 10 ** (0.14 * mass) * (1 + 10**mass / 3.98e10) ** 0.25
    assert np.abs(np.log10(relations.late_size(mass, np.full(9, 0.1)) / (1.25 * 1.1 * shen))).max() < 0.2
