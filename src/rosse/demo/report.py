"""The summary that the demo prints."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosse.demo import places
from rosse.demo.hubble import CAVEAT

if TYPE_CHECKING:
    from rich.console import Console

PULLS = {"pull_mean": "+.2f", "pull_width": ".2f"}
NAMES = {"mag_r": "magnitude r", "r_e": "radius r_e", "n": "Sersic index n", "q": "axis ratio q"}


def print_summary(summary: dict[str, Any], folder: Path, console: Console, *, earlier: bool = False) -> None:
    """What was found, how well it was recovered, what was written, and three commands to try next.

    Parameters
    ----------
    summary : content of ``demo.json``.
    folder : of the demo.
    console : where it goes.
    earlier : whether this comes from a run that was finished before.
    """
    simulated = summary["simulated"]
    size = simulated["size"]
    console.print(
        f"[bold]Simulated DECaLS field[/bold]  g, r, z, {size} x {size} pixels: {simulated['galaxies']} galaxies, "
        f"{simulated['stars']} stars"
    )
    _print_counts(simulated, console)
    _print_detection(simulated["detection"], console)
    _print_recovered(simulated, console)
    if "hubble" in summary:
        console.print("\n[bold]Hubble Deep Field[/bold]  a colour picture; its bright galaxies are fitted")
        width = max(40, min(88, console.width))
        console.print(textwrap.fill(CAVEAT, width, initial_indent="  note       ", subsequent_indent=" " * 13))
        _print_counts(summary["hubble"], console)
    _print_files(summary, folder, console)
    how = "from an earlier run; delete the directory to measure again" if earlier else f"in {summary['seconds']:.0f} s"
    console.print(f"\nMeasured by rosse {summary['version']} {how}.")
    console.print("\n[bold]Try next[/bold]")
    for command in next_commands(folder):
        console.print(f"  {command}", soft_wrap=True, markup=False)


def next_commands(folder: Path) -> list[str]:
    """Three commands that work on what the demo wrote."""
    images = folder / places.IMAGES
    rosse, python = _program("rosse"), _program("python")
    return [
        f"{rosse} run {images}/field-r.fits --ivar {images}/field-ivar-r.fits --survey decals --out {folder}/r-band",
        f"{rosse} fit {folder}/{places.CUTOUTS} --out {folder}/refit --plot {folder}/plots",
        f"{python} -c \"import rosse; print(rosse.open_catalogue('{folder}').where('n > 4').to_pandas())\"",
    ]


def _program(name: str) -> str:
    """How to call a program of this environment: by name where the shell finds this one, else by its path."""
    here = Path(sys.executable).parent / name
    found = shutil.which(name)
    if found is not None and Path(found).parent == here.parent:
        return name
    shown = os.path.relpath(here)
    return shown if not shown.startswith("..") else str(here)


def _print_counts(counts: dict[str, Any], console: Console) -> None:
    kinds = ", ".join(f"{n} {_plural(kind, n)}" for kind, n in counts["kinds"].items())
    rate = f"   {counts['rate']:.{0 if counts['rate'] >= 10 else 1}f} galaxies/s" if counts["rate"] else ""
    status = ", ".join(f"{n} {name}" for name, n in counts["status"].items())
    console.print(f"  found      {counts['sources']} sources: {kinds}")
    console.print(f"  fitted     {counts['fitted']} galaxies in {counts['seconds']:.0f} s{rate}")
    console.print(f"  status     {status}")


def _print_detection(found: dict[str, Any], console: Console) -> None:
    bright = f"r < {found['bright']:g}"
    console.print(
        f"  complete   {found['galaxies_found']} of {found['galaxies_bright']} galaxies and {found['stars_found']} of "
        f"{found['stars_bright']} stars with {bright}"
    )
    console.print(f"  spurious   {found['unmatched_sources']} sources that are no object")
    console.print(
        f"  classes    {found['called_galaxy_right']} of {found['called_galaxy']} called galaxies and "
        f"{found['called_star_right']} of {found['called_star']} called stars are ({bright})"
    )


def _print_recovered(simulated: dict[str, Any], console: Console) -> None:
    rows = simulated["recovered"]
    console.print(
        f"  recovered  {rows[0]['count']} single-Sersic galaxies that stand alone, S/N > {simulated['minimum_snr']:g}:"
    )
    head = f"  {'fitted - true':<18}{'median':>12}{'scatter':>12}{'pull mean':>11}{'width':>8}{'> 5 sigma':>11}"
    console.print(f"[dim]{head}[/dim]")
    for row in rows:
        median, scatter = (_difference(row[key], row["unit"]) for key in ("offset", "scatter"))
        mean, width = ("" if row[key] is None else f"{row[key]:{style}}" for key, style in PULLS.items())
        name = f"  {NAMES[row['quantity']]:<18}"
        console.print(f"{name}{median:>12}{scatter.lstrip('+'):>12}{mean:>11}{width:>8}{row['beyond']:>11}")


def _difference(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{100 * value:+.1f} %" if unit == "%" else f"{value:+.3f} {unit}".rstrip()


def _print_files(summary: dict[str, Any], folder: Path, console: Console) -> None:
    console.print(f"\n[bold]Written[/bold] to {folder}/")
    written = [
        ("dataset/, run.json", "catalogue (HATS, Parquet) of the simulated field"),
        (places.SHEET, "galaxy, model and residual of 12 galaxies"),
        (places.RECOVERED, "recovered against true"),
        (f"{places.HUBBLE}/", "catalogue and contact sheet of the Hubble Deep Field"),
        (f"{places.IMAGES}/, {places.CUTOUTS}/", "what was measured, the truth, cutouts to fit"),
    ]
    for name, what in written:
        if "hubble" in summary or not name.startswith(places.HUBBLE):
            console.print(f"  {name:<22} {what}", soft_wrap=True)


def _plural(kind: str, count: int) -> str:
    if count == 1:
        return kind
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
