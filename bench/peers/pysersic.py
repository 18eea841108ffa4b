"""pysersic (Pasha & Miller 2023): the posterior's maximum by JAX and numpyro, its width by Laplace's approximation.

Of its ways to a posterior that is the quickest. It starts at the medians of its own default prior, of which only place,
flux and size are given; a galaxy is compiled anew each time, as for everybody who fits one after the other with it.
"""

from __future__ import annotations

import jax
import numpy as np
from pysersic import FitSingle
from pysersic.priors import PySersicSourcePrior, SourceProperties

TITLE = "pysersic"
PSFS = ("psf",)
BULGE_DISC = True
LIMIT = 32


def prior(start: dict[str, float]) -> PySersicSourcePrior:
    """The default prior around the start.

    The width of the flux is the flux: the default, twice its root, is far too narrow or too wide in most units.
    The default for sums is a bulge of 1 / 1.5 and a disc of 1.5 times the size that is given.
    """
    flux, re = start["flux"], start["re"]
    if "flux_d" in start:
        flux, re = flux + start["flux_d"], np.sqrt(re * start["re_d"])
    about = SourceProperties(-1)  # no image: nothing is left for it to measure
    about.set_flux_guess(flux_guess=flux, flux_guess_err=flux)
    about.set_r_eff_guess(r_eff_guess=re)
    about.set_theta_guess(theta_guess=np.radians(start["pa"] - 90))
    about.set_position_guess(position_guess=(start["x"], start["y"]))
    about.set_sky_guess(sky_guess=0.0, sky_guess_err=1.0)
    return about.generate_prior("sersic_exp" if "flux_d" in start else "sersic", sky_type="none")


def fit_one(image: np.ndarray, sigma: np.ndarray, psf: np.ndarray, start: dict[str, float]) -> dict:
    fitter = FitSingle(data=image, rms=sigma, psf=psf, prior=prior(start))
    posterior = fitter.estimate_posterior(jax.random.PRNGKey(0), method="laplace", return_model=False)
    summary = {name: (float(middle), float(width)) for name, (middle, width) in posterior.retrieve_med_std().items()}
    best = {name: middle for name, (middle, _) in summary.items()}
    row = {"ok": True, "x": best["xc"], "y": best["yc"], "n": best["n"], "sigma_n": summary["n"][1]}
    row["pa"] = (np.degrees(best["theta"]) + 90) % 180  # it counts from +y
    if "flux_d" in start:  # both parts have one angle
        row |= {"flux": best["flux"] * best["f_1"], "re": best["r_eff_1"], "q": 1 - best["ellip_1"]}
        row |= {"flux_d": best["flux"] * (1 - best["f_1"]), "re_d": best["r_eff_2"], "q_d": 1 - best["ellip_2"]}
        row |= {"n_d": 1.0, "pa_d": row["pa"]}
    else:
        row |= {"flux": best["flux"], "re": best["r_eff"], "q": 1 - best["ellip"]}
    kind = fitter.prior.profile_type
    return row | {"model": lambda: np.asarray(fitter.renderer.render_source(best, kind), dtype=float)}
