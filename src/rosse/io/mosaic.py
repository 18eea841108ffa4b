"""A mosaic: an image of the sky in one or more bands that is read by section, never whole."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from rosse.errors import InputError, OptionError
from rosse.io.calibration import Calibration, calibrate, image_scale
from rosse.io.choose import split_name
from rosse.io.noise import NoiseMap, bad_pixels, mask_kind, one_noise, weight_factor
from rosse.io.patterns import galaxy_name
from rosse.io.planes import Plane, clip, float32
from rosse.io.source import Image, Map, Source, open_map, open_source
from rosse.io.wcs import celestial_wcs
from rosse.surveys import Survey
from rosse.surveys import survey as find_survey

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """Pixels of a part of a mosaic, (C, h, w) each.

    Parameters
    ----------
    flux : float32; 0 where the file has no finite number.
    ivar : float32 inverse variance, 0 in bad pixels; None where no noise map was given.
    bad : pixels to leave out: not finite, masked, or without weight.
    x0, y0 : position of the first pixel in the mosaic.
    """

    flux: NDArray[np.float32]
    ivar: NDArray[np.float32] | None
    bad: NDArray[np.bool_]
    x0: int
    y0: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Mosaic:
    """An image of the sky in C bands on one pixel grid. It can be sent to other processes.

    Parameters
    ----------
    name : short name, unique within a run.
    bands : C names.
    shape : height and width in pixels.
    wcs : celestial coordinates with their distortions, None if there are none.
    zeropoint : (C,) AB magnitude of one flux unit, NaN where unknown.
    scale : arcsec/pixel at the centre, NaN where unknown.
    gain : (C,) electrons per flux unit, NaN where unknown.
    saturation : (C,) flux level, NaN where unknown.
    survey : where it comes from, if told.
    planes, noise, mask, mask_kind, mask_bits : where the pixels are; made by `open_mosaic`.
    """

    name: str
    bands: tuple[str, ...]
    shape: tuple[int, int]
    wcs: WCS | None
    zeropoint: NDArray[np.float64]
    scale: float
    gain: NDArray[np.float64]
    saturation: NDArray[np.float64]
    survey: Survey | None
    planes: tuple[Plane, ...]
    noise: NoiseMap | None = None
    mask: tuple[Plane, ...] | None = None
    mask_kind: str = "bool"
    mask_bits: int | None = None

    @property
    def has_noise(self) -> bool:
        """Whether a noise map came with the image."""
        return self.noise is not None

    def section(self, rows: slice, columns: slice) -> Section:
        """Read some pixels, and only these; what reaches over the edge of the image is cut off."""
        rows, columns = clip(rows, self.shape[0], "rows"), clip(columns, self.shape[1], "columns")
        shape = (len(self.planes), rows.stop - rows.start, columns.stop - columns.start)
        flux = np.empty(shape, dtype=np.float32)
        bad = np.empty(shape, dtype=bool)
        ivar = None if self.noise is None else np.empty(shape, dtype=np.float32)
        for i, plane in enumerate(self.planes):
            flux[i] = float32(plane.read(rows, columns))
            bad[i] = ~np.isfinite(flux[i])
            if self.mask is not None:
                bad[i] |= bad_pixels(self.mask_kind, self.mask[i].read(rows, columns), self.mask_bits)
            if self.noise is not None and ivar is not None:
                ivar[i] = self.noise.ivar(i, rows, columns)
                bad[i] |= ivar[i] == 0
                ivar[i][bad[i]] = 0
            flux[i][~np.isfinite(flux[i])] = 0
        return Section(flux=flux, ivar=ivar, bad=bad, x0=columns.start, y0=rows.start)


def open_mosaic(  # noqa: PLR0913 - the image, its maps and what overrides its header, each documented once
    image: Image,
    *,
    survey: str | Survey | None = None,
    weight: Map | None = None,
    ivar: Map | None = None,
    sigma: Map | None = None,
    variance: Map | None = None,
    mask: Image | None = None,
    mask_bits: int | None = None,
    mask_kind: str | None = None,
    extension: str | int | None = None,
    bands: Sequence[str] | None = None,
    zeropoint: float | Sequence[float] | Mapping[str, float] | None = None,
    scale: float | None = None,
    gain: float | Sequence[float] | Mapping[str, float] | None = None,
    saturation: float | Sequence[float] | Mapping[str, float] | None = None,
    wcs: WCS | None = None,
    name: str | None = None,
) -> Mosaic:
    """Open an image of the sky; pixels are read later, section by section.

    Parameters
    ----------
    image : a path, ``path[EXT]``, a mapping band → path, or an array (H, W) or (C, H, W)
        FITS (plain, ``.gz``, ``.fz``), ``.npy``/``.npz`` or a picture. Without an extension the HDU that is the image
        is taken; several that could be it are an error that lists them.
    survey : name in `rosse.SURVEYS` or a `Survey`: what header and arguments do not tell is taken from it.
    weight, ivar, sigma, variance : like `image`, or one number; at most one of them
        The noise. `ivar` is the inverse variance in flux units, `variance` its inverse, `sigma` their square root.
        `weight` is only proportional to ivar (SExtractor's MAP_WEIGHT): it is scaled to the scatter of the sky,
        for which some windows are read at once. Pixels with zero or negative noise are left out and counted.
    mask : like `image`
        ``mask_kind="bool"`` (default): non-zero is bad. ``"bits"``: bad where any of the bits in `mask_bits` is set.
    mask_bits : a number whose binary digits are the bad bits, e.g. ``0b101`` for bits 0 and 2.
    extension : name or number of the image's HDU.
    bands : names of the planes, or the ones to use where the file names them itself.
    zeropoint, gain, saturation : one number, one per band, or by band; they win over the header, it over the survey.
    scale : arcsec/pixel; wins over the WCS, that over the survey.
    wcs : celestial coordinates, where the header has none or the image is an array.
    name : short name; the file's stem by default.
    """
    about = None if survey is None else find_survey(survey)
    source = open_source(image, role="image", extension=extension)
    source, calibration = calibrate(source, about, bands=bands, zeropoint=zeropoint, gain=gain, saturation=saturation)
    sky = wcs if wcs is not None else _common_wcs(source)
    like = str(extension if extension is not None else split_name(source.label)[1] or "")
    noise = one_noise(sigma=sigma, variance=variance, ivar=ivar, weight=weight)
    return Mosaic(
        name=name or _default_name(image, source),
        bands=calibration.bands,
        shape=source.shape,
        wcs=sky,
        zeropoint=calibration.zeropoint,
        scale=image_scale(source, sky, about, scale),
        gain=calibration.gain,
        saturation=calibration.saturation,
        survey=about,
        planes=source.planes,
        noise=None if noise is None else _noise_map(*noise, _named(source, calibration), like),
        mask=None if mask is None else open_map(mask, _named(source, calibration), role="mask", like=like).planes,
        mask_kind=_mosaic_mask(mask_kind, mask_bits, mask is not None),
        mask_bits=mask_bits,
    )


def _named(source: Source, calibration: Calibration) -> Source:
    return replace(source, bands=calibration.bands)


def _noise_map(kind: str, value: Any, image: Source, like: str) -> NoiseMap:
    source = open_map(value, image, role=kind, like=like)
    if source.planes[0].label == image.planes[0].label and isinstance(value, (str, os.PathLike)):
        raise InputError(f"{kind} and image are both {image.planes[0].label}; name the extension of the {kind} map")
    factors = [1.0] * len(image.planes)
    if kind == "weight":
        factors = [weight_factor(flux, map_) for flux, map_ in zip(image.planes, source.planes, strict=True)]
        each = ", ".join(f"{band} {factor:.4g}" for band, factor in zip(image.bands, factors, strict=True))
        log.info("%s: weights were scaled to the scatter of the sky, ivar per unit of weight: %s", source.label, each)
    return NoiseMap(kind=kind, planes=source.planes, factor=tuple(factors))


def _mosaic_mask(kind: str | None, bits: int | None, came: bool) -> str:
    checked = mask_kind(kind, bits)
    if checked == "segmentation":
        raise OptionError("mask_kind 'segmentation' marks the neighbours of one galaxy: it belongs to cutouts; for a "
                          "mosaic give a mask of bad pixels ('bool' or 'bits')")  # fmt: skip
    if bits is not None and not came:
        raise OptionError("mask_bits came without a mask")
    return checked


def _common_wcs(source: Source) -> WCS | None:
    """WCS of the first band, after checking that the other bands share its grid."""
    if not source.headers:
        return None
    found = {}
    for plane, headers in zip(source.planes, source.headers, strict=True):
        if headers and id(headers[0]) not in found:
            found[id(headers[0])] = (plane.label, celestial_wcs(headers[0], plane.label))
    known = [(label, wcs) for label, wcs in found.values() if wcs is not None]
    if not known:
        return None
    first_label, first = known[0]
    height, width = source.shape
    corners = np.array([[0.0, 0.0], [width - 1.0, 0.0], [0.0, height - 1.0], [width - 1.0, height - 1.0]])
    for label, other in known[1:]:
        off = np.abs(first.all_world2pix(other.all_pix2world(corners, 0), 0, quiet=True) - corners)
        if not float(np.nanmax(off)) < 1.0:
            raise InputError(f"{label} is not on the pixel grid of {first_label}: their corners differ by up to "
                             f"{float(np.nanmax(off)):.1f} pixels; bring the bands onto one grid first")  # fmt: skip
    return first


def _default_name(image: Any, source: Source) -> str:
    if not source.headers and not isinstance(image, (str, os.PathLike, Mapping)):
        return "image"
    return re.sub(r"\[(.+)\]$", r"_\1", galaxy_name(source.label)).replace(",", "_")
