"""A small field of galaxies and stars, Gaussians all, the PSF included; drawn without rosse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SCALE, SKY, NOISE, PSF_SIGMA = 0.3, 100.0, 1.0, 1.5


def draw(
    shape: tuple[int, int] = (300, 300), *, galaxies: int = 24, stars: int = 8, seed: int = 1
) -> tuple[NDArray[np.float32], Floats, Floats]:
    """Image (H, W) and positions of galaxies and stars, (N, 2) pixels each; sources stay clear of each other."""
    rng = np.random.default_rng(seed)
    places = _apart(rng, shape, galaxies + stars)
    image = rng.normal(SKY, NOISE, shape)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for i, (cx, cy) in enumerate(places):
        size, q = rng.uniform(2, 3.5), rng.uniform(0.4, 1)
        a, b = (PSF_SIGMA, PSF_SIGMA) if i >= galaxies else (np.hypot(size, PSF_SIGMA), np.hypot(q * size, PSF_SIGMA))
        angle, flux = rng.uniform(0, np.pi), 10 ** rng.uniform(3.0, 3.8)
        u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        image += flux / (2 * np.pi * a * b) * np.exp(-0.5 * ((u / a) ** 2 + (v / b) ** 2))
    return image.astype(np.float32), places[:galaxies], places[galaxies:]


def write(path: Path, image: NDArray[np.float32], *, x0: int = 0) -> Path:
    """FITS file with WCS; `x0`: pixels by which the image is shifted to the right on the sky."""
    sky = WCS(naxis=2)
    sky.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    sky.wcs.crval = [150.0, 2.0]
    sky.wcs.crpix = [1.0 - x0, 1.0]
    sky.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    fits.writeto(path, image, sky.to_header(), overwrite=True)
    return path


def psf_stamp(sigma: float = PSF_SIGMA, size: int = 15) -> Floats:
    y, x = np.mgrid[:size, :size] - size // 2
    stamp = np.exp(-0.5 * (x**2 + y**2) / sigma**2)
    return np.asarray(stamp / stamp.sum())


def write_cutouts(folder: Path, count: int = 5, *, size: int = 41, seed: int = 2) -> list[str]:
    """Files of round Gaussian galaxies as GALMOSS names them, sizes differing; returns the names."""
    rng = np.random.default_rng(seed)
    names = [f"g{i:02d}" for i in range(count)]
    for i, name in enumerate(names):
        y, x = np.mgrid[: size + 2 * i, : size + 2 * i] - (size + 2 * i) // 2
        image = 50 * np.exp(-0.5 * (x**2 + y**2) / 9) + rng.normal(0, 1, x.shape)
        fits.writeto(folder / f"{name}_image.fits", image.astype(np.float32))
        fits.writeto(folder / f"{name}_sigma.fits", np.ones(x.shape, np.float32))
        fits.writeto(folder / f"{name}_psf.fits", psf_stamp())
    return names


def _apart(rng: np.random.Generator, shape: tuple[int, int], count: int, distance: float = 24.0) -> Floats:
    places = np.empty((0, 2))
    while len(places) < count:
        new = rng.uniform(15, np.array(shape[::-1]) - 15)
        if not len(places) or np.hypot(*(places - new).T).min() > distance:
            places = np.vstack([places, new])
    return places
