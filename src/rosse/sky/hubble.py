"""Which types of galaxies there are at a mass, and their Hubble stages."""

from __future__ import annotations

import numpy as np

from rosse.sky.columns import TYPES
from rosse.sky.draws import Array, Draws, Integers
from rosse.sky.relations import hubble_class_shares

GALAXIES = TYPES[:8]  # those that mass and light decide on; stars and artefacts come after
EDGE_ON = 80.0  # degrees of inclination from which a disc is called edge-on
_SEEN_EDGE_ON = float(np.cos(np.radians(EDGE_ON)))  # share of discs that are seen so: cos i is uniform
LARGEST_DWARF = 9.5  # dex(Msun)
LENTICULAR = 0.6  # share of S0 among S0-Sa
# Two in three galaxies that look elliptical rotate as discs do (Emsellem+2011, doi:10.1111/j.1365-2966.2011.18496.x).
# A quarter of the class E counts as lenticular here, which leaves as many ellipticals as Nair & Abraham 2010
# (doi:10.1088/0067-0049/186/2/427) see among bright galaxies.
DISCY = 0.25
EARLY_MERGERS = 0.5  # early types are half as frequent in mergers as elsewhere (Darg+2010b, MNRAS 401, 1552)
MERGERS = 0.03  # Darg+2010 (doi:10.1111/j.1365-2966.2009.15786.x): 1.5 to 4.5 % of nearby galaxies


def _step(log_mass: Array, middle: float, width: float) -> Array:
    """One for small masses, zero for large ones."""
    return np.asarray(1 / (1 + 10 ** ((log_mass - middle) / width)))


def faint_discs(log_mass: Array) -> Array:
    """Share of discs of low surface brightness: a tenth of small discs, few massive ones.

    Between Minchin+2004 (doi:10.1111/j.1365-2966.2004.08409.x) and the shares in SDSS (Zhong+2008,
    doi:10.1111/j.1365-2966.2008.13972.x), rounded.
    """
    return 0.15 * _step(log_mass, 9.8, 0.6)


def type_shares(log_mass: Array) -> Array:
    """Shares, (..., 8), of `GALAXIES` at a stellar mass.

    The classes of Kelvin+2014 (`relations.hubble_class_shares`), divided further: part of E counts as
    lenticular, S0-Sa falls into lenticulars and spirals,
    Sd-Irr by mass (10^9.2 Msun) into spirals and irregulars, and what is below about 10^8.9 Msun and no spiral into
    dwarfs. Discs of low surface brightness take `faint_discs`, mergers a fixed share of all, and a disc is edge-on
    when its inclination is above `EDGE_ON`.
    """
    round_, early, late, last = np.moveaxis(hubble_class_shares(log_mass), -1, 0)
    elliptical = (1 - DISCY) * round_
    small = np.where(log_mass < LARGEST_DWARF, _step(log_mass, 8.9, 0.2), 0.0)
    irregular = _step(log_mass, 9.2, 0.4)
    dwarf = small * (elliptical + 0.6 * irregular * last)
    lenticular = LENTICULAR * early + DISCY * round_
    spiral = (1 - LENTICULAR) * early + late + (1 - irregular) * last
    faint = faint_discs(log_mass)
    ragged = (1 - 0.6 * small) * irregular * last
    shares = {
        "elliptical": (1 - small) * elliptical,
        "lenticular": (1 - _SEEN_EDGE_ON) * lenticular,
        "spiral": (1 - _SEEN_EDGE_ON) * (1 - faint) * spiral,
        "edge_on": _SEEN_EDGE_ON * (lenticular + (1 - faint) * spiral),
        "irregular": (1 - faint) * ragged,
        "dwarf": dwarf,
        "low_surface_brightness": faint * (spiral + ragged),
    }
    kept = {name: (1 - MERGERS) * share for name, share in shares.items()} | {"merger": np.full_like(small, MERGERS)}
    return np.stack([kept[name] for name in GALAXIES], axis=-1)


def stages(draws: Draws, of_type: Integers, log_mass: Array) -> Array:
    """(B,) Hubble stage of galaxies of these types and masses.

    Spirals are Sa (0 to 1.5), Sab to Scd (1.5 to 6.5, later at lower mass) or Sd to Sdm (6.5 to 8.5), in the shares of
    Kelvin+2014. A merger's main galaxy is of any of these, early types half as often as elsewhere.
    """
    round_, early, late, last = np.moveaxis(hubble_class_shares(log_mass), -1, 0)
    elliptical = (1 - DISCY) * round_
    irregular = _step(log_mass, 9.2, 0.4)
    middle = 1.5 + np.abs(draws.normal("stage", 4.2, 1.1) - 1.2 * (log_mass - 10.3) - 1.5)
    middle = np.minimum(middle, 6.5 - 0.5 * draws.uniform("stage within"))
    u = draws.uniform("stage within")
    options = np.stack([np.full_like(u, -5.0), -3 + 3 * u, 1.5 * u, middle, 6.5 + 2 * u], axis=-1)
    none = np.zeros_like(u)
    discs = [none, none, (1 - LENTICULAR) * early, late, (1 - irregular) * last]
    flat = [none, LENTICULAR * early + DISCY * round_, *discs[2:]]
    shares = {
        "spiral": discs,
        "edge_on": flat,
        "merger": [EARLY_MERGERS * elliptical, EARLY_MERGERS * flat[1], *flat[2:]],
    }
    stage = np.select(
        [of_type == TYPES.index(name) for name in ("elliptical", "lenticular", "irregular", "low_surface_brightness")],
        [options[:, 0], options[:, 1], 8.5 + 1.5 * u, 4.5 + 4.5 * u],
        default=np.nan,
    )
    for name, each in shares.items():
        picked = np.take_along_axis(options, draws.choice("stage class", np.stack(each, -1))[:, None], 1)[:, 0]
        stage = np.where(of_type == TYPES.index(name), picked, stage)
    quiet = draws.happens("stage class", elliptical / (elliptical + 0.6 * irregular * last))
    return np.where(of_type == TYPES.index("dwarf"), np.where(quiet, -5.0, 9 + u), stage)
