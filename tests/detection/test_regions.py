"""Regions that tile a mosaic: nothing lost, nothing twice."""

import numpy as np
import pytest

from rosse.detection import Region, detect
from rosse.errors import InputError, OptionError
from rosse.io import open_mosaic

from .galsim_field import draw_field


def test_cutouts_near_a_border_hold_pixels_of_the_margin() -> None:
    field = draw_field(size=400, stars=0, galaxies=40, gap=25, seed=3)
    mosaic = open_mosaic(field.flux)
    found = detect(mosaic, psf=field.psf, region=Region(rows=slice(0, 200), columns=slice(0, 200), margin=100))
    x = np.asarray(found.sources["x_image"])
    near = [i for i, row in enumerate(found.galaxies) if 170 < x[row] < 200]
    assert near
    cutouts = found.cutouts
    for i in near:
        column = 205 - int(cutouts.corner[i, 0])
        assert (cutouts.ivar[i, 0, :, column] > 0).any()


def test_impossible_regions_are_refused() -> None:
    with pytest.raises(OptionError, match="rows of a region"):
        Region(rows=slice(5, 5), columns=slice(0, 5))
    with pytest.raises(OptionError, match="margin"):
        Region(rows=slice(0, 5), columns=slice(0, 5), margin=-1)
    with pytest.raises(InputError, match="outside the mosaic"):
        detect(np.zeros((50, 50), dtype=np.float32), region=Region(rows=slice(0, 60), columns=slice(0, 50)))
