"""Heads give what their likelihoods want, over the whole range, and learn what was put in."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from rosse.errors import OptionError
from rosse.nets.heads import LINKS, ClassHead, RegressionHead, VoteHead, vote_outputs, wide, zoobot
from rosse.nets.likelihoods import log_class, log_dirichlet_multinomial, log_normal
from rosse.tree import Answer, Question, Tree, read_tree

ONE = Tree(name="one", questions=(Question(name="q", answers=(Answer(name="yes"), Answer(name="no"))),))


def train(head: torch.nn.Module, loss: object, steps: int = 300, rate: float = 0.05) -> None:
    optimiser = torch.optim.Adam(head.parameters(), lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        loss().backward()  # type: ignore[operator]
        optimiser.step()


def test_wide_numbers_reach_from_a_thousandth_to_a_million_with_slopes() -> None:
    x = torch.linspace(-20, 40, 601, dtype=torch.float64, requires_grad=True)
    y = wide(x)
    assert (y.diff() > 0).all()
    assert 1e-3 < y.min() < 1.1e-3
    assert 0.9e6 < y.max() < 1e6
    y.log().sum().backward()
    assert x.grad is not None
    assert (x.grad > 0).all()
    small = torch.tensor([-0.3, 0.0, 0.3], dtype=torch.float64)
    torch.testing.assert_close(wide(small), small.exp(), rtol=2e-3, atol=0)
    assert torch.autograd.gradcheck(wide, torch.tensor([-5.0, -0.1, 0.2, 9.0], dtype=torch.float64, requires_grad=True))
    assert (wide(torch.tensor([-1e4, 1e4])) > 0).all(), "in single precision too"


def test_zoobots_numbers_are_its_formula() -> None:
    x = torch.linspace(-30, 30, 13, dtype=torch.float64)
    np.testing.assert_allclose(zoobot(x), 100 / (1 + np.exp(-x.numpy())) + 1, rtol=1e-12)
    assert LINKS["zoobot"] is zoobot


def test_a_vote_head_has_an_output_for_every_answer_and_for_those_who_do_not_tick() -> None:
    tree = read_tree("gz-decals")
    head = VoteHead(16, tree)
    out = head(torch.randn(5, 16))
    assert out.shape == (5, 34)
    assert (out > 0).all()
    several = read_tree("gz-ukidss")
    assert vote_outputs(several)[:37] == several.columns
    assert vote_outputs(several)[37:] == tuple(f"{c}_not" for c in several.columns if c.startswith("odd-feature_"))
    assert VoteHead(16, several)(torch.randn(2, 16)).shape == (2, 44)


def test_dropout_leaves_features_out_in_training_only() -> None:
    head = VoteHead(64, ONE, dropout=0.5)
    features = torch.ones(1, 64)
    assert not torch.equal(head(features), head(features))
    head.eval()
    assert torch.equal(head(features), head(features))


def test_what_is_no_size_is_refused() -> None:
    with pytest.raises(OptionError, match="dropout is 1"):
        VoteHead(4, ONE, dropout=1)
    with pytest.raises(OptionError, match="classes is 1"):
        ClassHead(4, 1)
    with pytest.raises(OptionError, match="targets is 0"):
        RegressionHead(4, 0)


@pytest.mark.parametrize(("a", "b"), [(0.3, 0.3), (2000.0, 4.0)])
def test_a_wide_head_says_what_one_from_1_to_101_cannot(a: float, b: float) -> None:
    """Polarised votes (everyone agrees on each galaxy, half of the galaxies are yes), and votes nearly all the same."""
    votes = stats.betabinom(40, a, b).rvs(2000, random_state=1)
    counts = torch.tensor(np.stack((votes, 40 - votes), 1))
    features = torch.ones(1, 1)
    found = {}
    for name, link in LINKS.items():
        torch.manual_seed(0)
        head = VoteHead(1, ONE, link=link)
        train(head, lambda head=head: -log_dirichlet_multinomial(counts, head(features).expand(2000, 2)).mean())
        found[name] = log_dirichlet_multinomial(counts, head(features).expand(2000, 2)).mean().item()
    best = stats.betabinom(40, a, b).logpmf(votes).mean()
    assert found["wide"] == pytest.approx(best, abs=3 / math.sqrt(2000))
    assert found["zoobot"] < best - 0.05


def test_regression_learns_mean_and_error() -> None:
    """Values scatter by an error that depends on the feature: pulls of held-out values have mean 0 and width 1."""
    torch.manual_seed(1)
    x = torch.rand(8000, 1) * 2 - 1
    truth, error = 1.5 * x - 0.3, torch.exp(0.8 * x - 1)
    y = truth + error * torch.randn_like(x)
    y[::10] = float("nan")
    head = RegressionHead(1, 1)
    train(head, lambda: -log_normal(y[:4000], *head(x[:4000])).mean(), steps=500)
    mean, sigma = head(x[4000:])
    pull = ((y[4000:] - mean) / sigma)[~y[4000:].isnan()]
    assert abs(pull.mean().item()) < 0.06
    assert pull.std().item() == pytest.approx(1, abs=0.04)
    low = (sigma / error[4000:])[x[4000:] < -0.5].mean().item()
    assert low == pytest.approx(1, abs=0.1)


def test_classes_learn_their_probabilities() -> None:
    torch.manual_seed(2)
    x = torch.eye(2).repeat_interleave(4000, 0)
    probability = torch.tensor([[0.7, 0.2, 0.1], [0.05, 0.05, 0.9]]).repeat_interleave(4000, 0)
    labels = torch.multinomial(probability, 1)[:, 0]
    labels[::7] = -1
    head = ClassHead(2, 3)
    train(head, lambda: -log_class(labels, head(x)).mean())
    torch.testing.assert_close(head(torch.eye(2)).softmax(-1), probability[::4000], atol=0.03, rtol=0)
