"""Images as networks see them, galaxy by galaxy: nothing depends on who else is in a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.errors import FileError, InputError
from rosse.io.columns import ID_COLUMNS
from rosse.io.gallery import Gallery, open_images
from rosse.io.loading import Broken
from rosse.io.manifest import read_table
from rosse.nets.conditions import NAMES
from rosse.nets.preparing import Batch, Images, InMemory, Preparation

REDSHIFTS = ("redshift", "z", "zspec", "z_spec", "photo_z", "zphot")  # columns, the surest first


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """Some galaxies of `Images`.

    Parameters
    ----------
    batch : what a network sees of those that could be read.
    good : (B,) where these stand among those that were asked for.
    id, ra, dec : (B,) of these.
    blank : (B,) whether no pixel carries weight.
    broken : the others.
    """

    batch: Batch
    good: NDArray[np.int64]
    id: NDArray[np.str_]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    blank: NDArray[np.bool_]
    broken: tuple[Broken, ...] = ()


def as_images(images: Cutouts | Images | str | Path) -> Images:
    """What batches come from."""
    if isinstance(images, Cutouts):
        return InMemory(cutouts=images)
    return open_images(images) if isinstance(images, (str, Path)) else images


def see(images: Images, rows: NDArray[np.int64], preparation: Preparation, redshift: NDArray[np.float64]) -> Seen:
    """Prepared images of rows.

    Parameters
    ----------
    images : of all galaxies.
    rows : (N,) that are wanted.
    preparation : of the network.
    redshift : (N,) of these, NaN where unknown.
    """
    if isinstance(images, Gallery):
        return _see_files(images, rows, preparation, redshift)
    cutouts = images.batch(rows)
    if not np.array_equal(cutouts.id, images.ids[rows]):
        raise InputError("images came in another order than their ids")
    return Seen(batch=preparation(cutouts, redshift), good=np.arange(len(rows)), id=cutouts.id, ra=cutouts.ra,
                dec=cutouts.dec, blank=_blank(cutouts))  # fmt: skip


def _see_files(
    images: Gallery, rows: NDArray[np.int64], preparation: Preparation, redshift: NDArray[np.float64]
) -> Seen:
    good, parts, broken, who = [], [], [], []
    for place, each in enumerate(images.each(rows)):
        if isinstance(each, Broken):
            broken.append(each)
            continue
        try:
            parts.append(preparation(each, redshift[place : place + 1]))
        except InputError as err:
            broken.append(Broken(id=str(each.id[0]), path="", reason=str(err)))
            continue
        good.append(place)
        who.append(each)
    side = preparation.side
    empty = Batch(pixels=torch.empty(0, len(preparation.bands), side, side), conditions=torch.empty(0, len(NAMES)))
    batch = Batch(pixels=_joined([empty, *parts], "pixels"), conditions=_joined([empty, *parts], "conditions"))
    return Seen(
        batch=batch, good=np.array(good, dtype=np.int64), id=np.array([str(c.id[0]) for c in who], dtype=str),
        ra=np.array([c.ra[0] for c in who]), dec=np.array([c.dec[0] for c in who]),
        blank=np.array([_blank(c)[0] for c in who], dtype=bool), broken=tuple(broken),
    )  # fmt: skip


def _joined(parts: list[Batch], name: str) -> Tensor:
    return torch.cat([getattr(part, name) for part in parts])


def _blank(cutouts: Cutouts) -> NDArray[np.bool_]:
    return np.asarray(~(cutouts.ivar > 0).flatten(1).any(1).cpu().numpy())


def redshifts(given: ArrayLike | Mapping[str, float] | None, ids: NDArray[np.str_]) -> NDArray[np.float64]:
    """Redshift (N,) of each id, NaN where unknown, from an array, from id → redshift, or from nothing."""
    if given is None:
        return np.full(len(ids), np.nan)
    if isinstance(given, Mapping):
        return np.array([given.get(str(name), np.nan) for name in ids], dtype=np.float64)
    z = np.asarray(given.cpu() if isinstance(given, Tensor) else given, dtype=np.float64)
    if z.shape != (len(ids),):
        raise InputError(f"redshift has shape {z.shape}; one number for each of {len(ids)} galaxies is wanted")
    return z


def read_redshifts(path: str | Path) -> dict[str, float]:
    """Redshifts by id, of a CSV or Parquet table with a column of ids and one of `REDSHIFTS`."""
    table = read_table(Path(path))
    names: dict[str, Any] = {str(column).lower(): column for column in table.columns}
    name_of = next((names[name] for name in ID_COLUMNS if name in names), None)
    z = next((names[name] for name in REDSHIFTS if name in names), None)
    if name_of is None or z is None:
        raise FileError(f"{path} lacks a column of {'ids' if name_of is None else 'redshifts'}: one of "
                        f"{', '.join(ID_COLUMNS if name_of is None else REDSHIFTS)}")  # fmt: skip
    try:
        pairs = [(str(name), float(value)) for name, value in zip(table[name_of], table[z], strict=True) if str(value)]
    except ValueError as err:
        raise FileError(f"{path}: column {z} holds something that is no number: {err}") from err
    return dict(pairs)
