"""What is said of galaxies whose numbers are to be used with care, and constants that are not those of the papers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

import rosse
from rosse.shapes.indices import Reason
from rosse.shapes.measure import measure
from rosse.shapes.stamps import Stamps, cut, extents
from shapes.profiles import cutouts, round_segment, sersic

SIGMA = 2e-5


def disc(seed: int = 0, side: int = 121) -> np.ndarray:
    return sersic(1.0, 7.0, 0.8, 0.5, side=side) + np.random.default_rng(seed).normal(0, SIGMA, (side, side))


def maps_of(
    image: np.ndarray, good: np.ndarray, segment: np.ndarray, options: rosse.ShapeOptions | None = None
) -> tuple[Stamps, dict[str, torch.Tensor]]:
    """Stamp of a galaxy, and the maps that its indices are measured on."""
    options, labels = options or rosse.ShapeOptions(outlier=0), torch.from_numpy(segment)[None]
    first, size = extents(labels == 1, factor=options.stamp, minimum=options.stamp_minimum)
    flux = torch.from_numpy(image).float().view(labels.shape)
    ivar = SIGMA**-2 * torch.from_numpy(good).float().view(labels.shape)
    stamps = cut(flux, ivar, labels, first=first, size=size, side=int(size.max()), outlier=options.outlier)
    return stamps, measure(stamps, options)[1]


@pytest.mark.parametrize("whole", [True, False])
def test_smoothness_is_that_of_photutils_and_scipy(whole: bool) -> None:
    """In a frame that the aperture leaves: the sky of all of the ring is taken off, or of its part in the stamp."""
    from photutils.aperture import CircularAnnulus

    image, segment = disc(side=37), round_segment(37, 9)
    options = rosse.ShapeOptions(whole_ring=whole, outlier=0)
    values = rosse.measure_shapes(cutouts(image, SIGMA), segments=segment[None], options=options).values
    r, box, stamp = values["r_petro"][0], int(values["sky_box"][0]), image  # 48 pixels and more: all of the frame
    x, y = values["x"][0], values["y"][0]
    width = int(0.25 * r)
    rest = np.maximum(stamp - ndimage.uniform_filter(stamp, width), 0)
    ring = CircularAnnulus((x, y), 0.25 * r, 1.5 * r)
    area = ring.area if whole else ring.area_overlap(stamp)
    assert ring.area_overlap(stamp) < 0.97 * ring.area
    sky = stamp[:box, :box]
    assert values["sky_mean"][0] == pytest.approx(sky.mean(), rel=1e-3)
    noise = np.maximum(sky - ndimage.uniform_filter(sky, width), 0).mean()
    found, light = (ring.do_photometry(v, method="exact")[0][0] for v in (rest, stamp))
    assert values["smoothness"][0] == pytest.approx((found - area * noise) / light, rel=1e-3)


def test_a_ring_that_leaves_the_stamp_makes_smoothness_too_low_and_says_so() -> None:
    """The galaxy's own segment is small, so that its stamp ends within the ring; the frame does not."""
    image, segment = disc(side=121), round_segment(121, 9)[None]
    usual, fair = (
        rosse.measure_shapes(
            cutouts(image, SIGMA),
            segments=segment,
            options=rosse.ShapeOptions(whole_ring=whole, stamp=1.0, stamp_minimum=32, most_sky=0.5),
        )
        for whole in (True, False)
    )
    assert usual.reason("smoothness") == [Reason.RING]
    assert fair.reason("smoothness") == [Reason.NONE]
    assert usual.values["smoothness"][0] < fair.values["smoothness"][0]
    assert usual.status[0] == rosse.Status.OK


def test_smoothness_of_a_galaxy_too_small_for_it_says_so() -> None:
    image = sersic(1.0, 2.0, side=81) + np.random.default_rng(1).normal(0, SIGMA, (81, 81))
    shapes = rosse.measure_shapes(cutouts(image, SIGMA))
    assert shapes.values["r_petro"][0] < 8
    assert shapes.reason("smoothness") == [Reason.UNRESOLVED]
    assert shapes.status[0] == rosse.Status.OK
    assert "smoothness: smoothed by a single pixel" in shapes.table()["reason"][0]


def test_a_hole_in_the_middle_is_told() -> None:
    mask = np.zeros((1, 121, 121), dtype=bool)
    mask[0, 58:63, 58:63] = True
    images = np.stack([disc(), disc()])
    sigma = np.full(images.shape, SIGMA)
    both = np.concatenate([mask, np.zeros_like(mask)])
    shapes = rosse.measure_shapes(rosse.Cutouts.from_arrays(images, sigma=sigma, mask=both))
    assert shapes.status.tolist() == [rosse.Status.NOT_CONVERGED, rosse.Status.OK]
    assert shapes.reason("gini") == [Reason.LOST, Reason.NONE]
    assert "too many pixels of its middle are left out" in shapes.table()["reason"][0]
    free = rosse.ShapeOptions(most_lost=0.99)
    shapes = rosse.measure_shapes(rosse.Cutouts.from_arrays(images, sigma=sigma, mask=both), options=free)
    assert shapes.reason("gini")[0] == Reason.NONE


def test_pixels_without_data_on_the_map_of_gini_are_dark_or_left_out() -> None:
    """Of a masked patch beside the middle: G of the map's pixels by the formula of Lotz et al. in NumPy."""
    mask = np.zeros((1, 121, 121), dtype=bool)
    mask[0, 54:66, 69:81] = True
    galaxy = rosse.Cutouts.from_arrays(disc()[None], sigma=np.full(mask.shape, SIGMA), mask=mask)
    segments = round_segment(121, 20)[None]
    dark, fair = (
        rosse.measure_shapes(
            galaxy, segments=segments, options=rosse.ShapeOptions(dark_gini=value, outlier=0, most_lost=0.01)
        )
        for value in (True, False)
    )
    whole = rosse.measure_shapes(cutouts(disc(), SIGMA), segments=segments, options=rosse.ShapeOptions(outlier=0))
    assert fair.values["gini"][0] == pytest.approx(whole.values["gini"][0], rel=0.05)
    mapped = maps_of(np.where(mask, 0, disc()), ~mask, segments[0])[1]["gini"][0].numpy()
    low = 60 - mapped.shape[0] // 2
    part = np.s_[low : low + mapped.shape[0], low : low + mapped.shape[0]]
    light = np.sort(np.abs(np.where(mask[0], 0, disc()))[part][mapped])
    n, rank = len(light), np.arange(1, len(light) + 1)
    expected = ((2 * rank - n - 1) * light).sum() / (light.sum() * (n - 1))
    assert (light == 0).sum() > 0.01 * n
    assert dark.values["gini"][0] == pytest.approx(expected, rel=1e-4)
    assert dark.values["gini"][0] > fair.values["gini"][0] + 0.01
    assert dark.reason("gini") == [Reason.DARK]
    assert fair.reason("gini") == [Reason.NONE]
    assert dark.values["m20"][0] == fair.values["m20"][0]


def test_a_sky_that_was_not_taken_off_is_told() -> None:
    images = np.stack([disc() + 3 * SIGMA, disc()])
    segments = np.stack([round_segment(121, 24)] * 2)
    shapes = rosse.measure_shapes(cutouts(images, SIGMA), segments=segments)
    assert shapes.status.tolist() == [rosse.Status.EXCEEDS_FRAME, rosse.Status.OK]
    assert shapes.reason("flux_petro") == [Reason.SKY_LEFT, Reason.NONE]


def test_light_in_a_single_pixel_has_no_petrosian_radius() -> None:
    """And noise further out is not taken for one."""
    image = np.random.default_rng(4).normal(0, 1, (81, 81))
    image[40, 40] = 500
    shapes = rosse.measure_shapes(cutouts(image, 1.0), segments=round_segment(81, 2)[None],
                                  options=rosse.ShapeOptions(outlier=0))  # fmt: skip
    assert shapes.reason("r_petro") == [Reason.NO_PETROSIAN]
    assert np.isnan(shapes.values["r_petro"][0])
    assert shapes.status[0] == rosse.Status.SINGULAR


def test_what_pixels_without_weight_hold_does_not_matter() -> None:
    """Also where cutouts come as tensors, whose masked pixels keep their flux; beside them outliers are looked for."""
    flux = torch.from_numpy(disc()).float()[None, None]
    ivar = torch.full_like(flux, SIGMA**-2)
    ivar[..., 64:68, 66:72] = 0
    one, other = (
        rosse.measure_shapes(rosse.Cutouts(flux=torch.where(ivar > 0, flux, value), ivar=ivar)).values
        for value in (0.0, 1e4)
    )
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_clumps_of_a_map_smoothed_widely_are_those_of_scikit_image() -> None:
    """Sums of I around the peaks of the stamp smoothed by three pixels, which reaches twelve beyond the segment."""
    segmentation = pytest.importorskip("skimage.segmentation")
    image = disc() + 0.5 * sersic(1.0, 3.0, side=121, shift=(11, -9))
    segment = round_segment(121, 22)
    options = rosse.ShapeOptions(sigma_mid=3.0, outlier=0)
    shapes = rosse.measure_shapes(cutouts(image, SIGMA), segments=segment[None], options=options)
    stamps, maps = maps_of(image, np.ones_like(image), segment, options)
    mask = maps["mid"][0].numpy()
    light = np.where(mask, np.maximum(stamps.image[0].numpy(), 0), 0).astype(np.float64)
    smoothed = ndimage.gaussian_filter(light, 3.0)
    peaks = (smoothed == ndimage.maximum_filter(smoothed, 3)) & (smoothed > 0)
    markers = np.zeros(peaks.shape, dtype=int)
    markers[peaks] = np.arange(1, peaks.sum() + 1)
    regions = segmentation.watershed(-smoothed, markers, connectivity=2, mask=smoothed > 0)
    sums = np.sort(ndimage.sum_labels(smoothed, regions, np.arange(1, peaks.sum() + 1)))[::-1]
    assert len(sums) > 1
    assert shapes.values["intensity"][0] == pytest.approx(sums[1] / sums[0], rel=0.02)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"eta": 1.0}, "eta is 1.0; a number between 0 and 1"),
        ({"eta": "a fifth"}, "eta is 'a fifth'; a number is wanted, 0.2 is usual"),
        ({"stamp": float("inf")}, "stamp is inf; a number is wanted"),
        ({"sky_box": 32.5}, "sky_box is 32.5; a whole number"),
        ({"whole_ring": 2}, "whole_ring is 2; true"),
        ({"annulus": 0}, "annulus is 0; a positive number"),
        ({"outlier": -1}, "outlier is -1; 0 or a positive number"),
        ({"ring_shape": 1.0}, "ring_shape is 1.0; more than 1"),
        ({"bridge": float("nan")}, "bridge is nan; a number is wanted"),
    ],
)
def test_constants_that_cannot_be_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(rosse.OptionError, match=message.replace("(", r"\(")):
        rosse.ShapeOptions(**wrong)


@pytest.mark.parametrize(
    ("constant", "name"),
    [
        ({"fraction_m20": 0.3}, "m20"),
        ({"kron_reach": 2.0, "kron_minimum": 0.1}, "a_kron"),
        ({"threshold_shape": 3.0}, "r_max"),
        ({"clip_shape": 2.0}, "r_max"),
        ({"eta": 0.15}, "r_petro"),
        ({"extent_flux": 1.0}, "flux_petro"),
    ],
)
def test_a_constant_reaches_its_formula(constant: dict, name: str) -> None:
    usual, other = (
        rosse.measure_shapes(cutouts(disc(), SIGMA), options=rosse.ShapeOptions(**c)).values[name][0]
        for c in ({}, constant)
    )
    assert np.isfinite(other)
    assert abs(other / usual - 1) > 1e-3
