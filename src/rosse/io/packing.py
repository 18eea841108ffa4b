"""Writing a packed store: parts first, then the list of parts by one renaming. Its form is told in `packed`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rosse.errors import InputError, StorageError
from rosse.io.packed import FORMAT, NUMBERS, SCHEMA, Packed, open_packed

if TYPE_CHECKING:
    from rosse.cutouts import Cutouts

GROUP_BYTES = 400_000  # pixels of a row group: a random row costs reading one, so it is small (see bench/packed.py)
PART_BYTES = 2**29


def write_packed(path: str | os.PathLike[str], batches: Cutouts | Iterable[Cutouts], *, append: bool = False) -> Packed:
    """Write cutouts to a packed store, all of them or, if anything fails, none.

    Parameters
    ----------
    path : directory; made if it is not there.
    batches : cutouts in the same bands with the same zero points; frames and PSFs may differ in size.
    append : add to a store that is there; without it, one that is there is an error.

    Raises
    ------
    InputError
        The batches do not go together, or an id comes twice, in them or in the store.
    StorageError
        The disk is full, or writing is not permitted; the store is as it was.
    """
    folder = Path(path)
    if (folder / "packed.json").exists() and not append:
        raise InputError(f"{folder} exists; say append=True to add to it, or name another directory")
    stream = iter([cast("Cutouts", batches)] if hasattr(batches, "flux") else batches)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder), _scratch(folder) as scratch:
            old = open_packed(folder) if (folder / "packed.json").exists() else None
            new = _write_parts(scratch, stream, old, folder)
            for name, _ in new.parts[len(old.parts) if old else 0 :]:
                os.replace(scratch / name, folder / name)
            publish(new)
    except OSError as err:
        raise StorageError(f"{folder} cannot be written ({err.strerror or err}); it is as it was") from err
    return new


def _write_parts(scratch: Path, batches: Iterator[Cutouts], old: Packed | None, folder: Path) -> Packed:
    known = set() if old is None else set(old.ids.tolist())
    first: Any = old
    parts = [] if old is None else list(old.parts)
    number = 1 + max((int(name[5:-8]) for name, _ in parts), default=-1)
    writer, rows, size = None, 0, 0
    for cutouts in batches:
        if first is None:
            first = Packed(path=folder, bands=cutouts.bands, zeropoint=tuple(cutouts.zeropoint.tolist()),
                           psf_has_pixel=cutouts.psf_has_pixel, psf_oversampling=cutouts.psf_oversampling,
                           parts=())  # fmt: skip
        _refuse_misfit(cutouts, first, known)
        if writer is None:
            name = f"part-{number:05d}.parquet"
            writer = pq.ParquetWriter(scratch / name, SCHEMA, compression="lz4", use_dictionary=False,
                                      write_statistics=["id", "ra", "dec"])  # fmt: skip
        table = _table(cutouts)
        writer.write_table(table, row_group_size=max(1, GROUP_BYTES // (2 * cutouts.flux[0].nbytes)))
        rows, size = rows + len(table), size + table.nbytes
        if size > PART_BYTES:
            writer.close()
            parts.append((name, rows))
            number, writer, rows, size = number + 1, None, 0, 0
    if writer is not None:
        writer.close()
        parts.append((name, rows))
    if first is None:
        raise InputError("no cutouts came; at least one is needed")
    for file in scratch.iterdir():
        _sync(file)
    return Packed(path=folder, bands=first.bands, zeropoint=first.zeropoint, psf_has_pixel=first.psf_has_pixel,
                  psf_oversampling=first.psf_oversampling, parts=tuple(parts))  # fmt: skip


def _refuse_misfit(cutouts: Cutouts, store: Packed, known: set[str]) -> None:
    if cutouts.bands != store.bands:
        raise InputError(f"cutouts in bands {cutouts.bands} do not go into a store of {store.bands}")
    if not np.array_equal(cutouts.zeropoint.tolist(), store.zeropoint, equal_nan=True):
        raise InputError(f"cutouts with zero points {cutouts.zeropoint.tolist()} do not go into a store of "
                         f"{list(store.zeropoint)}; scale their flux first")  # fmt: skip
    if cutouts.psf is not None and cutouts.psf_has_pixel != store.psf_has_pixel:
        raise InputError("cutouts whose PSF contains the pixel and others cannot share a store")
    if cutouts.psf is not None and cutouts.psf_oversampling != store.psf_oversampling:
        raise InputError(f"cutouts whose PSF is sampled {cutouts.psf_oversampling} times per pixel do not go into a "
                         f"store with {store.psf_oversampling}")  # fmt: skip
    ids = cutouts.id.tolist()
    twice = [name for name in ids if name in known]
    if twice:
        raise InputError(f"ids must be unique, but these are in the store already: {', '.join(twice[:5])}")
    known.update(ids)


def _table(cutouts: Cutouts) -> pa.Table:
    flux, ivar = (_little(plane) for plane in (cutouts.flux, cutouts.ivar))
    psf = None if cutouts.psf is None else np.broadcast_to(_little(cutouts.psf), (len(flux), *cutouts.psf.shape[1:]))
    corner = cutouts.corner.cpu().numpy()
    numbers = {
        "ra": cutouts.ra, "dec": cutouts.dec, "corner_x": corner[:, 0], "corner_y": corner[:, 1],
        **{name: getattr(cutouts, name).cpu().numpy() for name in ("scale", "north", "parity")},
    }  # fmt: skip
    shapes = (*flux.shape[2:], *((0, 0) if psf is None else psf.shape[2:]))
    arrays = [
        pa.array(cutouts.id.tolist(), pa.string()),
        *(pa.array(numbers[name], pa.float64()) for name in NUMBERS),
        *(pa.array(np.full(len(flux), size, dtype=np.int32)) for size in shapes),
        _binary(flux),
        _binary(ivar),
        pa.nulls(len(flux), pa.large_binary()) if psf is None else _binary(psf),
    ]
    return pa.table(arrays, schema=SCHEMA)


def _little(tensor: Any) -> NDArray[np.float32]:
    return np.asarray(tensor.detach().cpu().numpy(), dtype="<f4")


def _binary(stamps: NDArray[np.float32]) -> pa.Array:
    stamps = np.ascontiguousarray(stamps)
    offsets = np.arange(len(stamps) + 1, dtype=np.int64) * stamps[0].nbytes
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(stamps)]
    return pa.Array.from_buffers(pa.large_binary(), len(stamps), buffers)


def publish(store: Packed) -> None:
    """Put the list of parts in place, in one step; the parts themselves are there already."""
    about = {
        "format": FORMAT,
        "bands": list(store.bands),
        "zeropoint": [None if np.isnan(value) else value for value in store.zeropoint],
        "psf_has_pixel": store.psf_has_pixel,
        "psf_oversampling": store.psf_oversampling,
        "parts": [list(part) for part in store.parts],
    }
    temporary = store.path / ".packed.json"
    temporary.write_text(json.dumps(about, indent=1), encoding="utf-8")
    _sync(temporary)
    os.replace(temporary, store.path / "packed.json")
    _sync(store.path)


def _sync(path: Path) -> None:
    with contextlib.suppress(PermissionError):  # directories cannot be opened on some systems
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    for left in folder.glob(".writing-*"):  # by a writer that was killed: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time; the lock goes with the process."""
    lock: IO[str]
    with (folder / ".lock").open("w") as lock:
        try:
            import fcntl
        except ImportError:  # not on this system: writers have to keep apart themselves
            yield
            return
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
