"""The loop: what is stopped goes on bit by bit, stops early, and refuses what does not belong to it."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rosse.errors import OptionError, RunError
from rosse.nets.checkpoints import load_tensors
from rosse.nets.dropout import Dropout
from rosse.nets.training import BEST, Epoch, Interrupted, Learner, TrainOptions, train

OPTIONS = TrainOptions(epochs=4, batch=16, rate=1e-2, patience=10)
ROWS = np.arange(70), np.arange(70, 100)


class Line(Learner):
    """y = x w with dropout and a batch norm, so that every kind of state matters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.body = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), Dropout(0.3), nn.Linear(12, 1))

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        value: Tensor = (self.body(x)[:, 0] - y).square().mean()
        return value


class Points:
    """Noisy points; `at_batch` is called with the number of every training batch."""

    def __init__(self, at_batch: object = None) -> None:
        draw = torch.Generator().manual_seed(1)
        self.x = torch.randn(100, 6, generator=draw)
        self.y = self.x @ torch.arange(6.0)
        self.at_batch, self.count = at_batch, 0

    def batch(self, rows: np.ndarray, draw: torch.Generator | None) -> tuple[Tensor, Tensor]:
        x = self.x[rows]
        if draw is not None:
            x = x + 0.1 * torch.randn(x.shape, generator=draw)
            self.count += 1
            if self.at_batch is not None:
                self.at_batch(self.count)  # type: ignore[operator]
        return x, self.y[rows]


def run(folder: Path, data: Points | None = None, options: TrainOptions = OPTIONS) -> tuple[Line, list[Epoch]]:
    learner = Line()
    return learner, train(learner, data or Points(), ROWS, options=options, folder=folder)


def losses(history: list[Epoch]) -> list[tuple[float, float, float]]:
    return [(each.train, each.valid, each.rate) for each in history]


def same_weights(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


@pytest.mark.parametrize("batch", [1, 3, 6, 10, 16])
def test_ctrl_c_at_any_step_changes_no_bit(tmp_path: Path, batch: int) -> None:
    whole, history = run(tmp_path / "whole")

    def press(count: int) -> None:
        if count == batch:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="goes on from there"):
        run(tmp_path / "stopped", Points(press))
    assert signal.getsignal(signal.SIGINT) is before
    resumed, again = run(tmp_path / "stopped")
    assert losses(again) == losses(history)
    assert same_weights(resumed, whole)


def test_a_crash_costs_no_more_than_what_was_not_saved(tmp_path: Path) -> None:
    whole, history = run(tmp_path / "whole")

    def crash(count: int) -> None:
        if count == 7:
            raise MemoryError("killed")

    with pytest.raises(MemoryError):
        run(tmp_path / "crashed", Points(crash))
    rest = Points()
    resumed, again = run(tmp_path / "crashed", rest)
    assert rest.count == 12  # the first epoch of four steps was saved
    assert losses(again) == losses(history)
    assert same_weights(resumed, whole)


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    first, _ = run(tmp_path)
    data = Points()
    again, _ = run(tmp_path, data)
    assert data.count == 0
    assert same_weights(first, again)


def test_random_numbers_of_the_caller_are_left_alone(tmp_path: Path) -> None:
    learner = Line()
    torch.manual_seed(3)
    train(learner, Points(), ROWS, options=OPTIONS, folder=tmp_path)
    after = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(3))


def test_other_options_are_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(OptionError, match="other options or data"):
        run(tmp_path, options=replace(OPTIONS, rate=2e-2))


def test_the_best_weights_are_kept_and_training_stops_early(tmp_path: Path) -> None:
    options = TrainOptions(epochs=60, batch=16, rate=0.05, patience=3, warmup=0)
    learner, history = run(tmp_path, options=options)
    valid = [each.valid for each in history]
    best = int(np.argmin(valid))
    assert len(valid) == best + 1 + 3
    x, y = Points().batch(ROWS[1], None)
    with torch.no_grad():
        assert float(learner.eval().loss((x, y))) == pytest.approx(valid[best], rel=1e-5)
    assert {name for name, _ in learner.named_parameters()} <= set(load_tensors(tmp_path / BEST)[0])


def test_a_loss_that_is_no_number_says_so(tmp_path: Path) -> None:
    data = Points()
    data.y = data.y * torch.nan
    with pytest.raises(RunError, match="the loss is nan in epoch 1, step 1"):
        run(tmp_path, data)


def test_parameters_learn_at_their_own_rates(tmp_path: Path) -> None:
    learner = Line()
    before = {name: value.clone() for name, value in learner.named_parameters()}
    still, rest = list(learner.body[0].parameters()), list(learner.body[1:].parameters())
    train(learner, Points(), ROWS, options=OPTIONS, folder=tmp_path, groups=[(still, 0.0), (rest, 1.0)])
    moved = {name for name, value in learner.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if not name.startswith("body.0.")}


def test_half_precision_learns_nearly_the_same(tmp_path: Path) -> None:
    options = replace(OPTIONS, epochs=25, rate=0.05)
    _, single = run(tmp_path / "single", options=options)
    _, half = run(tmp_path / "half", options=replace(options, precision="bfloat16"))
    assert half[-1].valid != single[-1].valid
    assert half[-1].valid == pytest.approx(single[-1].valid, rel=0.2)
    assert half[-1].valid < 0.5 * half[0].valid


def test_the_rate_rises_and_falls() -> None:
    options = TrainOptions(rate=1.0, warmup=0.2)
    rates = [options.rate_at(step, 100) for step in range(100)]
    assert rates[19] == 1.0
    assert rates[:20] == sorted(rates[:20])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[-1] < 0.001
    np.testing.assert_allclose(rates[60], 0.5 * (1 + np.cos(np.pi * 40 / 80)))


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"rate": 0}, {"warmup": 1}, {"precision": "half"}])
def test_impossible_options_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        TrainOptions(**wrong)  # type: ignore[arg-type]
