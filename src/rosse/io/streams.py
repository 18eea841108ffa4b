"""Files as seekable byte streams, whether they are stored plainly or packed with gzip, bzip2 or xz."""

from __future__ import annotations

import bz2
import gzip
import logging
import lzma
import os
import shutil
import tempfile
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import IO, Any

from rosse.errors import FileError

log = logging.getLogger(__name__)

# Told by their first bytes: a survey's `.fits` may be packed, and a `.gz` may have been unpacked on the way.
PACKINGS: dict[bytes, Callable[[str], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}

IN_MEMORY = 16 * 2**20  # unpacked files up to this size stay in memory, larger ones go to an unnamed temporary file
LARGE = 2**30


@dataclass(frozen=True, eq=False)
class _Unpacked:
    """An unpacked copy: it has no name on disk, so that it is gone with the process, however that ends."""

    stream: IO[bytes]
    lock: threading.RLock = field(default_factory=threading.RLock)  # readers share one position


@contextmanager
def open_stream(path: str) -> Iterator[IO[bytes]]:
    """Open a file for reading at any position.

    A packed file is a stream without random access: it is unpacked once per process, into memory when small, else
    into an unnamed temporary file (in ``$TMPDIR``). Sections of a large packed mosaic are cheaper from a plain
    or fpacked file.
    """
    opener = _packing(path)
    if opener is None:
        with open(path, "rb", buffering=0) as stream:
            yield stream
        return
    state = os.stat(path)
    unpacked = _unpacked(path, state.st_mtime_ns, state.st_size)
    with unpacked.lock:
        yield unpacked.stream


def stream_size(stream: IO[bytes]) -> int:
    """Length in bytes."""
    here = stream.tell()
    size = stream.seek(0, os.SEEK_END)
    stream.seek(here)
    return size


def _packing(path: str) -> Callable[[str], Any] | None:
    try:
        with open(path, "rb") as stream:
            start = stream.read(6)
    except FileNotFoundError as err:
        raise FileError(f"{path}: there is no such file") from err
    except OSError as err:
        raise FileError(f"{path} cannot be read: {err.strerror or err}") from err
    if not start:
        raise FileError(f"{path} is empty (0 bytes)")
    return next((opener for magic, opener in PACKINGS.items() if start.startswith(magic)), None)


@lru_cache(maxsize=16)
def _unpacked(path: str, mtime_ns: int, size: int) -> _Unpacked:
    del mtime_ns  # part of the cache's key only: a file that changed is unpacked again
    opener = _packing(path) or open
    stream: Any = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - it lives as long as the cache
    try:
        with opener(path) as packed:
            shutil.copyfileobj(packed, stream, 2**20)
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as err:
        unpacked_size = stream.tell()
        stream.close()
        if isinstance(err, OSError) and err.errno is not None:  # the system's word, not the unpacker's
            raise FileError(
                f"{path} cannot be unpacked into {tempfile.gettempdir()} ({err.strerror}); unpack it yourself or set "
                "TMPDIR to a disk with room"
            ) from err
        raise FileError(
            f"{path} is truncated or damaged: it ends after {size} packed bytes, {unpacked_size} unpacked ({err}); "
            "fetch it again"
        ) from err
    if stream.tell() > LARGE:
        log.warning(
            "%s was unpacked into %s (%.1f GB, once per process); unpack or fpack it to read sections directly",
            path, tempfile.gettempdir(), stream.tell() / 1e9,
        )  # fmt: skip
    unpacked = _Unpacked(stream)
    weakref.finalize(unpacked, stream.close)  # when it leaves the cache and no reader holds it any more
    return unpacked
