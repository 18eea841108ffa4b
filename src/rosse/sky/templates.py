"""Spectra of stars in galaxies: four templates from old to young, what lies between them, and their light in any band.

The templates are those of Coleman, Wu & Weedman 1980 (doi:10.1086/190674), extended into the ultraviolet and infrared
by Bolzonella, Miralles & Pello 2000, as GalSim carries them. A spectrum's number runs from 0 (E) over 1 (Sbc) and 2
(Scd) to 3 (Im); between two numbers the neighbours are mixed, each having the same flux in rest-frame SDSS r.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rosse.errors import require
from rosse.sky.filters import curve
from rosse.sky.relations import intergalactic, mass_to_light
from rosse.surveys import SURVEYS, Survey

Array = NDArray[np.float64]

NAMES = ("E", "Sbc", "Scd", "Im")
MAX_Z = 6.0
SPEED_OF_LIGHT = 2.99792458e17  # nm/s
_REACH = 5600.0  # nm; the reddest band of a known survey ends at 5000 nm
_STEPS = 1000  # of ln(1 + z): 0.002 each


@lru_cache(maxsize=1)
def spectra() -> tuple[Array, Array]:
    """The templates, per unit wavelength.

    Returns
    -------
    tuple
        (W,) rest-frame wavelength, nm, and (4, W) f_lambda. Each template has a mean f_nu of 1 in SDSS r at z = 0;
        f_lambda is per nm, in that unit of f_nu times Hz.

    Notes
    -----
    The files end at 2205 nm. Beyond, f_lambda falls as wavelength^-3.5, which gives old stars K - [3.6] = -0.8 mag
    (AB), as observed; dust and molecules, which shine there in star-forming galaxies, are not in.
    """
    files = [_read(name) for name in NAMES]
    inside = np.unique(np.concatenate([wavelength for wavelength, _ in files]))
    beyond = np.geomspace(inside[-1], _REACH, 60)[1:]
    wavelength = np.concatenate([inside, beyond])
    flux = np.stack([_extended(w, f, wavelength) for w, f in files])
    band, throughput = curve(SURVEYS["sdss"], "r")
    return wavelength, flux / _mean(wavelength, flux, band, throughput)[:, None]


def _extended(wavelength: Array, flux: Array, onto: Array) -> Array:
    beyond = flux[-1] * (onto / wavelength[-1]) ** -3.5
    inside = np.interp(onto, wavelength, flux, left=0.0)
    return np.where(onto > wavelength[-1], beyond, inside)


def _read(name: str) -> tuple[Array, Array]:
    galsim = require("galsim", extra="sky")
    values = np.loadtxt(Path(galsim.meta_data.share_dir) / "SEDs" / f"CWW_{name}_ext.sed")
    return values[:, 0] / 10, values[:, 1]


def _mean(wavelength: Array, flux: Array, band: Array, throughput: Array) -> Array:
    """Mean f_nu through a photon-counting band, (4,), of (4, W) f_lambda (Hogg+2002, astro-ph/0210394, eq. 5)."""
    seen = np.stack([np.interp(band, wavelength, each) for each in flux])
    photons = np.trapezoid(seen * throughput * band, band, axis=1)
    return np.asarray(photons / np.trapezoid(throughput / band, band) / SPEED_OF_LIGHT)


def mean_flux(wavelength: Array, flux: Array, band: str) -> Array:
    """Mean f_nu in a band of SDSS, (B,), of (B, W) f_lambda at (W,) wavelengths, nm."""
    return _mean(wavelength, flux, *curve(SURVEYS["sdss"], band))


@lru_cache(maxsize=256)
def _light(survey: Survey, band: str) -> Array:
    """(Z, 4) mean f_nu of each template in a band at `_STEPS` + 1 redshifts, at a fixed luminosity distance."""
    wavelength, flux = spectra()
    at, throughput = curve(survey, band)
    stretch = np.exp(np.linspace(0, np.log1p(MAX_Z), _STEPS + 1))
    dimmed = [flux * intergalactic(wavelength, s - 1) for s in stretch]
    # f_lambda of a source at z is L_lambda(lambda / (1 + z)) / (1 + z): here all distances are the same
    return np.stack([_mean(wavelength * s, f / s, at, throughput) for s, f in zip(stretch, dimmed, strict=True)])


def template_light(z: Array, survey: Survey) -> Array:
    """Light of each template in each band, seen at a redshift but from 10 pc away.

    Parameters
    ----------
    z : (B,) redshift, 0 to 6.
    survey : C bands.

    Returns
    -------
    ndarray
        (B, C, 4) mean f_nu, in units of the template's own in SDSS r at z = 0. Its -2.5 log10 is the K-correction from
        SDSS r to the band.
    """
    place = np.log1p(z) * (_STEPS / np.log1p(MAX_Z))
    left = np.clip(place.astype(np.int64), 0, _STEPS - 1)
    part = (place - left)[:, None]
    tables = [_light(survey, band) for band in survey.bands]
    return np.stack([(1 - part) * t[left] + part * t[left + 1] for t in tables], axis=1)


def mixture(sed: Array) -> Array:
    """Share of each template, (..., 4), in the light in rest-frame SDSS r of spectra with these numbers, (...)."""
    return np.maximum(1.0 - np.abs(np.asarray(sed)[..., None] - np.arange(4.0)), 0.0)


def light_per_mass(sed: Array) -> Array:
    """Light in rest-frame SDSS r of a solar mass of stars, (...): 10^(-0.4 M_r).

    Mass-to-light ratio by the colour of the spectrum, `relations.mass_to_light`.
    """
    grid = np.linspace(0, 3, 301)
    return np.interp(sed, grid, _light_per_mass())


@lru_cache(maxsize=1)
def _light_per_mass() -> Array:
    share = mixture(np.linspace(0, 3, 301))
    light = template_light(np.zeros(1), SURVEYS["sdss"].select(("g", "r", "i")))[0]  # (3, 4)
    g, r, i = -2.5 * np.log10(share @ light.T).T
    return np.asarray(10 ** (-0.4 * (mass_to_light(g - i) + r - i)))


def colour(sed: Array, blue: str = "g", red: str = "r") -> Array:
    """Rest-frame SDSS colour, AB mag, of spectra with these numbers."""
    light = template_light(np.zeros(1), SURVEYS["sdss"].select((blue, red)))[0]
    first, second = np.moveaxis(mixture(sed) @ light.T, -1, 0)
    return np.asarray(-2.5 * np.log10(first / second))
