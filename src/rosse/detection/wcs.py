"""The sky at a pixel: position, direction of north, handedness."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def sky_position(wcs: Any, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Right ascension and declination in degrees of pixels; NaN without a WCS."""
    if wcs is None or not len(x):
        return np.full(len(x), np.nan), np.full(len(x), np.nan)
    ra, dec = wcs.all_pix2world(x, y, 0)
    return np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)


def orientation(wcs: Any, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Direction of north (radians from +x to +y) and parity (+1: east is counter-clockwise of north) at pixels.

    North up and east left, the usual view, where there is no WCS.
    """
    if wcs is None or not len(x):
        return np.full(len(x), np.pi / 2), np.ones(len(x))
    ra1, dec1 = sky_position(wcs, x - 0.5, y)
    ra2, dec2 = sky_position(wcs, x + 0.5, y)
    ra3, dec3 = sky_position(wcs, x, y - 0.5)
    ra4, dec4 = sky_position(wcs, x, y + 0.5)
    stretch = np.cos(np.deg2rad(0.5 * (dec1 + dec2)))
    east_x, east_y = _turn(ra2 - ra1) * stretch, _turn(ra4 - ra3) * stretch  # east per pixel along x and y
    north_x, north_y = dec2 - dec1, dec4 - dec3
    # Solve J (dx, dy) = (0 east, 1 north); the determinant's sign is the handedness.
    determinant = east_x * north_y - east_y * north_x
    north = np.arctan2(east_x * np.sign(determinant), -east_y * np.sign(determinant))
    return north, -np.sign(determinant)


def _turn(angle: Floats) -> Floats:
    """Differences of right ascension across 0h, within +-180 degrees."""
    return (angle + 180.0) % 360.0 - 180.0
