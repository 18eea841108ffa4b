"""Least value of a function of two numbers, for many galaxies at once (Nelder & Mead 1965)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Function = Callable[[Tensor, Tensor], Tensor]  # points (N, 2) and the rows (N,) they belong to → (N,)


def minimise(
    function: Function, start: Tensor, step: Tensor, *, tolerance: float, max_steps: int
) -> tuple[Tensor, Tensor]:
    """Point (B, 2) of least value, and whether (B,) the search ended within `max_steps`.

    Parameters
    ----------
    function : of points and the rows they belong to; rows that have ended are not asked for again.
    start, step : (B, 2) first corner of the triangle, and how far along each axis the other two lie.
    tolerance : a row has ended when its triangle is smaller than this.
    """
    rows = torch.arange(len(start), device=start.device)
    other = torch.diag_embed(step)
    points = torch.cat([start[:, None], start[:, None] + other], 1)  # (B, 3, 2)
    values = torch.stack([function(points[:, i], rows) for i in range(3)], 1)
    done = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    for _ in range(max_steps):
        order = values.sort(dim=1, stable=True).indices
        values = values.gather(1, order)
        points = points.gather(1, order[..., None].expand(-1, -1, 2))
        done = (points[:, 1:] - points[:, :1]).abs().amax((1, 2)) <= tolerance
        active = rows[~done]
        if not len(active):
            break
        new_points, new_values = _step(function, points[active], values[active], active)
        points, values = points.index_copy(0, active, new_points), values.index_copy(0, active, new_values)
    best = values.argmin(1)
    return points[rows, best], done


def _step(function: Function, points: Tensor, values: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """One step of each triangle, its corners sorted by value."""
    worst, middle = points[:, 2], points[:, :2].mean(1)
    reflected = 2 * middle - worst
    f_reflected = function(reflected, rows)
    best, second, last = values.unbind(1)
    grow, inside = f_reflected < best, f_reflected >= last
    shorten = f_reflected >= second
    factor = torch.where(grow, 2.0, torch.where(inside, -0.5, 0.5)).to(points.dtype)
    trial = middle + factor[:, None] * (middle - worst)
    asks = (grow | shorten).nonzero().flatten()
    f_trial = f_reflected.index_copy(0, asks, function(trial[asks], rows[asks]))
    limit = torch.where(inside, last, f_reflected)
    take_trial = torch.where(grow, f_trial < f_reflected, shorten & (f_trial <= limit))
    shrink = shorten & ~take_trial
    corner = torch.where(take_trial[:, None], trial, reflected)
    value = torch.where(take_trial, f_trial, f_reflected)
    new_points, new_values = points.clone(), values.clone()
    new_points[:, 2], new_values[:, 2] = corner, value
    small = shrink.nonzero().flatten()
    if len(small):
        for i in (1, 2):
            new_points[small, i] = 0.5 * (points[small, 0] + points[small, i])
            new_values[small, i] = function(new_points[small, i], rows[small])
    return new_points, new_values
