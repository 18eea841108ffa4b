"""The virtual sky against the real one: does a network that only ever saw virtual galaxies understand real ones?

    python bench/sky_realism.py [--data DIR] [--count 7000] [--epochs 8] [--seeds 1] [--out docs/benchmarks.md]

Virtual galaxies are drawn as two real sets of SDSS colour pictures show theirs (bench/sky_pictures.py); one small
network is trained on them and on nothing else (bench/sky_network.py) and then judges all real pictures: the class of
Galaxy Zoo 1 (balanced accuracy) and the Hubble stage of EFIGI (Spearman's rank correlation). Its training has a fixed
length, no real label is read before it has ended, and the numbers of all seeds are averaged. Sizes, shapes, colours and
structure of the real and the virtual pictures, measured by the same code, stand beside that.

The real pictures are no part of the project; ROSSE_REAL_DATA or --data names the folder with `gz1-sdss` and `efigi`.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import spearmanr

from machine import load, machine
from report import publish
from sky_measures import QUANTILES, comparison, measured
from sky_network import Examples, judged, train
from sky_pictures import CLASSES, SEEN, SIDE, UNSURE, classes, made

BEGIN, END = "<!-- figures of bench/sky_realism.py -->", "<!-- end of the realism -->"
CLASS_OF = {"elliptical": 0, "edge-on": 1, "spiral-clockwise": 2, "spiral-anticlockwise": 2}  # others are left out
FIRST_SEED = 100


@dataclass(frozen=True, kw_only=True)
class Real:
    """Pictures (N, 64, 64, 3) uint8 of a real set, and what experts say: class or Hubble stage, (N,)."""

    pictures: np.ndarray
    truth: np.ndarray


def real_set(folder: Path, truth: dict[str, float], look: Callable) -> Real:
    """A set of `folder`, with what `look` makes of each picture."""
    small = [look(Image.open(folder / "images" / f"{name}.jpg").convert("RGB")) for name in truth]
    return Real(pictures=np.stack([np.asarray(each) for each in small]), truth=np.array(list(truth.values())))


def middle(picture: Image.Image) -> Image.Image:
    """The middle of a picture, on its own pixels."""
    left, top = (picture.width - SEEN) // 2, (picture.height - SEEN) // 2
    return picture.crop((left, top, left + SEEN, top + SEEN))


def reduced(picture: Image.Image) -> Image.Image:
    """All of a picture, on larger pixels."""
    return picture.resize((SEEN, SEEN), Image.Resampling.BOX)


def labels(folder: Path) -> list[dict[str, str]]:
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def galaxy_zoo(data: Path) -> Real:
    classes = {r["objid"]: r["class"] for r in labels(data / "gz1-sdss")}
    truth = {name: CLASS_OF[each] for name, each in classes.items() if each in CLASS_OF}
    return real_set(data / "gz1-sdss", truth, middle)


def efigi(data: Path) -> Real:
    return real_set(data / "efigi", {r["pgc"]: float(r["T"]) for r in labels(data / "efigi")}, reduced)


def confusion(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(3, 3) galaxies by class: truth down, found across."""
    return np.array([[np.sum((truth == i) & (found == j)) for j in range(len(CLASSES))] for i in range(len(CLASSES))])


def balanced(matrix: np.ndarray) -> float:
    """Mean over the classes of the share that is found right."""
    return float(np.mean(np.diag(matrix) / matrix.sum(1)))


def virtual(options: argparse.Namespace, seed: int) -> dict[str, Examples]:
    """Examples in both framings. Those of `efigi` teach stages only: its galaxies are nearer than Galaxy Zoo's."""
    out = {}
    for place, name in enumerate(("gz1", "efigi")):
        pictures, table = made(name, options.count, 2 * seed + place, options.cache)
        label = classes(table) if name == "gz1" else np.full(len(table), UNSURE)
        weight, stage = 1 / np.asarray(table["chance"], dtype=float), np.asarray(table["stage"], dtype=float)
        out[name] = Examples(pictures=pictures, label=label, weight=weight, stage=stage)
    return out


def together(sets: dict[str, Examples]) -> Examples:
    """All sets as one."""
    parts = {f.name: np.concatenate([getattr(each, f.name) for each in sets.values()]) for f in fields(Examples)}
    return Examples(**parts)


def judgement(examples: Examples, pictures: list[np.ndarray], epochs: int, seed: int) -> list[tuple]:
    """What a new network says of each set of real pictures: probabilities of classes, and stages."""
    network = train(examples, epochs=epochs, seed=seed)
    return [judged(network, each) for each in pictures]


def scores(options: argparse.Namespace, sets: dict, real: dict[str, Real]) -> list[tuple[np.ndarray, float]]:
    """Confusion matrix and rank correlation of each seed. Networks are trained side by side, each by one thread."""
    pictures = [real["gz1"].pictures, real["efigi"].pictures]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        options.seeds, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        work = [
            pool.submit(judgement, together(sets), pictures, options.epochs, FIRST_SEED + seed)
            for seed in range(options.seeds)
        ]
        said = [each.result() for each in work]
    out = []
    for seed, ((chance, _), (_, stage)) in enumerate(said):
        matrix = confusion(real["gz1"].truth, chance.argmax(1))
        out.append((matrix, float(spearmanr(stage, real["efigi"].truth).statistic)))
        print(f"seed {seed}: balanced accuracy {balanced(matrix):.3f}, rank correlation {out[-1][1]:.3f}", flush=True)
    return out


def score_table(found: list[tuple[np.ndarray, float]]) -> list[str]:
    accuracy, rank = np.array([balanced(m) for m, _ in found]), np.array([r for _, r in found])
    matrix = sum(m for m, _ in found) / len(found)
    share = matrix / matrix.sum(1, keepdims=True)
    lines = ["| what | figure | range over seeds | aim |", "|---|---:|---:|---:|"]
    for name, values, aim in (
        ("class of Galaxy Zoo 1, balanced accuracy", accuracy, 0.80),
        ("Hubble stage of EFIGI, rank correlation", rank, 0.75),
    ):
        lines.append(f"| {name} | {values.mean():.3f} | {values.min():.3f} to {values.max():.3f} | {aim:.2f} |")
    lines += ["", "| Galaxy Zoo 1 says | galaxies | " + " | ".join(f"found {c}" for c in CLASSES) + " |",
              "|---|---:|" + "---:|" * len(CLASSES)]  # fmt: skip
    for row, name in enumerate(CLASSES):
        cells = " | ".join(f"{100 * s:.0f} %" for s in share[row])
        lines.append(f"| {name} | {matrix[row].sum():.0f} | {cells} |")
    return lines


def likeness_table(name: str, rows: list) -> list[str]:
    low, middle, high = QUANTILES
    head = f"| {name} | real: {low}, {middle}, {high} % | virtual: {low}, {middle}, {high} % | KS distance |"
    lines = ["", head, "|---|---:|---:|---:|"]
    for what, real, ours, distance in rows:
        cells = [", ".join(f"{v:.2f}" for v in values) for values in (real, ours)]
        lines.append(f"| {what} | {cells[0]} | {cells[1]} | {distance:.2f} |")
    return lines


def like_real(name: str, sets: dict, real: Real) -> np.ndarray:
    """Virtual pictures in the shares of the real set's classes or stages, so that looks are compared, not shares."""
    ours = sets[name]
    mine = ours.label if name == "gz1" else np.rint(np.where(np.isfinite(ours.stage), ours.stage, -99)).clip(-99, 11)
    theirs = real.truth if name == "gz1" else np.maximum(real.truth, -5)
    weight = np.zeros(len(mine))
    for each in np.unique(theirs):
        there = ours.weight * (mine == each)
        weight += np.mean(theirs == each) * there / max(there.sum(), 1e-30)
    rows = np.random.default_rng(0).choice(len(mine), 2000, p=weight / weight.sum())
    edge = (SIDE - SEEN) // 2
    return ours.pictures[rows, edge : edge + SEEN, edge : edge + SEEN]


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("--data", type=Path, default=os.environ.get("ROSSE_REAL_DATA", here.parent / "shared" / "data"))
    parser.add_argument("--count", type=int, default=7000, help="virtual galaxies in each framing")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1, help="networks to be trained, whose figures are averaged")
    parser.add_argument("--sky-seed", type=int, default=1, help="of the virtual galaxies")
    parser.add_argument(
        "--cache",
        type=Path,
        help="keep drawn pictures here, until the code that draws changes",
    )
    parser.add_argument("--out", type=Path, help="page that shows the tables")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> None:
    options = arguments(given)
    if not (Path(options.data) / "gz1-sdss").is_dir():
        raise SystemExit(f"{options.data} has no gz1-sdss; --data or ROSSE_REAL_DATA names the folder that has")
    busy, began = load(), time.perf_counter()
    sets = virtual(options, options.sky_seed)
    drawn = time.perf_counter() - began
    real = {"gz1": galaxy_zoo(Path(options.data)), "efigi": efigi(Path(options.data))}
    found = scores(options, sets, real)
    trained = time.perf_counter() - began - drawn
    how = "before" if options.cache else f"in {drawn / 60:.1f} min"
    lines = [
        f"On {machine()}; {options.count} virtual galaxies in each framing, drawn {how}; {options.seeds} networks side "
        f"by side, trained {options.epochs} times over them and applied in {trained / 60:.1f} min; load before the run "
        f"{busy:.1f}.", "",
        *score_table(found),
    ]  # fmt: skip
    for name, each in real.items():
        some = np.random.default_rng(1).permutation(len(each.truth))[:2000]
        rows = comparison(measured(each.pictures[some]), measured(like_real(name, sets, each)))
        lines += likeness_table({"gz1": "Galaxy Zoo 1", "efigi": "EFIGI"}[name], rows)
    text = "\n".join(lines)
    print(text)
    if options.out:
        publish(options.out, text, begin=BEGIN, end=END)


if __name__ == "__main__":
    main()
