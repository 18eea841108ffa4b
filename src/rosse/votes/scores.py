"""How good posteriors of votes are: errors, calibration, coverage, for each question and in bins of anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from rosse.errors import InputError
from rosse.tree import Tree
from rosse.votes.calibration import log_votes
from rosse.votes.mixture import beta_parameters, mean_fractions
from rosse.votes.table import VoteTable

Numbers = NDArray[np.float64]
BINS = 10


@dataclass(frozen=True, kw_only=True)
class Score:
    """Of one question.

    Parameters
    ----------
    question : its name.
    galaxies : with votes on it.
    log_probability : mean over these of ln p of their votes.
    error : mean absolute difference between expected and given shares of the answers.
    floor : what that would be if the expected shares were true: chance alone, with so few votes.
    calibration_error : mean difference between expected and given shares, in bins of the expected one.
    coverage : share of the votes within the central 90 % of what was expected of them.
    """

    question: str
    galaxies: int
    log_probability: float
    error: float
    floor: float
    calibration_error: float
    coverage: float


def score(votes: VoteTable, concentrations: Numbers, *, level: float = 0.9) -> list[Score]:
    """Scores of each question.

    Parameters
    ----------
    votes : on B galaxies.
    concentrations : (B, M, outputs) of these.
    level : of the coverage.
    """
    tree = votes.tree
    logs = log_votes(votes, torch.from_numpy(np.ascontiguousarray(concentrations))).numpy()
    expected, given = mean_fractions(tree, concentrations), votes.fractions
    within = votes_within(votes, concentrations, level=level)
    out = []
    for i, (question, here) in enumerate(zip(tree.questions, tree.slices, strict=True)):
        people = np.nan_to_num(votes.people[:, i])
        some = people > 0
        if not some.any():
            out.append(Score(question=question.name, galaxies=0, **dict.fromkeys(_NUMBERS, float("nan"))))
            continue
        m, f, n = expected[some, here], given[some, here], people[some, None]
        out.append(
            Score(
                question=question.name, galaxies=int(some.sum()), log_probability=float(logs[some, i].mean()),
                error=float(np.abs(m - f).mean()), floor=float(_binomial_error(m, n).mean()),
                calibration_error=calibration_error(m, f, np.broadcast_to(n, m.shape)),
                coverage=float(within[some, here].mean()),
            )
        )  # fmt: skip
    return out


_NUMBERS = ("log_probability", "error", "floor", "calibration_error", "coverage")


def calibration_error(expected: Numbers, given: Numbers, weight: Numbers, *, bins: int = BINS) -> float:
    """Expected calibration error: mean over bins of |expected - given| share, each weighted by its votes.

    Naeini+2015 (AAAI 29, 2901), eq. 2, for shares of votes instead of correct classes.
    """
    which = np.clip((expected * bins).astype(int), 0, bins - 1).ravel()
    w = np.asarray(weight, dtype=np.float64).ravel()
    off = np.bincount(which, w * (expected - given).ravel(), minlength=bins)
    return float(np.abs(off).sum() / w.sum())


def votes_within(votes: VoteTable, concentrations: Numbers, *, level: float = 0.9) -> Numbers:
    """How much (B, A) of each answer's votes lies in the central `level` of what was expected; NaN without votes.

    Notes
    -----
    The distribution of k votes of n is a mixture of beta-binomials with cumulative F. A whole number covers the range
    F(k - 1) to F(k): what is given here is the share of that range between (1 - level) / 2 and (1 + level) / 2, whose
    mean is exactly `level` if the posterior is right (the mean of the randomised probability integral transform,
    Czado+2009, doi:10.1111/j.1541-0420.2009.01191.x).
    """
    a, b = beta_parameters(votes.tree, concentrations)
    people = votes.people[:, list(votes.tree.question_of)]
    n, k = np.nan_to_num(people), np.nan_to_num(votes.counts)
    before, at = _cumulative(a, b, n, k)
    low, high = (1 - level) / 2, (1 + level) / 2
    inside = np.clip(np.minimum(at, high) - np.maximum(before, low), 0, None)
    out = inside / np.maximum(at - before, 1e-12)
    return np.where((n > 0) & ~np.isnan(votes.counts), np.clip(out, 0, 1), np.nan)


def _cumulative(a: Numbers, b: Numbers, n: Numbers, k: Numbers) -> tuple[Numbers, Numbers]:
    """F(k - 1) and F(k), (B, A), of mixtures (B, M, A) of beta-binomial distributions.

    Term by term: p(j + 1) / p(j) = (n - j) (a + j) / [(j + 1) (b + n - j - 1)].
    """
    from scipy.special import betaln

    many = n[:, None]
    term = np.exp(betaln(a, b + many) - betaln(a, b))  # p(0)
    total = np.zeros_like(k)
    before = np.zeros_like(k)
    at = np.zeros_like(k)
    for j in range(int(n.max(initial=0)) + 1):
        here = term.mean(1)
        before = np.where(k == j, total, before)
        total = total + here
        at = np.where(k == j, total, at)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (many - j) * (a + j) / ((j + 1) * (b + many - j - 1))
        term = np.where(j < many, term * ratio, 0.0)
    return before, np.minimum(at, 1.0)


def _binomial_error(m: Numbers, n: Numbers) -> Numbers:
    """Mean absolute deviation of a share of n votes from its expectation m (de Moivre): binomial, exact.

    E|k/n - m| = 2 (1 - m)^(n - j) m^(j + 1) (j + 1) C(n, j + 1) / n with j = floor(n m).
    """
    from scipy.special import gammaln, xlog1py, xlogy

    j = np.minimum(np.floor(n * m), n - 1)
    choose = gammaln(n + 1) - gammaln(j + 2) - gammaln(n - j)
    return np.asarray(2 * np.exp(xlog1py(n - j, -m) + xlogy(j + 1, m) + np.log(j + 1) + choose) / n)


def coverage(truth: Numbers, low: Numbers, high: Numbers, asked: Numbers, tree: Tree, *, least: float = 0.1) -> Numbers:
    """Share (Q,) of true probabilities between two quantiles, of galaxies for which a question is asked at all.

    Parameters
    ----------
    truth, low, high : (B, A)
    asked : (B, Q) true probability that a question is asked.
    least : of it, from which on a galaxy counts.
    """
    inside = (truth >= low) & (truth <= high)
    out = []
    for i, here in enumerate(tree.slices):
        some = asked[:, i] >= least
        out.append(inside[some, here].mean() if some.any() else np.nan)
    return np.array(out)


def coverage_by(covered: Numbers, by: Mapping[str, Numbers], *, bins: int = 4) -> dict[str, dict[str, Any]]:
    """Coverage in bins of quantities, with as many galaxies in each bin; quantities that are hardly known are left out.

    Parameters
    ----------
    covered : (B, A), as of `votes_within`.
    by : name → (B,) values, NaN where not known.
    bins : of each quantity.
    """
    out = {}
    for name, values in by.items():
        known = values[np.isfinite(values)]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1))) if len(known) >= 10 * bins else known[:0]
        if len(edges) > 2:
            edges[-1] = np.nextafter(edges[-1], np.inf)
            out[name] = in_bins(values, covered, edges)
    return out


def in_bins(values: ArrayLike, covered: Numbers, edges: ArrayLike) -> dict[str, Any]:
    """Mean of what is covered in bins of a quantity, such as magnitude, size or redshift.

    Parameters
    ----------
    values : (B,) the quantity; NaN where it is not known, which is left out.
    covered : (B,) or (B, A), as of `votes_within`; NaN counts nowhere.
    edges : of the bins, rising.

    Returns
    -------
    dict
        ``low``, ``high``, ``galaxies`` and ``coverage``, one number for each bin; NaN for an empty one.
    """
    x, limits = np.asarray(values, dtype=np.float64), np.asarray(edges, dtype=np.float64)
    if limits.ndim != 1 or len(limits) < 2 or not (np.diff(limits) > 0).all():
        raise InputError(f"edges are {limits.tolist()}; two or more rising numbers are wanted")
    if len(x) != len(covered):
        raise InputError(f"{len(x)} values came for {len(covered)} galaxies")
    each = np.asarray(covered, dtype=np.float64).reshape(len(x), -1)
    bins = [np.flatnonzero((x >= low) & (x < high)) for low, high in pairwise(limits)]
    means = [float(np.nanmean(each[rows])) if np.isfinite(each[rows]).any() else float("nan") for rows in bins]
    return {"low": limits[:-1].tolist(), "high": limits[1:].tolist(), "galaxies": [len(rows) for rows in bins],
            "coverage": means}  # fmt: skip
