"""Where a row lies on the sky, and which HEALPix pixels become partitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rosse.store.layout import HEALPIX_ORDER

FINEST = 10  # order 10 is 3.4 arcmin on a side: no survey has more rows than one partition holds in there


@dataclass(frozen=True, kw_only=True, eq=False)
class Division:
    """HEALPix pixels of several orders that do not overlap and together hold every row; ascending on the sky.

    Parameters
    ----------
    order, pixel : (P,) int64
        HEALPix order and nested number of each.
    rows : (P,) int64
    """

    order: NDArray[np.int64]
    pixel: NDArray[np.int64]
    rows: NDArray[np.int64]

    @property
    def start(self) -> NDArray[np.int64]:
        """First pixel at order 29 of each, (P,), ascending."""
        return self.pixel << 2 * (HEALPIX_ORDER - self.order)

    def locate(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the pixel that holds each position, (N,)."""
        return np.asarray(np.searchsorted(self.start, index, side="right") - 1, dtype=np.int64)


def has_positions(schema: pa.Schema) -> bool:
    """Whether rows can have a place on the sky: columns ``ra`` and ``dec`` of numbers, in degrees."""
    kinds = [schema.field(name).type for name in ("ra", "dec") if name in schema.names]
    return len(kinds) == 2 and all(pa.types.is_floating(kind) or pa.types.is_integer(kind) for kind in kinds)


def healpix_index(table: pa.Table) -> NDArray[np.int64]:
    """HEALPix pixel at order 29 of each row, (N,); -1 where ra or dec is null, not finite or not on the sphere."""
    ra, dec = (table.column(name).cast(pa.float64()).to_numpy() for name in ("ra", "dec"))
    placed = np.isfinite(ra) & np.isfinite(dec) & (np.abs(np.nan_to_num(dec)) <= 90.0)
    index = np.full(len(ra), -1, dtype=np.int64)
    if placed.any():
        from hats.pixel_math.spatial_index import compute_spatial_index

        index[placed] = compute_spatial_index(ra[placed], dec[placed])
    return index


class Counts:
    """Rows per pixel of the finest order, gathered part by part; its size is bounded by the sky, not by the rows."""

    def __init__(self) -> None:
        self._rows = np.zeros(12 * 4**FINEST, dtype=np.int64)

    def add(self, index: NDArray[np.int64]) -> None:
        """Count rows at these pixels of order 29; negative ones have no position and are passed over."""
        pixel, rows = np.unique(index[index >= 0] >> 2 * (HEALPIX_ORDER - FINEST), return_counts=True)
        self._rows[pixel] += rows

    def divide(self, threshold: int) -> Division:
        """Largest pixels that hold at most ``threshold`` rows each.

        A pixel of the finest order is kept whole however many rows it holds.
        """
        pixel = np.flatnonzero(self._rows)
        rows = self._rows[pixel]
        found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
        for order in range(FINEST + 1):
            parent, inverse = np.unique(pixel >> 2 * (FINEST - order), return_inverse=True)
            total = np.zeros(len(parent), dtype=np.int64)
            np.add.at(total, inverse, rows)
            fits = total <= (threshold if order < FINEST else np.iinfo(np.int64).max)
            found.append((np.full(int(fits.sum()), order, dtype=np.int64), parent[fits], total[fits]))
            pixel, rows = pixel[~fits[inverse]], rows[~fits[inverse]]
        order_, pixel_, rows_ = (np.concatenate([item[i] for item in found]) for i in range(3))
        ascending = np.argsort(pixel_ << 2 * (HEALPIX_ORDER - order_))
        return Division(order=order_[ascending], pixel=pixel_[ascending], rows=rows_[ascending])
