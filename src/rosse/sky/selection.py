"""Which galaxies a magnitude-limited survey holds: mass function, volume and limit in one table.

The number of galaxies of a type, mass and age of stars is the mass function times the volume in which they are brighter
than the limit. A row picks its place in that table with one random number and its redshift in its own volume with
another, so that no row needs to know of others and none is thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rosse.sky.columns import TYPES
from rosse.sky.draws import Array, Draws, Integers
from rosse.sky.hubble import GALAXIES, type_shares
from rosse.sky.photometry import SEDS, SHARES, comoving_volume, distance_modulus, light_in_templates
from rosse.sky.relations import fading, mass_function
from rosse.sky.structure import Columns, structure
from rosse.sky.templates import template_light
from rosse.surveys import SURVEYS

MASS_BIN = 0.05  # dex, about
OFFSETS = 8  # bins of equal probability of the offset of star formation
_REPEATS = 6  # random galaxies in each cell, over whose structure the volume is averaged
_Z_STEPS = 400


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """Table of what a survey holds.

    Parameters
    ----------
    mass : (M + 1,) edges of the bins of mass, dex(Msun).
    weight : (T, M, S) galaxies on the whole sky in each type, bin of mass and bin of offset.
    z : (Z,) grid of redshift.
    volume : (M, Z) galaxies of each bin of mass below each redshift.
    limit : faintest magnitude in SDSS r.
    """

    mass: Array
    weight: Array
    z: Array
    volume: Array
    limit: float

    def galaxies(self, draws: Draws, of_type: Integers) -> tuple[Array, Array, Integers]:
        """(B,) mass, (B,) offset and (B,) bin of mass for rows of these types."""
        count = self.weight[0].size
        cumulative = np.cumsum(self.weight.reshape(len(self.weight), -1), axis=1)
        cumulative /= np.maximum(cumulative[:, -1:], 1e-300)
        # every type's cumulative numbers stand one unit above the last type's: one search serves all rows
        flat = (cumulative + np.arange(len(cumulative))[:, None]).ravel()
        cell = np.searchsorted(flat, of_type + draws.uniform("cell"), side="right") - of_type * count
        bin_of, part = np.divmod(np.clip(cell, 0, count - 1), self.weight.shape[2])
        mass = self.mass[bin_of] + (self.mass[1] - self.mass[0]) * draws.uniform("mass")
        return mass, offset_of((part + draws.uniform("offset")) / self.weight.shape[2]), bin_of

    def redshifts(self, draws: Draws, bin_of: Integers, furthest: Array) -> Array:
        """(B,) redshift in the volume out to `furthest`, (B,)."""
        top = _along(self.z, self.volume, bin_of, furthest)
        wanted = draws.uniform("redshift") * top
        scale = self.volume[:, -1]
        flat = (self.volume / scale[:, None] + np.arange(len(scale))[:, None] * 2).ravel()
        right = np.searchsorted(flat, wanted / scale[bin_of] + 2 * bin_of, side="right") - bin_of * len(self.z)
        right = np.clip(right, 1, len(self.z) - 1)
        low, high = self.volume[bin_of, right - 1], self.volume[bin_of, right]
        part = np.clip((wanted - low) / np.maximum(high - low, 1e-300), 0, 1)
        z = self.z[right - 1] + part * (self.z[right] - self.z[right - 1])
        return np.asarray(np.minimum(z, np.maximum(furthest, self.z[0])))


def offset_of(probability: Array) -> Array:
    """Standard normal offset at a cumulative probability, cut at 3 sigma."""
    from scipy.special import ndtri

    return np.asarray(ndtri(0.00135 + 0.9973 * probability))


def _along(z: Array, volume: Array, bin_of: Integers, at: Array) -> Array:
    """(B,) galaxies of a bin of mass below a redshift: straight lines between the grid's."""
    place = np.clip(np.interp(at, z, np.arange(len(z))), 0, len(z) - 1)
    left = np.minimum(place.astype(np.int64), len(z) - 2)
    low, high = volume[bin_of, left], volume[bin_of, left + 1]
    return np.asarray(low + (place - left) * (high - low))


def light_of(columns: Columns) -> Array:
    """(B, 4) light of galaxies in each template per solar mass, from their shares and spectra."""
    share = np.stack([columns[name] for name in SHARES], axis=1)
    sed = np.stack([columns[name] for name in SEDS], axis=1)
    return np.asarray(light_in_templates(share, sed).sum(axis=1))


def furthest(log_mass: Array, light: Array, z: Array, limit: float) -> Array:
    """(B,) redshift at which galaxies of (B,) mass and (B, 4) light fade below the limit.

    It lies on the grid `z` or in between, where the apparent magnitude is taken to be a straight line; its first
    redshift where they are too faint everywhere.
    """
    seen = template_light(z, SURVEYS["sdss"].select(("r",)))[:, 0]  # (Z, 4)
    away = distance_modulus(z) - fading(z)
    out = np.empty(len(log_mass))
    for start in range(0, len(log_mass), 8192):
        at = slice(start, start + 8192)
        magnitude = -2.5 * np.log10(light[at] @ seen.T) - 2.5 * log_mass[at, None] + away
        bright = magnitude <= limit
        last = bright.shape[1] - 1 - np.argmax(bright[:, ::-1], axis=1)
        after = np.minimum(last + 1, len(z) - 1)
        row = np.arange(len(magnitude))
        step = np.maximum(magnitude[row, after] - magnitude[row, last], 1e-12)
        part = np.where(after > last, (limit - magnitude[row, last]) / step, 0.0)
        out[at] = np.where(bright.any(axis=1), z[last] + part * (z[after] - z[last]), z[0])
    return out


@lru_cache(maxsize=2)
def _cells(low: float, high: float) -> tuple[Array, Array, Array]:
    """Edges of mass; (T, M, S, R) mass and (T * M * S * R, 4) light of R random galaxies in every cell."""
    count = max(round((high - low) / MASS_BIN), 1)
    edges = np.linspace(low, high, count + 1)
    shape = (len(GALAXIES), count, OFFSETS, _REPEATS)
    of_type, bin_of, part, again = (each.ravel() for each in np.indices(shape))
    mass = (edges[bin_of] + edges[bin_of + 1]) / 2
    draws = Draws(seed=-1, rows=np.arange(mass.size, dtype=np.int64))
    columns = structure(draws, of_type, mass, offset_of((part + (again + 0.5) / _REPEATS) / OFFSETS))
    return edges, mass.reshape(shape), light_of(columns)


@lru_cache(maxsize=8)
def select(limit: float, redshift: tuple[float, float], mass: tuple[float, float]) -> Selection:
    """Table of the galaxies brighter than a limit, in a range of redshift and of mass, dex(Msun)."""
    edges, cell_mass, light = _cells(*mass)
    z = np.expm1(np.linspace(np.log1p(redshift[0]), np.log1p(redshift[1]), _Z_STEPS))
    middle = (edges[:-1] + edges[1:]) / 2
    width = edges[1] - edges[0]
    number = width * mass_function(middle[:, None], (z[None, 1:] + z[None, :-1]) / 2) * np.diff(comoving_volume(z))
    volume = np.concatenate([np.zeros((len(middle), 1)), np.cumsum(number, axis=1)], axis=1)
    reach = furthest(cell_mass.ravel(), light, z, limit)
    bin_of = np.broadcast_to(np.arange(len(middle))[:, None, None], cell_mass.shape).ravel()
    seen = _along(z, volume, bin_of, reach).reshape(cell_mass.shape).mean(axis=-1)
    share = type_shares(middle)[:, : len(GALAXIES)].T[:, :, None]
    return Selection(mass=edges, weight=seen * share / OFFSETS, z=z, volume=volume, limit=limit)


assert TYPES[: len(GALAXIES)] == GALAXIES
