"""`rosse predict`: images and a model to posteriors of votes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rosse.cli import cutouts, launch, results, screen, tiles
from rosse.cli.options import PredictOptions
from rosse.cli.train import images_of
from rosse.errors import OptionError

if TYPE_CHECKING:
    from rosse.pipeline.run import Job
    from rosse.store import Catalogue

HELP = """Predict what volunteers would say of galaxies: posteriors of the votes, by a model of rosse train.

Images are a folder, files, a manifest or a packed store; with a catalogue of rosse, --images says where the images of
its galaxies are. A run that was stopped goes on where it was when the same command is given again.

Examples:

  rosse predict galaxies/ --model model --out votes

  rosse predict packed --model model --device cuda --out votes

  rosse predict catalogue --images packed --model model --out votes
"""


def predict(options: PredictOptions) -> None:
    """Predict, and print the table or say where it is."""
    if options.model is None:
        raise OptionError("--model is missing: give the directory of a model; rosse train makes one")
    if options.plot is not None:
        raise OptionError("--plot is not for predictions")
    results.keep_or_print(options, options.out, lambda: _job(options), word="predicted", rows=_print)


def _job(options: PredictOptions) -> Job:
    from rosse.pipeline.voting import vote_job
    from rosse.votes.model import model_folder
    from rosse.votes.seeing import read_redshifts

    assert options.model is not None
    sources, ids = list(options.cutouts), None
    if not sources:
        raise OptionError("no image came; give images, a folder, a packed store, a manifest, or a catalogue")
    if options.images is not None:
        from rosse.store import open_catalogue

        if len(sources) > 1:
            raise OptionError(f"--images is for one catalogue; {len(sources)} came")
        ids = open_catalogue(sources[0]).select(["id"]).to_pandas()["id"].astype(str).tolist()
        sources = [options.images]
    redshift = None if options.redshift is None else read_redshifts(options.redshift)
    tables = [Path(options.redshift)] if options.redshift else []
    return vote_job(
        images_of(options, sources), model_folder(options.model).absolute(), ids=ids, redshift=redshift,
        device=launch.device_of(options.device), inputs=[*tables, *_manifests(options, sources)],
        record=tiles.record_of(options, (*cutouts.OPTIONS, "images")),
    )  # fmt: skip


def _manifests(options: PredictOptions, sources: list[str]) -> list[Path]:
    from dataclasses import replace

    return cutouts.manifests(replace(options, cutouts=sources))


def _print(catalogue: Catalogue) -> None:
    """The expected shares of the first question, a line for each galaxy; everything is in the columns of --out."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    names = [name for name in catalogue.schema.names if name.endswith("_fraction")]
    first = [name for name in names if name.partition("_")[0] == names[0].partition("_")[0]]
    table = Table("id", *(escape(name.removesuffix("_fraction")) for name in first), "status", box=SIMPLE_HEAD)
    for rows in catalogue.select(["id", *first, "status"]).partitions():
        for row in rows.to_pylist():
            table.add_row(escape(row["id"]), *(f"{row[name]:.3f}" for name in first), row["status"])
    screen.out(fold=True).print(table)
