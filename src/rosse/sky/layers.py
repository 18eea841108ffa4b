"""What each part of a galaxy is drawn with: a transform that is known, light on the finer grid, or points."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rosse.light.elliptical import Symmetric
from rosse.light.profiles import Sersic
from rosse.light.radial import N_RANGE
from rosse.sky.canvas import Canvas, Fine, Layer, Points, Smooth
from rosse.sky.clumps import Clumps, place_clumps
from rosse.sky.discs import EDGE_ON, SMALLEST, sersic_ellipse
from rosse.sky.geometry import Galaxies, on_sky, side_by_side
from rosse.sky.scene import (
    ARMS,
    BAR,
    BULGE,
    CLUMPS,
    COMPANION,
    DISC,
    RING,
    TIDES,
    Structure,
    central_depth,
    disc_screen,
    mean_transmission,
    points_at,
)  # fmt: skip
from rosse.sky.tides import tide_light

SERSIC = Sersic()
STRUCTURED = (BAR, ARMS, RING, TIDES)
SUMMED = 256  # galaxies whose sums are made at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """B galaxies to be drawn.

    Parameters
    ----------
    galaxies : B rows.
    fluxes : (B, K, C) float64, of each part in each band before dust.
    reference : (B, K) the same in SDSS r, whose sum dust does not change.
    extinction : (B, C) optical depth in each band over that at 550 nm.
    reference_extinction : (B,) the same in SDSS r.
    waves : C pivot wavelengths, nm.
    centre : (B, 2) x and y, pixels.
    held : whether fluxes are to be as bright as SDSS r says, whatever the dust.
    """

    galaxies: Galaxies
    fluxes: Tensor
    reference: Tensor
    extinction: Tensor
    reference_extinction: Tensor
    waves: tuple[float, ...]
    centre: Tensor
    held: bool = True

    def take(self, index: Tensor) -> Job:
        """Some of the galaxies."""
        return replace(
            self,
            galaxies=self.galaxies.take(index),
            fluxes=self.fluxes[index],
            reference=self.reference[index],
            extinction=self.extinction[index],
            reference_extinction=self.reference_extinction[index],
            centre=self.centre[index],
        )

    def bands(self, which: slice) -> Job:
        """Some of the bands."""
        return replace(
            self, fluxes=self.fluxes[:, :, which], extinction=self.extinction[:, which], waves=self.waves[which]
        )

    def nearest(self, wavelength: float) -> int:
        """The band nearest to a wavelength, nm."""
        return min(range(len(self.waves)), key=lambda band: abs(math.log(self.waves[band] / wavelength)))


def grouped(job: Job, most: int) -> Iterable[tuple[Tensor, Job]]:
    """Galaxies to be drawn together, of like structure and at most `most` at a time: which, and what of them.

    Those with and without arms are apart, because the pattern of arms is most of the work. What is summed over a galaxy
    is summed for many of them at once; dust is made up for.
    """
    needs, edge_on = _needs_grid(job), _edge_on(job)
    lit = (job.fluxes != 0).any(2)
    armed = needs & (job.galaxies.columns["arm_count"] > 0)
    key = needs.long() * 4 + (needs & edge_on).long() * 2 + (armed & ~edge_on).long()
    special = Structure(galaxies=job.galaxies).special_bulge & lit[:, BULGE]
    for there in (special, *(lit[:, part] for part in (ARMS, TIDES, RING, BAR, CLUMPS))):
        key = key * 2 + (there & needs).long()
    order = torch.argsort(key, stable=True)
    for group in torch.unique(key >> 6):
        size = most if int(group) else 4 * most  # without the finer grid a galaxy needs less
        for members in torch.split(order[(key[order] >> 6) == group], max(size, SUMMED)):
            some = job.take(members)
            some = dimmed(some, Structure(galaxies=some.galaxies))
            for part in torch.split(torch.arange(len(members), device=members.device), size):
                yield members[part], some.take(part)


def _needs_grid(job: Job) -> Tensor:
    """Which galaxies (B,) have something that is no sum of ellipses."""
    c, lit = job.galaxies.columns, (job.fluxes != 0).any(2)
    disc = lit[:, DISC] & ((c["dust_tau"] > 0) | (c["disorder"] > 0) | (c["lopsidedness"] > 0) | _edge_on(job))
    boxy = lit[:, BULGE] & Structure(galaxies=job.galaxies).special_bulge
    return lit[:, list(STRUCTURED)].any(1) | disc | boxy


def _edge_on(job: Job) -> Tensor:
    return job.galaxies.columns["inclination"] >= EDGE_ON


def layers_of(job: Job, canvas: Canvas) -> list[Layer]:
    """All that a group of galaxies of `grouped` is made of; rows are those of the group."""
    structure = Structure(galaxies=job.galaxies)
    if bool(_needs_grid(job).any()):
        layers = _structured(job, canvas, structure)
    else:
        whole = torch.ones_like(job.extinction)
        layers = _bulges(job, canvas, whole) + _discs(job, canvas, whole)
    return layers + _companions(job, canvas) + _clumps(job, canvas, structure)


def dimmed(job: Job, structure: Structure) -> Job:
    """The same with fluxes before dust so much higher that the flux in SDSS r is what it was."""
    dusty = (job.galaxies.columns["dust_tau"] > 0) & (job.reference[:, DISC] > 0)
    if not job.held or not bool(dusty.any()):
        return job
    through = mean_transmission(structure, job.reference_extinction, job.reference > 0).to(job.reference)
    factor = job.reference.sum(1) / (job.reference * through).sum(1).clamp_min(1e-300)
    factor = torch.where(dusty, factor, 1.0)
    return replace(job, fluxes=job.fluxes * factor[:, None, None], reference=job.reference * factor[:, None])


def _structured(job: Job, canvas: Canvas, structure: Structure) -> list[Layer]:
    """Everything in the plane of the disc, and the bulge behind its dust."""
    galaxies, flux = job.galaxies, job.fluxes.to(torch.float32)
    dx, dy = canvas.offsets(job.centre)
    points = points_at(galaxies, *on_sky(galaxies, dx, dy))
    pattern = structure.pattern(points.plane)
    every = torch.arange(len(galaxies), device=dx.device)
    lit = (job.fluxes != 0).any(2)
    dusty = bool((galaxies.columns["dust_tau"] > 0).any())
    depth = structure.depth(points, pattern) if dusty else None
    screen = disc_screen(depth, job.extinction) if depth else None
    at_centre = _central(job, structure)
    layers = _bulges(job, canvas, at_centre[0]) + _discs(job, canvas, at_centre[1])
    if bool(lit[:, DISC].any()):
        light, plain = structure.disc(points)
        layers.append(Fine(DISC, every, flux[:, DISC], light, screen))
        if not structure.edge_on:  # seen edge-on a disc has no cusp, and is drawn here altogether
            layers.append(Fine(DISC, every, -flux[:, DISC] * at_centre[1], plain, None))
    special = (structure.special_bulge & lit[:, BULGE]).nonzero()[:, 0]
    if len(special):
        weight = flux[special, BULGE]
        through = structure.bulge_screen(depth, job.extinction, special) if depth else None
        light, plain = structure.bulge(points, special)
        layers.append(Fine(BULGE, special, weight, light, through))
        layers.append(Fine(BULGE, special, -weight * at_centre[0][special], plain, None))
    if pattern is not None and bool(lit[:, ARMS].any()):
        layers.append(Fine(ARMS, every, flux[:, ARMS], structure.light(ARMS, points, pattern), screen))
    for part in (BAR, RING):
        some = lit[:, part].nonzero()[:, 0]
        if len(some):
            at = side_by_side(some)
            light = structure.take(some).light(part, points.take(at), None)
            layers.append(Fine(part, some, flux[some, part], light, None if screen is None else screen[at]))
    torn = lit[:, TIDES].nonzero()[:, 0]
    if len(torn):
        light = tide_light(galaxies.take(torn), dx[torn], dy[torn])
        layers.append(Fine(TIDES, torn, flux[torn, TIDES], light, None))
    return layers


def _central(job: Job, structure: Structure) -> tuple[Tensor, Tensor]:
    """What is left of bulge and disc (B, C) at the galaxy's centre, as factors of their smooth light.

    A cusp is drawn in Fourier space, where it is exact, times these; only the rest, which is 0 at the cusp, is drawn on
    the finer grid.
    """
    galaxies, depth = job.galaxies, central_depth(structure)
    bulge = structure.bulge_screen(depth, job.extinction)[:, :, 0, 0]
    if structure.edge_on:
        return bulge, torch.ones_like(bulge)
    zero = torch.zeros(len(galaxies), 1, 1, device=job.centre.device)
    factor = structure.disc_factor(points_at(galaxies, zero, zero).plane)[:, 0]
    return bulge, disc_screen(depth, job.extinction)[:, :, 0, 0] * factor


def _smooth(part: int, component: Symmetric, slots: list[Tensor], job: Job, canvas: Canvas) -> list[Layer]:
    """A component with a known transform.

    Parameters
    ----------
    part : whose flux it has.
    component : what draws it.
    slots : x, y and the shape, (B,) each, as the component wants them.
    job : B galaxies, with the fluxes that it is to have.
    canvas : where.
    """
    which = (job.fluxes[:, part] != 0).any(1).nonzero()[:, 0]
    if not len(which):
        return []
    values = torch.stack([torch.ones_like(slots[0]), *slots], 1)[which]
    spectra, folded, copies = component.drawn(values, canvas.grid.rows(which), derivatives=False)
    weight = job.fluxes[which, part].to(torch.float32)
    drawn = copies.pixels(0, len(which), slice(0, 1))
    return [Smooth(part, which, weight, spectra[0], folded, drawn, values[:, 1:3])]


def _scaled(job: Job, part: int, factor: Tensor) -> Job:
    fluxes = job.fluxes.clone()
    fluxes[:, part] *= factor
    return replace(job, fluxes=fluxes)


def _sersic(centre: Tensor, r_e: Tensor, n: Tensor, q: Tensor, theta: Tensor) -> list[Tensor]:
    """Slots of a Sersic profile; what has no size is a point."""
    ln_r, ln_q = torch.log(r_e.clamp_min(SMALLEST)), torch.log(torch.where(q > 0, q, 1.0).clamp(0.03, 1.0))
    return [centre[:, 0], centre[:, 1], ln_r, torch.log(n.clamp(*N_RANGE)), ln_q, theta]


def _bulges(job: Job, canvas: Canvas, left: Tensor) -> list[Layer]:
    c = job.galaxies.columns
    slots = _sersic(job.centre, c["bulge_r_e"], c["bulge_n"], c["bulge_q"], _direction(job))
    return _smooth(BULGE, SERSIC, slots, _scaled(job, BULGE, left), canvas)


def _discs(job: Job, canvas: Canvas, left: Tensor) -> list[Layer]:
    """Discs that are ellipses; `left` (B, C) is the share that is drawn."""
    scaled, c = _scaled(job, DISC, left * ~_edge_on(job)[:, None]), job.galaxies.columns
    q = job.galaxies.axis_ratio.flatten().to(torch.float64)
    slots = _sersic(job.centre, c["disc_r_e"], c["disc_n"], q, _direction(job))
    return _smooth(DISC, SERSIC, slots, scaled, canvas)


def _companions(job: Job, canvas: Canvas) -> list[Layer]:
    """Companions; those whose centre is outside of the frame on the finer grid, where nothing is repeated."""
    c = job.galaxies.columns
    offset = torch.stack([c["companion_x"], c["companion_y"]], 1)
    place = job.centre + offset
    theta = c["companion_pa"] + math.pi / 2
    slots = _sersic(place, c["companion_r_e"], c["companion_n"], c["companion_q"], theta)
    away = _outside(job, canvas)
    near = replace(job, fluxes=job.fluxes * ~away[:, None, None])
    layers = _smooth(COMPANION, SERSIC, slots, near, canvas)
    far = (away & (job.fluxes[:, COMPANION] != 0).any(1)).nonzero()[:, 0]
    if len(far):
        dx, dy = canvas.offsets(place[far])
        light = sersic_ellipse([slot[far] for slot in slots[2:]], dx, dy)
        layers.append(Fine(COMPANION, far, job.fluxes[far, COMPANION].to(torch.float32), light, None))
    return layers


def _outside(job: Job, canvas: Canvas) -> Tensor:
    """Which companions (B,) have their centre outside of the frame."""
    c, (height, width) = job.galaxies.columns, canvas.grid.frame
    x, y = job.centre[:, 0] + c["companion_x"], job.centre[:, 1] + c["companion_y"]
    return (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)


def _direction(job: Job) -> Tensor:
    return job.galaxies.columns["pa"] + math.pi / 2


def _clumps(job: Job, canvas: Canvas, structure: Structure) -> list[Layer]:
    which = clumpy(job)
    if not len(which):
        return []
    clumps, light = clump_light(job.take(which), structure.take(which))
    height, width = canvas.grid.frame  # what lies farther out than half the border would come back on the other side
    x, y = job.centre[which, :1] + clumps.x, job.centre[which, 1:] + clumps.y
    edge_x, edge_y = (canvas.grid.size[1] - width) / 2, (canvas.grid.size[0] - height) / 2
    there = (x > -edge_x) & (x < width - 1 + edge_x) & (y > -edge_y) & (y < height - 1 + edge_y)
    return [Points(CLUMPS, which, clumps, light * there[:, None], job.centre[which])]


def clumpy(job: Job) -> Tensor:
    """Rows of the galaxies that have clumps."""
    lit = (job.fluxes[:, CLUMPS] != 0).any(1)
    return (lit & (job.galaxies.columns["clump_count"] > 0)).nonzero()[:, 0]


def clump_light(job: Job, structure: Structure) -> tuple[Clumps, Tensor]:
    """Clumps of B galaxies and the flux (B, C, N) of each that leaves the galaxy."""
    clumps = place_clumps(job.galaxies, structure.arms, structure.patches)
    plane = clumps.plane
    points = points_at(job.galaxies, plane.x, plane.y * job.galaxies.fine_ratio)
    depth = structure.depth(points, structure.pattern(points.plane))
    through = disc_screen(depth, job.extinction)[:, :, 0]
    return clumps, job.fluxes[:, CLUMPS, :, None].to(torch.float32) * clumps.share[:, None] * through
