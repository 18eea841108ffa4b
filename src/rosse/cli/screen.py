"""What a person sees: warnings and progress on stderr, results on stdout, everything in ``run.log``."""

from __future__ import annotations

import logging
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import TYPE_CHECKING

from rosse.pipeline.progress import Bar

if TYPE_CHECKING:
    from rich.console import Console

FEW = 5  # messages of one kind on the screen; the log has them all
LOG = "run.log"


def out(*, fold: bool = False) -> Console:
    """Console of the results; a terminal may fold lines that are too long for it, a pipe gets them whole."""
    from rich.console import Console

    if fold and sys.stdout.isatty():
        return Console(file=sys.stdout, highlight=False)
    return Console(file=sys.stdout, soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 1000)


def err() -> Console:
    """Console of everything else."""
    from rich.console import Console

    return Console(file=sys.stderr, soft_wrap=True, highlight=False)


class Screen(logging.Handler):
    """Warnings on a console; what is said again and again is left to the log."""

    def __init__(self, console: Console) -> None:
        super().__init__(level=logging.WARNING)
        self.console = console
        self.seen: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record, unless its like was shown often enough."""
        from rich.markup import escape

        text = record.getMessage()
        kind = f"{record.name} {record.levelno}"
        self.seen[text] += 1
        if self.seen[text] > 1:
            return
        self.seen[kind] += 1
        if self.seen[kind] > FEW + 1:
            return
        if self.seen[kind] == FEW + 1:
            text = "further messages of this kind are only logged"
        word, colour = ("error", "red") if record.levelno >= logging.ERROR else ("warning", "yellow")
        self.console.print(f"[{colour}]{word}:[/{colour}] {escape(text)}")


class Log(MemoryHandler):
    """Keeps records until the run has its directory, then writes them to its log; a full disk stops no run."""

    def __init__(self) -> None:
        super().__init__(capacity=10_000, flushLevel=logging.CRITICAL + 1)

    def open(self, path: Path) -> None:
        """Write here from now on."""
        file = logging.FileHandler(path, encoding="utf-8", delay=True)
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
        file.handleError = lambda record: None  # type: ignore[method-assign]
        self.setTarget(file)
        self.flush()
        self.capacity = 1

    def close(self) -> None:
        """Close the file as well."""
        target = self.target
        super().close()
        if target is not None:
            target.close()


class Watch(Bar):
    """The bar of a run, which also opens the log: when it begins the directory is the run's."""

    def __init__(self, console: Console, log: Log, path: Path | None) -> None:
        super().__init__(console)
        self.log, self.path = log, path

    def begin(self, *, total: float, done: float) -> None:
        """Start to draw and to log."""
        if self.path is not None:
            self.log.open(self.path)
        super().begin(total=total, done=done)


@contextmanager
def watching(directory: Path | None) -> Iterator[Watch]:
    """Show what rosse logs while a command works; `directory` gets the log."""
    console, logger = err(), logging.getLogger("rosse")
    log, level = Log(), logger.level
    handlers: list[logging.Handler] = [Screen(console), log]
    logger.setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _to_log
            yield Watch(console, log, None if directory is None else directory / LOG)
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(level)


def _to_log(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """What libraries warn of means nothing to most people: it goes to the log."""
    logging.getLogger("rosse.warnings").info("%s: %s", category.__name__, message)
