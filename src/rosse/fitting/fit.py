"""The verb: cutouts and a model in, best-fit parameters with errors out."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.cutouts import Cutouts, pad_cutouts
from rosse.errors import OptionError
from rosse.fitting.levenberg import Limits, Minimum, minimise
from rosse.fitting.problem import Problem
from rosse.fitting.result import Fit
from rosse.fitting.start import psf_width, starting_ellipses
from rosse.light.components import Component, Model, PointSource, Sersic, as_model
from rosse.light.psf import fourier_grid
from rosse.light.render import Layout, draw
from rosse.status import Status

log = logging.getLogger(__name__)

# Smallest eigenvalue of the correlation-like normal matrix that single-precision pixels can tell from zero.
SINGULAR_BELOW = 1e-7


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a fit is run.

    Parameters
    ----------
    max_iterations : steps per galaxy at most.
    tolerance : a galaxy has converged when a further step would change chi^2 by less than this; 1 is one sigma.
    flux_in_frame : a galaxy with less than this fraction of its model's light in its frame is flagged
        `Status.EXCEEDS_FRAME`.
    batch_pixels : pixels (galaxies x bands x height x width) per batch; None chooses what stays in the cache of a CPU
        or fills a GPU.
    """

    max_iterations: int = 80
    tolerance: float = 1e-3
    flux_in_frame: float = 0.75
    batch_pixels: int | None = None

    def __post_init__(self) -> None:
        if self.max_iterations < 1:
            raise OptionError(f"max_iterations is {self.max_iterations}; at least 1 is wanted")
        if not self.tolerance > 0:
            raise OptionError(f"tolerance is {self.tolerance}; a positive number is wanted")
        if not 0 <= self.flux_in_frame < 1:
            raise OptionError(f"flux_in_frame is {self.flux_in_frame}; a fraction in 0..1 is wanted")
        if self.batch_pixels is not None and self.batch_pixels < 1:
            raise OptionError(f"batch_pixels is {self.batch_pixels}; a positive number is wanted")


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
    cutouts : B galaxies in C bands. Bands share centre and shape; each has its own flux.
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
    from the inverse of the normal matrix at the optimum, PSF included. Frames are trimmed to the pixels that carry
    weight and galaxies of similar size are fitted together, so padding costs nothing.
    """
    options = options or FitOptions()
    layout = Layout(model=as_model(model if model is not None else Sersic()), bands=len(cutouts.bands))
    rows = _Rows(len(cutouts), layout.size)
    with torch.no_grad():
        for index, frame in _batches(cutouts, options):
            batch = pad_cutouts(cutouts[index], *frame)
            try:
                _fit_batch(batch, layout, options, rows, index)
            except torch.cuda.OutOfMemoryError:
                raise
            except (RuntimeError, ValueError) as err:  # a failure of the algebra: find whose it is
                log.warning("a batch of %d galaxies failed (%s); fitting them one by one", len(index), err)
                _fit_singly(batch, layout, options, rows, index)
            height, width = cutouts.frame
            rows.vector[index, :2] += width // 2 - frame[1] // 2, height // 2 - frame[0] // 2
            if advance is not None:
                advance(len(index))
    return rows.result(cutouts, layout)


class _Rows:
    """Results as they come in, in the order of the cutouts; what was not fitted is NaN."""

    def __init__(self, count: int, size: int) -> None:
        self.vector = np.full((count, size), np.nan)
        self.covariance = np.full((count, size, size), np.nan)
        self.chi2 = np.full(count, np.nan)
        self.pixels = np.zeros(count, dtype=np.int64)
        self.in_frame = np.full(count, np.nan)
        self.iterations = np.zeros(count, dtype=np.int32)
        self.at_bound = np.zeros((count, size), dtype=bool)
        self.status = np.full(count, Status.NO_DATA, dtype=np.int8)

    def result(self, cutouts: Cutouts, layout: Layout) -> Fit:
        return Fit(
            cutouts=cutouts,
            layout=layout,
            vector=self.vector,
            covariance=self.covariance,
            chi2=self.chi2,
            pixels=self.pixels,
            in_frame=self.in_frame,
            iterations=self.iterations,
            at_bound=self.at_bound,
            status=self.status,
        )


def _batches(cutouts: Cutouts, options: FitOptions) -> Iterator[tuple[NDArray[np.int64], tuple[int, int]]]:
    """Galaxies of one frame size at a time: their rows, and the frame that holds all their weight."""
    height, width = cutouts.frame
    has_weight = (cutouts.ivar > 0).any(1)
    need_y = _reach(has_weight.any(2), height)
    need_x = _reach(has_weight.any(1), width)
    sizes = np.stack([need_y, need_x], 1)
    pixels = options.batch_pixels or (2**18 if cutouts.flux.device.type == "cpu" else 2**26)
    for size in np.unique(sizes, axis=0):
        index = np.nonzero((sizes == size).all(1))[0]
        frame = (int(size[0]), int(size[1]))
        step = max(1, pixels // (frame[0] * frame[1] * len(cutouts.bands)))
        for first in range(0, len(index), step):
            yield index[first : first + step], frame


def _reach(line: Tensor, length: int) -> NDArray[np.int64]:
    """Length (B,) of the shortest centred line that holds all True of (B, length), rounded up to few sizes."""
    centre = length // 2
    distance = (torch.arange(length, device=line.device) - centre).abs()
    reach = torch.where(line, distance, 0).amax(1).cpu().numpy()
    rounded = np.ceil((2 * reach + 1) / 16) * 16
    return np.asarray(np.minimum(rounded, length), dtype=np.int64)


def _fit_singly(batch: Cutouts, layout: Layout, options: FitOptions, rows: _Rows, index: NDArray[np.int64]) -> None:
    for i, row in enumerate(index):
        try:
            _fit_batch(batch[i], layout, options, rows, index[i : i + 1])
        except (RuntimeError, ValueError) as err:
            log.warning("galaxy %s failed: %s", batch.id[i], err)
            rows.status[row] = Status.FAILED


def _fit_batch(batch: Cutouts, layout: Layout, options: FitOptions, rows: _Rows, index: NDArray[np.int64]) -> None:
    """Fit galaxies that share a frame, and write their rows."""
    count = (batch.ivar > 0).sum((1, 2, 3)).cpu().numpy()
    rows.pixels[index] = count
    enough = count > layout.size
    if not enough.any():
        return
    batch, index = batch[enough], index[enough]
    grid = fourier_grid(
        batch.frame, batch.psf, bands=len(batch.bands), psf_has_pixel=batch.psf_has_pixel, device=batch.flux.device
    )
    problem = Problem(flux=batch.flux, root=batch.ivar.sqrt(), grid=grid, layout=layout)
    start = _start(batch, problem)
    limits = _limits(batch, layout, start)
    minimum = minimise(
        problem.evaluate, start, limits, max_iterations=options.max_iterations, tolerance=options.tolerance
    )
    covariance, singular = _covariance(minimum, limits.free)
    singular |= _lost(minimum, covariance, batch.frame, layout)
    _write(minimum, covariance, singular, problem=problem, options=options, rows=rows, index=index)


def _start(batch: Cutouts, problem: Problem) -> Tensor:
    """Starting vector (B, P): moments for the shapes, then the fluxes that fit best with these shapes."""
    layout = problem.layout
    sigma = None if batch.psf is None else psf_width(batch.psf).to(torch.float64).expand(len(batch))
    x, y, radius, q, theta = starting_ellipses(batch.flux, batch.ivar, psf_sigma=sigma)
    vector = torch.ones(len(batch), layout.size, dtype=torch.float64, device=batch.flux.device)
    vector[:, 0], vector[:, 1] = x, y
    extended = [c for c in layout.model.components if not isinstance(c, PointSource)]
    for component, place in zip(layout.model.components, layout.shapes, strict=True):
        rank = extended.index(component) if component in extended else 0
        share = 1.0 if len(extended) < 2 else (0.5, 1.3)[min(rank, 1)]  # the first is the inner one
        guess = {"r_e": torch.log(radius * share), "q": torch.log(q), "pa": theta}
        guess["n"] = torch.full_like(radius, math.log(2.0 if rank == 0 else 1.0))
        for column, parameter in zip(range(place.start, place.stop), component.parameters, strict=True):
            value = component.fixed.get(parameter.name)
            fixed = None if value is None else math.log(value) if parameter.log else value
            vector[:, column] = guess[parameter.name] if fixed is None else fixed
    return _with_best_fluxes(vector, problem)


def _with_best_fluxes(vector: Tensor, problem: Problem) -> Tensor:
    """The same shapes with the fluxes of least chi^2; at least one sigma each, so that shapes can be felt."""
    first = problem.layout.first_flux
    rows = torch.arange(len(vector), device=vector.device)
    _, gradient, normal = problem.evaluate(vector, rows)
    linear = normal[:, first:, first:]
    ridge = 1e-9 * linear.diagonal(dim1=1, dim2=2).amax(1).clamp_min(1e-300)
    linear = linear + ridge[:, None, None] * torch.eye(linear.shape[1], dtype=linear.dtype, device=linear.device)
    best = vector[:, first:] + torch.linalg.solve_ex(linear, gradient[:, first:]).result
    noise = linear.diagonal(dim1=1, dim2=2).clamp_min(1e-300).rsqrt()
    vector[:, first:] = torch.maximum(best.nan_to_num(0.0), noise)
    return vector


def _limits(batch: Cutouts, layout: Layout, start: Tensor) -> Limits:
    """Bounds of every parameter, which are free, and how far one step may go."""
    height, width = batch.frame
    lower = torch.full_like(start, -math.inf)
    upper = torch.full_like(start, math.inf)
    free = torch.ones(layout.size, dtype=torch.bool, device=start.device)
    step = torch.full((layout.size,), math.inf, dtype=start.dtype, device=start.device)
    for column, length in ((0, width), (1, height)):
        reach = max(4.0, 0.25 * length)
        lower[:, column], upper[:, column] = start[:, column] - reach, start[:, column] + reach
        step[column] = max(1.0, 0.05 * length)
    steps = {"r_e": 0.7, "n": 0.5, "q": 0.5, "pa": 0.5}
    for component, place in zip(layout.model.components, layout.shapes, strict=True):
        for column, parameter in zip(range(place.start, place.stop), component.parameters, strict=True):
            low, high = component.bounds.get(parameter.name, (parameter.lower, parameter.upper))
            if parameter.name == "r_e" and parameter.name not in component.bounds:
                high = 2.0 * max(height, width)
            lower[:, column] = math.log(low) if parameter.log else low
            upper[:, column] = math.log(high) if parameter.log else high
            free[column] = parameter.name not in component.fixed
            step[column] = steps[parameter.name]
    if len(layout.model.components) > 1:  # a part of a galaxy does not take light away
        lower[:, layout.first_flux :] = 0.0
    return Limits(lower=lower, upper=upper, free=free, step=step)


def _write(
    minimum: Minimum,
    covariance: Tensor,
    singular: Tensor,
    *,
    problem: Problem,
    options: FitOptions,
    rows: _Rows,
    index: NDArray[np.int64],
) -> None:
    """Share of light in the frame and status of finished fits, and all of it into their rows."""
    images = draw(problem.layout, minimum.vector, problem.grid)
    flux = minimum.vector[:, problem.layout.first_flux :].sum(1)
    in_frame = images.sum((1, 2, 3), dtype=torch.float64) / flux
    status = torch.full_like(in_frame, Status.OK, dtype=torch.int8)
    status[in_frame < options.flux_in_frame] = Status.EXCEEDS_FRAME
    status[minimum.at_bound.any(1)] = Status.AT_BOUND
    status[~minimum.converged] = Status.NOT_CONVERGED
    status[singular] = Status.SINGULAR
    for name, value in (
        ("vector", torch.where(singular[:, None], math.nan, minimum.vector)),
        ("covariance", torch.where(singular[:, None, None], math.nan, covariance)),
        ("chi2", minimum.chi2),
        ("in_frame", in_frame),
        ("iterations", minimum.evaluations),
        ("at_bound", minimum.at_bound),
        ("status", status),
    ):
        getattr(rows, name)[index] = value.cpu().numpy()


def _lost(minimum: Minimum, covariance: Tensor, frame: tuple[int, int], layout: Layout) -> Tensor:
    """Galaxies (B,) that are not there: no light in any band, or a centre that may be anywhere in the frame."""
    dark = (minimum.vector[:, layout.first_flux :] <= 0).all(1)
    sigma = covariance.diagonal(dim1=1, dim2=2)[:, :2].sqrt()
    return dark | (sigma[:, 0] > 0.5 * frame[1]) | (sigma[:, 1] > 0.5 * frame[0])


def _covariance(minimum: Minimum, free: Tensor) -> tuple[Tensor, Tensor]:
    """Covariance (B, P, P) with NaN for what did not move, and which galaxies (B,) have none."""
    normal = minimum.normal
    moved = free & ~minimum.at_bound
    scale = torch.where(moved, normal.diagonal(dim1=1, dim2=2).clamp_min(1e-300).rsqrt(), 0.0)
    scaled = normal * scale[:, :, None] * scale[:, None, :]  # a unit diagonal, so that one threshold fits all units
    eye = torch.eye(normal.shape[1], dtype=normal.dtype, device=normal.device)
    scaled = torch.where((moved[:, :, None] & moved[:, None, :]), scaled, eye)
    lowest = torch.linalg.eigvalsh(scaled.nan_to_num(0.0))[:, 0]
    singular = ~torch.isfinite(scaled).all(2).all(1) | (lowest < SINGULAR_BELOW)
    inverse = torch.linalg.inv(torch.where(singular[:, None, None], eye, scaled))
    unknown = ~(moved[:, :, None] & moved[:, None, :]) | singular[:, None, None]
    return torch.where(unknown, math.nan, inverse * scale[:, :, None] * scale[:, None, :]), singular
