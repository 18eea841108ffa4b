"""Recalibration finds what was done to posteriors, and scores say what is true of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from rosse.errors import InputError
from rosse.nets.heads import vote_outputs
from rosse.tree import Answer, Question, Tree
from rosse.votes.calibration import Calibration, fit_calibration, fit_tails, log_votes, tail_level
from rosse.votes.result import Votes
from rosse.votes.scores import calibration_error, coverage, in_bins, score, votes_within
from rosse.votes.table import VoteTable

TREE = Tree(
    name="t",
    questions=(
        Question(name="first", answers=(Answer(name="a"), Answer(name="b"), Answer(name="c"))),
        Question(name="second", answers=(Answer(name="yes"), Answer(name="no")), after=("first_a",)),
        Question(name="many", answers=(Answer(name="x"), Answer(name="y")), multiple=True),
    ),
)
PEOPLE = 30


def world(count: int, seed: int = 0) -> tuple[np.ndarray, VoteTable, np.ndarray]:
    """Right concentrations (N, outputs), votes drawn from them, and the true shares (N, A)."""
    draw = np.random.default_rng(seed)
    outputs = len(vote_outputs(TREE))
    alpha = 10 ** draw.uniform(-0.2, 1.2, (count, outputs))
    shares, counts = np.zeros((count, 7)), np.zeros((count, 7))
    people = np.full((count, 3), float(PEOPLE))
    for i in range(count):
        for here in (slice(0, 3), slice(3, 5)):
            shares[i, here] = draw.dirichlet(alpha[i, here])
        shares[i, 5:] = draw.beta(alpha[i, 5:7], alpha[i, 7:])
        counts[i, :3] = draw.multinomial(PEOPLE, shares[i, :3])
        people[i, 1] = counts[i, 0]
        counts[i, 3:5] = draw.multinomial(int(counts[i, 0]), shares[i, 3:5])
        counts[i, 5:] = draw.binomial(PEOPLE, shares[i, 5:])
    return alpha, VoteTable.of(TREE, [str(i) for i in range(count)], counts, people), shares


def distorted(alpha: np.ndarray, exponent: float, factor: float) -> np.ndarray:
    """Concentrations of the first question with wrong sharpness and size."""
    out = alpha.copy()
    total = alpha[:, :3].sum(1, keepdims=True)
    shares = (alpha[:, :3] / total) ** exponent
    out[:, :3] = factor * total * shares / shares.sum(1, keepdims=True)
    return out


def test_what_was_done_to_a_question_is_undone_and_others_stay() -> None:
    alpha, votes, _ = world(4000)
    found = fit_calibration(votes, torch.from_numpy(distorted(alpha, 1 / 1.6, 4.0))[:, None])
    assert found.temperature["first"] == pytest.approx(1.6, rel=0.05)
    assert found.concentration["first"] == pytest.approx(0.25, rel=0.08)
    for name in ("second", "many"):
        assert found.temperature[name] == pytest.approx(1, abs=0.06)
        assert found.concentration[name] == pytest.approx(1, abs=0.08)


def test_the_optimum_is_one() -> None:
    alpha, votes, _ = world(600)
    wrong = torch.from_numpy(distorted(alpha, 0.7, 3.0))[:, None]
    found = fit_calibration(votes, wrong)

    def value(temperature: float, concentration: float) -> float:
        other = Calibration(
            tree=TREE.name,
            temperature={**found.temperature, "first": temperature},
            concentration={**found.concentration, "first": concentration},
        )
        logs = np.log([temperature, concentration])
        return float(log_votes(votes, other(TREE, wrong)).sum()) - 0.5 * float(logs @ logs)

    t, c = found.temperature["first"], found.concentration["first"]
    best = value(t, c)
    assert all(value(t * a, c * b) < best for a, b in ((1.02, 1), (0.98, 1), (1, 1.03), (1, 0.97)))


def test_a_question_without_votes_stays_as_it_is() -> None:
    alpha, votes, _ = world(50)
    counts, people = votes.counts.copy(), votes.people.copy()
    counts[:, 3:5], people[:, 1] = np.nan, np.nan
    found = fit_calibration(VoteTable.of(TREE, votes.id, counts, people), torch.from_numpy(alpha)[:, None])
    assert found.temperature["second"] == found.concentration["second"] == 1.0


def test_a_calibration_is_for_its_tree() -> None:
    other = Tree(name="o", questions=(Question(name="else", answers=(Answer(name="a"), Answer(name="b"))),))
    with pytest.raises(InputError, match="lacks question else"):
        Calibration.none(TREE)(other, torch.ones(1, 1, 2))
    values = torch.rand(2, 3, len(vote_outputs(TREE)), dtype=torch.float64) + 0.1
    assert torch.allclose(Calibration.none(TREE)(TREE, values), values, rtol=1e-12)


def test_votes_of_a_mixture_have_the_probability_of_scipy() -> None:
    alpha = np.array([[[2.0, 3.0, 1.0], [0.3, 5.0, 2.0]]])
    values = np.concatenate([alpha, np.ones((1, 2, 6))], 2)
    counts = np.array([[4.0, 2.0, 1.0, 0, 0, np.nan, np.nan]])
    votes = VoteTable.of(TREE, ["g"], counts, [[7.0, 0.0, np.nan]])
    expected = np.log(np.mean([stats.dirichlet_multinomial.pmf([4, 2, 1], each, 7) for each in alpha[0]]))
    found = log_votes(votes, torch.from_numpy(values))
    np.testing.assert_allclose(found.numpy(), [[expected, 0, 0]], atol=1e-12)


def test_right_posteriors_cover_votes_and_shares_as_they_say() -> None:
    alpha, votes, shares = world(3000, seed=2)
    each = votes_within(votes, alpha[:, None], level=0.9)
    assert np.nanmean(each, 0) == pytest.approx(np.full(7, 0.9), abs=0.012)
    low, high = (np.stack([stats.beta.ppf(q, a, b) for a, b in _betas(alpha)], 1) for q in (0.05, 0.95))
    asked = TREE.asked_probability(shares)
    assert coverage(shares, low, high, asked, TREE) == pytest.approx(np.full(3, 0.9), abs=0.012)
    sure = votes_within(votes, distorted(alpha, 1, 8.0)[:, None], level=0.9)
    assert np.nanmean(sure[:, :3]) < 0.8  # too sure


def _betas(alpha: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    first = [(alpha[:, k], alpha[:, :3].sum(1) - alpha[:, k]) for k in range(3)]
    second = [(alpha[:, 3], alpha[:, 4]), (alpha[:, 4], alpha[:, 3])]
    return [*first, *second, *((alpha[:, 5 + k], alpha[:, 7 + k]) for k in range(2))]


def test_ranges_of_votes_are_those_of_scipy() -> None:
    alpha = np.array([[[2.0, 3.0, 1.0], [0.3, 5.0, 2.0]]])
    values = np.concatenate([alpha, np.ones((1, 2, 6))], 2)
    votes = VoteTable.of(TREE, ["g"], [[4.0, 2.0, 1.0, 0, 0, np.nan, np.nan]], [[7.0, 0.0, np.nan]])
    total = alpha.sum(2)[0]
    for k, count in enumerate([4, 2, 1]):
        at, before = (
            np.mean([stats.betabinom.cdf(count - d, 7, a, s - a) for a, s in zip(alpha[0, :, k], total, strict=True)])
            for d in (0, 1)
        )
        inside = max(0.0, min(at, 0.95) - max(before, 0.05)) / (at - before)
        assert votes_within(votes, values)[0, k] == pytest.approx(inside, abs=1e-9)


def test_the_score_of_the_truth_is_chance_alone() -> None:
    _, votes, shares = world(3000, seed=3)
    sure = np.concatenate([shares, 1 - shares[:, 5:]], 1) * 1e6
    for each in score(votes, np.maximum(sure, 1e-3)[:, None]):
        assert each.error == pytest.approx(each.floor, rel=0.03)
        assert each.calibration_error < 0.012
    few = score(votes[:20], sure[:20, None])
    assert few[0].galaxies == 20


def test_calibration_error_is_the_mean_offset() -> None:
    expected = np.linspace(0.005, 0.895, 500)[:, None]
    weight = np.ones_like(expected)
    assert calibration_error(expected, expected, weight) == 0
    assert calibration_error(expected, expected + 0.1, weight) == pytest.approx(0.1)
    swing = np.where(np.arange(500) % 2, 0.1, -0.1)[:, None]
    assert calibration_error(expected, expected + swing, weight) < 0.005  # scatter is no miscalibration


def test_bins_of_anything() -> None:
    found = in_bins([17.0, 17.5, 19.0, np.nan, 25], np.array([1.0, 0.0, 1.0, 0.0, 1.0]), [16, 18, 20, 22])
    assert found["galaxies"] == [2, 1, 0]
    assert found["coverage"][:2] == [0.5, 1.0]
    assert np.isnan(found["coverage"][2])
    with pytest.raises(InputError, match="two or more rising numbers"):
        in_bins([1.0], np.ones(1), [3, 2])
    with pytest.raises(InputError, match="2 values came for 1 galaxies"):
        in_bins([1.0, 2.0], np.ones(1), [0, 2])


def test_tails_that_no_beta_distribution_has_are_mended_where_shares_are_known() -> None:
    """People who answer at random now and then: a Beta distribution of the right mean and variance covers too much."""
    draw = np.random.default_rng(1)
    yes = 0.025 + 0.95 * draw.beta(1, 10, 8000)
    tree = Tree(name="one", questions=(Question(name="bar", answers=(Answer(name="yes"), Answer(name="no"))),))
    shares = np.stack([yes, 1 - yes], 1)
    size = yes.mean() * (1 - yes.mean()) / yes.var() - 1
    alpha = np.tile([[[size * yes.mean(), size * (1 - yes.mean())]]], (8000, 1, 1))
    tails = fit_tails(tree, shares[:4000], alpha[:4000])
    others, asked = slice(4000, None), np.ones((4000, 1))

    def covered(tails: np.ndarray | None) -> float:
        said = Votes(tree=tree, id=np.arange(4000).astype(str), ra=np.zeros(4000), dec=np.zeros(4000), model="m",
                     concentrations=alpha[others], status=np.zeros(4000, dtype=np.int64), tails=tails)  # fmt: skip
        return float(coverage(shares[others], said.quantile(0.05), said.quantile(0.95), asked, tree)[0])

    assert covered(None) > 0.935
    assert covered(np.array([tails["bar_yes"], tails["bar_no"]])) == pytest.approx(0.9, abs=0.012)


def test_right_tails_stay_and_are_kept() -> None:
    alpha, votes, shares = world(6000)
    tails = fit_tails(TREE, shares, alpha[:, None])
    assert set(tails) == set(TREE.columns)
    for column, (a, b) in tails.items():
        k = TREE.columns.index(column)
        if TREE.question_of[k] != 1:  # the second question's galaxies were chosen by the first one's shares
            assert (a, b) == pytest.approx((1.0, 1.0), rel=0.15)
    found = replace(fit_calibration(votes, torch.from_numpy(alpha)[:, None]), tails=tails)
    assert Calibration.of_record(json.loads(json.dumps(found.record()))) == found
    levels = tail_level(0.05, np.array([[1.0, 1.0], [3.0, 2.0]]))
    np.testing.assert_allclose(levels, [0.05, stats.beta.ppf(0.05, 3, 2)], rtol=1e-9)
