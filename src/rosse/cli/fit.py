"""`rosse fit`: cutouts that are already there to parameters."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosse.cli import launch, screen, summary, tiles
from rosse.cli.options import FitOptions
from rosse.errors import OptionError

if TYPE_CHECKING:
    from rosse.io import CutoutFiles
    from rosse.pipeline.run import Report

HELP = """Fit cutouts: images of single galaxies with their noise, PSF and mask.

A folder is searched for NAME_image.fits with NAME_sigma.fits, NAME_psf.fits and NAME_mask.fits beside it, or by
--pattern. A manifest has the columns id, image, sigma (or ivar, variance, weight), psf, mask, ra, dec. For images, maps
are one file or a template: --sigma '{name}_rms.fits', --sigma '{image}[ERR]'.

Examples:

  rosse fit galaxies/ --scale 0.396 --zeropoint 22.5

  rosse fit a.fits b.fits --sigma '{name}.sigma.fits' --psf psf.fits --out catalogue --plot figures

  rosse fit manifest.csv --survey decals --out catalogue
"""

_READING = ("survey", "extension", "scale", "zeropoint", "gain", "mask_kind", "mask_bits", "estimate_noise", "pattern",
            "bands", "sigma", "variance", "ivar", "weight", "psf", "psf_oversampling", "mask")  # fmt: skip
# What a person looks at first; the catalogue has every column.
_SHOWN = ("id", "mag", "r_e", "n", "q", "pa", "chi2_dof", "status")


def fit(options: FitOptions) -> None:
    """Fit, and print the table or say where it is."""
    if options.out is not None:
        report = _fit(options, Path(options.out))
        _say(report)
        launch.refuse_failures(report)
        return
    with tempfile.TemporaryDirectory(prefix="rosse-") as folder:
        report = _fit(options, Path(folder))
        from rosse.store import open_catalogue

        summary.print_rows(open_catalogue(folder))
        launch.refuse_failures(report)


def _fit(options: FitOptions, directory: Path) -> Report:
    from rosse.pipeline.jobs import file_job

    with screen.watching(directory if options.out is not None else None) as watch:
        entries = _entries(options)
        job = file_job(
            entries,
            measuring=launch.fitting_of(options),
            inputs=_manifests(options),
            record=tiles.record_of(options, ("cutouts", *_READING)),
        )
        return launch.start(job, directory, options, watch)


def _entries(options: FitOptions) -> list[CutoutFiles]:
    from rosse.io import list_cutouts

    about: dict[str, Any] = {name: getattr(options, name) for name in _READING}
    for name in (*tiles.MAPS, "psf"):
        if about[name] == "none" and name in ("psf", "mask"):
            about[name] = False  # also where one lies beside the image
        elif isinstance(about[name], dict) or (isinstance(about[name], str) and "{" not in about[name]):
            about[name] = tiles.absolute(about[name])  # a template belongs to the images' folder
    if isinstance(options.bands, dict):
        if options.cutouts:
            raise OptionError("give cutouts, or a file for each band with --bands g=a.fits,r=b.fits, not both")
        return list_cutouts(tiles.absolute(options.bands), **about | {"bands": None})
    if not options.cutouts:
        raise OptionError("no cutout came; give images, a folder, or a CSV or Parquet manifest")
    sources = [tiles.absolute_path(path) for path in options.cutouts]
    return list_cutouts(sources[0] if len(sources) == 1 else sources, **about)


def _manifests(options: FitOptions) -> list[Path]:
    """Tables among the inputs: a run does not go on when their numbers have changed."""
    from rosse.io.listing import MANIFEST_SUFFIXES

    paths = [Path(tiles.absolute_path(path)) for path in options.cutouts]
    return [path for path in paths if path.suffix.lower() in MANIFEST_SUFFIXES]


def _say(report: Report) -> None:
    lines = summary.fitted(report)
    unreadable = report.counts.get("unreadable", 0)
    if unreadable:
        from rosse.store import open_catalogue

        names = open_catalogue(report.directory).where("status = 'unreadable'").select(["id"]).head(5)["id"]
        more = ", ..." if unreadable > 5 else ""
        lines.append(("unreadable", f"{unreadable}: {', '.join(names)}{more}; run.log says why"))
    summary.show(report, [("galaxies", str(report.rows)), *lines])
