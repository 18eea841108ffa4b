"""Put a finished catalogue in place of the old one, so that a crash leaves one of the two and never half.

A catalogue is built in ``DIR/.rosse-building``. Renaming that to ``.rosse-ready`` is the moment at which the new one
counts: before it a crash leaves the old catalogue untouched, after it whoever opens or writes the directory next
carries the remaining renames out. POSIX cannot exchange several names at once, so for the milliseconds of these
renames the directory has no ``properties`` and no ``run.json``: other readers find no catalogue rather than a mixture.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rosse.errors import CatalogueError, RunError, StorageError
from rosse.store.layout import DATASET, FORMAT, OWNED, RUN

try:
    import fcntl
except ImportError:  # not on Windows: there two writers at once are not kept apart
    fcntl = None  # type: ignore[assignment]

BUILDING = ".rosse-building"
READY = ".rosse-ready"
OLD = ".rosse-old-"
PATIENCE = 30.0  # seconds that a reader waits for the renames of another process


@contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """An empty directory to build in; when the block ends without an error its content replaces the catalogue.

    On any error the half-built content is removed and the old catalogue stays.
    """
    created, lock = not directory.exists(), None
    building = directory / BUILDING
    try:
        with storage_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
            recover(directory)
            _refuse_foreign(directory)
            lock = _begin(building)
            yield building
            _sync_tree(building)
            building.rename(directory / READY)
            _publish(directory)
    except BaseException:
        if lock is not None:
            shutil.rmtree(building, ignore_errors=True)
        if created:
            with suppress(OSError):
                directory.rmdir()
        raise
    finally:
        if lock is not None:
            os.close(lock)


def recover(directory: Path) -> None:
    """Carry out the renames that a killed process left; nothing happens if there are none."""
    deadline = time.monotonic() + PATIENCE
    while (directory / READY).exists():
        lock = _lock(directory / READY)
        if lock is None:  # its writer is alive and at it
            if time.monotonic() > deadline:
                raise RunError(f"another process has been replacing the catalogue {directory} for {PATIENCE:.0f} s")
            time.sleep(0.02)
            continue
        try:
            _publish(directory)
        finally:
            os.close(lock)


@contextmanager
def storage_errors(target: Path) -> Iterator[None]:
    """Errors of the operating system as `StorageError` that says what to do."""
    try:
        yield
    except OSError as err:
        raise StorageError(f"cannot write {target}: {_advice(err, target)}") from err


def sync(path: Path) -> None:
    """Wait until a file or directory is on the disk, so that no later rename survives a power cut without it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as err:
        if err.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot sync directories
            raise
    finally:
        os.close(handle)


def _refuse_foreign(directory: Path) -> None:
    """Replacing removes what bears the names of a catalogue's files, so that they must be a catalogue's."""
    found = [name for name in OWNED if (directory / name).exists()]
    if not found:
        return
    try:
        ours = json.loads((directory / RUN).read_text(encoding="utf-8"))["format"] == FORMAT
    except (OSError, ValueError, TypeError, KeyError):
        ours = False
    if not ours:
        raise CatalogueError(
            f"{directory} holds {found[0]}, which is not of a rosse catalogue; choose another directory"
        )


def _begin(building: Path) -> int:
    """Make the directory to build in, empty and held by this process."""
    building.mkdir(exist_ok=True)
    lock = _lock(building)
    if lock is None:
        raise RunError(f"another process is writing the catalogue {building.parent}; wait, or choose another directory")
    for leftover in building.iterdir():  # of a process that was killed: the lock says that nobody works on it
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    return lock


def _lock(path: Path) -> int | None:
    """Open handle that holds the directory for this process until closed; None if another has it or it moved on."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as err:
        if err.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EBADF):  # a file system without locks
            return handle
        os.close(handle)
        raise
    os.close(handle)
    return None


def _publish(directory: Path) -> None:
    ready = directory / READY
    if (ready / DATASET).exists():  # as long as it is there, every owned name outside is the old catalogue's
        old = Path(tempfile.mkdtemp(prefix=OLD, dir=directory))
        for name in reversed(OWNED):
            if (directory / name).exists():
                (directory / name).rename(old / name)
    for name in OWNED:
        if (ready / name).exists():
            (ready / name).rename(directory / name)
    sync(directory)
    shutil.rmtree(ready)
    for leftover in directory.glob(f"{OLD}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _sync_tree(root: Path) -> None:
    for folder, _, files in os.walk(root, topdown=False):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))


def _advice(err: OSError, target: Path) -> str:
    reason = (err.strerror or str(err)) + (f" ({err.filename})" if err.filename else "")
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{reason}; make room there or choose another place. What was there before is untouched"
    if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{reason}; give yourself write permission on {target.parent} or choose another place"
    return f"{reason}. What was there before is untouched"
