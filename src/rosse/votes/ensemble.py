"""What several networks say together, and how they are kept: the part that models of votes and of numbers share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rosse.errors import OptionError
from rosse.nets.checkpoints import digest, load_state, load_tensors, save_tensors, write_whole
from rosse.nets.dropout import has_dropout, thinned
from rosse.nets.encoders import TURNS, turned
from rosse.nets.preparing import Batch
from rosse.votes.network import Network


def check_components(members: Sequence[Network], draws: int, views: int) -> None:
    """Refuse an ensemble that cannot be one."""
    if not members:
        raise OptionError("a model needs one network or more")
    if draws < 0:
        raise OptionError(f"draws is {draws}; 0 or more are wanted")
    if views not in TURNS:
        raise OptionError(f"views is {views}; 1, 4 or 8 are wanted")
    if draws and not has_dropout(members[0]):
        raise OptionError(f"{draws} draws of a network without dropout are all the same; draws=0 is wanted")


@torch.no_grad()
def said_by_all(members: Sequence[Network], batch: Batch, *, draws: int, views: int) -> Tensor:
    """What each member, view and draw says, (B, M, outputs), in double precision, on the processor.

    Parameters
    ----------
    members : networks of a deep ensemble.
    batch : B galaxies.
    draws : of dropout for each member; 0: each says one thing.
    views : turned and mirrored views of each image.
    """
    parts = []
    for member in members:
        member.eval()
        for view in range(views):
            features = member.encoder(turned(batch.pixels, view))
            for draw in range(draws) or (None,):
                with thinned(member.mixing, draw), thinned(member.head, None if draw is None else draw + 10_000):
                    parts.append(member.said(features, batch.conditions).cpu().double())
    return torch.stack(parts, 1)


def ensemble_hash(about: Sequence[Any], members: Sequence[Network]) -> str:
    """Twelve hexadecimal digits of all that decides what is predicted."""
    parts: list[bytes | str] = [json.dumps(about, sort_keys=True)]
    for member in members:
        parts.append(json.dumps(member.spec.record(), sort_keys=True))
        for name, value in sorted(member.state_dict().items()):
            parts += [name, value.detach().cpu().contiguous().numpy().tobytes()]
    return digest(*parts)[:12]


def write_model(folder: Path, members: Sequence[Network], about: Mapping[str, Any]) -> Path:
    """Write a model's folder; `model.json` comes last, so that a folder that has it is whole."""
    for number, member in enumerate(members):
        save_tensors(folder / _member(number), member.state_dict())
    whole = {**about, "networks": [member.spec.record() for member in members]}
    write_whole(folder / "model.json", (json.dumps(whole, indent=1) + "\n").encode())
    return folder


def with_weights(folder: Path, number: int, member: Network) -> Network:
    """A member with the weights that it has in a model's folder."""
    tensors, _ = load_tensors(folder / _member(number))
    load_state(member, tensors, str(folder / _member(number)))
    return member.eval()


def _member(number: int) -> str:
    return f"member-{number}.safetensors"
