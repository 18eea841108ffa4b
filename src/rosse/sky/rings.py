"""The ring: a gaussian annulus in the disc's plane, a little out of round and uneven."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rosse.sky.geometry import Galaxies, Nodes, Plane, polar_nodes
from rosse.sky.quick import fading_
from rosse.sky.texture import Texture, patch_field

OUT_OF_ROUND = 0.06  # largest second Fourier mode of its radius (Buta 1995: rings have axis ratios of 0.8 to 1)
UNEVEN = 0.55  # scatter of ln brightness around it
FWHM = 2 * math.sqrt(2 * math.log(2))
NARROWEST = 0.5  # pixels: dispersion along the minor axis below which it is drawn so wide, which no PSF tells apart


def ring_light(galaxies: Galaxies, plane: Plane, texture: Texture) -> Tensor:
    """Brightness (B, h, w) of the ring, of any normalisation."""
    g = galaxies
    random = g.random("ring", 2)
    stretch = (plane.phi - math.pi * random[1]).mul_(2).cos_().mul_(OUT_OF_ROUND * random[0]).add_(1)
    gap = stretch.mul_(plane.r).sub_(g["ring_radius"]).div_(_dispersion(g))
    uneven = patch_field(g, texture, plane.x, plane.y).clamp(-2.5, 2.5).mul_(UNEVEN)
    return fading_(uneven.sub_(gap.square_(), alpha=0.5))


def ring_nodes(galaxies: Galaxies) -> Nodes:
    """Where its light is summed."""
    width, radius = 5 * _dispersion(galaxies), galaxies["ring_radius"].clamp_min(0.1)
    low = torch.maximum(radius / (1 + OUT_OF_ROUND) - width, 0.02 * radius)
    return polar_nodes(galaxies, low, radius / (1 - OUT_OF_ROUND) + width, (48, 48))


def _dispersion(galaxies: Galaxies) -> Tensor:
    return torch.maximum(galaxies["ring_width"] / FWHM, NARROWEST / galaxies.fine_ratio.sqrt())
