"""The outcome of one galaxy, carried in every result row."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Status(IntEnum):
    """How the measurement of one galaxy ended; tables hold the lower-case name.

    A value other than `OK` never stops or changes a neighbour. `AT_BOUND`, `NOT_CONVERGED` and `EXCEEDS_FRAME`
    come with the numbers that were reached, to be used with care; the others come with NaN.
    """

    OK = 0
    AT_BOUND = 1
    NOT_CONVERGED = 2
    EXCEEDS_FRAME = 3
    SINGULAR = 4
    NO_DATA = 5
    SKIPPED = 6
    UNREADABLE = 7
    FAILED = 8

    @property
    def label(self) -> str:
        """Name in tables, e.g. ``"not_converged"``."""
        return self.name.lower()

    @property
    def meaning(self) -> str:
        """One sentence for people."""
        return MEANING[self]


MEANING = {
    Status.OK: "converged; values and errors can be used",
    Status.AT_BOUND: "a parameter ended at its bound; its error is not meaningful",
    Status.NOT_CONVERGED: "the iterations ran out before chi^2 settled",
    Status.EXCEEDS_FRAME: "the galaxy fills its frame, so that size and sky cannot be told apart; cut a larger one",
    Status.SINGULAR: "the pixels do not constrain the parameters, e.g. because there is no light",
    Status.NO_DATA: "no pixel, or too few of them, carries weight",
    Status.SKIPPED: "not measured on purpose, e.g. a star",
    Status.UNREADABLE: "a file of this galaxy is missing or broken",
    Status.FAILED: "the measurement failed for a reason that the log names",
}


def labels(codes: Iterable[int] | NDArray[np.integer]) -> NDArray[np.str_]:
    """Lower-case names of status codes, (B,)."""
    return np.array([Status(int(code)).label for code in codes], dtype=str)
