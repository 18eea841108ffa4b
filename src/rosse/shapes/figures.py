"""What was measured of a galaxy: segment and radii, asymmetry residual, maps, and its place among Gini and M20."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.errors import InputError
from rosse.shapes.columns import in_units
from rosse.shapes.measure import measure
from rosse.shapes.segment import OTHER, TARGET
from rosse.shapes.stamps import Stamps, cut, extents
from rosse.shapes.turned import Flipped, Holes
from rosse.status import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rosse.shapes.result import Shapes

Pixels = NDArray[np.float64]
INK, SOFT = "#22222a", "#6b6b76"
SEGMENT, RADIUS, ELLIPSE, OTHERS = "#d1495b", "#2b6cb0", "#e08e0b", "#8a8a94"
MAPS = {"gini": ("G, M20", ELLIPSE), "shape": ("shape", RADIUS), "mid": ("MID", SEGMENT)}
CAPTION = {"r_petro": "r_petro", "concentration": "C", "asymmetry": "A", "smoothness": "S", "gini": "G", "m20": "M20"}
WITHOUT = "#e3e3ea"  # pixels without weight
# Lotz et al. (2008, ApJ 672, 177), eq. 4: mergers above the first line; ellipticals above the second, to the left.
MERGER, EARLY = (-0.14, 0.33), (0.14, 0.80)
REGIONS = {"mergers": "#f6dfe2", "E / S0 / Sa": "#fbeed6", "Sb to Irr": "#dfeaf5"}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Galaxy:
    """Stamp, residual and maps of one galaxy; positions and lengths are pixels of the stamp."""

    image: Pixels
    residual: Pixels
    segment: Pixels
    others: Pixels
    maps: dict[str, Pixels]
    values: dict[str, float]
    noise: float


def plot_shapes(shapes: Shapes, row: int = 0) -> Figure:
    """Figure of one galaxy: four panels.

    Parameters
    ----------
    shapes : the result.
    row : which galaxy.
    """
    from matplotlib.figure import Figure

    if not -len(shapes) <= row < len(shapes):
        raise InputError(f"row {row} came; the shapes are of {len(shapes)} galaxies, 0 to {len(shapes) - 1}")
    row = row % len(shapes)
    figure: Any = Figure(figsize=(14.0, 4.3), layout="constrained")
    axes = figure.subplots(1, 4, width_ratios=[1, 1.0, 1, 1.15])
    galaxy = _galaxy(shapes, row)
    if galaxy is None:
        _empty(axes, shapes, row)
    else:
        _image(axes[0], galaxy)
        _residual(figure, axes[1], galaxy, shapes.options.extent_cas)
        _maps(axes[2], galaxy)
    _plane(axes[3], shapes, row)
    figure.suptitle(_caption(shapes, row), fontsize=11, x=0.01, ha="left", color=INK)
    return figure  # type: ignore[no-any-return]


def _galaxy(shapes: Shapes, row: int) -> _Galaxy | None:
    cutouts, options = shapes.cutouts, shapes.options
    flux, ivar = (t[row : row + 1, shapes.band] for t in (cutouts.flux, cutouts.ivar))
    labels = shapes.segments[row : row + 1].long()
    first, size = extents(labels == TARGET, factor=options.stamp, minimum=options.stamp_minimum)
    if not int(size.max()):
        return None
    side = int(size.max())
    stamps = cut(flux, ivar, labels, first=first, size=size, side=side, outlier=options.outlier)
    values, maps = measure(stamps, options)
    height, width = int(size[0, 1]), int(size[0, 0])
    centre = torch.stack([values["x"], values["y"]], 1)
    residual = _turned(stamps, centre) if bool(torch.isfinite(centre).all()) else stamps.image[0] * math.nan
    bad, unit = stamps.bad[0].cpu().numpy(), float(stamps.unit[0])
    y0, x0 = int(first[0, 1]), int(first[0, 0])
    others = (labels[0, y0 : y0 + height, x0 : x0 + width] == OTHER).cpu().numpy()
    weight = ivar[ivar > 0]
    return _Galaxy(
        image=np.where(bad, np.nan, unit * stamps.image[0].cpu().numpy())[:height, :width],
        residual=np.where(bad, np.nan, unit * residual.cpu().numpy())[:height, :width],
        segment=stamps.segment[0, :height, :width].cpu().numpy().astype(float),
        others=others.astype(float),
        maps={name: m[0, :height, :width].cpu().numpy().astype(float) for name, m in maps.items()},
        values={name: float(v[0]) for name, v in values.items()},
        noise=1 / math.sqrt(float(weight.median())) if len(weight) else 1.0,
    )


def _turned(stamps: Stamps, centre: Tensor) -> Tensor:
    """Image (N, N) minus itself turned about its centre (1, 2); NaN where one of the two has no data."""
    rows, first = torch.zeros(1, dtype=torch.long, device=centre.device), torch.zeros_like(centre, dtype=torch.long)
    back = Flipped.of(stamps.image).about(centre, rows, first, stamps.image.shape[1])
    both = (~stamps.bad).to(back.dtype)
    Holes.of(stamps.bad & stamps.inside).cut_out(both, centre, rows, first)
    return torch.where(both > 0, stamps.image - back, math.nan)[0]


def _image(axis: Axes, galaxy: _Galaxy) -> None:
    """Image with the segment, Petrosian and half-light circles and ellipses."""
    top = float(np.nanmax(galaxy.image)) if np.isfinite(galaxy.image).any() else 1.0
    scaled = np.arcsinh(galaxy.image / (2 * galaxy.noise))
    _show(axis, scaled, "segment and radii", (-1.0, float(np.arcsinh(max(top, 1e-30) / (2 * galaxy.noise)))))
    _outline(axis, galaxy.segment, SEGMENT)
    _outline(axis, galaxy.others, OTHERS)
    v = galaxy.values
    angle, q = math.degrees(v["theta"]), 1 / v["elongation"] if v["elongation"] >= 1 else math.nan
    for radius, ratio, colour, style, name in (
        (v["r_petro"], 1.0, RADIUS, "-", "r_petro"),
        (v["r50"], 1.0, RADIUS, (0, (1, 1)), "r50"),
        (v["a_petro"], q, ELLIPSE, "-", "a_petro"),
    ):
        _ellipse(axis, (v["x"], v["y"]), (radius, radius * ratio, angle), color=colour, ls=style, label=name)
    axis.plot([], [], color=SEGMENT, lw=1.4, label="segment")
    axis.plot([v["x"]], [v["y"]], "+", color="white", ms=8, mew=2.6)
    axis.plot([v["x"]], [v["y"]], "+", color=RADIUS, ms=7, mew=1.4)
    _legend(axis)


def _ellipse(axis: Axes, centre: tuple[float, float], size: tuple[float, float, float], **look: Any) -> None:
    """Ellipse of semi-axes and angle (degrees) with a light rim, so that it is seen on bright and on dark pixels."""
    from matplotlib.patches import Ellipse
    from matplotlib.patheffects import Normal, Stroke

    if all(map(math.isfinite, (*centre, *size))):
        rim = [Stroke(linewidth=2.8, foreground="white", alpha=0.75), Normal()]
        a, b, angle = size
        axis.add_patch(Ellipse(centre, 2 * a, 2 * b, angle=angle, fill=False, lw=1.4, path_effects=rim, **look))


def _residual(figure: Any, axis: Axes, galaxy: _Galaxy, extent: float) -> None:
    """Image minus itself turned by 180 degrees, in units of the noise, with the aperture of asymmetry."""
    v, shown = galaxy.values, _show(axis, galaxy.residual / galaxy.noise, "image - turned image", (-5, 5), "RdBu_r")
    radius = extent * v["r_petro"]
    _ellipse(axis, (v["x"], v["y"]), (radius, radius, 0.0), color=SOFT, ls="--", label="aperture of A")
    axis.plot([v["x"]], [v["y"]], "+", color=INK, ms=7, mew=1.2)
    bar = figure.colorbar(shown, ax=axis, shrink=0.8, pad=0.02, extend="both")
    bar.set_label("noise of a pixel", fontsize=8, color=SOFT)
    bar.ax.tick_params(labelsize=8, colors=SOFT)
    bar.outline.set_visible(False)
    _legend(axis)


def _maps(axis: Axes, galaxy: _Galaxy) -> None:
    """Where Gini and M20, shape asymmetry, and multimode, intensity and deviation are measured."""
    scaled = np.arcsinh(galaxy.image / (2 * galaxy.noise))
    _show(axis, scaled, "maps", (-1.0, float(np.nanmax(scaled, initial=1.0))))
    for name, (label, colour) in MAPS.items():
        _outline(axis, galaxy.maps[name], colour)
        axis.plot([], [], color=colour, lw=1.4, label=label)
    _legend(axis)


def _legend(axis: Axes) -> None:
    """Below a panel, so that it hides no pixels."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=4, fontsize=8, frameon=False,
                    handlelength=1.3, columnspacing=1.0, handletextpad=0.4, labelcolor=SOFT)  # fmt: skip


def _plane(axis: Axes, shapes: Shapes, row: int) -> None:
    """The galaxy, and the others of the batch, among Gini and M20."""
    g, m = shapes.values["gini"], shapes.values["m20"]
    low, high = min(0.35, float(np.nanmin(g, initial=0.4))) - 0.02, max(0.7, float(np.nanmax(g, initial=0.6))) + 0.03
    bright = min(-3.0, float(np.nanmin(m, initial=0.0)) - 0.1)
    _classes(axis, bright, (low, high))
    axis.plot(m, g, ".", color="#9aa0ab", ms=4, mew=0)
    if math.isfinite(g[row] * m[row]):
        error = {} if shapes.sigma is None else {"xerr": shapes.sigma["m20"][row], "yerr": shapes.sigma["gini"][row]}
        axis.errorbar(m[row], g[row], **error, fmt="o", color=SEGMENT, ms=8, mec="white", mew=1.2, capsize=0, lw=1.4)
    axis.set_xlim(0.0, bright)
    axis.set_ylim(low, high)
    axis.set_title("Gini and M20", fontsize=10, color=INK)
    axis.set_xlabel("M20", fontsize=9, color=INK)
    axis.set_ylabel("Gini", fontsize=9, color=INK)
    axis.tick_params(labelsize=8, colors=SOFT)
    for spine in axis.spines.values():
        spine.set_color("#c9c9d2")


def _classes(axis: Axes, bright: float, heights: tuple[float, float]) -> None:
    """The lines of Lotz et al. (2008), and the classes between them."""
    low, high = heights
    corner = (MERGER[1] - EARLY[1]) / (EARLY[0] - MERGER[0])
    m, early = np.array([0.0, corner, bright]), np.array([corner, bright])
    merger, line = MERGER[0] * m + MERGER[1], EARLY[0] * early + EARLY[1]
    axis.fill_between(m, merger, max(high, merger.max()), color=REGIONS["mergers"], lw=0)
    axis.fill_between(early, line, merger[1:], color=REGIONS["E / S0 / Sa"], lw=0)
    axis.fill_between(np.array([0.0, *early]), low, np.array([merger[0], *line]), color=REGIONS["Sb to Irr"], lw=0)
    axis.plot(m, merger, color=INK, lw=1.1)
    axis.plot(early, line, color=INK, lw=1.1, ls=(0, (4, 2)))
    places = {"mergers": (0.06, 0.94, "left"), "E / S0 / Sa": (0.97, 0.5, "right"), "Sb to Irr": (0.97, 0.05, "right")}
    for text, (x, y, side) in places.items():
        axis.text(x, y, text, transform=axis.transAxes, fontsize=9, color=SOFT, ha=side, va="center", style="italic")


def _show(axis: Axes, pixels: Pixels, title: str, span: tuple[float, float], cmap: str = "gray_r") -> Any:
    shown = axis.imshow(pixels, origin="lower", interpolation="nearest", vmin=span[0], vmax=span[1], cmap=cmap)
    axis.set_title(title, fontsize=10, color=INK)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_facecolor(WITHOUT)
    axis.autoscale(False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return shown


def _outline(axis: Axes, mask: Pixels, colour: str) -> None:
    """Edge of a map, drawn where it meets the edge of the stamp as well."""
    if mask.sum() > 0:
        edge = np.pad(mask, 1)
        line = np.arange(-1, len(mask[0]) + 1), np.arange(-1, len(mask) + 1)
        axis.contour(*line, edge, levels=[0.5], colors=[colour], linewidths=1.2)


def _empty(axes: Any, shapes: Shapes, row: int) -> None:
    flux, ivar = (t[row, shapes.band].cpu().numpy() for t in (shapes.cutouts.flux, shapes.cutouts.ivar))
    pixels = np.where(ivar > 0, flux, np.nan)
    spread = float(np.nanstd(pixels)) if np.isfinite(pixels).any() else 1.0
    for axis in axes[:3]:
        _show(axis, pixels, "", (-3 * spread, 3 * spread))
    axes[0].set_title("no source at the centre", fontsize=10, color=INK)


def _caption(shapes: Shapes, row: int) -> str:
    parts = [str(shapes.cutouts.id[row])]
    for name, text in CAPTION.items():
        value, factor, unit = in_units(shapes, name)
        sigma = "" if shapes.sigma is None else f" ± {float((shapes.sigma[name] * factor)[row]):.2g}"
        sign = "″" if unit == "arcsec" else f" {unit}" if unit else ""
        parts.append(f"{text} = {float(value[row]):.3g}{sigma}{sign}")
    parts.append(Status(int(shapes.status[row])).label)
    return "    ".join(parts)
