"""What the figures share: type, ink, and how they are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rosse.demo.places import writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, GREY = "#1a1a1a", "#6b6b6b"

STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's settings for these figures only."""
    from matplotlib import rc_context

    with rc_context(STYLE):  # type: ignore[arg-type]  # the stubs want literal keys
        yield


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure; the format follows from the ending."""
    target = Path(path)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target)
    return target
