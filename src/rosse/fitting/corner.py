"""Corner plot of posterior samples: each parameter, and each pair with the regions that hold 39 and 86 %."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from rosse.errors import InputError, OptionError, unknown_name
from rosse.fitting.uncertainty import as_columns_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rosse.fitting.sampling import Samples

Floats = NDArray[np.float64]
INK, MODEL = "#1b1e28", "#d1495b"  # as in the figure of a fit
BINS = 28
LEVELS = (0.393, 0.865)  # what lies within one and two sigma of a Gaussian in a plane


def plot_corner(samples: Samples, row: int = 0, *, names: tuple[str, ...] = ()) -> Figure:
    """Corner plot of one galaxy, with the fit's own value as a line.

    Parameters
    ----------
    samples : the draws.
    row : which of the sampled galaxies.
    names : columns to show; those that vary if none are named.
    """
    from matplotlib.figure import Figure

    if not -len(samples) <= row < len(samples):
        raise InputError(f"row {row} came; {len(samples)} galaxies were sampled, 0 to {len(samples) - 1}")
    values = {name: each[row] for name, each in samples.values().items()}
    for name in names:
        if name not in values:
            raise OptionError(unknown_name("parameter", name, values))
    names = names or _worth_showing(values)
    best, units = _best(samples, row)
    figure = Figure(figsize=(max(3.2, 1.55 * len(names)),) * 2, layout="constrained")
    title = str(samples.fit.cutouts.id[samples.index[row]])
    if not names:
        figure.suptitle(f"{title}: no samples", fontsize=10, color=INK)
        return figure
    axes: Any = figure.subplots(len(names), len(names), squeeze=False)
    for i, down in enumerate(names):
        for j, across in enumerate(names):
            axis = axes[i, j]
            if j > i:
                axis.set_visible(False)
                continue
            if i == j:
                _one(axis, values[down], best[down])
                axis.set_title(
                    _summary(down, values[down]), fontsize=8, color=INK, loc="right"
                )  # the last one has no room to its right
            else:
                _two(axis, values[across], values[down])
                axis.plot(best[across], best[down], "+", color=MODEL, ms=9, mew=1.4)
            _label(
                axis, _with_unit(across, units), _with_unit(down, units), bottom=i == len(names) - 1, left=j == 0 < i
            )
    figure.suptitle(title, fontsize=10, x=0.98, ha="right", color=INK)
    return figure


def _worth_showing(values: dict[str, Floats]) -> tuple[str, ...]:
    """Parameters that vary; magnitudes instead of fluxes, and no fractions, which follow from them."""
    vary = [name for name, each in values.items() if np.isfinite(each).all() and np.ptp(each) > 0]
    with_mag = {name.replace("mag", "flux") for name in vary if "mag" in name}
    return tuple(name for name in vary if name not in with_mag and "fraction" not in name)


def _best(samples: Samples, row: int) -> tuple[dict[str, float], dict[str, str]]:
    entries = as_columns_of(samples.fit)
    at = samples.index[row]
    return {k: float(v[at]) for k, (_, v) in entries.items()}, {k: c.unit for k, (c, _) in entries.items()}


def _one(axis: Any, values: Floats, best: float) -> None:
    axis.hist(values, bins=BINS, range=_span(values), histtype="stepfilled", color="#c9ced9", edgecolor=INK, lw=1)
    for percent, style in ((15.865, ":"), (50, "--"), (84.135, ":")):
        axis.axvline(float(np.percentile(values, percent)), color=INK, ls=style, lw=0.9)
    axis.axvline(best, color=MODEL, lw=1.2)
    axis.set_xlim(_span(values))
    axis.set_yticks([])


def _two(axis: Any, x: Floats, y: Floats) -> None:
    spans = [_span(x), _span(y)]
    counts, x_edges, y_edges = np.histogram2d(x, y, bins=BINS, range=spans)
    smooth = gaussian_filter(counts.T, 1.0)
    ordered = np.sort(smooth.ravel())[::-1]
    held = np.cumsum(ordered) / max(ordered.sum(), 1e-300)
    heights = sorted({float(ordered[min(int(np.searchsorted(held, level)), ordered.size - 1)]) for level in LEVELS})
    middle = [0.5 * (edges[1:] + edges[:-1]) for edges in (x_edges, y_edges)]
    top = float(smooth.max())
    if heights and heights[0] > 0 and heights[-1] < top:
        axis.contourf(*middle, smooth, levels=[*heights, top], colors=["#dfe2ea", "#9aa3b8"][-len(heights) :])
        axis.contour(*middle, smooth, levels=heights, colors=INK, linewidths=0.8)
    else:
        axis.plot(x, y, ",", color=INK)
    axis.set_xlim(spans[0])
    axis.set_ylim(spans[1])


def _span(values: Floats) -> tuple[float, float]:
    """What holds nearly all draws; wide enough to be drawn."""
    low, high = np.percentile(values, (0.1, 99.9))
    pad = max(0.08 * (high - low), 1e-9 * max(abs(low), abs(high), 1e-300))
    return float(low - pad), float(high + pad)


def _label(axis: Any, across: str, down: str, *, bottom: bool, left: bool) -> None:
    axis.tick_params(labelsize=7, labelbottom=bottom, labelleft=left)
    if bottom:
        axis.set_xlabel(across, fontsize=8, color=INK)
        axis.tick_params(axis="x", labelrotation=45)
    if left:
        axis.set_ylabel(down, fontsize=8, color=INK)


def _with_unit(name: str, units: dict[str, str]) -> str:
    return f"{name} ({units[name]})" if units[name] else name


def _summary(name: str, values: Floats) -> str:
    low, middle, high = np.percentile(values, (15.865, 50, 84.135))
    width = max(0.5 * (high - low), 1e-300)
    digits = min(max(0, 1 - math.floor(math.log10(width))), 6)
    return f"{name} = {middle:.{digits}f} +{high - middle:.{digits}f} −{middle - low:.{digits}f}"
