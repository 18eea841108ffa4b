"""The trees that come with rosse are those that were published, and say what means the same in another."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from rosse.tree import read_tree, trees
from rosse.votes.equivalence import same_answers

SMOOTH, FEATURED = "smooth-or-featured_smooth", "smooth-or-featured_featured-or-disk"
EVERYONE = [SMOOTH, FEATURED]
FACE_ON, SPIRAL = ["disk-edge-on_no"], ["has-spiral-arms_yes"]

# Questions with their answers' number and parents, from the papers: Walmsley+2022 (GZD-5) Fig. 4, Willett+2013 Table 2,
# Euclid Collaboration: Walmsley+2025 Table A.1; the others as their tables and sites list them.
DECALS = {
    "smooth-or-featured": (3, []), "disk-edge-on": (2, [FEATURED]), "has-spiral-arms": (2, FACE_ON),
    "bar": (3, FACE_ON), "bulge-size": (5, FACE_ON), "how-rounded": (3, [SMOOTH]),
    "edge-on-bulge": (3, ["disk-edge-on_yes"]), "spiral-winding": (3, SPIRAL), "spiral-arm-count": (6, SPIRAL),
    "merging": (4, EVERYONE),
}  # fmt: skip
LATE = {**DECALS, "clumps": (2, FACE_ON), "problem": (3, ["smooth-or-featured_problem"])}
SLOAN = {
    "smooth-or-featured": (3, []), "disk-edge-on": (2, [FEATURED]), "bar": (2, FACE_ON),
    "has-spiral-arms": (2, FACE_ON), "bulge-size": (4, FACE_ON), "something-odd": (2, EVERYONE),
    "how-rounded": (3, [SMOOTH]), "odd-feature": (7, ["something-odd_yes"]), "bulge-shape": (3, ["disk-edge-on_yes"]),
    "spiral-winding": (3, SPIRAL), "spiral-arm-count": (6, SPIRAL),
}  # fmt: skip
PUBLISHED = {
    "gz2": SLOAN,
    "gz-ukidss": SLOAN,
    "gz-decals": DECALS,
    "gz-decals-dr12": {**DECALS, "bar": (2, FACE_ON), "bulge-size": (3, FACE_ON), "spiral-arm-count": (5, SPIRAL)},
    "gz-cosmic-dawn": {**LATE, "artifact": (6, ["problem_artifact"])},
    "gz-euclid": {**LATE, "artifact": (7, ["problem_artifact"])},
    "gz-jwst": {**LATE, "clumps": (2, EVERYONE), "problem": (3, ["smooth-or-featured_star-artifact-zoom"])},
    "gz-rings": {"ring": (2, [])},
}

# Where an answer leads, as the sites of Galaxy Zoo: Hubble (GOODS images) and CANDELS asked people: question → answer →
# next question; one entry alone holds for all answers.
CLUMPS = {
    "smooth-or-featured": {"smooth": "how-rounded", "features": "clumpy-appearance", "artifact": None},
    "clumpy-appearance": {"yes": "clump-count", "no": "disk-edge-on"},
    "clump-count": {
        "1": "galaxy-symmetrical", "2": "one-clump-brightest", "3": "clump-configuration", "4": "clump-configuration",
        "5-plus": "clump-configuration", "cant-tell": "clump-configuration",
    },
    "clump-configuration": "one-clump-brightest",
    "one-clump-brightest": {"yes": "brightest-clump-central", "no": "galaxy-symmetrical"},
    "galaxy-symmetrical": "clumps-embedded-larger-object",
    "bar": "has-spiral-arms",
    "has-spiral-arms": {"yes": "spiral-winding", "no": "bulge-size"},
    "spiral-winding": "spiral-arm-count",
    "spiral-arm-count": "bulge-size",
}  # fmt: skip
SITES = {
    "gz-hubble": {
        **CLUMPS, "how-rounded": "something-odd",
        "brightest-clump-central": {"yes": "galaxy-symmetrical", "no": "something-odd"},
        "clumps-embedded-larger-object": "something-odd", "disk-edge-on": {"yes": "bulge-shape", "no": "bar"},
        "bulge-shape": "something-odd", "bulge-size": "something-odd",
        "something-odd": {"yes": "odd-feature", "no": None}, "odd-feature": None,
    },
    "gz-candels": {
        **CLUMPS, "how-rounded": "merging",
        "brightest-clump-central": {"yes": "galaxy-symmetrical", "no": "merging"},
        "clumps-embedded-larger-object": "merging", "disk-edge-on": {"yes": "edge-on-bulge", "no": "bar"},
        "edge-on-bulge": "merging", "bulge-size": "merging", "merging": None,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", trees())
def test_every_tree_is_published_and_documented(name: str) -> None:
    tree = read_tree(name)
    assert tree.name == name
    assert tree.reference
    assert all(q.text and all(a.text for a in q.answers) for q in tree.questions)
    found = {q.name: (len(q.answers), list(q.after)) for q in tree.questions}
    if name in PUBLISHED:
        assert found == PUBLISHED[name]
    else:
        assert set(found) == set(SITES[name])
    several = {q.name for q in tree.questions if q.multiple}
    assert several == ({"odd-feature"} if name in ("gz-ukidss", "gz-hubble") else set())


@pytest.mark.parametrize("name", SITES)
def test_people_are_asked_what_the_site_asks_them(name: str) -> None:
    """The chance of each question, walking forwards from answer to question as the site did."""
    tree, site = read_tree(name), SITES[name]
    rng = np.random.default_rng(5)
    fractions = {q.name: rng.dirichlet(np.ones(len(q.answers))) for q in tree.questions}
    chance = dict.fromkeys(fractions, 0.0)

    def walk(question: str | None, weight: float) -> None:
        if question is None:
            return
        chance[question] += weight
        leads = site[question]
        for answer, fraction in zip(tree.questions[index[question]].answers, fractions[question], strict=True):
            walk(leads[answer.name] if isinstance(leads, dict) else leads, weight * fraction)

    index = {q.name: i for i, q in enumerate(tree.questions)}
    walk("smooth-or-featured", 1.0)
    asked = tree.asked_probability(np.concatenate([fractions[q.name] for q in tree.questions]))
    np.testing.assert_allclose(asked, [chance[q.name] for q in tree.questions], rtol=1e-12)


@pytest.mark.parametrize("name", trees())
def test_columns_are_contiguous_and_equivalents_exist(name: str) -> None:
    tree = read_tree(name)
    everywhere = np.concatenate([np.arange(len(tree.columns))[s] for s in tree.slices])
    assert everywhere.tolist() == list(range(len(tree.columns)))
    for question, here, i in zip(tree.questions, tree.slices, itertools.count(), strict=False):
        assert tree.columns[here] == question.columns
        assert set(tree.question_of[here]) == {i}
        for answer in question.answers:
            for other, column in answer.same.items():
                assert column in read_tree(other).columns


def test_desi_has_the_tree_of_decals() -> None:
    assert read_tree("gz-desi").hash == read_tree("gz-decals").hash


def joined(source: str, target: str) -> dict[str, list[str]]:
    """Answer of the target → answers of the source; those that are not known left out."""
    one, other = read_tree(source), read_tree(target)
    table, known = same_answers(one, other)
    return {
        column: [one.columns[k] for k in np.flatnonzero(table[:, i])]
        for i, column in enumerate(other.columns)
        if known[i]
    }


def test_strong_or_weak_is_yes_and_round_is_completely() -> None:
    found = joined("gz-decals", "gz-decals-dr12")
    assert found["bar_yes"] == ["bar_strong", "bar_weak"]
    assert found["bar_no"] == ["bar_no"]
    assert found["how-rounded_completely"] == ["how-rounded_round"]
    assert found["bulge-size_obvious"] == ["bulge-size_large", "bulge-size_moderate", "bulge-size_small"]
    assert "spiral-arm-count_1" not in found, "those who cannot tell had no such answer"
    assert "merging_merger" not in found, "the same word among other answers"


def test_trees_that_do_not_name_each_other_meet() -> None:
    assert joined("gz2", "gz-decals-dr12")["bulge-size_obvious"] == ["bulge-size_just-noticeable", "bulge-size_obvious"]
    assert joined("gz-hubble", "gz-candels")["edge-on-bulge_yes"] == ["bulge-shape_rounded", "bulge-shape_boxy"]
    assert joined("gz-candels", "gz-hubble")["clump-count_5-plus"] == ["clump-count_5-plus"]
    assert joined("gz-euclid", "gz-cosmic-dawn")["artifact_other"] == ["artifact_other", "artifact_ghost"]
    assert joined("gz-jwst", "gz-euclid")["problem_zoom"] == ["problem_bad-zoom"]


def test_what_was_not_asked_apart_cannot_be_told_apart() -> None:
    found = joined("gz2", "gz-decals")
    assert not [column for column in found if column.startswith(("bar", "bulge-size", "merging"))]
    assert "odd-feature_ring" not in joined("gz-ukidss", "gz2"), "several answers of a person are not one"


@pytest.mark.parametrize(("source", "target"), list(itertools.product(trees(), trees())))
def test_equivalences_are_whole_questions(source: str, target: str) -> None:
    one, other = read_tree(source), read_tree(target)
    table, known = same_answers(one, other)
    assert (table.sum(1) <= 1).all(), "an answer belongs to one answer"
    assert ((table.sum(0) > 0) == known).all()
    for here in other.slices:
        assert known[here].all() or not known[here].any()
    if source == target:
        np.testing.assert_array_equal(table, np.eye(len(one.columns)))
    for here in one.slices:
        assert table[here].any(1).all() or not table[here].any(), "no vote is lost"


def test_a_tree_of_ones_own_can_name_the_others() -> None:
    own = replace(read_tree("gz-decals").only(["smooth-or-featured", "disk-edge-on", "bar"]), name="own")
    found = same_answers(own, read_tree("gz2"))[1]
    assert [c for c, known in zip(read_tree("gz2").columns, found, strict=True) if known] == [
        "smooth-or-featured_smooth", "smooth-or-featured_featured-or-disk", "smooth-or-featured_artifact",
        "disk-edge-on_yes", "disk-edge-on_no", "bar_yes", "bar_no",
    ]  # fmt: skip
