"""A survey cut into parts that are computed alone: regions of mosaics, chunks of files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from rosse.detection import Region
from rosse.errors import InputError, OptionError

if TYPE_CHECKING:
    from rosse.io import CutoutFiles, Mosaic

SIZE = 2048
MARGIN = 288
# Two partitions do not see quite the same sky, so that the centre of a source on their border may move by a fraction
# of a pixel. Each measures a little of its neighbour's part as well, and `overlaps` keeps every source once.
OVERLAP = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldPartition:
    """A part of a mosaic.

    Parameters
    ----------
    key : file name.
    tile : number of the mosaic among those of the run.
    rows, columns : the part that is this partition's own; those of a mosaic tile it.
    region : what is measured: its own part and `OVERLAP` pixels of its neighbours'.
    """

    key: str
    tile: int
    rows: slice
    columns: slice
    region: Region

    @property
    def weight(self) -> float:
        """Pixels."""
        return float((self.rows.stop - self.rows.start) * (self.columns.stop - self.columns.start))


@dataclass(frozen=True, kw_only=True, eq=False)
class FileChunk:
    """Some of the cutouts of a list, in its order."""

    key: str
    entries: tuple[CutoutFiles, ...]

    @property
    def weight(self) -> float:
        """Galaxies."""
        return float(len(self.entries))


def survey_partitions(mosaics: Sequence[Mosaic], *, size: int = SIZE, margin: int = MARGIN) -> list[FieldPartition]:
    """Cut mosaics into squares.

    Parameters
    ----------
    mosaics : tiles of a survey, with different names.
    size : side of a square, pixels; it bounds the memory, not the result's quality.
    margin : pixels that are read around a square; more than half the largest cutout.
    """
    if size < 4 * OVERLAP:
        raise OptionError(f"size is {size} pixels; at least {4 * OVERLAP} are wanted")
    if margin < OVERLAP:
        raise OptionError(f"margin is {margin} pixels; at least {OVERLAP} are wanted")
    names = [file_name(mosaic.name) for mosaic in mosaics]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"mosaics must have different names, but these come more than once: {', '.join(twice[:5])}")
    return [
        partition
        for tile, (name, mosaic) in enumerate(zip(names, mosaics, strict=True))
        for partition in _squares(name, tile, mosaic.shape, size, margin)
    ]


def file_partitions(entries: Sequence[CutoutFiles], *, size: int = 64) -> list[FileChunk]:
    """Cut a list of cutouts into chunks of `size` galaxies."""
    return [
        FileChunk(key=f"chunk-{i // size:06d}", entries=tuple(entries[i : i + size]))
        for i in range(0, len(entries), size)
    ]


def file_name(name: str) -> str:
    """The name with what a file system may not like replaced."""
    return re.sub(r"[^\w.+-]", "_", name).lstrip(".") or "_"


def _squares(name: str, tile: int, shape: tuple[int, int], size: int, margin: int) -> Iterator[FieldPartition]:
    number = 0
    for rows in _pieces(shape[0], size):
        for columns in _pieces(shape[1], size):
            region = Region(
                rows=_widened(rows, shape[0]),
                columns=_widened(columns, shape[1]),
                margin=margin - OVERLAP,
                index=number,
            )
            yield FieldPartition(key=f"{name}-{number:05d}", tile=tile, rows=rows, columns=columns, region=region)
            number += 1


def _pieces(length: int, size: int) -> list[slice]:
    """Pieces of nearly equal length, none longer than `size`: a thin one at the end would be all margin."""
    count = -(-length // size)
    edges = [round(i * length / count) for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _widened(part: slice, length: int) -> slice:
    return slice(max(0, part.start - OVERLAP), min(length, part.stop + OVERLAP))
