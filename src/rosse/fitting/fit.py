"""The verb: cutouts and a model in, best-fit parameters with errors out."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.cutouts import Cutouts, pad_cutouts
from rosse.fitting.batches import Batch, batches, for_each
from rosse.fitting.levenberg import Minimum, minimise
from rosse.fitting.options import FitOptions
from rosse.fitting.plan import Plan, wavelengths
from rosse.fitting.problem import Problem
from rosse.fitting.result import Fit
from rosse.fitting.setup import Setup, with_best_fluxes
from rosse.light.components import Component
from rosse.light.model import Model, as_model
from rosse.light.profiles import Sersic
from rosse.status import Status

log = logging.getLogger(__name__)

# Smallest eigenvalue of the correlation-like normal matrix that single-precision pixels can tell from zero.
SINGULAR_BELOW = 1e-7
COARSE_TOLERANCE = 0.1  # what is left of chi^2 when the coarse pixels have told all that is worth hearing
OTHER_STARTS = ((1.6, 2.0), (0.6, 0.5))  # factors on size and index where a fit did not converge


def fit(
    cutouts: Cutouts,
    model: Component | Model | None = None,
    *,
    options: FitOptions | None = None,
    advance: Callable[[int], None] | None = None,
) -> Fit:
    """Fit a model to each galaxy.

    Parameters
    ----------
    cutouts : B galaxies in C bands. Bands share centre and shape unless the model says otherwise; each has its flux.
    model : a component or a sum of them; a single Sersic profile if None.
    options : how the fit is run.
    advance : called with the number of galaxies done after each batch, e.g. by a progress bar.

    Returns
    -------
    Fit
        One row per galaxy. A galaxy that cannot be fitted has a `Status` that says why, and never changes another.

    Notes
    -----
    Least squares weighted by `ivar`, by Levenberg-Marquardt with exact derivatives of the PSF-convolved model; errors
    from the inverse of the normal matrix at the optimum, PSF included. The first steps are taken on pixels twice as
    wide. Frames are trimmed to the pixels that carry weight and galaxies of similar size are fitted together, so
    padding costs nothing. A galaxy that does not converge is started twice more from elsewhere.
    """
    options = options or FitOptions()
    plan = Plan(
        model=as_model(model if model is not None else Sersic()),
        bands=cutouts.bands,
        wavelength=wavelengths(cutouts.bands, dict(options.wavelength)),
    )
    plan.check(len(cutouts))
    run = _Run(cutouts=cutouts, plan=plan, options=options, rows=_Rows.empty(len(cutouts), plan))
    for_each(run.batch, batches(cutouts, options.batch_pixels), advance)
    return run.rows.result(cutouts, plan, options)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """Results as they come in, in the order of the cutouts; what was not fitted is NaN. See `Fit`."""

    vector: NDArray[np.float64]
    offset: NDArray[np.float64]
    covariance: NDArray[np.float64]
    chi2: NDArray[np.float64]
    pixels: NDArray[np.int64]
    in_frame: NDArray[np.float64]
    iterations: NDArray[np.int32]
    at_bound: NDArray[np.bool_]
    status: NDArray[np.int8]

    @classmethod
    def empty(cls, count: int, plan: Plan) -> _Rows:
        return cls(
            vector=np.full((count, plan.size), np.nan),
            offset=np.full((count, len(plan.bands), plan.layout.size), np.nan),
            covariance=np.full((count, plan.size, plan.size), np.nan),
            chi2=np.full(count, np.nan),
            pixels=np.zeros(count, dtype=np.int64),
            in_frame=np.full(count, np.nan),
            iterations=np.zeros(count, dtype=np.int32),
            at_bound=np.zeros((count, plan.size), dtype=bool),
            status=np.full(count, Status.NO_DATA, dtype=np.int8),
        )

    def put(self, index: NDArray[np.int64], **values: Tensor) -> None:
        for name, value in values.items():
            getattr(self, name)[index] = value.cpu().numpy()

    def result(self, cutouts: Cutouts, plan: Plan, options: FitOptions) -> Fit:
        return Fit(cutouts=cutouts, plan=plan, options=options, **vars(self))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    """One call of `fit`: what its batches share."""

    cutouts: Cutouts
    plan: Plan
    options: FitOptions
    rows: _Rows

    def batch(self, part: Batch) -> None:
        """Fit one batch; a failure of the algebra costs only the galaxy whose it is."""
        with torch.no_grad():
            try:
                self._fit(part)
            except torch.cuda.OutOfMemoryError:
                raise
            except (RuntimeError, ValueError) as err:
                log.warning("a batch of %d galaxies failed (%s); fitting them one by one", len(part.index), err)
                for row in part.index:
                    self._fit_one(Batch(index=np.array([row]), frame=part.frame))

    def _fit_one(self, part: Batch) -> None:
        try:
            self._fit(part)
        except (RuntimeError, ValueError) as err:
            log.warning("galaxy %s failed: %s", self.cutouts.id[part.index[0]], err)
            self.rows.status[part.index] = Status.FAILED

    def _fit(self, part: Batch) -> None:
        whole = self.cutouts[part.index]
        pixels = pad_cutouts(whole, *part.frame)
        count = (pixels.ivar > 0).sum((1, 2, 3)).cpu().numpy()
        self.rows.pixels[part.index] = count
        enough = count > self.plan.size
        if not enough.any():
            return
        whole, pixels, index = whole[enough], pixels[enough], part.index[enough]
        setup = Setup(cutouts=whole, index=index, plan=self.plan, options=self.options, arcsec=has_scale(self.cutouts))
        problem = setup.problem(pixels)
        minimum = self._minimise(setup, problem)
        minimum = self._try_again(setup, problem, minimum)
        covariance, singular = covariance_of(minimum)
        singular |= _lost(minimum, covariance, problem, whole.frame)
        self._write(minimum, covariance, singular, problem=problem, index=index)

    def _minimise(self, setup: Setup, problem: Problem, *, size: float = 1.0, index: float = 1.0) -> Minimum:
        """From moments to the minimum, over pixels twice as wide where there are enough."""
        coarse = problem.coarser()
        guess = setup.guess((coarse or problem).view, size=size, index=index)
        vector = self.plan.vector(guess, problem.offset)
        limits = setup.limits(vector)
        steps = torch.zeros(len(vector), dtype=torch.int32, device=vector.device)
        vector, _ = with_best_fluxes(vector.clamp(limits.lower, limits.upper), coarse or problem)
        if coarse is not None:
            first = minimise(coarse.evaluate, vector, limits, max_iterations=30, tolerance=COARSE_TOLERANCE)
            vector, steps = first.vector, first.evaluations
        options = self.options
        last = minimise(
            problem.evaluate, vector, limits, max_iterations=options.max_iterations, tolerance=options.tolerance
        )
        return last.with_evaluations(last.evaluations + steps)

    def _try_again(self, setup: Setup, problem: Problem, minimum: Minimum) -> Minimum:
        """The same minimum, with what did not converge replaced by the best of other starts."""
        for size, index in OTHER_STARTS:
            lost = torch.nonzero(~minimum.converged).flatten()
            if not len(lost):
                break
            some = lost.cpu().numpy()
            part = Setup(
                cutouts=setup.cutouts[some],
                index=setup.index[some],
                plan=self.plan,
                options=self.options,
                arcsec=setup.arcsec,
            )
            other = self._minimise(part, problem.rows(lost), size=size, index=index)
            minimum = minimum.improved(lost, other)
        return minimum

    def _write(
        self,
        minimum: Minimum,
        covariance: Tensor,
        singular: Tensor,
        *,
        problem: Problem,
        index: NDArray[np.int64],
    ) -> None:
        """Share of light in the frame and status of finished fits, and all of it into their rows."""
        in_frame = _light_in_frame(problem, minimum.vector)
        status = torch.full_like(in_frame, Status.OK, dtype=torch.int8)
        status[in_frame < self.options.flux_in_frame] = Status.EXCEEDS_FRAME
        status[minimum.at_bound.any(1)] = Status.AT_BOUND
        status[~minimum.converged] = Status.NOT_CONVERGED
        status[singular] = Status.SINGULAR
        chi2 = minimum.chi2
        if problem.priors:
            chi2 = chi2 - problem.prior_residuals(minimum.vector)[0].square().sum(1)
        self.rows.put(
            index,
            vector=torch.where(singular[:, None], math.nan, minimum.vector),
            offset=problem.offset,
            covariance=torch.where(singular[:, None, None], math.nan, covariance),
            chi2=chi2,
            in_frame=in_frame,
            iterations=minimum.evaluations,
            at_bound=minimum.at_bound,
            status=status,
        )


def has_scale(cutouts: Cutouts) -> bool:
    """Whether lengths can be in arcsec: the pixel scale of every galaxy is known."""
    return bool(torch.isfinite(cutouts.scale).all())


def covariance_of(minimum: Minimum) -> tuple[Tensor, Tensor]:
    """Covariance (B, P, P) with NaN for what did not move, and which galaxies (B,) have none."""
    normal = minimum.normal
    moved = ~minimum.at_bound
    scale = torch.where(moved, normal.diagonal(dim1=1, dim2=2).clamp_min(1e-300).rsqrt(), 0.0)
    scaled = normal * scale[:, :, None] * scale[:, None, :]  # a unit diagonal, so that one threshold fits all units
    eye = torch.eye(normal.shape[1], dtype=normal.dtype, device=normal.device)
    scaled = torch.where((moved[:, :, None] & moved[:, None, :]), scaled, eye)
    lowest = torch.linalg.eigvalsh(scaled.nan_to_num(0.0))[:, 0]
    singular = ~torch.isfinite(scaled).all(2).all(1) | (lowest < SINGULAR_BELOW)
    inverse = torch.linalg.inv(torch.where(singular[:, None, None], eye, scaled))
    unknown = ~(moved[:, :, None] & moved[:, None, :]) | singular[:, None, None]
    return torch.where(unknown, math.nan, inverse * scale[:, :, None] * scale[:, None, :]), singular


def _lost(minimum: Minimum, covariance: Tensor, problem: Problem, frame: tuple[int, int]) -> Tensor:
    """Galaxies (B,) that are not there: no light in any band, or a centre that may be anywhere in the frame."""
    layout = problem.plan.layout
    lost = torch.zeros(len(minimum.vector), dtype=torch.bool, device=minimum.vector.device)
    if layout.fluxes:
        lost |= (problem.plan.local(minimum.vector, problem.offset)[..., list(layout.fluxes)] <= 0).all(2).all(1)
    for p, coordinate in enumerate(problem.plan.coordinates):
        slot = layout.slots[coordinate.slot]
        if slot.unit == "pixel" and not coordinate.degree:
            lost |= covariance[:, p, p].sqrt() > 0.5 * frame[1 if slot.name == "x" else 0]
    return lost


def _light_in_frame(problem: Problem, vector: Tensor) -> Tensor:
    """Fraction (B,) of the model's flux that falls in the frame; coarse pixels tell it as well as fine ones."""
    layout = problem.plan.layout
    problem = problem.coarser() or problem
    local = problem.local(vector)
    for i, slot in enumerate(layout.slots):
        if slot.unit in ("level", "slope"):
            local[..., i] = 0.0
    flux = local[..., list(layout.fluxes)].sum((1, 2))
    return problem.drawn(local).sum((1, 2, 3), dtype=torch.float64) / flux
