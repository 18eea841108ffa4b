"""Galaxies of known shape: Sersic profiles integrated over pixels by GalSim, and their analytic radii by SciPy."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammainc, gammaincinv

from rosse import Cutouts


def petrosian_radius(n: float, eta: float = 0.2) -> float:
    """In half-light radii: where surface brightness is `eta` times the mean inside (Graham & Driver 2005, eq. 2)."""
    b = gammaincinv(2 * n, 0.5)

    def excess(r: float) -> float:
        x = b * r ** (1 / n)
        inside = gammainc(2 * n, x) * 2 * n * _gamma(2 * n) * np.exp(b) / b ** (2 * n) * np.pi
        edge = np.exp(-b * (r ** (1 / n) - 1))
        return edge / (inside / (np.pi * r**2)) - eta

    return brentq(excess, 0.3, 30)


def _gamma(x: float) -> float:
    from scipy.special import gamma

    return float(gamma(x))


def radius_of(n: float, fraction: float, within: float) -> float:
    """Radius of a fraction of the light within a radius, in half-light radii."""
    b = gammaincinv(2 * n, 0.5)
    part = fraction * gammainc(2 * n, b * within ** (1 / n))
    return (gammaincinv(2 * n, part) / b) ** n


def sersic(n: float, r_e: float, q: float = 1.0, theta: float = 0.0, side: int = 200, shift=(0.0, 0.0)) -> np.ndarray:
    """Image of unit flux without PSF, major axis r_e; theta in radians."""
    import galsim

    profile = galsim.Sersic(n=n, half_light_radius=r_e * np.sqrt(q)).shear(q=q, beta=theta * galsim.radians)
    offset = (shift[0] + 0.5 * (side % 2 == 0), shift[1] + 0.5 * (side % 2 == 0))  # on pixel side // 2
    drawn = profile.drawImage(nx=side, ny=side, scale=1.0, offset=offset, method="auto")
    return drawn.array.astype(np.float64)


def cutouts(images, sigma: float = 1e-9, **about) -> Cutouts:
    """Cutouts of images with noise of known sigma."""
    images = np.atleast_3d(images) if np.ndim(images) == 3 else np.asarray(images)[None]
    return Cutouts.from_arrays(images, sigma=np.full(images.shape, sigma), **about)


def round_segment(side: int, radius: float) -> np.ndarray:
    """Map of a disc of 1 around the central pixel."""
    y, x = np.mgrid[:side, :side] - side // 2
    return (np.hypot(x, y) <= radius).astype(int)
