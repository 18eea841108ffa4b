"""Votes of images that a model has not seen."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rosse.cutouts import Cutouts
from rosse.errors import FileError
from rosse.nets.heads import vote_outputs
from rosse.nets.preparing import Images
from rosse.status import Status
from rosse.votes.model import VoteModel, load_model
from rosse.votes.result import Votes
from rosse.votes.seeing import as_images, redshifts, see

log = logging.getLogger(__name__)

BATCH = 256


def predict_votes(
    images: Cutouts | Images | str | Path,
    model: VoteModel | str | Path,
    *,
    redshift: ArrayLike | Mapping[str, float] | None = None,
    batch: int = BATCH,
    device: str = "cpu",
) -> Votes:
    """Posteriors for what volunteers would say.

    Parameters
    ----------
    images : B galaxies in the bands that the model was trained on; or a folder, a packed store, a manifest of them.
    model : a model, or its folder.
    redshift : (B,) NaN where unknown, or id → redshift; None: of no galaxy.
    batch : galaxies at a time.
    device : ``cpu`` or ``cuda``.

    Returns
    -------
    Votes
        Rows in the order of the images. `Status.NO_DATA` where no pixel carries weight, `Status.UNREADABLE` where a
        file is broken, `Status.FAILED` where what the network gives is no number.
    """
    known = load_model(model).to(device)
    source = as_images(images)
    z = redshifts(redshift, source.ids)
    parts = [nothing(known)]
    for first in range(0, len(source.ids), batch):
        rows = np.arange(first, min(first + batch, len(source.ids)))
        parts.append(votes_of_rows(source, rows, known, z[rows], device=device))
    votes = _joined(parts)
    if len(votes) and (votes.status == Status.UNREADABLE).all():
        raise FileError(f"none of the {len(votes)} images can be used; the log says why")
    return votes


def votes_of_rows(
    images: Images, rows: NDArray[np.int64], model: VoteModel, redshift: NDArray[np.float64], *, device: str = "cpu"
) -> Votes:
    """Posteriors of the galaxies in some rows, in their order; those that cannot be read have a row as well."""
    seen = see(images, rows, model.preparation, redshift)
    for each in seen.broken:
        log.warning("galaxy %s cannot be used: %s", each.id, each.reason)
    ids = images.ids[rows]
    if not np.array_equal(seen.id, ids[seen.good]):
        raise AssertionError("images and ids do not belong together")
    values = np.full((len(rows), model.components, len(vote_outputs(model.tree))), np.nan)
    status = np.full(len(rows), int(Status.UNREADABLE))
    ra, dec = (np.full(len(rows), np.nan) for _ in range(2))
    if len(seen.good):
        found = model.concentrations(seen.batch.to(device)).numpy()
        wrong = ~np.isfinite(found).all((1, 2))
        status[seen.good] = np.where(seen.blank, Status.NO_DATA, np.where(wrong, Status.FAILED, Status.OK))
        values[seen.good] = np.where((seen.blank | wrong)[:, None, None], np.nan, found)
        ra[seen.good], dec[seen.good] = seen.ra, seen.dec
    return Votes(tree=model.tree, id=ids, ra=ra, dec=dec, concentrations=values, status=status, model=model.hash)


def nothing(model: VoteModel) -> Votes:
    """No galaxy."""
    none = np.empty(0)
    values = np.empty((0, model.components, len(vote_outputs(model.tree))))
    return Votes(tree=model.tree, id=np.empty(0, dtype=str), ra=none, dec=none, concentrations=values,
                 status=np.empty(0, dtype=np.int64), model=model.hash)  # fmt: skip


def _joined(parts: list[Votes]) -> Votes:
    rows = ("id", "ra", "dec", "concentrations", "status")
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in rows}
    return replace(parts[0], **joined)
