"""From cutouts and a plan to a problem that can be minimised: pixels, fixed values, priors, bounds and a start."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.fitting.levenberg import Limits
from rosse.fitting.options import FitOptions
from rosse.fitting.plan import Plan
from rosse.fitting.problem import Prior, Problem, View
from rosse.fitting.start import psf_width, starting_ellipses
from rosse.fitting.units import to_fit, width_to_fit
from rosse.light.psf import fourier_grid


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """Some galaxies of a fit.

    Parameters
    ----------
    cutouts : B of them, on the frame that the fit's coordinates belong to.
    index : (B,) their rows among all galaxies of the fit.
    plan, options : of the fit.
    arcsec : whether lengths are in arcsec.
    """

    cutouts: Cutouts
    index: NDArray[np.int64]
    plan: Plan
    options: FitOptions
    arcsec: bool

    def problem(self, pixels: Cutouts) -> Problem:
        """The problem on `pixels`: the cutouts, trimmed to where they carry weight."""
        grid = fourier_grid(
            pixels.frame,
            pixels.psf,
            bands=len(pixels.bands),
            psf_has_pixel=pixels.psf_has_pixel,
            oversampling=pixels.psf_oversampling,
            device=pixels.flux.device,
        )
        corner = tuple(float(v) for v in (pixels.corner[0] - self.cutouts.corner[0]).tolist())
        view = View(flux=pixels.flux, root=pixels.ivar.sqrt(), grid=grid, corner=(corner[0], corner[1]))
        return Problem(
            view=view,
            plan=self.plan,
            offset=self.offset(),
            priors=self._priors(),
            poisson=self.options.likelihood == "poisson",
        )

    def offset(self) -> Tensor:
        """(B, C, L) what does not move."""
        fixed = torch.zeros(len(self.index), self.plan.layout.size, dtype=torch.float64, device=self._device)
        for slot, values in self.plan.values("fixed", self.index):
            fixed[:, slot] = to_fit(self.plan.layout.slots[slot], values, self.cutouts, arcsec=self.arcsec)
        return self.plan.offset(fixed)

    def guess(self, view: View, *, size: float = 1.0, index: float = 1.0) -> Tensor:
        """Slots (B, C, L) from the moments of the image, with unit fluxes; those that the user gave as they are.

        Parameters
        ----------
        view : the pixels to look at; wide ones tell enough.
        size, index : factors on lengths and on Sersic indices, for another try.
        """
        cutouts, zoom = self.cutouts, view.zoom
        sigma = None
        if cutouts.psf is not None:
            sigma = psf_width(cutouts.psf).to(torch.float64).expand(len(cutouts)) / (cutouts.psf_oversampling * zoom)
        x, y, radius, q, theta = starting_ellipses(view.flux, view.root.square(), psf_sigma=sigma)
        radius = radius * zoom
        x, y = (v * zoom + (zoom - 1) / 2 + corner for v, corner in zip((x, y), view.corner, strict=True))
        measured = {"x": x, "y": y, "q": torch.log(q), "pa": theta}
        out = torch.ones(len(cutouts), self.plan.layout.size, dtype=torch.float64, device=self._device)
        shares = self._shares()
        for i, (slot, owner) in enumerate(zip(self.plan.layout.slots, self.plan.owners, strict=True)):
            if slot.name in measured:
                out[:, i] = measured[slot.name]
            elif slot.unit == "length":
                out[:, i] = torch.log(radius * (slot.start * shares[owner.name] * size))
            elif slot.unit not in ("flux", "level", "slope"):
                start = slot.start * (index if slot.name == "n" else 1.0)
                if slot.name == "n" and shares[owner.name] > 1.0:
                    start = start / 2  # the outer part of two is a disc
                out[:, i] = math.log(start) if slot.log else start
        for slot_at, values in self.plan.values("start", self.index):
            out[:, slot_at] = to_fit(self.plan.layout.slots[slot_at], values, self.cutouts, arcsec=self.arcsec)
        return out[:, None].expand(-1, len(self.plan.bands), -1)

    def limits(self, start: Tensor) -> Limits:
        """Bounds (B, P) of the coordinates and how far one step may go."""
        height, width = self.cutouts.frame
        lower = torch.full_like(start, -math.inf)
        upper = torch.full_like(start, math.inf)
        step = torch.full((self.plan.size,), math.inf, dtype=start.dtype, device=start.device)
        given = dict(self.plan.values("bounds", self.index))
        positive = len(self.plan.layout.fluxes) > 1  # a part of a galaxy does not take light away
        for p, coordinate in enumerate(self.plan.coordinates):
            slot = self.plan.layout.slots[coordinate.slot]
            if coordinate.below is not None:
                lower[:, p], upper[:, p], step[p] = 0.0, 12.0, slot.step
            elif coordinate.degree:
                step[p] = slot.step
            elif coordinate.slot in given:
                lower[:, p], upper[:, p] = (
                    to_fit(slot, v, self.cutouts, arcsec=self.arcsec) for v in given[coordinate.slot]
                )
                step[p] = slot.step if slot.unit not in ("flux", "level", "slope") else math.inf
            elif slot.unit == "pixel":
                length = width if slot.name == "x" else height
                reach = max(4.0, 0.25 * length)
                lower[:, p], upper[:, p] = start[:, p] - reach, start[:, p] + reach
                step[p] = max(1.0, 0.05 * length)
            elif slot.unit == "flux":
                lower[:, p] = 0.0 if positive else -math.inf
            elif slot.unit not in ("level", "slope"):
                high = min(slot.upper, 2.0 * max(height, width)) if slot.name == "r_e" else slot.upper
                lower[:, p], upper[:, p] = _log(slot.lower, slot.log), _log(high, slot.log)
                step[p] = slot.step
        free = torch.ones(self.plan.size, dtype=torch.bool, device=start.device)
        return Limits(lower=lower, upper=upper, free=free, step=step)

    @property
    def _device(self) -> torch.device:
        return self.cutouts.flux.device

    def _priors(self) -> tuple[Prior, ...]:
        found = []
        for slot_at, (mean, sigma) in self.plan.values("prior", self.index):
            slot = replace(self.plan.layout.slots[slot_at], log=False)  # in pixels, not in their logarithm
            found.append(
                Prior(
                    slot=slot_at,
                    mean=to_fit(slot, mean, self.cutouts, arcsec=self.arcsec),
                    sigma=width_to_fit(slot, sigma, self.cutouts, arcsec=self.arcsec),
                )
            )
        return tuple(found)

    def _shares(self) -> dict[str, float]:
        """How large each component starts, in units of the galaxy's half-light radius: the first is the inner one."""
        extended = [c.name for c in self.plan.model.components if c.scale_radius and not c.own_centre]
        if len(extended) < 2:
            return {c.name: 1.0 for c in self.plan.model.components}
        return {c.name: 0.5 if c.name == extended[0] else 1.3 for c in self.plan.model.components}


def with_best_fluxes(vector: Tensor, problem: Problem) -> tuple[Tensor, Tensor]:
    """The same shapes with the fluxes (and sky) of least chi^2, and that chi^2 (B,).

    Fluxes are at least one sigma each, so that shapes can be felt.
    """
    layout, coordinates = problem.plan.layout, problem.plan.coordinates
    linear = [p for p, c in enumerate(coordinates) if c.slot in layout.linear]
    rows = torch.arange(len(vector), device=vector.device)
    chi2, gradient, normal = problem.evaluate(vector, rows)
    part, right = normal[:, linear][:, :, linear], gradient[:, linear]
    diagonal = part.diagonal(dim1=1, dim2=2).clamp_min(1e-300)
    scale = diagonal.rsqrt()
    scaled = part * scale[:, :, None] * scale[:, None, :]
    ridge = 1e-9 * torch.eye(len(linear), dtype=part.dtype, device=part.device)
    change = torch.linalg.solve_ex(scaled + ridge, right * scale).result * scale
    best = vector[:, linear] + change
    fluxes = torch.tensor([coordinates[p].slot in layout.fluxes for p in linear], device=vector.device)
    vector = vector.clone()
    vector[:, linear] = torch.where(fluxes, torch.maximum(best.nan_to_num(0.0), scale), best.nan_to_num(0.0))
    return vector, chi2 - (change * right).sum(1)


def _log(value: float, log: bool) -> float:
    if not log:
        return value
    return math.log(value) if value > 0 else -math.inf
