"""Who stands in the simulated field: galaxies and stars with the counts, sizes, shapes and colours of the real sky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rosse.tables import Column, build_table

Array = NDArray[np.float64]

BANDS = ("g", "r", "z")
EDGE = 16.0  # pixels without a centre along the border, so that no target is cut in half
FAINTEST_GALAXY = 23.0  # r mag; the 5-sigma point-source depth in r is 24.54
FAINTEST_STAR = 22.8
PAIRED = 0.12  # fraction of galaxies that get another galaxy as a close companion

TRUTH_COLUMNS = (
    Column(name="id", description="Name of the object in the simulation.", dtype="str"),
    Column(name="kind", description="star, galaxy (single Sersic) or bulge+disc.", dtype="str"),
    Column(name="x", unit="pix", description="True centre, 0 at the centre of the first pixel."),
    Column(name="y", unit="pix", description="True centre, 0 at the centre of the first pixel."),
    Column(name="ra", unit="deg", description="Right ascension of the true centre."),
    Column(name="dec", unit="deg", description="Declination of the true centre."),
    *(Column(name=f"mag_{b}", unit="mag", description=f"True total AB magnitude in {b}.") for b in BANDS),
    Column(name="r_e", unit="arcsec", description="Half-light semi-major axis of a single Sersic galaxy."),
    Column(name="n", description="Sersic index of a single Sersic galaxy."),
    Column(name="q", description="Axis ratio b/a of a single Sersic galaxy."),
    Column(name="pa", unit="deg", description="Position angle, east of north, of the galaxy or its disc."),
    Column(name="bulge_r_e", unit="arcsec", description="Half-light semi-major axis of the bulge."),
    Column(name="bulge_n", description="Sersic index of the bulge."),
    Column(name="bulge_q", description="Axis ratio b/a of the bulge."),
    Column(name="disc_r_e", unit="arcsec", description="Half-light semi-major axis of the exponential disc."),
    Column(name="disc_q", description="Axis ratio b/a of the disc."),
    *(Column(name=f"bulge_to_total_{b}", description=f"Bulge-to-total flux ratio in {b}.") for b in BANDS),
    Column(name="neighbour", unit="arcsec", description="Distance to the nearest other object of the simulation."),
    Column(name="blended", description="Whether a neighbour's light overlaps this object's.", dtype="bool"),
)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The field's pixel grid: `size` pixels on a side of `scale` arcsec."""

    size: int
    scale: float


def draw_objects(rng: np.random.Generator, frame: Frame, galaxies: int, stars: int) -> dict[str, Any]:
    """Truth of every object but its place on the sky: galaxies first, then stars, brightest first within a kind.

    Returns
    -------
    dict
        Name in `TRUTH_COLUMNS` → (galaxies + stars,) values, NaN where a column does not apply; ``ra`` and ``dec``
        are missing.
    """
    total = galaxies + stars
    values: dict[str, Any] = {c.name: np.full(total, np.nan) for c in TRUTH_COLUMNS if c.dtype == "f8"}
    of_galaxies = _galaxies(rng, galaxies)
    for name, column in of_galaxies.items():
        values[name] = _with_nan(column, total)
    magnitudes = _star_magnitudes(rng, stars)
    for i, band in enumerate(BANDS):
        values[f"mag_{band}"][galaxies:] = magnitudes[i]
    values["kind"] = np.concatenate([of_galaxies["kind"], np.full(stars, "star")])
    values["id"] = np.array([f"g{i:04d}" for i in range(galaxies)] + [f"s{i:04d}" for i in range(stars)])
    size = np.where(np.isfinite(values["r_e"]), values["r_e"], values["disc_r_e"])
    extent = np.nan_to_num(size)
    values["x"], values["y"] = _positions(rng, frame, extent, galaxies)
    values["neighbour"], values["blended"] = _neighbours(values, extent, frame.scale)
    del values["ra"], values["dec"]
    return values


def truth_table(values: dict[str, Any]) -> Any:
    """Astropy table of the truth, with units and descriptions."""
    return build_table(TRUTH_COLUMNS, values)


def _with_nan(column: NDArray[Any], total: int) -> NDArray[Any]:
    if column.dtype.kind != "f":
        return column
    return np.concatenate([column, np.full(total - len(column), np.nan)])


def _galaxies(rng: np.random.Generator, count: int) -> dict[str, NDArray[Any]]:
    r = _counts(rng, count, slope=0.35, bright=17.0, faint=FAINTEST_GALAXY)
    early = rng.random(count) < 0.3
    composite = rng.random(count) < 0.3
    size = _half_light(rng, r, early)
    n = np.where(early, 3.6 * 10 ** rng.normal(0, 0.13, count), 1.1 * 10 ** rng.normal(0, 0.15, count))
    n = np.clip(np.round(n / 0.05) * 0.05, 0.5, 6.0)  # steps of 0.05: GalSim tabulates each index once
    disc_q = _inclined(rng, count, thickness=0.2)
    q = np.where(early, np.clip(rng.normal(0.75, 0.14, count), 0.35, 0.98), disc_q)
    whole, bulge, disc = _colours(rng, r, early), _colours(rng, r, np.ones(count, bool)), _colours(rng, r, ~composite)
    bulge_fraction = rng.beta(2.0, 4.0, count)
    bulge_r_e = size * rng.uniform(0.2, 0.5, count)
    bulge_n = np.clip(np.round(rng.normal(3.2, 0.8, count) / 0.05) * 0.05, 1.5, 5.0)
    bulge_q = np.clip(np.maximum(disc_q, rng.uniform(0.6, 0.95, count)), 0.35, 0.98)
    out: dict[str, NDArray[Any]] = {"pa": rng.uniform(-90, 90, count)}
    single = ~composite
    out |= {k: np.where(single, v, np.nan) for k, v in {"r_e": size, "n": n, "q": q}.items()}
    parts = {"bulge_r_e": bulge_r_e, "bulge_n": bulge_n, "bulge_q": bulge_q, "disc_r_e": size, "disc_q": disc_q}
    out |= {k: np.where(composite, v, np.nan) for k, v in parts.items()}
    for band in BANDS:
        of_bulge = bulge_fraction * 10 ** (-0.4 * bulge[band])
        of_disc = (1 - bulge_fraction) * 10 ** (-0.4 * disc[band])
        out[f"mag_{band}"] = r + np.where(composite, -2.5 * np.log10(of_bulge + of_disc), whole[band])
        out[f"bulge_to_total_{band}"] = np.where(composite, of_bulge / (of_bulge + of_disc), np.nan)
    out["kind"] = np.where(composite, "bulge+disc", "galaxy")
    return out


def _counts(rng: np.random.Generator, count: int, *, slope: float, bright: float, faint: float) -> Array:
    """Magnitudes with ``dN/dm ~ 10**(slope * m)`` between two limits, brightest first."""
    low, high = 10 ** (slope * bright), 10 ** (slope * faint)
    return np.sort(np.log10(rng.uniform(low, high, count)) / slope)


def _half_light(rng: np.random.Generator, r: Array, early: NDArray[np.bool_]) -> Array:
    """Half-light semi-major axis, arcsec: 0.9 at r = 22, larger when brighter, log-normal around that."""
    median = 0.9 * 10 ** (-0.11 * (r - 22)) * np.where(early, 0.75, 1.0)
    return np.clip(median * 10 ** rng.normal(0, 0.17, len(r)), 0.25, 6.0)


def _inclined(rng: np.random.Generator, count: int, *, thickness: float) -> Array:
    """Axis ratios of discs of a given thickness seen from random directions."""
    cos_i = rng.uniform(0, 1, count)
    return np.sqrt(thickness**2 + (1 - thickness**2) * cos_i**2)


def _colours(rng: np.random.Generator, r: Array, early: NDArray[np.bool_]) -> dict[str, Array]:
    """Magnitude minus the r magnitude per band; redder when fainter, as the sky is by redshift."""
    g_r = np.where(early, 0.95 + 0.09 * (r - 20), 0.55 + 0.04 * (r - 20)) + rng.normal(0, 0.1, len(r))
    r_z = np.where(early, 0.65 + 0.06 * (r - 20), 0.38 + 0.05 * (r - 20)) + rng.normal(0, 0.08, len(r))
    return {"g": g_r, "r": np.zeros(len(r)), "z": -r_z}


def _star_magnitudes(rng: np.random.Generator, count: int) -> tuple[Array, Array, Array]:
    """Magnitudes g, r, z: half from the halo's main-sequence turn-off, half red dwarfs, on the stellar locus."""
    r = _counts(rng, count, slope=0.15, bright=16.0, faint=FAINTEST_STAR)
    red = rng.random(count) < 0.5
    g_r = np.where(red, rng.normal(1.42, 0.06, count), rng.normal(0.5, 0.12, count))
    r_z = np.where(red, rng.uniform(0.8, 2.0, count), 0.55 * g_r - 0.02) + rng.normal(0, 0.03, count)
    return r + g_r, r, r - r_z


def _positions(rng: np.random.Generator, frame: Frame, extent: Array, galaxies: int) -> tuple[Array, Array]:
    """Random places; a few galaxies are moved beside another one so that their light overlaps."""
    x, y = rng.uniform(EDGE, frame.size - 1 - EDGE, (2, len(extent)))
    chosen = rng.permutation(galaxies)[: 2 * (round(PAIRED * galaxies) // 2)]
    for host, companion in chosen.reshape(2, -1).T:
        reach = rng.uniform(1.0, 1.8) * (extent[host] + extent[companion]) / frame.scale
        angle = rng.uniform(0, 2 * np.pi)
        x[companion] = x[host] + max(reach, 5.0) * np.cos(angle)  # 5 pixels: about one PSF FWHM
        y[companion] = y[host] + max(reach, 5.0) * np.sin(angle)
    low, high = EDGE, frame.size - 1 - EDGE
    return np.clip(x, low, high), np.clip(y, low, high)


def _neighbours(values: dict[str, Any], extent: Array, scale: float) -> tuple[Array, NDArray[np.bool_]]:
    """Distance to the nearest object, arcsec, and whether any object is close enough to share light."""
    dx = values["x"][:, None] - values["x"]
    dy = values["y"][:, None] - values["y"]
    distance = np.hypot(dx, dy) * scale
    np.fill_diagonal(distance, np.inf)
    reach = 2.5 * (extent[:, None] + extent) + 1.5  # 1.5 arcsec: the PSF's own share
    # Bright stars have wide wings: half an arcsecond more for each magnitude above 20.
    reach = reach + np.where(extent > 0, 0.0, 0.5 * np.clip(20 - values["mag_r"], 0, None))
    matters = values["mag_r"] - values["mag_r"][:, None] < 3.5  # 4 % of the object's own light
    return distance.min(1), (matters & (distance < reach)).any(1)
