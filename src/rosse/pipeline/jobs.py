"""The two runs that rosse knows: a survey image to a catalogue, and cutouts to a catalogue."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rosse.detection import DetectOptions
from rosse.errors import InputError
from rosse.io.choose import split_name
from rosse.pipeline.overlaps import Once
from rosse.pipeline.partitions import MARGIN, SIZE, file_name, file_partitions, survey_partitions
from rosse.pipeline.parts import storage
from rosse.pipeline.rows import Fitting
from rosse.pipeline.run import Job
from rosse.pipeline.steps import FitFiles, MeasureField, first_readable
from rosse.pipeline.task import Step

if TYPE_CHECKING:
    from rosse.io import CutoutFiles, FieldPsf, Mosaic

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FieldOptions:
    """How a survey image is measured.

    Parameters
    ----------
    size, margin : of partitions, pixels; see `survey_partitions`.
    min_snr : galaxies below it are listed, but not fitted.
    match : arcsec within which sources of overlapping tiles are the same.
    detection, fitting : options of the two verbs.
    """

    size: int = SIZE
    margin: int = MARGIN
    min_snr: float = 5.0
    match: float = 1.0
    detection: DetectOptions = field(default_factory=DetectOptions)
    fitting: Fitting = field(default_factory=Fitting)


def field_job(
    mosaics: Sequence[Mosaic],
    *,
    psfs: Sequence[FieldPsf | None] | None = None,
    options: FieldOptions | None = None,
    inputs: Iterable[Path] = (),
    record: Mapping[str, Any] | None = None,
) -> Job:
    """Job that measures the sources of mosaics.

    Parameters
    ----------
    mosaics : one or more tiles with the same bands.
    psfs : PSF of each, None in the place of one that has none. Without the list they are built from the stars.
    options : how to measure.
    inputs : files behind `mosaics` and `psfs`, for the check that a resumed run is the same.
    record : further options that decide the result, e.g. how the mosaics were opened.
    """
    options = options or FieldOptions()
    _check_alike(mosaics)
    partitions = survey_partitions(mosaics, size=options.size, margin=options.margin)
    return Job(
        partitions=partitions,
        prepare=functools.partial(_prepare_field, mosaics, psfs, options),
        options={"measure": options, **(record or {})},
        inputs=tuple(inputs),
        merge=Once(partitions={p.key: p for p in partitions}, mosaics=mosaics, radius=options.match),
        command="run",
    )


def file_job(
    entries: Sequence[CutoutFiles], *, fitting: Fitting | None = None, record: Mapping[str, Any] | None = None
) -> Job:
    """Job that fits cutouts.

    Parameters
    ----------
    entries : what `rosse.io.list_cutouts` found.
    fitting : how to fit.
    record : further options that decide the result, e.g. pixel scale and zero point.
    """
    fitting = fitting or Fitting()
    named = {name for entry in entries for name in (*entry.image, *entry.noise, *entry.psf, *entry.mask)}
    files = sorted({Path(split_name(name)[0]) for name in named})
    return Job(
        partitions=file_partitions(entries),
        prepare=functools.partial(_prepare_files, entries, fitting),
        options={"measure": {"fitting": fitting}, **(record or {})},
        inputs=[path for path in files if path.exists()],  # a missing one is a galaxy that cannot be read
        command="fit",
    )


def _prepare_field(
    mosaics: Sequence[Mosaic], psfs: Sequence[FieldPsf | None] | None, options: FieldOptions, directory: Path
) -> Step:
    """The step, with the PSF of every mosaic, which is written to the directory."""
    if psfs is None:
        psfs = [_from_stars(mosaic, options) for mosaic in mosaics]
    for mosaic, psf in zip(mosaics, psfs, strict=True):
        if psf is not None:
            name = "psf.fits" if len(mosaics) == 1 else f"psf_{file_name(mosaic.name)}.fits"
            with storage(directory / name):
                psf.to_fits(directory / name)
    return MeasureField(
        mosaics=mosaics, psfs=psfs, detection=options.detection, fitting=options.fitting, min_snr=options.min_snr
    )


def _from_stars(mosaic: Mosaic, options: FieldOptions) -> FieldPsf:
    from rosse.detection import build_psf

    psf = build_psf(mosaic, options=options.detection)
    if psf is None:
        raise InputError(
            f"{mosaic.name}: no PSF was given, and there are too few good stars to build one from; give --psf FILE "
            "(a stamp, a cube or a PSFEx model), or --psf none to fit without one"
        )
    return psf


def _prepare_files(entries: Sequence[CutoutFiles], fitting: Fitting, directory: Path) -> Step:
    first = first_readable(entries)
    return FitFiles(
        bands=first.bands,
        zeropoint=tuple(first.zeropoint.tolist()),
        scale=bool(np.isfinite(first.scale.numpy()).all()),
        fitting=fitting,
    )


def _check_alike(mosaics: Sequence[Mosaic]) -> None:
    """One table needs one set of columns and units."""
    if not mosaics:
        raise InputError("no image came; at least one is wanted")
    first = mosaics[0]
    for other in mosaics[1:]:
        if other.bands != first.bands:
            raise InputError(
                f"{other.name} has the bands {', '.join(other.bands)}, {first.name} {', '.join(first.bands)}; "
                "tiles of one run need the same"
            )
        if np.isfinite(other.scale) != np.isfinite(first.scale):
            raise InputError(
                f"the pixel scale of one of {first.name} and {other.name} is not known; give one with --scale"
            )
