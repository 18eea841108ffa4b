"""A run: partitions in, one file per finished partition, a catalogue at the end; killed at any moment, it goes on."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from rosse.errors import InputError, RunError, StorageError
from rosse.pipeline.directory import PARTS, claim, locked, retire_parts
from rosse.pipeline.engines import Engine, Lost
from rosse.pipeline.local import LocalEngine
from rosse.pipeline.parts import Parts
from rosse.pipeline.progress import Progress, Silent
from rosse.pipeline.record import make_record
from rosse.pipeline.task import Outcome, Partition, Step, Task, status_counts
from rosse.store import Catalogue, describe_run, open_catalogue, write_catalogue

log = logging.getLogger(__name__)


def _as_they_are(files: Sequence[Path]) -> Sequence[Path]:
    return files


def nothing(catalogue: Catalogue) -> Sequence[Partition]:
    """A job whose rows are all that it makes lacks nothing once they are written."""
    return ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """What a run computes.

    Parameters
    ----------
    partitions : in the order of the catalogue's rows.
    prepare : directory → step; called once, after the directory is found to be free and of this job. What all
        partitions share (the PSF of a field) is made here.
    options : name → value of everything that decides the result.
    inputs : every file that is read.
    merge : finished part files → rows of the catalogue, as tables or as the files themselves.
    lacking : catalogue → partitions to be computed once more for what they make beside rows, as figures are.
    command : verb or command line, for the record.
    """

    partitions: Sequence[Partition]
    prepare: Callable[[Path], Step]
    options: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[Path] = ()
    merge: Callable[[Sequence[Path]], Iterable[pa.Table] | Sequence[Path]] = _as_they_are
    lacking: Callable[[Catalogue], Sequence[Partition]] = nothing
    command: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """How a run ended.

    Parameters
    ----------
    directory : of the catalogue.
    rows : rows of the catalogue.
    counts : rows of the catalogue by status.
    failed : key of each partition without rows → reason; the same command tries them again.
    seconds : duration of this call.
    computed : rows by status that this call measured; the others an earlier one left finished.
    completed : partitions that this call computed once more for what they make beside rows, as figures are.
    """

    directory: Path
    rows: int
    counts: Mapping[str, int]
    failed: Mapping[str, str]
    seconds: float
    computed: Mapping[str, int]
    completed: int = 0


class Stopped(KeyboardInterrupt):
    """Ctrl-C; the message says how to go on."""


def run(
    job: Job,
    directory: str | Path,
    *,
    engine: Engine | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Compute every partition that is not finished yet, and write the catalogue.

    Parameters
    ----------
    job : what to compute.
    directory : of the catalogue. Where it holds an earlier run of the same options and inputs, that run goes on.
    engine : where to compute; None takes all cores of this machine.
    overwrite : start anew even if the directory holds a run.
    progress : what to tell of the way.

    Raises
    ------
    OptionError
        The directory holds something else, or a run of other options or inputs; the message says what differs.
    StorageError
        A file cannot be written. Finished partitions are kept.
    Stopped
        Ctrl-C. Finished partitions are kept.
    """
    start = time.monotonic()
    directory = Path(directory)
    _check_keys(job.partitions)
    record = make_record(job.options, job.inputs)
    with locked(directory):
        mark = claim(directory, record, overwrite=overwrite)
        if mark is None:
            catalogue = open_catalogue(directory)
            again = _complete(job, directory, catalogue, engine or LocalEngine(), progress or Silent())
            seconds = time.monotonic() - start
            return _report(directory, catalogue, failed={}, seconds=seconds, computed={}, completed=again)
        parts = Parts(directory / PARTS, mark)
        try:
            failed, computed = _compute(job, parts, engine or LocalEngine(), progress or Silent())
            seconds = time.monotonic() - start
            catalogue = _write(job, parts, record | {"fingerprint": mark, "failed": failed, "seconds": seconds})
            again = _complete(job, directory, catalogue, engine or LocalEngine(), progress or Silent())
        except KeyboardInterrupt:
            raise Stopped(_how_to_go_on(job, parts)) from None
        if not failed:
            retire_parts(directory)
    seconds = time.monotonic() - start
    return _report(directory, catalogue, failed=failed, seconds=seconds, computed=computed, completed=again)


def _report(directory: Path, catalogue: Catalogue, **about: Any) -> Report:
    return Report(
        directory=directory,
        rows=len(catalogue),
        counts=catalogue.provenance["counts"],
        **about,
    )


def _how_to_go_on(job: Job, parts: Parts) -> str:
    kept = len(parts.finished(p.key for p in job.partitions))
    return (
        f"stopped; {kept} of {len(job.partitions)} partitions are kept in {parts.folder.parent}: "
        "the same command without --overwrite goes on"
    )


def _check_keys(partitions: Sequence[Partition]) -> None:
    twice = [key for key, count in Counter(p.key for p in partitions).items() if count > 1]
    if twice:
        raise InputError(f"partitions must have different keys, but these come more than once: {', '.join(twice[:5])}")


def _compute(job: Job, parts: Parts, engine: Engine, progress: Progress) -> tuple[dict[str, str], Counter[str]]:
    """Reasons of the partitions that failed, and the new rows by status."""
    done = set(parts.finished(p.key for p in job.partitions))
    todo = {p.key: p for p in job.partitions if p.key not in done}
    failed: dict[str, str] = {}
    computed: Counter[str] = Counter()
    log.info("%d partitions, %d of them finished before", len(job.partitions), len(done))
    if not todo:
        return failed, computed
    task = Task(step=job.prepare(parts.folder.parent), level=logging.getLogger("rosse").getEffectiveLevel())
    with ExitStack() as stack:
        progress.begin(total=_weight(job.partitions), done=_weight(job.partitions) - _weight(todo.values()))
        stack.callback(progress.end)
        for outcome in stack.enter_context(_closing(engine.map(task, todo.values()))):
            key, rows, reason = _receive(outcome)
            if rows is None:
                log.error("partition %s failed: %s", key, reason)
                failed[key] = reason
                continue
            parts.write(key, rows)
            counts = status_counts(rows)
            computed += counts
            progress.add(weight=todo[key].weight, counts=counts)
    return failed, computed


def _complete(job: Job, directory: Path, catalogue: Catalogue, engine: Engine, progress: Progress) -> int:
    """Compute partitions once more for what they make beside rows; the rows are in the catalogue and stay."""
    todo = job.lacking(catalogue)
    if not todo:
        return 0
    log.info("%d of %d partitions are computed once more for their figures", len(todo), len(job.partitions))
    there = (directory / PARTS).exists()
    task = Task(step=job.prepare(directory), level=logging.getLogger("rosse").getEffectiveLevel())
    with ExitStack() as stack:
        progress.begin(total=_weight(todo), done=0.0)
        stack.callback(progress.end)
        weight = {p.key: p.weight for p in todo}
        for outcome in stack.enter_context(_closing(engine.map(task, todo))):
            key, rows, reason = _receive(outcome)
            if rows is None:
                log.error("figures of partition %s are missing: %s", key, reason)
            progress.add(weight=weight[key], counts={})
    if not there and (directory / PARTS).exists():
        retire_parts(directory)  # what was prepared again, such as the PSF
    return len(todo)


def _receive(outcome: Outcome | Lost) -> tuple[str, pa.Table | None, str]:
    if isinstance(outcome, Lost):
        return outcome.item.key, None, outcome.reason
    for note in outcome.notes:
        note.replay()
    return outcome.key, outcome.rows, outcome.reason


def _weight(partitions: Iterable[Partition]) -> float:
    return sum(p.weight for p in partitions)


def _closing(results: Iterable[Any]) -> Any:
    """Stop the workers of an engine as soon as the loop is left; an executor looks after its own."""
    return closing(results) if isinstance(results, Generator) else nullcontext(results)


def _write(job: Job, parts: Parts, provenance: Mapping[str, Any]) -> Catalogue:
    """The catalogue of all parts, in the order of the partitions."""
    files = [parts.path(key) for key in parts.finished(p.key for p in job.partitions)]
    if not files:
        reasons = list(provenance["failed"].values())
        why = f"; the first reason: {reasons[0]}" if reasons else ": there was nothing to measure"
        raise RunError(f"no partition came to an end{why}")
    about = describe_run(command=job.command) | dict(provenance)
    try:
        catalogue = write_catalogue(parts.folder.parent, job.merge(files), provenance=about)
    except StorageError as err:
        raise StorageError(f"{err}. Finished partitions are kept: the same command goes on from them") from err
    log.info("%d rows written", len(catalogue))
    return catalogue
