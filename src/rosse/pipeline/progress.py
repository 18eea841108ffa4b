"""What is seen of a run while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console


class Progress(Protocol):
    """Told by a run how far it is; the run itself prints nothing."""

    def begin(self, *, total: float, done: float) -> None:
        """The work in all and what an earlier run left finished, both in the partitions' weight."""
        ...

    def add(self, *, weight: float, counts: Mapping[str, int]) -> None:
        """A partition is finished; `counts` are its rows by status."""
        ...

    def end(self) -> None:
        """No more will come, for whatever reason."""
        ...


class Silent:
    """Shows nothing."""

    def begin(self, *, total: float, done: float) -> None:
        """Nothing."""

    def add(self, *, weight: float, counts: Mapping[str, int]) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


class Bar:
    """A line that moves: share done, galaxies per second, time left, rows by status.

    Parameters
    ----------
    console : rich console; nothing is drawn unless it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.bar = RichProgress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("[dim]{task.fields[counts]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.counts: Counter[str] = Counter()
        self.task: Any = None

    def begin(self, *, total: float, done: float) -> None:
        """Start to draw."""
        self.bar.start()
        # what was done before is left out of the task, or the time left would be reckoned from work that took no time
        self.task = self.bar.add_task("measure", total=total - done, rate="", counts="")

    def add(self, *, weight: float, counts: Mapping[str, int]) -> None:
        """Move on."""
        self.counts.update(counts)
        elapsed = self.bar.tasks[0].elapsed or 0.0
        measured = sum(n for status, n in self.counts.items() if status != "skipped")
        rate = f"{measured / elapsed:.1f} galaxies/s" if elapsed else ""
        shown = ", ".join(f"{n} {status}" for status, n in self.counts.most_common())
        self.bar.update(self.task, advance=weight, rate=rate, counts=shown)

    def end(self) -> None:
        """Leave the last state on the screen."""
        self.bar.stop()
