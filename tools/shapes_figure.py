"""Draw docs/images/shapes.png: what `Shapes.plot` shows of a merger of the virtual sky.

    python tools/shapes_figure.py docs/images/shapes.png

The first merger of a population that is large enough to show what it is and that S(G, M20) calls one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import rosse


def main() -> None:
    """Write the figure."""
    mergers = rosse.Population(30, seed=7, mix={"merger": 1.0}, limit=17.0)
    seen = rosse.observe(mergers, "decals", bands=("r",), frame=128)
    shapes = rosse.measure_shapes(seen.cutouts, draws=10)
    large = (shapes.values["r_petro"] > 14) & (shapes.status == rosse.Status.OK)
    row = int(np.flatnonzero(large & (shapes.values["gini_m20_merger"] > 0))[0])
    shapes.plot(row).savefig(Path(sys.argv[1]), dpi=100)


if __name__ == "__main__":
    main()
