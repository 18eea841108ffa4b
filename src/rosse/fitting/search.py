"""From starting values to the minimum: where to begin, on which pixels first, and what to try where that fails."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rosse.fitting.amplitudes import with_best_fluxes
from rosse.fitting.finish import finish
from rosse.fitting.joint import JointProblem, JointSetup
from rosse.fitting.levenberg import Limits, Minimum, minimise
from rosse.fitting.options import FitOptions
from rosse.fitting.plan import own_fluxes
from rosse.fitting.start import FIRST, Trial

ROUGHLY, CLOSELY = 0.5, 0.1  # what is left of chi^2 on fewer pixels; closely before the last steps on all of them
OTHER_STARTS = (Trial(size=1.6, index=2.0), Trial(size=0.6, index=0.5))  # where a fit did not converge
# A sum of two has several valleys. The first start finds the deepest of 97 in 100 galaxies of GalSim, resolved or not;
# the second most of the others, which can be told by what they say of themselves (`_doubtful`).
PAIR_STARTS = (Trial(inner=0.3, outer=1.3), Trial(inner=0.9, outer=0.8, index=2.0))
LITTLE = 0.15  # a component with less of the light, or flatter than FLAT, may be in the wrong valley
FLAT = 0.2


@dataclass(frozen=True, kw_only=True, eq=False)
class _Start:
    """Where some galaxies begin.

    Parameters
    ----------
    vectors : (B, P) for each trial.
    limits : bounds of the coordinates.
    """

    vectors: list[Tensor]
    limits: Limits

    def rows(self, rows: Tensor) -> _Start:
        return _Start(vectors=[vector[rows] for vector in self.vectors], limits=self.limits.rows(rows))


def search(setup: JointSetup, levels: list[JointProblem], options: FitOptions) -> Minimum:
    """The minimum of each galaxy, B of them.

    Parameters
    ----------
    setup : the galaxies.
    levels : their problem on ever wider pixels, widest first.
    options : how long to look, and how closely.
    """
    extended = [c for c in setup.plan.model.components if c.scale_radius and not c.own_centre]
    minimum = _search(setup, levels, options, PAIR_STARTS if len(extended) > 1 else (FIRST,))
    for trial in OTHER_STARTS:
        lost = torch.nonzero(~minimum.converged).flatten()
        if not len(lost):
            break
        some = setup.rows(lost.cpu().numpy())
        minimum = minimum.improved(lost, _search(some, [level.rows(lost) for level in levels], options, (trial,)))
    return minimum


def _search(setup: JointSetup, levels: list[JointProblem], options: FitOptions, trials: tuple[Trial, ...]) -> Minimum:
    """Small galaxies begin on the middle of their frame, others on wide pixels: either is a fraction of the cost."""
    guesses = [setup.guess(levels[0], trial) for trial in trials]
    vectors = [setup.plan.vector(guess, levels[0].offset) for guess in guesses]
    limits = setup.limits(vectors[0])
    start = _Start(vectors=[vector.clamp(limits.lower, limits.upper) for vector in vectors], limits=limits)
    halvings = torch.stack([setup.fits_in(guess) for guess in guesses]).amin(0)
    rows, parts = [], []
    for times in torch.unique(halvings).tolist():
        some = torch.nonzero(halvings == times).flatten()
        whole = len(some) == len(halvings)
        own, ladder = (setup, levels) if whole else (setup.rows(some.cpu().numpy()), [p.rows(some) for p in levels])
        if times:
            middle = own.problem(times)
            rest = [middle.with_rest(ladder[-2])] if len(ladder) > 1 and len(start.vectors) > 1 else []
            ladder = [middle, *rest, ladder[-1]]
        rows.append(some)
        parts.append(_climb(ladder, start if whole else start.rows(some), options))
    return Minimum.joined(parts).rows(torch.cat(rows).argsort())


def _climb(ladder: list[JointProblem], start: _Start, options: FitOptions) -> Minimum:
    """From the starts to the minimum, over ever more pixels."""
    vector, steps = _first_steps(ladder[0], start, ROUGHLY if len(ladder) > 2 else CLOSELY)
    for next_one in ladder[1:-1]:
        tolerance = CLOSELY if next_one is ladder[-2] else ROUGHLY
        found = minimise(next_one.evaluate, vector, start.limits, max_iterations=30, tolerance=tolerance)
        vector, steps = found.vector, steps + found.evaluations
    last = _finish(ladder[-1], vector, start.limits, options)
    return last.with_evaluations(last.evaluations + steps)


def _first_steps(problem: JointProblem, start: _Start, tolerance: float) -> tuple[Tensor, Tensor]:
    """Minimum on the first pixels (B, P), of the best start where the first one's is in doubt; and evaluations (B,)."""
    found = _from(problem, start.vectors[0], start.limits, tolerance)
    for vector in start.vectors[1:]:
        doubtful = torch.nonzero(_doubtful(problem, found)).flatten()
        if len(doubtful):
            limits = start.limits.rows(doubtful)
            other = _from(problem.rows(doubtful), vector[doubtful], limits, tolerance)
            found = found.improved(doubtful, other)
    return found.vector, found.evaluations


def _from(problem: JointProblem, vector: Tensor, limits: Limits, tolerance: float) -> Minimum:
    vector = with_best_fluxes(vector, problem)
    found = minimise(problem.evaluate, vector, limits, max_iterations=30, tolerance=tolerance)
    return found.with_evaluations(found.evaluations + 1)


def _doubtful(problem: JointProblem, found: Minimum) -> Tensor:
    """Galaxies (B,) with a component that is hardly there, very flat or at a bound, or that went nowhere."""
    plan = problem.plan
    local = plan.local(found.vector, problem.offset)
    flux = local[..., own_fluxes(plan)]
    share = (flux / flux.sum(2, keepdim=True)).amax(1)  # of each component, where it has most
    doubtful = ~found.converged | found.at_bound.any(1) | ~(share.amin(1) > LITTLE)
    for i, slot in enumerate(plan.layout.slots):
        if slot.name == "q":
            doubtful |= (local[..., i] < math.log(FLAT)).any(1)
    return doubtful


def _finish(problem: JointProblem, vector: Tensor, limits: Limits, options: FitOptions) -> Minimum:
    """To the minimum on all pixels: by the short way, and by the long one what is not close to it."""
    most, tolerance = options.max_iterations, options.tolerance
    if not problem.straight or most < 3:
        return minimise(problem.evaluate, vector, limits, max_iterations=most, tolerance=tolerance)
    last = finish(problem, vector, limits, tolerance=tolerance)
    far = torch.nonzero(~last.converged).flatten()
    if not len(far):
        return last
    evaluate, at, some = problem.rows(far).evaluate, last.vector[far], limits.rows(far)
    return last.replaced(far, minimise(evaluate, at, some, max_iterations=most - 2, tolerance=tolerance))
