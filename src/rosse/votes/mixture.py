"""Mixtures of Dirichlet distributions: what several networks, or several draws of one, say together.

All functions take concentrations (B, M, outputs) of B galaxies from M equally likely components, in the order of
`rosse.nets.heads.vote_outputs`, and work in double precision.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.errors import InputError, OptionError
from rosse.nets.heads import LEAST, MOST
from rosse.tree import Tree

Numbers = NDArray[np.float64]
TOLERANCE = 1e-7  # of a share
STEPS = 100
PATIENCE = 6  # steps without a halving


def beta_parameters(tree: Tree, concentrations: Numbers) -> tuple[Numbers, Numbers]:
    """Parameters (..., A) of the Beta distributions of each answer's share, from concentrations (..., outputs).

    Notes
    -----
    The marginal distributions of Dirichlet(α) are Beta(α_i, Σα - α_i).
    """
    answers = len(tree.columns)
    if concentrations.shape[-1] < answers:
        raise InputError(f"concentrations have {concentrations.shape[-1]} columns; {answers} or more are wanted")
    a = np.asarray(concentrations[..., :answers], dtype=np.float64)
    b = np.empty_like(a)
    second = answers
    for question, here in zip(tree.questions, tree.slices, strict=True):
        if question.multiple:
            count = here.stop - here.start
            b[..., here] = concentrations[..., second : second + count]
            second += count
        else:
            b[..., here] = a[..., here].sum(-1, keepdims=True) - a[..., here]
    return a, b


def mean_fractions(tree: Tree, concentrations: Numbers) -> Numbers:
    """Mean share (B, A) of each answer among those asked its question."""
    a, b = beta_parameters(tree, concentrations)
    return np.asarray((a / (a + b)).mean(-2))


def asked_probability(tree: Tree, concentrations: Numbers) -> Numbers:
    """Probability (B, Q) that a volunteer is asked each question: the mean over the components of the tree's products.

    Within a component, shares of different questions are independent, so that products of means are means of products.
    """
    a, b = beta_parameters(tree, concentrations)
    each: Numbers = tree.asked_probability(a / (a + b))
    return np.asarray(each.mean(-2))


def matched(tree: Tree, concentrations: Numbers) -> Numbers:
    """Concentrations (B, A) of the one Dirichlet distribution of each question that is nearest to the mixture.

    Its mean is that of the mixture, and so is the sum over the answers of their shares' variances: for a Dirichlet
    distribution of mean m and sum s, the variance of a share is m (1 - m) / (s + 1).
    """
    a, b = beta_parameters(tree, concentrations)
    each, total = a / (a + b), a + b
    mean = each.mean(-2)
    variance = (each * (1 - each) / (total + 1)).mean(-2) + each.var(-2)
    out: Numbers = np.empty_like(mean)
    for question, here in zip(tree.questions, tree.slices, strict=True):
        room, spread = mean[..., here] * (1 - mean[..., here]), variance[..., here]
        if not question.multiple:
            room, spread = room.sum(-1, keepdims=True), spread.sum(-1, keepdims=True)
        size = room / np.maximum(spread, 1e-300) - 1
        out[..., here] = mean[..., here] * np.clip(size, LEAST, MOST)
    return out


def quantiles(a: Numbers, b: Numbers, level: float | Numbers) -> Numbers:
    """Quantile (...) of equal mixtures of Beta distributions, to 1e-7.

    Parameters
    ----------
    a, b : (..., M)
        Parameters of the M components.
    level : () or (...) from 0 to 1.

    Notes
    -----
    The root of F(x) - level with F(x) = mean_m I_x(a_m, b_m): secant steps from the quantile of the one Beta
    distribution of the same mean and variance, within a bracket that is halved where they do not help. An evaluation
    of F takes M incomplete Beta functions, whose inverses would each cost four.
    """
    from scipy.special import betaincinv

    shape = a.shape[:-1]
    levels = np.broadcast_to(np.asarray(level, dtype=np.float64), shape).ravel()
    if not ((np.asarray(level) > 0) & (np.asarray(level) < 1)).all():
        raise OptionError(f"level is {level}; a number between 0 and 1 is wanted")
    a, b = (np.asarray(each, dtype=np.float64).reshape(-1, a.shape[-1]) for each in (a, b))
    if a.shape[-1] == 1:
        return np.asarray(betaincinv(a[:, 0], b[:, 0], levels), dtype=np.float64).reshape(shape)
    search = _Search(a, b, levels)
    for step in range(STEPS):
        if not len(search.left):
            break
        search.step(halve=step > PATIENCE and step % 2 == 0)
    return search.x.reshape(shape)


class _Search:
    """Roots of F(x) - level for many mixtures (N, M) at once; those that are found leave."""

    def __init__(self, a: Numbers, b: Numbers, level: Numbers) -> None:
        self.a, self.b, self.level = a, b, level
        self.low, self.high = np.zeros(len(a)), np.ones(len(a))
        self.left = np.arange(len(a))
        self.x, slope = self._start()
        self.f = self._value(self.x)
        self.before, self.f_before = self.x.copy(), self.f.copy()
        self._enclose()
        self._move(self.x[self.left] - self.f[self.left] / slope[self.left])

    def step(self, *, halve: bool) -> None:
        """One evaluation of F for each mixture that is left."""
        i = self.left
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (self.f[i] - self.f_before[i]) / (self.x[i] - self.before[i])
            wanted = self.x[i] - self.f[i] / slope
        middle = 0.5 * (self.low[i] + self.high[i])
        self._move(middle if halve else wanted)

    def _start(self) -> tuple[Numbers, Numbers]:
        """Quantile and density there of the Beta distribution of the mixture's mean and variance."""
        from scipy.special import betaincinv, betaln, xlog1py, xlogy

        total = self.a + self.b
        each = self.a / total
        mean = each.mean(1)
        variance = (each * (1 - each) / (total + 1)).mean(1) + each.var(1)
        size = np.maximum(mean * (1 - mean) / np.maximum(variance, 1e-300) - 1, 1e-3)
        a, b = mean * size, (1 - mean) * size
        x = np.clip(betaincinv(a, b, self.level), 1e-12, 1 - 1e-12)
        density = np.exp(np.clip(xlogy(a - 1, x) + xlog1py(b - 1, -x) - betaln(a, b), -50, 50))
        return x, density

    def _value(self, x: Numbers) -> Numbers:
        from scipy.special import betainc

        i = self.left
        return np.asarray(betainc(self.a[i], self.b[i], x[:, None]).mean(1) - self.level[i])

    def _move(self, wanted: Numbers) -> None:
        """To new places within the brackets; a step too small to be seen goes across the root, to enclose it."""
        i = self.left
        low, high, x = self.low[i], self.high[i], self.x[i]
        near = np.abs(wanted - x) < 0.5 * TOLERANCE
        wanted = np.where(near, x - np.sign(self.f[i]) * 0.9 * TOLERANCE, wanted)
        inside = np.isfinite(wanted) & (wanted > low) & (wanted < high)
        new = np.where(inside, wanted, 0.5 * (low + high))
        self.before[i], self.f_before[i] = x, self.f[i]
        self.x[i] = new
        self.f[i] = self._value(new)
        self._enclose()

    def _enclose(self) -> None:
        i = self.left
        below = self.f[i] <= 0
        self.low[i] = np.where(below, self.x[i], self.low[i])
        self.high[i] = np.where(below, self.high[i], self.x[i])
        done = (self.high[i] - self.low[i] <= TOLERANCE) | (self.f[i] == 0)
        found = i[done]
        self.x[found] = np.where(self.f[found] == 0, self.x[found], 0.5 * (self.low[found] + self.high[found]))
        self.left = i[~done]


def log_mixture(each: Tensor) -> Tensor:
    """Log-probability (B, Q) under the mixture, from those under its components (B, M, Q)."""
    count = each.shape[1]
    return torch.logsumexp(each.double(), 1) - float(np.log(count))
