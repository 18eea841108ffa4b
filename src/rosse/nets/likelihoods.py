"""Log-probabilities of labels given what a network says; a label that is NaN weighs nothing.

Votes are computed in double precision and returned in single or that of the parameters: a log-gamma of 1e5 is a
million, of which single precision keeps one decimal, and differences of such numbers are what counts here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SMALLEST = 1e-30  # of a concentration: at 0 its log-gamma is infinite


def log_rising(alpha: Tensor, k: Tensor) -> Tensor:
    """Logarithm of the rising factorial, ln Γ(α + k) - ln Γ(α); exactly 0 for k = 0.

    Parameters
    ----------
    alpha, k : (...)
        α > 0 and k >= 0, which broadcast.
    """
    return torch.lgamma(alpha + k) - torch.lgamma(alpha)


def log_dirichlet_multinomial(counts: Tensor, concentrations: Tensor) -> Tensor:
    """Log-probability (...) of votes for K answers when their shares are drawn from a Dirichlet distribution.

    Parameters
    ----------
    counts : (..., K)
        Whole numbers of votes. No votes at all have probability 1; where one of the K is NaN the votes are missing,
        and weigh nothing either: log-probability and gradient are exactly 0, whatever the concentrations.
    concentrations : (..., K)
        α > 0. Their ratio is the mean share of the answers, their sum how sure it is.

    Notes
    -----
    Walmsley et al. 2022 (arXiv:2102.08414), eq. 1, with the multinomial coefficient, so that it is a probability:
    ln p = ln n! - ln k_1! ... - ln k_K! + Σ ln[Γ(α_i + k_i) / Γ(α_i)] - ln[Γ(Σα + n) / Γ(Σα)].
    """
    alpha, k, known = _weighing(concentrations, counts)
    n = k.sum(-1)
    coefficient = torch.lgamma(n + 1) - torch.lgamma(k + 1).sum(-1)
    value = coefficient + log_rising(alpha, k).sum(-1) - log_rising(alpha.sum(-1), n)
    return torch.where(known, value, 0.0).to(torch.promote_types(concentrations.dtype, torch.float32))


def log_beta_binomial(ticked: Tensor, people: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Log-probability (...) that of so many people so many say yes, when the share is drawn from a Beta distribution.

    Parameters
    ----------
    ticked, people : (...)
        Whole numbers of votes, of them yes and in all; where one is NaN they are missing and weigh nothing.
    a, b : (...)
        Concentrations > 0 of yes and no: the share is drawn from Beta(a, b).

    Notes
    -----
    The Dirichlet-multinomial distribution of two answers.
    """
    return log_dirichlet_multinomial(torch.stack((ticked, people - ticked), -1), torch.stack((a, b), -1))


def log_normal(values: Tensor, mean: Tensor, sigma: Tensor) -> Tensor:
    """Log-density (...) of values around a mean; 0 where a value is NaN.

    Parameters
    ----------
    values, mean, sigma : (...)
        In the same unit; sigma > 0.
    """
    known = ~values.isnan()
    sigma = torch.where(known, sigma, 1.0)
    pull = (torch.where(known, values.to(mean.dtype), mean.detach()) - mean) / sigma
    return torch.where(known, -0.5 * pull**2 - sigma.log() - 0.5 * math.log(2 * math.pi), 0.0)


def log_class(labels: Tensor, logits: Tensor) -> Tensor:
    """Log-probability (...) of the class that is true; 0 where a label is negative, which says that it is missing.

    Parameters
    ----------
    labels : (...)
        Whole numbers from 0 to C - 1.
    logits : (..., C)
        Logarithms of the classes' probabilities, up to a constant.
    """
    known = labels >= 0
    chosen = logits.log_softmax(-1).gather(-1, labels.clamp_min(0).long()[..., None])[..., 0]
    return torch.where(known, chosen, 0.0)


def _weighing(concentrations: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """α and k in double precision, and (...) where there are votes.

    Elsewhere they are replaced, not multiplied by 0: an infinite concentration times 0 is NaN, in the gradient as well.
    """
    k = counts.to(torch.float64)
    missing = k.isnan().any(-1)
    known = ~missing & (torch.where(missing[..., None], 0.0, k).sum(-1) > 0)
    alpha = torch.where(known[..., None], concentrations.to(torch.float64), 1.0).clamp_min(SMALLEST)
    return alpha, torch.where(known[..., None], k, 0.0), known
