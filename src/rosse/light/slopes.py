"""Derivatives of formulas, by forward-mode automatic differentiation."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

# torch.func.jvp counts its nesting in a variable of the whole process: two threads within it take each other's level.
_one_at_a_time = threading.Lock()


def slope_along(function: Callable[[Tensor], Tensor], at: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Value of a function and its derivative along a direction, both shaped like the value.

    Parameters
    ----------
    function : of torch functions only.
    at, direction : of one shape.
    """
    with _one_at_a_time:
        if not _started:
            _start()
        found = torch.func.jvp(function, (at,), (direction,))
    return found[0], found[1]


_started: list[bool] = []


def _start() -> None:
    """What torch loads at the first derivative warns of its own deprecated parts, which is no one's business here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.func.jvp(torch.sin, (torch.zeros(()),), (torch.ones(()),))
    _started.append(True)
