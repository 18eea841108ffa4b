"""Formulas against analytic results, SciPy and photutils."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from rosse.shapes.apertures import Ellipses, circle_weights, ellipse_weights, growth
from rosse.shapes.connected import all_at_once, component_at, components, summits
from rosse.shapes.gini import bulge_statistic, gini, m20, merger_statistic
from rosse.shapes.maps import clipped_mode
from rosse.shapes.mid import multimode
from rosse.shapes.moments import axes, second_moments
from rosse.shapes.simplex import minimise
from rosse.shapes.sky import empty_box
from rosse.shapes.smoothing import boxcar, gaussian, smooth
from rosse.shapes.turned import Flipped, Holes


def number(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(st.floats(0.3, 12), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_circle_covers_its_area_and_agrees_with_photutils(radius: float, x: float, y: float) -> None:
    from photutils.aperture import CircularAperture

    line = torch.arange(31, dtype=torch.float64)[None]
    weight = circle_weights(line - 15 - x, line - 15 - y, number(radius))[0].numpy()
    exact = CircularAperture((15 + x, 15 + y), radius).to_mask(method="exact").to_image((31, 31))
    np.testing.assert_allclose(weight, exact, atol=1e-9)
    assert weight.sum() == pytest.approx(np.pi * radius**2, rel=1e-9)


@given(st.floats(4, 14), st.floats(1, 3), st.floats(0, 3.1))
def test_ellipses_agree_with_photutils(a: float, elongation: float, theta: float) -> None:
    from photutils.aperture import EllipticalAperture

    rng = np.random.default_rng(1)
    y, x = np.mgrid[:41, :41] - 20.3
    image = np.exp(-np.hypot(x, y) / 5) * rng.uniform(0.8, 1.2, (41, 41))
    ellipses = Ellipses(x=number(20.3), y=number(20.3), elongation=number(elongation), theta=number(theta))
    exact = EllipticalAperture((20.3, 20.3), a, a / elongation, theta=theta).do_photometry(image, method="exact")[0][0]
    weight = ellipse_weights(torch.from_numpy(image)[None], number(a), ellipses)[0].numpy()
    curve = growth(torch.from_numpy(image)[None], ellipses, 30.0)
    assert (weight * image).sum() == pytest.approx(exact, rel=3e-3)
    assert float(curve.at(number(a)[None])) == pytest.approx(exact, rel=3e-3)


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
def test_boxcar_is_scipys(width: int) -> None:
    image = np.random.default_rng(2).normal(size=(14, 17))
    padded = np.zeros((1, 20, 20), dtype=np.float32)
    padded[0, :14, :17] = image
    rows, columns = (boxcar(number(width), torch.tensor([n]), 20) for n in (14, 17))
    ours = smooth(torch.from_numpy(padded), rows, columns)[0, :14, :17].numpy()
    np.testing.assert_allclose(ours, ndimage.uniform_filter(image, width), atol=2e-6)  # in single precision


@pytest.mark.parametrize("sigma", [0.6, 1.0, 3.7, 9.0])
def test_gaussian_is_scipys(sigma: float) -> None:
    image = np.random.default_rng(3).normal(size=(14, 17))
    padded = np.zeros((1, 20, 20), dtype=np.float32)
    padded[0, :14, :17] = image
    rows, columns = (gaussian(number(sigma), torch.tensor([n]), 20) for n in (14, 17))
    ours = smooth(torch.from_numpy(padded), rows, columns)[0, :14, :17].numpy()
    np.testing.assert_allclose(ours, ndimage.gaussian_filter(image, sigma), atol=2e-6)  # in single precision
    rows, columns = (gaussian(number(sigma), torch.tensor([n]), 20, mirrored=False) for n in (14, 17))
    ours = smooth(torch.from_numpy(padded), rows, columns)[0, :14, :17].numpy()
    np.testing.assert_allclose(ours, ndimage.gaussian_filter(image, sigma, mode="constant"), atol=2e-6)


@given(st.integers(0, 10**6), st.floats(0.2, 0.8), st.booleans())
def test_components_are_scipys(seed: int, share: float, diagonal: bool) -> None:
    mask = np.random.default_rng(seed).random((3, 13, 11)) < share
    ours = components(torch.from_numpy(mask), diagonal=diagonal).numpy()
    np.testing.assert_array_equal(ours, all_at_once(torch.from_numpy(mask), diagonal).numpy())  # as on a GPU
    structure = np.ones((3, 3)) if diagonal else None
    for label, on in zip(ours, mask, strict=True):
        theirs, count = ndimage.label(on, structure)
        pairs = {(a, b) for a, b in zip(label[on], theirs[on], strict=True)}
        assert len(pairs) == count
        assert (label[~on] == on.size).all()


def test_component_of_a_pixel() -> None:
    mask = torch.zeros(1, 6, 8, dtype=torch.bool)
    mask[0, 1:3, 1:3] = True
    mask[0, 2:5, 5:8] = True
    assert int(component_at(mask, number(1), number(1)).sum()) == 4
    assert int(component_at(mask, number(4), number(0)).sum()) == 0


def test_summits_are_those_of_a_watershed() -> None:
    segmentation = pytest.importorskip("skimage.segmentation")
    image = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=(24, 24)), 1.5)
    ours = summits(image)
    peaks = ours == np.arange(24 * 24).reshape(24, 24)
    markers, _ = ndimage.label(peaks, np.ones((3, 3)))
    theirs = segmentation.watershed(-image, markers, connectivity=2)
    assert len({(a, b) for a, b in zip(ours.ravel(), theirs.ravel(), strict=True)}) == peaks.sum()


@pytest.mark.parametrize(("name", "expected"), [("equal", 0.0), ("one", 1.0), ("uniform", 1 / 3), ("exponential", 0.5)])
def test_gini_of_known_distributions(name: str, expected: float) -> None:
    n = 40_000
    q = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    values = {"equal": torch.ones(n), "one": (q > 1 - 1 / n).double(), "uniform": q, "exponential": -(1 - q).log()}[
        name
    ]
    image = values.double().view(1, 200, 200)
    found = float(gini(image, torch.ones(1, 200, 200, dtype=torch.bool)))
    assert found == pytest.approx(expected, abs=2e-4)


def test_m20_of_a_uniform_disc_with_a_bright_ring() -> None:
    """A ring with just over a fifth of the light around a disc: its moment over that of the whole is analytic."""
    y, x = torch.meshgrid(torch.arange(401.0).double() - 200, torch.arange(401.0).double() - 200, indexing="ij")
    r = torch.hypot(x, y)
    disc, ring = (r <= 150).double(), ((r > 148) & (r <= 150)).double()
    image = disc * (1 - 0.21) / disc.sum() + ring * 0.21 / ring.sum()
    share = 0.2 / float((image * ring).sum())  # of the ring that is needed for a fifth
    whole = 0.21 * 149**2 + 0.79 * 150**2 / 2
    found = float(m20(image[None], (disc > 0)[None]))
    bright = float((image * ring).sum()) * 149**2  # all ring pixels are of one brightness: all count
    assert share < 1
    assert found == pytest.approx(np.log10(bright / whole), abs=3e-3)


def test_statistics_of_lotz_and_snyder_meet_where_the_papers_say() -> None:
    """S = 0 on the line of mergers of Lotz et al. (2008), G = -0.14 M20 + 0.33, up to the rounding of the papers."""
    m = torch.linspace(-3, 0, 7, dtype=torch.float64)
    assert float(merger_statistic(-0.14 * m + 0.33, m).abs().max()) < 2e-3
    early = 0.14 * m + 0.80
    assert float(bulge_statistic(early, m).abs().max()) < 0.01


def test_moments_of_a_gaussian() -> None:
    y, x = torch.meshgrid(torch.arange(101.0).double(), torch.arange(101.0).double(), indexing="ij")
    theta, a, b = 0.6, 9.0, 4.0
    u = (x - 50) * np.cos(theta) + (y - 48) * np.sin(theta)
    v = (y - 48) * np.cos(theta) - (x - 50) * np.sin(theta)
    image = torch.exp(-0.5 * ((u / a) ** 2 + (v / b) ** 2))[None]
    major, minor, angle = axes(*second_moments(image, number(50), number(48)))
    assert (float(major), float(minor), float(angle)) == pytest.approx((a, b, theta), rel=1e-3)


@given(st.floats(0, 39), st.floats(0, 39))
def test_turning_is_scikit_images(x: float, y: float) -> None:
    """Of an image beyond which all is dark, and of the pixels that have no data."""
    transform = pytest.importorskip("skimage.transform")
    image = np.random.default_rng(7).normal(size=(40, 40))
    flipped = Flipped.of(torch.from_numpy(image)[None])
    about = (number(x, y)[None], torch.tensor([0]), torch.tensor([[0, 0]]), 40)
    theirs = transform.rotate(image, 180, center=(x, y), order=1)
    np.testing.assert_allclose(flipped.about(*about)[0].numpy(), theirs, atol=1e-9)
    holes = np.random.default_rng(8).random((40, 40)) < 0.02
    weight = torch.ones(1, 40, 40)
    Holes.of(torch.from_numpy(holes)[None]).cut_out(weight, *about[:3])
    turned = transform.rotate(holes, 180, center=(x, y)) >= 0.5
    assert (np.asarray(weight[0] == 0) != turned).mean() < 1e-3  # halves of a pixel round either way


def test_simplex_finds_the_bottoms_of_many_valleys() -> None:
    bottoms = torch.tensor([[1.0, 2.0], [-3.0, 0.5], [10.0, -4.0]], dtype=torch.float64)

    def valley(points: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        d = points - bottoms[rows]
        return d[:, 0].abs() + (d[:, 1] - 0.3 * d[:, 0]).square()

    found, ended = minimise(
        valley, torch.zeros(3, 2).double(), torch.ones(3, 2).double(), tolerance=1e-5, max_steps=300
    )
    assert bool(ended.all())
    assert float((found - bottoms).abs().max()) < 1e-2


def test_box_of_sky_is_the_first_that_fits() -> None:
    empty = torch.ones(3, 40, 40, dtype=torch.bool)
    empty[0, 0, 0] = False
    empty[1, 20, 20] = False
    empty[2] = False
    first, side = empty_box(empty, 32)
    assert side.tolist() == [32, 16, 0]
    assert first[0].tolist() == [1, 0]
    assert first[1].tolist() == [0, 0]


def test_clipping_is_astropys_about_the_mode_of_photutils() -> None:
    from astropy.stats import sigma_clip
    from photutils.background import ModeEstimatorBackground

    rng = np.random.default_rng(9)
    image = rng.normal(0, 1, (3, 30, 31)) + (rng.random((3, 30, 31)) > 0.97) * 9 + rng.exponential(0.5, (3, 30, 31))
    mask = rng.random(image.shape) < 0.7
    mode, sigma = clipped_mode(torch.from_numpy(image), torch.from_numpy(mask))
    about = ModeEstimatorBackground(median_factor=2.5, mean_factor=1.5)
    for i in range(3):
        kept = sigma_clip(image[i][mask[i]], sigma=3, maxiters=None, cenfunc=about, masked=False)
        assert float(sigma[i]) == pytest.approx(kept.std(), rel=1e-9)
        assert float(mode[i]) == pytest.approx(2.5 * np.median(kept) - 1.5 * kept.mean(), abs=1e-9)


def test_multimode_of_two_discs() -> None:
    """Two clumps of 100 and 50 pixels, the second fainter: M is one half at every level that both reach."""
    image = np.full((30, 40), 0.1)
    image[5:15, 5:15], image[5:15, 25:30] = 2.0, 1.0
    assert multimode(image, np.sort(image.ravel()), 50) == pytest.approx(0.5)
