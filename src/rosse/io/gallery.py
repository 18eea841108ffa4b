"""Images of many galaxies, read a batch at a time: a packed store, or files that are opened when they are wanted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rosse.errors import FileError, InputError
from rosse.io.cutout_files import CutoutFiles, is_picture, list_cutouts
from rosse.io.images import picture_planes
from rosse.io.loading import Broken, load_cutouts
from rosse.io.packed import Packed, open_packed

if TYPE_CHECKING:
    from rosse.cutouts import Cutouts

THREADS = 4  # that read files at the same time: decoding leaves Python's lock


@dataclass(frozen=True, kw_only=True, eq=False)
class Gallery:
    """Files of galaxies, opened as their turn comes. What cannot be read is an error of the batch that wants it.

    Parameters
    ----------
    entries : files of each galaxy.
    """

    entries: tuple[CutoutFiles, ...]

    @cached_property
    def ids(self) -> NDArray[np.str_]:
        """(N,) names of the galaxies."""
        return np.array([entry.id for entry in self.entries], dtype=str)

    def __len__(self) -> int:
        return len(self.entries)

    def each(self, indices: ArrayLike) -> list[Cutouts | Broken]:
        """The galaxies in these rows, in this order, each alone, or why it cannot be read."""
        chosen = [self.entries[i] for i in np.asarray(indices).tolist()]
        if len(chosen) < 2:
            return [_read(entry) for entry in chosen]
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(_read, chosen))

    def batch(self, indices: ArrayLike) -> Cutouts:
        """The galaxies in these rows, in this order; smaller frames are padded with zero weight."""
        from rosse.cutouts import stack_cutouts

        found = self.each(indices)
        broken = [each for each in found if isinstance(each, Broken)]
        if broken:
            more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
            raise FileError(f"galaxy {broken[0].id}{more} cannot be read: {broken[0].reason}")
        return stack_cutouts([each for each in found if not isinstance(each, Broken)])

    def only(self, ids: Iterable[str]) -> Gallery:
        """The galaxies of these names, in their order."""
        entry_of = {entry.id: entry for entry in self.entries}
        return Gallery(entries=tuple(entry_of[name] for name in ids))


def open_images(source: Any, *, near: str | os.PathLike[str] | None = None, **reading: Any) -> Packed | Gallery:
    """Images of a packed store, a folder, a list of files, or a manifest.

    Parameters
    ----------
    source : path, or what `rosse.read_cutouts` takes.
    near : folder of the images, where a manifest does not lie beside them.
    reading : further arguments of `rosse.io.list_cutouts`.
    """
    if isinstance(source, (str, os.PathLike)) and (Path(source) / "packed.json").is_file():
        given = [name for name, value in reading.items() if value not in (None, False)]
        if given:
            raise InputError(f"{source} is a packed store, which knows all of its images; {given[0]} is not for it")
        return open_packed(source)
    return Gallery(entries=tuple(list_cutouts(near if near is not None else source, **reading)))


def _read(entry: CutoutFiles) -> Cutouts | Broken:
    """One galaxy. A picture keeps its values from 0 to 255 and has a weight of 1: nobody knows its noise."""
    if not is_picture(entry.image) or entry.fault:
        cutouts, broken = load_cutouts([entry])
        return broken[0] if cutouts is None else cutouts
    try:
        return _picture(entry)
    except Exception as err:  # a broken file may break a reader in ways that nobody foresaw
        reason = str(err) if isinstance(err, InputError) else f"{type(err).__name__}: {err}"
        return Broken(id=entry.id, path=entry.image[0], reason=reason)


def _picture(entry: CutoutFiles) -> Cutouts:
    """R, G and B of a picture; a grey one has three times the same."""
    import torch

    from rosse.cutouts import Cutouts

    planes, _ = picture_planes(entry.image[0])
    pixels = np.stack([np.asarray(plane.array, dtype=np.float32) for plane in planes])
    flux = torch.from_numpy(np.repeat(pixels, 3, axis=0) if len(pixels) == 1 else pixels)[None]
    scale = entry.scale if entry.scale is not None else entry.reading.scale
    return Cutouts(
        flux=flux, ivar=torch.ones_like(flux), bands=("R", "G", "B"), id=np.array([entry.id], dtype=str),
        scale=torch.tensor([np.nan if scale is None else scale], dtype=torch.float64),
        ra=np.array([entry.ra]), dec=np.array([entry.dec]),
    )  # fmt: skip
