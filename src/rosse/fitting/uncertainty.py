"""What bootstrap, sampling and systematics share: galaxies of a fit at their optimum, and coordinates as columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.errors import InputError, OptionError
from rosse.fitting.batches import batches
from rosse.fitting.columns import parameter_columns
from rosse.fitting.levenberg import Limits
from rosse.fitting.problem import Problem
from rosse.fitting.setup import Setup
from rosse.tables import Column

if TYPE_CHECKING:
    from rosse.fitting.result import Fit

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Optimum:
    """Some galaxies of a fit, where it ended.

    Parameters
    ----------
    index : (B,) their rows in the fit.
    problem : their pixels and model.
    vector : (B, P) best coordinates.
    limits : bounds of the coordinates.
    """

    index: NDArray[np.int64]
    problem: Problem
    vector: Tensor
    limits: Limits

    def repeated(self, times: int) -> Optimum:
        """Each galaxy `times` times, one copy after the other."""
        rows = torch.arange(len(self.vector), device=self.vector.device).repeat_interleave(times)
        return Optimum(
            index=np.repeat(self.index, times),
            problem=self.problem.rows(rows),
            vector=self.vector[rows],
            limits=self.limits.rows(rows),
        )


def chosen(fit: Fit, rows: Any) -> NDArray[np.int64]:
    """Row numbers from what an astronomer gives: None for all, a number, a slice, a mask or a list."""
    if rows is None:
        return np.arange(len(fit))
    try:
        index = np.atleast_1d(np.arange(len(fit))[rows])
    except (IndexError, TypeError) as err:
        raise InputError(f"rows {rows!r} came; the fit has {len(fit)} galaxies, 0 to {len(fit) - 1}") from err
    return np.asarray(index, dtype=np.int64)


def optima(fit: Fit, index: NDArray[np.int64], *, copies: int = 1) -> Iterator[tuple[NDArray[np.int64], Optimum]]:
    """Galaxies of a fit that have a best point, a batch at a time.

    Parameters
    ----------
    fit : the result.
    index : rows of the fit.
    copies : how often each is going to be repeated; batches are the smaller for it.

    Yields
    ------
    Places in `index`, and the galaxies.
    """
    if fit.plan.whole is not None:
        raise OptionError(
            "this fit is one of several that share their parameters; bootstrap, sampling, bias and systematics are for "
            "fits of one set of cutouts"
        )
    good = np.nonzero(np.isfinite(fit.vector[index]).all(1))[0]
    some = fit.cutouts[index[good]]
    pixels = fit.options.batch_pixels or 2 ** (24 if some.flux.device.type == "cpu" else 28)
    for part in batches(some, max(1, pixels // copies)):
        at = good[part.index]
        cutouts = some[part.index]
        setup = Setup(cutouts=cutouts, index=index[at], plan=fit.plan, options=fit.options, arcsec=fit.arcsec)
        problem = setup.problem()
        vector = torch.from_numpy(fit.vector[index[at]]).to(cutouts.flux.device)
        yield at, Optimum(index=index[at], problem=problem, vector=vector, limits=setup.limits(vector))


def as_columns(fit: Fit, index: NDArray[np.int64], vectors: Floats) -> dict[str, tuple[Column, Floats]]:
    """Other coordinates of some galaxies in the units of the table.

    Parameters
    ----------
    fit : the result.
    index : (R,) rows of the fit.
    vectors : (R, D, P)

    Returns
    -------
    Column and values (R, D) of each parameter, by name. Angles are within half their period of the best fit's.
    """
    count, draws = vectors.shape[:2]
    flat = as_columns_of(_with_vectors(fit, np.repeat(index, draws), vectors.reshape(count * draws, -1)))
    best = as_columns_of(_with_vectors(fit, index, fit.vector[index]))
    out = {}
    for name, (column, values) in flat.items():
        table = values.reshape(count, draws)
        if column.unit == "deg":
            middle = best[name][1][:, None]
            table = middle + (table - middle + 90) % 180 - 90
        out[name] = (column, table)
    return out


def as_columns_of(fit: Fit) -> dict[str, tuple[Column, Floats]]:
    """Parameters of a fit, without their errors."""
    entries = {column.name: (column, np.asarray(values)) for column, values in parameter_columns(fit)}
    return {name: entry for name, entry in entries.items() if f"sigma_{name}" in entries}


def identity(cutouts: Cutouts, index: NDArray[np.int64]) -> list[tuple[Column, Any]]:
    """The column that says which galaxy a row is."""
    return [(Column(name="id", description="name of the galaxy", dtype="str"), cutouts.id[index])]


def _with_vectors(fit: Fit, index: NDArray[np.int64], vectors: Floats) -> Fit:
    """A fit of galaxies without pixels that ended at other coordinates; only good for its columns."""
    pixels = fit.cutouts
    empty = replace(pixels, flux=pixels.flux[..., :0, :0], ivar=pixels.ivar[..., :0, :0], psf=None)
    unknown = np.broadcast_to(np.nan, (len(index), fit.plan.size, fit.plan.size))
    return replace(fit, cutouts=empty[index], vector=vectors, offset=fit.offset[index], covariance=unknown)
