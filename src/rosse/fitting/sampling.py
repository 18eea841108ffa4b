"""Posterior samples for the few galaxies whose errors are not an ellipse, all their walkers at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.errors import OptionError
from rosse.fitting.ensemble import Ensemble, Proposal, effective_draws, split_rhat
from rosse.fitting.uncertainty import Floats, Optimum, as_columns, chosen, identity, optima
from rosse.status import Status, labels
from rosse.tables import Column, table_of

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure

    from rosse.fitting.result import Fit

WALKERS = 40  # at least; and four per coordinate
MIXED = 1.1  # split R-hat below which the walkers have forgotten where they began
ROUNDS = 4  # each twice as long as the one before, for those that have not


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Draws from the posterior of R galaxies.

    Parameters
    ----------
    fit : where they started.
    index : (R,) rows of it.
    chains : (R, W, T, P) coordinates of W walkers at T kept steps; NaN where there was no fit to start from.
    acceptance : (R,) fraction of the proposals that were taken.
    """

    fit: Fit
    index: NDArray[np.int64]
    chains: Floats
    acceptance: Floats

    def __len__(self) -> int:
        return len(self.index)

    def values(self) -> dict[str, Floats]:
        """Parameters (R, W * T) in the units of the fit's table, one walker after the other."""
        return {name: values for name, (_, values) in self._columns().items()}

    def rhat(self) -> dict[str, Floats]:
        """Split R-hat (R,) of each parameter: 1 where all walkers tell the same."""
        return {name: split_rhat(self._by_walker(values)) for name, values in self.values().items()}

    def draws(self) -> dict[str, Floats]:
        """Effective number (R,) of independent draws of each parameter."""
        return {name: effective_draws(self._by_walker(values)) for name, values in self.values().items()}

    @property
    def status(self) -> NDArray[np.int8]:
        """(R,) codes of `Status`: `NOT_CONVERGED` where a parameter's split R-hat is above 1.1."""
        worst = np.fmax.reduce(list(self.rhat().values()))
        code = np.where(worst <= MIXED, Status.OK, Status.NOT_CONVERGED)
        return np.where(np.isfinite(self.chains).all((1, 2, 3)), code, self.fit.status[self.index]).astype(np.int8)

    def table(self) -> Table:
        """One row per galaxy: median and 16th and 84th percentile (`_p16`, `_p84`) of each parameter."""
        entries = identity(self.fit.cutouts, self.index)
        for name, (column, values) in self._columns().items():
            low, middle, high = np.percentile(values, (15.865, 50, 84.135), axis=1)
            for suffix, what, each in (
                ("", "median", middle), ("_p16", "16th percentile", low), ("_p84", "84th percentile", high)
            ):  # fmt: skip
                about = f"{what} of the posterior: {column.description}"
                entries.append((Column(name=name + suffix, unit=column.unit, description=about), each))
        worst, least = np.fmax.reduce(list(self.rhat().values())), np.fmin.reduce(list(self.draws().values()))
        entries.append((Column(name="rhat", description="largest split R-hat of all parameters"), worst))
        about = "effective number of independent draws, of the parameter that has the fewest"
        entries.append((Column(name="draws", description=about), least))
        about = "outcome of the sampling; not_converged: the walkers have not mixed"
        entries.append((Column(name="status", description=about, dtype="str"), labels(self.status)))
        return table_of(entries)

    def plot(self, row: int = 0, *, names: tuple[str, ...] = ()) -> Figure:
        """Corner plot of one galaxy: every parameter, and every pair.

        Parameters
        ----------
        row : which of the sampled galaxies.
        names : columns to show; the free ones if none are named, fluxes as magnitudes where there is a zero point.
        """
        from rosse.fitting.corner import plot_corner

        return plot_corner(self, row, names=names)

    def _columns(self) -> dict[str, tuple[Column, Floats]]:
        return as_columns(self.fit, self.index, self.chains.reshape(len(self), -1, self.chains.shape[-1]))

    def _by_walker(self, values: Floats) -> Floats:
        return values.reshape(len(self), *self.chains.shape[1:3])


def sample(fit: Fit, rows: Any = None, *, draws: int = 4000, seed: int = 0) -> Samples:
    """Draw from the posterior of some galaxies, starting from their optimum.

    Parameters
    ----------
    fit : the result.
    rows : which galaxies: None for all, a number, a slice, a mask or a list.
    draws : how many to keep for each galaxy, rounded up to whole steps of all walkers.
    seed : of the random numbers.

    Notes
    -----
    The prior is flat in the parameters as the table has them (flux, `r_e`, `n`, `q`, `pa`, `x`, `y`), not in the
    logarithms that the fit moves, within the fit's bounds; a polynomial in wavelength is flat in the value of its
    constant term and in its other coefficients. A component's `prior` multiplies it. Walkers take turns between
    independent proposals from a Student t shaped like the fit's covariance, nearly always accepted where that is
    right, and differences between other walkers (ter Braak 2006, doi:10.1007/s11222-006-8769-1), which find the shape
    where it is not. The first half of each run is thrown away; galaxies whose walkers have not mixed go on for up to
    three times, each twice as long. An R-hat above 1.1 at the end is `Status.NOT_CONVERGED`.
    """
    if draws < 1:
        raise OptionError(f"draws is {draws}; at least 1 is wanted")
    index = chosen(fit, rows)
    walkers = max(WALKERS, 4 * fit.plan.size)
    steps = max(50, math.ceil(draws / walkers))
    chains = np.full((len(index), walkers, steps, fit.plan.size), np.nan)
    acceptance = np.full(len(index), np.nan)
    with torch.no_grad():
        for at, part in optima(fit, index, copies=walkers):
            covariance = torch.from_numpy(fit.covariance[part.index]).to(part.vector.device)
            ensemble = _ensemble(part, covariance, walkers, np.random.default_rng([seed, int(part.index[0])]))
            _run(ensemble, fit, at, steps=steps, chains=chains, acceptance=acceptance, index=index)
    return Samples(fit=fit, index=index, chains=chains, acceptance=acceptance)


def _run(
    ensemble: Ensemble,
    fit: Fit,
    at: NDArray[np.int64],
    *,
    steps: int,
    chains: Floats,
    acceptance: Floats,
    index: NDArray[np.int64],
) -> None:
    """Rounds of steps until the walkers of every galaxy have mixed; what comes last is kept."""
    thin = 1
    moving = np.arange(len(at))
    for turn in range(ROUNDS):
        ensemble.advance(steps * thin)
        kept, taken = ensemble.record(steps, thin)
        rows = at[moving]
        chains[rows], acceptance[rows] = kept, taken
        some = Samples(fit=fit, index=index[rows], chains=kept, acceptance=taken)
        mixed = some.status == Status.OK
        if mixed.all() or turn == ROUNDS - 1:
            return
        ensemble = ensemble.rows(np.nonzero(~mixed)[0])
        moving, thin = moving[~mixed], 2 * thin


def _ensemble(part: Optimum, covariance: Tensor, walkers: int, rng: np.random.Generator) -> Ensemble:
    """Walkers of each galaxy, with the density that they are to follow."""
    many = part.repeated(walkers)
    device = part.vector.device
    angles = torch.tensor([c.slot for c in part.problem.plan.coordinates], device=device)
    units = [slot.unit for slot in part.problem.plan.layout.slots]
    turning = torch.tensor([units[int(s)] == "angle" for s in angles], device=device)

    def log_density(vector: Tensor, rows: Tensor) -> Tensor:
        """(B * W,) for coordinates of some galaxies' walkers."""
        low, high = many.limits.lower[rows], many.limits.upper[rows]
        inside = ((vector >= low) & (vector <= high)).all(1)
        problem = many.problem if len(rows) == len(many.vector) else many.problem.rows(rows)
        safe = torch.where(inside[:, None], vector, many.vector[rows])
        density = -0.5 * problem.cost(safe) + log_flat(part.problem, safe, many.problem.offset[rows])
        return torch.where(inside & torch.isfinite(density), density, -torch.inf)

    proposal = Proposal.around(part.vector, covariance, many.limits, walkers)
    return Ensemble.start(log_density, proposal, walkers=walkers, turning=turning, rng=rng)


def log_flat(problem: Any, vector: Tensor, offset: Tensor) -> Tensor:
    """Logarithm (B,) of a density in the fit's coordinates that is flat in the parameters of the table.

    A logarithm's is its value. Where the axes of an ellipse have traded places (``ln q > 0``), the table's size is
    that of the longer one and its axis ratio the inverse; the change of coordinates between the two has Jacobian 1.
    """
    plan = problem.plan
    local = plan.local(vector, offset)
    total = torch.zeros(len(vector), dtype=vector.dtype, device=vector.device)
    for coordinate in plan.coordinates:
        slot = plan.layout.slots[coordinate.slot]
        if not slot.log:
            continue
        value = local[:, coordinate.own, coordinate.slot].mean(1)
        if slot.name == "q":
            value = -value.abs()
        elif slot.unit == "length":
            value = value + _longer(plan, coordinate.slot, local[:, coordinate.own]).mean(1)
        total = total + value
    return total


def _longer(plan: Any, place: int, local: Tensor) -> Tensor:
    """What a length (B, C) grows by, in the logarithm, where ``ln q > 0``."""
    owner = plan.owners[place]
    for i in range(plan.layout.size):
        if plan.owners[i] is owner and plan.layout.slots[i].name == "q":
            return local[..., i].clamp_min(0.0)
    return torch.zeros_like(local[..., place])
