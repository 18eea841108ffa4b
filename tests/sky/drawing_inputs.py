"""Rows of a population written by hand, for the tests of drawing."""

from __future__ import annotations

import math

import galsim
import numpy as np
import torch
from astropy.table import Table, vstack

from rosse.sky.columns import COLUMNS
from rosse.sky.photometry import kpc_per_arcsec
from rosse.surveys import SURVEYS
from rosse.tables import build_table

SURVEY = SURVEYS["sdss"].select(("g", "r", "i"))
Z = 0.05
KPC = float(kpc_per_arcsec(np.array([Z]))[0]) * SURVEY.scale  # kpc per pixel
TEXT = {"kind": "galaxy", "type": "spiral", "artefact": "none"}
USUAL = {
    "z": Z, "log_mass": 10.5, "mag_r": 16.0, "log_sfr": 0.3, "log_oh": 8.9, "temperature": math.nan,
    "bulge_r_e": 1.5 * KPC, "bulge_n": 2.0, "bulge_q": 0.8, "bulge_sed": 0.2, "disc_r_e": 9 * KPC, "disc_n": 1.0,
    "disc_sed": 1.2, "young_sed": 2.6, "companion_sed": 1.0, "r_e": 8 * KPC, "pa": 30.0, "arm_turn": 1,
}  # fmt: skip


def row(**values: float | str) -> Table:
    """One galaxy: what is not given is usual, or 0. Lengths ending in `_px` are given in pixels."""
    known = {name.removesuffix("_px"): v * KPC if name.endswith("_px") else v for name, v in values.items()}
    names = {column.name for column in COLUMNS}
    assert set(known) <= names, set(known) - names
    full = {
        column.name: [known.get(column.name, TEXT.get(column.name, USUAL.get(column.name, 0)))] for column in COLUMNS
    }
    table = build_table(COLUMNS, full)
    table.meta["seed"] = 5
    return table


def rows(*tables: Table) -> Table:
    """Several of them, numbered."""
    whole = vstack(tables)
    whole["id"] = np.arange(len(whole))
    return whole


def moffat(fwhm: float = 3.0) -> galsim.GSObject:
    """A PSF with the width of SDSS, in pixels."""
    return galsim.Moffat(beta=3.0, fwhm=fwhm)


def stamp(psf: galsim.GSObject, size: int = 61, oversampling: int = 1) -> torch.Tensor:
    """(1, 3, h, w) of it through the image's pixel."""
    seen = galsim.Convolve(psf, galsim.Pixel(1.0))
    image = seen.drawImage(nx=size, ny=size, scale=1 / oversampling, method="no_pixel").array
    return torch.from_numpy(image / image.sum())[None, None].float().expand(1, 3, -1, -1)


def by_galsim(galaxy: galsim.GSObject, psf: galsim.GSObject, frame: int) -> np.ndarray:
    """Image of a galaxy whose centre is pixel (frame // 2, frame // 2)."""
    seen = galsim.Convolve(galaxy, psf, gsparams=galsim.GSParams(folding_threshold=1e-4, maximum_fft_size=8192))
    image = galsim.ImageD(frame, frame, xmin=-(frame // 2), ymin=-(frame // 2))
    seen.drawImage(image, scale=1.0, center=galsim.PositionD(0, 0))
    return np.asarray(image.array)


def by_formula(values: np.ndarray, step: float) -> galsim.GSObject:
    """A brightness on a fine odd grid, centred, as a GalSim object."""
    return galsim.InterpolatedImage(
        galsim.Image(values * step**2, scale=step), x_interpolant="quintic", normalization="flux"
    )


def grid(half: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Offsets x and y of such a grid."""
    line = np.arange(-round(half / step), round(half / step) + 1) * step
    y, x = np.meshgrid(line, line, indexing="ij")
    return x, y
