"""Rows as a run gives them: every type, units and descriptions, missing values, failed galaxies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa


def described(name: str, kind: pa.DataType, unit: str = "", description: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit, "description": description or f"the {name}"})


SCHEMA = pa.schema(
    [
        described("id", pa.string(), "", "name of the galaxy"),
        described("ra", pa.float64(), "deg", "right ascension, ICRS"),
        described("dec", pa.float64(), "deg", "declination, ICRS"),
        described("n", pa.float64(), "", "Sersic index"),
        described("r_e", pa.float32(), "arcsec", "half-light radius along the major axis, ± 0.1"),
        described("flags", pa.int32(), "", "what may be wrong, as bits"),
        described("npix", pa.int64(), "pix", "pixels of the source"),
        described("blended", pa.bool_(), "", "whether it touches another source"),
        described("status", pa.string(), "", "how the fit ended"),
    ]
)


def galaxies(count: int, *, seed: int = 0, prefix: str = "g", centre: tuple[float, float] = (150.0, 2.0)) -> pa.Table:
    """Random galaxies within two degrees of a place; every tenth failed, with NaN, every seventh lacks numbers."""
    rng = np.random.default_rng(seed)
    failed, lacking = np.arange(count) % 10 == 3, np.arange(count) % 7 == 2
    ra = (centre[0] + rng.uniform(-2, 2, count)) % 360
    dec = np.clip(centre[1] + rng.uniform(-2, 2, count), -90, 90)
    values: dict[str, Any] = {
        "id": [f"{prefix}_{number}" for number in range(count)],
        "ra": ra,
        "dec": dec,
        "n": np.where(failed, np.nan, rng.uniform(0.5, 8, count)),
        "r_e": pa.array(rng.uniform(0.2, 9, count).astype("f4"), mask=lacking),
        "flags": pa.array(rng.integers(0, 64, count), pa.int32()),
        "npix": pa.array(rng.integers(5, 2**62, count), pa.int64(), mask=lacking),
        "blended": pa.array(rng.random(count) < 0.3, mask=lacking),
        "status": np.where(failed, "not_converged", "ok").tolist(),
    }
    return pa.table([pa.array(values[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def without_positions(table: pa.Table) -> pa.Table:
    """The same rows with ra and dec missing."""
    for name in ("ra", "dec"):
        number = table.schema.get_field_index(name)
        table = table.set_column(number, table.schema.field(name), pa.nulls(len(table), pa.float64()))
    return table


def as_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows in order, NaN as the text "NaN" so that equal rows compare equal."""
    return [{key: _comparable(value) for key, value in row.items()} for row in table.to_pylist()]


def by_id(table: pa.Table) -> dict[str, dict[str, Any]]:
    """Rows by id, in any order."""
    rows = as_rows(table)
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


def _comparable(value: Any) -> Any:
    return "NaN" if isinstance(value, float) and math.isnan(value) else value
