"""What `detect` can be told: thresholds, meshes, apertures, cutout sizes; a region of a mosaic; the flags."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

from rosse.errors import OptionError


class Flag(IntFlag):
    """Bits of the column `flags`; 0 is a clean source."""

    EDGE = 1
    SATURATED = 2
    BLENDED = 4
    NEAR_BRIGHT = 8
    MASKED = 16
    TRUNCATED = 32


MEANING = {
    Flag.EDGE: "its isophote touches the border of the image, or pixels without data beside it",
    Flag.SATURATED: "a pixel of it is saturated, or most of its core is masked",
    Flag.BLENDED: "its isophote touches that of another source",
    Flag.NEAR_BRIGHT: "it lies inside the light of a source that is more than ten times brighter",
    Flag.MASKED: "pixels within its Kron aperture carry no weight in at least one band",
    Flag.TRUNCATED: "its light reaches beyond the largest cutout or beyond the pixels that were read",
}


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """Options of `detect`; the defaults are SExtractor's where it has them.

    Parameters
    ----------
    threshold : significance that every pixel of a source must exceed in the matched-filtered image, sigma. With the
        3 x 3 default filter, 4.0 is SExtractor's ``DETECT_THRESH 1.5``: that is counted in noise before filtering.
    min_pixels : connected pixels above the threshold that make a source.
    deblend_contrast : how far a peak must rise above the smooth light of a brighter source to be a source of its own,
        in units of that light.
    clean : drop marginal detections that the wings of a brighter neighbour explain.
    mesh : side of the cells in which the background is measured, pixels; adjusted so that they divide the image evenly.
    mesh_filter : cells over which the background is median-filtered.
    grow : margin that is kept out of the background around a source, in units of its own radius.
    kron_factor, kron_minimum : the Kron aperture's semi-axes are ``max(kron_factor * R_Kron, kron_minimum)`` times the
        rms axes `a_image`, `b_image`.
    cutout_factor : half the cutout's side in units of the Kron aperture's extent.
    cutout_minimum, cutout_maximum : smallest and largest side of a cutout, pixels.
    mask_grow : pixels by which the isophotes of neighbours are widened when they are masked in a cutout.
    psf_from_stars : build the PSF from the stars of the image where none is given.
    star_limit : sources with a `stellarity` above it are of the kind ``"star"``.
    """

    threshold: float = 4.3
    min_pixels: int = 5
    deblend_contrast: float = 1.0
    clean: bool = True
    mesh: int = 64
    mesh_filter: int = 3
    grow: float = 0.5
    kron_factor: float = 2.5
    kron_minimum: float = 3.5
    cutout_factor: float = 1.6
    cutout_minimum: int = 33
    cutout_maximum: int = 513
    mask_grow: int = 1
    psf_from_stars: bool = True
    star_limit: float = 0.8

    def __post_init__(self) -> None:
        for name in (
            "threshold",
            "min_pixels",
            "mesh",
            "mesh_filter",
            "kron_factor",
            "cutout_factor",
        ):
            if not getattr(self, name) > 0:
                raise OptionError(f"{name} is {getattr(self, name)}; a positive number is wanted")
        if not self.deblend_contrast >= 0:
            raise OptionError(f"deblend_contrast is {self.deblend_contrast}; 0 or more is wanted")
        if not 5 <= self.cutout_minimum <= self.cutout_maximum:
            raise OptionError(
                f"cutouts from {self.cutout_minimum} to {self.cutout_maximum} pixels were asked for; "
                "the smallest must be 5 or more and not above the largest"
            )


@dataclass(frozen=True, kw_only=True)
class Region:
    """A part of a mosaic: sources are kept if their centre lies in it, pixels are read with a margin around it.

    Regions that tile a mosaic find every source once.

    Parameters
    ----------
    rows, columns : pixels of the mosaic, half open.
    margin : pixels that are read around them; it should exceed half the largest cutout.
    index : number of the region in its tiling; it enters the sources' ids.
    """

    rows: slice
    columns: slice
    margin: int = 256
    index: int = 0

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            part = getattr(self, name)
            if part.start is None or part.stop is None or part.step not in (None, 1) or not 0 <= part.start < part.stop:
                raise OptionError(f"{name} of a region is {part}; slice(first, last + 1) with first < last is wanted")
        if self.margin < 0:
            raise OptionError(f"margin of a region is {self.margin}; 0 or more is wanted")

    def contains(self, x: float, y: float) -> bool:
        """Whether a position in the mosaic lies in the region; pixel borders at half integers are shared by no two."""
        across = self.columns.start - 0.5 <= x < self.columns.stop - 0.5
        return bool(across and self.rows.start - 0.5 <= y < self.rows.stop - 0.5)
