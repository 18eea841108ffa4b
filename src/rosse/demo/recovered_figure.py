"""A figure of recovered against true: values, differences and pulls of each quantity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rosse.demo.figure_style import GREY, INK, save, style
from rosse.demo.recovery import Quantity, Recovery

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "viridis_r"
PULLS = np.arange(-5, 5.01, 0.5)


def recovered_figure(recoveries: Sequence[Recovery], path: str | Path, *, title: str = "", caption: str = "") -> Path:
    """One column per quantity: fitted against true, their difference, and the histogram of pulls.

    Parameters
    ----------
    recoveries : the quantities, all of the same galaxies.
    path : PNG or PDF file to write.
    title, caption : lines above and below.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(12.2, 8.1), dpi=170)
        grid = figure.add_gridspec(
            3, len(recoveries), height_ratios=(3, 1.3, 1.9), hspace=0.0,
            left=0.062, right=0.925, top=0.915, bottom=0.105, wspace=0.31,
        )  # fmt: skip
        snr = recoveries[0].snr
        norm = LogNorm(*((snr.min(), max(snr.max(), 1.01 * snr.min())) if len(snr) else (1, 10)))
        for k, recovery in enumerate(recoveries):
            lower = grid[2, k].subgridspec(2, 1, height_ratios=(0.28, 1), hspace=0)
            values, difference, pulls = (figure.add_subplot(cell) for cell in (grid[0, k], grid[1, k], lower[1]))
            _values(values, recovery, norm)
            _difference(difference, values, recovery, norm)
            _pulls(pulls, recovery)
            for axis in (values, difference, pulls):
                axis.yaxis.set_label_coords(-0.21, 0.5)
        _frame(figure, norm, title, caption)
        return save(figure, path)


def _values(axis: Axes, recovery: Recovery, norm: Any) -> None:
    """Fitted against true with error bars on the line of equality."""
    quantity = recovery.quantity
    axis.set_ylabel(f"fitted {_label(recovery)}")
    axis.tick_params(labelbottom=False)
    if not len(recovery.true):
        return
    ends = _ends(recovery)
    if quantity.relative:
        axis.set_xscale("log")
        axis.set_yscale("log")
    axis.plot(ends, ends, color=GREY, linewidth=0.8, zorder=1)
    _points(axis, recovery, recovery.fitted, recovery.sigma, norm)
    axis.set_xlim(*ends)
    axis.set_ylim(*ends)
    if quantity.relative:
        _plain_ticks(axis.xaxis, ends)
        _plain_ticks(axis.yaxis, ends)
    summary = recovery.summary()
    text = f"median {_signed(summary['offset'], quantity)}\nscatter {_signed(summary['scatter'], quantity).lstrip('+')}"
    axis.text(0.95, 0.05, text, transform=axis.transAxes, va="bottom", ha="right", linespacing=1.4)


def _signed(value: float, quantity: Quantity) -> str:
    text = f"{100 * value:+.1f} %" if quantity.relative else f"{value:+.3f} {quantity.unit}".strip()
    return text.replace("-", "−")


def _difference(axis: Axes, above: Axes, recovery: Recovery, norm: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    relative = recovery.quantity.relative
    axis.set_xlabel(f"true {_label(recovery)}")
    axis.set_ylabel("Δ / true" if relative else "Δ")
    if not len(recovery.true):
        return
    if relative:
        axis.set_xscale("log")
    axis.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    sigma = recovery.sigma / (recovery.true if relative else 1.0)
    _points(axis, recovery, recovery.difference, sigma, norm)
    reach = 1.15 * max(float(np.percentile(np.abs(recovery.difference), 97)), 1e-6)
    axis.set_ylim(-reach, reach)
    axis.yaxis.set_major_locator(MaxNLocator(5, symmetric=True, prune="both"))
    axis.set_xlim(above.get_xlim())
    if relative:
        _plain_ticks(axis.xaxis, above.get_xlim())


def _pulls(axis: Axes, recovery: Recovery) -> None:
    """Histogram of pulls; those beyond the last edge are counted in the last bin."""
    from matplotlib.ticker import MaxNLocator

    axis.set_xlabel(f"Δ / σ   of {recovery.quantity.label}")
    axis.set_ylabel("galaxies")
    axis.set_xlim(-5, 5)
    pull = recovery.pull[np.isfinite(recovery.pull)]
    if not len(pull):
        return
    axis.hist(np.clip(pull, -4.99, 4.99), bins=PULLS.tolist(), color="#9db8d2", edgecolor="white", linewidth=0.6)
    x = np.linspace(-5, 5, 201)
    curve = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * len(pull) * (PULLS[1] - PULLS[0])
    axis.plot(x, curve, color=INK, linewidth=1.1)
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.set_ylim(0, 1.38 * max(curve.max(), axis.get_ylim()[1] / 1.05))
    summary = recovery.summary()
    if summary["pull_width"] is None:
        return
    text = f"mean {summary['pull_mean']:+.2f}   width {summary['pull_width']:.2f}".replace("-", "−")
    axis.text(0.04, 0.94, text, transform=axis.transAxes, va="top", fontsize=8)
    if summary["beyond"]:
        text = f"{summary['beyond']} beyond 5σ"
        axis.text(0.04, 0.83, text, transform=axis.transAxes, va="top", fontsize=7.5, color=GREY)


def _points(axis: Axes, recovery: Recovery, y: Any, sigma: Any, norm: Any) -> None:
    order = np.argsort(recovery.snr)  # the best on top
    x, y, sigma = recovery.true[order], y[order], np.nan_to_num(sigma[order])
    axis.errorbar(x, y, yerr=sigma, fmt="none", ecolor="#9a9a9a", elinewidth=0.6, zorder=2)
    axis.scatter(x, y, c=recovery.snr[order], norm=norm, cmap=COLOURS, s=15, edgecolor="white", linewidth=0.3, zorder=3)


def _ends(recovery: Recovery) -> tuple[float, float]:
    both = np.concatenate([recovery.true, recovery.fitted])
    low, high = float(both.min()), float(both.max())
    if recovery.quantity.relative:
        low = max(low, 1e-3)
        return low / 1.25, high * 1.25
    room = 0.07 * max(high - low, 1e-3)
    return low - room, high + room


def _plain_ticks(axis: Any, ends: tuple[float, float]) -> None:
    """1, 2, 5, 10 and not powers of ten on a logarithmic axis of one or two decades."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ticks = [m * 10.0**e for e in range(-3, 4) for m in (1, 2, 5) if ends[0] <= m * 10.0**e <= ends[1]]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _label(recovery: Recovery) -> str:
    quantity = recovery.quantity
    return quantity.label + (f" [{quantity.unit}]" if quantity.unit else "")


def _frame(figure: Figure, norm: Any, title: str, caption: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    bar = figure.add_axes((0.945, 0.46, 0.011, 0.455))
    colours = figure.colorbar(ScalarMappable(norm, COLOURS), cax=bar)
    colours.set_label("S/N of the flux in $r$", labelpad=2)
    bar.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    bar.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    bar.yaxis.set_minor_formatter(NullFormatter())
    bar.tick_params(labelsize=7.5)
    if title:
        figure.text(0.06, 0.955, title, fontsize=12, weight="bold", va="center")
    if caption:
        figure.text(0.06, 0.022, caption, fontsize=7.8, color=GREY, va="center")
