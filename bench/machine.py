"""The machine that a measurement was made on, in words."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path
from threading import Event, Thread


def machine() -> str:
    """CPU model, its cores and the interpreter."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {cores()} cores, Python {platform.python_version()}"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float:
    """Processes that wanted a core during the last minute, on average."""
    return os.getloadavg()[0]


def memory(what: str) -> float:
    """Memory of this process, MB, by its name in Linux's /proc/self/status; NaN elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:")), math.nan)


class OwnMemory(Thread):
    """Most memory between `with` and its end, less pages of files read meanwhile, which the system takes back, MB."""

    def __enter__(self) -> OwnMemory:
        self.before, self.peak, self.ended = memory("RssFile"), 0.0, Event()
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self.join()

    def run(self) -> None:
        while not self.ended.wait(0.01):
            self.peak = max(self.peak, memory("RssAnon") + self.before)


def peak_memory() -> float:
    """Most memory that this process has held at once, MB."""
    return memory("VmHWM")  # getrusage would answer with the parent's where that was larger
