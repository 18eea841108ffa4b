"""Fine-tuning: a model that has learnt one tree learns another question from a few hundred labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor, nn

from rosse.cutouts import Cutouts
from rosse.errors import OptionError
from rosse.nets.augmenting import Augmentation
from rosse.nets.encoders import check_side
from rosse.nets.preparing import Images, Preparation
from rosse.nets.training import Epoch, Learner, TrainOptions, Watch, train
from rosse.votes.examples import Examples, Rows, match
from rosse.votes.learning import BALANCED, WORK, claimed, divided, finished, question_weights, together
from rosse.votes.model import VoteModel, load_any
from rosse.votes.network import Network
from rosse.votes.quantities import Quantities
from rosse.votes.quantity_model import QuantityModel
from rosse.votes.seeing import as_images
from rosse.votes.table import VoteTable
from rosse.votes.tasks import QuantityTask, VoteTask, task_of

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
    norms : whether batch norms of the encoder learn new statistics while everything learns: from virtual galaxies to
        real ones this was better with 300 labels and with a thousand.
    side : pixels of the images; None: as of the model. Larger ones show more, in proportion to their area in time.
    views : turned and mirrored views at prediction; None: as many as the model has.
    shares, split_seed : as of `VoteTraining`.
    """

    probe: TrainOptions = field(default_factory=lambda: TrainOptions(epochs=5, batch=32, rate=3e-3))
    whole: TrainOptions | None = field(default_factory=lambda: TrainOptions(epochs=20, batch=32, rate=3e-3))
    decay: float = 0.9
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(zoom=0.1, tone=0.1))
    weights: Mapping[str, float] | str | None = None
    norms: bool = True
    side: int | None = None
    views: int | None = None
    shares: tuple[float, float] = (0.15, 0.1)
    split_seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1:
            raise OptionError(f"decay is {self.decay}; a factor above 0, up to 1, is wanted")
        if isinstance(self.weights, str) and self.weights != BALANCED:
            raise OptionError(f"weights is {self.weights!r}; {BALANCED!r} or numbers by question are wanted")

    def lasting(self) -> FineTuning:
        """What decides the result."""
        return replace(self, probe=self.probe.lasting(), whole=None if self.whole is None else self.whole.lasting())


class FineLearner(Learner):
    """A network whose encoder is frozen, or learns with the statistics that it has.

    Parameters
    ----------
    network : what learns.
    criterion : what is said and labels → loss.
    frozen : whether the encoder stays as it is.
    norms : whether its batch norms learn new statistics.
    """

    def __init__(self, network: Network, criterion: nn.Module, *, frozen: bool, norms: bool = False) -> None:
        super().__init__()
        self.network, self.criterion, self.norms = network, criterion, norms and not frozen
        for parameter in network.encoder.parameters():
            parameter.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> FineLearner:
        """Batch norms of the encoder keep their statistics, unless they are to learn."""
        super().train(mode)
        self.network.encoder.train(mode and self.norms)
        return self

    def loss(self, batch: tuple[Any, ...]) -> Tensor:
        """Mean loss () of images with their labels."""
        seen, *labels = batch
        value: Tensor = self.criterion(self.network(seen), *labels)
        return value


def finetune(
    start: VoteModel | QuantityModel | str | Path,
    labels: VoteTable | Quantities,
    images: Cutouts | Images | str | Path,
    out: str | Path,
    *,
    how: FineTuning | None = None,
    redshift: ArrayLike | Mapping[str, float] | None = None,
    watch: Watch | None = None,
    overwrite: bool = False,
) -> VoteModel | QuantityModel:
    """Teach a model another question, or other images of the same one; write the folder of the new model.

    Members and draws of dropout stay what they are, so that posteriors do not become surer than they should.

    Parameters
    ----------
    start : a model, its folder, or the name of one that comes with rosse: ``gz-decals-small``.
    labels : what is to be learnt. Votes on a tree (`rosse.read_votes`), or classes, which are votes of one person each
        (`rosse.votes.labels.read_classes`), make a `rosse.VoteModel`. Numbers (`rosse.Quantities`,
        `rosse.votes.labels.read_quantities`) make a `rosse.QuantityModel`.
    images : of the same galaxies, in as many bands as the model's.
    out : folder of the new model; a training that was stopped goes on there.
    how : options.
    redshift : (B,) of the images, or id → redshift.
    watch : what to tell of the way.
    overwrite : remove what is in the folder.
    """
    base, how, folder = load_any(start), how or FineTuning(), claimed(Path(out), overwrite=overwrite)
    examples: Examples[Any] = Examples(
        match(as_images(images), labels, redshift=redshift), preparation=_preparation(base, how.side),
        augmentation=how.augmentation, device=how.probe.device,
    )  # fmt: skip
    parts = divided(examples.labelled, how.shares, how.split_seed)
    known = examples.labelled[parts[0]].votes
    task = task_of(known, question_weights(how.weights, known) if isinstance(known, VoteTable) else {})
    mark = f"fine-tuned from {base.hash}: {asdict(how.lasting())} {examples.hash} {task.mark}"
    if (folder / "model.json").exists():
        return finished(folder, mark)
    job = _Job(base=base, task=task, examples=examples, rows=parts[:2], how=how, folder=folder, mark=mark)
    members, histories = job.run(watch)
    about = {"mark": mark, "how": how, "from": base.hash, "histories": histories, "draws": base.draws,
             "views": base.views if how.views is None else how.views}  # fmt: skip
    return task.finished(members, examples, parts, folder=folder, about=about)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    """The trainings of a fine-tuning, member by member."""

    base: VoteModel | QuantityModel
    task: VoteTask | QuantityTask
    examples: Examples[Any]
    rows: tuple[Rows, Rows]
    how: FineTuning
    folder: Path
    mark: str

    def run(self, watch: Watch | None) -> tuple[list[Network], dict[str, list[Epoch]]]:
        """Networks, and the history of each training."""
        stages = [("probe", self.how.probe), *([("whole", self.how.whole)] if self.how.whole is not None else [])]
        members: list[Network] = []
        histories = {}
        with together(watch, len(self.base.members) * len(stages)) as shared:
            for number, member in enumerate(self.base.members):
                network = self._with_new_head(member, seed=self.how.probe.seed + number)
                for name, options in stages:
                    learner = FineLearner(
                        network, self.task.criterion(network), frozen=name == "probe", norms=self.how.norms
                    )
                    histories[f"member {number}, {name}"] = train(
                        learner, self.examples, self.rows, options=replace(options, seed=options.seed + number),
                        folder=self.folder / WORK / f"member-{number}-{name}", about=self.mark, watch=shared,
                        groups=None if name == "probe" else layer_groups(network, self.how.decay),
                    )  # fmt: skip
                members.append(network.to("cpu"))
        return members, histories

    def _with_new_head(self, member: Network, *, seed: int) -> Network:
        """A copy of a network for the task: its encoder and its mixing."""
        network: Network = self.task.network(member, seed=seed)
        network.encoder.load_state_dict(member.encoder.state_dict())
        network.mixing.load_state_dict(member.mixing.state_dict())
        return network


def _preparation(base: VoteModel | QuantityModel, side: int | None) -> Preparation:
    """How images are prepared, larger or smaller than for the model if that is wanted."""
    if side is None:
        return base.preparation
    for member in base.members:
        check_side(member.encoder, side)
    return replace(base.preparation, side=side)


def layer_groups(network: Network, decay: float) -> list[tuple[list[nn.Parameter], float]]:
    """Parameters with factors of their rates: 1 for head and mixing, ``decay`` to the power 1 to 6 for the encoder."""
    layers = [list(module.parameters(recurse=False)) for module in network.encoder.modules()]
    filled = [layer for layer in layers if layer]
    blocks = np.array_split(np.arange(len(filled)), min(BLOCKS, len(filled)))
    groups = [([*network.mixing.parameters(), *network.head.parameters()], 1.0)]
    for depth, block in enumerate(reversed(blocks), 1):
        groups.append(([parameter for i in block for parameter in filled[i]], decay**depth))
    return groups
