"""When more labels no longer pay: a rule on galaxies that were set aside at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rosse.errors import InputError, OptionError


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether to stop.

    Parameters
    ----------
    stop : whether the labels between two models were shown to be worth less than `worth`.
    gain : mean rise of the log-probability of a galaxy's votes for each 100 labels, nats.
    low, high : limits between which the true gain lies with a probability of 90 %.
    worth : gain for each 100 labels from which on they pay, nats.
    labels : between the two models.
    galaxies : that were judged with.
    """

    stop: bool
    gain: float
    low: float
    high: float
    worth: float
    labels: int
    galaxies: int

    def __str__(self) -> str:
        unclear = "labels pay" if self.low > self.worth else "it cannot be told yet"
        what = "more labels do not pay" if self.stop else unclear
        return (
            f"{what}: 100 labels gain {self.gain:.4f} nats a galaxy ({self.low:.4f} to {self.high:.4f}), "
            f"worth it are {self.worth:g}"
        )


def more_labels_pay(before: ArrayLike, now: ArrayLike, *, labels: int, worth: float = 0.01) -> Verdict:
    """Judge the last labels by what they gained on galaxies that were set aside.

    Parameters
    ----------
    before, now : (G,) log-probability of the votes on each galaxy under an earlier model and the present one (the sum
        over the questions, as `rosse.votes.calibration.log_votes` gives it), nats. The galaxies must have been chosen
        at random before the first acquisition, and no model may have learnt from them: those that acquisition asked for
        are the difficult ones.
    labels : galaxies that were labelled between the two models.
    worth : gain for each 100 labels from which on they pay, nats for each galaxy.

    Notes
    -----
    With d the differences of the same galaxies and s their standard error, the gain is 100 mean(d) / labels, and its
    90 % limits are ± 1.645 times 100 s / labels. Stop when the *upper* limit lies below `worth`: labels stop paying
    when it is shown that they gained less, not when it is not shown that they gained more, which with few galaxies is
    always so (a test of non-inferiority; Walker & Nowacki 2011, doi:10.1007/s11606-010-1513-8). A single pair of models
    scatters by how each was trained: let three verdicts in a row agree.
    """
    first, second = (np.asarray(each, dtype=np.float64) for each in (before, now))
    if first.shape != second.shape or first.ndim != 1 or len(first) < 2:
        raise InputError(
            f"log-probabilities of shapes {first.shape} and {second.shape} came; two or more galaxies, the same in "
            "both, are wanted"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError("log-probabilities are not finite; leave galaxies out that a model failed on")
    if labels < 1 or not worth > 0:
        raise OptionError(f"labels is {labels} and worth {worth}; positive numbers are wanted")
    scale = 100 / labels
    gain = float(scale * (second - first).mean())
    error = float(scale * (second - first).std(ddof=1) / np.sqrt(len(first)))
    low, high = gain - 1.645 * error, gain + 1.645 * error
    return Verdict(stop=high < worth, gain=gain, low=low, high=high, worth=worth, labels=labels, galaxies=len(first))
