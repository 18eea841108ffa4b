"""The light of galaxies with structure, at any points: of each part at unit flux, and what dust lets through of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from rosse.sky import dust
from rosse.sky.arms import Spiral, arm_light, spiral
from rosse.sky.bars import bar_light
from rosse.sky.columns import PARTS
from rosse.sky.discs import EDGE_ON, bulge_light, disc_light, disc_nodes, edge_on_light, unevenness
from rosse.sky.geometry import Galaxies, Nodes, Plane, in_plane, polar_nodes
from rosse.sky.rings import ring_light, ring_nodes
from rosse.sky.texture import Texture, arm_texture, patch_texture

BULGE, DISC, BAR, ARMS, RING, CLUMPS, TIDES, COMPANION = range(len(PARTS))
BOXY_FROM = 0.15  # boxiness below which isophotes are drawn as ellipses


class Points(NamedTuple):
    """Where light is wanted: each (B, h, w).

    Parameters
    ----------
    along, across : offsets from the centre along and across the line of nodes, pixels.
    plane : the same in the disc's plane.
    """

    along: Tensor
    across: Tensor
    plane: Plane


def points_at(galaxies: Galaxies, along: Tensor, across: Tensor) -> Points:
    """Points at offsets along and across the line of nodes."""
    return Points(along, across, in_plane(galaxies, along, across))


@dataclass(frozen=True, kw_only=True, eq=False)
class Structure:
    """B galaxies, and the random fields that make each of them the one it is.

    Parameters
    ----------
    galaxies : B rows, all of them edge-on or none.
    """

    galaxies: Galaxies

    @cached_property
    def edge_on(self) -> bool:
        """Whether the discs are drawn as seen edge-on."""
        return bool((self.galaxies.columns["inclination"] >= EDGE_ON).any())

    @cached_property
    def arms(self) -> Texture:
        return arm_texture(self.galaxies)

    @cached_property
    def patches(self) -> Texture:
        return patch_texture(self.galaxies)

    def pattern(self, plane: Plane) -> Spiral | None:
        """The arms' pattern at points of the plane; None where no galaxy has arms."""
        if not bool((self.galaxies.columns["arm_count"] > 0).any()):
            return None
        return spiral(self.galaxies, plane, self.arms)

    @cached_property
    def sums(self) -> Nodes:
        """Where what spreads over the disc is summed."""
        return disc_nodes(self.galaxies)

    @cached_property
    def arm_total(self) -> Tensor:
        """Integral (B, 1, 1) of the arms' light before it is brought to unit flux."""
        g = self.galaxies
        start = g["arm_start"].clamp_min(0.1)
        nodes = polar_nodes(g, 0.3 * start, 4 * torch.maximum(g["arm_reach"], start), (72, 80))
        return nodes.total(arm_light(g, nodes.plane, spiral(g, nodes.plane, self.arms))).clamp_min(1e-20)

    @cached_property
    def ring_total(self) -> Tensor:
        nodes = ring_nodes(self.galaxies)
        return nodes.total(ring_light(self.galaxies, nodes.plane, self.patches)).clamp_min(1e-20)

    @cached_property
    def disc_total(self) -> Tensor:
        """Integral (B, 1, 1) of the disc's light with its unevenness, over that without."""
        light = disc_light(self.galaxies, self.sums.plane)
        uneven = light * unevenness(self.galaxies, self.sums.plane, self.patches)
        return self.sums.total(uneven) / self.sums.total(light)

    def disc_factor(self, plane: Plane) -> Tensor:
        """What the smooth disc is multiplied by, (B, h, w); its mean over the disc's light is 1."""
        return unevenness(self.galaxies, plane, self.patches) / self.disc_total

    def light(self, part: int, points: Points, pattern: Spiral | None) -> Tensor:
        """Brightness (B, h, w) of a part at unit flux."""
        g = self.galaxies
        if part == BULGE:
            return bulge_light(g, points.along, points.across, boxy=True)
        if part == DISC:
            if self.edge_on:
                return edge_on_light(g, points.along, points.across)
            return disc_light(g, points.plane) * self.disc_factor(points.plane)
        if part == BAR:
            return bar_light(g, points.plane)
        if part == ARMS:
            assert pattern is not None
            return arm_light(g, points.plane, pattern) / self.arm_total
        assert part == RING
        return ring_light(g, points.plane, self.patches) / self.ring_total

    def smooth_light(self, part: int, points: Points) -> Tensor:
        """Brightness (B, h, w) of bulge or disc as it is drawn in Fourier space: elliptical and without structure."""
        if part == BULGE:
            return bulge_light(self.galaxies, points.along, points.across, boxy=False)
        if self.edge_on:
            return edge_on_light(self.galaxies, points.along, points.across)
        return disc_light(self.galaxies, points.plane)

    def depth(self, points: Points, pattern: Spiral | None) -> tuple[Tensor, Tensor]:
        """Optical depth (B, h, w) at 550 nm through the disc's dust, and of the lane of a disc seen nearly edge-on."""
        g = self.galaxies
        lane = dust.lane_depth(g, points.along, points.across)
        if self.edge_on:
            return lane, lane
        through = dust.disc_depth(g, points.plane, pattern)
        return (through + lane if self.lanes.any() else through), lane

    @cached_property
    def lanes(self) -> Tensor:
        """Which galaxies (B,) show their dust layer as a band."""
        c = self.galaxies.columns
        return (c["dust_lane"] > 0) & (c["inclination"] > dust.LANES_FROM) & (c["dust_tau"] > 0)

    @cached_property
    def special_bulge(self) -> Tensor:
        """Which bulges (B,) are no ellipses, or crossed by a dust lane."""
        return (self.galaxies.columns["bulge_boxiness"].abs() >= BOXY_FROM) | self.lanes

    def bulge_depth(self, depth: tuple[Tensor, Tensor]) -> Tensor:
        """Optical depth (B, h, w) of what lies before half of the bulge: the lane where there is one, else the disc."""
        lanes = self.lanes[:, None, None]
        return torch.where(lanes, depth[1], depth[0])


def transmissions(depth: Tensor, extinction: Tensor, *, half: bool) -> Tensor:
    """Share of the light (B, C, h, w) that dust lets through.

    Parameters
    ----------
    depth : (B, h, w) optical depth at 550 nm.
    extinction : (B, C) of each band over that.
    half : of a body of which half is behind a thin layer, or of stars mixed with the dust.
    """
    through = dust.half_behind if half else dust.mixed
    return through(depth[:, None] * extinction[..., None, None])


def mean_transmission(structure: Structure, extinction: Tensor, present: Tensor) -> Tensor:
    """Share of each part's light that leaves the galaxy, (B, K).

    Parameters
    ----------
    structure : B galaxies.
    extinction : (B,) of one band.
    present : (B, K) which parts have light.
    """
    nodes = structure.sums
    plane = nodes.plane
    points = Points(plane.x, plane.y * structure.galaxies.axis_ratio, plane)
    pattern = structure.pattern(plane)
    depth = structure.depth(points, pattern)
    out = torch.ones(present.shape, device=present.device)
    for part in (BULGE, DISC, BAR, ARMS, RING):
        if not bool(present[:, part].any()):
            continue
        seen = depth[0] if part != BULGE else structure.bulge_depth(depth)
        through = transmissions(seen, extinction[:, None], half=part == BULGE)[:, 0]
        light = structure.light(part, points, pattern) * nodes.weight if pattern or part != ARMS else nodes.weight
        mean = (light * through).sum((1, 2)) / light.expand_as(through).sum((1, 2)).clamp_min(1e-20)
        out[:, part] = torch.where(present[:, part], mean, 1.0)
    young = torch.where(present[:, ARMS], out[:, ARMS], torch.where(present[:, RING], out[:, RING], out[:, DISC]))
    out[:, CLUMPS] = torch.where(present[:, CLUMPS], young, 1.0)
    return out
