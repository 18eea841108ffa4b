"""Where the peers start: one set of values for all of them, measured on the pixels by sep."""

from __future__ import annotations

import numpy as np
import sep

PARAMETERS = ("x", "y", "flux", "re", "n", "q", "pa")
DISC = ("flux_d", "re_d", "n_d", "q_d", "pa_d")


def start_values(data: dict[str, np.ndarray], *, bulge_disc: bool) -> np.ndarray:
    """One row per galaxy, from `init` where the file has it."""
    if "init" in data:
        return given(data["init"], float(data["zp"]), bulge_disc=bulge_disc)
    names = (*PARAMETERS, *DISC) if bulge_disc else PARAMETERS
    out = np.zeros(len(data["image"]), dtype=[(name, "f8") for name in names])
    for i, (image, sigma) in enumerate(zip(data["image"], data["sigma"], strict=True)):
        row = measure(image, sigma)
        if bulge_disc:  # the light in halves: a small round bulge in a large flat disc
            half = row["flux"] / 2
            disc = {"flux_d": half, "re_d": 1.3 * row["re"], "n_d": 1.0, "q_d": row["q"], "pa_d": row["pa"]}
            row |= {"flux": half, "re": 0.5 * row["re"], "q": max(row["q"], 0.7)} | disc
        out[i] = tuple(row[name] for name in names)
    return out


def measure(image: np.ndarray, sigma: np.ndarray) -> dict[str, float]:
    """The source next to the centre of the frame."""
    image, sigma = (np.ascontiguousarray(a, dtype=np.float64) for a in (image, sigma))
    found = sep.extract(image, 1.5, err=sigma, minarea=5, deblend_cont=1.0)
    middle = (np.array(image.shape) - 1) / 2
    one = found[np.argmin(np.hypot(found["x"] - middle[1], found["y"] - middle[0]))]
    ellipse = [np.array([one[name]]) for name in ("x", "y", "a", "b", "theta")]
    kron = max(2.5 * float(sep.kron_radius(image, *ellipse, 6.0)[0][0]), 1.5)
    ellipse[2:4] = [kron * length for length in ellipse[2:4]]
    flux = float(sep.sum_ellipse(image, *ellipse, subpix=5)[0][0])
    flux = flux if flux > 0 else float(one["flux"])
    half = float(sep.flux_radius(image, *ellipse[:3], 0.5, normflux=np.array([flux]), subpix=5)[0][0])
    q = float(np.clip(one["b"] / one["a"], 0.2, 0.95))
    re = float(np.clip(half / np.sqrt(q), 1.0, min(image.shape) / 3))
    pa = float(np.degrees(one["theta"]) % 180)
    return {"x": float(one["x"]), "y": float(one["y"]), "flux": flux, "re": re, "n": 2.0, "q": q, "pa": pa}


def given(init: np.ndarray, zeropoint: float, *, bulge_disc: bool) -> np.ndarray:
    """Start values that came with the galaxies, magnitudes as fluxes."""
    names = (*PARAMETERS, *DISC) if bulge_disc else PARAMETERS
    out = np.zeros(len(init), dtype=[(name, "f8") for name in names])
    for name in names:
        is_flux = name.startswith("flux")
        values = init[name.replace("flux", "mag")]
        out[name] = 10 ** (-0.4 * (values - zeropoint)) if is_flux else values
    return out
