"""Pixels in: mosaics, cutouts, PSFs and packed stores, from the files in which surveys and people keep them."""

from __future__ import annotations

from rosse.io.mosaic import Mosaic, Section, open_mosaic
from rosse.io.psf_files import FieldPsf, read_psf
from rosse.io.wcs import LocalFrame, celestial_wcs, local_frame

__all__ = [
    "FieldPsf",
    "LocalFrame",
    "Mosaic",
    "Section",
    "celestial_wcs",
    "local_frame",
    "open_mosaic",
    "read_psf",
]
