"""`rosse fit`: cutouts that are already there to parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rosse.cli import cutouts, launch, results, tiles
from rosse.cli.options import FitOptions

if TYPE_CHECKING:
    from rosse.pipeline.run import Job

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
    results.keep_or_print(options, options.out, lambda: _job(options), word="fitted")


def _job(options: FitOptions) -> Job:
    from rosse.pipeline.jobs import file_job

    return file_job(
        cutouts.entries(options),
        measuring=launch.fitting_of(options),
        inputs=cutouts.manifests(options),
        record=tiles.record_of(options, cutouts.OPTIONS),
    )
