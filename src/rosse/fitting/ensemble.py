"""Many walkers for many posteriors at once: proposals, acceptance, and whether they have mixed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.fitting.levenberg import Limits

Floats = NDArray[np.float64]
# log density (M,) of points (M, P) of the walkers `rows` (M,)
LogDensity = Callable[[Tensor, Tensor], Tensor]
FREEDOM = 5.0  # of the Student t: wings heavier than most posteriors', so that no walker is stuck in one
NOISE = 1e-3  # of the differences, in sigma: no two walkers stay on one line
BIG_JUMP = 0.1  # how often a difference is taken whole, which leads from one mode to another


@dataclass(frozen=True, kw_only=True, eq=False)
class Proposal:
    """A Student t around each optimum.

    Parameters
    ----------
    centre : (B, P)
    root : (B, P, P) lower triangle whose square is the scale matrix.
    """

    centre: Tensor
    root: Tensor

    @classmethod
    def around(cls, centre: Tensor, covariance: Tensor, limits: Limits, walkers: int) -> Proposal:
        """From a covariance (B, P, P) with NaN where a coordinate is at a bound: it may be a step away from there."""
        known = torch.isfinite(covariance)
        diagonal = torch.diagonal(known, dim1=1, dim2=2)
        width = (limits.upper - limits.lower)[::walkers]
        away = torch.where(torch.isfinite(width), (0.05 * width).clamp_max(0.3), 1e-3 * centre.abs().clamp_min(1e-3))
        matrix = torch.where(known, covariance, 0.0) + torch.diag_embed(torch.where(diagonal, 0.0, away.square()))
        scale = matrix.diagonal(dim1=1, dim2=2).clamp_min(1e-300).sqrt()
        unit = matrix / (scale[:, :, None] * scale[:, None, :])
        unit = unit + 1e-6 * torch.eye(unit.shape[1], dtype=unit.dtype, device=unit.device)
        root, info = torch.linalg.cholesky_ex(unit)
        eye = torch.eye(unit.shape[1], dtype=unit.dtype, device=unit.device)
        return cls(centre=centre, root=torch.where((info == 0)[:, None, None], root, eye) * scale[:, :, None])

    def rows(self, rows: Tensor) -> Proposal:
        """Of some galaxies."""
        return Proposal(centre=self.centre[rows], root=self.root[rows])

    def draw(self, walkers: int, rng: np.random.Generator) -> Tensor:
        """Points (B, W, P)."""
        count, size = self.centre.shape
        normal = torch.from_numpy(rng.standard_normal((count, walkers, size))).to(self.centre)
        spread = torch.from_numpy(np.sqrt(FREEDOM / rng.chisquare(FREEDOM, (count, walkers, 1)))).to(self.centre)
        return self.centre[:, None] + torch.einsum("bpq,bwq->bwp", self.root, normal * spread)

    def log(self, points: Tensor) -> Tensor:
        """Logarithm of the density at points (B, W, P), without its constant."""
        off = torch.linalg.solve_triangular(self.root, (points - self.centre[:, None]).transpose(1, 2), upper=False)
        return -0.5 * (FREEDOM + points.shape[-1]) * torch.log1p(off.square().sum(1) / FREEDOM)


@dataclass(kw_only=True, eq=False)
class Ensemble:
    """W walkers of each of B galaxies; the only thing here that changes.

    Parameters
    ----------
    log_density : what they follow.
    proposal : where independent proposals come from.
    walker : (B, W) numbers of the walkers in `log_density`.
    at : (B, W, P) where they are.
    density : (B, W) log density there.
    turning : (P,) coordinates that repeat after pi.
    rng : random numbers.
    """

    log_density: LogDensity
    proposal: Proposal
    walker: Tensor
    at: Tensor
    density: Tensor
    turning: Tensor
    rng: np.random.Generator

    @classmethod
    def start(
        cls,
        log_density: LogDensity,
        proposal: Proposal,
        *,
        walkers: int,
        turning: Tensor,
        rng: np.random.Generator,
    ) -> Ensemble:
        """Walkers drawn from the proposal, those outside the bounds again and at last at the optimum."""
        count = len(proposal.centre)
        walker = torch.arange(count * walkers, device=proposal.centre.device).view(count, walkers)
        at = proposal.draw(walkers, rng)
        density = log_density(at.flatten(0, 1), walker.flatten()).view(count, walkers)
        for _ in range(4):
            out = ~torch.isfinite(density)
            if not out.any():
                break
            at = torch.where(out[..., None], proposal.draw(walkers, rng), at)
            density = log_density(at.flatten(0, 1), walker.flatten()).view(count, walkers)
        out = ~torch.isfinite(density)
        at = torch.where(out[..., None], proposal.centre[:, None], at)
        density = log_density(at.flatten(0, 1), walker.flatten()).view(count, walkers)
        return cls(
            log_density=log_density, proposal=proposal, walker=walker, at=at, density=density, turning=turning, rng=rng
        )

    def rows(self, rows: NDArray[np.int64]) -> Ensemble:
        """Some of the galaxies."""
        index = torch.from_numpy(rows).to(self.at.device)
        return Ensemble(
            log_density=self.log_density,
            proposal=self.proposal.rows(index),
            walker=self.walker[index],
            at=self.at[index],
            density=self.density[index],
            turning=self.turning,
            rng=self.rng,
        )

    def advance(self, steps: int) -> None:
        """Steps that are not looked at."""
        for step in range(steps):
            self._step(step)

    def record(self, steps: int, thin: int) -> tuple[Floats, Floats]:
        """Places (B, W, steps, P) at every `thin`-th step, and the fraction (B,) of proposals that were taken."""
        kept, taken = [], []
        for step in range(steps * thin):
            taken.append(self._step(step))
            if step % thin == thin - 1:
                kept.append(self.at.cpu().numpy())
        return np.stack(kept, 2), torch.stack(taken).mean(0).cpu().numpy()

    def _step(self, step: int) -> Tensor:
        """One step of all walkers, half after half; fraction (B,) that moved."""
        count, walkers = self.at.shape[:2]
        moved = torch.zeros(count, dtype=self.at.dtype, device=self.at.device)
        order = torch.from_numpy(self.rng.permutation(walkers)).to(self.at.device)
        for mine, others in (
            (order[: walkers // 2], order[walkers // 2 :]),
            (order[walkers // 2 :], order[: walkers // 2]),
        ):
            now = self.at[:, mine]
            if step % 2:
                trial = self._differences(now, self.at[:, others])
                correction = torch.zeros_like(self.density[:, mine])
            else:
                trial = self.proposal.draw(len(mine), self.rng)
                correction = self.proposal.log(now) - self.proposal.log(trial)
            density = self.log_density(trial.flatten(0, 1), self.walker[:, mine].flatten()).view(count, -1)
            chance = torch.from_numpy(np.log(self.rng.uniform(size=(count, len(mine))))).to(density)
            better = chance < density - self.density[:, mine] + correction
            self.at = self.at.index_copy(1, mine, torch.where(better[..., None], trial, now))
            self.density = self.density.index_copy(1, mine, torch.where(better, density, self.density[:, mine]))
            moved += better.sum(1) / walkers
        return moved

    def _differences(self, now: Tensor, others: Tensor) -> Tensor:
        """Each walker moved along the line between two of the others (ter Braak 2006, eq. 2)."""
        count, walkers, size = now.shape
        pairs = np.stack([self.rng.choice(others.shape[1], 2, replace=False) for _ in range(walkers)], 1)
        first, second = torch.from_numpy(pairs).to(now.device)
        gap = others[:, first] - others[:, second]
        half = math.pi
        gap = torch.where(self.turning, torch.remainder(gap + half / 2, half) - half / 2, gap)
        jump = np.where(self.rng.uniform(size=(count, walkers, 1)) < BIG_JUMP, 1.0, 2.38 / math.sqrt(2 * size))
        noise = torch.from_numpy(self.rng.normal(0, NOISE, (count, walkers, size))).to(now)
        width = self.proposal.root.diagonal(dim1=1, dim2=2)[:, None]
        return now + torch.from_numpy(jump).to(now) * gap + noise * width


def split_rhat(chains: Floats) -> Floats:
    """Split R-hat (B,) of chains (B, W, T), from the variance between and within their halves.

    Gelman et al. 2013, eqs. 11.1 to 11.4.
    """
    half = chains.shape[2] // 2
    parts = np.concatenate([chains[:, :, :half], chains[:, :, -half:]], 1)
    within = parts.var(2, ddof=1).mean(1)
    between = parts.mean(2).var(1, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.sqrt((half - 1) / half + between / within)
    return np.asarray(np.where(np.ptp(chains, axis=(1, 2)) == 0, 1.0, ratio))  # what is fixed has mixed


def effective_draws(chains: Floats) -> Floats:
    """Number (B,) of independent draws that chains (B, W, T) are worth; NaN for what is fixed.

    Autocorrelations averaged over walkers, summed until a pair of them is negative (Geyer 1992; Gelman et al. 2013,
    eqs. 11.7 and 11.8).
    """
    count, walkers, steps = chains.shape
    centred = chains - chains.mean((1, 2), keepdims=True)
    variance = np.square(centred).mean((1, 2))
    power = np.abs(np.fft.rfft(centred, 2 * steps, axis=2)) ** 2
    sums = np.fft.irfft(power, axis=2)[:, :, :steps].mean(1) / np.arange(steps, 0, -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = sums / variance[:, None]
    pairs = rho[:, : steps // 2 * 2].reshape(count, -1, 2).sum(2)
    ongoing = np.logical_and.accumulate(pairs > 0, axis=1)
    time = np.maximum(2 * np.where(ongoing, pairs, 0.0).sum(1) - 1, 1 / math.log10(walkers * steps))
    return np.asarray(np.where(np.ptp(chains, axis=(1, 2)) > 0, walkers * steps / time, np.nan))
