"""What makes a galaxy this one and no other: arms, dust, disorder, gas, and the other galaxy of a merger."""

from __future__ import annotations

import numpy as np

from rosse.sky import relations
from rosse.sky.draws import Array, Draws, Integers
from rosse.sky.sizes import SCALE_LENGTHS
from rosse.sky.structure import Columns, is_type


def details(draws: Draws, of_type: Integers, known: Columns, offset: Array) -> Columns:
    """Columns that follow once structure, redshift and sizes are known; (B,) each.

    `offset` is the star formation above what is usual at this type and mass, as in `structure.structure`.
    """
    out = {"pa": draws.uniform("pa", 0, 180)}
    out |= _arms(draws, of_type, known) | _disorder(draws, of_type, known) | _dust(draws, of_type, known)
    out |= _gas(draws, of_type, known, offset) | _companion(draws, known) | _tides(draws, known)
    return out | _absent(known)


def _absent(known: Columns) -> Columns:
    """NaN for what a galaxy without that part does not have; tides are made of the disc's stars."""
    young = known["arm_share"] + known["ring_share"] + known["clump_share"]
    holders = {
        "inclination": known["disc_share"],
        "bulge_sed": known["bulge_share"],
        "disc_sed": known["disc_share"] + known["tide_share"],
        "young_sed": young,
    }
    return {name: np.where(share > 0, known[name], np.nan) for name, share in holders.items()}


def _arms(draws: Draws, of_type: Integers, known: Columns) -> Columns:
    """Arms begin at the bar's end or at half a scale length, and fade at three to four scale lengths or earlier.

    An arm can be followed over half a turn to a little more than one, as in pictures of the galaxies that Kennicutt
    1981 (doi:10.1086/113064) measured; tight arms begin farther out, so that they end in the outer disc all the same.
    """
    armed = known["arm_count"] > 0
    scale_length = known["disc_r_e"] / SCALE_LENGTHS
    pitch = draws.normal("pitch", relations.pitch_angle(known["t_type"]), 5.0)
    pitch = 5.0 + np.abs(pitch - 5.0)  # what the scatter makes tighter than 5 degrees is folded back
    disturbed = is_type(of_type, "merger")
    pitch = np.where(disturbed, np.minimum(pitch * 1.4, 50.0), pitch)
    growth = np.exp(np.tan(np.radians(pitch)) * 2 * np.pi * draws.uniform("arm turns", 0.5, 1.2))  # of its radius
    reach = scale_length * draws.uniform("arm reach", 2.8, 4.2)
    inner = np.maximum(scale_length * draws.uniform("arm start", 0.3, 0.8), 0.8 * reach / growth)
    start = np.where(known["bar_share"] > 0, known["bar_length"], np.minimum(inner, 1.6 * scale_length))
    reach = np.maximum(np.minimum(reach, start * growth), 1.6 * start)
    values = {
        "arm_pitch": pitch,
        "arm_phase": draws.uniform("arm phase", 0, 360),
        "arm_width": draws.uniform("arm width", 0.22, 0.5),
        "arm_start": start,
        "arm_reach": reach,
    }
    out = {name: np.where(armed, value, np.nan) for name, value in values.items()}
    turn = np.where(draws.happens("arm turn", 0.5), 1, -1)
    return out | {"arm_turn": np.where(armed, turn, 0)}


def _disorder(draws: Draws, of_type: Integers, known: Columns) -> Columns:
    """Lopsidedness and patches.

    Mean amplitude of the first mode 0.1 in spirals (Rix & Zaritsky 1995, doi:10.1086/175858), twice that in late types
    (Bournaud+2005) and more in mergers.
    """
    has_disc, stage = known["disc_share"] > 0, known["t_type"]
    usual = np.interp(stage, [-3, 1, 5, 8, 10], [0.03, 0.06, 0.10, 0.18, 0.22])
    usual = np.where(known["merger_stage"] >= 2, 0.3, usual)
    lopsided = np.minimum(usual * draws.scatter("lopsided", 0.25), 0.6)
    patchy = np.interp(stage, [0, 3, 7, 8.5, 10], [0.0, 0.05, 0.15, 0.3, 0.45]) * draws.scatter("disorder", 0.15)
    patchy = np.where(is_type(of_type, "dwarf"), 0.5 * patchy, patchy)
    patchy = np.where(known["merger_stage"] == 3, patchy + 0.3, patchy)
    return {
        "lopsidedness": np.where(has_disc, lopsided, 0.0),
        "disorder": np.where(has_disc, np.clip(patchy, 0, 1), 0.0),
    }


def _dust(draws: Draws, of_type: Integers, known: Columns) -> Columns:
    """Optical depth and thickness of the dust.

    Central face-on optical depth of spirals 3.8 in B (Driver+2007, doi:10.1111/j.1365-2966.2007.11862.x), that is 2.9
    at 550 nm (Cardelli+1989), less in lenticulars and with the metallicity of small galaxies. Dust is half as thick as
    the stars (Xilouris+1999, astro-ph/9810469), but no lane forms below 10^9.5 Msun (Dalcanton+2004,
    doi:10.1086/386358).
    """
    stage, mass, has_disc = known["t_type"], known["log_mass"], known["disc_share"] > 0
    tau = np.interp(stage, [-3, -1, 0, 1, 3, 5, 7, 10], [0.15, 0.4, 1.0, 2.2, 2.9, 2.6, 1.6, 0.6])
    tau = tau * 10 ** (0.5 * np.clip(mass - 10.2, -1.5, 0.4)) * draws.scatter("dust", 0.2)
    tau = np.where(is_type(of_type, "low_surface_brightness"), 0.3 * tau, tau)
    tau = np.where(known["merger_stage"] == 3, 1.5 * tau, tau)
    lane = np.clip(draws.normal("dust lane", 0.5, 0.1), 0.2, 0.9)
    lane = np.where((mass > 9.5) & has_disc & (tau > 0.3), lane, 0.0)
    return {"dust_tau": np.where(has_disc, np.minimum(tau, 8.0), 0.0), "dust_lane": lane}


def _gas(draws: Draws, of_type: Integers, known: Columns, offset: Array) -> Columns:
    """Star formation and metallicity.

    Offsets from the main sequence by Hubble stage after Gonzalez Delgado+2016 (doi:10.1051/0004-6361/201628174,
    Fig. 5).
    """
    mass, stage = known["log_mass"], known["t_type"]
    below = np.interp(stage, [-5, -3, -1, 0, 1, 2, 3, 5, 10], [-2.2, -1.9, -1.4, -0.9, -0.5, -0.25, -0.1, 0.0, 0.05])
    below = np.where(known["merger_stage"] >= 2, below + 0.3, below)
    sfr = relations.star_formation(mass, known["z"]) + below
    sfr += np.where(stage <= 0, 0.45, 0.22) * offset + draws.normal("star formation", sigma=0.1)
    metal = relations.metallicity(mass) + draws.normal("metallicity", sigma=0.1)
    metal = np.where(is_type(of_type, "low_surface_brightness"), metal - 0.2, metal)
    return {"log_sfr": sfr, "log_oh": metal}


def _companion(draws: Draws, known: Columns) -> Columns:
    """The other galaxy: 2 to 4.5 half-light radii away as a pair, 1.2 to 2.8 after the first passage, then closer."""
    stage, there = known["merger_stage"], known["companion_share"] > 0
    low, high = (
        np.select([stage == 1, stage == 2], [2.0, 1.2], 0.2),
        np.select([stage == 1, stage == 2], [4.5, 2.8], 0.8),
    )
    distance = known["r_e"] * (low + (high - low) * draws.uniform("companion distance"))
    angle = 2 * np.pi * draws.uniform("companion angle")
    mass = known["log_mass"] + np.log10(np.maximum(known["companion_share"], 1e-6))
    size = relations.late_size(mass, known["z"]) * draws.scatter("companion size", 0.14)
    early = known["companion_sed"] < 0.6
    size = np.where(early, relations.early_size(mass, known["z"]), size)
    values = {
        "companion_x": distance * np.cos(angle),
        "companion_y": distance * np.sin(angle),
        "companion_r_e": np.where(stage == 3, 0.5 * size, size),
        "companion_n": np.where(early, 3.5, 1.2) * draws.scatter("companion index", 0.12),
        "companion_q": draws.uniform("companion q", 0.3, 1.0),
        "companion_pa": draws.uniform("companion pa", 0, 180),
    }
    out = {name: np.where(there, value, np.nan) for name, value in values.items()}
    return out | {"companion_sed": np.where(there, known["companion_sed"], np.nan)}


def _tides(draws: Draws, known: Columns) -> Columns:
    """Tails grow out of discs, shells around what has no disc left (Toomre & Toomre 1972; Atkinson+2013)."""
    stage, disc = known["merger_stage"], known["disc_share"] > 0
    shells = (stage >= 3) & (~disc | draws.happens("shelled", 0.3))
    tails = np.select(
        [stage == 2, stage == 3, (stage == 4) & ~shells], [1 + draws.choice("tails", (0.35, 0.65))] * 3, 0
    )
    tails = np.where((stage == 1) & draws.happens("early tail", 0.3), 1, tails)
    length = known["r_e"] * draws.uniform("tail length", 3.0, 8.0)
    number = np.where(shells, 2 + draws.choice("shells", (0.3, 0.3, 0.25, 0.15)), 0)
    return {
        "tail_count": tails,
        "tail_length": np.where(tails > 0, length, np.nan),
        "tail_curl": np.where(tails > 0, draws.uniform("tail curl", 30, 150), np.nan),
        "shell_count": number,
        "shell_reach": np.where(number > 0, known["r_e"] * draws.uniform("shell reach", 3.0, 6.0), np.nan),
    }
