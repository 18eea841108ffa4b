"""Draw docs/images/virtual-sky.jpg: eight types of virtual galaxies, twelve of each, as SDSS would show them.

    python tools/sky_figure.py [--out docs/images/virtual-sky.jpg]
    python tools/sky_figure.py --real DATA --out ~/beside.jpg

Each row is a type: the first twelve galaxies of a population that are larger than the seeing by enough to show what
they are, none chosen by eye. Each picture is cut in proportion to the galaxy's size, as in Galaxy Zoo.

With `--real`, each row has one of real galaxies beneath it: the first twelve of the type in EFIGI (Baillard+2011), and
of the mergers in Galaxy Zoo 1, from the folder with `efigi` and `gz1-sdss`. These pictures belong to others, so that
sheet is not written into the repository.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import rosse
from rosse.sky.columns import TYPES
from rosse.sky.photometry import kpc_per_arcsec
from rosse.sky.pictures import colour_pictures

ROOT = Path(__file__).resolve().parents[1]
COLUMNS, SIDE, FRAME = 12, 110, 256  # pictures in a row, pixels of each, pixels observed
LABEL = 120  # pixels for the name of the type
SCALE = 0.396  # arcsec per pixel
LARGE = 5.5  # arcsec, half-light semi-major axis of the smallest galaxies shown
REACH = {"merger": 5.5}  # half-light radii from the centre to the edge of a picture, where not 3.6

# Type → which galaxies of EFIGI, by Hubble stage and the attribute of inclination (1: edge-on); its few
# dwarfs are ellipticals, and galaxies of low surface brightness are none of its types.
EFIGI: dict[str, Callable[[float, float], bool]] = {
    "elliptical": lambda stage, _: stage <= -4,
    "lenticular": lambda stage, _: -3 <= stage <= -1,
    "spiral": lambda stage, inclination: 1 <= stage <= 7 and inclination < 0.75,
    "edge_on": lambda stage, inclination: 1 <= stage <= 7 and inclination >= 1,
    "irregular": lambda stage, _: stage == 10,
}


def virtual(kind: str) -> list[Image.Image]:
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
        pictures.append(Image.fromarray(pixels))
    return pictures


def real(kind: str, data: Path) -> list[Image.Image]:
    """Twelve real ones; none of a type that the lists do not have."""
    if kind == "merger":
        rows = labels(data / "gz1-sdss")
        names = [f"gz1-sdss/images/{row['objid']}.jpg" for row in rows if row["class"] == "merger"]
    elif kind in EFIGI:
        rows = labels(data / "efigi")
        fits = EFIGI[kind]
        names = [f"efigi/images/{r['pgc']}.jpg" for r in rows if fits(float(r["T"]), float(r["Inclination"]))]
    else:
        return []
    return [Image.open(data / name).convert("RGB") for name in names[:COLUMNS]]


def labels(folder: Path) -> list[dict[str, str]]:
    """Rows of a set's labels."""
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sheet(lines: list[tuple[str, list[Image.Image]]]) -> Image.Image:
    """Rows of pictures with their names."""
    out = Image.new("RGB", (LABEL + COLUMNS * SIDE, len(lines) * SIDE))
    pen = ImageDraw.Draw(out)
    for line, (name, pictures) in enumerate(lines):
        pen.text((6, line * SIDE + SIDE // 2 - 12), name.replace("_", "\n"), fill="white", font_size=18)
        for column, picture in enumerate(pictures):
            small = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            out.paste(small, (LABEL + column * SIDE, line * SIDE))
    return out


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the picture; docs/images/virtual-sky.jpg without --real")
    parser.add_argument("--real", type=Path, metavar="DATA", help="folder with efigi/ and gz1-sdss/")
    a = parser.parse_args()
    out = a.out or ROOT / "docs" / "images" / "virtual-sky.jpg"
    if a.real and out.resolve().is_relative_to(ROOT):
        parser.error(f"with --real, --out is wanted outside of {ROOT}: the real pictures are not the project's")
    if a.real and not (a.real / "efigi" / "labels.csv").is_file():
        parser.error(f"{a.real} has no efigi/labels.csv; the folder with efigi/ and gz1-sdss/ is wanted")
    lines = []
    for kind in TYPES[:8]:
        lines.append((kind, virtual(kind)))
        if a.real and (pictures := real(kind, a.real)):
            lines.append(("real", pictures))
    sheet(lines).save(out, quality=88, optimize=True)


if __name__ == "__main__":
    main()
