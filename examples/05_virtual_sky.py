"""What does a survey miss? The same virtual galaxies through SDSS and LSST, measured and held against the truth.

Everything is made on the spot: a population, its images in both surveys, fits of both, a figure.
"""

import matplotlib.pyplot as plt
import numpy as np

import rosse
from rosse.sky.draw import Truth
from rosse.sky.observe import View
from rosse.sky.photometry import kpc_per_arcsec
from rosse.sky.pictures import colour_pictures

# Ellipticals are what a Sersic profile is made for; spirals come below.
galaxies = rosse.Population(48, seed=3, mix={"elliptical": 1}, limit=18.0, redshift=(0.05, 0.2))

for survey in ("sdss", "lsst"):
    sky = rosse.observe(galaxies, survey, bands=("r",), frame=96)
    fit = rosse.fit(sky.cutouts, rosse.Sersic()).table()
    good = np.asarray(fit["status"]) == "ok"
    truth = np.asarray(sky.truth["r_e"]) / kpc_per_arcsec(np.asarray(sky.truth["z"]))  # kpc → arcsec
    ratio = np.log10(np.asarray(fit["r_e"])[good] / truth[good])
    print(f"{survey:5} {good.sum()} of {len(good)} fitted; r_e {np.median(ratio):+.3f} dex, scatter {ratio.std():.3f}")

# Spirals in both surveys on the same patch of sky, and where the truth has their arms.
spirals = rosse.Population(5, seed=14, mix={"spiral": 1}, limit=15.5, redshift=(0.01, 0.04))
view = View(bands=("g", "r", "i"), size=40.0, also=Truth(masks=True))
rows = {name: rosse.observe(spirals, name, view=view) for name in ("sdss", "lsst")}

figure, axes = plt.subplots(3, len(spirals), figsize=(2 * len(spirals), 6))
for line, (name, sky) in zip(axes, rows.items(), strict=False):
    line[0].set_ylabel(name)
    for axis, picture in zip(line, colour_pictures(sky.cutouts), strict=True):
        axis.imshow(picture)
axes[2, 0].set_ylabel("arms")
for axis, mask in zip(axes[2], rows["lsst"].drawn.masks["arms"], strict=True):
    axis.imshow(mask.numpy(), origin="lower", cmap="gray")
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
figure.tight_layout()
figure.savefig("virtual-sky.png", dpi=80)
print("wrote virtual-sky.png")
