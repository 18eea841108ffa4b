"""Galaxies as subjects for Zooniverse: pictures and the manifest that its uploader reads; the way back is by `id`.

`rosse.votes.zooniverse.read_classifications(export, tree, id="id")` reads the votes on them.
"""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rosse.cutouts import Cutouts
from rosse.errors import FileError, OptionError
from rosse.io.gallery import Gallery
from rosse.io.loading import Broken
from rosse.nets.checkpoints import write_whole
from rosse.nets.preparing import Images, is_picture
from rosse.sky.pictures import colour_pictures
from rosse.votes.acquiring import Acquisition
from rosse.votes.seeing import as_images

SIDE = 424  # pixels: that of Galaxy Zoo's pictures
LARGEST = 1_000_000  # bytes of a subject that Zooniverse takes
MANIFEST = "manifest.csv"
# Zooniverse shows no column that begins with # or //, and one that begins with ! only after classifying, in Talk:
# whoever knows a galaxy's place could look it up first.
HIDDEN, LATER = "#", "!"


def write_subjects(
    folder: str | Path, images: Cutouts | Images | str | Path, acquisition: Acquisition, *, side: int = SIDE
) -> Path:
    """Write a picture of each galaxy that was chosen, and the manifest; give back the manifest's path.

    Parameters
    ----------
    folder : of both. ``panoptes subject-set upload-subjects NUMBER manifest.csv`` uploads it.
    images : that were given to `acquire`.
    acquisition : what it gave.
    side : of the pictures, pixels; smaller cutouts are enlarged. Colour pictures stay what they are otherwise, images
        in units of flux are coloured as by `rosse.sky.pictures.colour_pictures`, north up as in the cutout.

    Notes
    -----
    Columns: ``filename``; ``!id``, ``!ra`` and ``!dec`` (degrees) are shown in Talk only, ``#rank``, ``#strategy`` and
    ``#weights`` nowhere. Subjects are in the order of a permutation, so that who classifies them in order does not see
    the most difficult ones first.
    """
    if side < 16:
        raise OptionError(f"side is {side}; 16 pixels or more are wanted")
    place, source = Path(folder), as_images(images)
    place.mkdir(parents=True, exist_ok=True)
    names = _file_names(acquisition.id)
    order = np.random.default_rng(acquisition.how.seed).permutation(len(acquisition))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["filename", *(LATER + n for n in ("id", "ra", "dec")),
                     *(HIDDEN + n for n in ("rank", "strategy", "weights"))])  # fmt: skip
    for i in order:
        write_whole(place / names[i], _png(_one(source, int(acquisition.row[i])), side))
        where = ["" if math.isnan(x[i]) else f"{x[i]:.6f}" for x in (acquisition.ra, acquisition.dec)]
        about = [i + 1, acquisition.how.strategy, acquisition.model]
        writer.writerow([names[i], acquisition.id[i], *where, *about])
    write_whole(place / MANIFEST, text.getvalue().encode())
    return place / MANIFEST


def _file_names(ids: NDArray[np.str_]) -> list[str]:
    """One name for each galaxy, without folders and characters that file systems or uploaders refuse."""
    plain = [re.sub(r"[^A-Za-z0-9.+-]+", "_", str(name)).strip("._") or "galaxy" for name in ids]
    lower = [name.lower() for name in plain]
    return [f"{name}{f'-{i}' if lower.count(name.lower()) > 1 else ''}.png" for i, name in enumerate(plain)]


def _one(source: Images, row: int) -> NDArray[np.uint8]:
    """Picture (H, W, 3) of a row."""
    where = np.array([row])
    found: Any = source.each(where)[0] if isinstance(source, Gallery) else source.batch(where)
    if isinstance(found, Broken):
        raise FileError(f"image {found.id} can no longer be read: {found.reason}")
    if not is_picture(found):
        return np.asarray(colour_pictures(found)[0])
    upright = found.flux[0].flip(1)  # the first row of pixels is the lowest, that of a picture the highest
    pixels = upright.clamp(0, 255).round().permute(1, 2, 0).cpu().numpy().astype(np.uint8)
    return np.asarray(pixels)


def _png(picture: NDArray[np.uint8], side: int) -> bytes:
    """PNG of at least so many pixels, enlarged evenly, and small enough for Zooniverse."""
    from PIL import Image

    image = Image.fromarray(picture)
    while True:
        grown = max(1.0, side / max(image.size))
        size = tuple(max(1, round(grown * length)) for length in image.size)
        file = io.BytesIO()
        image.resize(size, Image.Resampling.BICUBIC).save(file, format="PNG", optimize=True)  # type: ignore[arg-type]
        if len(file.getvalue()) <= LARGEST:
            return file.getvalue()
        side = round(0.8 * max(size))
        image.thumbnail((side, side))
