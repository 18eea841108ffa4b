"""Images with the votes or numbers on them: what a network learns from."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from rosse.cutouts import Cutouts
from rosse.errors import FileError, InputError, OptionError, bands_text
from rosse.io.gallery import Gallery
from rosse.io.loading import Broken
from rosse.nets.augmenting import Augmentation
from rosse.nets.checkpoints import digest
from rosse.nets.preparing import Batch, Images, Preparation
from rosse.votes.quantities import Quantities
from rosse.votes.seeing import redshifts, see
from rosse.votes.table import VoteTable

log = logging.getLogger(__name__)

Rows = NDArray[np.int64]
CHUNK = 256
_ENDING = re.compile(r"\.(jpe?g|png|tiff?|fits?|npy|npz)(\.(gz|fz))?$", re.IGNORECASE)
SAMPLE = 512  # images from which a preparation takes its numbers
MEMORY = 3 * 10**9  # bytes of prepared images that are kept; more are read again for every epoch


Labels = VoteTable | Quantities
L = TypeVar("L", bound=Labels)


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled(Generic[L]):
    """Galaxies that have both an image and votes, or numbers.

    Parameters
    ----------
    images : of more galaxies, perhaps.
    rows : (N,) rows of these among the images.
    votes : on these, in the same order; or the numbers that they are labelled with.
    redshift : (N,), NaN where unknown.
    """

    images: Images
    rows: Rows
    votes: L
    redshift: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: Rows) -> Labelled[L]:
        return Labelled(
            images=self.images, rows=self.rows[which], votes=cast(L, self.votes[which]), redshift=self.redshift[which]
        )


def match(images: Images, votes: L, *, redshift: ArrayLike | Mapping[str, float] | None = None) -> Labelled[L]:
    """Galaxies that are in both, by their ids; where none is, by the names of files without folder and ending.

    Parameters
    ----------
    images, votes : with ids.
    redshift : (B,) of the images, or id → redshift.
    """
    z = redshifts(redshift, images.ids)
    found = _common(images.ids.tolist(), votes.id.tolist())
    if not len(found[0]):
        found = _common([_stem(name) for name in images.ids], [_stem(name) for name in votes.id])
    if not len(found[0]):
        have = f"{str(images.ids[0])!r}" if len(images.ids) else "none at all"
        voted = f"{str(votes.id[0])!r}" if len(votes) else "none at all"
        raise InputError(f"no galaxy has both an image and votes: images are called {have}, votes are on {voted}; "
                         "the column of the names can be chosen with id (--id)")  # fmt: skip
    lost = len(votes) - len(found[0])
    if lost:
        log.warning("%d of %d galaxies with votes have no image and are left out", lost, len(votes))
    rows, which = found
    asked = labelled_at_all(votes[which])
    if not asked.any():
        raise InputError("none of the galaxies with an image has a vote, or a label")
    return Labelled(images=images, rows=rows[asked], votes=cast(L, votes[which[asked]]), redshift=z[rows[asked]])


def labelled_at_all(votes: Labels) -> NDArray[np.bool_]:
    """(N,) whether anything is known of a galaxy."""
    return votes.known if isinstance(votes, Quantities) else np.asarray(np.nan_to_num(votes.people).sum(1) > 0)


def _answers(votes: Labels) -> tuple[NDArray[np.float64], ...]:
    """What a loss wants beside the image: numbers (N, T), or counts (N, A) and people (N, Q)."""
    return (votes.values,) if isinstance(votes, Quantities) else (votes.counts, votes.people)


def _common(images: list[str], votes: list[str]) -> tuple[Rows, Rows]:
    """Rows of both, in the order of the images."""
    row_of = {name: i for i, name in enumerate(votes)}
    if len(row_of) < len(votes) or len(set(images)) < len(images):
        raise InputError("names of files are the same in several folders; give ids of their own to votes and images")
    pairs = [(i, row_of[name]) for i, name in enumerate(images) if name in row_of]
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _stem(name: str) -> str:
    """A file's name without folder and ending; names of galaxies have points of their own: J005321.49-025122.0."""
    return _ENDING.sub("", PurePath(str(name).replace("\\", "/")).name)


def split(ids: NDArray[np.str_], shares: tuple[float, float], *, seed: int = 0) -> tuple[Rows, Rows, Rows]:
    """Rows to learn from, to validate with, and to judge with. Each galaxy is decided on by its name alone.

    Parameters
    ----------
    ids : (N,) names.
    shares : of the galaxies to validate and to judge with; a split of the same seed keeps when galaxies are added.
    seed : of the split.
    """
    valid, test = shares
    if not (valid > 0 and test >= 0 and valid + test < 1):
        raise OptionError(
            f"shares to validate and to judge with are {shares}; positive ones below 1 together are wanted"
        )
    number = np.array([_number(f"{seed} {name}") for name in ids])
    groups = number >= valid + test, number < valid, (number >= valid) & (number < valid + test)
    learn, check, judge = (np.flatnonzero(group) for group in groups)
    return learn, check, judge


def _number(name: str) -> float:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7]) / 2**56


class Examples(Generic[L]):
    """Prepared images with votes or numbers, kept in memory as far as there is room; a `rosse.nets.training.Data`.

    Parameters
    ----------
    labelled : the galaxies. Those whose image cannot be read are left out, and named.
    preparation : of the images. None takes its numbers from some of them; so does one for other bands, of which there
        must be as many.
    side : of the images, where `preparation` is None.
    augmentation : for training.
    device : where batches are wanted.
    """

    def __init__(
        self,
        labelled: Labelled[L],
        *,
        preparation: Preparation | None = None,
        side: int = 64,
        augmentation: Augmentation | None = None,
        device: str = "cpu",
    ) -> None:
        self.augmentation = augmentation or Augmentation()
        self.device = device
        good, sample = _readable(labelled)
        self.labelled: Labelled[L] = labelled[good] if len(good) < len(labelled) else labelled
        if not len(good):
            raise FileError("none of the images can be read")
        self.preparation = _suited(preparation, sample, side)
        self.answers = [torch.from_numpy(np.ascontiguousarray(x)) for x in _answers(self.labelled.votes)]
        self.hash, self.kept = self._load()

    def __len__(self) -> int:
        return len(self.labelled)

    def batch(self, rows: Rows, draw: torch.Generator | None) -> tuple[Any, ...]:
        """Prepared images of rows and their labels: counts (B, A) and people (B, Q), or numbers (B, T).

        Images are varied if there is something to draw from.
        """
        seen = self.seen(rows)
        if draw is not None:
            seen = self.augmentation(seen, self.preparation, draw)
        return (seen.to(self.device), *(each[rows].to(self.device) for each in self.answers))

    def seen(self, rows: Rows) -> Batch:
        """Prepared images of rows."""
        if self.kept is not None:
            return Batch(pixels=self.kept.pixels[rows].float(), conditions=self.kept.conditions[rows])
        return self._read(rows)

    def _read(self, rows: Rows) -> Batch:
        labelled = self.labelled
        found = see(labelled.images, labelled.rows[rows], self.preparation, labelled.redshift[rows])
        if found.broken:
            raise FileError(f"image {found.broken[0].id} can no longer be read: {found.broken[0].reason}")
        return found.batch

    def _load(self) -> tuple[str, Batch | None]:
        """Hash of votes and images, and the images where there is room for them; else of their names."""
        votes: Labels = self.labelled.votes
        parts: list[Any] = ["\n".join(votes.id.tolist()), *(each.tobytes() for each in _answers(votes))]
        bands, side = len(self.preparation.bands), self.preparation.side
        # Brightness has 256 steps in a picture, for which half precision is enough; fluxes have more.
        kind = torch.float16 if self.preparation.picture else torch.float32
        if kind.itemsize * len(self) * bands * side * side > MEMORY:
            return digest(*parts)[:12], None
        pixels = torch.empty(len(self), bands, side, side, dtype=kind)
        conditions = torch.empty(len(self), 3)
        for first in range(0, len(self), CHUNK):
            rows = np.arange(first, min(first + CHUNK, len(self)))
            read = self._read(rows)
            pixels[rows], conditions[rows] = read.pixels.to(kind), read.conditions
        parts += [pixels.numpy().tobytes(), conditions.numpy().tobytes()]
        return digest(*parts)[:12], Batch(pixels=pixels, conditions=conditions)


def _suited(preparation: Preparation | None, sample: list[Cutouts], side: int) -> Preparation:
    if preparation is None:
        return Preparation.fitted(sample, side=side)
    if preparation.colours:
        return preparation
    known, have = preparation.bands, sample[0].bands
    if set(known) <= set(have):
        return preparation
    if len(known) != len(have):
        raise InputError(f"the model was trained on {bands_text(known)}; the images have {bands_text(have)}")
    return Preparation.fitted(sample, side=preparation.side)


def _readable(labelled: Labelled[L]) -> tuple[Rows, list[Cutouts]]:
    """Rows whose images can be read and have the bands of the first, and some of the images."""
    images = labelled.images
    if not isinstance(images, Gallery):  # what is packed or in memory was read when it was put there
        some = np.linspace(0, len(labelled) - 1, min(SAMPLE, len(labelled))).astype(np.int64)
        return np.arange(len(labelled)), [images.batch(labelled.rows[some])] if len(some) else []
    good: list[int] = []
    sample: list[Cutouts] = []
    bad: list[Broken] = []
    for first in range(0, len(labelled), CHUNK):
        for row, each in enumerate(images.each(labelled.rows[first : first + CHUNK]), first):
            if isinstance(each, Broken):
                bad.append(each)
            elif sample and each.bands != sample[0].bands:
                have = f"it has {bands_text(each.bands)}, the first one {bands_text(sample[0].bands)}"
                bad.append(Broken(id=str(each.id[0]), path="", reason=have))
            else:
                good.append(row)
                sample += [each] if len(sample) < SAMPLE else []
    if bad:
        reason = f"{bad[0].id}: {bad[0].reason}"
        log.warning("%d of %d images cannot be used and are left out, such as %s", len(bad), len(labelled), reason)
    return np.array(good, dtype=np.int64), sample
