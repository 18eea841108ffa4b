"""Random numbers of some rows of a population, by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rosse.sky import chance

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What chance gives to each of B rows; each name is a stream of its own.

    Parameters
    ----------
    seed : of the population.
    rows : (B,) row numbers.
    turn : 0, and another number for other numbers of the same rows.
    """

    seed: int
    rows: Integers
    turn: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def again(self, some: Integers, turn: int) -> Draws:
        """What chance gives to some of the rows another time."""
        return Draws(seed=self.seed, rows=self.rows[some], turn=turn)

    def uniform(self, what: str, low: float = 0.0, high: float = 1.0) -> Array:
        """(B,) uniform between two numbers."""
        return np.asarray(low + (high - low) * self._unit(what))

    def normal(self, what: str, mean: Array | float = 0.0, sigma: float = 1.0) -> Array:
        """(B,) normal, without what lies beyond 3 sigma: a population has no monsters."""
        inside = 0.0013498980316300957 + self._unit(what) * 0.9973002039367398
        return np.asarray(mean + sigma * torch.special.ndtri(torch.from_numpy(inside)).numpy())

    def scatter(self, what: str, dex: float) -> Array:
        """(B,) factor that scatters by so many dex."""
        return np.asarray(10 ** self.normal(what, sigma=dex))

    def happens(self, what: str, chance_of: Array | float) -> Flags:
        """(B,) whether something of this probability is so."""
        return np.asarray(self._unit(what) < chance_of)

    def choice(self, what: str, shares: Array | tuple[float, ...]) -> Integers:
        """(B,) position in `shares`, (N,) or (B, N), which need not add up to one."""
        edges = np.cumsum(np.atleast_2d(np.asarray(shares, dtype=float)), axis=1)
        return np.asarray((self._unit(what)[:, None] * edges[:, -1:] >= edges[:, :-1]).sum(axis=1))

    def _unit(self, what: str) -> Array:
        stream = f"{what}, turn {self.turn}" if self.turn else what
        return np.asarray(chance.uniform(self.seed, torch.from_numpy(self.rows), stream).numpy())
