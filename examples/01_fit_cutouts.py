"""Fit single Sersic profiles to cutouts that are held as arrays, and compare with the truth.

GalSim draws the galaxies here; with your own, `image`, `sigma` and `psf` come from your files.
"""

import galsim
import numpy as np

import rosse

SCALE = 0.262  # arcsec per pixel
ZEROPOINT = 22.5  # AB magnitude of one flux unit
NOISE = 0.005
COUNT = 24

rng = np.random.default_rng(1)
truth = {
    "mag": rng.uniform(17, 19, COUNT),
    "r_e": rng.uniform(1.0, 2.5, COUNT),  # half-light semi-major axis, arcsec
    "n": rng.uniform(0.8, 4.0, COUNT),
    "q": rng.uniform(0.3, 0.9, COUNT),
    "pa": rng.uniform(0, 180, COUNT),  # east of north; north is up and east is left
}

psf = galsim.Moffat(beta=3, fwhm=1.2, trunc=4)  # arcsec: all of it is on the stamp below
image = np.empty((COUNT, 96, 96))
for i in range(COUNT):
    mag, r_e, n, q, pa = (values[i] for values in truth.values())
    # GalSim's half-light radius is that of the circle before it is sheared: sqrt(a b)
    galaxy = galsim.Sersic(n, half_light_radius=r_e * np.sqrt(q), flux=10 ** (-0.4 * (mag - ZEROPOINT)))
    galaxy = galaxy.shear(q=q, beta=(pa + 90) * galsim.degrees)
    stamp = galsim.Convolve(galaxy, psf).drawImage(nx=96, ny=96, scale=SCALE, center=galsim.PositionD(49, 49))
    image[i] = stamp.array + rng.normal(0, NOISE, (96, 96))

cutouts = rosse.Cutouts.from_arrays(
    image,
    sigma=np.full(image.shape, NOISE),
    psf=psf.drawImage(nx=31, ny=31, scale=SCALE).array,
    scale=SCALE,
    zeropoint=ZEROPOINT,
)
fit = rosse.fit(cutouts, rosse.Sersic())
table = fit.table()
print(fit)
shown = table["id", "mag", "sigma_mag", "r_e", "sigma_r_e", "n", "sigma_n", "q", "pa", "status"][:5]
shown.round(3)
shown.pprint(max_width=-1)

good = table["status"] == "ok"
print(f"\n{good.sum()} of {COUNT} converged; pulls, (fitted - true) / error, should scatter by about 1:")
for name in ("mag", "r_e", "n", "q"):
    pull = (np.asarray(table[name]) - truth[name])[good] / table[f"sigma_{name}"][good]
    print(f"  {name:4s} mean {np.mean(pull):+.2f}  scatter {np.std(pull):.2f}")

fit.plot(0).savefig("galaxy.png", dpi=120)
print("wrote galaxy.png")
