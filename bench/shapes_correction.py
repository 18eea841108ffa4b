"""Noise and PSF bias of asymmetry and concentration, from the virtual sky: `python bench/shapes_correction.py`.

Each galaxy is observed by a survey, and once more without noise in a seeing of one of the survey's pixels, on pixels
half as large. What the survey's image does to either index is fitted by polynomials that vanish for a perfect image;
the file that `rosse.correct_shapes` reads holds their terms.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

import rosse
from rosse.shapes.correction import FILE, Terms, image_quality
from rosse.shapes.indices import CORRECTED
from rosse.sky.observe import View
from rosse.sky.psf import Psf
from rosse.surveys import survey as known_survey

# Survey, band, faintest magnitude: together they span the S/N and sizes of catalogues.
VIEWS = (("sdss", "r", 16.5), ("sdss", "r", 17.77), ("decals", "r", 18.0), ("hsc", "i", 20.5), ("lsst", "r", 22.0),
         ("euclid-vis", "VIS", 21.0))  # fmt: skip
FRAME = 96
# Powers of noise and blur. Blurring a symmetric galaxy leaves it symmetric: blur draws asymmetry nearer to none.
SHIFT = {"asymmetry": ((1, 0),), "concentration": ((1, 0), (0, 1))}
STRETCH = {"asymmetry": ((0, 1),), "concentration": ((1, 0), (0, 1))}
LOWEST = {"snr": 0.8, "resolution": 2.6}  # below, little is left of the true asymmetry, and r_petro is in doubt
SCATTER = {"asymmetry": (0.03, 0.1), "concentration": (0.1, 0.1)}  # of a galaxy: in a good image, and with noise 1


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


def fitted(index: str, data: dict[str, np.ndarray]) -> Terms:
    """Terms of an index by least squares; galaxies far off, mergers whose halves are taken apart, count little."""
    true, observed, noise, blur = (data[key] for key in (f"true_{index}", f"observed_{index}", "noise", "blur"))
    reference = 0.0 if index == "asymmetry" else round(float(np.median(true)), 4)
    powers, half = (*SHIFT[index], *STRETCH[index]), len(SHIFT[index])
    spread = SCATTER[index][0] + SCATTER[index][1] * noise

    def terms(factors: np.ndarray) -> Terms:
        known = [(i, j, float(x)) for (i, j), x in zip(powers, factors, strict=True)]
        return Terms(reference=reference, shift=tuple(known[:half]), stretch=tuple(known[half:]))

    def rest(factors: np.ndarray) -> np.ndarray:
        return (observed - terms(factors).biased(true, noise, blur)) / spread

    return terms(least_squares(rest, np.zeros(len(powers)), loss="soft_l1").x.round(5))


def report(index: str, terms: Terms, data: dict[str, np.ndarray]) -> dict[str, float]:
    """Print and give back the median bias before and after."""
    true, observed = data[f"true_{index}"], data[f"observed_{index}"]
    corrected, _ = terms.corrected(observed, data["noise"], data["blur"])
    print(f"\n{index}: {len(true)} galaxies, reference {terms.reference:.3f}")
    for name, edges in (("noise", (0, 0.1, 0.2, 0.4, 0.8, 1.25)), ("blur", (0, 0.1, 0.15, 0.2, 0.3, 0.5))):
        for low, high in pairwise(edges):
            some = (data[name] >= low) & (data[name] < high)
            if some.sum() > 20:
                before, after = (np.median((value - true)[some]) for value in (observed, corrected))
                print(f"  {name} {low:4.2f} to {high:4.2f}  {int(some.sum()):5d}  {before:+.4f}  {after:+.4f}")
    return {
        "median_bias_before": float(np.median(observed - true)),
        "median_bias_after": float(np.median(corrected - true)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--galaxies", type=int, default=150, help="of each view")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    parts = [pairs(view, options.galaxies, options.seed + i) for i, view in enumerate(VIEWS)]
    data = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    inside = (data["noise"] <= 1 / LOWEST["snr"]) & (data["blur"] <= 1 / LOWEST["resolution"])
    data = {key: value[inside] for key, value in data.items()}
    out: dict[str, object] = {
        "about": "noise and PSF bias of asymmetry and concentration; see rosse.shapes.correction",
        "made": f"python bench/shapes_correction.py --galaxies {options.galaxies} --seed {options.seed}",
        "rosse": rosse.__version__,
        "views": [f"{survey} {band} to {limit:g} mag" for survey, band, limit in VIEWS],
        "galaxies": len(data["noise"]),
        "lowest": LOWEST,
    }
    for index in CORRECTED:
        terms = fitted(index, data)
        out[index] = asdict(terms) | report(index, terms, data)
    options.out.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
