"""What spoils real images: satellite trails, ghosts, bleeding stars, and cutouts of the wrong size.

A trail, a ghost and a bright star are light, and come before the noise; saturation and a wrong size come after it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.sky import chance
from rosse.sky.columns import ARTEFACTS

if TYPE_CHECKING:
    from astropy.table import Table

FAINTEST, DECADES = 3.0, 1.7  # surface brightness over the sky's noise: 3 at strength 0, 150 at strength 1
STAR_FAINTEST, STAR_DECADES = 3000.0, 1.5  # the same of a bleeding star's peak
SATURATION = 1000.0  # flux at which pixels are full, over the sky's noise
ZOOM = 2.5  # a bad zoom is by up to this factor, squared for strength 1
NUMBERS = 8  # random numbers of an artefact


def affected(truth: Table, kind: str) -> list[int]:
    """Rows of a truth table that one of `ARTEFACTS` spoils."""
    assert kind in ARTEFACTS
    return np.flatnonzero(np.asarray(truth["artefact"]) == kind).tolist()


def add_stray_light(flux: Tensor, truth: Table, *, seed: int, sigma: Tensor, fwhm: tuple[float, ...]) -> Tensor:
    """Images with the light of trails, ghosts and stars that bleed.

    Parameters
    ----------
    flux : (B, C, H, W) noiseless.
    truth : B rows with ``id``, ``artefact`` and ``artefact_strength``.
    seed : of where the artefacts lie.
    sigma : (C,) noise of an empty pixel.
    fwhm : (C,) of the PSF, pixels.
    """
    out = flux
    for kind, light in (("trail", _trail), ("ghost", _ghost), ("bleed", _star)):
        rows = affected(truth, kind)
        if not rows:
            continue
        out = out.clone() if out is flux else out
        chosen = _chosen(truth, rows, seed, flux)
        out[rows] += light(chosen, _grid(flux), fwhm) * sigma.to(flux)[:, None, None]
    return out


def spoil(cutouts: Cutouts, truth: Table, *, seed: int, sigma: Tensor) -> Cutouts:
    """Cutouts with saturated columns and wrong sizes, where the truth says so.

    Parameters
    ----------
    cutouts : B galaxies with noise.
    truth, seed, sigma : as in `add_stray_light`.
    """
    bleeding, zoomed = affected(truth, "bleed"), affected(truth, "bad_zoom")
    if bleeding:
        cutouts = _bled(cutouts, bleeding, _chosen(truth, bleeding, seed, cutouts.flux), sigma)
    if zoomed:
        cutouts = _zoomed(cutouts, zoomed, _chosen(truth, zoomed, seed, cutouts.flux))
    return cutouts


def _chosen(truth: Table, rows: list[int], seed: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Strength (N,) and random numbers (N, NUMBERS + C) of some rows."""
    ids = torch.as_tensor(np.asarray(truth["id"])[rows].astype(np.int64))
    numbers = chance.uniform(seed, ids, "artefact", (NUMBERS + like.shape[1],))
    strength = torch.as_tensor(np.asarray(truth["artefact_strength"], dtype=np.float64)[rows])
    return strength.to(like), numbers.to(like)


def _grid(flux: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels y (H, 1) and x (1, W) from the centre, over half the frame's smaller side."""
    height, width = flux.shape[-2:]
    half = min(height, width) / 2
    y = (torch.arange(height, device=flux.device) - height // 2).to(flux) / half
    x = (torch.arange(width, device=flux.device) - width // 2).to(flux) / half
    return y[:, None], x[None, :]


def _brightness(strength: Tensor, faintest: float, decades: float) -> Tensor:
    return faintest * 10 ** (decades * strength)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None]


def _trail(chosen: tuple[Tensor, Tensor], grid: tuple[Tensor, Tensor], fwhm: tuple[float, ...]) -> Tensor:
    """A straight line across the frame, in the one band that was exposed when the satellite passed."""
    strength, number = chosen
    y, x = grid
    half = min(len(y), x.shape[1]) / 2
    angle = math.pi * number[:, 0]
    distance = _each(torch.cos(angle)) * y - _each(torch.sin(angle)) * x - _each(1.2 * number[:, 1] - 0.6)
    bands = len(fwhm)
    band = (number[:, 2] * bands).long()
    width = torch.tensor(fwhm).to(number)[band] / (half * math.sqrt(8 * math.log(2))) * (1 + number[:, 3])
    line = torch.exp(-0.5 * (distance / _each(width)).square()) * _each(_brightness(strength, FAINTEST, DECADES))
    exposed = torch.nn.functional.one_hot(band, bands).to(number)
    return exposed[:, :, None, None] * line[:, None]


def _ghost(chosen: tuple[Tensor, Tensor], grid: tuple[Tensor, Tensor], _: tuple[float, ...]) -> Tensor:
    """An image of the pupil, far out of focus: a bright star's light after two reflections."""
    strength, number = chosen
    y, x = grid
    angle, far = 2 * math.pi * number[:, 0], 0.9 * number[:, 1]
    radius = torch.hypot(y - _each(far * torch.sin(angle)), x - _each(far * torch.cos(angle)))
    outer = 0.5 + 0.8 * number[:, 2]
    edge = _each(0.03 * outer)
    disc = torch.sigmoid((_each(outer) - radius) / edge) * torch.sigmoid((radius - _each(0.35 * outer)) / edge)
    colour = number[:, NUMBERS:].square()
    colour = colour / colour.amax(1, keepdim=True)
    return colour[:, :, None, None] * (disc * _each(_brightness(strength, FAINTEST, DECADES)))[:, None]


def _place(number: Tensor) -> tuple[Tensor, Tensor]:
    """Where a bleeding star stands, half sides from the centre: anywhere but on the target."""
    angle, far = 2 * math.pi * number[:, 0], 0.25 + 0.6 * number[:, 1]
    return far * torch.sin(angle), far * torch.cos(angle)


def _star(chosen: tuple[Tensor, Tensor], grid: tuple[Tensor, Tensor], fwhm: tuple[float, ...]) -> Tensor:
    """A star with the wings of a Moffat profile (beta = 2.5), far brighter than pixels can hold."""
    strength, number = chosen
    y, x = grid
    half = min(len(y), x.shape[1]) / 2
    star_y, star_x = _place(number)
    square = (y - _each(star_y)).square() + (x - _each(star_x)).square()
    core = torch.tensor(fwhm).to(number) / (2 * half * math.sqrt(2**0.4 - 1))
    profile = (1 + square[:, None] / core.square()[:, None, None]).pow(-2.5)
    return profile * _brightness(strength, STAR_FAINTEST, STAR_DECADES)[:, None, None, None]


def _bled(cutouts: Cutouts, rows: list[int], chosen: tuple[Tensor, Tensor], sigma: Tensor) -> Cutouts:
    """Full pixels, and the columns into which their electrons ran; they have no weight, as in real images."""
    strength, number = chosen
    y, x = _grid(cutouts.flux)
    star_y, star_x = _place(number)
    column = (x - _each(star_x)).abs() <= _each((1 + 2 * strength) / min(cutouts.frame))
    run = (y - _each(star_y)).abs() <= _each(0.3 + 1.2 * strength)
    flux, ivar = cutouts.flux.clone(), cutouts.ivar.clone()
    full = SATURATION * sigma.to(flux)[:, None, None]
    bad = (flux[rows] > full) | (column & run)[:, None]
    flux[rows] = torch.where(bad, full.expand_as(flux[rows]), flux[rows])
    ivar[rows] = torch.where(bad, 0.0, ivar[rows])
    return replace(cutouts, flux=flux, ivar=ivar)


def _zoomed(cutouts: Cutouts, rows: list[int], chosen: tuple[Tensor, Tensor]) -> Cutouts:
    """Cutouts of a quarter of the size that they should have, or so: the size of the galaxy was taken for another.

    They are enlarged by linear interpolation, as cutout services do it, which blurs pixels and leaves their noise
    correlated; `scale`, `ivar` and PSF follow.
    """
    strength, _ = chosen
    zoom = ZOOM ** (1 + strength)
    flux, ivar, scale = cutouts.flux.clone(), cutouts.ivar.clone(), cutouts.scale.clone()
    area = zoom.square()[:, None, None, None]
    flux[rows] = _enlarged(flux[rows], zoom) / area
    ivar[rows] = _enlarged(ivar[rows], zoom) * area.square()
    scale[rows] /= zoom.to(scale)
    psf = cutouts.psf
    if psf is not None:
        psf = psf.expand(len(cutouts), -1, -1, -1).clone()
        larger = _enlarged(psf[rows], zoom).clamp_min(0.0)
        psf[rows] = larger / larger.sum((-2, -1), keepdim=True)
    return replace(cutouts, flux=flux, ivar=ivar, scale=scale, psf=psf)


def _enlarged(images: Tensor, zoom: Tensor) -> Tensor:
    """Images (N, C, H, W) enlarged about pixel (H // 2, W // 2) by factors (N,)."""
    height, width = images.shape[-2:]
    lines = []
    for length in (height, width):
        at = (torch.arange(length, device=images.device) - length // 2).to(images) / zoom[:, None] + length // 2
        lines.append((2 * at + 1) / length - 1)
    shape = (len(images), height, width)
    grid = torch.stack([lines[1][:, None, :].expand(shape), lines[0][:, :, None].expand(shape)], -1)
    return torch.nn.functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
