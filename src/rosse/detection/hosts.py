"""The smooth light of a bright source: what a peak on top of it has to rise above."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
Labels = NDArray[np.int32]
Box = tuple[slice, slice]

_REACH = 1.6  # extent of a model over that of the source's isophote
_BRIGHTEST = 1.5  # parts of a galaxy over its centre
_SAMPLE = 10_000  # pixels of a model that its profile is taken from,
_DENSE = 20.0  # and all within this radius
_QUANTILE = 0.3  # along ellipses: below the median, so that neighbours on half of a ring do not count
_CONTRAST = 3.0  # of arms, rings and bars over that; two companions that face each other have more
_ALL_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """The image while its sources are being taken out, the most luminous first.

    Parameters
    ----------
    light : (H, W) filtered image.
    floor : (H, W) light that counts, the detection threshold in flux.
    data : (H, W) False where there is none.
    groups : (H, W) connected footprints; 0 sky.
    model : (H, W) sum of the models so far; it grows.
    brightest, of : (H, W) the largest of these models at each pixel, and whose it is (-1: none).
    """

    light: Image
    floor: Image
    data: NDArray[np.bool_]
    groups: Labels
    model: Image
    brightest: Image
    of: Labels

    @classmethod
    def of_image(cls, light: Image, floor: Image, data: NDArray[np.bool_], groups: Labels) -> Scene:
        """A scene without models."""
        empty, nobody = np.zeros_like(light), np.full(light.shape, -1, dtype=np.int32)
        return cls(light=light, floor=floor, data=data, groups=groups, model=empty, brightest=empty.copy(), of=nobody)

    def add(self, source: int, peak: tuple[int, int], radius: int) -> float:
        """Model the source with this peak, put it into the scene, and return its total light."""
        box, light = smooth_light(self, peak, radius)
        self.model[box] += light
        higher = light > self.brightest[box]
        self.of[box][higher] = source
        self.brightest[box][higher] = light[higher]
        return float(light.sum(dtype=np.float64))


def smooth_light(scene: Scene, peak: tuple[int, int], radius: int) -> tuple[Box, Image]:
    """Model of one source that leaves out whatever sits on it on one side only.

    Parameters
    ----------
    scene : with the models of the sources that are more luminous.
    peak : row and column of the source.
    radius : first guess of its extent, pixels.

    Returns
    -------
    box, model : where it is, and the model in it.

    Notes
    -----
    The larger of two robust estimates. Light that has its like on the opposite side of the centre, ``min(I(x),
    I(-x))``, follows discs, rings, bars and two-armed spirals (the symmetric templates of the SDSS deblender, Lupton
    et al. 2001), as long as it is not far above the other: a low quantile along ellipses of its shape, which fills in
    where one side is covered. Stars, companions and single star-forming knots are in neither.
    """
    box, light, usable, body = _body(scene, peak, radius)
    centre = _centre(peak, box)
    mirrored, paired = _symmetric(np.where(usable, light, np.float32(np.inf)), centre)
    rings = _ellipse_radius(np.where(body, mirrored, 0.0), centre)
    model = _low_profile(light, rings, usable)
    symmetric = np.where(body & paired, np.minimum(mirrored, _CONTRAST * model), 0.0)
    return box, np.maximum(np.maximum(symmetric, model), 0.0).astype(np.float32)


def symmetric_light(scene: Scene, peak: tuple[int, int], radius: int) -> float:
    """Total light around a peak that has its like on the opposite side.

    A galaxy has more of it than a star in front of it, even one that outshines its centre, and its centre more than any
    of its knots: whoever has most is the host of the others.
    """
    box, light, usable, body = _body(scene, peak, radius)
    mirrored, paired = _symmetric(np.where(usable, light, np.float32(np.inf)), _centre(peak, box))
    # Two brighter neighbours that face each other are not the light of what lies between them.
    own = _connected(body & paired & (mirrored <= _BRIGHTEST * scene.light[peak]), _centre(peak, box))
    return float(mirrored[own].sum(dtype=np.float64))


def _body(scene: Scene, peak: tuple[int, int], radius: int) -> tuple[Box, Image, NDArray[np.bool_], NDArray[np.bool_]]:
    """Box around a source with room for its wings; its light, which pixels may be used, and the source's isophote."""
    group = scene.groups[peak]
    while True:
        box = _box(scene.light.shape, peak, radius)
        usable = scene.data[box] & ((scene.groups[box] == group) | (scene.groups[box] == 0))
        light = scene.light[box] - scene.model[box]
        centre = _centre(peak, box)
        mirrored, _ = _symmetric(np.where(usable, light, np.float32(np.inf)), centre)
        body = _connected(mirrored > scene.floor[box], centre)
        # The profile fades out beyond the threshold: with that much room, the model has no edge.
        wanted = _REACH * max(float(np.abs(np.nonzero(body)[axis] - centre[axis]).max()) for axis in (0, 1))
        if radius >= min(wanted, max(scene.light.shape)):
            return box, light, usable, body
        radius = int(np.ceil(max(wanted, 1.5 * radius)))


def _centre(peak: tuple[int, int], box: Box) -> tuple[int, int]:
    return peak[0] - box[0].start, peak[1] - box[1].start


def _box(shape: tuple[int, ...], peak: tuple[int, int], radius: int) -> Box:
    (y, x), (height, width) = peak, shape
    return slice(max(0, y - radius), min(height, y + radius + 1)), slice(max(0, x - radius), min(width, x + radius + 1))


def _symmetric(light: Image, centre: tuple[int, int]) -> tuple[Image, NDArray[np.bool_]]:
    """The smaller of each pixel and the one opposite the centre, and where both are there.

    Pixels that are infinite or outside are not there; where one of a pair is missing, the other stands alone.
    """
    reach = [max(c, n - 1 - c) for c, n in zip(centre, light.shape, strict=True)]
    around = np.full((2 * reach[0] + 1, 2 * reach[1] + 1), np.inf, dtype=np.float32)
    first = (reach[0] - centre[0], reach[1] - centre[1])
    inside = (slice(first[0], first[0] + light.shape[0]), slice(first[1], first[1] + light.shape[1]))
    around[inside] = light
    opposite = around[::-1, ::-1]
    pair = np.minimum(around, opposite)[inside]
    both = (np.isfinite(around) & np.isfinite(opposite))[inside]
    return np.where(np.isfinite(pair), pair, np.float32(0.0)), both


def _connected(mask: NDArray[np.bool_], at: tuple[int, int]) -> NDArray[np.bool_]:
    """The connected part of a mask that holds a pixel; that pixel alone where it is not in the mask."""
    labels, _ = ndimage.label(mask, structure=_ALL_NEIGHBOURS)
    part = np.asarray(labels == labels[at]) & mask
    part[at] = True
    return np.asarray(part)


def _ellipse_radius(light: Floats | Image, centre: tuple[int, int]) -> Floats:
    """Elliptical radius of every pixel, semi-major axis in pixels, for the shape of the light."""
    y, x = np.indices(light.shape, dtype=np.float64)
    dy, dx = y - centre[0], x - centre[1]
    total = max(float(light.sum()), 1e-30)
    x2, y2 = float((light * dx * dx).sum()) / total + 1 / 12, float((light * dy * dy).sum()) / total + 1 / 12
    xy = float((light * dx * dy).sum()) / total
    theta = 0.5 * np.arctan2(2.0 * xy, x2 - y2)
    mean, split = 0.5 * (x2 + y2), np.hypot(0.5 * (x2 - y2), xy)
    ratio = max(0.2, float(np.sqrt(max(mean - split, 1e-12) / (mean + split))))
    along, across = dx * np.cos(theta) + dy * np.sin(theta), dy * np.cos(theta) - dx * np.sin(theta)
    return np.asarray(np.hypot(along, across / ratio))


def _low_profile(light: Image, radius: Floats, usable: NDArray[np.bool_]) -> Floats:
    """Low quantile along ellipses, interpolated in radius; rings are a pixel or a tenth of the radius wide."""
    edges = [0.0, 1.0]
    while edges[-1] < radius.max():
        edges.append(edges[-1] + max(1.0, 0.1 * edges[-1]))
    # Wide rings hold far more pixels than a quantile needs.
    step = max(1, int(np.sqrt(radius.size / _SAMPLE)))
    sparse = np.zeros(radius.shape, dtype=bool)
    sparse[::step, ::step] = True
    inside = usable & (sparse | (radius < _DENSE))
    ring = np.digitize(radius[inside], np.array(edges)) - 1
    if not len(ring):
        return np.zeros_like(radius)
    order = np.lexsort((light[inside], ring))
    count = np.bincount(ring)
    some = np.nonzero(count)[0]
    first = (np.cumsum(count) - count)[some]
    quantile = light[inside][order][first + (_QUANTILE * (count[some] - 1)).astype(int)]
    middle = 0.5 * (np.array(edges)[some] + np.append(edges, edges[-1])[some + 1])
    # A source's light does not rise again outwards; where the quantile does, others begin.
    return np.asarray(np.interp(radius, middle, np.minimum.accumulate(quantile)))
