"""PetroFit (Geda et al. 2022): SciPy's Levenberg-Marquardt on an astropy model that is convolved with the PSF."""

from __future__ import annotations

import numpy as np
import petrofit
from astropy.modeling.models import Sersic2D

from peers.formulas import light

TITLE = "PetroFit"
PSFS = ("psf", "psf_point")
BULGE_DISC = True
WINDOW, FINER = 30, 4  # the middle 30 pixels are drawn 4 times finer


def profile(start: dict[str, float], s: str = "") -> Sersic2D:
    n, re, q, x, y = (start[k] for k in ("n" + s, "re" + s, "q" + s, "x", "y"))
    bounds = petrofit.get_default_sersic_bounds({"x_0": (x - 10, x + 10), "y_0": (y - 10, y + 10)})
    one = Sersic2D(
        amplitude=start["flux" + s] / light(n, re, q), r_eff=re, n=n, x_0=x, y_0=y, ellip=1 - q,
        theta=np.radians(start["pa" + s]), bounds=bounds,
    )  # fmt: skip
    one.n.fixed = bool(s)
    return one


def follow(name: str):
    return lambda model: getattr(model, name)


def build(psf: np.ndarray, start: dict[str, float]) -> petrofit.PSFConvolvedModel2D:
    whole, s = profile(start), ""
    if "flux_d" in start:
        whole, s = whole + profile(start, "_d"), "_0"
    model = petrofit.PSFConvolvedModel2D(whole, psf=psf, oversample=("x_0" + s, "y_0" + s, WINDOW, FINER))
    model.fixed["psf_pa"] = True
    if s:
        model.x_0_1.tied, model.y_0_1.tied = follow("x_0_0"), follow("y_0_0")
    return model


def fit_one(image: np.ndarray, sigma: np.ndarray, psf: np.ndarray, start: dict[str, float]) -> dict:
    fitted, _ = petrofit.fit_model(image, build(psf, start), weights=1 / sigma, calc_uncertainties=True)
    errors = dict(zip(fitted.stds.param_names, fitted.stds.stds, strict=True)) if fitted.stds is not None else {}
    row: dict = {"ok": True}
    names = {"": "_0", "_d": "_1"} if "flux_d" in start else {"": ""}
    for s, end in names.items():
        n, re, ellipticity, amplitude, theta = (
            float(getattr(fitted, name + end).value) for name in ("n", "r_eff", "ellip", "amplitude", "theta")
        )
        q = 1 - ellipticity
        row |= {"flux" + s: amplitude * light(n, re, q), "re" + s: re, "n" + s: n, "q" + s: q}
        row["pa" + s] = np.degrees(theta) % 180
    if "n" + names[""] in errors:
        row["sigma_n"] = errors["n" + names[""]]
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    row |= {k: getattr(fitted, k + "_0" + names[""]).value for k in ("x", "y")}
    return row | {"model": lambda: fitted(x, y)}
