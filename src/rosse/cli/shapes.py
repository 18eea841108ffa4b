"""`rosse shapes`: cutouts to shapes without a model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rosse.cli import cutouts, launch, screen, summary, tiles
from rosse.cli.options import ShapesOptions
from rosse.errors import OptionError

if TYPE_CHECKING:
    from rosse.pipeline.run import Report
    from rosse.pipeline.shaping import Shaping

HELP = """Measure cutouts without a model: sizes, concentration, asymmetries, Gini, M20, clumps.

Cutouts are found as by rosse fit: a folder, images, or a manifest. A run that was stopped goes on where it was when the
same command is given again.

Examples:

  rosse shapes galaxies/ --scale 0.396 --zeropoint 22.5

  rosse shapes galaxies/ --scale 0.262 --zeropoint 22.5 --draws 20 --out shapes --plot figures

  rosse shapes galaxies/ --scale 0.262 --correct --constants eta=0.25 --out shapes
"""

_TABLES = (".fits", ".csv", ".ecsv", ".parquet", ".vot", ".txt", ".hdf5")


def shapes(options: ShapesOptions) -> None:
    """Measure, and print the table or say where it is."""
    if options.out is not None:
        out = Path(options.out)
        if out.suffix.lower() in _TABLES:
            raise OptionError(
                f"--out is {options.out!r}; the directory of a catalogue is wanted: --out {out.stem}, and then "
                f"rosse export {out.stem} {out.name}"
            )
        report = _measure(options, out)
        lines = [*summary.measured(report, word="measured"), *summary.unreadable(report)]
        summary.show(report, [("galaxies", str(report.rows)), *lines])
        launch.refuse_failures(report)
        return
    with tempfile.TemporaryDirectory(prefix="rosse-") as folder:
        report = _measure(options, Path(folder))
        from rosse.store import open_catalogue

        summary.print_rows(open_catalogue(folder))
        launch.refuse_failures(report)


def _measure(options: ShapesOptions, directory: Path) -> Report:
    from rosse.pipeline.jobs import file_job

    with screen.watching(directory if options.out is not None else None) as watch:
        job = file_job(
            cutouts.entries(options, psf=options.correct),
            measuring=_shaping(options),
            inputs=cutouts.manifests(options),
            record=tiles.record_of(options, cutouts.OPTIONS),
        )
        return launch.start(job, directory, options, watch)


def _shaping(options: ShapesOptions) -> Shaping:
    from rosse.pipeline.shaping import Shaping

    return Shaping(
        options=launch.shape_options(options.constants),
        band=options.band,
        draws=options.draws,
        seed=options.seed,
        correct=options.correct,
        device=launch.device_of(options.device),
        figures=launch.figures_of(options),
    )
