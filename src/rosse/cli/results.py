"""Where the rows of a command go: into the catalogue of --out, or onto the screen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rosse.cli import launch, screen, summary
from rosse.errors import OptionError

if TYPE_CHECKING:
    from rosse.cli.options import Running
    from rosse.pipeline.run import Job, Report
    from rosse.store import Catalogue


def keep_or_print(
    options: Running,
    out: str | None,
    job: Callable[[], Job],
    *,
    word: str,
    rows: Callable[[Catalogue], None] = summary.print_rows,
) -> None:
    """Run a job, then say where its catalogue is or, where none was asked for, print its rows.

    Parameters
    ----------
    options : where to compute.
    out : directory of the catalogue; None prints the rows.
    job : makes the job; called where its warnings are shown.
    word : what was done to the galaxies.
    rows : prints a catalogue.
    """
    if out is not None:
        directory = catalogue_directory(out)
        report = _start(options, job, directory, log=directory)
        lines = [*summary.measured(report, word=word), *summary.unreadable(report)]
        summary.show(report, [("galaxies", str(report.rows)), *lines])
        launch.refuse_failures(report)
        return
    with tempfile.TemporaryDirectory(prefix="rosse-") as folder:
        report = _start(options, job, Path(folder), log=None)
        from rosse.store import open_catalogue

        rows(open_catalogue(folder))
        launch.refuse_failures(report)


def catalogue_directory(out: str) -> Path:
    """The directory that --out names; a table is refused."""
    from rosse.store.export import WRITERS

    path = Path(out).expanduser()
    if path.suffix.lower() in WRITERS:
        raise OptionError(
            f"--out is {out!r}; the directory of a catalogue is wanted: --out {path.stem}, and then "
            f"rosse export {path.stem} {path.name}"
        )
    return path


def _start(options: Running, job: Callable[[], Job], directory: Path, *, log: Path | None) -> Report:
    with screen.watching(log) as watch:
        return launch.start(job(), directory, options, watch)
