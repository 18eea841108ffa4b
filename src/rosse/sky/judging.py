"""How people judge a galaxy: what they notice of it in one look, and the scatter with which they judge shapes.

A person looks once. Each feature is noticed or not, independently, with a probability that rises with its clarity
(`sight`); whoever notices one calls the galaxy featured.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from rosse.sky.sight import Array, Sight

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

MIDDLE = 0.0027  # share of the light of a disc without a bulge that may be taken for one
EDGE_ON_RATIO, EDGE_ON_SCATTER = 0.3, 0.03  # axis ratio of a disc as seen: 0.31 is 76 degrees for a thickness of 0.2
BAR_OR_DISC = 0.1  # by how much the isophotes' axis ratio may correct that of the disc
SPIRAL_RATIO, SPIRAL_SCATTER = 0.28, 0.04  # axis ratio of a disc from which a spiral can be recognised as one


@dataclass(frozen=True, kw_only=True, eq=False)
class Impression:
    """What people notice in one look at B galaxies: probabilities, (B,) each.

    Parameters
    ----------
    what : is to be seen.
    truth : B rows of the population.
    noticed : of each feature; that of clumps which lie along arms stands in that of the arms.
    clumps : that clumps are noticed, wherever they lie.
    edge_on : of taking the disc for one seen edge-on.
    edge_is_feature : of calling the galaxy featured for that.
    nothing : that nothing but its being edge-on makes the galaxy featured.
    """

    what: Sight
    truth: Table
    noticed: dict[str, Array]
    clumps: Array
    edge_on: Array
    edge_is_feature: Array
    nothing: Array = field(repr=False)

    @classmethod
    def of(cls, what: Sight, truth: Table) -> Impression:
        """What is noticed of what is to be seen."""
        # clumps lie along arms, where there are any, and are seen as part of them
        armed = column_of(truth, "arm_count") > 0
        clarity = dict(what.clarity)
        clarity["arms"] = np.where(armed, np.hypot(clarity["arms"], clarity["clumps"]), 0.0)
        clarity["clumps"] = np.where(armed, 0.0, clarity["clumps"])
        seen = {name: noticed(value, NOTICED[name]) for name, value in clarity.items()}
        disc = column_of(truth, "disc_share") > 0
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
        return cls(
            what=what, truth=truth, noticed=seen, clumps=noticed(what.clarity["clumps"], NOTICED["clumps"]),
            edge_on=edge_on, edge_is_feature=flat, nothing=nothing,
        )  # fmt: skip

    def column(self, name: str, missing: float = 0.0) -> Array:
        """Column (B,) of the truth, and what stands for NaN."""
        return column_of(self.truth, name, missing)

    @property
    def featured(self) -> Array:
        """Who calls the galaxy featured, of those who do not call it an artefact."""
        return 1 - self.nothing * (1 - self.edge_is_feature * self.edge_on)

    @property
    def edge_on_if_featured(self) -> Array:
        """Who calls the disc edge-on among those who call the galaxy featured."""
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


def merged(look: Impression) -> tuple[Array, Array]:
    """Who sees a merger, and who of the others a major disturbance.

    A companion that is noticed makes a merger if the two overlap or if tides are noticed as well: one that lies apart
    may lie behind. Tides without a companion are a major disturbance.
    """
    size = np.maximum(look.column("r_e", 1.0), 0.1)
    apart = np.hypot(look.column("companion_x"), look.column("companion_y")) / size
    companion, tides = look.noticed["companion"], look.noticed["tides"]
    merger = companion * (1 - (1 - np.exp(-((apart / 4) ** 2))) * (1 - tides))
    return merger, (1 - merger) * 0.6 * tides


def yes_no(yes: Array) -> Array:
    """Probabilities (B, 2) of the answers yes and no."""
    return np.stack([yes, 1 - yes], 1)


def column_of(truth: Table, name: str, missing: float = 0.0) -> Array:
    """Column (B,) of the truth, and what stands for NaN."""
    values = np.asarray(np.ma.filled(truth[name], np.nan), dtype=np.float64)
    return np.where(np.isnan(values), missing, values)
