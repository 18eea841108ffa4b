"""All indices of a batch of stamps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rosse.shapes import asymmetry as asym
from rosse.shapes import clumps, gini, maps, moments, radii
from rosse.shapes.apertures import Curve, Ellipses, circle_weights, elliptical_radius, growth
from rosse.shapes.options import ShapeOptions
from rosse.shapes.sky import empty_box, sky_pixels
from rosse.shapes.smoothing import boxcar, gaussian, smooth
from rosse.shapes.stamps import Stamps, bounds, close_up, whole_map
from rosse.shapes.turned import Difference, box_around, difference, ring_difference

Values = dict[str, Tensor]
FIRST_STEP = 0.025  # of a stamp's side: some pixels, more for larger galaxies
CHUNK = 16  # galaxies whose apertures are looked at together: they stay in the cache


@dataclass(frozen=True, kw_only=True, eq=False)
class Sky:
    """What noise adds to a pixel, (B,) each; NaN where there is no box of empty sky.

    Parameters
    ----------
    mean, sigma : of its pixels.
    difference : mean absolute difference of a pixel and its counterpart.
    first, side : where the box is, see `empty_box`.
    """

    mean: Tensor
    sigma: Tensor
    difference: Tensor
    first: Tensor
    side: Tensor


def measure(stamps: Stamps, options: ShapeOptions) -> tuple[Values, dict[str, Tensor]]:
    """Every index (B,) of B stamps, lengths and positions in pixels of the stamp, and the maps behind them."""
    own = torch.where(stamps.segment, stamps.image, 0.0)
    values: Values = {}
    x, y = moments.centroid(own)
    values["x_centroid"], values["y_centroid"] = x, y
    values |= _axes(own, x, y, "_centroid")
    sky = measure_sky(stamps, options)
    values |= {"sky_mean": sky.mean, "sky_sigma": sky.sigma, "sky_box": sky.side.to(sky.mean.dtype)}
    reach = float(stamps.diagonal.max())
    curve = growth(stamps.image, Ellipses.circles(x, y), reach)
    first = radii.petrosian_radius(curve, stamps.diagonal, eta=options.eta, annulus=options.annulus)
    centre, ended = _centre(stamps, torch.stack([x, y], 1), options.extent_cas * first, sky, options)
    values |= {"x": centre[:, 0], "y": centre[:, 1], "centre_found": ended.double()}
    values |= _axes(own, centre[:, 0], centre[:, 1], "")
    circles = Ellipses.circles(centre[:, 0], centre[:, 1])
    ellipses = Ellipses(
        x=centre[:, 0], y=centre[:, 1], elongation=values["elongation"].clamp(1, 20), theta=values["theta"]
    )
    wide = reach * float(ellipses.elongation.nan_to_num(1.0).max())
    round_curve, curve = growth(stamps.image, circles, reach), growth(stamps.image, ellipses, wide)
    values |= _radii(stamps, round_curve, curve, options)
    values |= _asymmetries(stamps, centre, options.extent_cas * first, sky)
    values |= _smoothness(stamps, centre, values["r_petro"], sky, options)
    gini_values, gini_map = _gini(stamps, ellipses, values["a_petro"], options)
    shape_values, shape_map = _shape(
        stamps, ellipses, (round_curve, curve), radius=values["a_petro"], sky=sky, options=options
    )
    mid_values, mid_map = _mid(stamps, options)
    values |= gini_values | shape_values | mid_values | _kron(stamps, ellipses, curve, values, options)
    return values, {"gini": gini_map, "shape": shape_map, "mid": mid_map}


def measure_sky(stamps: Stamps, options: ShapeOptions) -> Sky:
    """Statistics of the box of empty sky."""
    empty = ~stamps.segment & ~stamps.bad
    first, side = empty_box(empty, options.sky_box)
    names = ("mean", "sigma", "difference")
    out = {name: torch.full_like(stamps.diagonal, math.nan) for name in names}
    for size in torch.unique(side).tolist():
        rows = (side == size).nonzero().flatten()
        if not size or not len(rows):
            continue
        box = sky_pixels(stamps.image[rows], first[rows], int(size))
        delta = box - box.flip(1, 2)
        for name, value in (
            ("mean", box.mean((1, 2))),
            ("sigma", box.std((1, 2), correction=0)),
            ("difference", delta.abs().mean((1, 2))),
        ):
            out[name][rows] = value
    return Sky(**out, first=first, side=side)


def _axes(own: Tensor, x: Tensor, y: Tensor, end: str) -> Values:
    major, minor, theta = moments.axes(*moments.second_moments(own, x, y))
    found = {"ellipticity": moments.ellipticity(major, minor), "elongation": major / minor, "theta": theta}
    found |= {"a_moment": major}
    return {name + end: value for name, value in found.items()}


def _centre(stamps: Stamps, start: Tensor, radius: Tensor, sky: Sky, options: ShapeOptions) -> tuple[Tensor, Tensor]:
    """Centre of least asymmetry, those of like size together; NaN where there is no radius or no light."""
    centre = torch.full_like(start, math.nan)
    ended = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    usable = (torch.isfinite(radius) & torch.isfinite(start).all(1)).nonzero().flatten()
    bad = _gaps(stamps)
    low, stop = bounds(stamps.segment)
    step = FIRST_STEP * (options.stamp * (stop - low).amax(1)).clamp_min(options.stamp_minimum).to(start.dtype)
    for rows in _chunks(usable, radius):
        centre[rows], ended[rows] = asym.least_asymmetry(
            stamps.image[rows],
            None if bad is None else bad[rows],
            start[rows],
            step=step[rows],
            radius=radius[rows],
            sky=sky.difference[rows].nan_to_num(0.0),
            tolerance=options.tolerance,
            max_steps=options.max_steps,
        )
    return centre, ended


def _chunks(rows: Tensor, radius: Tensor) -> Iterator[Tensor]:
    """Rows (N,), a few of like radius at a time."""
    if len(rows):
        yield from torch.split(rows[radius[rows].sort(stable=True).indices], CHUNK)


def _gaps(stamps: Stamps) -> Tensor | None:
    """Pixels without data inside the stamps, as numbers; None where there are none."""
    gaps = stamps.bad & stamps.inside
    return gaps.to(stamps.image.dtype) if bool(gaps.any()) else None


def _radii(stamps: Stamps, circles: Curve, ellipses: Curve, options: ShapeOptions) -> Values:
    petro = {"eta": options.eta, "annulus": options.annulus}
    r = radii.petrosian_radius(circles, stamps.diagonal, **petro)
    a = radii.petrosian_radius(ellipses, stamps.diagonal * ellipses.ellipses.elongation, **petro)
    out: Values = {"r_petro": r, "a_petro": a}
    for name, fraction in (("r20", 0.2), ("r50", 0.5), ("r80", 0.8)):
        out[name] = radii.radius_of_fraction(circles, options.extent_cas * r, fraction)
    out["concentration"] = radii.concentration(out["r20"], out["r80"])
    out["flux_petro_circle"] = circles.at(options.extent_flux * r[:, None])[:, 0]
    out["flux_petro"] = ellipses.at(options.extent_flux * a[:, None])[:, 0]
    return out


def _sums(
    image: Tensor, bad: Tensor | None, ellipses: Ellipses, outer: Tensor, inner: Tensor | None = None
) -> Difference:
    """Sums of images and themselves turned, within circles or, from `inner` on, between ellipses; NaN where unknown."""
    centre = torch.stack([ellipses.x, ellipses.y], 1)
    known = (torch.isfinite(outer) & torch.isfinite(centre).all(1)).nonzero().flatten()
    out = {name: torch.full_like(outer, math.nan) for name in ("absolute", "squared", "light", "power", "area")}
    for rows in _chunks(known, outer):
        box = box_around(image[rows], None if bad is None else bad[rows], centre[rows], float(outer[rows].max()) + 1)
        if inner is None:
            sums = difference(box, centre[rows], torch.arange(len(rows), device=rows.device), outer[rows])
        else:
            sums = ring_difference(box, ellipses.of(rows), inner[rows], outer[rows])
        for name, value in out.items():
            value[rows] = getattr(sums, name)
    return Difference(**out)


def _asymmetries(stamps: Stamps, centre: Tensor, radius: Tensor, sky: Sky) -> Values:
    sums = _sums(stamps.image, _gaps(stamps), Ellipses.circles(centre[:, 0], centre[:, 1]), radius)
    return {
        "asymmetry": asym.asymmetry(sums, sky.difference),
        "rms_asymmetry2": asym.rms_asymmetry_squared(sums, sky.sigma),
    }


def _smoothness(stamps: Stamps, centre: Tensor, radius: Tensor, sky: Sky, options: ShapeOptions) -> Values:
    side = stamps.image.shape[1]
    width = (options.smoothing_cas * radius).floor().nan_to_num(1.0).clamp_min(1)
    rows, columns = (boxcar(width, extent, side) for extent in (stamps.height, stamps.width))
    rest = clumps.residual(stamps.image, smooth(stamps.image, rows, columns))
    line = torch.arange(side, dtype=radius.dtype, device=radius.device)
    dx, dy = (line - centre[:, i, None] for i in (0, 1))
    ring = [circle_weights(dx, dy, f * radius) for f in (options.extent_cas, options.smoothing_cas)]
    weight = ring[0] - ring[1]
    level = _sky_residual(stamps, width, sky)
    area = torch.where(stamps.bad & stamps.inside, 0.0, weight).sum((1, 2))
    value = clumps.smoothness((weight * rest).sum((1, 2)), (weight * stamps.image).sum((1, 2)), area, level)
    return {"smoothness": value}


def _sky_residual(stamps: Stamps, width: Tensor, sky: Sky) -> Tensor:
    """Mean residual (B,) of a pixel of the box of sky, smoothed as the galaxy is."""
    out = torch.full_like(width, math.nan)
    for size in torch.unique(sky.side).tolist():
        rows = (sky.side == size).nonzero().flatten()
        if size and len(rows):
            box = sky_pixels(stamps.image[rows], sky.first[rows], int(size))
            kernel = boxcar(width[rows], torch.full_like(width[rows], float(size)), int(size))
            out[rows] = clumps.residual(box, smooth(box, kernel, kernel)).mean((1, 2))
    return out


def _gini(stamps: Stamps, ellipses: Ellipses, radius: Tensor, options: ShapeOptions) -> tuple[Values, Tensor]:
    side = stamps.image.shape[1]
    sigma = (options.smoothing_gini * radius).nan_to_num(1.0)
    rows, columns = (gaussian(sigma, extent, side) for extent in (stamps.height, stamps.width))
    smoothed = smooth(stamps.image, rows, columns)
    half, a = options.annulus / 2, radius[:, None]
    edge = growth(smoothed, ellipses, float(radius.nan_to_num(1.0).max()) + 1).mean(a - half, a + half)[:, 0]
    mask = maps.gini_map(stamps, smoothed, edge)
    g, m = gini.gini(stamps.image, mask), gini.m20(stamps.image, mask)
    light = mask & (stamps.image >= 0)
    noise = stamps.variance.sqrt()
    ratio = torch.where(light, stamps.image / noise.clamp_min(1e-300), 0.0).sum((1, 2)) / light.sum((1, 2))
    return {
        "gini": g,
        "m20": m,
        "gini_m20_bulge": gini.bulge_statistic(g, m),
        "gini_m20_merger": gini.merger_statistic(g, m),
        "snr_pixel": ratio,
    }, mask


def _shape(
    stamps: Stamps,
    ellipses: Ellipses,
    curves: tuple[Curve, Curve],
    *,
    radius: Tensor,
    sky: Sky,
    options: ShapeOptions,
) -> tuple[Values, Tensor]:
    """Outline and what is measured out to it; `curves` are those of circles and of ellipses."""
    around = Ellipses.circles(ellipses.x, ellipses.y)
    mask = maps.shape_map(stamps, ellipses, options.extent_flux * radius, options.boxcar_shape)
    side = mask.shape[1]
    out: Values = {}
    for name, half, which, curve in (
        ("r_max", "r_half", around, curves[0]),
        ("a_max", "a_half", ellipses, curves[1]),
    ):
        s = torch.where(mask, elliptical_radius(side, side, which), -1.0).amax((1, 2))
        out[name] = torch.where(mask.any(2).any(1), s, math.nan)
        out[half] = radii.radius_of_fraction(curve, out[name], 0.5)
    outer = _sums(stamps.image, _gaps(stamps), ellipses, out["a_max"], out["a_half"])
    out["outer_asymmetry"] = asym.asymmetry(outer, sky.difference)
    whole = _sums(mask.to(stamps.image.dtype), _gaps(stamps), around, out["r_max"])
    out["shape_asymmetry"] = asym.shape_asymmetry(whole)
    return out, mask


def _mid(stamps: Stamps, options: ShapeOptions) -> tuple[Values, Tensor]:
    small, first = close_up(stamps)
    mask = maps.mid_map(small, eta=options.eta, width=options.boxcar_mid)
    light = torch.where(mask, small.image, 0.0).clamp_min(0)
    side = light.shape[1]
    sigma = torch.full_like(small.diagonal, options.sigma_mid)
    rows, columns = (gaussian(sigma, extent, side) for extent in (small.height, small.width))
    smoothed = smooth(light, rows, columns)
    i, d = clumps.intensity_and_deviation(light, smoothed, mask)
    values = {"multimode": clumps.multimode(light, mask, options.levels_mid), "intensity": i, "deviation": d}
    return values, whole_map(mask, first, stamps.image.shape[1])


def _kron(stamps: Stamps, ellipses: Ellipses, curve: Curve, values: Values, options: ShapeOptions) -> Values:
    """Kron (1980) aperture as in SExtractor: 2.5 times the first moment of radius within six of the moments' axes."""
    side = stamps.image.shape[1]
    s = elliptical_radius(side, side, ellipses)
    light = torch.where(s <= 6 * values["a_moment"][:, None, None], stamps.image, 0.0)
    mean = (s * light).sum((1, 2)) / light.sum((1, 2))
    a = torch.maximum(options.kron_factor * mean, options.kron_minimum * values["a_moment"])
    return {"a_kron": a, "flux_kron": curve.at(a[:, None])[:, 0]}
