"""Fit a profile of your own: one function of radius, and nothing else.

The galaxy is GalSim's Moffat; the model is written here as a formula, as if rosse did not know it.
"""

import galsim
import numpy as np

from rosse import Cutouts, Parameter, Profile, fit

FWHM, BETA, Q, NOISE = 6.0, 2.5, 0.6, 0.002

galaxy = galsim.Moffat(beta=BETA, fwhm=FWHM * np.sqrt(Q), flux=50).shear(q=Q, beta=30 * galsim.degrees)
psf = galsim.Gaussian(fwhm=3.0)
image = galsim.Convolve(galaxy, psf).drawImage(galsim.ImageD(96, 96), scale=1.0).array
image = image + np.random.default_rng(4).normal(0, NOISE, image.shape)
stamp = psf.drawImage(galsim.ImageD(33, 33), scale=1.0).array


def mine(r, fwhm, beta):
    return (1 + (2 * r / fwhm) ** 2 * (2 ** (1 / beta) - 1)) ** -beta


profile = Profile(
    function=mine,
    declared=(Parameter.length("fwhm", "full width at half maximum"), Parameter.number("beta", 1.1, 10.0)),
)
row = fit(Cutouts.from_arrays(image, sigma=NOISE, psf=stamp), profile).table()[0]

print(f"status {row['status']}, chi^2 per degree of freedom {row['chi2_dof']:.3f}")
for name, true in (("fwhm", FWHM), ("beta", BETA), ("q", Q)):
    print(f"{name:5s} {row[name]:6.3f} +- {row['sigma_' + name]:.3f}   true {true:.3f}")
