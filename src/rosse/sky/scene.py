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
from rosse.sky.discs import (
    BOXY_FROM,
    EDGE_ON,
    bulge_light,
    bulge_nodes,
    disc_light,
    disc_nodes,
    edge_on_light,
    thin_light,
    unevenness,
)
from rosse.sky.geometry import Galaxies, Plane, in_plane, polar_nodes
from rosse.sky.rings import ring_light, ring_nodes
from rosse.sky.texture import Texture, arm_texture, patch_texture

BULGE, DISC, BAR, ARMS, RING, CLUMPS, TIDES, COMPANION = range(len(PARTS))
NODES = (24, 32)  # radii and azimuths of the sums over a disc: means of transmission


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

    def take(self, index: Tensor | slice) -> Points:
        """Some of the galaxies."""
        return Points(self.along[index], self.across[index], self.plane.take(index))


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

    @property
    def arms(self) -> Texture:
        """Random fields along the arms."""
        return arm_texture(self.galaxies)

    @property
    def patches(self) -> Texture:
        """A random field over the disc."""
        return patch_texture(self.galaxies)

    def take(self, index: Tensor) -> Structure:
        """Some of the galaxies, with the same random fields."""
        return Structure(galaxies=self.galaxies.take(index))

    def pattern(self, plane: Plane) -> Spiral | None:
        """The arms' pattern at points of the plane; None where no galaxy has arms."""
        if not bool((self.galaxies.columns["arm_count"] > 0).any()):
            return None
        return spiral(self.galaxies, plane, self.arms)

    def _arm_total(self) -> Tensor:
        """Integral (B, 1, 1) of the arms' light before it is brought to unit flux."""
        g = self.galaxies
        start = g["arm_start"].clamp_min(0.1)
        nodes = polar_nodes(g, 0.3 * start, 4 * torch.maximum(g["arm_reach"], start), (48, 48))
        return nodes.total(arm_light(g, nodes.plane, spiral(g, nodes.plane, self.arms))).clamp_min(1e-20)

    def _ring_total(self) -> Tensor:
        nodes = ring_nodes(self.galaxies)
        return nodes.total(ring_light(self.galaxies, nodes.plane, self.patches)).clamp_min(1e-20)

    def _disc_total(self) -> Tensor:
        """Integral (B, 1, 1) of the disc's light with its unevenness, over that without."""
        nodes = disc_nodes(self.galaxies)
        light = disc_light(self.galaxies, nodes.plane)
        uneven = light * unevenness(self.galaxies, nodes.plane, self.patches)
        return nodes.total(uneven) / nodes.total(light)

    def disc_factor(self, plane: Plane) -> Tensor:
        """What the smooth disc is multiplied by, (B, h, w); its mean over the disc's light is 1."""
        total = self.galaxies.once("disc total", self._disc_total)
        return unevenness(self.galaxies, plane, self.patches).mul_(1 / total)

    def light(self, part: int, points: Points, pattern: Spiral | None) -> Tensor:
        """Brightness (B, h, w) at unit flux of a bar, of arms or of a ring."""
        g = self.galaxies
        if part == BAR:
            return bar_light(g, points.plane)
        if part == RING:
            return ring_light(g, points.plane, self.patches).mul_(1 / g.once("ring total", self._ring_total))
        if self.edge_on:
            return thin_light(g, points.along, points.across, self.patches)
        assert pattern is not None
        return arm_light(g, points.plane, pattern).mul_(1 / g.once("arm total", self._arm_total))

    def disc(self, points: Points) -> tuple[Tensor, Tensor]:
        """Brightness (B, h, w) of the disc at unit flux: with its structure, and as it is drawn in Fourier space."""
        if self.edge_on:
            light = edge_on_light(self.galaxies, points.along, points.across)
            return light, light
        light = disc_light(self.galaxies, points.plane)
        return light * self.disc_factor(points.plane), light

    def bulge(self, points: Points, which: Tensor | slice = slice(None)) -> tuple[Tensor, Tensor]:
        """The same of the bulge, of some of the galaxies."""
        some = self.galaxies if isinstance(which, slice) else self.galaxies.take(which)
        along, across = points.along[which], points.across[which]
        light = bulge_light(some, along, across, boxy=False)
        if bool((some.columns["bulge_boxiness"].abs() >= BOXY_FROM).any()):
            return bulge_light(some, along, across, boxy=True).mul_(self._boxy_factor()[which]), light
        return light, light

    def _boxy_factor(self) -> Tensor:
        """What boxy light (B, 1, 1) is multiplied by: softened, it does not hold quite what softened ellipses hold."""

        def compare() -> Tensor:
            nodes = bulge_nodes(self.galaxies)
            at = self.galaxies, nodes.plane.x, nodes.plane.y
            return nodes.total(bulge_light(*at, boxy=False)) / nodes.total(bulge_light(*at, boxy=True))

        return self.galaxies.once("boxy factor", compare)

    def depth(self, points: Points, pattern: Spiral | None) -> tuple[Tensor, Tensor]:
        """Optical depth (B, h, w) at 550 nm through the disc's dust, and of the lane of a disc seen nearly edge-on."""
        g = self.galaxies
        if self.edge_on:
            lane = dust.lane_depth(g, points.along, points.across)
            return lane, lane
        through = dust.disc_depth(g, points.plane, pattern)
        if not bool(self._lanes.any()):
            return through, through
        lane = dust.lane_depth(g, points.along, points.across)
        return through + lane, lane

    @cached_property
    def _lanes(self) -> Tensor:
        """Which galaxies (B,) show their dust layer as a band."""
        c = self.galaxies.columns
        return (c["dust_lane"] > 0) & (c["inclination"] > dust.LANES_FROM) & (c["dust_tau"] > 0)

    @cached_property
    def special_bulge(self) -> Tensor:
        """Which bulges (B,) are no ellipses, or crossed by a dust lane."""
        return (self.galaxies.columns["bulge_boxiness"].abs() >= BOXY_FROM) | self._lanes

    def bulge_screen(
        self, depth: tuple[Tensor, Tensor], extinction: Tensor, which: Tensor | slice = slice(None)
    ) -> Tensor:
        """Share of the bulge's light (B, C, h, w) that dust lets through, of some of the galaxies.

        A disc seen from above hides the half of the bulge that is beyond it; a disc seen nearly edge-on has half of its
        dust in front of all of the bulge.
        """
        lanes = self._lanes[which]
        if bool(lanes.all()):
            return dust.behind(depth[1][which, None] * extinction[which, :, None, None])
        over = dust.half_behind(depth[0][which, None] * extinction[which, :, None, None])
        if not bool(lanes.any()):
            return over
        band = dust.behind(depth[1][which, None] * extinction[which, :, None, None])
        return torch.where(lanes[:, None, None, None], band, over)


def disc_screen(depth: tuple[Tensor, Tensor], extinction: Tensor) -> Tensor:
    """Share of the light (B, C, h, w) of what is in the disc that dust lets through.

    Parameters
    ----------
    depth : as `Structure.depth` gives it.
    extinction : (B, C) optical depth of each band over that at 550 nm.
    """
    return dust.mixed(depth[0][:, None] * extinction[..., None, None])


def mean_transmission(structure: Structure, extinction: Tensor, present: Tensor) -> Tensor:
    """Share of each part's light that leaves the galaxy, (B, K), as it is drawn.

    Parameters
    ----------
    structure : B galaxies.
    extinction : (B,) of one band.
    present : (B, K) which parts have light.
    """
    disc_r_e = structure.galaxies["disc_r_e"].clamp_min(0.02)
    nodes = polar_nodes(structure.galaxies, 0.03 * disc_r_e, 6.0 * disc_r_e, NODES, turned=True)
    plane = nodes.plane
    points = Points(plane.x, plane.y * structure.galaxies.fine_ratio, plane)
    pattern = structure.pattern(plane)
    mixed = disc_screen(structure.depth(points, pattern), extinction[:, None])[:, 0]
    out = torch.ones(present.shape, device=present.device)
    for part in (DISC, BAR, ARMS, RING):
        if not bool(present[:, part].any()) or (part == ARMS and pattern is None):
            continue
        light = structure.disc(points)[0] if part == DISC else structure.light(part, points, pattern)
        light = light * nodes.weight
        out[:, part] = (light * mixed).sum((1, 2)) / light.sum((1, 2)).clamp_min(1e-20)
    if bool(present[:, BULGE].any()):
        out[:, BULGE] = _through_bulge(structure, extinction, present[:, BULGE])
    young = torch.where(present[:, ARMS], out[:, ARMS], torch.where(present[:, RING], out[:, RING], out[:, DISC]))
    out[:, CLUMPS] = young
    return torch.where(present, out, 1.0)


def central_depth(structure: Structure) -> tuple[Tensor, Tensor]:
    """Optical depths (B, 1, 1) at the galaxies' centres, as `Structure.depth` gives them."""
    g = structure.galaxies
    zero = torch.zeros(len(g), 1, 1, device=g.values.device)
    points = points_at(g, zero, zero)
    return structure.depth(points, structure.pattern(points.plane))


def _through_bulge(structure: Structure, extinction: Tensor, present: Tensor) -> Tensor:
    """Share (B,) of the bulge's light that leaves the galaxy.

    What is drawn: all of it as its centre, and of bulges whose dust or isophotes are no ellipses the difference.
    """
    centre = structure.bulge_screen(central_depth(structure), extinction[:, None])[:, 0]
    out = centre[:, 0, 0].clone()
    which = (structure.special_bulge & present).nonzero()[:, 0]
    if len(which):
        some = structure.take(which)
        nodes = bulge_nodes(some.galaxies)
        points = points_at(some.galaxies, nodes.plane.x, nodes.plane.y)
        depth = some.depth(points, some.pattern(points.plane))
        through = some.bulge_screen(depth, extinction[which, None])[:, 0]
        light, plain = some.bulge(points)
        out[which] += nodes.total(light * through - plain * centre[which])[:, 0, 0]
    return out
