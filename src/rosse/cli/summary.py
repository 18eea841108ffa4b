"""The last words of a run, on stdout."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosse.cli import screen

if TYPE_CHECKING:
    from rosse.pipeline.run import Report
    from rosse.store import Catalogue

Line = tuple[str, str]

_FITS = re.compile(r"id|kind|(\w+_)?mag(_\w+)?|(\w+_)?(r_e|n|q|pa)|chi2_dof|status")
_NOT_FITS = re.compile(r"(sigma|shape)_.*|mag_(auto|petro|kron).*")
_SHAPES = re.compile(r"id|r_petro|concentration|asymmetry|smoothness|gini|m20|status")


def measured(report: Report, *, word: str = "fitted") -> list[Line]:
    """Lines on the galaxies that were fitted, or measured in another way, and how fast."""
    counts = {status: n for status, n in report.counts.items() if status != "skipped"}
    lines = []
    if counts:
        lines.append((word, f"{sum(counts.values())}: {counts_text(counts)}"))
    new = sum(n for status, n in report.computed.items() if status != "skipped")
    if new:
        lines.append(("speed", f"{new / max(report.seconds, 1e-3):.1f} galaxies/s ({new} in {report.seconds:.0f} s)"))
    elif report.completed:
        lines.append(("figures", "those that were missing are drawn; the catalogue is as it was"))
    elif counts and not report.computed:
        lines.append(("speed", "nothing was left to do: every partition was finished before"))
    return lines


def unreadable(report: Report) -> list[Line]:
    """A line on the galaxies whose files could not be read, if there are any."""
    count = report.counts.get("unreadable", 0)
    if not count:
        return []
    from rosse.store import open_catalogue

    names = open_catalogue(report.directory).where("status = 'unreadable'").select(["id"]).head(5)["id"]
    more = ", ..." if count > 5 else ""
    return [("unreadable", f"{count}: {', '.join(names)}{more}; run.log says why")]


def show(report: Report, lines: Iterable[Line]) -> None:
    """Print the lines, where the catalogue is, and how to open it."""
    from rich.markup import escape

    console = screen.out()
    place = str(report.directory)
    for word, text in (*lines, ("catalogue", place)):
        console.print(f"[bold]{word:<11}[/bold]{escape(text)}")
    console.print("\n[dim]open it with[/dim]")
    for text in _ways(report.directory):
        console.print(f"  {escape(text)}")


def counts_text(counts: Mapping[str, int]) -> str:
    """``ok 140, at_bound 8``, in the order of `Status`."""
    from rosse.status import Status

    order = {status.label: i for i, status in enumerate(Status)}
    return ", ".join(
        f"{name} {n}" for name, n in sorted(counts.items(), key=lambda item: order.get(item[0], len(order)))
    )


def _ways(directory: Path) -> list[str]:
    place = str(directory)
    table = "table.fits"
    ways = [
        f"rosse.open_catalogue({place!r}).where(\"status = 'ok'\").to_pandas()",
        f"rosse show {place}",
        f"rosse export {place} {table}",
    ]
    if (directory / "hats.properties").exists():
        ways.insert(1, f"lsdb.open_catalog({place!r})")
    return ways


def print_rows(catalogue: Catalogue, limit: int | None = None) -> None:
    """Print the columns that a person looks at first, one line per row, values with their errors."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    known = catalogue.schema.names
    if "chi2_dof" in known:
        names = [name for name in known if _FITS.fullmatch(name) and not _NOT_FITS.fullmatch(name)]
    else:
        names = [name for name in known if _SHAPES.fullmatch(name)]
    errors = {name: f"sigma_{name}" for name in names if f"sigma_{name}" in known}
    units = {column.name: f" \\[{column.unit}]" if column.unit else "" for column in catalogue.columns}
    table = Table(*(name + units[name] for name in names), box=SIMPLE_HEAD)
    chosen = catalogue.select([*names, *errors.values()])
    for row in _rows(chosen, limit):
        table.add_row(*(escape(_cell(row[name], row.get(errors.get(name, "")))) for name in names))
    screen.out(fold=True).print(table)


def _rows(catalogue: Catalogue, limit: int | None) -> Iterator[dict[str, Any]]:
    return islice((row for rows in catalogue.partitions() for row in rows.to_pylist()), limit)


def _cell(value: Any, error: Any) -> str:
    if not isinstance(value, float):
        return "" if value is None else str(value)
    if not math.isfinite(value):
        return "-"
    return f"{value:.4g}" if error is None or not math.isfinite(error) else f"{value:.4g} \u00b1 {error:.2g}"
