"""What a fit with rosse costs in memory traffic and arithmetic, and how near this machine's limits it runs.

    python bench/roofline.py [--data single.npz] [--device cuda] [--out docs/benchmarks.md]

Every operation that draws a model, or makes chi^2 and its normal equations of it, is counted while rosse fits: the
bytes of the tensors that go in and come out, and the arithmetic (2 m n k for a product, 2.5 N log2 N for a real
transform of N pixels and 5 N log2 N for a complex one, 1 for each element of anything else). Then the machine's limits
are measured.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import rosse
from machine import cores, load, machine
from report import publish
from rosse.fitting.problem import Problem, Tangent

ALL, FEWER = "on all pixels of the frame", "on its middle, or on wider pixels"
BEGIN, END = "<!-- figures of bench/roofline.py -->", "<!-- end of the limits -->"
PRODUCTS = ("mm", "bmm", "addmm", "baddbmm")
NO_WORK = (
    "view", "reshape", "_unsafe_view", "expand", "slice", "select", "unsqueeze", "squeeze", "transpose", "permute", "t",
    "alias", "detach", "empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "as_strided", "split",
    "unbind", "diagonal", "view_as_real", "view_as_complex", "unfold", "_conj", "conj", "is_nonzero",
    "_local_scalar_dense",
)  # fmt: skip
H200 = {"memory": 4.8e12, "arithmetic": 67e12}  # bytes/s and single-precision flop/s of the data sheet


@dataclass
class Cost:
    """What was done on some pixels."""

    evaluations: int = 0
    bytes: float = 0.0
    flops: float = 0.0
    by_kind: Counter[str] = field(default_factory=Counter)


class Count(TorchDispatchMode):
    """Adds the cost of everything that is called under it."""

    def __init__(self, cost: Cost) -> None:
        super().__init__()
        self.cost = cost

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name not in NO_WORK:
            given = {key: value for key, value in (kwargs or {}).items() if key != "out"}
            ins = [t for t in tree_leaves((args, given)) if isinstance(t, torch.Tensor)]
            outs = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
            read, written = sum(map(distinct_bytes, ins)), sum(map(distinct_bytes, outs))
            if name in ("index_select", "index"):  # of the table, only what is asked for
                read += written - distinct_bytes(ins[0])
            self.cost.bytes += read + written
            self.cost.flops += arithmetic(name, ins, outs)
            self.cost.by_kind[kind(name)] += read + written
        return out


def distinct_bytes(t: torch.Tensor) -> int:
    """Bytes that a tensor has in memory; what is expanded is there once."""
    return math.prod(n for n, s in zip(t.shape, t.stride(), strict=True) if s) * t.element_size()


def arithmetic(name: str, ins: list[torch.Tensor], outs: list[torch.Tensor]) -> float:
    if name in PRODUCTS:
        *_, left, right = ins
        return 2.0 * left.numel() * right.shape[-1]
    if name.startswith("_fft"):
        line = max(ins[0].shape[-1], outs[0].shape[-1]) if name != "_fft_c2c" else ins[0].shape[-2]
        numbers = max(ins[0].numel(), outs[0].numel())
        return (5.0 if name == "_fft_c2c" else 2.5) * numbers * math.log2(line)
    return float(sum(t.numel() * (2 if t.is_complex() else 1) for t in outs))


def kind(name: str) -> str:
    if name in PRODUCTS:
        return "products"
    return "transforms" if name.startswith("_fft") else "element by element"


def count_fit(cutouts: rosse.Cutouts) -> dict[str, Cost]:
    """Cost of what a fit draws and multiplies, on all pixels of the frame and on fewer."""
    costs = {ALL: Cost(), FEWER: Cost()}
    whole = math.prod(cutouts.frame)
    originals = [(Problem, "evaluate"), (Problem, "tangent"), (Tangent, "near"), (Problem, "drawn")]
    within: list[str] = []  # what is being counted: what it calls is part of it

    def counting(original: Callable[..., Any], of: type) -> Callable[..., Any]:
        def counted(self: Any, vector: torch.Tensor, *rest: Any) -> Any:
            view = (self if of is Problem else self.problem).view
            cost = costs[ALL if math.prod(view.grid.frame) * view.zoom**2 == whole and view.zoom == 1 else FEWER]
            if within:
                return original(self, vector, *rest)
            cost.evaluations += len(vector)
            within.append(original.__name__)
            try:
                with Count(cost):
                    return original(self, vector, *rest)
            finally:
                within.clear()

        return counted

    kept = [(of, name, getattr(of, name)) for of, name in originals]
    torch.set_num_threads(1)  # counts are not shared between threads
    try:
        for of, name, original in kept:
            setattr(of, name, counting(original, of))
        rosse.fit(cutouts)
    finally:
        for of, name, original in kept:
            setattr(of, name, original)
        torch.set_num_threads(cores())
    return costs


# --- the machine ---------------------------------------------------------------------------------------------------


def rate(work: Callable[[], object], amount: float, device: str) -> float:
    """Amount per second, the best of some tries."""
    best = math.inf
    for _ in range(8):
        begin = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return amount / best


def copy_rate(numbers: int, device: str) -> float:
    there = torch.ones(numbers, device=device)
    here = torch.empty_like(there)
    return rate(lambda: here.copy_(there), 8.0 * numbers, device)


def limits(device: str) -> dict[str, float]:
    """Bytes/s between memory and cores (a copy), and flop/s in single precision (a product of matrices)."""
    memory = copy_rate(2**27 if device == "cpu" else 2**30, device)
    small = torch.ones(2**16, device=device)  # 256 kB: stays in the second cache of one core
    out = torch.empty_like(small)
    torch.set_num_threads(1)
    cache = rate(lambda: [torch.add(small, small, out=out) for _ in range(500)], 500 * 8.0 * 2**16, device)
    torch.set_num_threads(cores())
    side = 3000 if device == "cpu" else 12000
    m = torch.ones(side, side, device=device)
    return {
        "memory": memory,
        "cache": cache * (cores() if device == "cpu" else 1),
        "arithmetic": rate(lambda: m @ m, 2.0 * side**3, device),
    }


# --- the page ------------------------------------------------------------------------------------------------------


def table(costs: dict[str, Cost], count: int) -> list[str]:
    lines = [f"| per galaxy | {ALL} | {FEWER} |", "|---|---:|---:|"]
    fine, wide = costs[ALL], costs[FEWER]
    per = [("models drawn in a fit, with slopes or without", lambda c: f"{c.evaluations / count:.1f}")]
    each = lambda value: lambda c: f"{value(c) / max(c.evaluations, 1):.1f}"  # noqa: E731
    per.append(("MB in and out, one of them", each(lambda c: c.bytes / 1e6)))
    for name in ("element by element", "transforms", "products"):
        per.append((f"of these {name}", each(lambda c, name=name: c.by_kind[name] / 1e6)))  # noqa: PERF401
    per.append(("million flops, one of them", each(lambda c: c.flops / 1e6)))
    return lines + [f"| {name} | {value(fine)} | {value(wide)} |" for name, value in per]


def bounds(costs: dict[str, Cost], count: int, found: dict[str, float], measured: float) -> list[str]:
    moved = sum(c.bytes for c in costs.values()) / count
    flops = sum(c.flops for c in costs.values()) / count
    lines = [
        f"A fit moves {moved / 1e6:.0f} MB in and out of operations and takes {flops / 1e6:.0f} million flops, "
        f"{flops / moved:.2f} flops per byte.", "",
        "| limit | here | galaxies/s at the limit | reached |", "|---|---:|---:|---:|",
    ]  # fmt: skip
    for name, unit, amount in (("memory", "GB/s", moved), ("cache", "GB/s", moved), ("arithmetic", "Gflop/s", flops)):
        bound = found[name] / amount
        lines.append(f"| {name} | {found[name] / 1e9:.0f} {unit} | {bound:.0f} | {100 * measured / bound:.0f} % |")
    lines.append(
        f"| an H200's memory, by its data sheet | {H200['memory'] / 1e9:.0f} GB/s | {H200['memory'] / moved:.0f} | - |"
    )
    lines.append(
        f"| an H200's arithmetic, by its data sheet | {H200['arithmetic'] / 1e9:.0f} Gflop/s | "
        f"{H200['arithmetic'] / flops:.0f} | - |"
    )
    return lines


def measured_rate(path: Path, device: str) -> float:
    from fit import run_rosse

    return float(run_rosse(path, "--device", device)["rate"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="as for fit.py; drawn by GalSim without it")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, help="page whose figures are replaced, docs/benchmarks.md")
    a = parser.parse_args()
    busy = load()
    if a.data:
        with np.load(a.data) as file:
            data = {name: file[name] for name in ("image", "sigma", "psf", "zp")}
    else:
        from simulate import simulate

        data = {name: value for name, value in simulate(64).items() if name in ("image", "sigma", "psf", "zp")}
    cutouts = rosse.Cutouts.from_arrays(data["image"], sigma=data["sigma"], psf=data["psf"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "galaxies.npz"
        np.savez(path, **data)
        reached = measured_rate(path, a.device)
    costs = count_fit(cutouts.to(a.device))
    where = machine() if a.device == "cpu" else torch.cuda.get_device_name()
    frame = "x".join(map(str, cutouts.frame))
    lines = [
        f"On {where}; {len(cutouts)} galaxies of {frame} pixels, {reached:.0f} galaxies/s; load before the run "
        f"{busy:.1f}.", "", *table(costs, len(cutouts)), "",
        *bounds(costs, len(cutouts), limits(a.device), reached),
    ]  # fmt: skip
    text = "\n".join(lines)
    print(text)
    if a.out:
        publish(a.out, text, begin=BEGIN, end=END)


if __name__ == "__main__":
    main()
