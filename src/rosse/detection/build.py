"""The PSF of a mosaic from its stars, from a few sections where it is large."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rosse.detection.assumed import assumed_psf
from rosse.detection.measure import Patch, measure_section
from rosse.detection.options import DetectOptions
from rosse.detection.psf import psf_from_stars
from rosse.detection.stars import find_stars

if TYPE_CHECKING:
    from rosse.io import FieldPsf, Mosaic

log = logging.getLogger(__name__)

_SIDE = 1024  # pixels of a section; five of them are read of a mosaic that is larger than twice that


def build_psf(mosaic: Mosaic, options: DetectOptions | None = None) -> FieldPsf | None:
    """PSF from the stars of a mosaic; an assumed one, said in the log, where there are too few.

    Parameters
    ----------
    mosaic : of which five sections are read if it is large: the middle and the middles of the four quarters.
    options : as for `detect`.

    Returns
    -------
    FieldPsf
        Integrated over the pixel, ten times as wide as its width at half maximum, wings fading to zero; linear in the
        position where forty stars or more allow it. Without enough stars: see `assumed_psf`; None where nothing
        tells how wide a point is.

    Notes
    -----
    Stars are unsaturated, lonely sources on the locus of the smallest half-light radii, with a signal-to-noise ratio
    above fifty. Their pixels are fitted together, each with its own flux and sub-pixel position; those that differ from
    the others are dropped.
    """
    options = options or DetectOptions()
    patches = [measure_section(mosaic.section(*part), mosaic, options) for part in _sections(mosaic.shape)]
    return psf_of_patches(patches, mosaic)


def psf_of_patches(patches: Sequence[Patch], mosaic: Mosaic) -> FieldPsf | None:
    """PSF from the stars of sections that are measured already; an assumed one, said in the log, without enough."""
    stars = find_stars(patches, mosaic.survey, mosaic.scale)
    psf = stars if isinstance(stars, str) else psf_from_stars(stars, mosaic.bands, mosaic.shape)
    if isinstance(psf, str):
        log.warning("%s: no PSF can be built: %s", mosaic.name, psf)
        return assumed_psf(patches, mosaic)
    return psf


def _sections(shape: tuple[int, int]) -> list[tuple[slice, slice]]:
    """The whole of a small mosaic, five sections of a large one."""
    height, width = shape
    if height * width <= (2 * _SIDE) ** 2:
        return [(slice(0, height), slice(0, width))]
    centres = ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))
    found = [(_around(y * height, height), _around(x * width, width)) for y, x in centres]
    return [part for k, part in enumerate(found) if part not in found[:k]]


def _around(middle: float, length: int) -> slice:
    side = min(_SIDE, length)
    start = int(np.clip(middle - side / 2, 0, length - side))
    return slice(start, start + side)
