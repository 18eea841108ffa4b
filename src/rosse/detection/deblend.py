"""Sources out of an image: threshold, peaks, and which peaks are sources of their own.

The threshold is SExtractor's. Its deblending is not used: there, a branch becomes a source when it holds a fixed
fraction of the whole blend's light, so that neighbours vanish in the halo of a bright galaxy while a large spiral
falls to pieces. Here a peak is compared with the light that it stands on:

1. Every local maximum is a hill. A hill joins its higher neighbour if its peak rises above the saddle between them by
   less than the detection threshold (of a difference: twice the variance), with fewer than `min_pixels` pixels (Berry
   2015, FellWalker's MinDip and MinPix), or beside pixels without data, where no maximum is proven (`hills`).
2. From the hill with most symmetric light on, the smooth light of each source is modelled (`hosts`). A later hill is a
   source only if its peak rises above the sum of these models by the threshold and by `deblend_contrast` times them.
3. A galaxy with many bumps that failed 2 is clumpy, and its faint bumps that passed are likely its own: star-forming
   knots in its outskirts. Only what is bright or far above its light remains a source there.
4. The pixels of a source on top of another are those of its hill where its own light exceeds half of the threshold and
   a fraction of the light underneath, or where no model is brighter than its own; all others belong to the host.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rosse.detection.clean import without_wing_detections
from rosse.detection.hills import Hills, find_hills
from rosse.detection.hosts import Scene, symmetric_light
from rosse.detection.options import DetectOptions
from rosse.detection.significance import DetectionImage

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]
Image = NDArray[np.float32]

_OWN_SHARE = 0.3  # of the host's light: a pixel with more than this on top of it belongs to what is on top
_CLUMPY = 5  # bumps that make a galaxy clumpy,
_CLUMPY_SHARE = 0.5  # if they are not far fewer than the faint sources on it
_FAINT = 0.005  # of the host's light: SExtractor's deblending contrast
_FAR_ABOVE = 10.0  # times the light underneath
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
    owner, host, under, brightest = choose_sources(hills, image, groups.astype(np.int32), options)
    own = image.smooth - under > np.maximum(_OWN_SHARE * under, 0.5 * options.threshold * image.noise)
    own |= brightest == hills.labels - 1
    labels = _partition(hills, owner, host, own)
    return without_wing_detections(labels, image, options) if options.clean else labels


def choose_sources(
    hills: Hills, image: DetectionImage, groups: Labels, options: DetectOptions
) -> tuple[NDArray[np.int64], NDArray[np.int64], Image, Labels]:
    """Which hill is a source, and of which source the others are part.

    Returns
    -------
    owner : (P,) number of the hill that each belongs to; a source owns itself, -1 is nobody.
    host : (P,) brighter source in whose light a source's peak lies, -1 without.
    under : (H, W) on the pixels of each hill, the models of the sources that were chosen before it.
    brightest : (H, W) number of the hill whose model is the brightest at a pixel, -1 without any.
    """
    scene = Scene.of_image(image.smooth, options.threshold * image.noise, image.ivar > 0, groups)
    owner, host = np.arange(len(hills.row)), np.full(len(hills.row), -1)
    contrast, light = np.full(len(hills.row), np.inf), _host_light(hills, scene)
    under = np.zeros_like(image.smooth)
    group = groups[hills.row, hills.column]
    left = np.bincount(group)
    boxes = ndimage.find_objects(hills.labels)
    for i in np.argsort(-light, kind="stable"):
        left[group[i]] -= 1
        at, box = (int(hills.row[i]), int(hills.column[i])), boxes[i]
        mine = hills.labels[box] == i + 1
        under[box][mine] = scene.model[box][mine]
        below, host[i] = float(scene.model[at]), scene.of[at]
        own = float(image.smooth[at]) - below
        contrast[i] = own / below if below > 0 else np.inf
        if host[i] >= 0 and own < max(float(scene.floor[at]), options.deblend_contrast * below):
            owner[i] = host[i] if group[host[i]] == group[i] else -1  # apart: what a bright source's wings explain
        elif left[group[i]]:
            light[i] = scene.add(int(i), at, _radius(box))
    faint = (contrast < _FAR_ABOVE) & (hills.rise < _FAINT * light[host]) & (group == group[host])
    _give_to_clumpy_hosts(owner, host, faint)
    return owner, host, under, scene.of


def _host_light(hills: Hills, scene: Scene) -> Floats:
    """How much light each hill can be the host of; where it is alone, its own."""
    group = scene.groups[hills.row, hills.column]
    alone = np.bincount(group)[group] == 1
    light = hills.rise.copy()
    for i, box in enumerate(ndimage.find_objects(hills.labels)):
        if not alone[i]:
            light[i] = symmetric_light(scene, (int(hills.row[i]), int(hills.column[i])), _radius(box))
    return light


def _radius(box: tuple[slice, ...]) -> int:
    """First guess of the extent of a hill's source."""
    return 2 * max(int(side.stop - side.start) for side in box)


def _give_to_clumpy_hosts(owner: NDArray[np.int64], host: NDArray[np.int64], faint: NDArray[np.bool_]) -> None:
    """Make faint sources part of a host that has many bumps anyway; changes `owner` and `host` in place.

    Parameters
    ----------
    faint : (P,) hills that are neither bright, compared with their host, nor far above its light.
    """
    itself = np.arange(len(owner))
    bumps = np.bincount(owner[(owner >= 0) & (owner != itself)], minlength=len(owner))
    for h in np.nonzero(bumps >= _CLUMPY)[0]:
        loose = (owner == itself) & (host == h) & faint
        if bumps[h] >= _CLUMPY_SHARE * np.count_nonzero(loose):
            owner[loose] = h
    # What had been part of such a source, or on top of it, is now part of the host, or on top of that.
    owner[:] = np.where(owner >= 0, owner[owner], -1)
    host[:] = np.where(host >= 0, owner[host], -1)


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
