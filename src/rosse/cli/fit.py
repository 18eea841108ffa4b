"""`rosse fit`: cutouts that are already there to parameters."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rosse.cli import cutouts, launch, screen, summary, tiles
from rosse.cli.options import FitOptions

if TYPE_CHECKING:
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
        entries = cutouts.entries(options)
        job = file_job(
            entries,
            measuring=launch.fitting_of(options),
            inputs=cutouts.manifests(options),
            record=tiles.record_of(options, cutouts.OPTIONS),
        )
        return launch.start(job, directory, options, watch)


def _say(report: Report) -> None:
    lines = [*summary.measured(report), *summary.unreadable(report)]
    summary.show(report, [("galaxies", str(report.rows)), *lines])
