"""Pixels in: mosaics, cutouts, PSFs and packed stores, from the files in which surveys and people keep them."""

from __future__ import annotations

from rosse.io.mosaic import Mosaic, Section, open_mosaic

__all__ = ["Mosaic", "Section", "open_mosaic"]
