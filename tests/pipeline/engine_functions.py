"""Functions that worker processes import: nothing here may need pytest."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def square(item: int) -> tuple[int, int]:
    return item, item * item


def slow_square(item: int) -> tuple[int, int]:
    time.sleep(0.05)
    return item, item * item


class DieOnce:
    """Kills its own process at one item, the first time only."""

    def __init__(self, folder: Path, victim: int) -> None:
        self.folder, self.victim = folder, victim

    def __call__(self, item: int) -> tuple[int, int]:
        if item == self.victim and not (self.folder / "died").exists():
            (self.folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return slow_square(item)


def die_at_three(item: int) -> tuple[int, int]:
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return slow_square(item)


def raise_at_three(item: int) -> int:
    if item == 3:
        raise ValueError("three")
    return item


def threads(_: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


def large(item: int) -> tuple[int, NDArray[np.int64]]:
    return item, np.full(300_000, item)


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle this")

    def __call__(self, item: int) -> int:
        return item


class Unloadable:
    """Can be sent, but not received."""

    def __reduce__(self) -> Any:
        return _refuse, ()

    def __call__(self, item: int) -> int:
        return item


def _refuse() -> None:
    raise ImportError("no such module over here")
