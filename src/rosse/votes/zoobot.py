"""Heads trained with Zoobot: its weights, under its names for answers, as a head of a tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from rosse.errors import InputError
from rosse.nets.heads import VoteHead, vote_outputs, zoobot
from rosse.tree import Tree
from rosse.votes.names import key_of


def zoobot_head(
    state: Mapping[str, Tensor], columns: Sequence[str], tree: Tree, *, suffix: str = "", dropout: float = 0.0
) -> VoteHead:
    """A head with Zoobot's weights, which gives concentrations for the answers of a tree.

    Parameters
    ----------
    state : tensors of a Zoobot model or of its head. The one matrix that has a row for each of the columns counts,
        with its bias; where there are several, those whose name has ``head`` in it.
    columns : what the rows are, in Zoobot's order (``label_cols``), such as ``smooth-or-featured-dr5_smooth``. There
        may be more than the tree has answers: models are trained on several surveys at once.
    tree : whose answers are wanted; `Tree.only` leaves out questions that Zoobot was not trained on.
    suffix : of the questions in `columns` that are meant, such as ``"-dr5"``.
    dropout : share of the features set to 0 in training; Zoobot's own is 0.2.
    """
    matrix, bias = _linear(state, len(columns))
    row_of = {key_of(column): row for row, column in enumerate(columns)}
    wanted = [
        [key_of(f"{question.name}{suffix}_{name}") for name in (answer.name, *answer.also)]
        for question in tree.questions
        for answer in question.answers
    ]
    rows = [next((row_of[key] for key in keys if key in row_of), None) for keys in wanted]
    absent = [column for column, row in zip(tree.columns, rows, strict=True) if row is None]
    if absent or len(rows) != len(vote_outputs(tree)):
        what = ", ".join(absent[:3]) if absent else "those who do not tick an answer, of questions that take several"
        raise InputError(
            f"Zoobot's head has no output for {what} of {tree}; its columns are like "
            f"{columns[0]!r}: say the suffix, or leave out questions by tree.only([...])"
        )
    head = VoteHead(matrix.shape[1], tree, dropout=dropout, link=zoobot)
    with torch.no_grad():
        chosen = torch.tensor([row for row in rows if row is not None])
        head.linear.weight.copy_(matrix[chosen])
        head.linear.bias.copy_(bias[chosen])
    return head


def _linear(state: Mapping[str, Tensor], rows: int) -> tuple[Tensor, Tensor]:
    """The matrix and bias with so many rows."""
    fitting = [
        name
        for name, value in state.items()
        if name.endswith("weight") and value.ndim == 2 and len(value) == rows and f"{name[:-6]}bias" in state
    ]
    named = [name for name in fitting if "head" in name] or fitting
    if len(named) != 1:
        found = ", ".join(named) or "none"
        raise InputError(f"one matrix with {rows} rows, and its bias, is wanted among the weights; found: {found}")
    return state[named[0]], state[f"{named[0][:-6]}bias"]
