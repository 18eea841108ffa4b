"""Kron and isophotal fluxes in every band, half-light radii: apertures from the detection, pixels from each band."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import sep
from numpy.typing import NDArray

from rosse.detection.moments import Shapes
from rosse.detection.options import DetectOptions

Floats = NDArray[np.float64]

_KRON_REACH = 6.0  # rms axes within which the Kron radius is measured (SExtractor manual, sect. 10.4.3)


@dataclass(frozen=True, kw_only=True, eq=False)
class Photometry:
    """Light of N sources in C bands and in the detection image.

    Parameters
    ----------
    kron : (N,) semi-major axis of the Kron aperture over the rms axis `a`.
    auto, auto_sigma : (N, C) flux in the Kron aperture and its error, that of the sky level included.
    auto_detection : (N,) the same in the detection image.
    iso, iso_sigma : (N, C) flux in the isophote and its error, that of the sky level included.
    sky_sigma : (N, C) error of the sky level.
    half : (N,) radius of the circle that holds half of the Kron flux of the detection image, pixels.
    snr : (N,) Kron flux over the noise of its pixels in the detection image.
    masked : (N,) fraction of the Kron aperture without weight, in the band where most is missing.
    crowded : (N,) fraction of the Kron aperture that belongs to other sources.
    outside : (N,) fraction of the Kron aperture beyond the pixels that were read.
    """

    kron: Floats
    auto: Floats
    auto_sigma: Floats
    auto_detection: Floats
    iso: Floats
    iso_sigma: Floats
    sky_sigma: Floats
    half: Floats
    snr: Floats
    masked: Floats
    crowded: Floats
    outside: Floats

    def __getitem__(self, rows: NDArray[Any]) -> Photometry:
        return Photometry(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def measure_light(
    planes: tuple[NDArray[np.float32], NDArray[np.float32]],
    labels: NDArray[np.int32],
    shapes: Shapes,
    options: DetectOptions,
    *,
    sky_sigma: NDArray[np.float32],
) -> Photometry:
    """Photometry of every source.

    Parameters
    ----------
    planes : flux and ivar, both (1 + C, H, W); the first plane is the detection image.
    labels : (H, W) whose label i + 1 belongs to row i of `shapes`.
    sky_sigma : (C, H, W) error of the sky level that was subtracted.

    Notes
    -----
    FLUX_AUTO after Kron (1980) and Bertin & Arnouts (1996). Pixels of neighbours and pixels without weight are
    replaced by those opposite to the source's centre, and left out where those are no better (SExtractor's
    ``MASK_TYPE CORRECT``). An error of the sky level is the same in all pixels of a source: it grows with the area of
    an aperture, the pixels' noise with its square root.
    """
    bands = len(planes[0]) - 1
    n = len(shapes)
    single = ("kron", "auto_detection", "half", "snr", "masked", "crowded", "outside")
    values: dict[str, Floats] = {name: np.full(n, np.nan) for name in single}
    values |= {name: np.full((n, bands), np.nan) for name in ("auto", "auto_sigma", "iso", "iso_sigma")}
    areas = {name: np.zeros((n, bands)) for name in ("auto", "iso")}
    for row in range(n):
        measured, area = _one_source(planes, labels, shapes, row, options)
        for name, value in measured.items():
            values[name][row] = value
        for name, pixels in area.items():
            areas[name][row] = pixels
    column, line = (
        np.rint(v).astype(int).clip(0, m - 1) for v, m in zip((shapes.x, shapes.y), labels.T.shape, strict=True)
    )
    values["sky_sigma"] = sky_sigma[:, line, column].T.astype(np.float64)
    for name, pixels in areas.items():
        values[f"{name}_sigma"] = np.hypot(values[f"{name}_sigma"], pixels * values["sky_sigma"])
    return Photometry(**values)


def _one_source(
    planes: tuple[NDArray[np.float32], NDArray[np.float32]],
    labels: NDArray[np.int32],
    shapes: Shapes,
    row: int,
    options: DetectOptions,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is measured of a source, errors of the pixels' noise only; area of its apertures in every band, pixels."""
    a, b, theta = float(shapes.a[row]), float(shapes.b[row]), float(shapes.theta[row])
    x, y = float(shapes.x[row]), float(shapes.y[row])
    box, x0, y0 = _box(labels.shape, x, y, _KRON_REACH * a + 2.0)
    seg, own = labels[box], labels[box] == row + 1
    flux, ivar = planes[0][:, *box], planes[1][:, *box]
    inside = seg == 0
    inside |= own
    fluxes, variances = own_light(flux, ivar, inside, (x - x0, y - y0))
    at = (np.array([x - x0]), np.array([y - y0]))
    ellipse = tuple(np.array([v]) for v in (a, b, theta))
    kron = _kron(fluxes[0], at, ellipse, options)
    sums = [_sum(f, v, at, ellipse, kron) for f, v in zip(fluxes, variances, strict=True)]
    missing = _missing(ivar[1:], inside, at, ellipse, kron)
    used = own & (ivar[1:] > 0)
    total = sums[0][0]
    measured = {
        "kron": kron,
        "auto": [s for s, _ in sums[1:]],
        "auto_sigma": [e for _, e in sums[1:]],
        "auto_detection": total,
        "iso": np.where(own, flux[1:], 0.0).sum((1, 2), dtype=np.float64),
        "iso_sigma": np.sqrt(np.where(used, 1.0 / np.where(used, ivar[1:], 1.0), 0.0).sum((1, 2), dtype=np.float64)),
        "half": _half_light(fluxes[0], at, kron * a, total),
        "snr": total / sums[0][1] if sums[0][1] > 0 else np.nan,
        **missing,
    }
    kron_area = [_sum((v > 0).astype(np.float32), v, at, ellipse, kron)[0] for v in variances[1:]]
    return measured, {"auto": kron_area, "iso": used.sum((1, 2))}


def _box(shape: tuple[int, int], x: float, y: float, reach: float) -> tuple[tuple[slice, slice], int, int]:
    """Slices of the image around a position, and the first column and row of them."""
    x0, y0 = max(0, int(x - reach)), max(0, int(y - reach))
    x1, y1 = min(shape[1], int(x + reach) + 2), min(shape[0], int(y + reach) + 2)
    return (slice(y0, y1), slice(x0, x1)), x0, y0


def own_light(
    flux: NDArray[np.float32], ivar: NDArray[np.float32], inside: NDArray[np.bool_], centre: tuple[float, float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flux and variance of a stamp whose foreign and bad pixels are replaced by those opposite to the centre.

    Parameters
    ----------
    flux, ivar : (P, h, w)
    inside : (h, w) pixels of the source or of the sky.
    centre : x, y in the stamp.

    Returns
    -------
    (P, h, w) flux and variance; both 0 where neither pixel of a pair is good.
    """
    good = inside & (ivar > 0)
    variance = np.where(good, 1.0 / np.where(good, ivar, 1.0), 0.0).astype(np.float32)
    own = np.where(good, flux, 0.0).astype(np.float32)
    band, y, x = np.nonzero(~good)
    if len(y) == 0:
        return np.ascontiguousarray(own), variance
    height, width = inside.shape
    x2, y2 = np.rint(2.0 * centre[0] - x).astype(int), np.rint(2.0 * centre[1] - y).astype(int)
    there = (x2 >= 0) & (y2 >= 0) & (x2 < width) & (y2 < height)
    band, y, x, y2, x2 = (v[there] for v in (band, y, x, y2, x2))
    ok = good[band, y2, x2]
    band, y, x, y2, x2 = (v[ok] for v in (band, y, x, y2, x2))
    own[band, y, x], variance[band, y, x] = own[band, y2, x2], variance[band, y2, x2]
    return own, variance


def _kron(light: NDArray[np.float32], at: Any, ellipse: Any, options: DetectOptions) -> float:
    """Kron aperture's semi-major axis over `a`."""
    radius, flag = sep.kron_radius(light, *at, *ellipse, _KRON_REACH)
    value = float(radius[0])
    if int(flag[0]) & sep.APER_NONPOSITIVE or not np.isfinite(value):
        value = 0.0
    return min(max(options.kron_factor * value, options.kron_minimum), _KRON_REACH)


def _sum(light: NDArray[np.float32], variance: NDArray[np.float32], at: Any, ellipse: Any, kron: float) -> Any:
    """Flux in the Kron aperture and its error; NaN without any pixel."""
    if not variance.any():
        return np.nan, np.nan
    value, error, _ = sep.sum_ellipse(light, *at, *ellipse, kron, var=variance, subpix=5)
    return float(value[0]), float(error[0])


def _half_light(light: NDArray[np.float32], at: Any, reach: float, total: float) -> float:
    if not total > 0:
        return float("nan")
    radius, _ = sep.flux_radius(light, *at, np.array([reach]), 0.5, normflux=np.array([total]), subpix=5)
    return float(radius[0])


def _missing(ivar: NDArray[np.float32], inside: NDArray[np.bool_], at: Any, ellipse: Any, kron: float) -> Any:
    """Fractions of the Kron aperture without weight, of other sources, and beyond the image."""
    aperture = np.zeros(inside.shape, dtype=bool)
    sep.mask_ellipse(aperture, *(float(v[0]) for v in (*at, *ellipse)), r=kron)
    here = int(aperture.sum())
    area = max(1.0, here)
    bad = max(int((aperture & ~(w > 0)).sum()) for w in ivar)
    whole = float(np.pi * kron**2 * ellipse[0][0] * ellipse[1][0])
    # The sum of pixels differs from the ellipse's area by less than its circumference.
    border = aperture[0].any() or aperture[-1].any() or aperture[:, 0].any() or aperture[:, -1].any()
    outside = max(0.0, 1.0 - here / max(whole, 1.0)) if border else 0.0
    return {"masked": bad / area, "crowded": int((aperture & ~inside).sum()) / area, "outside": outside}
