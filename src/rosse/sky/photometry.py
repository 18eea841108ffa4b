"""From stellar mass to flux in any band: distances, K-corrections and the light of each part."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rosse.sky.columns import PARTS
from rosse.sky.relations import blackbody, fading
from rosse.sky.templates import MAX_Z, SPEED_OF_LIGHT, light_per_mass, mixture, template_light
from rosse.surveys import SURVEYS, Survey, survey

if TYPE_CHECKING:
    from astropy.table import Table

Array = NDArray[np.float64]

SHARES = tuple(f"{part}_share" for part in ("bulge", "disc", "bar", "arm", "ring", "clump", "tide", "companion"))
# Whose spectrum a part has, in the order of PARTS: bars and tides are the disc's stars.
SEDS = ("bulge_sed", "disc_sed", "disc_sed", "young_sed", "young_sed", "young_sed", "disc_sed", "companion_sed")


def part_fluxes(table: Table, seen_by: Survey | str) -> Array:
    """Flux of each part of each object in each band, before the dust of the galaxy dims it.

    Parameters
    ----------
    table : B rows of a population.
    seen_by : the survey, or its name: C bands.

    Returns
    -------
    ndarray
        (B, K, C) in the survey's flux units; K parts in the order of `PARTS`. The parts of a galaxy add up to its
        `mag_r` in SDSS r. All light of a star stands in the first part.
    """
    known = survey(seen_by)
    z = np.asarray(table["z"], dtype=float)
    star = np.asarray(table["temperature"], dtype=float)
    weight = part_mixtures(table)  # (B, K, 4)
    reference = template_light(z, SURVEYS["sdss"].select(("r",)))[:, 0]  # (B, 4)
    total = np.einsum("bkt,bt->b", weight, reference)
    flux = np.einsum("bkt,bct->bkc", weight, template_light(z, known))
    is_star = np.isfinite(star)
    flux /= np.where(is_star, 1.0, total)[:, None, None]
    if is_star.any():
        flux[is_star] = 0.0
        flux[is_star, 0] = star_colours(star[is_star], known)
    magnitude = np.asarray(table["mag_r"], dtype=float)
    return np.asarray(flux * 10 ** (-0.4 * (magnitude[:, None, None] - np.asarray(known.zeropoint))))


def part_mixtures(table: Table) -> Array:
    """Light of each part in each template per solar mass of the galaxy, (B, K, 4), in rest-frame SDSS r."""
    share = np.stack([np.asarray(table[name], dtype=float) for name in SHARES], axis=1)
    sed = np.stack([np.asarray(table[name], dtype=float) for name in SEDS], axis=1)
    return light_in_templates(share, sed)


def light_in_templates(share: Array, sed: Array) -> Array:
    """(B, K, 4) from (B, K) shares of mass and numbers of spectra; what has no share has no light."""
    lit = share > 0
    number = np.where(lit, sed, 0.0)
    light = np.where(lit, share * light_per_mass(number), 0.0)
    return np.asarray(light[..., None] * mixture(number))


def apparent_r(log_mass: Array, light: Array, z: Array) -> Array:
    """Apparent magnitude in SDSS r.

    Parameters
    ----------
    log_mass : (B,) stellar mass, dex(Msun).
    light : (B, 4) light in each template per solar mass, 10^(-0.4 M_r).
    z : (B,) redshift.
    """
    seen = template_light(z, SURVEYS["sdss"].select(("r",)))[:, 0]
    absolute = -2.5 * (log_mass + np.log10(np.einsum("bt,bt->b", light, seen)))
    return np.asarray(absolute + distance_modulus(z) - fading(z))


def star_colours(temperature: Array, seen_by: Survey) -> Array:
    """Flux of a star in each band over its flux in SDSS r, (B, C): a black body's mean f_nu."""
    from rosse.sky.filters import curve

    def seen(known: Survey, band: str) -> Array:
        wavelength, throughput = curve(known, band)
        spectrum = blackbody(wavelength, temperature[:, None])
        photons = np.trapezoid(spectrum * throughput * wavelength, wavelength, axis=1)
        return np.asarray(photons / np.trapezoid(throughput / wavelength, wavelength) / SPEED_OF_LIGHT)

    reference = seen(SURVEYS["sdss"], "r")
    return np.stack([seen(seen_by, band) / reference for band in seen_by.bands], axis=1)


@lru_cache(maxsize=1)
def _distances() -> tuple[Array, Array, Array, Array]:
    """Grid of ln z with distance modulus, ln(kpc per arcsec) and comoving volume of the whole sky, Mpc^3 (Planck18)."""
    from astropy.cosmology import Planck18

    grid = np.geomspace(1e-6, MAX_Z + 0.5, 3000)
    scale = Planck18.kpc_proper_per_arcmin(grid).value / 60
    return np.log(grid), Planck18.distmod(grid).value, np.log(scale), Planck18.comoving_volume(grid).value


def distance_modulus(z: Array) -> Array:
    """Distance modulus, mag (Planck Collaboration 2020, VI, by astropy); interpolated to better than 1e-5 mag."""
    grid, modulus, _, _ = _distances()
    return np.interp(np.log(np.maximum(z, 1e-6)), grid, modulus)


def kpc_per_arcsec(z: Array) -> Array:
    """Proper length of an arcsecond at a redshift, kpc (Planck18). Redshifts below 1e-6 count as 1e-6."""
    grid, _, scale, _ = _distances()
    return np.exp(np.interp(np.log(np.maximum(z, 1e-6)), grid, scale))


def comoving_volume(z: Array) -> Array:
    """Comoving volume of the whole sky within a redshift, Mpc^3 (Planck18)."""
    grid, _, _, volume = _distances()
    return np.exp(np.interp(np.log(np.maximum(z, 1e-6)), grid, np.log(volume)))


assert len(SHARES) == len(SEDS) == len(PARTS)
