"""A detection to look at: the image, an ellipse around every galaxy, a cross on every star, colours for flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rosse.detection.options import Flag

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rosse.detection.result import Detection

# Colours that colour-blind readers tell apart (Okabe & Ito), light enough for a dark sky.
_CLEAN, _FLAGGED, _STAR, _OTHER = "#56b4e9", "#e69f00", "#f0e442", "#cc79a7"
_NICE_LENGTHS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800)  # arcsec or pixels
_SPOILT = Flag.EDGE | Flag.SATURATED | Flag.NEAR_BRIGHT | Flag.MASKED | Flag.TRUNCATED


def plot_detection(detection: Detection, width: float = 9.0) -> Figure:
    """The field with its sources: Kron ellipses for galaxies, crosses for stars, dotted circles for artefacts.

    Parameters
    ----------
    width : of the figure, inches.
    """
    from matplotlib.figure import Figure

    height, columns = detection.segmentation.shape
    size = (width, min(1.6 * width, (width - 0.7) * height / columns + 1.0))
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    axes = figure.add_subplot()
    x0, y0 = detection.origin
    extent = (x0 - 0.5, x0 + columns - 0.5, y0 - 0.5, y0 + height - 0.5)
    axes.imshow(stretched(detection.flux, detection.rms), origin="lower", extent=extent, interpolation="nearest")
    _draw_sources(axes, detection)
    _scale_bar(axes, float(detection.mosaic.scale), columns)
    axes.set(xlim=extent[:2], ylim=extent[2:], xlabel="x (pixels)", ylabel="y (pixels)", title=_title(detection))
    axes.title.set_fontsize(10)
    return figure


def stretched(flux: NDArray[np.float32], rms: NDArray[np.float32]) -> NDArray[np.float64]:
    """Picture (H, W, 3) in 0..1: bands in units of their noise, inverse hyperbolic sine of their mean (Lupton+2004).

    The reddest band is red, the bluest blue; fewer than three bands make a grey picture.
    """
    sky = np.median(rms.reshape(len(rms), -1), axis=1)[:, None, None]
    bands = flux / np.where(sky > 0, sky, 1.0)
    chosen = bands[[-1, len(bands) // 2, 0]] if len(bands) >= 3 else np.repeat(bands.mean(0)[None], 3, axis=0)
    mean = chosen.mean(0)
    top = max(float(np.percentile(mean, 99.8)), 10.0)
    scaled = np.arcsinh(mean) / np.arcsinh(top)
    colour = np.divide(chosen, mean, out=np.ones_like(chosen), where=mean > 1e-3)
    return np.asarray(np.clip(np.moveaxis(scaled * np.clip(colour, 0.0, 3.0), 0, -1) + 0.06, 0.0, 1.0))


def _draw_sources(axes: Any, detection: Detection) -> None:
    from matplotlib.collections import EllipseCollection
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import Normal, Stroke

    dark = [Stroke(linewidth=1.8, foreground="black", alpha=0.6), Normal()]  # so that lines show on bright galaxies
    t = detection.sources
    kind = np.asarray(t["kind"])
    spoilt = (np.asarray(t["flags"]) & int(_SPOILT)) > 0
    x, y = np.asarray(t["x_image"]), np.asarray(t["y_image"])
    handles = []
    groups: tuple[tuple[str, NDArray[np.bool_], str, Literal["-", "--", ":"]], ...] = (
        ("galaxy", (kind == "galaxy") & ~spoilt, _CLEAN, "-"),
        ("galaxy with a flag", (kind == "galaxy") & spoilt, _FLAGGED, "--"),
        ("artefact", kind == "artefact", _OTHER, ":"),
    )
    for name, rows, colour, line in groups:
        if rows.any():
            kron = np.asarray(t["kron_radius"])[rows]
            ratio = np.asarray(t["b_image"] / t["a_image"])[rows]
            axes.add_collection(
                EllipseCollection(2 * kron, 2 * kron * ratio, detection.angles(np.nonzero(rows)[0]), units="xy",
                                  offsets=np.stack([x[rows], y[rows]], axis=1), offset_transform=axes.transData,
                                  facecolors="none", edgecolors=colour, linewidths=0.8, linestyles=line,
                                  path_effects=dark)
            )  # fmt: skip
            handles.append(Line2D([], [], color=colour, linestyle=line, label=f"{name} ({int(rows.sum())})"))
    stars = kind == "star"
    if stars.any():
        axes.plot(x[stars], y[stars], "x", color=_STAR, markersize=5, markeredgewidth=0.9, path_effects=dark)
        handles.append(Line2D([], [], color=_STAR, marker="x", linestyle="", label=f"star ({int(stars.sum())})"))
    if handles:
        axes.figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)


def _scale_bar(axes: Any, scale: float, columns: int) -> None:
    """A bar of a round length, about a fifth of the image, at the lower left."""
    per_pixel = scale if np.isfinite(scale) else 1.0
    length = next((v for v in reversed(_NICE_LENGTHS) if v / per_pixel <= 0.25 * columns), _NICE_LENGTHS[0])
    text = f"{length} pixels" if not np.isfinite(scale) else f"{length}″" if length < 60 else f"{length // 60}′"
    left, share = 0.04, length / per_pixel / columns
    axes.plot([left, left + share], [0.04, 0.04], color="white", linewidth=2, transform=axes.transAxes)
    axes.text(
        left + share / 2, 0.05, text, color="white", fontsize=8, ha="center", va="bottom", transform=axes.transAxes
    )


def _title(detection: Detection) -> str:
    count = len(detection.sources)
    bands = ", ".join(detection.mosaic.bands)
    return f"{detection.mosaic.name}   {bands}   {count} source{'' if count == 1 else 's'}"
