"""The verb: cutouts and a model in, best-fit parameters with errors out."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.errors import OptionError
from rosse.fitting.batches import Batch, batches, for_each
from rosse.fitting.counts import check_counts
from rosse.fitting.given import check_cutouts, check_options
from rosse.fitting.joint import (
    JointProblem,
    JointSetup,
    band_names,
    check_centres,
    check_sets,
    light_in_frame,
)
from rosse.fitting.joint_result import JointFit
from rosse.fitting.levenberg import Minimum
from rosse.fitting.options import FitOptions
from rosse.fitting.plan import Plan, own_fluxes, parts_of, wavelengths
from rosse.fitting.result import Fit
from rosse.fitting.search import search
from rosse.fitting.setup import Setup
from rosse.fitting.units import has_scale
from rosse.light.components import Component
from rosse.light.model import Model, as_model
from rosse.light.profiles import Sersic
from rosse.status import Status

if TYPE_CHECKING:
    from rosse.fitting.choose import Choice

log = logging.getLogger(__name__)

Models = Component | Model | Sequence[Component | Model] | Mapping[str, Component | Model]

# Smallest eigenvalue of the correlation-like normal matrix that single-precision pixels can tell from zero.
SINGULAR_BELOW = 1e-7
ALGEBRA = (RuntimeError, ValueError, IndexError)  # what NaN and matrices without an inverse raise


@overload
def fit(
    cutouts: Cutouts,
    model: Component | Model | None = None,
    *,
    neighbours: Any = None,
    options: FitOptions | None = None,
    advance: Callable[[int], None] | None = None,
) -> Fit: ...


@overload
def fit(
    cutouts: Mapping[str, Cutouts],
    model: Component | Model | None = None,
    *,
    neighbours: None = None,
    options: FitOptions | None = None,
    advance: Callable[[int], None] | None = None,
) -> JointFit: ...


@overload
def fit(
    cutouts: Cutouts,
    model: None = None,
    *,
    models: Models,
    neighbours: Any = None,
    options: FitOptions | None = None,
    advance: Callable[[int], None] | None = None,
) -> Choice: ...


def fit(
    cutouts: Cutouts | Mapping[str, Cutouts],
    model: Component | Model | None = None,
    *,
    models: Models | None = None,
    neighbours: Any = None,
    options: FitOptions | None = None,
    advance: Callable[[int], None] | None = None,
) -> Fit | JointFit | Choice:
    """Fit a model to each galaxy.

    Parameters
    ----------
    cutouts : B galaxies in C bands. Bands share centre and shape unless the model says otherwise; each has its flux.
        Where bands differ in pixel scale or frame: a dict of such sets by name, e.g. ``{"hst": ..., "hsc": ...}``, of
        the same galaxies (ids in the same order). Sets share lengths, angles and all else, but each has its centre.
    model : a component or a sum of them; a single Sersic profile if None.
    models : several instead of one, to be compared: the same as `choose_model`, and its result.
    neighbours : other sources in the frames, to be fitted along as Sersic profiles: a table, or a dict of columns, with
        `id` (that of the target) or `row`, and `x`, `y` in pixels of the image; `r_e`, `n`, `q`, `pa`, in the units
        of the fit's table, are where they start. Their pixels must carry weight.
    options : how the fit is run.
    advance : called with the number of galaxies done after each batch, e.g. by a progress bar.

    Returns
    -------
    Fit
        One row per galaxy. A galaxy that cannot be fitted has a `Status` that says why, and never changes another.
        Of several sets of cutouts a `JointFit`, which has a `Fit` of each.

    Notes
    -----
    Least squares weighted by `ivar`, by Levenberg-Marquardt with exact derivatives of the PSF-convolved model; errors
    from the inverse of the normal matrix at the optimum, PSF included. The first steps are taken on the middle of the
    frame where a galaxy is small, on wider pixels where it is large. Frames are trimmed to the pixels that carry weight
    and galaxies of similar size are fitted together, so padding costs nothing. A sum of two whose answer is suspect (a
    part that is hardly there, very flat or at a bound) is started twice more, as is a galaxy that does not converge.
    """
    check_cutouts(cutouts)
    options = check_options(options)
    if models is not None:
        return _compare(cutouts, model, models, neighbours=neighbours, options=options, advance=advance)
    whole = as_model(model if model is not None else Sersic())
    if not isinstance(cutouts, Cutouts):
        if neighbours is not None:
            raise OptionError("neighbours came with several sets of cutouts; they can be fitted along in one only")
        return _fit_jointly(dict(cutouts), whole, options, advance)
    return _fit_one_set(cutouts, whole, neighbours, options=options, advance=advance)


def _compare(cutouts: Any, model: object, models: Models, **more: Any) -> Choice:
    from rosse.fitting.choose import choose_model

    if model is not None:
        raise OptionError("both model and models came; give one of them")
    return choose_model(cutouts, models, **more)


def _fit_one_set(
    cutouts: Cutouts, model: Model, neighbours: Any, *, options: FitOptions, advance: Callable[[int], None] | None
) -> Fit:
    plan = plan_for(model, cutouts, options)
    if neighbours is not None:
        from rosse.fitting.neighbours import fit_with_neighbours

        return fit_with_neighbours(cutouts, plan, neighbours, options=options, advance=advance)
    run = _Run(sets=(cutouts,), plan=plan, options=options, rows=_Rows.empty(len(cutouts), plan))
    for_each(run.batch, batches(cutouts, options.batch_pixels), advance)
    return run.rows.result(cutouts, plan, options)


def _fit_jointly(
    sets: dict[str, Cutouts], model: Model, options: FitOptions, advance: Callable[[int], None] | None
) -> JointFit:
    check_sets(sets)
    cutouts, names = tuple(sets.values()), band_names(sets)
    bands = tuple(band for some in names for band in some)
    known = wavelengths(tuple(b for c in cutouts for b in c.bands), dict(options.wavelength))
    known = wavelengths(bands, dict(options.wavelength)) if known is None else known
    plan = Plan(model=model, bands=bands, wavelength=known, sets=tuple(len(some) for some in names))
    plan.check(len(cutouts[0]))
    check_centres(plan)
    for some in cutouts if options.likelihood == "poisson" else ():
        check_counts(some, model)
    run = _Run(sets=cutouts, plan=plan, options=options, rows=_Rows.empty(len(cutouts[0]), plan))
    for_each(run.batch, batches(cutouts[0], options.batch_pixels), advance)
    first = np.cumsum((0, *plan.sets))
    fits = {
        name: run.rows.result(some, part, options, slice(start, start + count))
        for name, some, part, start, count in zip(sets, cutouts, parts_of(plan), first[:-1], plan.sets, strict=True)
    }
    return JointFit(fits=fits)


def plan_for(model: Model, cutouts: Cutouts, options: FitOptions) -> Plan:
    """The plan of a fit, checked against its galaxies."""
    plan = Plan(model=model, bands=cutouts.bands, wavelength=wavelengths(cutouts.bands, dict(options.wavelength)))
    plan.check(len(cutouts))
    if options.likelihood == "poisson":
        check_counts(cutouts, model)
    return plan


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

    def result(self, cutouts: Cutouts, plan: Plan, options: FitOptions, bands: slice = slice(None)) -> Fit:
        values = vars(self) | {"offset": self.offset[:, bands]}
        return Fit(cutouts=cutouts, plan=plan, options=options, **values)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    """One call of `fit`: what its batches share."""

    sets: tuple[Cutouts, ...]
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
            except ALGEBRA as err:
                log.warning("a batch of %d galaxies failed (%s); fitting them one by one", len(part.index), err)
                for row in part.index:
                    self._fit_one(Batch(index=np.array([row]), frame=part.frame))

    def _fit_one(self, part: Batch) -> None:
        try:
            self._fit(part)
        except ALGEBRA as err:
            log.warning("galaxy %s failed: %s", self.sets[0].id[part.index[0]], err)
            self.rows.status[part.index] = Status.FAILED

    def _fit(self, part: Batch) -> None:
        every = len(part.index) == len(self.rows.status)  # of one large image no copy is made
        whole = [cutouts if every else cutouts[part.index] for cutouts in self.sets]
        count = np.sum([(cutouts.ivar > 0).sum((1, 2, 3)).cpu().numpy() for cutouts in whole], 0)
        self.rows.pixels[part.index] = count
        enough = count > self.plan.size
        setup = self._setup(whole, part.index)
        known = torch.isfinite(setup.offset()).flatten(1).all(1).cpu().numpy()
        if not known.all():
            log.warning("a fixed value is not known for %s", ", ".join(whole[0].id[~known]))
            self.rows.status[part.index[~known]] = Status.FAILED
        enough &= known
        if not enough.any():
            return
        index = part.index[enough]
        setup = setup if enough.all() else setup.rows(np.nonzero(enough)[0])
        problem = setup.problem()
        levels = problem.levels()
        minimum = search(setup, levels, self.options)
        covariance, singular = covariance_of(minimum)
        singular |= _lost(minimum, covariance, problem, setup.frames)
        self._write(minimum, covariance, singular, levels=levels, index=index)

    def _setup(self, whole: list[Cutouts], index: NDArray[np.int64]) -> JointSetup:
        """What is known of galaxies `index` before they are fitted; `whole` are their cutouts in each set."""
        arcsec = has_scale(self.sets[0])
        parts = [
            Setup(
                cutouts=cutouts,
                index=index,
                plan=plan,
                options=self.options,
                arcsec=arcsec,
                reference=whole[0] if k else None,
            )
            for k, (cutouts, plan) in enumerate(zip(whole, parts_of(self.plan), strict=True))
        ]
        return JointSetup(parts=tuple(parts), plan=self.plan)

    def _write(
        self,
        minimum: Minimum,
        covariance: Tensor,
        singular: Tensor,
        *,
        levels: list[JointProblem],
        index: NDArray[np.int64],
    ) -> None:
        """Share of light in the frame and status of finished fits, and all of it into their rows."""
        problem = levels[-1]
        in_frame = light_in_frame(levels[0], minimum.vector)
        status = torch.full_like(in_frame, Status.OK, dtype=torch.int8)
        status[in_frame < self.options.flux_in_frame] = Status.EXCEEDS_FRAME
        status[minimum.at_bound.any(1)] = Status.AT_BOUND
        status[~minimum.converged] = Status.NOT_CONVERGED
        status[singular] = Status.SINGULAR
        chi2 = minimum.chi2 - problem.prior_chi2(minimum.vector)
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


def covariance_of(minimum: Minimum) -> tuple[Tensor, Tensor]:
    """Covariance (B, P, P) with NaN for what did not move or cannot be felt, and which galaxies (B,) have none."""
    normal = minimum.normal
    diagonal = normal.diagonal(dim1=1, dim2=2)
    moved = ~minimum.at_bound & (diagonal > 0)  # without flux a component has no shape
    scale = torch.where(moved, diagonal.clamp_min(1e-300).rsqrt(), 0.0)
    scaled = normal * scale[:, :, None] * scale[:, None, :]  # a unit diagonal, so that one threshold fits all units
    eye = torch.eye(normal.shape[1], dtype=normal.dtype, device=normal.device)
    both = moved[:, :, None] & moved[:, None, :]
    scaled = torch.where(both, scaled, eye)
    lowest = torch.linalg.eigvalsh(scaled.nan_to_num(0.0))[:, 0]
    singular = ~torch.isfinite(normal).all(2).all(1) | (lowest < SINGULAR_BELOW)
    inverse = torch.linalg.inv(torch.where(singular[:, None, None], eye, scaled))
    unknown = ~both | singular[:, None, None]
    return torch.where(unknown, math.nan, inverse * scale[:, :, None] * scale[:, None, :]), singular


def _lost(minimum: Minimum, covariance: Tensor, problem: JointProblem, frames: list[tuple[int, int]]) -> Tensor:
    """Galaxies (B,) that are not there: no light in any band, or a centre that may be anywhere in the frame."""
    plan = problem.plan
    lost = torch.zeros(len(minimum.vector), dtype=torch.bool, device=minimum.vector.device)
    own = own_fluxes(plan)
    if own:
        lost |= (plan.local(minimum.vector, problem.offset)[..., own] <= 0).all(2).all(1)
    for p, coordinate in enumerate(plan.coordinates):
        slot = plan.layout.slots[coordinate.slot]
        if slot.unit == "pixel" and not plan.owners[coordinate.slot].own_centre:
            frame = frames[max(range(len(frames)), key=coordinate.weights.__getitem__)]
            lost |= covariance[:, p, p].sqrt() > 0.5 * frame[1 if slot.name == "x" else 0]
    return lost
