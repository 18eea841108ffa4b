"""Which model a galaxy needs, against GalSim galaxies of one part and of two."""

import numpy as np
import pytest

import rosse
from rosse import Cutouts, Exponential, PointSource, Sersic, Sky
from rosse.fitting.evidence import bic, log_evidence
from rosse.fitting.order import exchanged, in_order, rows_of, unphysical

from .galaxies import SCALE, draw_one, psf_stamp, simulate

BULGE_AND_DISC = Sersic("bulge") + Exponential("disc")
MODELS = [Sersic(), BULGE_AND_DISC, PointSource()]
NOISE = 0.02


def two_parts(
    count: int, *, seed: int, snr: tuple[float, float] = (100, 500)
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Bulges of n = 2 to 4.5 in discs of two to seven times their size."""
    rng = np.random.default_rng(seed)
    images, rows = [], []
    for _ in range(count):
        share, disc = rng.uniform(0.2, 0.7), rng.uniform(6, 10)
        bulge, n = disc * rng.uniform(0.15, 0.45), rng.uniform(2, 4.5)
        x, y = 36 + rng.uniform(-1, 1, 2)
        image = share * draw_one(n, bulge, rng.uniform(0.7, 0.95), rng.uniform(0, 3), x, y, 72)
        image += (1 - share) * draw_one(1.0, disc, rng.uniform(0.3, 0.8), rng.uniform(0, 3), x, y, 72)
        flux = np.exp(rng.uniform(*np.log(snr))) * NOISE / np.sqrt((image**2).sum())
        images.append(flux * image + rng.normal(0, NOISE, image.shape))
        rows.append((share, bulge, disc, n))
    return np.stack(images), dict(zip(("share", "bulge", "disc", "n"), np.array(rows).T, strict=True))


def cutouts_of(image: np.ndarray) -> Cutouts:
    return Cutouts.from_arrays(image, sigma=NOISE, psf=psf_stamp(65), scale=SCALE, zeropoint=22.5)


@pytest.fixture(scope="module")
def mixed() -> tuple[dict[str, np.ndarray], rosse.Choice]:
    """12 galaxies of one part, 12 of two, 3 stars, one without light and one without pixels."""
    rng = np.random.default_rng(0)
    single = simulate(12, seed=13, size=72, snr=(50, 400)).image
    double, truth = two_parts(12, seed=14, snr=(250, 600))
    star = np.pad(psf_stamp(65), ((4, 3), (4, 3))) * 20 + rng.normal(0, NOISE, (3, 72, 72))
    dark = np.stack([np.zeros((72, 72)), np.full((72, 72), np.nan)])
    return truth, rosse.choose_model(cutouts_of(np.concatenate([single, double, star, dark])), MODELS)


def test_one_part_two_parts_and_stars_are_told_apart(mixed) -> None:
    _, choice = mixed
    assert (choice.model[:12] == "sersic").sum() >= 11
    assert (choice.model[12:24] == "sersic+exponential").sum() >= 11
    assert (choice.model[24:27] == "pointsource").all()
    assert choice.model[28] == ""
    table = choice.table()
    assert (table["status"][:12] == "ok").all()
    assert table["status"][28] == "no_data"
    two = choice.model == "sersic+exponential"
    assert np.isnan(np.asarray(table["bulge_fraction"])[~two]).all()
    assert (np.asarray(table["ln_evidence_ratio"])[12:24][two[12:24]] > 0.5).all()


def test_the_bulges_share_comes_with_its_error(mixed) -> None:
    truth, choice = mixed
    table = choice.table()[12:24]
    use = choice.model[12:24] == "sersic+exponential"
    pull = (np.asarray(table["bulge_fraction"]) - truth["share"])[use] / np.asarray(table["sigma_bulge_fraction"])[use]
    assert np.median(np.abs(pull)) < 1.5
    assert (np.asarray(table["sigma_bulge_fraction"])[use] < 0.3).all()


def test_every_column_of_a_choice_is_described(mixed) -> None:
    _, choice = mixed
    table = choice.table()
    assert len(table) == 29
    for name in (
        "model",
        "delta_bic",
        "ln_evidence_ratio",
        "unphysical",
        "bic_sersic",
        "ln_evidence_sersic_exponential",
    ):
        assert name in table.colnames
    assert all(table[name].description for name in table.colnames)
    assert repr(choice).startswith("Choice for 29 galaxies: ")


def test_the_best_fit_of_a_galaxy_is_the_one_of_its_model(mixed) -> None:
    _, choice = mixed
    one = choice.best(13)
    assert len(one) == 1
    assert one.chi2[0] == choice.fits[choice.model[13]].chi2[13]
    assert one.cutouts.id[0] == choice.fits["sersic"].cutouts.id[13]
    assert len(choice.of("pointsource")) == int((choice.model == "pointsource").sum())
    with pytest.raises(rosse.OptionError, match="did you mean 'sersic'"):
        choice.of("sersik")
    with pytest.raises(rosse.InputError, match="row 99"):
        choice.best(99)


@pytest.mark.slow
def test_few_single_galaxies_get_two_parts_and_most_clear_bulges_are_found() -> None:
    single = rosse.choose_model(cutouts_of(simulate(400, seed=131, snr=(20, 600)).image), MODELS[:2])
    assert (single.model == "sersic+exponential").mean() < 0.05
    double = rosse.choose_model(cutouts_of(two_parts(200, seed=141)[0]), MODELS[:2])
    assert (double.model == "sersic+exponential").mean() >= 0.9


def test_bic_and_evidence_are_those_of_a_linear_problem() -> None:
    """A sky level with a Gaussian prior: the evidence is known exactly."""
    rng = np.random.default_rng(5)
    image = 0.05 + rng.normal(0, 1.0, (3, 20, 20))
    fit = rosse.fit(Cutouts.from_arrays(image, sigma=1.0), Sky(prior={"level": (0.0, 0.1)}))
    count, total, square = 400, image.sum((1, 2)), (image**2).sum((1, 2))
    exact = -0.5 * square - 0.5 * np.log(1 + 0.01 * count) + 0.5 * total**2 / (count + 100)
    np.testing.assert_allclose(log_evidence(fit), exact, atol=2e-3)
    level = total / (count + 100)
    np.testing.assert_allclose(bic(fit), square - 2 * level * total + count * level**2 + np.log(400), atol=2e-3)


def test_a_prior_counts_in_each_band_that_has_a_value_of_its_own() -> None:
    """Levels of two bands are two problems, whose evidences multiply."""
    image = 0.05 + np.random.default_rng(6).normal(0, 1.0, (3, 2, 20, 20))
    model = Sky(prior={"level": (0.0, 0.1)})
    both = log_evidence(rosse.fit(Cutouts.from_arrays(image, sigma=1.0, bands=("g", "r")), model))
    each = [log_evidence(rosse.fit(Cutouts.from_arrays(image[:, i], sigma=1.0), model)) for i in range(2)]
    np.testing.assert_allclose(both, sum(each), atol=2e-3)


# --- which is which ------------------------------------------------------------------------------------------------


def test_exchanged_components_of_one_kind_change_places() -> None:
    image, truth = two_parts(4, seed=3, snr=(400, 600))
    size = {"bulge": truth["bulge"] * SCALE, "disc": truth["disc"] * SCALE}
    right = Sersic("bulge", start={"r_e": size["bulge"], "n": truth["n"]}) + Sersic(
        "disc", start={"r_e": size["disc"], "n": 1.0}
    )
    wrong = Sersic("bulge", start={"r_e": size["disc"], "n": 1.0}) + Sersic(
        "disc", start={"r_e": size["bulge"], "n": truth["n"]}
    )
    a, b = rosse.fit(cutouts_of(image), right), rosse.fit(cutouts_of(image), wrong)
    assert len(exchanged(b)) > len(exchanged(a))
    a, b = in_order(a).table(), in_order(b).table()
    for name in ("bulge_r_e", "disc_r_e", "bulge_n", "bulge_fraction", "sigma_disc_n", "disc_pa"):
        np.testing.assert_allclose(a[name], b[name], rtol=0.05, err_msg=name)


def test_a_bulge_that_was_fitted_to_the_disc_is_put_back_into_the_bulge() -> None:
    """A bulge of n = 1 and a disc of n = 1 explain the pixels as well when they are exchanged."""
    at = (40.1, 39.8)
    image = 30 * draw_one(1.0, 2.0, 0.9, 0.2, *at, 80) + 70 * draw_one(1.0, 9.0, 0.5, 1.2, *at, 80)
    image = image + np.random.default_rng(4).normal(0, NOISE, image.shape)
    start = Sersic("bulge", start={"r_e": 9 * SCALE, "n": 1.0, "q": 0.5, "pa": np.degrees(1.2) - 90}) + Exponential(
        "disc", start={"r_e": 2 * SCALE, "q": 0.9, "pa": np.degrees(0.2) - 90}
    )
    fit = rosse.fit(cutouts_of(image), start)
    assert exchanged(fit).tolist() == [0]
    assert unphysical(fit)[0] == "bulge larger than disc"
    back = in_order(fit)
    table = back.table()
    assert unphysical(back)[0] == ""
    assert back.chi2[0] < fit.chi2[0] + 2
    for name, true in {"bulge_r_e": 2 * SCALE, "disc_r_e": 9 * SCALE, "bulge_fraction": 0.3}.items():
        assert abs(table[name][0] - true) < 4 * table[f"sigma_{name}"][0], name


def test_a_part_without_light_and_a_bound_are_said_in_words() -> None:
    image = 30 * draw_one(1.0, 7.0, 0.6, 0.4, 36.0, 36.0, 72)
    image = image + np.random.default_rng(6).normal(0, NOISE, image.shape)
    model = Sersic("bulge", fixed={"r_e": 1.0 * SCALE, "n": 4.0, "q": 0.9, "pa": 0.0}) + Exponential("disc")
    fit = rosse.fit(cutouts_of(image), model)
    assert unphysical(fit)[0] == "no light in bulge"
    bound = rosse.fit(cutouts_of(image), Sersic(bounds={"n": (2.0, 4.0)}))
    assert unphysical(bound)[0] == "n at its bound"


def test_rows_of_a_fit_keep_their_fixed_values() -> None:
    galaxies = simulate(4, seed=8)
    fit = rosse.fit(cutouts_of(galaxies.image), Sersic(fixed={"n": galaxies.truth["n"]}))
    part = rows_of(fit, [3, 1])
    np.testing.assert_allclose(part.table()["n"], galaxies.truth["n"][[3, 1]])
    np.testing.assert_allclose(part.model_images(), fit.model_images([3, 1]))


def test_names_of_models_are_their_own_or_given() -> None:
    cutouts = cutouts_of(simulate(2, seed=8).image)
    named = rosse.choose_model(cutouts, {"n1": Sersic(fixed={"n": 1.0}), "n4": Sersic(fixed={"n": 4.0})})
    assert set(named.fits) == {"n1", "n4"}
    with pytest.raises(rosse.OptionError, match="a name for each"):
        rosse.choose_model(cutouts, [Sersic(), Sersic(fixed={"n": 1.0})])
    with pytest.raises(rosse.OptionError, match="no model came"):
        rosse.choose_model(cutouts, [])
