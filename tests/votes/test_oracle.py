"""The oracle: heads learn, strategies start alike, savings are those of curves that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rosse.errors import InputError, OptionError
from rosse.tree import Answer, Question, Tree
from rosse.votes.oracle import Curve, Ground, HeadLearning, labels_for, play, plot_savings
from rosse.votes.table import VoteTable

RARE = Tree(
    name="rare",
    questions=(
        Question(name="disc", answers=(Answer(name="yes"), Answer(name="no"))),
        Question(name="bar", answers=(Answer(name="yes"), Answer(name="no")), after=("disc_yes",)),
        Question(name="odd", answers=(Answer(name="yes"), Answer(name="no"))),
    ),
)  # fmt: skip
QUICK = HeadLearning(members=3, draws=4, width=24, steps=80)


def shares(x: np.ndarray) -> np.ndarray:
    """What people would say: one galaxy in twelve is a disc, and bars follow from two features of discs."""
    disc = 1 / (1 + np.exp(-6 * (x[:, 0] - 1.4)))
    bar = 1 / (1 + np.exp(-3 * (x[:, 1] - x[:, 2])))
    odd = 1 / (1 + np.exp(-2 * x[:, 3]))
    return np.stack([disc, 1 - disc, bar, 1 - bar, odd, 1 - odd], 1)


def ground(count: int = 1500, seed: int = 0) -> Ground:
    draw = np.random.default_rng(seed)
    pool, judged = draw.normal(size=(count, 8)), draw.normal(size=(3000, 8))
    p = shares(pool)
    first, odd = draw.binomial(40, p[:, 0]), draw.binomial(40, p[:, 4])
    second = draw.binomial(first, p[:, 2])
    counts = np.stack([first, 40 - first, second, first - second, odd, 40 - odd], 1)
    votes = VoteTable.of(RARE, [f"g{i}" for i in range(count)], counts)
    return Ground(features=pool, votes=votes, judged=judged, truth=shares(judged))


def test_heads_learn_what_people_say() -> None:
    known = ground()
    draw = np.random.default_rng(1)
    how = HeadLearning(members=2, draws=4, width=32, steps=300, dropout=0.02)
    errors = [known.error(how.learn(known.features[rows], known.votes[rows]).concentrations(known.judged))
              for rows in (draw.permutation(1500)[:30], np.arange(1500))]  # fmt: skip
    mean = {name: np.sqrt(np.average((shares(known.judged)[:, k] - shares(known.features)[:, k].mean()) ** 2,
                                     weights=known.truth[:, 0] if name == "bar" else None))
            for name, k in (("disc", 0), ("bar", 2), ("odd", 4))}  # fmt: skip
    for name, value in mean.items():
        assert errors[1][name] < 0.35 * value, name  # knows far more than the mean share
        assert errors[1][name] < errors[0][name], name
    said = QUICK.learn(known.features[:50], known.votes[:50]).concentrations(known.judged)
    assert said.shape == (3000, 12, 6)
    np.testing.assert_allclose(
        QUICK.learn(known.features[:50], known.votes[:50]).concentrations(known.judged[7:9]), said[7:9], rtol=1e-4
    )


def test_the_error_is_that_of_those_who_are_asked() -> None:
    """Certain shares that are 0.1 off for discs only."""
    known = ground(10)
    off = known.truth.copy()
    off[:, 2] = np.clip(off[:, 2] + 0.1, 0, 1)
    off[:, 3] = 1 - off[:, 2]
    found = known.error(np.maximum(1e6 * off, 1e-3)[:, None])
    by_hand = np.sqrt(np.average((off - known.truth)[:, 2] ** 2, weights=known.truth[:, 0]))
    assert found["bar"] == pytest.approx(by_hand, rel=1e-4)
    assert found["disc"] == pytest.approx(0, abs=1e-4)


def test_a_rare_question_is_learnt_from_fewer_labels() -> None:
    """Bars of one galaxy in twelve, three seeds: random choice needs half as many labels again, or more."""
    known = ground().about("bar")
    assert [q.name for q in known.votes.tree.questions] == ["disc", "bar"]
    chance, acquired = (
        Curve.mean([play(known, name, sizes, questions=("bar",), how=QUICK, seed=seed) for seed in range(3)])
        for name, sizes in (("random", (40, 80, 120, 160, 240, 320)), ("variance", (40, 80, 120, 160)))
    )
    np.testing.assert_array_equal(chance.error["bar"][0], acquired.error["bar"][0])  # the same first galaxies
    assert (labels_for(chance, acquired, "bar")[-2:] > 1.5 * acquired.labels[-2:]).all()


def test_savings_of_known_curves() -> None:
    """Errors of 1/n and 1/(2 n): half of the labels; what is never reached is infinite."""
    n = np.array([50, 100, 200, 400])
    chance = Curve(labels=n, error={"bar": 1 / n})
    half = Curve(labels=n[:3], error={"bar": 1 / (2 * n[:3])})
    np.testing.assert_allclose(labels_for(chance, half, "bar"), [100, 200, 400], rtol=1e-6)
    best = Curve(labels=n[:2], error={"bar": np.array([0.02, 0.001])})
    found = labels_for(chance, best, "bar")
    assert found[0] == pytest.approx(50)
    assert found[1] == np.inf


def test_the_figure_and_what_is_refused(tmp_path: Path) -> None:
    known = ground(60)
    curves = {
        name: play(known, name, (20, 30), how=HeadLearning(members=2, draws=2, width=8, steps=4))
        for name in ("random", "joint")
    }
    assert set(curves["joint"].error) == {"disc", "bar", "odd"}
    plot_savings(curves, tmp_path / "savings.png")
    with Image.open(tmp_path / "savings.png") as image:
        assert (np.asarray(image.convert("L")) < 250).mean() > 0.02
    with pytest.raises(OptionError, match="rising"):
        play(known, "random", (30, 20))
    with pytest.raises(OptionError, match="rising"):
        play(known, "random", (20, 61))
    with pytest.raises(InputError, match="rows of features"):
        Ground(features=known.features[:5], votes=known.votes, judged=known.judged, truth=known.truth)
    with pytest.raises(OptionError, match="disagree"):
        HeadLearning(members=1, draws=1)
