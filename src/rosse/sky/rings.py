"""The ring: a gaussian annulus in the disc's plane, a little out of round and uneven."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rosse.sky import chance
from rosse.sky.geometry import Galaxies, Nodes, Plane, fading, polar_nodes
from rosse.sky.texture import Texture, patch_field

OUT_OF_ROUND = 0.06  # largest second Fourier mode of its radius (Buta 1995: rings have axis ratios of 0.8 to 1)
UNEVEN = 0.55  # scatter of ln brightness around it
FWHM = 2 * math.sqrt(2 * math.log(2))
NARROWEST = 0.5  # pixels: dispersion along the minor axis below which it is drawn so wide, which no PSF tells apart


def ring_light(galaxies: Galaxies, plane: Plane, texture: Texture) -> Tensor:
    """Brightness (B, h, w) of the ring, of any normalisation."""
    g = galaxies
    random = chance.uniform(g.seed, g.rows, "ring", (2,)).to(torch.float32)[:, :, None, None]
    stretch = 1 + OUT_OF_ROUND * random[:, 0] * torch.cos(2 * (plane.phi - math.pi * random[:, 1]))
    gap = (plane.r * stretch - g["ring_radius"]) / _dispersion(g)
    uneven = UNEVEN * patch_field(g, texture, plane.x, plane.y).clamp(-2.5, 2.5)
    return fading(uneven - 0.5 * gap.square())


def ring_nodes(galaxies: Galaxies) -> Nodes:
    """Where its light is summed."""
    width, radius = 5 * _dispersion(galaxies), galaxies["ring_radius"].clamp_min(0.1)
    low = torch.maximum(radius / (1 + OUT_OF_ROUND) - width, 0.02 * radius)
    return polar_nodes(galaxies, low, radius / (1 - OUT_OF_ROUND) + width, (48, 48))


def _dispersion(galaxies: Galaxies) -> Tensor:
    return torch.maximum(galaxies["ring_width"] / FWHM, NARROWEST / galaxies.fine_ratio.sqrt())
