"""statmorph (Rodriguez-Gomez et al. 2019): its Sersic fit cannot be had without all its other measurements."""

from __future__ import annotations

import numpy as np
import statmorph
from scipy import ndimage
from statmorph.statmorph import ConvolvedSersic2D

from peers.formulas import light

TITLE = "statmorph (all it measures)"
PSFS = ("psf",)
BULGE_DISC = False
THRESHOLD, WIDTH = 2.5, 5  # sigma above the sky of what belongs to the source, smoothed over so many pixels


def footprint(image: np.ndarray, sigma: np.ndarray, start: dict[str, float]) -> np.ndarray:
    """Pixels of the source, which statmorph wants to be given: 1, around it 0."""
    labels, _ = ndimage.label(ndimage.uniform_filter(image, WIDTH) > THRESHOLD * sigma / WIDTH)
    y, x = (int(np.clip(round(start[k]), 0, length - 1)) for k, length in zip(("y", "x"), image.shape, strict=True))
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    core = np.hypot(rows - y, columns - x) < WIDTH
    return np.where(core | ((labels == labels[y, x]) & (labels > 0)), 1, 0)


def fit_one(image: np.ndarray, sigma: np.ndarray, psf: np.ndarray, start: dict[str, float]) -> dict:
    begin = {
        "amplitude": start["flux"] / light(start["n"], start["re"], start["q"]), "r_eff": start["re"],
        "n": start["n"], "x_0": start["x"], "y_0": start["y"], "ellip": 1 - start["q"],
        "theta": np.radians(start["pa"]),
    }  # fmt: skip
    (shape,) = statmorph.source_morphology(
        image, footprint(image, sigma, start), weightmap=sigma, psf=psf, sersic_model_args=begin
    )
    n, re, q = shape.sersic_n, shape.sersic_rhalf, 1 - shape.sersic_ellip

    def model() -> np.ndarray:
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        drawn = ConvolvedSersic2D(
            amplitude=shape.sersic_amplitude, r_eff=re, n=n, x_0=shape.sersic_xc, y_0=shape.sersic_yc, ellip=1 - q,
            theta=shape.sersic_theta,
        )  # fmt: skip
        drawn.set_psf(psf)
        return drawn(x, y)

    return {
        "ok": shape.flag_sersic == 0, "x": shape.sersic_xc, "y": shape.sersic_yc,
        "flux": shape.sersic_amplitude * light(n, re, q), "re": re, "n": n, "q": q,
        "pa": np.degrees(shape.sersic_theta) % 180, "model": model,
    }  # fmt: skip
