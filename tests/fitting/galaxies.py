"""Noisy GalSim galaxies whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import galsim
import numpy as np

from rosse import Cutouts

ZEROPOINT, SCALE = 22.5, 0.4
PSF = galsim.Moffat(beta=3.5, fwhm=1.2 / SCALE)


@dataclass(frozen=True, kw_only=True)
class Galaxies:
    image: np.ndarray
    sigma: np.ndarray
    psf: np.ndarray
    truth: dict[str, np.ndarray]  # x, y, flux, r_e (pixels), n, q, theta (radians)
    clean: np.ndarray | None = None  # image without noise


def psf_stamp(size: int = 65) -> np.ndarray:
    stamp = PSF.drawImage(galsim.ImageD(size, size), scale=1.0).array
    return stamp / stamp.sum()


def draw_one(n: float, r_e: float, q: float, theta: float, x: float, y: float, size: int) -> np.ndarray:
    """Unit flux; r_e is the semi-major axis, theta radians from +x to +y."""
    galaxy = galsim.Sersic(n=n, half_light_radius=r_e * np.sqrt(q)).shear(q=q, beta=theta * galsim.radians)
    centre = (size - 1) / 2
    image = galsim.ImageD(size, size)
    return galsim.Convolve(galaxy, PSF).drawImage(image, scale=1.0, offset=(x - centre, y - centre)).array


def simulate(count: int, *, seed: int, size: int = 64, snr: tuple[float, float] = (60, 600)) -> Galaxies:
    """Single Sersic galaxies in white noise; S/N is that of the best-matched filter."""
    rng = np.random.default_rng(seed)
    truth = {
        "x": size // 2 + rng.uniform(-1, 1, count),
        "y": size // 2 + rng.uniform(-1, 1, count),
        "r_e": rng.uniform(2, 6, count),
        "n": np.exp(rng.uniform(np.log(0.7), np.log(4.5), count)),
        "q": rng.uniform(0.3, 0.9, count),
        "theta": rng.uniform(0, np.pi, count),
    }
    snr_each = np.exp(rng.uniform(*np.log(snr), count))
    shapes = [draw_one(*(truth[k][i] for k in ("n", "r_e", "q", "theta", "x", "y")), size) for i in range(count)]
    noise = 0.02
    truth["flux"] = np.array([s * noise / np.sqrt((shape**2).sum()) for s, shape in zip(snr_each, shapes, strict=True)])
    image = np.stack([f * shape for f, shape in zip(truth["flux"], shapes, strict=True)])
    image += rng.normal(0, noise, image.shape)
    return Galaxies(image=image, sigma=np.full_like(image, noise), psf=psf_stamp(), truth=truth)


def cutouts_of(image: np.ndarray, sigma: float = 0.02, **more: object) -> Cutouts:
    usual = {"psf": psf_stamp(41), "scale": SCALE, "zeropoint": ZEROPOINT}
    return Cutouts.from_arrays(image, sigma=sigma, **(usual | more))


def within(table, name: str, true: object, sigmas: float = 4.5) -> None:
    """Every value lies so close to the truth, in its own errors."""
    off = np.abs(np.asarray(table[name]) - true) / np.asarray(table[f"sigma_{name}"])
    assert (off < sigmas).all(), (name, off)
