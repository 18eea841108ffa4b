"""From pixels to labelled sources: sky and detection take turns until neither changes the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rosse.detection.background import Sky, cell_size, grow_sources, measure_sky
from rosse.detection.deblend import segment
from rosse.detection.options import DetectOptions
from rosse.detection.significance import DetectionImage, calibrated, detection_image
from rosse.errors import InputError

if TYPE_CHECKING:
    from rosse.io import Mosaic, Section

Pixels = NDArray[np.float32]

_ROUNDS = 3  # the sky changes by less than a hundredth of its noise after the third


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """A section after sky subtraction and detection.

    Parameters
    ----------
    flux : (C, H, W) sky-subtracted.
    ivar : (C, H, W) of `flux`, with the sources' photon noise where the gain is known; 0 for bad pixels.
    sky_ivar : (C, H, W) of the sky alone: as `ivar`, without the sources' photon noise.
    saturated : (H, W) pixels at or above the saturation level in any band.
    sky : level and noise.
    image : what was searched.
    labels : (H, W) 0 sky, 1..N sources.
    """

    flux: Pixels
    ivar: Pixels
    sky_ivar: Pixels
    saturated: NDArray[np.bool_]
    sky: Sky
    image: DetectionImage
    labels: NDArray[np.int32]


def find_sources(section: Section, mosaic: Mosaic, kernel: NDArray[np.float64], options: DetectOptions) -> Field:
    """Subtract the sky and label the sources of a section.

    Parameters
    ----------
    section : pixels as read.
    mosaic : whose gain and saturation level hold.
    kernel : (h, w) detection filter.

    Notes
    -----
    The sky is first measured with the sources in it, then twice around the sources found so far. A galaxy larger
    than a cell of the mesh is thus not taken for sky: its cells end up masked and take the level around it.
    """
    flux = np.where(section.bad, np.float32(0.0), section.flux).astype(np.float32, copy=False)
    around: NDArray[np.bool_] | None = None
    cell = cell_size(mosaic.shape, options.mesh)
    for _ in range(_ROUNDS):
        mask = section.bad if around is None else around
        sky = measure_sky(flux, mask, cell, options, sources_masked=around is not None)
        clean = np.where(section.bad, np.float32(0.0), flux - sky.level)
        ivar = _background_ivar(section, sky)
        image = calibrated(detection_image(clean, ivar, kernel), np.asarray(~mask.any(0)))
        around = _around_sources(image, section.bad, options)
    labels = segment(image, options)
    return Field(
        flux=clean,
        ivar=_with_photons(clean, ivar, section, mosaic),
        sky_ivar=ivar,
        saturated=_saturated(section, mosaic),
        sky=sky,
        image=image,
        labels=labels,
    )


def _saturated(section: Section, mosaic: Mosaic) -> NDArray[np.bool_]:
    limit = np.asarray(mosaic.saturation, dtype=np.float64)[:, None, None]
    return np.asarray((section.flux >= np.where(np.isfinite(limit), limit, np.inf)).any(0))


def _background_ivar(section: Section, sky: Sky) -> Pixels:
    """Inverse variance of the sky; 0 for bad pixels."""
    with np.errstate(over="ignore"):
        given = 1.0 / np.square(sky.rms.astype(np.float64)) if section.ivar is None else section.ivar
        ivar = np.where(section.bad, 0.0, given).astype(np.float32)
    if not np.isfinite(ivar).all() or (ivar[~section.bad] < np.finfo(np.float32).tiny).any():
        raise InputError(
            f"the noise of {float(np.median(sky.rms)):.2g} flux units per pixel is beyond single precision once it is "
            "squared; scale the image to numbers near one and change its zero point to match"
        )
    return ivar


def _with_photons(flux: Pixels, ivar: Pixels, section: Section, mosaic: Mosaic) -> Pixels:
    """Add the sources' photon noise where the noise was measured on the sky; a given noise map is left as it is."""
    gain = np.asarray(mosaic.gain, dtype=np.float64)
    known = np.isfinite(gain) & (gain > 0)
    if section.ivar is not None or not known.any():
        return ivar
    rate = np.where(known, 1.0 / np.where(known, gain, 1.0), 0.0)[:, None, None]
    return np.asarray(ivar / (1.0 + ivar * np.maximum(flux, 0.0) * rate), dtype=np.float32)


def _around_sources(image: DetectionImage, bad: NDArray[np.bool_], options: DetectOptions) -> NDArray[np.bool_] | None:
    """Bad pixels and sources with their surroundings.

    Less of the surroundings where too little sky would be left, and None where they would still leave too little.
    """
    found, count = ndimage.label(image.significance > options.threshold, structure=np.ones((3, 3)))
    small = np.bincount(found.ravel(), minlength=count + 1) < options.min_pixels
    found[small[found]] = 0
    for factor in (options.grow, 0.0):
        mask = bad | grow_sources(found.astype(np.int32), factor)
        if not mask.all(0).mean() > 0.97:
            return np.asarray(mask)
    return None
