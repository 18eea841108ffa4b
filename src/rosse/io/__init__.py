"""Pixels in: mosaics, cutouts, PSFs and packed stores, from the files in which surveys and people keep them."""

from __future__ import annotations

from rosse.io.cutout_files import CutoutFiles, list_cutouts
from rosse.io.loading import Broken, load_cutouts, read_cutouts
from rosse.io.mosaic import Mosaic, Section, open_mosaic
from rosse.io.packed import Packed, open_packed
from rosse.io.packing import write_packed
from rosse.io.patterns import PATTERNS, Pattern
from rosse.io.psf_files import FieldPsf, read_psf
from rosse.io.wcs import LocalFrame, celestial_wcs, local_frame

__all__ = [
    "PATTERNS",
    "Broken",
    "CutoutFiles",
    "FieldPsf",
    "LocalFrame",
    "Mosaic",
    "Packed",
    "Pattern",
    "Section",
    "celestial_wcs",
    "list_cutouts",
    "load_cutouts",
    "local_frame",
    "open_mosaic",
    "open_packed",
    "read_cutouts",
    "read_psf",
    "write_packed",
]
