"""An optical spectrum of each galaxy: starlight of its parts, emission lines, dust, resolution and noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from rosse.errors import OptionError, unknown_name
from rosse.sky import chance
from rosse.sky.filters import curve
from rosse.sky.lines import LINES, calzetti, halpha_of, line_ratios, mean_depth, rotation, slab
from rosse.sky.photometry import distance_modulus, part_mixtures
from rosse.sky.relations import blackbody
from rosse.sky.templates import mean_flux
from rosse.sky.templates import spectra as template_spectra
from rosse.surveys import SURVEYS

if TYPE_CHECKING:
    from astropy.table import Table

Array = NDArray[np.float64]

UNIT = 1e-17  # erg/s/cm^2, and per Angstrom for the continuum: the unit in which SDSS and DESI write spectra
_AB = 3.6307805477e-20  # erg/s/cm^2/Hz of a source of magnitude 0
_LIGHT = 2.99792458e18  # Angstrom/s
_SKY = 20.9  # mag/arcsec^2 of the dark sky in r, here for all wavelengths
LEAST_STARLIGHT = 0.1  # of the light in r, whatever the lines
_WINDOW = 70  # pixels to each side in which a line is drawn
_BRIDGED = 25.0  # Angstrom to each side of a line where the templates, which hold lines themselves, are bridged


@dataclass(frozen=True, kw_only=True)
class Spectrograph:
    """An instrument that takes spectra through fibres.

    Parameters
    ----------
    name : key in `SPECTROGRAPHS`.
    range : first and last wavelength, Angstrom, in vacuum.
    step : width of a pixel, Angstrom, or dex where `logarithmic`.
    resolution : lambda over its full width at half maximum, at both ends of the range.
    fibre : diameter of a fibre, arcsec.
    """

    name: str
    range: tuple[float, float]
    step: float
    logarithmic: bool
    resolution: tuple[float, float]
    fibre: float

    def edges(self) -> Array:
        """(W + 1,) edges of the pixels, Angstrom."""
        low, high = self.range
        if self.logarithmic:
            return np.asarray(low * 10 ** (self.step * np.arange(round(np.log10(high / low) / self.step) + 1)))
        return np.asarray(low + self.step * np.arange(round((high - low) / self.step) + 1))


SPECTROGRAPHS = {
    each.name: each
    for each in (
        # Smee+2013 (doi:10.1088/0004-6256/146/2/32), SDSS-I spectrographs
        Spectrograph(name="sdss", range=(3800, 9200), step=1e-4, logarithmic=True, resolution=(1850, 2200), fibre=3.0),
        # DESI Collaboration 2022 (doi:10.3847/1538-3881/ac882b), Table 1 and Fig. 33
        Spectrograph(name="desi", range=(3600, 9824), step=0.8, logarithmic=False, resolution=(2000, 5500), fibre=1.5),
    )
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectra:
    """Spectra of B galaxies on W pixels.

    Parameters
    ----------
    wavelength : (W,) centres of the pixels, Angstrom, in vacuum.
    flux : (B, W) observed flux, 1e-17 erg/s/cm^2/Angstrom.
    ivar : (B, W) its inverse variance.
    truth : (B, W) the same without noise.
    lines : names of L lines.
    line_flux : (B, L) flux of each line as observed, behind the galaxy's dust, 1e-17 erg/s/cm^2.
    line_width : (B,) one-sigma width of the lines, km/s, before the instrument's resolution.
    attenuation : (B,) dimming of the lines at 550 nm by the galaxy's dust, mag.
    """

    wavelength: Array
    flux: Array
    ivar: Array
    truth: Array
    lines: tuple[str, ...]
    line_flux: Array
    line_width: Array
    attenuation: Array


def observe_spectra(
    table: Table, instrument: str = "sdss", *, seed: int = 0, snr: float = 15.0, fibre_mag: Array | None = None
) -> Spectra:
    """Spectra of the rows of a population.

    Parameters
    ----------
    table : B rows.
    instrument : a name in `SPECTROGRAPHS`.
    seed : of the noise, which depends on it and on the row's `id` only.
    snr : median of signal over noise in a pixel.
    fibre_mag : (B,) magnitude in SDSS r of the light in the fibre as seen, lines and all, behind the galaxy's dust.
        Without it all of the galaxy's light is in: `mag_r`.

    Notes
    -----
    The templates resolve about 10 Angstrom: absorption lines are no finer than that. The noise is that of the source
    and a sky of 20.9 mag/arcsec^2 in the fibre; lines of the night sky are not in.
    """
    if instrument not in SPECTROGRAPHS:
        raise OptionError(unknown_name("instrument", instrument, SPECTROGRAPHS))
    if not snr > 0:
        raise OptionError(f"snr must be above 0; got {snr}")
    known = SPECTROGRAPHS[instrument]
    edges = known.edges()
    wavelength = (edges[1:] + edges[:-1]) / 2
    magnitude = np.asarray(table["mag_r"], dtype=float)
    seen = magnitude if fibre_mag is None else np.asarray(fibre_mag, dtype=float)
    z = np.asarray(table["z"], dtype=float)
    lines, width, dimming = line_fluxes(table)
    lines *= 10 ** (-0.4 * (seen - magnitude))[:, None]
    # what the lines hold of the light in r is not starlight; a young dwarf keeps a tenth of it as such
    bright = 10 ** (-0.4 * seen)
    stars = np.maximum(bright - _lines_in_r(lines, z), LEAST_STARLIGHT * bright)
    truth = continuum(table, wavelength) * stars[:, None]
    _add_lines(truth, known, edges, z, (lines, width))
    sigma = _sigma(truth, wavelength, known, snr)
    rows = torch.from_numpy(np.asarray(table["id"], dtype=np.int64))
    noise = chance.noise(seed, rows, f"spectrum {instrument}", (len(wavelength),)).numpy()
    return Spectra(
        wavelength=wavelength,
        flux=truth + sigma * noise,
        ivar=sigma**-2,
        truth=truth,
        lines=tuple(LINES),
        line_flux=lines,
        line_width=width,
        attenuation=dimming,
    )


def halpha_luminosity(table: Table) -> Array:
    """Luminosity of H-alpha of each row, erg/s, before dust; 0 for a star."""
    rate = np.asarray(table["log_sfr"], dtype=float)
    return np.where(np.isfinite(rate), halpha_of(np.nan_to_num(rate)), 0.0)


def line_luminosities(table: Table) -> Array:
    """Luminosity of each of `lines.LINES`, (B, L) erg/s, before dust."""
    metal = np.nan_to_num(np.asarray(table["log_oh"], dtype=float), nan=8.69)
    return halpha_luminosity(table)[:, None] * line_ratios(metal)


def continuum(table: Table, wavelength: Array) -> Array:
    """Starlight, (B, W), 1e-17 erg/s/cm^2/Angstrom, of objects of magnitude 0 in SDSS r as seen, behind their dust.

    Bulge and companion are free of dust, the disc and what lies in it are mixed with it (`lines.slab`).
    """
    band, _ = curve(SURVEYS["sdss"], "r")
    light = _starlight(table, np.concatenate([wavelength, band * 10]))
    # per nm; behind dust, so that `mag_r` means the same in spectra and in images
    bright = mean_flux(band, light[:, len(wavelength) :], "r")
    return np.asarray(light[:, : len(wavelength)] / bright[:, None] * (_AB / 10 / UNIT))


def _starlight(table: Table, wavelength: Array) -> Array:
    """Starlight behind dust, (B, W), of arbitrary brightness per unit wavelength."""
    rest, templates = _lineless()
    weight = part_mixtures(table)
    weight = weight / np.maximum(weight.sum(axis=(1, 2)), 1e-300)[:, None, None]
    clear = weight[:, [0, 6, 7]].sum(axis=1)
    dusty = weight[:, 1:6].sum(axis=1)
    depth = _depth(table)[:, None] * calzetti(rest)
    light = clear @ templates + (dusty @ templates) * slab(depth)
    stretch = 1 + np.asarray(table["z"], dtype=float)
    out = np.stack([np.interp(wavelength / s, rest, each) for s, each in zip(stretch, light, strict=True)])
    temperature = np.asarray(table["temperature"], dtype=float)
    star = np.isfinite(temperature)
    out[star] = blackbody(wavelength / 10, temperature[star, None])
    return out


def _lines_in_r(flux: Array, z: Array) -> Array:
    """Flux in SDSS r, (B,), of lines of flux (B, L), 1e-17 erg/s/cm^2, over that of an object of magnitude 0.

    A line's photons over those of a flat spectrum: Hogg+2002 (astro-ph/0210394), eq. 5.
    """
    band, throughput = curve(SURVEYS["sdss"], "r")
    centre = np.array(list(LINES.values())) * (1 + z[:, None]) / 10
    through = np.interp(centre, band, throughput, left=0.0, right=0.0)
    flat = np.trapezoid(throughput / band, band) * _LIGHT / 10  # Hz nm
    return np.asarray((flux * through * centre).sum(axis=1) * UNIT / (flat * _AB))


def _lineless() -> tuple[Array, Array]:
    """Rest wavelength, Angstrom, and (4, W) templates with straight lines where they hold emission lines."""
    wavelength, flux = template_spectra()
    rest = wavelength * 10
    distance = np.abs(rest[:, None] - np.array(list(LINES.values()))).min(axis=1)
    keep = distance > _BRIDGED
    return rest, np.stack([np.interp(rest, rest[keep], each[keep]) for each in flux])


def _depth(table: Table) -> Array:
    tilt = np.nan_to_num(np.asarray(table["inclination"], dtype=float))
    return mean_depth(np.nan_to_num(np.asarray(table["dust_tau"], dtype=float)), tilt)


def line_fluxes(table: Table) -> tuple[Array, Array, Array]:
    """(B, L) fluxes behind dust, 1e-17 erg/s/cm^2, (B,) widths in km/s and (B,) dimming at 550 nm, mag.

    Gas is dimmed 1 / 0.44 times as much as stars are (Calzetti+2000, eq. 3), as by a screen.
    """
    distance = 10 ** (np.asarray(distance_modulus(np.asarray(table["z"], dtype=float))) / 5) * 3.0856775814913673e19
    dimming = -2.5 * np.log10(slab(_depth(table))) / 0.44
    screen = 10 ** (-0.4 * dimming[:, None] * calzetti(np.array(list(LINES.values()))))
    flux = line_luminosities(table) * screen / (4 * np.pi * distance[:, None] ** 2) / UNIT
    mass = np.nan_to_num(np.asarray(table["log_mass"], dtype=float), nan=10.0)
    tilt = np.radians(np.nan_to_num(np.asarray(table["inclination"], dtype=float)))
    # over the whole disc the flat part of the rotation curve spreads by v sin i / sqrt 2; 20 km/s are turbulence
    return flux, np.hypot(rotation(mass) * np.sin(tilt) / np.sqrt(2), 20.0), dimming


def _add_lines(truth: Array, known: Spectrograph, edges: Array, z: Array, lines: tuple[Array, Array]) -> None:
    """Add each line to the spectra, in place: a Gaussian, averaged over each pixel."""
    from scipy.special import ndtr

    flux, width = lines
    row = np.arange(len(z))[:, None]
    for number, rest in enumerate(LINES.values()):
        centre = rest * (1 + z)
        part = np.clip((centre - known.range[0]) / (known.range[1] - known.range[0]), 0, 1)
        resolution = known.resolution[0] + part * (known.resolution[1] - known.resolution[0])
        sigma = centre * np.hypot(width / 299792.458, 1 / (2.354820045 * resolution))
        at = np.searchsorted(edges, centre)[:, None] + np.arange(-_WINDOW, _WINDOW + 1)
        inside = (at >= 0) & (at < truth.shape[1])
        pixel = np.clip(at, 0, truth.shape[1] - 1)
        step = ndtr((edges[pixel + 1] - centre[:, None]) / sigma[:, None])
        step -= ndtr((edges[pixel] - centre[:, None]) / sigma[:, None])
        profile = np.where(inside, flux[:, number, None] * step / (edges[pixel + 1] - edges[pixel]), 0.0)
        np.add.at(truth, (np.broadcast_to(row, pixel.shape), pixel), profile)


def _sigma(truth: Array, wavelength: Array, known: Spectrograph, snr: float) -> Array:
    """(B, W) noise with the wanted median of signal over noise, its variance growing with source and sky."""
    area = np.pi * (known.fibre / 2) ** 2
    sky = _AB * 10 ** (-0.4 * _SKY) * area * _LIGHT / wavelength**2 / UNIT
    noise = np.sqrt((truth + sky) * truth.mean(axis=1, keepdims=True))
    return np.asarray(noise * (np.median(truth / noise, axis=1) / snr)[:, None])
