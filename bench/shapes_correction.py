"""Noise and PSF bias of asymmetry and concentration, from the virtual sky: `python bench/shapes_correction.py`.

Each galaxy is observed by a survey, and once more without noise in a seeing of one of the survey's pixels, on pixels
half as large. What the survey's image adds to either index is fitted by a polynomial that vanishes for a perfect
image; the file that `rosse.correct_shapes` reads holds its terms.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path

import numpy as np

import rosse
from rosse.shapes.correction import FILE, Terms, image_quality
from rosse.shapes.indices import CORRECTED
from rosse.sky.observe import View
from rosse.sky.psf import Psf
from rosse.surveys import survey as known_survey

# Survey, band, faintest magnitude: together they span the S/N and sizes of catalogues.
VIEWS = (("sdss", "r", 16.5), ("sdss", "r", 17.77), ("decals", "r", 18.0), ("decals", "r", 19.5), ("hsc", "i", 20.0),
         ("hsc", "i", 21.5), ("lsst", "r", 22.0))  # fmt: skip
FRAME = 96
POWERS = ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
LOWEST = {"snr_pixel": 1.5, "resolution": 2.0}  # less was not looked at: r_petro is in doubt there
CLIP, ROUNDS = 4.0, 8


def pairs(view: tuple[str, str, float], galaxies: int, seed: int) -> dict[str, np.ndarray]:
    """Observed and true indices of the galaxies of one view, with what tells how good its images are."""
    name, band, limit = view
    population = rosse.Population(galaxies, seed=seed, limit=limit)
    scale = known_survey(name).scale
    seen = rosse.observe(population, name, view=View(bands=(band,), frame=FRAME, artefacts=False))
    sharp = View(bands=(band,), frame=2 * FRAME, scale=scale / 2, psf=Psf(fwhm=(scale,)), noise=None, artefacts=False)
    truth = rosse.observe(population, name, view=sharp)
    observed = rosse.measure_shapes(seen.cutouts)
    segments = observed.segments.numpy().repeat(2, 1).repeat(2, 2)  # the same neighbours left out
    true = rosse.measure_shapes(truth.cutouts, segments=segments)
    good = (observed.status == rosse.Status.OK) & (true.status == rosse.Status.OK)
    good &= np.asarray(seen.truth["kind"]) == "galaxy"
    out = dict(zip(("noise", "blur"), image_quality(observed), strict=True))
    for index in CORRECTED:
        out |= {f"observed_{index}": observed.values[index], f"true_{index}": true.values[index]}
        good &= np.isfinite(observed.values[index]) & np.isfinite(true.values[index])
    return {key: value[good] for key, value in out.items()}


def fitted(true: np.ndarray, observed: np.ndarray, noise: np.ndarray, blur: np.ndarray) -> tuple[Terms, np.ndarray]:
    """Terms of ``observed - true``, and which galaxies count: weighted least squares, outliers clipped."""
    reference = float(np.median(true))
    powers = np.stack([noise**i * blur**j for i, j in POWERS], 1)
    matrix = np.concatenate([powers, powers * (true - reference)[:, None]], 1)
    keep, spread = np.ones(len(true), dtype=bool), np.ones(len(true))
    for _ in range(ROUNDS):
        solution = np.linalg.lstsq(matrix[keep] / spread[keep, None], (observed - true)[keep] / spread[keep])[0]
        rest = observed - true - matrix @ solution
        line = np.polyfit(noise[keep], np.abs(rest[keep]), 1)  # the scatter grows with the noise
        spread = np.maximum(1.4826 * np.polyval(line, noise), 1e-3)
        keep = np.abs(rest) < CLIP * spread
    half = len(POWERS)
    return Terms(reference=reference, powers=POWERS, shift=tuple(solution[:half]), slope=tuple(solution[half:])), keep


def report(index: str, terms: Terms, data: dict[str, np.ndarray], inside: np.ndarray) -> dict[str, float]:
    """Print and give back the median bias before and after."""
    true, observed = data[f"true_{index}"], data[f"observed_{index}"]
    corrected, _ = terms.corrected(observed, data["noise"], data["blur"])
    print(f"\n{index}: {int(inside.sum())} galaxies, reference {terms.reference:.3f}")
    for name, edges in (("noise", (0, 0.05, 0.1, 0.2, 0.3, 0.67)), ("blur", (0, 0.1, 0.15, 0.2, 0.3, 0.5))):
        for low, high in pairwise(edges):
            some = inside & (data[name] >= low) & (data[name] < high)
            if some.sum() > 20:
                before, after = (np.median((value - true)[some]) for value in (observed, corrected))
                print(f"  {name} {low:4.2f} to {high:4.2f}  {int(some.sum()):5d}  {before:+.4f}  {after:+.4f}")
    return {
        "median_bias_before": float(np.median((observed - true)[inside])),
        "median_bias_after": float(np.median((corrected - true)[inside])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--galaxies", type=int, default=400, help="of each view")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    parts = [pairs(view, options.galaxies, options.seed + i) for i, view in enumerate(VIEWS)]
    data = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    inside = (data["noise"] <= 1 / LOWEST["snr_pixel"]) & (data["blur"] <= 1 / LOWEST["resolution"])
    out: dict[str, object] = {
        "about": "noise and PSF bias of asymmetry and concentration; see rosse.shapes.correction",
        "made": f"python bench/shapes_correction.py --galaxies {options.galaxies} --seed {options.seed}",
        "rosse": rosse.__version__,
        "views": [f"{survey} {band} to {limit:g} mag" for survey, band, limit in VIEWS],
        "galaxies": int(inside.sum()),
        "lowest": LOWEST,
    }
    for index in CORRECTED:
        some = [data[key][inside] for key in (f"true_{index}", f"observed_{index}", "noise", "blur")]
        terms, _ = fitted(*some)
        out[index] = terms.as_json() | report(index, terms, data, inside)
    options.out.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
