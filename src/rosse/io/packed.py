"""A packed store: many cutouts in a few Parquet files, made for fast random batches.

A directory holds ``packed.json`` (bands, zero points, the parts) and ``part-N.parquet``: one row per galaxy with
``id``, ``ra``, ``dec``, the other numbers of `Cutouts`, and its pixels as little-endian float32 in the binary columns
``flux``, ``ivar`` and ``psf``; ``np.frombuffer(row.flux, "<f4").reshape(bands, row.height, row.width)`` reads one
without rosse. Stamps may have different sizes. What `packed.json` does not list is not in the store: it is replaced by
renaming after the parts are on disk, so that a write that is killed leaves the store as it was.

Why Parquet in row groups of a few galaxies, and not Zarr: random batches of 64 out of 10^4 cutouts of 3 x 64 x 64
pixels come two to six times faster, since each chunk costs Zarr 0.2 to 0.6 ms whatever its size; writing is faster than
Zarr with one galaxy per chunk; stamps may differ in size; and no further package is needed. ``bench/packed.py``
measures it, ``docs/benchmarks/packed.md`` has the table.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from rosse.errors import FileError, InputError, rows_text

if TYPE_CHECKING:
    from torch import Tensor

    from rosse.cutouts import Cutouts

FORMAT = "rosse packed cutouts 1"
NUMBERS = ("ra", "dec", "scale", "corner_x", "corner_y", "north", "parity")
SHAPES = ("height", "width", "psf_height", "psf_width")
PIXELS = ("flux", "ivar", "psf")
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in NUMBERS),
        *(pa.field(name, pa.int32(), nullable=False) for name in SHAPES),
        *(pa.field(name, pa.large_binary(), nullable=name == "psf") for name in PIXELS),
    ]
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Packed:
    """A packed store, opened for reading. It can be sent to other processes; each opens the files for itself.

    Parameters
    ----------
    path : its directory.
    bands, zeropoint, psf_has_pixel, psf_oversampling : as in `Cutouts`, the same for all.
    parts : file names with their numbers of rows.
    """

    path: Path
    bands: tuple[str, ...]
    zeropoint: tuple[float, ...]
    psf_has_pixel: bool
    psf_oversampling: int
    parts: tuple[tuple[str, int], ...]

    def __len__(self) -> int:
        return sum(rows for _, rows in self.parts)

    @cached_property
    def ids(self) -> NDArray[np.str_]:
        """All ids, in the order of the rows."""
        each = [_numbers(_file(self.path / name))["id"] for name, _ in self.parts]
        return np.concatenate(each).astype(str) if each else np.array([], dtype=str)

    def rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Row numbers of galaxies by their ids."""
        order = np.argsort(self.ids)
        wanted = np.asarray(ids, dtype=str)
        at = np.searchsorted(self.ids, wanted, sorter=order).clip(max=max(0, len(order) - 1))
        found = order[at] if len(order) else np.zeros(len(wanted), dtype=np.int64)
        missing = wanted[self.ids[found] != wanted] if len(order) else wanted
        if missing.size:
            raise InputError(f"{self.path} holds no galaxy {', '.join(missing[:5])}")
        return np.asarray(found, dtype=np.int64)

    def batch(self, indices: ArrayLike) -> Cutouts:
        """The galaxies in these rows, in this order; smaller frames are padded with zero weight."""
        index = np.arange(len(self))[np.asarray(indices)] if np.asarray(indices).dtype == bool else np.asarray(indices)
        index = np.atleast_1d(index).astype(np.int64)
        outside = (index < -len(self)) | (index >= len(self))
        if outside.any():
            raise InputError(f"{rows_text(index[outside].tolist())} do not exist; the store has {len(self)} galaxies")
        if not index.size:
            raise InputError("an empty list of rows came; at least one is needed")
        return _cutouts(self, self._read(index % len(self)))

    def _read(self, index: NDArray[np.int64]) -> list[dict[str, Any]]:
        """Values of the rows in the order asked for."""
        starts = np.cumsum([0, *(rows for _, rows in self.parts)])
        part = np.searchsorted(starts, index, side="right") - 1
        out: list[dict[str, Any]] = [{}] * len(index)
        for number in np.unique(part):
            file = _file(self.path / self.parts[number][0])
            asked = np.flatnonzero(part == number)
            for where, values in zip(asked, _rows(file, index[asked] - starts[number]), strict=True):
                out[where] = values
        return out


def open_packed(path: str | os.PathLike[str]) -> Packed:
    """Open a packed store."""
    folder = Path(path)
    try:
        about = json.loads((folder / "packed.json").read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise FileError(f"{folder} is a store of the format {about['format']!r}; {FORMAT!r} is wanted")
        store = Packed(
            path=folder,
            bands=tuple(about["bands"]),
            zeropoint=tuple(float("nan") if value is None else float(value) for value in about["zeropoint"]),
            psf_has_pixel=bool(about["psf_has_pixel"]),
            psf_oversampling=int(about.get("psf_oversampling", 1)),
            parts=tuple((str(name), int(rows)) for name, rows in about["parts"]),
        )
    except FileNotFoundError as err:
        raise FileError(f"{folder} is not a packed store: it has no packed.json") from err
    except (KeyError, TypeError, ValueError) as err:
        if isinstance(err, FileError):
            raise
        raise FileError(f"{folder / 'packed.json'} is damaged: {err!r}") from err
    missing = [name for name, _ in store.parts if not (folder / name).is_file()]
    if missing:
        raise FileError(f"{folder} lacks {', '.join(missing[:5])}; copy the whole directory")
    return store


def _rows(file: _File, index: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Rows of one part; of the pixels only the row groups that hold them are read."""
    starts = _group_starts(file)
    group = np.searchsorted(starts, index, side="right") - 1
    groups = np.unique(group)
    table = _open(file).read_row_groups(groups.tolist(), columns=list(PIXELS), use_threads=False)
    sizes = starts[groups + 1] - starts[groups]
    offset = np.concatenate([[0], np.cumsum(sizes)])[np.searchsorted(groups, group)]
    position = offset + index - starts[group]
    numbers = {name: values[index].tolist() for name, values in _numbers(file).items()}
    pixels = {name: _stamps(table[name], position) for name in PIXELS}
    names = (*numbers, *pixels)
    return [dict(zip(names, row, strict=True)) for row in zip(*numbers.values(), *pixels.values(), strict=True)]


@lru_cache(maxsize=512)
def _numbers(file: _File) -> dict[str, NDArray[Any]]:
    """All but the pixels of a part (a thousandth of its size): read once, since column by column it is slow."""
    table = _open(file).read(columns=["id", *NUMBERS, *SHAPES], use_threads=False)
    return {name: table[name].to_numpy() for name in table.column_names}


@lru_cache(maxsize=512)
def _group_starts(file: _File) -> NDArray[np.int64]:
    metadata = _open(file).metadata
    return np.cumsum([0, *(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))])


def _stamps(column: pa.ChunkedArray, position: NDArray[np.int64]) -> list[NDArray[np.float32] | None]:
    """Pixels of rows as views into the buffers that were read: they are copied once, into the batch."""
    starts = np.cumsum([0, *(len(chunk) for chunk in column.chunks)])
    chunks = []
    for chunk in column.chunks:
        _, offsets, values = chunk.buffers()
        ends = np.frombuffer(offsets, dtype=np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
        chunks.append((ends, np.frombuffer(values or b"", dtype=np.uint8)))
    out: list[NDArray[np.float32] | None] = []
    for where, at in zip(np.searchsorted(starts, position, side="right") - 1, position, strict=True):
        ends, values = chunks[where]
        row = at - starts[where]
        data = values[ends[row] : ends[row + 1]]
        out.append(data.view("<f4") if data.size else None)
    return out


def _cutouts(store: Packed, rows: list[dict[str, Any]]) -> Cutouts:
    import torch

    from rosse.cutouts import Cutouts

    count = len(store.bands)
    frame = max(row["height"] for row in rows), max(row["width"] for row in rows)
    flux, ivar = (np.zeros((len(rows), count, *frame), dtype=np.float32) for _ in range(2))
    corner = np.empty((len(rows), 2))
    for i, row in enumerate(rows):
        shape = (count, row["height"], row["width"])
        top, left = frame[0] // 2 - shape[1] // 2, frame[1] // 2 - shape[2] // 2
        inside = (i, slice(None), slice(top, top + shape[1]), slice(left, left + shape[2]))
        flux[inside] = row["flux"].reshape(shape)
        ivar[inside] = row["ivar"].reshape(shape)
        corner[i] = row["corner_x"] - left, row["corner_y"] - top
    cutouts = Cutouts(
        flux=torch.from_numpy(flux), ivar=torch.from_numpy(ivar), psf_has_pixel=store.psf_has_pixel, bands=store.bands,
        zeropoint=torch.tensor(store.zeropoint, dtype=torch.float64), corner=torch.from_numpy(corner),
        id=np.array([row["id"] for row in rows], dtype=str),
        ra=np.array([row["ra"] for row in rows]), dec=np.array([row["dec"] for row in rows]),
        psf_oversampling=store.psf_oversampling,
        scale=_vector(rows, "scale"), north=_vector(rows, "north"), parity=_vector(rows, "parity"),
    )  # fmt: skip
    psf = _psf(rows, count)
    # the PSFs were checked and normalised when they were packed; doing it again would change their last digit
    return cutouts if psf is None else cutouts._trusted(psf=torch.from_numpy(psf))


def _vector(rows: list[dict[str, Any]], name: str) -> Tensor:
    import torch

    return torch.tensor([row[name] for row in rows], dtype=torch.float64)


def _psf(rows: list[dict[str, Any]], count: int) -> NDArray[np.float32] | None:
    """PSFs (B or 1, C, h, w), padded to one size; one for all if they are equal."""
    with_psf = [row for row in rows if row["psf"] is not None]
    if not with_psf:
        return None
    if len(with_psf) < len(rows):
        raise InputError("some of these galaxies have a PSF and some have not; choose batches of one kind")
    shapes = {(row["psf_height"], row["psf_width"]) for row in rows}
    if len(shapes) == 1:
        shape = (count, *shapes.pop())
        first = rows[0]["psf"]
        if all(np.array_equal(row["psf"], first) for row in rows):
            return np.array(first.reshape(1, *shape))
        return np.stack([row["psf"].reshape(shape) for row in rows])
    size = max(max(shape) for shape in shapes)
    out = np.zeros((len(rows), count, size, size), dtype=np.float32)
    for i, row in enumerate(rows):
        height, width = row["psf_height"], row["psf_width"]
        top, left = size // 2 - height // 2, size // 2 - width // 2
        out[i, :, top : top + height, left : left + width] = row["psf"].reshape(count, height, width)
    return out


@dataclass(frozen=True)
class _File:
    """A part as it is now: a file that was replaced by another is not the one that was opened before."""

    path: str
    mtime_ns: int
    size: int


def _file(path: Path) -> _File:
    try:
        state = path.stat()
    except OSError as err:
        raise FileError(f"{path} cannot be read: {err.strerror or err}") from err
    return _File(str(path), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=512)
def _open(file: _File) -> pq.ParquetFile:
    """A part, opened once per process; its footer lists many row groups and takes a while to read."""
    path = file.path
    try:
        return pq.ParquetFile(path, memory_map=True)
    except (OSError, pa.ArrowInvalid) as err:
        raise FileError(f"{path} is truncated or damaged: {err}") from err
