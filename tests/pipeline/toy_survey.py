"""A survey small enough for a test: each partition is a picture of Gaussian blobs, measured by their moments."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rosse.pipeline.run import Job
from rosse.pipeline.task import Step


@dataclass(frozen=True, kw_only=True)
class Tile:
    number: int
    weight: float = 1.0

    @property
    def key(self) -> str:
        return f"tile-{self.number:03d}"


@dataclass(frozen=True, kw_only=True)
class Moments:
    """One row per blob; `pause` seconds for each tile make room to kill in."""

    pause: float = 0.0
    blobs: int = 5

    def __call__(self, tile: Tile) -> pa.Table:
        time.sleep(self.pause)
        rng = np.random.default_rng(tile.number)
        y, x = np.mgrid[:32, :32]
        centre = rng.uniform(12, 20, (self.blobs, 2))
        images = np.exp(-0.5 * ((x - centre[:, :1, None]) ** 2 + (y - centre[:, 1:, None]) ** 2) / 4)
        images += rng.normal(0, 0.01, images.shape)
        total = images.sum((1, 2))
        return pa.table(
            {
                "id": [f"{tile.key}_{i}" for i in range(self.blobs)],
                "ra": 10 + tile.number + (images * x).sum((1, 2)) / total / 3600,
                "dec": (images * y).sum((1, 2)) / total / 3600,
                "flux": total,
                "status": ["ok"] * self.blobs,
            }
        )


@dataclass(frozen=True, kw_only=True)
class KillOnce:
    """`Moments`, but the worker that takes a tile of `victims` is killed, once each."""

    folder: Path
    victims: tuple[int, ...]

    def __call__(self, tile: Tile) -> pa.Table:
        mark = self.folder / tile.key
        if tile.number in self.victims and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Moments(pause=0.02)(tile)


@dataclass(frozen=True, kw_only=True)
class OnNodes:
    """`KillOnce` that leaves a file named after each Ray node it ran on."""

    folder: Path
    nodes: Path
    victims: tuple[int, ...]

    def __call__(self, tile: Tile) -> pa.Table:
        import ray

        (self.nodes / ray.get_runtime_context().get_node_id()).touch()
        time.sleep(0.1)
        return KillOnce(folder=self.folder, victims=self.victims)(tile)


@dataclass(frozen=True, kw_only=True)
class Faulty:
    """`Moments`, but some tiles raise, and some take their worker with them."""

    raising: tuple[int, ...] = ()
    deadly: tuple[int, ...] = ()

    def __call__(self, tile: Tile) -> pa.Table:
        if tile.number in self.raising:
            raise ValueError(f"tile {tile.number} is broken")
        if tile.number in self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return Moments()(tile)


@dataclass
class Counting:
    """`Moments` that remembers what it was called for; in-process only."""

    seen: list[int] = field(default_factory=list)
    stop_at: int = -1

    def __call__(self, tile: Tile) -> pa.Table:
        if tile.number == self.stop_at:
            raise KeyboardInterrupt
        self.seen.append(tile.number)
        return Moments()(tile)


def toy_job(step: Step | None = None, *, tiles: int = 8, **changes: Any) -> Job:
    chosen = Moments() if step is None else step
    about: dict[str, Any] = {"options": {"blobs": 5}, "inputs": ()} | changes
    return Job(partitions=[Tile(number=i) for i in range(tiles)], prepare=lambda _: chosen, **about)
