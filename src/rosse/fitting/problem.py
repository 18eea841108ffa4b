"""The least-squares problem of a batch of galaxies: chi^2 and its normal equations."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rosse.fitting.plan import Plan
from rosse.light.model import Model
from rosse.light.psf import FourierGrid
from rosse.light.render import Layout, draw, unit_images, unit_rows


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """Pixels of B galaxies on one frame.

    Parameters
    ----------
    flux : (B, C, H, W)
    root : (B, C, H, W) square root of the inverse variance.
    grid : frame and PSF.
    corner : x and y of its first pixel in the frame that the fit's coordinates belong to.
    zoom : size of its pixels in those of that frame.
    """

    flux: Tensor
    root: Tensor
    grid: FourierGrid
    corner: tuple[float, float] = (0.0, 0.0)
    zoom: int = 1

    def rows(self, rows: Tensor) -> View:
        """Some of the galaxies."""
        return replace(self, flux=self.flux[rows], root=self.root[rows], grid=self.grid.rows(rows))

    def coarser(self) -> View | None:
        """The same on pixels twice as wide, good enough for the first steps of a fit; None where that cannot be."""
        height, width = self.grid.frame
        my, mx = self.grid.size
        if self.grid.zones > 1 or my % 4 or mx % 4 or min(height, width) < 2 * SMALLEST_FRAME:
            return None
        flux, weight = self.flux[:, :, : height // 2 * 2, : width // 2 * 2], self.root.square()
        weight = weight[:, :, : height // 2 * 2, : width // 2 * 2]
        pooled = 4 * torch.nn.functional.avg_pool2d(weight, 2)
        light = 4 * torch.nn.functional.avg_pool2d(flux * weight, 2)
        good = torch.nn.functional.avg_pool2d((weight > 0).float(), 2) >= 0.5
        mean = torch.where(good, light / pooled.clamp_min(1e-37), 0.0)
        kept = torch.cat([torch.arange(my // 4), torch.arange(my - my // 4, my)]).to(flux.device)
        ky, kx = 2 * self.grid.ky[kept], 2 * self.grid.kx[: mx // 4 + 1]
        pair = torch.cos(ky / 4)[:, None] * torch.cos(kx / 4)  # the sum of two neighbours, as a transfer function
        grid = replace(
            self.grid,
            frame=(height // 2, width // 2),
            size=(my // 2, mx // 2),
            ky=ky,
            kx=kx,
            transfer=self.grid.transfer[:, :, kept, : mx // 4 + 1] * pair,
            aliases=None,
            exact=False,
        )
        root = torch.where(good, pooled.sqrt() / 4, 0.0)
        return replace(self, flux=4 * mean, root=root, grid=grid, zoom=2 * self.zoom)


SMALLEST_FRAME = 40  # pixels are not made wider than leaves so many of them
LARGE_FRAME = 256  # from here on they are widened more than once
VALUES_IN_CACHE = 2**20  # pixels of derivative images that are drawn at once
VALUES_ON_GPU = 2**29
VALUES_IN_MEMORY = 2**27  # derivative images of one galaxy beyond this are never all there at once
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

    def coarser(self) -> Problem | None:
        """The same on pixels twice as wide; None where that cannot be."""
        view = None if self.poisson else self.view.coarser()
        return None if view is None else replace(self, view=view)

    def levels(self) -> list[Problem]:
        """The same problem on ever wider pixels, widest first and itself last: first steps are cheap there."""
        found = [self]
        while len(found) == 1 or min(found[0].view.grid.frame) >= LARGE_FRAME:
            coarse = found[0].coarser()
            if coarse is None:
                break
            found.insert(0, coarse)
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
        slots = Problem._slots_in_parts if self.large else Problem._slots
        pieces = some.pieces()
        if len(pieces) == 1:
            chi2, gradient, normal = slots(some, vector)
        else:
            parts = [slots(some.rows(piece), vector[piece]) for piece in pieces]
            chi2, gradient, normal = (torch.cat(part) for part in zip(*parts, strict=True))
        matrix = self._matrix()
        whole = torch.einsum("bcl,clp->bp", gradient, matrix)
        square = torch.einsum("clp,bclm,cmq->bpq", matrix, normal, matrix)
        return some._with_priors(vector, chi2, whole, square)

    def of_amplitudes(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Descent direction (B, P) and normal matrix (B, P, P) of what the image is linear in, 0 for all else."""
        layout, linear = self.plan.layout, list(self.plan.layout.linear)
        parts = []
        for piece in self.pieces():
            some = self.rows(piece)
            view, local = some.view, some.local(vector[piece])
            root = view.root * view.flux.clamp_min(1.0).rsqrt() if self.poisson else view.root
            flat = (unit_images(layout, local, view.grid) * root[:, :, None]).flatten(3)
            amount = local[..., None, linear].to(flat.dtype)
            residual = (view.flux * root).flatten(2) - (amount @ flat)[:, :, 0]
            parts.append(((flat @ residual[..., None])[..., 0], flat @ flat.transpose(-1, -2)))
        gradient, normal = (torch.cat(part).to(torch.float64) for part in zip(*parts, strict=True))
        matrix = self._matrix()[:, linear]
        whole = torch.einsum("bca,cap->bp", gradient, matrix)
        square = torch.einsum("cap,bcad,cdq->bpq", matrix, normal, matrix)
        _, whole, square = self._with_priors(vector, whole[:, 0], whole, square)
        return whole, square

    def tangent(self, vector: Tensor) -> Tangent:
        """What `evaluate` finds at `vector` (B, P), and the derivatives, to be used for points close by."""
        chi2, gradient, normal, rows, scales = self._felt(vector)
        matrix = self._matrix()
        square = torch.einsum("clp,bclm,cmq->bpq", matrix, normal, matrix)
        found = self._with_priors(vector, chi2, torch.einsum("bcl,clp->bp", gradient, matrix), square)
        return Tangent(problem=self, rows=rows, scales=scales, found=found)

    @property
    def large(self) -> bool:
        """Whether the derivative images of one galaxy are too many to be there at once."""
        return self.view.flux[0].numel() * self.plan.layout.size > VALUES_IN_MEMORY and not self.poisson

    def pieces(self) -> list[Tensor]:
        """Rows that are drawn at once: their images with all derivatives stay in the cache."""
        count, values = len(self.offset), self.view.flux[0].numel() * self.plan.layout.size
        limit = VALUES_IN_CACHE if self.view.flux.device.type == "cpu" else VALUES_ON_GPU
        step, device = max(1, limit // values), self.offset.device
        return [torch.arange(i, min(i + step, count), device=device) for i in range(0, count, step)]

    def cost(self, vector: Tensor) -> Tensor:
        """chi^2 (B,) with that of the priors, without derivatives: a fraction of the time of `evaluate`."""
        values = self.view.flux[0].numel()
        step = max(1, (VALUES_IN_CACHE if vector.device.type == "cpu" else VALUES_ON_GPU) // (4 * values))
        parts = []
        for i in range(0, len(vector), step):
            piece = torch.arange(i, min(i + step, len(vector)), device=vector.device)
            some = self.rows(piece)
            parts.append(some._misfit(some.drawn(some.local(vector[piece]))))
        return torch.cat(parts) + self.prior_chi2(vector)

    def weighted_rows(self, vector: Tensor) -> Tensor:
        """Derivative of the model by each coordinate, in units of each pixel's noise, (B, C, P, H, W)."""
        layout, view = self.plan.layout, self.view
        local = self.local(vector)
        rows = unit_rows(layout, local, view.grid)
        root = self.noise_root(self._model(rows, local) if self.poisson else view.flux)
        matrix = layout.scales(local)[..., None] * self._matrix()  # (B, C, L, P)
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

    def _slots(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """chi^2 (B,), and its gradient (B, C, L) and normal matrix (B, C, L, L) by slots."""
        return self._felt(vector)[:3]

    def _felt(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The same as `_slots`, with the rows (B, C, L, N) in units of the noise, and their scales (B, C, L)."""
        layout, view = self.plan.layout, self.view
        local = self.local(vector)
        rows = unit_rows(layout, local, view.grid)
        scales = layout.scales(local)
        linear = list(layout.linear)
        if self.poisson:
            chi2, residual, weight = _cash(view.flux, self._model(rows, local), view.root)
        else:
            weight = view.root
        rows *= weight[:, :, None]
        flat = rows.flatten(3)
        if not self.poisson:
            amount = local[..., None, linear].to(rows.dtype)
            residual = (view.flux * view.root).flatten(2) - (amount @ flat[:, :, linear])[:, :, 0]
            chi2 = residual.square().sum((1, 2), dtype=torch.float64)
        normal = (flat @ flat.transpose(-1, -2)).to(torch.float64)
        gradient = (flat @ residual[..., None])[..., 0].to(torch.float64)
        return chi2, gradient * scales, normal * scales[..., None] * scales[..., None, :], flat, scales

    def _slots_in_parts(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same as `_slots` for a large frame: two components at a time, the second drawn again for each first."""
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
        scales = layout.scales(local)
        return chi2, gradient * scales, normal * scales[..., None] * scales[..., None, :]

    def _component(self, local: Tensor, index: int) -> Tensor:
        """Unit rows of one component in units of the noise, (B, C, R, H W)."""
        component, place = self.plan.layout.model.components[index], self.plan.layout.places[index]
        rows = unit_rows(Layout(model=Model((component,))), local[..., place], self.view.grid)
        rows *= self.view.root[:, :, None]
        return rows.flatten(3)

    def _matrix(self) -> Tensor:
        """(C, L, P) change of each slot, in the pixels of the view, by each coordinate."""
        factor, _ = self._to_view()
        return self.plan.matrix.to(self.offset.device) * factor[:, None]

    def _with_priors(
        self, vector: Tensor, chi2: Tensor, gradient: Tensor, normal: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        if not self.priors:
            return chi2, gradient, normal
        off, slopes = self.prior_residuals(vector)
        chi2 = chi2 + off.square().sum(1)
        gradient = gradient - torch.einsum("br,brp->bp", off, slopes)
        return chi2, gradient, normal + torch.einsum("brp,brq->bpq", slopes, slopes)

    def prior_chi2(self, vector: Tensor) -> Tensor | float:
        """chi^2 (B,) of the priors."""
        return self.prior_residuals(vector)[0].square().sum(1) if self.priors else 0.0

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
        device, zoom = self.offset.device, self.view.zoom
        factor = torch.ones(self.plan.layout.size, dtype=torch.float64, device=device)
        shift = torch.zeros_like(factor)
        for i, slot in enumerate(self.plan.layout.slots):
            if slot.unit == "pixel":
                corner = self.view.corner[0 if slot.name == "x" else 1]
                factor[i], shift[i] = 1 / zoom, -(corner + (zoom - 1) / 2) / zoom
            elif slot.unit == "length":
                shift[i] = -math.log(zoom)
            elif slot.unit in ("level", "slope"):
                factor[i] = zoom**2 if slot.unit == "level" else zoom**3
        return factor, shift


@dataclass(frozen=True, kw_only=True, eq=False)
class Tangent:
    """A problem and its derivatives at a point.

    Parameters
    ----------
    problem : B galaxies.
    rows : (B, C, L, N) derivative of each pixel by each slot, in units of its noise, before `scales` multiply it.
    scales : (B, C, L)
    found : chi^2 (B,), descent direction (B, P) and normal matrix (B, P, P) at the point.
    """

    problem: Problem
    rows: Tensor
    scales: Tensor
    found: tuple[Tensor, Tensor, Tensor]

    def near(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """chi^2 (B,) and descent direction (B, P) close by: the model anew, its derivatives those of the point."""
        problem = self.problem
        model = problem.drawn(problem.local(vector))
        residual = ((problem.view.flux - model) * problem.view.root).flatten(2)
        chi2 = residual.square().sum((1, 2), dtype=torch.float64)
        gradient = (self.rows @ residual[..., None])[..., 0].to(torch.float64) * self.scales
        whole = torch.einsum("bcl,clp->bp", gradient, problem._matrix())
        if problem.priors:
            off, slopes = problem.prior_residuals(vector)
            chi2, whole = chi2 + off.square().sum(1), whole - torch.einsum("br,brp->bp", off, slopes)
        return chi2, whole


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
