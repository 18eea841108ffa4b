"""Figures of galaxies, and those that a finished run lacks: partitions that draw them when they are computed again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.pipeline.partitions import FieldPartition, FileChunk, file_name
from rosse.status import Status

if TYPE_CHECKING:
    from rosse.io import Mosaic
    from rosse.store import Catalogue

log = logging.getLogger(__name__)

_NOT_MEASURED = (Status.SKIPPED, Status.UNREADABLE, Status.FAILED)


@dataclass(frozen=True, kw_only=True, eq=False)
class ChunksWithout:
    """Chunks of the galaxies that were measured and have no figure in a folder."""

    chunks: Sequence[FileChunk]
    folder: Path

    def __call__(self, catalogue: Catalogue) -> list[FileChunk]:
        """Chunks with these galaxies only."""
        ids = _without_figure(catalogue, "status", self.folder)
        found = [replace(c, entries=tuple(e for e in c.entries if e.id in ids)) for c in self.chunks]
        return [chunk for chunk in found if chunk.entries]


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionsWithout:
    """Partitions of mosaics in which a galaxy was measured that has no figure.

    `folders` are those of the figures, by the column that holds the status of what they show.
    """

    partitions: Sequence[FieldPartition]
    mosaics: Sequence[Mosaic]
    folders: Mapping[str, Path]

    def __call__(self, catalogue: Catalogue) -> list[FieldPartition]:
        """These partitions, whole: a source is known by its number among those of its region."""
        ids = set[str]().union(*(_without_figure(catalogue, *known) for known in self.folders.items()))
        regions = {name.rpartition("_")[0] for name in ids}
        return [p for p in self.partitions if f"{self.mosaics[p.tile].name}_{p.region.index}" in regions]


def figure_path(folder: Path, name: str) -> Path:
    """File of a galaxy's figure."""
    return folder / f"{file_name(name)}.png"


def draw_figures(folder: Path, ids: NDArray[np.str_], plot: Callable[[int], Any]) -> None:
    """A figure of each galaxy; one that cannot be drawn or written is no reason to lose its numbers.

    Parameters
    ----------
    folder : for the files.
    ids : names of the galaxies.
    plot : row → figure.
    """
    for i, name in enumerate(ids):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            plot(i).savefig(figure_path(folder, str(name)), dpi=100)
        except Exception as err:
            log.warning("galaxy %s has no figure: %s: %s", name, type(err).__name__, err)


def _without_figure(catalogue: Catalogue, status: str, folder: Path) -> set[str]:
    unmeasured = ", ".join(f"'{s.label}'" for s in _NOT_MEASURED)
    ids = catalogue.where(f"{status} not in ({unmeasured})").select(["id"])
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return {
        name
        for rows in ids.partitions()
        for name in rows["id"].to_pylist()
        if figure_path(folder, name).name not in there
    }
