"""`rosse acquire`: which galaxies to label next."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from rosse.cli import launch, screen
from rosse.cli.options import AcquireOptions
from rosse.cli.train import images_of
from rosse.errors import FileError, OptionError

if TYPE_CHECKING:
    from rosse.votes.acquiring import Acquiring, Acquisition

HELP = """Choose the galaxies whose labels teach a model most, for people to look at next.

Writes their ids, the most wanted first, as CSV, with the hash of the model that chose them; with --subjects also
pictures and a manifest for Zooniverse. Galaxies of the tables --labelled are left out. A run that was stopped goes on
where it was when the same command is given again.

Examples:

  rosse acquire galaxies/ --model model --labelled votes.csv --n 100 --out next.csv

  rosse acquire packed --model model --question bar --strategy joint --n 50 --seed 1 --out bars.csv

  rosse acquire galaxies/ --model model --labelled votes.csv,more.csv --out next.csv --subjects upload/
"""


def acquire(options: AcquireOptions) -> None:
    """Choose, write the list and say where it is."""
    for name in ("model", "out"):
        if getattr(options, name) is None:
            raise OptionError(f"--{name} is missing: rosse acquire galaxies --model model --n 100 --out next.csv")
    assert options.model is not None
    assert options.out is not None
    if not options.cutouts:
        raise OptionError("no image came; give images, a folder, a packed store or a manifest")
    out = Path(options.out).expanduser()
    if out.suffix.lower() != ".csv":
        raise OptionError(f"--out is {options.out!r}; a CSV file is wanted: --out {out.with_suffix('.csv')}")
    launch.device_of(options.device)
    from rosse.votes.acquiring import Acquiring
    from rosse.votes.model import load_model

    how = Acquiring(
        count=options.n, strategy=options.strategy, questions=options.question or (), people=options.people,
        seed=options.seed,
    )  # fmt: skip
    model = load_model(options.model)
    if out.exists() and not options.overwrite:
        _same_or_refuse(out, how, model.hash)
        return
    found = _acquired(options, how, out)
    _write(found, out)
    if options.subjects is not None:
        from rosse.votes.subjects import write_subjects

        write_subjects(Path(options.subjects).expanduser(), images_of(options, options.cutouts), found)
    _say(found, options, out)


def _acquired(options: AcquireOptions, how: Acquiring, out: Path) -> Acquisition:
    from rosse.votes.acquiring import acquire as choose
    from rosse.votes.acquiring import read_labelled
    from rosse.votes.seeing import read_redshifts

    assert options.model is not None
    labelled = [name for path in options.labelled or () for name in read_labelled(path)]
    redshift = None if options.redshift is None else read_redshifts(options.redshift)
    with screen.watching(None) as watch:
        return choose(
            images_of(options, options.cutouts), options.model, how=how, labelled=labelled, redshift=redshift,
            work=out.with_name(f".{out.name}.work"), watch=watch, device=options.device,
        )  # fmt: skip


def _write(found: Acquisition, out: Path) -> None:
    from rosse.nets.checkpoints import write_whole

    text = io.StringIO()
    found.table().write(text, format="ascii.csv")
    write_whole(out, text.getvalue().encode())


def _same_or_refuse(out: Path, how: Acquiring, weights: str) -> None:
    """Say that nothing is left to do where the file is what would be written; else refuse to write over it."""
    try:
        with out.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as err:
        raise FileError(f"{out} cannot be read: {err.strerror or err}") from err
    asked = {f"{name}_asked" for name in how.questions}
    have = {name for name in (rows[0] if rows else {}) if name.endswith("_asked")}
    told = {(row.get("weights"), row.get("strategy"), row.get("seed")) for row in rows}
    if told != {(weights, how.strategy, str(how.seed))} or len(rows) != how.count or (asked and have != asked):
        raise OptionError(f"{out} is there already, with other galaxies; give another --out, or --overwrite")
    screen.out(fold=True).print(f"{out} holds these {len(rows)} galaxies: nothing was left to do", markup=False)


def _say(found: Acquisition, options: AcquireOptions, out: Path) -> None:
    console = screen.out(fold=True)
    lines = [
        ("chosen", f"{len(found)} of {found.pool} galaxies without labels, by {found.how.strategy}"),
        ("weights", found.model),
        ("list", str(out)),
    ]
    if options.subjects is not None:
        lines.append(("subjects", str(Path(options.subjects).expanduser() / "manifest.csv")))
    for word, text in lines:
        console.print(f"{word:<9}{text}", markup=False)
