"""Stars among the galaxies."""

from __future__ import annotations

import numpy as np

from rosse.sky.columns import COLUMNS, TYPES
from rosse.sky.draws import Draws, Integers
from rosse.sky.structure import Columns

BRIGHTEST = 13.0  # mag in r: brighter ones saturate in every survey
_SLOPE = 0.2  # dex per mag: star counts at high latitude, Bahcall & Soneira 1980 (doi:10.1086/190685), Table 1
_ZERO = ("z", "dust_tau", "dust_lane", "lopsidedness", "disorder")


def stars(draws: Draws, label: Integers, galaxies: Columns, limit: float) -> Columns:
    """All columns but names: galaxies as they are, and stars where `label`, (B,), says so.

    A star's light stands in the bulge, which is a point: sizes and shapes are NaN, shares and counts 0. Its magnitude
    follows the counts of stars at high galactic latitude down to `limit`; three in five are around 5,500 K, the others
    cool dwarfs of 3,000 to 4,500 K (as in the colours of SDSS stars, Ivezic+2008, doi:10.1086/589678).
    """
    star = label == TYPES.index("star")
    u = draws.uniform("star magnitude")
    faint, bright = 10 ** (_SLOPE * limit), 10 ** (_SLOPE * min(BRIGHTEST, limit - 1))
    magnitude = np.log10(bright + u * (faint - bright)) / _SLOPE
    hot = np.clip(draws.normal("hot star", 5500, 650), 4300, 8000)
    cool = draws.uniform("cool star", 3000, 4500)
    temperature = np.where(draws.happens("cool", 0.4), cool, hot)
    out: Columns = {}
    for column in COLUMNS:
        if column.dtype == "str" or column.name in ("id", "temperature", "artefact_strength"):
            continue
        name = column.name
        empty = 0 if column.dtype == "i4" or name.endswith("_share") or name in _ZERO else np.nan
        out[name] = np.where(star, empty, galaxies[name])
    out["bulge_share"] = np.where(star, 1.0, galaxies["bulge_share"])
    out["mag_r"] = np.where(star, magnitude, galaxies["mag_r"])
    out["temperature"] = np.where(star, temperature, np.nan)
    return out
