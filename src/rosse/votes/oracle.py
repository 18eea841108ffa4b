"""An oracle: what acquisition would have saved, played with galaxies whose votes are all known.

The votes on a pool are hidden, a strategy asks for those of one batch after the other, and what is learnt from them is
judged on other galaxies. Learning a whole network anew for every batch takes hours; `HeadLearning` learns what stands
between the features of an encoder, which stay as they are, and the votes, in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rosse.errors import InputError, OptionError
from rosse.nets.heads import vote_outputs, wide
from rosse.tree import Tree
from rosse.votes.likelihood import VoteLikelihood
from rosse.votes.mixture import mean_fractions
from rosse.votes.selection import Candidates, select
from rosse.votes.table import VoteTable

Numbers = NDArray[np.float64]
Rows = NDArray[np.int64]
CHANCE = "random"  # the strategy that others are compared with


@dataclass(frozen=True, kw_only=True)
class HeadLearning:
    """An ensemble of heads on features that stay.

    Parameters
    ----------
    members : heads, each with its own start and its own dropout.
    draws : of dropout at prediction, for each.
    width : of the layer between features and concentrations.
    dropout : share of features and of this layer that is left out.
    steps : of Adam.
    batch : galaxies in a step.
    rate : of Adam at its start; it falls to 0 along a cosine.
    decay : of the weights.
    """

    members: int = 4
    draws: int = 6
    width: int = 64
    dropout: float = 0.2
    steps: int = 120
    batch: int = 64
    rate: float = 1e-2
    decay: float = 1e-3

    def __post_init__(self) -> None:
        if self.members < 1 or self.draws < 1 or self.members * self.draws < 2:
            raise OptionError(
                f"{self.members} members and {self.draws} draws came; two components or more are wanted, for else "
                "nothing can disagree"
            )

    def learn(self, features: Numbers, votes: VoteTable, *, seed: int = 0) -> Heads:
        """Heads learnt from features (N, F) and the votes on these N galaxies."""
        if len(features) != len(votes):
            raise InputError(f"{len(features)} rows of features came for the votes on {len(votes)} galaxies")
        draw = torch.Generator().manual_seed(seed)
        x = torch.as_tensor(features, dtype=torch.float32)
        heads = Heads.started(x, votes, self, draw)
        likelihood = VoteLikelihood(votes.tree)
        counts, people = (torch.from_numpy(np.ascontiguousarray(each)) for each in (votes.counts, votes.people))
        weights = [heads.first, heads.second, heads.bias, heads.last]
        optimizer = torch.optim.AdamW(weights, lr=self.rate, weight_decay=self.decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        for _ in range(self.steps):
            rows = torch.randint(len(x), (self.members, min(self.batch, len(x))), generator=draw)
            said = heads.forward(x[rows], heads.masks(rows.shape, draw))
            loss = -likelihood(counts[rows.flatten()], said.flatten(0, 1), people[rows.flatten()]).sum() / rows.numel()
            optimizer.zero_grad()
            (loss * self.members).backward()
            optimizer.step()
            schedule.step()
        return heads


@dataclass(frozen=True, kw_only=True, eq=False)
class Heads:
    """What `HeadLearning.learn` gives.

    Parameters
    ----------
    tree : whose votes.
    how : it was learnt.
    centre, scale : (F,) by which features are taken to mean 0 and scatter 1.
    first, bias : (E, F, W), (E, 1, W) of the layer between.
    second, last : (E, W, outputs), (E, 1, outputs) of the concentrations.
    """

    tree: Tree
    how: HeadLearning
    centre: Tensor
    scale: Tensor
    first: Tensor
    bias: Tensor
    second: Tensor
    last: Tensor

    @classmethod
    def started(cls, x: Tensor, votes: VoteTable, how: HeadLearning, draw: torch.Generator) -> Heads:
        """Heads that know the mean shares, and nothing of the features."""
        sizes = (how.members, x.shape[1], how.width, len(vote_outputs(votes.tree)))
        first = torch.randn(sizes[:3], generator=draw) / sizes[1] ** 0.5
        second = 0.5 * torch.randn(sizes[0], *sizes[2:], generator=draw) / sizes[2] ** 0.5
        last = torch.from_numpy(_mean_logits(votes)).float().expand(sizes[0], 1, -1).clone()
        parts = [part.requires_grad_() for part in (first, torch.zeros(sizes[0], 1, sizes[2]), second, last)]
        return cls(tree=votes.tree, how=how, centre=x.mean(0), scale=x.std(0, correction=0) + 1e-3, first=parts[0],
                   bias=parts[1], second=parts[2], last=parts[3])  # fmt: skip

    def masks(self, rows: torch.Size, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """Dropout of features and layer: for each galaxy of (E, N) rows another one."""
        out = []
        for width in (self.first.shape[1], self.first.shape[2]):
            kept = torch.rand(*rows, width, generator=draw) >= self.how.dropout
            out.append(kept / (1 - self.how.dropout))
        return out[0], out[1]

    def forward(self, x: Tensor, masks: tuple[Tensor, Tensor]) -> Tensor:
        """Concentrations (E, N, outputs) from features (E, N, F)."""
        hidden = nn.functional.gelu(((x - self.centre) / self.scale * masks[0]) @ self.first + self.bias)
        return wide((hidden * masks[1]) @ self.second + self.last)

    @torch.no_grad()
    def concentrations(self, features: Numbers) -> Numbers:
        """Concentrations (B, M, outputs); a draw of dropout is one thinned network, the same for every galaxy."""
        x = torch.as_tensor(features, dtype=torch.float32).expand(self.how.members, *features.shape)
        parts = []
        for number in range(self.how.draws):
            masks = self.masks(torch.Size((self.how.members, 1)), torch.Generator().manual_seed(number))
            parts.append(self.forward(x, masks))
        return np.asarray(torch.cat(parts).transpose(0, 1).double().numpy())


def _mean_logits(votes: VoteTable) -> Numbers:
    """Logarithms of concentrations that have the mean shares, and a sum of 4."""
    tree = votes.tree
    counts = np.nan_to_num(votes.counts).sum(0) + 0.5
    people = np.nan_to_num(votes.people).sum(0)[list(tree.question_of)] + 1.0
    share = np.clip(counts / people, 0.01, 0.99)
    several = [k for k, i in enumerate(tree.question_of) if tree.questions[i].multiple]
    return np.asarray(np.log(4 * np.concatenate([share, 1 - share[several]])))


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """Galaxies whose votes are all known, to play with.

    Parameters
    ----------
    features : (N, F) of the pool, of an encoder that stays.
    votes : on the pool, which are hidden until they are asked for.
    judged : (T, F) features of other galaxies.
    truth : (T, A) shares that would be right for them.
    """

    features: Numbers
    votes: VoteTable
    judged: Numbers
    truth: Numbers

    def __post_init__(self) -> None:
        if len(self.features) != len(self.votes) or len(self.judged) != len(self.truth):
            raise InputError(
                f"{len(self.features)} rows of features came for votes on {len(self.votes)} galaxies, and "
                f"{len(self.judged)} for {len(self.truth)} true shares"
            )

    def about(self, question: str) -> Ground:
        """The same for one question, and those that lead to it."""
        tree = self.votes.tree
        tree[question]  # the name of a question
        needed = {question}
        for i in reversed(tree.order):
            if tree.questions[i].name in needed:
                needed |= {tree.questions[tree.question_of[k]].name for k in tree.parents[i]}
        part = tree.only(q.name for q in tree.questions if q.name in needed)
        columns = [tree.columns.index(name) for name in part.columns]
        return Ground(features=self.features, votes=self.votes.to(part), judged=self.judged,
                      truth=self.truth[:, columns])  # fmt: skip

    def error(self, concentrations: Numbers) -> dict[str, float]:
        """Question → root mean square of expected minus true shares, galaxies weighted by their true P(asked)."""
        tree = self.votes.tree
        off = (mean_fractions(tree, concentrations) - self.truth) ** 2
        asked = tree.asked_probability(self.truth)
        return {
            question.name: float(np.sqrt(np.average(off[:, here].mean(1), weights=asked[:, i])))
            for i, (question, here) in enumerate(zip(tree.questions, tree.slices, strict=True))
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Error against labels spent.

    Parameters
    ----------
    labels : (R,) galaxies with votes.
    error : question → (R,) of `Ground.error`.
    """

    labels: Rows
    error: Mapping[str, Numbers]

    @classmethod
    def mean(cls, curves: Sequence[Curve]) -> Curve:
        """Of several seeds."""
        error = {name: np.mean([each.error[name] for each in curves], 0) for name in curves[0].error}
        return cls(labels=curves[0].labels, error=error)


def play(
    ground: Ground,
    strategy: str,
    sizes: Sequence[int],
    *,
    questions: tuple[str, ...] = (),
    how: HeadLearning | None = None,
    people: int = 40,
    seed: int = 0,
) -> Curve:
    """Label galaxies by a strategy, and see how the error falls.

    Parameters
    ----------
    ground : pool and galaxies to judge with.
    strategy : a name of `rosse.votes.selection.STRATEGIES`.
    sizes : galaxies with labels after each round, rising. The first ones are chosen at random, by the seed alone: they
        are the same for all strategies.
    questions : that labels are wanted for; empty: all.
    how : heads are learnt, anew in every round.
    people : who look at a galaxy.
    seed : of the first galaxies, of the learning, and of what a strategy leaves to chance.
    """
    if not sizes or list(sizes) != sorted(set(sizes)) or not 1 < sizes[0] <= sizes[-1] <= len(ground.votes):
        raise OptionError(f"sizes are {list(sizes)}; rising numbers from 2 to {len(ground.votes)} are wanted")
    how, tree, draw = how or HeadLearning(), ground.votes.tree, np.random.default_rng(seed)
    order = draw.permutation(len(ground.votes))
    known = order[: sizes[0]]
    heads = how.learn(ground.features[known], ground.votes[known], seed=1000 * seed)
    errors = [ground.error(heads.concentrations(ground.judged))]
    for number, size in enumerate(sizes[1:], 1):
        left = np.setdiff1d(order, known)
        # chance looks at no prediction, and needs none
        said = np.empty((len(left), 1, 0)) if strategy == CHANCE else heads.concentrations(ground.features[left])
        pool = Candidates(tree=tree, concentrations=said, questions=questions, people=people)
        best = select(pool, size - len(known), strategy=strategy, seed=1000 * seed + number)
        known = np.concatenate((known, left[best]))
        heads = how.learn(ground.features[known], ground.votes[known], seed=1000 * seed + number)
        errors.append(ground.error(heads.concentrations(ground.judged)))
    names = questions or tuple(errors[0])
    return Curve(labels=np.array(sizes), error={name: np.array([each[name] for each in errors]) for name in names})


def labels_for(chance: Curve, acquired: Curve, question: str) -> Numbers:
    """Labels (R,) that the first curve needs for the accuracy that the second one has in each of its rounds.

    Both curves are made to fall (isotonic regression) and the first is interpolated; infinite where it does not get
    there at all.
    """
    from scipy.optimize import isotonic_regression

    first, second = (isotonic_regression(each.error[question], increasing=False).x for each in (chance, acquired))
    steps = 1e-12 * np.arange(len(first))  # where the curve is level, the fewest labels count
    needed = np.interp(-second, -first + steps, chance.labels)
    return np.asarray(np.where(second < first[-1], np.inf, needed))


def plot_savings(curves: Mapping[str, Curve], path: str | Path) -> None:
    """Draw error against labels spent, a panel for each question and a line for each strategy.

    Parameters
    ----------
    curves : strategy → curve, all of the same questions.
    path : of the picture.
    """
    from matplotlib.figure import Figure

    names = sorted({name for curve in curves.values() for name in curve.error})
    columns = min(4, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(3.3 * columns, 2.7 * lines), layout="constrained")
    axes = np.ravel(figure.subplots(lines, columns, squeeze=False))
    for place, name in zip(axes, names, strict=False):
        for strategy, curve in curves.items():
            if name in curve.error:
                style = "o--" if strategy == CHANCE else "o-"
                place.plot(curve.labels, curve.error[name], style, ms=3, label=strategy)
        place.set(title=name, xscale="log", xlabel="galaxies labelled", ylabel="error of shares")
        place.legend(fontsize=7, frameon=False)
    for spare in axes[len(names) :]:
        spare.axis("off")
    figure.savefig(path, dpi=110)
