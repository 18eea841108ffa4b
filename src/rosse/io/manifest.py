"""Manifests: a CSV or Parquet table with one row per galaxy and the names of its files."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rosse.errors import FileError, InputError
from rosse.io.choose import split_name
from rosse.io.columns import ID_COLUMNS, IMAGE_COLUMNS, known_case, near_misses, numbers, warn_of_near_misses
from rosse.io.cutout_files import CutoutFiles, Reading
from rosse.io.noise import NOISE_KINDS
from rosse.io.patterns import galaxy_name
from rosse.io.source import PICTURE_SUFFIXES

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

# What becomes of a row whose number cannot be read.
_ELSEWHERE = "the position is that of the image's WCS, if it has one"
_MIDDLE = "a PSF that varies is taken at the middle of its field"
_LEFT_OUT = "these galaxies count as unreadable"


def manifest_entries(path: Path, reading: Reading) -> list[CutoutFiles]:
    """Entries of a manifest.

    Columns: ``id``; ``image``; one of ``sigma, variance, ivar, weight``; ``psf``; ``mask``; ``ra``, ``dec``; ``x``,
    ``y``; ``scale``; ``zeropoint``; ``bands``. Columns of files may come once per band, as ``image_g``. Other columns
    are left alone. Paths are relative to the manifest. Without an image column the pictures are found by the id.
    """
    table = known_case(read_table(path))
    if not len(table):
        raise InputError(f"{path} has no rows")
    bands = _image_bands(table)
    warn_of_near_misses(path, table, bands)
    images = _files(path, table, "image", bands) or _files_named(path, table)
    kind = _noise_column(path, table, bands)
    noise = _files(path, table, kind, bands) if kind else [()] * len(table)
    if kind:
        if reading.noise_kind not in ("", kind):
            log.info("%s: its column %s is used before %s", path, kind, reading.noise_kind)
        reading = replace(reading, noise_kind=kind)
    psf, mask = _files(path, table, "psf", bands), _files(path, table, "mask", bands)
    zeropoints, faults = _zeropoints(path, table, bands)
    told = sorted({z for z in zeropoints if isinstance(z, float)})
    if len(told) > 1:
        log.warning(
            "%s: zero points run from %g to %g; all cutouts are brought to %g", path, told[0], told[-1], told[0]
        )
        reading = replace(reading, common_zeropoint=told[0])
    if bands and reading.bands is None:
        reading = replace(reading, bands=bands)
    number = {key: numbers(path, table, key, _ELSEWHERE)[0] for key in ("ra", "dec")}
    number |= {key: numbers(path, table, key, _MIDDLE)[0] for key in ("x", "y")}
    number["scale"], bad = numbers(path, table, "scale", _LEFT_OUT)
    faults |= {row: f"scale is {text!r} in {path.name}; a number is wanted" for row, text in bad.items()}
    names = _ids(path, table, images)
    return [
        CutoutFiles(
            id=names[i], image=images[i], noise=noise[i], psf=psf[i] if psf else (), mask=mask[i] if mask else (),
            ra=number["ra"][i], dec=number["dec"][i], x=number["x"][i], y=number["y"][i],
            scale=None if np.isnan(number["scale"][i]) else float(number["scale"][i]), zeropoint=zeropoints[i],
            bands=_row_bands(table, i), fault=faults.get(i, ""), reading=reading,
        )
        for i in range(len(table))
    ]  # fmt: skip


def read_table(path: Path) -> pd.DataFrame:
    """A manifest with every value as text: ids of 18 digits do not survive as floating point numbers."""
    import pandas as pd

    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            table = pd.read_parquet(path)
            return table.map(_text)
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        table = pd.read_csv(path, dtype=str, keep_default_na=False, sep=separator, skipinitialspace=True,
                            encoding="utf-8-sig")  # fmt: skip
    except FileNotFoundError as err:
        raise FileError(f"{path}: there is no such file") from err
    except (OSError, ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as err:
        raise FileError(f"{path} cannot be read as a table: {err}") from err
    table.columns = [str(column).strip() for column in table.columns]
    return table.map(str.strip)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (list, tuple, np.ndarray)):
        return ",".join(str(v) for v in value)
    return repr(float(value)) if isinstance(value, float) else str(value)


def _image_bands(table: pd.DataFrame) -> tuple[str, ...]:
    if any(column in table.columns for column in IMAGE_COLUMNS):
        return ()
    return tuple(c.removeprefix("image_") for c in table.columns if c.startswith("image_"))


def _files(path: Path, table: pd.DataFrame, role: str, bands: Sequence[str]) -> list[tuple[str, ...]]:
    """Files of a role for each row, absolute; an empty list where the manifest has no such column."""
    alternatives = IMAGE_COLUMNS if role == "image" else (role,)
    columns = [next((c for c in alternatives if c in table.columns), "")]
    if not columns[0]:
        columns = [f"{role}_{band}" for band in bands]
        if not columns or not any(column in table.columns for column in columns):
            return []
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise InputError(f"{path} lacks the column {', '.join(missing)}")
    rows = table[columns].to_numpy(dtype=str)
    return [tuple(_absolute(path, value) for value in row) if all(row) else () for row in rows]


def _absolute(path: Path, value: str) -> str:
    value = os.path.expanduser(value)
    if os.path.isabs(value):
        return value
    beside = os.path.join(path.parent, value)
    if os.path.exists(split_name(beside)[0]) or not os.path.exists(split_name(value)[0]):
        return beside
    return value


def _noise_column(path: Path, table: pd.DataFrame, bands: Sequence[str]) -> str:
    kinds = [k for k in NOISE_KINDS if k in table.columns or any(f"{k}_{b}" in table.columns for b in bands)]
    if len(kinds) > 1:
        raise InputError(f"{path} has the columns {' and '.join(kinds)}; the noise is one map, keep one of them")
    return kinds[0] if kinds else ""


def _zeropoints(
    path: Path, table: pd.DataFrame, bands: Sequence[str]
) -> tuple[list[float | tuple[float, ...] | None], dict[int, str]]:
    """Zero point of each row, and row → why it has none that could be used."""
    columns = [f"zeropoint_{band}" for band in bands]
    if "zeropoint" in table.columns:
        columns = ["zeropoint"]
    elif not columns or not all(column in table.columns for column in columns):
        return [None] * len(table), {}
    faults: dict[int, str] = {}
    values = []
    for column in columns:
        each, bad = numbers(path, table, column, _LEFT_OUT)
        values.append(each)
        faults |= {row: f"{column} is {text!r} in {path.name}; a number is wanted" for row, text in bad.items()}
    if columns == ["zeropoint"]:
        return [None if np.isnan(value) else float(value) for value in values[0]], faults
    return [tuple(float(v) for v in row) for row in np.stack(values, axis=1)], faults


def _row_bands(table: pd.DataFrame, row: int) -> tuple[str, ...] | None:
    if "bands" not in table.columns or not table["bands"].iloc[row]:
        return None
    text = str(table["bands"].iloc[row])
    parts = [part for part in re.split(r"[\s,;|]+", text) if part]
    return tuple(parts) if len(parts) > 1 else tuple(text) if text.islower() else (text,)


def _ids(path: Path, table: pd.DataFrame, images: Sequence[tuple[str, ...]]) -> list[str]:
    column = _id_column(table)
    if column is None:
        return [galaxy_name(files[0]) if files else f"row{i}" for i, files in enumerate(images)]
    names = [str(value) for value in table[column]]
    empty = [i + 1 for i, value in enumerate(names) if not value]
    if empty:
        raise InputError(f"{path}: the {column} is empty in row {', '.join(map(str, empty[:8]))}")
    return names


def _id_column(table: pd.DataFrame) -> str | None:
    return next((column for column in ID_COLUMNS if column in table.columns), None)


def _files_named(path: Path, table: pd.DataFrame) -> list[tuple[str, ...]]:
    """Pictures found by the id, beside the manifest or one folder below, where it has no image column."""
    column = _id_column(table) or str(table.columns[0])
    found: dict[str, str] = {}
    for folder in (path.parent, *sorted(p for p in path.parent.iterdir() if p.is_dir())):
        for file in sorted(folder.iterdir()):
            if file.name.lower().endswith((*PICTURE_SUFFIXES, ".fits", ".fits.gz", ".fits.fz", ".npy")):
                found.setdefault(file.name.split(".fits")[0] if ".fits" in file.name else file.stem, str(file))
    names = [str(value) for value in table[column]]
    if not any(name in found for name in names):
        meant = [c for c, role in near_misses(list(table.columns)).items() if role == "image"]
        hint = f"; rename {meant[0]!r} to 'image' if that is it" if meant else ""
        raise InputError(
            f"{path} has no image column (one of {', '.join(IMAGE_COLUMNS)}, or image_BAND), and no picture "
            f"beside it is named as its {column}; its columns are {', '.join(table.columns[:12])}{hint}"
        )
    log.info("%s has no image column; pictures are found by %s", path, column)
    return [(found.get(name, os.path.join(path.parent, f"{name}.jpg")),) for name in names]
