"""imfit (Erwin 2015), by its Python interface: Levenberg-Marquardt in C++."""

from __future__ import annotations

import numpy as np
import pyimfit

from peers.formulas import SCALE_LENGTHS, disc_light, light

TITLE = "imfit (pyimfit)"
PSFS = ("psf", "psf_point")
BULGE_DISC = True


def describe(start: dict[str, float]) -> pyimfit.SimpleModelDescription:
    """The model where it starts; imfit counts pixels from 1 and angles from +y."""
    model = pyimfit.SimpleModelDescription()
    for parameter, at in ((model.x0, start["x"] + 1), (model.y0, start["y"] + 1)):
        parameter.setValue(at, [at - 10, at + 10])
    bulge = pyimfit.make_imfit_function("Sersic")
    place(bulge, start, "")
    peak = start["flux"] / light(start["n"], start["re"], start["q"])
    bulge.n.setValue(start["n"], [0.3, 10])
    bulge.r_e.setValue(start["re"], [0.1, 150])
    bulge.I_e.setValue(peak, [0, 1e5 * peak])
    model.addFunction(bulge)
    if "flux_d" in start:
        disc = pyimfit.make_imfit_function("Exponential")
        place(disc, start, "_d")
        length = start["re_d"] / SCALE_LENGTHS
        peak = start["flux_d"] / disc_light(length, start["q_d"])
        disc.h.setValue(length, [0.1, 150])
        disc.I_0.setValue(peak, [0, 1e5 * peak])
        model.addFunction(disc)
    return model


def place(function, start: dict[str, float], s: str) -> None:
    function.PA.setValue((start["pa" + s] - 90) % 180, [-180, 360])
    function.ell.setValue(1 - start["q" + s], [0, 0.98])


def fit_one(image: np.ndarray, sigma: np.ndarray, psf: np.ndarray, start: dict[str, float]) -> dict:
    fitter = pyimfit.Imfit(describe(start), psf=psf, maxThreads=1)
    result = fitter.fit(image, error=sigma, solver="LM")
    x, y, pa, ellipticity, n, bright, re, *disc = result.params
    q = 1 - ellipticity
    row = {"x": x - 1, "y": y - 1, "flux": bright * light(n, re, q), "re": re, "n": n, "q": q, "pa": (pa + 90) % 180}
    if result.paramErrs is not None:
        row["sigma_n"] = result.paramErrs[4]
    if disc:
        pa, ellipticity, bright, length = disc
        q = 1 - ellipticity
        row |= {"flux_d": bright * disc_light(length, q), "re_d": length * SCALE_LENGTHS, "n_d": 1.0, "q_d": q,
                "pa_d": (pa + 90) % 180}  # fmt: skip
    return row | {"ok": bool(result.fitConverged), "model": fitter.getModelImage}
