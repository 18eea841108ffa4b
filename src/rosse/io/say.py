"""Saying a thing once: remarks about thousands of files of one kind are made for the first of them only."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_run: ContextVar[str | None] = ContextVar("run", default=None)
_runs: dict[str, set[str]] = {}


@contextmanager
def once(run: str) -> Iterator[None]:
    """Within this block, and later ones of the same run in this process, each kind of remark is made once."""
    if len(_runs) > 64 and run not in _runs:
        _runs.pop(next(iter(_runs)))
    _runs.setdefault(run, set())
    token = _run.set(run)
    try:
        yield
    finally:
        _run.reset(token)


@contextmanager
def apart() -> Iterator[None]:
    """What is said within this block is collected and said again where people see it: it does not count as said."""
    before = {run: set(kinds) for run, kinds in _runs.items()}
    try:
        yield
    finally:
        _runs.clear()
        _runs.update(before)


def say(log: logging.Logger, level: int, kind: str, message: str, *values: object) -> None:
    """Log a remark, unless one of this kind was made in the run before."""
    run = _run.get()
    if run is None:
        log.log(level, message, *values)
        return
    said = _runs.setdefault(run, set())
    if kind not in said:
        said.add(kind)
        log.log(level, message, *values, extra={"once": (run, kind)})
