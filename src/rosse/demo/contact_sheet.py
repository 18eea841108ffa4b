"""A contact sheet: galaxy, model and residual, with the fitted numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.demo.figure_style import GREY, save, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rosse.fitting import Fit

Array = NDArray[np.float64]

RESIDUAL_RANGE = 5.0  # sigma, either way
PANEL = 1.42  # inches, side of one image
ACROSS = 3  # galaxies in a row of the sheet
MASKED = "#c9c9c9"


def contact_sheet(
    fit: Fit,
    rows: Sequence[int],
    path: str | Path,
    *,
    title: str = "",
    notes: Sequence[str] = (),
    caption: str = "",
    picture: bool = False,
) -> Path:
    """Galaxy, model and residual of the chosen galaxies, with the fitted numbers.

    Galaxy and model share one asinh stretch, in colour where there is more than one band; the residual is in units
    of its standard deviation, bands combined, grey where pixels carry no weight.

    Parameters
    ----------
    fit : the fit whose galaxies are shown.
    rows : which of them, in the order of the sheet.
    path : PNG or PDF file to write.
    title : one line above.
    notes : one line for each of `rows` beneath its numbers, e.g. the true ones.
    caption : one line below, e.g. what is special about these pixels.
    picture : whether the pixels come from a picture for the eye, which needs no further stretch or colour balance.
    """
    table = fit.table()[list(rows)]
    picked = fit.cutouts[list(rows)]
    flux, ivar = picked.flux.cpu().numpy().astype(float), picked.ivar.cpu().numpy().astype(float)
    model = np.nan_to_num(fit.model_images(list(rows)).detach().cpu().numpy().astype(float))  # a failed fit: no light
    weights = np.ones(len(picked.bands)) if picture else _band_weights(model)
    with style():
        figure, cells = _sheet(len(rows), title, 0.52 if any(notes) else 0.36)
        for i, (axes, row) in enumerate(zip(cells, table, strict=True)):
            scale = float(picked.scale[i])
            window = _window(flux.shape[-2:], row, scale, ivar[i])
            stamp = (i, slice(None), window, window)
            _triple(axes, flux[stamp], ivar[stamp], model[stamp], weights, linear=picture)
            _scale_bar(axes[0], window.stop - window.start, scale)
            _numbers(axes, row, picked.bands, np.isfinite(scale), notes[i] if notes else "")
        _footer(figure, caption)
        return save(figure, path)


def _sheet(count: int, title: str, text: float) -> tuple[Figure, list[list[Axes]]]:
    from matplotlib.figure import Figure

    down = -(-count // ACROSS)
    width = ACROSS * (3 * PANEL + 0.22) + 0.3
    top, foot = (0.62 if title else 0.3), 0.55
    height = top + down * (PANEL + text) + foot
    figure = Figure(figsize=(width, height), dpi=170)
    cells: list[list[Axes]] = []
    for k in range(count):
        left = 0.2 + (k % ACROSS) * (3 * PANEL + 0.22)
        bottom = height - top - (k // ACROSS) * (PANEL + text) - PANEL
        boxes = [(left + j * (PANEL + 0.02), bottom, PANEL, PANEL) for j in range(3)]
        cells.append([figure.add_axes(_fraction(box, width, height)) for box in boxes])
    if title:
        figure.text(0.2 / width, 1 - 0.2 / height, title, fontsize=12, weight="bold", va="center")
    for j, word in enumerate(("galaxy", "model", "residual")):
        for column in range(min(ACROSS, count)):
            left = 0.2 + column * (3 * PANEL + 0.22) + (j + 0.5) * PANEL
            figure.text(left / width, 1 - (top - 0.1) / height, word, ha="center", va="center", color=GREY)
    return figure, cells


def _fraction(box: tuple[float, float, float, float], width: float, height: float) -> tuple[float, float, float, float]:
    left, bottom, wide, high = box
    return left / width, bottom / height, wide / width, high / height


def _window(shape: tuple[int, int], row: Any, scale: float, ivar: Array) -> slice:
    """Square around the centre: five effective radii, or what carries weight where that is less."""
    centre = min(shape) // 2
    r_e = _number(row, "r_e") / (scale if np.isfinite(scale) else 1.0)
    wanted = 5 * r_e if np.isfinite(r_e) else np.inf
    rows, columns = np.nonzero((ivar > 0).any(0))
    reach = max(np.abs(rows - shape[0] // 2).max(), np.abs(columns - shape[1] // 2).max()) if rows.size else centre
    half = int(min(max(wanted, 14), reach, centre - 1))
    return slice(centre - half, centre + half + 1)


def _triple(axes: Sequence[Axes], flux: Array, ivar: Array, model: Array, weights: Array, *, linear: bool) -> None:
    show = _linear if linear else _stretched
    galaxy, drawn = show(flux, model, ivar, weights)
    axes[0].imshow(galaxy, origin="lower", interpolation="nearest")
    axes[1].imshow(drawn, origin="lower", interpolation="nearest")
    # Bands in units of their own noise, added: a deviation that all bands share stands out.
    use = ivar > 0
    residual = (np.where(use, flux - model, 0.0) * np.sqrt(ivar)).sum(0) / np.sqrt(np.maximum(use.sum(0), 1))
    residual = np.ma.masked_array(residual, ~use.any(0))
    colours = _residual_colours()
    axes[2].imshow(
        residual, origin="lower", cmap=colours, vmin=-RESIDUAL_RANGE, vmax=RESIDUAL_RANGE, interpolation="nearest"
    )
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_linewidth(0.5)


def _residual_colours() -> Any:
    from matplotlib import colormaps

    return colormaps["RdBu_r"].with_extremes(bad=MASKED)


def _band_weights(model: Array) -> Array:
    """One factor per band that makes the average of the shown galaxies nearly white, (C,)."""
    total = np.clip(model.sum((2, 3)), 1e-30, None)  # (B, C)
    colour = np.median(total / total.sum(1, keepdims=True), 0)
    weights: Array = 1 / np.clip(colour, 1e-3, None)
    weights /= weights.mean()
    return weights


def _stretched(flux: Array, model: Array, ivar: Array, weights: Array) -> tuple[Array, Array]:
    """RGB (H, W, 3) of galaxy and model on one asinh stretch (Lupton+2004), from the sky to the galaxy's peak."""
    sky = 1 / np.sqrt(np.array([np.median(v[v > 0]) if (v > 0).any() else 1.0 for v in ivar]))
    noise = float(np.sqrt(np.mean((weights * sky) ** 2) / len(sky)))
    peak = max(float((model * weights[:, None, None]).mean(0).max()), 12 * noise)
    soft = max(2.5 * noise, peak / 150)
    galaxy, drawn = (_coloured(i * weights[:, None, None], noise, soft, peak) for i in (flux, model))
    return galaxy, drawn


def _linear(flux: Array, model: Array, ivar: Array, weights: Array) -> tuple[Array, Array]:
    """RGB (H, W, 3) of galaxy and model, from the sky to the galaxy's peak."""
    use = np.where(ivar > 0, flux, 0.0) * weights[:, None, None]
    peak = max(float(np.percentile(use, 99.9)), float(model.max()), 1e-30)
    images = (np.clip(_three(i * weights[:, None, None]) / peak, 0, 1) for i in (flux, model))
    galaxy, drawn = (np.moveaxis(image, 0, -1) for image in images)
    return galaxy, drawn


def _coloured(image: Array, noise: float, soft: float, peak: float) -> Array:
    from scipy.ndimage import gaussian_filter

    planes = _three(image)
    light = planes.mean(0)
    shown = np.arcsinh(np.clip(light, 0, None) / soft) / np.arcsinh(peak / soft)
    # The eye sees detail in brightness, not in colour: colours are smoothed by a pixel and fade to grey in the sky.
    smooth = gaussian_filter(planes, (0, 1, 1))
    whole = smooth.mean(0)
    trust = np.clip(whole / (2.5 * noise), 0, 1)
    colour = np.clip(smooth / np.maximum(whole, 1e-6 * peak), 0, 3) * trust + (1 - trust)
    rgb: Array = shown * colour
    rgb /= np.maximum(rgb.max(0), 1)  # keep the colour of saturated pixels
    return np.moveaxis(rgb, 0, -1)


def _three(image: Array) -> Array:
    """Red, green and blue of C bands in the order of wavelength, (3, H, W)."""
    groups = np.array_split(np.arange(len(image)), min(3, len(image)))
    planes = [image[group].mean(0) for group in groups][::-1]
    if len(planes) == 1:
        planes = planes * 3
    elif len(planes) == 2:
        planes = [planes[0], (planes[0] + planes[1]) / 2, planes[1]]
    return np.stack(planes)


def _scale_bar(axis: Axes, pixels: int, scale: float) -> None:
    """A bar of a round number of arcsec (or pixels), a fifth to two fifths of the panel."""
    from matplotlib.patheffects import withStroke

    unit, step = ("″", scale) if np.isfinite(scale) else (" px", 1.0)
    choices = [v for v in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200) if v / step <= 0.42 * pixels]
    length = choices[-1] if choices else 0.1
    left, low = 0.07 * pixels - 0.5, 0.08 * pixels - 0.5
    edge = [withStroke(linewidth=1.8, foreground="black")]  # a bright neighbour may lie behind
    axis.plot(
        [left, left + length / step], [low, low], color="white", linewidth=1.6, solid_capstyle="butt", path_effects=edge
    )
    axis.text(
        left, low + 0.035 * pixels, f"{length:g}{unit}", color="white", fontsize=7, va="bottom", path_effects=edge
    )
    axis.set_xlim(-0.5, pixels - 0.5)
    axis.set_ylim(-0.5, pixels - 0.5)


def _numbers(axes: Sequence[Axes], row: Any, bands: Sequence[str], arcsec: bool, note: str) -> None:
    band = bands[len(bands) // 2]
    suffix = f"_{band}" if len(bands) > 1 else ""
    unit = "″" if arcsec else " px"
    magnitude = _number(row, f"mag{suffix}")
    light = f"{band} {magnitude:.2f}" if np.isfinite(magnitude) else ""
    values = [
        light,
        f"$r_e$ {_with_error(row, 'r_e')}{unit}",
        f"$n$ {_with_error(row, 'n')}",
        f"$q$ {_with_error(row, 'q')}",
        f"$\\chi^2_\\nu$ {_number(row, 'chi2_dof'):.2f}",
    ]
    text = "   ".join(value for value in values if value)
    axes[0].text(0, -0.05, text, transform=axes[0].transAxes, va="top", fontsize=7.4)
    status = str(row["status"])
    second = note if status == "ok" else "   ".join(word for word in (note, status.replace("_", " ")) if word)
    axes[0].text(0, -0.165, second, transform=axes[0].transAxes, va="top", fontsize=7, color=GREY)


def _with_error(row: Any, name: str) -> str:
    """*3.27 ± 0.04*, with as many decimals as the error's first digit asks for."""
    value, sigma = _number(row, name), _number(row, f"sigma_{name}")
    if not np.isfinite(value):
        return "–"
    if not np.isfinite(sigma) or sigma <= 0:
        return f"{value:.2f}"
    decimals = int(np.clip(np.ceil(-np.log10(sigma)), 0, 4))
    return f"{value:.{decimals}f}±{sigma:.{decimals}f}"


def _number(row: Any, name: str) -> float:
    value = row[name] if name in row.colnames else np.nan
    return float("nan") if np.ma.is_masked(value) else float(value)


def _footer(figure: Figure, caption: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    width, height = figure.get_size_inches()
    bar = figure.add_axes(_fraction((width - 2.5, 0.36, 2.2, 0.09), width, height))
    shades = ScalarMappable(Normalize(-RESIDUAL_RANGE, RESIDUAL_RANGE), _residual_colours())
    figure.colorbar(shades, cax=bar, orientation="horizontal", ticks=[-5, 0, 5])
    bar.tick_params(labelsize=7, length=2, pad=1.5)
    figure.text((width - 2.6) / width, 0.4 / height, "residual / σ", ha="right", va="center", fontsize=7.5)
    if caption:
        figure.text(0.2 / width, 0.4 / height, caption, va="center", fontsize=7.5, color=GREY)
