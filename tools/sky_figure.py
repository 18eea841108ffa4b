"""Draw docs/images/virtual-sky.jpg: eight types of virtual galaxies, twelve of each, as SDSS would show them.

    python tools/sky_figure.py docs/images/virtual-sky.jpg

Each row is a type: the first twelve galaxies of a population that are larger than the seeing by enough to show what
they are, none chosen by eye. Each picture is cut in proportion to the galaxy's size, as in Galaxy Zoo.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import rosse
from rosse.sky.columns import TYPES
from rosse.sky.photometry import kpc_per_arcsec
from rosse.sky.pictures import colour_pictures

COLUMNS, SIDE, FRAME = 12, 110, 256  # pictures in a row, pixels of each, pixels observed
LABEL = 120  # pixels for the name of the type
SCALE = 0.396  # arcsec per pixel
LARGE = 5.5  # arcsec, half-light semi-major axis of the smallest galaxies shown
REACH = {"merger": 5.5}  # half-light radii from the centre to the edge of a picture, where not 3.6


def row_of(kind: str) -> list[Image.Image]:
    """Twelve galaxies of a type."""
    nearby = rosse.Population(3000, seed=7, mix={kind: 1.0}, limit=16.5, redshift=(0.01, 0.1))
    table = nearby.table()
    size = np.asarray(table["r_e"]) / kpc_per_arcsec(np.asarray(table["z"]))
    reach = REACH.get(kind, 3.6) * size / SCALE
    rows = np.flatnonzero((size > LARGE) & (reach < FRAME / 2))[:COLUMNS]
    pictures = []
    for row in rows.tolist():
        seen = rosse.observe(nearby[row : row + 1], "sdss", bands=("g", "r", "i"), frame=FRAME)
        middle = slice(FRAME // 2 - int(reach[row]), FRAME // 2 + int(reach[row]))
        pixels = colour_pictures(seen.cutouts)[0][middle, middle]
        pictures.append(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    return pictures


def main() -> None:
    """Write the sheet."""
    kinds = TYPES[:8]
    sheet = Image.new("RGB", (LABEL + COLUMNS * SIDE, len(kinds) * SIDE))
    pen = ImageDraw.Draw(sheet)
    for line, kind in enumerate(kinds):
        pen.text((6, line * SIDE + SIDE // 2 - 12), kind.replace("_", "\n"), fill="white", font_size=18)
        for column, picture in enumerate(row_of(kind)):
            sheet.paste(picture, (LABEL + column * SIDE, line * SIDE))
    sheet.save(Path(sys.argv[1]), quality=88, optimize=True)


if __name__ == "__main__":
    main()
