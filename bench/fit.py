"""Single Sersic fits: rosse beside the other fitters, on the same 256 GalSim galaxies.

    python bench/fit.py PEERS [--threads 2]

PEERS is a folder with `data/single.npz` (images, noise, PSF, truth) and `results/<peer>_single.json` (what each other
fitter returned, with its seconds per galaxy on one thread of the machine it ran on). Rosse is timed here and now. The
table says how far the median galaxy with S/N above 300 is from the truth, the bias and the width of the pulls in n.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def line(
    name: str, seconds: str, values: Mapping[str, np.ndarray], truth: np.ndarray, sigma_n: np.ndarray | None
) -> str:
    bright = (truth["snr"] > 300) & np.isfinite(values["n"])
    error = {
        "r_e": np.abs(values["re"] / truth["re"] - 1),
        "n": np.abs(values["n"] / truth["n"] - 1),
        "q": np.abs(values["q"] - truth["q"]),
        "mag": np.abs(values["mag"] - truth["mag"]),
    }
    cells = [f"{100 * np.median(error[k][bright]):.2f} %" for k in ("r_e", "n")]
    cells += [f"{np.median(error[k][bright]):.4f}" for k in ("q", "mag")]
    cells.append(f"{100 * np.median((values['n'] / truth['n'] - 1)[bright]):+.2f} %")
    width = "-"
    if sigma_n is not None:
        low, high = np.percentile(((values["n"] - truth["n"]) / sigma_n)[bright], [16, 84])
        width = f"{(high - low) / 2:.2f}"
    return f"| {name} | {seconds} | {int(np.isfinite(values['n']).sum())} | {' | '.join(cells)} | {width} |"


def rosse_line(data: Mapping[str, np.ndarray], threads: int) -> str:
    import torch

    import rosse

    torch.set_num_threads(threads)
    cutouts = rosse.Cutouts.from_arrays(
        data["image"], sigma=data["sigma"], psf=data["psf"], zeropoint=float(data["zp"])
    )
    rosse.fit(cutouts[:8])  # tables are made once
    start = time.perf_counter()
    table = rosse.fit(cutouts).table()
    seconds = (time.perf_counter() - start) / len(cutouts)
    keep = np.isin(table["status"], ["ok", "exceeds_frame"])
    values = {k: np.where(keep, table[c], np.nan) for k, c in (("re", "r_e"), ("n", "n"), ("q", "q"), ("mag", "mag"))}
    name = f"**rosse {rosse.__version__}** ({threads} thread{'s' if threads > 1 else ''})"
    return line(name, f"{seconds:.4f}", values, data["truth"], np.asarray(table["sigma_n"]))


def peer_line(path: Path, truth: np.ndarray) -> str | None:
    result = json.loads(path.read_text())
    rows = result["rows"]
    if len(rows) < len(truth):
        return None
    ok = np.array([row["ok"] for row in rows])
    values = {
        k: np.where(ok, [row.get(k, np.nan) for row in rows], np.nan).astype(float) for k in ("re", "n", "q", "mag")
    }
    sigma_n = np.array([row.get("e_n", np.nan) for row in rows], dtype=float) if "e_n" in rows[0] else None
    name = result["peer"] + (", PSF without the pixel" if result["variant"] == "pointpsf" else "")
    return line(
        f"{name} {result['version']}", f"{np.median([row['seconds'] for row in rows]):.3f} *", values, truth, sigma_n
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    with np.load(arguments.peers / "data" / "single.npz") as file:
        data = {name: file[name] for name in file.files}
    print(f"256 galaxies of 128 x 128 pixels; rosse on {machine()}\n")
    print("| fitter | s/galaxy | fitted | r_e | n | q | mag | bias of n | width of pulls in n |")
    print("|---|---|---|---|---|---|---|---|---|")
    print(rosse_line(data, arguments.threads))
    for path in sorted((arguments.peers / "results").glob("*_single.json")):
        text = peer_line(path, data["truth"])
        if text:
            print(text)
    print("\n\\* as recorded with the peer's results, one thread of another machine: compare seconds with care.")


if __name__ == "__main__":
    main()
