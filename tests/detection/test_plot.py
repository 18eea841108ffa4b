"""The picture of a detection: everything is on it, and nothing of matplotlib's state is touched."""

import matplotlib
import numpy as np
from matplotlib.collections import EllipseCollection

from rosse.detection import Region, detect
from rosse.io import open_mosaic

from .galsim_field import draw_field


def test_every_source_is_drawn() -> None:
    field = draw_field(size=300, stars=20, galaxies=30, bands=3, seed=4, faintest=800)
    found = detect(field.flux, psf=field.psf)
    settings = dict(matplotlib.rcParams)
    axes = found.plot().axes[0]
    ellipses = sum(np.asarray(c.get_offsets()).shape[0] for c in axes.collections if isinstance(c, EllipseCollection))
    crosses = sum(np.size(line.get_xdata()) for line in axes.lines if line.get_marker() == "x")
    kind = np.asarray(found.sources["kind"])
    assert crosses == np.count_nonzero(kind == "star")
    assert ellipses + crosses == len(found)
    assert dict(matplotlib.rcParams) == settings
    picture = np.asarray(axes.images[0].get_array())
    assert picture.shape == (300, 300, 3)
    assert 0 <= picture.min() <= picture.max() <= 1


def test_a_region_is_drawn_at_its_place() -> None:
    field = draw_field(size=300, stars=5, galaxies=20, seed=4)
    found = detect(open_mosaic(field.flux), region=Region(rows=slice(128, 300), columns=slice(128, 300), margin=0))
    axes = found.plot().axes[0]
    x0, y0 = found.origin
    assert 0 < x0 <= 128  # a corner of the background mesh
    assert axes.get_xlim() == (x0 - 0.5, 299.5)
    assert axes.get_ylim() == (y0 - 0.5, 299.5)
