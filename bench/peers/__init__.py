"""Adapters: one module for each other fitter, run in that fitter's own interpreter by `python -m peers`.

A module has `TITLE`, its name in the table; `PSFS`, of `psf` (with the pixel in it, as surveys give it) and `psf_point`
(without); `BULGE_DISC`, whether it fits sums of two; `LIMIT` where it is slow, the most galaxies
that it gets; and `fit_one(image, sigma, psf, start)`. `start` holds x, y, flux, re, n, q, pa, and in sums flux_d, re_d,
n_d, q_d, pa_d; what is returned holds the same, `ok`, `sigma_n` where there is an error of n, and `model`, a function
that draws the best fit, so that chi^2 is taken over the same pixels for all. Pixels count from 0; `pa` is in degrees
from +x to +y.
"""
