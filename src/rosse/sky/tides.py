"""What mergers tear out: tails, bridges, shells, and the envelope around two nuclei."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from rosse.sky.geometry import Galaxies
from rosse.sky.quick import exp, fading

STRAIGHTEST = 0.25  # radians: a tail turns at least by this, so that it lies on a circle
THINNEST = 0.6  # pixels, dispersion across
# Share of the tidal light by stage (pair, first passage, merging, remnant): tails, bridge, shells, envelope.
SHARES = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.62, 0.26, 0.0, 0.12], [0.55, 0.0, 0.0, 0.45], [0.12, 0.0, 0.48, 0.40]])
SIDES = 96  # points of the sums along a tail
ROOT, SPAN = 0.5, 2.5  # where these begin, before the root, and how far they go; in lengths of the tail
HALO, WIDER = 0.45, 2.3  # share of a tail's light in the wider of two gaussians, and how much wider it is
WANDER = 0.7  # how far a tail strays from its circle, in its width
MOST_SHELLS = 8


class Tail(NamedTuple):
    """An arc of a circle; each (B, 1, 1), pixels and radians.

    Parameters
    ----------
    x, y : where it begins.
    heading : its direction there.
    side : +1 where it turns counterclockwise.
    radius, turn : of the circle, and the angle that it spans.
    width : dispersion across where it begins.
    uneven : 0 to 1, which unevenness it has.
    """

    x: Tensor
    y: Tensor
    heading: Tensor
    side: Tensor
    radius: Tensor
    turn: Tensor
    width: Tensor
    uneven: Tensor


def tide_light(galaxies: Galaxies, dx: Tensor, dy: Tensor) -> Tensor:
    """Brightness (B, h, w) of all tidal light at unit flux, at offsets from the centre in pixels."""
    g = galaxies
    share = _shares(g)
    light = _tails(g, dx, dy) * share[0] + _envelope(g, dx, dy) * share[3]
    if bool((share[1] > 0).any()):
        light = light + share[1] * _bridge(g, dx, dy)
    if bool((share[2] > 0).any()):
        light = light + share[2] * _shells(g, dx, dy)
    return light


def _shares(g: Galaxies) -> Tensor:
    """(4, B, 1, 1): tails, bridge, shells, envelope; what a galaxy lacks goes to its envelope."""
    stage = (g.columns["merger_stage"].long() - 1).clamp(0, 3)
    share = SHARES.to(stage.device)[stage].T[:, :, None, None].clone()
    for i, there in ((0, g["tail_count"] > 0), (1, g["companion_share"] > 0), (2, g["shell_count"] > 0)):
        lost = share[i] * ~there
        share[i] -= lost
        share[3] += lost
    return share


def _size(g: Galaxies) -> Tensor:
    return torch.maximum(g["r_e"], torch.maximum(g["disc_r_e"], g["bulge_r_e"])).clamp_min(0.5)


def tails_of(galaxies: Galaxies) -> list[tuple[Tail, Tensor]]:
    """The two tails, each with its share (B, 1, 1) of the light in tails.

    The first leaves the galaxy on the side away from the companion, the second leaves the companion (or the other side
    where there is none); both begin at the edge of their galaxy and trail it.
    """
    g, u = galaxies, galaxies.random("tails", 8)
    has = g["companion_share"] > 0
    toward = torch.where(has, torch.atan2(g["companion_y"], g["companion_x"]), g.direction + 2 * math.pi * u[0])
    side = torch.where(u[1] < 0.5, -1.0, 1.0)
    two = (g["tail_count"] > 1).to(torch.float32)
    first = 0.5 + 0.2 * u[5]
    merged = g["merger_stage"] >= 3
    tails = []
    for j in (0, 1):
        away = toward + math.pi * (1 - j) + 0.5 * (u[2 + j] - 0.5)
        own = has & (~merged) if j else torch.zeros_like(has)
        size = torch.where(own, g["companion_r_e"].clamp_min(0.5), _size(g))
        length = (g["tail_length"] * (1 - 0.3 * j * u[4])).clamp_min(2.0)
        turn = (g["tail_curl"] * (1 - 0.25 * j)).clamp(STRAIGHTEST, 5.5)
        x = torch.where(own, g["companion_x"], 0.0) + 0.9 * size * torch.cos(away)
        y = torch.where(own, g["companion_y"], 0.0) + 0.9 * size * torch.sin(away)
        width = (0.15 * size).clamp_min(THINNEST)
        share = torch.where(two > 0, first if j == 0 else 1 - first, 1.0 - j)
        tails.append((Tail(x, y, away + side * 0.9, side, length / turn, turn, width, u[6 + j]), share))
    return tails


def tail_light(tail: Tail, dx: Tensor, dy: Tensor) -> Tensor:
    """Brightness (B, h, w) of a tail at unit flux.

    Two gaussians, a narrow and a wide one, across an arc of a circle that wanders a little; they broaden from root to
    tip and fade towards it, unevenly.
    """
    normal = tail.heading + tail.side * (math.pi / 2)
    x, y = dx - (tail.x + tail.radius * torch.cos(normal)), dy - (tail.y + tail.radius * torch.sin(normal))
    distance = torch.sqrt(x * x + y * y + 1e-4)
    behind = (2 * math.pi - tail.turn) / 2  # the cut of the angle lies opposite to the middle of the arc
    angle = torch.remainder(tail.side * (torch.atan2(y, x) - normal - math.pi) + behind, 2 * math.pi) - behind
    s = angle / tail.turn
    off = distance - tail.radius - _stray(tail, s)
    square = (off / (tail.width * _broad(s))).square()
    across = (1 - HALO) * fading(-0.5 * square) + HALO / WIDER * fading(-0.5 / WIDER**2 * square)
    points = (torch.arange(SIDES, device=dx.device) + 0.5) * (SPAN / SIDES) - ROOT
    outside = 1 + _stray(tail, points) / tail.radius  # of its circle a tail is longer
    total = (_along(points, tail.uneven) * _broad(points) * outside).sum(2, keepdim=True) * (SPAN / SIDES)
    return across * _along(s, tail.uneven) / (math.sqrt(2 * math.pi) * tail.width * tail.radius * tail.turn * total)


def _stray(tail: Tail, s: Tensor) -> Tensor:
    """How far from its circle a tail lies, pixels."""
    return WANDER * tail.width * torch.sin(4.0 * s + 6.0 * tail.uneven)


def _broad(s: Tensor) -> Tensor:
    """Width of a tail over that at its root."""
    return 1 + 0.6 * s.clamp(0, 1.3)


def _along(s: Tensor, uneven: Tensor) -> Tensor:
    """How a tail's light changes from its root (0) to its tip (1)."""
    knots = 1 + 0.3 * torch.sin(9.0 * s + 20.0 * uneven) + 0.25 * torch.sin(17.0 * s + 47.0 * uneven)
    return torch.sigmoid(s / 0.05) * torch.sigmoid((1 - s) / 0.1) * exp(s, -1.3) * knots


def _tails(g: Galaxies, dx: Tensor, dy: Tensor) -> Tensor:
    (first, share), (second, rest) = tails_of(g)
    light = share * tail_light(first, dx, dy)
    return light + rest * tail_light(second, dx, dy) if bool((rest > 0).any()) else light


def _bridge(g: Galaxies, dx: Tensor, dy: Tensor) -> Tensor:
    """A band from one centre to the other, at unit flux."""
    length = torch.hypot(g["companion_x"], g["companion_y"]).clamp_min(1.0)
    c, s = g["companion_x"] / length, g["companion_y"] / length
    along, across = (dx * c + dy * s) / length, dy * c - dx * s
    bow = (g.random("bridge", 1)[0] - 0.5) * 0.5 * length
    width = (0.16 * _size(g)).clamp_min(THINNEST)
    middle = (across - bow * along * (1 - along)) / width
    ends = torch.sigmoid((along - 0.1) / 0.07) * torch.sigmoid((0.9 - along) / 0.07)
    # Two logistic steps 0.8 apart multiply to an integral of 0.8 coth(0.8 / 0.14) - ... = 0.8 (1 + 2 exp(-0.8 / 0.07)).
    return ends * fading(-0.5 * middle.square()) / (0.8 * length * width * math.sqrt(2 * math.pi))


def _shells(g: Galaxies, dx: Tensor, dy: Tensor) -> Tensor:
    """Arcs with sharp outer edges, on alternating sides along the major axis (Malin & Carter 1983), at unit flux."""
    u = g.random("shells", 3)
    axis = g.direction + 0.4 * (u[0] - 0.5)
    c, s = torch.cos(axis), torch.sin(axis)
    x, y = dx * c + dy * s, (dy * c - dx * s) / 0.85
    radius = torch.sqrt(x * x + y * y + 1e-3)
    count = g["shell_count"].clamp(1, MOST_SHELLS)
    light = torch.zeros_like(radius)
    for j in range(int(count.max())):
        edge = g["shell_reach"].clamp_min(2.0) * (0.74 + 0.04 * u[1]) ** j
        there = (j < count) / count
        side = (-1.0) ** j * torch.where(u[2] < 0.5, -1.0, 1.0)
        opening = exp(side * x / radius - 1, 3.0)
        step = exp((radius - edge).clamp_max(0.0) / (0.16 * edge)) * torch.sigmoid((edge - radius) / (0.02 * edge))
        light += there * opening * step / _shell_total(edge)
    return light


def _shell_total(edge: Tensor) -> Tensor:
    """Integral of one shell: over azimuth ``2 pi e^-3 I_0(3)``, over radius by a sum."""
    t = (torch.arange(512, device=edge.device) + 0.5) * (1.5 / 512)
    step = torch.exp((t - 1).clamp_max(0.0) / 0.16) * torch.sigmoid((1 - t) / 0.02)
    azimuth = 2 * math.pi * torch.special.i0e(torch.tensor(3.0))
    total: Tensor = edge.square() * (0.85 * azimuth.to(edge.device) * (step * t).sum() * (1.5 / 512))
    return total


def _envelope(g: Galaxies, dx: Tensor, dy: Tensor) -> Tensor:
    """Three wide gaussians out of the centre: stars thrown about; at unit flux."""
    u = g.random("envelope", 12)
    size = _size(g)
    light = torch.zeros_like(dx + dy)
    for j in range(3):
        angle, tilt = 2 * math.pi * u[4 * j], math.pi * u[4 * j + 1]
        away = size * (0.3 + 1.1 * u[4 * j + 2])
        x, y = dx - away * torch.cos(angle), dy - away * torch.sin(angle)
        long, short = 1.5 * size, size * (0.5 + 0.6 * u[4 * j + 3])
        c, s = torch.cos(tilt), torch.sin(tilt)
        along, across = (x * c + y * s) / long, (y * c - x * s) / short
        light += fading(-0.5 * (along.square() + across.square())) / (6 * math.pi * long * short)
    return light
