"""`rosse shapes`: cutouts to shapes without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rosse.cli import cutouts, launch, results, tiles
from rosse.cli.options import ShapesOptions

if TYPE_CHECKING:
    from rosse.pipeline.run import Job

HELP = """Measure cutouts without a model: sizes, concentration, asymmetries, Gini, M20, clumps.

Cutouts are found as by rosse fit: a folder, images, or a manifest. A run that was stopped goes on where it was when the
same command is given again.

Examples:

  rosse shapes galaxies/ --scale 0.396 --zeropoint 22.5

  rosse shapes galaxies/ --scale 0.262 --zeropoint 22.5 --draws 20 --out shapes --plot figures

  rosse shapes galaxies/ --scale 0.262 --correct --constants eta=0.25 --out shapes
"""


def shapes(options: ShapesOptions) -> None:
    """Measure, and print the table or say where it is."""
    results.keep_or_print(options, options.out, lambda: _job(options), word="measured")


def _job(options: ShapesOptions) -> Job:
    from rosse.pipeline.jobs import file_job
    from rosse.pipeline.shaping import Shaping

    shaping = Shaping(
        options=launch.shape_options(options.constants),
        band=options.band,
        draws=options.draws,
        seed=options.seed,
        correct=options.correct,
        device=launch.device_of(options.device),
        figures=launch.figures_of(options),
    )
    return file_job(
        cutouts.entries(options, psf=options.correct),
        measuring=shaping,
        inputs=cutouts.manifests(options),
        record=tiles.record_of(options, cutouts.OPTIONS),
    )
