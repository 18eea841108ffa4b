"""What distance and depth do to vote fractions, and what is left of it after debiasing, on galaxies not learnt from.

    python bench/debiasing.py [--galaxies 900] [--out docs/debiasing.md] [--figure docs/images/debiasing.png]

The same virtual galaxies are seen by DECaLS from six redshifts, and by SDSS from one. Maps are learnt from two thirds
of them; the others are judged by the true probabilities of the nearest look.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

import rosse
from machine import load, machine
from report import publish
from rosse.sky.observe import View
from rosse.votes.debiasing import Debiasing, Look, Looks, expect, match_quantiles, plot_looks, see_in_turn

BEGIN, END = "<!-- figures of bench/debiasing.py -->", "<!-- end of the debiasing -->"
REDSHIFTS = (0.03, 0.05, 0.08, 0.11, 0.14, 0.18)
VIEW = View(frame=64, scale=0.7)


def judged(held: Looks, look: int, debias: Debiasing | None) -> np.ndarray:
    """Mean error of shares, and the largest error of an answer's mean share, (Q, 2)."""
    place, out = held.looks[look], []
    for q, here in enumerate(held.tree.slices):
        rows = held.counted(look, q)
        seen, truth = held.fractions[look, rows], held.fractions[0, rows]
        if debias is not None:
            seen = debias(seen, np.full(len(seen), place.z), survey=place.survey)
        off = (seen - truth)[:, here]
        out.append((np.abs(off).mean(), np.abs(off.mean(0)).max()))
    return np.array(out)


def table(held: Looks, look: int, maps: tuple[Debiasing, Debiasing]) -> list[str]:
    raw, matched, expected = (judged(held, look, each) for each in (None, *maps))
    lines = [
        f"{held.looks[look]}:", "",
        "| question | galaxies | off as seen | matched | expected | off in the mean as seen | matched | expected |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for q, question in enumerate(held.tree.questions):
        cells = [f"{each[q, k]:.3f}" for k in (0, 1) for each in (raw, matched, expected)]
        lines.append(f"| {question.name} | {held.counted(look, q).sum()} | {' | '.join(cells)} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=900)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    before, start = load(), time.monotonic()
    places = [*(Look(survey="decals", z=z) for z in REDSHIFTS), Look(survey="sdss", z=0.08)]
    looks = see_in_turn(rosse.Population(given.galaxies, seed=3), places, "gz-decals", view=VIEW)
    third = given.galaxies // 3
    fit, held = looks.rows(slice(third, None)), looks.rows(slice(0, third))
    maps = match_quantiles(fit), expect(fit)
    text = "\n".join([
        f"{machine()}, one thread, load {before:.1f} before, {time.monotonic() - start:.0f} s. Learnt from "
        f"{len(fit)} galaxies, judged on {len(held)}; reference: {places[0]}.", "",
        *table(held, REDSHIFTS.index(0.08), maps), *table(held, REDSHIFTS.index(0.18), maps),
        *table(held, len(places) - 1, maps),
    ]).rstrip()  # fmt: skip
    print(text)
    if given.figure is not None:
        plot_looks(held, given.figure, debiased=maps[0])
    if given.out is not None:
        publish(given.out, text, begin=BEGIN, end=END)


if __name__ == "__main__":
    main()
