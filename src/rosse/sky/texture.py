"""Smooth random fields: what makes one galaxy's disc, arms and ring uneven in a way that no other's are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from rosse.sky import chance
from rosse.sky.geometry import Galaxies
from rosse.sky.quick import pairs

OCTAVES = (1.0, 0.8)  # amplitude of the coarse lattice and of one twice as fine
UPSAMPLED = 3  # points per lattice step of the fine octave, between which a field is linear
ARM_LATTICE = (14, 12)  # coarse steps along ln r and around
ARM_SPAN = (math.log(0.08), math.log(8.0))  # of ln (r / r_e)
PATCH_LATTICE = (14, 14)
PATCH_REACH = 3.5  # in r_e of the disc, to either side of the centre


@dataclass(frozen=True, kw_only=True, eq=False)
class Texture:
    """Fields (B, channels, rows, columns) of mean 0 and variance 1 over a square from -1 to 1.

    Parameters
    ----------
    values : at evenly spaced points, the first and last on the square's edges.
    """

    values: Tensor

    def at(self, across: Tensor, down: Tensor) -> Tensor:
        """Fields (B, channels, h, w) at places (B, h, w); beyond the square those of its edge."""
        places = pairs(across, down)
        found: Tensor = torch.nn.functional.grid_sample(
            self.values, places, mode="bilinear", padding_mode="border", align_corners=True
        )
        return found

    def take(self, index: Tensor) -> Texture:
        """Some of the galaxies."""
        return Texture(values=self.values[index])


def arm_texture(galaxies: Galaxies) -> Texture:
    """Two fields over azimuth (periodic) and ln (r / r_e of the disc)."""
    name = "arm texture"
    return Texture(values=galaxies.once(name, lambda: _texture(galaxies, name, 2, ARM_LATTICE, periodic=True)))


def patch_texture(galaxies: Galaxies) -> Texture:
    """One field over the disc's plane."""
    name = "patches"
    return Texture(values=galaxies.once(name, lambda: _texture(galaxies, name, 1, PATCH_LATTICE, periodic=False)))


def arm_field(galaxies: Galaxies, texture: Texture, ln_r: Tensor, azimuth: Tensor) -> Tensor:
    """(B, 2, h, w) at ln r (pixels) and azimuths in -pi to pi."""
    low, high = ARM_SPAN
    size = torch.log(galaxies["disc_r_e"].clamp_min(1e-3))
    down = (ln_r - (size + (low + high) / 2)).mul_(2 / (high - low))
    return texture.at(azimuth * (1 / math.pi), down)


def patch_field(galaxies: Galaxies, texture: Texture, x: Tensor, y: Tensor) -> Tensor:
    """(B, h, w) at places in the disc's plane, pixels."""
    size = 1 / (PATCH_REACH * galaxies["disc_r_e"].clamp_min(1e-3))
    return texture.at(x * size, y * size)[:, 0]


def _texture(galaxies: Galaxies, what: str, channels: int, lattice: tuple[int, int], *, periodic: bool) -> Tensor:
    values = None
    for octave, amplitude in enumerate(OCTAVES):
        rows, columns = (n * 2**octave for n in lattice)
        shape = (channels, rows, columns)
        knots = chance.noise(galaxies.seed, galaxies.rows, f"{what} {octave}", shape)
        points = tuple(n * 2 ** (len(OCTAVES) - 1) * UPSAMPLED + 1 for n in lattice)
        down = _spline(rows, points[0], False, knots.device)
        across = _spline(columns, points[1], periodic, knots.device)
        field = (down @ knots @ across.T) * (amplitude / math.sqrt(sum(a * a for a in OCTAVES)))
        values = field if values is None else values + field
    assert values is not None
    return values


@lru_cache(maxsize=32)
def _spline(knots: int, points: int, periodic: bool, device: torch.device) -> Tensor:
    """(points, knots) weights of cubic B-splines, of unit variance for independent knots."""
    at = torch.linspace(0, knots if periodic else knots - 1, points, dtype=torch.float64)
    gap = at[:, None] - torch.arange(knots, dtype=torch.float64)
    if periodic:
        gap = torch.remainder(gap + knots / 2, knots) - knots / 2
    near = gap.abs()
    weight = torch.where(near < 1, 2 / 3 - near**2 + near**3 / 2, (2 - near).clamp_min(0) ** 3 / 6)
    return (weight / weight.square().sum(1, keepdim=True).sqrt()).to(device, torch.float32)
