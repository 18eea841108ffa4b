"""Write a catalogue over another one again and again, killed a little later each time; run by test_replacing.py.

Usage: python kill_writer.py OLD PARTS WORK. ``WORK/0, WORK/1, ...`` are what is left after a kill just before the
first, second, ... change that the writer makes to the file system. OLD is what was there before; if it does not exist,
nothing was.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from rosse.store import write_catalogue

# Loaded once, before the writers split off.
for name in ("astropy.table.meta", "astropy.units", "duckdb", "hats.catalog.partition_info", "hats.pixel_math"):
    importlib.import_module(name)


CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}


def write(target: Path, parts: list[Path], last: int) -> None:
    left = last

    def count(event: str, values: tuple[Any, ...]) -> None:
        nonlocal left
        if event not in CHANGES:
            return
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    sys.addaudithook(count)
    write_catalogue(target, parts, threshold=20, name="c")


def main(old: Path, parts: Path, work: Path) -> None:
    for last in range(1000):
        target = work / str(last)
        if old.exists():
            shutil.copytree(old, target)
        child = os.fork()
        if child == 0:
            write(target, sorted(parts.iterdir()), last)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
