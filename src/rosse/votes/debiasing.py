"""What distance and depth do to votes, learnt from virtual galaxies that are seen several times, and undone.

Arms and bars of a galaxy that is further away, or is seen in less light, are lost: people answer otherwise although
the galaxy is the same. Galaxy Zoo corrects vote fractions by comparing galaxies at different redshifts, which must be
taken as the same kind (Willett+2013, doi:10.1093/mnras/stt1458, Sect. 3.3; Hart+2016, doi:10.1093/mnras/stw1588,
Sect. 3). In the virtual sky it is known what people would say of the very same galaxy from nearby.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rosse.errors import InputError, OptionError
from rosse.sky.draw import Truth
from rosse.sky.observe import View, observe_in_batches
from rosse.sky.opinions import opinions
from rosse.sky.population import Population
from rosse.sky.volunteers import volunteers
from rosse.tables import Column, table_of
from rosse.tree import Tree, read_tree
from rosse.votes.model import VoteModel, load_model
from rosse.votes.predicting import predict_votes

if TYPE_CHECKING:
    from astropy.table import Table

Numbers = NDArray[np.float64]
KNOTS = 61  # of a map of fractions
LEVELS = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, KNOTS))  # more of them near 0 and 1, where maps are steep
LEAST_ASKED = 0.1  # probability of being asked, from which on a galaxy counts for a question
FEWEST = 40  # galaxies from which a map is learnt; with fewer, fractions stay as they are


@dataclass(frozen=True, kw_only=True)
class Look:
    """One way to see the galaxies.

    Parameters
    ----------
    survey : who looks.
    z : redshift that all galaxies are moved to; None: each at its own.
    """

    survey: str
    z: float | None = None

    def __str__(self) -> str:
        return self.survey if self.z is None else f"{self.survey}, z = {self.z:g}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Looks:
    """The same N galaxies seen in L ways, the first of which is the reference.

    Parameters
    ----------
    tree : of Q questions with A answers.
    looks : L ways to see them.
    fractions : (L, N, A) share of each answer among those asked its question; NaN where nobody was asked.
    asked : (L, N, Q) probability that a volunteer is asked.
    """

    tree: Tree
    looks: tuple[Look, ...]
    fractions: Numbers
    asked: Numbers

    def __post_init__(self) -> None:
        size = (len(self.looks), self.fractions.shape[1] if self.fractions.ndim == 3 else -1)
        for name, columns in (("fractions", len(self.tree.columns)), ("asked", len(self.tree.questions))):
            if getattr(self, name).shape != (*size, columns):
                raise InputError(f"{name} have shape {getattr(self, name).shape}; {(*size, columns)} is wanted")

    def __len__(self) -> int:
        return int(self.fractions.shape[1])

    def rows(self, which: slice | ArrayLike) -> Looks:
        """Some of the galaxies."""
        rows = which if isinstance(which, slice) else np.asarray(which)
        return replace(self, fractions=self.fractions[:, rows], asked=self.asked[:, rows])

    def counted(self, look: int, question: int) -> NDArray[np.bool_]:
        """(N,) galaxies of whose answers a look and the reference both tell."""
        seen = ~np.isnan(self.fractions[[0, look]][..., self.tree.slices[question]]).any((0, 2))
        return np.asarray(seen & (self.asked[[0, look], :, question] >= LEAST_ASKED).all(0))

    def table(self) -> Table:
        """Look by look and answer by answer: mean share of those asked, change from the reference, and who is asked."""
        rows: list[tuple[object, ...]] = []
        for i, look in enumerate(self.looks):
            for q, here in enumerate(self.tree.slices):
                both = self.counted(i, q)
                some = bool(both.any())
                for k in range(here.start, here.stop):
                    now, before = self.fractions[i, both, k], self.fractions[0, both, k]
                    means = (now.mean(), before.mean()) if some else (np.nan, np.nan)
                    rows.append((str(look), self.tree.columns[k], float(np.nan if look.z is None else look.z),
                                 int(both.sum()), *map(float, means), float(self.asked[i, :, q].mean())))  # fmt: skip
        columns = list(zip(*rows, strict=True))
        about = (
            Column(name="look", dtype="str", description="who looks, and from where"),
            Column(name="answer", dtype="str", description="question and answer"),
            Column(name="z", description="redshift; NaN: each galaxy's own"),
            Column(name="galaxies", dtype="i8", description="galaxies of which a tenth of the people are asked"),
            Column(name="fraction", description="mean share of the answer among those asked"),
            Column(name="reference", description="mean share of the same galaxies in the reference"),
            Column(name="asked", description="mean probability that a volunteer is asked, of all galaxies"),
        )
        return table_of([(column, np.array(values)) for column, values in zip(about, columns, strict=True)])


def see_in_turn(
    population: Population,
    looks: Sequence[Look],
    tree: Tree | str | Path = "gz-decals",
    *,
    view: View | None = None,
    voters: int | None = None,
    model: VoteModel | str | Path | None = None,
) -> Looks:
    """What is said of the same galaxies, seen in several ways.

    Parameters
    ----------
    population : galaxies.
    looks : the reference first.
    tree : whose questions; with a model, its tree.
    view : frame, bands and scale of the images. The frame must hold the galaxies of the nearest look.
    voters : people whose votes are drawn; None: the probabilities themselves, which are infinitely many people's.
    model : None: people look; a model: it looks, at the same images with noise, and its expected shares count.

    Notes
    -----
    Galaxies that are moved keep their mass, their spectrum and all lengths in kpc; below z = 0.25 stars are brighter by
    0.97 z mag, as they were (`rosse.sky.relations.fading`), which is the only evolution.
    """
    if len(looks) < 2:
        raise OptionError(f"{len(looks)} looks came; a reference and one or more others are wanted")
    known = None if model is None else load_model(model)
    wanted = known.tree if known is not None else tree if isinstance(tree, Tree) else read_tree(tree)
    chosen = replace(view or View(), also=Truth(parts=True))
    found = [_seen(population, look, wanted, chosen, (voters, known)) for look in looks]
    fractions, asked = (np.stack(each) for each in zip(*found, strict=True))
    return Looks(tree=wanted, looks=tuple(looks), fractions=fractions, asked=asked)


def _seen(
    population: Population, look: Look, tree: Tree, view: View, by: tuple[int | None, VoteModel | None]
) -> tuple[Numbers, Numbers]:
    voters, model = by
    moved = population if look.z is None else replace(population, z=look.z)
    parts: list[tuple[Numbers, Numbers]] = []
    for seen in observe_in_batches(moved, look.survey, view=view):
        if model is not None:
            said = predict_votes(seen.cutouts, model)
            parts.append((said.fractions, said.asked))
            continue
        believed = opinions(seen, tree)
        asked = tree.asked_probability(believed.probability)
        drawn = None if voters is None else volunteers(believed, seed=population.seed + 1, voters=voters)
        parts.append((believed.probability if drawn is None else drawn.fractions, asked))
    fractions, asked = (np.concatenate(each) for each in zip(*parts, strict=True))
    return fractions, asked


@dataclass(frozen=True, kw_only=True, eq=False)
class Debiasing:
    """Maps of vote fractions as they are seen to those of the reference.

    Parameters
    ----------
    tree : of A answers.
    looks : L, the reference first.
    seen, meant : (L, A, knots) rising fractions, and what they become.
    """

    tree: Tree
    looks: tuple[Look, ...]
    seen: Numbers
    meant: Numbers

    def __call__(self, fractions: ArrayLike, z: ArrayLike | None = None, *, survey: str | None = None) -> Numbers:
        """Fractions (N, A) as the reference would have them; NaN stays.

        Parameters
        ----------
        fractions : (N, A) shares of each answer among those asked its question.
        z : (N,) redshift of each galaxy. Between two looks of the survey maps are interpolated; beyond the last one its
            map is used. None: the survey's look at the galaxies' own redshifts.
        survey : that saw them; None: that of the reference.

        Notes
        -----
        Answers are mapped one by one and then, where one person gives one answer, divided by their sum.
        """
        f = np.asarray(fractions, dtype=np.float64)
        if f.ndim != 2 or f.shape[1] != len(self.tree.columns):
            raise InputError(f"fractions have shape {f.shape}; (galaxies, {len(self.tree.columns)}) is wanted")
        weights = self._weights(len(f), z, survey or self.looks[0].survey)
        out = np.zeros_like(f)
        for i in np.flatnonzero(weights.any(0)):
            for k in range(f.shape[1]):
                out[:, k] += weights[:, i] * np.interp(f[:, k], self.seen[i, k], self.meant[i, k])
        out[np.isnan(f)] = np.nan
        return _summing_to_one(self.tree, out)

    def _weights(self, count: int, z: ArrayLike | None, survey: str) -> Numbers:
        """Weight (N, L) of each look's map."""
        out = np.zeros((count, len(self.looks)))
        if z is None:
            fixed = [i for i, look in enumerate(self.looks) if look.survey == survey and look.z is None]
            if not fixed:
                raise InputError(f"there is no look of {survey} at the galaxies' own redshifts; pass z")
            out[:, fixed[0]] = 1
            return out
        mine = [(look.z, i) for i, look in enumerate(self.looks) if look.survey == survey]
        places = sorted((place, i) for place, i in mine if place is not None)
        at = np.asarray(z, dtype=np.float64)
        if not places or at.shape != (count,) or not (at >= 0).all():
            raise InputError(
                f"z of shape {at.shape} came for {count} galaxies and {len(places)} looks of {survey}; a redshift of "
                "each galaxy and looks of its survey at redshifts are wanted"
            )
        grid = np.array([place for place, _ in places])
        for j, (_, i) in enumerate(places):
            out[:, i] = np.interp(at, grid, np.eye(len(grid))[j])
        return out


def match_quantiles(looks: Looks) -> Debiasing:
    """Maps after which fractions are distributed as in the reference.

    The fraction below which a share q of the galaxies lies becomes that below which the same share lies in the
    reference, as in Hart+2016 (Sect. 3.2), but with the same galaxies in both. Right for populations: how many galaxies
    have arms. For one galaxy `expect` is nearer to the truth.
    """
    return _fitted(looks, lambda now, then: (np.quantile(now, LEVELS), np.quantile(then, LEVELS)))


def expect(looks: Looks) -> Debiasing:
    """Maps to the mean fraction in the reference of galaxies of which people say the same: right for one galaxy.

    The rising function with the least squared error (isotonic regression, Barlow+1972), at the means of up to 60
    bins, narrow ones at the ends. Such fractions scatter less than the true ones: what distance has hidden cannot be
    told galaxy by galaxy.
    """

    def mean_of(now: Numbers, then: Numbers) -> tuple[Numbers, Numbers]:
        from scipy.optimize import isotonic_regression

        order = np.argsort(now, kind="stable")
        bins = np.split(order, np.unique(np.rint(LEVELS[1:-1] * len(order)).astype(int).clip(1, len(order) - 1)))
        x, y = (np.array([each[rows].mean() for rows in bins]) for each in (now, then))
        rising = isotonic_regression(y, weights=np.array([len(rows) for rows in bins])).x
        return x, rising

    return _fitted(looks, mean_of)


def _fitted(looks: Looks, of: object) -> Debiasing:
    assert callable(of)
    tree, shape = looks.tree, (len(looks.looks), len(looks.tree.columns), KNOTS)
    seen = np.broadcast_to(np.linspace(0, 1, KNOTS), shape).copy()
    meant = seen.copy()
    for i in range(1, shape[0]):
        for q, here in enumerate(tree.slices):
            both = looks.counted(i, q)
            if both.sum() < FEWEST:
                continue
            for k in range(here.start, here.stop):
                x, y = of(looks.fractions[i, both, k], looks.fractions[0, both, k])
                seen[i, k], meant[i, k] = _knots(x, y)
    return Debiasing(tree=tree, looks=looks.looks, seen=seen, meant=meant)


def _knots(x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    """Rising knots, `KNOTS` of them. Where many galaxies have one and the same fraction, it becomes their mean."""
    places, which = np.unique(x, return_inverse=True)
    means = np.bincount(which, y) / np.bincount(which)
    fill = (0, KNOTS - len(places))
    return np.pad(places, fill, mode="edge"), np.pad(means, fill, mode="edge")


def _summing_to_one(tree: Tree, fractions: Numbers) -> Numbers:
    out = fractions.clip(0, 1)
    for question, here in zip(tree.questions, tree.slices, strict=True):
        if not question.multiple:
            total = out[:, here].sum(1, keepdims=True)
            out[:, here] = out[:, here] / np.where(total > 0, total, 1)
    return out


def plot_looks(looks: Looks, path: str | Path, *, debiased: Debiasing | None = None) -> None:
    """Draw mean shares of each question's answers against redshift: as seen, of the reference, and debiased.

    Parameters
    ----------
    looks : those at a redshift; of the reference's survey as circles, of other surveys as squares.
    path : of the picture.
    debiased : what to debias with, learnt from other galaxies.
    """
    from matplotlib.figure import Figure

    tree = looks.tree
    chief = looks.looks[0].survey
    shown = sorted((look.z, i) for i, look in enumerate(looks.looks) if look.z is not None and look.survey == chief)
    others = [(look.z, i) for i, look in enumerate(looks.looks) if look.z is not None and look.survey != chief]
    places, z = [i for _, i in shown], [place for place, _ in shown]
    columns = min(4, len(tree.questions))
    lines = -(-len(tree.questions) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.7 * lines), layout="constrained")
    axes = np.ravel(figure.subplots(lines, columns, squeeze=False))
    for q, (question, here) in enumerate(zip(tree.questions, tree.slices, strict=True)):
        rows = [looks.counted(i, q) for i in places]
        for n, k in enumerate(range(here.start, here.stop)):
            colour = f"C{n}"
            now = [looks.fractions[i, r, k].mean() if r.any() else np.nan for i, r in zip(places, rows, strict=True)]
            then = [looks.fractions[0, r, k].mean() if r.any() else np.nan for r in rows]
            axes[q].plot(z, now, "o-", color=colour, ms=4, label=question.answers[n].name)
            axes[q].plot(z, then, "--", color=colour, lw=1)
            for place, i in others:
                r = looks.counted(i, q)
                axes[q].plot(place, looks.fractions[i, r, k].mean() if r.any() else np.nan, "s", color=colour, mfc="w")
            if debiased is not None:
                mended = [_mended(debiased, looks, i, r, k) for i, r in zip(places, rows, strict=True)]
                axes[q].plot(z, mended, "x", color=colour, ms=7)
        axes[q].set(title=question.name, ylim=(0, 1), xlabel="redshift", ylabel="mean share")
        axes[q].legend(fontsize=7, frameon=False)
    for spare in axes[len(tree.questions) :]:
        spare.axis("off")
    squares = f"; squares: by {', '.join(sorted({looks.looks[i].survey for _, i in others}))}" if others else ""
    figure.suptitle(f"circles: as seen by {chief}{squares}; dashed: the same galaxies in the reference" +
                    ("; crosses: debiased" if debiased is not None else ""), fontsize=10)  # fmt: skip
    figure.savefig(path, dpi=110)


def _mended(debiased: Debiasing, looks: Looks, i: int, rows: NDArray[np.bool_], k: int) -> float:
    if not rows.any():
        return float("nan")
    z = np.full(int(rows.sum()), looks.looks[i].z)
    return float(debiased(looks.fractions[i, rows], z, survey=looks.looks[i].survey)[:, k].mean())
