"""Votes and numbers of images that a model has not seen."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rosse.cutouts import Cutouts
from rosse.errors import FileError, InputError
from rosse.nets.heads import vote_outputs
from rosse.nets.preparing import Batch, Images
from rosse.status import Status
from rosse.votes.model import VoteModel, load_any, load_model
from rosse.votes.quantities import Estimates
from rosse.votes.quantity_model import QuantityModel
from rosse.votes.result import Votes
from rosse.votes.seeing import as_images, redshifts, see

log = logging.getLogger(__name__)

BATCH = 256
R = TypeVar("R", bound=Votes | Estimates)


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
    model : a model, its folder, or the name of one that comes with rosse: ``gz-decals-small``.
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
    parts = _in_batches(as_images(images), known, redshift, batch=batch, device=device)
    return _joined([part for part in parts if isinstance(part, Votes)])


def predict_quantities(
    images: Cutouts | Images | str | Path,
    model: QuantityModel | str | Path,
    *,
    redshift: ArrayLike | Mapping[str, float] | None = None,
    batch: int = BATCH,
    device: str = "cpu",
) -> Estimates:
    """Numbers that a model was fine-tuned to, such as a Hubble stage, with their errors.

    Parameters
    ----------
    images, redshift, batch, device : as of `predict_votes`.
    model : a model that `rosse.finetune` made from `rosse.Quantities`, or its folder.

    Returns
    -------
    Estimates
        Rows in the order of the images, with the same `Status` as of `predict_votes`.
    """
    known = load_any(model)
    if not isinstance(known, QuantityModel):
        raise InputError(f"{known!r} predicts votes, no numbers; rosse.predict_votes uses it")
    parts = _in_batches(as_images(images), known.to(device), redshift, batch=batch, device=device)
    return _joined([part for part in parts if isinstance(part, Estimates)])


def _in_batches(
    source: Images,
    model: VoteModel | QuantityModel,
    redshift: ArrayLike | Mapping[str, float] | None,
    *,
    batch: int,
    device: str,
) -> list[Votes | Estimates]:
    """What is said of all images, a batch at a time."""
    z = redshifts(redshift, source.ids)
    parts = [nothing(model)]
    for first in range(0, len(source.ids), batch):
        rows = np.arange(first, min(first + batch, len(source.ids)))
        parts.append(said_of_rows(source, rows, model, z[rows], device=device))
    status = np.concatenate([part.status for part in parts])
    if len(status) and (status == Status.UNREADABLE).all():
        raise FileError(f"none of the {len(status)} images can be used; the log says why")
    return parts


def votes_of_rows(
    images: Images, rows: NDArray[np.int64], model: VoteModel, redshift: NDArray[np.float64], *, device: str = "cpu"
) -> Votes:
    """Posteriors of the galaxies in some rows, in their order, as `said_of_rows`."""
    found = said_of_rows(images, rows, model, redshift, device=device)
    assert isinstance(found, Votes)
    return found


def said_of_rows(
    images: Images,
    rows: NDArray[np.int64],
    model: VoteModel | QuantityModel,
    redshift: NDArray[np.float64],
    *,
    device: str = "cpu",
) -> Votes | Estimates:
    """What is said of the galaxies in some rows, in their order; those that cannot be read have a row as well."""
    seen = see(images, rows, model.preparation, redshift)
    for each in seen.broken:
        log.warning("galaxy %s cannot be used: %s", each.id, each.reason)
    ids = images.ids[rows]
    if not np.array_equal(seen.id, ids[seen.good]):
        raise AssertionError("images and ids do not belong together")
    values = np.full((len(rows), model.components, _outputs(model)), np.nan)
    status = np.full(len(rows), int(Status.UNREADABLE))
    ra, dec = (np.full(len(rows), np.nan) for _ in range(2))
    if len(seen.good):
        found = _said(model, seen.batch.to(device))
        wrong = ~np.isfinite(found).all((1, 2))
        status[seen.good] = np.where(seen.blank, Status.NO_DATA, np.where(wrong, Status.FAILED, Status.OK))
        values[seen.good] = np.where((seen.blank | wrong)[:, None, None], np.nan, found)
        ra[seen.good], dec[seen.good] = seen.ra, seen.dec
    return _result(model, values, {"id": ids, "ra": ra, "dec": dec, "status": status})


def nothing(model: VoteModel | QuantityModel) -> Votes | Estimates:
    """No galaxy."""
    none = np.empty(0)
    rows = {"id": np.empty(0, dtype=str), "ra": none, "dec": none, "status": np.empty(0, dtype=np.int64)}
    return _result(model, np.empty((0, model.components, _outputs(model))), rows)


def _outputs(model: VoteModel | QuantityModel) -> int:
    return len(vote_outputs(model.tree)) if isinstance(model, VoteModel) else 2 * len(model.names)


def _said(model: VoteModel | QuantityModel, batch: Batch) -> NDArray[np.float64]:
    """Numbers (B, M, outputs): concentrations, or means and then errors."""
    if isinstance(model, VoteModel):
        return np.asarray(model.concentrations(batch).numpy())
    return np.concatenate(model.said(batch), -1)


def _result(model: VoteModel | QuantityModel, values: NDArray[np.float64], rows: dict[str, Any]) -> Votes | Estimates:
    if isinstance(model, VoteModel):
        tails = model.calibration.tails_of(model.tree) if model.calibration.tails else None
        return Votes(tree=model.tree, concentrations=values, model=model.hash, tails=tails, **rows)
    means, sigmas = np.split(values, 2, -1)
    return Estimates(names=model.names, bounds=model.bounds, means=means, sigmas=sigmas, model=model.hash, **rows)


def _joined(parts: list[R]) -> R:
    own: list[str] = ["concentrations"] if isinstance(parts[0], Votes) else ["means", "sigmas"]
    names = ["id", "ra", "dec", "status", *own]
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return replace(parts[0], **joined)
