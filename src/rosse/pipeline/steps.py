"""What is done with a partition: a region of a mosaic or a chunk of files in, rows out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rosse.detection import DetectOptions, detect
from rosse.detection.columns import suffixes
from rosse.errors import FileError, bands_text
from rosse.io.choose import split_name
from rosse.pipeline.asking import STATUS as VOTE_STATUS
from rosse.pipeline.asking import Asking, votes_beside_others
from rosse.pipeline.partitions import FieldPartition, FileChunk
from rosse.pipeline.rows import Fitting, join_rows, missing_rows
from rosse.pipeline.shaping import STATUS, Shaping, beside_others, segment_maps
from rosse.status import Status
from rosse.tables import to_arrow

if TYPE_CHECKING:
    from rosse.cutouts import Cutouts
    from rosse.detection import Detection
    from rosse.io import CutoutFiles, FieldPsf, Mosaic

log = logging.getLogger(__name__)

TILE = pa.field("tile", pa.string(), metadata={"unit": "", "description": "name of the image that it was measured on"})


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasureField:
    """Region of a mosaic → one row per source, galaxies fitted, their shapes measured and votes on them predicted.

    Parameters
    ----------
    mosaics : tiles of the survey.
    psfs : PSF of each, None where there is none.
    detection : options of `detect`.
    fitting : how galaxies are fitted.
    shaping : how their shapes are measured; None: not at all.
    asking : by which model volunteers' votes are predicted; None: not at all.
    min_snr : galaxies below it are in the catalogue, but nothing of this is done.
    max_pixels : most pixels of a batch of cutouts.
    """

    mosaics: Sequence[Mosaic]
    psfs: Sequence[FieldPsf | None]
    detection: DetectOptions = field(default_factory=DetectOptions)
    fitting: Fitting = field(default_factory=Fitting)
    shaping: Shaping | None = None
    asking: Asking | None = None
    min_snr: float = 5.0
    max_pixels: int = 16_000_000

    def __call__(self, partition: FieldPartition) -> pa.Table:
        """Rows of the sources whose centre lies in the partition's region."""
        mosaic = self.mosaics[partition.tile]
        found = detect(mosaic, psf=self.psfs[partition.tile], region=partition.region, options=self.detection)
        sources = to_arrow(found.table())
        sky = np.stack([np.asarray(sources[f"sigma_sky{end}"]) for end in suffixes(mosaic.bands)], 1)
        fits, shapes, votes = [], [], []
        for rows, cutouts in self._batches(found):
            fits.append((rows, self.fitting.rows(cutouts, sky[rows])))
            if self.shaping is not None:
                maps = segment_maps(found, rows, cutouts)
                shapes.append((rows, beside_others(self.shaping.rows(cutouts, maps))))
            if self.asking is not None:
                votes.append((rows, votes_beside_others(self.asking.rows(cutouts))))
        scale = bool(np.isfinite(mosaic.scale))
        sources = sources.add_column(1, TILE, pa.array([mosaic.name] * sources.num_rows, pa.string()))
        sources = join_rows(sources, fits, self.fitting.columns(mosaic.bands, scale=scale, sky=True))
        if self.shaping is not None:
            columns = beside_others(self.shaping.columns(mosaic.bands, scale=scale).empty_table()).schema
            sources = join_rows(sources, shapes, columns, named=STATUS)
        if self.asking is not None:
            columns = votes_beside_others(self.asking.columns().empty_table()).schema
            sources = join_rows(sources, votes, columns, named=VOTE_STATUS)
        return sources

    def _batches(self, found: Detection) -> Iterator[tuple[NDArray[np.int64], Cutouts]]:
        """Galaxies bright enough to be measured."""
        bright = np.asarray(found.sources["snr"]) >= self.min_snr
        for rows, cutouts in found.cutout_batches(self.max_pixels):
            keep = np.nonzero(bright[rows])[0]
            if len(keep):
                yield rows[keep], cutouts[keep]


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasureFiles:
    """Chunk of cutout files → one row per galaxy, those that cannot be read included.

    Parameters
    ----------
    bands : of all cutouts.
    zeropoint : (C,) that fluxes are brought to.
    scale : whether lengths are in arcsec: the pixel scale of every galaxy is known.
    measuring : what is done with galaxies, and how.
    max_pixels : most pixels of a batch of cutouts.
    """

    bands: tuple[str, ...]
    zeropoint: tuple[float, ...]
    scale: bool
    measuring: Fitting | Shaping = field(default_factory=Fitting)
    max_pixels: int = 16_000_000

    def __call__(self, chunk: FileChunk) -> pa.Table:
        """Rows in the order of the chunk's entries."""
        columns = self.measuring.columns(self.bands, scale=self.scale)
        lost: list[int] = []
        tables, places = [columns.empty_table()], []
        for rows, cutouts in self._batches(chunk.entries, lost):
            places += rows
            tables.append(self.measuring.rows(cutouts).cast(columns))
        tables.append(_unreadable(columns, [chunk.entries[i] for i in lost]))
        return pa.concat_tables(tables).take(pa.array(np.argsort(np.array([*places, *lost], dtype=np.int64))))

    def _batches(self, entries: Sequence[CutoutFiles], lost: list[int]) -> Iterator[tuple[list[int], Cutouts]]:
        """Cutouts of like size and kind, and their places in `entries`; those that cannot be read go to `lost`."""
        from rosse.cutouts import stack_cutouts

        waiting: list[tuple[int, Cutouts]] = []
        kind: tuple[object, ...] = ()
        for i in sorted(range(len(entries)), key=lambda i: (_bytes(entries[i]), i)):
            cutout = self._read(entries[i])
            if cutout is None:
                lost.append(i)
                continue
            full = sum(c.flux.numel() for _, c in waiting) + cutout.flux.numel() > self.max_pixels
            if waiting and (full or _kind(cutout) != kind):
                yield [j for j, _ in waiting], stack_cutouts([c for _, c in waiting])
                waiting = []
            kind = _kind(cutout)
            waiting.append((i, cutout))
        if waiting:
            yield [j for j, _ in waiting], stack_cutouts([c for _, c in waiting])

    def _read(self, entry: CutoutFiles) -> Cutouts | None:
        from rosse.io import load_cutouts

        cutout, broken = load_cutouts([entry])
        why = broken[0].reason if cutout is None else self._misfit(cutout)
        if cutout is None or why:
            log.warning("galaxy %s cannot be read: %s", entry.id, why)
            return None
        return self._alike(cutout)

    def _misfit(self, cutout: Cutouts) -> str:
        """Why a galaxy cannot stand in one table with the others; empty where it can."""
        if cutout.bands != self.bands:
            return f"it has {bands_text(cutout.bands)}, the first galaxy {bands_text(self.bands)}"
        if self.scale and not bool(np.isfinite(cutout.scale.numpy()).all()):
            return "its pixel scale is not known, that of the first galaxy is; give one with --scale"
        if self.measuring.needs_psf and cutout.psf is None:
            return "it has no PSF, which the correction needs; give one with --psf"
        return ""

    def _alike(self, cutout: Cutouts) -> Cutouts:
        """The galaxy with fluxes and lengths in the units of the table."""
        import torch

        shift = np.asarray(self.zeropoint) - cutout.zeropoint.numpy()
        shift[~np.isfinite(shift)] = 0.0
        factor = torch.from_numpy(10 ** (0.4 * shift))[:, None, None]
        return replace(
            cutout,
            flux=(cutout.flux * factor).float(),
            ivar=(cutout.ivar / factor**2).float(),
            zeropoint=cutout.zeropoint + torch.from_numpy(shift),
            scale=cutout.scale if self.scale else torch.full_like(cutout.scale, torch.nan),
        )


def first_readable(entries: Sequence[CutoutFiles]) -> Cutouts:
    """The first galaxy that can be read: bands, units and zero point of the table are its own."""
    from rosse.io import load_cutouts

    reasons = []
    for entry in entries:
        cutout, broken = load_cutouts([entry])
        if cutout is not None:
            return cutout
        reasons.append(f"{entry.id}: {broken[0].reason}")
    raise FileError(f"none of {len(entries)} cutouts can be read; the first: {'; '.join(reasons[:3])}")


def _kind(cutout: Cutouts) -> tuple[object, ...]:
    """What must be equal within a batch."""
    return (
        cutout.psf is None,
        cutout.psf_has_pixel,
        cutout.psf_oversampling,
        tuple(np.nan_to_num(cutout.zeropoint.numpy(), nan=-1.0)),
    )


def _bytes(entry: CutoutFiles) -> int:
    """Size of the image file, as a stand-in for the frame's; galaxies of one size are fitted together."""
    try:
        return sum(Path(split_name(name)[0]).stat().st_size for name in entry.image)
    except OSError:
        return 0


def _unreadable(columns: pa.Schema, entries: Sequence[CutoutFiles]) -> pa.Table:
    rows = missing_rows(columns, [entry.id for entry in entries], Status.UNREADABLE)
    for name in ("ra", "dec"):
        values = pa.array([float(getattr(entry, name)) for entry in entries], pa.float64())
        rows = rows.set_column(rows.schema.get_field_index(name), columns.field(name), values)
    return rows
