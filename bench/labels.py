"""Real labels learnt from real pictures: from scratch, from the model that comes with rosse, and by a random forest.

    python bench/labels.py --folder FOLDER [--only efigi] [--methods pretrained] [--seeds 1] [--out docs/benchmarks.md]

`ROSSE_REAL_DATA` names the folder of the sets: rings of DECaLS (267 labels), EFIGI (2,682 galaxies, attributes by
experts), classes of Galaxy Zoo 1 in SDSS. A third of each of the two large sets, chosen by the names alone, is
kept to judge with: nothing is learnt from it, and options were chosen without it. Rings are judged in five folds.
FOLDER keeps what each method said, so that the command goes on after a stop.

All networks have the same architecture, input and augmentations: *pretrained* starts from `gz-decals-small`, which has
seen virtual galaxies only, *from scratch* from chance. The random forest (scikit-learn) gets the indices of
`rosse.measure_shapes` in the middle colour.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import rosse
from machine import load, machine
from report import publish
from rosse.cutouts import Cutouts, stack_cutouts
from rosse.io.gallery import Gallery, open_images
from rosse.nets.augmenting import Augmentation
from rosse.nets.preparing import InMemory
from rosse.nets.training import TrainOptions
from rosse.votes.examples import split
from rosse.votes.finetuning import FineTuning
from rosse.votes.labels import class_votes
from rosse.votes.model import load_model

BEGIN, END = "<!-- figures of bench/labels.py -->", "<!-- end of the labels -->"
MODEL = "gz-decals-small"
ATTRIBUTES = {"T": "T type", "Arm_Strength": "arm strength", "Bar_Length": "bar length", "Inclination": "inclination",
              "Bulge_to_Total": "bulge/total"}  # fmt: skip
FEW = {"efigi": 300, "gz1-sdss": 400}
FOLDS = 5
FEWEST = 250  # labels, below which the encoder stays as it is
LEFT_OUT = ("id", "ra", "dec", "x", "y", "pa", "reason", "status")  # columns of shapes that are no indices


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """A set of pictures with labels: numbers by name, or a class."""

    name: str
    cutouts: Cutouts
    table: pd.DataFrame
    folder: Path

    def __len__(self) -> int:
        return len(self.table)


def read(name: str, folder: Path) -> Labelled:
    """Pictures, labels and indices of shape."""
    base = real_data() / name
    table = pd.read_csv(base / "labels.csv", dtype={"objid": str})
    column = next(c for c in ("iauname", "pgc", "objid") if c in table.columns)
    images = open_images(base / "images")
    row = {str(known): i for i, known in enumerate(images.ids)}
    table = table[[str(each) in row for each in table[column]]].reset_index(drop=True)
    rows = np.array([row[str(each)] for each in table[column]])
    assert isinstance(images, Gallery)
    cutouts = stack_cutouts([each for each in images.each(rows) if isinstance(each, Cutouts)])
    return Labelled(name=name, cutouts=cutouts, table=table, folder=folder)


def real_data() -> Path:
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("ROSSE_REAL_DATA", default))


def indices(name: str, cutouts: Cutouts, folder: Path) -> np.ndarray:
    """(B, F) indices of shape in the middle colour, measured once."""
    path = folder.parent / f"shapes-{name}.npz"  # they do not depend on the model
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, shapes=shapes_of(middle_of(cutouts) if name == "gz1-sdss" else cutouts))
    return np.load(path)["shapes"]


def middle_of(cutouts: Cutouts) -> Cutouts:
    """The middle half of pictures whose galaxies are small in them."""
    edge = cutouts.frame[0] // 4
    flux, ivar = (each[..., edge:-edge, edge:-edge].contiguous() for each in (cutouts.flux, cutouts.ivar))
    return replace(cutouts, flux=flux, ivar=ivar)


def shapes_of(cutouts: Cutouts) -> np.ndarray:
    """Pictures of more than 160 pixels are reduced to half of that before, which is still finer than the seeing."""
    parts = []
    for first in range(0, len(cutouts), 64):
        some = cutouts[first : first + 64]
        if some.frame[0] > 160:
            flux, ivar = (torch.nn.functional.avg_pool2d(each, 2) for each in (some.flux, 4 * some.ivar))
            some = replace(some, flux=flux, ivar=ivar)
        frame = rosse.measure_shapes(some, band="G").table().to_pandas()
        wanted = [c for c in frame.columns if c not in LEFT_OUT and not c.startswith(("x_", "y_", "mag_"))]
        parts.append(frame[wanted].to_numpy(dtype=float))
    return np.concatenate(parts)


# What learns: galaxies to learn from and to say something of → numbers (N, T), or shares of classes (N, C).


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What is learnt of a set.

    Parameters
    ----------
    data : the set.
    numbers : (B, T) to be learnt, NaN where unknown; or none.
    classes : (B,) instead.
    """

    data: Labelled
    numbers: np.ndarray | None = None
    classes: np.ndarray | None = None

    def labels(self, rows: np.ndarray) -> rosse.Quantities | rosse.VoteTable:
        ids = self.data.cutouts.id[rows]
        if self.numbers is None:
            assert self.classes is not None
            return class_votes(ids, self.classes[rows].tolist())
        values = {f"q{k}": column for k, column in enumerate(self.numbers[rows].T)}
        return rosse.Quantities.of(ids, values)


Learner = Callable[[Task, np.ndarray, np.ndarray, int], np.ndarray]


def pretrained(task: Task, learn: np.ndarray, asked: np.ndarray, seed: int) -> np.ndarray:
    return tuned(load_model(MODEL), task, learn, asked, how_of(len(learn), seed))


def from_scratch(task: Task, learn: np.ndarray, asked: np.ndarray, seed: int) -> np.ndarray:
    how = how_of(len(learn), seed)
    epochs = int(np.clip(18000 / len(learn), 16, 60))  # there is more to learn
    whole = TrainOptions(epochs=epochs, batch=32, rate=3e-3, seed=seed, precision="bfloat16")
    plain = replace(how, probe=replace(how.probe, epochs=1, rate=1e-4), whole=whole, decay=1.0)
    return tuned(blank(seed), task, learn, asked, plain)


def how_of(count: int, seed: int) -> FineTuning:
    """Options of the fine-tuning: about as many steps, however many labels; the head alone learns from very few."""
    epochs = int(np.clip(9000 / count, 14, 30))
    few = count < FEWEST
    return FineTuning(
        probe=TrainOptions(epochs=epochs if few else 3, batch=32, rate=3e-3, seed=seed),
        whole=None if few else TrainOptions(epochs=epochs, batch=32, rate=3e-3, seed=seed, precision="bfloat16"),
        augmentation=Augmentation(zoom=0.1, tone=0.1, forget=0.0), norms=True, decay=0.9,
        side=96 if few else 80, views=8, shares=(0.12, 0.0), split_seed=seed,
    )  # fmt: skip


def blank(seed: int) -> rosse.VoteModel:
    """The same network with weights from chance."""
    known = load_model(MODEL)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        members = tuple(type(member)(member.spec, known.tree) for member in known.members)
    return replace(known, members=members)


def tuned(start: rosse.VoteModel, task: Task, learn: np.ndarray, asked: np.ndarray, how: FineTuning) -> np.ndarray:
    cutouts = task.data.cutouts
    with tempfile.TemporaryDirectory() as folder:
        model = rosse.finetune(start, task.labels(learn), InMemory(cutouts=cutouts), Path(folder) / "model", how=how)
    if isinstance(model, rosse.QuantityModel):
        return rosse.predict_quantities(cutouts[asked], model).values
    return rosse.predict_votes(cutouts[asked], model).fractions


def forest(task: Task, learn: np.ndarray, asked: np.ndarray, seed: int) -> np.ndarray:
    """A random forest on indices of shape."""
    return planted(task, indices(task.data.name, task.data.cutouts, task.data.folder), learn, asked, seed)


def planted(task: Task, features: np.ndarray, learn: np.ndarray, asked: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    x = np.nan_to_num(features, nan=-99.0, posinf=1e6, neginf=-1e6).clip(-1e6, 1e6)
    if task.numbers is None:
        assert task.classes is not None
        tree = RandomForestClassifier(500, min_samples_leaf=2, class_weight="balanced", random_state=seed)
        number = np.unique(task.classes[learn], return_inverse=True)[1]
        return np.asarray(tree.fit(x[learn], number).predict_proba(x[asked]))
    out = np.full((len(asked), task.numbers.shape[1]), np.nan)
    for k, y in enumerate(task.numbers.T):
        known = learn[np.isfinite(y[learn])]
        tree = RandomForestRegressor(500, min_samples_leaf=2, max_features=0.4, random_state=seed)
        out[:, k] = tree.fit(x[known], y[known]).predict(x[asked])
    return out


METHODS: dict[str, Learner] = {"forest": forest, "scratch": from_scratch, "pretrained": pretrained}
TITLES = {"forest": "random forest on shapes", "scratch": "from scratch", "pretrained": "pretrained"}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where results are kept, and what is run."""

    folder: Path
    methods: tuple[str, ...]
    seeds: int
    kept: bool = False

    def these(self, name: str, keys: list[str]) -> list[str]:
        """Methods whose results are wanted, and are there if only those are."""
        wanted = [(key, seed) for key in keys for seed in range(self.seeds)]

        def there(method: str) -> bool:
            return all(self.path(name, method, key, seed).exists() for key, seed in wanted)

        return [method for method in self.methods if not self.kept or there(method)]

    def path(self, name: str, method: str, key: str, seed: int) -> Path:
        return self.folder / f"{name}-{method}-{key}-{seed}.npy"

    def said(self, method: str, task: Task, learn: np.ndarray, asked: np.ndarray, key: str, seed: int) -> np.ndarray:
        """What a method says, computed once."""
        path = self.path(task.data.name, method, key, seed)
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            start = time.monotonic()
            np.save(path, METHODS[method](task, learn, asked, seed))
            print(path.name, f"{time.monotonic() - start:.0f} s", flush=True)
        return np.load(path)


def held_out(data: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from, and to judge with."""
    learn, _, judge = split(data.cutouts.id, (0.001, 0.333), seed=1)
    return learn, judge


def some_of(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(rows)[:count])


def efigi(bench: Bench) -> list[str]:
    from scipy.stats import spearmanr

    data = read("efigi", bench.folder)
    values = data.table[list(ATTRIBUTES)].to_numpy(dtype=float)
    values[:, 1:] = np.where(values[:, 1:] < 0, np.nan, values[:, 1:])  # -1: undefined
    task, (learn, judge) = Task(data=data, numbers=values), held_out(data)
    lines = [
        f"EFIGI, rank correlation with the experts' value for {len(judge)} galaxies set aside:", "",
        f"| labels | method | {' | '.join(ATTRIBUTES.values())} |", "|---:|---|" + "---:|" * len(ATTRIBUTES),
    ]  # fmt: skip
    for count in (FEW["efigi"], len(learn)):
        for method in bench.these(data.name, [str(count)]):
            found = []
            for seed in range(bench.seeds):
                said = bench.said(method, task, some_of(learn, count, seed), judge, str(count), seed)
                known = [np.isfinite(values[judge, k]) for k in range(len(ATTRIBUTES))]
                found.append([spearmanr(said[ok, k], values[judge[ok], k]).statistic for k, ok in enumerate(known)])
            cells = " | ".join(f"{value:.3f}" for value in np.mean(found, 0))
            lines.append(f"| {count} | {TITLES[method]} | {cells} |")
    return lines


def zoo(bench: Bench) -> list[str]:
    data = read("gz1-sdss", bench.folder)
    kinds = data.table["class"].str.replace(r"-(anti)?clockwise", "", regex=True).to_numpy(dtype=str)
    names = np.array(["edge-on", "elliptical", "spiral"])
    use = np.flatnonzero(np.isin(kinds, names))
    task, (learn, judge) = Task(data=data, classes=kinds), held_out(data)
    learn, judge = np.intersect1d(learn, use), np.intersect1d(judge, use)
    lines = [f"Galaxy Zoo 1 in SDSS, elliptical, edge-on or spiral, for {len(judge)} galaxies set aside:", "",
             "| labels | method | balanced accuracy |", "|---:|---|---:|"]  # fmt: skip
    for count in (FEW["gz1-sdss"], len(learn)):
        for method in bench.these(data.name, [str(count)]):
            found = []
            for seed in range(bench.seeds):
                rows = some_of(learn, count, seed)
                said = bench.said(method, task, rows, judge, str(count), seed)
                often = np.array([(kinds[rows] == name).mean() for name in names])
                # a forest was told to weigh classes alike; what a network says is divided by how frequent they are
                chosen = names[(said if method == "forest" else said / often).argmax(1)]
                found.append(np.mean([(chosen[kinds[judge] == name] == name).mean() for name in names]))
            lines.append(f"| {count} | {TITLES[method]} | {np.mean(found):.3f} |")
    return lines


def rings(bench: Bench) -> list[str]:
    from scipy.stats import rankdata

    data = read("decals-rings", bench.folder)
    ring = data.table["ring"].to_numpy().astype(str)
    task = Task(data=data, classes=ring)
    fold = np.random.default_rng(0).permutation(len(data)) % FOLDS
    lines = [f"Rings of DECaLS, {len(data)} galaxies in {FOLDS} folds:", "", "| method | ROC-AUC |", "|---|---:|"]
    for method in bench.these(data.name, [f"fold{each}" for each in range(FOLDS)]):
        found = []
        for seed in range(bench.seeds):
            share = np.zeros(len(data))
            for each in range(FOLDS):
                learn, asked = np.flatnonzero(fold != each), np.flatnonzero(fold == each)
                share[asked] = bench.said(method, task, learn, asked, f"fold{each}", seed)[:, 1]
            yes = ring == "1"
            rank = rankdata(share)[yes].sum() - yes.sum() * (yes.sum() + 1) / 2  # Mann & Whitney 1947
            found.append(rank / (yes.sum() * (~yes).sum()))
        lines.append(f"| {TITLES[method]} | {np.mean(found):.3f} |")
    return lines


SETS = {"decals-rings": rings, "efigi": efigi, "gz1-sdss": zoo}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--kept", action="store_true", help="show what FOLDER holds, run nothing")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    before, model = load(), load_model(MODEL)
    folder = given.folder / model.hash
    bench = Bench(folder=folder, methods=tuple(given.methods), seeds=given.seeds, kept=given.kept)
    tables = [line for name in given.only for line in (*SETS[name](bench), "")]
    about = f"{machine()}, one thread, load {before:.1f} before. Model {MODEL}, weights {model.hash}; "
    about += "one seed." if given.seeds == 1 else f"means of {given.seeds} seeds."
    text = "\n".join([about, "", *tables])
    print(text)
    if given.out is not None:
        publish(given.out, text, begin=BEGIN, end=END)


if __name__ == "__main__":
    main()
