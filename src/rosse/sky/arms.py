"""Spiral arms: a pattern of light on the disc's plane, its gaps, pieces and irregularities."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from rosse.sky.geometry import Galaxies, Plane
from rosse.sky.quick import exp_
from rosse.sky.texture import Texture, arm_field

YOUNG_SCALE = 1.35  # scale length of the arms' light over the disc's: young discs are larger (MacArthur+2004)
INNER_EDGE, OUTER_EDGE = 0.09, 0.13  # in ln r: over which arms set in and fade
WANDER = 0.16  # radians: how far a crest strays from its logarithmic spiral
UNEQUAL = 0.35  # amplitude of the difference between arms, and of their spacing in radians
KNOTS = (0.35, 0.75)  # scatter of ln brightness along arms: grand design, and what flocculence adds
PIECES = 1.25  # scatter of ln brightness of a wholly flocculent pattern
PIECES_AROUND = 5.0  # wave number of most pieces
UNRESOLVED = 0.2  # pixels^2: blur within which the pattern is evened out, well below any PSF


class Spiral(NamedTuple):
    """The arms' pattern at some points.

    Parameters
    ----------
    phase : (B, h, w) 0 on the crest of an arm, 2 pi from one to the next; grows towards the inner edge.
    window : (B, h, w) 1 where there are arms, 0 inside and outside.
    profile : (B, h, w) contrast across an arm, 1 on the crest.
    pieces : (B, 2, h, w) random fields along the arms.
    share : (B, h, w) cosine that tells one arm from the next.
    """

    phase: Tensor
    window: Tensor
    profile: Tensor
    pieces: Tensor
    share: Tensor


def spiral(galaxies: Galaxies, plane: Plane, texture: Texture) -> Spiral:
    """The arms' pattern at points of the plane.

    Notes
    -----
    Logarithmic spirals, ``azimuth = arm_phase + arm_turn ln(r / arm_start) / tan(pitch)`` (Danver 1942): with
    ``arm_turn = +1`` an arm runs counterclockwise on the sky on its way out. Across an arm the light is
    ``exp(kappa (cos phase - 1))``, whose full width at half maximum is `arm_width` of the gap.
    """
    g = galaxies
    tangent = torch.tan(g["arm_pitch"].clamp(0.02, 1.5))
    count = g["arm_count"].clamp_min(1.0)
    start = torch.log(g["arm_start"].clamp_min(0.1))
    random = g.random("arms", 4) * (2 * math.pi)
    out = plane.ln_r - start
    azimuth = _wrapped_((plane.phi - g["arm_phase"]).mul_(_turn(g)).addcmul_(out, 1 / tangent, value=-1))
    share = (azimuth - random[0]).cos_()
    stray = torch.add(random[1], out, alpha=2.3).sin_().add_(torch.add(random[2], out, alpha=4.9).sin_(), alpha=0.6)
    phase = stray.mul_(WANDER).add_(azimuth).mul_(count).addcmul_(share, UNEQUAL * (count > 1))
    narrow = sharpness(g["arm_width"])
    profile = exp_((torch.cos(phase) - 1).mul_(narrow))
    # radians of azimuth per pixel, squared
    steep = 1 / (torch.sin(g["arm_pitch"].clamp(0.02, 1.5)) * g.fine_ratio).square() / plane.r.square()
    kept = exp_(steep * count.square(), -UNRESOLVED / 2)
    profile = torch.lerp(torch.special.i0e(narrow).expand_as(profile), profile, kept)
    end = torch.log(torch.maximum(g["arm_reach"], 1.05 * g["arm_start"]).clamp_min(0.1))
    window = out.mul_(1 / INNER_EDGE).sigmoid_().mul_((end - plane.ln_r).mul_(1 / OUTER_EDGE).sigmoid_())
    seen = exp_(steep, -UNRESOLVED / 2 * PIECES_AROUND**2)
    pieces = arm_field(g, texture, plane.ln_r, azimuth).mul_(seen[:, None])
    return Spiral(phase, window, profile, pieces, share)


def sharpness(width: Tensor) -> Tensor:
    """Concentration kappa of ``exp(kappa (cos phase - 1))`` whose FWHM is this share of a turn of the phase."""
    return math.log(2) / (1 - torch.cos(math.pi * width.clamp(0.08, 0.8)))


def arm_light(galaxies: Galaxies, plane: Plane, pattern: Spiral) -> Tensor:
    """Brightness (B, h, w) of the arms, of any normalisation."""
    g = galaxies
    loose = g["flocculence"].clamp(0.0, 1.0)
    knots = exp_(pattern.pieces[:, 0].clamp(-2.5, 2.5).mul_(KNOTS[0] + KNOTS[1] * loose))
    scraps = exp_(pattern.pieces[:, 1].clamp(-2.5, 2.5), PIECES)
    mean = torch.special.i0e(sharpness(g["arm_width"]))
    unequal = (pattern.share * (UNEQUAL * (g["arm_count"] > 1))).add_(1)
    light = unequal.mul_((1 - 0.8 * loose) * pattern.profile).mul_(knots).addcmul_(scraps, (0.8 * mean) * loose)
    return light.mul_(pattern.window).mul_(exp_(plane.r * (-1 / young_scale(g))))


def young_scale(galaxies: Galaxies) -> Tensor:
    """Scale length (B, 1, 1) of young light, pixels."""
    return galaxies["disc_r_e"].clamp_min(0.05) * (YOUNG_SCALE / 1.6783)  # r_e = 1.6783 scale lengths


def _turn(galaxies: Galaxies) -> Tensor:
    return torch.where(galaxies["arm_turn"] < 0, -1.0, 1.0)


def _wrapped_(angle: Tensor) -> Tensor:
    """An angle in -pi to pi, in place."""
    return angle.sub_(torch.mul(angle, 0.5 / math.pi).round_(), alpha=2 * math.pi)
