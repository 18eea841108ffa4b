"""Regions that tile a mosaic: nothing lost, nothing twice."""

import numpy as np
import pytest
from astropy.table import vstack
from scipy.spatial import cKDTree

from rosse.detection import Region, detect
from rosse.errors import InputError, OptionError
from rosse.io import open_mosaic

from .galsim_field import draw_field, nearest


def test_tiles_find_what_the_whole_finds() -> None:
    field = draw_field(size=640, stars=30, galaxies=130, gap=20, bands=2, faintest=150, seed=11)
    mosaic = open_mosaic(field.flux, name="t", zeropoint=22.5)
    whole = detect(mosaic, psf=field.psf).sources
    edges = (0, 200, 410, 640)  # not on the background mesh
    parts = []
    for index in range(9):
        r, c = divmod(index, 3)
        region = Region(
            rows=slice(edges[r], edges[r + 1]), columns=slice(edges[c], edges[c + 1]), margin=128, index=index
        )
        part = detect(mosaic, psf=field.psf, region=region)
        x, y = (np.asarray(part.sources[name]) for name in ("x_image", "y_image"))
        assert all(region.contains(*at) for at in zip(x, y, strict=True))
        assert part.segmentation.max() >= len(part)
        parts.append(part.sources)
    tiled = vstack(parts, metadata_conflicts="silent")
    assert len(set(tiled["id"])) == len(tiled)
    at, there = (np.stack([t["x_image"], t["y_image"]], axis=1) for t in (tiled, whole))
    assert not cKDTree(at).query_pairs(1.5)
    distance, row = nearest(at, there)
    back, _ = nearest(there, at)
    strong = np.asarray(whole["snr"]) > 10
    assert np.mean(distance[strong] < 0.5) >= 0.99
    assert np.mean(distance < 0.5) >= 0.97
    assert np.mean(back < 0.5) >= 0.97
    same = (distance < 0.5) & (np.asarray(whole["snr"]) > 30)
    ratio = np.asarray(tiled["flux_auto_band0"])[row[same]] / np.asarray(whole["flux_auto_band0"])[same]
    assert np.abs(np.median(ratio) - 1) < 2e-3
    assert np.percentile(np.abs(ratio - 1), 90) < 0.03  # blends; the sky differs a little where a tile ends


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
