"""Fit every STEP-th galaxy of a file with one peer: `python -m peers NAME FILE OUT`, with `bench/` on PYTHONPATH.

Says "ready" when all is imported and one galaxy has been fitted, and begins when a line comes in, so that all processes
of a peer run at the same time.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

from machine import peak_memory


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--count", type=int, default=None)
    parser.add_argument("--psf", default="psf")
    a = parser.parse_args()
    warnings.simplefilter("ignore")
    peer = importlib.import_module(f"peers.{a.name}")
    with np.load(a.data) as file:
        data = {name: file[name] for name in ("image", "sigma", "start", a.psf)}
    index = range(a.first, len(data["image"]) if a.count is None else a.count, a.step)
    fit(peer, data, a.psf, index[0] if index else 0)
    print("ready", flush=True)
    sys.stdin.readline()
    rows = [fit(peer, data, a.psf, i) for i in index]
    result = {"version": version(a.name), "peak_memory": peak_memory(), "rows": rows}
    a.out.write_text(json.dumps(result))


def fit(peer, data: dict[str, np.ndarray], psf: str, i: int) -> dict[str, float]:
    """One galaxy, its seconds and its chi^2; a peer that fails on it has a result too."""
    image, sigma = data["image"][i].astype(float), data["sigma"][i].astype(float)
    start = {name: float(data["start"][name][i]) for name in data["start"].dtype.names}
    begin = time.perf_counter()
    try:
        row = peer.fit_one(image, sigma, data[psf].astype(float), start)
    except Exception as err:  # whatever a peer raises is a failure of the peer
        row = {"ok": False, "error": f"{type(err).__name__}: {err}"[:200]}
    seconds = time.perf_counter() - begin
    draw = row.pop("model", None)
    if draw is not None and row["ok"]:
        row["chi2"] = float(np.sum(((image - np.asarray(draw())) / sigma) ** 2))
    row = {name: value if isinstance(value, str | bool) else float(value) for name, value in row.items()}
    row["ok"] = row["ok"] and all(math.isfinite(row[name]) for name in ("flux", "re", "n", "q"))
    return {"i": i, "seconds": seconds, **row}


if __name__ == "__main__":
    main()
