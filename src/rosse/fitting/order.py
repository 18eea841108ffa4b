"""Bulge and disc: which is which, and whether they can be what they are called."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rosse.fitting.given import model_of
from rosse.fitting.plan import Plan, own_fluxes
from rosse.fitting.result import Fit
from rosse.light.components import Component
from rosse.light.profiles import DeVaucouleurs, Exponential, Gaussian
from rosse.status import Status

FLAT = 1.5  # a larger Sersic index is no disc's
ALLOWED = 2.0  # chi^2 that bulge and disc may cost to be put in their order
NO_LIGHT = 0.01  # a part with less of the light is not there


def parts(plan: Plan) -> tuple[int, int] | None:
    """Numbers of the inner and the outer extended component of a galaxy; None where it has not two of them."""
    found = [i for i, c in enumerate(plan.model.components) if c.scale_radius and not c.own_centre]
    return (found[0], found[1]) if len(found) == 2 else None


def rows_of(fit: Fit, rows: Any) -> Fit:
    """Some galaxies of a fit."""
    index = np.arange(len(fit))[rows]
    plan = replace(fit.plan, model=model_of(fit.plan.model, index, len(fit)))
    changed: dict[str, Any] = {"cutouts": fit.cutouts[index], "plan": plan}
    for field in fields(fit):
        values = getattr(fit, field.name)
        if isinstance(values, np.ndarray) and len(values) == len(fit):
            changed[field.name] = values[index]
    return replace(fit, **changed)


def in_order(fit: Fit) -> Fit:
    """The fit with bulges and discs that came out exchanged put back.

    Parameters
    ----------
    fit : of a bulge and a disc, or of any other model, which is left as it is.

    Notes
    -----
    Exchanged is a bulge that is larger than the disc and no more concentrated. Two components of one kind change
    places; others are fitted once more from each other's place, and what comes out is kept where it is in order and
    costs no more than `ALLOWED` in chi^2.
    """
    rows = exchanged(fit)
    if not len(rows):
        return fit
    inner, outer = (fit.plan.model.components[i] for i in parts(fit.plan) or (0, 0))
    if type(inner) is type(outer) and _alike(fit.plan, inner, outer):
        return _swapped(fit, rows)
    return _fitted_again(fit, rows, inner, outer)


def exchanged(fit: Fit) -> NDArray[np.int64]:
    """Rows whose bulge is larger than the disc and no more concentrated than it."""
    pair = parts(fit.plan)
    if pair is None:
        return np.zeros(0, dtype=np.int64)
    sizes, indices = zip(*(_size_and_index(fit, i) for i in pair), strict=True)
    with np.errstate(invalid="ignore"):
        flat = indices[0] <= np.maximum(indices[1], FLAT)
        there = np.isin(fit.status, (Status.OK, Status.AT_BOUND, Status.EXCEEDS_FRAME, Status.NOT_CONVERGED))
        return np.nonzero(there & (sizes[0] > sizes[1]) & flat)[0]


def unphysical(fit: Fit) -> NDArray[np.str_]:
    """Why the parts of each galaxy (B,) cannot be what they are called; empty where they can."""
    reasons: list[list[str]] = [[] for _ in range(len(fit))]
    pair = parts(fit.plan)
    if pair is not None:
        inner, outer = (fit.plan.model.components[i].name for i in pair)
        (small, _), (large, _) = (_size_and_index(fit, i) for i in pair)
        _say(reasons, small > large, f"{inner} larger than {outer}")
    own = own_fluxes(fit.plan)
    if len(own) > 1:
        flux = fit.local[..., own].sum(1)
        total = flux.sum(1)
        for k, slot in enumerate(own):
            with np.errstate(invalid="ignore", divide="ignore"):
                _say(reasons, flux[:, k] / total < NO_LIGHT, f"no light in {fit.plan.owners[slot].name}")
    for p, coordinate in enumerate(fit.plan.coordinates):
        if fit.plan.layout.slots[coordinate.slot].unit != "flux":
            _say(reasons, fit.at_bound[:, p], f"{coordinate.name} at its bound")
    good = ~np.isin(fit.status, (Status.SINGULAR, Status.NO_DATA, Status.FAILED))
    return np.array(["; ".join(each) if ok else "" for each, ok in zip(reasons, good, strict=True)], dtype=str)


def _say(reasons: list[list[str]], where: Any, text: str) -> None:
    for row in np.nonzero(where)[0]:
        reasons[row].append(text)


def _size_and_index(fit: Fit, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Half the light's semi-major axis in pixels and Sersic index (B,), means over the bands; NaN where it has none."""
    component, place = fit.plan.model.components[number], fit.plan.layout.places[number]
    names = [slot.name for slot in component.slots]
    at = place.start + names.index(component.scale_radius)
    size = fit.local[..., at]
    if "q" in names:
        size = size + np.maximum(fit.local[..., place.start + names.index("q")], 0.0)  # the longer axis
    known = component.index if isinstance(component, (Gaussian, Exponential, DeVaucouleurs)) else np.nan
    index = np.full(len(fit), known)
    if "n" in names:
        index = np.exp(fit.local[..., place.start + names.index("n")].mean(1))
    return np.exp(size.mean(1)), index


def _alike(plan: Plan, inner: Component, outer: Component) -> bool:
    """Whether nothing was asked of one that was not asked of the other."""
    asked = ("fixed", "bounds", "prior", "bands")
    tied = {tie.what for tie in plan.model.ties} | {tie.to for tie in plan.model.ties}
    free = not any(plan.columns[i] in tied for i in range(plan.layout.size))
    return free and not any(getattr(c, name) for c in (inner, outer) for name in asked)


def _swapped(fit: Fit, rows: NDArray[np.int64]) -> Fit:
    """The same fit with the coordinates of both components in each other's place."""
    plan = fit.plan
    inner, outer = (plan.layout.places[i] for i in parts(plan) or (0, 0))
    shift = outer.start - inner.start
    order = np.arange(plan.size)
    where = {(c.slot, c.weights): p for p, c in enumerate(plan.coordinates)}
    for (slot, weights), p in where.items():
        other = where.get((slot + shift, weights))
        if inner.start <= slot < inner.stop and other is not None:
            order[[p, other]] = other, p
    vector, covariance, at_bound = fit.vector.copy(), fit.covariance.copy(), fit.at_bound.copy()
    vector[rows], at_bound[rows] = vector[rows][:, order], at_bound[rows][:, order]
    covariance[rows] = covariance[rows][:, order][:, :, order]
    return replace(fit, vector=vector, covariance=covariance, at_bound=at_bound)


def _fitted_again(fit: Fit, rows: NDArray[np.int64], inner: Component, outer: Component) -> Fit:
    from rosse.fitting.fit import fit as run

    part = rows_of(fit, rows)
    table = part.table()
    model = part.plan.model
    moved = {}
    for one, other in ((inner, outer), (outer, inner)):
        names = [slot.name for slot in one.slots if slot.unit not in ("pixel", "flux") and slot.name not in one.fixed]
        source = model.prefix(other)
        start = {name: np.asarray(table[source + name]) for name in names if source + name in table.colnames}
        moved[one.name] = start
    components = tuple(
        replace(c, start={**c.start, **moved[c.name]}) if c.name in moved else c for c in model.components
    )
    tried = run(part.cutouts, replace(model, components=components), options=fit.options)
    better = np.isin(tried.status, (Status.OK, Status.AT_BOUND, Status.EXCEEDS_FRAME))
    better &= tried.chi2 <= part.chi2 + ALLOWED
    better[exchanged(tried)] = False
    changed: dict[str, Any] = {}
    for field in fields(fit):
        values = getattr(fit, field.name)
        if isinstance(values, np.ndarray) and len(values) == len(fit) and field.name not in ("neighbours", "pixels"):
            out = values.copy()
            out[rows[better]] = getattr(tried, field.name)[better]
            changed[field.name] = out
    return replace(fit, **changed)
