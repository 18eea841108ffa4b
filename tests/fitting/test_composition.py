"""Composition: what may be fixed, tied, known beforehand, free in each band or fitted along, against GalSim."""

import galsim
import numpy as np
import pytest

import rosse
from rosse import Cutouts, Exponential, FitOptions, PointSource, Sersic, Sky, Status

from .galaxies import PSF, SCALE, cutouts_of, draw_one, psf_stamp, simulate, within


@pytest.fixture(scope="module")
def singles():
    galaxies = simulate(12, seed=41, snr=(80, 300))
    corner = np.tile([[200.0, 300.0]], (12, 1))
    return galaxies.truth, cutouts_of(galaxies.image, psf=psf_stamp(65), corner=corner)


def table_units(truth: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The truth as tables have it: arcsec, degrees east of north, pixels of the image."""
    return {
        "x": truth["x"] + 200,
        "y": truth["y"] + 300,
        "r_e": truth["r_e"] * SCALE,
        "n": truth["n"],
        "q": truth["q"],
        "pa": (np.degrees(truth["theta"]) - 90) % 180,
    }


# --- fixed, started, bounded ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x", "r_e", "n", "q", "pa"])
def test_a_fixed_parameter_stays_where_the_table_says(singles, name: str) -> None:
    truth, cutouts = singles
    true = table_units(truth)
    table = rosse.fit(cutouts, Sersic(fixed={name: true[name]})).table()
    np.testing.assert_allclose(table[name], true[name], rtol=1e-9)
    assert np.isnan(np.asarray(table[f"sigma_{name}"])).all()
    for other in {"x", "r_e", "n", "q"} - {name}:
        within(table, other, true[other])


def test_one_fixed_value_stands_for_all_and_saves_a_parameter(singles) -> None:
    truth, cutouts = singles
    fit = rosse.fit(cutouts, Sersic(fixed={"n": 2.0}))
    np.testing.assert_allclose(fit.table()["n"], 2.0)
    assert fit.free == 6
    free = rosse.fit(cutouts).table()
    exact = rosse.fit(cutouts, Sersic(fixed={"n": truth["n"]})).table()
    assert (np.asarray(exact["sigma_r_e"]) < 1.01 * np.asarray(free["sigma_r_e"])).all()
    assert np.median(np.asarray(exact["sigma_r_e"]) / np.asarray(free["sigma_r_e"])) < 0.9


def test_a_fixed_flux_may_differ_from_band_to_band() -> None:
    image = np.array([3.0, 9.0])[:, None, None] * draw_one(1.5, 3.0, 0.7, 0.4, 32.2, 31.9, 64)
    image = image + np.random.default_rng(1).normal(0, 0.01, image.shape)
    model = Sersic(fixed={"flux": [[3.0, 9.0]]})
    table = rosse.fit(cutouts_of(image[None], sigma=0.01, bands=("g", "r")), model).table()
    assert (table["flux_g"][0], table["flux_r"][0]) == (3.0, 9.0)
    within(table, "n", 1.5)


def test_a_start_per_galaxy_leads_to_the_same_minimum(singles) -> None:
    truth, cutouts = singles
    true = table_units(truth)
    plain = rosse.fit(cutouts)
    given = {name: true[name] for name in ("x", "y", "r_e", "n", "q", "pa")}
    told = rosse.fit(cutouts, Sersic(start=given))
    np.testing.assert_allclose(told.chi2, plain.chi2, atol=0.05)
    assert told.iterations.mean() < plain.iterations.mean() - 1
    given["n"] = np.where(np.arange(12) % 2, true["n"], np.nan)  # where nothing is known the pixels decide
    half = rosse.fit(cutouts, Sersic(start=given))
    np.testing.assert_allclose(half.chi2, plain.chi2, atol=0.05)


def test_a_starter_is_asked_and_the_model_goes_before_it(singles) -> None:
    truth, cutouts = singles
    true, asked = table_units(truth), []
    place = {name: i for i, name in enumerate(cutouts.id)}

    def starter(some: Cutouts) -> dict[str, np.ndarray]:
        rows = [place[name] for name in some.id]
        asked.extend(rows)
        return {name: true[name][rows] for name in ("x", "y", "r_e", "n", "q", "pa")}

    plain, told = rosse.fit(cutouts), rosse.fit(cutouts, options=FitOptions(starter=starter))
    assert sorted(set(asked)) == list(range(12))
    np.testing.assert_allclose(told.chi2, plain.chi2, atol=0.05)
    assert told.iterations.mean() < plain.iterations.mean() - 1


def test_bounds_are_in_the_units_of_the_table(singles) -> None:
    truth, cutouts = singles
    low, high = 2.5 * SCALE, 3.5 * SCALE
    fit = rosse.fit(cutouts, Sersic(bounds={"r_e": (low, high)}))
    sizes = np.asarray(fit.table()["r_e"])
    outside = (truth["r_e"] < 2.3) | (truth["r_e"] > 3.8)
    assert outside.any()
    np.testing.assert_allclose(sizes[outside], np.where(truth["r_e"] < 3, low, high)[outside], rtol=1e-6)
    assert (fit.status[outside] == Status.AT_BOUND).all()


@pytest.mark.parametrize("parity", [1.0, -1.0])
def test_bounds_of_an_angle_hold_in_a_mirrored_image_too(singles, parity: float) -> None:
    _, cutouts = singles
    image = cutouts.flux.numpy()[:, 0][:, :, ::-1] if parity < 0 else cutouts.flux.numpy()[:, 0]
    seen = cutouts_of(image.copy(), psf=psf_stamp(65), parity=parity)
    middle = 25.0
    table = rosse.fit(seen, Sersic(bounds={"pa": (middle - 20, middle + 20)})).table()
    free = np.asarray(rosse.fit(seen).table()["pa"])
    gap = (np.asarray(table["pa"]) - middle + 90) % 180 - 90
    assert (np.abs(gap) < 20.001).all()
    inside = np.abs((free - middle + 90) % 180 - 90) < 18
    assert inside.any()
    np.testing.assert_allclose(np.asarray(table["pa"])[inside], free[inside], atol=0.1)


# --- priors --------------------------------------------------------------------------------------------------------


def test_a_gaussian_prior_gives_the_product_of_two_gaussians(singles) -> None:
    _, cutouts = singles
    free = rosse.fit(cutouts[:6]).table()
    n, sigma = np.asarray(free["n"]), np.asarray(free["sigma_n"])
    mean, width = n + 0.7 * sigma, sigma  # as sure as the pixels are
    both = rosse.fit(cutouts[:6], Sersic(prior={"n": (mean, width)}))
    table = both.table()
    np.testing.assert_allclose((np.asarray(table["n"]) - n) / sigma, 0.35, atol=0.04)
    np.testing.assert_allclose(np.asarray(table["sigma_n"]) / sigma, np.sqrt(0.5), rtol=0.05)
    chi2 = ((cutouts[:6].flux - both.model_images()).square() * cutouts[:6].ivar).sum((1, 2, 3))
    np.testing.assert_allclose(both.chi2, chi2, rtol=1e-5)  # of the pixels alone


def test_a_tight_prior_pins_a_wide_one_is_not_felt_and_nan_is_none(singles) -> None:
    truth, cutouts = singles
    some, true = cutouts[:6], table_units(truth)
    free = rosse.fit(some).table()
    tight = rosse.fit(some, Sersic(prior={"r_e": (1.3, 1e-4), "pa": (181.0, 1e-3)})).table()
    np.testing.assert_allclose(tight["r_e"], 1.3, atol=1e-3)
    np.testing.assert_allclose((np.asarray(tight["pa"]) + 90) % 180 - 90, 1.0, atol=0.02)
    wide = rosse.fit(some, Sersic(prior={"r_e": (1.3, 1e4)})).table()
    np.testing.assert_allclose(wide["r_e"], free["r_e"], rtol=1e-3)
    mean = np.where(np.arange(6) < 3, np.nan, true["r_e"][:6])
    partly = rosse.fit(some, Sersic(prior={"r_e": (mean, 1e-4)})).table()
    np.testing.assert_allclose(partly["r_e"][:3], free["r_e"][:3], rtol=1e-3)
    np.testing.assert_allclose(partly["r_e"][3:], true["r_e"][3:6], rtol=1e-3)


# --- ties ----------------------------------------------------------------------------------------------------------


def bulge_and_disc(seed: int = 8, noise: float = 0.01) -> np.ndarray:
    at = (40.2, 39.8)
    image = 30 * draw_one(2.5, 2.2, 0.6, 1.0, *at, 80) + 60 * draw_one(1.0, 8.0, 0.6, 1.0, *at, 80)
    return image + np.random.default_rng(seed).normal(0, noise, image.shape)


def test_tied_parameters_are_one_and_are_known_better() -> None:
    cutouts = cutouts_of(bulge_and_disc(), sigma=0.01)
    model = Sersic("bulge") + Exponential("disc")
    loose = rosse.fit(cutouts, model)
    tied = rosse.fit(cutouts, model.tie("bulge_pa", "disc_pa").tie("bulge_q", "disc_q"))
    table = tied.table()
    assert tied.free == loose.free - 2
    assert table["bulge_pa"][0] == table["disc_pa"][0]
    assert table["bulge_q"][0] == table["disc_q"][0]
    within(table, "disc_q", 0.6)
    within(table, "disc_pa", (np.degrees(1.0) - 90) % 180)
    assert table["sigma_bulge_q"][0] < 0.5 * loose.table()["sigma_bulge_q"][0]
    scaled = rosse.fit(cutouts, model.tie("bulge_r_e", "disc_r_e", ratio=0.275)).table()
    assert scaled["bulge_r_e"][0] == pytest.approx(0.275 * scaled["disc_r_e"][0])
    within(scaled, "disc_r_e", 8.0 * SCALE)


def test_a_size_that_may_not_exceed_another_does_not() -> None:
    cutouts = cutouts_of(bulge_and_disc(), sigma=0.01)
    model = Sersic("bulge") + Exponential("disc")
    held = rosse.fit(cutouts, model.at_most("bulge_r_e", "disc_r_e")).table()
    within(held, "bulge_r_e", 2.2 * SCALE)  # a limit that is not reached changes nothing
    within(held, "disc_r_e", 8.0 * SCALE)
    fit = rosse.fit(cutouts, model.at_most("bulge_r_e", "disc_r_e", ratio=0.2))
    table = fit.table()
    assert table["bulge_r_e"][0] == pytest.approx(0.2 * table["disc_r_e"][0], rel=1e-6)
    assert fit.status[0] == Status.AT_BOUND


# --- sky and points ---------------------------------------------------------------------------------------


def test_the_sky_comes_back_flat_and_tilted_and_widens_the_errors() -> None:
    rng = np.random.default_rng(12)
    y, x = np.indices((72, 72)) - 36
    shape = draw_one(2.0, 4.0, 0.7, 0.8, 36.2, 35.7, 72)
    image = 30 * shape + 0.5 + 4e-3 * x - 2e-3 * y + rng.normal(0, 0.02, (8, 72, 72))
    table = rosse.fit(cutouts_of(image), Sersic("galaxy") + Sky(tilted=True)).table()
    within(table, "sky_level", 0.5)
    within(table, "sky_slope_x", 4e-3)
    within(table, "sky_slope_y", -2e-3)
    within(table, "galaxy_n", 2.0)
    flat = 30 * shape + 0.03 + rng.normal(0, 0.02, (8, 72, 72))
    level = rosse.fit(cutouts_of(flat), Sersic("galaxy") + Sky()).table()
    within(level, "sky_level", 0.03)
    known = rosse.fit(cutouts_of(flat - 0.03), Sersic("galaxy")).table()
    sure = rosse.fit(cutouts_of(flat), Sersic("galaxy") + Sky(prior={"level": (0.03, 1e-6)})).table()
    assert (np.asarray(level["sigma_galaxy_mag"]) > 1.1 * np.asarray(known["sigma_mag"])).all()
    np.testing.assert_allclose(sure["sigma_galaxy_mag"], known["sigma_mag"], rtol=0.03)


def test_a_nucleus_is_found_and_need_not_be_at_the_centre() -> None:
    rng = np.random.default_rng(3)
    image = 40 * draw_one(1.0, 6.0, 0.7, 0.3, 40.0, 40.3, 80)
    point = PSF.drawImage(galsim.ImageD(80, 80), scale=1.0, offset=(42.6 - 39.5, 39.1 - 39.5)).array
    image = image + 4 * point + rng.normal(0, 0.01, image.shape)
    model = Exponential("disc") + PointSource("agn", own_centre=True, start={"x": 43.0, "y": 39.0})
    table = rosse.fit(cutouts_of(image, sigma=0.01), model).table()
    within(table, "agn_flux", 4.0)
    within(table, "agn_x", 42.6)
    within(table, "agn_y", 39.1)
    within(table, "disc_r_e", 6.0 * SCALE)


# --- names and wrong input -----------------------------------------------------------------------------------------


def test_every_column_of_a_rich_model_has_a_unit_and_a_description() -> None:
    cutouts = cutouts_of(np.stack([[bulge_and_disc(i) for i in range(2)]]), sigma=0.01, bands=("g", "r"))
    model = Sersic("bulge", bands={"n": "free"}) + Exponential("disc") + PointSource("agn") + Sky()
    table = rosse.fit(cutouts, model).table()
    for name in (
        "x", "bulge_mag_g", "bulge_fraction_r", "bulge_n_g", "disc_r_e", "sigma_disc_pa", "agn_flux_r", "sky_level_g",
    ):  # fmt: skip
        assert name in table.colnames
    assert all(table[name].description for name in table.colnames)
    assert "disc_n" not in table.colnames
    assert table["bulge_fraction_g"][0] + table["disc_fraction_g"][0] + table["agn_fraction_g"][0] == pytest.approx(1)
    units = {"bulge_mag_g": "mag", "disc_r_e": "arcsec", "disc_pa": "deg", "x": "pix"}
    assert {name: str(table[name].unit) for name in units} == units


PAIR = Sersic("bulge") + Exponential("disc")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Sersic(fixed={"n": [1.0, 2.0]}), "fixed of n has the shape"),
        (Sersic(fixed={"n": [1.0, 2.0, 3.0, 4.0]}), "fixed of n has the shape"),
        (Sersic(start={"r_e": [1.0, 2.0, 3.0, 4.0]}), "start of r_e has the shape"),
        (Sersic(prior={"n": ([1.0, 2.0], 0.1)}), "prior of n has the shape"),
        (Sersic(fixed={"n": 20.0}), "0.3 to 8 is possible"),
        (Sersic(fixed={"flux": -1.0}), "fixed of flux is"),
        (Sersic(fixed={"r_e": 0.0}), "fixed of r_e is"),
        (Sersic(start={"q": 1.7}), "0.02 to 1 is possible"),
        (Sersic(prior={"n": (2.0, -0.1)}), "a positive width"),
        (Sersic(fixed={"n": 1.0}, bounds={"n": (1.0, 2.0)}), "n is fixed"),
        (Sersic(bands={"flux": 1}), "free in every band"),
        (Sersic("bulge") + Exponential("disc", fixed={"x": 32.0}), "disc_x follows bulge_x; give fixed to bulge_x"),
        (
            (Sersic("bulge", fixed={"pa": 10.0}) + Exponential("disc")).tie("bulge_pa", "disc_pa"),
            "give fixed to disc_pa",
        ),
        (
            (Sersic("bulge", bounds={"r_e": (1.0, 2.0)}) + Exponential("disc")).at_most("bulge_r_e", "disc_r_e"),
            "bulge_r_e is kept below disc_r_e",
        ),
        (PAIR.at_most("bulge_flux", "disc_flux"), "only sizes, indices and axis ratios"),
        (PAIR.tie("bulge_x", "disc_x"), "common to all"),
    ],
)
def test_contradictions_and_wrong_numbers_are_refused(model: object, message: str) -> None:
    cutouts = cutouts_of(np.zeros((3, 32, 32)))
    with pytest.raises(ValueError, match=message):
        rosse.fit(cutouts, model)


def test_misspelt_names_and_circles_are_refused_where_they_are_written() -> None:
    with pytest.raises(rosse.OptionError, match="did you mean 'n'"):
        Sersic(prior={"nn": (1.0, 1.0)})
    with pytest.raises(rosse.OptionError, match="did you mean 'bulge_r_e'"):
        PAIR.at_most("bulge_re", "disc_r_e")
    with pytest.raises(rosse.OptionError, match="not of one kind"):
        PAIR.tie("bulge_r_e", "disc_q")
    with pytest.raises(rosse.OptionError, match="follows already"):
        PAIR.tie("bulge_q", "disc_q").tie("disc_q", "bulge_q")
    with pytest.raises(rosse.OptionError, match="every parameter"):
        rosse.fit(cutouts_of(np.zeros((32, 32))), Sky(fixed={"level": 0.0}))


def test_a_galaxy_whose_fixed_value_is_unknown_is_one_row_that_failed(singles) -> None:
    truth, cutouts = singles
    n = np.where(np.arange(12) == 4, np.nan, truth["n"])
    fit = rosse.fit(cutouts, Sersic(fixed={"n": n}))
    assert fit.status[4] == Status.FAILED
    assert (np.delete(fit.status, 4) == Status.OK).all()
