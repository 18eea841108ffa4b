"""Multimode, intensity and deviation: clumps of a galaxy, told apart by level and by steepest ascent.

Components at many levels are a matter of one pixel after the other: on a CPU they are found galaxy by galaxy, on the
rectangle around its segment; on other devices by ``mid_batched.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.shapes.connected import summits
from rosse.shapes.options import ShapeOptions
from rosse.shapes.smoothing import TRUNCATE
from rosse.shapes.stamps import Stamps, bounds

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
FINEST = 1600  # quantiles that are tried at most where no level parts a galaxy in two
REACH, NEAR = 2.0, 400  # steps, levels
EIGHT = np.ones((3, 3), dtype=int)
WITHIN = np.zeros((3, 3, 3), dtype=int)  # neighbours in one image of a stack
WITHIN[1] = 1


def mid(stamps: Stamps, otherwise: Tensor, options: ShapeOptions) -> tuple[dict[str, Tensor], Tensor]:
    """Multimode, intensity and deviation (B,) of stamps, and the map (B, N, N) they are measured on.

    `otherwise` (B, N, N) are the maps where the galaxy's own segment ends before the level of the map is reached.
    """
    if stamps.image.device.type != "cpu":
        from rosse.shapes.mid_batched import mid_at_once  # which needs what stands here

        return mid_at_once(stamps, otherwise, options)
    light = torch.where(stamps.segment & ~stamps.bad, stamps.image, 0.0).clamp_min_(0).numpy()
    segment, other = (m.numpy() for m in (stamps.segment & ~stamps.bad, otherwise))
    found = np.full((3, len(light)), math.nan)
    whole = np.zeros(light.shape, dtype=bool)
    corners = zip(*(v.tolist() for v in boxes(stamps, options)), strict=True)
    for i, ((x, y), (x_stop, y_stop)) in enumerate(corners):
        box = np.s_[y:y_stop, x:x_stop]
        if segment[i].any() and light[i].any():
            # of a map that is not the segment's, the segment's light is all that counts
            galaxy = _Galaxy(light=light[i][box].astype(np.float64), segment=segment[i][box])
            own = galaxy.map(eta=options.eta, width=options.boxcar_mid)
            if own is None:
                whole[i] = other[i]
            else:
                whole[i][box] = own
            on_map = np.where(whole[i][box], galaxy.light, 0.0)
            found[:, i] = _indices(on_map, galaxy.segment, int(whole[i].sum()), options)
    values = dict(zip(("multimode", "intensity", "deviation"), torch.from_numpy(found), strict=True))
    return values, torch.from_numpy(whole)


def boxes(stamps: Stamps, options: ShapeOptions) -> tuple[Tensor, Tensor]:
    """First pixel (B, 2), x and y, and the one after the last, of rectangles as far from segments as smoothing reaches.

    They lie within the stamps' extents.
    """
    margin = max(math.ceil(TRUNCATE * options.sigma_mid), options.boxcar_mid) + 2
    low, stop = bounds(stamps.segment)
    extent = torch.stack([stamps.width, stamps.height], 1)
    return (low - margin).clamp_min(0), torch.minimum(stop + margin, extent)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Galaxy:
    """Light (H, W) of a galaxy, negative pixels 0, and its segment (H, W)."""

    light: Floats
    segment: Mask

    def map(self, *, eta: float, width: int) -> Mask | None:
        """Pixels of multimode, intensity and deviation (Freeman et al. 2013, sect. 4.3); None where they are undefined.

        The clump around the brightest pixel above the quantile at which its faintest pixels are `eta` times as bright
        as its mean, made smooth by a boxcar of `width` pixels; of that again the clump of the brightest pixel.
        """
        from scipy import ndimage, optimize

        values = np.sort(self.light[self.segment])
        brightest = np.unravel_index(int(self.light.argmax()), self.light.shape)

        def clump(quantile: float) -> tuple[Mask, float]:
            level = float(values[int(quantile * (len(values) - 1))])
            label, _ = ndimage.label(self.light >= level, EIGHT)
            return np.asarray(label == label[brightest]), level

        def excess(quantile: float) -> float:
            main, level = clump(quantile)
            return level / float(self.light[main].mean()) - eta

        if excess(0.0) > 0:
            return None
        quantile = optimize.brentq(excess, 0.0, 1.0, xtol=1 / len(values))
        smoothed = ndimage.uniform_filter(clump(quantile)[0].astype(np.float64), width) > 0.5 + 1e-6
        smoothed[brightest] = True
        label, _ = ndimage.label(smoothed, EIGHT)
        return np.asarray(label == label[brightest])


def _indices(light: Floats, segment: Mask, area: int, options: ShapeOptions) -> tuple[float, float, float]:
    """M, I and D of the light (H, W) on a map of `area` pixels, 0 elsewhere."""
    from scipy import ndimage

    smoothed = ndimage.gaussian_filter(light, options.sigma_mid)
    values = np.sort(light[segment])
    rows, columns = (np.flatnonzero(light.any(axis)) for axis in (1, 0))
    if not len(rows):
        return math.nan, math.nan, math.nan
    own = light[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return (multimode(own, values, options.levels_mid), *intensity_and_deviation(light, smoothed, area))


def multimode(light: Floats, values: Floats, levels: int) -> float:
    """M = A_2 / A_1, areas of the two largest clumps at the level where A_2^2 / A_1 is largest.

    Peth et al. (2016), eq. 1, after Freeman et al. (2013), whose statistic is A_2^2 / A_1 itself.

    Parameters
    ----------
    light : (H, W) on the map of Freeman et al. (2013, sect. 4.3), 0 elsewhere.
    values : (K,) light of the segment's pixels, sorted: its quantiles are the levels.
    levels : quantiles that are tried; twice as many, and so on to `FINEST`, where none parts the galaxy. Then levels
        up to `REACH` steps from the best of them are tried, all that differ if they are no more than `NEAR`.

    Notes
    -----
    Over all levels the largest A_2^2 / A_1 often is that of the two brightest pixels, each a clump; the steps of the
    papers pass over it.
    """
    last = len(values) - 1
    while True:
        score, ratio, at = _two_largest(light, values, np.arange(levels) / levels * last)
        if score.max() > 0 or 2 * levels > FINEST:
            break
        levels *= 2
    best, reach = int(score.argmax()), REACH * last / levels
    near = np.linspace(at[best] - reach, at[best] + reach, min(NEAR, 2 * math.ceil(reach)) + 1)
    score_2, ratio_2, _ = _two_largest(light, values, near)
    again = int(score_2.argmax())
    return float(ratio_2[again] if score_2[again] > score[best] else ratio[best])


def _two_largest(light: Floats, values: Floats, place: Floats) -> tuple[Floats, Floats, Floats]:
    """A_2^2 / A_1, A_2 / A_1 and place (Q,) of those levels among sorted values that differ."""
    from scipy import ndimage

    level, first = np.unique(values[place.clip(0, len(values) - 1).astype(int)], return_index=True)
    some = (level > 0) | (level == level[-1])  # from 0 on, all pixels are one clump
    level, place = level[some], place[first][some]
    light = _trimmed(light, level[0])
    label, count = ndimage.label(light >= level[:, None, None], WITHIN)  # all at once: levels touch nowhere
    sizes = np.bincount(label.ravel(), minlength=count + 1)[1:]
    starts = np.maximum.accumulate(label.reshape(len(level), -1).max(1))[:-1]
    starts = np.concatenate([[0], starts])  # every level has a clump
    top = np.maximum.reduceat(sizes * count + np.arange(count), starts)  # the largest, and which one it is
    largest = (top // count).astype(np.float64)
    sizes[top % count] = 0
    second = np.maximum.reduceat(sizes, starts)
    return second**2 / largest, second / largest, place


def _trimmed(light: Floats, level: float) -> Floats:
    """The smallest rectangle of an image that has all pixels of a level and more."""
    above = light >= level
    rows, columns = (np.flatnonzero(above.any(axis)) for axis in (1, 0))
    return light[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def intensity_and_deviation(light: Floats, smoothed: Floats, area: int) -> tuple[float, float]:
    """I = I_2 / I_1 and D = sqrt(pi / n) |x_centroid - x_peak| (Peth et al. 2016, eqs. 2 and 3).

    Parameters
    ----------
    light : (H, W) on the map.
    smoothed : (H, W) whose local maxima are the clumps; its steepest ascent decides which pixels are theirs, and
        I_1, I_2 are its sums over the brightest two.
    area : pixels of the map.
    """
    sums = np.bincount(summits(smoothed).ravel(), smoothed.ravel(), minlength=smoothed.size)
    second, first = np.partition(sums, -2)[-2:]
    peak_y, peak_x = divmod(int(sums.argmax()), smoothed.shape[1])
    total = light.sum()
    x = light.sum(0) @ np.arange(light.shape[1]) / total
    y = light.sum(1) @ np.arange(light.shape[0]) / total
    return float(second / first), math.sqrt(math.pi / area) * math.hypot(x - peak_x, y - peak_y)
