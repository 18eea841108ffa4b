"""What a fit looks like: image, model, residual and radial profile."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.errors import InputError
from rosse.fitting.profile_figure import INK, MODEL, draw_profile, ellipses

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rosse.fitting.result import Fit

Pixels = NDArray[np.float64]


def plot_fit(fit: Fit, row: int = 0, *, band: int | None = None, isophotes: bool = True) -> Figure:
    """Image, model, residual in units of the noise, and radial profile of one galaxy.

    Parameters
    ----------
    fit : the result.
    row : which galaxy.
    band : which band; the deepest one if None.
    isophotes : whether the profile of the image is that of free elliptical isophotes (photutils), which takes about a
        second; else, or where they cannot be followed, that of rings of the model's shape.
    """
    from matplotlib.figure import Figure

    if not -len(fit) <= row < len(fit):
        raise InputError(f"row {row} came; the fit has {len(fit)} galaxies, 0 to {len(fit) - 1}")
    row = row % len(fit)
    band = _deepest(fit, row) if band is None else band
    image, ivar = (t[row, band].cpu().numpy().astype(np.float64) for t in (fit.cutouts.flux, fit.cutouts.ivar))
    model = fit.model_images([row])[0, band].cpu().numpy().astype(np.float64)
    seen = np.where(ivar > 0, image, np.nan)
    figure = Figure(figsize=(13.2, 3.7), layout="constrained")
    axes: Any = figure.subplots(1, 4, width_ratios=[1, 1, 1, 1.25])
    noise = 1 / math.sqrt(float(np.median(ivar[ivar > 0]))) if (ivar > 0).any() else 1.0
    top = float(np.nanmax(np.where(np.isfinite(model), model, seen))) if np.isfinite(seen).any() else 1.0
    name = f"image, {fit.cutouts.bands[band]}" if len(fit.cutouts.bands) > 1 else "image"
    for axis, pixels, title in ((axes[0], seen, name), (axes[1], model, "model")):
        _show(axis, np.arcsinh(pixels / (2 * noise)), title, vmin=-1.0, vmax=float(np.arcsinh(top / (2 * noise))))
    residual = np.where(ivar > 0, (image - model) * np.sqrt(ivar), np.nan)
    shown = _show(axes[2], residual, "(image - model) / noise", vmin=-5, vmax=5, cmap="RdBu_r")
    figure.colorbar(shown, ax=axes[2], shrink=0.85, pad=0.02)
    _scale_bar(axes[0], fit, row)
    _draw_ellipses(axes[0], fit, row, band)
    draw_profile(axes[3], fit, row, band, isophotes=isophotes)
    figure.suptitle(_caption(fit, row), fontsize=10, x=0.01, ha="left", color=INK)
    return figure


def _deepest(fit: Fit, row: int) -> int:
    power = fit.cutouts.flux[row].square() * fit.cutouts.ivar[row]
    return int(power.sum((1, 2)).argmax())


def _show(axis: Axes, pixels: Pixels, title: str, *, vmin: float, vmax: float, cmap: str = "gray_r") -> Any:
    shown = axis.imshow(pixels, origin="lower", interpolation="nearest", vmin=vmin, vmax=vmax, cmap=cmap)
    axis.set_title(title, fontsize=10, color=INK)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_facecolor("#d9d9e0")  # left-out pixels
    return shown


def _scale_bar(axis: Axes, fit: Fit, row: int) -> None:
    width = fit.cutouts.frame[1]
    scale = float(fit.cutouts.scale[row])
    unit = "″" if math.isfinite(scale) else " px"
    scale = scale if math.isfinite(scale) else 1.0
    length = next(v for v in (200, 100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1) if v <= 0.3 * width * scale or v == 0.1)
    x = 0.05 * width
    axis.plot([x, x + length / scale], [x, x], color=INK, lw=2, solid_capstyle="butt")
    axis.annotate(f"{length:g}{unit}", (x, x), (0, 4), textcoords="offset points", fontsize=9, color=INK)


def _draw_ellipses(axis: Axes, fit: Fit, row: int, band: int) -> None:
    """Half-light (or scale) ellipse of each component that has one."""
    from matplotlib.patches import Ellipse

    for x, y, radius, q, theta in ellipses(fit, row, band):
        angle = math.degrees(theta)
        axis.add_patch(Ellipse((x, y), 2 * radius, 2 * q * radius, angle=angle, fill=False, ec=MODEL, lw=1.1))


def _caption(fit: Fit, row: int) -> str:
    table = fit.table()[row]
    unit = "″" if math.isfinite(float(fit.cutouts.scale[row])) else " px"
    parts = [str(table["id"])]
    for component in fit.plan.model.components:
        prefix = fit.plan.model.prefix(component)
        for name in (component.scale_radius, "n", "q"):
            key = prefix + name
            if key in table.colnames:
                value, sigma = float(table[key]), float(table[f"sigma_{key}"])
                digits = 2 if not sigma > 0 else min(max(0, 1 - math.floor(math.log10(sigma))), 4)
                parts.append(
                    f"{key} = {value:.{digits}f} ± {sigma:.{digits}f}{unit if name == component.scale_radius else ''}"
                )
    parts.append(f"chi²/dof = {float(table['chi2_dof']):.2f}")
    parts.append(str(table["status"]))
    return "    ".join(parts)
