"""What people would say of a virtual galaxy: the probability of each answer, from what is to be seen of it.

A person looks once. Each feature is noticed or not, independently, with a probability that rises with its clarity
(`sight`); whoever notices one calls the galaxy featured, and answers the questions that follow by what was noticed.
Shapes and sizes are judged with a scatter, against limits between the answers.

Limits and thresholds that no paper gives are such that the default population in SDSS gets the shares of votes that
Galaxy Zoo 2 counted in Stripe 82, to the same magnitude limit (Willett+2013, release,
Table 5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rosse.errors import InputError, OptionError
from rosse.sky.observe import Observation
from rosse.sky.sight import Array, Sight, sight
from rosse.tree import Tree, read_tree

if TYPE_CHECKING:
    from astropy.table import Table

# Clarity at which a feature is noticed by 63 % of people. Rose (1948, J. Opt. Soc. Am. 38, 196) finds 5 for a patch of
# light of known shape. A bar has one; arms and rings differ from galaxy to galaxy, and people see a picture whose
# stretch shows half of what is there; an uneven disc has no shape to recognise, and a companion often is taken for
# another galaxy, or a star, that happens to lie there.
NOTICED = {"arms": 9.6, "bar": 5.2, "ring": 12.0, "clumps": 9.5, "tides": 10.0, "companion": 15.0, "uneven": 27.0}
# Of Weibull's function. People differ, so it is less steep than that of one, 3.5 (Robson & Graham 1981, Vision Res.
# 21, 409).
STEEPNESS = 2.0
COMPANION_IS_FEATURE = 0.3  # who notices a second galaxy calls the first one featured
# Who sees an edge-on disc calls it a disk if it is well resolved, from about so many times the PSF's core: one that is
# not has no bulge or dust to be seen, and most people say smooth and cigar-shaped.
EDGE_IS_FEATURE, EDGE_RESOLVED = 0.85, 7.5
DISC_IS_FEATURE = 0.03  # who calls a bright disc without any structure a disk
VAGUE = 0.045  # who finds something in anything: an elliptical's share of featured votes
ARTEFACT = 0.06  # who calls any galaxy a star or artefact
STAR_IS_ARTEFACT, SPOILED_IS_ARTEFACT = 0.75, 0.7  # who calls a star one, and a wholly spoiled image
LAPSE = 0.04  # share of answers given at random (Wichmann & Hill 2001, Percept. Psychophys. 63, 1293)

EDGE_ON_RATIO, EDGE_ON_SCATTER = 0.3, 0.03  # axis ratio of a disc as seen: 0.31 is 76 degrees for a thickness of 0.2
BAR_OR_DISC = 0.1  # by how much the isophotes' axis ratio may correct that of the disc
SPIRAL_RATIO, SPIRAL_SCATTER = 0.28, 0.04  # axis ratio of a disc from which a spiral can be recognised as one
ROUNDED, ROUNDED_SCATTER = (0.4, 0.78), 0.07  # axis ratio: cigar-shaped, in between, completely round
# log10 of the bulge's share: none, small, moderate, large, dominant
BULGES, BULGE_SCATTER = (-2.6, -0.85, -0.45, -0.2), 0.13
MIDDLE = 0.0027  # share of the light of a disc without a bulge that may be taken for one
EDGE_ON_BULGE, EDGE_ON_BULGE_SCATTER = -1.8, 0.25  # log10 of the share from which an edge-on disc has a bulge
BOXY, BOXY_SCATTER = 1.2, 0.2  # boxiness from which it is called boxy
WINDING, WINDING_SCATTER = (16.0, 26.0), 3.0  # pitch angle, degrees: tight, medium, loose
STRONG_BAR, STRONG_SCATTER = 0.4, 0.06  # axis ratio below which a bar is called strong
COUNTING, COUNTING_BROKEN = 0.17, 0.2  # scatter of ln of the number of arms: of a grand design, and more if flocculent
COUNTED_OFTEN = (1.5, 2.5, 0.7, 0.4, 0.5)  # how readily a number is named: two is what people expect
LOST, LOST_BROKEN = -2.8, 2.8  # log odds of who cannot tell the number, and more if flocculent


@dataclass(frozen=True, kw_only=True, eq=False)
class Opinions:
    """What people would say of B galaxies.

    Parameters
    ----------
    tree : of A answers.
    id : (B,) row numbers of the population.
    probability : (B, A) of each answer among those who are asked its question.
    """

    tree: Tree
    id: NDArray[np.int64]
    probability: Array

    def __post_init__(self) -> None:
        wanted = (len(self.id), len(self.tree.columns))
        if self.probability.shape != wanted:
            raise InputError(f"probability has shape {self.probability.shape}; {wanted} is wanted")
        sums = np.stack([self.probability[:, here].sum(1) for here in self.tree.slices], 1)
        single = [not question.multiple for question in self.tree.questions]
        inside = (self.probability >= 0).all() and (self.probability <= 1 + 1e-9).all()
        if not (inside and np.allclose(sums[:, single], 1)):
            raise InputError("probability is wanted between 0 and 1, adding up to 1 for each question of one answer")

    def __len__(self) -> int:
        return len(self.id)

    @property
    def asked(self) -> Array:
        """(B, Q) probability that a person is asked each question."""
        return self.tree.asked_probability(self.probability)


def opinions(seen: Observation, tree: Tree | str = "gz-decals") -> Opinions:
    """Probability of each answer, for each galaxy as it is seen in the images.

    Parameters
    ----------
    seen : observation with the images of parts, ``view=View(also=Truth(parts=True))``.
    tree : whose answers are those of ``gz-decals``, have the same columns, or mean the same as some of them.

    Examples
    --------
    >>> import rosse
    >>> from rosse.sky.draw import Truth
    >>> from rosse.sky.observe import View
    >>> from rosse.sky.opinions import opinions
    >>> sky = rosse.observe(rosse.Population(4, seed=1), "sdss", view=View(bands=("r",), also=Truth(parts=True)))
    >>> opinions(sky).probability.shape
    (4, 34)
    """
    tree = read_tree(tree) if isinstance(tree, str) else tree
    known = answers(sight(seen), seen.truth)
    return Opinions(tree=tree, id=np.asarray(seen.truth["id"], dtype=np.int64), probability=_for_tree(known, tree))


def answers(what: Sight, truth: Table) -> dict[str, Array]:
    """Question of the tree ``gz-decals`` → probability (B, answers) of its answers, in its order.

    Parameters
    ----------
    what : is to be seen.
    truth : B rows of the population.
    """
    looks = _Look.of(what, truth)
    out = {
        "smooth-or-featured": smooth_or_featured(looks),
        "disk-edge-on": _yes_no(looks.edge_on_if_featured),
        "has-spiral-arms": _yes_no(looks.if_face_on("arms")),
        "bar": bar(looks),
        "bulge-size": ordered(np.log10(looks.bulge), BULGES, BULGE_SCATTER)[:, ::-1],
        "how-rounded": ordered(what.axis_ratio, ROUNDED, ROUNDED_SCATTER)[:, ::-1],
        "edge-on-bulge": edge_on_bulge(looks),
        "spiral-winding": ordered(looks.column("arm_pitch", 15.0), WINDING, WINDING_SCATTER),
        "spiral-arm-count": arm_count(looks),
        "merging": merging(looks),
    }
    return {
        name: value if name in ALREADY else (1 - LAPSE) * value + LAPSE / value.shape[1] for name, value in out.items()
    }


ALREADY = ("smooth-or-featured", "merging")  # whose random answers are in them: few people find a merger by chance


@dataclass(frozen=True, kw_only=True, eq=False)
class _Look:
    """What people notice in one look: (B,) probabilities."""

    what: Sight
    truth: Table
    noticed: dict[str, Array]
    edge_on: Array
    edge_is_feature: Array  # of those who see an edge-on disc
    nothing: Array = field(repr=False)  # nothing but the disc's being edge-on makes it featured

    @classmethod
    def of(cls, what: Sight, truth: Table) -> _Look:
        # clumps lie along arms, where there are any, and are seen as part of them
        armed = _column(truth, "arm_count") > 0
        clarity = dict(what.clarity)
        clarity["arms"] = np.where(armed, np.hypot(clarity["arms"], clarity["clumps"]), 0.0)
        clarity["clumps"] = np.where(armed, 0.0, clarity["clumps"])
        seen = {name: noticed(value, NOTICED[name]) for name, value in clarity.items()}
        disc = _column(truth, "disc_share") > 0
        # isophotes flatter than the disc's moments count, a little: a bar makes those of a disc seen from above flat
        flatness = what.disc_axis_ratio - (what.disc_axis_ratio - what.axis_ratio).clip(0, BAR_OR_DISC)
        edge_on = disc * logistic((EDGE_ON_RATIO - flatness) / EDGE_ON_SCATTER)
        # arms seen from the side are lumps in a disc: a feature, but no spiral
        open_view = logistic((flatness - SPIRAL_RATIO) / SPIRAL_SCATTER)
        lumps, seen["arms"] = (1 - open_view) * seen["arms"], open_view * seen["arms"]
        reasons = dict(seen, companion=COMPANION_IS_FEATURE * seen["companion"], lumps=lumps)
        nothing = np.prod([1 - value for value in reasons.values()], axis=0)
        disc_light = (1 - what.bulge_light).clip(0, 1) * disc * noticed(what.resolution, 3.0)
        nothing *= (1 - DISC_IS_FEATURE * disc_light) * (1 - VAGUE)
        flat = EDGE_IS_FEATURE * noticed(what.resolution, EDGE_RESOLVED)
        return cls(what=what, truth=truth, noticed=seen, edge_on=edge_on, edge_is_feature=flat, nothing=nothing)

    def column(self, name: str, missing: float = 0.0) -> Array:
        return _column(self.truth, name, missing)

    @property
    def featured(self) -> Array:
        return 1 - self.nothing * (1 - self.edge_is_feature * self.edge_on)

    @property
    def edge_on_if_featured(self) -> Array:
        return self.edge_on * (1 - self.nothing * (1 - self.edge_is_feature)) / self.featured

    def if_face_on(self, feature: str) -> Array:
        """Who noticed a feature among those who call the galaxy featured and not edge-on: they have other reasons."""
        return self.noticed[feature] / (1 - self.nothing)

    @property
    def bulge(self) -> Array:
        """Share of the light that is taken for a bulge: a disc's own bright middle looks like a very small one."""
        return self.what.bulge_light.clip(MIDDLE, 1)


def noticed(clarity: Array, threshold: float) -> Array:
    """Share of people who notice a feature: ``1 - exp(-(clarity / threshold)^steepness)``.

    Weibull's psychometric function (Quick 1974, Kybernetik 16, 65).
    """
    return np.asarray(-np.expm1(-((clarity / threshold) ** STEEPNESS)))


def logistic(x: Array) -> Array:
    """``1 / (1 + exp(-x))``."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def ordered(value: Array, limits: tuple[float, ...], scatter: float) -> Array:
    """Probability (B, len(limits) + 1) of answers that are ranges of a value which people judge with a scatter.

    The graded response model of Samejima 1969 (Psychometrika Monograph 17): a logistic function at each limit.
    """
    below = [logistic((limit - value) / scatter) for limit in limits]
    edges = np.stack([np.zeros_like(value), *below, np.ones_like(value)], 1)
    return np.diff(edges, axis=1)


def smooth_or_featured(look: _Look) -> Array:
    """Smooth, featured, star or artefact."""
    kind = np.asarray(look.truth["kind"])
    spoiled = SPOILED_IS_ARTEFACT * look.column("artefact_strength") * (kind == "artefact")
    bad = 1 - (1 - ARTEFACT) * (1 - STAR_IS_ARTEFACT * (kind == "star")) * (1 - spoiled)
    return np.stack([(1 - bad) * (1 - look.featured), (1 - bad) * look.featured, bad], 1)


def bar(look: _Look) -> Array:
    """Strong, weak, none: a weak bar is a fat one."""
    there = look.if_face_on("bar")
    strong = logistic((STRONG_BAR - look.column("bar_q", 1.0)) / STRONG_SCATTER)
    return np.stack([there * strong, there * (1 - strong), 1 - there], 1)


def edge_on_bulge(look: _Look) -> Array:
    """Boxy, none, rounded."""
    there = logistic((np.log10(look.bulge) - EDGE_ON_BULGE) / EDGE_ON_BULGE_SCATTER)
    boxy = there * logistic((look.column("bulge_boxiness") - BOXY) / BOXY_SCATTER)
    return np.stack([boxy, 1 - there, there - boxy], 1)


def arm_count(look: _Look) -> Array:
    """1, 2, 3, 4, more, can't tell. Numbers are confused by their ratio (Weber's law), more so if arms are broken.

    Who sees arms that are not there says two, or cannot tell.
    """
    broken = look.column("flocculence")[:, None]
    number = look.column("arm_count", 0)[:, None]
    scatter = COUNTING + COUNTING_BROKEN * broken
    away = np.log(np.arange(1, 6)) - np.log(np.where(number > 0, number, 2).clip(1, 5))
    share = np.array(COUNTED_OFTEN) * np.exp(-0.5 * (away / scatter) ** 2)
    share /= share.sum(1, keepdims=True)
    hidden = 1 - look.noticed["arms"][:, None]
    lost = logistic(LOST + LOST_BROKEN * np.where(number > 0, np.maximum(broken, hidden), 1.0))
    return np.concatenate([(1 - lost) * share, lost], 1)


def merging(look: _Look) -> Array:
    """None, minor disturbance, major disturbance, merger.

    A companion that is noticed makes a merger if the two overlap or if tides are noticed as well: one that lies apart
    may lie behind. Tides without a companion are a major disturbance, an uneven disc is at most a minor one.
    """
    size = np.maximum(look.column("r_e", 1.0), 0.1)
    apart = np.hypot(look.column("companion_x"), look.column("companion_y")) / size
    companion, tides = look.noticed["companion"], look.noticed["tides"]
    merger = companion * (1 - (1 - np.exp(-((apart / 4) ** 2))) * (1 - tides))
    major = (1 - merger) * 0.6 * tides
    slight = 1 - (1 - 0.6 * tides) * (1 - 0.35 * look.noticed["uneven"]) * (1 - 0.3 * companion)
    minor = (1 - merger - major) * slight
    out = np.stack([1 - merger - major - minor, minor, major, merger], 1)
    return (1 - LAPSE) * out + LAPSE * np.array([0.4, 0.4, 0.1, 0.1])


def _yes_no(yes: Array) -> Array:
    return np.stack([yes, 1 - yes], 1)


def _column(truth: Table, name: str, missing: float = 0.0) -> Array:
    values = np.asarray(np.ma.filled(truth[name], np.nan), dtype=np.float64)
    return np.where(np.isnan(values), missing, values)


def _for_tree(known: dict[str, Array], tree: Tree) -> Array:
    """The same for another tree: an answer's probability is that of all answers that mean the same.

    Who would give an answer that the tree does not offer chooses among the others as everyone else does.
    """
    own = read_tree("gz-decals")
    table = dict(zip(own.columns, np.concatenate([known[q.name] for q in own.questions], 1).T, strict=True))
    if tree.hash == own.hash:
        return np.stack(list(table.values()), 1)
    out = {column: np.zeros(len(next(iter(table.values())))) for column in tree.columns}
    met = set()
    for question in own.questions:
        for answer, column in zip(question.answers, question.columns, strict=True):
            same = answer.same.get(tree.name, column)
            if same in out:
                out[same] += table[column]
                met.add(same)
    missing = [question.name for question in tree.questions if not met.issuperset(question.columns)]
    if missing:
        raise OptionError(
            f"tree {tree.name}: the virtual sky has no opinion on {len(missing)} of {len(tree.questions)} questions "
            f"({', '.join(missing)}), for not all of their answers mean the same as one of gz-decals; give the tree "
            "without them, read_tree(...).only(...), or take gz-decals"
        )
    probability = np.stack(list(out.values()), 1)
    for question, here in zip(tree.questions, tree.slices, strict=True):
        if not question.multiple:
            probability[:, here] /= probability[:, here].sum(1, keepdims=True)
    return probability
