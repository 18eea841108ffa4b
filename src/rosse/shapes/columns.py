"""From indices in pixels of the cutout to the columns of a table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.light.coordinates import position_angle
from rosse.shapes.indices import CORRECTED, INDICES
from rosse.shapes.reasons import reason_texts
from rosse.status import MEANING, Status, labels
from rosse.tables import Column

if TYPE_CHECKING:
    from rosse.shapes.result import Shapes

Floats = NDArray[np.float64]
Entry = tuple[Column, Any]


def table_columns(shapes: Shapes) -> Iterator[Entry]:
    """Every column of the table, with its values."""
    cutouts = shapes.cutouts
    yield Column(name="id", description="name of the galaxy", dtype="str"), cutouts.id
    yield Column(name="ra", unit="deg", description="right ascension of the cutout's target", dtype="f8"), cutouts.ra
    yield Column(name="dec", unit="deg", description="declination of the cutout's target", dtype="f8"), cutouts.dec
    for name, index in INDICES.items():
        value, factor, unit = in_units(shapes, name)
        about = index.about + (", corrected for noise and PSF" if shapes.corrected and name in CORRECTED else "")
        yield Column(name=name, unit=unit, description=about, dtype="f8"), value
        if shapes.sigma is not None:
            about = f"one-sigma error of {name}"
            yield Column(name=f"sigma_{name}", unit=unit, description=about, dtype="f8"), shapes.sigma[name] * factor
        if index.kind == "flux":
            yield from _magnitude(shapes, name)
    text = "indices without a value or to be used with care, and why; empty where there are none"
    yield Column(name="reason", description=text, dtype="str"), reason_texts(shapes.reasons)
    statuses = "; ".join(f"{s.label}: {MEANING[s]}" for s in Status)
    about = f"outcome of the measurement ({statuses})"
    yield Column(name="status", description=about, dtype="str"), labels(shapes.status)


def in_units(shapes: Shapes, name: str) -> tuple[Floats, Floats | float, str]:
    """Value (B,) of an index in the units of the table, what its error is multiplied by, and the unit."""
    cutouts, value = shapes.cutouts, shapes.values["theta" if name == "pa" else name]
    kind = INDICES[name].kind
    if kind == "length" and shapes.arcsec:
        scale = cutouts.scale.cpu().numpy()
        return value * scale, scale, "arcsec"
    if kind == "pixel":
        return value + cutouts.corner[:, 0 if name[0] == "x" else 1].cpu().numpy(), 1.0, "pix"
    if kind == "angle":
        pa = position_angle(value, cutouts.north.cpu().numpy(), cutouts.parity.cpu().numpy())
        return np.asarray(pa), 180 / math.pi, "deg"
    return value, 1.0, "pix" if kind == "length" else ""


def _magnitude(shapes: Shapes, name: str) -> Iterator[Entry]:
    flux = shapes.values[name]
    zeropoint = float(shapes.cutouts.zeropoint[shapes.band])
    key = name.replace("flux", "mag")
    with np.errstate(invalid="ignore", divide="ignore"):
        mag = np.where(flux > 0, zeropoint - 2.5 * np.log10(np.where(flux > 0, flux, 1.0)), np.nan)
    yield Column(name=key, unit="mag", description=f"AB magnitude of {name}", dtype="f8"), mag
    if shapes.sigma is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            sigma = np.where(flux > 0, 2.5 / math.log(10) * shapes.sigma[name] / np.abs(flux), np.nan)
        yield Column(name=f"sigma_{key}", unit="mag", description=f"one-sigma error of {key}", dtype="f8"), sigma
