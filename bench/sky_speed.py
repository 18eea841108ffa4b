"""How many virtual galaxies a machine draws in a second, and what other choices cost.

    python bench/sky_speed.py [--count 2048] [--out docs/benchmarks.md]

`rosse.observe` on one and on two cores, 64 x 64 pixels of DECaLS in g, r and z with noise and artefacts, then
`rosse simulate --workers 2`, which starts two processes and writes the galaxies and their truth to disk. Each figure is
the best of some tries, which a busy machine disturbs least; the load before the run stands beside it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

import rosse
from machine import cores, load, machine
from report import publish
from rosse.sky.observe import View
from rosse.sky.psf import PsfScatter

BEGIN, END = "<!-- figures of bench/sky_speed.py -->", "<!-- end of the speeds -->"
BANDS = ("g", "r", "z")
SURVEY = "decals"
SHARDS_OF = 5  # times as many galaxies for the command, so that its start is a small part


def rate(work: Callable[[int], object], count: int, tries: int) -> float:
    """Galaxies per second, the best of some tries."""
    best = 0.0
    for _ in range(tries):
        begin = time.perf_counter()
        work(count)
        best = max(best, count / (time.perf_counter() - begin))
    return best


def observed(view: View, survey: str = SURVEY) -> Callable[[int], object]:
    """`rosse.observe` of so many galaxies."""
    return lambda count: rosse.observe(rosse.Population(count, seed=1), survey, view=view)


def simulated(count: int) -> None:
    """`rosse simulate` with two workers, its start included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rosse", "simulate", "--survey", SURVEY, "--bands", ",".join(BANDS)]
        options = ["--n", str(count), "--workers", "2", "--out", str(Path(folder) / "sky")]
        subprocess.run([*command, *options], check=True, capture_output=True)


def speeds(count: int, tries: int) -> list[tuple[str, str, float]]:
    """What was done, on how many cores, and galaxies/s."""
    plain = View(bands=BANDS)
    found = []
    for threads in sorted({1, min(2, cores())}):
        torch.set_num_threads(threads)
        observed(plain)(min(count, 64))  # tables that are made once
        found.append(("`observe`", str(threads), rate(observed(plain), count, tries)))
    others = {
        "`observe`, a PSF for each galaxy": View(bands=BANDS, scatter=PsfScatter()),
        "`observe` without noise": View(bands=BANDS, noise=None),
        "`observe`, 128 x 128 pixels": View(bands=BANDS, frame=128),
    }
    for name, view in others.items():
        found.append((name, str(torch.get_num_threads()), rate(observed(view), max(1, count // 2), tries)))
    found.append(("`rosse simulate --workers 2`, with its start", "2", rate(simulated, SHARDS_OF * count, 1)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2048, help="galaxies to observe; five times as many are simulated")
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--out", type=Path, help="page whose figures are replaced, docs/benchmarks.md")
    a = parser.parse_args()
    busy = load()
    lines = [
        f"On {machine()}; {a.count} galaxies, {SHARDS_OF * a.count} for the command; load before the run {busy:.1f}.",
        "",
        "| what | cores | galaxies/s |",
        "|---|---:|---:|",
        *(f"| {name} | {used} | {speed:.0f} |" for name, used, speed in speeds(a.count, a.tries)),
    ]
    text = "\n".join(lines)
    print(text)
    if a.out:
        publish(a.out, text, begin=BEGIN, end=END)


if __name__ == "__main__":
    main()
