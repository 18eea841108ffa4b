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
from typing import Any, cast

from torch import Tensor, nn

from rosse.errors import FileError, InputError
from rosse.nets.preparing import Batch, Preparation
from rosse.tree import Answer, Question, Tree
from rosse.votes.calibration import Calibration
from rosse.votes.ensemble import check_components, ensemble_hash, said_by_all, with_weights, write_model
from rosse.votes.network import NetworkSpec, VoteNetwork
from rosse.votes.quantity_model import QUANTITIES, QuantityModel

FORMAT = "rosse vote model 1"
SHIPPED = Path(__file__).parent / "models"  # those that come with rosse


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
        check_components(self.members, self.draws, self.views)

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
        return ensemble_hash(about, self.members)

    def to(self, device: str) -> VoteModel:
        """The same on a device."""
        for member in self.members:
            member.to(device)
        return self

    def concentrations(self, batch: Batch, *, calibrated: bool = True) -> Tensor:
        """Concentrations (B, M, outputs) in double precision, on the processor.

        A galaxy's do not depend on the other galaxies of the batch, but for the last digits.
        """
        out = said_by_all(self.members, batch, draws=self.draws, views=self.views)
        return self.calibration(self.tree, out) if calibrated else out

    def with_calibration(self, calibration: Calibration) -> VoteModel:
        """The same networks, calibrated otherwise."""
        return replace(self, calibration=calibration)

    def save(self, folder: str | Path) -> Path:
        """Write the model's folder; `model.json` comes last, so that a folder that has it is whole."""
        about = {
            "format": FORMAT,
            "hash": self.hash,
            "tree": tree_record(self.tree),
            "preparation": self.preparation.record(),
            "calibration": self.calibration.record(),
            "draws": self.draws,
            "views": self.views,
            "card": dict(self.card),
        }
        return write_model(Path(folder), self.members, about)


def shipped_models() -> list[str]:
    """Names of the models that come with rosse."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/model.json"))


def model_folder(model: str | Path) -> Path:
    """Folder of a model: the one that is named, or that of a model that comes with rosse, by its name.

    Raises
    ------
    FileError
        There is neither.
    """
    folder = Path(model).expanduser()
    if (folder / "model.json").exists() or folder.is_dir():
        return folder
    name, known = str(model), shipped_models()
    if name in known:
        return SHIPPED / name
    raise FileError(f"there is no model {name!r}: no folder of this name, and rosse comes with {', '.join(known)}; "
                    "rosse train makes one")  # fmt: skip


def load_model(model: str | Path | VoteModel | QuantityModel) -> VoteModel:
    """A model of votes from its folder, or one that comes with rosse by its name; a model is given back.

    Raises
    ------
    FileError
        The folder is no model's, or its weights are not those it was saved with.
    """
    found = load_any(model)
    if not isinstance(found, VoteModel):
        raise FileError(f"{model} estimates {', '.join(found.names)}, no votes; rosse.predict_quantities uses it")
    return found


def load_any(model: str | Path | VoteModel | QuantityModel) -> VoteModel | QuantityModel:
    """A model of votes or of numbers, as `load_model`."""
    if not isinstance(model, (str, Path)):
        return model
    folder = model_folder(model)
    try:
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if about["format"] not in (FORMAT, QUANTITIES):
            raise FileError(f"{folder} holds a model of the format {about['format']!r}; {FORMAT!r} is wanted")
        found = _of_record(folder, about) if about["format"] == FORMAT else QuantityModel.of_record(folder, about)
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
    members = tuple(
        with_weights(folder, number, VoteNetwork(NetworkSpec.of_record(record), tree))
        for number, record in enumerate(about["networks"])
    )
    return VoteModel(
        tree=tree, preparation=Preparation.of_record(about["preparation"]),
        members=cast(tuple[VoteNetwork, ...], members), calibration=Calibration.of_record(about["calibration"]),
        draws=about["draws"], views=about["views"], card=about["card"],
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
