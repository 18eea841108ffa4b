"""Fits of galaxies whose truth is GalSim's, and of those that cannot be fitted."""

import logging
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rosse
from rosse import Cutouts, Exponential, PointSource, Sersic, Status
from rosse.cutouts import pad_cutouts, stack_cutouts
from rosse.fitting import FitOptions

from .galaxies import SCALE, ZEROPOINT, Galaxies, draw_one, psf_stamp, simulate


def as_cutouts(galaxies: Galaxies, **more: object) -> Cutouts:
    return Cutouts.from_arrays(
        galaxies.image, sigma=galaxies.sigma, psf=galaxies.psf, scale=SCALE, zeropoint=ZEROPOINT, **more
    )


@pytest.fixture(scope="module")
def galaxies() -> Galaxies:
    return simulate(120, seed=11)


@pytest.fixture(scope="module")
def result(galaxies: Galaxies) -> rosse.Fit:
    return rosse.fit(as_cutouts(galaxies))


def pulls(table, truth: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    true = {
        "x": truth["x"],
        "y": truth["y"],
        "mag": ZEROPOINT - 2.5 * np.log10(truth["flux"]),
        "r_e": truth["r_e"] * SCALE,
        "n": truth["n"],
        "q": truth["q"],
    }
    out = {k: (np.asarray(table[k]) - v) / np.asarray(table[f"sigma_{k}"]) for k, v in true.items()}
    turn = (np.asarray(table["pa"]) - (np.degrees(truth["theta"]) - 90) + 90) % 180 - 90
    return out | {"pa": turn / np.asarray(table["sigma_pa"])}


def test_simulated_galaxies_come_back_within_their_errors(galaxies: Galaxies, result: rosse.Fit) -> None:
    assert (result.status == Status.OK).mean() >= 0.98
    assert np.median(result.chi2_dof) == pytest.approx(1.0, abs=0.01)
    # 120 galaxies: the mean of a pull is known to 0.09, its width to 0.065
    for name, pull in pulls(result.table(), galaxies.truth).items():
        assert abs(np.mean(pull)) < 0.3, name
        assert 0.8 < np.std(pull) < 1.25, name


@pytest.mark.slow
def test_errors_hold_over_a_thousand_galaxies() -> None:
    galaxies = simulate(1200, seed=21)
    table = rosse.fit(as_cutouts(galaxies)).table()
    for name, pull in pulls(table, galaxies.truth).items():
        low, middle, high = np.percentile(pull[np.asarray(table["status"]) == "ok"], [16, 50, 84])
        assert abs(middle) < 0.12, name
        assert 0.92 < (high - low) / 2 < 1.08, name


def test_every_column_has_a_unit_or_is_a_number_and_a_description(result: rosse.Fit) -> None:
    table = result.table()
    for name in ("id", "x", "y", "flux", "mag", "r_e", "n", "q", "pa", "chi2_dof", "status"):
        assert name in table.colnames
        assert table[name].description
    assert str(table["r_e"].unit) == "arcsec"
    assert str(table["pa"].unit) == "deg"
    assert str(table["mag"].unit) == "mag"
    assert set(table["status"]) <= {s.label for s in Status}


def test_lengths_are_pixels_and_magnitudes_absent_where_nothing_is_known(galaxies: Galaxies, result: rosse.Fit) -> None:
    plain = Cutouts.from_arrays(galaxies.image[:2], sigma=galaxies.sigma[:2], psf=galaxies.psf)
    table = rosse.fit(plain).table()
    assert str(table["r_e"].unit) == "pix"
    np.testing.assert_allclose(table["r_e"] * SCALE, result.table()["r_e"][:2], rtol=1e-3)
    assert np.isnan(table["mag"]).all()
    assert np.isfinite(table["flux"]).all()


def test_a_galaxy_does_not_depend_on_its_batch(galaxies: Galaxies, result: rosse.Fit) -> None:
    cutouts, whole = as_cutouts(galaxies), result.table()
    for row in (3, 77):
        alone = rosse.fit(cutouts[row]).table()
        for name in ("x", "y", "r_e", "n", "q", "mag", "sigma_n"):
            assert alone[name][0] == pytest.approx(whole[name][row], rel=1e-3)
    small = rosse.fit(cutouts[:20], options=FitOptions(batch_pixels=1)).table()
    np.testing.assert_allclose(small["n"], whole["n"][:20], rtol=1e-3)


def test_padding_and_the_corner_do_not_change_a_fit(galaxies: Galaxies, result: rosse.Fit) -> None:
    padded = pad_cutouts(as_cutouts(galaxies)[:4], 101, 90)
    table, before = rosse.fit(padded).table(), result.table()
    for name in ("x", "y", "r_e", "n", "mag"):
        np.testing.assert_allclose(table[name], before[name][:4], rtol=2e-3)


@given(factor=st.floats(1e-3, 1e3))
@settings(max_examples=5)
def test_the_unit_of_flux_does_not_matter(factor: float) -> None:
    galaxies = simulate(2, seed=5)
    scaled = Cutouts.from_arrays(galaxies.image * factor, sigma=galaxies.sigma * factor, psf=galaxies.psf)
    a, b = rosse.fit(scaled).table(), rosse.fit(as_cutouts(galaxies)).table()
    np.testing.assert_allclose(a["flux"] / factor, b["flux"], rtol=1e-3)
    np.testing.assert_allclose(a["n"], b["n"], rtol=2e-3)


def test_position_angle_follows_north_and_parity(galaxies: Galaxies, result: rosse.Fit) -> None:
    turned = rosse.fit(as_cutouts(galaxies, north=0.3, parity=-1.0)[:5]).table()
    theta = np.radians(np.asarray(result.table()["pa"][:5])) + math.pi / 2  # north up, east left
    np.testing.assert_allclose(np.asarray(turned["pa"]), np.degrees(-(theta - 0.3)) % 180, atol=0.05)


def test_bands_share_the_shape_and_keep_their_own_flux() -> None:
    rng = np.random.default_rng(3)
    shape = draw_one(2.0, 4.0, 0.6, 0.5, 32.3, 31.8, 64)
    flux = np.array([20.0, 40.0, 3.0])
    image = flux[:, None, None] * shape + rng.normal(0, 0.02, (3, 64, 64))
    cutouts = Cutouts.from_arrays(
        image[None], sigma=0.02, psf=psf_stamp(), bands=("g", "r", "z"), zeropoint=ZEROPOINT, scale=SCALE
    )
    table = rosse.fit(cutouts).table()
    for band, true in zip("grz", flux, strict=True):
        assert abs(table[f"flux_{band}"][0] - true) < 4 * table[f"sigma_flux_{band}"][0]
        assert f"mag_{band}" in table.colnames
    assert abs(table["n"][0] - 2.0) < 4 * table["sigma_n"][0]
    alone = rosse.fit(cutouts.band("r")).table()
    assert table["sigma_n"][0] < alone["sigma_n"][0]  # three bands know more than one


def test_bulge_disc_and_nucleus() -> None:
    rng = np.random.default_rng(8)
    at = (48.2, 47.9)
    image = 40 * draw_one(3.0, 3.0, 0.85, 0.2, *at, 96) + 60 * draw_one(1.0, 11.0, 0.5, 1.0, *at, 96)
    image += rng.normal(0, 0.01, image.shape)
    cutouts = Cutouts.from_arrays(image, sigma=0.01, psf=psf_stamp(), scale=SCALE)
    table = rosse.fit(cutouts, Sersic("bulge") + Exponential("disc")).table()
    assert table["status"][0] == "ok"
    for name, true in {
        "bulge_flux": 40,
        "disc_flux": 60,
        "bulge_n": 3.0,
        "disc_r_e": 11 * SCALE,
        "disc_q": 0.5,
    }.items():
        assert abs(table[name][0] - true) < 4 * table[f"sigma_{name}"][0], name
    fixed = rosse.fit(cutouts, Sersic("bulge", fixed={"n": 3.0}) + Exponential("disc") + PointSource("agn")).table()
    assert fixed["bulge_n"][0] == pytest.approx(3.0)
    assert np.isnan(fixed["sigma_bulge_n"][0])
    assert fixed["sigma_bulge_flux"][0] > 0


def test_one_bad_galaxy_is_named_and_never_taints_its_neighbours(galaxies: Galaxies, result: rosse.Fit) -> None:
    image, sigma = galaxies.image[:6].copy(), galaxies.sigma[:6].copy()
    image[1] = np.nan
    image[2] = 0.0
    image[3] = -5.0
    image[4, 20:40, 20:40] = 1e30
    fitted = rosse.fit(Cutouts.from_arrays(image, sigma=sigma, psf=galaxies.psf, scale=SCALE, zeropoint=ZEROPOINT))
    assert fitted.status[1] == Status.NO_DATA
    assert np.isnan(np.asarray(fitted.table()["n"])[1])
    for row in (0, 5):
        assert fitted.status[row] == Status.OK
        assert fitted.table()["n"][row] == pytest.approx(result.table()["n"][row], rel=1e-3)
    assert fitted.status[2] == Status.SINGULAR  # no light at all
    assert fitted.status[3] in (Status.SINGULAR, Status.AT_BOUND, Status.NOT_CONVERGED)
    assert np.isnan(np.asarray(fitted.table()["r_e"])[2])


def test_nothing_but_noise_is_not_called_a_galaxy_with_small_errors() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (20, 48, 48))
    fitted = rosse.fit(Cutouts.from_arrays(noise, sigma=1.0, psf=psf_stamp(31)))
    table = fitted.table()
    sure = (fitted.status == Status.OK) & (np.asarray(table["flux"]) > 8 * np.asarray(table["sigma_flux"]))
    assert not sure.any()


def test_a_galaxy_larger_than_its_frame_is_flagged() -> None:
    image = 300 * draw_one(3.0, 40.0, 0.7, 0.4, 32.0, 32.0, 64)
    image += np.random.default_rng(1).normal(0, 0.001, image.shape)
    fitted = rosse.fit(Cutouts.from_arrays(image, sigma=0.001, psf=psf_stamp()))
    assert Status(int(fitted.status[0])) in (Status.EXCEEDS_FRAME, Status.AT_BOUND, Status.NOT_CONVERGED)


def test_a_star_ends_at_a_bound_or_tiny() -> None:
    star = psf_stamp(65) * 100 + np.random.default_rng(2).normal(0, 0.01, (65, 65))
    fitted = rosse.fit(Cutouts.from_arrays(star, sigma=0.01, psf=psf_stamp()))
    assert fitted.table()["r_e"][0] < 0.2 or fitted.status[0] != Status.OK


def test_stamps_of_different_sizes_and_psfs_fit_together(galaxies: Galaxies, result: rosse.Fit) -> None:
    cutouts = as_cutouts(galaxies)
    small = Cutouts.from_arrays(
        galaxies.image[1][8:57, 6:59], sigma=galaxies.sigma[1][8:57, 6:59], psf=galaxies.psf[12:-12, 12:-12],
        scale=SCALE, zeropoint=ZEROPOINT, id=["small"],
    )  # fmt: skip
    table = rosse.fit(stack_cutouts([cutouts[0], small])).table()
    assert table["n"][0] == pytest.approx(result.table()["n"][0], rel=1e-3)
    assert table["n"][1] == pytest.approx(result.table()["n"][1], abs=3 * result.table()["sigma_n"][1])


def test_a_psf_larger_than_the_image_is_used_as_it_is(galaxies: Galaxies, result: rosse.Fit) -> None:
    cut = np.s_[14:51, 14:51]
    cutouts = Cutouts.from_arrays(galaxies.image[7][cut], sigma=galaxies.sigma[7][cut], psf=psf_stamp(91), scale=SCALE)
    table = rosse.fit(cutouts).table()
    assert table["r_e"][0] == pytest.approx(result.table()["r_e"][7], rel=0.15)


def test_a_psf_that_does_not_sum_to_one_is_normalised_and_said_once(galaxies: Galaxies, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        cutouts = Cutouts.from_arrays(galaxies.image[:3], sigma=galaxies.sigma[:3], psf=galaxies.psf * 3)
    assert len(caplog.records) == 1
    assert float(cutouts.psf.sum()) == pytest.approx(1.0)


def test_model_images_are_what_was_fitted(galaxies: Galaxies, result: rosse.Fit) -> None:
    model = result.model_images([4, 5])
    cutouts = as_cutouts(galaxies)[[4, 5]]
    chi2 = ((cutouts.flux - model).square() * cutouts.ivar).sum((1, 2, 3))
    np.testing.assert_allclose(chi2, result.chi2[[4, 5]], rtol=1e-4)


def test_progress_counts_every_galaxy(galaxies: Galaxies) -> None:
    done: list[int] = []
    rosse.fit(as_cutouts(galaxies)[:30], advance=done.append, options=FitOptions(batch_pixels=64 * 64 * 8))
    assert sum(done) == 30
    assert len(done) == 4


def test_impossible_options_are_refused() -> None:
    with pytest.raises(rosse.OptionError, match="max_iterations"):
        FitOptions(max_iterations=0)
    with pytest.raises(rosse.OptionError, match="tolerance"):
        FitOptions(tolerance=0.0)


def test_a_figure_of_every_outcome(galaxies: Galaxies, result: rosse.Fit, tmp_path) -> None:
    result.plot(0).savefig(tmp_path / "good.png")
    empty = Cutouts.from_arrays(np.full((32, 32), np.nan), sigma=1.0, psf=psf_stamp(31))
    rosse.fit(empty).plot(0).savefig(tmp_path / "empty.png")
    assert (tmp_path / "good.png").stat().st_size > 10_000
    with pytest.raises(rosse.InputError, match="row 500"):
        result.plot(500)


def test_cpu_and_gpu_agree(galaxies: Galaxies, result: rosse.Fit) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    table = rosse.fit(as_cutouts(galaxies).to("cuda")).table()
    np.testing.assert_allclose(table["n"], result.table()["n"], rtol=1e-2)
