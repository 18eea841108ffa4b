"""Multimode, intensity and deviation of a whole batch at once: on a GPU, a loop over galaxies would wait for each step.

The definitions are those of `rosse.shapes.mid`, where the papers stand; the numbers agree up to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from rosse.shapes.connected import NEIGHBOURS, areas, component_at, components
from rosse.shapes.mid import FINEST, NEAR, REACH, boxes
from rosse.shapes.options import ShapeOptions
from rosse.shapes.roots import brent
from rosse.shapes.smoothing import boxcar, gaussian, smooth
from rosse.shapes.stamps import Stamps

PIXELS = 2**25  # of the levels that are looked at together


@dataclass(frozen=True, kw_only=True, eq=False)
class _Galaxies:
    """Squares of S pixels around the segments of B galaxies.

    Parameters
    ----------
    light : (B, S, S) double precision, negative pixels 0; 0 outside the segment.
    segment, box : (B, S, S) the galaxy, and the rectangle around it.
    extent : (B, 2) columns and rows of the stamp that lie in the square.
    first : (B, 2) column and row of its first pixel in the stamp.
    """

    light: Tensor
    segment: Tensor
    box: Tensor
    extent: Tensor
    first: Tensor

    @property
    def brightest(self) -> tuple[Tensor, Tensor]:
        """Column and row (B,) of the brightest pixel."""
        at, side = self.light.flatten(1).argmax(1), self.light.shape[2]
        return at % side, torch.div(at, side, rounding_mode="floor")


def mid_at_once(stamps: Stamps, otherwise: Tensor, options: ShapeOptions) -> tuple[dict[str, Tensor], Tensor]:
    """What `rosse.shapes.mid.mid` gives, by operations on the whole batch."""
    names = ("multimode", "intensity", "deviation")
    found = torch.full((3, len(stamps.image)), math.nan, dtype=torch.float64, device=stamps.image.device)
    whole = torch.zeros_like(otherwise)
    good = stamps.segment & ~stamps.bad
    rows = ((stamps.image > 0) & good).flatten(1).any(1).nonzero().flatten()
    if len(rows):
        galaxies = _galaxies(stamps, good, rows, options)
        own, undefined = _map(galaxies, options)
        whole[rows] = torch.where(undefined[:, None, None], otherwise[rows], _back(own, galaxies, whole.shape[1]))
        on_map = torch.where(_part(whole[rows], galaxies), galaxies.light, 0.0)
        area = whole[rows].sum((1, 2))
        values = (_multimode(on_map, galaxies.segment, options.levels_mid), *_clumps(on_map, galaxies, area, options))
        lit = on_map.flatten(1).any(1)
        found[:, rows] = torch.where(lit, torch.stack(values), math.nan)
    return dict(zip(names, found, strict=True)), whole


def _galaxies(stamps: Stamps, good: Tensor, rows: Tensor, options: ShapeOptions) -> _Galaxies:
    low, stop = (v[rows] for v in boxes(stamps, options))
    side = int((stop - low).max())
    first = low.clamp_max(stamps.image.shape[1] - side)
    line = torch.arange(side, device=rows.device)
    inside = [(line >= (low - first)[:, i, None]) & (line < (stop - first)[:, i, None]) for i in (0, 1)]
    empty = torch.zeros(len(rows), side, side, dtype=torch.bool, device=rows.device)
    galaxies = _Galaxies(
        light=empty, segment=empty, box=inside[1][:, :, None] & inside[0][:, None, :], first=first,
        extent=(torch.stack([stamps.width, stamps.height], 1)[rows] - first).clamp_max(side),
    )  # fmt: skip
    segment = _part(good[rows], galaxies) & galaxies.box
    light = torch.where(segment, _part(stamps.image[rows], galaxies), 0.0).clamp_min(0).double()
    return _Galaxies(light=light, segment=segment, box=galaxies.box, extent=galaxies.extent, first=first)


def _index(galaxies: _Galaxies, size: int) -> Tensor:
    """Places (B, S S) of the squares' pixels in stamps of size x size pixels."""
    line = torch.arange(galaxies.box.shape[1], device=galaxies.first.device)
    x, y = (galaxies.first[:, i, None] + line for i in (0, 1))
    return (y[:, :, None] * size + x[:, None, :]).flatten(1)


def _part(whole: Tensor, galaxies: _Galaxies) -> Tensor:
    """Squares (B, S, S) of stamps (B, N, N)."""
    return whole.flatten(1).gather(1, _index(galaxies, whole.shape[1])).view(galaxies.box.shape)


def _back(part: Tensor, galaxies: _Galaxies, size: int) -> Tensor:
    """Stamps (B, size, size) with the squares where they were, 0 elsewhere."""
    out = torch.zeros(len(part), size * size, dtype=part.dtype, device=part.device)
    return out.scatter(1, _index(galaxies, size), part.flatten(1)).view(-1, size, size)


def _map(galaxies: _Galaxies, options: ShapeOptions) -> tuple[Tensor, Tensor]:
    """Pixels (B, S, S) of multimode, intensity and deviation, and where (B,) they are undefined."""
    light, (x, y) = galaxies.light, galaxies.brightest
    values, count = _sorted(light, galaxies.segment)
    last = (count - 1).double()

    def clump(quantile: Tensor) -> tuple[Tensor, Tensor]:
        level = values.gather(1, (quantile * last).long()[:, None])
        return component_at((light >= level[:, :, None]) & galaxies.box, x, y), level[:, 0]

    def excess(quantile: Tensor) -> Tensor:
        main, level = clump(quantile)
        return level / ((light * main).sum((1, 2)) / main.sum((1, 2))) - options.eta

    zero = torch.zeros_like(last)
    undefined = excess(zero) > 0
    quantile = brent(excess, zero, torch.ones_like(last), tolerance=1 / count.double())
    widths = torch.full_like(last, float(options.boxcar_mid))
    rows, columns = (boxcar(widths, galaxies.extent[:, i], light.shape[1]) for i in (1, 0))
    smoothed = smooth(clump(quantile)[0].float(), rows, columns) > 0.5 + 1e-6
    smoothed[torch.arange(len(x), device=x.device), y, x] = True
    return component_at(smoothed, x, y), undefined


def _sorted(light: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Light (B, P) of the pixels of a mask, sorted, infinity after the last; and their number (B,)."""
    return torch.where(mask, light, math.inf).flatten(1).sort(1).values, mask.sum((1, 2))


def _multimode(light: Tensor, segment: Tensor, levels: int) -> Tensor:
    """M (B,) of light (B, S, S) on the map."""
    values, count = _sorted(light, segment)
    last = (count - 1).double()
    score, ratio, at = (torch.zeros_like(last) for _ in range(3))
    steps, rows = torch.full_like(last, float(levels)), torch.arange(len(last), device=last.device)
    while len(rows):
        place = torch.arange(levels, dtype=last.dtype, device=last.device) / levels * last[rows, None]
        score[rows], ratio[rows], at[rows] = _best(light[rows], values[rows], count[rows], place)
        steps[rows] = levels
        if 2 * levels > FINEST:
            break
        levels, rows = 2 * levels, rows[score[rows] <= 0]
    reach = REACH * last / steps
    trials = (2 * reach.ceil()).clamp_max(NEAR)
    line = torch.arange(int(trials.max()) + 1, dtype=last.dtype, device=last.device)
    near = (at - reach)[:, None] + line * (2 * reach / trials.clamp_min(1))[:, None]
    near = torch.where(line == trials[:, None], (at + reach)[:, None], near)
    near = torch.where(line <= trials[:, None], near, math.nan)
    score_2, ratio_2, _ = _best(light, values, count, near)
    return torch.where(score_2 > score, ratio_2, ratio)


def _best(light: Tensor, values: Tensor, count: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Largest A_2^2 / A_1 (B,), A_2 / A_1 there, and its place among places (B, L) in the sorted values."""
    tried = torch.isfinite(place)
    inside = torch.minimum(place.nan_to_num(0.0).clamp_min(0), (count - 1).double()[:, None])
    level = values.gather(1, inside.long())
    tried = tried & ((level > 0) | (level == values.gather(1, (count - 1)[:, None])))
    each = max(1, PIXELS // (level.shape[1] * light[0].numel()))
    pairs = [
        _two_largest(part, levels)
        for part, levels in zip(torch.split(light, each), torch.split(level, each), strict=True)
    ]
    first, second = (torch.cat(v) for v in zip(*pairs, strict=True))
    score = torch.where(tried, second.square() / first, -1.0)
    best = score.argmax(1, keepdim=True)
    return score.gather(1, best)[:, 0], (second / first).gather(1, best)[:, 0], place.gather(1, best)[:, 0]


def _two_largest(light: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Areas (B, L) of the largest and the second clump of light (B, S, S) at levels (B, L)."""
    above = (light[:, None] >= level[:, :, None, None]).flatten(0, 1)
    largest = areas(components(above)).topk(2, dim=1).values.double().view(*level.shape, 2)
    return largest[..., 0], largest[..., 1]


def _clumps(light: Tensor, galaxies: _Galaxies, area: Tensor, options: ShapeOptions) -> tuple[Tensor, Tensor]:
    """I and D (B,) of light (B, S, S) on a map of `area` (B,) pixels."""
    sigma, side = torch.full((len(light),), options.sigma_mid, dtype=light.dtype, device=light.device), light.shape[1]
    rows, columns = (gaussian(sigma, galaxies.extent[:, i], side) for i in (1, 0))
    smoothed = smooth(light.float(), rows, columns)
    sums = torch.zeros_like(light).flatten(1)
    sums.scatter_add_(1, _summits(smoothed), smoothed.flatten(1).double())
    top = sums.topk(2, dim=1)
    peak_x, peak_y = top.indices[:, 0] % side, torch.div(top.indices[:, 0], side, rounding_mode="floor")
    line = torch.arange(side, dtype=light.dtype, device=light.device)
    x, y = ((light.sum(axis) * line).sum(1) / light.sum((1, 2)) for axis in (1, 2))
    return top.values[:, 1] / top.values[:, 0], (math.pi / area).sqrt() * torch.hypot(x - peak_x, y - peak_y)


def _summits(image: Tensor) -> Tensor:
    """Number (B, H W) of the local maximum that the steepest way up leads to, over the eight neighbours."""
    b, height, width = image.shape
    padded = pad(image, (1, 1, 1, 1), value=-math.inf)
    own = torch.arange(height * width, device=image.device).view(height, width).expand(b, -1, -1)
    best, way = image, own
    for dy, dx in NEIGHBOURS:
        there = padded[:, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        higher = there > best
        best, way = torch.where(higher, there, best), torch.where(higher, own + (dy * width + dx), way)
    flat = way.flatten(1)
    while True:
        further = flat.gather(1, flat)
        if torch.equal(further, flat):
            return flat
        flat = further
