"""Recalibration: a few numbers for each question that make posteriors as sure as held-out votes say they should be."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.errors import InputError
from rosse.nets.heads import LEAST, MOST
from rosse.tree import Tree
from rosse.votes.likelihood import VoteLikelihood
from rosse.votes.mixture import beta_parameters, log_mixture
from rosse.votes.table import VoteTable

log = logging.getLogger(__name__)

PRIOR = 1.0  # sigma of the logarithms: a question of which few votes are held out stays as it is
STEPS = 60
TAILS = (0.05, 0.95)
FEWEST = 100  # galaxies from which tails are learnt

Numbers = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What is done to the concentrations of each question before they are used.

    Parameters
    ----------
    tree : name of the tree.
    temperature : question → exponent of the mean shares, which are made to add up to one again: below 1 evens them out.
    concentration : question → factor of the sum of the concentrations: below 1 widens the posterior.
    tails : answer's column → parameters (a, b) of `tail_level`; what is not named has (1, 1), which changes nothing.

    Notes
    -----
    Of the shares m and the sum s = Σα of a question, α' = c s m^t / Σ m^t. The exponent is the temperature scaling of
    Guo+2017 (arXiv:1706.04599) for shares, where there it is for probabilities of classes.

    No Beta distribution has the shape of what people say: some answer at random, so that no share is ever below a
    hundredth, while a Beta distribution with such a mean goes on to 1e-20. Where true shares are known, as those of
    virtual volunteers, quantiles are taken at other levels than those asked for, so that as many shares lie below them
    as should.
    """

    tree: str
    temperature: Mapping[str, float]
    concentration: Mapping[str, float]
    tails: Mapping[str, tuple[float, float]] = field(default_factory=dict)

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
        tails = {"tails": {name: list(pair) for name, pair in self.tails.items()}} if self.tails else {}
        return {"tree": self.tree, "temperature": dict(self.temperature), "concentration": dict(self.concentration),
                **tails}  # fmt: skip

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Calibration:
        """What `record` gave."""
        tails = {name: (float(a), float(b)) for name, (a, b) in record.get("tails", {}).items()}
        return cls(**{**record, "tails": tails})

    def tails_of(self, tree: Tree) -> Numbers:
        """(A, 2) parameters of `tail_level`."""
        return np.array([self.tails.get(column, (1.0, 1.0)) for column in tree.columns], dtype=np.float64)


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


def tail_level(level: float | Numbers, tails: Numbers) -> Numbers:
    """Level (...) of a posterior at which a share of `level` of the truth lies below, for parameters (..., 2).

    Notes
    -----
    Where u = F(p) of true shares p under their posteriors F is not uniform but Beta(a, b)-distributed, the quantile of
    the recalibrated posterior at level q is that of F at the level I^-1_q(a, b): the beta-transformed pool of Gneiting
    & Ranjan 2013 (doi:10.1214/13-EJS823, eq. 3.4) with one member.
    """
    from scipy.special import betaincinv

    return np.asarray(betaincinv(tails[..., 0], tails[..., 1], level))


def fit_tails(
    tree: Tree, shares: Numbers, concentrations: Numbers, *, least: float = 0.1
) -> dict[str, tuple[float, float]]:
    """Parameters of `tail_level` for each answer, where true shares are known: of virtual volunteers.

    Parameters
    ----------
    tree : of Q questions with A answers.
    shares : (B, A) true share of each answer among those asked.
    concentrations : (B, M, outputs) of these galaxies, recalibrated otherwise.
    least : probability that a question is asked, from which on a galaxy counts.

    Notes
    -----
    The two parameters for which 5 % of the shares lie below the 5 % quantile, and 5 % above the 95 % quantile. Votes
    cannot tell them: forty people cannot tell a share of 1 % from one of 3 %.
    """
    a, b = beta_parameters(tree, concentrations)
    asked = tree.asked_probability(shares)
    out = {}
    for k, column in enumerate(tree.columns):
        some = asked[:, tree.question_of[k]] >= least
        if some.sum() < FEWEST:
            continue
        levels = betainc_at(shares[some, None, k], a[some, :, k], b[some, :, k]).mean(1)
        low, high = np.quantile(levels, TAILS).clip(1e-4, 1 - 1e-4)
        out[column] = _parameters_of(float(low), float(high))
    return out


def _parameters_of(low: float, high: float) -> tuple[float, float]:
    """The (a, b) of a Beta distribution with these 5 % and 95 % quantiles."""
    from scipy.optimize import minimize
    from scipy.special import logit

    def cost(x: Numbers) -> float:
        found = tail_level(np.array(TAILS), np.exp(x)).clip(1e-12, 1 - 1e-12)
        return float(np.square(logit(found) - logit([low, high])).sum())

    best = minimize(cost, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-8, "maxiter": 400}).x
    a, b = np.exp(np.clip(best, -3, 5)).tolist()
    return a, b


def betainc_at(x: Numbers, a: Numbers, b: Numbers) -> Numbers:
    """Cumulative Beta distribution (...) at x."""
    from scipy.special import betainc

    return np.asarray(betainc(a, b, x))


def log_votes(votes: VoteTable, concentrations: Tensor) -> Tensor:
    """Log-probability (B, Q) of votes under mixtures of concentrations (B, M, outputs)."""
    count = concentrations.shape[1]
    likelihood = VoteLikelihood(votes.tree)
    counts, people = (torch.from_numpy(np.ascontiguousarray(each)) for each in (votes.counts, votes.people))
    flat = concentrations.flatten(0, 1)
    each = likelihood(counts.repeat_interleave(count, 0), flat, people.repeat_interleave(count, 0))
    return log_mixture(each.view(len(votes), count, -1))
