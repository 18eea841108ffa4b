"""`measure_shapes` on galaxies of known shape, what may not change it, and what it says of those it cannot measure."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rosse
from rosse.shapes.indices import INDICES, Reason
from shapes.profiles import cutouts, petrosian_radius, radius_of, round_segment, sersic

QUICK = settings(max_examples=8)
SIGMA = 2e-5
NOISELESS = rosse.ShapeOptions(outlier=0)  # a cusp without noise is an outlier among its neighbours


@functools.lru_cache(maxsize=1)
def noisy() -> np.ndarray:
    """Five lopsided galaxies in noise, S/N of some hundred, on 97 pixels."""
    rng = np.random.default_rng(11)
    images = []
    for n, q, theta in ((1.0, 0.6, 0.3), (2.0, 0.9, 1.2), (4.0, 0.7, 2.0), (0.7, 0.5, 2.8), (1.5, 1.0, 0.0)):
        galaxy = sersic(n, 8.0, q, theta, side=97)
        galaxy += 0.08 * np.roll(sersic(1.0, 2.5, side=97), (int(rng.integers(-7, 7)), 9), (0, 1))
        images.append(galaxy + rng.normal(0, SIGMA, galaxy.shape))
    return np.array(images)


@functools.lru_cache(maxsize=1)
def measured() -> rosse.Shapes:
    return rosse.measure_shapes(cutouts(noisy(), SIGMA))


def close(one: rosse.Shapes, other: rosse.Shapes, *, rtol: float, names=tuple(INDICES), row: int | None = None) -> None:
    for name in names:
        if name in ("x", "y", "x_centroid", "y_centroid", "pa"):
            continue
        a, b = one.values[name], other.values[name]
        b = b if row is None else b[row : row + 1]
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * 0.1, err_msg=name)


# --- analytic truth ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "r_e"), [(0.5, 9.0), (1.0, 9.0), (2.5, 27.0), (4.0, 27.0)])
def test_petrosian_radius_and_concentration_of_sersic_profiles(n: float, r_e: float) -> None:
    """r20 is four pixels and more: the light of a cusp is spread over its pixel."""
    true = petrosian_radius(n)
    image = sersic(n, r_e, side=301)
    shapes = rosse.measure_shapes(cutouts(image), segments=round_segment(301, 59)[None], options=NOISELESS)
    assert shapes.values["r_petro"][0] == pytest.approx(true * r_e, rel=3e-3)
    r20, r80 = (radius_of(n, f, 1.5 * true) for f in (0.2, 0.8))
    assert shapes.values["r20"][0] == pytest.approx(r20 * r_e, rel=5e-3)
    assert shapes.values["r80"][0] == pytest.approx(r80 * r_e, rel=3e-3)
    assert shapes.values["concentration"][0] == pytest.approx(5 * np.log10(r80 / r20), rel=3e-3)


@pytest.mark.parametrize("n", [2.5, 4.0])
def test_radii_within_a_cusp_are_those_of_its_pixels(n: float) -> None:
    """r20 of two pixels is 1 to 3 % larger than that of the profile: photutils finds it in the pixels as well."""
    from photutils.aperture import CircularAperture
    from scipy.optimize import brentq

    image = sersic(n, 9.0, side=301)
    shapes = rosse.measure_shapes(cutouts(image), segments=round_segment(301, 59)[None], options=NOISELESS)

    def light(radius: float) -> float:
        return float(CircularAperture((150, 150), radius).do_photometry(image, method="exact")[0][0])

    within = 1.5 * shapes.values["r_petro"][0]
    for name, fraction in (("r20", 0.2), ("r80", 0.8)):
        exact = brentq(lambda r, part=fraction: light(r) - part * light(within), 0.5, within)
        assert shapes.values[name][0] == pytest.approx(exact, rel=3e-3), name


def test_ellipse_of_an_inclined_disc() -> None:
    q, theta = 0.5, 0.7
    shapes = rosse.measure_shapes(cutouts(sersic(1.0, 12.0, q, theta, side=241), zeropoint=25.0))
    assert shapes.values["a_petro"][0] == pytest.approx(12.0 * petrosian_radius(1.0), rel=0.01)
    assert shapes.values["ellipticity"][0] == pytest.approx(1 - q, abs=0.01)
    assert shapes.values["theta"][0] == pytest.approx(theta, abs=0.01)
    assert shapes.values["flux_petro"][0] == pytest.approx(1.0, abs=0.01)  # 99 % of an exponential disc
    assert shapes.table()["mag_petro"][0] == pytest.approx(25.0, abs=0.015)


@given(st.floats(0.5, 4.0), st.floats(0.5, 1.0), st.floats(0, 3))
@QUICK
def test_a_symmetric_galaxy_without_noise_has_no_asymmetry(n: float, q: float, theta: float) -> None:
    """In a stamp whose box of sky is far from the galaxy: the slope of its wings there would pass for noise."""
    image = cutouts(sersic(n, 6.0, q, theta, side=241))
    options = rosse.ShapeOptions(outlier=0, stamp=10)
    shapes = rosse.measure_shapes(image, segments=round_segment(241, 22)[None], options=options)
    for name in ("asymmetry", "outer_asymmetry", "rms_asymmetry2"):
        assert abs(shapes.values[name][0]) < 2e-3, name
    assert shapes.values["shape_asymmetry"][0] < 0.01  # an edge of 0 and 1 shows a hundredth of a pixel
    assert (shapes.values["x"][0], shapes.values["y"][0]) == pytest.approx((120, 120), abs=0.01)


def test_half_of_the_light_gone_is_an_asymmetry_that_can_be_counted() -> None:
    """A uniform disc, and a point beside it with a tenth of its light: sum |I - I_180| is twice the point's light."""
    image = round_segment(121, 15) * 1e-3
    y, x = 60, 66
    image = image.astype(float)
    image[y - 1 : y + 2, x - 1 : x + 2] += 0.1 * image.sum() / 9
    shapes = rosse.measure_shapes(cutouts(image), segments=round_segment(121, 20)[None], options=NOISELESS)
    assert shapes.values["asymmetry"][0] == pytest.approx(0.2 / 1.1, rel=0.01)


# --- what may not change a shape -----------------------------------------------------------------------------------


@given(st.integers(1, 3), st.booleans())
@QUICK
def test_turning_and_mirroring_by_right_angles_changes_little(turns: int, mirror: bool) -> None:
    """Asymmetry changes most: the box of sky lies elsewhere, and the search begins with another triangle."""
    image = np.rot90(noisy(), turns, (1, 2))
    image = image[:, :, ::-1] if mirror else image
    shapes = rosse.measure_shapes(cutouts(np.ascontiguousarray(image), SIGMA))
    names = (
        "r_petro",
        "a_petro",
        "r50",
        "r80",
        "concentration",
        "gini",
        "m20",
        "ellipticity",
        "flux_petro",
        "snr_pixel",
    )
    close(shapes, measured(), rtol=2e-3, names=names)
    np.testing.assert_allclose(shapes.values["asymmetry"], measured().values["asymmetry"], atol=0.01)


@given(st.floats(1e-3, 1e3))
@QUICK
def test_the_unit_of_flux_does_not_matter(factor: float) -> None:
    shapes = rosse.measure_shapes(cutouts(noisy() * factor, SIGMA * factor))
    names = tuple(name for name in INDICES if not name.startswith("flux"))
    close(shapes, measured(), rtol=2e-3, names=names)
    np.testing.assert_allclose(shapes.values["flux_kron"], measured().values["flux_kron"] * factor, rtol=2e-3)


@given(st.integers(-6, 6), st.integers(-6, 6))
@settings(max_examples=4)
def test_a_shift_by_whole_pixels_moves_the_centre_and_nothing_else(dx: int, dy: int) -> None:
    wide = np.pad(noisy(), ((0, 0), (20, 20), (20, 20)))
    segments = np.stack([round_segment(137, 20)] * 5)  # whose stamp stays within the frame
    here = rosse.measure_shapes(cutouts(wide, SIGMA), segments=segments)
    moved = rosse.measure_shapes(
        cutouts(np.roll(wide, (dy, dx), (1, 2)), SIGMA), segments=np.roll(segments, (dy, dx), (1, 2))
    )
    close(moved, here, rtol=1e-4)
    np.testing.assert_allclose(moved.values["x"] - here.values["x"], dx, atol=1e-3)
    np.testing.assert_allclose(moved.values["y"] - here.values["y"], dy, atol=1e-3)


def test_neighbours_in_the_batch_do_not_matter() -> None:
    """Alone, in another order, beside a galaxy of another size, and beside one that cannot be measured."""
    images = np.concatenate([noisy()[::-1], np.zeros((1, 97, 97)), sersic(1.0, 20.0, side=97)[None]])
    whole = rosse.measure_shapes(cutouts(images, SIGMA))
    for row in range(5):
        alone = rosse.measure_shapes(cutouts(noisy()[row], SIGMA))
        close(alone, measured(), rtol=1e-9, row=row)
        close(alone, whole, rtol=1e-9, row=4 - row)


def test_masked_pixels_do_not_count() -> None:
    """A star that is masked, whatever is in its pixels, leaves the galaxy as it was with the mask alone."""
    bad = np.zeros(noisy().shape, dtype=bool)
    bad[:, 20:30, 20:30] = True
    sigma = np.full(bad.shape, SIGMA)
    both = [
        rosse.measure_shapes(rosse.Cutouts.from_arrays(np.where(bad, value, noisy()), sigma=sigma, mask=bad))
        for value in (0.0, np.nan, 1e3)
    ]
    for other in both[1:]:
        close(other, both[0], rtol=1e-12)


def test_another_source_is_left_out() -> None:
    """Of a galaxy without wings, for in those of the others the star would be part of the galaxy."""
    star = np.zeros((97, 97))
    star[88:91, 6:9] = 100 * SIGMA
    with_star = rosse.measure_shapes(cutouts(noisy()[3] + star, SIGMA))
    assert int(with_star.segments[0, 89, 7]) == 2
    names = ("r_petro", "concentration", "gini", "m20", "flux_petro")
    close(with_star, measured(), rtol=0.03, names=names, row=3)


# --- what cannot be measured ---------------------------------------------------------------------------------------


def test_a_galaxy_without_data_and_one_without_light_say_so() -> None:
    images = np.stack([noisy()[0], noisy()[0], np.zeros((97, 97))])
    sigma = np.full(images.shape, SIGMA)
    mask = np.zeros(images.shape, dtype=bool)
    mask[1] = True
    shapes = rosse.measure_shapes(rosse.Cutouts.from_arrays(images, sigma=sigma, mask=mask))
    table = shapes.table()
    assert list(table["status"]) == ["ok", "no_data", "singular"]
    assert list(table["reason"]) == ["", "all: no pixel carries weight", "all: no source at the centre"]
    assert shapes.reason("asymmetry") == [Reason.NONE, Reason.NO_DATA, Reason.NO_SOURCE]
    assert np.isnan([shapes.values[name][1:] for name in INDICES if name != "pa"]).all()
    with pytest.raises(rosse.InputError, match="no index 'asymetry'"):
        shapes.reason("asymetry")


def test_without_a_box_of_sky_only_what_needs_one_is_lost() -> None:
    segments = np.ones((5, 97, 97), dtype=int)
    shapes = rosse.measure_shapes(cutouts(noisy(), SIGMA), segments=segments)
    assert set(shapes.reason("asymmetry")) == {Reason.NO_SKY}
    assert np.isfinite(shapes.values["gini"]).all()
    assert "asymmetry, smoothness, outer_asymmetry, rms_asymmetry2: no box of empty sky" in shapes.table()["reason"][0]


def test_a_galaxy_wider_than_its_frame_is_flagged() -> None:
    shapes = rosse.measure_shapes(cutouts(sersic(1.0, 12.0, side=61), 1e-5), segments=round_segment(61, 22)[None])
    assert shapes.table()["status"][0] == "exceeds_frame"
    assert shapes.reason("concentration") == [Reason.EXCEEDS_FRAME]
    assert np.isfinite(shapes.values["concentration"][0])


def test_what_the_caller_gets_wrong() -> None:
    galaxy = cutouts(noisy()[0], SIGMA)
    with pytest.raises(rosse.InputError, match="segments have shape"):
        rosse.measure_shapes(galaxy, segments=np.ones((3, 3)))
    with pytest.raises(rosse.InputError, match="whole numbers"):
        rosse.measure_shapes(galaxy, segments=np.full((97, 97), 0.5))
    with pytest.raises(rosse.InputError, match="no band 'g'"):
        rosse.measure_shapes(galaxy, band="g")
    with pytest.raises(rosse.OptionError, match="eta is 1"):
        rosse.ShapeOptions(eta=1.5)
    with pytest.raises(rosse.OptionError, match="draws is 1"):
        rosse.measure_shapes(galaxy, draws=1)


# --- errors, table, figure -----------------------------------------------------------------------------------------


def test_errors_are_the_scatter_of_new_images() -> None:
    """Errors from one image, against the scatter of forty other images of the same galaxy."""
    rng = np.random.default_rng(4)
    truth = sersic(1.0, 6.0, 0.7, 0.5, side=81)
    sigma = 1.5e-4
    images = truth + rng.normal(0, sigma, (40, 81, 81))
    segments = np.broadcast_to(round_segment(81, 18), images.shape)
    many = rosse.measure_shapes(cutouts(images, sigma), segments=segments)
    one = rosse.measure_shapes(cutouts(images[:4], sigma), segments=segments[:4], draws=25)
    assert one.sigma is not None
    for name in ("r50", "concentration", "gini", "m20", "flux_kron", "asymmetry"):
        ratio = np.median(one.sigma[name]) / np.std(many.values[name])
        assert 0.6 < ratio < 1.7, name


def test_errors_follow_from_seed_and_id_alone() -> None:
    galaxies = cutouts(noisy(), SIGMA, id=list("abcde"))
    whole = rosse.measure_shapes(galaxies, draws=3, seed=7).sigma
    alone = rosse.measure_shapes(galaxies[[3]], draws=3, seed=7).sigma
    other = rosse.measure_shapes(galaxies[[3]], draws=3, seed=8).sigma
    assert whole is not None
    assert alone is not None
    assert other is not None
    for name in ("gini", "r_petro", "asymmetry"):
        assert alone[name][0] == pytest.approx(whole[name][3], rel=1e-9)
        assert alone[name][0] != other[name][0]


def test_table_has_units_and_lengths_follow_the_scale() -> None:
    table = rosse.measure_shapes(cutouts(noisy(), SIGMA, scale=0.2, zeropoint=25.0), draws=2).table()
    np.testing.assert_allclose(table["r_petro"], 0.2 * measured().values["r_petro"], rtol=1e-9)
    assert str(table["r_petro"].unit) == "arcsec"
    assert str(measured().table()["r_petro"].unit) == "pix"
    for name in table.colnames:
        assert table[name].description, name
    assert {f"sigma_{name}" for name in INDICES} <= set(table.colnames)


def test_figures_are_drawn_for_every_kind_of_galaxy(tmp_path) -> None:
    images = np.concatenate([noisy()[:1], np.zeros((1, 97, 97))])
    shapes = rosse.measure_shapes(cutouts(images, SIGMA), draws=2)
    for row in (0, 1):
        figure = shapes.plot(row)
        figure.savefig(tmp_path / f"{row}.png")
        assert len(figure.axes) >= 4
    with pytest.raises(rosse.InputError, match="row 2 came"):
        shapes.plot(2)
