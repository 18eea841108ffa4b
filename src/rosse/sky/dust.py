"""Dust: what it lets through of each part, at each place and in each band."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rosse.sky.arms import Spiral, sharpness
from rosse.sky.discs import edge_on_shape
from rosse.sky.geometry import Galaxies, Plane
from rosse.sky.quick import exp, exp_, fading_

SCALE = 1.4  # scale length of the dust over that of the stars (Xilouris+1999, A&A 344, 868)
POWER = -0.7  # of the optical depth by wavelength (Charlot & Fall 2000, ApJ 539, 718, eq. 5)
REFERENCE = 550.0  # nm
LANE_DEPTH = 1.6  # optical depth of a lane along an arm, over that of the disc around it
BETWEEN_LANES = 0.7  # of the disc's optical depth, where arms gather the rest in lanes
LANE_WIDTH = 0.55  # of a lane, over that of its arm
LANES_FROM, LANES_WHOLE = math.radians(65.0), math.radians(85.0)  # where a band of dust begins to show, and does
THICKEST, INNER = 0.6, 6.0  # kpc: dispersion across of a dust layer, and length along it that counts (Xilouris+1999)
DEEPEST = 12.0  # optical depth: more is as dark


def extinction(wavelength: Tensor) -> Tensor:
    """Optical depth at a wavelength in the galaxy's frame (nm) over that at 550 nm (Charlot & Fall 2000, eq. 5)."""
    return (wavelength / REFERENCE) ** POWER


def mixed(depth: Tensor) -> Tensor:
    """Share of light that leaves a layer in which stars and dust are mixed, for its optical depth.

    ``(1 - exp(-tau)) / tau`` (Disney, Davies & Phillipps 1989, MNRAS 239, 939, the slab).
    """
    some = depth.clamp_min(1e-6)  # 0 / 0 at 0
    share: Tensor = torch.neg(some).expm1_().div_(some).neg_()
    return share


def half_behind(depth: Tensor) -> Tensor:
    """Share of light of a body of which half is behind a thin layer: ``(1 + exp(-tau)) / 2``."""
    return exp(depth, -1).add_(1).mul_(0.5)


def behind(depth: Tensor) -> Tensor:
    """Share of light of a body behind the nearer half of a layer: ``exp(-tau / 2)`` for the layer's whole depth."""
    return exp(depth, -0.5)


def disc_depth(galaxies: Galaxies, plane: Plane, pattern: Spiral | None) -> Tensor:
    """Optical depth (B, h, w) at 550 nm through the disc's dust, along the line of sight.

    Exponential in the plane, ``tau = dust_tau exp(-r / 1.4 r_s) / cos i``, deeper on the inner edges of arms.
    """
    g = galaxies
    scale = g["disc_r_e"].clamp_min(0.05) * (SCALE / 1.6783)
    depth = exp_(plane.r * (-1 / scale)).mul_(g["dust_tau"] / g.axis_ratio)
    if pattern is not None:
        narrow = sharpness(LANE_WIDTH * g["arm_width"])
        edge = torch.pi * 0.8 * g["arm_width"]  # in phase: from the crest to the middle of its inner edge
        lane = exp_((pattern.phase - edge).cos_().sub_(1).mul_(narrow))
        uneven = pattern.pieces[:, 0].mul(0.5).add_(1).clamp_(0.0, 2.5)
        armed = (g["arm_share"] > 0).to(depth)
        lanes = lane.mul_(uneven).mul_(pattern.window).mul_(armed * LANE_DEPTH * (1 - 0.6 * g["flocculence"]))
        depth = depth.mul_(lanes.add_(1 - (1 - BETWEEN_LANES) * armed))
    return depth.clamp_max_(DEEPEST)


def lane_depth(galaxies: Galaxies, along: Tensor, across: Tensor) -> Tensor:
    """Optical depth (B, h, w) at 550 nm of the dust layer of a disc seen nearly edge-on; 0 without a lane.

    The layer is `dust_lane` as thick as that of the stars. It is seen through the disc's length, in front of the
    centre by what the inclination projects of the near side.
    """
    g = galaxies
    length, _ = edge_on_shape(g)
    tilt = torch.cos(g["inclination"]).clamp_min(0.0)
    near = torch.where(g.random("near side", 1)[0] < 0.5, -1.0, 1.0)
    kpc = g.pixels_per_kpc.to(torch.float32)[:, None, None]
    layer = torch.minimum(2 * g["disc_thickness"] * g["dust_lane"] * length, THICKEST * kpc)
    inner = torch.minimum(length, INNER * kpc)  # of very large discs the dust that is in front of the centre
    height = torch.sqrt(layer.square() + (0.3 * tilt * inner).square())
    height = height.clamp_min(0.35)  # pixels: no PSF tells a thinner one apart
    away = (across - 0.7 * near * tilt * inner).div_(height)
    through = (along / (3 * length)).square_().mul_(-0.35).add_(1).clamp_min_(0.0)
    seen = ((g["inclination"] - LANES_FROM) / (LANES_WHOLE - LANES_FROM)).clamp(0.0, 1.0) * (g["dust_lane"] > 0)
    fall = fading_((along.abs() * (-1 / (SCALE * length))).sub_(away.square_(), alpha=0.5))
    return through.mul_(fall).mul_(4.0 * g["dust_tau"] * seen).clamp_max_(DEEPEST)
