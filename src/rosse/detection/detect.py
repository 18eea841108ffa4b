"""The verb: an image in, sources out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.detection.background import cell_size
from rosse.detection.build import psf_of_patches
from rosse.detection.catalogue import build_detection
from rosse.detection.measure import measure_section
from rosse.detection.options import DetectOptions, Region
from rosse.detection.psf import central_part
from rosse.detection.result import Detection
from rosse.errors import InputError

if TYPE_CHECKING:
    from rosse.io import FieldPsf, Mosaic, Section
    from rosse.surveys import Survey

log = logging.getLogger(__name__)


def detect(
    image: str | Path | Mapping[str, Any] | NDArray[Any] | Mosaic,
    *,
    survey: str | Survey | None = None,
    psf: FieldPsf | NDArray[Any] | str | Path | Mapping[str, Any] | None = None,
    region: Region | None = None,
    options: DetectOptions | None = None,
    bands: tuple[str, ...] | None = None,
    zeropoint: float | tuple[float, ...] | None = None,
    ivar: Any = None,
    sigma: Any = None,
    variance: Any = None,
    weight: Any = None,
    mask: Any = None,
) -> Detection:
    """Find the sources of an image, measure their light, tell stars from galaxies.

    Parameters
    ----------
    image : file, band → file, (H, W) or (C, H, W) array, or an open `Mosaic`.
    survey : instrument, for pixel scale, zero point and gain where the file does not say.
    psf : PSF, unit sum, as `FieldPsf`, (h, w) or (C, h, w) array, file or band → file. None: for a whole image it is
        built from its stars, if there are enough; for a region, give what `build_psf` made of the mosaic.
    region : part of a mosaic; the whole image otherwise.
    options : thresholds and sizes.
    bands, zeropoint, ivar, sigma, variance, weight, mask : as in `open_mosaic`; not together with a `Mosaic`.

    Returns
    -------
    Detection
        Without any source the table has its columns and no row.

    Notes
    -----
    The algorithm is SExtractor's (Bertin & Arnouts 1996) as sep (Barbary 2016) implements it, on the noise-weighted
    sum of the bands; see the modules of `rosse.detection` for the steps.
    """
    options = options or DetectOptions()
    given = {"survey": survey, "bands": bands, "zeropoint": zeropoint, "ivar": ivar, "sigma": sigma,
             "variance": variance, "weight": weight, "mask": mask}  # fmt: skip
    mosaic = _mosaic(image, {name: value for name, value in given.items() if value is not None})
    field_psf = _field_psf(psf, mosaic)
    kernel = None if field_psf is None else _matched(field_psf, mosaic)
    patch = measure_section(_read(mosaic, region, options), mosaic, options, kernel)
    if field_psf is None and region is None and options.psf_from_stars:
        field_psf = psf_of_patches([patch], mosaic)
    return build_detection(patch, mosaic, field_psf, region=region, options=options)


def _mosaic(image: Any, given: dict[str, Any]) -> Mosaic:
    from rosse.io import Mosaic, open_mosaic

    if not isinstance(image, Mosaic):
        return open_mosaic(image, **given)
    if given:
        raise InputError(f"{', '.join(given)} cannot be given with an open mosaic; give it to open_mosaic")
    return image


def _field_psf(psf: Any, mosaic: Mosaic) -> FieldPsf | None:
    if psf is None:
        return None
    from rosse.io import FieldPsf, read_psf

    return psf.select(mosaic.bands) if isinstance(psf, FieldPsf) else read_psf(psf, mosaic.bands)


def _read(mosaic: Mosaic, region: Region | None, options: DetectOptions) -> Section:
    """The pixels of a region and its margin, from a corner on the background mesh of the whole mosaic.

    On the same mesh, neighbouring regions measure the same sky where they overlap.
    """
    height, width = mosaic.shape
    if region is None:
        return mosaic.section(slice(0, height), slice(0, width))
    if region.rows.stop > height or region.columns.stop > width:
        raise InputError(f"region {region.rows}, {region.columns} ends outside the mosaic of {height} x {width} pixels")
    parts = []
    cells = cell_size(mosaic.shape, options.mesh)
    for part, length, cell in zip((region.rows, region.columns), mosaic.shape, cells, strict=True):
        first = max(0, part.start - region.margin) // cell * cell
        last = -(-(part.stop + region.margin) // cell) * cell
        parts.append(slice(first, min(length, last)))
    return mosaic.section(parts[0], parts[1])


def _matched(psf: FieldPsf, mosaic: Mosaic) -> NDArray[np.float64]:
    """Detection filter: the mean of the bands' PSFs in the middle of the mosaic, without its faint wings."""
    height, width = mosaic.shape
    stamp = psf.at(0.5 * (width - 1), 0.5 * (height - 1))[0]
    return central_part(stamp.astype(np.float64).mean(0))
