"""From an image to a catalogue, step by step: what `rosse run` does, with every step in your hands.

The field is simulated with GalSim; with your own, give `rosse.open_mosaic` your files.
"""

import numpy as np
from astropy.table import join

import rosse
from rosse.demo.field import simulate_field
from rosse.store import write_catalogue
from rosse.tables import to_arrow

simulate_field(size=448, galaxies=32, stars=16, seed=3).write("field")
bands = ("g", "r", "z")

mosaic = rosse.open_mosaic(
    {band: f"field/field-{band}.fits" for band in bands},
    ivar={band: f"field/field-ivar-{band}.fits" for band in bands},
    survey="decals",
)
detection = rosse.detect(mosaic, psf={band: f"field/field-psf-{band}.fits" for band in bands})
sources = detection.table()
kinds, counts = np.unique(sources["kind"], return_counts=True)
print(f"{len(sources)} sources:", ", ".join(f"{n} {kind}" for kind, n in zip(kinds, counts, strict=True)))

# The faint ones say little about their shape: `rosse run` leaves out those below S/N 5, here 20 are wanted.
cutouts = detection.cutouts
bright = np.isin(cutouts.id, sources["id"][sources["snr"] > 20])
fit = rosse.fit(cutouts[bright], rosse.Sersic())
print(fit)

# One row per source; what was not fitted has masked entries.
fitted = fit.table()["id", "r_e", "sigma_r_e", "n", "sigma_n", "mag_r", "status"]
table = join(sources, fitted, keys="id", join_type="left", metadata_conflicts="silent")
catalogue = write_catalogue("catalogue", [to_arrow(table)])
print(catalogue)

small = catalogue.where("status = 'ok' and r_e < 1 and snr > 20").select(["id", "ra", "dec", "mag_r", "r_e", "n"])
print(small.to_pandas().head())
print("wrote", small.export("small.fits"))
