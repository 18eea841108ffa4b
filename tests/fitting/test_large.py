"""Frames of thousands of pixels a side."""

import json
import subprocess
import sys

import pytest

MANY = """
import json, math, resource, sys
import numpy as np, torch
import rosse
from rosse.light.model import Model
from rosse.light.psf import fourier_grid, gaussian_psf
from rosse.light.render import Layout, draw

side, count, noise = int(sys.argv[1]), int(sys.argv[2]), 0.05
rng = np.random.default_rng(0)
x, y = rng.uniform(0.2, 0.8, (2, count)) * side
x[0] = y[0] = side / 2
r_e = np.exp(rng.uniform(np.log(side / 200), np.log(side / 16), count))
n, q, theta = rng.uniform(0.8, 3, count), rng.uniform(0.4, 0.9, count), rng.uniform(0, 3, count)
flux = 10 ** rng.uniform(5, 6, count) * (side / 4096) ** 2
psf = gaussian_psf(3.0, 31)[None, None]
image, grid = torch.zeros(side, side), fourier_grid((side, side), psf)
for i in range(count):
    slots = [flux[i], x[i], y[i], math.log(r_e[i]), math.log(n[i]), math.log(q[i]), theta[i]]
    at = torch.tensor([[slots]], dtype=torch.float64)
    image += draw(Layout(model=Model((rosse.Sersic(),))), at, grid)[0, 0]
image += noise * torch.randn(side, side, generator=torch.Generator().manual_seed(1))
start = [{"x": x[i] + 2, "y": y[i] - 2} if i else {} for i in range(count)]
components = tuple(
    rosse.Sersic(f"g{i}", own_centre=i > 0, start=at | {"r_e": 1.3 * r_e[i], "n": 1.5}) for i, at in enumerate(start)
)
ivar = torch.full((1, 1, side, side), noise**-2)
cutouts = rosse.Cutouts(flux=image[None, None], ivar=ivar, psf=psf)
del grid
fit = rosse.fit(cutouts, rosse.Model(components))
row = fit.table()[0]
pulls = [(float(row[f"g{i}_n"]) - n[i]) / float(row[f"sigma_g{i}_n"]) for i in range(count)]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({"status": str(row["status"]), "pulls": pulls, "GiB": peak}))
"""


def fitted(side: int, count: int) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(side), str(count)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_many_galaxies_in_one_frame_come_out_together() -> None:
    found = fitted(512, 4)
    assert found["status"] == "ok"
    assert max(abs(pull) for pull in found["pulls"]) < 4.5


@pytest.mark.slow
def test_ten_components_of_4096_pixels_a_side_fit_in_four_gibibytes() -> None:
    found = fitted(4096, 10)
    assert found["status"] == "ok"
    assert max(abs(pull) for pull in found["pulls"]) < 4.5  # of ten
    assert found["GiB"] <= 4.0
