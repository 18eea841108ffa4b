"""Of what a galaxy is made: which parts it has, their shares of its mass and their spectra.

Nothing here depends on distance: a magnitude-limited sample is chosen by the light that follows from it.
"""

from __future__ import annotations

import numpy as np

from rosse.sky import hubble, relations
from rosse.sky.columns import TYPES
from rosse.sky.draws import Array, Draws, Flags, Integers

Columns = dict[str, Array]


def is_type(of_type: Integers, *names: str) -> Flags:
    """(B,) whether a row is of one of these types."""
    return np.isin(of_type, [TYPES.index(name) for name in names])


def structure(draws: Draws, of_type: Integers, log_mass: Array, offset: Array) -> Columns:
    """Parts, shares and spectra of galaxies.

    Parameters
    ----------
    draws : chance of B rows.
    of_type : (B,) positions in `columns.TYPES`, galaxies only.
    log_mass : (B,) stellar mass, dex(Msun).
    offset : (B,) star formation above what is usual at this type and mass, in units of its scatter: it makes spectra
        young or old.

    Returns
    -------
    dict
        Columns, (B,) each: Hubble stage, inclination, shares, counts and spectra.
    """
    stage = hubble.stages(draws, of_type, log_mass)
    out: Columns = {"t_type": stage, "inclination": _inclination(draws, of_type, stage)}
    out |= _spectra(draws, of_type, stage, log_mass, offset)
    out |= _merger(draws, of_type)
    main = 1 - out["companion_share"] - out["tide_share"]
    bulge = _bulge_share(draws, of_type, stage)
    rest = main * (1 - bulge)
    out |= _bar(draws, of_type, stage) | _arms(draws, of_type, stage) | _rings(draws, of_type, stage)
    out |= _clumps(draws, of_type, stage, offset)
    extra = ("bar_share", "arm_share", "ring_share", "clump_share")
    for name in extra:
        out[name] = out[name] * rest
    disc = rest - sum(out[name] for name in extra)
    return out | {"bulge_share": main * bulge, "disc_share": np.where(bulge >= 1, 0.0, disc)}


def _inclination(draws: Draws, of_type: Integers, stage: Array) -> Array:
    """Degrees; cos i is uniform, within what the type means. An elliptical has none: 0."""
    edge = np.cos(np.radians(hubble.EDGE_ON))
    flat = is_type(of_type, "lenticular", "spiral", "low_surface_brightness")
    low = np.where(flat, edge, 0.0)
    high = np.where(is_type(of_type, "edge_on"), edge, 1.0)
    cosine = low + (high - low) * draws.uniform("inclination")
    return np.where(stage <= -4, 0.0, np.degrees(np.arccos(cosine)))


def _spectra(draws: Draws, of_type: Integers, stage: Array, log_mass: Array, offset: Array) -> Columns:
    """Numbers of spectra: later types are younger, and massive galaxies older.

    The medians reproduce the colours of Hubble types (Fukugita+1995, doi:10.1086/133643, Table 3a) and the slope of the
    red sequence, -0.02 mag in g - r per mag (Bernardi+2003, doi:10.1086/367794).
    """
    massive = log_mass - 10.5
    old = 0.32 - 0.12 * massive + 0.07 * offset
    by_stage = np.interp(stage, [-5, -3, 0, 1, 3, 5, 7, 10], [0.32, 0.4, 0.6, 0.8, 1.15, 1.55, 1.9, 2.3])
    disc = by_stage - 0.2 * np.maximum(massive, -1.2) * (stage > 0) - 0.12 * massive * (stage <= 0)
    disc += np.interp(stage, [-1, 1, 5, 8, 10], [0.1, 0.3, 0.36, 0.3, 0.2]) * offset
    disc += np.where(is_type(of_type, "low_surface_brightness", "merger") & (stage > 0), 0.15, 0.0)
    disc = np.clip(disc, 0.0, 2.9)
    pseudo = np.clip((stage - 1) / 5, 0, 1) * 0.6  # bulges of late types grew out of the disc and share its stars
    bulge = np.clip((1 - pseudo) * old + pseudo * disc, 0.0, 2.9)
    young = np.clip(disc + 0.55 + 0.2 * draws.normal("young"), disc, 3.0)
    companion = np.clip(draws.normal("companion stars", 1.0, 0.7) + 0.3 * offset, 0.0, 2.9)
    return {"bulge_sed": bulge, "disc_sed": disc, "young_sed": young, "companion_sed": companion}


def _bulge_share(draws: Draws, of_type: Integers, stage: Array) -> Array:
    """Share of the main galaxy's mass."""
    share = relations.bulge_to_total(stage) * 10 ** (np.interp(stage, [-3, 3], [0.13, 0.25]) * draws.normal("bulge"))
    share = np.clip(share, 0.0, 0.75)
    without = draws.happens("bulgeless", np.interp(stage, [2, 5, 8], [0.0, 0.25, 0.8]))
    no_bulge = without | is_type(of_type, "irregular") | (is_type(of_type, "dwarf") & (stage > 0))
    share = np.where(no_bulge, 0.0, share)
    share = np.where(is_type(of_type, "low_surface_brightness"), 0.5 * share, share)
    return np.where(stage <= -4, 1.0, share)


def _bar(draws: Draws, of_type: Integers, stage: Array) -> Columns:
    """Bars: one disc in three has a strong one and as many a weak one (Eskridge+2000, doi:10.1086/301203).

    Lenticulars have fewer (Barway+2011, MNRAS 410, L18). A strong bar holds about 15 % of the disc's mass, a weak one
    5 % (Gadotti 2011, doi:10.1111/j.1365-2966.2011.18945.x).
    """
    disc = is_type(of_type, "spiral", "edge_on", "lenticular", "merger", "low_surface_brightness") & (stage > -4)
    often = np.where(is_type(of_type, "merger", "low_surface_brightness"), 0.5, np.where(stage < 0.5, 0.65, 1.0))
    kind = draws.choice("bar", np.stack([1 - 0.66 * often, 0.33 * often, 0.33 * often], -1))
    kind = np.where(disc, kind, 0)
    share = np.select([kind == 1, kind == 2], [0.05, 0.15], default=0.0) * draws.scatter("bar share", 0.13)
    strong, weak = draws.uniform("bar shape", 0.2, 0.4), draws.uniform("bar shape", 0.4, 0.65)
    return {"bar_share": share, "bar_q": np.select([kind == 1, kind == 2], [weak, strong], default=np.nan)}


def _arms(draws: Draws, of_type: Integers, stage: Array) -> Columns:
    """Number of arms, how broken they are, and their share of the disc.

    Numbers by Hart+2016 (`relations.ARM_SHARES`). A third of spirals is grand-design, a third flocculent, the rest in
    between (Elmegreen & Elmegreen 1987, doi:10.1086/165034; Buta+2015); two arms are rarely flocculent.
    """
    armed = is_type(of_type, "spiral", "low_surface_brightness") | (
        is_type(of_type, "edge_on", "merger") & (stage > 0.5)
    )
    count = np.where(armed, 1 + draws.choice("arms", relations.ARM_SHARES), 0)
    u = draws.uniform("flocculence")
    broken = np.where(count == 2, u**1.8, u**0.7)
    share = 0.16 * draws.scatter("arm share", 0.18) * np.interp(stage, [0, 2, 5, 8], [0.6, 1.0, 1.1, 0.8])
    share *= np.where(is_type(of_type, "low_surface_brightness"), 0.6, 1.0)
    return {
        "arm_count": count,
        "arm_share": np.where(count > 0, share, 0.0),
        "flocculence": np.where(count > 0, broken, np.nan),
    }


def _rings(draws: Draws, of_type: Integers, stage: Array) -> Columns:
    """Rings one would notice: 12 % of lenticulars, 18 % of Sa to Sb, 5 % of later spirals.

    Complete rings, inner and outer, of Buta+2015 (doi:10.1088/0067-0049/217/2/32, Sect. 5); pseudo-rings count as arms.
    """
    chance_of = np.interp(stage, [-3, -0.5, 0, 3, 4, 6, 8], [0.10, 0.14, 0.18, 0.18, 0.08, 0.04, 0.02])
    chance_of = np.where(is_type(of_type, "spiral", "lenticular", "edge_on"), chance_of, 0.0)
    ringed = draws.happens("ring", chance_of)
    share = np.interp(stage, [-1, 1], [0.025, 0.06]) * draws.scatter("ring share", 0.25)
    return {"ring_share": np.where(ringed, share, 0.0)}


def _clumps(draws: Draws, of_type: Integers, stage: Array, offset: Array) -> Columns:
    """Star-forming regions: their number and share of the disc, more in late types that form many stars.

    About 1 % of the mass and a tenth of the light in late spirals, up to a third of the light in irregulars
    (Kennicutt, Edgar & Hodge 1989, doi:10.1086/167147; Elmegreen+2009).
    """
    number = np.interp(stage, [0, 1, 3, 5, 8, 10], [0.0, 4.0, 20.0, 40.0, 30.0, 16.0])
    number = number * 10 ** (0.15 * offset) * draws.scatter("clumps", 0.2)
    number = np.where(is_type(of_type, "dwarf", "low_surface_brightness"), 0.4 * number, number)
    count = np.where(stage > 0, np.rint(number), 0.0)
    share = np.interp(stage, [1, 5, 8, 10], [0.004, 0.012, 0.02, 0.04]) * draws.scatter("clump share", 0.25)
    share = np.where(is_type(of_type, "low_surface_brightness"), 0.4 * share, share)
    return {"clump_count": count, "clump_share": np.where(count > 0, np.minimum(share, 0.4), 0.0)}


def _merger(draws: Draws, of_type: Integers) -> Columns:
    """Stage and shares of mergers: major ones, mass ratio 1:1 to 1:4, flat in its logarithm (Lotz+2011)."""
    merging = is_type(of_type, "merger")
    stage = np.where(merging, 1 + draws.choice("merger stage", (0.35, 0.3, 0.2, 0.15)), 0)
    ratio = 10 ** draws.uniform("mass ratio", -0.6, 0.0)
    tides = np.select([stage == 1, stage == 2, stage == 3, stage == 4], [0.01, 0.08, 0.12, 0.08], default=0.0)
    tides *= draws.scatter("tides", 0.15)
    # at stage 3 two nuclei stand in one envelope, at stage 4 the companion is gone
    companion = np.where((stage >= 1) & (stage <= 3), ratio / (1 + ratio) * (1 - tides), 0.0)
    return {"merger_stage": stage, "companion_share": companion, "tide_share": tides}
