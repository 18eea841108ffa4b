"""Errors from the pixels themselves: fits of the same galaxy with its pixels drawn again, with replacement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.errors import OptionError
from rosse.fitting.levenberg import minimise
from rosse.fitting.uncertainty import Floats, Optimum, as_columns, chosen, identity, optima
from rosse.tables import Column, table_of

if TYPE_CHECKING:
    from astropy.table import Table

    from rosse.fitting.result import Fit

TOLERANCE = 0.03  # of chi^2; the last step is taken whole, so that little is left of it
MAX_ITERATIONS = 15


@dataclass(frozen=True, kw_only=True, eq=False)
class Bootstrap:
    """Fits to resampled pixels of R galaxies.

    Parameters
    ----------
    fit : that was repeated.
    index : (R,) rows of it.
    vectors : (R, D, P) coordinates of each of D draws; NaN where a draw did not converge.
    """

    fit: Fit
    index: NDArray[np.int64]
    vectors: Floats

    def __len__(self) -> int:
        return len(self.index)

    def values(self) -> dict[str, Floats]:
        """Parameters of every draw, (R, D) each, in the units of the fit's table."""
        return {name: values for name, (_, values) in as_columns(self.fit, self.index, self.vectors).items()}

    def percentiles(self, *percent: float) -> dict[str, Floats]:
        """Percentiles (R, len(percent)) of each parameter over the draws."""
        return {name: _percentiles(values, percent) for name, values in self.values().items()}

    @property
    def sigma(self) -> dict[str, Floats]:
        """Half the width of the middle 68 % of the draws, (R,) for each parameter; a stray draw does not matter."""
        return {name: _half_width(values) for name, values in self.values().items()}

    @property
    def converged(self) -> Floats:
        """Fraction (R,) of the draws that converged."""
        return np.asarray(np.isfinite(self.vectors).all(2).mean(1))

    def table(self) -> Table:
        """One row per galaxy: `sigma_boot_` and the name of each parameter, in the units of the fit's table."""
        entries = identity(self.fit.cutouts, self.index)
        for name, (column, values) in as_columns(self.fit, self.index, self.vectors).items():
            about = f"one-sigma error of {name} from resampled pixels"
            entries.append(
                (Column(name=f"sigma_boot_{name}", unit=column.unit, description=about), _half_width(values))
            )
        about = "fraction of the resampled fits that converged"
        entries.append((Column(name="boot_converged", description=about), self.converged))
        return table_of(entries)


def bootstrap(fit: Fit, rows: Any = None, *, draws: int = 100, seed: int = 0) -> Bootstrap:
    """Repeat the fit of some galaxies on pixels drawn with replacement.

    Parameters
    ----------
    fit : the result.
    rows : which galaxies: None for all, a number, a slice, a mask or a list.
    draws : D, fits per galaxy; errors are known to ``1 / sqrt(2 D)``, 7 % for 100.
    seed : of the random numbers; a galaxy's do not depend on which others are with it.

    Notes
    -----
    Each pixel counts as often as a Poisson variate of mean 1 says, the limit of drawing with replacement for many
    pixels (Efron & Tibshirani 1993, sect. 9.5, resampling of cases). The noise is taken from how the pixels scatter
    about the model and not from `ivar`, so that errors also hold where `ivar` is wrong by a factor. Pixels are taken
    as independent: for correlated noise see `rosse.fitting.with_correlated_noise`.
    """
    if draws < 2:
        raise OptionError(f"draws is {draws}; at least 2 are wanted")
    index = chosen(fit, rows)
    vectors = np.full((len(index), draws, fit.plan.size), np.nan)
    with torch.no_grad():
        for at, part in optima(fit, index, copies=draws):
            vectors[at] = _refits(part, draws, seed).cpu().numpy()
    return Bootstrap(fit=fit, index=index, vectors=vectors)


def _refits(part: Optimum, draws: int, seed: int) -> Tensor:
    """Coordinates (B, D, P) of the best fits to resampled pixels."""
    many = part.repeated(draws)
    view = many.problem.view
    root = view.root * _counts(part, draws, seed).sqrt()
    problem = replace(many.problem, view=replace(view, root=root))
    best = minimise(problem.evaluate, many.vector, many.limits, max_iterations=MAX_ITERATIONS, tolerance=TOLERANCE)
    vector = torch.where(best.converged[:, None], best.vector, torch.nan)
    return vector.view(len(part.vector), draws, -1)


def _counts(part: Optimum, draws: int, seed: int) -> Tensor:
    """How often each pixel was drawn, (B * D, C, H, W)."""
    shape = (draws, *part.problem.view.flux.shape[1:])
    counts = np.stack([np.random.default_rng([seed, row]).poisson(1.0, shape) for row in part.index])
    root = part.problem.view.root
    return torch.from_numpy(counts.astype(np.float32)).to(root.device).flatten(0, 1)


def _percentiles(values: Floats, percent: tuple[float, ...]) -> Floats:
    out = np.full((len(values), len(percent)), np.nan)
    some = np.isfinite(values).sum(1) > 1
    if some.any():
        out[some] = np.nanpercentile(values[some], percent, axis=1).T
    return out


def _half_width(values: Floats) -> Floats:
    low, high = _percentiles(values, (15.865, 84.135)).T
    return np.asarray(0.5 * (high - low))
