"""The run that predicts votes: images of galaxies to a catalogue of posteriors."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from rosse.errors import InputError
from rosse.io.choose import split_name
from rosse.io.cutout_files import CutoutFiles
from rosse.io.gallery import Gallery
from rosse.io.packed import Packed
from rosse.pipeline.asking import loaded
from rosse.pipeline.rows import each_alone, missing_rows, with_status
from rosse.pipeline.run import Job
from rosse.pipeline.task import Step
from rosse.status import Status
from rosse.tables import to_arrow

if TYPE_CHECKING:
    from rosse.votes.model import VoteModel
    from rosse.votes.quantity_model import QuantityModel

CHUNK = 256  # galaxies of a partition


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """Some rows of the images.

    Parameters
    ----------
    key : file name of the part.
    ids : names that the rows of the catalogue have, in their order.
    rows : of the images; -1 where there is none of this name.
    """

    key: str
    ids: tuple[str, ...]
    rows: tuple[int, ...]

    @property
    def weight(self) -> float:
        """Share of the work."""
        return float(len(self.rows))


@dataclass(frozen=True, kw_only=True, eq=False)
class Predict:
    """Chunk of images → one row of posteriors per galaxy, those that cannot be read included.

    Parameters
    ----------
    images : of all galaxies.
    model : folder of the model.
    weights : hash that it must have: a folder may change while a run goes on.
    redshift : id → redshift.
    device : where.
    """

    images: Packed | Gallery
    model: Path
    weights: str
    redshift: Mapping[str, float]
    device: str = "cpu"

    def __call__(self, chunk: Chunk) -> pa.Table:
        """Rows in the order of the chunk's ids."""
        model = loaded(self.model, self.weights, self.device)
        there = [i for i, row in enumerate(chunk.rows) if row >= 0]
        ids = np.array([chunk.ids[i] for i in there], dtype=str)
        rows = np.array([chunk.rows[i] for i in there], dtype=np.int64)
        columns = self.columns(model)

        def predicted(part: slice) -> pa.Table:
            return self._predicted(model, ids[part], rows[part])

        def failed(part: slice) -> pa.Table:
            return with_status(missing_rows(columns, ids[part].tolist(), Status.FAILED), Status.FAILED)

        found = each_alone(ids, "predicted", predicted, failed) if there else columns.empty_table()
        lost = [i for i, row in enumerate(chunk.rows) if row < 0]
        absent = missing_rows(columns, [chunk.ids[i] for i in lost], Status.UNREADABLE)
        both = pa.concat_tables([found.cast(columns), absent])
        return both.take(pa.array(np.argsort(np.array([*there, *lost], dtype=np.int64))))

    def columns(self, model: VoteModel | QuantityModel) -> pa.Schema:
        """Columns of the rows."""
        from rosse.votes.predicting import nothing

        return to_arrow(nothing(model).table()).schema

    def _predicted(
        self, model: VoteModel | QuantityModel, ids: np.ndarray[Any, Any], rows: np.ndarray[Any, Any]
    ) -> pa.Table:
        from rosse.votes.predicting import said_of_rows

        z = np.array([self.redshift.get(name, np.nan) for name in ids.tolist()], dtype=np.float64)
        votes = said_of_rows(self.images, rows, model, z, device=self.device)
        if not np.array_equal(votes.id, ids):
            raise AssertionError("images and ids do not belong together")
        return to_arrow(votes.table())


def vote_job(
    images: Packed | Gallery,
    model: Path,
    *,
    ids: Sequence[str] | None = None,
    redshift: Mapping[str, float] | None = None,
    device: str = "cpu",
    inputs: Iterable[Path] = (),
    record: Mapping[str, Any] | None = None,
) -> Job:
    """Job that predicts votes.

    Parameters
    ----------
    images : of all galaxies.
    model : folder of the model.
    ids : names of the galaxies that are wanted, in this order; None: all images. One without an image has a row too.
    redshift : id → redshift.
    device : where.
    inputs : files beside the images, e.g. a manifest.
    record : further options that decide the result.
    """
    from rosse.votes.model import load_any

    weights = load_any(model).hash
    chunks = _chunks(images.ids.tolist(), ids)
    step = Predict(images=images, model=model, weights=weights, redshift=dict(redshift or {}), device=device)
    return Job(
        partitions=chunks,
        prepare=functools.partial(_prepare, step),
        options={"weights": weights, "redshift": sorted((redshift or {}).items()), "device": device, **(record or {})},
        inputs=[*inputs, *_files(images)],
        command="predict",
    )


def _prepare(step: Predict, directory: Path) -> Step:
    """The step, when its first image suits the model: what is wrong with all is said once."""
    del directory
    for first in range(len(step.images.ids)):
        found: Any = step.images.each([first])[0] if isinstance(step.images, Gallery) else step.images.batch([first])
        if not hasattr(found, "reason"):
            loaded(step.model, step.weights, step.device).preparation(found)
            break
    return step


def _chunks(known: list[str], wanted: Sequence[str] | None) -> list[Chunk]:
    names = known if wanted is None else [str(name) for name in wanted]
    row_of = {name: row for row, name in enumerate(known)}
    if not any(name in row_of for name in names):
        have = repr(known[0]) if known else "nothing"
        raise InputError(f"none of {len(names)} galaxies has an image; they are called like {names[:1]}, images {have}")
    return [
        Chunk(
            key=f"chunk-{first // CHUNK:06d}",
            ids=tuple(names[first : first + CHUNK]),
            rows=tuple(row_of.get(name, -1) for name in names[first : first + CHUNK]),
        )
        for first in range(0, len(names), CHUNK)
    ]


def _files(images: Packed | Gallery) -> list[Path]:
    if isinstance(images, Packed):
        return [images.path / "packed.json", *(images.path / name for name, _ in images.parts)]
    return [path for path in sorted({p for entry in images.entries for p in _of_entry(entry)}) if path.exists()]


def _of_entry(entry: CutoutFiles) -> set[Path]:
    return {Path(split_name(name)[0]) for name in (*entry.image, *entry.noise, *entry.psf, *entry.mask)}
