"""Information of votes against SciPy's Dirichlet-multinomial distribution, summed over every way to divide them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import dirichlet_multinomial, entropy

from rosse.errors import InputError, OptionError
from rosse.tree import Answer, Question, Tree, read_tree
from rosse.votes.acquisition import (
    expected_entropy,
    information,
    narrow_margin,
    question_information,
    tree_information,
    vote_entropy,
)
from votes.galaxies import SHAPES

TICKS = Tree(
    name="ticks",
    questions=(
        Question(name="odd", answers=(Answer(name="yes"), Answer(name="no"))),
        Question(
            name="what", answers=(Answer(name="ring"), Answer(name="lens")), after=("odd_yes",), multiple=True
        ),
    ),
)  # fmt: skip


def ways(people: int, answers: int) -> np.ndarray:
    """Every way to divide votes."""
    return np.array([k for k in product(range(people + 1), repeat=answers) if sum(k) == people])


def enumerated(alpha: np.ndarray, people: int) -> tuple[float, np.ndarray]:
    """Mutual information, and entropies of the components (M, K)."""
    p = np.array([dirichlet_multinomial.pmf(ways(people, alpha.shape[1]), each, people) for each in alpha])
    return float(entropy(p.mean(0)) - entropy(p, axis=1).mean()), entropy(p, axis=1)


def mixture(seed: int, answers: int, components: int = 4, spread: float = 1.3) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(0, spread, (components, answers)))


@pytest.mark.parametrize(("answers", "people"), [(2, 1), (2, 3), (2, 40), (3, 1), (3, 9), (4, 5), (6, 3)])
def test_the_entropy_of_votes_needs_no_enumeration(answers: int, people: int) -> None:
    alpha = mixture(answers, answers)
    np.testing.assert_allclose(vote_entropy(alpha, people), enumerated(alpha, people)[1], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("answers", "people"), [(2, 1), (2, 3), (2, 40), (3, 1), (6, 1)])
def test_information_is_exact_for_two_answers_and_for_one_vote(answers: int, people: int) -> None:
    alpha = mixture(answers, answers)
    found = question_information(alpha[None], people)
    assert found[0] == pytest.approx(enumerated(alpha, people)[0], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("answers", "people"), [(3, 2), (3, 9), (4, 5), (6, 3)])
@pytest.mark.parametrize("spread", [0.3, 1.3, 4.0])
def test_information_of_many_answers_is_unbiased(answers: int, people: int, spread: float) -> None:
    """Two hundred independent estimates scatter around the sum over all outcomes."""
    alpha = mixture(answers, answers, spread=spread)
    found = question_information(np.repeat(alpha[None], 200, 0), people, draws=50)
    error = found.std(ddof=1) / np.sqrt(200)
    assert abs(found.mean() - enumerated(alpha, people)[0]) < 3.5 * error + 1e-9


def test_components_that_agree_teach_nothing_and_information_never_exceeds_their_number() -> None:
    same = np.repeat(mixture(0, 3, components=1)[None], 5, 1)
    assert question_information(same, 12)[0] == pytest.approx(0, abs=1e-12)
    apart = np.array([[[1e5, 1e-3, 1e-3], [1e-3, 1e5, 1e-3], [1e-3, 1e-3, 1e5]]])
    for people in (1, 10):
        assert question_information(apart, people)[0] == pytest.approx(np.log(3), abs=1e-3)
    assert question_information(apart, 0)[0] == 0
    assert question_information(apart[:, :1], 10)[0] == 0


def test_more_people_teach_more() -> None:
    alpha = mixture(3, 2)[None]
    found = [question_information(alpha, n)[0] for n in range(1, 30)]
    assert (np.diff(found) > 0).all()


def test_one_person_tells_of_a_question_as_often_as_asked() -> None:
    """SHAPES: size is asked of those who say flat."""
    alpha = np.concatenate([mixture(1, 2), mixture(2, 3)], 1)[None]
    found = information(SHAPES, alpha, people=1)
    flat = (alpha[0, :, 0] / alpha[0, :, :2].sum(1)).mean()
    assert found[0, 0] == pytest.approx(enumerated(alpha[0, :, :2], 1)[0])
    assert found[0, 1] == pytest.approx(flat * enumerated(alpha[0, :, 2:], 1)[0])


def test_the_whole_tree_is_that_of_all_walks_of_all_people() -> None:
    """Two people: every outcome of the first question, and of the second for those who were sent there."""
    alpha = np.concatenate([mixture(4, 2), mixture(5, 3)], 1)
    people, each = 2, []
    for a in alpha:
        p = []
        for flat in range(people + 1):
            first = dirichlet_multinomial.pmf([flat, people - flat], a[:2], people)
            p += [first * (dirichlet_multinomial.pmf(k, a[2:], flat) if flat else 1) for k in ways(flat, 3)]
        each.append(p)
    truth = entropy(np.mean(each, 0)) - entropy(each, axis=1).mean()
    found = tree_information(SHAPES, np.repeat(alpha[None], 300, 0), people=people, draws=40)
    error = found.std(ddof=1) / np.sqrt(300)
    assert abs(found.mean() - truth) < 3.5 * error
    # questions add up to more: what one says of the component the other may say as well
    assert information(SHAPES, alpha[None], people=people, draws=4000).sum() > 0.98 * truth


def test_answers_that_may_be_ticked_are_yes_or_no_each() -> None:
    """TICKS: outputs are yes, no, ring, lens, not a ring, no lens."""
    alpha = mixture(6, 6)[None]
    asked = (alpha[0, :, 0] / alpha[0, :, :2].sum(1)).mean()
    one = [enumerated(alpha[0][:, pair], 1)[0] for pair in ([2, 4], [3, 5])]
    assert information(TICKS, alpha, people=1)[0, 1] == pytest.approx(asked * sum(one))
    found = tree_information(TICKS, np.repeat(alpha, 200, 0), people=1, draws=50)
    yes = alpha[0, :, 0] / alpha[0, :, :2].sum(1)
    ring, lens = (alpha[0, :, i] / (alpha[0, :, i] + alpha[0, :, i + 2]) for i in (2, 3))
    p = np.stack([1 - yes, *(yes * r * s for r in (ring, 1 - ring) for s in (lens, 1 - lens))], 1)
    truth = entropy(p.mean(0)) - entropy(p, axis=1).mean()
    assert abs(found.mean() - truth) < 3.5 * found.std(ddof=1) / np.sqrt(200)


def test_concentrations_near_nothing_are_polarised_not_even() -> None:
    """At 1e-3 all people say the same: with two such components of opposite leanings, the votes tell little more."""
    alpha = np.array([[2e-3, 1e-3, 1e-3], [1e-3, 1e-3, 2e-3]])
    found = question_information(np.repeat(alpha[None], 300, 0), 8, draws=40)
    assert abs(found.mean() - enumerated(alpha, 8)[0]) < 3.5 * found.std(ddof=1) / np.sqrt(300)


def test_entropy_and_margin_are_those_of_the_mean_shares() -> None:
    alpha = np.concatenate([mixture(1, 2), mixture(2, 3)], 1)[None]
    shares = (alpha[0, :, 2:] / alpha[0, :, 2:].sum(1, keepdims=True)).mean(0)
    flat = (alpha[0, :, 0] / alpha[0, :, :2].sum(1)).mean()
    assert expected_entropy(SHAPES, alpha)[0, 1] == pytest.approx(flat * entropy(shares))
    top = np.sort(shares)
    assert narrow_margin(SHAPES, alpha)[0, 1] == pytest.approx(flat * (1 - top[-1] + top[-2]))


def test_a_real_tree_and_what_is_refused() -> None:
    tree = read_tree("gz-decals")
    alpha = mixture(0, len(tree.columns), components=5)[None]
    found = information(tree, alpha, people=40)
    assert found.shape == (1, len(tree.questions))
    assert (found >= 0).all()
    assert (found <= np.log(5) + 0.1).all()
    with pytest.raises(InputError, match="shape"):
        information(tree, alpha[0])
    with pytest.raises(InputError, match="finite"):
        information(tree, np.full_like(alpha, np.nan))
    with pytest.raises(OptionError, match="people is 0"):
        information(tree, alpha, people=0)
