"""What acquisition saves: labels that random choice needs for the accuracy that acquired labels give.

    python bench/acquire.py [--seeds 5] [--keep DIR] [--out docs/benchmarks.md] [--figure docs/images/acquire.png]

The pool are virtual galaxies to r = 19, as DECaLS sees them, the questions those of Galaxy Zoo DECaLS, the oracle 40
virtual volunteers for each galaxy. The encoder has learnt Galaxy Zoo 2's questions on other galaxies, brighter ones, as
SDSS sees them, and stays as it is; heads are learnt anew from the labels after every batch. For each question alone, a
strategy starts with 40 galaxies chosen at random and asks for 40 more six times. What is learnt is judged on galaxies
of which the true probabilities are known.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import rosse
from machine import load, machine
from report import publish
from rosse.nets.encoders import EncoderSpec
from rosse.nets.training import TrainOptions
from rosse.sky.draw import Truth
from rosse.sky.observe import View, observe_in_batches
from rosse.tree import Tree, read_tree
from rosse.votes.learning import VoteTraining, train_votes
from rosse.votes.network import NetworkSpec
from rosse.votes.oracle import Curve, Ground, labels_for, play, plot_savings
from rosse.votes.table import VoteTable

BEGIN, END = "<!-- figures of bench/acquire.py -->", "<!-- end of the acquisition -->"
PEOPLE, SIDE = 40, 48
POOL, JUDGED, LEARNT, EACH = 6000, 4000, 5000, 4000
FAINT = {"limit": 19.0, "redshift": (0.01, 0.4)}
ACQUIRED = (40, 80, 120, 160, 200, 240, 280)
CHANCE = (40, 80, 120, 160, 240, 320, 480, 640, 960, 1400)
STRATEGIES = ("variance", "joint")
BASELINES = ("margin", "entropy", "centres", "power")
HARDER = ("disk-edge-on", "bulge-size", "edge-on-bulge")  # for which the baselines are played as well
LAST = 3  # rounds over which savings are averaged


def galaxies(count: int, seed: int, survey: str, bands: tuple[str, ...], tree: Tree, **which: object):
    """Cutouts, votes and true probabilities."""
    view = View(bands=bands, frame=SIDE, scale=0.6, also=Truth(parts=True))
    cutouts, said = [], []
    for seen in observe_in_batches(rosse.Population(count, seed=seed, **which), survey, view=view):
        cutouts.append(seen.cutouts)
        said.append(rosse.volunteers(seen, tree, seed=seed + 1, voters=PEOPLE))
    whole = rosse.cutouts.stack_cutouts(cutouts)
    counts, asked, truth = (np.concatenate([getattr(v, n) for v in said]) for n in ("counts", "asked", "probability"))
    return whole, VoteTable.of(tree, whole.id, counts, asked), truth


def known_gz2() -> Tree:
    """Galaxy Zoo 2's questions that the virtual volunteers have an opinion on."""
    gz2 = read_tree("gz2")
    odd = {"something-odd", "odd-feature", "bulge-shape"}
    return gz2.only([q.name for q in gz2.questions if q.name not in odd])


def make_ground(folder: Path) -> Ground:
    """Features and votes of the pool and of the galaxies to judge with; kept in the folder."""
    path = folder / "ground.npz"
    tree = read_tree("gz-decals")
    if not path.exists():
        bright, votes, _ = galaxies(LEARNT, 77, "sdss", ("g", "r", "i"), known_gz2())
        how = VoteTraining(
            network=NetworkSpec(encoder=EncoderSpec(name="small")),
            options=TrainOptions(epochs=15, rate=3e-3),
            side=SIDE,
        )
        encoder = train_votes(votes, bright, folder / "encoder", how=how).members[0].encoder.eval()
        kept: dict[str, np.ndarray] = {}
        preparation = None
        for name, count, seed in (("pool", POOL, 5), ("judged", JUDGED, 905)):
            seen, votes, truth = galaxies(count, seed, "decals", ("g", "r", "z"), tree, **FAINT)
            preparation = preparation or rosse.nets.preparing.Preparation.fitted([seen[:512]], side=SIDE)
            with torch.no_grad():
                parts = [encoder(preparation(seen[i : i + 256], np.full(len(seen[i : i + 256]), np.nan)).pixels)
                         for i in range(0, count, 256)]  # fmt: skip
            kept |= {f"{name}_features": torch.cat(parts).numpy(), f"{name}_counts": votes.counts,
                     f"{name}_people": votes.people, f"{name}_truth": truth}  # fmt: skip
        np.savez(path, **kept)
    with np.load(path) as kept:
        votes = VoteTable.of(tree, np.arange(POOL), kept["pool_counts"], kept["pool_people"])
        return Ground(features=kept["pool_features"], votes=votes, judged=kept["judged_features"],
                      truth=kept["judged_truth"])  # fmt: skip


def one_of(ground: Ground, seed: int) -> Ground:
    """A seed's own pool."""
    rows = np.random.default_rng([seed, 7]).permutation(len(ground.votes))[:EACH]
    return Ground(features=ground.features[rows], votes=ground.votes[rows], judged=ground.judged, truth=ground.truth)


def played(ground: Ground, question: str, strategy: str, seeds: int, folder: Path) -> list[Curve]:
    """Curves of all seeds; what was played is kept in the folder."""
    sizes = CHANCE if strategy == "random" else ACQUIRED
    about, found = ground.about(question), []
    for seed in range(seeds):
        path = folder / f"{question} {strategy} {seed}.json"
        if not path.exists():
            its = play(one_of(about, seed), strategy, sizes, questions=(question,), people=PEOPLE, seed=seed)
            path.write_text(json.dumps(its.error[question].tolist()))
        found.append(Curve(labels=np.array(sizes), error={question: np.array(json.loads(path.read_text()))}))
    return found


def saved(chance: Curve, acquired: Curve, question: str) -> tuple[float, bool]:
    """Share of labels saved, averaged over the last rounds, and whether it is a lower limit."""
    needed = labels_for(chance, acquired, question)[-LAST:]
    beyond = np.isinf(needed)
    needed = np.where(beyond, chance.labels[-1], needed)
    return float(np.mean(1 - acquired.labels[-LAST:] / needed)), bool(beyond.any())


def saved_with_error(chance: list[Curve], acquired: list[Curve], question: str) -> tuple[float, bool, float]:
    """As `saved` for the mean curves, and its standard error by leaving out one seed after the other (jackknife)."""

    def without(curves: list[Curve], i: int) -> Curve:
        return Curve.mean(curves[:i] + curves[i + 1 :] if len(curves) > 1 else curves)

    value, beyond = saved(Curve.mean(chance), Curve.mean(acquired), question)
    left = np.array([saved(without(chance, i), without(acquired, i), question)[0] for i in range(len(chance))])
    return value, beyond, float(np.sqrt((len(left) - 1) * left.var()))


def text_of(value: tuple[float, bool, float]) -> str:
    """A saving with its error; a lower limit has none."""
    return f"≥ {value[0]:.0%}" if value[1] else f"{value[0]:.0%} ± {value[2]:.0%}"


def baselines(ground: Ground, seeds: int, folder: Path) -> list[str]:
    """What simpler strategies save."""
    lines = [f"| question | {' | '.join(f'saved by {each}' for each in BASELINES)} |",
             "|---|" + "---:|" * len(BASELINES)]  # fmt: skip
    for name in HARDER:
        chance, *every = (played(ground, name, each, seeds, folder) for each in ("random", *BASELINES))
        cells = [text_of(saved_with_error(chance, each, name)) for each in every]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return ["Beside them, on some of the questions:", "", *lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="folder of what was drawn and learnt, to be used again")
    parser.add_argument("--questions", nargs="*")
    parser.add_argument("--strategies", nargs="*", default=STRATEGIES)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    before, start = load(), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = given.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        ground = make_ground(folder)
        print(f"galaxies after {time.monotonic() - start:.0f} s", flush=True)
        if given.seeds:
            report(ground, given, folder, before=before, start=start)


def report(ground: Ground, given: argparse.Namespace, folder: Path, *, before: float, start: float) -> None:
    """Play, print the table, and put it where it is wanted."""
    tree = ground.votes.tree
    asked = tree.asked_probability(ground.truth).mean(0)
    curves: dict[str, Curve] = {}
    lines, better = [], dict.fromkeys(given.strategies, 0)
    names = given.questions or [question.name for question in tree.questions]
    for name in names:
        every = {each: played(ground, name, each, given.seeds, folder) for each in ("random", *given.strategies)}
        found = {each: Curve.mean(its) for each, its in every.items()}
        for each, its in found.items():
            old = curves.get(each)
            curves[each] = Curve(labels=its.labels, error={**(old.error if old else {}), **its.error})
        savings = {each: saved_with_error(every["random"], every[each], name) for each in given.strategies}
        for each in given.strategies:
            better[each] += savings[each][0] >= 0.35
        first, last = found["random"].error[name][0], found[given.strategies[0]].error[name][-1]
        lines.append(
            f"| {name} | {asked[[q.name for q in tree.questions].index(name)]:.0%} | {first:.3f} | {last:.3f} | "
            f"{found['random'].error[name][-1]:.3f} | {' | '.join(text_of(value) for value in savings.values())} |"
        )
        print(lines[-1], f"{time.monotonic() - start:.0f} s", flush=True)
    head = [
        f"{machine()}, one thread, load {before:.1f} before; {given.seeds} seeds. {EACH} galaxies in each pool, "
        f"{PEOPLE} volunteers each; judged on {JUDGED} others. Savings are the mean over the rounds with "
        f"{', '.join(map(str, ACQUIRED[-LAST:]))} labels; ≥: random choice did not get there with {CHANCE[-1]}.", "",
        f"| question | asked | error, {ACQUIRED[0]} labels | {ACQUIRED[-1]} by {given.strategies[0]} | "
        f"{CHANCE[-1]} at random | "
        f"{' | '.join(f'saved by {each}' for each in given.strategies)} |",
        "|---|---:|---:|---:|---:|" + "---:|" * len(given.strategies),
    ]  # fmt: skip
    tail = ["", "35 % or more are saved on " + ", ".join(f"{n} of {len(names)} questions by {each}"
                                                        for each, n in better.items()) + "."]  # fmt: skip
    if not given.questions:
        tail += ["", *baselines(ground, given.seeds, folder)]
    text = "\n".join([*head, *lines, *tail])
    print(text)
    if given.figure is not None:
        plot_savings(curves, given.figure)
    if given.out is not None:
        publish(given.out, text, begin=BEGIN, end=END)


if __name__ == "__main__":
    main()
