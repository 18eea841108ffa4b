"""Spiral arms: a pattern of light on the disc's plane, its gaps, pieces and irregularities."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from rosse.sky import chance
from rosse.sky.geometry import Galaxies, Plane
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
    azimuth = _wrapped((plane.phi - g["arm_phase"]) * _turn(g) - (plane.ln_r - start) / tangent)
    random = chance.uniform(g.seed, g.rows, "arms", (4,)).to(torch.float32)[:, :, None, None] * (2 * math.pi)
    share = torch.cos(azimuth - random[:, 0])
    out = plane.ln_r - start
    stray = torch.sin(2.3 * out + random[:, 1]) + 0.6 * torch.sin(4.9 * out + random[:, 2])
    phase = count * (azimuth + WANDER * stray) + (UNEQUAL * (count > 1)) * share
    profile = torch.exp(sharpness(g["arm_width"]) * (torch.cos(phase) - 1))
    steep = 1 / (plane.r * torch.sin(g["arm_pitch"].clamp(0.02, 1.5)) * g.fine_ratio)  # radians of azimuth per pixel
    kept = torch.exp(-UNRESOLVED / 2 * (count * steep).square())
    mean = torch.special.i0e(sharpness(g["arm_width"]))
    profile = torch.lerp(mean.expand_as(profile), profile, kept)
    end = torch.log(torch.maximum(g["arm_reach"], 1.05 * g["arm_start"]).clamp_min(0.1))
    window = torch.sigmoid((plane.ln_r - start) / INNER_EDGE) * torch.sigmoid((end - plane.ln_r) / OUTER_EDGE)
    seen = torch.exp(-UNRESOLVED / 2 * (PIECES_AROUND * steep).square())
    return Spiral(phase, window, profile, arm_field(g, texture, plane.ln_r, azimuth) * seen[:, None], share)


def sharpness(width: Tensor) -> Tensor:
    """Concentration kappa of ``exp(kappa (cos phase - 1))`` whose FWHM is this share of a turn of the phase."""
    return math.log(2) / (1 - torch.cos(math.pi * width.clamp(0.08, 0.8)))


def arm_light(galaxies: Galaxies, plane: Plane, pattern: Spiral) -> Tensor:
    """Brightness (B, h, w) of the arms, of any normalisation."""
    g = galaxies
    loose = g["flocculence"].clamp(0.0, 1.0)
    knots = torch.exp((KNOTS[0] + KNOTS[1] * loose) * pattern.pieces[:, 0].clamp(-2.5, 2.5))
    scraps = torch.exp(PIECES * pattern.pieces[:, 1].clamp(-2.5, 2.5))
    mean = torch.special.i0e(sharpness(g["arm_width"]))
    design = (1 - 0.8 * loose) * pattern.profile * (1 + UNEQUAL * (g["arm_count"] > 1) * pattern.share)
    light: Tensor = (design * knots + (0.8 * mean) * loose * scraps) * pattern.window
    return light * torch.exp(-plane.r / young_scale(g))


def young_scale(galaxies: Galaxies) -> Tensor:
    """Scale length (B, 1, 1) of young light, pixels."""
    return galaxies["disc_r_e"].clamp_min(0.05) * (YOUNG_SCALE / 1.6783)  # r_e = 1.6783 scale lengths


def _turn(galaxies: Galaxies) -> Tensor:
    return torch.where(galaxies["arm_turn"] < 0, -1.0, 1.0)


def _wrapped(angle: Tensor) -> Tensor:
    """An angle in -pi to pi."""
    return angle - (2 * math.pi) * torch.round(angle * (0.5 / math.pi))
