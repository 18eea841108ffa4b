"""`rosse show` and `rosse export`: a catalogue looked at and handed on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rosse.cli import screen, summary

SHOW_HELP = """Print the first rows of a catalogue, its counts by status, and where it came from.

Examples:

  rosse show catalogue

  rosse show catalogue --where "n > 4 and status = 'ok'" --rows 50
"""
EXPORT_HELP = """Write a catalogue as one table: FITS, VOTable, CSV or Parquet.

Examples:

  rosse export catalogue table.fits

  rosse export catalogue ellipticals.csv --where "n > 4 and status = 'ok'"
"""

Directory = Annotated[Path, typer.Argument(help="Directory of the catalogue.", metavar="DIR", show_default=False)]
Where = Annotated[
    str | None,
    typer.Option("--where", help="Rows that meet a condition, \"n > 4 and status = 'ok'\".", show_default=False),
]


def show(
    directory: Directory,
    where: Where = None,
    rows: Annotated[int, typer.Option("--rows", help="Rows to print.", min=0)] = 10,
) -> None:
    """Print rows and provenance."""
    from rosse.store import open_catalogue

    catalogue = open_catalogue(directory)
    chosen = catalogue.where(where) if where else catalogue
    summary.print_rows(chosen, rows)
    about = catalogue.provenance
    console = screen.out()
    lines = [
        ("rows", f"{len(chosen)} of {len(catalogue)}, {len(catalogue.columns)} columns"),
        ("by status", summary.counts_text(about.get("counts", {}))),
        ("command", about.get("command", "")),
        ("finished", about.get("finished", "")),
        ("rosse", about.get("versions", {}).get("rosse", "")),
        ("failed", ", ".join(about.get("failed", {}))),
    ]
    for word, text in lines:
        if text:
            console.print(f"[bold]{word:<11}[/bold]", end="")
            console.print(str(text), markup=False)


def export(
    directory: Directory,
    file: Annotated[Path, typer.Argument(help="What to write: .fits, .vot, .csv or .parquet.", show_default=False)],
    where: Where = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write rows as one file."""
    from rosse.store import open_catalogue

    catalogue = open_catalogue(directory)
    chosen: Any = catalogue.where(where) if where else catalogue
    chosen.export(file, overwrite=overwrite)
    screen.out().print(f"{len(chosen)} rows in {file}", markup=False)
