"""The images of a run with the maps and PSFs that belong to each."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosse.cli.options import RunOptions
from rosse.errors import InputError, OptionError

if TYPE_CHECKING:
    from rosse.io import FieldPsf, Mosaic
    from rosse.pipeline.config import Files

MAPS = ("sigma", "variance", "ivar", "weight", "mask")
OPENING = ("survey", "extension", "scale", "zeropoint", "gain", "saturation", "mask_kind", "mask_bits")


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """An image and what came with it.

    Parameters
    ----------
    image : path, or band → path.
    maps : ``sigma``, ``mask`` and so on → path, band → path, or a number.
    psf : path or band → path; None: to be built from the stars.
    has_psf : False: fitted without one.
    """

    image: Files
    maps: Mapping[str, Files | float]
    psf: Files | None = None
    has_psf: bool = True

    @property
    def files(self) -> list[Path]:
        """Every file of the tile."""
        from rosse.io.choose import split_name

        values = [self.image, *self.maps.values(), *([] if self.psf is None else [self.psf])]
        names = [n for v in values if not isinstance(v, float) for n in (v.values() if isinstance(v, Mapping) else [v])]
        return [Path(split_name(os.path.expanduser(name))[0]) for name in names]


def tiles_of(options: RunOptions) -> list[Tile]:
    """One tile per image, templates filled in."""
    by_band = isinstance(options.bands, dict)
    if by_band and options.images:
        raise OptionError("give images, or a file for each band with --bands g=a.fits,r=b.fits, not both")
    images: Sequence[Files] = [options.bands] if isinstance(options.bands, dict) else options.images
    if not images:
        raise OptionError("no image came; give at least one, or a file for each band with --bands g=a.fits,r=b.fits")
    _refuse_folders(options.images)
    given = {name: getattr(options, name) for name in MAPS if getattr(options, name) is not None}
    for name, value in given.items():
        if len(images) > 1 and not isinstance(value, float) and not _is_template(value):
            raise OptionError(
                f"--{name} is one file for {len(images)} images; give a template such as '{{name}}_{name}.fits'"
            )
    psf = None if options.psf == "stars" else options.psf
    return [
        Tile(
            image=absolute(image),
            maps={name: value if isinstance(value, float) else _filled(value, image) for name, value in given.items()},
            psf=None if psf is None or psf == "none" else _filled(psf, image),
            has_psf=psf != "none",
        )
        for image in images
    ]


def _refuse_folders(images: Sequence[str]) -> None:
    folder = next((image for image in images if os.path.isdir(os.path.expanduser(image))), None)
    if folder is not None:
        place = folder.rstrip("/") or folder
        raise OptionError(
            f"{folder} is a folder, an image is wanted; rosse run {place}/*.fits takes its images as tiles of one "
            f"survey, rosse fit {place} its files as cutouts of single galaxies"
        )


def open_tiles(options: RunOptions, tiles: Sequence[Tile]) -> list[Mosaic]:
    """Mosaics with different names."""
    from rosse.io import open_mosaic

    about: dict[str, Any] = {name: getattr(options, name) for name in OPENING}
    if isinstance(options.bands, tuple):
        about["bands"] = options.bands
    return _named_apart([open_mosaic(tile.image, **(about | dict(tile.maps))) for tile in tiles], tiles)


def read_psfs(tiles: Sequence[Tile], mosaics: Sequence[Mosaic]) -> list[FieldPsf | None] | None:
    """PSF of each tile; None where they are to be built from the stars."""
    from rosse.io import read_psf

    if all(tile.has_psf and tile.psf is None for tile in tiles):
        return None
    return [
        read_psf(tile.psf).select(mosaic.bands) if tile.psf is not None else None
        for tile, mosaic in zip(tiles, mosaics, strict=True)
    ]


def record_of(options: Any, names: Iterable[str]) -> dict[str, Any]:
    """Options as they are recorded: paths by their last part, so that a run may be gone on with from elsewhere."""
    return {name: _last_part(getattr(options, name)) for name in names}


def absolute(value: Files) -> Files:
    """Paths that mean the same to a worker with another working directory."""
    return {b: absolute_path(path) for b, path in value.items()} if isinstance(value, Mapping) else absolute_path(value)


def absolute_path(path: str) -> str:
    """The same for one path."""
    return os.path.abspath(os.path.expanduser(path))


def _last_part(value: Any) -> Any:
    if isinstance(value, str):
        return value.rstrip("/").rpartition("/")[2]
    if isinstance(value, Mapping):
        return {key: _last_part(item) for key, item in value.items()}
    return [_last_part(item) for item in value] if isinstance(value, (list, tuple)) else value


def _is_template(value: Files) -> bool:
    texts = value.values() if isinstance(value, Mapping) else [value]
    return all("{name}" in text or "{image}" in text for text in texts)


def _filled(value: Files, image: Files) -> Files:
    """A template's file for an image: ``{image}`` is its path, ``{name}`` its name; relative to the image's folder."""
    if isinstance(value, Mapping):
        return {band: str(_filled(text, image[band] if isinstance(image, Mapping) and band in image else image))
                for band, text in value.items()}  # fmt: skip
    path = next(iter(image.values())) if isinstance(image, Mapping) else image
    if not _is_template(value):
        return absolute(value)
    name = re.sub(r"(\.fits?|\.fts|\.npy|\.npz)?(\.fz|\.gz|\.bz2)?(\[.*\])?$", "", Path(path).name, flags=re.IGNORECASE)
    filled = value.replace("{image}", path).replace("{name}", name)
    return absolute(filled if "{image}" in value else os.path.join(os.path.dirname(path), filled))


def _named_apart(mosaics: Sequence[Mosaic], tiles: Sequence[Tile]) -> list[Mosaic]:
    """Ids begin with the mosaic's name: equal ones get the name of their folder as well."""
    count = Counter(mosaic.name for mosaic in mosaics)
    named = [
        mosaic
        if count[mosaic.name] == 1
        else replace(mosaic, name=f"{tile.files[0].resolve().parent.name}_{mosaic.name}")
        for mosaic, tile in zip(mosaics, tiles, strict=True)
    ]
    again = Counter(mosaic.name for mosaic in named)
    twice = [name for name, n in again.items() if n > 1]
    if twice:
        raise InputError(
            f"several images are called {twice[0]}; the ids of their sources would be the same: rename one"
        )
    return named
