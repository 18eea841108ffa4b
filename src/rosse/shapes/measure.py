"""All indices of a batch of stamps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rosse.shapes import asymmetry as asym
from rosse.shapes import clumps, gini, maps, moments, radii
from rosse.shapes.apertures import Curve, Ellipses, circle_weights, ellipse_weights, elliptical_radius, growth
from rosse.shapes.mid import mid
from rosse.shapes.options import ShapeOptions
from rosse.shapes.sky import empty_box, sky_pixels
from rosse.shapes.smoothing import both_ways, boxcar, gaussian, smooth
from rosse.shapes.stamps import Stamps
from rosse.shapes.turned import Flipped, Holes, difference

Values = dict[str, Tensor]
Turn = tuple[Flipped, Holes]  # stamps turned about their middles, and where they have no data
MOST_ELONGATED = 20.0  # of the ellipses' axes: further out than that only a few pixels lie within the stamp
FLUXES = ("flux_petro", "flux_petro_circle", "flux_kron", "sky_mean", "sky_sigma")


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
    own = torch.where(stamps.segment & ~stamps.bad, stamps.image, 0.0)
    values: Values = {}
    x, y = moments.centroid(own)
    values |= {"x_centroid": x, "y_centroid": y} | _axes(own, x, y, "_centroid")
    sky = measure_sky(stamps, options)
    values |= {"sky_mean": sky.mean, "sky_sigma": sky.sigma, "sky_box": sky.side.to(sky.mean.dtype)}
    reach = float(stamps.diagonal.max())
    curve = growth(stamps.image, Ellipses.circles(x, y), reach, ~stamps.bad)
    first = radii.petrosian_radius(curve, stamps.diagonal, eta=options.eta, annulus=options.annulus)
    turn = Flipped.of(stamps.image), Holes.of(stamps.bad & stamps.inside)
    begin = torch.stack([x, y], 1)
    centre, ended = _centre(stamps, turn, own, start=begin, petrosian=first, sky=sky, options=options)
    values |= {"x": centre[:, 0], "y": centre[:, 1], "centre_found": ended.double()}
    values |= _axes(own, centre[:, 0], centre[:, 1], "")
    ellipses = Ellipses(
        x=centre[:, 0], y=centre[:, 1], elongation=values["elongation"].clamp(1, MOST_ELONGATED), theta=values["theta"]
    )
    circles = Ellipses.circles(ellipses.x, ellipses.y)
    wide = reach * float(ellipses.elongation.nan_to_num(1.0).max())
    curves = growth(stamps.image, circles, reach, ~stamps.bad), growth(stamps.image, ellipses, wide, ~stamps.bad)
    values |= _radii(stamps, *curves, ellipses.elongation, options)
    values["lost"] = _lost(stamps, circles, values["r50"])
    values |= _smoothness(stamps, centre, values["r_petro"], sky, options)
    gini_values, gini_map = _gini(stamps, replace(ellipses, x=x, y=y), values["a_petro"], options)
    values |= gini_values
    shape_values, shape_map = _shape(stamps, ellipses, curves, radius=values["a_petro"], sky=sky, options=options)
    values |= shape_values
    values |= _asymmetries(
        stamps, turn, ellipses, radius=options.extent_cas * first, sky=sky, outline=shape_values, shape=shape_map
    )
    mid_values, mid_map = mid(stamps, gini_map, options)
    values |= mid_values | _kron(stamps, ellipses, curves[1], values, options)
    for name in FLUXES:
        values[name] = values[name] * stamps.unit
    return values, {"gini": gini_map, "shape": shape_map, "mid": mid_map}


def measure_sky(stamps: Stamps, options: ShapeOptions) -> Sky:
    """Statistics of the box of empty sky."""
    line = torch.arange(stamps.image.shape[1], device=stamps.image.device) + 1
    far = (line < stamps.height[:, None])[:, :, None] & (line < stamps.width[:, None])[:, None, :]
    first, side = empty_box(~stamps.taken & far, options.sky_box)  # statmorph's never touch the far edges
    names = ("mean", "sigma", "difference")
    out = {name: torch.full_like(stamps.diagonal, math.nan) for name in names}
    for size in torch.unique(side).tolist():
        rows = (side == size).nonzero().flatten()
        if not size or not len(rows):
            continue
        box = sky_pixels(stamps.image[rows], first[rows], int(size)).double()
        delta, mean = box - box.flip(1, 2), box.mean((1, 2))
        for name, value in (
            ("mean", mean),
            ("sigma", (box - mean[:, None, None]).square().mean((1, 2)).sqrt()),
            ("difference", delta.abs().mean((1, 2))),
        ):
            out[name][rows] = value
    return Sky(**out, first=first, side=side)


def _axes(own: Tensor, x: Tensor, y: Tensor, end: str) -> Values:
    major, minor, theta = moments.axes(*moments.second_moments(own, x, y))
    found = {"ellipticity": moments.ellipticity(major, minor), "elongation": major / minor, "theta": theta}
    found |= {"a_moment": major}
    return {name + end: value for name, value in found.items()}


def _centre(
    stamps: Stamps, turn: Turn, own: Tensor, *, start: Tensor, petrosian: Tensor, sky: Sky, options: ShapeOptions
) -> tuple[Tensor, Tensor]:
    """Centre (B, 2) of least asymmetry, and whether (B,) it was found; NaN where there is no radius or no light.

    A search that ends further from its start than the middle that smoothness leaves out begins anew at the brightest
    pixel; if it strays again, the centroid it is (Rodriguez-Gomez et al. 2019).
    """
    search = asym.Search(image=stamps.image, bad=stamps.bad, flipped=turn[0], holes=turn[1],
                         radius=options.extent_cas * petrosian, sky=sky.difference.nan_to_num(0.0))  # fmt: skip
    free = options.smoothing_cas * petrosian
    centre = torch.full_like(start, math.nan)
    ended = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    usable = (torch.isfinite(petrosian) & torch.isfinite(start).all(1)).nonzero().flatten()
    brightest = own.flatten(1).argmax(1)
    side = own.shape[2]
    peak = torch.stack([brightest % side, torch.div(brightest, side, rounding_mode="floor")], 1).to(start.dtype)
    lost = usable
    for begin in (start, peak):
        found, done = search.least(lost, begin[lost], tolerance=options.tolerance, max_steps=options.max_steps)
        centre[lost], ended[lost] = found, done
        lost = lost[(found - begin[lost]).square().sum(1).sqrt() > free[lost]]
        if not len(lost):
            break
    centre[lost], ended[lost] = start[lost], False
    return centre, ended


def _radii(stamps: Stamps, circles: Curve, ellipses: Curve, elongation: Tensor, options: ShapeOptions) -> Values:
    petro = {"eta": options.eta, "annulus": options.annulus}
    r = radii.petrosian_radius(circles, stamps.diagonal, **petro)
    a = radii.petrosian_radius(ellipses, stamps.diagonal * elongation, **petro)
    out: Values = {"r_petro": r, "a_petro": a}
    for name, fraction in (("r20", 0.2), ("r50", 0.5), ("r80", 0.8)):
        out[name] = radii.radius_of_fraction(circles, options.extent_cas * r, fraction)
    out["concentration"] = radii.concentration(out["r20"], out["r80"])
    out["flux_petro_circle"] = circles.at(options.extent_flux * r[:, None])[:, 0].abs()
    out["flux_petro"] = ellipses.at(options.extent_flux * a[:, None])[:, 0].abs()
    return out


def _lost(stamps: Stamps, circles: Ellipses, radius: Tensor) -> Tensor:
    """Part (B,) of the pixels within a radius (B,), of those within the stamp, that have no weight."""
    near = (elliptical_radius(stamps.image, circles) <= radius[:, None, None]) & stamps.inside
    return (near & stamps.lost).sum((1, 2)).double() / near.sum((1, 2)).clamp_min(1)


def _asymmetries(
    stamps: Stamps, turn: Turn, ellipses: Ellipses, *, radius: Tensor, sky: Sky, outline: Values, shape: Tensor
) -> Values:
    """A, A_rms^2, A_outer and A_shape about the centres of ellipses; `outline` and `shape` are those of `_shape`."""
    centre = torch.stack([ellipses.x, ellipses.y], 1)
    known = torch.isfinite(centre).all(1)
    centre = torch.where(known[:, None], centre, 0.0)
    rows, first = torch.arange(len(centre), device=centre.device), torch.zeros_like(centre, dtype=torch.long)
    back, both = turn[0].about(centre, rows, first, stamps.bad.shape[1]), (~stamps.bad).to(stamps.image.dtype)
    turn[1].cut_out(both, centre, rows, first)
    ring = ellipse_weights(back, outline["a_max"], ellipses) - ellipse_weights(back, outline["a_half"], ellipses)
    sums = difference(stamps.image, back, both * _circle(stamps, centre, radius))
    outer = difference(stamps.image, back, both * ring)
    shape = shape.to(back.dtype)
    shape_back = Flipped.of(shape).about(centre, rows, first, shape.shape[1])
    values = {
        "asymmetry": asym.asymmetry(sums, sky.difference),
        "rms_asymmetry2": asym.rms_asymmetry_squared(sums, sky.sigma),
        "outer_asymmetry": asym.asymmetry(outer, sky.difference),
        "shape_asymmetry": asym.shape_asymmetry(
            difference(shape, shape_back, both * _circle(stamps, centre, outline["r_max"]))
        ),
    }
    return {name: torch.where(known, value, math.nan) for name, value in values.items()}


def _circle(stamps: Stamps, centre: Tensor, radius: Tensor) -> Tensor:
    """Part (B, N, N) of each pixel in circles."""
    line = torch.arange(stamps.image.shape[1], dtype=centre.dtype, device=centre.device)
    return circle_weights(line - centre[:, :1], line - centre[:, 1:], radius).to(stamps.image.dtype)


def _smoothness(stamps: Stamps, centre: Tensor, radius: Tensor, sky: Sky, options: ShapeOptions) -> Values:
    side = stamps.image.shape[1]
    width = (options.smoothing_cas * radius).floor().nan_to_num(1.0).clamp_min(1)
    rows, columns = both_ways(lambda extent: boxcar(width, extent, side), stamps.height, stamps.width)
    rest = clumps.residual(stamps.image, smooth(stamps.image, rows, columns))
    outer, inner = (_circle(stamps, centre, f * radius) for f in (options.extent_cas, options.smoothing_cas))
    ring = outer - inner
    level = _sky_residual(stamps, width, sky)
    area = torch.where(stamps.bad, 0.0, ring)
    found, light, area = (v.flatten(1).sum(1, dtype=torch.float64) for v in (ring * rest, ring * stamps.image, area))
    whole = math.pi * (options.extent_cas**2 - options.smoothing_cas**2) * radius.square()
    value = clumps.smoothness(found, light, whole if options.whole_ring else area, level)
    return {"smoothness": value, "ring": area / whole}


def _sky_residual(stamps: Stamps, width: Tensor, sky: Sky) -> Tensor:
    """Mean residual (B,) of a pixel of the box of sky, smoothed as the galaxy is."""
    out = torch.full_like(width, math.nan)
    for size in torch.unique(sky.side).tolist():
        rows = (sky.side == size).nonzero().flatten()
        if size and len(rows):
            box = sky_pixels(stamps.image[rows], sky.first[rows], int(size))
            kernel = boxcar(width[rows], torch.full_like(width[rows], float(size)), int(size))
            out[rows] = clumps.residual(box, smooth(box, kernel, kernel)).double().mean((1, 2))
    return out


def _gini(stamps: Stamps, ellipses: Ellipses, radius: Tensor, options: ShapeOptions) -> tuple[Values, Tensor]:
    """Indices of Gini and M20; `ellipses` are those around the centroid."""
    side = stamps.image.shape[1]
    sigma = (options.smoothing_gini * radius).nan_to_num(1.0)
    rows, columns = both_ways(lambda extent: gaussian(sigma, extent, side, mirrored=False), stamps.height, stamps.width)
    smoothed = smooth(stamps.image, rows, columns)
    half, a = options.annulus / 2, radius
    ring = ellipse_weights(smoothed, a + half, ellipses) - ellipse_weights(smoothed, a - half, ellipses)
    area = ellipses.area(a + half) - ellipses.area(a - half)  # what lies beyond the stamp is dark
    edge = (ring * smoothed).flatten(1).sum(1, dtype=torch.float64) / area
    whole = maps.gini_map(stamps, smoothed, edge)
    mask = whole & ~stamps.bad
    g = gini.gini(stamps.image, whole if options.dark_gini else mask)
    m = gini.m20(stamps.image, mask, options.fraction_m20)
    light = mask & (stamps.image >= 0)
    noise = stamps.variance.sqrt()
    ratio = torch.where(light, stamps.image / noise.clamp_min(1e-30), 0.0).sum((1, 2)) / light.sum((1, 2))
    return {
        "gini": g,
        "m20": m,
        "gini_m20_bulge": gini.bulge_statistic(g, m),
        "gini_m20_merger": gini.merger_statistic(g, m),
        "snr_pixel": ratio.double(),
        "gini_fills": (whole | ~stamps.inside).flatten(1).all(1).double(),
        "gini_dark": (whole & stamps.bad).sum((1, 2)).double() / whole.sum((1, 2)).clamp_min(1),
    }, whole if options.dark_gini else mask


def _shape(
    stamps: Stamps, ellipses: Ellipses, curves: tuple[Curve, Curve], *, radius: Tensor, sky: Sky, options: ShapeOptions
) -> tuple[Values, Tensor]:
    """Outline and what is measured out to it; `curves` are those of circles and of ellipses."""
    line = torch.arange(stamps.image.shape[1], device=radius.device)
    in_box = [(line >= sky.first[:, i, None]) & (line < (sky.first[:, i] + sky.side)[:, None]) for i in (0, 1)]
    box = in_box[1][:, :, None] & in_box[0][:, None, :]
    mask = maps.shape_map(stamps, ellipses, options.extent_flux * radius, box, options)
    mask = mask & torch.isfinite(radius)[:, None, None]
    out: Values = {}
    around = Ellipses.circles(ellipses.x, ellipses.y)
    for name, half, which, curve in (("r_max", "r_half", around, curves[0]), ("a_max", "a_half", ellipses, curves[1])):
        s = torch.where(mask, elliptical_radius(stamps.image, which), -1.0).flatten(1).amax(1).double()
        out[name] = torch.where(s > 0, s, math.nan)
        out[half] = radii.radius_of_fraction(curve, out[name], 0.5)
    return out, mask


def _kron(stamps: Stamps, ellipses: Ellipses, curve: Curve, values: Values, options: ShapeOptions) -> Values:
    """Kron (1980) aperture as in SExtractor (Bertin & Arnouts 1996): 2.5 times the mean radius, weighted by light.

    The mean radius is that within six of the second moments' axes.
    """
    s = elliptical_radius(stamps.image, ellipses)
    light = torch.where(s <= options.kron_reach * values["a_moment"][:, None, None], stamps.image, 0.0)
    mean = ((s * light).sum((1, 2)) / light.sum((1, 2))).double()
    a = torch.maximum(options.kron_factor * mean, options.kron_minimum * values["a_moment"])
    return {"a_kron": a, "flux_kron": curve.at(a[:, None])[:, 0]}
