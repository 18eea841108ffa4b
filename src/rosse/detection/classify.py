"""Stars and galaxies: how concentrated a source is, compared with a point source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

Floats = NDArray[np.float64]


def stellarity(half: Floats, snr: Floats, point: float, width: float = 0.05) -> Floats:
    """Probability-like number between 0 (galaxy) and 1 (star) from half-light radii.

    Parameters
    ----------
    half : (N,) half-light radii, pixels.
    snr : (N,) signal-to-noise ratios.
    point : half-light radius of a point source, pixels; NaN where unknown gives NaN everywhere.
    width : relative scatter of point sources at high signal-to-noise.
    """
    error = point * np.hypot(width, 1.5 / np.maximum(snr, 1.0))
    return np.asarray(0.5 * erfc((half - point - 2.0 * error) / (np.sqrt(2.0) * error)))


def point_radius(half: Floats, snr: Floats, clean: NDArray[np.bool_]) -> float:
    """Half-light radius of the stellar locus: where bright sources crowd at small radii; NaN without enough of them."""
    radii = np.sort(half[clean & (snr > 30) & np.isfinite(half)])
    if len(radii) < 5:
        return float("nan")
    inside = np.searchsorted(radii, radii * 1.15) - np.arange(len(radii))
    # Galaxies crowd as well, but at larger radii: the smallest radius whose bin is nearly as full as the fullest.
    first = int(np.argmax(inside >= max(3, 0.7 * inside.max())))
    if inside[first] < 3:
        return float("nan")
    return float(np.median(radii[first : first + inside[first]]))
