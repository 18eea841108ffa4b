"""Finished partitions as files: each appears whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from rosse.errors import StorageError
from rosse.store.publish import sync

_ENDING = ".parquet"
_MARK = b"rosse.fingerprint"  # in the file's own metadata, so that a part can be told from another run's


class Parts:
    """The folder of finished partitions of one run.

    Parameters
    ----------
    folder : where they are.
    mark : fingerprint of the options and inputs; parts that bear another one are not of this run.
    """

    def __init__(self, folder: Path, mark: str) -> None:
        self.folder, self.mark = folder, mark

    def path(self, key: str) -> Path:
        """File of a partition."""
        return self.folder / f"{key}{_ENDING}"

    def write(self, key: str, rows: pa.Table) -> None:
        """Keep the rows of a partition; a `StorageError` leaves nothing behind."""
        marked = rows.replace_schema_metadata({**(rows.schema.metadata or {}), _MARK: self.mark.encode()})
        atomic_write(self.path(key), lambda file: pq.write_table(marked, file, compression="zstd"))

    def finished(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` that are there, whole, and of this run, in the same order."""
        there = {name.removesuffix(_ENDING) for name in os.listdir(self.folder)} if self.folder.is_dir() else set()
        return [key for key in keys if key in there and self._is_ours(self.path(key))]

    def _is_ours(self, path: Path) -> bool:
        try:
            metadata = pq.read_metadata(path).metadata or {}
        except (pa.ArrowException, OSError):  # e.g. a disk that lost its last blocks: it is computed again
            return False
        return bool(metadata.get(_MARK) == self.mark.encode())


def atomic_write(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write beside, flush to disk, rename: readers and a killed run see the old file or the new one, never a half."""
    temporary = path.with_name(f".{path.name}.tmp")
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically."""
    text = json.dumps(content, indent=2) + "\n"
    atomic_write(path, lambda file: file.write(text.encode()))


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """The border to the file system: what it refuses becomes a `StorageError` that says how to go on."""
    try:
        yield
    except OSError as err:
        full = err.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full" if full else (err.strerror or str(err))
        remedy = "make room" if full else "put this right"
        raise StorageError(
            f"cannot write {path}: {why}. What is finished is kept: {remedy} and give the same command again"
        ) from err
