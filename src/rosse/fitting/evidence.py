"""How well a model is supported by the pixels when its freedom counts against it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rosse.fitting.plan import LINEAR_UNITS, Coordinate
from rosse.fitting.result import Fit
from rosse.light.components import Parameter

Floats = NDArray[np.float64]

# Width of what was possible before the pixels were seen, in the coordinates of a fit.
LN_LENGTHS = math.log(1000.0)  # a size lies within a factor of 1000, evenly in its logarithm
LN_FLUXES = math.log(1e4)  # a flux within 10 magnitudes
CENTRE = 10.0  # pixels


def bic(fit: Fit) -> Floats:
    """Bayesian information criterion (B,): ``chi^2 + P ln N`` (Schwarz 1978, Ann. Stat. 6, 461)."""
    return np.asarray(fit.chi2 + fit.free * np.log(np.maximum(fit.pixels, 1)))


def log_evidence(fit: Fit) -> Floats:
    """Natural logarithm of the evidence (B,), by Laplace's approximation, up to a constant of the pixels' noise.

    Notes
    -----
    ``-chi^2 / 2 + ln det(2 pi C) / 2 - sum ln w`` (e.g. MacKay 2003, chap. 27), w being the width of what was possible
    before: sizes and fluxes even in their logarithm, Sersic indices in theirs, axis ratios even in q, angles over half
    a turn, centres over 10 pixels; Gaussian priors of the model as they are. C is never wider than that: ``w^-2 / 12``
    is added to its inverse. A parameter at a bound counts as fixed there.
    """
    known = np.isfinite(np.diagonal(fit.covariance, axis1=1, axis2=2))
    both = known[:, :, None] & known[:, None, :]
    covariance = np.nan_to_num(np.where(both, fit.covariance, np.eye(fit.free)))
    width = np.ones((len(fit), fit.free))
    given = {slot for slot, _ in fit.plan.values("prior", np.arange(len(fit)))}
    for p, coordinate in enumerate(fit.plan.coordinates):
        slot = fit.plan.layout.slots[coordinate.slot]
        width[:, p] = np.inf if coordinate.slot in given else _width(fit, p, coordinate, slot)
    # with s = 1 / w: det (C^-1 + 12 s s)^-1 = det C / det (1 + 12 s C s)
    width = np.where(known, np.maximum(width, 1e-300), np.inf)
    inverse = 1 / width
    capped = np.eye(fit.free) + 12 * inverse[:, :, None] * covariance * inverse[:, None, :]
    sign, determinant = np.linalg.slogdet(covariance)
    occam = 0.5 * (np.where(sign > 0, determinant, np.nan) - np.linalg.slogdet(capped)[1])
    occam += 0.5 * known.sum(1) * math.log(2 * math.pi)
    occam -= np.log(np.where(np.isfinite(width), width, 1.0)).sum(1)
    return np.asarray(-0.5 * fit.chi2 + occam + _given(fit))


def _width(fit: Fit, p: int, coordinate: Coordinate, slot: Parameter) -> Floats | float:
    """Width of the flat prior in a coordinate."""
    plain = {"length": LN_LENGTHS, "angle": math.pi, "degree": math.pi, "pixel": CENTRE}
    if slot.unit in plain:
        return plain[slot.unit]
    if slot.unit == "flux":
        return np.asarray(np.abs(fit.vector[:, p]) * LN_FLUXES)
    if slot.unit in LINEAR_UNITS:  # the sky is in all models or in none
        return np.asarray(100 * np.sqrt(fit.covariance[:, p, p]))
    if slot.name == "q" and coordinate.below is None:
        return np.asarray(2 * np.exp(np.abs(fit.vector[:, p])))  # even in q, on either side of 1
    if slot.log and 0 < slot.lower < slot.upper < math.inf:
        return math.log(slot.upper / slot.lower)
    return slot.upper - slot.lower


def _given(fit: Fit) -> Floats:
    """Logarithm of the model's Gaussian priors (B,) at the best point, as densities in the coordinates of the fit.

    What differs between bands has the prior in each of them; a polynomial has fewer coordinates than bands, and is
    given the mean of their widths.
    """
    total = np.zeros(len(fit))
    names, bands = fit.table(), fit.cutouts.bands
    for slot_at, (mean, width) in fit.plan.values("prior", np.arange(len(fit))):
        slot, column = fit.plan.layout.slots[slot_at], fit.plan.columns[slot_at]
        each = [column] if column in names.colnames else [f"{column}_{band}" for band in bands]
        share = min(1.0, sum(c.slot == slot_at for c in fit.plan.coordinates) / len(each))
        for band, name in enumerate(each):
            if name not in names.colnames:
                continue
            value = np.asarray(names[name], dtype=np.float64)
            own = [v[:, min(band, v.shape[1] - 1)] if v.ndim == 2 else v for v in (mean, width)]
            gap, sigma = value - own[0], own[1]
            if slot.unit == "angle":
                gap, sigma = np.radians((gap + 90) % 180 - 90), np.radians(sigma)
            scale = np.log(sigma * math.sqrt(2 * math.pi)) - (np.log(np.abs(value)) if slot.log else 0.0)
            total += np.nan_to_num(-0.5 * np.square(gap / sigma) - share * scale)
    return total
