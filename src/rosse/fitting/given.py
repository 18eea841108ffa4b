"""Whether what the user gave of a model's parameters fits the galaxies and does not contradict itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.cutouts import Cutouts
from rosse.errors import InputError, OptionError, rows_text
from rosse.fitting.options import FitOptions
from rosse.light.components import Component, Parameter
from rosse.light.model import Model

if TYPE_CHECKING:
    from rosse.fitting.plan import Plan

GIVEN = ("fixed", "start", "prior", "bounds")
PAIRS = ("prior", "bounds")


def check_given(plan: Plan) -> None:
    """Nothing is asked of a parameter that is fixed or follows another, for it would not be heard.

    Raises
    ------
    OptionError
        The message names the parameter and what it follows.
    """
    _check_centres(plan)
    follows = {slot: plan.columns[other] for slot, other, _ in plan.followers}
    limited = {tie.what: tie.to for tie in plan.model.ties if tie.at_most}
    for i, (slot, owner) in enumerate(zip(plan.layout.slots, plan.owners, strict=True)):
        column = plan.columns[i]
        asked = [name for name in (*GIVEN, "bands") if slot.name in getattr(owner, name)]
        if i in follows and set(asked) - {"prior"}:
            more = ", or let it have own_centre=True" if slot.unit == "pixel" else ""
            raise OptionError(f"{column} follows {follows[i]}; give {_text(asked)} to {follows[i]}{more}")
        if column in limited and set(asked) & {"fixed", "bounds", "bands"}:
            raise OptionError(
                f"{column} is kept below {limited[column]} and cannot have {_text(asked)} of its own as well"
            )
        if "fixed" in asked and len(asked) > 1:
            raise OptionError(f"{column} is fixed; {_text(asked)} together cannot be")
        if "bands" in asked and slot.unit in ("flux", "level", "slope"):
            raise OptionError(f"{column} is free in every band as it is; leave it out of bands")


def _check_centres(plan: Plan) -> None:
    for tie in plan.model.ties:
        i, j = plan.model.place(tie.what)
        component = plan.model.components[i]
        slot = component.slots[j]
        if slot.unit == "pixel" and not component.own_centre:
            raise OptionError(
                f"{tie.what} is common to all components; to tie it, let {component.name} have own_centre"
            )
        if tie.at_most and not slot.log:
            raise OptionError(f"{tie.what} cannot be kept below {tie.to}: only sizes, indices and axis ratios can")


def true_axes(plan: Plan) -> set[str]:
    """Components whose q may not pass 1 within the fit, because something is asked of their major axis."""
    asked = {
        (owner.name, slot.name)
        for slot, owner in zip(plan.layout.slots, plan.owners, strict=True)
        for name in GIVEN
        if name != "start" and slot.name in getattr(owner, name)
    }
    for tie in plan.model.ties:
        for i, j in (plan.model.place(tie.what), plan.model.place(tie.to)):
            component = plan.model.components[i]
            asked.add((component.name, component.slots[j].name))
    axes = {"pa", "q"} | {slot.name for slot in plan.layout.slots if slot.unit == "length"}
    return {owner for owner, name in asked if name in axes}


def check_numbers(
    slot: Parameter, values: NDArray[np.float64], what: str, *, which: int, count: int, bands: int
) -> None:
    """Whether numbers can be values of a parameter of `count` galaxies; NaN says that one is not known.

    Parameters
    ----------
    slot : the parameter.
    values : what came.
    what : its name in messages, e.g. ``"fixed of n"``.
    which : 0, or 1 for the second of a pair.
    count, bands : of the galaxies that are to be fitted.

    Raises
    ------
    InputError
        There are too few or too many, or some cannot be; the message names the rows.
    """
    fits = values.shape in ((1,), (count,)) or (
        values.ndim == 2
        and what.startswith(("fixed", "prior"))
        and values.shape[0] in (1, count)
        and values.shape[1] == bands
    )
    if not fits:
        raise InputError(f"{what} has the shape {values.shape}; one number, or {count}, one for each galaxy, is wanted")
    kind, _, _ = what.partition(" ")
    if kind == "prior" and which and (values <= 0).any():
        raise InputError(f"{what} has a width of {values.min():g}; a positive width is wanted")
    if kind in ("fixed", "start"):
        low, high = slot.possible
        bad = ((values < low) | (values > high) | np.isinf(values)).reshape(len(values), -1).any(1)
        if bad.any():
            rows = np.nonzero(bad)[0].tolist()
            raise InputError(f"{what} is {values[rows[0]]} ({rows_text(rows)}); {slot.possible_text}")


def check_cutouts(cutouts: Any) -> None:
    """Whether galaxies came as galaxies.

    Raises
    ------
    InputError
        The message says how to make `Cutouts` of what came instead.
    """
    if isinstance(cutouts, Cutouts):
        return
    if isinstance(cutouts, Mapping):
        wrong = [str(name) for name, some in cutouts.items() if not isinstance(some, Cutouts)]
        if wrong:
            raise InputError(f"the set {wrong[0]} is a {type(cutouts[wrong[0]]).__name__}; Cutouts are wanted")
        return
    if isinstance(cutouts, (str, Path)):
        raise InputError(f"a path came ({str(cutouts)!r}); read it first: fit(read_cutouts({str(cutouts)!r}))")
    hint = "; make them with Cutouts.from_arrays(image, sigma=..., psf=...)" if hasattr(cutouts, "shape") else ""
    raise InputError(f"a {type(cutouts).__name__} came for the galaxies; Cutouts are wanted{hint}")


def check_options(options: Any) -> FitOptions:
    """The options, the usual ones for None.

    Raises
    ------
    OptionError
        Something else came.
    """
    if options is None or isinstance(options, FitOptions):
        return options or FitOptions()
    given = ", ".join(f"{k}={v!r}" for k, v in options.items()) if isinstance(options, Mapping) else "..."
    raise OptionError(f"options came as a {type(options).__name__}; give FitOptions({given})")


def _text(names: Any) -> str:
    return " and ".join(sorted(names))


def model_of(model: Model, rows: NDArray[np.int64], galaxies: int) -> Model:
    """The model for some of the galaxies, with what was given for each of them cut down to `rows`."""

    def cut(given: Any) -> Any:
        if isinstance(given, tuple):
            return tuple(cut(part) for part in given)
        array = np.asarray(given)
        return array[rows] if array.ndim and len(array) == galaxies and galaxies > 1 else given

    def part(component: Component) -> Component:
        changed: dict[str, Any] = {
            name: {
                key: cut(tuple(value) if name in PAIRS else value) for key, value in getattr(component, name).items()
            }
            for name in GIVEN
        }
        return replace(component, **changed)

    return replace(model, components=tuple(part(component) for component in model.components))
