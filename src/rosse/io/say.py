"""Saying a thing once: remarks about thousands of files of one kind are made for the first of them only."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_said: ContextVar[set[str] | None] = ContextVar("said", default=None)
_runs: dict[str, set[str]] = {}


@contextmanager
def once(run: str) -> Iterator[None]:
    """Within this block, and later ones of the same run in this process, each kind of remark is made once."""
    if len(_runs) > 64 and run not in _runs:
        _runs.pop(next(iter(_runs)))
    token = _said.set(_runs.setdefault(run, set()))
    try:
        yield
    finally:
        _said.reset(token)


def say(log: logging.Logger, level: int, kind: str, message: str, *values: object) -> None:
    """Log a remark, unless one of this kind was made in the run before."""
    said = _said.get()
    if said is not None:
        if kind in said:
            return
        said.add(kind)
    log.log(level, message, *values)
