"""What was measured of a galaxy: segment and radii, asymmetry residual, maps, and its place among Gini and M20."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from rosse.errors import InputError
from rosse.shapes.columns import in_units
from rosse.shapes.measure import measure
from rosse.shapes.segment import OTHER, TARGET
from rosse.shapes.stamps import cut, extents
from rosse.shapes.turned import Flipped
from rosse.status import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rosse.shapes.result import Shapes

Pixels = NDArray[np.float64]
INK, SEGMENT, RADIUS, ELLIPSE = "#22222a", "#d1495b", "#2b6cb0", "#e08e0b"
CAPTION = {"r_petro": "r_petro", "concentration": "C", "asymmetry": "A", "smoothness": "S", "gini": "G", "m20": "M20"}
WITHOUT = "#d9d9e0"  # pixels without weight
# Lotz et al. (2008, ApJ 672, 177), eq. 4: mergers above the first line; ellipticals above the second, to the left.
MERGER, EARLY = (-0.14, 0.33), (0.14, 0.80)


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
    figure: Any = Figure(figsize=(13.2, 3.7), layout="constrained")
    axes = figure.subplots(1, 4, width_ratios=[1, 1, 1, 1.15])
    galaxy = _galaxy(shapes, row)
    if galaxy is None:
        _empty(axes, shapes, row)
    else:
        _image(axes[0], galaxy)
        _residual(figure, axes[1], galaxy)
        _maps(axes[2], galaxy)
    _plane(axes[3], shapes, row)
    figure.suptitle(_caption(shapes, row), fontsize=10, x=0.01, ha="left", color=INK)
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
    residual = torch.full((side, side), math.nan, dtype=stamps.image.dtype)
    if bool(torch.isfinite(centre).all()):
        rows = torch.zeros(1, dtype=torch.long, device=centre.device)
        back = Flipped.of(stamps.image).about(centre, rows, torch.zeros_like(centre, dtype=torch.long), side)
        residual = (stamps.image - back)[0]
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


def _image(axis: Axes, galaxy: _Galaxy) -> None:
    """Image with the segment, Petrosian and half-light circles and ellipses."""
    from matplotlib.patches import Ellipse

    top = float(np.nanmax(galaxy.image)) if np.isfinite(galaxy.image).any() else 1.0
    scaled = np.arcsinh(galaxy.image / (2 * galaxy.noise))
    _show(axis, scaled, "segment, radii", vmin=-1.0, vmax=float(np.arcsinh(max(top, 1e-30) / (2 * galaxy.noise))))
    _outline(axis, galaxy.segment, SEGMENT)
    _outline(axis, galaxy.others, "#8a8a94")
    v = galaxy.values
    angle, q = math.degrees(v["theta"]), 1 / v["elongation"] if v["elongation"] >= 1 else math.nan
    for radius, ratio, colour, style, name in (
        (v["r_petro"], 1.0, RADIUS, "-", "r_petro"),
        (v["r50"], 1.0, RADIUS, ":", "r50"),
        (v["a_petro"], q, ELLIPSE, "-", "a_petro"),
    ):
        if math.isfinite(radius * ratio) and math.isfinite(v["x"]):
            axis.add_patch(
                Ellipse(
                    (v["x"], v["y"]), 2 * radius, 2 * radius * ratio, angle=angle, fill=False, ec=colour, ls=style,
                    lw=1.2, label=name,
                )
            )  # fmt: skip
    axis.plot([v["x"]], [v["y"]], "+", color=RADIUS, ms=6, mew=1.2)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="upper left", fontsize=7, frameon=True, framealpha=0.85, handlelength=1.4)


def _residual(figure: Any, axis: Axes, galaxy: _Galaxy) -> None:
    shown = _show(axis, galaxy.residual / galaxy.noise, "(image - turned) / noise", vmin=-5, vmax=5, cmap="RdBu_r")
    figure.colorbar(shown, ax=axis, shrink=0.85, pad=0.02)


def _maps(axis: Axes, galaxy: _Galaxy) -> None:
    scaled = np.arcsinh(galaxy.image / (2 * galaxy.noise))
    _show(axis, scaled, "maps of G, M20 · shape · MID", vmin=-1.0, vmax=float(np.nanmax(scaled, initial=1.0)))
    for name, colour in (("gini", ELLIPSE), ("shape", RADIUS), ("mid", SEGMENT)):
        _outline(axis, galaxy.maps[name], colour)
        axis.plot([], [], color=colour, lw=1.2, label={"gini": "G, M20", "shape": "shape", "mid": "MID"}[name])
    axis.legend(loc="upper left", fontsize=7, frameon=True, framealpha=0.85, handlelength=1.4)


def _plane(axis: Axes, shapes: Shapes, row: int) -> None:
    """The galaxy, and the others of the batch, among Gini and M20."""
    g, m = shapes.values["gini"], shapes.values["m20"]
    line = np.array([0.0, -3.0])
    axis.plot(line, MERGER[0] * line + MERGER[1], color=INK, lw=1)
    corner = (MERGER[1] - EARLY[1]) / (EARLY[0] - MERGER[0])
    early = np.array([corner, -3.0])
    axis.plot(early, EARLY[0] * early + EARLY[1], color=INK, lw=1, ls="--")
    axis.plot(m, g, ".", color="#9aa0ab", ms=3)
    if math.isfinite(g[row] * m[row]):
        error = {} if shapes.sigma is None else {"xerr": shapes.sigma["m20"][row], "yerr": shapes.sigma["gini"][row]}
        axis.errorbar(m[row], g[row], **error, fmt="o", color=SEGMENT, ms=6, capsize=2)
    low, high = min(0.35, float(np.nanmin(g, initial=0.4))), max(0.7, float(np.nanmax(g, initial=0.6)))
    axis.set_xlim(0.0, -3.0)
    axis.set_ylim(low - 0.02, high + 0.02)
    axis.set_xlabel("M20", fontsize=9)
    axis.set_ylabel("Gini", fontsize=9)
    axis.tick_params(labelsize=8)
    for x, y, text in ((-0.5, 0.95, "mergers"), (-2.95, 0.6, "E, S0, Sa"), (-2.2, 0.06, "Sb to Irr")):
        side = "left" if x > -1 else "right"
        axis.text(x, low - 0.02 + y * (high - low + 0.04), text, fontsize=8, color="#60606a", ha=side)


def _show(axis: Axes, pixels: Pixels, title: str, *, vmin: float, vmax: float, cmap: str = "gray_r") -> Any:
    shown = axis.imshow(pixels, origin="lower", interpolation="nearest", vmin=vmin, vmax=vmax, cmap=cmap)
    axis.set_title(title, fontsize=10, color=INK)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_facecolor(WITHOUT)
    return shown


def _outline(axis: Axes, mask: Pixels, colour: str) -> None:
    if 0 < mask.sum() < mask.size:
        axis.contour(mask, levels=[0.5], colors=[colour], linewidths=1.1)


def _empty(axes: Any, shapes: Shapes, row: int) -> None:
    flux, ivar = (t[row, shapes.band].cpu().numpy() for t in (shapes.cutouts.flux, shapes.cutouts.ivar))
    pixels = np.where(ivar > 0, flux, np.nan)
    spread = float(np.nanstd(pixels)) if np.isfinite(pixels).any() else 1.0
    for axis in axes[:3]:
        _show(axis, pixels, "", vmin=-3 * spread, vmax=3 * spread)
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
