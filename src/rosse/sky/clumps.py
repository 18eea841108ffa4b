"""Star-forming clumps: where they lie, how bright each is, and their light in Fourier space."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from rosse.sky import chance
from rosse.sky.arms import arm_light, spiral, young_scale
from rosse.sky.geometry import Galaxies, Plane, off_plane
from rosse.sky.rings import ring_light
from rosse.sky.texture import Texture

MOST = 128  # clumps of one galaxy
TRIES = 12  # places that each clump may choose from, the brightest with the largest chance
RANGE = 60.0  # luminosity of the brightest possible clump over the faintest
LARGEST = (
    0.16  # kpc, dispersion of the brightest possible: giant HII regions are 0.1 to 0.3 kpc across (Kennicutt 1984)
)
REACH = 2.8  # scale lengths of young light within which they lie
TIGHT = 1.5  # power of the light of arms and rings that clumps follow: they are more concentrated than it


class Clumps(NamedTuple):
    """N places for clumps in each galaxy; those that it does not have hold no light.

    Parameters
    ----------
    plane : (B, 1, N) where they are in the disc's plane.
    x, y : (B, N) offsets from the centre along the image's axes, pixels.
    share : (B, N) of the clumps' light; the sum is 1.
    sigma : (B, N) dispersion, pixels.
    """

    plane: Plane
    x: Tensor
    y: Tensor
    share: Tensor
    sigma: Tensor


def place_clumps(galaxies: Galaxies, arms: Texture, patches: Texture) -> Clumps:
    """Places and brightnesses of the clumps.

    Notes
    -----
    They follow the light of arms and ring, and of the disc where there are none. Luminosities have
    ``dN / dL ~ L^-2`` (Kennicutt, Edgar & Hodge 1989, ApJ 337, 761), sizes go with ``L^(1/3)`` (Kennicutt 1984).
    """
    g = galaxies
    light = clump_lights(g.seed, g.rows, g.columns["clump_count"])
    plane = _chosen(g, arms, patches, light.shape[1])
    share = light / light.sum(1, keepdim=True).clamp_min(1e-12)
    x, y = off_plane(g, plane.x, plane.y)
    sigma = LARGEST * g.pixels_per_kpc.to(torch.float32)[:, None] * (light / RANGE).clamp_min(1e-6) ** (1 / 3)
    return Clumps(plane, x[:, 0], y[:, 0], share, sigma)


def clump_lights(seed: int, rows: Tensor, count: Tensor) -> Tensor:
    """Luminosity (B, N) of each clump of rows that have so many, over that of the faintest possible; 0 for no clump."""
    number = int(count.max().clamp(1, MOST))
    there = torch.arange(number, device=rows.device) < count[:, None]
    u = chance.uniform(seed, rows, "clump light", (number,)).to(torch.float32)
    return there / (1 - u * (1 - 1 / RANGE))


def _chosen(g: Galaxies, arms: Texture, patches: Texture, number: int) -> Plane:
    """One of `TRIES` places for each clump, (B, 1, number)."""
    u = chance.uniform(g.seed, g.rows, "clump places", (number, TRIES, 3)).to(torch.float32)
    r = u[..., 0] * (REACH * young_scale(g))
    r = torch.where((g["ring_share"] > 0) & (u[..., 0] < 0.4), g["ring_radius"] * (0.7 + 1.5 * u[..., 0]), r)
    phi = (2 * u[..., 1] - 1) * math.pi
    places = Plane(r * torch.cos(phi), r * torch.sin(phi), r, torch.log(r.clamp_min(0.05)), phi)
    weight = (_density(g, places, arms, patches) * r).clamp_min(1e-12)  # as much area as lies at a radius
    best = (torch.log(weight) - torch.log(-torch.log(u[..., 2]))).argmax(2, keepdim=True)  # Gumbel 1954
    return Plane(*(torch.gather(values, 2, best).transpose(1, 2) for values in places))


def _density(g: Galaxies, places: Plane, arms: Texture, patches: Texture) -> Tensor:
    disc = torch.exp(-places.r / young_scale(g))
    density = 0.12 * disc
    armed, ringed = g["arm_share"] > 0, g["ring_share"] > 0
    density = torch.where(armed | ringed, density, disc)
    if bool(armed.any()):
        light = arm_light(g, places, spiral(g, places, arms))
        density = density + torch.where(armed, light.clamp_min(0) ** TIGHT, 0.0)
    if bool(ringed.any()):
        density = density + torch.where(ringed, 0.5 * ring_light(g, places, patches) ** TIGHT, 0.0)
    return density


def clump_spectra(clumps: Clumps, light: Tensor, ky: Tensor, kx: Tensor) -> Tensor:
    """Transform (B, C, Ky, Kx) of the clumps around the galaxy's centre, for their light (B, C, N) in each band.

    Each is a round gaussian, whose transform is one function of ky times one of kx.
    """
    along_y, along_x = _line(clumps.y, clumps.sigma, ky), _line(clumps.x, clumps.sigma, kx)
    return (light[..., None].to(along_y.dtype) * along_y[:, None]).transpose(-1, -2) @ along_x[:, None]


def _line(place: Tensor, sigma: Tensor, k: Tensor) -> Tensor:
    """(B, N, K) complex."""
    angle = place[..., None] * k
    height = torch.exp(-0.5 * (sigma[..., None] * k).square())
    return torch.complex(height * torch.cos(angle), -height * torch.sin(angle))
