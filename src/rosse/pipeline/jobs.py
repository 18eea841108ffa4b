"""The runs that rosse knows: a survey image to a catalogue, and cutouts to a catalogue of fits or of shapes."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rosse.detection import DetectOptions, build_psf
from rosse.errors import InputError, bands_text
from rosse.io.choose import split_name
from rosse.pipeline.asking import Asking
from rosse.pipeline.directory import PARTS
from rosse.pipeline.figures import ChunksWithout, RegionsWithout
from rosse.pipeline.overlaps import Once
from rosse.pipeline.partitions import MARGIN, SIZE, file_name, file_partitions, survey_partitions
from rosse.pipeline.parts import storage
from rosse.pipeline.rows import Fitting
from rosse.pipeline.run import Job, nothing
from rosse.pipeline.shaping import STATUS, Shaping
from rosse.pipeline.steps import MeasureField, MeasureFiles, first_readable
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
    min_snr : galaxies below it are listed, but neither fitted nor are their shapes measured.
    match : arcsec within which sources of overlapping tiles are the same.
    detection, fitting, shaping, asking : options of the four verbs; no shapes are measured where `shaping` is None, no
        votes predicted where `asking` is.
    """

    size: int = SIZE
    margin: int = MARGIN
    min_snr: float = 5.0
    match: float = 1.0
    detection: DetectOptions = field(default_factory=DetectOptions)
    fitting: Fitting = field(default_factory=Fitting)
    shaping: Shaping | None = field(default_factory=Shaping)
    asking: Asking | None = None

    @property
    def folders(self) -> dict[str, Path]:
        """Where figures go, by the column that holds the status of what they show."""
        shapes = None if self.shaping is None else self.shaping.figures
        known = {"status": self.fitting.figures, STATUS: shapes}
        return {name: folder for name, folder in known.items() if folder is not None}


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
    if options.shaping is not None:
        options.shaping.check(mosaics[0].bands)
    if options.asking is not None:
        options.asking.check(mosaics[0].bands)
    partitions = survey_partitions(mosaics, size=options.size, margin=options.margin)
    return Job(
        partitions=partitions,
        prepare=functools.partial(_prepare_field, mosaics, psfs, options),
        options={**_field_record(options), **(record or {})},
        inputs=tuple(inputs),
        merge=Once(partitions={p.key: p for p in partitions}, mosaics=mosaics, radius=options.match),
        lacking=nothing
        if not options.folders
        else RegionsWithout(partitions=partitions, mosaics=mosaics, folders=options.folders),
        command="run",
    )


def file_job(
    entries: Sequence[CutoutFiles],
    *,
    measuring: Fitting | Shaping | None = None,
    inputs: Iterable[Path] = (),
    record: Mapping[str, Any] | None = None,
) -> Job:
    """Job that fits cutouts, or measures their shapes.

    Parameters
    ----------
    entries : what `rosse.io.list_cutouts` found.
    measuring : what to do, and how; None fits a single Sersic profile.
    inputs : files beside those of the entries, e.g. the manifest.
    record : further options that decide the result, e.g. pixel scale and zero point.
    """
    measuring = measuring or Fitting()
    named = {name for entry in entries for name in (*entry.image, *entry.noise, *entry.psf, *entry.mask)}
    files = sorted({Path(split_name(name)[0]) for name in named})
    chunks = file_partitions(entries)
    return Job(
        partitions=chunks,
        prepare=functools.partial(_prepare_files, entries, measuring),
        options={**_measuring_record(measuring), **(record or {})},
        inputs=[*inputs, *(path for path in files if path.exists())],  # a missing one is a galaxy that cannot be read
        lacking=nothing if measuring.figures is None else ChunksWithout(chunks=chunks, folder=measuring.figures),
        command="shapes" if isinstance(measuring, Shaping) else "fit",
    )


def _field_record(options: FieldOptions) -> dict[str, Any]:
    """Every option by its name, so that a message can name the one that differs."""
    own = {name: getattr(options, name) for name in ("size", "margin", "min_snr", "match")}
    shapes = {"shapes": "none"} if options.shaping is None else options.shaping.record()
    votes = {"votes": "none"} if options.asking is None else options.asking.record()
    return {**own, **asdict(options.detection), **_measuring_record(options.fitting), **shapes, **votes}


def _measuring_record(measuring: Fitting | Shaping) -> dict[str, Any]:
    if isinstance(measuring, Shaping):
        return measuring.record()
    return {
        "model": "Sersic()" if measuring.model is None else repr(measuring.model),
        "fit": "default" if measuring.options is None else asdict(measuring.options),
        "device": measuring.device,
    }


def _prepare_field(
    mosaics: Sequence[Mosaic], psfs: Sequence[FieldPsf | None] | None, options: FieldOptions, directory: Path
) -> Step:
    """The step, with the PSF of every mosaic, which is written to the directory."""
    names = ["psf.fits"] if len(mosaics) == 1 else [f"psf_{file_name(mosaic.name)}.fits" for mosaic in mosaics]
    if psfs is None:
        psfs = [_from_stars(m, options, directory / PARTS / name) for m, name in zip(mosaics, names, strict=True)]
    for psf, name in zip(psfs, names, strict=True):
        if psf is not None:
            _write_psf(psf, directory / name)
    if options.shaping is not None and options.shaping.needs_psf and None in psfs:
        raise InputError("shapes cannot be corrected for a PSF that is not known; give --psf, or do not correct them")
    return MeasureField(
        mosaics=mosaics, psfs=psfs, detection=options.detection, fitting=options.fitting, shaping=options.shaping,
        asking=options.asking, min_snr=options.min_snr,
    )  # fmt: skip


def _from_stars(mosaic: Mosaic, options: FieldOptions, kept: Path) -> FieldPsf | None:
    """The PSF as it is kept in a file, so that a run that goes on, perhaps elsewhere, has the same to the last bit."""
    from rosse.io import read_psf

    if not kept.exists():
        psf = build_psf(mosaic, options.detection)
        if psf is None:
            log.warning(
                "%s: no PSF was given, and nothing in the image tells how wide a point is; sources are fitted without "
                "one, so sizes are those of the blurred image. Give --psf FILE (a stamp, a cube or a PSFEx model)",
                mosaic.name,
            )
            return None
        _write_psf(psf, kept)
    return read_psf(kept, mosaic.bands)


def _write_psf(psf: FieldPsf, path: Path) -> None:
    temporary = path.with_name(f".new-{path.name}")
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        psf.to_fits(temporary)
        temporary.replace(path)


def _prepare_files(entries: Sequence[CutoutFiles], measuring: Fitting | Shaping, directory: Path) -> Step:
    first = first_readable(entries)
    if isinstance(measuring, Shaping):
        measuring.check(first.bands)
        if measuring.needs_psf and first.psf is None:
            raise InputError(f"galaxy {first.id[0]} has no PSF, which the correction needs; give one with --psf")
    return MeasureFiles(
        bands=first.bands,
        zeropoint=tuple(first.zeropoint.tolist()),
        scale=bool(np.isfinite(first.scale.numpy()).all()),
        measuring=measuring,
    )


def _check_alike(mosaics: Sequence[Mosaic]) -> None:
    """One table needs one set of columns and units."""
    if not mosaics:
        raise InputError("no image came; at least one is wanted")
    first = mosaics[0]
    for other in mosaics[1:]:
        if other.bands != first.bands:
            raise InputError(
                f"{other.name} has {bands_text(other.bands)}, {first.name} {bands_text(first.bands)}; "
                "tiles of one run need the same, in the same order: name them with --bands"
            )
        if not np.allclose(other.zeropoint, first.zeropoint, rtol=0, atol=1e-6, equal_nan=True):
            log.warning(
                "the zero points of %s and %s differ: fluxes are in the unit of their tile, only magnitudes can be "
                "compared", first.name, other.name,
            )  # fmt: skip
        if np.isfinite(other.scale) != np.isfinite(first.scale):
            raise InputError(
                f"the pixel scale of one of {first.name} and {other.name} is not known; give one with --scale"
            )
