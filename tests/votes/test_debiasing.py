"""What distance does to votes is undone: exactly where it only hides, and on virtual galaxies not learnt from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import ks_2samp

import rosse
from rosse.errors import InputError, OptionError
from rosse.sky.observe import View
from rosse.votes.debiasing import Debiasing, Look, Looks, expect, match_quantiles, plot_looks, see_in_turn
from votes.galaxies import SHAPES

NEAR, FAR = Look(survey="decals", z=0.03), Look(survey="decals", z=0.12)
MIDDLE, OTHER = Look(survey="decals", z=0.06), Look(survey="sdss", z=0.08)


def faded(count: int, seed: int = 0, noise: float = 0.0) -> Looks:
    """People see a flat galaxy as flat with p at first, with p^2 further away, and sizes as they are."""
    draw = np.random.default_rng(seed)
    p = draw.beta(2, 1.5, count)
    size = draw.dirichlet([3, 2, 2], count)
    hidden = np.abs(p**2 + draw.normal(0, noise, count))
    hidden = np.where(hidden > 1, 1 / hidden, hidden)
    shares = [np.concatenate([np.stack([x, 1 - x], 1), size], 1) for x in (p, p**1.5, hidden)]
    fractions = np.stack(shares)
    return Looks(tree=SHAPES, looks=(NEAR, MIDDLE, FAR), fractions=fractions,
                 asked=np.stack([SHAPES.asked_probability(each) for each in fractions]))  # fmt: skip


@pytest.mark.parametrize("how", [match_quantiles, expect])
def test_a_loss_that_rises_with_the_fraction_is_undone(how: object) -> None:
    assert callable(how)
    debias: Debiasing = how(faded(4000))
    others = faded(500, seed=1)
    z = np.full(500, FAR.z)
    found = debias(others.fractions[2], z)
    off = np.abs(found[:, 0] - others.fractions[0, :, 0])
    assert off[others.fractions[0, :, 0] > 0.15].max() < 0.01
    assert off.max() < 0.06  # near 0 the square root that undoes the square is infinitely steep
    np.testing.assert_allclose(found[:, 2:].sum(1), 1)
    np.testing.assert_allclose(debias(others.fractions[0], np.full(500, NEAR.z)), others.fractions[0], atol=1e-9)
    # half-way between two looks, half of either map
    half = debias(others.fractions[2], np.full(500, (MIDDLE.z + FAR.z) / 2))  # type: ignore[operator]
    by_hand = 0.5 * (debias(others.fractions[2], np.full(500, MIDDLE.z)) + found)
    np.testing.assert_allclose(half, by_hand, atol=1e-9)
    np.testing.assert_allclose(debias(others.fractions[2], np.full(500, 9.0)), found)


def test_populations_are_matched_and_galaxies_are_expected() -> None:
    """With scatter the two maps differ: one keeps the distribution, the other has the smaller error."""
    fit, others = faded(4000, noise=0.2), faded(3000, seed=1, noise=0.2)
    z = np.full(3000, FAR.z)
    matched, expected = (how(fit)(others.fractions[2], z)[:, 0] for how in (match_quantiles, expect))
    truth = others.fractions[0, :, 0]
    assert ks_2samp(matched, truth).statistic < 0.05
    assert ks_2samp(others.fractions[2, :, 0], truth).statistic > 0.2
    assert ks_2samp(expected, truth).statistic > 0.1
    assert np.mean((expected - truth) ** 2) < 0.9 * np.mean((matched - truth) ** 2)
    # the mean of galaxies of which people say the same: SciPy's binned means
    for low in (0.1, 0.4, 0.7):
        here = np.abs(others.fractions[2, :, 0] - low) < 0.05
        assert expected[here].mean() == pytest.approx(truth[here].mean(), abs=0.03)


def test_what_is_not_known_stays_and_few_galaxies_teach_nothing() -> None:
    debias = match_quantiles(faded(30))
    some = faded(10, seed=1).fractions[2]
    some[3, 2:] = np.nan
    found = debias(some, np.full(10, FAR.z))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(some))
    np.testing.assert_allclose(found[~np.isnan(some)], some[~np.isnan(some)], atol=1e-9)


def test_what_does_not_fit_is_refused() -> None:
    debias = match_quantiles(faded(100))
    f = faded(5).fractions[0]
    with pytest.raises(InputError, match="pass z"):
        debias(f)
    with pytest.raises(InputError, match="looks of hsc"):
        debias(f, np.full(5, 0.1), survey="hsc")
    with pytest.raises(InputError, match="shape"):
        debias(f[:, :2], np.full(5, 0.1))
    with pytest.raises(InputError, match="redshift of each galaxy"):
        debias(f, np.full(4, 0.1))
    with pytest.raises(OptionError, match="a reference"):
        see_in_turn(rosse.Population(4), [NEAR])


def test_the_figure_shows_every_question(tmp_path: Path) -> None:
    looks = faded(200)
    plot_looks(looks, tmp_path / "looks.png", debiased=match_quantiles(looks))
    with Image.open(tmp_path / "looks.png") as image:
        pixels = np.asarray(image.convert("L"))
    assert (pixels < 250).mean() > 0.02
    table = looks.table()
    row = table[(table["look"] == str(FAR)) & (table["answer"] == "flat_yes")][0]
    assert row["fraction"] == pytest.approx(looks.fractions[2, looks.counted(2, 0), 0].mean())
    assert row["reference"] > row["fraction"]


@pytest.fixture(scope="module")
def sky() -> Looks:
    view = View(bands=("g", "r"), frame=48, scale=0.8)
    return see_in_turn(rosse.Population(420, seed=3), [NEAR, FAR, OTHER], view=view)


@pytest.mark.slow
def test_virtual_galaxies_seen_from_afar_get_their_votes_back(sky: Looks) -> None:
    """Learnt from 270 galaxies, judged by the true probabilities of the 150 others."""
    fit, held = sky.rows(slice(0, 270)), sky.rows(slice(270, None))
    tree = sky.tree
    for how in (match_quantiles, expect):
        debias = how(fit)
        for look in (1, 2):
            place = sky.looks[look]
            for name in ("smooth-or-featured", "has-spiral-arms", "bar"):
                q, here = [x.name for x in tree.questions].index(name), tree[name]
                rows = held.counted(look, q)
                seen, truth = held.fractions[look, rows], held.fractions[0, rows]
                found = debias(seen, np.full(len(seen), place.z), survey=place.survey)
                before, after = (np.abs(x - truth)[:, here].mean() for x in (seen, found))
                assert after < 0.75 * before, (how.__name__, str(place), name)
                off = np.abs((found - truth)[:, here].mean(0)).max()
                assert off < 0.4 * np.abs((seen - truth)[:, here].mean(0)).max(), (how.__name__, str(place), name)


@pytest.mark.slow
def test_distance_hides_features_and_moves_no_galaxy(sky: Looks) -> None:
    """The further away, the smoother (Bamford+2009); the same galaxies, seen less deeply, too."""
    smooth = sky.fractions[..., 0].mean(1)
    assert smooth[1] > smooth[0] + 0.1
    assert smooth[2] > smooth[0] + 0.1
    arms = sky.tree["has-spiral-arms"].start
    rows = sky.counted(1, 2)
    assert sky.fractions[1, rows, arms].mean() < sky.fractions[0, rows, arms].mean() - 0.05
    view = View(bands=("g", "r"), frame=48, scale=0.8)
    near, again = (see_in_turn(rosse.Population(20, seed=3), [NEAR, look], view=view) for look in (NEAR, FAR))
    np.testing.assert_array_equal(near.fractions[0], near.fractions[1])
    np.testing.assert_allclose(again.fractions[0], sky.fractions[0, :20], atol=1e-6)  # batches differ


@pytest.mark.slow
def test_votes_of_few_people_are_debiased_as_well() -> None:
    """Fractions of forty votes; where nobody was asked they are not known, and stay so."""
    view = View(bands=("g", "r"), frame=48, scale=0.8)
    looks = see_in_turn(rosse.Population(240, seed=9), [NEAR, FAR], view=view, voters=40)
    assert np.isnan(looks.fractions).any()
    debias = expect(looks.rows(slice(0, 160)))
    held = looks.rows(slice(160, None))
    found = debias(held.fractions[1], np.full(80, FAR.z))
    before, after = (np.nanmean((x - held.fractions[0])[:, :2] ** 2) for x in (held.fractions[1], found))
    assert after < 0.5 * before


def test_fractions_that_many_galaxies_share_become_their_mean() -> None:
    """Half of the galaxies are lost altogether: nobody sees them as flat any more."""
    looks = faded(2000)
    lost = np.arange(2000) % 2 == 0
    looks.fractions[2, lost, 0], looks.fractions[2, lost, 1] = 0, 1
    for how in (match_quantiles, expect):
        found = how(looks)(looks.fractions[2], np.full(2000, FAR.z))[lost, 0]
        assert np.ptp(found) == 0
        assert found[0] > 0.2
