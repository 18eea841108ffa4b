"""Columns of a manifest: which names are known, and which of the others were probably meant."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rosse.io.noise import NOISE_KINDS

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

ID_COLUMNS = ("id", "name", "objid", "object_id", "source_id", "iauname", "id_str")
IMAGE_COLUMNS = ("image", "file", "filename", "path", "file_loc", "image_path")
FILES = ("image", *NOISE_KINDS, "psf", "mask")
NUMBERS = ("ra", "dec", "x", "y", "scale", "zeropoint")
KNOWN = (*ID_COLUMNS, *IMAGE_COLUMNS, *FILES, *NUMBERS, "bands")

# What other programs call these things.
_SYNONYMS = {
    "rms": "sigma", "noise": "sigma", "err": "sigma", "error": "sigma", "var": "variance", "invvar": "ivar",
    "inverse_variance": "ivar", "wht": "weight", "seg": "mask", "segmentation": "mask", "img": "image",
    "ra_deg": "ra", "raj2000": "ra", "ra_j2000": "ra", "alpha_j2000": "ra", "right_ascension": "ra",
    "dec_deg": "dec", "dej2000": "dec", "decj2000": "dec", "dec_j2000": "dec", "delta_j2000": "dec",
    "declination": "dec", "zp": "zeropoint", "zero_point": "zeropoint", "magzero": "zeropoint", "magzp": "zeropoint",
    "pixscale": "scale", "pixel_scale": "scale", "band": "bands", "filter": "bands",
}  # fmt: skip
_FILE_ENDING = re.compile(r"[_ -]?(file|filename|path|fits|map|image|img|stamp)s?$")


def known_case(table: pd.DataFrame) -> pd.DataFrame:
    """The table with ``RA`` or ``Image`` spelt as they are known; x and y alone can be anybody's and are left."""
    known = {name for name in KNOWN if len(name) > 1}
    renamed: dict[str, str] = {}
    for column in table.columns:
        name = column.lower()
        if column not in known and name in known and name not in (*table.columns, *renamed.values()):
            renamed[column] = name
    return table.rename(columns=renamed)


def warn_of_near_misses(path: Path, table: pd.DataFrame, bands: Sequence[str]) -> None:
    """Say which columns are left alone although they look like one that is missing."""
    for column, meant in near_misses(list(table.columns), bands).items():
        log.warning("%s: its column %r is not used; did you mean %r?", path, column, meant)


def near_misses(columns: Sequence[str], bands: Sequence[str] = ()) -> dict[str, str]:
    """Column → the name that was probably meant; only names whose place is not taken are thought of."""
    used = {*KNOWN, *(f"{role}_{band}" for role in (*FILES, "zeropoint") for band in bands)}
    taken = {role for role in (*FILES, *NUMBERS, "bands") if any(c == role or c in _per_band(role, bands)
                                                                   for c in columns)}  # fmt: skip
    if any(column in IMAGE_COLUMNS for column in columns):
        taken.add("image")
    if taken & set(NOISE_KINDS):
        taken.update(NOISE_KINDS)
    wanted = [name for name in (*FILES, *NUMBERS, "bands") if name not in taken]
    found = {column: _meant(column, wanted) for column in columns if column not in used}
    return {column: meant for column, meant in found.items() if meant}


def _per_band(role: str, bands: Sequence[str]) -> set[str]:
    return {f"{role}_{band}" for band in bands}


def _meant(column: str, wanted: Sequence[str]) -> str:
    word = column.strip().lower()
    stem = _FILE_ENDING.sub("", word)
    meant = next((name for name in (_SYNONYMS.get(word, word), _SYNONYMS.get(stem, stem)) if name in wanted), "")
    if meant:
        return meant
    long = [name for name in wanted if len(name) > 3]  # three letters are near to everything
    return next(iter(difflib.get_close_matches(stem or word, long, n=1, cutoff=0.8)), "")


def numbers(
    path: Path, table: pd.DataFrame, column: str, otherwise: str
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], dict[int, str]]:
    """Values of a column, NaN where the cell is empty or no number; and row → what stands there instead of a number.

    Parameters
    ----------
    otherwise : what becomes of a row whose cell is no number, for the warning.
    """
    out, bad = np.full(len(table), np.nan), {}
    for i, text in enumerate(table[column] if column in table.columns else ()):
        if text and text.lower() not in ("nan", "null", "none"):
            try:
                out[i] = float(text)
            except ValueError:
                bad[i] = text
    if bad:
        shown = ", ".join(f"row {i + 1} {text!r}" for i, text in list(bad.items())[:5])
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        unit = " of degrees" if column in ("ra", "dec") else ""
        log.warning("%s: %s is no number%s: %s%s; %s", path, column, unit, shown, more, otherwise)
    return out, bad
