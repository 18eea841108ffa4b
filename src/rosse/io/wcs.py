"""World coordinates: the celestial part of a header, and what it says about scale and orientation at one place."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from rosse.io.fits import clean_header
from rosse.io.say import say

log = logging.getLogger(__name__)

LOOK_UP = ("CPDIS1", "CPDIS2", "D2IMDIS1", "D2IMDIS2", "D2IMEXT")  # distortions in other HDUs (Hubble's exposures)


@dataclass(frozen=True, kw_only=True)
class LocalFrame:
    """The sky around one pixel.

    Parameters
    ----------
    ra, dec : degrees.
    scale : arcsec/pixel, the square root of a pixel's area.
    north : direction of north, radians from +x to +y.
    parity : +1 where east is 90 degrees counter-clockwise of north, -1 where the image is mirrored.
    """

    ra: float
    dec: float
    scale: float
    north: float
    parity: float


def celestial_wcs(header: fits.Header, label: str = "header") -> WCS | None:
    """WCS of the two image axes with its distortions (SIP, TPV, ...), None where the axes are no sky coordinates."""
    if "CTYPE1" not in header:
        return None  # pixels; thousands of cutouts have no coordinates, and wcslib takes its time to find out
    cards = clean_header(header)
    if any(key in cards for key in LOOK_UP):
        for key in [key for key in cards if key.startswith(("CPDIS", "CPERR", "D2IM", "DP1", "DP2"))]:
            cards.remove(key, ignore_missing=True, remove_all=True)
        say(log, logging.WARNING, "wcs look-up", "%s: the distortions that its WCS keeps in tables are left out (a "
            "fraction of a pixel); those in the header are used", label)  # fmt: skip
    with _quiet():
        try:
            wcs = WCS(cards, naxis=2)
            if not wcs.has_celestial or wcs.naxis != 2:
                return None
            usable = bool(np.isfinite(wcs.all_pix2world([[0.0, 0.0], [1.0, 1.0]], 0)).any())
        except Exception as err:  # wcslib has a dozen error types for headers that make no sense
            first = str(err).strip().splitlines()[0] if str(err).strip() else type(err).__name__
            say(
                log,
                logging.WARNING,
                "wcs",
                "%s: its sky coordinates cannot be used (%s); positions stay in pixels",
                label,
                first,
            )
            return None
    return wcs if usable else None


def local_frame(wcs: WCS, x: float, y: float) -> LocalFrame:
    """Position, scale and orientation at a pixel (0-based), from the full WCS with its distortions."""
    step = 0.5
    points = np.array([[x, y], [x + step, y], [x - step, y], [x, y + step], [x, y - step]])
    with _quiet():
        sky = np.deg2rad(wcs.celestial.all_pix2world(points, 0))
    east, north = _offsets(sky, sky[0])
    # columns of d(east, north) / d(x, y), in radians per pixel
    exx, eyy = east[1] - east[2], east[3] - east[4]
    nxx, nyy = north[1] - north[2], north[3] - north[4]
    determinant = exx * nyy - eyy * nxx
    # north is the pixel direction in which east does not change: the second column of the inverse
    angle = float(np.arctan2(exx, -eyy)) if determinant > 0 else float(np.arctan2(-exx, eyy))
    return LocalFrame(
        ra=float(np.rad2deg(sky[0, 0]) % 360.0),
        dec=float(np.rad2deg(sky[0, 1])),
        scale=float(np.rad2deg(np.sqrt(abs(determinant))) * 3600.0),
        north=angle,
        parity=-1.0 if determinant > 0 else 1.0,
    )


def _offsets(sky: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gnomonic offsets to the east and north of a centre, radians (exact enough for a pixel, also at the pole)."""
    delta = sky[:, 0] - centre[0]
    cosine = np.sin(centre[1]) * np.sin(sky[:, 1]) + np.cos(centre[1]) * np.cos(sky[:, 1]) * np.cos(delta)
    east = np.cos(sky[:, 1]) * np.sin(delta) / cosine
    north = (np.cos(centre[1]) * np.sin(sky[:, 1]) - np.sin(centre[1]) * np.cos(sky[:, 1]) * np.cos(delta)) / cosine
    return east, north


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence about non-standard but readable headers: astropy warns, and logs SIP remarks, for most survey files."""
    logger = logging.getLogger("astropy")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
