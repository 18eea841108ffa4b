"""From starting values to the minimum: where to begin, on which pixels first, and what to try where that fails."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rosse.fitting.amplitudes import with_best_fluxes
from rosse.fitting.finish import finish
from rosse.fitting.joint import JointProblem, JointSetup
from rosse.fitting.levenberg import Limits, Minimum, minimise
from rosse.fitting.options import FitOptions
from rosse.fitting.start import FIRST, Trial

FIRST_TOLERANCE = 0.1  # what is left of chi^2 when fewer pixels have told all that is worth hearing
OTHER_STARTS = (Trial(size=1.6, index=2.0), Trial(size=0.6, index=0.5))  # where a fit did not converge
# A sum of two has several valleys: these starts are raced on few pixels.
PAIR_STARTS = (
    Trial(inner=0.3, outer=1.3),
    Trial(inner=0.9, outer=0.8, index=2.0),
    Trial(inner=0.9, outer=1.3, index=0.5),
)
RACE = 8  # evaluations that each of them gets


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
    halvings = setup.fits_in(guesses[-1])
    rows, parts = [], []
    for times in torch.unique(halvings).tolist():
        some = torch.nonzero(halvings == times).flatten()
        whole = len(some) == len(halvings)
        own, ladder = (setup, levels) if whole else (setup.rows(some.cpu().numpy()), [p.rows(some) for p in levels])
        if times:
            ladder = [own.problem(times), ladder[-1]]
        rows.append(some)
        parts.append(_climb(ladder, start if whole else start.rows(some), options))
    return Minimum.joined(parts).rows(torch.cat(rows).argsort())


def _climb(ladder: list[JointProblem], start: _Start, options: FitOptions) -> Minimum:
    """From the best of some starts to the minimum, over ever more pixels."""
    vector, steps = _race(ladder[0], start)
    for first in ladder[:-1]:
        found = minimise(first.evaluate, vector, start.limits, max_iterations=30, tolerance=FIRST_TOLERANCE)
        vector, steps = found.vector, steps + found.evaluations
    last = _finish(ladder[-1], vector, start.limits, options)
    return last.with_evaluations(last.evaluations + steps)


def _race(problem: JointProblem, start: _Start) -> tuple[Tensor, Tensor]:
    """Where to go on from (B, P), and evaluations so far (B,)."""
    begun = [with_best_fluxes(vector, problem) for vector in start.vectors]
    if len(begun) == 1:
        return begun[0], torch.ones(len(begun[0]), dtype=torch.int32, device=begun[0].device)
    best: Minimum | None = None
    for vector in begun:
        other = minimise(problem.evaluate, vector, start.limits, max_iterations=RACE, tolerance=FIRST_TOLERANCE)
        best = other if best is None else best.lower(other)
    assert best is not None
    return best.vector, best.evaluations + len(begun)


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
