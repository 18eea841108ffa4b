"""Emission lines and dust: pure functions, each with unit, paper and equation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Name → wavelength in vacuum, Angstrom (NIST Atomic Spectra Database, Ritz).
LINES = {
    "oii_3727": 3727.10,
    "oii_3730": 3729.86,
    "h_beta": 4862.69,
    "oiii_4960": 4960.30,
    "oiii_5008": 5008.24,
    "nii_6550": 6549.86,
    "h_alpha": 6564.61,
    "nii_6585": 6585.27,
    "sii_6718": 6718.29,
    "sii_6733": 6732.67,
}
BALMER = 2.86  # H-alpha over H-beta at 10^4 K and 100 cm^-3, case B (Osterbrock & Ferland 2006, Table 4.4)
SOLAR = 8.69  # 12 + log(O/H) of the sun (Allende Prieto+2001), the zero of the polynomials of Curti+2020

# Curti+2020 (doi:10.1093/mnras/stz2910), Table 2: log of a ratio as a polynomial in 12 + log(O/H) - 8.69.
_OII = (0.435, -1.362, -5.655, -4.851, -0.478, 0.736)  # [OII] 3727 + 3730 over H-beta
_OIII = (-0.277, -3.549, -3.593, -0.981)  # [OIII] 5008 over H-beta
_NII = (-0.489, 1.513, -2.554, -5.293, -2.867)  # [NII] 6585 over H-alpha
_SII = (-0.442, -0.360, -6.271, -8.339, -3.559)  # [SII] 6718 + 6733 over H-alpha


def halpha_of(log_sfr: Array) -> Array:
    """Luminosity of H-alpha, erg/s, before dust; SFR in dex(Msun/yr).

    Kennicutt & Evans 2012 (doi:10.1146/annurev-astro-081811-125610), eq. 12, Table 1: log SFR = log L - 41.27.
    """
    return np.asarray(10 ** (log_sfr + 41.27))


def line_ratios(log_oh: Array) -> Array:
    """Luminosity of each of `LINES` over that of H-alpha, before dust.

    Parameters
    ----------
    log_oh : (B,) gas metallicity; beyond 7.6 and 8.85, where Curti+2020 end, the ratios stay.

    Returns
    -------
    ndarray
        (B, L). Within doublets the ratios are fixed: [OIII] 2.98 (Storey & Zeippen 2000), [NII] 3.05, and at low
        density [OII] 3730/3727 = 1.4 and [SII] 6718/6733 = 1.4 (Osterbrock & Ferland 2006, Fig. 5.8).
    """
    x = np.clip(log_oh, 7.6, 8.85) - SOLAR
    oii, oiii, nii, sii = (10 ** np.polynomial.polynomial.polyval(x, c) for c in (_OII, _OIII, _NII, _SII))
    beta = np.full_like(x, 1 / BALMER)
    ratios = {
        "oii_3727": oii * beta / 2.4,
        "oii_3730": oii * beta * 1.4 / 2.4,
        "h_beta": beta,
        "oiii_4960": oiii * beta / 2.98,
        "oiii_5008": oiii * beta,
        "nii_6550": nii / 3.05,
        "h_alpha": np.ones_like(x),
        "nii_6585": nii,
        "sii_6718": sii * 1.4 / 2.4,
        "sii_6733": sii / 2.4,
    }
    return np.stack([ratios[name] for name in LINES], axis=1)


def calzetti(wavelength: Array) -> Array:
    """Attenuation over that at 550 nm; wavelength in Angstrom.

    Calzetti+2000 (doi:10.1086/308692), eq. 4, k / 4.05; its blue branch below 6300 A and its red one above, held at
    its ends, 1200 A and 22000 A.
    """
    x = 1e4 / np.clip(wavelength, 1200.0, 22000.0)  # per micrometre
    blue = 2.659 * (-2.156 + 1.509 * x - 0.198 * x**2 + 0.011 * x**3) + 4.05
    red = 2.659 * (-1.857 + 1.040 * x) + 4.05
    return np.where(x > 1 / 0.63, blue, red) / 4.05


def slab(tau: Array) -> Array:
    """Share of the light that leaves a layer in which dust and stars are mixed, of optical depth `tau` across.

    (1 - exp(-tau)) / tau (Disney, Davies & Phillipps 1989, doi:10.1093/mnras/239.3.939, eq. 6).
    """
    small = np.maximum(tau, 1e-9)  # at tau = 0 the quotient is 0 / 0
    return np.asarray(-np.expm1(-small) / small)


def mean_depth(tau: Array, inclination: Array) -> Array:
    """Optical depth at 550 nm that the light of a disc meets on average, across the whole layer.

    A quarter of the central one for dust and stars of the same scale length (the integral of exp(-2 x) x over that of
    exp(-x) x), longer by 1 / cos i, at most 6.7 for a disc of finite thickness.
    """
    return np.asarray(tau / 4 / np.maximum(np.cos(np.radians(inclination)), 0.15))


def rotation(log_mass: Array) -> Array:
    """Rotation velocity of discs, km/s (Reyes+2011, doi:10.1111/j.1365-2966.2011.19415.x, Table 4)."""
    return np.asarray(10 ** (2.142 + 0.278 * (log_mass - 10.10)))
