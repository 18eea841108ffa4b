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


def quantiles(a: Numbers, b: Numbers, level: float) -> Numbers:
    """Quantile (...) of equal mixtures of Beta distributions, to 1e-7.

    Parameters
    ----------
    a, b : (..., M)
        Parameters of the M components.
    level : from 0 to 1.

    Notes
    -----
    The root of mean_m I_x(a_m, b_m) = level, which lies between the smallest and the largest quantile of the
    components: bisection, with steps of regula falsi (Illinois) in between where these halve the interval.
    """
    from scipy.special import betainc, betaincinv

    if not 0 < level < 1:
        raise OptionError(f"level is {level}; a number between 0 and 1 is wanted")
    shape = a.shape[:-1]
    a, b = (np.asarray(each, dtype=np.float64).reshape(-1, a.shape[-1]) for each in (a, b))
    each = np.asarray(betaincinv(a, b, level), dtype=np.float64)
    low, high = each.min(1), each.max(1)
    left = np.flatnonzero(high - low > TOLERANCE)
    f_low, f_high = (betainc(a[left], b[left], end[left, None]).mean(1) - level for end in (low, high))
    for step in range(STEPS):
        if not len(left):
            break
        x0, x1 = low[left], high[left]
        with np.errstate(divide="ignore", invalid="ignore"):
            secant = x0 - f_low * (x1 - x0) / (f_high - f_low)
        middle = 0.5 * (x0 + x1)
        x = np.where(np.isfinite(secant) & (step % 3 < 2), np.clip(secant, x0, x1), middle)
        value = betainc(a[left], b[left], x[:, None]).mean(1) - level
        below = value < 0
        low[left], high[left] = np.where(below, x, x0), np.where(below, x1, x)
        # The end that stays counts half: without it one end of a bent curve would stay for ever.
        f_low, f_high = np.where(below, value, f_low * 0.5), np.where(below, f_high * 0.5, value)
        exact = value == 0
        low[left[exact]] = high[left[exact]] = x[exact]
        open_ = high[left] - low[left] > TOLERANCE
        left, f_low, f_high = left[open_], f_low[open_], f_high[open_]
    out: Numbers = (0.5 * (low + high)).reshape(shape)
    return out


def log_mixture(each: Tensor) -> Tensor:
    """Log-probability (B, Q) under the mixture, from those under its components (B, M, Q)."""
    count = each.shape[1]
    return torch.logsumexp(each.double(), 1) - float(np.log(count))
