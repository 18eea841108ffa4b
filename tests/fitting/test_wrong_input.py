"""What cannot be fitted is refused with one message that says what to do; what is plainly meant is taken."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import rosse
from rosse import Cutouts, Exponential, FitOptions, Parameter, PointSource, Profile, Sersic
from rosse.fitting.neighbours import read_neighbours

from .galaxies import SCALE, psf_stamp, simulate

STAMP = psf_stamp(41)
SIZE = Parameter.length("r_s")


def sech(r: torch.Tensor, r_s: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
    return 1 / torch.cosh(r / r_s)


@pytest.fixture(scope="module")
def cutouts() -> Cutouts:
    galaxies = simulate(4, seed=5, size=48)
    return Cutouts.from_arrays(galaxies.image, sigma=galaxies.sigma, psf=psf_stamp(65), scale=SCALE)


@pytest.fixture(scope="module")
def fitted(cutouts: Cutouts) -> rosse.Fit:
    return rosse.fit(cutouts, Sersic())


# --- bounds and other numbers of a component -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("n", (9, 12), r"Sersic\('bulge'\): bounds of n are \(9, 12\); 0.3 to 8 is possible"),
        ("q", (1.2, 1.5), r"Sersic\('bulge'\): bounds of q are \(1.2, 1.5\); 0.02 to 1 is possible"),
        ("r_e", (-2, -1), r"Sersic\('bulge'\): bounds of r_e are \(-2, -1\); only what is above 0 is possible"),
        ("flux", (-2, -1), r"bounds of flux are \(-2, -1\); only 0 and above is possible"),
        ("n", (3, 2), "low < high is wanted"),
        ("n", (math.nan, 2), "low < high is wanted"),
        ("n", ([1.0, 9.0], 12.0), r"bounds of n are \(9, 12\) \(rows \[1\]\); 0.3 to 8"),
        ("n", ([1.0, 2.0], [3.0, 4.0, 5.0]), r"have the shapes \(2,\) and \(3,\)"),
        ("n", 4, r"bounds of n is 4; a pair is wanted, bounds={\"n\": \(low, high\)}"),
        ("n", (1, 2, 3), "a pair is wanted"),
        ("n", "ab", "a pair is wanted"),
        ("n", ("one", 2), "bounds of n is 'one'; a number"),
    ],
)
def test_impossible_bounds_are_refused_where_they_are_written(name: str, given: object, message: str) -> None:
    with pytest.raises(rosse.OptionError, match=message):
        Sersic("bulge", bounds={name: given})


def test_bounds_that_overlap_what_is_possible_are_taken() -> None:
    for name, given in {"n": (0.1, 20), "q": (0.5, 1.5), "r_e": (0, 4), "pa": (-400, 400), "x": (-9, 9)}.items():
        Sersic(bounds={name: given})


def test_other_numbers_of_a_component_that_are_none_are_refused() -> None:
    with pytest.raises(rosse.OptionError, match=r"prior of n is 4; a pair is wanted, prior={\"n\": \(mean, width\)}"):
        Sersic(prior={"n": 4})
    with pytest.raises(rosse.OptionError, match="fixed of n is 'four'; a number"):
        Sersic(fixed={"n": "four"})
    with pytest.raises(rosse.OptionError, match="fixed is 4; a dict by parameter is wanted"):
        Sersic(fixed=4)
    with pytest.raises(rosse.OptionError, match="component name 3 cannot"):
        Sersic(3)


def test_bounds_may_be_those_of_each_galaxy(cutouts: Cutouts, fitted: rosse.Fit) -> None:
    free = np.asarray(fitted.table()["n"])
    middle = np.clip(np.where(np.arange(4) % 2, 1.5 * free, free), 0.4, 7.0)  # every second optimum is out of reach
    low, high = 0.9 * middle, 1.1 * middle
    bounded = rosse.fit(cutouts, Sersic(bounds={"n": (low, high)}))
    n = np.asarray(bounded.table()["n"])
    assert ((n >= low * (1 - 1e-9)) & (n <= high * (1 + 1e-9))).all()
    reach = (free > low) & (free < high)
    assert reach.any()
    assert not reach.all()
    assert n[reach] == pytest.approx(free[reach], rel=1e-2)
    assert (bounded.status[~reach] == rosse.Status.AT_BOUND).all()
    alone = rosse.fit(cutouts[2:], bounded[2:].plan.model)  # a part of a fit has the bounds of its galaxies
    assert np.asarray(alone.table()["n"]) == pytest.approx(n[2:], rel=1e-3)
    with pytest.raises(rosse.InputError, match=r"bounds of n has the shape \(3,\)"):
        rosse.fit(cutouts, Sersic(bounds={"n": (low[:3], high[:3])}))


# --- what came for galaxies, models and options --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("galaxies", "message"),
    [
        ("galaxies/", r"read_cutouts\('galaxies/'\)"),
        (Path("galaxies"), r"read_cutouts\('galaxies'\)"),
        (np.zeros((3, 32, 32)), "a ndarray came .* Cutouts.from_arrays"),
        (torch.zeros(3, 32, 32), "a Tensor came .* Cutouts.from_arrays"),
        (None, "a NoneType came"),
        ({"hst": np.zeros((3, 32, 32))}, "the set hst is a ndarray"),
    ],
)
def test_what_is_no_galaxies_is_refused(galaxies: object, message: str) -> None:
    with pytest.raises(rosse.InputError, match=message):
        rosse.fit(galaxies)
    with pytest.raises(rosse.InputError, match=message):
        rosse.choose_model(galaxies, [Sersic()])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("sersic", "'sersic' came for a model; a component is wanted"),
        (Sersic, r"the class Sersic came for a model; call it: Sersic\(\)"),
        ([Sersic(), PointSource()], "a list came .* use choose_model"),
        ({"one": Sersic()}, "a dict came .* use choose_model"),
        (4, "4 came for a model"),
    ],
)
def test_what_is_no_model_is_refused(cutouts: Cutouts, model: object, message: str) -> None:
    with pytest.raises(rosse.OptionError, match=message):
        rosse.fit(cutouts, model)
    if not isinstance(model, (list, dict)):
        with pytest.raises(rosse.OptionError, match=message):
            rosse.choose_model(cutouts, model)
        with pytest.raises(rosse.OptionError, match=message):
            rosse.choose_model(cutouts, {"it": model})
        with pytest.raises(rosse.OptionError, match=message):
            Sersic("bulge") + model


def test_options_and_rows_that_cannot_be_are_refused(cutouts: Cutouts, fitted: rosse.Fit) -> None:
    with pytest.raises(rosse.OptionError, match=r"give FitOptions\(max_iterations=3\)"):
        rosse.fit(cutouts, options={"max_iterations": 3})
    with pytest.raises(rosse.OptionError, match="came as a int"):
        rosse.fit(cutouts, options=3)
    for rows in ([99], 4, [True, False], "all"):
        with pytest.raises(rosse.InputError, match="the fit has 4 galaxies"):
            fitted.model_images(rows)
        with pytest.raises(rosse.InputError, match="the fit has 4 galaxies"):
            fitted[rows]


def test_several_models_are_compared(cutouts: Cutouts) -> None:
    models = [Sersic(), Exponential()]
    once, other = rosse.fit(cutouts, models=models), rosse.choose_model(cutouts, models)
    assert isinstance(once, rosse.Choice)
    assert once.model.tolist() == other.model.tolist()
    assert list(rosse.choose_model(cutouts, Exponential()).fits) == ["exponential"]
    with pytest.raises(rosse.OptionError, match="both model and models"):
        rosse.fit(cutouts, Sersic(), models=models)


# --- neighbours ----------------------------------------------------------------------------------------------------


def test_neighbours_come_as_a_data_frame_too(cutouts: Cutouts) -> None:
    columns = {"row": [0, 2], "x": [10.0, 30.0], "y": [12.0, 8.0], "n": [1.0, math.nan]}
    for mine, theirs in ((columns, columns), (columns | {"row": cutouts.id[[0, 2]]}, columns)):
        key = "row" if mine is columns else "id"
        frame = pd.DataFrame({key if k == "row" else k: v for k, v in mine.items()}, index=[7, 3])
        one, two = read_neighbours(frame, cutouts), read_neighbours(theirs, cutouts)
        assert one.row.tolist() == two.row.tolist() == [0, 2]
        for name in ("x", "y", "n"):
            np.testing.assert_array_equal(one.values[name], two.values[name])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (3, "neighbours came as a int"),
        ({"row": [0, 1], "x": [1.0], "y": [1.0, 2.0]}, "neighbours came as a dict"),
        ({"row": [0], "x": ["left"], "y": [1.0]}, "the column x of neighbours holds"),
        ({"row": [0], "x": [3.0]}, "x, y and one of id and row are wanted"),
    ],
)
def test_what_is_no_table_of_neighbours_is_refused(cutouts: Cutouts, table: object, message: str) -> None:
    with pytest.raises(rosse.InputError, match=message):
        rosse.fit(cutouts, neighbours=table)


# --- own profiles --------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:__array_wrap__")  # of NumPy, about torch
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda r, r_s: np.exp(-r / r_s), "torch functions only, not NumPy's"),
        (lambda r, r_s: torch.from_numpy(np.exp(-(r / r_s).numpy())), "torch functions only, not NumPy's"),
        (lambda r, r_s: 1 / torch.cosh(r / r_s.item()), "torch functions only|does not change with it"),
        (lambda r, r_s: 1 / torch.cosh(r / r_s.detach().mean() ** 0), "does not change with it"),
        (lambda r, r_s: torch.exp(-r / r_s) + 1e-9 * torch.sqrt((r_s - r_s).abs()), "by r_s is not finite"),
        (lambda r: 1 / torch.cosh(r), "cannot be called"),
    ],
)
def test_a_function_without_derivatives_is_refused_when_it_is_made(function: object, message: str) -> None:
    with pytest.raises(rosse.OptionError, match=message):
        Profile(function=function, declared=(SIZE,))


def test_names_of_parameters_that_are_columns_already_are_refused(fitted: rosse.Fit) -> None:
    for name in set(fitted.table().colnames) - {"r_e", "n", "sigma_r_e", "sigma_n"} | {"neighbours", "sigma_r_s"}:
        with pytest.raises(rosse.OptionError, match=f"{name!r} is taken by every component"):
            Profile(function=sech, declared=(SIZE, Parameter.number(name, 1.0, 2.0)))
    with pytest.raises(rosse.OptionError, match="'r_s' is declared twice"):
        Profile(function=sech, declared=(SIZE, SIZE))
    with pytest.raises(rosse.OptionError, match="'my n' cannot be a column"):
        Profile(function=sech, declared=(SIZE, Parameter.number("my n", 1.0, 2.0)))


# --- parts of a fit, and its picture -------------------------------------------------------------------------------


def test_a_fit_can_be_cut_like_its_cutouts(fitted: rosse.Fit) -> None:
    table = fitted.table()
    mask = np.array([True, False, False, True])
    for rows, index in ((2, [2]), (-1, [3]), (slice(1, 3), [1, 2]), ([3, 0], [3, 0]), (mask, [0, 3]), ([], [])):
        part = fitted[rows]
        assert part.cutouts.id.tolist() == fitted.cutouts.id[index].tolist()
        np.testing.assert_array_equal(part.table()["n"], table["n"][index])
        np.testing.assert_array_equal(part.model_images(), fitted.model_images(rows))
    assert [len(one) for one in fitted] == [1, 1, 1, 1]


def test_the_picture_is_of_the_band_that_was_asked_for() -> None:
    galaxies = simulate(1, seed=6, size=48)
    image = np.stack([galaxies.image, 2 * galaxies.image], 1)
    cutouts = Cutouts.from_arrays(image, sigma=float(np.mean(galaxies.sigma)), psf=STAMP, bands=("g", "r"))
    fit = rosse.fit(cutouts, Sersic(), options=FitOptions(max_iterations=20))
    for band, name in (("g", "g"), (1, "r"), (None, "r")):
        assert fit.plot(band=band, isophotes=False).axes[0].get_title() == f"image, {name}"
    for band in ("z", 2, -1):
        with pytest.raises(rosse.InputError, match="the fit has bands g, r"):
            fit.plot(band=band)
