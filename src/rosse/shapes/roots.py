"""Roots of functions of one number, for many galaxies at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

STEPS = 100  # far more than any root of double precision takes
ROUNDING = 8.9e-16  # four times the spacing of numbers at 1, as in SciPy


def brent(function: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, *, tolerance: Tensor) -> Tensor:
    """Where (B,) functions cross zero between `low` and `high` (B,), by the method of Brent (1973, chapter 4).

    Each step is that of `scipy.optimize.brentq`, so that where a function jumps the same side of the jump is found.

    Parameters
    ----------
    function : (B,) numbers → (B,) values, each of its own galaxy.
    low, high : between which the sign changes; where it does not, what comes back means nothing.
    tolerance : (B,) how near to the root is near enough.
    """
    before, now = low, high
    f_before, f_now = function(before), function(now)
    other, f_other = before, torch.zeros_like(f_before)
    last_step, step = torch.zeros_like(low), torch.zeros_like(low)
    done = (f_before == 0) | (f_now == 0)
    root = torch.where(f_before == 0, before, now)
    for _ in range(STEPS):
        crossed = (f_before != 0) & (f_now != 0) & (torch.signbit(f_before) != torch.signbit(f_now))
        other, f_other = torch.where(crossed, before, other), torch.where(crossed, f_before, f_other)
        last_step, step = (torch.where(crossed, now - before, v) for v in (last_step, step))
        swap = f_other.abs() < f_now.abs()
        before, now, other = (torch.where(swap, a, b) for a, b in ((now, before), (other, now), (now, other)))
        f_before, f_now, f_other = (
            torch.where(swap, a, b) for a, b in ((f_now, f_before), (f_other, f_now), (f_now, f_other))
        )
        delta, half = (tolerance + ROUNDING * now.abs()) / 2, (other - now) / 2
        ends = ~done & ((f_now == 0) | (half.abs() < delta))
        root, done = torch.where(ends, now, root), done | ends
        if bool(done.all()):
            break
        trial = _interpolated((before, f_before), (now, f_now), (other, f_other))
        short = 2 * trial.abs() < torch.minimum(last_step.abs(), 3 * half.abs() - delta)
        good = (last_step.abs() > delta) & (f_now.abs() < f_before.abs()) & short
        last_step, step = torch.where(good, step, half), torch.where(good, trial, half)
        before, f_before = now, f_now
        least = torch.where(half > 0, delta, -delta)
        now = torch.where(done, now, now + torch.where(step.abs() > delta, step, least))
        f_now = function(now)
    return torch.where(done, root, now)


def _interpolated(before: tuple[Tensor, Tensor], now: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    """Step (B,) from `now` to where the line through two points, or the inverse parabola through three, is zero."""
    (x_b, f_b), (x, f), (x_o, f_o) = before, now, other
    line = -f * (x - x_b) / (f - f_b)
    d_b, d_o = (f_b - f) / (x_b - x), (f_o - f) / (x_o - x)
    parabola = -f * (f_o * d_o - f_b * d_b) / (d_o * d_b * (f_o - f_b))
    return torch.where(x_b == x_o, line, parabola)
