"""Votes against the virtual sky's truth: shares, coverage, what draws and members and turns are worth, and speed.

    python bench/votes.py [--galaxies 6000] [--epochs 30] [--out docs/benchmarks.md]

Volunteers of the virtual sky answer the DECaLS tree with probabilities that are known. Networks learn from the votes of
some galaxies and are judged on others: how far expected shares are from votes, beside chance alone; how far from the
true probabilities; and how many of these lie between the 5 % and 95 % quantiles. A fine-tuned model learns the tree of
Galaxy Zoo 2 from 400 of the galaxies set aside and is judged on the rest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

import rosse
from machine import load, machine
from report import publish
from rosse.cutouts import Cutouts, stack_cutouts
from rosse.nets.encoders import EncoderSpec
from rosse.nets.training import TrainOptions
from rosse.sky.draw import Truth
from rosse.sky.observe import View
from rosse.tree import Tree, read_tree
from rosse.votes.calibration import Calibration, fit_calibration
from rosse.votes.examples import split
from rosse.votes.finetuning import FineTuning, finetune
from rosse.votes.learning import VoteTraining, train_votes
from rosse.votes.model import VoteModel
from rosse.votes.network import NetworkSpec
from rosse.votes.predicting import predict_votes
from rosse.votes.scores import coverage, score
from rosse.votes.table import VoteTable

BEGIN, END = "<!-- figures of bench/votes.py -->", "<!-- end of the votes -->"
VIEW = View(bands=("g", "r", "z"), frame=48, scale=0.6, also=Truth(parts=True))
KEYS = ("counts", "asked")
PEOPLE, BATCH, LEAST, MEMBERS, LABELS = 40, 256, 0.1, 3, 400


@dataclass(frozen=True, kw_only=True, eq=False)
class Sky:
    """Galaxies with votes on two trees, and the probabilities that these were drawn from."""

    cutouts: Cutouts
    votes: dict[str, VoteTable]
    truth: dict[str, np.ndarray]

    def rows(self, which: np.ndarray) -> Sky:
        return Sky(cutouts=self.cutouts[which], votes={n: v[which] for n, v in self.votes.items()},
                   truth={n: t[which] for n, t in self.truth.items()})  # fmt: skip


def sky(count: int, seed: int) -> Sky:
    trees = known_trees()
    cutouts, said = [], {name: [] for name in trees}
    for first in range(0, count, BATCH):
        seen = rosse.observe(rosse.Population(count, seed=seed).rows(first, min(first + BATCH, count)), "decals",
                             view=VIEW)  # fmt: skip
        cutouts.append(seen.cutouts)
        for name, tree in trees.items():
            said[name].append(rosse.volunteers(seen, tree, seed=seed + 1, voters=PEOPLE))
    all_of = stack_cutouts(cutouts)
    votes = {
        name: VoteTable.of(tree, all_of.id, *(np.concatenate([getattr(v, x) for v in said[name]]) for x in KEYS))
        for name, tree in trees.items()
    }
    truth = {name: np.concatenate([each.probability for each in parts]) for name, parts in said.items()}
    return Sky(cutouts=all_of, votes=votes, truth=truth)


def known_trees() -> dict[str, Tree]:
    """The trees whose questions the virtual volunteers have an opinion on."""
    gz2 = read_tree("gz2")
    odd = {"something-odd", "odd-feature", "bulge-shape"}
    return {"gz-decals": read_tree("gz-decals"), "gz2": gz2.only([q.name for q in gz2.questions if q.name not in odd])}


def judged(model: VoteModel, seen: Sky) -> dict[str, np.ndarray]:
    """Figures (Q,) of a model on galaxies that it has not seen."""
    name = model.tree.name
    votes, truth = seen.votes[name], seen.truth[name]
    found = predict_votes(seen.cutouts, model)
    asked = model.tree.asked_probability(truth)
    scores = score(votes, found.concentrations)
    off = np.abs(found.fractions - truth)
    far = [off[asked[:, i] >= LEAST, here].mean() for i, here in enumerate(model.tree.slices)]
    covered = coverage(truth, found.quantile(0.05), found.quantile(0.95), asked, model.tree, least=LEAST)
    return {
        "error": np.array([each.error for each in scores]), "floor": np.array([each.floor for each in scores]),
        "ideal": np.array([each.floor for each in score(votes, certain(model, truth))]),
        "far": np.array(far), "covered": covered, "within": np.array([each.coverage for each in scores]),
        "off": np.array([each.calibration_error for each in scores]),
        "log": np.array([each.log_probability * each.galaxies for each in scores]) / len(votes),
    }  # fmt: skip


def certain(model: VoteModel, truth: np.ndarray) -> np.ndarray:
    """Concentrations (B, 1, A) that know the true probabilities."""
    several = [k for k, i in enumerate(model.tree.question_of) if model.tree.questions[i].multiple]
    return np.maximum(1e6 * np.concatenate([truth, 1 - truth[:, several]], 1), 1e-3)[:, None]


def recalibrated(model: VoteModel, held: Sky) -> VoteModel:
    """Variants of a model have recalibrations of their own."""
    plain = model.with_calibration(Calibration.none(model.tree))
    said = torch.from_numpy(predict_votes(held.cutouts, plain).concentrations)
    return model.with_calibration(fit_calibration(held.votes[model.tree.name], said))


def questions_table(model: VoteModel, found: dict[str, np.ndarray]) -> list[str]:
    lines = [
        "| question | error of shares | by chance | off the truth | calibration error | votes within 90 % | "
        "truth within 90 % |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for i, question in enumerate(model.tree.questions):
        figures = [f"{found[key][i]:.3f}" for key in ("error", "ideal", "far", "off")]
        lines.append(
            f"| {question.name} | {' | '.join(figures)} | {found['within'][i]:.1%} | {found['covered'][i]:.1%} |"
        )
    return lines


def variants_table(rows: list[tuple[str, dict[str, np.ndarray], float]]) -> list[str]:
    lines = [
        "| model | ln p of a galaxy's votes | error, times chance | off the truth | "
        "truth within 90 %: mean, least, most | minutes |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, found, seconds in rows:
        c = found["covered"]
        lines.append(
            f"| {name} | {found['log'].sum():.2f} | {(found['error'] / found['ideal']).mean():.2f} | "
            f"{found['far'].mean():.3f} | {c.mean():.1%}, {c.min():.1%}, {c.max():.1%} | {seconds / 60:.1f} |"
        )
    return lines


def timed(votes: VoteTable, cutouts: Cutouts, folder: Path, how: VoteTraining) -> tuple[VoteModel, float]:
    start = time.monotonic()
    return train_votes(votes, cutouts, folder, how=how), time.monotonic() - start


def speed(model: VoteModel, cutouts: Cutouts) -> tuple[float, float]:
    """Galaxies/s of the networks alone, and with the quantiles of the table."""
    start = time.monotonic()
    found = predict_votes(cutouts, model)
    alone = time.monotonic() - start
    found.table()
    return len(cutouts) / alone, len(cutouts) / (time.monotonic() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    before = load()
    everything, test = sky(given.galaxies, 5), sky(max(1500, given.galaxies // 4), 905)
    votes = everything.votes["gz-decals"]
    how = VoteTraining(
        network=NetworkSpec(encoder=EncoderSpec(name="small")), members=MEMBERS, draws=8, side=48,
        options=TrainOptions(epochs=given.epochs, rate=3e-3),
    )  # fmt: skip
    held = everything.rows(split(votes.id, how.shares)[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        both, seconds = timed(votes, everything.cutouts, folder / "both", how)
        one = seconds / MEMBERS
        plain = recalibrated(replace(both, members=both.members[:1], draws=0), held)
        rows = [
            ("one network", judged(plain, test), one),
            ("8 draws of dropout", judged(recalibrated(replace(plain, draws=8), held), test), one),
            (f"{MEMBERS} members", judged(recalibrated(replace(both, draws=0), held), test), seconds),
            (f"{MEMBERS} members x 8 draws", judged(both, test), seconds),
            ("one network, 8 views at prediction", judged(recalibrated(replace(plain, views=8), held), test), one),
        ]
        eighth = replace(
            how, members=1, draws=0, network=replace(how.network, encoder=EncoderSpec(name="small", turns=8)),
            options=replace(how.options, epochs=max(2, given.epochs // 8)),
        )  # fmt: skip
        turned, took = timed(votes, everything.cutouts, folder / "turned", eighth)
        rows.append(("features averaged over 8 turns, an eighth of the epochs", judged(turned, test), took))
        few = test.rows(np.arange(LABELS))
        tuned = finetune(both, few.votes["gz2"], few.cutouts, folder / "tuned", how=FineTuning())
        rest = test.rows(np.arange(LABELS, len(test.cutouts)))
        lines = [
            f"{machine()}, one thread, load {before:.1f} before. {given.galaxies} galaxies as DECaLS sees them in g, "
            f"r and z (48 x 48 pixels of 0.6 arcsec), {PEOPLE} volunteers each, tree gz-decals; judged on "
            f"{len(test.cutouts)} others, on those for which a question is asked of a tenth of the volunteers or "
            "more.", "",
            f"{MEMBERS} members x 8 draws of dropout:", "", *questions_table(both, rows[3][1]), "",
            "What is worth what; all are recalibrated with the same votes:", "", *variants_table(rows), "",
            f"The same model fine-tuned to tree gz2 with {LABELS} galaxies, judged on {len(rest.cutouts)}:", "",
            *questions_table(tuned, judged(tuned, rest)), "",
            "Predictions of one network: {:.0f} galaxies/s, with the quantiles of the table {:.0f}; of all 24 "
            "components: {:.0f} and {:.0f}.".format(*speed(plain, test.cutouts), *speed(both, test.cutouts)),
        ]  # fmt: skip
    text = "\n".join(lines)
    print(text)
    if given.out is not None:
        publish(given.out, text, begin=BEGIN, end=END)


if __name__ == "__main__":
    main()
