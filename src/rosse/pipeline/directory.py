"""The directory of a run: whose it is, whether it may be gone on with, and when it is done.

    DIR/
      .rosse-run            held by the process that writes here
      parts/run.json        what is being computed: options and inputs
      parts/<key>.parquet   a finished partition
      run.log               what was said on the way
      run.json, dataset/    the catalogue, once there is one

`parts/` goes when every partition is in the catalogue; until then the same command goes on from it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rosse.errors import CatalogueError, OptionError, RunError
from rosse.pipeline.parts import storage, write_json
from rosse.pipeline.record import Record, differences, fingerprint
from rosse.store import open_catalogue
from rosse.store.layout import FORMAT, OWNED, RUN

try:
    import fcntl
except ImportError:  # not on Windows: there two runs at once are not kept apart
    fcntl = None  # type: ignore[assignment]

PARTS = "parts"
LOCK = ".rosse-run"
_DONE = ".rosse-done"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other runs out of a directory; the system frees the lock of a process that dies."""
    path = directory / LOCK
    with storage(path):
        directory.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - held while the caller works
    with file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            who = file.read().strip() or "another process"
            raise RunError(f"{who} is writing to {directory}; wait for it, or give another --out") from None
        with storage(path):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {os.uname().nodename}")
            file.flush()
        yield


def claim(directory: Path, record: Record, *, overwrite: bool) -> str | None:
    """Make a directory this run's own, and give back the fingerprint that its parts bear; None: it is all done.

    Raises
    ------
    OptionError
        The directory holds something else, or a run of other options or inputs.
    """
    under_way, catalogue = directory / PARTS / RUN, directory / RUN
    _remove(directory / _DONE)
    found = _read(under_way) or _read(catalogue)
    if found is None:
        _refuse_foreign(directory)
    elif overwrite:
        _remove(directory / PARTS)
    elif different := differences(found, record):
        raise OptionError(
            f"{directory} holds a run of something else: {'; '.join(different)}. "
            "Give --overwrite to replace it, or another --out"
        )
    elif under_way.exists():
        return str(found["fingerprint"])
    elif _is_whole(directory):
        return None
    mark = fingerprint(record)
    write_json(under_way, record | {"format": FORMAT, "fingerprint": mark})
    return mark


def retire_parts(directory: Path) -> None:
    """Remove the parts: their rows are in the catalogue. A kill leaves all of them or none that counts."""
    with storage(directory):
        (directory / PARTS).rename(directory / _DONE)
    _remove(directory / _DONE)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise OptionError(f"{path} cannot be read ({err}); give another --out") from err
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise OptionError(f"{path} was not written by rosse; give another --out")
    return found


def _is_whole(directory: Path) -> bool:
    try:
        open_catalogue(directory)
    except CatalogueError:
        return False  # somebody took files out: it is computed again
    return True


def _refuse_foreign(directory: Path) -> None:
    """The catalogue replaces what bears its files' names; nothing of somebody else's may."""
    others = [name for name in (PARTS, *OWNED) if (directory / name).exists()]
    if others:
        raise OptionError(f"{directory} holds {', '.join(others)}, which rosse did not write; give another --out")


def _remove(folder: Path) -> None:
    with storage(folder):
        if folder.exists():
            shutil.rmtree(folder)
