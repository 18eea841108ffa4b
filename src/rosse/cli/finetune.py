"""`rosse finetune`: a model and a few hundred labels to a model of another question."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rosse.cli import launch, screen
from rosse.cli.options import FinetuneOptions
from rosse.cli.train import images_of, say
from rosse.errors import OptionError

if TYPE_CHECKING:
    from rosse.votes.finetuning import FineTuning
    from rosse.votes.quantities import Quantities
    from rosse.votes.table import VoteTable

ALONE = 30  # epochs of a head that learns alone

HELP = """Teach a model another question from a few hundred labels: votes on a tree, classes, or numbers.

First the head alone learns, then the whole network, its first layers the slowest. Ctrl-C saves, the same command goes
on.

Examples:

  rosse finetune rings.csv --model gz-decals-small --images galaxies/ --tree gz-rings --out rings

  rosse finetune labels.csv --model gz-decals-small --images jpegs/ --classes kind --out kinds

  rosse finetune labels.csv --model gz-decals-small --images jpegs/ --numbers t_type,bar_length --out stages
"""


def finetune(options: FinetuneOptions) -> None:
    """Fine-tune, and say how good it became."""
    for name in ("votes", "model", "out"):
        if getattr(options, name) is None:
            raise OptionError(
                f"{name if name == 'votes' else '--' + name} is missing: rosse finetune labels.csv --model model "
                "--images galaxies --tree gz-rings --out new"
            )
    assert options.votes is not None
    assert options.model is not None
    assert options.out is not None
    launch.device_of(options.device)
    from rosse.votes.finetuning import finetune as learn
    from rosse.votes.seeing import read_redshifts

    labels, out = _labels(options, options.votes), Path(options.out).expanduser()
    images = images_of(options, options.cutouts or [options.votes])
    redshift = None if options.redshift is None else read_redshifts(options.redshift)
    with screen.watching(out) as watch:
        model = learn(
            options.model, labels, images, out, how=_how_of(options), redshift=redshift, watch=watch,
            overwrite=options.overwrite,
        )  # fmt: skip
    say(model, out)


def _labels(options: FinetuneOptions, path: str) -> VoteTable | Quantities:
    from rosse.tree import read_tree
    from rosse.votes.labels import read_classes, read_quantities
    from rosse.votes.reading import read_votes

    if sum(each is not None for each in (options.tree, options.classes, options.numbers)) != 1:
        raise OptionError("give --tree for votes, --classes for a column of classes, or --numbers for columns of "
                          "numbers: one of the three")  # fmt: skip
    if options.classes is not None:
        return read_classes(path, options.classes, id=options.id)
    if options.numbers is not None:
        return read_quantities(path, options.numbers, id=options.id)
    assert options.tree is not None
    return read_votes(path, read_tree(options.tree), id=options.id, suffix=options.suffix, rounded=options.rounded)


def _how_of(options: FinetuneOptions) -> FineTuning:
    from rosse.votes.finetuning import FineTuning

    usual = FineTuning()
    given = {
        name: getattr(options, name)
        for name in ("epochs", "batch", "seed", "device")
        if getattr(options, name) is not None
    }
    assert usual.whole is not None
    if options.probe:
        given = {"epochs": ALONE, **given}
    return FineTuning(
        probe=replace(usual.probe, **given), whole=None if options.probe else replace(usual.whole, **given),
        decay=usual.decay if options.decay is None else options.decay, weights=options.weights, views=options.views,
        side=options.side,
    )  # fmt: skip
