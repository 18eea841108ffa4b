"""Transmission curves of the surveys' bands: GalSim's files where it has them, else published curves as broken lines.

A curve is total throughput (telescope, filter, detector, and air for telescopes on the ground) in any unit: AB
magnitudes do not depend on its scale.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rosse.errors import OptionError, require
from rosse.surveys import Survey

Array = NDArray[np.float64]
Corners = tuple[tuple[float, float], ...]  # (wavelength in nm, throughput), straight lines in between


def _flat(blue: float, red: float, edge: float) -> Corners:
    """Trapezoid between two half-power wavelengths, with edges that are `edge` nm wide."""
    half = edge / 2
    return ((blue - half, 0.0), (blue + half, 1.0), (red - half, 1.0), (red + half, 0.0))


# Doi+2010 (doi:10.1088/0004-6256/139/4/1628), Table 4, airmass 1.3, as broken lines.
_SDSS: dict[str, Corners] = {
    "u": ((298, 0), (306, 0.005), (314, 0.028), (328, 0.091), (340, 0.127), (354, 0.152), (368, 0.164), (372, 0.161),
          (378, 0.142), (386, 0.074), (390, 0.041), (396, 0.011), (404, 0)),
    "g": ((376, 0), (386, 0.035), (402, 0.240), (414, 0.341), (430, 0.394), (450, 0.434), (510, 0.477), (521, 0.465),
          (526, 0.433), (534, 0.201), (540, 0.058), (550, 0.010), (564, 0)),
    "r": ((540, 0), (548, 0.039), (564, 0.321), (570, 0.391), (584, 0.445), (600, 0.469), (630, 0.497), (658, 0.499),
          (664, 0.478), (668, 0.432), (678, 0.159), (684, 0.050), (704, 0)),
    "i": ((664, 0), (676, 0.023), (684, 0.116), (696, 0.357), (704, 0.446), (716, 0.481), (730, 0.466), (750, 0.434),
          (782, 0.364), (806, 0.336), (812, 0.322), (816, 0.276), (824, 0.087), (830, 0.021), (840, 0)),
    "z": ((796, 0), (808, 0.008), (820, 0.031), (832, 0.062), (844, 0.082), (856, 0.090), (868, 0.091), (880, 0.085),
          (900, 0.069), (930, 0.049), (970, 0.028), (1000, 0.013), (1040, 0.003), (1110, 0)),
}  # fmt: skip

# Half-power wavelengths with the atmosphere: Flaugher+2015 (DECam), Abbott+2021.
_DECAM: dict[str, Corners] = {
    "g": ((388, 0), (400, 0.40), (412, 0.66), (430, 0.80), (460, 0.92), (500, 1.0), (540, 1.0), (547, 0.50), (554, 0)),
    "r": _flat(568, 716, 14),
    "i": _flat(709, 856, 14),
    "z": ((843, 0), (857, 1.0), (930, 0.85), (985, 0.62), (1008, 0)),
    "Y": ((945, 0), (960, 1.0), (1000, 0.60), (1035, 0.30), (1065, 0)),
}

# Survey → band → GalSim file or corners.
FILTERS: dict[str, dict[str, str | Corners]] = {
    "sdss": dict(_SDSS),
    "decals": {band: _DECAM[band] for band in "grz"},
    # Zou+2017 (BASS), Dey+2019 (MzLS)
    "bass-mzls": {"g": _flat(410, 551, 14), "r": _flat(566, 711, 14), "z": _flat(850, 1000, 30)},
    "des": dict(_DECAM),
    # Kawanomoto+2018, with CCD and air
    "hsc": {
        "g": _flat(405, 547, 14),
        "r": _flat(546, 696, 12),
        "i": _flat(696, 848, 12),
        "z": _flat(853, 931, 10),
        "y": ((925, 0), (940, 1.0), (1000, 0.75), (1040, 0.35), (1075, 0)),
    },
    "lsst": {band: f"LSST_{band}.dat" for band in "ugrizy"},
    # Euclid Collaboration: Cropper+2025: 530 to 920 nm
    "euclid-vis": {"VIS": ((520, 0), (555, 1.0), (700, 0.98), (800, 0.90), (880, 0.70), (905, 0.60), (930, 0))},
    "hst-acs": {band: f"ACS_wfc_{band}.dat" for band in ("F435W", "F606W", "F775W", "F814W", "F850LP")},
    # Half-power wavelengths of the JWST user documentation, NIRCam filters
    "jwst-nircam": {
        "F090W": _flat(795, 1005, 12),
        "F115W": _flat(1013, 1282, 14),
        "F150W": _flat(1331, 1668, 18),
        "F200W": _flat(1755, 2226, 22),
        "F277W": _flat(2423, 3132, 30),
        "F356W": _flat(3135, 3981, 40),
        "F444W": _flat(3881, 4982, 50),
    },
    # Gong+2019, Table 1 (wavelengths of 90 % of the throughput)
    "csst": {
        "NUV": _flat(255, 317, 6),
        "u": _flat(322, 396, 8),
        "g": _flat(403, 545, 10),
        "r": _flat(554, 684, 10),
        "i": _flat(695, 833, 12),
        "z": ((839, 0), (853, 1.0), (930, 0.75), (1000, 0.40), (1080, 0)),
        "y": ((930, 0), (944, 1.0), (1000, 0.60), (1080, 0)),
    },
}


def curve(survey: Survey, band: str) -> tuple[Array, Array]:
    """Wavelengths, nm, and throughput of a band; a survey of your own with bands u, g, r, i, z gets those of SDSS.

    Returns
    -------
    tuple
        (W,) wavelengths that increase and (W,) throughput.
    """
    known = FILTERS.get(survey.name, dict(_SDSS))
    if band not in known:
        raise OptionError(
            f"survey {survey.name}: no transmission curve of band {band!r} is known (there are: {', '.join(known)}); "
            "choose among these with Survey.select"
        )
    return _curve(known[band])


@lru_cache(maxsize=256)
def _curve(source: str | Corners) -> tuple[Array, Array]:
    wavelength, throughput = _file(source) if isinstance(source, str) else np.array(source, dtype=float).T
    fine = np.linspace(wavelength[0], wavelength[-1], 600)
    return fine, np.interp(fine, wavelength, throughput)


def _file(name: str) -> tuple[Array, Array]:
    """One of GalSim's bandpass files, in nm."""
    galsim = require("galsim", extra="sky")
    values = np.loadtxt(Path(galsim.meta_data.share_dir) / "bandpasses" / name)
    seen = np.flatnonzero(values[:, 1] > 1e-4 * values[:, 1].max())
    keep = slice(max(seen[0] - 1, 0), seen[-1] + 2)  # long tails of zeros would thin the sampling where there is light
    return values[keep, 0], values[keep, 1]
