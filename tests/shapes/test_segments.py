"""Segments that are made or given: neighbours that touch the galaxy, and which source of a map is meant."""

from __future__ import annotations

import numpy as np
import pytest

import rosse
from rosse.shapes.deblend import part_of
from shapes.profiles import cutouts, round_segment, sersic

SIGMA = 2e-5


def disc_and_neighbour(distance: int, share: float = 0.6, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A disc in noise, alone and with another one beside it whose segment touches its own."""
    noise = np.random.default_rng(seed).normal(0, SIGMA, (121, 121))
    alone = sersic(1.0, 6.0, 0.7, 0.4, side=121)
    beside = share * sersic(1.0, 4.0, side=121, shift=(distance, 5))
    return alone + noise, alone + beside + noise


def test_a_neighbour_that_touches_is_left_out() -> None:
    """Radii are those of the galaxy alone; with the neighbour in its segment they are 10 to 80 % off."""
    alone, both = disc_and_neighbour(26)
    truth = rosse.measure_shapes(cutouts(alone, SIGMA))
    shapes = rosse.measure_shapes(cutouts(both, SIGMA))
    merged = rosse.measure_shapes(cutouts(both, SIGMA), options=rosse.ShapeOptions(bridge=0))
    assert int(shapes.segments[0, 65, 86]) == 2
    assert int(merged.segments[0, 65, 86]) == 1
    for name, tolerance in (("r_petro", 0.05), ("r50", 0.05), ("ellipticity", 0.15), ("gini", 0.05)):
        true = truth.values[name][0]
        assert shapes.values[name][0] == pytest.approx(true, rel=tolerance), name
        assert abs(merged.values[name][0] - true) > abs(shapes.values[name][0] - true), name


def test_clumps_stay_with_their_galaxy() -> None:
    """Clumps as bright as the disc that they stand on are no neighbours."""
    image = sersic(1.0, 9.0, side=121)
    for x, y in ((10, 0), (-7, 7), (0, -12)):
        clump = sersic(0.5, 1.5, side=121, shift=(x, y))
        image = image + clump * image[60 + y, 60 + x] / clump.max()
    image = image + np.random.default_rng(1).normal(0, SIGMA, image.shape)
    kept, whole = (
        rosse.measure_shapes(cutouts(image, SIGMA), options=rosse.ShapeOptions(bridge=bridge)).segments[0] == 1
        for bridge in (0.5, 0.0)
    )
    assert int((whole & ~kept).sum()) < 0.01 * int(whole.sum())
    assert bool(kept[60, 70] & kept[67, 53] & kept[48, 60])


@pytest.mark.parametrize(("bridge", "alone"), [(0.3, False), (0.5, True)])
def test_the_bridge_decides(bridge: float, alone: bool) -> None:
    """Two ridges of heights 10 and 5 whose valley is 2: 0.4 of the lower one."""
    line = np.array([1.0, 5, 10, 5, 2, 4, 5, 3, 1])
    light = np.tile(line, (3, 1))
    light[[0, 2]] -= 0.5
    part = part_of(light, np.ones(light.shape, dtype=bool), (1, 2), bridge=bridge)
    assert bool(part[:, :4].all())
    assert bool(part[:, 6:].any()) is not alone


def test_a_galaxy_alone_is_not_divided() -> None:
    for n, theta in ((0.6, 0.1), (1.0, 1.0), (4.0, 2.0)):
        image = sersic(n, 8.0, 0.6, theta, side=121) + np.random.default_rng(2).normal(0, SIGMA, (121, 121))
        one, other = (
            rosse.measure_shapes(cutouts(image, SIGMA), options=rosse.ShapeOptions(bridge=bridge)).segments
            for bridge in (0.5, 0.0)
        )
        assert int(((one == 1) != (other == 1)).sum()) == 0


def test_a_map_whose_central_pixel_is_sky_means_the_source_beside_it() -> None:
    alone, _ = disc_and_neighbour(26)
    segments = 5 * round_segment(121, 20)[None]
    holed = segments.copy()
    holed[0, 60, 60] = 0
    shapes = rosse.measure_shapes(cutouts(alone, SIGMA), segments=holed)
    whole = rosse.measure_shapes(cutouts(alone, SIGMA), segments=segments)
    assert shapes.status[0] == rosse.Status.OK
    assert shapes.values["r_petro"][0] == pytest.approx(whole.values["r_petro"][0], rel=1e-3)
    far = np.roll(round_segment(121, 8)[None], 30, 2)
    assert rosse.measure_shapes(cutouts(alone, SIGMA), segments=far).status[0] == rosse.Status.SINGULAR
