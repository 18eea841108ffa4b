"""The one training loop: a module that knows its loss, data that know their batches, and nothing else.

Why a loop of our own: to go on from a stop with the same bits, every random number must belong to a step, not to the
history of a process. Here the order of the galaxies belongs to (seed, epoch), their views and dropout to
(seed, epoch, step), so that a checkpoint is weights, moments and two numbers; it is a safetensors file, not a pickle.
"""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rosse.errors import FileError, OptionError, RunError
from rosse.nets.checkpoints import load_state, load_tensors, optimiser_tensors, restore_optimiser, save_tensors

log = logging.getLogger(__name__)

Rows = NDArray[np.int64]
CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
_ORDER, _VIEWS = 1, 2  # what the random numbers of a step are for


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a network is trained.

    Parameters
    ----------
    epochs : at most.
    batch : galaxies in a step.
    rate : largest learning rate, of AdamW.
    decay : of the weights.
    warmup : share of the steps in which the rate rises; it then falls to 0 as a cosine.
    patience : epochs without a better validation loss after which training stops.
    clip : largest norm of a gradient.
    seed : of everything random.
    device : ``cpu`` or ``cuda``.
    precision : ``auto`` takes bfloat16 on a GPU that has it, else ``single``; ``bfloat16`` asks for it.
    minutes : between two checkpoints within an epoch; there is always one at its end.
    """

    epochs: int = 30
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.05
    warmup: float = 0.15
    patience: int = 10
    clip: float = 5.0
    seed: int = 0
    device: str = "cpu"
    precision: str = "auto"
    minutes: float = 5.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "patience"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}; 1 or more is wanted")
        for name in ("rate", "clip", "minutes"):
            if not getattr(self, name) > 0:
                raise OptionError(f"{name} is {getattr(self, name)}; a positive number is wanted")
        if self.decay < 0 or not 0 <= self.warmup < 1:
            raise OptionError("decay must be 0 or more, warmup a share below 1")
        if self.precision not in ("auto", "single", "bfloat16"):
            raise OptionError(f"precision is {self.precision!r}; auto, single or bfloat16 is wanted")

    def rate_at(self, step: int, steps: int) -> float:
        """Learning rate of a step of so many."""
        rise = max(1.0, self.warmup * steps)
        if step < rise:
            return self.rate * (step + 1) / rise
        return self.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1.0, steps - rise))))

    def lasting(self) -> TrainOptions:
        """What decides the result; where it is computed and how often it is saved does not."""
        return replace(self, device="cpu", minutes=1.0)

    def autocast(self) -> AbstractContextManager[Any]:
        """Arithmetic of the forward pass."""
        kind = self.device.partition(":")[0]
        half = self.precision == "bfloat16" or (
            self.precision == "auto" and kind == "cuda" and torch.cuda.is_bf16_supported()
        )
        return torch.autocast(kind, torch.bfloat16) if half else nullcontext()


class Learner(nn.Module):
    """A module that knows what it should make small."""

    def loss(self, batch: Any) -> Tensor:
        """Mean loss () of a batch."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Learner:
        """As of any module; a learner overrides it for parts that must not learn."""
        super().train(mode)
        return self


class Data(Protocol):
    """Where batches come from; called from several threads."""

    def batch(self, rows: Rows, draw: torch.Generator | None) -> Any:
        """Examples of these rows; `draw` varies them, None leaves them as they are. The loss takes what comes."""
        ...


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One line of the history: losses are means over galaxies, `seconds` the time that the epoch took."""

    train: float
    valid: float
    rate: float
    seconds: float


@dataclass(kw_only=True)
class _Progress:
    """Where a training is: all that a checkpoint holds beside tensors."""

    epoch: int = 0
    step: int = 0
    total: float = 0.0
    best: float = math.inf
    best_epoch: int = -1
    history: list[Epoch] = field(default_factory=list)


class Watch(Protocol):
    """Told of a training while it runs."""

    def begin(self, *, total: float, done: float) -> None:
        """Steps in all, and those that an earlier call did."""
        ...

    def add(self, *, weight: float, counts: dict[str, int]) -> None:
        """Steps were made."""
        ...

    def end(self) -> None:
        """No more will come."""
        ...


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a training, which is saved."""


def train(
    learner: Learner,
    data: Data,
    rows: tuple[Rows, Rows],
    *,
    options: TrainOptions,
    folder: Path,
    about: str = "",
    groups: Sequence[tuple[Sequence[nn.Parameter], float]] | None = None,
    watch: Watch | None = None,
) -> list[Epoch]:
    """Train until the validation loss no longer falls; leaves the best weights in the learner.

    Parameters
    ----------
    learner : what is trained.
    data : of all rows.
    rows : to learn from, and to validate with.
    options : how.
    folder : of the checkpoint; what an earlier call left there is gone on from, and ends with the same bits.
    about : what the training depends on beside the options; a checkpoint of another text is refused.
    groups : parameters with a factor of their learning rate; None: all with 1.
    watch : what to tell of the way.

    Raises
    ------
    Interrupted
        Ctrl-C. The state is saved; a second Ctrl-C stops at once.
    RunError
        The loss is no number.
    """
    if not len(rows[0]) or not len(rows[1]):
        raise OptionError(f"{len(rows[0])} galaxies to learn from and {len(rows[1])} to validate with; both need some")
    learner.to(options.device)
    run = _Run(learner=learner, data=data, rows=rows, options=options, folder=folder, groups=groups, watch=watch,
               mark=f"{about} {asdict(options.lasting())} {len(rows[0])} {len(rows[1])}")  # fmt: skip
    run.restore()
    if watch is not None:
        watch.begin(total=run.steps * options.epochs, done=run.steps * run.at.epoch + run.at.step)
    try:
        with _stop_asked() as asked:
            while run.at.epoch < options.epochs and not run.patient_enough():
                run.epoch(asked)
    finally:
        if watch is not None:
            watch.end()
    best, _ = load_tensors(folder / BEST)
    load_state(learner, best, str(folder / BEST))
    learner.eval()
    return run.at.history


class _Run:
    """A training on its way."""

    def __init__(
        self,
        *,
        learner: Learner,
        data: Data,
        rows: tuple[Rows, Rows],
        options: TrainOptions,
        folder: Path,
        groups: Sequence[tuple[Sequence[nn.Parameter], float]] | None,
        watch: Watch | None,
        mark: str,
    ) -> None:
        self.learner, self.data, self.rows, self.options = learner, data, rows, options
        self.folder, self.watch, self.mark = folder, watch, mark
        self.at = _Progress()
        chosen = groups or [([p for p in learner.parameters() if p.requires_grad], 1.0)]
        self.factors = [factor for _, factor in chosen]
        self.optimiser = torch.optim.AdamW(
            [{"params": list(parameters)} for parameters, _ in chosen], lr=options.rate, weight_decay=options.decay
        )
        # A last batch of one galaxy has no spread, which batch norms need.
        self.steps = max(1, round(len(rows[0]) / options.batch))

    def epoch(self, asked: Callable[[], bool]) -> None:
        """The rest of an epoch, its validation, and a checkpoint."""
        at, start = self.at, time.monotonic()
        saved = start
        self.learner.train()
        parts = np.array_split(self._order(), self.steps)
        for batch in self._batches(parts, at.step):
            at.total += self._step(batch) * len(parts[at.step])
            at.step += 1
            if self.watch is not None:
                self.watch.add(weight=1, counts={"learnt": len(parts[at.step - 1])})
            if asked():
                self.save()
                raise Interrupted(f"stopped in epoch {at.epoch + 1}; the same command goes on from there")
            if time.monotonic() - saved > 60 * self.options.minutes:
                self.save()
                saved = time.monotonic()
        loss = self.validate()
        at.history.append(
            Epoch(train=at.total / len(self.rows[0]), valid=loss, rate=self._rate(), seconds=time.monotonic() - start)
        )
        if loss < at.best:
            at.best, at.best_epoch = loss, at.epoch
            save_tensors(self.folder / BEST, self.learner.state_dict())
        log.info("epoch %d: train %.4f, valid %.4f", at.epoch + 1, at.history[-1].train, loss)
        at.epoch, at.step, at.total = at.epoch + 1, 0, 0.0
        self.save()
        if asked():  # pressed while it was validated
            raise Interrupted(f"stopped after epoch {at.epoch}; the same command goes on from there")

    def validate(self) -> float:
        """Mean loss over the validation galaxies, as they are."""
        self.learner.eval()
        total, rows = 0.0, self.rows[1]
        parts = np.array_split(rows, max(1, math.ceil(len(rows) / (2 * self.options.batch))))
        with torch.no_grad():
            for part in parts:
                batch = self.data.batch(part, None)
                with self.options.autocast():
                    total += float(self.learner.loss(batch)) * len(part)
        return total / len(rows)

    def patient_enough(self) -> bool:
        """Whether there was no better epoch for long."""
        return self.at.epoch - 1 - self.at.best_epoch >= self.options.patience

    def save(self) -> None:
        """A checkpoint."""
        weights = {f"learner.{name}": value for name, value in self.learner.state_dict().items()}
        about = {"at": asdict(self.at), "mark": self.mark}
        save_tensors(self.folder / CHECKPOINT, weights | optimiser_tensors(self.optimiser), about)

    def restore(self) -> None:
        """Go on from a checkpoint, if there is one."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        tensors, about = load_tensors(path)
        if about.get("mark") != self.mark:
            raise OptionError(
                f"{self.folder} holds a training with other options or data; give another folder, or start anew"
            )
        weights = {name.removeprefix("learner."): v for name, v in tensors.items() if name.startswith("learner.")}
        load_state(self.learner, weights, str(path))
        restore_optimiser(self.optimiser, tensors)
        found = about["at"]
        self.at = _Progress(**found | {"history": [Epoch(**each) for each in found["history"]]})
        if self.at.best_epoch >= 0 and not (self.folder / BEST).exists():
            raise FileError(f"{self.folder} lacks {BEST}; start anew")

    def _step(self, batch: Any) -> float:
        at, options = self.at, self.options
        for group, factor in zip(self.optimiser.param_groups, self.factors, strict=True):
            group["lr"] = factor * self._rate()
        self.optimiser.zero_grad(set_to_none=True)
        with torch.random.fork_rng(devices=[options.device] if options.device != "cpu" else []):
            torch.manual_seed(_seed(options.seed, at.epoch, at.step))  # of dropout
            with options.autocast():
                loss = self.learner.loss(batch)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise RunError(
                    f"the loss is {value} in epoch {at.epoch + 1}, step {at.step + 1}; a smaller rate than "
                    f"{options.rate:g} may help"
                )
            torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_([p for g in self.optimiser.param_groups for p in g["params"]], options.clip)
        self.optimiser.step()
        return value

    def _rate(self) -> float:
        return self.options.rate_at(self.at.epoch * self.steps + self.at.step, self.steps * self.options.epochs)

    def _order(self) -> Rows:
        draw = np.random.default_rng([self.options.seed, self.at.epoch, _ORDER])
        return np.asarray(draw.permutation(self.rows[0]), dtype=np.int64)

    def _batches(self, parts: Sequence[Rows], first: int) -> Iterator[Any]:
        """Batches from a step on, each made while the one before is learnt from."""
        epoch = self.at.epoch

        def made(step: int) -> Any:
            draw = torch.Generator().manual_seed(_seed(self.options.seed, epoch, step, _VIEWS))
            return self.data.batch(parts[step], draw)

        with ThreadPoolExecutor(1) as pool:
            waiting: Future[Any] | None = pool.submit(made, first) if first < len(parts) else None
            for step in range(first, len(parts)):
                assert waiting is not None
                batch = waiting.result()
                waiting = pool.submit(made, step + 1) if step + 1 < len(parts) else None
                yield batch


def _seed(*numbers: int) -> int:
    """A seed of 63 bits that belongs to these numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def _stop_asked() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed: it waits for the end of a step, since half a step cannot be gone on from."""
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.getsignal(signal.SIGINT)

    def press(number: int, frame: Any) -> None:
        if pressed:
            raise KeyboardInterrupt("stopped at once; the last checkpoint is kept")
        pressed.append(number)

    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
