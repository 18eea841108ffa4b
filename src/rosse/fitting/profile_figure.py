"""The radial profile of a fit: the image's isophotes, the model, and its components."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from rosse.light.coordinates import elliptical_radius
from rosse.light.model import as_model
from rosse.light.psf import grid_of
from rosse.light.render import Layout, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rosse.fitting.result import Fit

Pixels = NDArray[np.float64]

INK, DATA, MODEL = "#1b1e28", "#1b1e28", "#d1495b"
PARTS = ("#2f6f9f", "#e0a030", "#5b8c5a", "#7d5ba6", "#a0522d")


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """Surface brightness along the major axis.

    Parameters
    ----------
    radius : (K,) pixels.
    mean, error : (K,) flux per pixel.
    """

    radius: Pixels
    mean: Pixels
    error: Pixels


def draw_profile(axis: Axes, fit: Fit, row: int, band: int, *, isophotes: bool) -> None:
    """Image, model and components against semi-major axis."""
    image, ivar = (t[row, band].cpu().numpy().astype(np.float64) for t in (fit.cutouts.flux, fit.cutouts.ivar))
    ellipse = main_ellipse(fit, row, band)
    seen = (isophote_profile(image, ivar, ellipse) if isophotes else None) or ring_profile(image, ivar, ellipse)
    scale, length = _length(fit, row)
    level = _Level(fit, row, band)
    good = np.isfinite(seen.mean) & (seen.mean > 0) & (seen.error < seen.mean)
    if not good.any():
        axis.text(0.5, 0.5, "no light", transform=axis.transAxes, ha="center")
        return
    value, error = level.of(seen.mean[good]), level.error(seen.mean[good], seen.error[good])
    axis.errorbar(seen.radius[good] * scale, value, error, fmt="o", ms=3.5, lw=1, color=DATA, label="image")
    _draw_models(axis, fit, row, band, ellipse=ellipse, level=level)
    axis.set_xscale("log")
    faint = float(np.min(seen.mean[good]))
    low, high = level.of(np.array([0.3 * faint, 2 * float(np.max(seen.mean[good]))]))
    axis.set_ylim(float(low), float(high))
    if not level.in_magnitudes:
        axis.set_yscale("log")
    axis.set_xlabel(f"semi-major axis ({length})")
    axis.set_ylabel("surface brightness (mag/arcsec²)" if level.in_magnitudes else "flux per pixel")
    axis.legend(frameon=False, fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)


def ellipses(fit: Fit, row: int, band: int) -> list[tuple[float, float, float, float, float]]:
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


def main_ellipse(fit: Fit, row: int, band: int) -> tuple[float, float, float, float]:
    """Centre, axis ratio and angle of the last extended component at the common centre, or a circle in the middle."""
    shaped = [c for c in fit.plan.model.components if c.scale_radius and any(s.name == "q" for s in c.slots)]
    found = [e for e, c in zip(ellipses(fit, row, band), shaped, strict=False) if not c.own_centre]
    if found:
        x, y, _, q, theta = found[-1]
        return float(x), float(y), q, theta
    height, width = fit.cutouts.frame
    return width // 2, height // 2, 1.0, 0.0


def component_images(fit: Fit, row: int) -> torch.Tensor:
    """Each component of one galaxy's model by itself, (components, C, H, W)."""
    cutouts = fit.cutouts[row]
    grid = grid_of(cutouts)
    local = torch.from_numpy(fit.local[row : row + 1]).to(cutouts.flux.device)
    parts = zip(fit.plan.model.components, fit.plan.layout.places, strict=True)
    return torch.cat([draw(Layout(model=as_model(component)), local[..., place], grid) for component, place in parts])


def ring_profile(image: Pixels, ivar: Pixels, ellipse: tuple[float, float, float, float]) -> Profile:
    """Mean and its error in elliptical rings of one shape; NaN where a ring has no pixel."""
    height, width = image.shape
    x, y, q, theta = ellipse
    grid_y, grid_x = np.mgrid[:height, :width].astype(np.float64)
    offsets = torch.from_numpy(grid_x - x), torch.from_numpy(grid_y - y)
    radius = elliptical_radius(*offsets, torch.tensor(q), torch.tensor(theta)).numpy()
    edges = np.concatenate([[0, 0.7], np.geomspace(1.5, max(0.5 * math.hypot(height, width), 4), 22)])
    mean, error = radial_profile(image, ivar, radius, edges)
    return Profile(radius=np.maximum(0.5 * (edges[1:] + edges[:-1]), 0.5), mean=mean, error=error)


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


def isophote_profile(image: Pixels, ivar: Pixels, ellipse: tuple[float, float, float, float]) -> Profile | None:
    """Free isophotes of an image; None where there are fewer than five.

    Notes
    -----
    Jedrzejewski (1987), by photutils. Pixels without weight are left out.
    """
    from photutils.isophote import Ellipse, EllipseGeometry

    x, y, q, theta = ellipse
    start = min(10.0, 0.2 * min(image.shape))
    geometry = EllipseGeometry(x, y, start, min(max(1 - q, 0.05), 0.9), theta % math.pi)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of isophotes that do not converge: those are left out
        try:
            found = Ellipse(np.ma.masked_array(image, ~(ivar > 0)), geometry).fit_image(
                maxsma=0.5 * max(image.shape), minsma=1.0, step=0.2, maxit=20, maxgerr=0.5
            )
        except (ValueError, IndexError, RuntimeError):
            return None
    kept = [i for i in found if i.stop_code in (0, 2) and np.isfinite(i.intens) and np.isfinite(i.int_err)]
    if len(kept) < 5:
        return None
    line = [np.array([float(getattr(i, name)) for i in kept]) for name in ("sma", "intens", "int_err")]
    return Profile(radius=np.maximum(line[0], 0.5), mean=line[1], error=line[2])


def _draw_models(
    axis: Axes, fit: Fit, row: int, band: int, *, ellipse: tuple[float, float, float, float], level: _Level
) -> None:
    """The whole model, and each of its components where there are several."""
    scale, _ = _length(fit, row)
    parts = [("model", MODEL, "-", fit.model_images([row])[0, band])]
    names = [component.name or type(component).__name__ for component in fit.plan.model.components]
    if len(names) > 1:
        images = component_images(fit, row)[:, band]
        colours = [PARTS[i % len(PARTS)] for i in range(len(names))]
        parts += [(name, colour, "--", image) for name, colour, image in zip(names, colours, images, strict=True)]
    for name, colour, dash, pixels in parts:
        drawn = pixels.cpu().numpy().astype(np.float64)
        line = ring_profile(drawn, np.ones_like(drawn), ellipse)
        good = line.mean > 0
        axis.plot(line.radius[good] * scale, level.of(line.mean[good]), dash, color=colour, lw=1.6, label=name)


def _length(fit: Fit, row: int) -> tuple[float, str]:
    scale = float(fit.cutouts.scale[row])
    return (scale, "arcsec") if math.isfinite(scale) else (1.0, "pixels")


class _Level:
    """Flux per pixel as what is drawn: magnitudes per square arcsecond where scale and zero point are known."""

    def __init__(self, fit: Fit, row: int, band: int) -> None:
        self._zeropoint, self._scale = float(fit.cutouts.zeropoint[band]), float(fit.cutouts.scale[row])
        self.in_magnitudes = math.isfinite(self._zeropoint) and math.isfinite(self._scale)

    def of(self, flux: Pixels) -> Pixels:
        if not self.in_magnitudes:
            return flux
        return np.asarray(self._zeropoint - 2.5 * np.log10(flux / self._scale**2))

    def error(self, flux: Pixels, error: Pixels) -> Pixels:
        return np.asarray(2.5 / math.log(10) * error / flux) if self.in_magnitudes else error
