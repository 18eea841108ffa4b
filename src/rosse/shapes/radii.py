"""Petrosian radius, radii that hold a fraction of the light, concentration."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rosse.shapes.apertures import Curve

TRIALS = 100  # radii at which a first crossing is looked for
PARTS, CUTS = 32, 4  # an interval is cut into so many parts, so often: to a millionth of it


def petrosian_ratio(curve: Curve, radius: Tensor, *, annulus: float) -> Tensor:
    """Surface brightness at radii (B, M) over the mean inside them (Petrosian 1976; Lotz et al. 2004, eq. 4).

    Both without their sign: it is only among noise that one of them is negative.
    """
    half = annulus / 2
    edge = curve.mean((radius - half).clamp_min(0), radius + half)
    return edge.abs() / curve.mean(torch.zeros_like(radius), radius).abs()


def petrosian_radius(curve: Curve, largest: Tensor, *, eta: float, annulus: float) -> Tensor:
    """Smallest radius (B,), pixels, at which the ratio falls to `eta`; NaN where it does not within `largest` (B,).

    NaN as well where it is below from the start: such a source is all in one pixel, and what comes after is noise. The
    ratio is not monotonic in an image with noise or neighbours; the first of `TRIALS` radii at which it is below `eta`
    brackets the root, as in Rodriguez-Gomez et al. (2019).
    """
    steps = torch.linspace(0, 1, TRIALS, dtype=largest.dtype, device=largest.device)
    trial = annulus + steps * (largest - annulus)[:, None]
    above = ~(petrosian_ratio(curve, trial, annulus=annulus) <= eta)  # within a hole there is no ratio yet
    high = (~above & (above.cumsum(1) > 0)).int().argmax(1)
    found = (high > 0) & above[:, 0]
    ends = [trial.gather(1, (high - i).clamp_min(0)[:, None]) for i in (1, 0)]

    def too_small(radius: Tensor) -> Tensor:
        return ~(petrosian_ratio(curve, radius, annulus=annulus) <= eta)

    root = first_end(too_small, ends[0], ends[1])
    return torch.where(found, root, math.nan)


def first_end(holds: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Where (B,) a condition on (B, M) numbers, true at `low` (B, 1), first stops to hold on the way to `high`."""
    steps = torch.linspace(0, 1, PARTS + 1, dtype=low.dtype, device=low.device)
    for _ in range(CUTS):
        tried = low + steps * (high - low)
        at = (~holds(tried[:, 1:-1])).int()
        at = torch.where(at.any(1), at.argmax(1) + 1, PARTS)[:, None]
        low, high = tried.gather(1, at - 1), tried.gather(1, at)
    return 0.5 * (low + high)[:, 0]


def radius_of_fraction(curve: Curve, total_radius: Tensor, fraction: float) -> Tensor:
    """Radius (B,) that holds a fraction of the light within `total_radius` (B,), pixels.

    The first crossing among `TRIALS` radii, for a curve of growth falls where noise or a badly known sky is negative.
    """
    total = curve.at(total_radius[:, None]).abs()
    steps = torch.linspace(0, 1, TRIALS, dtype=total.dtype, device=total.device)
    trial = steps * total_radius[:, None]
    below = curve.at(trial).abs() < fraction * total
    high = (~below).int().argmax(1).clamp_min(1)
    low, up = (trial.gather(1, (high - i)[:, None]) for i in (1, 0))
    root = first_end(lambda r: curve.at(r).abs() < fraction * total, low, up)
    return torch.where((total[:, 0] > 0) & torch.isfinite(total_radius), root, math.nan)


def concentration(r20: Tensor, r80: Tensor, *, factor: float = 5.0) -> Tensor:
    """C = 5 log10(r80 / r20) (Bershady, Jangren & Conselice 2000; Lotz et al. 2004, eq. 6)."""
    return factor * torch.log10(r80 / r20)
