"""The last steps of a fit: several of them with the derivatives of one."""

from __future__ import annotations

import torch
from torch import Tensor

from rosse.fitting.joint import JointProblem
from rosse.fitting.levenberg import Limits, Minimum, blocked, predicted_decrease, rounding, solve_in_box

# Each chord step promises so much less (of chi^2) than the one before, if the derivatives are still good; what they
# have changed by is the square root of it, and as many sigma is what the minimum may be off.
SHRINKS = 0.001
CHORDS = 4  # later steps at most


def finish(problem: JointProblem, start: Tensor, limits: Limits, *, tolerance: float) -> Minimum:
    """Go to the minimum from close by, or say (`converged`) that a galaxy was not.

    Parameters
    ----------
    problem : B galaxies.
    start : (B, P), good to a few sigma.
    limits : bounds and free parameters.
    tolerance : as in `minimise`.

    Notes
    -----
    A Gauss-Newton step, then some of the chord method: the model is drawn anew, its derivatives are those of the first
    point (Ortega & Rheinboldt 1970, sect. 7.1). Derivatives cost six times what the model does.
    """
    pieces = [_finish(problem.rows(rows), start[rows], limits.rows(rows), tolerance) for rows in problem.pieces()]
    return Minimum.joined(pieces)


def _finish(problem: JointProblem, start: Tensor, limits: Limits, tolerance: float) -> Minimum:
    free, lower, upper = limits.free.expand_as(start), limits.lower, limits.upper
    tangent = problem.tangent(start)
    chi2, gradient, normal = tangent.found
    at, best = start.clone(), start
    undamped = torch.full_like(chi2, 1e-9)
    walking = torch.ones_like(chi2, dtype=torch.bool)
    converged = torch.zeros_like(walking)
    evaluations = torch.ones_like(chi2, dtype=torch.int32)
    lowest, before = chi2, torch.full_like(chi2, torch.inf)
    for turn in range(CHORDS + 1):
        held = blocked(at, gradient, lower, upper) | ~free
        room = torch.maximum(lower - at, -limits.step), torch.minimum(upper - at, limits.step)
        step = solve_in_box(normal, gradient, undamped, held, room)
        promised = predicted_decrease(step, gradient, normal)
        shrunk = promised / before
        small = promised < torch.maximum(rounding(lowest), torch.full_like(lowest, tolerance))
        small |= (promised * shrunk < tolerance) & (turn > 0)  # what is left after it
        fair = walking & (promised >= 0) & (shrunk < SHRINKS)
        settled = fair & small
        converged |= settled
        walking = fair & ~small
        before = promised
        taken = settled | walking
        at = torch.where(taken[:, None], (at + step).clamp(lower, upper), at)
        best = torch.where(settled[:, None], at, best)
        lowest = torch.where(settled, lowest - promised, lowest)
        gradient = torch.where(settled[:, None], gradient - torch.einsum("bpq,bq->bp", normal, step), gradient)
        if turn == CHORDS or not walking.any():
            break
        there, *anew = tangent.near(at)
        evaluations += walking
        walking &= there < lowest
        lowest, best = torch.where(walking, there, lowest), torch.where(walking[:, None], at, best)
        gradient = torch.where(walking[:, None], anew[0], gradient)
        normal = torch.where(walking[:, None, None], anew[1], normal)
    return Minimum(
        vector=best,
        chi2=lowest,
        normal=normal,
        converged=converged,
        at_bound=blocked(best, gradient, lower, upper) & free,
        evaluations=evaluations,
    )
