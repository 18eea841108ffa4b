"""Volunteers: votes are drawn through the tree from probabilities that follow from what the image shows."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import galsim
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from scipy.optimize import curve_fit

import rosse
from rosse.errors import InputError, OptionError
from rosse.sky.draw import Truth
from rosse.sky.observe import Observation, Telescope, View, observe
from rosse.sky.opinions import Opinions, opinions
from rosse.sky.psf import Psf
from rosse.sky.sight import marginal_snr, seen_axis_ratio, sight, turned
from rosse.sky.volunteers import TURNOUTS, Turnout, Volunteers, volunteers
from rosse.surveys import SURVEYS, Survey
from rosse.tree import Answer, Question, Tree, read_tree, trees

PARTS = View(bands=("r",), also=Truth(parts=True))
NEAR = replace(PARTS, frame=128)
DECALS = read_tree("gz-decals")
# The columns of the public GZ DECaLS catalogue, DR5 (Walmsley+2022, Zenodo 4573248)
PUBLIC = """smooth-or-featured: smooth featured-or-disk artifact; disk-edge-on: yes no; has-spiral-arms: yes no;
bar: strong weak no; bulge-size: dominant large moderate small none; how-rounded: round in-between cigar-shaped;
edge-on-bulge: boxy none rounded; spiral-winding: tight medium loose; spiral-arm-count: 1 2 3 4 more-than-4 cant-tell;
merging: none minor-disturbance major-disturbance merger"""


def at(name: str, values: np.ndarray) -> np.ndarray:
    """Column of an answer."""
    return values[:, DECALS.columns.index(name)]


# --- votes ----------------------------------------------------------------------------------------------------------


def ask(name: str, count: int, *after: str, multiple: bool = False) -> Question:
    names = "abcdef"[:count]
    return Question(name=name, answers=tuple(Answer(name=n) for n in names), after=after, multiple=multiple)


MIXED = Tree(
    name="mixed",
    questions=(
        ask("late", 3, "left_a", "root_c"), ask("root", 3), ask("left", 2, "root_a"), ask("tick", 4, multiple=True),
        ask("after-tick", 2, "tick_b"),
    ),
)  # fmt: skip


def guesses(tree: Tree, rows: int, seed: int = 0) -> Opinions:
    """Probabilities of any kind, some of them 0."""
    rng = np.random.default_rng(seed)
    blocks = []
    for question in tree.questions:
        block = rng.dirichlet(np.ones(len(question.answers)), rows)
        block[:: max(rows // 7, 1)] = np.eye(len(question.answers))[0]
        blocks.append(rng.uniform(size=block.shape) if question.multiple else block)
    return Opinions(tree=tree, id=np.arange(100, 100 + rows), probability=np.concatenate(blocks, 1))


@pytest.mark.parametrize("tree", [MIXED, DECALS, read_tree("gz2")], ids=lambda tree: tree.name)
def test_totals_are_the_votes_that_lead_there(tree: Tree) -> None:
    votes = volunteers(guesses(tree, 300), seed=5, voters="gz2")
    people = votes.asked[:, tree.order[0]]
    for i, (question, here) in enumerate(zip(tree.questions, tree.slices, strict=True)):
        led = votes.counts[:, list(tree.parents[i])].sum(1) if tree.parents[i] else people
        np.testing.assert_array_equal(votes.asked[:, i], led)
        if question.multiple:
            assert (votes.counts[:, here] <= votes.asked[:, i, None]).all()
            assert (votes.counts[:, here].sum(1) > votes.asked[:, i]).any()
        else:
            np.testing.assert_array_equal(votes.counts[:, here].sum(1), votes.asked[:, i])
    assert (votes.counts[votes.probability == 0] == 0).all()


def test_votes_are_multinomial() -> None:
    """Pearson's chi^2 of each question of each galaxy is distributed as SciPy says, and so are the totals."""
    known = guesses(DECALS, 60, seed=2)
    votes = volunteers(known, seed=3, voters=4000)
    chances = []
    for i, here in enumerate(DECALS.slices):
        for counts, wanted in zip(votes.counts[:, here], known.probability[:, here], strict=True):
            expected = wanted * counts.sum()
            if counts.sum() and (expected > 8).all():
                chances.append(stats.chisquare(counts, expected).pvalue)
        asked = known.asked[:, i]
        spread = np.sqrt(4000 * asked * (1 - asked)).clip(1e-9)
        pull = ((votes.asked[:, i] - 4000 * asked) / spread)[(asked > 0.01) & (asked < 0.99)]
        assert np.abs(pull).max(initial=0) < 4
    assert len(chances) > 200
    assert stats.kstest(chances, "uniform").pvalue > 0.01
    alike = replace(known, probability=np.repeat(known.probability[1:2], 60, 0))
    first = volunteers(alike, seed=3, voters=400).counts[:, 0]
    law = stats.binom(400, known.probability[1, 0])
    assert first.var() == pytest.approx(law.var(), rel=0.5)  # rows differ in chance, as much as they should


def test_a_row_and_a_voter_do_not_know_of_the_others() -> None:
    known = guesses(MIXED, 50)
    whole = volunteers(known, seed=8, voters=30)
    some = Opinions(tree=MIXED, id=known.id[20:30], probability=known.probability[20:30])
    np.testing.assert_array_equal(volunteers(some, seed=8, voters=30).counts, whole.counts[20:30])
    fewer = volunteers(known, seed=8, voters=12)
    assert (fewer.counts <= whole.counts).all()  # the first twelve of the thirty
    assert (volunteers(known, seed=9, voters=30).counts != whole.counts).any()


def test_numbers_of_people_are_those_of_galaxy_zoo_2(real_data: Path) -> None:
    counted = gz2(real_data)["smooth-or-featured"].sum(1)
    people = TURNOUTS["gz2"].draw(1, np.arange(20_000))
    assert stats.ks_2samp(people, counted).statistic < 0.02
    assert np.percentile(people, [1, 50, 99]) == pytest.approx(np.percentile(counted, [1, 50, 99]), abs=1)


def test_numbers_of_people_are_those_of_galaxy_zoo_decals() -> None:
    people = TURNOUTS["gz-decals"].draw(1, np.arange(20_000))
    assert (people >= 30).mean() == pytest.approx(140 / 314, abs=0.02)  # abstract of Walmsley+2022
    assert np.median(people[people < 30]) == 5
    assert people.min() >= 1


def test_a_concentration_makes_votes_dirichlet_multinomial() -> None:
    row = guesses(DECALS, 1, seed=4).probability
    known = Opinions(tree=DECALS, id=np.arange(20_000), probability=np.repeat(row, 20_000, 0))
    votes = volunteers(known, seed=1, voters=30, concentration=6.0)
    here = DECALS["smooth-or-featured"]
    law = stats.dirichlet_multinomial(6.0 * row[0, here].clip(1e-6), 30)
    np.testing.assert_allclose(votes.counts[:, here].mean(0), law.mean(), atol=0.2)
    np.testing.assert_allclose(votes.counts[:, here].var(0), law.var(), rtol=0.05, atol=0.01)
    assert np.allclose(votes.probability[:, here].sum(1), 1)
    ticks = volunteers(guesses(MIXED, 5), seed=1, voters=10, concentration=3.0).probability[:, MIXED["tick"]]
    assert ((ticks >= 0) & (ticks <= 1)).all()


def test_the_table_has_the_public_names() -> None:
    votes = volunteers(guesses(DECALS, 40), seed=1, voters=20)
    table = votes.table(truth=True)
    names = {"id"}
    for question, answers in (entry.split(":") for entry in PUBLIC.replace("\n", " ").split(";")):
        names.add(f"{question.strip()}_total-votes")
        for answer in answers.split():
            column = f"{question.strip()}_{answer}"
            names |= {column, f"{column}_fraction", f"{column}_probability"}
    assert set(table.colnames) == names
    assert all(table[name].description for name in names)
    asked = table["bar_total-votes"] > 0
    assert 0 < asked.sum() < len(asked)
    share = table["bar_weak"][asked] / table["bar_total-votes"][asked]
    np.testing.assert_allclose(table["bar_weak_fraction"][asked], share)
    assert np.isnan(table["bar_weak_fraction"][~asked]).all()
    assert "bar_weak_probability" not in votes.table().colnames
    assert repr(votes) == "Volunteers of gz-decals: 20 people (median) for each of 40 galaxies"


# --- what is to be seen -----------------------------------------------------------------------------------------------


def test_clarity_is_the_error_of_a_fitted_amplitude() -> None:
    """SciPy's covariance of a fit of all templates at once, for each feature."""
    rng = np.random.default_rng(1)
    features, smooth = rng.normal(size=(3, 8, 9)), rng.normal(size=(4, 8, 9))
    smooth[3] = 0  # a part that is not there
    sigma = rng.uniform(0.5, 2, (8, 9))
    found = marginal_snr(*(torch.from_numpy(v)[None] for v in (features, smooth, 1 / sigma**2)))[0]
    for feature, snr in zip(features, found, strict=True):
        templates = np.stack([feature, *smooth[:3]]).reshape(4, -1)
        _, covariance = curve_fit(
            lambda t, *a: np.array(a) @ t, templates, np.zeros(72), sigma=sigma.ravel(), absolute_sigma=True, p0=[1] * 4
        )
        assert float(snr) == pytest.approx(covariance[0, 0] ** -0.5, rel=1e-6)


@pytest.mark.parametrize(("side", "noise"), [(64, 1e-4), (49, 1e-2)])
def test_axis_ratio_is_that_of_the_isophotes(side: int, noise: float) -> None:
    wanted = np.array([0.3, 0.6, 0.95])
    images = []
    for q in wanted:
        body = galsim.Sersic(n=1, half_light_radius=5 * q**0.5).shear(q=q, beta=30 * galsim.degrees)
        drawn = galsim.Convolve(body, galsim.Gaussian(fwhm=1.2)).drawImage(nx=65, ny=65, scale=1, dtype=float).array
        images.append(drawn[32 - side // 2 : 32 - side // 2 + side, 32 - side // 2 : 32 - side // 2 + side])
    light = torch.from_numpy(np.stack(images))
    found = seen_axis_ratio(light, torch.full_like(light, noise * float(light.max())))
    np.testing.assert_allclose(found.numpy(), wanted, atol=0.04)


@pytest.mark.parametrize("shape", [(5, 7), (6, 8), (5, 6)])
def test_turned_about_the_target_pixel(shape: tuple[int, int]) -> None:
    image = torch.rand(shape, dtype=torch.float64)
    middle = (shape[0] // 2, shape[1] // 2)
    for y in range(shape[0]):
        for x in range(shape[1]):
            there = (2 * middle[0] - y, 2 * middle[1] - x)
            inside = 0 <= there[0] < shape[0] and 0 <= there[1] < shape[1]
            assert float(turned(image)[y, x]) == (float(image[there]) if inside else 0)


# --- opinions ---------------------------------------------------------------------------------------------------------


@cache
def spirals(n: int = 12, **changes: float) -> rosse.sky.observe.Table:  # type: ignore[name-defined]
    """Nearby massive spirals, far from edge-on, with columns changed."""
    table = rosse.Population(
        400, seed=21, mix={"spiral": 1.0}, redshift=(0.02, 0.04), log_mass=(10.3, 11.2), limit=16.0
    ).table()
    table = table[(table["inclination"] < 50) & (table["arm_count"] > 0)][:n]
    for name, value in changes.items():
        table[name] = value
    return table


def look(table: object, survey: Survey | str = "decals", view: View = NEAR) -> Observation:
    return Telescope.of(survey, view).look(table, drawn_with=21, seed=1)


def shallower(name: str, magnitudes: float) -> Survey:
    known = SURVEYS[name]
    return replace(known, depth=tuple(d - magnitudes for d in known.depth))


def test_a_deeper_image_of_the_same_galaxy_has_more_features() -> None:
    some = rosse.Population(60, seed=4)
    chances = []
    for loss in (6.0, 4.0, 2.0, 0.0):
        known = opinions(observe(some, shallower("decals", loss), view=PARTS))
        chances.append(at("smooth-or-featured_featured-or-disk", known.probability))
    assert (np.diff(chances, axis=0) > -1e-4).all()  # every galaxy
    spiral = np.asarray(some.table()["type"]) == "spiral"
    assert chances[-1][spiral].mean() > chances[0][spiral].mean() + 0.25


def test_a_sharper_image_has_more_features() -> None:
    some = rosse.Population(60, seed=4, mix={"spiral": 1.0})
    means = []
    for fwhm in (4.0, 2.0, 1.0):
        seen = observe(some, "decals", view=replace(PARTS, psf=Psf(fwhm=(fwhm,))))
        means.append(at("smooth-or-featured_featured-or-disk", opinions(seen).probability).mean())
    assert means[0] + 0.1 < means[1]
    assert means[1] + 0.1 < means[2]


def test_noise_hides_arms() -> None:
    table = spirals()
    votes = []
    for loss in (0.0, 4.0, 8.0):
        known = opinions(look(table, shallower("decals", loss)))
        yes = at("has-spiral-arms_yes", known.probability)
        asked = known.asked[:, [q.name for q in DECALS.questions].index("has-spiral-arms")]
        votes.append((float((asked * yes).mean()), float(yes.mean())))
    assert votes[0][0] > 0.6
    assert votes[2][0] < 0.1
    assert votes[0][1] > votes[1][1] > votes[2][1]  # also among those who are asked


def test_a_disc_is_called_edge_on_as_it_is_inclined() -> None:
    shares = []
    for inclination in (20.0, 50.0, 65.0, 75.0, 80.0, 88.0):
        known = opinions(look(spirals(8, inclination=inclination, disc_thickness=0.2)))
        shares.append(at("disk-edge-on_yes", known.probability))
    assert (np.diff(shares, axis=0) > -1e-3).all()
    assert np.mean(shares[1]) < 0.05
    assert np.mean(shares[-1]) > 0.9
    assert np.mean(shares[2]) < 0.3 < np.mean(shares[4])


def test_an_edge_on_disc_is_featured_where_it_is_resolved() -> None:
    def featured(survey: str, z: float) -> float:
        table = rosse.Population(40, seed=5, mix={"edge_on": 1.0}, limit=19.0, z=z).table()
        return float(at("smooth-or-featured_featured-or-disk", opinions(look(table, survey)).probability).mean())

    assert featured("decals", 0.03) > 0.7
    assert featured("sdss", 0.15) < 0.4


def test_arms_are_counted() -> None:
    """Of a grand design the right number leads; broken arms cannot be counted; neighbours are what is confused."""
    answers = [f"spiral-arm-count_{n}" for n in ("1", "2", "3", "4", "more-than-4")]
    for number in range(1, 6):
        known = opinions(look(spirals(8, arm_count=number, flocculence=0.05, inclination=20.0)))
        share = np.stack([at(name, known.probability) for name in answers], 1)
        assert (share.argmax(1) == number - 1).all()
        order = np.argsort(-share.mean(0))
        assert abs(order[1] - order[0]) == 1
    lost = [
        at("spiral-arm-count_cant-tell", opinions(look(spirals(8, flocculence=f, inclination=20.0))).probability).mean()
        for f in (0.0, 0.5, 1.0)
    ]
    assert lost[0] < lost[1] < lost[2]


def test_answers_follow_the_galaxy() -> None:
    def mean(name: str, **changes: float) -> float:
        return float(at(name, opinions(look(spirals(8, **changes))).probability).mean())

    for answer, pitch in (("tight", 8.0), ("medium", 21.0), ("loose", 35.0)):
        assert mean(f"spiral-winding_{answer}", arm_pitch=pitch) > 0.55
    barred = {"bar_share": 0.15, "bar_length": 6.0, "bar_angle": 40.0, "disc_share": 0.5}
    assert mean("bar_strong", bar_q=0.2, **barred) > 0.5 > mean("bar_strong", bar_q=0.6, **barred)
    assert mean("bar_no", bar_share=0.0, bar_q=np.nan) > 0.8
    assert mean("bulge-size_none", bulge_share=0.0) > 0.3
    bulge = {"bulge_r_e": 3.0, "bulge_n": 4.0, "bulge_q": 0.9, "bulge_sed": 0.3, "disc_share": 0.03, "arm_share": 0.02}
    assert mean("bulge-size_dominant", bulge_share=0.95, clump_share=0.0, **bulge) > 0.6


def test_kinds_of_objects() -> None:
    def mean(name: str, **mix: float) -> float:
        return float(
            at(name, opinions(observe(rosse.Population(24, seed=2, mix=mix), "sdss", view=PARTS)).probability).mean()
        )

    assert mean("smooth-or-featured_smooth", elliptical=1.0) > 0.8
    assert mean("smooth-or-featured_artifact", star=1.0) > 0.6
    assert mean("smooth-or-featured_artifact", artefact=1.0) > 0.25 > mean("smooth-or-featured_artifact", spiral=1.0)
    assert mean("merging_merger", merger=1.0) > 0.4
    assert mean("merging_merger", spiral=1.0) < 0.05


def test_opinions_do_not_depend_on_the_batch() -> None:
    some = rosse.Population(30, seed=6)
    whole = opinions(observe(some, "sdss", view=PARTS))
    part = opinions(observe(some.rows(11, 17), "sdss", view=PARTS))
    np.testing.assert_array_equal(part.id, whole.id[11:17])
    np.testing.assert_allclose(part.probability, whole.probability[11:17], atol=1e-6)


def test_an_answer_of_another_tree_is_the_sum_of_those_that_mean_the_same() -> None:
    tree = read_tree("gz2")
    seen = observe(rosse.Population(10, seed=6), "sdss", view=PARTS)
    theirs, ours = opinions(seen, tree).probability, opinions(seen).probability
    yes = theirs[:, tree.columns.index("bar_yes")]
    np.testing.assert_allclose(yes, at("bar_strong", ours) + at("bar_weak", ours))


def test_every_tree_is_answered_wholly() -> None:
    seen = observe(rosse.Population(6, seed=6), "sdss", view=PARTS)
    ours = opinions(seen)
    for name in trees():
        tree = read_tree(name)
        theirs = opinions(seen, name).probability  # adds up to one, or it would not be one of Opinions
        assert theirs.shape == (6, len(tree.columns))
        assert (theirs > 0).all(), name
        if "has-spiral-arms_yes" in tree.columns:
            arms = tree.columns.index("has-spiral-arms_yes")
            np.testing.assert_allclose(theirs[:, arms], at("has-spiral-arms_yes", ours.probability))


def test_a_question_that_nobody_knows_is_named() -> None:
    seen = observe(rosse.Population(2, seed=6), "sdss", view=PARTS)
    tree = Tree(name="mine", questions=(ask("ring", 2), ask("colour", 3)))
    with pytest.raises(OptionError, match=r"tree mine: .* no opinion on 2 of 2 questions \(ring, colour\)"):
        opinions(seen, tree)  # its answers to the ring are a0 and a1


def chances(seen: Observation, tree: str, column: str) -> np.ndarray:
    """Probability (B,) of an answer of another tree."""
    known = opinions(seen, tree)
    return np.asarray(known.probability[:, known.tree.columns.index(column)])


def test_rings_are_seen_where_there_are_some() -> None:
    ringed = spirals(ring_share=0.25, ring_radius=4.0, ring_width=1.2, inclination=20.0)
    bare = spirals(ring_share=0.0, inclination=20.0)
    there, none = (chances(look(table), "gz-rings", "ring_yes") for table in (ringed, bare))
    assert there.mean() > 0.5
    assert none.mean() < 0.1
    odd = (chances(look(table), "gz2", "odd-feature_ring").mean() for table in (ringed, bare))
    assert next(odd) > 0.4 > next(odd)


def test_clumps_are_counted() -> None:
    """Nearby galaxies of clumps in a disc: people count what there is."""
    shares = {"clump_share": 0.6, "arm_share": 0.0, "bar_share": 0.0, "ring_share": 0.0, "bulge_share": 0.0}
    counts = []
    for number in (1, 3, 40):
        table = spirals(30, arm_count=0, clump_count=number, disc_share=0.4, inclination=30.0, **shares)
        seen = look(table, view=View(bands=("r",), frame=192, also=Truth(parts=True)))
        assert chances(seen, "gz-candels", "clumpy-appearance_yes").mean() > 0.7
        known = opinions(seen, "gz-hubble")
        here = known.tree["clump-count"]
        counts.append(known.probability[:, here].mean(0)[:5])
    assert [int(share.argmax()) for share in counts] == [0, 2, 4]


def test_what_is_wrong_with_an_image_is_said() -> None:
    seen = observe(rosse.Population(24, seed=3, mix={"star": 1, "artefact": 2}), "sdss", view=PARTS)
    star, what = np.asarray(seen.truth["kind"]) == "star", np.asarray(seen.truth["artefact"])
    assert chances(seen, "gz-jwst", "problem_star")[star].min() > 0.8
    strong = np.asarray(seen.truth["artefact_strength"]) > 0.5
    assert chances(seen, "gz-euclid", "problem_zoom")[strong & (what == "bad_zoom")].min() > 0.6
    for name, answer in (("trail", "satellite"), ("ghost", "ghost"), ("bleed", "saturation")):
        assert chances(seen, "gz-euclid", f"artifact_{answer}")[what == name].min() > 0.9
    # Cosmic Dawn's volunteers had no answer for ghosts
    assert chances(seen, "gz-cosmic-dawn", "artifact_other")[what == "ghost"].min() > 0.9


# --- the real sky -----------------------------------------------------------------------------------------------------


def gz2(real_data: Path) -> dict[str, np.ndarray]:
    """Counts of Galaxy Zoo 2 (Stripe 82), by question; columns in the order of the answers' numbers."""
    table = pd.read_csv(real_data / "gz2-votes" / "gz2_stripe82_normal_votes_table5.csv.gz")
    tasks = {
        "t01": "smooth-or-featured", "t02": "disk-edge-on", "t03": "bar", "t04": "has-spiral-arms",
        "t07": "how-rounded", "t09": "edge-on-bulge", "t10": "spiral-winding", "t11": "spiral-arm-count",
        "t06": "something-odd", "t08": "odd-feature",
    }  # fmt: skip
    columns = [name for name in table.columns if name.endswith("_count")]
    return {name: table[[c for c in columns if c.startswith(task)]].to_numpy() for task, name in tasks.items()}


def test_the_default_population_in_sdss_gets_the_votes_of_galaxy_zoo_2(real_data: Path) -> None:
    """Shares of all votes, and the distribution of the featured ones, to 0.1; of other galaxies than those by which
    constants were chosen."""
    real = {name: counts.sum(0) / counts.sum() for name, counts in gz2(real_data).items()}
    seen = observe(rosse.Population(1500, seed=77), "sdss", view=PARTS)
    votes = volunteers(seen, seed=1, voters="gz2")
    odd = volunteers(seen, "gz2", seed=1, voters="gz2")
    ours = {q.name: votes.counts[:, here].sum(0) for q, here in zip(DECALS.questions, DECALS.slices, strict=True)}
    ours = {name: counts / counts.sum() for name, counts in ours.items()}
    for name in ("something-odd", "odd-feature"):
        counts = odd.counts[:, odd.tree[name]].sum(0)
        ours[name] = counts / counts.sum()
    ours["bar"] = np.array([ours["bar"][:2].sum(), ours["bar"][2]])
    ours["edge-on-bulge"] = ours["edge-on-bulge"][[2, 0, 1]]
    for name, share in real.items():
        print(name, np.round(ours[name], 3), np.round(share, 3))
        np.testing.assert_allclose(ours[name], share, atol=0.1, err_msg=name)
    counts = gz2(real_data)["smooth-or-featured"]
    featured = counts[:, 1] / counts.sum(1)
    mine = votes.fractions[:, 1]
    assert np.percentile(mine, [10, 25, 50, 75, 90]) == pytest.approx(
        np.percentile(featured, [10, 25, 50, 75, 90]), abs=0.1
    )


# --- errors -----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_asked_is_said() -> None:
    with pytest.raises(OptionError, match=r"Truth\(parts=True\)"):
        rosse.volunteers(observe(rosse.Population(2, seed=1), "sdss", bands=("r",)), seed=1)
    known = guesses(MIXED, 2)
    with pytest.raises(OptionError, match="did you mean 'gz2'"):
        volunteers(known, seed=1, voters="gz")
    for bad in (0, -3, True, 2.5):
        with pytest.raises(OptionError, match="1 or more people"):
            volunteers(known, seed=1, voters=bad)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="concentration is 0"):
        volunteers(known, seed=1, concentration=0)
    with pytest.raises(OptionError, match="as many"):
        Turnout(shares=(0.5, 0.5), means=(20.0,), sigmas=(1.0,))
    with pytest.raises(InputError, match="adding up to 1"):
        Opinions(tree=MIXED, id=known.id, probability=known.probability * 0.9)
    with pytest.raises(InputError, match=r"\(2, 14\) is wanted"):
        Opinions(tree=MIXED, id=known.id, probability=known.probability[:, :3])
    assert isinstance(volunteers(known, seed=1), Volunteers)


def test_pixels_without_weight_tell_nothing() -> None:
    """A galaxy whose pixels are all ignored has no features; the smooth body's numbers stay finite."""
    seen = look(spirals(2))
    blank = replace(seen, cutouts=replace(seen.cutouts, ivar=torch.zeros_like(seen.cutouts.ivar)))
    what = sight(blank)
    assert all((clarity == 0).all() for clarity in what.clarity.values())
    assert np.isfinite(opinions(blank).probability).all()
