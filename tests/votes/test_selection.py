"""Strategies choose what their formulas say, batches are not one galaxy many times, the stop rule keeps its level."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare, norm

from rosse.errors import InputError, OptionError
from rosse.tree import Answer, Question, Tree
from rosse.votes.acquisition import information
from rosse.votes.selection import STRATEGIES, Candidates, select
from rosse.votes.stopping import more_labels_pay
from votes.galaxies import SHAPES

ROUND = Tree(name="round", questions=(Question(name="round", answers=(Answer(name="yes"), Answer(name="no"))),))


def pool(count: int, components: int = 6, tree: Tree = SHAPES, seed: int = 0) -> Candidates:
    draw = np.random.default_rng(seed)
    alpha = np.exp(draw.normal(0.5, 1.0, (count, 1, len(tree.columns))))
    alpha = alpha * np.exp(draw.normal(0, 0.7, (count, components, len(tree.columns))))
    return Candidates(tree=tree, concentrations=alpha, people=12)


def told(candidates: Candidates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """v (B, A, M), deviations and P(asked) of each answer of SHAPES, written out for its two questions."""
    alpha = candidates.concentrations
    size = np.stack([alpha[..., :2].sum(-1)] * 2 + [alpha[..., 2:].sum(-1)] * 3, -1)
    shares = alpha / size
    mean = shares.mean(1)
    asked = np.stack([np.ones(len(mean))] * 2 + [mean[:, 0]] * 3, -1)
    n = candidates.people * asked
    phi = (size.mean(1) + n) / (size.mean(1) + 1)
    off = (shares - mean[:, None]).transpose(0, 2, 1) / np.sqrt(shares.shape[1])
    return off * np.sqrt(n / (mean * phi))[..., None], off, asked


def test_joint_information_is_the_greedy_determinant() -> None:
    candidates = pool(40)
    v, _, _ = told(candidates)
    chosen: list[int] = []
    for _ in range(6):
        gains = []
        for i in range(40):
            rows = v[[*chosen, i]].reshape(-1, v.shape[-1])
            value = np.linalg.slogdet(np.eye(len(rows)) + rows @ rows.T)[1]
            gains.append(-np.inf if i in chosen else value)
        chosen.append(int(np.argmax(gains)))
    assert select(candidates, 6, strategy="joint").tolist() == chosen


def test_variance_is_what_is_left_of_all_shares() -> None:
    """Posterior covariance by the inverse of the whole matrix, for every galaxy that could be next."""
    candidates = pool(40)
    v, off, asked = told(candidates)
    c = np.einsum("bam,ban,ba->mn", off, off, asked)
    chosen: list[int] = []
    for _ in range(6):
        left = []
        for i in range(40):
            rows = v[[*chosen, i]].reshape(-1, v.shape[-1])
            value = np.trace(c @ np.linalg.inv(np.eye(v.shape[-1]) + rows.T @ rows))
            left.append(np.inf if i in chosen else value)
        chosen.append(int(np.argmin(left)))
    assert select(candidates, 6, strategy="variance").tolist() == chosen


def test_batches_do_not_ask_the_same_thing_again() -> None:
    """Twenty copies of the most informative galaxy: seen alone each of them is wanted, together one or two are."""
    draw = np.random.default_rng(1)
    others = pool(60, tree=ROUND).concentrations
    best = np.array([[20.0, 1.0], [20.0, 1.0], [1.0, 20.0], [1.0, 20.0], [20.0, 1.0], [1.0, 20.0]])
    copies = best * np.exp(draw.normal(0, 0.01, (20, 6, 2)))
    candidates = Candidates(tree=ROUND, concentrations=np.concatenate([copies, others]), people=12)
    alone = select(candidates, 10, strategy="information")
    assert (alone < 20).all()
    for strategy in ("joint", "variance", "centres"):
        assert (select(candidates, 10, strategy=strategy) < 20).sum() <= 5, strategy


def test_power_draws_in_proportion_to_the_information() -> None:
    candidates = pool(6)
    wanted = information(SHAPES, candidates.concentrations, people=12).sum(1)
    first = [select(candidates, 1, strategy="power", seed=seed)[0] for seed in range(600)]
    counts = np.bincount(first, minlength=6)
    assert chisquare(counts, 600 * wanted / wanted.sum()).pvalue > 0.01


def test_questions_that_are_not_wanted_do_not_count() -> None:
    """A galaxy whose components differ on one question only is chosen for that one, and last for the other."""
    alpha = np.full((5, 4, 5), 3.0)
    alpha[2, :2, 0], alpha[2, 2:, 0] = 30.0, 0.3
    alpha[4, :2, 2], alpha[4, 2:, 2] = 30.0, 0.3
    for strategy in ("information", "joint", "variance", "centres"):
        flat = Candidates(tree=SHAPES, concentrations=alpha, questions=("flat",))
        size = Candidates(tree=SHAPES, concentrations=alpha, questions=("size",))
        assert select(flat, 1, strategy=strategy)[0] == 2, strategy
        assert select(size, 1, strategy=strategy)[0] == 4, strategy


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_gives_each_galaxy_once_and_the_same_again(strategy: str) -> None:
    candidates = pool(50)
    first = select(candidates, 20, strategy=strategy, seed=3)
    assert len(set(first.tolist())) == 20
    assert select(candidates, 20, strategy=strategy, seed=3).tolist() == first.tolist()
    assert sorted(select(candidates, 99, strategy=strategy).tolist()) == list(range(50))


def test_what_cannot_be_chosen_is_refused() -> None:
    with pytest.raises(OptionError, match="did you mean 'joint'"):
        select(pool(5), 2, strategy="joind")
    with pytest.raises(InputError, match="one component"):
        select(pool(5, components=1), 2)
    assert len(select(pool(5, components=1), 2, strategy="margin")) == 2
    with pytest.raises(OptionError, match="question"):
        Candidates(tree=SHAPES, concentrations=np.ones((1, 2, 5)), questions=("flta",))


def test_the_stop_rule_errs_as_often_as_it_says() -> None:
    """Labels that gain exactly what they must are called useless in 5 % of all cases."""
    draw = np.random.default_rng(0)
    before = draw.normal(-20, 8, 300)
    verdicts = [more_labels_pay(before, before + draw.normal(0.02, 0.3, 300), labels=200) for _ in range(2000)]
    stopped = sum(each.stop for each in verdicts)
    assert abs(stopped - 100) < 3.5 * np.sqrt(2000 * 0.05 * 0.95)
    assert np.mean([each.gain for each in verdicts]) == pytest.approx(0.01, abs=0.001)
    inside = np.mean([each.low < 0.01 < each.high for each in verdicts])
    assert inside == pytest.approx(norm.cdf(1.645) - norm.cdf(-1.645), abs=0.02)


def test_the_stop_rule_says_what_it_knows() -> None:
    draw = np.random.default_rng(0)
    before = draw.normal(-20, 8, 400)
    nothing = more_labels_pay(before, before + draw.normal(0, 0.05, 400), labels=100)
    assert nothing.stop
    assert "do not pay" in str(nothing)
    much = more_labels_pay(before, before + draw.normal(1, 0.5, 400), labels=100)
    assert not much.stop
    assert "labels pay" in str(much)
    few = more_labels_pay(before[:4], before[:4] + draw.normal(0, 1, 4), labels=100)
    assert not few.stop
    assert "cannot be told" in str(few)
    with pytest.raises(InputError, match="the same in both"):
        more_labels_pay(before, before[:3], labels=10)
    with pytest.raises(OptionError, match="labels is 0"):
        more_labels_pay(before, before, labels=0)
