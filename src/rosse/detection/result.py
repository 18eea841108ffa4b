"""What a detection holds, and how cutouts come out of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rosse.detection.options import DetectOptions, Region
from rosse.detection.wcs import orientation

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure

    from rosse.cutouts import Cutouts
    from rosse.io import FieldPsf, Mosaic


@dataclass(frozen=True, kw_only=True, eq=False)
class Detection:
    """Sources of an image or of a region of a mosaic.

    Arrays cover the pixels that were read, that is the region with its margin.

    Parameters
    ----------
    sources : one row per source, stars included; see the columns' descriptions.
    segmentation : (H, W) 0 sky, i + 1 row i of `sources`; larger numbers are sources that belong to other regions.
    flux : (C, H, W) sky-subtracted.
    ivar : (C, H, W) inverse variance, sources' photon noise included where the gain is known; 0 for bad pixels.
    background, background_sigma : (C, H, W) level of the sky that was subtracted, and the error of this level, which
        is common to the pixels of a source.
    rms : (C, H, W) noise of the sky in a pixel.
    origin : x, y of the first pixel in the mosaic.
    psf : PSF over the mosaic, or None.
    mosaic, region, options : what was measured, and how.
    """

    sources: Table
    segmentation: NDArray[np.int32]
    flux: NDArray[np.float32]
    ivar: NDArray[np.float32]
    background: NDArray[np.float32]
    background_sigma: NDArray[np.float32]
    rms: NDArray[np.float32]
    origin: tuple[int, int]
    psf: FieldPsf | None
    mosaic: Mosaic
    region: Region | None
    options: DetectOptions

    def __len__(self) -> int:
        return len(self.sources)

    def __repr__(self) -> str:
        kinds, counts = np.unique(np.asarray(self.sources["kind"]), return_counts=True)
        found = ", ".join(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
        return f"Detection of {len(self)} sources in {self.mosaic.name}" + (f": {found}" if found else "")

    def table(self) -> Table:
        """The source table (a copy)."""
        return self.sources.copy()

    @property
    def galaxies(self) -> NDArray[np.int64]:
        """Rows of the sources of the kind ``"galaxy"``."""
        return np.nonzero(np.asarray(self.sources["kind"]) == "galaxy")[0]

    @property
    def cutouts(self) -> Cutouts:
        """All galaxies in one batch, on the frame of the largest; `cutout_batches` needs less memory."""
        from rosse.detection.stamps import cut

        rows = self.galaxies
        sizes = np.asarray(self.sources["cutout_size"])[rows]
        return cut(self, rows, int(sizes.max(initial=self.options.cutout_minimum | 1)))

    def cutout_batches(self, max_pixels: int = 16_000_000) -> Iterator[tuple[NDArray[np.int64], Cutouts]]:
        """Galaxies in batches of one frame size each, smallest first.

        Parameters
        ----------
        max_pixels : most pixels (galaxies x bands x height x width) of a batch; one galaxy always fits.

        Yields
        ------
        rows of `sources`, and their cutouts.
        """
        from rosse.detection.stamps import cut

        rows = self.galaxies
        sizes = np.asarray(self.sources["cutout_size"])[rows]
        for size in np.unique(sizes):
            some = rows[sizes == size]
            step = max(1, int(max_pixels // (len(self.mosaic.bands) * int(size) ** 2)))
            for start in range(0, len(some), step):
                part = some[start : start + step]
                yield part, cut(self, part, int(size))

    def neighbours(self, row: int) -> NDArray[np.int64]:
        """Rows whose Kron apertures reach into that of a source, the nearest first.

        They are masked in its cutout as far as their isophotes go; a fit that wants their wings as well fits
        them along.
        """
        x, y = np.asarray(self.sources["x_image"]), np.asarray(self.sources["y_image"])
        reach = np.asarray(self.sources["kron_radius"])
        distance = np.hypot(x - x[row], y - y[row])
        near = np.nonzero((distance < reach + reach[row]) & (np.arange(len(x)) != row))[0]
        return near[np.argsort(distance[near], kind="stable")]

    def cutouts_with_neighbours(self) -> tuple[Cutouts, Table]:
        """All galaxies in one batch, their neighbours not masked, and the list of these that `rosse.fit` takes.

        Neighbours whose centre is outside the frame stay masked.
        """
        from astropy.table import Table

        from rosse.detection.stamps import cut

        rows = self.galaxies
        size = int(np.asarray(self.sources["cutout_size"])[rows].max(initial=self.options.cutout_minimum | 1))
        x, y = (np.asarray(self.sources[name], dtype=np.float64) for name in ("x_image", "y_image"))
        half = size // 2
        along = []
        for row in rows:
            near = self.neighbours(int(row))
            inside = (np.abs(x[near] - np.rint(x[row])) < half) & (np.abs(y[near] - np.rint(y[row])) < half)
            along.append(near[inside])
        which = np.concatenate([*along, np.zeros(0, dtype=np.int64)])
        target = np.repeat(np.asarray(self.sources["id"])[rows], [len(near) for near in along])
        listed = Table({"id": target, "x": x[which], "y": y[which], "r_e": np.asarray(self.sources["r_half"])[which]})
        return cut(self, rows, size, along=along), listed

    def orientation(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Direction of north (radians from +x to +y) and parity at sources."""
        x, y = (np.asarray(self.sources[name], dtype=np.float64)[rows] for name in ("x_image", "y_image"))
        return orientation(self.mosaic.wcs, x, y)

    def angles(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Direction of the major axis of sources in the image, degrees from +x to +y."""
        from rosse.light.coordinates import image_angle

        north, parity = self.orientation(rows)
        pa = np.asarray(self.sources["pa_image"], dtype=np.float64)[rows]
        return np.rad2deg(image_angle(pa, north, parity))

    def plot(self) -> Figure:
        """The image with an ellipse around every galaxy and a cross on every star."""
        from rosse.detection.plot import plot_detection

        return plot_detection(self)
