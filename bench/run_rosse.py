"""Fit the galaxies of a file with rosse and say how long it took, as JSON: what `bench/fit.py` runs.

With --catalogue N the galaxies are repeated until there are N, in a packed store on disk that is fitted part by part.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import rosse
from machine import OwnMemory, peak_memory
from rosse.io import write_packed


def sersic(r: torch.Tensor, r_e: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
    """Sersic's profile as a user writes it, with b by Prugniel & Simien (1997, eq. A3a)."""
    b = 2 * n - 1 / 3 + 0.009876 / n
    return torch.exp(-b * ((r / r_e).clamp_min(1e-9) ** (1 / n) - 1))


OWN = rosse.Profile(
    function=sersic,
    declared=(rosse.Parameter.length("r_e", "half-light radius"), rosse.Parameter.number("n", 0.4, 8.0, "index")),
)
BULGE_DISC = rosse.Sersic("bulge") + rosse.Exponential("disc")
FITTED = ("ok", "exceeds_frame")
PART = 256  # galaxies of a catalogue that are in memory at a time
ON_GPU = 8192  # galaxies that a GPU is given
AT_LEAST = 256  # galaxies of a fit that is timed: fewer are repeated, for nobody waits for a fit of a few


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cores", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--bulge-disc", action="store_true")
    parser.add_argument("--own", action="store_true", help="the same profile as a function of one's own")
    parser.add_argument("--catalogue", type=int, default=0)
    parser.add_argument("--repeat", type=int, help="fit so many, the same again and again; a GPU wants thousands")
    parser.add_argument("--seconds", type=float, default=5.0, help="fit them again and again for so long")
    a = parser.parse_args()
    torch.set_num_threads(a.cores)
    with np.load(a.data) as file:
        data = {name: file[name] for name in ("image", "sigma", "psf", "zp")}
    model = BULGE_DISC if a.bulge_disc else OWN if a.own else rosse.Sersic()
    cutouts = rosse.Cutouts.from_arrays(
        data["image"], sigma=data["sigma"], psf=data["psf"], zeropoint=float(data["zp"])
    )
    rosse.fit(cutouts[:8].to(a.device), model)  # tables are made once
    result = {"version": rosse.__version__, "torch": torch.__version__, "device": device_name(a.device)}
    if a.catalogue:
        result |= catalogue(cutouts, model, a.catalogue)
    else:
        count = a.repeat or (ON_GPU if a.device == "cuda" else max(len(cutouts), AT_LEAST))
        many = cutouts if count == len(cutouts) else repeated(cutouts, count)
        seconds = timed(lambda: rosse.fit(many.to(a.device), model).table(), a.seconds)
        result |= {"count": count, "rate": len(many) / seconds, "peak_memory": peak_memory()}
        if a.device == "cuda":
            result["device_memory"] = torch.cuda.max_memory_allocated() / 1e6
        result["rows"] = rows(rosse.fit(cutouts.to(a.device), model), data, bulge_disc=a.bulge_disc)
    a.out.write_text(json.dumps(result))


def device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


def timed(work: Callable[[], object], at_least: float) -> float:
    """Mean seconds of one call. A table is on the host, so nothing is left running on a GPU."""
    count, begin = 0, time.perf_counter()
    while not count or time.perf_counter() - begin < at_least:
        work()
        count += 1
    return (time.perf_counter() - begin) / count


def repeated(cutouts: rosse.Cutouts, count: int) -> rosse.Cutouts:
    some = cutouts[np.arange(count) % len(cutouts)]
    return replace(some, id=np.array([f"galaxy{i}" for i in range(count)]))


def catalogue(cutouts: rosse.Cutouts, model: object, count: int) -> dict[str, float]:
    """Rate and memory of a catalogue on disk."""

    def parts() -> Iterator[rosse.Cutouts]:
        for first in range(0, count, PART):
            index = np.arange(first, min(first + PART, count))
            some = cutouts[index % len(cutouts)]
            yield replace(some, id=np.array([f"galaxy{i}" for i in index]))

    with tempfile.TemporaryDirectory() as folder:
        store = write_packed(Path(folder) / "store", parts())
        begin = time.perf_counter()
        with OwnMemory() as own:
            for first in range(0, count, PART):
                rosse.fit(store.batch(np.arange(first, min(first + PART, count))), model).table()
        return {"count": count, "rate": count / (time.perf_counter() - begin), "peak_memory": own.peak}


def rows(fit: rosse.Fit, data: dict[str, np.ndarray], *, bulge_disc: bool) -> list[dict[str, float]]:
    """Results as the adapters of the peers give them; chi^2 over the same pixels by the same sum."""
    table = fit.table()
    names = {"": "bulge_", "_d": "disc_"} if bulge_disc else {"": ""}
    columns = {"ok": np.isin(table["status"], FITTED), "sigma_n": table[f"sigma_{names['']}n"]}
    for s, prefix in names.items():
        columns |= {k + s: table[prefix + c] for k, c in (("flux", "flux"), ("re", "r_e"), ("q", "q"))}
        columns["n" + s] = np.ones(len(table)) if s else table[prefix + "n"]
    models = fit.model_images()[:, 0].cpu().numpy()
    columns["chi2"] = (((data["image"] - models) / data["sigma"]) ** 2).sum((1, 2), dtype=np.float64)
    values = {name: np.asarray(column).tolist() for name, column in columns.items()}
    return [{"i": i} | {name: column[i] for name, column in values.items()} for i in range(len(table))]


if __name__ == "__main__":
    main()
