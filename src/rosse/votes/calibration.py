"""Recalibration: two numbers for each question that make posteriors as sure as held-out votes say they should be."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rosse.errors import InputError
from rosse.nets.heads import LEAST, MOST
from rosse.tree import Tree
from rosse.votes.likelihood import VoteLikelihood
from rosse.votes.mixture import log_mixture
from rosse.votes.table import VoteTable

log = logging.getLogger(__name__)

PRIOR = 1.0  # sigma of the logarithms: a question of which few votes are held out stays as it is
STEPS = 60


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What is done to the concentrations of each question before they are used.

    Parameters
    ----------
    tree : name of the tree.
    temperature : question → exponent of the mean shares, which are made to add up to one again: below 1 evens them out.
    concentration : question → factor of the sum of the concentrations: below 1 widens the posterior.

    Notes
    -----
    Of the shares m and the sum s = Σα of a question, α' = c s m^t / Σ m^t. The exponent is the temperature scaling of
    Guo+2017 (arXiv:1706.04599) for shares, where there it is for probabilities of classes.
    """

    tree: str
    temperature: Mapping[str, float]
    concentration: Mapping[str, float]

    @classmethod
    def none(cls, tree: Tree) -> Calibration:
        """One that changes nothing."""
        ones = {question.name: 1.0 for question in tree.questions}
        return cls(tree=tree.name, temperature=ones, concentration=dict(ones))

    def __call__(self, tree: Tree, concentrations: Tensor) -> Tensor:
        """Recalibrated concentrations, from (..., outputs) of this tree."""
        names = [question.name for question in tree.questions]
        missing = set(names) - set(self.temperature)
        if missing:
            raise InputError(f"the calibration is for tree {self.tree}; it lacks question {min(missing)}")
        logs = torch.tensor([[self.temperature[n], self.concentration[n]] for n in names], dtype=torch.float64).log()
        return recalibrated(tree, concentrations, logs.to(concentrations.device))

    def record(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {"tree": self.tree, "temperature": dict(self.temperature), "concentration": dict(self.concentration)}


def recalibrated(tree: Tree, concentrations: Tensor, logs: Tensor) -> Tensor:
    """Concentrations (..., outputs) with logarithms of temperature and factor (Q, 2) of each question."""
    alpha = concentrations.double().clamp_min(1e-30)
    parts: list[Tensor] = []
    second: list[Tensor] = []
    answers = len(tree.columns)
    for i, (question, here) in enumerate(zip(tree.questions, tree.slices, strict=True)):
        exponent, factor = logs[i].exp().unbind()
        if not question.multiple:
            parts.append(_sharpened(alpha[..., here], exponent, factor))
            continue
        count = here.stop - here.start
        pair = torch.stack((alpha[..., here], alpha[..., answers : answers + count]), -1)
        answers += count
        pair = _sharpened(pair, exponent, factor)
        parts.append(pair[..., 0])
        second.append(pair[..., 1])
    return torch.cat([*parts, *second], -1).clamp(LEAST * 1e-3, MOST * 1e3).to(concentrations.dtype)


def _sharpened(alpha: Tensor, exponent: Tensor, factor: Tensor) -> Tensor:
    total = alpha.sum(-1, keepdim=True)
    return factor * total * torch.softmax(exponent * torch.log(alpha / total), -1)


def fit_calibration(votes: VoteTable, concentrations: Tensor) -> Calibration:
    """The calibration under which held-out votes are most probable.

    Parameters
    ----------
    votes : on B galaxies that the network has not learnt from.
    concentrations : (B, M, outputs) of these galaxies, from M components.

    Notes
    -----
    Maximum of the log-probability of the votes under the mixture, with a normal prior of width 1 around 0 for the
    logarithms of both numbers.
    """
    tree = votes.tree
    if concentrations.shape[0] != len(votes):
        raise InputError(f"concentrations of {concentrations.shape[0]} galaxies came for votes on {len(votes)}")
    names = [question.name for question in tree.questions]
    logs = torch.zeros(len(names), 2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logs], max_iter=STEPS, line_search_fn="strong_wolfe", tolerance_grad=1e-6)

    def closure() -> Tensor:
        optimiser.zero_grad()
        each = log_votes(votes, recalibrated(tree, concentrations.double(), logs))
        cost = -each.sum() + 0.5 * (logs / PRIOR).square().sum()
        torch.autograd.backward(cost)
        return cost

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    if not bool(torch.isfinite(logs).all()):
        log.warning("the recalibration found no optimum; concentrations stay as they are")
        return Calibration.none(tree)
    values = logs.detach().exp().numpy()
    return Calibration(
        tree=tree.name,
        temperature={name: float(value) for name, value in zip(names, values[:, 0], strict=True)},
        concentration={name: float(value) for name, value in zip(names, values[:, 1], strict=True)},
    )


def log_votes(votes: VoteTable, concentrations: Tensor) -> Tensor:
    """Log-probability (B, Q) of votes under mixtures of concentrations (B, M, outputs)."""
    count = concentrations.shape[1]
    likelihood = VoteLikelihood(votes.tree)
    counts, people = (torch.from_numpy(np.ascontiguousarray(each)) for each in (votes.counts, votes.people))
    flat = concentrations.flatten(0, 1)
    each = likelihood(counts.repeat_interleave(count, 0), flat, people.repeat_interleave(count, 0))
    return log_mixture(each.view(len(votes), count, -1))
