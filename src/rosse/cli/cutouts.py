"""Cutouts as commands are told of them: files, folders, manifests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosse.cli import tiles
from rosse.errors import OptionError

if TYPE_CHECKING:
    from rosse.cli.options import CutoutOptions
    from rosse.io import CutoutFiles

_READING = ("survey", "extension", "scale", "zeropoint", "gain", "mask_kind", "mask_bits", "estimate_noise", "pattern",
            "bands", "sigma", "variance", "ivar", "weight", "psf", "psf_oversampling", "mask")  # fmt: skip
OPTIONS = ("cutouts", *_READING)  # what decides which pixels are read, and how


def entries(options: CutoutOptions, *, psf: bool = True) -> list[CutoutFiles]:
    """Files of every cutout; without those of the PSFs where nobody asks for them."""
    from rosse.io import list_cutouts

    about: dict[str, Any] = {name: getattr(options, name) for name in _READING}
    if not psf:
        about["psf"] = False
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


def manifests(options: CutoutOptions) -> list[Path]:
    """Tables among the inputs: a run does not go on when their numbers have changed."""
    from rosse.io.listing import MANIFEST_SUFFIXES

    paths = [Path(tiles.absolute_path(path)) for path in options.cutouts]
    return [path for path in paths if path.suffix.lower() in MANIFEST_SUFFIXES]
