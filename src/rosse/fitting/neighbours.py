"""Other sources in the frames of galaxies, fitted along and then taken away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from rosse.cutouts import Cutouts
from rosse.errors import InputError
from rosse.fitting.given import model_of
from rosse.fitting.options import FitOptions
from rosse.fitting.plan import Plan
from rosse.fitting.result import Fit
from rosse.light.model import Model
from rosse.light.profiles import Sersic
from rosse.status import Status

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

SHAPES = ("r_e", "n", "q", "pa")
POSSIBLE = {"r_e": (0.0, np.inf), "n": (0.3, 8.0), "q": (0.02, 1.0)}
# What is known of a galaxy that nothing is known of: enough to keep a neighbour of few photons from running away.
BROAD = {"n": (2.0, 2.0), "q": (0.7, 0.4)}
TIMES = 2.0  # a neighbour's size is known to be its starting value, give or take this many times that
SEEN_WITHIN = 2  # pixels around a neighbour's centre of which half must carry weight

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Listed:
    """Neighbours as they came.

    Parameters
    ----------
    row : (M,) the galaxy in whose frame each is.
    values : name of a column → (M,): `x`, `y`, and what is known of `SHAPES`.
    """

    row: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]]

    def counts(self, galaxies: int) -> NDArray[np.int64]:
        """Neighbours of each galaxy."""
        return np.bincount(self.row, minlength=galaxies)

    def where(self, keep: NDArray[np.bool_]) -> Listed:
        """Some of them."""
        return Listed(row=self.row[keep], values={name: values[keep] for name, values in self.values.items()})


def fit_with_neighbours(
    cutouts: Cutouts,
    plan: Plan,
    neighbours: Any,
    *,
    options: FitOptions,
    advance: Callable[[int], None] | None = None,
) -> Fit:
    """Fit galaxies with their neighbours, those of one number of neighbours together.

    Returns
    -------
    Fit
        Of the galaxies: errors allow for what the neighbours may take, and `cutouts` are those given, without them.
    """
    from rosse.fitting.fit import fit

    listed = seen(read_neighbours(neighbours, cutouts), cutouts)
    counts = listed.counts(len(cutouts))
    named = _named(plan.model)
    parts = []
    options = _for_named(plan, options)
    for count in np.unique(counts) if len(cutouts) else [0]:
        rows = np.nonzero(counts == count)[0]
        model = model_of(named, rows, len(cutouts))
        whole = fit(cutouts[rows], _with(model, listed, rows, int(count)), options=options, advance=advance)
        parts.append((rows, _only(whole, replace(plan, model=model))))
    return _together(parts, cutouts, plan, counts)


def read_neighbours(table: Any, cutouts: Cutouts) -> Listed:
    """Neighbours from a table or a dict of columns.

    Raises
    ------
    InputError
        A column is missing, or a row names no galaxy.
    """
    from astropy.table import Table

    try:
        frame = type(table).__module__.startswith("pandas")
        columns = Table({str(name): np.asarray(table[name]) for name in table} if frame else table)
    except (TypeError, ValueError) as err:
        raise InputError(
            f"neighbours came as a {type(table).__name__} ({err}); a table or a dict of columns is wanted"
        ) from err
    names = columns.colnames
    if not {"x", "y"} <= set(names) or not {"id", "row"} & set(names):
        raise InputError(f"neighbours have the columns {', '.join(names)}; x, y and one of id and row are wanted")
    if "row" in names:
        row = np.asarray(columns["row"], dtype=np.int64)
        unknown = (row < 0) | (row >= len(cutouts))
    else:
        place = {str(name): i for i, name in enumerate(cutouts.id)}
        row = np.array([place.get(str(name), -1) for name in columns["id"]], dtype=np.int64)
        unknown = row < 0
    if unknown.any():
        key = "row" if "row" in names else "id"
        raise InputError(
            f"{int(unknown.sum())} neighbours belong to no cutout, the first to {key} "
            f"{columns[key][int(np.argmax(unknown))]}; leave them out"
        )
    values = {name: _floats(columns, name) for name in ("x", "y", *SHAPES) if name in names}
    for name, (low, high) in POSSIBLE.items():
        if name in values:  # what a catalogue has for a source that it could not measure
            values[name] = np.where((values[name] > low) & (values[name] < high), values[name], np.nan)
    return Listed(row=row, values=values)


def _floats(columns: Table, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(columns[name], dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"the column {name} of neighbours holds {columns[name].dtype}; numbers are wanted") from None


def seen(listed: Listed, cutouts: Cutouts) -> Listed:
    """Those whose centre is in the frame and carries weight; the others cannot be fitted, and a warning says so."""
    height, width = cutouts.frame
    weight = (cutouts.ivar > 0).any(1).float()
    side = 2 * SEEN_WITHIN + 1
    share = torch.nn.functional.avg_pool2d(weight[:, None], side, stride=1, padding=SEEN_WITHIN)[:, 0].cpu().numpy()
    corner = cutouts.corner.cpu().numpy()[listed.row]
    x, y = (np.rint(listed.values[name] - corner[:, i]) for i, name in enumerate("xy"))
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)  # NaN is nowhere
    at = (np.where(inside, y, 0).astype(int), np.where(inside, x, 0).astype(int))
    covered = share[listed.row, at[0], at[1]] < 0.5
    if (inside & covered).any():
        log.warning(
            "%d neighbours are not fitted, because their pixels carry no weight (ivar is 0, they are masked)",
            int((inside & covered).sum()),
        )
    return listed.where(inside & ~covered)


def _with(model: Model, listed: Listed, rows: NDArray[np.int64], count: int) -> Model:
    """The model for galaxies `rows`, each of which has `count` neighbours."""
    if not count:
        return model
    which = np.stack([np.nonzero(listed.row == row)[0] for row in rows])
    for k in range(count):
        given = {name: values[which[:, k]] for name, values in listed.values.items()}
        prior: dict[str, Any] = dict(BROAD)
        if "r_e" in given:
            prior["r_e"] = given["r_e"], TIMES * given["r_e"]
        model = model + Sersic(f"neighbour_{k + 1}", own_centre=True, start=given, prior=prior)
    return model


def _named(model: Model) -> Model:
    """The model with a name for every component, which has others beside it now."""
    return replace(model, components=tuple(replace(c, name=c.name or "galaxy") for c in model.components))


def _for_named(plan: Plan, options: FitOptions) -> FitOptions:
    """Options whose starter knows that a galaxy of one component has got a name."""
    starter = options.starter
    if starter is None or len(plan.model.components) > 1:
        return options
    name = plan.model.components[0].name or "galaxy"
    return replace(options, starter=lambda cutouts: {f"{name}_{k}": v for k, v in starter(cutouts).items()})


def _only(whole: Fit, plan: Plan) -> Fit:
    """What belongs to the galaxies, whose coordinates come first; the neighbours' light is taken from the pixels."""
    free, slots = plan.size, plan.layout.size
    at_bound = whole.at_bound[:, :free]
    status = np.where((whole.status == Status.AT_BOUND) & ~at_bound.any(1), Status.OK, whole.status)
    narrow = (status == Status.OK) & (whole.in_frame < whole.options.flux_in_frame)
    own = replace(
        whole,
        plan=plan,
        vector=whole.vector[:, :free],
        offset=whole.offset[..., :slots],
        covariance=whole.covariance[:, :free, :free],
        at_bound=at_bound,
        pixels=whole.pixels - (whole.plan.size - free),  # what the neighbours used up
        status=np.where(narrow, Status.EXCEEDS_FRAME, status).astype(np.int8),
    )
    if whole.plan.layout.size == slots:
        return own
    light = (whole.model_images() - own.model_images()).nan_to_num(0.0)
    return replace(own, cutouts=replace(whole.cutouts, flux=whole.cutouts.flux - light.to(whole.cutouts.flux)))


def _together(
    parts: list[tuple[NDArray[np.int64], Fit]], cutouts: Cutouts, plan: Plan, counts: NDArray[np.int64]
) -> Fit:
    """One result in the order of the cutouts."""
    first = parts[0][1]
    flux = cutouts.flux.clone()
    values: dict[str, Any] = {}
    for field in fields(first):
        one = getattr(first, field.name)
        if isinstance(one, np.ndarray):
            values[field.name] = np.empty((len(cutouts), *one.shape[1:]), dtype=one.dtype)
    for rows, part in parts:
        flux[torch.as_tensor(rows, device=flux.device)] = part.cutouts.flux
        for name, out in values.items():
            out[rows] = getattr(part, name)
    return replace(first, cutouts=replace(cutouts, flux=flux), plan=plan, **(values | {"neighbours": counts}))
