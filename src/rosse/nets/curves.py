"""Learning curves as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rosse.nets.training import Epoch


def plot_curves(histories: Mapping[str, Sequence[Epoch]], path: Path) -> None:
    """Losses of training and validation, epoch by epoch, one colour for each network; the best epoch has a dot.

    Parameters
    ----------
    histories : name of a network → its history.
    path : of the PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, (name, history) in enumerate(histories.items()):
        if not history:
            continue
        epochs = range(1, len(history) + 1)
        colour = f"C{number % 10}"
        valid = [each.valid for each in history]
        axes.plot(epochs, [each.train for each in history], "--", color=colour, alpha=0.6, label=f"{name}, training")
        axes.plot(epochs, valid, color=colour, label=f"{name}, validation")
        best = min(range(len(valid)), key=valid.__getitem__)
        axes.plot(best + 1, valid[best], "o", color=colour)
    axes.set(xlabel="epoch", ylabel="loss per galaxy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(histories) <= 5:
        axes.legend(fontsize="small", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
