"""Where the work is done: an engine is anything with ``map(function, items)``.

Results may come back in any order; each carries what it belongs to. A `concurrent.futures.Executor` is an engine too,
but it breaks when a worker dies. `LocalEngine` and `RayEngine` go on: they try the item of a dead worker once more and
then hand back `Lost` in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

TRIES = 2  # a worker may be killed for its neighbour's sake (memory); twice over the same item is the item's doing

# Each worker is one core; BLAS and OpenMP would start as many threads as there are cores in every one of them.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Engine(Protocol):
    """Calls a picklable function on every item; the function does not raise."""

    def map(self, function: Callable[[Any], Any], items: Iterable[Any], /) -> Iterable[Any]:
        """Results in any order."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Lost:
    """What comes back in place of a result when every worker that tried the item died.

    Parameters
    ----------
    item : the item, as it was given.
    reason : one sentence for people.
    """

    item: Any
    reason: str
