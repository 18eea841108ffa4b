"""Cutouts: centre, size, neighbours, edges, what they carry."""

import numpy as np
import pytest
from astropy.wcs import WCS

from rosse.detection import Detection, DetectOptions, detect
from rosse.detection.stamps import cutout_sizes
from rosse.io import open_mosaic

from .galsim_field import GalsimField, draw_field


@pytest.fixture(scope="module")
def field() -> GalsimField:
    return draw_field(size=400, stars=15, galaxies=50, bands=2, gap=18, faintest=800, seed=7)


@pytest.fixture(scope="module")
def found(field: GalsimField) -> Detection:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [180.0, -30.0], [200.0, 200.0]
    wcs.wcs.cdelt = [-0.262 / 3600, 0.262 / 3600]
    mosaic = open_mosaic(field.flux, wcs=wcs, zeropoint=22.5, bands=("g", "r"), name="f")
    return detect(mosaic, psf=field.psf)


def test_the_centre_pixel_is_the_one_nearest_to_the_source(found: Detection) -> None:
    for rows, cutouts in found.cutout_batches():
        height, width = cutouts.frame
        assert height == width
        assert height % 2 == 1
        x, y = (np.asarray(found.sources[name])[rows] for name in ("x_image", "y_image"))
        np.testing.assert_array_equal(cutouts.corner[:, 0].numpy() + width // 2, np.rint(x))
        np.testing.assert_array_equal(cutouts.corner[:, 1].numpy() + height // 2, np.rint(y))
        assert (cutouts.id == np.asarray(found.sources["id"])[rows]).all()


def test_batches_hold_every_galaxy_once_with_the_pixels_of_the_image(found: Detection, field: GalsimField) -> None:
    seen = []
    for rows, cutouts in found.cutout_batches(max_pixels=40_000):
        seen += rows.tolist()
        assert len(cutouts) == 1 or cutouts.flux.numel() <= 40_000
        for i in range(len(rows)):
            x, y = (int(v) for v in cutouts.corner[i])
            size = cutouts.frame[0]
            if min(x, y) < 0 or max(x, y) + size > 400:
                continue
            inside = cutouts.ivar[i].numpy() > 0
            image = (field.flux - found.background)[:, y : y + size, x : x + size]
            np.testing.assert_allclose(cutouts.flux[i].numpy()[inside], image[inside], atol=1e-4)
    assert sorted(seen) == found.galaxies.tolist()


def test_one_batch_for_all(found: Detection) -> None:
    cutouts = found.cutouts
    assert len(cutouts) == len(found.galaxies)
    assert cutouts.bands == ("g", "r")
    assert cutouts.psf is not None
    assert float(cutouts.scale[0]) == pytest.approx(0.262, rel=1e-3)
    np.testing.assert_allclose(cutouts.zeropoint.numpy(), 22.5)
    np.testing.assert_allclose(cutouts.ra, np.asarray(found.sources["ra"])[found.galaxies])
    np.testing.assert_allclose(cutouts.north.numpy(), np.pi / 2, atol=1e-3)
    np.testing.assert_allclose(cutouts.parity.numpy(), 1.0)


def test_neighbours_have_no_weight_and_the_target_has(found: Detection) -> None:
    cutouts = found.cutouts
    size = cutouts.frame[0]
    masked = 0
    for i, row in enumerate(found.galaxies):
        x, y = (int(v) for v in cutouts.corner[i])
        labels = np.zeros((size, size), dtype=np.int32)
        y0, y1, x0, x1 = max(0, y), min(400, y + size), max(0, x), min(400, x + size)
        labels[y0 - y : y1 - y, x0 - x : x1 - x] = found.segmentation[y0:y1, x0:x1]
        weight = cutouts.ivar[i].numpy()
        assert (weight[:, labels == row + 1] > 0).all()
        other = (labels > 0) & (labels != row + 1)
        assert (weight[:, other] == 0).all()
        masked += int(other.any())
    assert masked > 10


def test_beyond_the_image_there_is_no_weight(found: Detection) -> None:
    cutouts = found.cutouts
    size = cutouts.frame[0]
    outside = 0
    for i in range(len(cutouts)):
        x, y = (int(v) for v in cutouts.corner[i])
        rows, columns = np.arange(size) + y, np.arange(size) + x
        off = ((rows < 0) | (rows >= 400))[:, None] | ((columns < 0) | (columns >= 400))[None, :]
        assert (cutouts.ivar[i].numpy()[:, off] == 0).all()
        outside += int(off.any())
    assert outside > 0


def test_sizes_are_odd_and_bounded() -> None:
    options = DetectOptions(cutout_minimum=33, cutout_maximum=201)
    sizes, too_small = cutout_sizes(np.array([1.0, 20.0, 40.0, 200.0, np.nan]), options)
    assert (sizes % 2 == 1).all()
    assert sizes.min() == 33
    assert sizes.max() == 201
    assert sizes[1] >= 2 * 1.6 * 20
    assert too_small.tolist() == [False, False, False, True, False]


def test_neighbours_are_listed_nearest_first(found: Detection) -> None:
    listed = [found.neighbours(row) for row in range(len(found))]
    x, y = np.asarray(found.sources["x_image"]), np.asarray(found.sources["y_image"])
    assert any(len(n) for n in listed)
    for row, near in enumerate(listed):
        assert row not in near
        distance = np.hypot(x[near] - x[row], y[near] - y[row])
        assert (np.diff(distance) >= 0).all()
        assert all(row in listed[n] for n in near)


def test_neighbours_that_will_be_fitted_along_are_listed_and_not_masked(found: Detection) -> None:
    import rosse

    whole, (cutouts, listed) = found.cutouts, found.cutouts_with_neighbours()
    assert (cutouts.id == whole.id).all()
    assert len(listed) > 0
    opened = ((cutouts.ivar > 0) & (whole.ivar == 0)).any(1).flatten(1).any(1).numpy()
    has = np.isin(cutouts.id, np.asarray(listed["id"]))
    np.testing.assert_array_equal(opened, has)
    assert ((cutouts.ivar > 0) | (whole.ivar == 0)).all()
    some = np.nonzero(has)[0][:3]
    near = listed[np.isin(np.asarray(listed["id"]), cutouts.id[some])]
    fit = rosse.fit(cutouts[some], neighbours=near)
    assert (fit.neighbours == [(np.asarray(near["id"]) == name).sum() for name in cutouts.id[some]]).all()
    alone = rosse.fit(cutouts[some])
    assert (fit.chi2 < alone.chi2).all()


def test_the_psf_is_that_of_the_place() -> None:
    from rosse.io import FieldPsf

    field = draw_field(size=300, stars=0, galaxies=12, seed=3)
    y, x = np.indices((21, 21)) - 10
    narrow, wide = (np.exp(-0.5 * (x**2 + y**2) / s**2) for s in (1.5, 2.5))
    mean, slope = 0.5 * (narrow / narrow.sum() + wide / wide.sum()), 0.5 * (wide / wide.sum() - narrow / narrow.sum())
    basis = np.stack([mean, slope, np.zeros_like(mean)])[None]
    psf = FieldPsf(basis=basis, degree=1, x_zero=149.5, y_zero=149.5, x_scale=150.0, y_scale=150.0)
    found = detect(field.flux, psf=psf)
    cutouts = found.cutouts
    assert cutouts.psf is not None
    assert cutouts.psf.shape[0] == len(cutouts)
    peak = cutouts.psf[:, 0, 10, 10].numpy()
    order = np.argsort(np.asarray(found.sources["x_image"])[found.galaxies])
    assert (np.diff(peak[order]) <= 0).all()
