"""Cutouts from files: reading the pixels. A galaxy whose files are broken is reported and stops no other."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rosse.errors import UNNAMED, FileError, InputError, bands_text
from rosse.io.calibration import Calibration, calibrate, image_scale
from rosse.io.choose import split_name
from rosse.io.cutout_files import CutoutFiles, Files, PerBand, is_picture, list_cutouts
from rosse.io.noise import bad_pixels, exact_ivar, neighbours, sky_sigma, weight_factor
from rosse.io.patterns import Pattern
from rosse.io.planes import native
from rosse.io.psf_files import FieldPsf, read_psf, unit_sum
from rosse.io.say import once, say
from rosse.io.source import Source, open_map, open_source
from rosse.io.units import nearer_zeropoint, within_precision
from rosse.io.wcs import celestial_wcs, local_frame
from rosse.surveys import Survey

if TYPE_CHECKING:
    from rosse.cutouts import Cutouts

log = logging.getLogger(__name__)

NANOMAGGIE = 22.5  # zero point to which cutouts whose headers differ are brought, where no survey says another


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A galaxy that could not be read.

    Parameters
    ----------
    id : its id.
    path : the file at fault, or the image.
    reason : one sentence.
    """

    id: str
    path: str
    reason: str


def read_cutouts(  # noqa: PLR0913 - what to read and what overrides the files, each documented once
    source: Files | Mapping[str, str | os.PathLike[str]],
    *,
    survey: str | Survey | None = None,
    pattern: str | Pattern | Mapping[str, str] | None = None,
    sigma: Files | float | None = None,
    variance: Files | float | None = None,
    ivar: Files | float | None = None,
    weight: Files | float | None = None,
    psf: Any = None,
    psf_has_pixel: bool | None = None,
    psf_oversampling: int | None = None,
    mask: Files | Literal[False] | None = None,
    mask_kind: str | None = None,
    mask_bits: int | None = None,
    bands: Sequence[str] | None = None,
    scale: float | None = None,
    zeropoint: PerBand = None,
    gain: PerBand = None,
    extension: str | int | None = None,
    estimate_noise: bool = False,
    skip_broken: bool = True,
) -> Cutouts:
    """Read cutouts of galaxies, their noise, PSFs and masks into one batch.

    Smaller stamps are padded with pixels of zero weight. Cutouts with different zero points are brought to one.

    Parameters
    ----------
    source : a folder, an image, a list of images, a glob, or a manifest (CSV or Parquet, see `manifest`)
        Or band → image of one galaxy. FITS (also ``.gz`` and ``.fz``), ``.npy``/``.npz``, JPEG or PNG.
    survey : name or `Survey`: bands, zero point, scale and gain where files and arguments do not tell them.
    pattern : how the files of a folder are called
        Templates by role, e.g. ``{"image": "{name}_sci.fits", "ivar": "{name}_inv.fits"}``, the template of the image
        alone, or the name of a known one (`PATTERNS`). Default: GALMOSS's ``NAME_image.fits, NAME_sigma.fits,
        NAME_psf.fits, NAME_mask.fits``. ``{band}`` stands for the band where each has its own file.
    sigma, variance, ivar, weight : at most one of them
        Files: a template (``"{name}_rms.fits"``, ``"{image}[ERR]"``), one file for all, a list, or a number. `weight`
        is only proportional to ivar and is scaled to the sky of each cutout.
    psf : files in the same way, band → file, an array (h, w) or (C, h, w), or a `FieldPsf`
        False: none, whatever lies beside the images.
    psf_has_pixel : whether PSF stamps contain the integration over the pixel; the survey's, else yes.
    psf_oversampling : pixels of PSF stamps along one pixel of the image, 1 if not given
        PSFs of undersampled instruments (HST, JWST, Euclid) come finer than their images; they are used as they are.
    mask : files in the same way; False: none, whatever lies beside the images.
    mask_kind : ``"bool"`` (default): non-zero is left out. ``"bits"``: bits of `mask_bits` are left out.
        ``"segmentation"`` (default of the GALMOSS pattern): the value at the centre is the galaxy, pixels of any other
        non-zero value are left out.
    bands, scale, zeropoint, gain : as in `open_mosaic`; they win over headers and survey. A manifest's columns win
        over them.
    extension : name or number of the images' HDU.
    estimate_noise : measure the noise from the sky of each cutout where no map is given (always done for pictures).
    skip_broken : go on without galaxies that cannot be read, naming them in a warning; False: raise.

    Raises
    ------
    FileError
        Nothing could be read, or, with ``skip_broken=False``, some of it; the message names the galaxies.
    """
    entries = list_cutouts(
        source, survey=survey, pattern=pattern, sigma=sigma, variance=variance, ivar=ivar, weight=weight, psf=psf,
        psf_has_pixel=psf_has_pixel, psf_oversampling=psf_oversampling, mask=mask, mask_kind=mask_kind,
        mask_bits=mask_bits, bands=bands, scale=scale,
        zeropoint=zeropoint, gain=gain, extension=extension, estimate_noise=estimate_noise,
    )  # fmt: skip
    cutouts, broken = load_cutouts(entries)
    if broken:
        shown = "; ".join(f"{one.id}: {one.reason}" for one in broken[:5])
        rest = "" if len(broken) <= 5 else "; also " + ", ".join(one.id for one in broken[5:])
        message = f"{len(broken)} of {len(entries)} cutouts could not be read: {shown}{rest}"
        if cutouts is None or not skip_broken:
            raise FileError(message)
        log.warning("%s; the others are used", message)
    assert cutouts is not None
    return cutouts


def load_cutouts(entries: Sequence[CutoutFiles]) -> tuple[Cutouts | None, list[Broken]]:
    """Read the pixels of listed galaxies into one batch, and say which could not be read.

    The order of the entries is kept. None comes where nothing could be read.
    """
    from rosse.cutouts import stack_cutouts

    parts: list[Cutouts] = []
    broken: list[Broken] = []
    for entry in entries:
        with once(entry.reading.run):
            try:
                part = _load(entry)
                if parts:
                    _refuse_misfit(part, parts[0])
            except Exception as err:  # a broken file may break a reader in ways that nobody foresaw
                reason = str(err) if isinstance(err, InputError) else f"{type(err).__name__}: {err}"
                log.debug("%s cannot be read", entry.id, exc_info=True)
                broken.append(Broken(id=entry.id, path=entry.image[0] if entry.image else "", reason=reason))
                continue
        parts.append(part)
    if not parts:
        return None, broken
    with once(entries[0].reading.run):
        return stack_cutouts(_one_zeropoint(parts, entries[0])), broken


def _load(entry: CutoutFiles) -> Cutouts:
    """One galaxy as a batch of one."""
    from rosse.cutouts import Cutouts

    if entry.fault:
        raise InputError(entry.fault)
    image, calibration = _image(entry)
    flux = _pixels(image)
    keep = np.isfinite(flux) & ~_masked(entry, image)
    ivar = _ivar(entry, image, calibration, flux, keep)
    flux, ivar, zeropoint = within_precision(entry.id, flux, np.where(keep, ivar, 0.0), calibration.zeropoint)
    where = _where(entry, image)
    psf, has_pixel = _psf(entry, image)
    return Cutouts.from_arrays(
        flux[None], ivar=ivar[None], psf=psf, psf_has_pixel=has_pixel, id=[entry.id],
        psf_oversampling=1 if psf is None else entry.reading.psf_oversampling,
        bands=calibration.bands, zeropoint=zeropoint, **where,
    )  # fmt: skip


def _image(entry: CutoutFiles) -> tuple[Source, Calibration]:
    reading = entry.reading
    if not entry.image:
        raise FileError("no image is named")
    bands = entry.bands or reading.bands
    value: Any = entry.image[0]
    if len(entry.image) > 1:
        if bands is None or len(bands) != len(entry.image):
            raise InputError(f"{len(entry.image)} images came for the bands {bands}")
        value, bands = dict(zip(bands, entry.image, strict=True)), None
    source = open_source(value, extension=reading.extension)
    zeropoint: Any = entry.zeropoint if entry.zeropoint is not None else reading.zeropoint
    source, calibration = calibrate(
        source, reading.survey, bands=bands, zeropoint=zeropoint, gain=reading.gain, saturation=None
    )
    return replace(source, bands=calibration.bands), calibration


def _pixels(source: Source) -> NDArray[np.float64]:
    whole = slice(0, source.shape[0]), slice(0, source.shape[1])
    return np.stack([plane.read(*whole).astype(np.float64) for plane in source.planes])


def _map(paths: Sequence[str], image: Source, role: str, extension: str | int | None) -> Source:
    """Map of an image from one file, or one per band."""
    value: Any = paths[0] if len(paths) == 1 else dict(zip(image.bands, paths, strict=True))
    return open_map(value, image, role=role, like=str(extension or split_name(image.label)[1] or ""))


def _masked(entry: CutoutFiles, image: Source) -> NDArray[np.bool_]:
    if not entry.mask:
        return np.zeros((len(image.planes), *image.shape), dtype=bool)
    reading = entry.reading
    source = _map(entry.mask, image, "mask", reading.extension)
    whole = slice(0, image.shape[0]), slice(0, image.shape[1])
    planes = [native(plane.read(*whole)) for plane in source.planes]
    if reading.mask_kind == "segmentation":
        return np.stack([neighbours(plane) for plane in planes])
    bad = np.stack([bad_pixels(reading.mask_kind, plane, reading.mask_bits) for plane in planes])
    if bad[:, image.shape[0] // 2, image.shape[1] // 2].all():
        say(log, logging.WARNING, "mask centre", "%s leaves out the pixel at the centre; if it is a segmentation, in "
            "which the galaxy has a value too, say mask_kind='segmentation'", source.label)  # fmt: skip
    return bad


def _ivar(
    entry: CutoutFiles,
    image: Source,
    calibration: Calibration,
    flux: NDArray[np.float64],
    keep: NDArray[np.bool_],
) -> NDArray[np.float64]:
    reading = entry.reading
    if not entry.noise and reading.noise is None:
        if reading.noise_kind and not is_picture(entry.image):
            raise FileError(f"no {reading.noise_kind} is named")
        return _measured_ivar(entry, calibration, flux, keep)
    if entry.noise:
        source = _map(entry.noise, image, reading.noise_kind, reading.extension)
    else:
        source = open_map(reading.noise, image, role=reading.noise_kind)
    whole = slice(0, image.shape[0]), slice(0, image.shape[1])
    out = np.empty(flux.shape)
    for i, plane in enumerate(source.planes):
        values = native(plane.read(*whole)).astype(np.float64)
        if plane.label == image.planes[i].label:
            raise InputError(f"{plane.label} is both the image and its {reading.noise_kind}; name its extension")
        factor = weight_factor(image.planes[i], plane) if reading.noise_kind == "weight" else 1.0
        _refuse_impossible(reading.noise_kind, values, keep[i], plane.label)
        out[i] = exact_ivar(reading.noise_kind, np.where(keep[i], values, 1.0), factor)[0]
    return out


def _refuse_impossible(kind: str, values: NDArray[np.float64], keep: NDArray[np.bool_], label: str) -> None:
    possible = values > 0 if kind in ("sigma", "variance") else values >= 0
    count = int((keep & ~possible).sum())
    if count:
        wanted = "zero, negative or NaN" if kind in ("sigma", "variance") else "negative or NaN"
        raise InputError(
            f"{label}: {kind} is {wanted} in {count} pixels that are not masked; correct it there, or mask them"
        )


def _measured_ivar(
    entry: CutoutFiles, calibration: Calibration, flux: NDArray[np.float64], keep: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Sky noise of each band, plus the galaxy's own photons where the gain is known."""
    out = np.zeros(flux.shape)
    for i, band in enumerate(calibration.bands):
        if not keep[i].any():
            continue
        sky, sigma = sky_sigma(flux[i], keep[i])
        if is_picture(entry.image):
            sigma = max(sigma, 12**-0.5)  # a step of one grey level is noise, too
        if not sigma > 0:
            where = "" if band == UNNAMED else f"band {band}: "
            raise InputError(f"{where}the sky shows no noise to measure; give sigma")
        variance = np.full(flux[i].shape, sigma**2)
        if np.isfinite(calibration.gain[i]):
            variance += np.where(keep[i], np.clip(flux[i] - sky, 0.0, None), 0.0) / calibration.gain[i]
        out[i] = 1.0 / variance
    photons = "and the gain" if np.isfinite(calibration.gain).all() else "alone, without the galaxy's photons (no gain)"
    say(log, logging.WARNING, "measured noise", "%s: no noise map came; the noise is measured from the sky at the "
        "edges %s", entry.image[0], photons)  # fmt: skip
    return out


def _where(entry: CutoutFiles, image: Source) -> dict[str, Any]:
    """Scale, position and orientation: the manifest's, else those of the WCS at the central pixel."""
    reading = entry.reading
    wcs = celestial_wcs(image.headers[0][0], image.label) if image.headers and image.headers[0] else None
    scale = image_scale(image, wcs, reading.survey, entry.scale if entry.scale is not None else reading.scale)
    where: dict[str, Any] = {"scale": scale, "ra": np.array([entry.ra]), "dec": np.array([entry.dec])}
    if wcs is None:
        return where
    frame = local_frame(wcs, image.shape[1] // 2, image.shape[0] // 2)
    if np.isfinite([frame.north, frame.ra, frame.dec]).all():
        where |= {"north": np.array([frame.north]), "parity": np.array([frame.parity])}
        if not np.isfinite(entry.ra + entry.dec):
            where |= {"ra": np.array([frame.ra]), "dec": np.array([frame.dec])}
    return where


def _psf(entry: CutoutFiles, image: Source) -> tuple[NDArray[Any] | None, bool]:
    """PSF (1, C, h, w) of one galaxy with unit sum, and whether it contains the pixel."""
    reading = entry.reading
    if not entry.psf and reading.psf is None:
        if reading.psf_wanted and not image.picture:
            say(log, logging.WARNING, "no psf", "%s: no PSF came; the model is not blurred, so that sizes are those of "
                "the blurred galaxy", entry.id)  # fmt: skip
        return None, reading.psf_has_pixel
    field = reading.psf if not entry.psf else _field(entry, image)
    assert field is not None
    field = field.select(image.bands)
    x, y = entry.x, entry.y
    if field.degree and not np.isfinite(x + y):
        x, y = field.x_zero, field.y_zero
        say(log, logging.WARNING, "psf position", "%s: the PSF varies over the field and the galaxy's place (x, y) is "
            "not told; it is taken at the middle, x %.1f, y %.1f", entry.id, x, y)  # fmt: skip
    if reading.psf_oversampling > 1 and (field.degree or field.sampling != 1):
        raise InputError("psf_oversampling is for PSF images; a PSFEx model says itself how it is sampled")
    stamp = field.at(x, y) if field.degree or field.sampling != 1 else unit_sum(field.basis[:, 0], "psf")[0][None]
    return stamp, field.has_pixel


def _field(entry: CutoutFiles, image: Source) -> FieldPsf:
    if len(entry.psf) == 1:
        path = split_name(entry.psf[0])[0]
        changed = os.stat(path).st_mtime_ns if os.path.exists(path) else 0
        return _cached_psf(entry.psf[0], entry.reading.psf_has_pixel, changed)
    return read_psf(dict(zip(image.bands, entry.psf, strict=True)), has_pixel=entry.reading.psf_has_pixel)


@lru_cache(maxsize=8)
def _cached_psf(path: str, has_pixel: bool, changed: int) -> FieldPsf:
    del changed  # part of the cache's key only
    return read_psf(path, has_pixel=has_pixel)  # one file often serves many galaxies


def _refuse_misfit(part: Cutouts, first: Cutouts) -> None:
    if part.bands != first.bands:
        raise InputError(f"it has {bands_text(part.bands)}, the first galaxy {bands_text(first.bands)}")
    if (part.psf is None) != (first.psf is None) or part.psf_has_pixel != first.psf_has_pixel:
        raise InputError("it has no PSF, but the first galaxy has" if part.psf is None else
                         "its PSF is of another kind than the first galaxy's")  # fmt: skip
    known, first_known = np.isfinite(part.zeropoint.numpy()), np.isfinite(first.zeropoint.numpy())
    if (known != first_known).any():
        raise InputError("its zero point is not known, the first galaxy's is (or the other way round)")


def _one_zeropoint(parts: list[Cutouts], entry: CutoutFiles) -> list[Cutouts]:
    """Cutouts brought to one zero point; flux scales with it, magnitudes do not change."""
    reading = entry.reading
    stack = np.stack([part.zeropoint.numpy() for part in parts])
    wanted = stack[0]
    if reading.common_zeropoint is not None:
        wanted = nearer_zeropoint(np.full(stack.shape[1], reading.common_zeropoint), stack[0])
    elif (np.ptp(np.nan_to_num(stack), axis=0) > 0).any():
        survey = reading.survey
        of_survey = [survey.zeropoint[survey.index(b)] if survey and b in survey.bands else NANOMAGGIE
                     for b in parts[0].bands]  # fmt: skip
        wanted = np.where(np.isfinite(stack[0]), nearer_zeropoint(np.array(of_survey), stack[0]), np.nan)
        say(log, logging.WARNING, "zero points", "the cutouts' zero points differ; their fluxes are brought to %s",
            ", ".join(f"{value:g}" for value in wanted))  # fmt: skip
    return [_rescaled(part, wanted) for part in parts]


def _rescaled(part: Cutouts, wanted: NDArray[np.float64]) -> Cutouts:
    import torch

    step = np.where(np.isfinite(wanted), wanted - part.zeropoint.numpy(), 0.0)
    if not step.any():
        return part
    factor = torch.as_tensor(10 ** (0.4 * step))[:, None, None]
    return replace(part, flux=(part.flux * factor).float(), ivar=(part.ivar / factor**2).float(),
                   zeropoint=torch.as_tensor(wanted, dtype=torch.float64))  # fmt: skip
