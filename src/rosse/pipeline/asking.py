"""Votes on batches within a step, and how their columns are called beside those of other verbs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from rosse.errors import InputError
from rosse.pipeline.rows import SHARED, each_alone, missing_rows, one_thread, with_status
from rosse.status import Status
from rosse.tables import to_arrow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rosse.cutouts import Cutouts
    from rosse.votes.model import VoteModel
    from rosse.votes.quantity_model import QuantityModel

MODEL = "gz-decals-small"
STATUS = "vote_status"
_OWN = {"weights": "vote_weights", "status": STATUS}
_LEFT_OUT = ("_concentration", "_hardly_asked")  # follow from the others; rosse predict writes them


@dataclass(frozen=True, kw_only=True, eq=False)
class Asking:
    """How votes are predicted within a step.

    Parameters
    ----------
    model : folder of a model that takes images in these bands.
    weights : hash that it must have: a folder may change while a run goes on.
    device : where, ``"cpu"`` or ``"cuda"``.
    """

    model: Path
    weights: str
    device: str = "cpu"

    @classmethod
    def of(cls, model: str | Path = MODEL, *, device: str = "cpu") -> Asking:
        """By a model's folder, or the name of one that comes with rosse."""
        from rosse.votes.model import load_any, model_folder

        folder = model_folder(model).absolute()
        return cls(model=folder, weights=load_any(folder).hash, device=device)

    def check(self, bands: Sequence[str]) -> None:
        """Refuse what would fail for every galaxy alike."""
        preparation = loaded(self.model, self.weights, self.device).preparation
        preparation.check_bands(tuple(bands))

    def record(self) -> dict[str, Any]:
        """Everything that decides the numbers, by name."""
        return {"votes": self.weights, "votes_device": self.device}

    def rows(self, cutouts: Cutouts) -> pa.Table:
        """One row per cutout, in their order; one that makes the prediction raise costs the others nothing."""

        def predicted(part: slice) -> pa.Table:
            return self._predicted(cutouts[part])

        def failed(part: slice) -> pa.Table:
            return with_status(missing_rows(self.columns(), cutouts.id[part].tolist(), Status.FAILED), Status.FAILED)

        return each_alone(cutouts.id, "predicted", predicted, failed)

    def columns(self) -> pa.Schema:
        """Columns of `rows`."""
        from rosse.votes.predicting import nothing

        return to_arrow(nothing(loaded(self.model, self.weights, self.device)).table()).schema

    def _predicted(self, cutouts: Cutouts) -> pa.Table:
        from rosse.nets.preparing import InMemory
        from rosse.votes.predicting import said_of_rows

        model, count = loaded(self.model, self.weights, self.device), len(cutouts)
        z = np.full(count, np.nan)
        found = said_of_rows(InMemory(cutouts=cutouts), np.arange(count), model, z, device=self.device)
        return to_arrow(found.table())


def votes_beside_others(rows: pa.Table) -> pa.Table:
    """The same rows with names that stand in one table with those of a detection and a fit, and without repetition."""
    kept = [name for name in rows.column_names if name in SHARED or not name.endswith(_LEFT_OUT)]
    return rows.select(kept).rename_columns([_OWN.get(name, name) for name in kept])


@lru_cache(maxsize=1)
def loaded(path: Path, weights: str, device: str) -> VoteModel | QuantityModel:
    """The model, once in each process."""
    from rosse.votes.model import load_any

    with one_thread():
        model = load_any(path).to(device)
    if model.hash != weights:
        raise InputError(f"{path} has changed since the run began: its weights are {model.hash}, not {weights}")
    return model
