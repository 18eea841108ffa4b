"""`rosse shapes`: cutouts to shapes without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rosse.cli import launch, screen, tiles
from rosse.cli.options import ShapesOptions
from rosse.errors import OptionError

if TYPE_CHECKING:
    from rosse.cutouts import Cutouts
    from rosse.shapes import Shapes

HELP = """Measure cutouts without a model: sizes, concentration, asymmetries, Gini, M20, clumps.

Cutouts are found as by rosse fit: a folder, images, or a manifest.

Examples:

  rosse shapes galaxies/ --scale 0.396 --zeropoint 22.5

  rosse shapes galaxies/ --scale 0.262 --zeropoint 22.5 --draws 20 --out shapes.fits --plot figures
"""

_READING = ("survey", "extension", "scale", "zeropoint", "gain", "mask_kind", "mask_bits", "estimate_noise", "pattern",
            "sigma", "variance", "ivar", "weight", "mask")  # fmt: skip
_SHOWN = ("id", "r_petro", "concentration", "asymmetry", "smoothness", "gini", "m20", "status")
_FORMATS = {".fits": "fits", ".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".parquet": "parquet", ".vot": "votable"}


def shapes(options: ShapesOptions) -> None:
    """Measure, and print the table or write it."""
    from rosse.shapes import measure_shapes

    out = None if options.out is None else Path(options.out)
    if out is not None and out.suffix not in _FORMATS:
        raise OptionError(f"--out is {options.out!r}; a file that ends in {', '.join(_FORMATS)} is wanted")
    cutouts = _cutouts(options).to(launch.device_of(options.device))
    result = measure_shapes(cutouts, band=options.band, draws=options.draws, seed=options.seed)
    if options.plot is not None:
        _draw(result, Path(options.plot))
    if out is None:
        _print(result)
        return
    result.table().write(out, format=_FORMATS[out.suffix], overwrite=options.overwrite)
    screen.out().print(f"{len(result)} galaxies in {out}")


def _cutouts(options: ShapesOptions) -> Cutouts:
    from rosse.io import read_cutouts

    if not options.cutouts:
        raise OptionError("no cutout came; give images, a folder, or a CSV or Parquet manifest")
    sources = [tiles.absolute_path(path) for path in options.cutouts]
    about = {name: getattr(options, name) for name in _READING}
    if about["mask"] == "none":
        about["mask"] = False
    return read_cutouts(sources[0] if len(sources) == 1 else sources, psf=False, **about)


def _draw(result: Shapes, folder: Path) -> None:
    from rosse.pipeline.figures import figure_path

    folder.mkdir(parents=True, exist_ok=True)
    for row, name in enumerate(result.cutouts.id):
        result.plot(row).savefig(figure_path(folder, str(name)), dpi=100)


def _print(result: Shapes) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = result.table()
    shown = Table(*(f"{name} \\[{table[name].unit}]" if table[name].unit else name for name in _SHOWN), box=SIMPLE_HEAD)
    for row in table:
        shown.add_row(*(str(row[name]) if name in ("id", "status") else f"{row[name]:.4g}" for name in _SHOWN))
    screen.out(fold=True).print(shown)
