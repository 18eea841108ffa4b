"""Noisy galaxies whose truth is known, drawn by GalSim: what the fitters are compared on.

    python bench/simulate.py galaxies.npz [--count 256] [--bulge-disc] [--seed 1]

The file holds `image`, `sigma` (N, H, W); `psf`, as surveys give it, and `psf_point`, the same without the integration
over the pixel; `truth`, one row per galaxy; `zp`, `scale`. Pixels count from 0 at the centre of the first one, `re` is
the half-light semi-major axis in pixels, `pa` is in degrees from +x to +y, `mag` is the whole light's. In sums of two,
a name with `_d` is the disc's.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import galsim
import numpy as np

SCALE, ZEROPOINT = 0.396, 22.5  # arcsec per pixel; AB mag of one unit of flux
SEEING, BETA, PSF_PIXELS = 1.3, 3.5, 41  # a Moffat function, FWHM in arcsec
SKY_NOISE, ELECTRONS = 0.018, 940.0  # per pixel, in units of flux; electrons per unit of flux
EXACT = galsim.GSParams(
    folding_threshold=1e-4, maxk_threshold=1e-4, kvalue_accuracy=1e-7, xvalue_accuracy=1e-7, maximum_fft_size=32768
)
PARAMETERS = ("mag", "re", "n", "q", "pa")
TRUTH = ("x", "y", "snr", *PARAMETERS, *(f"{name}_d" for name in PARAMETERS))
Row = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """What is drawn: evenly, `n` and `snr` evenly in the logarithm."""

    n: tuple[float, float] = (0.5, 6.0)
    re: tuple[float, float] = (2.0, 12.0)
    snr: tuple[float, float] = (30.0, 1000.0)


def simulate(
    count: int, *, seed: int = 1, size: int = 128, bulge_disc: bool = False, ranges: Ranges | None = None
) -> dict[str, np.ndarray]:
    """`count` galaxies on frames of `size` pixels."""
    rng = np.random.default_rng(seed)
    psf = galsim.Moffat(beta=BETA, fwhm=SEEING / SCALE, gsparams=EXACT)
    truth = np.full(count, np.nan, dtype=[(name, "f8") for name in TRUTH])
    images, sigmas = np.empty((2, count, size, size), np.float32)
    for i in range(count):
        row, share = two_components(rng) if bulge_disc else one_component(rng, ranges or Ranges())
        row |= {"x": (size - 1) / 2 + rng.uniform(-1, 1), "y": (size - 1) / 2 + rng.uniform(-1, 1)}
        shape = draw(row, share, psf, size)
        flux = flux_of(shape, row["snr"])
        row |= {f"mag{s}": ZEROPOINT - 2.5 * np.log10(flux * part) for s, part in share.items()}
        sigmas[i] = noise(flux * shape)
        sky = (SKY_NOISE * ELECTRONS) ** 2
        images[i] = (rng.poisson(np.maximum(flux * shape * ELECTRONS, 0) + sky) - sky) / ELECTRONS
        for name, value in row.items():
            truth[name][i] = value
    stamps = {"psf": psf_image(psf, "auto"), "psf_point": psf_image(psf, "no_pixel")}
    return {"image": images, "sigma": sigmas, **stamps, "truth": truth, "zp": np.array(ZEROPOINT),
            "scale": np.array(SCALE)}  # fmt: skip


def one_component(rng: np.random.Generator, ranges: Ranges) -> tuple[Row, Row]:
    """Parameters, and the share of the light of each component by the ending of its names."""
    row = {
        "n": np.exp(rng.uniform(*np.log(ranges.n))),
        "re": rng.uniform(*ranges.re),
        "q": rng.uniform(0.25, 0.95),
        "pa": rng.uniform(0, 180),
        "snr": np.exp(rng.uniform(*np.log(ranges.snr))),
    }
    return row, {"": 1.0}


def two_components(rng: np.random.Generator) -> tuple[Row, Row]:
    """A bulge in a disc; every second bulge has n = 4."""
    disc = {"re_d": rng.uniform(5, 14), "n_d": 1.0, "q_d": rng.uniform(0.3, 0.95), "pa_d": rng.uniform(0, 180)}
    bulge = {
        "re": disc["re_d"] * rng.uniform(0.2, 0.7),
        "n": 4.0 if rng.uniform() < 0.5 else rng.uniform(1.5, 5),
        "q": rng.uniform(0.6, 0.95),
        "pa": (disc["pa_d"] + rng.normal(0, 15)) % 180,
        "snr": np.exp(rng.uniform(*np.log((100, 1000)))),
    }
    share = rng.uniform(0.1, 0.8)
    return bulge | disc, {"": share, "_d": 1 - share}


def draw(row: Row, share: Row, psf: galsim.GSObject, size: int) -> np.ndarray:
    """At unit flux, seen through PSF and pixel."""
    parts = []
    for s, part in share.items():
        round_radius = row["re" + s] * np.sqrt(row["q" + s])  # GalSim's shear keeps the area
        sersic = galsim.Sersic(n=row["n" + s], half_light_radius=round_radius, flux=part, gsparams=EXACT)
        parts.append(sersic.shear(q=row["q" + s], beta=row["pa" + s] * galsim.degrees))
    centre = (size - 1) / 2
    seen = galsim.Convolve(galsim.Add(parts), psf, gsparams=EXACT)
    image = galsim.ImageD(size, size)
    return seen.drawImage(image, scale=1.0, offset=(row["x"] - centre, row["y"] - centre)).array


def noise(image: np.ndarray) -> np.ndarray:
    """Standard deviation of each pixel: sky and photons."""
    return np.sqrt(SKY_NOISE**2 + np.maximum(image, 0) / ELECTRONS)


def flux_of(shape: np.ndarray, snr: float) -> float:
    """The flux with which an image of unit flux has this S/N, that of the best-matched filter."""
    low, high = np.log(1e-4), np.log(1e8)
    for _ in range(60):
        middle = (low + high) / 2
        image = np.exp(middle) * shape
        low, high = (middle, high) if np.sqrt(np.sum((image / noise(image)) ** 2)) < snr else (low, middle)
    return float(np.exp(low))


def psf_image(psf: galsim.GSObject, method: str) -> np.ndarray:
    stamp = psf.drawImage(galsim.ImageD(PSF_PIXELS, PSF_PIXELS), scale=1.0, method=method).array
    return stamp / stamp.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--bulge-disc", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    np.savez(a.out, **simulate(a.count, seed=a.seed, size=a.size, bulge_disc=a.bulge_disc))


if __name__ == "__main__":
    main()
