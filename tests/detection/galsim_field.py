"""Fields drawn with GalSim, whose truth is known: stars and Sersic galaxies under a Moffat PSF with white noise."""

from __future__ import annotations

from dataclasses import dataclass

import galsim
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class GalsimField:
    """Image and truth; (C, H, W), one row of truth per object."""

    flux: NDArray[np.float32]
    sigma: float
    psf: Floats  # (h, w) at the centre of the field
    fwhm: float  # of the PSF with the pixel, pixels
    x: Floats
    y: Floats
    light: Floats  # (N,) total flux in every band
    half: Floats  # (N,) half-light radius before the PSF, 0 for stars
    star: NDArray[np.bool_]


def moffat(fwhm: float, beta: float = 3.0, g1: float = 0.0, g2: float = 0.0) -> galsim.GSObject:
    return galsim.Moffat(beta=beta, fwhm=fwhm).shear(g1=g1, g2=g2)


def psf_stamp(psf: galsim.GSObject, size: int = 51) -> Floats:
    """PSF with the pixel on image pixels, centred, unit sum."""
    stamp = psf.drawImage(nx=size, ny=size, scale=1.0).array.astype(np.float64)
    return np.asarray(stamp / stamp.sum())


def stamp_fwhm(stamp: Floats) -> float:
    """Full width at half maximum of a stamp: interpolated at half of the peak along four directions."""
    image = galsim.InterpolatedImage(galsim.Image(stamp, scale=1.0))
    return float(image.calculateFWHM())


def nearest(points: Floats, to: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Distance to the nearest of `points` (N, 2) for each of `to` (M, 2), and its row."""
    distance, row = cKDTree(points).query(to)
    return np.asarray(distance, dtype=np.float64), np.asarray(row, dtype=np.int64)


def draw_field(
    *,
    size: int = 400,
    stars: int = 30,
    galaxies: int = 60,
    bands: int = 1,
    fwhm: float = 4.5,
    sigma: float = 1.0,
    faintest: float = 150.0,
    brightest: float = 30000.0,
    gap: float = 25.0,
    bend: float = 0.0,
    seed: int = 1,
) -> GalsimField:
    """Draw a field.

    Parameters
    ----------
    faintest, brightest : range of total fluxes, uniform in magnitude.
    gap : least distance of two objects, pixels.
    bend : relative change of the PSF's width from the first to the last column.
    """
    rng = np.random.default_rng(seed)
    x, y = _positions(rng, size, stars + galaxies, gap)
    count = len(x)
    star = np.arange(count) < stars
    light = faintest * (brightest / faintest) ** rng.random(count)
    half = np.where(star, 0.0, rng.uniform(1.5, 6.0, count))
    image = galsim.ImageD(size, size)
    for i in range(count):
        psf = moffat(fwhm * (1.0 + bend * (x[i] / size - 0.5)))
        thing = psf.withFlux(light[i]) if star[i] else galsim.Convolve(
            galsim.Sersic(n=float(rng.choice([1.0, 1.5, 2.5, 4.0])), half_light_radius=half[i], flux=light[i]).shear(
                q=float(rng.uniform(0.3, 1.0)), beta=float(rng.uniform(0, 180)) * galsim.degrees), psf)  # fmt: skip
        position = galsim.PositionD(x[i] + 1, y[i] + 1)
        stamp = thing.drawImage(nx=201, ny=201, scale=1.0, center=position)
        bounds = stamp.bounds & image.bounds
        image[bounds] += stamp[bounds]
    flux = image.array[None] + rng.normal(scale=sigma, size=(bands, size, size))
    stamp = psf_stamp(moffat(fwhm))
    return GalsimField(
        flux=flux.astype(np.float32), sigma=sigma, psf=stamp, fwhm=stamp_fwhm(stamp), x=x, y=y, light=light, half=half,
        star=star,
    )  # fmt: skip


def _positions(rng: np.random.Generator, size: int, count: int, gap: float) -> tuple[Floats, Floats]:
    """Random positions that keep a distance; fewer than asked for where there is no room."""
    found: list[tuple[float, float]] = []
    for _ in range(200 * count):
        x, y = rng.uniform(15, size - 16, 2)
        if all(np.hypot(x - a, y - b) > gap for a, b in found):
            found.append((float(x), float(y)))
        if len(found) == count:
            break
    xs, ys = np.array(found).T
    return xs, ys
