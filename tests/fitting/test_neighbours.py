"""Neighbours that are fitted along, against GalSim."""

import numpy as np
import pytest

import rosse
from rosse import Sersic, Status

from .galaxies import SCALE, draw_one
from .test_composition import cutouts_of, within


def crowded(count: int, seed: int = 4) -> tuple[np.ndarray, list[float], dict[str, list[float]]]:
    """Galaxies of n = 2 with 0, 1 or 2 others 10 to 20 pixels away, whose places are known to half a pixel."""
    rng = np.random.default_rng(seed)
    images, sizes, listed = [], [], {"row": [], "x": [], "y": []}
    for i in range(count):
        sizes.append(rng.uniform(2.5, 5))
        image = 40 * draw_one(2.0, sizes[-1], 0.7, rng.uniform(0, 3), 36.3, 35.8, 73)
        for _ in range(i % 3):
            distance, angle = rng.uniform(10, 20), rng.uniform(0, 2 * np.pi)
            x, y = 36 + distance * np.cos(angle), 36 + distance * np.sin(angle)
            image += rng.uniform(5, 40) * draw_one(rng.uniform(0.8, 3), rng.uniform(1.5, 3), 0.8, 0.5, x, y, 73)
            for name, value in (("row", i), ("x", x + 90 + rng.normal(0, 0.3)), ("y", y + rng.normal(0, 0.3))):
                listed[name].append(value)
        images.append(image + rng.normal(0, 0.02, image.shape))
    return np.stack(images), sizes, listed


def test_neighbours_are_fitted_along_and_leave_the_galaxy_as_it_is() -> None:
    image, sizes, listed = crowded(15)
    cutouts = cutouts_of(image, corner=np.tile([[90.0, 0.0]], (15, 1)))
    fit = rosse.fit(cutouts, neighbours=listed)
    table = fit.table()
    assert (fit.status == Status.OK).all()
    assert np.asarray(table["neighbours"]).tolist() == [0, 1, 2] * 5
    assert not [name for name in table.colnames if name.startswith("neighbour_")]
    within(table, "n", 2.0)
    within(table, "r_e", np.array(sizes) * SCALE)
    assert np.abs(np.asarray(table["chi2_dof"]) - 1).max() < 0.1
    alone = rosse.fit(cutouts).table()
    crowd = np.asarray(table["neighbours"]) > 0
    assert np.median(np.asarray(alone["chi2_dof"])[crowd]) > 1.2
    left = ((fit.cutouts.flux - fit.model_images()).square() * fit.cutouts.ivar).sum((1, 2, 3))
    np.testing.assert_allclose(left, fit.chi2, rtol=1e-4)  # the neighbours' light is gone from what is kept


def test_a_neighbour_can_be_written_as_a_component_of_its_own() -> None:
    image, sizes, listed = crowded(2)
    model = Sersic("galaxy") + Sersic(
        "neighbour", own_centre=True, start={"x": listed["x"][0] - 90, "y": listed["y"][0]}
    )
    table = rosse.fit(cutouts_of(image[1]), model).table()
    within(table, "galaxy_n", 2.0)
    within(table, "galaxy_r_e", sizes[1] * SCALE)
    assert abs(table["neighbour_x"][0] - (listed["x"][0] - 90)) < 1.5


def test_neighbours_that_cannot_be_are_refused_and_masked_ones_are_told(caplog) -> None:
    image, _, listed = crowded(3)
    mask = np.zeros_like(image, dtype=bool)
    for row, x, y in zip(*listed.values(), strict=True):
        mask[row, round(y) - 4 : round(y) + 5, round(x) - 94 : round(x) - 85] = True
    cutouts = cutouts_of(image, mask=mask, corner=np.tile([[90.0, 0.0]], (3, 1)))
    fit = rosse.fit(cutouts, neighbours=listed)
    assert fit.table()["neighbours"].tolist() == [0, 0, 0]
    assert "masked" in caplog.text
    with pytest.raises(rosse.InputError, match="x, y and one of id and row"):
        rosse.fit(cutouts, neighbours={"row": [0], "x": [1.0]})
    with pytest.raises(rosse.InputError, match="belong to no cutout, the first to id zebra"):
        rosse.fit(cutouts, neighbours={"id": ["zebra"], "x": [1.0], "y": [1.0]})
