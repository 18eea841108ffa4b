"""Position, size and shape of labelled sources."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rosse.detection.touching import highest_contact

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Shapes:
    """Moments of N sources in the pixels of their section; row i is label i + 1.

    Parameters
    ----------
    x, y : barycentre, 0 at the centre of the first pixel.
    a, b : rms along the major and minor axis, pixels.
    theta : angle of the major axis, radians from +x to +y, within +-pi/2.
    npix : pixels of the isophote.
    peak : highest significance.
    xmin, xmax, ymin, ymax : first and last pixel of the isophote.
    """

    x: Floats
    y: Floats
    a: Floats
    b: Floats
    theta: Floats
    npix: NDArray[np.int64]
    peak: Floats
    xmin: NDArray[np.int64]
    xmax: NDArray[np.int64]
    ymin: NDArray[np.int64]
    ymax: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Shapes:
        return Shapes(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def measure_shapes_of(labels: NDArray[np.int32], light: NDArray[np.float32], peak: NDArray[np.float32]) -> Shapes:
    """Flux-weighted first and second moments within each label.

    Parameters
    ----------
    labels : (H, W) 1..N without gaps.
    light : (H, W) filtered flux that weighs the pixels.
    peak : (H, W) significance, for `Shapes.peak`.

    Notes
    -----
    SExtractor's X_IMAGE, A_IMAGE, THETA_IMAGE (manual, sects. 10.1.3-6): moments of the filtered image over the
    isophote; point-like ones get the 1/12 of a pixel's own width. The centre of a source that touches a neighbour is
    the barycentre of its light above their highest contact, as SExtractor takes it above the deblending threshold; for
    its second moments, the pixels opposite to those of the neighbour stand for these.
    """
    count = int(labels.max(initial=0))
    y, x = np.nonzero(labels)
    label = labels[y, x]
    value = np.maximum(light[y, x].astype(np.float64), 0.0)
    top = np.zeros(count + 1)
    np.maximum.at(top, label, peak[y, x])
    contact = highest_contact(labels, light, count)
    # A hair below the contact, so that a source whose peak is the contact keeps that pixel.
    above = np.maximum(value - 0.999 * np.append(0.0, contact)[label], 0.0)
    xc, yc = _centres(label, x, y, above)
    mirrored = _mirrored(labels, (label, x, y, value), (xc, yc))
    pixels = [np.concatenate(pair) for pair in zip((label, x, y, value), mirrored, strict=True)]
    second = _second_moments(pixels, (xc, yc))
    a, b, theta = _ellipse(*second)
    boxes = [box or (slice(0, 1), slice(0, 1)) for box in ndimage.find_objects(labels)]
    edges = np.array([(r.start, r.stop - 1, c.start, c.stop - 1) for r, c in boxes], dtype=np.int64).reshape(-1, 4)
    npix = np.bincount(label, minlength=count + 1)[1:]
    ymin, ymax, xmin, xmax = edges.T
    return Shapes(
        x=xc, y=yc, a=a, b=b, theta=theta, npix=npix, peak=top[1:], xmin=xmin, xmax=xmax, ymin=ymin, ymax=ymax
    )


def _centres(label: NDArray[np.int32], x: Any, y: Any, weight: Floats) -> tuple[Floats, Floats]:
    """Barycentre of each label."""
    total = np.maximum(np.bincount(label, weights=weight), 1e-300)
    return (np.bincount(label, weights=weight * x) / total)[1:], (np.bincount(label, weights=weight * y) / total)[1:]


def _mirrored(labels: NDArray[np.int32], pixels: Any, centre: tuple[Floats, Floats]) -> Any:
    """The pixels whose counterpart across the source's centre belongs to another source, moved there."""
    label, x, y, value = pixels
    x2 = np.rint(2.0 * np.append(0.0, centre[0])[label] - x).astype(np.int64)
    y2 = np.rint(2.0 * np.append(0.0, centre[1])[label] - y).astype(np.int64)
    inside = (x2 >= 0) & (y2 >= 0) & (x2 < labels.shape[1]) & (y2 < labels.shape[0])
    there = np.where(inside, labels[np.where(inside, y2, 0), np.where(inside, x2, 0)], 0)
    foreign = inside & (there > 0) & (there != label)
    return label[foreign], x2[foreign], y2[foreign], value[foreign]


def _second_moments(pixels: Any, centre: tuple[Floats, Floats]) -> tuple[Floats, Floats, Floats]:
    """Mean of x^2, y^2 and xy around the centres."""
    label, x, y, value = pixels
    dx, dy = x - np.append(0.0, centre[0])[label], y - np.append(0.0, centre[1])[label]
    total = np.maximum(np.bincount(label, weights=value), 1e-300)
    x2, y2, xy = ((np.bincount(label, weights=value * w) / total)[1:] for w in (dx * dx, dy * dy, dx * dy))
    return x2, y2, xy


def _ellipse(x2: Floats, y2: Floats, xy: Floats) -> tuple[Floats, Floats, Floats]:
    thin = x2 * y2 - xy * xy < 1.0 / 144.0  # narrower than one pixel
    x2, y2 = x2 + thin / 12.0, y2 + thin / 12.0
    mean, split = 0.5 * (x2 + y2), np.hypot(0.5 * (x2 - y2), xy)
    theta = 0.5 * np.arctan2(2.0 * xy, x2 - y2)
    return np.sqrt(mean + split), np.sqrt(np.maximum(mean - split, 1.0 / 12.0)), theta
