"""Sources out of an image: threshold, peaks, and which peaks are sources of their own.

The threshold is SExtractor's. Its deblending is not used: a branch becomes a source there when it holds a fixed fraction
of the whole blend's light, so that neighbours vanish in the halo of a bright galaxy while a large spiral falls to pieces.
Here a peak is compared with the light that it stands on:

1. every local maximum is a hill; a hill joins its higher neighbour if its peak rises above the saddle between them by
   less than the detection threshold (of a difference: twice the variance), with fewer than `min_pixels` pixels (Berry 2015, FellWalker's MinDip and MinPix),
   or beside pixels without data, where no maximum is proven;
2. from the most luminous hill on, the smooth light of each source is modelled (`hosts`), and a later hill is a source
   only if its peak rises above the sum of these models by the threshold and by `deblend_contrast` times the models;
3. the pixels of a source on top of another are those of its hill where its own light exceeds half of the threshold and
   a fraction of the light underneath; all others belong to the host.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rosse.detection.clean import without_wing_detections
from rosse.detection.hosts import Scene
from rosse.detection.options import DetectOptions
from rosse.detection.peaks import Basins, find_basins
from rosse.detection.significance import DetectionImage

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]
Image = NDArray[np.float32]

_RIPPLE = 1.05  # a peak less than this above its saddle is a ripple, however significant
_OWN_SHARE = 0.3  # of the host's light: a pixel with more than this on top of it belongs to what is on top
_EIGHT = np.ones((3, 3), dtype=bool)


def segment(image: DetectionImage, options: DetectOptions) -> Labels:
    """Label the pixels of every source, 1..N without gaps; 0 is sky."""
    footprint = image.significance > options.threshold
    groups, count = ndimage.label(footprint, structure=_EIGHT)
    small = np.bincount(groups.ravel(), minlength=count + 1) < options.min_pixels
    footprint &= ~small[groups]
    if not footprint.any():
        return np.zeros(footprint.shape, dtype=np.int32)
    hills = find_hills(image, footprint, options)
    owner, host, under = choose_sources(hills, image, groups.astype(np.int32), options)
    own = image.smooth - under > np.maximum(_OWN_SHARE * under, 0.5 * options.threshold * image.noise)
    labels = _partition(hills, owner, host, own)
    return without_wing_detections(labels, image, options) if options.clean else labels


@dataclass(frozen=True, kw_only=True, eq=False)
class Hills:
    """Peaks that noise does not explain.

    Parameters
    ----------
    labels : (H, W) 0 outside the footprint, 1..P.
    row, column : (P,) pixel of each peak.
    rise : (P,) light above the saddle to a higher hill, summed over the hill's pixels.
    """

    labels: Labels
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    rise: Floats


def find_hills(image: DetectionImage, footprint: NDArray[np.bool_], options: DetectOptions) -> Hills:
    """Hills of the filtered image; those that do not stand out from their neighbour are part of it."""
    basins = find_basins(image.smooth, footprint)
    root, saddle = _without_ripples(basins, image, options)
    tops, hill = np.unique(root, return_inverse=True)
    labels = np.zeros_like(basins.labels)
    labels[footprint] = hill[basins.labels[footprint] - 1] + 1
    above = np.maximum(image.smooth - np.append(0.0, saddle[tops])[labels], 0.0)
    rise = np.bincount(labels.ravel(), weights=above.ravel(), minlength=len(tops) + 1)[1:]
    row, column = np.unravel_index(basins.peak[tops], labels.shape)
    return Hills(labels=labels, row=row.astype(np.int64), column=column.astype(np.int64), rise=rise)


def _without_ripples(basins: Basins, image: DetectionImage, options: DetectOptions) -> tuple[NDArray[np.int64], Floats]:
    """For every basin the one whose hill it belongs to, and for those the saddle to a higher hill (0 without).

    Saddles are taken from the highest down, so that when two hills meet each already holds all that is above.
    """
    height = image.smooth.ravel()[basins.peak].astype(np.float64)
    needed = np.maximum(
        np.sqrt(2.0) * options.threshold * image.noise.ravel()[basins.peak], (1.0 - 1.0 / _RIPPLE) * height
    )
    open_side = ndimage.binary_erosion(image.ivar > 0, structure=_EIGHT)
    needed[~open_side.ravel()[basins.peak]] = np.inf
    heights = _sorted_heights(basins, image.smooth)
    members = [[i] for i in range(len(height))]
    parent = list(range(len(height)))
    saddle = np.zeros(len(height))
    order = np.argsort(-basins.saddle, kind="stable")
    for (a, b), level in zip(basins.pairs[order].tolist(), basins.saddle[order].tolist(), strict=True):
        high, low = _root(parent, a), _root(parent, b)
        if high == low:
            continue
        if (height[high], -high) < (height[low], -low):
            high, low = low, high
        pixels = sum(len(heights[i]) - int(np.searchsorted(heights[i], level, "right")) for i in members[low])
        if height[low] - level < needed[low] or pixels < options.min_pixels:
            parent[low] = high
            members[high] += members[low]
        elif saddle[low] == 0.0:
            saddle[low] = level
    return np.array([_root(parent, i) for i in range(len(parent))], dtype=np.int64), saddle


def _sorted_heights(basins: Basins, light: Image) -> list[Image]:
    """The pixels of each basin, lowest first."""
    inside = basins.labels > 0
    label, value = basins.labels[inside], light[inside]
    order = np.lexsort((value, label))
    ends = np.cumsum(np.bincount(label, minlength=len(basins.peak) + 1))[1:-1]
    return np.split(value[order], ends)


def _root(parent: list[int], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


def choose_sources(
    hills: Hills, image: DetectionImage, groups: Labels, options: DetectOptions
) -> tuple[NDArray[np.int64], NDArray[np.int64], Image]:
    """Which hill is a source, and of which source the others are part.

    Returns
    -------
    owner : (P,) number of the hill that each belongs to; a source owns itself, -1 is nobody.
    host : (P,) brighter source in whose light a source's peak lies, -1 without.
    under : (H, W) on the pixels of each hill, the models of the sources that were chosen before it.
    """
    scene = Scene.of_image(image.smooth, options.threshold * image.noise, image.ivar > 0, groups)
    owner, host = np.arange(len(hills.row)), np.full(len(hills.row), -1)
    under = np.zeros_like(image.smooth)
    group = groups[hills.row, hills.column]
    left = np.bincount(group)
    boxes = ndimage.find_objects(hills.labels)
    for i in np.argsort(-hills.rise, kind="stable"):
        left[group[i]] -= 1
        at, box = (int(hills.row[i]), int(hills.column[i])), boxes[i]
        mine = hills.labels[box] == i + 1
        under[box][mine] = scene.model[box][mine]
        below, host[i] = float(scene.model[at]), scene.of[at]
        own = float(image.smooth[at]) - below
        if host[i] >= 0 and own < max(float(scene.floor[at]), options.deblend_contrast * below):
            owner[i] = host[i] if group[host[i]] == group[i] else -1  # apart: what a bright source's wings explain
        elif left[group[i]]:
            scene.add(int(i), at, 2 * max(box[0].stop - box[0].start, box[1].stop - box[1].start))
    return owner, host, under


def _partition(hills: Hills, owner: NDArray[np.int64], host: NDArray[np.int64], own: NDArray[np.bool_]) -> Labels:
    """Pixels of every source: those of its hill that are its own, and of what is part of it, all.

    Parameters
    ----------
    own : (H, W) pixels whose hill shines through the models of brighter sources.
    """
    labels = np.append(-1, owner)[hills.labels]
    for i, box in enumerate(ndimage.find_objects(hills.labels)):
        if owner[i] != i or host[i] < 0:
            continue
        mine = hills.labels[box] == i + 1
        parts, _ = ndimage.label(mine & own[box], structure=_EIGHT)
        at = parts[hills.row[i] - box[0].start, hills.column[i] - box[1].start]
        labels[box][mine & (parts != at)] = host[i]
    return _numbered(_in_one_piece(labels, hills))


def _in_one_piece(labels: NDArray[np.int64], hills: Hills) -> NDArray[np.int64]:
    """Give pieces that are cut off from their source's peak to the source that they touch most, or else to nobody."""
    loose = np.zeros(labels.shape, dtype=bool)
    for i, box in enumerate(ndimage.find_objects(labels + 1)):
        if box is not None:
            parts, count = ndimage.label(labels[box] == i, structure=_EIGHT)
            if count > 1:
                main = parts[hills.row[i] - box[0].start, hills.column[i] - box[1].start]
                loose[box] |= (parts > 0) & (parts != main)
    pieces, _ = ndimage.label(loose, structure=_EIGHT)
    settled = np.where(loose, -1, labels)
    for k, box in enumerate(ndimage.find_objects(pieces)):
        wide = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
        piece = pieces[wide] == k + 1
        beside = settled[wide][ndimage.binary_dilation(piece, structure=_EIGHT) & ~piece]
        beside = beside[beside >= 0]
        if len(beside):
            labels[wide][piece] = np.bincount(beside).argmax()
        else:
            labels[wide][piece] = -1
    return labels


def _numbered(labels: NDArray[np.int64]) -> Labels:
    """Labels 1..N without gaps; negative ones are sky."""
    found, place = np.unique(np.maximum(labels, -1), return_inverse=True)
    return np.asarray(place.reshape(labels.shape) + int(found[0] >= 0), dtype=np.int32)
