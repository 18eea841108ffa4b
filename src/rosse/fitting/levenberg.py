"""Levenberg-Marquardt for many small problems at once, with bounds; each problem converges on its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

MUCH = 1.0  # of chi^2: a minimum that is higher by more is that of another valley

# chi^2, half its negative gradient and half its Gauss-Newton Hessian at points (B, P) of the problems `rows` (B,):
# (B,), (B, P) and (B, P, P), float64
Evaluate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Minimum:
    """Where each problem ended.

    Parameters
    ----------
    vector : (B, P) the best point found.
    chi2 : (B,) at `vector`.
    normal : (B, P, P) half the Gauss-Newton Hessian of chi^2 at `vector`: the inverse of the covariance.
    converged : (B,) whether chi^2 had settled.
    at_bound : (B, P) parameters that a bound holds back.
    evaluations : (B,) number of evaluations.
    """

    vector: Tensor
    chi2: Tensor
    normal: Tensor
    converged: Tensor
    at_bound: Tensor
    evaluations: Tensor

    @classmethod
    def joined(cls, parts: list[Minimum]) -> Minimum:
        """All problems of several batches."""
        return cls(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    def rows(self, rows: Tensor) -> Minimum:
        """Some of the problems."""
        return Minimum(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def replaced(self, rows: Tensor, other: Minimum) -> Minimum:
        """The same with problems `rows` taken from `other`, evaluations added."""
        out = {f.name: getattr(self, f.name).clone() for f in fields(self)}
        for name, values in out.items():
            values[rows] = getattr(other, name)
        out["evaluations"][rows] += self.evaluations[rows]
        return Minimum(**out)

    def with_evaluations(self, evaluations: Tensor) -> Minimum:
        """The same with another count."""
        return replace(self, evaluations=evaluations)

    def improved(self, rows: Tensor, other: Minimum) -> Minimum:
        """The same with problems `rows` taken from `other` where it came lower, or converged not much higher."""
        rise = other.chi2 - self.chi2[rows].nan_to_num(torch.inf)
        better = torch.where(other.converged & ~self.converged[rows], rise < MUCH, rise < 0)
        took = rows[better]
        out = {f.name: getattr(self, f.name).clone() for f in fields(self)}
        for name, values in out.items():
            values[took] = getattr(other, name)[better]
        out["evaluations"][rows] = self.evaluations[rows] + other.evaluations
        return Minimum(**out)


@dataclass(frozen=True, kw_only=True, eq=False)
class Limits:
    """What a step must respect.

    Parameters
    ----------
    lower, upper : (B, P) bounds.
    free : (P,) or (B, P) parameters that move.
    step : (P,) largest change of each parameter in one iteration.
    """

    lower: Tensor
    upper: Tensor
    free: Tensor
    step: Tensor

    def rows(self, rows: Tensor) -> Limits:
        """Those of some problems."""
        free = self.free if self.free.ndim == 1 else self.free[rows]
        return replace(self, lower=self.lower[rows], upper=self.upper[rows], free=free)


def minimise(
    evaluate: Evaluate, start: Tensor, limits: Limits, *, max_iterations: int = 100, tolerance: float = 1e-3
) -> Minimum:
    """Minimise chi^2 of each problem of a batch.

    Parameters
    ----------
    evaluate : chi^2 and its normal equations; called with the problems that still move.
    start : (B, P).
    limits : bounds, free parameters and largest steps.
    max_iterations : evaluations per problem at most.
    tolerance : a problem has settled when a full Gauss-Newton step promises a smaller change of chi^2 than this. A
        change of chi^2 by 1 is one standard deviation.

    Notes
    -----
    Marquardt (1963) damping scaled by the diagonal; the gain ratio sets the damping (Nielsen 1999); bounds are an
    active set on top of clipping (Kanzow, Yamashita & Fukushima 2004).
    """
    batch = len(start)
    free = limits.free.expand_as(start)
    best = start.clamp(limits.lower, limits.upper)
    rows = torch.arange(batch, device=start.device)
    chi2, gradient, normal = evaluate(best, rows)
    damping = torch.full_like(chi2, 1e-3)
    growth = torch.full_like(chi2, 2.0)
    evaluations = torch.ones(batch, dtype=torch.int32, device=start.device)
    converged = torch.zeros(batch, dtype=torch.bool, device=start.device)
    moving = torch.isfinite(chi2)
    for turn in range(max_iterations):
        rows = torch.nonzero(moving).flatten()
        if not len(rows):
            break
        low, high, at = limits.lower[rows], limits.upper[rows], best[rows]
        held = blocked(at, gradient[rows], low, high) | ~free[rows]
        room = torch.maximum(low - at, -limits.step), torch.minimum(high - at, limits.step)
        step = solve_in_box(normal[rows], gradient[rows], damping[rows], held, room)
        trial = (at + step).clamp(low, high)
        promised = predicted_decrease(step, gradient[rows], normal[rows])
        # A small step under heavy damping proves nothing; a small free one is taken unseen, for it cannot be wrong.
        least = rounding(chi2[rows]).clamp_min(tolerance)  # less cannot be told
        settled = (promised >= 0) & (promised < least) & (damping[rows] < 1.0)
        done = rows[settled]
        best[done], converged[done], moving[done] = trial[settled], True, False
        chi2[done] -= promised[settled]
        gradient[done] -= torch.einsum("bpq,bq->bp", normal[done], step[settled])
        if turn == max_iterations - 1 or bool(settled.all()):
            continue
        rows, trial, promised, least = rows[~settled], trial[~settled], promised[~settled], least[~settled]
        new_chi2, new_gradient, new_normal = evaluate(trial, rows)
        evaluations[rows] += 1
        gain = (chi2[rows] - new_chi2) / promised.clamp_min(1e-12)
        better = torch.isfinite(new_chi2) & (new_chi2 <= chi2[rows] + rounding(chi2[rows]))
        took = rows[better]
        best[took], chi2[took] = trial[better], new_chi2[better]
        gradient[took], normal[took] = new_gradient[better], new_normal[better]
        shrink = (1 - (2 * gain.clamp(-10, 10) - 1) ** 3).clamp(0.1, 2.0)
        damping[rows] = torch.where(better, damping[rows] * shrink, damping[rows] * growth[rows]).clamp(1e-9, 1e12)
        growth[rows] = torch.where(better, 2.0, growth[rows] * 2)
        stuck = ~better & (promised >= 0) & (promised < least)  # as low as single precision can tell
        converged[rows] |= stuck
        moving[rows] = ~(stuck | (damping[rows] > 1e10))
    at_bound = blocked(best, gradient, limits.lower, limits.upper) & free
    return Minimum(
        vector=best, chi2=chi2, normal=normal, converged=converged, at_bound=at_bound, evaluations=evaluations
    )


def blocked(at: Tensor, gradient: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Parameters at a bound whose descent leads out of it; `gradient` points downhill."""
    return ((at <= lower) & (gradient <= 0)) | ((at >= upper) & (gradient >= 0))


def solve_in_box(
    normal: Tensor, gradient: Tensor, damping: Tensor, held: Tensor, room: tuple[Tensor, Tensor], *, rounds: int = 4
) -> Tensor:
    """Step (B, P) of the damped normal equations that stays within its box.

    Parameters
    ----------
    normal, gradient, damping : (B, P, P), (B, P), (B,)
    held : (B, P) parameters that stay where they are.
    room : lowest and highest step of each parameter, (B, P) each.
    rounds : parameters that would leave the box are put on its wall and the others solved again, this many times.
    """
    step = torch.zeros_like(gradient)
    fixed = held
    for _ in range(rounds):
        trial = torch.where(fixed, step, solve_damped(normal, gradient, damping, fixed, step))
        inside = torch.clamp(trial, *room)
        leaves = ~fixed & (inside != trial)
        step = torch.where(fixed | leaves, torch.where(fixed, step, inside), trial)
        if not leaves.any():
            break
        fixed = fixed | leaves
    return torch.clamp(step, *room)


def solve_damped(normal: Tensor, gradient: Tensor, damping: Tensor, fixed: Tensor, step: Tensor) -> Tensor:
    """Solution (B, P) of the damped normal equations where the `fixed` parameters take the given `step`."""
    scale = normal.diagonal(dim1=1, dim2=2).clamp_min(1e-300).rsqrt()
    scaled = normal * scale[:, :, None] * scale[:, None, :]  # a unit diagonal: parameters of any unit
    eye = torch.eye(normal.shape[1], dtype=normal.dtype, device=normal.device)
    scaled = scaled + eye * damping[:, None, None]
    known = torch.where(fixed, step / scale, 0.0)
    right = gradient * scale - (scaled @ known[:, :, None])[:, :, 0]
    both_free = ~fixed[:, :, None] & ~fixed[:, None, :]
    solution, info = torch.linalg.solve_ex(torch.where(both_free, scaled, eye), torch.where(fixed, 0.0, right))
    usable = (info == 0)[:, None] & torch.isfinite(solution)
    return torch.where(usable, solution, 0.0) * scale


def predicted_decrease(step: Tensor, gradient: Tensor, normal: Tensor) -> Tensor:
    """Decrease of chi^2 (B,) that the quadratic model promises for a step."""
    return 2 * (step * gradient).sum(1) - torch.einsum("bp,bpq,bq->b", step, normal, step)


def rounding(chi2: Tensor) -> Tensor:
    """How far two equal chi^2 may differ, because models are drawn in single precision."""
    return 1e-7 * chi2 + 1e-9
