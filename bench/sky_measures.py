"""Simple measures of a galaxy in a colour picture, alike for real and virtual ones.

They are taken of the pictures as they are, stretched and compressed, so they only tell whether two sets of pictures
look alike; they are no substitute for measures of linear images.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

NAMES = ("size", "axis ratio", "colour", "concentration", "asymmetry", "Gini", "M20")
QUANTILES = (10, 50, 90)
LEAST = 12  # pixels of a galaxy that can be measured


def measured(pictures: np.ndarray) -> np.ndarray:
    """(N, 7) measures in the order of NAMES, of (N, H, W, 3) uint8 pictures; NaN where no galaxy is in the middle."""
    return np.stack([measures(each.astype(float)) for each in pictures])


def measures(picture: np.ndarray) -> np.ndarray:
    """Measures of one picture (H, W, 3)."""
    grey = picture.mean(2)
    sky, galaxy = segmented(grey)
    if galaxy.sum() < LEAST:
        return np.full(len(NAMES), np.nan)
    light = np.where(galaxy, np.maximum(grey - sky, 0), 0)
    y, x = np.indices(grey.shape)
    total = light.sum()
    cx, cy = (light * x).sum() / total, (light * y).sum() / total
    xx, yy, xy = ((light * u).sum() / total for u in ((x - cx) ** 2, (y - cy) ** 2, (x - cx) * (y - cy)))
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    r20, r50, r80 = radii(light, np.hypot(x - cx, y - cy), (0.2, 0.5, 0.8))
    bands = [(picture[..., i] - np.median(border(picture[..., i])))[galaxy].sum() for i in (0, 2)]
    return np.array([
        r50 / grey.shape[0], np.sqrt(max(middle - half, 0.0) / (middle + half)),
        2.5 * np.log10(max(bands[0], 1.0) / max(bands[1], 1.0)), 5 * np.log10(r80 / max(r20, 0.5)),
        asymmetry(light, cx, cy), gini(light[galaxy]), m20(light, x, y, cx, cy),
    ])  # fmt: skip


def border(plane: np.ndarray) -> np.ndarray:
    """The outermost three pixels."""
    return np.concatenate([plane[:3].ravel(), plane[-3:].ravel(), plane[:, :3].ravel(), plane[:, -3:].ravel()])


def segmented(grey: np.ndarray) -> tuple[float, np.ndarray]:
    """Sky, and the pixels of what is in the middle: above the sky by 3 of its deviations and a tenth of the peak."""
    edge = border(grey)
    sky = float(np.percentile(edge, 30))
    spread = max(1.48 * float(np.median(np.abs(edge - sky))), 2.0)
    smooth = ndimage.gaussian_filter(grey, 1.0)
    side = len(grey) // 2
    peak = smooth[side - 3 : side + 3, side - 3 : side + 3].max() - sky
    label, _ = ndimage.label(smooth - sky > max(3 * spread, 0.1 * peak))
    found = label[side - 3 : side + 3, side - 3 : side + 3]
    number = np.bincount(found[found > 0]) if (found > 0).any() else np.zeros(1)
    return sky, label == number.argmax() if number.any() else np.zeros_like(label, bool)


def radii(light: np.ndarray, radius: np.ndarray, shares: tuple[float, ...]) -> list[float]:
    """Radii of circles that hold these shares of the light."""
    order = np.argsort(radius, axis=None)
    grown = np.cumsum(light.ravel()[order])
    return [float(radius.ravel()[order][np.searchsorted(grown, share * grown[-1])]) for share in shares]


def asymmetry(light: np.ndarray, cx: float, cy: float) -> float:
    """Conselice 2003, eq. 1, about the centre of light, without a term for the sky."""
    side = light.shape
    moved = ndimage.shift(light, ((side[0] - 1) / 2 - cy, (side[1] - 1) / 2 - cx), order=1)
    return float(np.abs(moved - moved[::-1, ::-1]).sum() / (2 * moved.sum()))


def gini(values: np.ndarray) -> float:
    """Lotz+2004, eq. 6."""
    values, n = np.sort(values), len(values)
    return float((2 * np.arange(1, n + 1) - n - 1) @ values / (values.mean() * n * (n - 1)))


def m20(light: np.ndarray, x: np.ndarray, y: np.ndarray, cx: float, cy: float) -> float:
    """Lotz+2004, eq. 8, about the centre of light."""
    moment = light * ((x - cx) ** 2 + (y - cy) ** 2)
    order = np.argsort(light, axis=None)[::-1]
    bright = order[: max(int(np.searchsorted(np.cumsum(light.ravel()[order]), 0.2 * light.sum())), 1)]
    return float(np.log10(max(moment.ravel()[bright].sum(), 1e-3) / moment.sum()))


def comparison(real: np.ndarray, virtual: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray, float]]:
    """Name, quantiles of the real and of the virtual set and Kolmogorov-Smirnov distance of each measure."""
    from scipy.stats import ks_2samp

    out = []
    for i, name in enumerate(NAMES):
        a, b = (each[np.isfinite(each[:, i]), i] for each in (real, virtual))
        out.append((name, np.percentile(a, QUANTILES), np.percentile(b, QUANTILES), float(ks_2samp(a, b).statistic)))
    return out
