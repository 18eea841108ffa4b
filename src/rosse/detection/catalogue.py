"""Measure every labelled source and put the rows together."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.detection.classify import stellarity
from rosse.detection.columns import source_columns, suffixes
from rosse.detection.measure import Patch
from rosse.detection.moments import Shapes
from rosse.detection.options import DetectOptions, Flag, Region
from rosse.detection.photometry import Photometry
from rosse.detection.psf import half_light
from rosse.detection.result import Detection
from rosse.detection.stamps import cutout_sizes
from rosse.detection.wcs import orientation, sky_position
from rosse.errors import bands_text
from rosse.tables import build_table

if TYPE_CHECKING:
    from astropy.table import Table

    from rosse.io import FieldPsf, Mosaic

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

_SHARP = 7.0  # sigma below the spread of stars
_LARGE = 4.0  # half-light radii of a point source


def build_detection(
    patch: Patch, mosaic: Mosaic, psf: FieldPsf | None, *, region: Region | None, options: DetectOptions
) -> Detection:
    """Rows of the sources of a section; those centred outside the region are left out, their labels come last."""
    field, shapes = patch.field, patch.shapes
    x, y = shapes.x + patch.origin[0], shapes.y + patch.origin[1]
    keep = np.array([region is None or region.contains(*at) for at in zip(x, y, strict=True)], dtype=bool)
    order = np.lexsort((x, y))
    order = order[keep[order]]
    star, sharp = stellarity(patch, psf)
    kept = Sources(
        x=x[order],
        y=y[order],
        shapes=shapes[order],
        light=patch.light[order],
        flags=patch.flags[order],
        star=star[order],
        sharp=sharp[order],
        point=half_light(None if psf is None or psf.assumed else psf, mosaic.shape),
    )
    table = source_table(kept, mosaic, 0 if region is None else region.index, options)
    _say(table, mosaic)
    return Detection(
        sources=table,
        segmentation=_relabelled(field.labels, order),
        flux=field.flux,
        ivar=field.ivar,
        background=field.sky.level,
        background_sigma=field.sky.sigma,
        rms=field.sky.rms,
        origin=patch.origin,
        psf=psf,
        mosaic=mosaic,
        region=region,
        options=options,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Sources:
    """What is known about the sources that get a row.

    Parameters
    ----------
    x, y : (N,) position in the mosaic.
    shapes, light, flags : as measured.
    star : (N,) stellarity.
    sharp : (N,) spread over its error; far below 0 is sharper than the PSF.
    point : half-light radius of the PSF, pixels; NaN where it is unknown.
    """

    x: Floats
    y: Floats
    shapes: Shapes
    light: Photometry
    flags: NDArray[np.int32]
    star: Floats
    sharp: Floats
    point: float


def source_table(sources: Sources, mosaic: Mosaic, number: int, options: DetectOptions) -> Table:
    """The table of sources.

    Parameters
    ----------
    number : of the region, for the identifiers.
    """
    from rosse.light.coordinates import position_angle

    shapes, light = sources.shapes, sources.light
    ra, dec = sky_position(mosaic.wcs, sources.x, sources.y)
    north, parity = orientation(mosaic.wcs, sources.x, sources.y)
    kron = light.kron * shapes.a
    size, too_small = cutout_sizes(_extent(shapes, kron), options)
    known = bool(np.isfinite(mosaic.scale))
    values: dict[str, Any] = {
        "id": [f"{mosaic.name}_{number}_{i}" for i in range(len(shapes))],
        "ra": ra,
        "dec": dec,
        "x_image": sources.x,
        "y_image": sources.y,
        "a_image": shapes.a,
        "b_image": shapes.b,
        "pa_image": position_angle(shapes.theta, north, parity),
        "kron_radius": kron,
        "r_half": light.half * (mosaic.scale if known else 1.0),
        "snr": light.snr,
        "stellarity": sources.star,
        "kind": _kind(sources, options),
        "flags": sources.flags | np.where(too_small, int(Flag.TRUNCATED), 0),
        "npix": shapes.npix,
        "cutout_size": size,
    }
    values |= _band_columns(light, mosaic)
    return build_table(source_columns(mosaic.bands, "arcsec" if known else "pix"), values)


def _kind(sources: Sources, options: DetectOptions) -> NDArray[np.str_]:
    """Star, galaxy, or artefact: sharper than any point source can be, as cosmic rays and hot pixels are.

    A saturated source is a star unless it is far larger than one: galaxies' cores hardly ever saturate, and the profile
    of what does cannot be compared with the PSF.
    """
    saturated = (sources.flags & Flag.SATURATED) > 0
    small = ~(sources.light.half > _LARGE * sources.point)
    star = (sources.star > options.star_limit) | (saturated & small)
    kind = np.where(star, "star", "galaxy")
    return np.where((sources.sharp < -_SHARP) & ~saturated, "artefact", kind)


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
            f"sigma_sky{end}": light.sky_sigma[:, c],
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
        log.warning("%s: no zero point is known for %s; magnitudes are NaN", mosaic.name, bands_text(missing))
