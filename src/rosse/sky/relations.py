"""Published relations of galaxies: pure functions, each with unit, paper and equation.

Masses are stellar masses in dex(Msun) for a Chabrier or Kroupa mass function; z is redshift.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Kelvin+2014 (doi:10.1093/mnras/stu1507), Table 3: class → log M*, alpha, phi* in 1e-3 Mpc^-3 dex^-1
HUBBLE_CLASSES = {
    "E": (10.94, -0.79, 0.85),
    "S0-Sa": (10.25, 0.87, 2.38),
    "Sab-Scd": (10.09, -0.01, 3.57),
    "Sd-Irr": (9.57, -1.36, 3.22),
}


def schechter(log_mass: Array, log_knee: Array | float, slope: float, density: Array | float) -> Array:
    """Galaxies per dex of mass, in the unit of `density` (Schechter 1976, eq. 1, per dex)."""
    x = 10 ** (log_mass - log_knee)
    return np.asarray(np.log(10) * density * x ** (slope + 1) * np.exp(-x))


def _leja(first: float, second: float, third: float, z: Array) -> Array:
    """Change since z = 0.2 of a parameter that is a parabola through its values at z = 0.2, 1.6 and 3."""
    a, b, c = np.polyfit([0.2, 1.6, 3.0], [first, second, third], 2)
    z = np.clip(z, 0.2, 3.0)
    return np.asarray(a * z**2 + b * z + c - first)


def mass_function(log_mass: Array, z: Array) -> Array:
    """Galaxies per comoving Mpc^3 and dex of stellar mass.

    Baldry+2012 (doi:10.1111/j.1365-2966.2012.20340.x), eq. 6 and Table 1 of the fit in the abstract, in the local
    Universe; from z = 0.2 to 3 its parameters move as those of Leja+2020 (doi:10.3847/1538-4357/ab7e27, Appendix B) do,
    and stay beyond.
    """
    knee = 10.66 + _leja(10.79, 10.88, 10.84, z)
    flat = schechter(log_mass, knee, -0.35, 3.96e-3 * 10 ** _leja(-2.44, -3.08, -4.14, z))
    steep = schechter(log_mass, knee, -1.47, 0.79e-3 * 10 ** _leja(-2.89, -3.29, -3.51, z))
    return np.asarray(flat + steep)


def hubble_class_shares(log_mass: Array) -> Array:
    """Shares, (..., 4), of the classes E, S0-Sa, Sab-Scd and Sd-Irr among galaxies of a mass (Kelvin+2014, Table 3)."""
    density = np.stack([schechter(log_mass, *values) for values in HUBBLE_CLASSES.values()], axis=-1)
    return np.asarray(density / density.sum(axis=-1, keepdims=True))


def mass_to_light(colour: Array) -> Array:
    """M_i of one solar mass of stars, AB mag, from rest-frame g - i (Taylor+2011, eq. 7, MNRAS 418, 1587).

    log M = 1.15 + 0.70 (g - i) - 0.4 M_i, solved for M_i at M = 1 Msun; scatter 0.1 dex.
    """
    return np.asarray((1.15 + 0.70 * colour) / 0.4)


def fading(z: Array) -> Array:
    """How much brighter stellar populations were, mag in r, than today's at the same mass.

    Q = 0.97 mag per unit redshift (McNaught-Roberts+2014, doi:10.1093/mnras/stu1886, Table 2), kept beyond z = 1.
    """
    return np.asarray(0.97 * np.clip(z, 0, 1))


FIRST_SIZES = 0.25  # lowest redshift of van der Wel+2014; nearer galaxies have its sizes, no larger ones


def _growth(z: Array, power: float) -> Array:
    return np.asarray((1 + np.maximum(z, FIRST_SIZES)) ** power)


def late_size(log_mass: Array, z: Array) -> Array:
    """Half-light semi-major axis of star-forming galaxies, kpc; scatter 0.16 dex.

    van der Wel+2014 (doi:10.1088/0004-637X/788/1/28), eq. 3 with slope 0.22 and Fig. 6: 8.9 kpc (1 + z)^-0.75 at
    5e10 Msun; the same below z = 0.25: extrapolated growth would lead further away from local relations, whose sizes
    are smaller by 0.1 dex and more (Shen+2003, doi:10.1046/j.1365-8711.2003.06740.x).
    """
    return np.asarray(8.9 * _growth(z, -0.75) * 10 ** (0.22 * (log_mass - 10.7)))


def early_size(log_mass: Array, z: Array) -> Array:
    """Half-light semi-major axis of quiescent galaxies, kpc; scatter 0.12 dex.

    van der Wel+2014, eq. 3 with slope 0.76 and Fig. 6: 5.6 kpc (1 + z)^-1.48 at 5e10 Msun, the same below z = 0.25.
    That relation holds above 2e10 Msun; below, sizes level off to those of dwarf ellipticals, 1.1 kpc
    (M / 1e9 Msun)^0.1 (Eigenthaler+2018, doi:10.3847/1538-4357/aaab60, Fig. 9), here added in quadrature.
    """
    massive = 5.6 * _growth(z, -1.48) * 10 ** (0.76 * (log_mass - 10.7))
    dwarf = 1.1 * 10 ** (0.1 * (log_mass - 9))
    return np.asarray(np.hypot(massive, dwarf))


def spheroid_index(log_mass: Array) -> Array:
    """Sersic index of ellipticals; scatter 0.13 dex.

    Graham & Guzman 2003 (doi:10.1086/374992), eq. 16: M_B = -9.4 log n - 14.3; with M/L_B = 5 solar and the sun's
    M_B = 5.44.
    """
    magnitude = 5.44 - 2.5 * (log_mass - np.log10(5.0))
    return np.asarray(10 ** np.clip((-14.3 - magnitude) / 9.4, 0.0, 0.95))


def bulge_to_total(t_type: Array) -> Array:
    """Median share of the bulge by Hubble stage, scatter 0.25 dex.

    Through the medians of Graham & Worley 2008 (doi:10.1111/j.1365-2966.2008.13506.x, Table 4; near infrared, corrected
    for dust) and Weinzirl+2009 (doi:10.1088/0004-637X/696/1/411, Table 7).
    """
    stages = [-3, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10]
    medians = [0.38, 0.30, 0.27, 0.24, 0.19, 0.14, 0.10, 0.07, 0.045, 0.03, 0.02, 0.01]
    return np.asarray(10 ** np.interp(t_type, stages, np.log10(medians)))


def bulge_index(t_type: Array) -> Array:
    """Median Sersic index of bulges by Hubble stage, scatter 0.15 dex (Graham & Worley 2008, Table 4)."""
    return np.interp(t_type, [-3, 0, 2, 4, 6, 8], [2.9, 2.4, 2.1, 1.7, 1.3, 1.0])


def bulge_over_disc_size(t_type: Array) -> Array:
    """Half-light radius of the bulge over scale length of the disc: 0.2, scatter 0.13 dex (Graham & Worley 2008, 4.2).

    Nearly the same for all types, as they find.
    """
    return np.interp(t_type, [-3, 0, 8], [0.23, 0.21, 0.20])


def thickness(t_type: Array) -> Array:
    """Scale height over scale length of discs; scatter 0.1 dex.

    de Grijs 1998 (doi:10.1046/j.1365-8711.1998.01896.x), Fig. 5, and Kregel+2002 (doi:10.1046/j.1365-8711.2002.05556.x,
    mean of 0.137): early types are twice as thick as late ones. Irregulars are thick: axis ratios of 0.4 and more
    (Sanchez-Janssen+2010, doi:10.1111/j.1745-3933.2010.00883.x).
    """
    return np.interp(t_type, [-3, 0, 3, 7, 8, 10], [0.24, 0.19, 0.145, 0.11, 0.13, 0.4])


def bar_over_scale_length(t_type: Array) -> Array:
    """Semi-major axis of the bar over scale length of the disc, scatter 0.15 dex (Erwin 2005, MNRAS 364, 283)."""
    return np.interp(t_type, [-3, 2, 5, 8], [1.3, 1.4, 0.7, 0.6])


def pitch_angle(t_type: Array) -> Array:
    """Mean pitch angle of spiral arms, degrees; scatter 5 degrees.

    Kennicutt 1981 (doi:10.1086/113064, Fig. 7) and Yu & Ho 2019 (doi:10.3847/1538-4357/ab45e0, Fig. 4).
    """
    return np.interp(t_type, [0, 1, 3, 4, 5, 6, 8], [9, 11, 15, 17, 20, 22, 25])


# Share of galaxies with 1, 2, 3, 4 and 5 arms among spirals whose arms can be counted: Hart+2016
# (doi:10.1093/mnras/stw1588), Table 3, debiased volunteers' votes, rounded.
ARM_SHARES = (0.06, 0.59, 0.20, 0.09, 0.06)


def star_formation(log_mass: Array, z: Array) -> Array:
    """Star formation rate of the main sequence, dex(Msun/yr); scatter 0.2 dex.

    Speagle+2014 (doi:10.1088/0067-0049/214/2/15), eq. 28: (0.84 - 0.026 t) log M - (6.51 - 0.11 t), t being the age of
    the Universe in Gyr.
    """
    t = age(z)
    return np.asarray((0.84 - 0.026 * t) * log_mass - (6.51 - 0.11 * t))


def age(z: Array) -> Array:
    """Age of the Universe, Gyr: flat, matter and a cosmological constant of Planck18 (H0 = 67.66, Om = 0.3111).

    Closed form of Peebles 1993, eq. 13.20; radiation, which it leaves out, takes 0.1 %.
    """
    matter, hubble_time = 0.3111, 977.792 / 67.66
    root = np.sqrt((1 - matter) / matter) * (1 + z) ** -1.5
    return np.asarray(2 / 3 * hubble_time / np.sqrt(1 - matter) * np.arcsinh(root))


def metallicity(log_mass: Array) -> Array:
    """Gas metallicity, 12 + log(O/H); scatter 0.1 dex.

    The galaxies of Tremonti+2004 (doi:10.1086/423264) on the scale of Pettini & Pagel 2004, O3N2, which agrees with
    the temperatures of the gas: Kewley & Ellison 2008 (doi:10.1086/587500), Table 2, from 10^8.5 to 10^11 Msun; below,
    a slope of 0.3 dex per dex (Berg+2012, doi:10.1088/0004-637X/754/2/98).
    """
    x = np.clip(log_mass, 8.5, 11.0)
    return np.asarray(32.1488 - 8.51258 * x + 0.976384 * x**2 - 0.0359763 * x**3 + 0.3 * np.minimum(log_mass - 8.5, 0))


def blackbody(wavelength: Array, temperature: Array) -> Array:
    """Planck's law per unit wavelength, in units of 2 h c^2 / nm^5; wavelength in nm, temperature in K."""
    return np.asarray(wavelength**-5.0 / np.expm1(1.438776877e7 / (wavelength * temperature)))


# Lyman alpha to delta: wavelength, nm, and strength of their forest.
_FOREST = ((121.567, 3.6e-3), (102.572, 1.7e-3), (97.254, 1.2e-3), (94.974, 9.3e-4))


def intergalactic(wavelength: Array, z: float) -> Array:
    """Share of light that intergalactic hydrogen lets through; wavelength as emitted, nm.

    Madau 1995 (doi:10.1086/175332), eqs. 12 to 15 for the forest of Lyman alpha to delta and the approximation of
    footnote 3 for the Lyman continuum.
    """
    seen = wavelength * (1 + z)
    tau = np.zeros_like(wavelength)
    for line, strength in _FOREST:
        tau += np.where(wavelength < line, strength * (seen / line) ** 3.46, 0.0)
    emitted = 1 + z
    absorbed = np.clip(seen / 91.175, 1.0, emitted)  # absorbers at z = 0 are the last
    continuum = 0.25 * absorbed**3 * (emitted**0.46 - absorbed**0.46)
    continuum += 9.4 * absorbed**1.5 * (emitted**0.18 - absorbed**0.18)
    continuum -= 0.7 * absorbed**3 * (absorbed**-1.32 - emitted**-1.32)
    continuum -= 0.023 * (emitted**1.68 - absorbed**1.68)
    return np.asarray(np.exp(-tau - np.maximum(continuum, 0.0)))
