"""`acquire`: which galaxies of many images to label next, so that a model learns most."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from rosse.cutouts import Cutouts
from rosse.errors import FileError, InputError, OptionError, unknown_name
from rosse.io.columns import ID_COLUMNS, IMAGE_COLUMNS
from rosse.io.manifest import read_table
from rosse.nets.checkpoints import digest, load_tensors, save_tensors
from rosse.nets.preparing import Images
from rosse.nets.training import Watch
from rosse.status import Status
from rosse.tables import Column, table_of
from rosse.tree import Tree
from rosse.votes.acquisition import information
from rosse.votes.examples import _stem as stem
from rosse.votes.mixture import asked_probability
from rosse.votes.model import VoteModel, load_model
from rosse.votes.predicting import votes_of_rows
from rosse.votes.seeing import as_images, redshifts
from rosse.votes.selection import STRATEGIES, Candidates, select

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

Numbers = NDArray[np.float64]
Rows = NDArray[np.int64]
CHUNK = 1024  # galaxies whose predictions are kept in one file


@dataclass(frozen=True, kw_only=True)
class Acquiring:
    """What labels are wanted.

    Parameters
    ----------
    count : galaxies to label next.
    strategy : how they are chosen: a name of `rosse.votes.selection.STRATEGIES`.
    questions : names of those that labels are wanted for; empty: all.
    people : who will look at each galaxy.
    seed : of what is left to chance.
    """

    count: int = 100
    strategy: str = "variance"
    questions: tuple[str, ...] = ()
    people: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise OptionError(unknown_name("strategy", self.strategy, STRATEGIES))
        for name in ("count", "people"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}; 1 or more are wanted")


@dataclass(frozen=True, kw_only=True, eq=False)
class Acquisition:
    """Galaxies to label next, the most wanted first.

    Parameters
    ----------
    tree : whose questions.
    how : they were chosen.
    id, ra, dec : (N,) of the galaxies; degrees, NaN where unknown.
    row : (N,) of each among the images.
    information : (N, Q) nats that the votes of `how.people` on each question teach about the model, each galaxy alone.
    asked : (N, Q) probability that a volunteer is asked each question.
    model : hash of the model.
    pool : galaxies that could have been chosen.
    """

    tree: Tree
    how: Acquiring
    id: NDArray[np.str_]
    ra: Numbers
    dec: Numbers
    row: Rows
    information: Numbers
    asked: Numbers
    model: str
    pool: int

    def __len__(self) -> int:
        return len(self.id)

    def __repr__(self) -> str:
        return f"Acquisition of {len(self)} of {self.pool} galaxies by {self.how.strategy}, for model {self.model}"

    def table(self) -> Table:
        """Galaxy by galaxy: rank, id, place, what its votes would teach and who would be asked, and who says so."""
        count = len(self)
        about = "nats that the votes on all questions wanted teach about the model, each galaxy alone"
        names = self.how.questions or tuple(question.name for question in self.tree.questions)
        wanted = [i for i, question in enumerate(self.tree.questions) if question.name in names]
        entries = [
            (Column(name="rank", dtype="i8", description="1: the most wanted"), np.arange(1, count + 1)),
            (Column(name="id", dtype="str", description="name of the galaxy"), self.id),
            (Column(name="ra", unit="deg", description="right ascension; NaN: not known"), self.ra),
            (Column(name="dec", unit="deg", description="declination; NaN: not known"), self.dec),
            (Column(name="information", description=about), self.information[:, wanted].sum(1)),
        ]
        for i in wanted:
            question = self.tree.questions[i]
            text = f"probability that a volunteer is asked: {question.text or question.name}"
            entries.append((Column(name=f"{question.name}_asked", description=text), self.asked[:, i]))
        entries += [
            (Column(name="strategy", dtype="str", description="how galaxies were chosen"),
             np.full(count, self.how.strategy)),
            (Column(name="seed", dtype="i8", description="of what was left to chance"), np.full(count, self.how.seed)),
            (Column(name="weights", dtype="str", description="hash of the model"), np.full(count, self.model)),
        ]  # fmt: skip
        return table_of(entries)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pool:
    """Predictions of all galaxies that could be labelled."""

    rows: Rows
    concentrations: list[Numbers] = field(default_factory=list)
    good: list[NDArray[np.bool_]] = field(default_factory=list)
    places: list[Numbers] = field(default_factory=list)


def acquire(
    images: Cutouts | Images | str | Path,
    model: VoteModel | str | Path,
    *,
    how: Acquiring | None = None,
    labelled: Iterable[str] = (),
    redshift: ArrayLike | Mapping[str, float] | None = None,
    work: str | Path | None = None,
    watch: Watch | None = None,
    device: str = "cpu",
) -> Acquisition:
    """Choose the galaxies whose labels teach a model most.

    Parameters
    ----------
    images : of the galaxies: cutouts, a folder, a packed store, a manifest.
    model : with members, or draws of dropout, that can disagree; or its folder.
    how : which labels, how many, and by which strategy.
    labelled : names of galaxies that have labels already, also as names of files; they are left out.
    redshift : (B,) of the images, or id → redshift.
    work : folder in which predictions are kept while it works: what was stopped goes on there. Removed at the end.
    watch : what to tell of the way.
    device : ``cpu`` or ``cuda``.

    Returns
    -------
    Acquisition
        Galaxies that no pixel tells of, or whose file is broken, are never chosen. Predictions of the whole pool are in
        memory: about 60 kB a galaxy, in all, with 24 components and every question of the DECaLS tree.
    """
    known, source, how = load_model(model).to(device), as_images(images), how or Acquiring()
    for name in how.questions:
        known.tree[name]  # the name of a question
    rows = _unlabelled(source.ids, labelled)
    z = redshifts(redshift, source.ids)
    folder = None if work is None else Path(work)
    mark = digest(known.hash, "\n".join(source.ids[rows].tolist()), z[rows].tobytes())
    pool = _Pool(rows=rows)
    if watch is not None:
        watch.begin(total=len(rows), done=0)
    try:
        for first in range(0, len(rows), CHUNK):
            some = rows[first : first + CHUNK]
            _add(pool, _predicted(source, some, known, z, (folder, first, mark, device)))
            if watch is not None:
                watch.add(weight=len(some), counts={"galaxies": len(some)})
    finally:
        if watch is not None:
            watch.end()
    found = _chosen(pool, known, how, source.ids)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def read_labelled(path: str | Path) -> list[str]:
    """Names of the galaxies of a table, such as one of votes: each that has a row counts as labelled."""
    table = read_table(Path(path))
    known = {str(name).lower(): name for name in table.columns}
    column = next((known[name] for name in (*ID_COLUMNS, *IMAGE_COLUMNS) if name in known), None)
    if column is None:
        raise FileError(f"{path} has no column of names: one of {', '.join(ID_COLUMNS)} is wanted")
    return [str(name) for name in table[column] if str(name)]


def _unlabelled(ids: NDArray[np.str_], labelled: Iterable[str]) -> Rows:
    """Rows of galaxies without labels, by their names, or, if no name is the same, by those of files without ending."""
    names = {str(name) for name in labelled}
    known = np.array([str(name) in names for name in ids], dtype=bool)
    if names and not known.any():
        stems = {stem(name) for name in names}
        known = np.array([stem(str(name)) in stems for name in ids], dtype=bool)
    if names and not known.any():
        log.warning("none of the %d galaxies with labels, such as %s, is among the images", len(names), min(names))
    if known.all():
        raise InputError(f"there is no galaxy left to label: {len(ids)} images, all of them with labels")
    return np.flatnonzero(~known)


def _predicted(
    source: Images, rows: Rows, model: VoteModel, z: Numbers, about: tuple[Path | None, int, str, str]
) -> dict[str, torch.Tensor]:
    """Predictions of some rows, from the work folder if they are there."""
    folder, first, mark, device = about
    path = None if folder is None else folder / f"{first:09d}.safetensors"
    if path is not None and path.is_file():
        kept, told = load_tensors(path)
        if told.get("mark") == mark:
            return kept
    votes = votes_of_rows(source, rows, model, z[rows], device=device)
    found = {
        "concentrations": torch.from_numpy(np.ascontiguousarray(votes.concentrations)),
        "good": torch.from_numpy(votes.status == Status.OK),
        "places": torch.from_numpy(np.stack((votes.ra, votes.dec), 1)),
    }
    if path is not None:
        save_tensors(path, found, {"mark": mark})
    return found


def _add(pool: _Pool, found: dict[str, torch.Tensor]) -> None:
    pool.concentrations.append(found["concentrations"].numpy())
    pool.good.append(found["good"].numpy())
    pool.places.append(found["places"].numpy())


def _chosen(pool: _Pool, model: VoteModel, how: Acquiring, ids: NDArray[np.str_]) -> Acquisition:
    good = np.concatenate(pool.good)
    if not good.any():
        raise FileError(f"none of the {len(good)} images can be used; the log says why")
    rows, places = pool.rows[good], np.concatenate(pool.places)[good]
    said = np.concatenate(pool.concentrations)[good]
    candidates = Candidates(tree=model.tree, concentrations=said, questions=how.questions, people=how.people)
    best = select(candidates, how.count, strategy=how.strategy, seed=how.seed)
    if len(best) < how.count:
        log.warning("%d galaxies are wanted, and only %d are left", how.count, len(best))
    return Acquisition(
        tree=model.tree, how=how, id=ids[rows[best]], ra=places[best, 0], dec=places[best, 1], row=rows[best],
        information=information(model.tree, said[best], people=how.people, seed=how.seed),
        asked=asked_probability(model.tree, said[best]), model=model.hash, pool=len(rows),
    )  # fmt: skip
