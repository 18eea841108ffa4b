"""The network of votes: an encoder, what is known of the image beside its pixels, and a head of the tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from rosse.errors import OptionError, unknown_name
from rosse.nets.conditions import NAMES, encoded
from rosse.nets.dropout import Dropout
from rosse.nets.encoders import EncoderSpec, build_encoder
from rosse.nets.heads import LINKS, VoteHead
from rosse.nets.preparing import Batch
from rosse.tree import Tree


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """Which network of votes: all that is needed to build it again.

    Parameters
    ----------
    encoder : of the pixels.
    width : features that the head gets.
    dropout : share of them that is left out in training, and in Monte-Carlo draws.
    link : of the head, ``wide`` or ``zoobot``.
    """

    encoder: EncoderSpec = field(default_factory=EncoderSpec)
    width: int = 128
    dropout: float = 0.15
    link: str = "wide"

    def __post_init__(self) -> None:
        if self.link not in LINKS:
            raise OptionError(unknown_name("link", self.link, LINKS))
        if self.width < 1:
            raise OptionError(f"width is {self.width}; 1 or more features are wanted")

    def record(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(replace(self, encoder=EncoderSpec())) | {"encoder": self.encoder.record()}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> NetworkSpec:
        """What `record` gave."""
        return cls(**{**record, "encoder": EncoderSpec(**record["encoder"])})


class VoteNetwork(nn.Module):
    """Concentrations of the votes on a tree, from prepared images and their conditions.

    Parameters
    ----------
    spec : of encoder and head.
    tree : whose votes it gives.
    pretrained : whether the encoder starts from weights of timm.
    """

    def __init__(self, spec: NetworkSpec, tree: Tree, *, pretrained: bool = False) -> None:
        super().__init__()
        self.encoder = build_encoder(spec.encoder, pretrained=pretrained)
        self.spec = replace(spec, encoder=self.encoder.spec)
        self.tree = tree
        self.mixing = nn.Sequential(
            Dropout(spec.dropout), nn.Linear(self.encoder.features + 2 * len(NAMES), spec.width), nn.GELU()
        )
        self.head = VoteHead(spec.width, tree, dropout=spec.dropout, link=LINKS[spec.link])

    def forward(self, batch: Batch) -> Tensor:
        """Concentrations (B, outputs), in single precision, of what `rosse.nets.heads.vote_outputs` names."""
        return self.votes(self.encoder(batch.pixels), batch.conditions)

    def votes(self, features: Tensor, conditions: Tensor) -> Tensor:
        """Concentrations (B, outputs) from features (B, F) of the encoder and conditions (B, 3)."""
        known = torch.cat((features, encoded(conditions).to(features.dtype)), 1)
        with torch.autocast(
            features.device.type, enabled=False
        ):  # a concentration of 1e5 has more digits than bfloat16
            out: Tensor = self.head(self.mixing(known.float()))
        return out
