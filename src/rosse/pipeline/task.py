"""What a worker does with one partition, and what it hands back; nothing is raised and nothing is printed there."""

from __future__ import annotations

import logging
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from rosse.io.say import apart, once, say


class Partition(Protocol):
    """A part of a survey that is computed alone.

    `key` is unique in its run, serves as a file name and never depends on the number of workers; `weight` is its
    share of the work, in any unit.
    """

    @property
    def key(self) -> str:
        """File name of the part."""
        ...

    @property
    def weight(self) -> float:
        """Share of the work."""
        ...


Step = Callable[[Any], pa.Table]  # partition → rows; picklable


@dataclass(frozen=True, kw_only=True, eq=False)
class Note:
    """A log record that travels from a worker to the process that shows it.

    Parameters
    ----------
    logger, level, text : of the record.
    once : name of the run and kind of the remark, where it is made once in a run (`rosse.io.say`).
    """

    logger: str
    level: int
    text: str
    once: tuple[str, str] | None = None

    def replay(self) -> None:
        """Log it here."""
        logger = logging.getLogger(self.logger)
        if self.once is None:
            logger.log(self.level, "%s", self.text)
            return
        run, kind = self.once
        with once(run):
            say(logger, self.level, kind, "%s", self.text)


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """How one partition ended.

    Parameters
    ----------
    key : of the partition.
    rows : its rows, or None when the step raised.
    reason : what it raised; empty when all went well.
    notes : what was logged meanwhile.
    """

    key: str
    rows: pa.Table | None
    reason: str = ""
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """The step as an engine sees it.

    Parameters
    ----------
    step : partition → rows.
    level : of the least message that is worth to be sent back.
    """

    step: Step
    level: int = logging.WARNING

    def __call__(self, partition: Partition) -> Outcome:
        """Rows of one partition, or the reason why there are none."""
        with _collected(self.level) as notes:
            try:
                rows = self.step(partition)
            except Exception as err:
                notes.append(Note(logger=__name__, level=logging.DEBUG, text=traceback.format_exc()))
                reason = f"{type(err).__name__}: {err}"
                return Outcome(key=partition.key, rows=None, reason=reason, notes=tuple(notes))
        return Outcome(key=partition.key, rows=rows, notes=tuple(notes))


def status_counts(rows: pa.Table) -> Counter[str]:
    """Number of rows by status; empty when the rows have none."""
    if "status" not in rows.column_names:
        return Counter()
    return Counter({entry["values"]: entry["counts"] for entry in pc.value_counts(rows["status"]).to_pylist()})


class _Collector(logging.Handler):
    def __init__(self, notes: list[Note]) -> None:
        super().__init__()
        self.notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        once = getattr(record, "once", None)
        self.notes.append(Note(logger=record.name, level=record.levelno, text=record.getMessage(), once=once))


@contextmanager
def _collected(level: int) -> Iterator[list[Note]]:
    """What rosse logs and what any library warns of, kept here instead of going to a worker's stderr.

    Where the worker is the process that shows it, its handlers get it when it is replayed, not now.
    """
    notes: list[Note] = []
    logger = logging.getLogger("rosse")
    before = logger.propagate, logger.level, logger.handlers
    logger.handlers = [_Collector(notes)]
    logger.propagate = False
    logger.setLevel(level)
    try:
        with apart(), warnings.catch_warnings(record=True) as caught:
            yield notes
        notes += [
            Note(logger="rosse.warnings", level=logging.INFO, text=f"{w.category.__name__}: {w.message}")
            for w in caught or ()
        ]
    finally:
        logger.propagate = before[0]
        logger.setLevel(before[1])
        logger.handlers = before[2]
