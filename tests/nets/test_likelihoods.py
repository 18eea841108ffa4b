"""Log-probabilities agree with SciPy and with fifty digits, weigh nothing where there are no votes, and have slopes."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rosse.nets.likelihoods import log_beta_binomial, log_class, log_dirichlet_multinomial, log_normal

CONCENTRATIONS = st.floats(0.01, 1e5)
VOTES = st.integers(0, 100)


def digits(counts: list[int], alpha: list[float]) -> float:
    """The Dirichlet-multinomial log-probability with fifty digits."""
    with mpmath.workdps(50):
        n, total = sum(counts), mpmath.fsum(alpha)
        value = mpmath.loggamma(n + 1) + mpmath.loggamma(total) - mpmath.loggamma(total + n)
        for k, a in zip(counts, alpha, strict=True):
            value += mpmath.loggamma(mpmath.mpf(a) + k) - mpmath.loggamma(a) - mpmath.loggamma(k + 1)
        return float(value)


def slope(counts: list[int], alpha: list[float], i: int) -> float:
    """Its derivative with respect to one concentration, by finite differences with fifty digits."""
    with mpmath.workdps(50):

        def value(a: mpmath.mpf) -> mpmath.mpf:
            changed = [mpmath.mpf(x) for x in alpha]
            changed[i] = a
            total = mpmath.fsum(changed)
            gain = mpmath.loggamma(a + counts[i]) - mpmath.loggamma(a)
            return gain + mpmath.loggamma(total) - mpmath.loggamma(total + sum(counts))

        return float(mpmath.diff(value, mpmath.mpf(alpha[i])))


def double(values: list[float] | list[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("answers", [2, 3, 6])
def test_dirichlet_multinomial_is_scipys(answers: int) -> None:
    rng = np.random.default_rng(answers)
    alpha = rng.lognormal(1, 1, (200, answers))
    counts = rng.multinomial(rng.integers(1, 80, 200), rng.dirichlet(np.ones(answers), 200))
    wanted = [stats.dirichlet_multinomial(a, k.sum()).logpmf(k) for a, k in zip(alpha, counts, strict=True)]
    found = log_dirichlet_multinomial(torch.from_numpy(counts), torch.from_numpy(alpha))
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-10)


def test_beta_binomial_is_scipys() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.lognormal(0, 2, (2, 300))
    people = rng.integers(1, 100, 300)
    ticked = rng.binomial(people, rng.uniform(size=300))
    found = log_beta_binomial(*(torch.from_numpy(x) for x in (ticked, people, a, b)))
    np.testing.assert_allclose(found, stats.betabinom(people, a, b).logpmf(ticked), rtol=1e-10, atol=1e-10)


@given(st.lists(st.tuples(VOTES, CONCENTRATIONS), min_size=2, max_size=6))
def test_small_and_large_concentrations_keep_their_digits(votes: list[tuple[int, float]]) -> None:
    counts, alpha = [k for k, _ in votes], [a for _, a in votes]
    parameters = double(alpha).requires_grad_()
    value = log_dirichlet_multinomial(double(counts), parameters)
    assert value.item() == pytest.approx(digits(counts, alpha), rel=1e-9, abs=1e-8)
    value.backward()
    assert parameters.grad is not None
    for i in range(len(alpha)):
        assert parameters.grad[i].item() == pytest.approx(slope(counts, alpha, i), rel=1e-6, abs=1e-11)


def test_single_precision_loses_only_what_it_must() -> None:
    counts, alpha = [30, 9, 1], [9.3e4, 2.5e4, 3.1e3]
    found = log_dirichlet_multinomial(double(counts), torch.tensor(alpha, dtype=torch.float32))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(digits(counts, [float(np.float32(a)) for a in alpha]), rel=1e-6)
    half = log_dirichlet_multinomial(double(counts), torch.tensor([4.0, 2.0, 0.5], dtype=torch.bfloat16))
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(digits(counts, [4.0, 2.0, 0.5]), rel=1e-6)


@pytest.mark.parametrize("alpha", [[0.01, 0.01], [0.3, 4.0, 1e3], [1e5, 1e5, 1e5]])
def test_probabilities_of_all_outcomes_add_up_to_one(alpha: list[float]) -> None:
    people = 9
    outcomes = [k for k in itertools.product(range(people + 1), repeat=len(alpha)) if sum(k) == people]
    values = log_dirichlet_multinomial(torch.tensor(outcomes), double(alpha).expand(len(outcomes), -1))
    assert values.exp().sum().item() == pytest.approx(1, rel=1e-9)


def test_many_votes_around_known_shares_are_multinomial() -> None:
    shares = np.array([0.7, 0.2, 0.1])
    found = log_dirichlet_multinomial(torch.tensor([[30, 8, 2]]), torch.from_numpy(shares[None] * 1e9))
    assert found.item() == pytest.approx(stats.multinomial(40, shares).logpmf([30, 8, 2]), abs=1e-5)


@pytest.mark.parametrize("nothing", [[0.0, 0.0], [float("nan"), float("nan")], [3.0, float("nan")]])
@pytest.mark.parametrize("alpha", [[2.0, 3.0], [1e-30, 1e30], [float("inf"), 1.0]])
def test_no_votes_and_missing_votes_weigh_exactly_nothing(nothing: list[float], alpha: list[float]) -> None:
    parameters = torch.tensor([alpha, [2.0, 1.0]], dtype=torch.float64, requires_grad=True)
    values = log_dirichlet_multinomial(double([nothing, [4.0, 1.0]]), parameters)
    assert values[0].item() == 0
    assert values[1].item() == pytest.approx(digits([4, 1], [2.0, 1.0]))
    values.sum().backward()
    assert parameters.grad is not None
    assert parameters.grad[0].tolist() == [0, 0]
    assert (parameters.grad[1] != 0).all()


def test_slopes_by_finite_differences() -> None:
    counts = torch.tensor([[3.0, 0.0, 7.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    alpha = torch.tensor([[0.4, 2.0, 5.0], [1.0, 1.0, 1.0], [30.0, 2.0, 0.1]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: log_dirichlet_multinomial(counts, a), (alpha,))
    mean = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    sigma = torch.rand(4, 2, dtype=torch.float64).add(0.1).requires_grad_()
    values = torch.randn(4, 2, dtype=torch.float64)
    values[1, 1] = float("nan")
    assert torch.autograd.gradcheck(lambda m, s: log_normal(values, m, s), (mean, sigma))


def test_normal_is_scipys_and_missing_values_weigh_nothing() -> None:
    rng = np.random.default_rng(3)
    values, mean = rng.normal(size=(2, 50))
    sigma = rng.lognormal(size=50)
    values[7] = np.nan
    parameters = torch.from_numpy(mean).requires_grad_()
    found = log_normal(torch.from_numpy(values), parameters, torch.from_numpy(sigma))
    wanted = np.where(np.isnan(values), 0, stats.norm(mean, sigma).logpdf(values))
    np.testing.assert_allclose(found.detach(), wanted, rtol=1e-12)
    found.sum().backward()
    assert parameters.grad is not None
    assert parameters.grad[7].item() == 0


def test_classes_are_a_categorical_distribution_and_may_be_missing() -> None:
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 2, -1, 1, 2])
    found = log_class(labels, logits)
    wanted = torch.distributions.Categorical(logits=logits).log_prob(labels.clamp_min(0))
    wanted = torch.where(labels < 0, 0.0, wanted)
    torch.testing.assert_close(found, wanted)
    found.sum().backward()
    assert logits.grad is not None
    assert logits.grad[2].tolist() == [0, 0, 0]
