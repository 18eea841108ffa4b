"""Everything that is measured on the pixels of one section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rosse.detection.field import Field, find_sources
from rosse.detection.flags import image_flags, near_bright
from rosse.detection.moments import Shapes, measure_shapes_of
from rosse.detection.options import DetectOptions, Flag
from rosse.detection.photometry import Photometry, measure_light
from rosse.detection.significance import DEFAULT_KERNEL, gaussian_kernel

if TYPE_CHECKING:
    from rosse.io import Mosaic, Section

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Patch:
    """A measured section; rows of `shapes`, `light` and `flags` belong to labels 1, 2, ...

    Parameters
    ----------
    field : pixels and labels.
    shapes, light, flags : of its sources.
    origin : x, y of its first pixel in the mosaic.
    """

    field: Field
    shapes: Shapes
    light: Photometry
    flags: NDArray[np.int32]
    origin: tuple[int, int]


def measure_section(section: Section, mosaic: Mosaic, options: DetectOptions, kernel: Floats | None = None) -> Patch:
    """Find and measure the sources of a section.

    Parameters
    ----------
    kernel : (h, w) detection filter; by default what is known of the seeing.
    """
    field = find_sources(section, mosaic, seeing_kernel(mosaic) if kernel is None else kernel, options)
    shapes = measure_shapes_of(field.labels, field.image.smooth, field.image.significance)
    planes = (
        np.concatenate([field.image.flux[None], field.flux]),
        np.concatenate([field.image.ivar[None], field.ivar]),
    )
    light = measure_light(planes, field.labels, shapes, options, sky_sigma=field.sky.sigma)
    flags = _flags(field, section, mosaic, shapes, light)
    return Patch(field=field, shapes=shapes, light=light, flags=flags, origin=(section.x0, section.y0))


def seeing_kernel(mosaic: Mosaic) -> Floats:
    """Detection filter without a PSF: a Gaussian of the survey's seeing, else 3 x 3 pixels."""
    if mosaic.survey is None or not np.isfinite(mosaic.scale):
        return DEFAULT_KERNEL
    known = [f for b, f in zip(mosaic.survey.bands, mosaic.survey.psf_fwhm, strict=True) if b in mosaic.bands]
    return gaussian_kernel(float(np.mean(known or mosaic.survey.psf_fwhm)) / mosaic.scale)


def _flags(field: Field, section: Section, mosaic: Mosaic, shapes: Shapes, light: Photometry) -> NDArray[np.int32]:
    height, width = field.labels.shape
    flags = image_flags(
        field.labels,
        no_data=np.asarray(~(field.ivar > 0).any(0)),
        saturated=field.saturated,
        sides=(
            section.y0 == 0,
            section.y0 + height == mosaic.shape[0],
            section.x0 == 0,
            section.x0 + width == mosaic.shape[1],
        ),
        shapes=shapes,
    )
    flags[near_bright(shapes, light)] |= Flag.NEAR_BRIGHT
    flags[light.masked > 0] |= Flag.MASKED
    flags[light.outside > 0] |= Flag.TRUNCATED
    return flags
