"""Every source once: where partitions or tiles overlap, both have measured it.

Within a mosaic a place belongs to one partition, and its word counts: what another one found there is dropped, unless
both saw a source on the other's side of their border, when one of the two is kept. Between tiles, which are different
pixels, rows within the matching radius are the same source, and the one farther from its tile's edge is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from rosse.pipeline.partitions import OVERLAP, FieldPartition

if TYPE_CHECKING:
    from rosse.io import Mosaic

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

SAME = 3.0  # pixels between two measurements of the same pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class _Near:
    """Rows that another partition or tile may have as well.

    Parameters
    ----------
    part, row : number of the part file and row in it.
    tile : of the part.
    own : whether the place belongs to the part's partition.
    depth : distance from the edge of what the partition measured, pixels.
    inside : distance from the edge of the tile, pixels.
    place : (N, 2) pixels x, y.
    sky : (N, 3) unit vector; NaN without a position.
    """

    part: NDArray[np.int64]
    row: NDArray[np.int64]
    tile: NDArray[np.int64]
    own: NDArray[np.bool_]
    depth: Floats
    inside: Floats
    place: Floats
    sky: Floats

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, at: NDArray[Any]) -> _Near:
        return _Near(**{name: getattr(self, name)[at] for name in self.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True, eq=False)
class Once:
    """Merges the parts of a survey; give it to a `Job` as ``merge``.

    Parameters
    ----------
    partitions : by key.
    mosaics : the tiles.
    radius : arcsec within which rows of different tiles are one source.
    """

    partitions: Mapping[str, FieldPartition]
    mosaics: Sequence[Mosaic]
    radius: float

    def __call__(self, files: Sequence[Path]) -> Iterable[pa.Table] | Sequence[Path]:
        """Rows of the parts without those that come twice."""
        if len(self.partitions) < 2:
            return files
        near = _joined([self._near(i, file) for i, file in enumerate(files)])
        keep = np.ones(len(near), dtype=bool)
        for tile in np.unique(near.tile):
            rows = np.nonzero(near.tile == tile)[0]
            keep[rows] = keep_owned(near[rows])
        seams = int((~keep).sum())
        keep[keep] = keep_deepest(near[keep], self.radius)
        if twice := int((~keep).sum()) - seams:
            log.info("%d sources were found in more than one tile; each is kept once", twice)
        return _without(files, near[~keep])

    def _near(self, part: int, file: Path) -> _Near:
        partition = self.partitions[file.stem]
        mosaic = self.mosaics[partition.tile]
        table = pq.read_table(file, columns=["x_image", "y_image", "ra", "dec"])
        x, y, ra, dec = (column.to_numpy(zero_copy_only=False).astype(np.float64) for column in table.columns)
        whole = slice(0, mosaic.shape[0]), slice(0, mosaic.shape[1])
        depth = _depth(x, y, (partition.region.rows, partition.region.columns), open_at=whole)
        rows = np.nonzero((depth < 2 * OVERLAP + SAME) | self._in_other_tile(partition.tile, ra, dec))[0]
        scale = mosaic.scale if np.isfinite(mosaic.scale) else 1.0
        return _Near(
            part=np.full(len(rows), part),
            row=rows,
            tile=np.full(len(rows), partition.tile),
            own=(_depth(x, y, (partition.rows, partition.columns)) >= 0)[rows],
            depth=depth[rows],
            inside=scale * _depth(x, y, whole)[rows],
            place=np.stack([x, y], axis=1)[rows],
            sky=_unit_vectors(ra, dec)[rows],
        )

    def _in_other_tile(self, tile: int, ra: Floats, dec: Floats) -> NDArray[np.bool_]:
        found = np.zeros(len(ra), dtype=bool)
        known = np.isfinite(ra) & np.isfinite(dec)
        for number, mosaic in enumerate(self.mosaics):
            if number == tile or mosaic.wcs is None or not known.any():
                continue
            x, y = mosaic.wcs.all_world2pix(ra[known], dec[known], 0, quiet=True)
            whole = slice(0, mosaic.shape[0]), slice(0, mosaic.shape[1])
            with np.errstate(invalid="ignore"):  # NaN: the other side of the sky
                found[known] |= _depth(x, y, whole) > -SAME
        return found


def keep_owned(near: _Near) -> NDArray[np.bool_]:
    """Which rows of one mosaic's partitions stay, (N,)."""
    pairs = _pairs(near.place, near.part, SAME)
    order = np.lexsort((near.row, near.part, -near.depth))
    owned, stray = near.own[pairs].all(1), ~near.own[pairs].any(1)
    keep = near.own & ~_later_ones(order, pairs[owned])
    mixed = pairs[~owned & ~stray]
    displaced = np.zeros(len(near), dtype=bool)  # both partitions saw it on the other's side
    displaced[pairs[stray]] = True
    displaced[mixed] = False
    return np.asarray(keep | (displaced & ~_later_ones(order, pairs[stray])))


def keep_deepest(near: _Near, radius: float) -> NDArray[np.bool_]:
    """Which rows of different tiles stay, (N,): of those within `radius` arcsec, the farthest from an edge."""
    chord = 2 * np.sin(np.deg2rad(radius / 3600) / 2)
    order = np.lexsort((near.row, near.part, near.tile, -near.inside))
    return ~_later_ones(order, _pairs(near.sky, near.tile, chord))


def _pairs(points: Floats, group: NDArray[np.int64], radius: float) -> NDArray[np.int64]:
    """Pairs (P, 2) of rows of different groups that are closer than `radius`."""
    known = np.nonzero(np.isfinite(points).all(1))[0]
    pairs = known[cKDTree(points[known]).query_pairs(radius, output_type="ndarray").reshape(-1, 2)]
    return np.asarray(pairs[group[pairs[:, 0]] != group[pairs[:, 1]]])


def _later_ones(order: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows that stand beside an earlier one in `order` which itself stays, (N,)."""
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    first_later = np.where(rank[pairs[:, :1]] < rank[pairs[:, 1:]], pairs, pairs[:, ::-1])
    dropped = np.zeros(len(order), dtype=bool)
    for first, later in first_later[np.argsort(rank[first_later[:, 0]], kind="stable")]:
        if not dropped[first]:
            dropped[later] = True
    return dropped


def _depth(x: Floats, y: Floats, box: tuple[slice, slice], open_at: tuple[slice, slice] | None = None) -> Floats:
    """Distance from the edge of a box (rows, columns), negative outside; sides shared with `open_at` do not count."""
    sides = []
    for values, part, whole in zip((y, x), box, open_at or (None, None), strict=True):
        if whole is None or part.start != whole.start:
            sides.append(values - (part.start - 0.5))
        if whole is None or part.stop != whole.stop:
            sides.append((part.stop - 0.5) - values)
    return np.min(sides, axis=0) if sides else np.full(len(x), np.inf)


def _unit_vectors(ra: Floats, dec: Floats) -> Floats:
    longitude, latitude = np.deg2rad(ra), np.deg2rad(dec)
    return np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=1
    )


def _joined(parts: Sequence[_Near]) -> _Near:
    return _Near(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in _Near.__dataclass_fields__})


def _without(files: Sequence[Path], gone: _Near) -> Iterator[pa.Table]:
    """Tables of the files without some of their rows, one at a time."""
    for i, file in enumerate(files):
        rows = pq.read_table(file)
        stay = np.ones(rows.num_rows, dtype=bool)
        stay[gone.row[gone.part == i]] = False
        yield rows.filter(pa.array(stay))
