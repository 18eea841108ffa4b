"""`rosse run`: a survey image to a catalogue."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from rosse.cli import launch, results, screen, summary, tiles
from rosse.cli.options import RunOptions
from rosse.errors import OptionError

if TYPE_CHECKING:
    from rosse.pipeline.asking import Asking
    from rosse.pipeline.jobs import FieldOptions
    from rosse.pipeline.run import Report
    from rosse.pipeline.shaping import Shaping

_PLURAL = {"galaxy": "galaxies", "star": "stars", "artefact": "artefacts"}

HELP = """Measure a survey image: sky, detection, stars, PSF, one fit per galaxy, shapes, votes, catalogue.

Several images are tiles of one survey. Their maps are then given as templates, --weight '{name}.weight.fits', where
{name} is the image's name without its ending. A run that was stopped goes on where it was when the same command is
given again.

Examples:

  rosse run field.fits --survey sdss --out catalogue

  rosse run --bands g=g.fits,r=r.fits --ivar g=gw.fits,r=rw.fits --out catalogue --workers 8

  rosse run picture.jpg --psf none --out catalogue
"""


def run(options: RunOptions) -> None:
    """Measure, and say what came out."""
    if options.out is None:
        raise OptionError("--out is missing: give the directory of the catalogue")
    from rosse.pipeline.jobs import field_job

    directory = results.catalogue_directory(options.out)
    with screen.watching(directory) as watch:
        parts = tiles.tiles_of(options)
        mosaics = tiles.open_tiles(options, parts)
        job = field_job(
            mosaics,
            psfs=tiles.read_psfs(parts, mosaics),
            options=_measuring(options),
            inputs=[path for tile in parts for path in tile.files],
            record=tiles.record_of(options, ("images", "bands", *tiles.MAPS, *tiles.OPENING, "psf")),
        )
        report = launch.start(job, directory, options, watch)
    _say(report, options.min_snr)
    launch.refuse_failures(report)


def _measuring(options: RunOptions) -> FieldOptions:
    from rosse.detection import DetectOptions
    from rosse.pipeline.jobs import FieldOptions

    def given(kind: type) -> dict[str, Any]:
        names = {f.name for f in fields(kind)} & {f.name for f in fields(options)}
        return {name: getattr(options, name) for name in names if getattr(options, name) is not None}

    return FieldOptions(
        **given(FieldOptions), detection=DetectOptions(**given(DetectOptions)), fitting=launch.fitting_of(options),
        shaping=_shaping(options), asking=_asking(options),
    )  # fmt: skip


def _asking(options: RunOptions) -> Asking | None:
    from rosse.pipeline.asking import Asking

    return Asking.of(options.votes_model, device=launch.device_of(options.device)) if options.votes else None


def _shaping(options: RunOptions) -> Shaping | None:
    from rosse.pipeline.shaping import Shaping

    if not options.shapes:
        return None
    figures = launch.figures_of(options)
    return Shaping(
        options=launch.shape_options(options.shape_constants),
        band=options.shape_band,
        draws=options.shape_draws,
        seed=options.shape_seed,
        correct=options.shape_correct,
        device=launch.device_of(options.device),
        figures=None if figures is None else figures / "shapes",
    )


def _say(report: Report, min_snr: float | None) -> None:
    """The summary, on stdout."""
    from rosse.pipeline.asking import STATUS as VOTE_STATUS
    from rosse.pipeline.shaping import STATUS
    from rosse.store import open_catalogue

    kinds: Counter[str] = Counter()
    others: dict[str, Counter[str]] = {STATUS: Counter(), VOTE_STATUS: Counter()}
    catalogue = open_catalogue(report.directory)
    names = [name for name in ("kind", *others) if name in catalogue.schema.names]
    for rows in catalogue.select(names).partitions():
        kinds.update(rows["kind"].to_pylist())
        for name in names[1:]:
            others[name].update(rows[name].to_pylist())
    stars = report.rows - kinds["galaxy"]
    faint = report.counts.get("skipped", 0) - stars
    lines = [("sources", f"{report.rows}: " + ", ".join(_counted(n, k) for k, n in kinds.most_common()))]
    if not report.rows:
        lines = [("sources", "none was found; the catalogue is empty")]
    lines += summary.measured(report)
    for word, counts in reversed(list(zip(("shapes", "votes"), others.values(), strict=True))):
        del counts["skipped"]
        if counts:
            lines.insert(2, (word, f"{counts.total()}: {summary.counts_text(counts)}"))
    if report.rows:
        lines.append(
            ("not fitted", f"{stars} stars and artefacts, {_counted(faint, 'galaxy')} below S/N {min_snr or 5:g}")
        )
    summary.show(report, lines)


def _counted(number: int, kind: str) -> str:
    return f"{number} {kind if number == 1 else _PLURAL.get(kind, kind)}"
