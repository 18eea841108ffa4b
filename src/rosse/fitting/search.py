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
from rosse.fitting.plan import Plan, own_fluxes
from rosse.fitting.start import FIRST, Trial

ROUGHLY, CLOSELY = 2.0, 0.1  # what is left of chi^2 on fewer pixels; closely before the last steps on all of them
OTHER_STARTS = (Trial(size=1.6, index=2.0), Trial(size=0.6, index=0.5))  # where a fit did not converge
# A sum of two has several valleys. The first start finds the deepest of 97 in 100 galaxies of GalSim, resolved or not;
# the other most of the rest, which can be told by what they say of themselves (`_doubtful`). A third adds next to none.
PAIR_STARTS = (Trial(inner=0.3, outer=1.3), Trial(inner=0.6, outer=3.0))
LITTLE = 0.15  # a component with less of the light, or flatter than FLAT, may be in the wrong valley
FLAT = 0.2
SMALLEST_FIRST = 32  # wide pixels on a side, where the same galaxies are seen closer before all pixels are
STEPS = 12  # on fewer pixels at most: what is not there by then goes on over more of them


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
    minimum = _search(setup, levels, options, PAIR_STARTS if len(_radii(setup.plan)) > 1 else (FIRST,))
    for trial in OTHER_STARTS:
        lost = torch.nonzero(~minimum.converged).flatten()
        if not len(lost):
            break
        some = setup.rows(lost.cpu().numpy())
        minimum = minimum.improved(lost, _search(some, [level.rows(lost) for level in levels], options, (trial,)))
    return minimum


def _search(setup: JointSetup, levels: list[JointProblem], options: FitOptions, trials: tuple[Trial, ...]) -> Minimum:
    """Small galaxies begin on the middle of their frame, and on wide pixels: either is a fraction of the cost."""
    guesses = [setup.guess(levels[0], trial) for trial in trials]
    vectors = [setup.plan.vector(guess, levels[0].offset) for guess in guesses]
    limits = setup.limits(vectors[0])
    start = _Start(vectors=[vector.clamp(limits.lower, limits.upper) for vector in vectors], limits=limits)
    halvings = setup.fits_in(guesses[0])
    rows, parts = [], []
    for times in torch.unique(halvings).tolist():
        some = torch.nonzero(halvings == times).flatten()
        whole = len(some) == len(halvings)
        own, ladder = (setup, levels) if whole else (setup.rows(some.cpu().numpy()), [p.rows(some) for p in levels])
        if times:
            middle = own.problem(times)
            rest = [middle.with_rest(ladder[-2])] if len(ladder) > 1 and len(start.vectors) > 1 else []
            ladder = [*middle.levels(SMALLEST_FIRST), *rest, ladder[-1]]
        rows.append(some)
        parts.append(_climb(ladder, start if whole else start.rows(some), options))
    return Minimum.joined(parts).rows(torch.cat(rows).argsort())


def _climb(ladder: list[JointProblem], start: _Start, options: FitOptions) -> Minimum:
    """From the starts to the minimum, over ever more pixels."""
    few = ladder[:-1] or ladder
    found = _approach(few, start.vectors[0], start.limits)
    closer = few[1:] or few  # wide pixels may have hidden what is to be found
    for vector in start.vectors[1:]:
        doubtful = torch.nonzero(_doubtful(few[0], found)).flatten()
        if len(doubtful):
            other = _approach([p.rows(doubtful) for p in closer], vector[doubtful], start.limits.rows(doubtful))
            found = found.improved(doubtful, other)
    last = _finish(ladder[-1], found.vector, start.limits, options)
    return last.with_evaluations(last.evaluations + found.evaluations)


def _approach(few: list[JointProblem], vector: Tensor, limits: Limits) -> Minimum:
    """From one start to the minimum on few pixels, then more of them."""
    vector, steps = with_best_fluxes(vector, few[0]), torch.ones(len(vector), dtype=torch.int32, device=vector.device)
    for problem in few:
        tolerance = CLOSELY if problem is few[-1] else ROUGHLY
        found = minimise(problem.evaluate, vector, limits, max_iterations=STEPS, tolerance=tolerance)
        found = found.with_evaluations(found.evaluations + steps)
        vector, steps = found.vector, found.evaluations
    return found


def _doubtful(problem: JointProblem, found: Minimum) -> Tensor:
    """Galaxies (B,) with a part that is hardly there, very flat, at a bound or inside the inner one, and lost ones."""
    plan = problem.plan
    local = plan.local(found.vector, problem.offset)
    flux = local[..., own_fluxes(plan)]
    share = (flux / flux.sum(2, keepdim=True)).amax(1)  # of each component, where it has most
    doubtful = ~found.converged | found.at_bound.any(1) | ~(share.amin(1) > LITTLE)
    for i, slot in enumerate(plan.layout.slots):
        if slot.name == "q":
            doubtful |= (-local[..., i].abs() < math.log(FLAT)).any(1)  # q may be that of the minor axis
    inner, *outer = _radii(plan)
    for other in outer:
        doubtful |= (local[..., inner] > local[..., other]).any(1)
    return doubtful


def _radii(plan: Plan) -> list[int]:
    """Slots of the scale radii of the galaxy's extended components."""
    pairs = zip(plan.model.components, plan.layout.places, strict=True)
    return [
        place.start + [slot.name for slot in component.slots].index(component.scale_radius)
        for component, place in pairs
        if component.scale_radius and not component.own_centre
    ]


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
