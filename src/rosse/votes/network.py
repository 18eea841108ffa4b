"""The networks: an encoder, what is known of the image beside its pixels, and a head of the tree or of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from rosse.errors import OptionError, unknown_name
from rosse.nets.conditions import NAMES, encoded
from rosse.nets.dropout import Dropout
from rosse.nets.encoders import EncoderSpec, build_encoder
from rosse.nets.heads import LINKS, RegressionHead, VoteHead
from rosse.nets.preparing import Batch
from rosse.tree import Tree


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """Which network: all that is needed to build it again.

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


class Network(nn.Module):
    """An encoder of the pixels, and a layer that mixes its features with what is known beside them.

    Parameters
    ----------
    spec : of encoder and head.
    pretrained : whether the encoder starts from weights of timm.
    """

    head: nn.Module

    def __init__(self, spec: NetworkSpec, *, pretrained: bool = False) -> None:
        super().__init__()
        self.encoder = build_encoder(spec.encoder, pretrained=pretrained)
        self.spec = replace(spec, encoder=self.encoder.spec)
        self.mixing = nn.Sequential(
            Dropout(spec.dropout), nn.Linear(self.encoder.features + 2 * len(NAMES), spec.width), nn.GELU()
        )

    def forward(self, batch: Batch) -> Tensor:
        """What is said of a batch, (B, outputs), in single precision."""
        return self.said(self.encoder(batch.pixels), batch.conditions)

    def said(self, features: Tensor, conditions: Tensor) -> Tensor:
        """Numbers (B, outputs) from features (B, F) of the encoder and conditions (B, 3)."""
        raise NotImplementedError

    def mixed(self, features: Tensor, conditions: Tensor) -> Tensor:
        """What heads get, (B, width), in single precision: a concentration of 1e5 has more digits than bfloat16."""
        with torch.autocast(features.device.type, enabled=False):
            out: Tensor = self.mixing(torch.cat((features.float(), encoded(conditions)), 1))
        return out


class VoteNetwork(Network):
    """Concentrations of the votes on a tree, (B, outputs), of what `rosse.nets.heads.vote_outputs` names.

    Parameters
    ----------
    spec : of encoder and head.
    tree : whose votes it gives.
    pretrained : whether the encoder starts from weights of timm.
    """

    head: VoteHead

    def __init__(self, spec: NetworkSpec, tree: Tree, *, pretrained: bool = False) -> None:
        super().__init__(spec, pretrained=pretrained)
        self.tree = tree
        self.head = VoteHead(spec.width, tree, dropout=spec.dropout, link=LINKS[spec.link])

    def said(self, features: Tensor, conditions: Tensor) -> Tensor:
        """Concentrations (B, outputs)."""
        with torch.autocast(features.device.type, enabled=False):
            out: Tensor = self.head(self.mixed(features, conditions))
        return out


class QuantityNetwork(Network):
    """Means, then one-sigma errors, of T numbers, (B, 2 T), in units of their scatter among the labels.

    Parameters
    ----------
    spec : of encoder and head.
    names : of the numbers.
    """

    head: RegressionHead

    def __init__(self, spec: NetworkSpec, names: Sequence[str]) -> None:
        super().__init__(spec)
        self.names = tuple(names)
        self.head = RegressionHead(spec.width, len(self.names), dropout=spec.dropout)

    def said(self, features: Tensor, conditions: Tensor) -> Tensor:
        """Means and errors (B, 2 T)."""
        with torch.autocast(features.device.type, enabled=False):
            return torch.cat(self.head(self.mixed(features, conditions)), 1)
