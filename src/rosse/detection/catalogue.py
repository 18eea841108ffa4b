"""Measure every labelled source and put the rows together."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.detection.classify import point_radius, stellarity
from rosse.detection.columns import source_columns, suffixes
from rosse.detection.field import Field
from rosse.detection.flags import image_flags, near_bright
from rosse.detection.moments import Shapes, measure_shapes_of
from rosse.detection.options import DetectOptions, Flag, Region
from rosse.detection.photometry import Photometry, measure_light
from rosse.detection.result import Detection
from rosse.detection.stamps import cutout_sizes
from rosse.detection.wcs import orientation, sky_position
from rosse.tables import build_table

if TYPE_CHECKING:
    from astropy.table import Table

    from rosse.io import FieldPsf, Mosaic, Section

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]


def build_sources(
    field: Field,
    section: Section,
    mosaic: Mosaic,
    psf: FieldPsf | None,
    region: Region | None,
    options: DetectOptions,
) -> Detection:
    """Rows of the sources of a field; those centred outside the region are left out, their labels come last."""
    shapes = measure_shapes_of(field.labels, field.image.smooth, field.image.significance)
    planes = (
        np.concatenate([field.image.flux[None], field.flux]),
        np.concatenate([field.image.ivar[None], field.ivar]),
    )
    light = measure_light(planes, field.labels, shapes, options)
    flags = _flags(field, section, mosaic, shapes, light)
    star = _stellarity(light, flags)
    keep = np.array([region is None or region.contains(x + section.x0, y + section.y0)
                     for x, y in zip(shapes.x, shapes.y, strict=True)], dtype=bool)  # fmt: skip
    order = np.lexsort((shapes.x, shapes.y))
    order = order[keep[order]]
    table = _table(shapes[order], light[order], flags[order], star[order], section, mosaic, region, options)
    _say(table, mosaic)
    return Detection(
        sources=table,
        segmentation=_relabelled(field.labels, order),
        flux=field.flux,
        ivar=field.ivar,
        background=field.sky.level,
        rms=field.sky.rms,
        origin=(section.x0, section.y0),
        psf=psf,
        mosaic=mosaic,
        region=region,
        options=options,
    )


def _stellarity(light: Photometry, flags: NDArray[np.int32]) -> Floats:
    clean = (flags & (Flag.EDGE | Flag.SATURATED | Flag.BLENDED | Flag.MASKED)) == 0
    return stellarity(light.half, light.snr, point_radius(light.half, light.snr, clean))


def _flags(field: Field, section: Section, mosaic: Mosaic, shapes: Shapes, light: Photometry) -> NDArray[np.int32]:
    height, width = field.labels.shape
    limit = np.asarray(mosaic.saturation, dtype=np.float64)[:, None, None]
    with np.errstate(invalid="ignore"):
        saturated = (section.flux >= np.where(np.isfinite(limit), limit, np.inf)).any(0)
    flags = image_flags(
        field.labels,
        no_data=~(field.ivar > 0).any(0),
        saturated=saturated,
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
    inner = (shapes.xmin == 0, shapes.xmax == width - 1, shapes.ymin == 0, shapes.ymax == height - 1)
    flags[np.any(inner, axis=0) & ((flags & Flag.EDGE) == 0)] |= Flag.TRUNCATED  # cut by the margin of a region
    return flags


def _table(
    shapes: Shapes,
    light: Photometry,
    flags: NDArray[np.int32],
    star: Floats,
    section: Section,
    mosaic: Mosaic,
    region: Region | None,
    options: DetectOptions,
) -> Table:
    from rosse.light.coordinates import position_angle

    x, y = shapes.x + section.x0, shapes.y + section.y0
    ra, dec = sky_position(mosaic.wcs, x, y)
    north, parity = orientation(mosaic.wcs, x, y)
    kron = light.kron * shapes.a
    size, too_small = cutout_sizes(_extent(shapes, kron), options)
    scale = float(mosaic.scale) if np.isfinite(mosaic.scale) else 1.0
    number = 0 if region is None else region.index
    values: dict[str, Any] = {
        "id": [f"{mosaic.name}_{number}_{i}" for i in range(len(shapes))],
        "ra": ra,
        "dec": dec,
        "x_image": x,
        "y_image": y,
        "a_image": shapes.a,
        "b_image": shapes.b,
        "pa_image": position_angle(shapes.theta, north, parity),
        "kron_radius": kron,
        "r_half": light.half * scale,
        "snr": light.snr,
        "stellarity": star,
        "kind": np.where(star > options.star_limit, "star", "galaxy"),
        "flags": flags | np.where(too_small, int(Flag.TRUNCATED), 0),
        "npix": shapes.npix,
        "cutout_size": size,
    }
    values |= _band_columns(light, mosaic)
    return build_table(source_columns(mosaic.bands, "arcsec" if np.isfinite(mosaic.scale) else "pix"), values)


def _extent(shapes: Shapes, kron: Floats) -> Floats:
    """Half the side of the square around each Kron ellipse and isophote, pixels."""
    ratio = shapes.b / shapes.a
    wide = np.hypot(np.cos(shapes.theta), ratio * np.sin(shapes.theta))
    high = np.hypot(np.sin(shapes.theta), ratio * np.cos(shapes.theta))
    sides = [kron * wide, kron * high, shapes.xmax - shapes.x, shapes.x - shapes.xmin]
    return np.asarray(np.max([*sides, shapes.ymax - shapes.y, shapes.y - shapes.ymin], axis=0))


def _band_columns(light: Photometry, mosaic: Mosaic) -> dict[str, Floats]:
    values: dict[str, Floats] = {}
    for c, end in enumerate(suffixes(mosaic.bands)):
        flux, sigma = light.auto[:, c], light.auto_sigma[:, c]
        positive = np.where(flux > 0, flux, np.nan)
        values |= {
            f"flux_auto{end}": flux,
            f"sigma_flux_auto{end}": sigma,
            f"flux_iso{end}": light.iso[:, c],
            f"sigma_flux_iso{end}": light.iso_sigma[:, c],
            f"mag_auto{end}": float(mosaic.zeropoint[c]) - 2.5 * np.log10(positive),
            f"sigma_mag_auto{end}": 2.5 / np.log(10.0) * sigma / positive + 0.0 * float(mosaic.zeropoint[c]),
        }
    return values


def _relabelled(labels: NDArray[np.int32], order: NDArray[np.int64]) -> NDArray[np.int32]:
    """Labels in the order of the table; sources without a row are numbered after them."""
    count = int(labels.max(initial=0))
    rest = np.setdiff1d(np.arange(count), order)
    new = np.zeros(count + 1, dtype=np.int32)
    new[np.concatenate([order, rest]).astype(np.int64) + 1] = np.arange(1, count + 1)
    return np.asarray(new[labels])


def _say(table: Table, mosaic: Mosaic) -> None:
    if not len(table):
        log.warning("%s: no source was found", mosaic.name)
    missing = [b for b, z in zip(mosaic.bands, mosaic.zeropoint, strict=True) if not np.isfinite(z)]
    if missing:
        log.warning("%s: no zero point is known for %s; magnitudes are NaN", mosaic.name, ", ".join(missing))
