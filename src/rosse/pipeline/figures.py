"""Figures that a finished run lacks: which partitions draw them when they are computed once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rosse.pipeline.partitions import FieldPartition, FileChunk, file_name
from rosse.status import Status

if TYPE_CHECKING:
    from rosse.io import Mosaic
    from rosse.store import Catalogue

_NOT_FITTED = (Status.SKIPPED, Status.UNREADABLE, Status.FAILED)


@dataclass(frozen=True, kw_only=True, eq=False)
class ChunksWithout:
    """Chunks of the galaxies that were fitted and have no figure in a folder."""

    chunks: Sequence[FileChunk]
    folder: Path

    def __call__(self, catalogue: Catalogue) -> list[FileChunk]:
        """Chunks with these galaxies only."""
        ids = _without_figure(catalogue, self.folder)
        found = [replace(c, entries=tuple(e for e in c.entries if e.id in ids)) for c in self.chunks]
        return [chunk for chunk in found if chunk.entries]


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionsWithout:
    """Partitions of mosaics in which a galaxy was fitted that has no figure in a folder."""

    partitions: Sequence[FieldPartition]
    mosaics: Sequence[Mosaic]
    folder: Path

    def __call__(self, catalogue: Catalogue) -> list[FieldPartition]:
        """These partitions, whole: a source is known by its number among those of its region."""
        regions = {name.rpartition("_")[0] for name in _without_figure(catalogue, self.folder)}
        return [p for p in self.partitions if f"{self.mosaics[p.tile].name}_{p.region.index}" in regions]


def figure_path(folder: Path, name: str) -> Path:
    """File of a galaxy's figure."""
    return folder / f"{file_name(name)}.png"


def _without_figure(catalogue: Catalogue, folder: Path) -> set[str]:
    unfitted = ", ".join(f"'{status.label}'" for status in _NOT_FITTED)
    ids = catalogue.where(f"status not in ({unfitted})").select(["id"])
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return {
        name
        for rows in ids.partitions()
        for name in rows["id"].to_pylist()
        if figure_path(folder, name).name not in there
    }
