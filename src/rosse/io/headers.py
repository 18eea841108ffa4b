"""What a header says about units: zero point, gain, saturation, band."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from astropy.io import fits

from rosse.io.fits import card, number

ZEROPOINT_CARDS = (
    "MAGZP", "MAGZERO", "MAGZPT", "ZEROPNT", "ZEROPOINT", "ZPT", "PHOTZP", "MAG_ZP", "MAG0", "ABMAGZP", "MAG_ZERO",
    "ZP", "ZPAB", "ZP_AB", "SEXMGZPT", "MZP_AB", "MAGZPTAB", "PHOTZPT",
)  # fmt: skip
SATURATION_CARDS = ("SATURATE", "SATURLVL", "SATLEVEL", "SATUR", "SATLVL")

# AB zero point of calibrated flux units (Oke & Gunn 1983: 0 mag = 3631 Jy).
UNIT_ZEROPOINTS = {
    "nanomaggy": 22.5, "nanomaggies": 22.5, "nmgy": 22.5, "maggy": 0.0, "maggies": 0.0,
    "jy": 8.90, "mjy": 16.40, "ujy": 23.90, "µjy": 23.90, "microjansky": 23.90, "njy": 31.40, "nanojansky": 31.40,
    "10*njy": 28.90, "10*nanojansky": 28.90, "10njy": 28.90, "10.0*nanojansky": 28.90,
}  # fmt: skip

_PER_SECOND = re.compile(r"(/\s*s(ec|econds?)?\b)|(s(ec)?\s*(\^|\*\*)?\s*-1)")


def header_zeropoint(*headers: fits.Header) -> tuple[float, str]:
    """AB magnitude of one flux unit and the card that says so; (NaN, "") where no header tells it.

    Headers are asked in order, the image's own first. Beside the usual cards: HST's PHOTFLAM with PHOTPLAM, LSST and
    HSC's FLUXMAG0, JWST's PIXAR_SR with MJy/sr, and calibrated units in BUNIT.
    """
    for header in headers:
        for key in ZEROPOINT_CARDS:
            value = number(header, key, np.nan)
            if -10.0 < value < 60.0:
                return value, key
    for header in headers:
        value, key = _derived(header)
        if np.isfinite(value):
            return value, key
    return np.nan, ""


def _derived(header: fits.Header) -> tuple[float, str]:
    bunit = str(card(header, "BUNIT") or "").strip().lower()
    flam, plam = number(header, "PHOTFLAM", 0.0), number(header, "PHOTPLAM", 0.0)
    if flam > 0 and plam > 0:
        return -2.5 * float(np.log10(flam)) - 5.0 * float(np.log10(plam)) - 2.408, "PHOTFLAM, PHOTPLAM"
    mag0 = number(header, "FLUXMAG0", 0.0)
    if mag0 > 0:
        return 2.5 * float(np.log10(mag0)), "FLUXMAG0"
    area = number(header, "PIXAR_SR", 0.0)
    if area > 0 and bunit.replace(" ", "") in ("mjy/sr", "mjysr-1"):
        return 8.90 - 2.5 * float(np.log10(1e6 * area)), "PIXAR_SR"
    if str(card(header, "BUNIT") or "").strip() == "MJy":  # mega, not milli
        return 8.90 - 15.0, "BUNIT"
    return UNIT_ZEROPOINTS.get(bunit.replace(" ", ""), np.nan), "BUNIT"


def header_gain(*headers: fits.Header) -> tuple[float, str]:
    """Electrons per flux unit and where that comes from; (NaN, "") where the header does not tell it.

    A GAIN card speaks of the detector's counts, so it is used only where the image is in counts. Images in electrons
    per second have the exposure time as their gain.
    """
    unit = next((str(card(h, "BUNIT")).strip().lower() for h in headers if card(h, "BUNIT")), "")
    exposure = next((number(h, "EXPTIME", np.nan) for h in headers if number(h, "EXPTIME", np.nan) > 0), np.nan)
    rate = bool(_PER_SECOND.search(unit))
    if unit.startswith(("electron", "e-", "photoelectron")) or unit in ("e", "e/s"):
        return (exposure, "EXPTIME") if rate else (1.0, "BUNIT")
    if unit and not rate and not unit.startswith(("adu", "dn", "count", "ct")):
        return np.nan, ""
    for header in headers:
        for key in ("GAIN", "EGAIN", "GAINEFF", "CCDGAIN"):
            value = number(header, key, np.nan)
            if value > 0 and np.isfinite(value):
                return (value * exposure, f"{key} and EXPTIME") if rate else (value, key)
    return np.nan, ""


def header_saturation(*headers: fits.Header) -> tuple[float, str]:
    """Flux level of saturation and its card; (NaN, "") where none is given or the image has calibrated units."""
    unit = next((str(card(h, "BUNIT")).strip().lower() for h in headers if card(h, "BUNIT")), "")
    if unit and (_PER_SECOND.search(unit) or not unit.startswith(("adu", "dn", "count", "ct", "electron"))):
        return np.nan, ""
    for header in headers:
        for key in SATURATION_CARDS:
            value = number(header, key, np.nan)
            if value > 0 and np.isfinite(value):
                return value, key
    return np.nan, ""


def header_band(headers: Sequence[fits.Header], known: Sequence[str] = ()) -> str:
    """Band of a single image from BAND or FILTER cards: one of `known` if there are any, empty if not told."""
    for header in headers:
        for key in ("BAND", "FILTER", "FILTER1", "FILTER2", "FILTNAM", "FILTERS", "PHOTBAND"):
            word = re.split(r"[\s,;.]", str(card(header, key) or "").strip())[0]
            match = [name for name in known if name == word] or [n for n in known if n.lower() == word.lower()]
            if match:
                return match[0]
            if not known and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,9}", word) and not word.upper().startswith("CLEAR"):
                return word
    return ""
