"""Marginal detections that the wings of a neighbour explain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from rosse.detection.moments import Shapes, measure_shapes_of
from rosse.detection.options import DetectOptions
from rosse.detection.significance import DetectionImage

Labels = NDArray[np.int32]
Floats = NDArray[np.float64]

_ZONE = 10.0  # rms axes within which wings are considered (SExtractor's CLEAN_ZONE)


def without_wing_detections(labels: Labels, image: DetectionImage, options: DetectOptions) -> Labels:
    """Labels 1..N without the sources that would not have been detected on top of a brighter neighbour's wings.

    Notes
    -----
    SExtractor's CLEAN (Bertin & Arnouts 1996, sect. 4; manual, sect. 6.4.6) with CLEAN_PARAM 1: a Moffat profile with
    index 1 that has the neighbour's amplitude and isophotal area is compared with the margin by which the
    `min_pixels`-th brightest pixel of the source exceeds the threshold.
    """
    shapes = measure_shapes_of(labels, image.significance, image.significance)
    if len(shapes) < 2:
        return labels
    margin = _margin(labels, image.significance, options)
    sums = np.bincount(labels.ravel(), weights=image.significance.ravel(), minlength=len(shapes) + 1)
    total = sums[1:].astype(np.float64)
    weak = np.nonzero(_covered(shapes, total, margin, options.threshold))[0]
    number = np.zeros(len(shapes) + 1, dtype=np.int32)
    number[np.setdiff1d(np.arange(1, len(shapes) + 1), weak + 1)] = np.arange(1, len(shapes) - len(weak) + 1)
    return np.asarray(number[labels])


def _margin(labels: Labels, significance: NDArray[np.float32], options: DetectOptions) -> Floats:
    """How far the `min_pixels`-th brightest pixel of each source lies above the threshold; 0 with fewer pixels."""
    inside = labels > 0
    label, value = labels[inside], significance[inside]
    order = np.lexsort((-value, label))
    counts = np.bincount(label, minlength=int(labels.max()) + 1)[1:]
    first = np.cumsum(counts) - counts
    enough = counts >= options.min_pixels
    margin = np.zeros(len(counts))
    margin[enough] = value[order][first[enough] + options.min_pixels - 1] - options.threshold
    return np.maximum(margin, 0.0)


def _covered(shapes: Shapes, total: Floats, margin: Floats, threshold: float) -> NDArray[np.bool_]:
    """Sources whose margin is below the wing of a brighter one."""
    area = 2.0 * np.pi * shapes.a * shapes.b
    amplitude = total / area
    steepness = np.maximum(amplitude / threshold - 1.0, 0.0) * 0.5 * area / shapes.npix
    tree = cKDTree(np.stack([shapes.x, shapes.y], axis=1))
    covered = np.zeros(len(shapes), dtype=bool)
    for i in np.nonzero(steepness > 0)[0]:
        near = np.array(tree.query_ball_point((shapes.x[i], shapes.y[i]), _ZONE * shapes.a[i]), dtype=np.int64)
        near = near[total[near] < total[i]]
        dx, dy = shapes.x[near] - shapes.x[i], shapes.y[near] - shapes.y[i]
        along = dx * np.cos(shapes.theta[i]) + dy * np.sin(shapes.theta[i])
        across = dy * np.cos(shapes.theta[i]) - dx * np.sin(shapes.theta[i])
        square = (along / shapes.a[i]) ** 2 + (across / shapes.b[i]) ** 2
        covered[near] |= amplitude[i] / (1.0 + steepness[i] * square) > margin[near]
    return covered
