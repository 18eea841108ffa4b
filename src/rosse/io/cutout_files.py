"""Cutouts from files: which files belong to which galaxy. Pixels are read in `loading`."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rosse.errors import InputError, OptionError
from rosse.io.calibration import check_scale
from rosse.io.noise import check_number, one_noise
from rosse.io.noise import mask_kind as checked_mask
from rosse.io.patterns import Pattern, find_pattern
from rosse.io.source import PICTURE_SUFFIXES
from rosse.surveys import Survey
from rosse.surveys import survey as find_survey

if TYPE_CHECKING:
    from rosse.io.psf_files import FieldPsf

Pathlike = str | os.PathLike[str]
Files = Pathlike | Sequence[Pathlike]
PerBand = float | Sequence[float] | Mapping[str, float] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """How files are to be read; shared by all entries of a list.

    Parameters
    ----------
    survey, bands, scale, zeropoint, gain, extension : as in `read_cutouts`.
    noise_kind : one of sigma, variance, ivar, weight; empty if the noise is to be estimated.
    noise : one number for all pixels, where that was given instead of files.
    psf : one PSF for all, where an array or a `FieldPsf` was given instead of files.
    psf_wanted : whether the lack of a PSF is worth a remark.
    psf_has_pixel : whether PSF stamps contain the integration over the pixel.
    psf_oversampling : pixels of PSF stamps along one pixel of the image.
    mask_kind, mask_bits : what mask files hold.
    common_zeropoint : zero point to which all cutouts are brought, where those of a manifest differ.
    run : name under which remarks are made once.
    """

    survey: Survey | None = None
    bands: tuple[str, ...] | None = None
    scale: float | None = None
    zeropoint: PerBand = None
    gain: PerBand = None
    extension: str | int | None = None
    noise_kind: str = ""
    noise: float | None = None
    psf: FieldPsf | None = None
    psf_wanted: bool = True
    psf_has_pixel: bool = True
    psf_oversampling: int = 1
    mask_kind: str = "bool"
    mask_bits: int | None = None
    common_zeropoint: float | None = None
    run: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, kw_only=True, eq=False)
class CutoutFiles:
    """The files of one galaxy; each role has one file, or one for each band, or none.

    Parameters
    ----------
    id : unique text.
    image, noise, psf, mask : paths, or ``path[EXT]``.
    ra, dec : degrees; NaN: taken from the image's WCS.
    x, y : position in the field, pixels from 0, at which a PSF that varies over the field is taken; NaN where unknown.
    scale, zeropoint, bands : of this galaxy, where a manifest gives them; they win over `reading`.
    fault : why it cannot be read whatever its files hold, e.g. a zero point that is no number; empty otherwise.
    reading : what holds for all.
    """

    id: str
    image: tuple[str, ...]
    noise: tuple[str, ...] = ()
    psf: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    ra: float = np.nan
    dec: float = np.nan
    x: float = np.nan
    y: float = np.nan
    scale: float | None = None
    zeropoint: float | tuple[float, ...] | None = None
    bands: tuple[str, ...] | None = None
    fault: str = ""
    reading: Reading = field(default_factory=Reading)


def list_cutouts(  # noqa: PLR0913 - what to read and what overrides the files, each documented once
    source: Files | Mapping[str, Pathlike],
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
) -> list[CutoutFiles]:
    """List the galaxies that `source` holds and the files of each; reads no pixels. Arguments as in `read_cutouts`."""
    from rosse.io.listing import list_entries

    about = None if survey is None else find_survey(survey)
    _check_numbers(scale, gain)
    reading = Reading(
        survey=about,
        bands=None if bands is None else (bands,) if isinstance(bands, str) else tuple(bands),
        scale=scale,
        zeropoint=zeropoint,
        gain=gain,
        extension=extension,
        psf_wanted=psf is not False,
        psf_has_pixel=about.psf_has_pixel if psf_has_pixel is None and about else psf_has_pixel is not False,
        psf_oversampling=checked_oversampling(psf_oversampling),
        mask_bits=mask_bits,
    )
    left_out: dict[str, Any] = {role: () for role, value in (("psf", psf), ("mask", mask)) if value is False}
    given: dict[str, Any] = {"psf": None if psf is False else psf, "mask": None if mask is False else mask}
    noise = one_noise(sigma=sigma, variance=variance, ivar=ivar, weight=weight)
    if noise is not None:
        check_number(*noise)
        given[noise[0]] = noise[1]
    kind = None if mask_kind is None and mask_bits is None else checked_mask(mask_kind, mask_bits)
    entries = list_entries(source, find_pattern(pattern), given, reading, kind)
    entries = [replace(entry, **left_out) for entry in entries] if left_out else entries
    _refuse_twice([entry.id for entry in entries])
    _need_noise(entries, estimate_noise)
    return entries


def _check_numbers(scale: float | None, gain: PerBand) -> None:
    """What is wrong for every galaxy is said once, before any file is opened."""
    check_scale(scale)
    values = gain.values() if isinstance(gain, Mapping) else gain if isinstance(gain, Sequence) else (gain,)
    for value in values:
        if value is not None and not float(value) > 0:
            raise OptionError(f"gain is {float(value):g}; a positive number is wanted")


def checked_oversampling(value: int | None) -> int:
    """A whole number, 1 or more; 1 where none is given."""
    if value is None:
        return 1
    if value != int(value) or value < 1:
        raise OptionError(f"psf_oversampling is {value}; a whole number, 1 or more, is wanted")
    return int(value)


def _refuse_twice(ids: Sequence[str]) -> None:
    names, counts = np.unique(np.asarray(ids, dtype=str), return_counts=True)
    twice = names[counts > 1]
    if twice.size:
        more = f" and {twice.size - 8} more" if twice.size > 8 else ""
        raise InputError(f"ids must be unique, but these come more than once: {', '.join(twice[:8])}{more}; "
                         "give a manifest with an id column")  # fmt: skip


def _need_noise(entries: Sequence[CutoutFiles], estimate: bool) -> None:
    lacking = [
        entry for entry in entries if not entry.noise and entry.reading.noise is None and not is_picture(entry.image)
    ]
    none_named = len(lacking) == len(entries) or not lacking[0].reading.noise_kind if lacking else False
    if none_named and not estimate:
        raise InputError(
            f"no noise came for {len(lacking)} of {len(entries)} cutouts, e.g. {lacking[0].id}; give sigma, variance, "
            "ivar or weight (files, a template such as '{name}_sigma.fits', or a number), or let it be measured "
            "from the sky with estimate_noise=True (--estimate-noise)"
        )


def is_picture(paths: Sequence[str]) -> bool:
    """Whether an image is a JPEG, PNG or the like, of which nothing but the colours is known."""
    return bool(paths) and all(Path(path).suffix.lower() in PICTURE_SUFFIXES for path in paths)
