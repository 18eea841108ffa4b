"""Answers to questions that the tree ``gz-decals`` does not ask: oddities, clumps, tides, rings, and what is wrong.

No counts of votes have tuned these, but those of Galaxy Zoo 2 the shares of odd features (Willett+2013, release,
Table 5). What no virtual galaxy has is answered by chance alone: a lens or arc, cosmic rays, scattered light,
diffraction spikes, and whatever is odd otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch

from rosse.errors import OptionError
from rosse.sky.clumps import clump_lights
from rosse.sky.judging import (
    ARTEFACT,
    EDGE_RESOLVED,
    LAPSE,
    SPOILED_IS_ARTEFACT,
    STAR_IS_ARTEFACT,
    Impression,
    logistic,
    merged,
    noticed,
    ordered,
)
from rosse.sky.sight import Array
from rosse.tree import Question

Shares = dict[str, Array]

# Who calls any galaxy odd, and why.
ODD = {
    "ring": 0.04, "lens-or-arc": 0.015, "disturbed": 0.012, "irregular": 0.01, "other": 0.06, "merger": 0.03,
    "dust-lane": 0.005,
}  # fmt: skip
LANE_IS_ODD = 0.2  # who calls a dust lane odd that is seen: discs from the side have one
ONE_CLUMP = 5.0  # clarity at which one clump is noticed: a patch of light of known shape (Rose 1948)
CLUMPY, CLUMPY_SCATTER = np.log10(0.2), 0.15  # share of the light in clumps from which a galaxy is mostly clumpy
COUNTED, COUNTING = (1.5, 2.5, 3.5, 4.5), 0.17  # numbers of clumps between the answers; scatter of their logarithm
LOST = 0.06  # who cannot tell the number
BRIGHTER, BRIGHTER_SCATTER = np.log(2.0), 0.3  # ln of how much brighter than the next one is clearly brighter
WRONG = {"star": 0.5, "artifact": 0.4, "zoom": 0.1}  # what is said to be wrong with an image that is as it should be
ARTIFACTS = {"trail": "satellite", "ghost": "ghost", "bleed": "saturation"}


def further(look: Impression, questions: Iterable[Question]) -> Shares:
    """Column → probability (B,) of the answers of those questions that are known here."""
    out: Shares = {}
    for question in questions:
        found = QUESTIONS[question.name](look, question) if question.name in QUESTIONS else {}
        names = {answer.name for answer in question.answers}
        if not found or not names <= set(found):
            continue
        chosen = np.stack([found[answer.name] for answer in question.answers], 1)
        if not question.multiple:
            chosen = chosen / chosen.sum(1, keepdims=True)
            chosen = (1 - LAPSE) * chosen + LAPSE / len(names)
        out |= dict(zip(question.columns, chosen.T, strict=True))
    return out


def clumps_of(look: Impression) -> tuple[Array, Array]:
    """Share of the clumps' light (B, N) that each clump holds, the brightest first, and how many people notice it."""
    count = np.asarray(look.column("clump_count"), dtype=np.int64)
    if "seed" not in look.truth.meta:
        raise OptionError("the truth does not say which seed its population has (meta['seed']), on which clumps depend")
    rows = torch.as_tensor(np.asarray(look.truth["id"], dtype=np.int64))
    light = clump_lights(int(look.truth.meta["seed"]), rows, torch.from_numpy(count)).double().numpy()
    light = -np.sort(-light, axis=1)
    # squares of signal-to-noise ratios add up, of clumps that lie apart
    clarity = look.what.clarity["clumps"][:, None] * light / np.sqrt(np.square(light).sum(1, keepdims=True) + 1e-30)
    return light / np.maximum(light.sum(1, keepdims=True), 1e-30), noticed(clarity, ONE_CLUMP)


def _yes(probability: Array) -> Shares:
    return {"yes": probability, "no": 1 - probability}


def _ring(look: Impression, question: Question) -> Shares:
    return _yes(look.noticed["ring"])


def _clumps(look: Impression, question: Question) -> Shares:
    """Obvious bright clumps, of everyone or of those who see a galaxy's features from above."""
    among = 1 - look.nothing if any("edge-on" in column for column in question.after) else 1.0
    return _yes(np.minimum(look.clumps / among, 1.0))


def _clumpy(look: Impression, question: Question) -> Shares:
    """Mostly clumpy: clumps that are noticed and hold much of the light."""
    share = np.log10(look.what.clump_light.clip(1e-6))
    seen = look.clumps * logistic((share - CLUMPY) / CLUMPY_SCATTER)
    return _yes(np.minimum(seen / look.featured, 1.0))


def _clump_count(look: Impression, question: Question) -> Shares:
    """Of clumps that are noticed; numbers are confused by their ratio, as those of arms are."""
    number = np.log(np.maximum(clumps_of(look)[1].sum(1), 1.0))
    share = ordered(number, tuple(np.log(COUNTED)), COUNTING).T
    names = ("1", "2", "3", "4", "5-plus")
    return {name: (1 - LOST) * each for name, each in zip(names, share, strict=True)} | {
        "cant-tell": np.full(len(number), LOST)
    }


def _clump_configuration(look: Impression, question: Question) -> Shares:
    """Along arms, along a disc seen from the side, which a line and a chain are called alike, or in a cluster."""
    spiral = look.noticed["arms"]
    line = (1 - spiral) * look.edge_on
    return {
        "spiral": spiral, "straight-line": 0.5 * line, "chain": 0.5 * line,
        "cluster-or-irregular": (1 - spiral) * (1 - look.edge_on),
    }  # fmt: skip


def _lights(look: Impression) -> tuple[Array, Array, Array]:
    """Share of a galaxy's light (B,) in its bulge, in its brightest clump and in the next one."""
    share = clumps_of(look)[0] * look.what.clump_light[:, None]
    padded = np.pad(share, ((0, 0), (0, 2)))
    return look.what.bulge_light, padded[:, 0], padded[:, 1]


def _brightest(look: Impression, question: Question) -> Shares:
    """Clearly brighter than the next one; a bulge is a clump as well to who looks."""
    first, second = np.sort(np.stack(_lights(look)), axis=0)[:0:-1]
    ratio = np.log(np.maximum(first, 1e-9) / np.maximum(second, 1e-9))
    return _yes(logistic((ratio - BRIGHTER) / BRIGHTER_SCATTER))


def _central(look: Impression, question: Question) -> Shares:
    bulge, clump, _ = _lights(look)
    ratio = np.log(np.maximum(bulge, 1e-9) / np.maximum(clump, 1e-9))
    return _yes(logistic(ratio / BRIGHTER_SCATTER))


def _symmetrical(look: Impression, question: Question) -> Shares:
    seen = look.noticed
    return _yes((1 - seen["uneven"]) * (1 - seen["tides"]) * (1 - seen["companion"]))


def _embedded(look: Impression, question: Question) -> Shares:
    """All clumps of the virtual sky lie in a disc, which is seen where it holds more of the light than they do."""
    return _yes(logistic((0.5 - look.what.clump_light) / 0.1))


def odd(look: Impression) -> Shares:
    """Share of people to whom each odd feature is there."""
    seen, kind = look.noticed, np.asarray(look.truth["type"])
    merger, disturbed = merged(look)
    lane = (look.column("dust_lane") > 0) * -np.expm1(-look.column("dust_tau"))
    there = {
        "ring": seen["ring"],
        "disturbed": disturbed,
        "irregular": seen["uneven"] * (kind == "irregular"),
        "merger": merger,
        "dust-lane": LANE_IS_ODD * look.edge_on * lane * noticed(look.what.resolution, EDGE_RESOLVED),
    }
    none = np.zeros(len(kind))
    return {name: 1 - (1 - often) * (1 - there.get(name, none)) for name, often in ODD.items()}


def _something_odd(look: Impression, question: Question) -> Shares:
    return _yes(1 - np.prod([1 - each for each in odd(look).values()], axis=0))


def _odd_feature(look: Impression, question: Question) -> Shares:
    """Of those to whom something is odd: all features that they see, or one of them."""
    seen = odd(look)
    anything = 1 - np.prod([1 - each for each in seen.values()], axis=0)
    return {name: each / anything for name, each in seen.items()} if question.multiple else seen


def _tides(look: Impression, question: Question) -> Shares:
    """Merging, tidal debris, both or neither."""
    merger, _ = merged(look)
    tides = look.noticed["tides"]
    return {
        "merger": merger * (1 - tides), "both": merger * tides, "tidal-debris": (1 - merger) * tides,
        "neither": (1 - merger) * (1 - tides),
    }  # fmt: skip


def _problem(look: Impression, question: Question) -> Shares:
    kind, what = np.asarray(look.truth["kind"]), np.asarray(look.truth["artefact"])
    spoiled = SPOILED_IS_ARTEFACT * look.column("artefact_strength") * (kind == "artefact")
    zoom = what == "bad_zoom"
    why = {"star": STAR_IS_ARTEFACT * (kind == "star"), "artifact": spoiled * ~zoom, "zoom": spoiled * zoom}
    shares = {name: each + ARTEFACT * WRONG[name] for name, each in why.items()}
    return shares | {"bad-zoom": shares["zoom"]}


def _artifact(look: Impression, question: Question) -> Shares:
    what = np.asarray(look.truth["artefact"])
    shares = {answer.name: np.full(len(what), 1e-3) for answer in question.answers}
    for name, answer in ARTIFACTS.items():
        where = answer if answer in shares else "other"
        if where in shares:
            shares[where] = shares[where] + (what == name)
    return shares


QUESTIONS: dict[str, Callable[[Impression, Question], Shares]] = {
    "ring": _ring,
    "clumps": _clumps,
    "clumpy-appearance": _clumpy,
    "clump-count": _clump_count,
    "clump-configuration": _clump_configuration,
    "one-clump-brightest": _brightest,
    "brightest-clump-central": _central,
    "galaxy-symmetrical": _symmetrical,
    "clumps-embedded-larger-object": _embedded,
    "something-odd": _something_odd,
    "odd-feature": _odd_feature,
    "merging": _tides,
    "problem": _problem,
    "artifact": _artifact,
}
