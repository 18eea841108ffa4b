"""Which galaxies to label next: strategies that choose a batch from a pool, and the baselines to compare them with.

A batch of the galaxies with the largest scores asks the same thing many times: galaxies that look alike have scores
alike. Strategies that choose one after the other take into account what those chosen before will have taught. For
this the components are taken as draws from a normal distribution of networks. Of galaxy x the shares of a question
deviate by d_m(x) from their mean in component m, and n votes say them with the covariance φ [diag(f) - f f'] / n, with
φ = (s + n) / (s + 1) for concentrations of sum s. With v_m(x) = d_m(x) / sqrt(M f φ / n) for each answer,

- votes on a set X teach ½ ln det(1 + V V') nats about the network, V being the rows v(x) of all its galaxies and
  answers (BatchBALD, Kirsch+2019, arXiv:1906.08158, for normal distributions; greedy, it is that of a determinantal
  point process, Chen+2018, arXiv:1709.05135);
- they leave Σ = (1 + V'V)^-1 of the components' spread, and so tr(C Σ) of the variance of all shares in the pool, with
  C the sum of d d' / M over its galaxies (Cohn+1996, arXiv:cs/9603104).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from rosse.errors import InputError, OptionError, unknown_name
from rosse.tree import Tree
from rosse.votes.acquisition import expected_entropy, information, narrow_margin
from rosse.votes.mixture import asked_probability, beta_parameters

Numbers = NDArray[np.float64]
Rows = NDArray[np.int64]
LEAST = 1e-4  # of a share, and of the number of people asked: a variance must not be 0
CHUNK = 4096  # galaxies at a time
SHORTLIST = 20  # galaxies that are looked at for each one that is chosen: those of the largest scores


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Galaxies that could be labelled.

    Parameters
    ----------
    tree : whose questions.
    concentrations : (B, M, outputs) that a model gave.
    questions : names of those that labels are wanted for; empty: all, each with the same weight.
    people : who will look at each galaxy.
    """

    tree: Tree
    concentrations: Numbers
    questions: tuple[str, ...] = ()
    people: int = 40

    def __post_init__(self) -> None:
        for name in self.questions:
            self.tree[name]  # the name of a question
        if self.people < 1:
            raise OptionError(f"people is {self.people}; 1 or more are wanted")

    def __len__(self) -> int:
        return len(self.concentrations)

    @property
    def wanted(self) -> list[int]:
        """Positions of the questions."""
        names = self.questions or tuple(question.name for question in self.tree.questions)
        return [i for i, question in enumerate(self.tree.questions) if question.name in names]

    @cached_property
    def deviations(self) -> Numbers:
        """(B, A, M) deviations d of the shares of the wanted questions over sqrt(M)."""
        _, each = self._shares
        return np.asarray((each - each.mean(1, keepdims=True)).transpose(0, 2, 1) / np.sqrt(each.shape[1]))

    @cached_property
    def precision(self) -> Numbers:
        """(B, A) n / (f φ) of these shares: how well the votes would say them."""
        columns, each = self._shares
        a, b = beta_parameters(self.tree, self.concentrations)
        size = (a + b).mean(1)[:, columns]
        people = np.maximum(self.people * self.asked[:, self._question_of], LEAST)
        spread = (size + people) / (size + 1)
        return np.asarray(people / (np.maximum(each.mean(1), LEAST) * spread))

    @cached_property
    def asked(self) -> Numbers:
        """(B, Q) P(asked) of all questions."""
        return asked_probability(self.tree, self.concentrations)

    @property
    def relevance(self) -> Numbers:
        """(B, A) weight of the variance of each share: how many people it tells of."""
        return self.asked[:, self._question_of]

    @property
    def _question_of(self) -> list[int]:
        return [self.tree.question_of[k] for k in self._shares[0]]

    @cached_property
    def _shares(self) -> tuple[list[int], Numbers]:
        """Columns of the wanted questions and their shares (B, M, A)."""
        columns = [k for i in self.wanted for k in range(self.tree.slices[i].start, self.tree.slices[i].stop)]
        a, b = beta_parameters(self.tree, self.concentrations)
        return columns, (a / (a + b))[..., columns]


Strategy = Callable[[Candidates, int, np.random.Generator], Rows]


def by_chance(candidates: Candidates, count: int, draw: np.random.Generator) -> Rows:
    """Any galaxies."""
    return np.asarray(draw.permutation(len(candidates))[:count])


def by_entropy(candidates: Candidates, count: int, draw: np.random.Generator) -> Rows:
    """Those of which it is least clear what one person would answer, for whatever reason."""
    return _largest(_summed(candidates, expected_entropy(candidates.tree, candidates.concentrations)), count)


def by_margin(candidates: Candidates, count: int, draw: np.random.Generator) -> Rows:
    """Those whose likeliest answers are nearly as likely as others."""
    return _largest(_summed(candidates, narrow_margin(candidates.tree, candidates.concentrations)), count)


def by_information(candidates: Candidates, count: int, draw: np.random.Generator) -> Rows:
    """Those whose votes teach most, each seen alone: BALD (Houlsby+2011)."""
    return _largest(_informative(candidates), count)


def by_power(candidates: Candidates, count: int, draw: np.random.Generator) -> Rows:
    """Drawn without replacement with a probability in proportion to the information.

    PowerBALD with β = 1 (Kirsch+2022, arXiv:2106.12059, Sect. 3): the largest of ln I plus Gumbel noise.
    """
    scores = np.log(np.maximum(_informative(candidates), 1e-12)) + draw.gumbel(size=len(candidates))
    return _largest(scores, count)


def by_joint_information(candidates: Candidates, count: int, draw: np.random.Generator) -> Rows:
    """One after the other, that which teaches most beside what those before it will have taught."""
    return _greedy(candidates, count, None)


def by_variance(candidates: Candidates, count: int, draw: np.random.Generator) -> Rows:
    """One after the other, that which most lowers the variance of the shares of all galaxies of the pool."""
    flat = candidates.deviations * np.sqrt(candidates.relevance)[..., None]
    flat = flat.reshape(-1, flat.shape[-1])
    return _greedy(candidates, count, flat.T @ flat)


def by_centres(candidates: Candidates, count: int, draw: np.random.Generator) -> Rows:
    """One after the other, that which is furthest from all before it in what the components say (v).

    k-centre greedy of Sener & Savarese 2018 (arXiv:1708.00489), Algorithm 1.
    """
    points = _told(candidates).reshape(len(candidates), -1)
    far = (points**2).sum(1)  # from a galaxy of which all components say the same
    out: list[int] = []
    for _ in range(min(count, len(candidates))):
        far[out] = -1
        out.append(int(far.argmax()))
        far = np.minimum(far, ((points - points[out[-1]]) ** 2).sum(1))
    return np.array(out, dtype=np.int64)


STRATEGIES: Mapping[str, Strategy] = MappingProxyType({
    "random": by_chance,
    "entropy": by_entropy,
    "margin": by_margin,
    "information": by_information,
    "power": by_power,
    "joint": by_joint_information,
    "variance": by_variance,
    "centres": by_centres,
})  # fmt: skip


def select(candidates: Candidates, count: int, *, strategy: str = "variance", seed: int = 0) -> Rows:
    """Rows of the galaxies to label next, the most wanted first.

    Parameters
    ----------
    candidates : the pool, without galaxies that are labelled already.
    count : of galaxies; all that there are if these are fewer.
    strategy : a name of `STRATEGIES`.
    seed : of what is left to chance.
    """
    if strategy not in STRATEGIES:
        raise OptionError(unknown_name("strategy", strategy, STRATEGIES))
    if count < 1:
        raise OptionError(f"{count} galaxies are wanted; 1 or more must be")
    if strategy != "random" and strategy not in ("entropy", "margin") and candidates.concentrations.shape[1] < 2:
        raise InputError(
            f"the model has one component, and nothing it could disagree with; strategy {strategy} wants members or "
            "draws of dropout (--members, --draws of rosse train)"
        )
    return STRATEGIES[strategy](candidates, count, np.random.default_rng(seed))


def _informative(candidates: Candidates) -> Numbers:
    found = information(candidates.tree, candidates.concentrations, people=candidates.people)
    return _summed(candidates, found)


def _summed(candidates: Candidates, scores: Numbers) -> Numbers:
    return np.asarray(scores[:, candidates.wanted].sum(1))


def _largest(scores: Numbers, count: int) -> Rows:
    return np.argsort(-scores, kind="stable")[:count]


def _told(candidates: Candidates) -> Numbers:
    """V (B, A, M)."""
    return candidates.deviations * np.sqrt(candidates.precision)[..., None]


def _greedy(candidates: Candidates, count: int, covariance: Numbers | None) -> Rows:
    """Galaxies, one after the other, with the largest gain of information, or loss of variance tr(C Σ)."""
    told = _told(candidates)
    left = np.eye(told.shape[-1])  # Σ
    alone = [_gain(told[first : first + CHUNK], left, covariance) for first in range(0, len(told), CHUNK)]
    short = _largest(np.concatenate([np.zeros(0), *alone]), SHORTLIST * count)
    out: list[int] = []
    free = np.ones(len(short), dtype=bool)
    for _ in range(min(count, len(short))):
        gain = np.where(free, _gain(told[short], left, covariance), -np.inf)
        best = int(gain.argmax())
        free[best] = False
        out.append(int(short[best]))
        v = told[short[best]]
        moved = v @ left
        left = left - moved.T @ np.linalg.solve(np.eye(len(v)) + moved @ v.T, moved)
    return np.array(out, dtype=np.int64)


def _gain(told: Numbers, left: Numbers, covariance: Numbers | None) -> Numbers:
    """Of each galaxy (B,): ½ ln det(1 + v Σ v'), or tr[v Σ C Σ v' (1 + v Σ v')^-1], v having a row for each answer."""
    moved = told @ left
    size = np.eye(told.shape[1]) + moved @ told.transpose(0, 2, 1)
    if covariance is None:
        return np.asarray(0.5 * np.linalg.slogdet(size)[1])
    return np.asarray(np.linalg.solve(size, moved @ covariance @ moved.transpose(0, 2, 1)).trace(axis1=1, axis2=2))
