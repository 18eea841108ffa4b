"""From cutouts and a plan to a problem that can be minimised: pixels, fixed values, priors, bounds and a start."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.cutouts import Cutouts, pad_cutouts
from rosse.fitting.batches import needed_frames
from rosse.fitting.given import true_axes
from rosse.fitting.levenberg import Limits
from rosse.fitting.options import FitOptions
from rosse.fitting.plan import LINEAR_UNITS, Plan, among_all, same_everywhere, slot_of
from rosse.fitting.problem import Prior, Problem
from rosse.fitting.start import FIRST, Trial, nearest_only, psf_width, rough_sky, starting_ellipses
from rosse.fitting.units import to_fit, width_to_fit
from rosse.fitting.view import SMALLEST_FRAME, View
from rosse.light.psf import grid_of

Floats = NDArray[np.float64]
REACH = 4.0  # pixels that a centre may be away from where it was said to be
WELL_WITHIN = 1.6  # half-light radii of a starting guess
LARGEST_GAP = 6.0  # an `at_most` ends, in the logarithm, this far below its limit


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """Some galaxies of a fit.

    Parameters
    ----------
    cutouts : B of them, on the frame that the fit's coordinates belong to.
    index : (B,) their rows among all galaxies of the fit.
    plan, options : of the fit.
    arcsec : whether lengths are in arcsec.
    reference : the same galaxies in the pixels that lengths and angles are counted in; None: in those of `cutouts`.
    """

    cutouts: Cutouts
    index: NDArray[np.int64]
    plan: Plan
    options: FitOptions
    arcsec: bool
    reference: Cutouts | None = None

    def rows(self, rows: NDArray[np.int64]) -> Setup:
        """Some of the galaxies."""
        reference = None if self.reference is None else self.reference[rows]
        return replace(self, cutouts=self.cutouts[rows], index=self.index[rows], reference=reference)

    def problem(self, halvings: int = 0) -> Problem:
        """The problem on the cutouts' pixels, trimmed to where they carry weight; or on the middle of that frame.

        Parameters
        ----------
        halvings : how often the frame is cut to half its sides; the first steps of a fit need no more.
        """
        height, width = (length >> halvings for length in self._trimmed())
        pixels = pad_cutouts(self.cutouts, height, width)
        grid = grid_of(pixels, exact=not halvings)
        corner = tuple(float(v) for v in (pixels.corner[0] - self.cutouts.corner[0]).tolist())
        counts = self.options.likelihood == "poisson"
        root = (pixels.ivar > 0).to(pixels.ivar) if counts else pixels.ivar.sqrt()
        view = View(flux=pixels.flux, root=root, grid=grid, corner=(corner[0], corner[1]))
        return Problem(
            view=view,
            plan=self.plan,
            offset=self.offset(),
            priors=self._priors(),
            poisson=counts,
        )

    def _trimmed(self) -> tuple[int, int]:
        height, width = needed_frames(self.cutouts).max(0).tolist()
        return height, width

    def fits_in(self, guess: Tensor) -> Tensor:
        """How often (B,) the frame may be halved so that galaxies of slots `guess` (B, L) are still well within."""
        frame, middle = self._trimmed(), [length // 2 for length in self.cutouts.frame]
        reach = torch.zeros(len(guess), 2, dtype=guess.dtype, device=guess.device)  # along y and x
        for component, place in zip(self.plan.model.components, self.plan.layout.places, strict=True):
            names = [slot.name for slot in component.slots]
            local = guess[:, place]
            radius = torch.zeros_like(guess[:, 0])
            if component.scale_radius:
                radius = WELL_WITHIN * torch.exp(local[:, names.index(component.scale_radius)])
            for axis, name in enumerate("yx"):
                if name in names:
                    off = (local[:, names.index(name)] - middle[axis]).abs()
                    reach[:, axis] = torch.maximum(reach[:, axis], off + radius)
        times = torch.zeros(len(guess), dtype=torch.int64, device=guess.device)
        for halvings in range(1, 16):
            half = torch.tensor([(length >> halvings) / 2 for length in frame], dtype=reach.dtype, device=reach.device)
            if min(frame) >> halvings < SMALLEST_FRAME:
                break
            times[(reach <= half).all(1)] = halvings
        return times

    def offset(self) -> Tensor:
        """(B, C, L) what does not move."""
        shape = (len(self.index), len(self.plan.bands), self.plan.layout.size)
        fixed = torch.zeros(shape, dtype=torch.float64, device=self._device)
        for slot, values in self.plan.values("fixed", self.index):
            columns = values[:, None] if values.ndim == 1 else values
            for band, place in enumerate(among_all(self.plan)):
                fixed[:, band, slot] = self._to_fit(slot, columns[:, min(place, columns.shape[1] - 1)])
        if self.reference is not None:
            self._from_reference(fixed, self.reference)
        return self.plan.offset(fixed)

    def _from_reference(self, fixed: Tensor, reference: Cutouts) -> None:
        """Add to the free slots of `fixed` (B, C, L) what lengths and angles are more in these pixels."""
        longer, turned = torch.log(reference.scale / self.cutouts.scale), self.cutouts.north - reference.north
        for i in {coordinate.slot for coordinate in self.plan.coordinates if coordinate.below is None}:
            unit = self.plan.layout.slots[i].unit
            if unit in ("length", "angle"):
                fixed[:, :, i] += (longer if unit == "length" else turned)[:, None]

    def guess(self, problem: Problem, trial: Trial = FIRST) -> Tensor:
        """Slots (B, C, L) from the moments of the image, with unit fluxes; those that the user gave as they are.

        Parameters
        ----------
        problem : the pixels to look at; wide ones tell enough.
        trial : how it departs from what moments say, for another try.
        """
        view = problem.view
        out = torch.ones(len(self.index), self.plan.layout.size, dtype=torch.float64, device=self._device)
        given = self._starts()
        found = self._ellipses(view, given)
        shares = self._shares(trial)
        for i, (slot, owner) in enumerate(zip(self.plan.layout.slots, self.plan.owners, strict=True)):
            ellipse, share = found[owner.name], shares[owner.name]
            if slot.name in ellipse:
                out[:, i] = ellipse[slot.name]
            elif slot.unit == "length":
                out[:, i] = torch.log(ellipse["radius"] * (slot.start * share * trial.size))
            elif slot.unit not in LINEAR_UNITS:
                start = slot.start * (trial.index if slot.name == "n" else 1.0)
                if slot.name == "n" and share > 1.0:
                    start = start / 2  # the outer part of two is a disc
                out[:, i] = math.log(start) if slot.log else start
        for slot_at, value in given.items():
            out[:, slot_at] = torch.where(torch.isfinite(value), value, out[:, slot_at])
        return out[:, None].expand(-1, len(self.plan.bands), -1)

    def _starts(self) -> dict[int, Tensor]:
        """Starting values (B,) by slot: the user's, before those of the starter."""
        found = {}
        if self.options.starter is not None:
            for column, values in self.options.starter(self.cutouts).items():
                found[slot_of(self.plan, column)] = self._to_fit(slot_of(self.plan, column), np.asarray(values, "f8"))
        for slot, values in (*self.plan.values("start", self.index), *self.plan.values("fixed", self.index)):
            if values.ndim == 1:
                found[slot] = self._to_fit(slot, values)
        return found

    def _ellipses(self, view: View, given: dict[int, Tensor]) -> dict[str, dict[str, Tensor]]:
        """Centre, radius, axis ratio and angle that each component starts from, by its name.

        Components share one ellipse, but those whose own centre was given have what is nearest to it.
        """
        flux, ivar = view.flux, view.root.square()
        if any(slot.unit == "level" for slot in self.plan.layout.slots):
            flux = flux - rough_sky(flux, ivar)
        apart = self._apart(given)
        if not apart:
            common = self._ellipse(view, flux, ivar, None)
            return {component.name: common for component in self.plan.model.components}
        middle = [torch.full_like(next(iter(given.values())), length // 2) for length in view.grid.frame[::-1]]
        centres = [(middle[0], middle[1])]
        for x, y in apart.values():
            own = [
                (v - corner - (view.zoom - 1) / 2) / view.zoom for v, corner in zip((x, y), view.corner, strict=True)
            ]
            centres.append((own[0], own[1]))
        ellipses = [self._ellipse(view, flux, nearest_only(ivar, centres, k), c) for k, c in enumerate(centres)]
        own_one = dict(zip(apart, ellipses[1:], strict=True))
        return {c.name: own_one.get(c.name, ellipses[0]) for c in self.plan.model.components}

    def _apart(self, given: dict[int, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
        """Given centres of components that have one of their own."""
        found = {}
        for component, place in zip(self.plan.model.components, self.plan.layout.places, strict=True):
            x, y = place.start + 1, place.start + 2
            if component.own_centre and x in given and y in given:
                found[component.name] = (given[x].nan_to_num(0.0), given[y].nan_to_num(0.0))
        return found

    def _ellipse(
        self, view: View, flux: Tensor, ivar: Tensor, centre: tuple[Tensor, Tensor] | None
    ) -> dict[str, Tensor]:
        """Moments in the pixels of the view, in those of the fit."""
        cutouts, zoom, sigma = self.cutouts, view.zoom, None
        if cutouts.psf is not None:
            sigma = psf_width(cutouts.psf).to(torch.float64).expand(len(cutouts)) / (cutouts.psf_oversampling * zoom)
        x, y, radius, q, theta = starting_ellipses(flux, ivar, psf_sigma=sigma, centre=centre)
        x, y = (v * zoom + (zoom - 1) / 2 + corner for v, corner in zip((x, y), view.corner, strict=True))
        return {"x": x, "y": y, "radius": radius * zoom, "q": torch.log(q), "pa": theta}

    @property
    def frames(self) -> list[tuple[int, int]]:
        """(C,) height and width of the frame of each band."""
        return [self.cutouts.frame] * len(self.plan.bands)

    def limits(self, start: Tensor) -> Limits:
        """Bounds (B, P) of the coordinates and how far one step may go."""
        height, width = self.cutouts.frame
        lower = torch.full_like(start, -math.inf)
        upper = torch.full_like(start, math.inf)
        step = torch.full((self.plan.size,), math.inf, dtype=start.dtype, device=start.device)
        given = dict(self.plan.values("bounds", self.index))
        upright = true_axes(self.plan)
        counts = self.options.likelihood == "poisson"  # there is no chance of a negative number of photons
        positive = counts or len(self.plan.layout.fluxes) > 1  # a part of a galaxy does not take light away
        for p, coordinate in enumerate(self.plan.coordinates):
            slot, owner = self.plan.layout.slots[coordinate.slot], self.plan.owners[coordinate.slot]
            step[p] = math.inf if slot.unit in LINEAR_UNITS else slot.step
            if coordinate.below is not None:
                lower[:, p], upper[:, p] = 0.0, LARGEST_GAP
            elif slot.unit == "pixel":
                length = width if slot.name == "x" else height
                reach = REACH if owner.own_centre and slot.name in owner.start else max(REACH, 0.25 * length)
                lower[:, p], upper[:, p] = start[:, p] - reach, start[:, p] + reach
                step[p] = max(1.0, 0.05 * length)
            elif slot.unit == "flux" or (counts and slot.unit == "level" and len(owner.slots) == 1):
                lower[:, p] = 0.0 if positive else -math.inf
            elif slot.unit not in ("level", "slope"):
                high = min(slot.upper, 2.0 * max(height, width)) if slot.name == "r_e" else slot.upper
                high = 1.0 if slot.name == "q" and owner.name in upright else high
                lower[:, p], upper[:, p] = _log(slot.lower, slot.log), _log(high, slot.log)
            if coordinate.slot in given:
                low, top = self._bounds(coordinate.slot, given[coordinate.slot], start[:, p])
                lower[:, p] = low if slot.unit else torch.maximum(lower[:, p], low)  # within what the profile can be
                upper[:, p] = top if slot.unit else torch.minimum(upper[:, p], top)
        free = torch.ones(self.plan.size, dtype=torch.bool, device=start.device)
        return Limits(lower=lower, upper=upper, free=free, step=step)

    def _bounds(self, slot_at: int, pair: tuple[Floats, Floats], start: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds (B,) in coordinates of the fit."""
        low, high = pair
        slot = self.plan.layout.slots[slot_at]
        if slot.unit == "angle":  # the half turn that the start is in; a mirrored image turns the other way
            half = width_to_fit(slot, (high - low) / 2, self.cutouts, arcsec=self.arcsec)
            middle = self._to_fit(slot_at, (low + high) / 2)
            middle = middle + math.pi * torch.round((start - middle) / math.pi)
            return middle - half, middle + half
        return self._to_fit(slot_at, np.maximum(low, 0.0) if slot.log else low), self._to_fit(slot_at, high)

    def _to_fit(self, slot: int, values: Floats) -> Tensor:
        return to_fit(self.plan.layout.slots[slot], values, self.cutouts, arcsec=self.arcsec)

    @property
    def _device(self) -> torch.device:
        return self.cutouts.flux.device

    def _priors(self) -> tuple[Prior, ...]:
        found = []
        for slot_at, pair in self.plan.values("prior", self.index):
            mean, sigma = np.broadcast_arrays(*(v if v.ndim == 2 else v[:, None] for v in pair))
            slot = replace(self.plan.layout.slots[slot_at], log=False)  # in pixels, not in their logarithm
            known = np.isfinite(mean) & np.isfinite(sigma)
            each = mean.shape[1] > 1
            if each:
                mean, sigma, known = (v[:, among_all(self.plan)] for v in (mean, sigma, known))
            elif self.reference is not None and same_everywhere(self.plan, slot_at):
                continue  # the first set has it
            for band in range(mean.shape[1]):
                use = known[:, band]
                value, width = np.where(use, mean[:, band], 0.0), np.where(use, sigma[:, band], np.inf)
                found.append(
                    Prior(
                        slot=slot_at,
                        mean=to_fit(slot, value, self.cutouts, arcsec=self.arcsec),
                        sigma=width_to_fit(slot, width, self.cutouts, arcsec=self.arcsec),
                        band=band if each else None,
                    )
                )
        return tuple(found)

    def _shares(self, trial: Trial) -> dict[str, float]:
        """How large each component starts, in units of the galaxy's half-light radius: the first is the inner one."""
        extended = [c.name for c in self.plan.model.components if c.scale_radius and not c.own_centre]
        if len(extended) < 2:
            return {c.name: 1.0 for c in self.plan.model.components}
        shares = {name: trial.inner if name == extended[0] else trial.outer for name in extended}
        return {c.name: shares.get(c.name, 1.0) for c in self.plan.model.components}


def _log(value: float, log: bool) -> float:
    if not log:
        return value
    return math.log(value) if value > 0 else -math.inf
