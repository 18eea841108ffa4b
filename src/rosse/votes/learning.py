"""Training networks of votes: from a vote table and images to a model that is calibrated, judged and described."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

import rosse
from rosse.cutouts import Cutouts
from rosse.errors import OptionError
from rosse.nets.augmenting import Augmentation
from rosse.nets.checkpoints import write_whole
from rosse.nets.curves import plot_curves
from rosse.nets.encoders import check_side
from rosse.nets.preparing import Batch, Images
from rosse.nets.training import Epoch, Learner, TrainOptions, Watch, train
from rosse.votes.calibration import Calibration, fit_calibration, fit_tails
from rosse.votes.card import card_text
from rosse.votes.examples import Examples, L, Labelled, Rows, match, split
from rosse.votes.likelihood import VoteLoss
from rosse.votes.model import VoteModel, count_parameters, load_any, load_model
from rosse.votes.network import NetworkSpec, VoteNetwork
from rosse.votes.quantity_model import QuantityModel
from rosse.votes.result import HIGH, LOW, Votes
from rosse.votes.scores import coverage, coverage_by, score, votes_within
from rosse.votes.seeing import as_images
from rosse.votes.table import VoteTable

log = logging.getLogger(__name__)

PACKAGES = ("rosse", "torch", "timm", "numpy", "scipy", "safetensors")
WORK = "training"  # folder of the checkpoints, within that of the model
BALANCED = "balanced"
MOST = 10.0  # by which a rare question weighs more than a common one


@dataclass(frozen=True, kw_only=True)
class VoteTraining:
    """How a model of votes is made.

    Parameters
    ----------
    network : encoder and head.
    options : of the training.
    augmentation : of the images.
    members : networks of the ensemble; each has its own seed.
    draws : of dropout at prediction, for each member.
    views : turned views at prediction.
    side : of the network's images, pixels.
    pretrained : whether the encoder starts from weights of timm.
    weights : question → weight of its votes; ``balanced``: the more, the fewer galaxies have votes on it.
    shares : of the galaxies to validate and recalibrate with, and to judge with.
    split_seed : of this division.
    """

    network: NetworkSpec = field(default_factory=NetworkSpec)
    options: TrainOptions = field(default_factory=TrainOptions)
    augmentation: Augmentation = field(default_factory=Augmentation)
    members: int = 1
    draws: int = 8
    views: int = 1
    side: int = 64
    pretrained: bool = False
    weights: Mapping[str, float] | str | None = None
    shares: tuple[float, float] = (0.1, 0.1)
    split_seed: int = 0

    def __post_init__(self) -> None:
        if self.members < 1:
            raise OptionError(f"members is {self.members}; 1 or more are wanted")
        if isinstance(self.weights, str) and self.weights != BALANCED:
            raise OptionError(f"weights is {self.weights!r}; {BALANCED!r} or numbers by question are wanted")


def question_weights(weights: Mapping[str, float] | str | None, votes: VoteTable) -> dict[str, float]:
    """Weight of each question, from numbers or `BALANCED`."""
    if not isinstance(weights, str):
        return dict(weights or {})
    asked = (np.nan_to_num(votes.people) > 0).mean(0)
    return {
        question.name: float(min(MOST, 1 / share)) if share > 0 else 1.0
        for question, share in zip(votes.tree.questions, asked, strict=True)
    }


class VoteLearner(Learner):
    """A network of votes with its loss.

    Parameters
    ----------
    network : what learns.
    weights : question → weight.
    """

    def __init__(self, network: VoteNetwork, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.network = network
        self.criterion = VoteLoss(network.tree, weights)

    def loss(self, batch: tuple[Batch, Tensor, Tensor]) -> Tensor:
        """Mean loss () of images with their votes."""
        seen, counts, people = batch
        value: Tensor = self.criterion(counts, self.network(seen), people)
        return value


def train_votes(
    votes: VoteTable,
    images: Cutouts | Images | str | Path,
    out: str | Path,
    *,
    how: VoteTraining | None = None,
    redshift: ArrayLike | Mapping[str, float] | None = None,
    watch: Watch | None = None,
    overwrite: bool = False,
) -> VoteModel:
    """Train, recalibrate and judge a model of votes, and write its folder.

    Parameters
    ----------
    votes : on galaxies.
    images : of the same galaxies, and perhaps of others: cutouts, a folder, a packed store, a manifest.
    out : folder of the model. A training that was stopped there goes on where it was, and ends with the same weights.
    how : options.
    redshift : (B,) of the images, or id → redshift.
    watch : what to tell of the way.
    overwrite : remove what is in the folder.

    Returns
    -------
    VoteModel
        With its scores on galaxies that were set aside in ``card["scores"]``.
    """
    folder, how = claimed(Path(out), overwrite=overwrite), how or VoteTraining()
    labelled = match(as_images(images), votes, redshift=redshift)
    examples = Examples(labelled, side=how.side, augmentation=how.augmentation, device=how.options.device)
    parts = divided(examples.labelled, how.shares, how.split_seed)
    mark = _mark(how, examples)
    if (folder / "model.json").exists():
        return load_model(finished(folder, mark))
    members, histories = [], {}
    with together(watch, how.members) as shared:
        for number in range(how.members):
            learner = _learner(how, examples, parts[0], number)
            histories[f"member {number}"] = train(
                learner, examples, parts[:2], options=replace(how.options, seed=how.options.seed + number),
                folder=folder / WORK / f"member-{number}", about=mark, watch=shared,
            )  # fmt: skip
            members.append(learner.network.to("cpu"))
    model = VoteModel(
        tree=votes.tree, preparation=examples.preparation, members=tuple(members),
        calibration=Calibration.none(votes.tree), draws=how.draws if how.network.dropout else 0, views=how.views,
    )  # fmt: skip
    return finish(model, examples, parts, folder=folder, histories=histories, about={"mark": mark, "how": how})


def divided(labelled: Labelled[L], shares: tuple[float, float], seed: int) -> tuple[Rows, Rows, Rows]:
    """Rows to learn from, validate and judge with."""
    parts = split(labelled.votes.id, shares, seed=seed)
    if min(map(len, parts[:2])) < 2:
        raise OptionError(
            f"{len(labelled)} galaxies with votes make {len(parts[0])} to learn from and {len(parts[1])} to validate "
            "with; more are wanted"
        )
    return parts


def finish(
    model: VoteModel,
    examples: Examples[VoteTable],
    parts: tuple[Rows, Rows, Rows],
    *,
    folder: Path,
    histories: Mapping[str, list[Epoch]],
    about: Mapping[str, Any],
) -> VoteModel:
    """Recalibrate a trained model on the validation galaxies, judge it on those set aside, and write its folder."""
    votes = examples.labelled.votes
    held = said(model, examples, parts[1], calibrated=False)
    calibration = fit_calibration(votes[parts[1]], held)
    if "shares" in about:
        sure = calibration(votes.tree, held).numpy()
        calibration = replace(calibration, tails=fit_tails(votes.tree, about["shares"][parts[1]], sure))
    model = model.with_calibration(calibration)
    judged = parts[2] if len(parts[2]) else parts[1]
    found = said(model, examples, judged).numpy()
    scores, covered = score(votes[judged], found), votes_within(votes[judged], found)
    card = card_of(examples, parts, histories, about) | {
        "tree_hash": votes.tree.hash,
        "parameters": count_parameters(model.members[0]),
        "scores": [asdict(each) for each in scores],
        "coverage": coverage_by(covered, _known(examples, judged, about.get("by", {}))),
    }
    if "shares" in about:
        card["truth_covered"] = truth_covered(model, examples.labelled.votes.id[judged], found, about["shares"][judged])
    model = replace(model, card=card)
    write_beside(folder, card_text(model), histories)
    model.save(folder)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return model


def truth_covered(
    model: VoteModel, ids: NDArray[np.str_], found: NDArray[np.float64], shares: NDArray[np.float64]
) -> dict[str, float]:
    """For each question, which part of the true shares lies between the 5 % and 95 % quantiles."""
    nowhere, tree = np.full(len(ids), np.nan), model.tree
    votes = Votes(tree=tree, id=ids, ra=nowhere, dec=nowhere, concentrations=found, model=model.hash,
                  status=np.zeros(len(ids), dtype=np.int64), tails=model.calibration.tails_of(tree))  # fmt: skip
    each = coverage(shares, votes.quantile(LOW), votes.quantile(HIGH), tree.asked_probability(shares), tree)
    return {question.name: float(value) for question, value in zip(tree.questions, each, strict=True)}


def card_of(
    examples: Examples[L],
    parts: tuple[Rows, Rows, Rows],
    histories: Mapping[str, list[Epoch]],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """What is told of every model: from what it was made, and how."""
    return {
        "mark": about["mark"],
        "story": about.get("story", ""),
        "made_with": {name: _version(name) for name in PACKAGES},
        "data": {"hash": examples.hash, "galaxies": len(examples), "learnt_from": len(parts[0]),
                 "validated_and_recalibrated_with": len(parts[1]), "judged_with": len(parts[2])},
        "started_from": about.get("from", "chance"),
        "training": asdict(about["how"]),
        "epochs": {name: len(history) for name, history in histories.items()},
    }  # fmt: skip


def write_beside(folder: Path, card: str, histories: Mapping[str, list[Epoch]]) -> None:
    """Card, curves and history of a training, beside the weights."""
    plot_curves(histories, folder / "curves.png")
    write_whole(folder / "card.md", card.encode())
    lines = ["member,epoch,train,valid,rate,seconds"]
    for name, history in histories.items():
        lines += [f"{name},{i},{e.train!r},{e.valid!r},{e.rate!r},{e.seconds:.2f}" for i, e in enumerate(history, 1)]
    write_whole(folder / "history.csv", ("\n".join(lines) + "\n").encode())


def _known(examples: Examples[L], rows: Rows, by: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    """What coverage is looked at by: redshift, and what else is told."""
    told = {name: np.asarray(values, dtype=np.float64)[rows] for name, values in by.items()}
    return {"redshift": examples.labelled.redshift[rows], **told}


def said(model: VoteModel, examples: Examples[VoteTable], rows: Rows, *, calibrated: bool = True) -> Tensor:
    """Concentrations (B, M, outputs) of examples, as they are."""
    parts = [
        model.concentrations(examples.seen(rows[first : first + 256]), calibrated=calibrated)
        for first in range(0, len(rows), 256)
    ]
    return torch.cat(parts)


class _Together:
    """One line of progress for all members of an ensemble."""

    def __init__(self, watch: Watch, members: int) -> None:
        self.watch, self.members, self.begun = watch, members, False

    def begin(self, *, total: float, done: float) -> None:
        """The first member begins for all."""
        if not self.begun:
            self.watch.begin(total=total * self.members, done=done)
        elif done:
            self.watch.add(weight=done, counts={})
        self.begun = True

    def add(self, *, weight: float, counts: dict[str, int]) -> None:
        """Steps were made."""
        self.watch.add(weight=weight, counts=counts)

    def end(self) -> None:
        """The last member ends for all."""


@contextmanager
def together(watch: Watch | None, members: int) -> Iterator[Watch | None]:
    """What several trainings, one after the other, tell of their way as if they were one."""
    if watch is None:
        yield None
        return
    shared = _Together(watch, members)
    try:
        yield shared
    finally:
        if shared.begun:
            watch.end()


def _learner(how: VoteTraining, examples: Examples[VoteTable], learn: Rows, number: int) -> VoteLearner:
    bands = len(examples.preparation.bands)
    spec = replace(how.network, encoder=replace(how.network.encoder, bands=bands))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.options.seed + number)
        network = VoteNetwork(spec, examples.labelled.votes.tree, pretrained=how.pretrained)
    check_side(network.encoder, examples.preparation.side)
    start_at_means(network, examples.labelled.votes[learn])
    return VoteLearner(network, question_weights(how.weights, examples.labelled.votes[learn]))


def start_at_means(network: VoteNetwork, votes: VoteTable) -> None:
    """Let a head begin with the mean share of each answer, and a sum of 4: it need not learn these first."""
    tree = votes.tree
    counts = np.nan_to_num(votes.counts).sum(0) + 0.5
    people = np.nan_to_num(votes.people).sum(0)[list(tree.question_of)] + 1.0
    share = np.clip(counts / people, 0.01, 0.99)
    several = [k for k, i in enumerate(tree.question_of) if tree.questions[i].multiple]
    wanted = 4 * np.concatenate([share, 1 - share[several]])
    raw = np.log(wanted if network.spec.link == "wide" else np.clip((wanted - 1) / 100, 1e-3, 0.5))
    with torch.no_grad():
        network.head.linear.bias.copy_(torch.from_numpy(raw))
        network.head.linear.weight.mul_(0.5)


def _mark(how: VoteTraining, examples: Examples[VoteTable]) -> str:
    """All that a model depends on."""
    return f"{asdict(replace(how, options=how.options.lasting()))} {examples.hash} {examples.labelled.votes.tree.hash}"


def finished(folder: Path, mark: str) -> VoteModel | QuantityModel:
    """The model that is there already, if it is the one that is wanted."""
    model = load_any(folder)
    if model.card.get("mark") != mark:
        raise OptionError(
            f"{folder} holds a model of other options, votes or images; give another folder, or overwrite"
        )
    return model


def claimed(folder: Path, *, overwrite: bool) -> Path:
    """The folder, if it holds nothing but a model; without it where that is to be overwritten."""
    if folder.exists():
        _refuse_strangers(folder)
        if overwrite:
            shutil.rmtree(folder)
    return folder


def _refuse_strangers(folder: Path) -> None:
    known = {"model.json", "card.md", "curves.png", "history.csv", "run.log", WORK}
    strangers = [each.name for each in folder.iterdir() if each.name not in known and not each.name.startswith(".")
                 and not each.name.startswith("member-")]  # fmt: skip
    if strangers:
        raise OptionError(f"{folder} holds {strangers[0]} and is no model's folder; give another one")


def _version(package: str) -> str:
    if package == "rosse":
        return rosse.__version__
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
