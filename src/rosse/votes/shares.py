"""Votes from shares of votes: the whole numbers that they were made from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

PRINTED = 0.006  # a share with two decimals is this close to that of the votes


def votes_of_shares(shares: Numbers, people: Numbers, *, multiple: bool) -> tuple[Numbers, NDArray[np.bool_]]:
    """Whole numbers of votes, and the rows whose shares no whole numbers have.

    Parameters
    ----------
    shares : (N, K)
        Share of each answer; anything where nobody answered.
    people : (N,)
        Who answered; NaN where that is missing.
    multiple : whether one person may have given several answers, so that votes need not add up to the people.

    Returns
    -------
    votes : (N, K)
        The nearest whole numbers, which add up to the people unless `multiple`; NaN where shares or people are.
    odd : (N,)
        True where votes differ from shares by more than shares with two decimals may, or cannot add up.
    """
    expected = np.where(people[:, None] == 0, 0.0, shares * people[:, None])
    votes = np.rint(expected)
    lost = np.zeros(len(votes), dtype=bool)
    if not multiple:
        left = people - expected.sum(1)
        mend = np.abs(left) <= np.maximum(2 * PRINTED * people, 0.5)
        votes[mend] = _largest_remainders(expected[mend], people[mend])
        lost = ~np.isnan(left) & ~mend
    far = np.abs(votes - expected) > np.maximum(PRINTED * people[:, None], 0.01)
    return votes, lost | far.any(1)


def _largest_remainders(expected: Numbers, people: Numbers) -> Numbers:
    """Whole numbers (N, K) near the expected ones that add up to the people (N,)."""
    near = np.where(np.abs(expected - np.rint(expected)) < 1e-6, np.rint(expected), expected)
    votes = np.floor(near)
    missing = people - votes.sum(1)
    rank = np.argsort(np.argsort(votes - near, axis=1, kind="stable"), axis=1, kind="stable")  # 0: largest remainder
    votes = votes + (rank < missing[:, None])
    over = np.maximum(-missing, 0)  # shares that were rounded up add up to more than all
    last = np.argsort(np.argsort(near - votes, axis=1, kind="stable"), axis=1, kind="stable")
    return np.asarray(votes - ((last < over[:, None]) & (votes > 0)))
