"""The least-squares problem of a batch of galaxies: chi^2 and its normal equations."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rosse.fitting.plan import Plan
from rosse.fitting.view import View
from rosse.light.model import Model
from rosse.light.render import Layout, draw, unit_rows

LARGE_FRAME = 256  # from here on they are widened more than once
VALUES_IN_CACHE = 2**22
VALUES_ON_GPU = 2**29
VALUES_IN_MEMORY = 2**27  # derivative images of one galaxy beyond this are held with half their bits,
HALVES_IN_MEMORY = 1_250_000_000  # and beyond this are never all there at once
PIXELS_AT_ONCE = 2**18  # that are multiplied with each other in single precision
SMALLEST_COUNT = 1e-6  # of a model under Poisson noise: an image drawn in Fourier space may ring below 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Prior:
    """What is known of one slot beforehand.

    Parameters
    ----------
    slot : which.
    mean, sigma : (B,) in pixels and radians, not in logarithms.
    band : which; None: all, or all together where they share it.
    """

    slot: int
    mean: Tensor
    sigma: Tensor
    band: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """B galaxies, and the model that is to match them.

    Parameters
    ----------
    view : their pixels.
    plan : what is free.
    offset : (B, C, L) what is not.
    priors : what is known beforehand.
    poisson : whether `view.flux` are counts; the noise is then that of the model, and the square of `view.root` says
        how often a pixel counts.
    """

    view: View
    plan: Plan
    offset: Tensor
    priors: tuple[Prior, ...] = ()
    poisson: bool = False

    def rows(self, rows: Tensor) -> Problem:
        """Some of the galaxies."""
        priors = tuple(replace(p, mean=p.mean[rows], sigma=p.sigma[rows]) for p in self.priors)
        return replace(self, view=self.view.rows(rows), offset=self.offset[rows], priors=priors)

    def local(self, vector: Tensor) -> Tensor:
        """Slots (B, C, L) of coordinates (B, P), in the pixels of the view."""
        factor, shift = self._to_view()
        return self.plan.local(vector, self.offset) * factor + shift

    def levels(self, smallest: int) -> list[Problem]:
        """The same problem on ever wider pixels, widest first and itself last: first steps are cheap there.

        Frames have at least `smallest` pixels on a side.
        """
        found = [self]
        while len(found) == 1 or min(found[0].view.grid.frame) >= LARGE_FRAME:
            view = None if self.poisson else found[0].view.coarser(smallest)
            if view is None:
                break
            found.insert(0, replace(self, view=view))
        return found

    def drawn(self, local: Tensor) -> Tensor:
        """Images (B, C, H, W) of slots (B, C, L) in the pixels of the view."""
        return draw(self.plan.layout, local, self.view.grid)

    def evaluate(self, vector: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """chi^2 (B,), descent direction (B, P) and normal matrix (B, P, P) at `vector` for galaxies `rows`.

        Pixels are single precision; what is summed over them is double. Galaxies are drawn a few at a time: what
        stays in the cache is drawn twice as fast.
        """
        some = self if len(rows) == len(self.offset) else self.rows(rows)
        feel = Problem._felt_in_parts if too_large(self) else Problem._felt
        pieces = pieces_of(some)
        if len(pieces) == 1:
            return some._by_coordinates(vector, feel(some, vector))
        parts = [feel(some.rows(piece), vector[piece]) for piece in pieces]
        names = ("chi2", "gradient", "normal")
        felt = Felt(rows=None, **{name: torch.cat([getattr(part, name) for part in parts]) for name in names})
        return some._by_coordinates(vector, felt)

    def tangent(self, vector: Tensor) -> Tangent:
        """What `evaluate` finds at `vector` (B, P), and the derivatives, to be used for points close by."""
        felt = self._felt(vector)
        return Tangent(problem=self, felt=felt, found=self._by_coordinates(vector, felt))

    def _by_coordinates(self, vector: Tensor, felt: Felt) -> tuple[Tensor, Tensor, Tensor]:
        """What is felt by slots, by coordinates, with the priors."""
        scales, matrix = self.plan.layout.scales(self.local(vector)), self.matrix()
        gradient = torch.einsum("bcl,bcl,clp->bp", felt.gradient, scales, matrix)
        normal = torch.einsum("clp,bcl,bclm,bcm,cmq->bpq", matrix, scales, felt.normal, scales, matrix)
        return self.with_priors(vector, felt.chi2, gradient, normal)

    def cost(self, vector: Tensor) -> Tensor:
        """chi^2 (B,) with that of the priors, without derivatives: a fraction of the time of `evaluate`."""
        values = self.view.flux[0].numel()
        step = max(1, (VALUES_IN_CACHE if vector.device.type == "cpu" else VALUES_ON_GPU) // (4 * values))
        parts = []
        for i in range(0, len(vector), step):
            piece = torch.arange(i, min(i + step, len(vector)), device=vector.device)
            some = self.rows(piece)
            parts.append(some._misfit(some.drawn(some.local(vector[piece]))))
        return torch.cat(parts) + prior_chi2(self, vector)

    def weighted_rows(self, vector: Tensor) -> Tensor:
        """Derivative of the model by each coordinate, in units of each pixel's noise, (B, C, P, H, W)."""
        layout, view = self.plan.layout, self.view
        local = self.local(vector)
        rows = unit_rows(layout, local, view.grid)
        root = self.noise_root(self._model(rows, local) if self.poisson else view.flux)
        matrix = layout.scales(local)[..., None] * self.matrix()  # (B, C, L, P)
        return torch.einsum("bclhw,bclp->bcphw", rows, matrix.to(rows.dtype)) * root[:, :, None]

    def noise_root(self, model: Tensor) -> Tensor:
        """Square root of each pixel's weight (B, C, H, W) where its model is this."""
        return model.clamp_min(SMALLEST_COUNT).rsqrt() * self.view.root if self.poisson else self.view.root

    def _misfit(self, model: Tensor) -> Tensor:
        if self.poisson:
            return _cash(self.view.flux, model.clamp_min(SMALLEST_COUNT), self.view.root)[0]
        return ((self.view.flux - model) * self.view.root).square().sum((1, 2, 3), dtype=torch.float64)

    def _model(self, rows: Tensor, local: Tensor) -> Tensor:
        """Counts (B, C, H, W) from unit rows."""
        linear = list(self.plan.layout.linear)
        amount = local[..., linear].to(rows.dtype)
        return (rows[:, :, linear] * amount[..., None, None]).sum(2).clamp_min(SMALLEST_COUNT)

    def _felt(self, vector: Tensor) -> Felt:
        layout, view = self.plan.layout, self.view
        local = self.local(vector)
        # half the bits will do for the slopes of a large frame: they only say where to go, over millions of pixels
        rows = unit_rows(layout, local, view.grid, torch.bfloat16 if large(self) else torch.float32)
        linear = list(layout.linear)
        if self.poisson:
            chi2, residual, weight = _cash(view.flux, self._model(rows, local), view.root)
        else:
            weight = view.root
        if large(self):
            for i in range(layout.size):  # one by one: halves would all be there in single precision for a moment
                rows[:, :, i] *= weight
        else:
            rows *= weight[:, :, None]
        flat = rows.flatten(3)
        if large(self):
            residual = ((view.flux - draw(layout, local, view.grid)) * view.root).flatten(2)
        elif not self.poisson:
            amount = local[..., None, linear].to(rows.dtype)
            residual = (view.flux * view.root).flatten(2) - (amount @ flat[:, :, linear])[:, :, 0]
        if not self.poisson:
            chi2 = residual.square().sum((1, 2), dtype=torch.float64)
        return Felt(chi2=chi2, gradient=_projected(flat, residual), normal=_squared(flat), rows=flat)

    def _felt_in_parts(self, vector: Tensor) -> Felt:
        """The same as `_felt` for a large frame: two components at a time, the second drawn again for each first."""
        layout, view = self.plan.layout, self.view
        local = self.local(vector)
        residual = ((view.flux - draw(layout, local, view.grid)) * view.root).flatten(2)
        chi2 = residual.square().sum((1, 2), dtype=torch.float64)
        shape = (*local.shape, layout.size)
        gradient, normal = torch.zeros_like(local), torch.zeros(shape, dtype=local.dtype, device=local.device)
        for i, first in enumerate(layout.places):
            rows = self._component(local, i)
            gradient[..., first] = (rows @ residual[..., None])[..., 0].to(torch.float64)
            normal[..., first, first] = (rows @ rows.transpose(-1, -2)).to(torch.float64)
            for j in range(i):
                second = layout.places[j]
                both = (rows @ self._component(local, j).transpose(-1, -2)).to(torch.float64)
                normal[..., first, second] = both
                normal[..., second, first] = both.transpose(-1, -2)
        return Felt(chi2=chi2, gradient=gradient, normal=normal, rows=None)

    def _component(self, local: Tensor, index: int) -> Tensor:
        """Unit rows of one component in units of the noise, (B, C, R, H W)."""
        component, place = self.plan.layout.model.components[index], self.plan.layout.places[index]
        rows = unit_rows(Layout(model=Model((component,))), local[..., place], self.view.grid)
        rows *= self.view.root[:, :, None]
        return rows.flatten(3)

    def matrix(self) -> Tensor:
        """(C, L, P) change of each slot, in the pixels of the view, by each coordinate."""
        factor, _ = self._to_view()
        return self.plan.matrix.to(self.offset.device) * factor[:, None]

    def with_priors(
        self, vector: Tensor, chi2: Tensor, gradient: Tensor, normal: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        if not self.priors:
            return chi2, gradient, normal
        off, slopes = self.prior_residuals(vector)
        chi2 = chi2 + off.square().sum(1)
        gradient = gradient - torch.einsum("br,brp->bp", off, slopes)
        return chi2, gradient, normal + torch.einsum("brp,brq->bpq", slopes, slopes)

    def prior_residuals(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Distance from each prior's mean in sigma (B, R), and its derivative (B, R, P)."""
        local = self.plan.local(vector, self.offset)
        off, slopes = [], []
        for prior in self.priors:
            slot = self.plan.layout.slots[prior.slot]
            matrix = self.plan.matrix[:, prior.slot].to(vector.device)
            count = 1 if bool((matrix == matrix[:1]).all()) else local.shape[1]
            for c in range(count) if prior.band is None else (prior.band,):
                at = local[:, c, prior.slot]
                value, slope = (torch.exp(at), torch.exp(at)) if slot.log else (at, torch.ones_like(at))
                gap = value - prior.mean
                if slot.unit == "angle":  # half a turn is the same direction
                    gap = torch.remainder(gap + math.pi / 2, math.pi) - math.pi / 2
                off.append(gap / prior.sigma)
                slopes.append((slope / prior.sigma)[:, None] * matrix[c])
        return torch.stack(off, 1), torch.stack(slopes, 1)

    def _to_view(self) -> tuple[Tensor, Tensor]:
        """Factor and shift (L,) from slots in pixels of the fit to those in pixels of the view.

        A wide pixel's centre is the mean of the centres of the pixels it covers.
        """
        zoom, slots = self.view.zoom, self.plan.layout.slots
        factor, shift = [1.0] * len(slots), [0.0] * len(slots)
        for i, slot in enumerate(slots):
            if slot.unit == "pixel":
                corner = self.view.corner[0 if slot.name == "x" else 1]
                factor[i], shift[i] = 1 / zoom, -(corner + (zoom - 1) / 2) / zoom
            elif slot.unit == "length":
                shift[i] = -math.log(zoom)
            elif slot.unit in ("level", "slope"):
                factor[i] = zoom**2 if slot.unit == "level" else zoom**3
        both = torch.tensor([factor, shift], dtype=torch.float64, device=self.offset.device)
        return both[0], both[1]


def prior_chi2(problem: Problem, vector: Tensor) -> Tensor | float:
    """chi^2 (B,) of the priors."""
    return problem.prior_residuals(vector)[0].square().sum(1) if problem.priors else 0.0


def large(problem: Problem) -> bool:
    """Whether the derivative images of one galaxy are held with half their bits."""
    return _values(problem) > VALUES_IN_MEMORY and not problem.poisson


def too_large(problem: Problem) -> bool:
    """Whether they are not held at all, but drawn two components at a time."""
    limit, device = HALVES_IN_MEMORY, problem.offset.device
    if device.type == "cuda":
        limit = torch.cuda.mem_get_info(device)[0] // 4  # two bytes each, and as much again
    return _values(problem) > limit and not problem.poisson


def pieces_of(problem: Problem) -> list[Tensor]:
    """Rows that are drawn at once: their images with all derivatives stay in the cache."""
    count, device = len(problem.offset), problem.offset.device
    step = max(1, (VALUES_IN_CACHE if device.type == "cpu" else VALUES_ON_GPU) // _values(problem))
    return [torch.arange(i, min(i + step, count), device=device) for i in range(0, count, step)]


def _values(problem: Problem) -> int:
    """Pixels of the derivative images of one galaxy."""
    return problem.view.flux[0].numel() * problem.plan.layout.size


@dataclass(frozen=True, kw_only=True, eq=False)
class Felt:
    """What the pixels of B galaxies say to the slots of their model, before `Layout.scales` multiplies it.

    Parameters
    ----------
    chi2 : (B,)
    gradient : (B, C, L)
    normal : (B, C, L, L)
    rows : (B, C, L, N) derivative of each pixel by each slot in units of its noise; None where they were not kept.
    """

    chi2: Tensor
    gradient: Tensor
    normal: Tensor
    rows: Tensor | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Tangent:
    """A problem and its derivatives at a point.

    Parameters
    ----------
    problem : B galaxies.
    felt : there.
    found : chi^2 (B,), descent direction (B, P) and normal matrix (B, P, P) there.
    """

    problem: Problem
    felt: Felt
    found: tuple[Tensor, Tensor, Tensor]

    def near(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same close by: model and fluxes anew, derivatives by shapes those of the point."""
        problem, rows = self.problem, self.felt.rows
        assert rows is not None
        model = problem.drawn(problem.local(vector))
        residual = ((problem.view.flux - model) * problem.view.root).flatten(2)
        chi2 = residual.square().sum((1, 2), dtype=torch.float64)
        felt = replace(self.felt, chi2=chi2, gradient=_projected(rows, residual))
        return problem._by_coordinates(vector, felt)


def _projected(rows: Tensor, residual: Tensor) -> Tensor:
    """Products (B, C, L) of rows (B, C, L, N) with residuals (B, C, N), summed in double precision."""
    parts = zip(torch.split(rows, PIXELS_AT_ONCE, -1), torch.split(residual, PIXELS_AT_ONCE, -1), strict=True)
    each = [(some.float() @ off[..., None])[..., 0].to(torch.float64) for some, off in parts]
    return torch.stack(each).sum(0) if len(each) > 1 else each[0]


def _squared(rows: Tensor) -> Tensor:
    """Products (B, C, L, L) of rows (B, C, L, N) with each other."""
    total = torch.zeros((), dtype=torch.float64, device=rows.device)
    for part in torch.split(rows, PIXELS_AT_ONCE, -1):
        some = part.float()
        total = total + (some @ some.transpose(-1, -2)).to(torch.float64)
    return total


def _cash(counts: Tensor, model: Tensor, root: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Deviance of Poisson counts (B,), weighted residuals (B, C, N) and weights (B, C, H, W) of Fisher scoring.

    Notes
    -----
    ``2 sum(m - d + d ln(d / m))`` (Cash 1979, eq. 6, with Stirling's constant taken off, so that it tends to chi^2).
    """
    weight = model.rsqrt() * root
    ratio = torch.where(counts > 0, counts / model, 1.0)
    each = 2 * (model - counts + torch.where(counts > 0, counts * torch.log(ratio), 0.0))
    deviance = (each * root.square()).sum((1, 2, 3), dtype=torch.float64)
    return deviance, ((counts - model) * weight).flatten(2), weight
