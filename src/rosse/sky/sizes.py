"""How large the parts of a galaxy are: what follows from its structure, mass and redshift."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from rosse.sky import relations
from rosse.sky.draws import Array, Draws, Integers
from rosse.sky.structure import Columns, is_type
from rosse.sky.templates import colour, light_per_mass

SCALE_LENGTHS = 1.678347  # half-light radius of an exponential disc over its scale length


def sizes(draws: Draws, of_type: Integers, known: Columns) -> Columns:
    """Sizes and shapes of bulge, disc, bar and ring.

    Parameters
    ----------
    draws : chance of B rows.
    of_type : (B,) positions in `columns.TYPES`.
    known : columns made so far: log_mass, z and those of `structure.structure`.
    """
    total = _whole(draws, of_type, known)
    out = _bulge(draws, of_type, known)
    disc_n = np.where(is_type(of_type, "dwarf"), draws.uniform("disc index", 0.7, 1.3), 1.0)
    bulge_light, _ = _light(known)
    ratio = relations.bulge_over_disc_size(known["t_type"]) / SCALE_LENGTHS * draws.scatter("bulge size", 0.13)
    disc = total / half_light(bulge_light, out["bulge_n"], disc_n, ratio)
    has_disc, has_bulge = known["disc_share"] > 0, known["bulge_share"] > 0
    out["r_e"] = total
    out["disc_r_e"] = np.where(has_disc, disc, np.nan)
    out["bulge_r_e"] = np.where(has_disc, ratio * disc, total)
    out["disc_n"] = np.where(has_disc, disc_n, np.nan)
    thickness = relations.thickness(known["t_type"]) * draws.scatter("thickness", 0.1)
    thickness = np.where(is_type(of_type, "merger") & (known["merger_stage"] > 1), 1.4 * thickness, thickness)
    out["disc_thickness"] = np.where(has_disc, thickness, np.nan)
    for name in ("bulge_r_e", "bulge_n", "bulge_q", "bulge_boxiness"):
        out[name] = np.where(has_bulge, out[name], np.nan)
    out |= _bar(draws, known, disc / SCALE_LENGTHS)
    return out | _ring(draws, known, disc / SCALE_LENGTHS, out["bar_length"])


def _whole(draws: Draws, of_type: Integers, known: Columns) -> Array:
    """Half-light semi-major axis, kpc, of the main galaxy."""
    mass, z, stage = known["log_mass"] + np.log10(1 - known["companion_share"]), known["z"], known["t_type"]
    early, late = relations.early_size(mass, z), relations.late_size(mass, z)
    # a lenticular lies between the two relations, as its star formation does
    part = np.interp(stage, [-4, -3, 0, 1.5], [0.0, 0.2, 0.5, 1.0])
    size = early ** (1 - part) * late**part * draws.scatter("size", 0.14)
    return np.where(is_type(of_type, "low_surface_brightness"), _faint(draws, known), size)


def _faint(draws: Draws, known: Columns) -> Array:
    """Half-light radius, kpc, of a disc whose face-on centre is fainter than 22.5 B mag/arcsec^2.

    The definition of Impey & Bothun 1997 (doi:10.1146/annurev.astro.35.1.267); within it brighter ones are more
    frequent in a magnitude-limited sample (O'Neil & Bothun 2000, doi:10.1086/308322). B from g and r by Jester+2005
    (doi:10.1086/432466), Table 1: B = g + 0.39 (g - r) + 0.21. An arcsec at 10 pc is 4.848e-5 pc.
    """
    _, light = _light(known)
    red = colour(np.clip(known["disc_sed"], 0, 3))
    blue = -2.5 * (known["log_mass"] + np.log10(light)) + 1.39 * red + 0.21
    centre = 22.5 + 1.2 * draws.uniform("faint") ** 2
    scale_length = np.sqrt(10 ** (0.4 * (centre - blue)) / (2 * np.pi)) * 4.848136811e-8
    return np.asarray(SCALE_LENGTHS * scale_length)


def _light(known: Columns) -> tuple[Array, Array]:
    """Share of the bulge in the light of the main galaxy, and that light per solar mass, rest-frame r."""
    bulge = known["bulge_share"] * light_per_mass(known["bulge_sed"])
    old = (known["disc_share"] + known["bar_share"]) * light_per_mass(known["disc_sed"])
    young = known["arm_share"] + known["ring_share"] + known["clump_share"]
    total = bulge + old + young * light_per_mass(known["young_sed"])
    return bulge / total, total


def _bulge(draws: Draws, of_type: Integers, known: Columns) -> Columns:
    """Index, axis ratio and boxiness of bulges and ellipticals.

    Ellipticals have axis ratios between 0.4 and 1 with a mean near 0.75 (Padilla & Strauss 2008,
    doi:10.1111/j.1365-2966.2008.13480.x); a bulge is oblate with an intrinsic ratio of 0.7. Massive ellipticals are
    boxy, others discy (Bender+1989); two edge-on bulges in five are boxy (Luetticke+2000, doi:10.1051/aas:2000354).
    """
    stage, tilt = known["t_type"], np.radians(known["inclination"])
    alone = stage <= -4
    small = is_type(of_type, "dwarf")
    index = np.where(alone, relations.spheroid_index(known["log_mass"]), relations.bulge_index(stage))
    index = index * draws.scatter("bulge index", 0.13)
    index = np.where(small, draws.uniform("dwarf index", 0.7, 1.6), np.clip(index, 0.6, 8.0))
    flat = np.clip(draws.normal("bulge flattening", 0.7, 0.1), 0.4, 1.0)
    seen = np.sqrt(np.cos(tilt) ** 2 + flat**2 * np.sin(tilt) ** 2)
    round_ = np.clip(1 - np.abs(draws.normal("ellipticity", 0.24, 0.15)), 0.35, 1.0)
    pure = draws.normal("boxiness", np.where(known["log_mass"] > 11.2, 0.15, -0.1), 0.12)
    boxy = draws.happens("boxy", 0.4) & (np.cos(tilt) < 0.35)
    inner = np.where(boxy, draws.uniform("boxiness", 0.5, 1.3), 0.0)
    return {
        "bulge_n": index,
        "bulge_q": np.where(alone, round_, seen),
        "bulge_boxiness": np.where(alone, pure, inner),
    }


def _bar(draws: Draws, known: Columns, scale_length: Array) -> Columns:
    """Length and direction of the bar; weak bars are shorter by a third (Erwin 2005)."""
    length = relations.bar_over_scale_length(known["t_type"]) * scale_length * draws.scatter("bar length", 0.15)
    barred = known["bar_share"] > 0
    weak = known["bar_q"] > 0.4
    length = np.minimum(np.where(weak, 0.67, 1.0) * length, 2.5 * scale_length)
    angle = draws.uniform("bar angle", 0, 180)
    return {"bar_length": np.where(barred, length, np.nan), "bar_angle": np.where(barred, angle, np.nan)}


def _ring(draws: Draws, known: Columns, scale_length: Array, bar: Array) -> Columns:
    """Inner rings at the end of the bar, outer ones at twice its length (Buta & Combes 1996); one in three is outer."""
    ringed = known["ring_share"] > 0
    inner = np.where(np.isfinite(bar), 1.05 * bar, scale_length * draws.uniform("ring radius", 0.9, 1.8))
    radius = np.where(draws.happens("outer ring", 0.33), 2.1 * inner, inner)
    width = radius * draws.uniform("ring width", 0.15, 0.35)
    return {"ring_radius": np.where(ringed, radius, np.nan), "ring_width": np.where(ringed, width, np.nan)}


def half_light(bulge: Array, bulge_n: Array, disc_n: Array, ratio: Array) -> Array:
    """Half-light radius of bulge and disc together over that of the disc, both seen face-on.

    Parameters
    ----------
    bulge : (B,) share of the bulge in the light.
    bulge_n, disc_n : (B,) Sersic indices.
    ratio : (B,) half-light radius of the bulge over that of the disc.
    """
    low, high = np.full(len(bulge), -7.0), np.full(len(bulge), 2.0)  # ln of the radius
    for _ in range(16):
        middle = (low + high) / 2
        light = bulge * within(bulge_n, middle - np.log(ratio)) + (1 - bulge) * within(disc_n, middle)
        low, high = np.where(light < 0.5, middle, low), np.where(light < 0.5, high, middle)
    return np.asarray(np.exp((low + high) / 2))


_INDEX = np.geomspace(0.5, 8.5, 60)
_RADIUS = np.linspace(-9, 7, 400)


def within(n: Array, log_radius: Array) -> Array:
    """Share of a Sersic profile's light within exp(`log_radius`) half-light radii; from a table, good to 1e-3."""
    table = _within()
    row = np.clip((np.log(n) - np.log(_INDEX[0])) / (np.log(_INDEX[1]) - np.log(_INDEX[0])), 0, len(_INDEX) - 1.001)
    column = np.clip((log_radius - _RADIUS[0]) / (_RADIUS[1] - _RADIUS[0]), 0, len(_RADIUS) - 1.001)
    i, j = row.astype(np.int64), column.astype(np.int64)
    a, b = row - i, column - j
    return np.asarray(
        (1 - a) * ((1 - b) * table[i, j] + b * table[i, j + 1])
        + a * ((1 - b) * table[i + 1, j] + b * table[i + 1, j + 1])
    )


@lru_cache(maxsize=1)
def _within() -> Array:
    """Graham & Driver 2005 (doi:10.1071/AS05001), eqs. 1 to 4: P(2n, b x^(1/n)) with P(2n, b) = 1/2."""
    from scipy.special import gammainc, gammaincinv

    n = _INDEX[:, None]
    return np.asarray(gammainc(2 * n, gammaincinv(2 * n, 0.5) * np.exp(_RADIUS / n)))
