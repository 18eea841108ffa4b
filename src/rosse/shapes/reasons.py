"""Which index has a value, which has none and why, and what that makes of a galaxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rosse.shapes.indices import INDICES, Reason
from rosse.status import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rosse.shapes.options import ShapeOptions

Floats = NDArray[np.float64]
# Read in the aperture of concentration, and on the map of Gini
IN_APERTURE = ("asymmetry", "outer_asymmetry", "rms_asymmetry2", "smoothness", "concentration")
ON_MAP = ("gini", "m20", "gini_m20_bulge", "gini_m20_merger", "snr_pixel")


def reasons(
    values: Mapping[str, Floats], *, seen: NDArray[np.bool_], found: NDArray[np.bool_], options: ShapeOptions
) -> NDArray[np.int8]:
    """Code (B, Q) of `Reason` for each galaxy and index.

    Parameters
    ----------
    values : name → (B,), with ``sky_box``, ``centre_found``, ``outside`` (apertures that leave the frame), ``lost``
        (part of the middle without data), ``gini_fills`` (maps of Gini that fill the stamp), ``gini_dark`` (part of
        them without data) and ``ring`` (part of the ring of smoothness that has data).
    seen, found : (B,) whether a pixel carries weight, and whether there is a source at the centre.
    options : how much may be lost, and left of the sky.
    """
    out = np.full((len(seen), len(INDICES)), Reason.NONE, dtype=np.int8)
    known, sky = np.isfinite(values["r_petro"]), values["sky_box"] > 0
    for q, (name, about) in enumerate(INDICES.items()):
        lost = ~np.isfinite(values[name])
        code = np.where(lost, Reason.UNDEFINED, _care(name, values, options))
        if about.sky:
            code = np.where(lost & ~sky, Reason.NO_SKY, code)
        if about.radius:
            code = np.where(lost & ~known, Reason.NO_PETROSIAN, code)
        code = np.where(found, code, Reason.NO_SOURCE)
        out[:, q] = np.where(seen, code, Reason.NO_DATA)
    return out


def _care(name: str, values: Mapping[str, Floats], options: ShapeOptions) -> NDArray[np.int64]:
    """Why (B,) a value of an index is to be used with care; the gravest of several."""
    code = np.full(len(values["x"]), Reason.NONE, dtype=np.int64)
    if INDICES[name].radius:
        code[_sky_left(values, options)] = Reason.SKY_LEFT
    if name == "smoothness":
        code[(values["ring"] < 1 - options.most_lost) & bool(options.whole_ring)] = Reason.RING
        code[options.smoothing_cas * values["r_petro"] < 2] = Reason.UNRESOLVED  # a box of one pixel
    if name in IN_APERTURE:
        code[values["outside"] > 0] = Reason.EXCEEDS_FRAME
    if name in ("gini", "gini_m20_bulge", "gini_m20_merger"):
        code[(values["gini_dark"] > options.most_lost) & bool(options.dark_gini)] = Reason.DARK
    if name in ON_MAP:
        code[values["gini_fills"] > 0] = Reason.EXCEEDS_FRAME
    if name in ("x", "y", "asymmetry"):
        code[(code == Reason.NONE) & ~(values["centre_found"] > 0)] = Reason.CENTRE
    if INDICES[name].radius:
        code[values["lost"] > options.most_lost] = Reason.LOST
    return code


def _sky_left(values: Mapping[str, Floats], options: ShapeOptions) -> NDArray[np.bool_]:
    """Where (B,) the box of sky is not around 0, and what that is within the aperture is much of the flux."""
    with np.errstate(invalid="ignore"):
        sky = np.abs(values["sky_mean"]) * np.pi * (options.extent_cas * values["r_petro"]) ** 2
        biased = np.abs(values["sky_mean"]) > values["sky_sigma"]
        return np.asarray(biased & (sky > options.most_sky * values["flux_petro_circle"]))


def status_of(codes: NDArray[np.int8]) -> NDArray[np.int8]:
    """Code (B,) of `Status`: the gravest that the reasons (B, Q) make of each galaxy.

    An index that is undefined for its own pixels alone leaves the galaxy `OK`: its reason says it.
    """
    grave = {
        Reason.EXCEEDS_FRAME: Status.EXCEEDS_FRAME,
        Reason.SKY_LEFT: Status.EXCEEDS_FRAME,
        Reason.CENTRE: Status.NOT_CONVERGED,
        Reason.LOST: Status.NOT_CONVERGED,
        Reason.NO_PETROSIAN: Status.SINGULAR,
        Reason.NO_SOURCE: Status.SINGULAR,
        Reason.NO_DATA: Status.NO_DATA,
    }
    out = np.full(len(codes), Status.OK, dtype=np.int8)
    for reason, status in grave.items():  # the gravest comes last
        out[(codes == reason).any(1)] = status
    return out


def reason_texts(codes: NDArray[np.int8]) -> NDArray[np.str_]:
    """One text (B,): each reason with the indices it concerns, ``"asymmetry, smoothness: no box of empty sky"``."""
    names, texts = np.array(list(INDICES)), []
    for row in codes:
        parts = []
        for code in np.unique(row[row != Reason.NONE]):
            which = names[row == code]
            whose = "all" if len(which) == len(names) else ", ".join(which)
            parts.append(f"{whose}: {Reason(int(code)).text}")
        texts.append("; ".join(parts))
    return np.array(texts, dtype=str)
