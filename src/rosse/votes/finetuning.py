"""Fine-tuning: a model that has learnt one tree learns another question from a few hundred labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from rosse.cutouts import Cutouts
from rosse.errors import FileError, InputError, OptionError, unknown_name
from rosse.io.columns import ID_COLUMNS, IMAGE_COLUMNS
from rosse.io.manifest import read_table
from rosse.nets.augmenting import Augmentation
from rosse.nets.preparing import Images
from rosse.nets.training import TrainOptions, Watch, train
from rosse.tree import Answer, Question, Tree
from rosse.votes.calibration import Calibration
from rosse.votes.examples import Examples, match
from rosse.votes.learning import (
    WORK,
    VoteLearner,
    VoteTraining,
    claimed,
    divided,
    finish,
    finished,
    start_at_means,
    together,
)
from rosse.votes.model import VoteModel, load_model
from rosse.votes.network import VoteNetwork
from rosse.votes.seeing import as_images
from rosse.votes.table import VoteTable

BLOCKS = 6  # of the encoder, first to last layers, that learn at rates of their own


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """How a model is fine-tuned.

    Parameters
    ----------
    probe : training of the head alone, on features that stay (a linear probe, with the layer that mixes them).
    whole : training of everything afterwards; ``None`` leaves the encoder as it is.
    decay : factor of the learning rate from each of six blocks of the encoder to the one before it: first layers see
        edges and noise, which are the same for all questions (Howard & Ruder 2018, arXiv:1801.06146).
    augmentation : of the images.
    weights : question → weight, or ``balanced``.
    shares, split_seed : as of `VoteTraining`.
    """

    probe: TrainOptions = field(default_factory=lambda: TrainOptions(epochs=30, batch=32, rate=3e-3))
    whole: TrainOptions | None = field(default_factory=lambda: TrainOptions(epochs=30, batch=32, rate=5e-4))
    decay: float = 0.7
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(zoom=0.1))
    weights: Mapping[str, float] | str | None = None
    shares: tuple[float, float] = (0.15, 0.1)
    split_seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1:
            raise OptionError(f"decay is {self.decay}; a factor above 0, up to 1, is wanted")


class FineLearner(VoteLearner):
    """A network of votes whose encoder is frozen, or learns with the statistics that it has.

    Parameters
    ----------
    network : what learns.
    weights : question → weight.
    frozen : whether the encoder stays as it is.
    """

    def __init__(self, network: VoteNetwork, weights: Mapping[str, float], *, frozen: bool) -> None:
        super().__init__(network, weights)
        for parameter in network.encoder.parameters():
            parameter.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> FineLearner:
        """Batch norms of the encoder keep their statistics: a few hundred galaxies give worse ones."""
        super().train(mode)
        self.network.encoder.eval()
        return self


def finetune(
    start: VoteModel | str | Path,
    votes: VoteTable,
    images: Cutouts | Images | str | Path,
    out: str | Path,
    *,
    how: FineTuning | None = None,
    redshift: ArrayLike | Mapping[str, float] | None = None,
    watch: Watch | None = None,
    overwrite: bool = False,
) -> VoteModel:
    """Teach a model another tree, or other images of the same one; write the folder of the new model.

    Members, draws of dropout and views stay what they are, so that posteriors do not become surer than they should.

    Parameters
    ----------
    start : a model, or its folder.
    votes : on galaxies; classes are votes of one person each, see `class_votes`.
    images : of the same galaxies, in as many bands as the model's.
    out : folder of the new model; a training that was stopped goes on there.
    how : options.
    redshift : (B,) of the images, or id → redshift.
    watch : what to tell of the way.
    overwrite : remove what is in the folder.
    """
    base, how, folder = load_model(start), how or FineTuning(), claimed(Path(out), overwrite=overwrite)
    labelled = match(as_images(images), votes, redshift=redshift)
    device = how.probe.device
    examples = Examples(labelled, preparation=base.preparation, augmentation=how.augmentation, device=device)
    training = VoteTraining(
        network=base.members[0].spec, options=how.probe, augmentation=how.augmentation, members=len(base.members),
        draws=base.draws, views=base.views, side=base.preparation.side, weights=how.weights, shares=how.shares,
        split_seed=how.split_seed,
    )  # fmt: skip
    parts = divided(examples.labelled, training)
    lasting = replace(how, probe=how.probe.lasting(), whole=None if how.whole is None else how.whole.lasting())
    mark = f"fine-tuned from {base.hash}: {asdict(lasting)} {examples.hash} {votes.tree.hash}"
    if (folder / "model.json").exists():
        return finished(folder, mark)
    weights = training.question_weights(examples.labelled.votes[parts[0]])
    members, histories = [], {}
    stages = [("probe", how.probe), *([("whole", how.whole)] if how.whole is not None else [])]
    with together(watch, len(base.members) * len(stages)) as shared:
        for number, member in enumerate(base.members):
            network = _with_new_head(member, examples.labelled.votes[parts[0]], seed=how.probe.seed + number)
            for name, options in stages:
                learner = FineLearner(network, weights, frozen=name == "probe")
                histories[f"member {number}, {name}"] = train(
                    learner, examples, parts[:2], options=replace(options, seed=options.seed + number),
                    folder=folder / WORK / f"member-{number}-{name}", about=mark, watch=shared,
                    groups=None if name == "probe" else layer_groups(network, how.decay),
                )  # fmt: skip
            members.append(network.to("cpu"))
    model = VoteModel(
        tree=votes.tree, preparation=examples.preparation, members=tuple(members),
        calibration=Calibration.none(votes.tree), draws=base.draws, views=base.views,
    )  # fmt: skip
    about = {"mark": mark, "how": how, "from": base.hash}
    return finish(model, examples, parts, folder=folder, histories=histories, about=about)


def class_votes(ids: Sequence[str], labels: Sequence[str], *, question: str = "class") -> VoteTable:
    """Classes as votes: a tree of one question, each galaxy with the vote of one person for its class.

    With one vote, the log-probability is that of the expected share of the class, as for any classifier.

    Parameters
    ----------
    ids : (N,) names of the galaxies.
    labels : (N,) names of the classes; an empty text: not known.
    question : name of the question.
    """
    names = sorted({str(label) for label in labels if str(label)})
    if len(names) < 2:
        raise InputError(f"labels name {len(names)} class ({', '.join(names)}); two or more are wanted")
    tree = Tree(name=question, questions=(Question(name=question, answers=tuple(Answer(name=n) for n in names)),))
    counts = np.full((len(ids), len(names)), np.nan)
    for row, label in enumerate(labels):
        if str(label):
            counts[row] = [str(label) == name for name in names]
    return VoteTable.of(tree, np.asarray(ids, dtype=str), counts)


def read_classes(path: str | Path, column: str, *, id: str | None = None) -> VoteTable:
    """Classes of a CSV or Parquet table, as votes.

    Parameters
    ----------
    path : of the table.
    column : of the classes; empty cells are not known.
    id : column of the galaxies' names; None: the first of the usual ones, or of those that name files.
    """
    table = read_table(Path(path))
    known = {str(name).lower(): str(name) for name in table.columns}
    usual = [known[name] for name in (*ID_COLUMNS, *IMAGE_COLUMNS) if name in known]
    named = id if id is not None else next(iter(usual), None)
    for what, name in (("class", column), ("id", named)):
        if name is None:
            raise FileError(f"{path} has no column of names; say which with id (--id): {', '.join(known.values())}")
        if name not in table.columns:
            raise FileError(f"{path}: {unknown_name(f'column of the {what}', name, list(known.values()))}")
    return class_votes(table[named].tolist(), table[column].tolist(), question=column)


def layer_groups(network: VoteNetwork, decay: float) -> list[tuple[list[nn.Parameter], float]]:
    """Parameters with factors of their rates: 1 for head and mixing, ``decay`` to the power 1 to 6 for the encoder."""
    layers = [list(module.parameters(recurse=False)) for module in network.encoder.modules()]
    filled = [layer for layer in layers if layer]
    blocks = np.array_split(np.arange(len(filled)), min(BLOCKS, len(filled)))
    groups = [([*network.mixing.parameters(), *network.head.parameters()], 1.0)]
    for depth, block in enumerate(reversed(blocks), 1):
        groups.append(([parameter for i in block for parameter in filled[i]], decay**depth))
    return groups


def _with_new_head(member: VoteNetwork, votes: VoteTable, *, seed: int) -> VoteNetwork:
    """A copy of a network for another tree: its encoder and its mixing, with a head that starts at the mean shares."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = VoteNetwork(member.spec, votes.tree)
    network.encoder.load_state_dict(member.encoder.state_dict())
    network.mixing.load_state_dict(member.mixing.state_dict())
    start_at_means(network, votes)
    return network
