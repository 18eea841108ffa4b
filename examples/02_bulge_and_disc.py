"""Fit a bulge and a disc in three bands at once, with an index that is bounded.

Components add up. Bands share centre and shape, each component has its own flux in each band.
"""

import galsim
import numpy as np

import rosse

SURVEY = rosse.SURVEYS["decals"]
NOISE = 0.004
RATIO = {"g": 0.2, "r": 0.35, "z": 0.5}  # bulge-to-total: the bulge is redder than the disc

rng = np.random.default_rng(2)
bulge = galsim.Sersic(n=3, half_light_radius=0.8)
disc = galsim.Exponential(half_light_radius=3.0).shear(q=0.6, beta=30 * galsim.degrees)
image, psf = np.empty((1, 3, 128, 128)), np.empty((3, 33, 33))
for c, band in enumerate(SURVEY.bands):
    seeing = galsim.Moffat(beta=3, fwhm=SURVEY.psf_fwhm[c], trunc=4)
    galaxy = 100 * (RATIO[band] * bulge + (1 - RATIO[band]) * disc)
    drawn = galsim.Convolve(galaxy, seeing).drawImage(
        nx=128, ny=128, scale=SURVEY.scale, center=galsim.PositionD(65, 65)
    )
    image[0, c] = drawn.array + rng.normal(0, NOISE, (128, 128))
    psf[c] = seeing.drawImage(nx=33, ny=33, scale=SURVEY.scale).array

cutouts = rosse.Cutouts.from_arrays(
    image,
    sigma=np.full(image.shape, NOISE),
    psf=psf,
    scale=SURVEY.scale,
    zeropoint=np.array(SURVEY.zeropoint),
    bands=SURVEY.bands,
)
model = rosse.Sersic("bulge", bounds={"n": (1.5, 6.0)}) + rosse.Exponential("disc")
table = rosse.fit(cutouts, model).table()

row = table[0]
print(f"status {row['status']}, chi^2 per degree of freedom {row['chi2_dof']:.3f}")
for name, true in (("bulge_r_e", 0.8), ("bulge_n", 3.0), ("disc_r_e", 3.0 / np.sqrt(0.6)), ("disc_q", 0.6)):
    print(f"{name:10s} {row[name]:6.3f} +- {row['sigma_' + name]:.3f}   true {true:.3f}")
for band, true in RATIO.items():
    fitted, sigma = row[f"bulge_fraction_{band}"], row[f"sigma_bulge_fraction_{band}"]
    print(f"bulge-to-total in {band}: {fitted:.3f} +- {sigma:.3f}   true {true:.2f}")
