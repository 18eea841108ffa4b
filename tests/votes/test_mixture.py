"""Mixtures of Dirichlet distributions against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from rosse.errors import OptionError
from rosse.nets.heads import vote_outputs
from rosse.tree import Answer, Question, Tree, read_tree
from rosse.votes.mixture import asked_probability, beta_parameters, matched, mean_fractions, quantiles

TICKED = Tree(
    name="ticked",
    questions=(
        Question(name="first", answers=(Answer(name="a"), Answer(name="b"), Answer(name="c"))),
        Question(name="many", answers=(Answer(name="x"), Answer(name="y")), multiple=True, after=("first_b",)),
    ),
)


def root(a: np.ndarray, b: np.ndarray, level: float) -> float:
    """The same quantile by SciPy's Brent, in the whole interval."""
    value = optimize.brentq(lambda x: stats.beta.cdf(x, a, b).mean() - level, 0, 1, xtol=1e-13)
    return float(value)


@given(
    st.lists(st.tuples(st.floats(-2, 4), st.floats(-2, 4)), min_size=1, max_size=6),
    st.sampled_from([0.01, 0.05, 0.3, 0.5, 0.95]),
)
def test_quantiles_of_mixtures_are_those_of_scipy(logs: list[tuple[float, float]], level: float) -> None:
    a, b = 10 ** np.array(logs).T
    assert float(quantiles(a[None], b[None], level)[0]) == pytest.approx(root(a, b, level), abs=2e-7)


def test_many_quantiles_at_once_are_those_of_each() -> None:
    draw = np.random.default_rng(4)
    a, b = 10 ** draw.uniform(-1.5, 3, (2, 40, 7, 5))
    found = quantiles(a, b, 0.05)
    assert found.shape == (40, 7)
    expected = [root(x, y, 0.05) for x, y in zip(a.reshape(-1, 5), b.reshape(-1, 5), strict=True)]
    np.testing.assert_allclose(found.ravel(), expected, atol=2e-7)
    single = quantiles(a[..., :1], b[..., :1], 0.95)
    np.testing.assert_allclose(single, stats.beta.ppf(0.95, a[..., 0], b[..., 0]), atol=1e-9)


def test_components_far_apart_leave_a_gap() -> None:
    """Two networks that are sure of different things: the median is in neither, the quantiles in both."""
    a, b = np.array([[20.0, 2000.0]]), np.array([[2000.0, 20.0]])
    low, high = (float(quantiles(a, b, level)[0]) for level in (0.05, 0.95))
    assert low < 0.02
    assert high > 0.98
    with pytest.raises(OptionError, match="level is 1"):
        quantiles(a, b, 1.0)


def test_marginals_are_those_of_draws() -> None:
    draw = np.random.default_rng(1)
    values = 10 ** draw.uniform(-0.5, 1, (1, 1, len(vote_outputs(TICKED))))
    a, b = beta_parameters(TICKED, values)
    shares = stats.dirichlet(values[0, 0, :3]).rvs(40_000, random_state=2)
    np.testing.assert_allclose((a / (a + b))[0, 0, :3], shares.mean(0), atol=0.01)
    np.testing.assert_allclose(stats.beta(a[0, 0, :3], b[0, 0, :3]).std(), shares.std(0), rtol=0.03)
    np.testing.assert_array_equal(a[0, 0, 3:], values[0, 0, 3:5])
    np.testing.assert_array_equal(b[0, 0, 3:], values[0, 0, 5:7])


def test_one_distribution_has_the_moments_of_the_mixture() -> None:
    draw = np.random.default_rng(3)
    values = 10 ** draw.uniform(-0.5, 1.5, (2, 4, len(vote_outputs(TICKED))))
    one = matched(TICKED, values)
    mean = mean_fractions(TICKED, values)
    np.testing.assert_allclose(one[:, :3] / one[:, :3].sum(1, keepdims=True), mean[:, :3], rtol=1e-12)
    shares = np.concatenate([stats.dirichlet(alpha).rvs(50_000, random_state=5) for alpha in values[0, :, :3]])
    total = one[0, :3].sum()
    spread = (mean[0, :3] * (1 - mean[0, :3]) / (total + 1)).sum()
    assert spread == pytest.approx(shares.var(0).sum(), rel=0.02)


def test_a_single_component_is_left_as_it_is() -> None:
    values = 10 ** np.random.default_rng(3).uniform(-0.5, 1.5, (3, 1, 34))
    np.testing.assert_allclose(matched(read_tree("gz-decals"), values), values[:, 0], rtol=1e-9)


def test_who_is_asked_is_who_walks_there() -> None:
    """Against people who walk: each component gives shares, each person answers."""
    draw = np.random.default_rng(8)
    tree = read_tree("gz-decals")
    values = 10 ** draw.uniform(-0.3, 1, (1, 2, len(vote_outputs(tree))))
    asked = np.zeros(len(tree.questions))
    people = 30_000
    for component in values[0]:
        shares = np.concatenate([draw.dirichlet(component[here], size=people) for here in tree.slices], 1)
        asked += tree.asked_probability(shares).mean(0) / len(values[0])
    np.testing.assert_allclose(asked_probability(tree, values)[0], asked, atol=0.01)
