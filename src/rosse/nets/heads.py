"""Heads: what stands between the features of an encoder and the parameters of a distribution.

A head takes features (B, F) and gives what a likelihood of `rosse.nets.likelihoods` wants; it knows no encoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from rosse.errors import OptionError
from rosse.nets.dropout import Dropout
from rosse.tree import Tree

Link = Callable[[Tensor], Tensor]

LEAST, MOST = 1e-3, 1e6  # that a wide link ever gives


def wide(x: Tensor) -> Tensor:
    """Positive numbers from 1e-3 to 1e6: e^x near 0, bending smoothly towards the ends of the range.

    A logarithmic scale suits concentrations and errors, whose size is not known beforehand. The ends are soft, so that
    no gradient vanishes abruptly, and far enough that neither a confident nor a polarised posterior meets them.
    """
    upper, lower = math.log(MOST), -math.log(LEAST)
    size = torch.where(x > 0, upper, lower)
    return torch.exp(size * torch.tanh(x / size))


def zoobot(x: Tensor) -> Tensor:
    """Numbers from 1 to 101, ``100 sigmoid(x) + 1``: the concentrations of Zoobot, for weights trained with it."""
    return torch.sigmoid(x) * 100 + 1


LINKS: Mapping[str, Link] = MappingProxyType({"wide": wide, "zoobot": zoobot})  # names under which heads are stored


def vote_outputs(tree: Tree) -> tuple[str, ...]:
    """Names of the concentrations that the votes of a tree need.

    One for each of the A answers, in their order. An answer of a question that takes several has a second one, for
    those who do not tick it; these follow after all answers, as ``odd-feature_ring_not``.
    """
    several = [column for q in tree.questions if q.multiple for column in q.columns]
    return (*tree.columns, *(f"{column}_not" for column in several))


class VoteHead(nn.Module):
    """Concentrations of the votes for every answer of a tree.

    Parameters
    ----------
    features : F, of the encoder.
    tree : whose `vote_outputs` are given, in their order.
    dropout : share of the features set to 0 in training, and in draws of `rosse.nets.dropout.thinned`.
    link : what makes the outputs of the linear layer positive: `wide`, or `zoobot` for Zoobot's weights.
    """

    def __init__(self, features: int, tree: Tree, *, dropout: float = 0.0, link: Link = wide) -> None:
        super().__init__()
        self.tree = tree
        self.link = link
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(features, len(vote_outputs(tree)))

    def forward(self, features: Tensor) -> Tensor:
        """Concentrations (B, outputs) > 0 from features (B, F)."""
        raw: Tensor = self.linear(self.dropout(features))
        return self.link(raw)


class ClassHead(nn.Module):
    """Logits of C classes, for `rosse.nets.likelihoods.log_class`; their softmax is the probability of each class.

    Parameters
    ----------
    features : F, of the encoder.
    classes : C, two or more.
    dropout : share of the features set to 0 in training, and in draws of `rosse.nets.dropout.thinned`.
    """

    def __init__(self, features: int, classes: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if classes < 2:
            raise OptionError(f"classes is {classes}; 2 or more are wanted")
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(features, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, C) from features (B, F)."""
        raw: Tensor = self.linear(self.dropout(features))
        return raw


class RegressionHead(nn.Module):
    """Mean and one-sigma error of T quantities, for `rosse.nets.likelihoods.log_normal`.

    Parameters
    ----------
    features : F, of the encoder.
    targets : T, one or more.
    dropout : share of the features set to 0 in training, and in draws of `rosse.nets.dropout.thinned`.

    Notes
    -----
    The error is what the labels scatter by around the mean for galaxies that look like this one, and comes from 1e-3 to
    1e6: scale targets to a scatter near 1. What the network itself does not know is not in it.
    """

    def __init__(self, features: int, targets: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if targets < 1:
            raise OptionError(f"targets is {targets}; 1 or more are wanted")
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(features, 2 * targets)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (B, T) and sigma (B, T) > 0 from features (B, F)."""
        mean, spread = self.linear(self.dropout(features)).chunk(2, dim=-1)
        return mean, wide(spread)
