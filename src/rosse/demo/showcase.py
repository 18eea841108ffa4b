"""Twelve galaxies worth looking at, and their contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rosse.demo.recovery import match, values

if TYPE_CHECKING:
    from astropy.table import Table

    from rosse.cutouts import Cutouts
    from rosse.detection import DetectOptions
    from rosse.fitting import Fit
    from rosse.io import FieldPsf, Mosaic

COUNT = 12
UNUSABLE = 1 | 2 | 32  # flags EDGE, SATURATED, TRUNCATED


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """A galaxy for the sheet: its name in the catalogue, its place in the image, and a line about the truth."""

    id: str
    x: float
    y: float
    note: str


def choose_simulated(truth: Table, sources: Table, count: int = COUNT) -> list[Shown]:
    """A range of types: ellipticals, discs from face-on to edge-on, bulge with disc, blends, and a faint one."""
    found = match(truth, sources)
    at = np.maximum(found, 0)
    fitted = (found >= 0) & np.isin(np.asarray(sources["status"])[at], ("ok", "at_bound"))
    usable = fitted & ((values(sources, "flags")[at].astype(int) & UNUSABLE) == 0)
    snr = values(sources, "flux_r")[at] / values(sources, "sigma_flux_r")[at]
    single = usable & (np.asarray(truth["kind"]) == "galaxy")
    composite = usable & (np.asarray(truth["kind"]) == "bulge+disc")
    alone = ~np.asarray(truth["blended"])
    n, q = np.asarray(truth["n"]), np.asarray(truth["q"])
    order = np.argsort(np.asarray(truth["mag_r"]))
    kinds = (
        (single & alone & (n > 2.5), 2),
        (single & alone & (n < 2) & (q > 0.65), 2),
        (single & alone & (n < 2) & (q < 0.4), 2),
        (composite & alone, 2),
        (single & ~alone & (values(truth, "neighbour") < 6), 2),
        (single & alone & (snr < 40) & (snr > 20), 2),
        (usable, count),
    )
    rows: list[int] = []
    for kind, wanted in kinds:
        rows += [int(i) for i in order if kind[i] and i not in rows][: min(wanted, count - len(rows))]
    return [_shown(sources[found[i]], _truth_note(truth[i])) for i in rows]


def choose_brightest(sources: Table, *, without: tuple[float, float], count: int = COUNT) -> list[Shown]:
    """The galaxies with the highest S/N whose fit went well, without the source at the position `without`."""
    good = (np.asarray(sources["status"]) == "ok") & ((values(sources, "flags").astype(int) & UNUSABLE) == 0)
    good &= np.hypot(values(sources, "x_image") - without[0], values(sources, "y_image") - without[1]) > 5
    rows = np.argsort(-np.where(good, values(sources, "snr"), -np.inf))[: min(count, int(good.sum()))]
    return [_shown(sources[i], "") for i in rows]


def fit_shown(
    mosaic: Mosaic, shown: Sequence[Shown], *, psf: FieldPsf | None, options: DetectOptions
) -> tuple[Fit, list[str]]:
    """Detect and fit the chosen galaxies again, since a catalogue keeps numbers and no pixels.

    Returns
    -------
    the fit, and the note of each of its galaxies.
    """
    from rosse.cutouts import stack_cutouts
    from rosse.detection import detect
    from rosse.fitting import fit
    from rosse.pipeline.rows import one_thread

    found = detect(mosaic, psf=psf, options=options)
    pieces: dict[int, Cutouts] = {}
    wanted = _nearest(found.sources, shown)
    for rows, cutouts in found.cutout_batches():
        pieces |= {int(row): cutouts[k] for k, row in enumerate(rows) if int(row) in wanted}
    there = [(pieces[row], one) for row, one in zip(wanted, shown, strict=True) if row in pieces]
    named = [replace(piece, id=np.array([one.id])) for piece, one in there]
    with one_thread():  # a dozen galaxies are too few for threads to gain anything
        return fit(stack_cutouts(named)), [one.note for _, one in there]


def _shown(source: Any, note: str) -> Shown:
    return Shown(id=str(source["id"]), x=float(source["x_image"]), y=float(source["y_image"]), note=note)


def _nearest(sources: Table, shown: Sequence[Shown]) -> list[int]:
    """Row of the source nearest to each galaxy."""
    x, y = values(sources, "x_image"), values(sources, "y_image")
    return [int(np.argmin(np.hypot(x - one.x, y - one.y))) for one in shown]


def _truth_note(row: Any) -> str:
    if row["kind"] == "bulge+disc":
        text = f"true  r {row['mag_r']:.2f}   bulge + disc, B/T {row['bulge_to_total_r']:.2f}"
    else:
        text = f"true  r {row['mag_r']:.2f}   $r_e$ {row['r_e']:.2f}″   $n$ {row['n']:.2f}   $q$ {row['q']:.2f}"
    return text + ("   blended" if row["blended"] else "")
