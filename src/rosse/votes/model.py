"""A model of votes: one network or several, how images are prepared for them, and how they are calibrated.

On the disk it is a folder: `model.json` (tree, networks, preparation, calibration, scores, origin),
``member-N.safetensors``, and for people `card.md` and `curves.png`. Nothing in it is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rosse.errors import FileError, InputError, OptionError
from rosse.nets.checkpoints import digest, load_state, load_tensors, save_tensors, write_whole
from rosse.nets.dropout import has_dropout, thinned
from rosse.nets.encoders import TURNS, turned
from rosse.nets.preparing import Batch, Preparation
from rosse.tree import Answer, Question, Tree
from rosse.votes.calibration import Calibration
from rosse.votes.network import NetworkSpec, VoteNetwork

FORMAT = "rosse vote model 1"


@dataclass(frozen=True, kw_only=True, eq=False)
class VoteModel:
    """What predicts votes.

    Parameters
    ----------
    tree : whose votes.
    preparation : of images.
    members : networks of a deep ensemble, one or more, trained from different seeds.
    calibration : of their concentrations.
    draws : of dropout (Monte Carlo) for each member; 0: each member says one thing.
    views : turned and mirrored views of each image: 1, 4 or 8. Members, draws and views are all components of a
        mixture.
    card : what is told of it: scores, data, versions.
    """

    tree: Tree
    preparation: Preparation
    members: tuple[VoteNetwork, ...]
    calibration: Calibration
    draws: int = 0
    views: int = 1
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.members:
            raise OptionError("a model needs one network or more")
        if self.draws < 0:
            raise OptionError(f"draws is {self.draws}; 0 or more are wanted")
        if self.views not in TURNS:
            raise OptionError(f"views is {self.views}; 1, 4 or 8 are wanted")
        if self.draws and not has_dropout(self.members[0]):
            raise OptionError(f"{self.draws} draws of a network without dropout are all the same; draws=0 is wanted")

    def __repr__(self) -> str:
        name, count = self.members[0].spec.encoder.name, len(self.members)
        many = f"{count} networks" if count > 1 else "one network"
        return f"VoteModel {self.hash} of {self.tree.name}: {many} ({name}), {self.components} components"

    @property
    def components(self) -> int:
        """M, of the mixture."""
        return len(self.members) * max(1, self.draws) * self.views

    @cached_property
    def hash(self) -> str:
        """Twelve hexadecimal digits of all that decides what it predicts."""
        about = [self.tree.hash, self.preparation.record(), self.calibration.record(), self.draws, self.views]
        parts: list[bytes | str] = [json.dumps(about, sort_keys=True)]
        for member in self.members:
            parts.append(json.dumps(member.spec.record(), sort_keys=True))
            for name, value in sorted(member.state_dict().items()):
                parts += [name, value.detach().cpu().contiguous().numpy().tobytes()]
        return digest(*parts)[:12]

    def to(self, device: str) -> VoteModel:
        """The same on a device."""
        for member in self.members:
            member.to(device)
        return self

    @torch.no_grad()
    def concentrations(self, batch: Batch, *, calibrated: bool = True) -> Tensor:
        """Concentrations (B, M, outputs) in double precision, on the processor.

        A galaxy's do not depend on the other galaxies of the batch, but for the last digits.
        """
        parts = []
        for member in self.members:
            member.eval()
            for view in range(self.views):
                features = member.encoder(turned(batch.pixels, view))
                for draw in range(self.draws) or (None,):
                    with thinned(member.mixing, draw), thinned(member.head, None if draw is None else draw + 10_000):
                        parts.append(member.votes(features, batch.conditions).cpu().double())
        out = torch.stack(parts, 1)
        return self.calibration(self.tree, out) if calibrated else out

    def with_calibration(self, calibration: Calibration) -> VoteModel:
        """The same networks, calibrated otherwise."""
        return replace(self, calibration=calibration)

    def save(self, folder: str | Path) -> Path:
        """Write the model's folder; `model.json` comes last, so that a folder that has it is whole."""
        folder = Path(folder)
        for number, member in enumerate(self.members):
            save_tensors(folder / _member(number), member.state_dict())
        about = {
            "format": FORMAT,
            "hash": self.hash,
            "tree": tree_record(self.tree),
            "networks": [member.spec.record() for member in self.members],
            "preparation": self.preparation.record(),
            "calibration": self.calibration.record(),
            "draws": self.draws,
            "views": self.views,
            "card": dict(self.card),
        }
        write_whole(folder / "model.json", (json.dumps(about, indent=1) + "\n").encode())
        return folder


def _member(number: int) -> str:
    return f"member-{number}.safetensors"


def load_model(model: str | Path | VoteModel) -> VoteModel:
    """A model of votes from its folder; one that is a model already is given back.

    Raises
    ------
    FileError
        The folder is no model's, or its weights are not those it was saved with.
    """
    if isinstance(model, VoteModel):
        return model
    folder = Path(model).expanduser()
    try:
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise FileError(f"{folder} holds a model of the format {about['format']!r}; {FORMAT!r} is wanted")
        found = _of_record(folder, about)
    except FileNotFoundError as err:
        raise FileError(f"{folder} is no model of votes: it has no model.json; rosse train makes one") from err
    except (KeyError, TypeError, ValueError, NotADirectoryError) as err:
        if isinstance(err, InputError):
            raise
        raise FileError(f"{folder / 'model.json'} is damaged: {err!r}") from err
    if found.hash != about["hash"]:
        raise FileError(
            f"{folder}: the weights are not those that model.json names ({found.hash}, not {about['hash']})"
        )
    return found


def _of_record(folder: Path, about: Mapping[str, Any]) -> VoteModel:
    tree = tree_of_record(about["tree"])
    members = []
    for number, record in enumerate(about["networks"]):
        member = VoteNetwork(NetworkSpec.of_record(record), tree)
        tensors, _ = load_tensors(folder / _member(number))
        load_state(member, tensors, str(folder / _member(number)))
        members.append(member.eval())
    return VoteModel(
        tree=tree, preparation=Preparation.of_record(about["preparation"]), members=tuple(members),
        calibration=Calibration(**about["calibration"]), draws=about["draws"], views=about["views"], card=about["card"],
    )  # fmt: skip


def tree_record(tree: Tree) -> dict[str, Any]:
    """A tree as JSON keeps it: what its columns mean, and the texts for people."""
    questions = [
        {"name": q.name, "text": q.text, "after": list(q.after), "multiple": q.multiple,
         "answers": [{"name": a.name, "text": a.text} for a in q.answers]}
        for q in tree.questions
    ]  # fmt: skip
    return {"name": tree.name, "version": tree.version, "title": tree.title, "questions": questions}


def tree_of_record(record: Mapping[str, Any]) -> Tree:
    """What `tree_record` gave."""
    questions = tuple(
        Question(**{**q, "after": tuple(q["after"]), "answers": tuple(Answer(**a) for a in q["answers"])})
        for q in record["questions"]
    )
    return Tree(**{**record, "questions": questions})


def count_parameters(network: nn.Module) -> int:
    """Numbers that are learnt."""
    return sum(parameter.numel() for parameter in network.parameters())
