"""What a network can be taught from labels: votes on a tree (classes among them), or numbers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rosse.nets.likelihoods import log_normal
from rosse.votes.calibration import Calibration
from rosse.votes.card import quantity_card
from rosse.votes.examples import CHUNK, Examples, Rows
from rosse.votes.learning import WORK, card_of, finish, start_at_means, write_beside
from rosse.votes.likelihood import VoteLoss
from rosse.votes.model import VoteModel, count_parameters
from rosse.votes.network import Network, QuantityNetwork, VoteNetwork
from rosse.votes.quantities import Numbers, Quantities
from rosse.votes.quantity_model import QuantityModel
from rosse.votes.scores import coverage_by
from rosse.votes.table import VoteTable

STEADY = 0.5  # power of the error by which a label's pull on the mean is given back
LEVEL = 1.6448536269514722  # sigma around the mean within which 90 % of a normal distribution lie

Parts = tuple[Rows, Rows, Rows]


class VoteCriterion(nn.Module):
    """Loss of votes.

    Parameters
    ----------
    network : whose tree it is.
    weights : question → weight.
    """

    def __init__(self, network: VoteNetwork, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.inner = VoteLoss(network.tree, weights)

    def forward(self, said: Tensor, counts: Tensor, people: Tensor) -> Tensor:
        """Mean loss () of counts (B, A) by people (B, Q)."""
        value: Tensor = self.inner(counts, said, people)
        return value


class QuantityCriterion(nn.Module):
    """Loss of numbers: minus the log-density of a normal distribution, a label that is NaN weighs nothing.

    Parameters
    ----------
    middle, spread : (T,) of the labels.

    Notes
    -----
    Each label is weighted by its sigma (no gradient) to the power of 2 x 0.5, so that what is hard pulls on the mean as
    well: beta-NLL of Seitzer+2022 (arXiv:2203.09168, eq. 5) with their beta of 0.5.
    """

    middle: Tensor
    spread: Tensor

    def __init__(self, middle: Sequence[float], spread: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("middle", torch.tensor(middle, dtype=torch.float64), persistent=False)
        self.register_buffer("spread", torch.tensor(spread, dtype=torch.float64), persistent=False)

    def forward(self, said: Tensor, values: Tensor) -> Tensor:
        """Mean loss () of values (B, T), of means and errors (B, 2 T)."""
        mean, sigma = said.float().chunk(2, 1)
        wanted = ((values - self.middle) / self.spread).float()
        each = log_normal(wanted, mean, sigma) * sigma.detach().clamp(0.05, 5).pow(2 * STEADY)
        return -each.sum() / len(values)


@dataclass(frozen=True, kw_only=True, eq=False)
class VoteTask:
    """Votes on a tree.

    Parameters
    ----------
    votes : to learn from.
    weights : question → weight.
    """

    votes: VoteTable
    weights: Mapping[str, float]

    @property
    def mark(self) -> str:
        """What decides what is learnt, beside the data."""
        return self.votes.tree.hash

    def network(self, member: Network, *, seed: int) -> VoteNetwork:
        """A copy of a network with a head for this tree that starts at the mean shares."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = VoteNetwork(member.spec, self.votes.tree)
        start_at_means(network, self.votes)
        return network

    def criterion(self, network: Any) -> nn.Module:
        """Its loss."""
        return VoteCriterion(network, self.weights)

    def finished(
        self, members: Sequence[Any], examples: Examples[Any], parts: Parts, *, folder: Path, about: Mapping[str, Any]
    ) -> VoteModel:
        """The model, recalibrated, judged and written."""
        tree = self.votes.tree
        model = VoteModel(tree=tree, preparation=examples.preparation, members=tuple(members),
                          calibration=Calibration.none(tree), draws=about["draws"], views=about["views"])  # fmt: skip
        return finish(model, examples, parts, folder=folder, histories=about["histories"], about=about)


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantityTask:
    """Numbers.

    Parameters
    ----------
    labels : to learn from.
    """

    labels: Quantities

    @property
    def mark(self) -> str:
        """What decides what is learnt, beside the data."""
        return f"{self.labels.names} {self.labels.bounds}"

    @property
    def middle(self) -> tuple[float, ...]:
        """(T,) mean of the labels."""
        return tuple(np.nanmean(self.labels.values, 0).tolist())

    @property
    def spread(self) -> tuple[float, ...]:
        """(T,) scatter of the labels."""
        return tuple(np.nanstd(self.labels.values, 0).clip(1e-6).tolist())

    def network(self, member: Network, *, seed: int) -> QuantityNetwork:
        """A copy of a network with a head for these numbers, which starts at their means and scatters."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = QuantityNetwork(member.spec, self.labels.names)
        with torch.no_grad():
            network.head.linear.bias.zero_()
            network.head.linear.weight.mul_(0.3)
        return network

    def criterion(self, network: Any) -> nn.Module:
        """Its loss."""
        del network
        return QuantityCriterion(self.middle, self.spread)

    def finished(
        self, members: Sequence[Any], examples: Examples[Any], parts: Parts, *, folder: Path, about: Mapping[str, Any]
    ) -> QuantityModel:
        """The model, recalibrated, judged and written."""
        labels: Quantities = examples.labelled.votes
        count = len(labels.names)
        model = QuantityModel(
            names=labels.names, bounds=labels.bounds, middle=self.middle, spread=self.spread, widths=(1.0,) * count,
            preparation=examples.preparation, members=tuple(members), draws=about["draws"], views=about["views"],
        )  # fmt: skip
        model = model.recalibrated(labels[parts[1]], *_estimated(model, examples, parts[1]))
        judged = parts[2] if len(parts[2]) else parts[1]
        scores = quantity_scores(labels[judged], *_estimated(model, examples, judged))
        card = card_of(examples, parts, about["histories"], about) | {
            "parameters": count_parameters(model.members[0]), "scores": scores,
            "coverage": coverage_by(_covered(labels[judged], *_estimated(model, examples, judged)),
                                    {"redshift": examples.labelled.redshift[judged]}),
        }  # fmt: skip
        model = replace(model, card=card)
        write_beside(folder, quantity_card(model), about["histories"])
        model.save(folder)
        shutil.rmtree(folder / WORK, ignore_errors=True)
        return model


def _estimated(model: QuantityModel, examples: Examples[Quantities], rows: Rows) -> tuple[Numbers, Numbers]:
    """Means and errors (B, M, T) of examples, as they are."""
    parts = [model.said(examples.seen(rows[first : first + CHUNK])) for first in range(0, len(rows), CHUNK)]
    return np.concatenate([mean for mean, _ in parts]), np.concatenate([sigma for _, sigma in parts])


def _covered(labels: Quantities, means: Numbers, sigmas: Numbers) -> Numbers:
    """Whether labels (B, T) lie within the central 90 %; NaN where there is none."""
    error = np.sqrt(np.square(sigmas).mean(1) + means.var(1))
    inside = np.abs(labels.values - means.mean(1)) <= LEVEL * error
    return np.where(np.isfinite(labels.values), inside, np.nan)


def quantity_scores(labels: Quantities, means: Numbers, sigmas: Numbers) -> list[dict[str, Any]]:
    """For each number: galaxies, root mean square error, scatter of the labels, rank correlation, coverage of 90 %."""
    from scipy.stats import spearmanr

    covered = _covered(labels, means, sigmas)
    out = []
    for k, name in enumerate(labels.names):
        known = np.isfinite(labels.values[:, k])
        true, found = labels.values[known, k], means[known, :, k].mean(1)
        varied = known.sum() > 2 and np.ptp(true) > 0
        out.append({
            "quantity": name, "galaxies": int(known.sum()),
            "error": float(np.sqrt(np.square(found - true).mean())) if known.any() else float("nan"),
            "scatter": float(true.std()) if known.any() else float("nan"),
            "rank_correlation": float(spearmanr(true, found).statistic) if varied else float("nan"),
            "coverage": float(np.nanmean(covered[:, k])) if known.any() else float("nan"),
        })  # fmt: skip
    return out


def task_of(labels: Any, weights: Mapping[str, float]) -> VoteTask | QuantityTask:
    """The task that labels set."""
    return QuantityTask(labels=labels) if isinstance(labels, Quantities) else VoteTask(votes=labels, weights=weights)
