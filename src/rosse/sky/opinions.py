"""What people would say of a virtual galaxy: the probability of each answer, from what is to be seen of it.

A person looks once. Each feature is noticed or not, independently, with a probability that rises with its clarity
(`sight`); whoever notices one calls the galaxy featured, and answers the questions that follow by what was noticed.
Shapes and sizes are judged with a scatter, against limits between the answers.

Limits and thresholds that no paper gives are such that the default population in SDSS gets the shares of votes that
Galaxy Zoo 2 counted in Stripe 82, to the same magnitude limit (Willett+2013, release,
Table 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rosse.errors import InputError, OptionError
from rosse.sky.judging import (
    ARTEFACT,
    LAPSE,
    SPOILED_IS_ARTEFACT,
    STAR_IS_ARTEFACT,
    Impression,
    logistic,
    merged,
    ordered,
    yes_no,
)
from rosse.sky.observe import Observation
from rosse.sky.questions import further
from rosse.sky.sight import Array, Sight, sight
from rosse.tree import Tree, read_tree

if TYPE_CHECKING:
    from astropy.table import Table

ROUNDED, ROUNDED_SCATTER = (0.4, 0.78), 0.07  # axis ratio: cigar-shaped, in between, completely round
# log10 of the bulge's share: none, small, moderate, large, dominant
BULGES, BULGE_SCATTER = (-2.6, -0.85, -0.45, -0.2), 0.13
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
    tree : any that comes with rosse. Of a tree of your own: questions whose answers mean the same as some of
        ``gz-decals`` or have their columns, or which have the name and answers of a question of `questions.QUESTIONS`.

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
    what = sight(seen)
    probability = _for_tree(answers(what, seen.truth), tree, Impression.of(what, seen.truth))
    return Opinions(tree=tree, id=np.asarray(seen.truth["id"], dtype=np.int64), probability=probability)


def answers(what: Sight, truth: Table) -> dict[str, Array]:
    """Question of the tree ``gz-decals`` → probability (B, answers) of its answers, in its order.

    Parameters
    ----------
    what : is to be seen.
    truth : B rows of the population.
    """
    looks = Impression.of(what, truth)
    out = {
        "smooth-or-featured": smooth_or_featured(looks),
        "disk-edge-on": yes_no(looks.edge_on_if_featured),
        "has-spiral-arms": yes_no(looks.if_face_on("arms")),
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


def smooth_or_featured(look: Impression) -> Array:
    """Smooth, featured, star or artefact."""
    kind = np.asarray(look.truth["kind"])
    spoiled = SPOILED_IS_ARTEFACT * look.column("artefact_strength") * (kind == "artefact")
    bad = 1 - (1 - ARTEFACT) * (1 - STAR_IS_ARTEFACT * (kind == "star")) * (1 - spoiled)
    return np.stack([(1 - bad) * (1 - look.featured), (1 - bad) * look.featured, bad], 1)


def bar(look: Impression) -> Array:
    """Strong, weak, none: a weak bar is a fat one."""
    there = look.if_face_on("bar")
    strong = logistic((STRONG_BAR - look.column("bar_q", 1.0)) / STRONG_SCATTER)
    return np.stack([there * strong, there * (1 - strong), 1 - there], 1)


def edge_on_bulge(look: Impression) -> Array:
    """Boxy, none, rounded."""
    there = logistic((np.log10(look.bulge) - EDGE_ON_BULGE) / EDGE_ON_BULGE_SCATTER)
    boxy = there * logistic((look.column("bulge_boxiness") - BOXY) / BOXY_SCATTER)
    return np.stack([boxy, 1 - there, there - boxy], 1)


def arm_count(look: Impression) -> Array:
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


def merging(look: Impression) -> Array:
    """None, minor disturbance, major disturbance, merger.

    An uneven disc is at most a minor disturbance.
    """
    companion, tides = look.noticed["companion"], look.noticed["tides"]
    merger, major = merged(look)
    slight = 1 - (1 - 0.6 * tides) * (1 - 0.35 * look.noticed["uneven"]) * (1 - 0.3 * companion)
    minor = (1 - merger - major) * slight
    out = np.stack([1 - merger - major - minor, minor, major, merger], 1)
    return (1 - LAPSE) * out + LAPSE * np.array([0.4, 0.4, 0.1, 0.1])


def _for_tree(known: dict[str, Array], tree: Tree, look: Impression) -> Array:
    """The same for another tree: an answer's probability is that of all answers that mean the same.

    Who would give an answer that the tree does not offer chooses among the others as everyone else does. Questions that
    ``gz-decals`` does not have are answered by `questions.further`.
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
    new = [question for question in tree.questions if not met.issuperset(question.columns)]
    more = further(look, new)
    out |= more
    missing = [question.name for question in new if not set(more).issuperset(question.columns)]
    if missing:
        raise OptionError(
            f"tree {tree.name}: the virtual sky has no opinion on {len(missing)} of {len(tree.questions)} questions "
            f"({', '.join(missing)}), for not all of their answers are those of a question that it knows; give the "
            "tree without them, read_tree(...).only(...), or take one that comes with rosse"
        )
    probability = np.stack(list(out.values()), 1)
    for question, here in zip(tree.questions, tree.slices, strict=True):
        if not question.multiple:
            probability[:, here] /= probability[:, here].sum(1, keepdims=True)
    return probability
