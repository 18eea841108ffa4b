"""How many virtual galaxies a machine draws in a second, and what other choices cost.

    python bench/sky_speed.py [--count 2048] [--device cuda] [--out docs/benchmarks.md]

`rosse.observe` on one and on two cores, 64 x 64 pixels of DECaLS in g, r and z with noise and artefacts, then
`rosse simulate --workers 2`, which starts two processes and writes the galaxies and their truth to disk. Each figure is
the best of some tries, which a busy machine disturbs least; the load before the run stands beside it. The time that
processors worked for a galaxy says what no load changes much.
`--device cuda` measures `rosse.observe` on a GPU instead.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

import rosse
from machine import cores, load, machine
from report import publish
from rosse.sky.noise import Noise
from rosse.sky.observe import View, observe_in_batches
from rosse.sky.psf import PsfScatter

BEGIN, END = "<!-- figures of bench/sky_speed.py -->", "<!-- end of the speeds -->"
BANDS = ("g", "r", "z")
SURVEY = "decals"
SHARDS_OF = 5  # times as many galaxies for the command, so that its start is a small part


def rate(work: Callable[[int], object], count: int, tries: int) -> tuple[float, float]:
    """Galaxies per second, and ms of all processors for a galaxy (NaN for other processes): the best of some tries."""
    best, least = 0.0, math.inf
    for _ in range(tries):
        begin, busy = time.perf_counter(), time.process_time()
        work(count)
        best = max(best, count / (time.perf_counter() - begin))
        least = min(least, (time.process_time() - busy) / count * 1e3)
    return best, least


def observed(view: View, survey: str = SURVEY) -> Callable[[int], object]:
    """`rosse.observe` of so many galaxies."""
    return lambda count: rosse.observe(rosse.Population(count, seed=1), survey, view=view)


def simulated(count: int) -> None:
    """`rosse simulate` with two workers, its start included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rosse", "simulate", "--survey", SURVEY, "--bands", ",".join(BANDS)]
        options = ["--n", str(count), "--workers", "2", "--out", str(Path(folder) / "sky")]
        subprocess.run([*command, *options], check=True, capture_output=True)


Row = tuple[str, str, tuple[float, float]]


def on_a_gpu(device: str, count: int, tries: int) -> list[Row]:
    """The same where galaxies are drawn by a GPU, and stay there."""

    def look(view: View, count: int) -> None:
        for _ in observe_in_batches(rosse.Population(count, seed=1), SURVEY, view=view, batch=4096):
            pass
        torch.cuda.synchronize()

    found: list[Row] = []
    for name, noise in (("`observe_in_batches`", Noise()), ("`observe_in_batches` without noise", None)):
        view = View(bands=BANDS, noise=noise, device=device)
        look(view, 256)
        found.append((name, torch.cuda.get_device_name(device), rate(partial(look, view), count, tries)))
    return found


def speeds(count: int, tries: int) -> list[Row]:
    """What was done, on how many cores, and how quickly."""
    plain = View(bands=BANDS)
    found: list[Row] = []
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
    speed, _ = rate(simulated, SHARDS_OF * count, 1)
    found.append(("`rosse simulate --workers 2`, with its start", "2", (speed, math.nan)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2048, help="galaxies to observe; five times as many are simulated")
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for a GPU")
    parser.add_argument("--out", type=Path, help="page whose figures are replaced, docs/benchmarks.md")
    a = parser.parse_args()
    busy = load()
    if a.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device is {a.device}, but torch finds no GPU here")
    rows = speeds(a.count, a.tries) if a.device == "cpu" else on_a_gpu(a.device, a.count, a.tries)
    lines = [
        f"On {machine()}; {a.count} galaxies, {SHARDS_OF * a.count} for the command; load before the run {busy:.1f}.",
        "",
        "| what | cores | galaxies/s | ms of processors for a galaxy |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {used} | {speed:.0f} | {'' if math.isnan(ms) else f'{ms:.1f}'} |"
            for name, used, (speed, ms) in rows
        ),
    ]
    text = "\n".join(lines)
    print(text)
    if a.out:
        publish(a.out, text, begin=BEGIN, end=END)


if __name__ == "__main__":
    main()
