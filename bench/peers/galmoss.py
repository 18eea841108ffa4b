"""GALMoss (Chen et al. 2024): gradient descent (DiffGrad) on torch, as its README sets it.

It takes batches, which pay on a GPU. Here a batch is one galaxy: on CPU cores sixteen together take longer for each of
them, and the radii then depend on who shares the batch. Its errors are left out: a matrix of all pixels by all pixels
for each galaxy, several times as long as the fit.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import galmoss
import numpy as np
import torch
from astropy.io import fits

TITLE = "GALMoss"
PSFS = ("psf",)
BULGE_DISC = True
LIMIT = 32
STEP, STEPS = 0.015, 1000  # the README recommends 1000 to 1500 steps
ZEROPOINT = 22.5  # of magnitudes, which it wants in place of fluxes: any will do

torch.set_num_threads(1)


def profile(start: dict[str, float], centre: dict, s: str = "") -> galmoss.lp.Sersic:
    """One component where it starts; GALMoss counts angles from +y, the other way round."""
    return galmoss.lp.Sersic(
        **centre,
        pa=galmoss.p(start["pa" + s] + 90, angle=True, step_length=STEP),
        axis_r=galmoss.p(start["q" + s], step_length=STEP),
        eff_r=galmoss.p(start["re" + s], step_length=STEP),
        ser_n=galmoss.p(start["n" + s], log=True, fit=not s, step_length=STEP),
        mag=galmoss.p(ZEROPOINT - 2.5 * np.log10(start["flux" + s]), M0=ZEROPOINT, step_length=STEP),
    )


def value(parameter) -> float:
    return float(np.ravel(parameter.total_best_value_numpy)[0])


def descend(folder: Path, pixels: dict[str, np.ndarray], parts: dict) -> np.ndarray:
    """Fit `parts` and return the image of the best model: GALMoss reads FITS files and leaves one."""
    for name, array in pixels.items():
        fits.writeto(folder / f"{name}.fits", array)
    paths = {f"{name}_path": [str(folder / f"{name}.fits")] for name in pixels}
    data = galmoss.DataSet(["best"], **paths, img_block_path=str(folder), device="cpu")
    data.define_profiles(**parts)
    galmoss.Fitting(dataset=data, batch_size=1, iteration=STEPS).fit()
    return fits.getdata(folder / "best.fits", 2).astype(float)


def fit_one(image: np.ndarray, sigma: np.ndarray, psf: np.ndarray, start: dict[str, float]) -> dict:
    # it counts from the corner of the first pixel, not from its middle
    centre = {f"cen_{axis}": galmoss.p(start[axis] + 0.5, step_length=STEP) for axis in "xy"}
    parts = {"bulge": profile(start, centre)}
    if "flux_d" in start:
        parts["disc"] = profile(start, centre, "_d")
    with tempfile.TemporaryDirectory() as folder:
        best = descend(Path(folder), {"image": image, "sigma": sigma, "psf": psf}, parts)
    row = {"ok": True, "model": lambda: best} | {axis: value(centre[f"cen_{axis}"]) - 0.5 for axis in "xy"}
    for s, part in zip(("", "_d"), parts.values(), strict=False):
        row["flux" + s] = 10 ** (-0.4 * (value(part.mag) - ZEROPOINT))
        row["n" + s] = 1.0 if s else value(part.ser_n)
        row |= {"re" + s: value(part.eff_r), "q" + s: value(part.axis_r), "pa" + s: (value(part.pa) - 90) % 180}
    return row
