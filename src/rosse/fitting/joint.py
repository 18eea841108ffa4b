"""The same galaxies in several sets of cutouts, each with its own pixels, fitted together: one shape, many surveys.

Most fits have one set; they are the case of one part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.errors import UNNAMED, InputError, OptionError, rows_text
from rosse.fitting.given import GIVEN
from rosse.fitting.levenberg import Limits
from rosse.fitting.plan import LINEAR_UNITS, Plan, own_fluxes
from rosse.fitting.problem import Problem, Tangent, pieces_of, prior_chi2, too_large
from rosse.fitting.setup import Setup
from rosse.fitting.start import FIRST, Trial
from rosse.fitting.view import SMALLEST_FRAME


def band_names(sets: Mapping[str, Cutouts]) -> tuple[tuple[str, ...], ...]:
    """Names of the bands of each set that no other has: with the set's before them, where two sets share one."""
    often = Counter(band for cutouts in sets.values() for band in cutouts.bands)
    names: list[tuple[str, ...]] = []
    for name, cutouts in sets.items():
        if cutouts.bands == (UNNAMED,):
            names.append((name,))
        else:
            names.append(tuple(f"{name}_{band}" if often[band] > 1 else band for band in cutouts.bands))
    return tuple(names)


def check_sets(sets: Mapping[str, Cutouts]) -> None:
    """Whether sets hold the same galaxies and can be brought to one scale.

    Raises
    ------
    InputError
        The message names the set, and the rows.
    """
    if not sets:
        raise InputError("no cutouts came; a dict from the name of each set to its Cutouts is wanted")
    first_name, first = next(iter(sets.items()))
    for name, cutouts in sets.items():
        if len(cutouts) != len(first) or (cutouts.id != first.id).any():
            rows = np.nonzero(cutouts.id != first.id)[0].tolist() if len(cutouts) == len(first) else []
            where = f", {rows_text(rows)}" if rows else f": {len(cutouts)} against {len(first)} of them"
            raise InputError(
                f"{name} and {first_name} do not hold the same galaxies{where}; give the same ids in order"
            )
        for what, bad in (
            ("pixel scale", ~torch.isfinite(cutouts.scale)),
            ("handedness (parity)", cutouts.parity.cpu() != first.parity.cpu()),
        ):
            if bad.any():
                rows = torch.nonzero(bad).flatten().tolist()
                wanted = "is not known" if what == "pixel scale" else f"is not that of {first_name}"
                raise InputError(f"the {what} of {name} {wanted}, {rows_text(rows)}; sets share lengths and angles")


def check_centres(plan: Plan) -> None:
    """Nothing is asked of centres: each set has its own pixels, and no word says whose are meant.

    Raises
    ------
    OptionError
        The message names the parameter.
    """
    for slot, owner, column in zip(plan.layout.slots, plan.owners, plan.columns, strict=True):
        asked = [name for name in (*GIVEN, "bands") if slot.name in getattr(owner, name)]
        if slot.unit == "pixel" and asked:
            raise OptionError(f"{column} has {asked[0]}, but is free in each set of cutouts, in pixels of its own")


@dataclass(frozen=True, kw_only=True, eq=False)
class JointProblem:
    """Problems that share their coordinates.

    Parameters
    ----------
    parts : one for each set.
    plan : of all bands.
    """

    parts: tuple[Problem, ...]
    plan: Plan

    @property
    def offset(self) -> Tensor:
        """(B, C, L) what does not move, in the pixels of each band."""
        return torch.cat([part.offset for part in self.parts], 1)

    def rows(self, rows: Tensor) -> JointProblem:
        """Some of the galaxies."""
        return replace(self, parts=tuple(part.rows(rows) for part in self.parts))

    def levels(self, smallest: int = SMALLEST_FRAME) -> list[JointProblem]:
        """The same on ever wider pixels, widest first; a set that has no wider ones waits with its widest."""
        found = [part.levels(smallest) for part in self.parts]
        most = max(len(levels) for levels in found)
        padded = [[levels[0]] * (most - len(levels)) + levels for levels in found]
        return [replace(self, parts=tuple(parts)) for parts in zip(*padded, strict=True)]

    def with_rest(self, wide: JointProblem) -> JointProblem:
        """Pixels of the middle of the frames as they are, and those around it as wide ones show them."""
        rest = tuple(
            replace(other, view=other.view.around(mine.view), priors=())
            for mine, other in zip(self.parts, wide.parts, strict=True)
        )
        return replace(self, parts=self.parts + rest)

    def evaluate(self, vector: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """chi^2 (B,), descent direction (B, P) and normal matrix (B, P, P): the sums over the sets."""
        return _sums(part.evaluate(vector, rows) for part in self.parts)

    def pieces(self) -> list[Tensor]:
        """Rows that are drawn at once."""
        return max((pieces_of(part) for part in self.parts), key=len)

    def tangent(self, vector: Tensor) -> JointTangent:
        """What `evaluate` finds at `vector` (B, P), and the derivatives, to be used for points close by."""
        return JointTangent(parts=tuple(part.tangent(vector) for part in self.parts))

    @property
    def straight(self) -> bool:
        """Whether it is a sum of squares whose derivatives can be held."""
        return not any(too_large(part) or part.poisson for part in self.parts)

    def prior_chi2(self, vector: Tensor) -> Tensor | float:
        """chi^2 (B,) of the priors."""
        return sum((prior_chi2(part, vector) for part in self.parts), start=0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class JointTangent:
    """The tangents of all sets."""

    parts: tuple[Tangent, ...]

    @property
    def found(self) -> tuple[Tensor, Tensor, Tensor]:
        """chi^2 (B,), descent direction (B, P) and normal matrix (B, P, P) at the point."""
        return _sums(part.found for part in self.parts)

    def near(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same close by."""
        return _sums(part.near(vector) for part in self.parts)


@dataclass(frozen=True, kw_only=True, eq=False)
class JointSetup:
    """Setups of sets of cutouts.

    Parameters
    ----------
    parts : one for each set; lengths and angles are counted in the pixels of the first.
    plan : of all bands.
    """

    parts: tuple[Setup, ...]
    plan: Plan

    @property
    def frames(self) -> list[tuple[int, int]]:
        """(C,) height and width of the frame of each band."""
        return [frame for part in self.parts for frame in part.frames]

    def rows(self, rows: NDArray[np.int64]) -> JointSetup:
        """Some of the galaxies."""
        return replace(self, parts=tuple(part.rows(rows) for part in self.parts))

    def problem(self, halvings: int = 0) -> JointProblem:
        """The problem on the pixels of all sets, or on the middle of their frames after some halvings."""
        return JointProblem(parts=tuple(part.problem(halvings) for part in self.parts), plan=self.plan)

    def fits_in(self, guess: Tensor) -> Tensor:
        """How often (B,) the frames may be halved so that galaxies of slots `guess` (B, C, L) are still well within."""
        ends = [0]
        for part in self.parts:
            ends.append(ends[-1] + len(part.plan.bands))
        pairs = zip(self.parts, ends[:-1], strict=True)
        return torch.stack([part.fits_in(guess[:, first]) for part, first in pairs]).amin(0)

    def offset(self) -> Tensor:
        """(B, C, L) what does not move."""
        return torch.cat([part.offset() for part in self.parts], 1)

    def guess(self, problem: JointProblem, trial: Trial = FIRST) -> Tensor:
        """Slots (B, C, L): centres from the moments of each set, shapes from those of the first."""
        guesses = [part.guess(one, trial) for part, one in zip(self.parts, problem.parts, strict=True)]
        shape = guesses[0][:, :1] - problem.parts[0].offset[:, :1]
        for i, slot in enumerate(self.plan.layout.slots):
            if slot.unit != "pixel":
                for guess, one in zip(guesses[1:], problem.parts[1:], strict=True):
                    guess[..., i] = shape[..., i] + one.offset[..., i]
        return torch.cat(guesses, 1)

    def limits(self, start: Tensor) -> Limits:
        """Bounds (B, P) and largest steps: those of the first set, and of each its own centres."""
        each = [part.limits(start) for part in self.parts]
        lower, upper, step = each[0].lower.clone(), each[0].upper.clone(), each[0].step.clone()
        owner = [k for k, part in enumerate(self.parts) for _ in part.plan.bands]
        for p, coordinate in enumerate(self.plan.coordinates):
            if self.plan.layout.slots[coordinate.slot].unit == "pixel":
                own = each[owner[max(range(len(owner)), key=coordinate.weights.__getitem__)]]
                lower[:, p], upper[:, p], step[p] = own.lower[:, p], own.upper[:, p], own.step[p]
        return replace(each[0], lower=lower, upper=upper, step=step)


def _sums(each: Iterable[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    chi2, gradient, normal = (sum(what) for what in zip(*each, strict=True))
    return chi2, gradient, normal


def light_in_frame(problem: JointProblem, vector: Tensor) -> Tensor:
    """Fraction (B,) of the galaxy's flux that falls in the frame of the set that holds most of it.

    Wide pixels tell it as well as fine ones.
    """
    return torch.stack([_in_frame(part, vector) for part in problem.parts]).amax(0)


def _in_frame(problem: Problem, vector: Tensor) -> Tensor:
    local, own = problem.local(vector), own_fluxes(problem.plan)
    for i, slot in enumerate(problem.plan.layout.slots):
        if slot.unit in LINEAR_UNITS and i not in own:
            local[..., i] = 0.0
    flux = local[..., list(problem.plan.layout.fluxes)].sum((1, 2))
    return problem.drawn(local).sum((1, 2, 3), dtype=torch.float64) / flux
