"""AstroPhot (Stone et al. 2023): Levenberg-Marquardt on torch in double precision, one galaxy at a time."""

from __future__ import annotations

import astrophot
import numpy as np
import torch

from peers.formulas import light

TITLE = "AstroPhot"
PSFS = ("psf", "psf_point")
BULGE_DISC = True

torch.set_num_threads(1)
astrophot.config.set_logging_output(stdout=False, filename=None)


def component(kind: str, target, start: dict[str, float], s: str):
    one = astrophot.Model(name="c" + s, model_type=kind, target=target, psf_convolve=True)
    n, re, q = start["n" + s], start["re" + s], start["q" + s]
    one.center = [start["x"], start["y"]]
    one.q, one.PA, one.Re = q, np.radians((start["pa" + s] - 90) % 180), re
    one.Ie = start["flux" + s] / light(n, re, q)
    if not s:
        one.n = n
    return one


def fit_one(image: np.ndarray, sigma: np.ndarray, psf: np.ndarray, start: dict[str, float]) -> dict:
    target = astrophot.TargetImage(
        data=image, variance=sigma**2, pixelscale=1.0, psf=astrophot.PSFImage(data=psf, upsample=1), crpix=(0, 0)
    )
    parts = [component("sersic galaxy model", target, start, "")]
    whole = parts[0]
    if "flux_d" in start:
        parts.append(component("exponential galaxy model", target, start, "_d"))
        parts[1].center = parts[0].center
        whole = astrophot.Model(name="both", model_type="group model", models=parts, target=target)
    whole.initialize()
    result = astrophot.fit.LM(whole, verbose=0)
    result.fit()
    row = {"ok": "fail" not in str(result.message)}
    for s, part in zip(("", "_d"), parts, strict=False):
        re, q = float(part.Re.value), float(part.q.value)
        n = 1.0 if s else float(part.n.value)
        row |= {"flux" + s: float(part.Ie.value) * light(n, re, q), "re" + s: re, "n" + s: n, "q" + s: q}
        row["pa" + s] = (np.degrees(float(part.PA.value)) + 90) % 180
    row["x"], row["y"] = (float(v) for v in parts[0].center.value)
    if parts[0].n.uncertainty is not None:
        row["sigma_n"] = float(parts[0].n.uncertainty)
    return row | {"model": lambda: whole().data.detach().numpy()}
