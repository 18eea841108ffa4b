"""How far a galaxy can be seen: the stamp that holds its light down to a small part of the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rosse.sky.photometry import kpc_per_arcsec, part_fluxes
from rosse.surveys import Survey

if TYPE_CHECKING:
    from astropy.table import Table

Array = NDArray[np.float64]

FAINT = 0.03  # of the noise of an empty pixel: surface brightness at a stamp's edge
SIDES = np.array([32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024])
RADII = np.geomspace(0.05, 60, 160)  # half-light radii


def stamp_sides(table: Table, survey: Survey, sigma: Array, *, reach: int) -> NDArray[np.int64]:
    """Side (B,) of the stamp of each row, pixels: one of `SIDES`.

    Parameters
    ----------
    table : rows of a population.
    survey : bands, units and pixel scale.
    sigma : (C,) noise of an empty pixel.
    reach : radius of the PSF's stamp, pixels.
    """
    pixels = 1 / (kpc_per_arcsec(_column(table, "z")) * survey.scale)  # per kpc
    fluxes = np.nan_to_num(part_fluxes(table, survey)) / sigma  # (B, K, C)
    bulge, rest = fluxes[:, 0].max(-1), fluxes[:, 1:].sum(1).max(-1)
    across = np.cos(np.radians(_column(table, "inclination"))).clip(0.15)
    radius = np.maximum(
        _visible(bulge, _column(table, "bulge_r_e") * pixels, _column(table, "bulge_n"), _column(table, "bulge_q")),
        _visible(rest, _column(table, "disc_r_e") * pixels, _column(table, "disc_n"), across),
    )
    apart = np.hypot(_column(table, "companion_x"), _column(table, "companion_y")) * pixels
    other = _visible(
        fluxes[:, -1].max(-1), _column(table, "companion_r_e") * pixels, _column(table, "companion_n"),
        _column(table, "companion_q"),
    )  # fmt: skip
    tides = np.maximum(_column(table, "tail_length"), _column(table, "shell_reach")) * pixels
    radius = np.maximum.reduce([radius, np.where(fluxes[:, -1].max(-1) > 0, apart + other, 0), apart + tides])
    # a star is as large as the PSF; what is in the wings of a bright galaxy's PSF is in its own stamp
    need = 2 * (radius + np.where(radius > 0, 0.5, 1.0) * reach) + 2
    return np.asarray(SIDES[np.searchsorted(SIDES, need).clip(max=len(SIDES) - 1)], dtype=np.int64)


def _visible(flux: Array, r_e: Array, n: Array, q: Array) -> Array:
    """Radius (B,), pixels, at which a Sersic profile fades to `FAINT`; 0 for what has no light or no size.

    Graham & Driver 2005, eqs. 1 and 4.
    """
    from scipy.special import gamma

    there = (flux > 0) & (r_e > 0)
    index = np.where(there & (n > 0), n, 1.0)
    size = np.where(there, r_e, 1.0)
    b = 2 * index - 1 / 3 + 4 / (405 * index)  # eq. 18 of Ciotti & Bertin 1999, good to 1e-4 for n > 0.5
    effective = flux * b ** (2 * index) / (2 * np.pi * index * gamma(2 * index) * size**2 * np.clip(q, 0.1, 1))
    bright = effective[:, None] * np.exp(-b[:, None] * RADII ** (1 / index[:, None])) > FAINT
    last = RADII[np.where(bright.any(1), bright.shape[1] - 1 - np.argmax(bright[:, ::-1], 1), 0)]
    radius: Array = np.where(there, last * size, 0.0)
    return radius


def _column(table: Table, name: str) -> Array:
    """Values of a column; 0 where it does not apply."""
    values: Array = np.nan_to_num(np.asarray(table[name], dtype=float), nan=0.0)
    return values
