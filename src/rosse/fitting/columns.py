"""From the coordinates of a fit to the columns of its table: units, errors, magnitudes, fractions of light."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.fitting.units import to_table
from rosse.light.components import Component, Parameter
from rosse.status import MEANING, Status, labels
from rosse.tables import Column

if TYPE_CHECKING:
    from rosse.fitting.result import Fit

Floats = NDArray[np.float64]
Entry = tuple[Column, Any]


def table_columns(fit: Fit) -> Iterator[Entry]:
    """Every column of a fit's table, with its values."""
    yield from target_columns(fit)
    yield from parameter_columns(fit)
    yield from outcome_columns(fit)


def target_columns(fit: Fit) -> Iterator[Entry]:
    """Which galaxy a row is."""
    cutouts = fit.cutouts
    yield Column(name="id", description="name of the galaxy", dtype="str"), cutouts.id
    yield Column(name="ra", unit="deg", description="right ascension of the cutout's target", dtype="f8"), cutouts.ra
    yield Column(name="dec", unit="deg", description="declination of the cutout's target", dtype="f8"), cutouts.dec


def outcome_columns(fit: Fit) -> Iterator[Entry]:
    """How good the fit is, and how it ended."""
    yield Column(name="chi2", description="chi^2 of the fit", dtype="f8"), fit.chi2
    yield Column(name="chi2_dof", description="chi^2 per degree of freedom", dtype="f8"), fit.chi2_dof
    yield Column(name="n_pixels", description="pixels that carry weight, over all bands", dtype="i8"), fit.pixels
    about = "fraction of the model's flux that falls in the frame"
    yield Column(name="flux_in_frame", description=about, dtype="f8"), fit.in_frame
    if fit.neighbours is not None:
        yield Column(name="neighbours", description="sources that were fitted along", dtype="i4"), fit.neighbours
    if fit.noise_factor is not None:
        about = "what correlated noise multiplied the errors by, mean of all parameters"
        yield Column(name="noise_factor", description=about, dtype="f8"), fit.noise_factor
    yield Column(name="iterations", description="evaluations of the model", dtype="i4"), fit.iterations
    statuses = "; ".join(f"{s.label}: {MEANING[s]}" for s in Status)
    yield Column(name="status", description=f"outcome of the fit ({statuses})", dtype="str"), labels(fit.status)


def parameter_columns(fit: Fit) -> Iterator[Entry]:
    """Every column of a parameter, and that of its error."""
    yield from _common_centre(fit)
    for i, component in enumerate(fit.plan.model.components):
        yield from _component(fit, i, component)


def _with_error(name: str, unit: str, description: str, value: Floats, sigma: Floats) -> Iterator[Entry]:
    yield Column(name=name, unit=unit, description=description, dtype="f8"), value
    yield Column(name=f"sigma_{name}", unit=unit, description=f"one-sigma error of {name}", dtype="f8"), sigma


def _common_centre(fit: Fit) -> Iterator[Entry]:
    """Centre of the first component that shares it, without a prefix."""
    for place, component in zip(fit.plan.layout.places, fit.plan.model.components, strict=True):
        if component.slots[0].unit == "flux" and not component.own_centre:
            yield from _slot(fit, place.start + 1, name="x")
            yield from _slot(fit, place.start + 2, name="y")
            return


def _component(fit: Fit, index: int, component: Component) -> Iterator[Entry]:
    start = fit.plan.layout.places[index].start
    for j, slot in enumerate(component.slots):
        if slot.unit == "flux":
            yield from _fluxes(fit, start + j, component)
        elif slot.unit != "pixel" or component.own_centre:
            yield from _slot(fit, start + j)


def _fluxes(fit: Fit, place: int, component: Component) -> Iterator[Entry]:
    prefix = fit.plan.model.prefix(component)
    whose = f" of the {component.name}" if prefix else ""
    zeropoint = fit.cutouts.zeropoint.cpu().numpy()
    for band, suffix, where in _bands(fit):
        flux, sigma = fit.local[:, band, place], fit.sigma(band, place)
        with np.errstate(invalid="ignore", divide="ignore"):
            mag = np.where(flux > 0, zeropoint[band] - 2.5 * np.log10(np.where(flux > 0, flux, 1.0)), np.nan)
            sigma_mag = np.where(flux > 0, 2.5 / math.log(10) * sigma / np.abs(flux), np.nan)
        about = f"total flux of the model{whose}{where}, in the image's unit"
        yield from _with_error(f"{prefix}flux{suffix}", "", about, flux, sigma)
        about = f"total AB magnitude of the model{whose}{where}"
        yield from _with_error(f"{prefix}mag{suffix}", "mag", about, mag, sigma_mag)
        if len(fit.plan.layout.fluxes) > 1 and not component.own_centre:
            about = f"fraction of the galaxy's flux that is{whose or ' this component'}{where}"
            yield from _with_error(f"{prefix}fraction{suffix}", "", about, *_fraction(fit, band, place))


def _fraction(fit: Fit, band: int, place: int) -> tuple[Floats, Floats]:
    """Share of one component in the flux of all that share the centre, with its error from the covariance."""
    mine = [i for i in fit.plan.layout.fluxes if not fit.plan.owners[i].own_centre]
    flux = fit.local[:, band][:, mine]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = flux.sum(1)
        share = fit.local[:, band, place] / total
        slope = (np.equal(mine, place)[None] - share[:, None]) / total[:, None]  # (B, F)
    row = np.einsum("bf,fp->bp", slope, fit.plan.matrix[band, mine].numpy())
    return share, fit.sigma_along(row)


def _slot(fit: Fit, place: int, *, name: str | None = None) -> Iterator[Entry]:
    """A centre or a shape; one column for all bands where they share it."""
    slot, component = fit.plan.layout.slots[place], fit.plan.owners[place]
    key = name or fit.plan.columns[place]
    whose = f" of the {component.name}" if fit.plan.model.prefix(component) and name is None else ""
    linear = slot.unit in ("level", "slope")
    rows = (fit.plan if slot.unit == "pixel" else fit.plan.whole or fit.plan).matrix[:, place].numpy()
    same = bool((rows == rows[:1]).all()) and not linear
    for band, suffix, where in _bands(fit):
        value, sigma = _value(fit, band, place, slot, component)
        column = key + ("" if same else suffix)
        yield from _with_error(
            column, _unit(fit, slot), slot.description + whose + ("" if same else where), value, sigma
        )
        if same:
            return


def _value(fit: Fit, band: int, place: int, slot: Parameter, component: Component) -> tuple[Floats, Floats]:
    """Value and error in the units of the table; the major axis is the longer one."""
    value, row = fit.local[:, band, place], fit.plan.matrix[band, place].numpy()
    first = place - component.slots.index(slot)
    names = [s.name for s in component.slots]
    sigma = fit.sigma(band, place)
    if "q" in names and (slot.unit == "length" or slot.name in ("q", "pa")):
        at = first + names.index("q")
        ln_q = fit.local[:, band, at]
        turned = ln_q > 0  # the axes trade places
        if slot.name == "q":
            value = -np.abs(value)
        elif slot.name == "pa":
            value = np.where(turned, value + math.pi / 2, value)
        elif turned.any():
            value = np.where(turned, value + ln_q, value)
            both = np.broadcast_to(row + fit.plan.matrix[band, at].numpy(), (len(fit), len(row)))
            sigma = np.where(turned, fit.sigma_along(both), sigma)
    return to_table(slot, value, sigma, fit.cutouts, arcsec=fit.arcsec)


def _bands(fit: Fit) -> Iterator[tuple[int, str, str]]:
    """Number of each band, what it adds to a column's name, and to its description."""
    if len((fit.plan.whole or fit.plan).bands) == 1:
        yield 0, "", ""
        return
    for band, name in enumerate(fit.plan.bands):
        yield band, f"_{name}", f" in {name}"


def _unit(fit: Fit, slot: Parameter) -> str:
    length = "arcsec" if fit.arcsec else "pix"
    return {"length": length, "angle": "deg", "degree": "deg", "pixel": "pix"}.get(slot.unit, "")
