"""The verb: an image in, sources out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.detection.catalogue import build_sources
from rosse.detection.field import find_sources
from rosse.detection.options import DetectOptions, Region
from rosse.detection.psf import central_part, constant_psf, psf_at_centre
from rosse.detection.result import Detection
from rosse.detection.significance import DEFAULT_KERNEL, gaussian_kernel
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
    psf : PSF, unit sum, as `FieldPsf`, (h, w) or (C, h, w) array, file or band → file. None: built from the
        stars of the image, if there are enough.
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
    section = _read(mosaic, region, options)
    field = find_sources(section, np.asarray(mosaic.gain, dtype=np.float64), _kernel(mosaic, field_psf), options)
    return build_sources(field, section, mosaic, field_psf, region, options)


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

    if isinstance(psf, FieldPsf):
        return psf
    if isinstance(psf, str | Path | Mapping):
        return read_psf(psf, mosaic.bands)
    return constant_psf(np.asarray(psf, dtype=np.float64), len(mosaic.bands))


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
    for part, length in ((region.rows, height), (region.columns, width)):
        first = max(0, part.start - region.margin) // options.mesh * options.mesh
        last = -(-(part.stop + region.margin) // options.mesh) * options.mesh
        parts.append(slice(first, min(length, last)))
    return mosaic.section(parts[0], parts[1])


def _kernel(mosaic: Mosaic, psf: FieldPsf | None) -> NDArray[np.float64]:
    """Detection filter: the PSF's mean over the bands, else a Gaussian of the survey's seeing, else 3 x 3."""
    if psf is not None:
        return central_part(psf_at_centre(psf, mosaic.shape).mean(0))
    if mosaic.survey is not None and np.isfinite(mosaic.scale):
        known = [f for b, f in zip(mosaic.survey.bands, mosaic.survey.psf_fwhm, strict=True) if b in mosaic.bands]
        return gaussian_kernel(float(np.mean(known or mosaic.survey.psf_fwhm)) / mosaic.scale)
    return DEFAULT_KERNEL
