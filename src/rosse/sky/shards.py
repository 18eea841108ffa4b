"""A large observation as a packed store, shard by shard: any number of workers, and a finished shard is finished.

    DIR/
      part-00000.parquet    images of the first `SHARD` rows (see rosse.io.packed)
      truth-00000.parquet   the truth of the same rows
      pictures/ID.jpg       colour pictures, where asked for
      packed.json           the list of parts, once all are there

A shard is made in a directory of its own and renamed, the truth first: what stands under its name is whole. Its rows
are always looked at in the same batches by one thread, so the files are the same bytes whoever makes them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rosse.errors import RunError, StorageError
from rosse.io.packed import Packed, open_packed
from rosse.io.packing import publish, write_packed
from rosse.sky.observe import Observation, Telescope, View, observe_in_batches
from rosse.sky.pictures import write_pictures
from rosse.sky.population import Population
from rosse.tables import to_arrow

if TYPE_CHECKING:
    from rosse.cutouts import Cutouts
    from rosse.surveys import Survey

SHARD = 512  # rows; a shard of 64 x 64 pixels in three bands is 50 MB


@dataclass(frozen=True, kw_only=True, eq=False)
class Shards:
    """What is to be written where; it can be sent to other processes.

    Parameters
    ----------
    directory : of the store.
    population, survey, view : what is observed, and how.
    seed : of noise, PSFs and artefacts.
    pictures : whether colour pictures are written too.
    """

    directory: Path
    population: Population
    survey: Survey | str
    view: View
    seed: int
    pictures: bool = False

    @property
    def count(self) -> int:
        """Number of shards."""
        return -(-len(self.population) // SHARD)

    def rows(self, number: int) -> int:
        """Rows of a shard."""
        return min(SHARD, len(self.population) - number * SHARD)

    def missing(self) -> list[int]:
        """Shards that are not finished."""
        return [number for number in range(self.count) if not (self.directory / _part(number)).is_file()]

    def __call__(self, number: int) -> tuple[int, int]:
        """Make a shard; its number and how many rows it has."""
        scratch = self.directory / f".writing-{number:05d}"
        try:
            shutil.rmtree(scratch, ignore_errors=True)  # left by a process that was killed
            scratch.mkdir(parents=True)
            try:
                with _one_thread():
                    self._make(number, scratch)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        except OSError as err:
            raise StorageError(
                f"{self.directory} cannot be written ({err.strerror or err}); what is finished is kept"
            ) from err
        return number, self.rows(number)

    def tidy(self) -> None:
        """Remove what killed processes have left; nobody else may be at work."""
        for left in self.directory.glob(".writing-*"):
            shutil.rmtree(left, ignore_errors=True)

    def _make(self, number: int, scratch: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        first = number * SHARD
        rows = self.population.rows(first, first + self.rows(number))
        tables: list[pa.Table] = []
        batches = observe_in_batches(rows, self.survey, seed=self.seed, view=self.view)
        write_packed(scratch / "packed", self._images(batches, tables))
        truth = scratch / _truth(number)
        pq.write_table(pa.concat_tables(tables), truth)
        os.replace(truth, self.directory / _truth(number))
        os.replace(scratch / "packed" / _part(0), self.directory / _part(number))

    def _images(self, batches: Iterator[Observation], tables: list[Any]) -> Iterator[Cutouts]:
        for seen in batches:
            tables.append(to_arrow(seen.truth))
            if self.pictures:
                write_pictures(seen.cutouts, self.directory / "pictures")
            yield seen.cutouts.to("cpu")

    def finish(self) -> Packed:
        """List the parts, which makes the directory a store.

        Raises
        ------
        RunError
            A shard is missing.
        """
        missing = self.missing()
        if missing:
            raise RunError(f"{len(missing)} of {self.count} shards are missing in {self.directory}; make them first")
        self.tidy()
        scope = Telescope.of(self.survey, self.view)
        store = Packed(
            path=self.directory, bands=scope.survey.bands, zeropoint=scope.survey.zeropoint, psf_has_pixel=True,
            psf_oversampling=scope.oversampling,
            parts=tuple((_part(number), self.rows(number)) for number in range(self.count)),
        )  # fmt: skip
        publish(store)
        return open_packed(self.directory)


def _part(number: int) -> str:
    return f"part-{number:05d}.parquet"


def _truth(number: int) -> str:
    return f"truth-{number:05d}.parquet"


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums over several threads differ in their last digits from sums over one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
