"""What a fit looks like: image, model, residual and radial profile."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from rosse.errors import InputError
from rosse.light.coordinates import elliptical_radius

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rosse.fitting.result import Fit

Pixels = NDArray[np.float64]

INK, DATA, MODEL = "#1b1e28", "#1b1e28", "#d1495b"


def plot_fit(fit: Fit, row: int = 0, *, band: int | None = None) -> Figure:
    """Image, model, residual in units of the noise, and radial profile of one galaxy.

    Parameters
    ----------
    fit : the result.
    row : which galaxy.
    band : which band; the deepest one if None.
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
    _profile(axes[3], fit, row, band, image=image, ivar=ivar, model=model)
    figure.suptitle(_caption(fit, row), fontsize=10, x=0.01, ha="left", color=INK)
    return figure


def radial_profile(image: Pixels, ivar: Pixels, radius: Pixels, edges: Pixels) -> tuple[Pixels, Pixels]:
    """Mean of an image and its error in rings of (elliptical) radius; NaN where a ring has no pixel.

    Parameters
    ----------
    image, ivar, radius : (H, W)
    edges : (K + 1,) ring edges in the unit of `radius`.
    """
    use = (ivar > 0) & np.isfinite(image)
    ring = np.digitize(radius[use], edges) - 1
    inside = (ring >= 0) & (ring < len(edges) - 1)
    ring, values, variance = ring[inside], image[use][inside], 1 / ivar[use][inside]
    count = np.bincount(ring, minlength=len(edges) - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(ring, values, len(edges) - 1) / count
        error = np.sqrt(np.bincount(ring, variance, len(edges) - 1)) / count
    return mean, error


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


def _ellipses(fit: Fit, row: int, band: int) -> list[tuple[float, float, float, float, float]]:
    """Centre, scale radius, axis ratio and angle of the major axis of each component that has them."""
    found = []
    local = fit.local[row, band]
    for component, place in zip(fit.plan.model.components, fit.plan.layout.places, strict=True):
        value = {slot.name: local[i] for slot, i in zip(component.slots, range(place.start, place.stop), strict=True)}
        if component.scale_radius and "q" in value and np.isfinite(local).all():
            ln_r, ln_q, theta = value[component.scale_radius], value["q"], value["pa"]
            if ln_q > 0:  # the axes trade places
                ln_r, ln_q, theta = ln_r + ln_q, -ln_q, theta + math.pi / 2
            found.append((value["x"], value["y"], math.exp(ln_r), math.exp(ln_q), theta))
    return found


def _draw_ellipses(axis: Axes, fit: Fit, row: int, band: int) -> None:
    """Half-light (or scale) ellipse of each component that has one."""
    from matplotlib.patches import Ellipse

    for x, y, radius, q, theta in _ellipses(fit, row, band):
        angle = math.degrees(theta)
        axis.add_patch(Ellipse((x, y), 2 * radius, 2 * q * radius, angle=angle, fill=False, ec=MODEL, lw=1.1))


def _profile(axis: Axes, fit: Fit, row: int, band: int, *, image: Pixels, ivar: Pixels, model: Pixels) -> None:
    height, width = image.shape
    x, y, q, theta = _main_ellipse(fit, row, band)
    grid_y, grid_x = np.mgrid[:height, :width].astype(np.float64)
    offsets = torch.from_numpy(grid_x - x), torch.from_numpy(grid_y - y)
    radius = elliptical_radius(*offsets, torch.tensor(q), torch.tensor(theta)).numpy()
    edges = np.concatenate([[0, 0.7], np.geomspace(1.5, max(0.5 * math.hypot(height, width), 4), 22)])
    scale = float(fit.cutouts.scale[row])
    unit, scale = ("arcsec", scale) if math.isfinite(scale) else ("pixels", 1.0)
    middle = np.maximum(0.5 * (edges[1:] + edges[:-1]), 0.5) * scale
    mean, error = radial_profile(image, ivar, radius, edges)
    drawn, _ = radial_profile(model, np.where(ivar > 0, 1.0, 0.0), radius, edges)
    good = np.isfinite(mean) & (mean > 0)
    axis.errorbar(middle[good], mean[good], error[good], fmt="o", ms=3.5, lw=1, color=DATA, label="image")
    axis.plot(middle[drawn > 0], drawn[drawn > 0], color=MODEL, lw=1.6, label="model")
    if not good.any():
        axis.text(0.5, 0.5, "no light", transform=axis.transAxes, ha="center")
        return
    axis.set_xscale("log")
    axis.set_yscale("log")
    faint = 0.3 * float(np.min(np.where(good, np.maximum(error, 1e-30), np.inf)))
    axis.set_ylim(max(faint, 1e-5 * float(np.nanmax(mean))), 2 * float(np.nanmax(mean)))
    axis.set_xlabel(f"semi-major axis ({unit})")
    axis.set_ylabel("flux per pixel")
    axis.legend(frameon=False, fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)


def _main_ellipse(fit: Fit, row: int, band: int) -> tuple[float, float, float, float]:
    """Centre, axis ratio and angle of the last extended component at the common centre, or a circle in the middle."""
    height, width = fit.cutouts.frame
    found = [e for e, c in zip(_ellipses(fit, row, band), _extended(fit), strict=False) if not c.own_centre]
    if found:
        x, y, _, q, theta = found[-1]
        return x, y, q, theta
    return width // 2, height // 2, 1.0, 0.0


def _extended(fit: Fit) -> list[Any]:
    return [c for c in fit.plan.model.components if c.scale_radius and any(s.name == "q" for s in c.slots)]


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
