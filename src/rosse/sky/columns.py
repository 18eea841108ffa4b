"""What is known of every object of the virtual sky: the columns of a population's table.

Lengths are physical (kpc) and angles are as seen, so that the same row can be looked at from any distance: the sky is
drawn once and observed by any survey at any redshift. A galaxy is a sum of `PARTS`; each has a share of the stellar
mass, a shape and a spectrum. What a row does not have is NaN where it would be a length, an angle or a shape, and 0
where it is a share, a count or an optical depth.

An artefact's row is that of a galaxy like any other, with all its columns, whose image is spoiled by `artefact`.
"""

from __future__ import annotations

from rosse.tables import Column

# In the order in which images of parts are stacked. `arms`, `ring` and `clumps` are light on top of the smooth disc;
# `tides` are tails, bridges and shells; `companion` is the other galaxy of a merger.
PARTS = ("bulge", "disc", "bar", "arms", "ring", "clumps", "tides", "companion")

KINDS = ("galaxy", "star", "artefact")

TYPES = (
    "elliptical",
    "lenticular",
    "spiral",
    "edge_on",
    "irregular",
    "merger",
    "dwarf",
    "low_surface_brightness",
    "star",
    "artefact",
)

ARTEFACTS = ("none", "trail", "ghost", "bleed", "bad_zoom")

COLUMNS = (
    Column(name="id", dtype="i8", description="row of the population: with its seed, all there is to know"),
    Column(name="kind", dtype="str", description="galaxy, star or artefact"),
    Column(name="type", dtype="str", description="what an expert would call it: " + ", ".join(TYPES)),
    Column(name="t_type", description="Hubble stage, -5 (elliptical) to 10 (irregular); NaN for what is no galaxy"),
    Column(name="z", description="redshift; 0 for a star"),
    Column(name="log_mass", unit="dex(Msun)", description="stellar mass, all parts together"),
    Column(name="mag_r", unit="mag", description="apparent AB magnitude in SDSS r, all parts, behind its own dust"),
    Column(name="log_sfr", unit="dex(Msun/yr)", description="star formation rate"),
    Column(name="log_oh", unit="dex", description="gas metallicity, 12 + log(O/H), O3N2 scale"),
    Column(name="r_e", unit="kpc", description="half-light semi-major axis in r, face-on, without companion and tides"),
    Column(name="pa", unit="deg", description="major axis (line of nodes of the disc), degrees east of north"),
    Column(name="inclination", unit="deg", description="of the disc, 0 is face-on"),
    # bulge: an ellipse on the sky
    Column(name="bulge_share", description="share of the stellar mass in the bulge; 1 for an elliptical"),
    Column(name="bulge_r_e", unit="kpc", description="half-light semi-major axis of the bulge"),
    Column(name="bulge_n", description="Sersic index of the bulge"),
    Column(name="bulge_q", description="axis ratio of the bulge as seen"),
    Column(name="bulge_boxiness", description="C0 of its isophotes: > 0 boxy, < 0 discy (Peng+2010)"),
    Column(name="bulge_sed", description="spectrum: 0 = E, 1 = Sbc, 2 = Scd, 3 = Im, mixed in between"),
    # disc: flat, seen under `inclination`
    Column(name="disc_share", description="share of the stellar mass in the smooth disc"),
    Column(name="disc_r_e", unit="kpc", description="half-light radius of the disc in its own plane"),
    Column(name="disc_n", description="Sersic index of the disc"),
    Column(name="disc_thickness", description="scale height over scale length of the disc"),
    Column(name="disc_sed", description="spectrum of the smooth disc, bar and tides, as bulge_sed"),
    Column(name="lopsidedness", description="amplitude of the disc's first Fourier mode"),
    Column(name="disorder", description="0 = a smooth disc, 1 = patches only (irregulars)"),
    # bar: in the plane of the disc
    Column(name="bar_share", description="share of the stellar mass in the bar"),
    Column(name="bar_length", unit="kpc", description="semi-major axis of the bar in the disc's plane"),
    Column(name="bar_q", description="axis ratio of the bar in the disc's plane"),
    Column(name="bar_angle", unit="deg", description="bar from the line of nodes, in the disc's plane"),
    # spiral arms: logarithmic, in the plane of the disc
    Column(name="arm_share", description="share of the stellar mass in the arms, above the smooth disc"),
    Column(name="arm_count", dtype="i4", description="number of arms; 0: none"),
    Column(name="arm_pitch", unit="deg", description="pitch angle of the arms: small is tightly wound"),
    Column(name="arm_phase", unit="deg", description="azimuth of the first arm at its inner radius"),
    Column(name="arm_turn", dtype="i4", description="+1: the arms trail counterclockwise on the sky, -1: clockwise"),
    Column(name="arm_width", description="full width at half maximum of an arm over the gap between arms"),
    Column(name="arm_start", unit="kpc", description="radius where the arms begin (the bar's end, if there is one)"),
    Column(name="arm_reach", unit="kpc", description="radius where the arms fade"),
    Column(name="flocculence", description="0 = grand design, 1 = flocculent: broken into pieces"),
    Column(name="young_sed", description="spectrum of arms, ring and clumps, as bulge_sed"),
    # ring and clumps: in the plane of the disc
    Column(name="ring_share", description="share of the stellar mass in the ring"),
    Column(name="ring_radius", unit="kpc", description="radius of the ring in the disc's plane"),
    Column(name="ring_width", unit="kpc", description="full width at half maximum of the ring"),
    Column(name="clump_share", description="share of the stellar mass in star-forming clumps"),
    Column(name="clump_count", dtype="i4", description="number of star-forming clumps (HII regions)"),
    # dust
    Column(name="dust_tau", description="face-on optical depth of the disc's dust at 550 nm, at the centre"),
    Column(name="dust_lane", description="scale height of the dust over that of the stars; 0: no dust lane"),
    # mergers
    Column(name="merger_stage", dtype="i4", description="0: none, 1: pair, 2: first passage, 3: merging, 4: remnant"),
    Column(name="companion_share", description="share of the stellar mass in the companion"),
    Column(name="companion_x", unit="kpc", description="companion from the centre, to the west, as seen"),
    Column(name="companion_y", unit="kpc", description="companion from the centre, to the north, as seen"),
    Column(name="companion_r_e", unit="kpc", description="half-light semi-major axis of the companion"),
    Column(name="companion_n", description="Sersic index of the companion"),
    Column(name="companion_q", description="axis ratio of the companion as seen"),
    Column(name="companion_pa", unit="deg", description="position angle of the companion, east of north"),
    Column(name="companion_sed", description="spectrum of the companion, as bulge_sed"),
    Column(name="tide_share", description="share of the stellar mass in tails, bridges and shells"),
    Column(name="tail_count", dtype="i4", description="number of tidal tails (0 to 2)"),
    Column(name="tail_length", unit="kpc", description="length of the tails along their arc"),
    Column(name="tail_curl", unit="deg", description="angle through which a tail turns"),
    Column(name="shell_count", dtype="i4", description="number of shells"),
    Column(name="shell_reach", unit="kpc", description="radius of the outermost shell"),
    # stars and artefacts
    Column(name="temperature", unit="K", description="effective temperature of a star; NaN else"),
    Column(name="artefact", dtype="str", description="what spoils the image: " + ", ".join(ARTEFACTS)),
    Column(name="artefact_strength", description="0 to 1: from barely seen to all there is"),
)
