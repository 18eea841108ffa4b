"""How probable the votes on a galaxy are, when a network gives a distribution for the votes on each question.

Every question has its own Dirichlet-multinomial distribution; given the number of people who were sent to it, it is
independent of the others, so that the log-probabilities of a tree's questions add up.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from rosse.errors import InputError, OptionError, unknown_name
from rosse.nets.heads import vote_outputs
from rosse.nets.likelihoods import SMALLEST, log_beta_binomial, log_rising
from rosse.tree import Tree


class VoteLikelihood(nn.Module):
    """Log-probability of votes on the questions of a tree.

    A module, because the table that sums answers into questions must be where the votes are.

    Parameters
    ----------
    tree : Q questions with A answers in all.

    Notes
    -----
    Dirichlet-multinomial for each question that takes one answer (Walmsley et al. 2022, arXiv:2102.08414, eq. 1), in
    `rosse.nets.likelihoods.log_dirichlet_multinomial`. Where several answers may be ticked, one person's answers do not
    exclude each other: each answer is a yes or no of all who were asked, with a beta-binomial distribution of its own.
    """

    membership: Tensor  # (A, Q) 1 where an answer belongs to a question that takes one
    several: Tensor  # (M,) columns of the answers of questions that take several

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        self.tree = tree
        table = np.zeros((len(tree.columns), len(tree.questions)))
        for question, here, i in zip(tree.questions, tree.slices, range(len(tree.questions)), strict=True):
            table[here, i] = not question.multiple
        self.register_buffer("membership", torch.from_numpy(table), persistent=False)
        several = [k for k, i in enumerate(tree.question_of) if tree.questions[i].multiple]
        self.register_buffer("several", torch.tensor(several, dtype=torch.int64), persistent=False)

    def forward(self, counts: Tensor, concentrations: Tensor, people: Tensor | None = None) -> Tensor:
        """Log-probability (B, Q) of the votes; 0, with a gradient of 0, where nobody was asked or votes are missing.

        Parameters
        ----------
        counts : (B, A)
            Votes for each answer; NaN where they are missing.
        concentrations : (B, outputs)
            Greater than 0, in the order of `rosse.nets.heads.vote_outputs`.
        people : (B, Q)
            People who answered each question; needed where several answers may be ticked.
        """
        self._check(counts, concentrations, people)
        answers = len(self.tree.columns)
        single = self._single(counts.double(), concentrations[:, :answers].double())
        if len(self.several):
            assert people is not None  # _check has seen to it
            single = single + self._ticked(counts, concentrations, people)
        return single.to(torch.promote_types(concentrations.dtype, torch.float32))

    def fractions(self, concentrations: Tensor) -> Tensor:
        """Mean share (B, A) of each answer among those asked its question, from concentrations (B, outputs)."""
        answers = len(self.tree.columns)
        alpha = concentrations[:, :answers]
        table = self.membership.to(alpha.dtype)
        total = alpha @ table @ table.T
        if len(self.several):
            total = total.index_copy(1, self.several, alpha[:, self.several] + concentrations[:, answers:])
        return alpha / total

    def _single(self, counts: Tensor, alpha: Tensor) -> Tensor:
        """Questions that take one answer: sums over answers are products with the table, for all questions at once."""
        table = self.membership
        missing = (counts.isnan().double() @ table) > 0
        votes = counts.nan_to_num(nan=0.0) @ table
        known = ~missing & (votes > 0)  # (B, Q)
        weighs = (known.double() @ table.T) > 0  # (B, A)
        k = torch.where(weighs, counts, 0.0)
        alpha = torch.where(weighs, alpha, 1.0).clamp_min(SMALLEST)
        n = k @ table
        terms = log_rising(alpha, k) - torch.lgamma(k + 1)
        total = torch.where(known, alpha @ table, 1.0)
        return torch.where(known, terms @ table + torch.lgamma(n + 1) - log_rising(total, n), 0.0)

    def _ticked(self, counts: Tensor, concentrations: Tensor, people: Tensor) -> Tensor:
        """Questions that take several answers, (B, Q)."""
        of_question = torch.tensor(self.tree.question_of, device=counts.device)[self.several]
        yes, no = concentrations[:, self.several], concentrations[:, len(self.tree.columns) :]
        each = log_beta_binomial(counts[:, self.several], people[:, of_question], yes, no).double()
        out = torch.zeros(len(counts), len(self.tree.questions), dtype=each.dtype, device=each.device)
        return out.index_add(1, of_question, each)

    def _check(self, counts: Tensor, concentrations: Tensor, people: Tensor | None) -> None:
        """Shapes only: to look at values would wait for the device."""
        rows, outputs = len(counts), len(vote_outputs(self.tree))
        wanted = {"counts": (counts, len(self.tree.columns)), "concentrations": (concentrations, outputs)}
        if people is not None:
            wanted["people"] = (people, len(self.tree.questions))
        elif len(self.several):
            raise InputError(f"tree {self.tree.name} has questions that take several answers; people are wanted too")
        for name, (values, columns) in wanted.items():
            if values.shape != (rows, columns):
                raise InputError(
                    f"{name} have shape {tuple(values.shape)}; {(rows, columns)} is wanted for {self.tree}"
                )


class VoteLoss(nn.Module):
    """Mean negative log-probability of the votes on a galaxy: what training makes small.

    Parameters
    ----------
    tree : whose votes are learnt.
    weights : question → weight of its log-probability; 1 for those that are not named.
    """

    weights: Tensor

    def __init__(self, tree: Tree, weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        names = [question.name for question in tree.questions]
        for name, weight in (weights or {}).items():
            if name not in names:
                raise OptionError(f"weights: {unknown_name('question', name, names)}")
            if not 0 <= weight < float("inf"):
                raise OptionError(f"the weight of {name} is {weight}; a number from 0 on is wanted")
        self.likelihood = VoteLikelihood(tree)
        values = [float((weights or {}).get(name, 1)) for name in names]
        self.register_buffer("weights", torch.tensor(values), persistent=False)

    def forward(self, counts: Tensor, concentrations: Tensor, people: Tensor | None = None) -> Tensor:
        """Loss (), from what `VoteLikelihood.forward` takes; 0 for a batch without galaxies."""
        each = self.likelihood(counts, concentrations, people)
        total: Tensor = -(each * self.weights.to(each.dtype)).sum()
        return total / max(len(each), 1)
