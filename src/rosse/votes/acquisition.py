"""How much votes on a galaxy would teach: mutual information between the votes and which component is right.

A model is a mixture of M equally likely components (networks of an ensemble, draws of dropout). Where they differ,
votes would tell which of them is right; where they agree, on whatever, votes teach nothing. That is the mutual
information I[k; m] = H[k] - mean_m H[k | m] between the votes k on a question and the component m: the entropy of the
mixture's distribution of votes minus the mean entropy of the components' (Houlsby+2011, arXiv:1112.5745, eq. 2;
Gal+2017, arXiv:1703.02910; for the votes of several people Walmsley+2020, arXiv:1905.07424). It is at
least 0, at most ln M, and never falls when more people look.

All functions take concentrations (B, M, outputs) in the order of `rosse.nets.heads.vote_outputs`; entropies are in
nats.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rosse.errors import InputError, OptionError
from rosse.tree import Tree
from rosse.votes.mixture import asked_probability, beta_parameters, mean_fractions

Numbers = NDArray[np.float64]
DRAWS = 8  # of the votes, for each component
ROWS = 256  # galaxies at a time: tables of logarithms take MB
SMALLEST = 1e-300


def vote_entropy(concentrations: Numbers, people: int) -> Numbers:
    """Entropy (...) of the votes of `people` on K answers, for concentrations (..., K), exact.

    Notes
    -----
    H = -E[ln p(k)] with the Dirichlet-multinomial p of `rosse.nets.likelihoods.log_dirichlet_multinomial`. Its
    logarithm is a sum of terms each of one k_i, and k_i is beta-binomial: K sums over 0 to n, never one over all ways
    to divide n votes. For one vote it is -Σ m_i ln m_i of the mean shares m.
    """
    alpha = np.asarray(concentrations, dtype=np.float64)
    total = alpha.sum(-1)
    probability = np.exp(_log_beta_binomials(alpha, total[..., None] - alpha, people))  # (..., K, n + 1)
    terms = _log_factorials(people) - _log_rising(alpha, people)
    whole = _log_factorials(people)[people] - _log_rising(total, people)[..., people]
    return np.asarray((probability * terms).sum((-2, -1)) - whole)


def question_information(
    concentrations: Numbers, people: int, *, draws: int = DRAWS, draw: np.random.Generator | None = None
) -> Numbers:
    """Mutual information (B,) between the votes of `people` on K answers and the component.

    Parameters
    ----------
    concentrations : (B, M, K)
    people : who answer; 0 tell nothing.
    draws : of the votes from each component, where there is no sum to take.
    draw : what to draw from; None: seed 0.

    Notes
    -----
    Exact for one vote, where the votes' distribution is that of the mean shares, and for two answers, whose n + 1
    outcomes are summed. Otherwise votes k are drawn from each component m, and ln p(k | m) - ln mean_l p(k | l), both
    exact, is averaged. Its expectation is the information; the noise that the two logarithms share drops out, and a
    bias there is none, for the mixture is a finite sum.
    """
    alpha = np.asarray(concentrations, dtype=np.float64)
    if people < 1 or alpha.shape[1] == 1:
        return np.zeros(len(alpha))
    if people == 1:
        each = alpha / alpha.sum(-1, keepdims=True)
        return np.asarray(np.maximum(_entropy(each.mean(1)) - _entropy(each).mean(1), 0))
    random = draw or np.random.default_rng(0)
    parts = [np.zeros(0)]
    for first in range(0, len(alpha), ROWS):
        some = alpha[first : first + ROWS]
        exact = some.shape[-1] == 2
        parts.append(_of_two(some[..., 0], some[..., 1], people) if exact else _drawn(some, people, draws, random))
    return np.maximum(np.concatenate(parts), 0)


def information(tree: Tree, concentrations: Numbers, *, people: int = 1, draws: int = DRAWS, seed: int = 0) -> Numbers:
    """Mutual information (B, Q) between the votes on each question and the component, when `people` look at a galaxy.

    Parameters
    ----------
    tree : Q questions.
    concentrations : (B, M, outputs)
    people : who look at a galaxy; as many as are expected to be asked a question answer it.
    draws, seed : of the Monte Carlo, see `question_information`.

    Notes
    -----
    The number asked is `people` times P(asked) of the tree; between whole numbers the information is interpolated. For
    one person this is P(asked) times the information of one vote. Where several answers may be ticked, it is the sum of
    the answers' beta-binomial ones. The sum over the questions is an upper limit of what `tree_information` measures.
    """
    _check(tree, concentrations, people)
    asked = people * asked_probability(tree, concentrations)
    out = np.zeros(asked.shape)
    a, b = beta_parameters(tree, concentrations)
    random = np.random.default_rng(seed)
    for i, (question, here) in enumerate(zip(tree.questions, tree.slices, strict=True)):
        pairs = [np.stack((a[..., k], b[..., k]), -1) for k in range(here.start, here.stop)]
        for alpha in pairs if question.multiple else [a[..., here]]:
            out[:, i] += _between(alpha, asked[:, i], draws, random)
    return out


def tree_information(
    tree: Tree, concentrations: Numbers, *, people: int = 1, draws: int = DRAWS, seed: int = 0
) -> Numbers:
    """Mutual information (B,) between all votes of `people` who walk through the tree and the component.

    Parameters
    ----------
    tree, concentrations, people : as of `information`.
    draws, seed : of the Monte Carlo: walks of all people for each component.

    Notes
    -----
    Votes are drawn from a component, question after question, with as many people at each as gave the answers that
    lead to it: who is asked is drawn, not expected. Log-probabilities of all questions add up within a component. At
    most ln M, so that with few components and many people galaxies can no longer be told apart by it.
    """
    _check(tree, concentrations, people)
    random = np.random.default_rng(seed)
    a, b = beta_parameters(tree, concentrations)
    parts = [np.zeros(0)]
    for first in range(0, len(a), ROWS):
        rows = slice(first, first + ROWS)
        parts.append(_walked(tree, (a[rows], b[rows]), (people, draws), random))
    return np.maximum(np.concatenate(parts), 0)


def expected_entropy(tree: Tree, concentrations: Numbers) -> Numbers:
    """Entropy (B, Q) of one person's answer to each question times P(asked): how unsure it is, for any reason."""
    return _of_means(tree, concentrations, _entropy)


def narrow_margin(tree: Tree, concentrations: Numbers) -> Numbers:
    """One minus the lead (B, Q) of the likeliest answer over the next one, times P(asked).

    Margin sampling, Scheffer+2001 (doi:10.1007/3-540-44816-0_31).
    """

    def near(shares: Numbers) -> Numbers:
        ordered = np.sort(shares, -1)
        return np.asarray(1 - (ordered[..., -1] - ordered[..., -2]))

    return _of_means(tree, concentrations, near)


def _of_means(tree: Tree, concentrations: Numbers, of: object) -> Numbers:
    """P(asked) times a function of the mean shares of a question, or the mean of it over answers that may be ticked."""
    assert callable(of)
    means = mean_fractions(tree, concentrations)
    out = asked_probability(tree, concentrations)
    for i, (question, here) in enumerate(zip(tree.questions, tree.slices, strict=True)):
        m = means[:, here]
        out[:, i] *= of(np.stack((m, 1 - m), -1)).mean(-1) if question.multiple else of(m)
    return out


def _between(alpha: Numbers, asked: Numbers, draws: int, random: np.random.Generator) -> Numbers:
    """Information (B,) of numbers of people that are not whole."""
    low = np.floor(asked).astype(int)
    out = np.zeros(len(alpha))
    for n in np.unique(low):
        rows = np.flatnonzero(low == n)
        left = question_information(alpha[rows], int(n), draws=draws, draw=random)
        right = question_information(alpha[rows], int(n) + 1, draws=draws, draw=random)
        out[rows] = left + (asked[rows] - n) * (right - left)
    return out


def _of_two(a: Numbers, b: Numbers, people: int) -> Numbers:
    logs = _log_beta_binomials(a, b, people)  # (B, M, n + 1)
    return np.asarray(_entropy(np.exp(logs).mean(1)) - _entropy(np.exp(logs)).mean(1))


def _drawn(alpha: Numbers, people: int, draws: int, random: np.random.Generator) -> Numbers:
    counts = random.multinomial(people, _dirichlet(np.repeat(alpha, draws, axis=1), random))  # (B, M * draws, K)
    each = _log_votes(alpha, counts)  # (B, M, M * draws)
    return _gain(each, draws)


def _gain(each: Numbers, draws: int) -> Numbers:
    """Mean of ln p(k | m) - ln mean_l p(k | l), from log-probabilities (B, M, M * draws) of votes drawn from each m."""
    count = each.shape[1]
    own = each[:, np.repeat(np.arange(count), draws), np.arange(count * draws)]
    most = each.max(1, keepdims=True)
    mixed = np.log(np.exp(each - most).mean(1)) + most[:, 0]
    return np.asarray((own - mixed).mean(1))


def _walked(tree: Tree, beta: tuple[Numbers, Numbers], size: tuple[int, int], random: np.random.Generator) -> Numbers:
    a, b = beta
    people, draws = size
    rows, components, answers = a.shape
    counts = np.zeros((rows, components * draws, answers), dtype=np.int64)
    each = np.zeros((rows, components, components * draws))
    for i in tree.order:
        question, here = tree.questions[i], tree.slices[i]
        asked = counts[..., list(tree.parents[i])].sum(-1) if tree.parents[i] else np.full(counts.shape[:2], people)
        pairs = [np.stack((a[..., k], b[..., k]), -1) for k in range(here.start, here.stop)]
        for place, alpha in enumerate(pairs if question.multiple else [a[..., here]]):
            given = random.multinomial(asked, _dirichlet(np.repeat(alpha, draws, axis=1), random))
            counts[..., here.start + place if question.multiple else here] = (
                given[..., 0] if question.multiple else given
            )
            each += _log_votes(alpha, given)
    return _gain(each, draws)


def _log_votes(alpha: Numbers, counts: NDArray[np.int64]) -> Numbers:
    """Log-probabilities (B, M, S) of votes (B, S, K) by components (B, M, K), but for a term of the votes alone."""
    most = int(counts.sum(-1).max(initial=0))
    out = -np.take_along_axis(_log_rising(alpha.sum(-1), most), counts.sum(-1)[:, None], -1)
    for k in range(alpha.shape[-1]):
        out = out + np.take_along_axis(_log_rising(alpha[..., k], most), counts[:, None, :, k], -1)
    return out


def _log_rising(alpha: Numbers, most: int) -> Numbers:
    """Logarithms of Γ(α + k) / Γ(α) for k = 0 to `most`, (..., most + 1): the sum of ln(α + j) over j < k."""
    steps = np.log(np.maximum(alpha[..., None] + np.arange(most), SMALLEST))
    return np.concatenate((np.zeros((*alpha.shape, 1)), np.cumsum(steps, -1)), -1)


def _log_factorials(most: int) -> Numbers:
    return _log_rising(np.ones(()), most)


def _log_beta_binomials(a: Numbers, b: Numbers, people: int) -> Numbers:
    """Log-probabilities (..., n + 1) of 0 to n votes of n."""
    choose = _log_factorials(people)
    whole = _log_rising(a + b, people)[..., -1:]
    ways = choose[-1] - choose - choose[::-1]
    return np.asarray(ways + _log_rising(a, people) + _log_rising(b, people)[..., ::-1] - whole)


def _entropy(probability: Numbers) -> Numbers:
    from scipy.special import entr

    return np.asarray(entr(probability).sum(-1))


def _dirichlet(alpha: Numbers, random: np.random.Generator) -> Numbers:
    """Shares (..., K) drawn from Dirichlet distributions, by logarithms: variates near 0 would underflow."""
    # Γ(α) is distributed as Γ(α + 1) U^(1/α) (Marsaglia & Tsang 2000, doi:10.1145/358407.358414)
    logs = np.log(random.standard_gamma(alpha + 1)) + np.log1p(-random.random(alpha.shape)) / alpha
    out = np.exp(logs - logs.max(-1, keepdims=True))
    return np.asarray(out / out.sum(-1, keepdims=True))


def _check(tree: Tree, concentrations: Numbers, people: int) -> None:
    if concentrations.ndim != 3 or concentrations.shape[-1] < len(tree.columns):
        raise InputError(
            f"concentrations have shape {concentrations.shape}; (galaxies, components, outputs) of {tree} is wanted"
        )
    if not np.isfinite(concentrations).all():
        raise InputError("concentrations are not finite; leave galaxies out whose prediction failed")
    if people < 1:
        raise OptionError(f"people is {people}; 1 or more are wanted")
