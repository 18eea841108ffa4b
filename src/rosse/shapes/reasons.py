"""Which index has a value, which has none and why, and what that makes of a galaxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rosse.shapes.indices import INDICES, Reason
from rosse.status import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

Floats = NDArray[np.float64]
FLAGGED = ("asymmetry", "outer_asymmetry", "rms_asymmetry2", "smoothness", "concentration")  # read in the CAS aperture


def reasons(values: Mapping[str, Floats], *, seen: NDArray[np.bool_], found: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Code (B, Q) of `Reason` for each galaxy and index.

    Parameters
    ----------
    values : name → (B,), with ``sky_box``, ``centre_found`` and ``outside`` (apertures that leave the frame).
    seen, found : (B,) whether a pixel carries weight, and whether there is a source at the centre.
    """
    out = np.full((len(seen), len(INDICES)), Reason.NONE, dtype=np.int8)
    known = np.isfinite(values["r_petro"])
    sky = values["sky_box"] > 0
    for q, (name, about) in enumerate(INDICES.items()):
        code = np.where(np.isfinite(values[name]), Reason.NONE, Reason.UNDEFINED)
        if name in FLAGGED:
            code = np.where((code == Reason.NONE) & (values["outside"] > 0), Reason.EXCEEDS_FRAME, code)
        if name in ("x", "y", "asymmetry"):
            code = np.where((code == Reason.NONE) & ~(values["centre_found"] > 0), Reason.CENTRE, code)
        lost = code == Reason.UNDEFINED
        if about.sky:
            code = np.where(lost & ~sky, Reason.NO_SKY, code)
        if about.radius:
            code = np.where(lost & ~known, Reason.NO_PETROSIAN, code)
        code = np.where(found, code, Reason.NO_SOURCE)
        out[:, q] = np.where(seen, code, Reason.NO_DATA)
    return out


def status_of(codes: NDArray[np.int8]) -> NDArray[np.int8]:
    """Code (B,) of `Status`: the gravest that the reasons (B, Q) make of each galaxy.

    An index that is undefined for its own pixels alone leaves the galaxy `OK`: its reason says it.
    """
    grave = {
        Reason.EXCEEDS_FRAME: Status.EXCEEDS_FRAME,
        Reason.CENTRE: Status.NOT_CONVERGED,
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
