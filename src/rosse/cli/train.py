"""`rosse train`: votes and images to a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosse.cli import cutouts, launch, screen, tiles
from rosse.cli.options import CutoutOptions, TrainOptions
from rosse.errors import OptionError

if TYPE_CHECKING:
    from rosse.io.gallery import Gallery
    from rosse.io.packed import Packed
    from rosse.votes.learning import VoteTraining
    from rosse.votes.model import VoteModel
    from rosse.votes.quantity_model import QuantityModel

HELP = """Train networks on votes and images, recalibrate them, and judge them on galaxies set aside.

The directory gets the weights, a card with scores, and the learning curves. Ctrl-C saves; the same command goes on, and
ends with the same weights as if it had not been stopped.

Examples:

  rosse train votes.csv --images galaxies/ --tree gz-decals --out model

  rosse train votes.csv --images packed --tree gz2 --members 3 --weights balanced --out model

  rosse train votes.csv --images jpegs/ --encoder convnext_nano --pretrained --side 224 --device cuda --out model
"""


def train(options: TrainOptions) -> None:
    """Train, and say how good it became."""
    if options.votes is None:
        raise OptionError("no table of votes came; give one: rosse train votes.csv --images galaxies --out model")
    if options.out is None:
        raise OptionError("--out is missing: give the directory of the model")
    launch.device_of(options.device)
    from rosse.tree import read_tree

    tree, how = read_tree(options.tree), how_of(options)
    from rosse.votes.learning import train_votes
    from rosse.votes.reading import read_votes
    from rosse.votes.seeing import read_redshifts

    out = Path(options.out).expanduser()
    votes = read_votes(options.votes, tree, id=options.id, suffix=options.suffix, rounded=options.rounded)
    images = images_of(options, options.cutouts or [options.votes])
    redshift = None if options.redshift is None else read_redshifts(options.redshift)
    with screen.watching(out) as watch:
        model = train_votes(
            votes, images, out, how=how, redshift=redshift, watch=watch, overwrite=options.overwrite
        )  # fmt: skip
    say(model, out)


def how_of(options: TrainOptions) -> VoteTraining:
    """Options of the training in the library's words."""
    from rosse.nets.encoders import EncoderSpec
    from rosse.nets.training import TrainOptions as Training
    from rosse.votes.learning import VoteTraining
    from rosse.votes.network import NetworkSpec

    def given(*names: str) -> dict[str, Any]:
        return {name: getattr(options, name) for name in names if getattr(options, name) is not None}

    return VoteTraining(
        network=NetworkSpec(encoder=EncoderSpec(name=options.encoder, turns=options.turns), **given("dropout")),
        options=Training(**given("epochs", "batch", "rate", "patience", "seed", "device", "precision")),
        members=options.members, draws=options.draws, views=options.views, side=options.side,
        pretrained=options.pretrained, weights=options.weights,
    )  # fmt: skip


def images_of(options: CutoutOptions, sources: list[str]) -> Packed | Gallery:
    """The images that a command is told of."""
    from dataclasses import replace

    from rosse.io.gallery import Gallery
    from rosse.io.packed import open_packed

    if len(sources) == 1 and (Path(tiles.absolute_path(sources[0])) / "packed.json").is_file():
        return open_packed(tiles.absolute_path(sources[0]))
    return Gallery(entries=tuple(cutouts.entries(replace(options, cutouts=sources))))


SCORES = {"error": "error", "floor": "by chance", "scatter": "scatter", "rank_correlation": "rank correlation",
          "coverage": "coverage of 90 %"}  # fmt: skip


def say(model: VoteModel | QuantityModel, out: Path) -> None:
    """How good a model is, and where it is."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    console, scores = screen.out(fold=True), model.card["scores"]
    what, shown = next(iter(scores[0])), [key for key in SCORES if key in scores[0]]
    table = Table(what, "galaxies", *(SCORES[key] for key in shown), box=SIMPLE_HEAD)
    for each in scores:
        table.add_row(each[what], str(each["galaxies"]), *(f"{each[key]:.3f}" for key in shown))
    console.print(table)
    for word, text in (("model", str(out)), ("weights", model.hash), ("card", str(out / "card.md")),
                       ("use it", f"rosse predict GALAXIES --model {out}")):  # fmt: skip
        console.print(f"{word:<9}{text}", markup=False)
