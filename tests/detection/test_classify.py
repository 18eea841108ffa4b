"""Stars from galaxies, and what is neither."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from rosse.detection import DetectOptions, detect

from .galsim_field import draw_field, moffat, psf_stamp


@pytest.mark.parametrize("known", [True, False])
def test_stars_are_told_from_galaxies(known: bool) -> None:
    field = draw_field(size=600, stars=40, galaxies=80, faintest=200, brightest=5e4, seed=3)
    t = detect(field.flux, psf=field.psf if known else None).sources
    at = np.stack([t["x_image"], t["y_image"]], axis=1)
    distance, row = cKDTree(at).query(np.stack([field.x, field.y], axis=1))
    ok = distance < 2.0
    kind, snr = np.asarray(t["kind"])[row], np.asarray(t["snr"])[row]
    bright = ok & (snr > 20)
    assert np.mean(kind[bright & field.star] == "star") >= 0.97
    assert np.mean(kind[bright & ~field.star] == "galaxy") >= 0.98
    assert np.mean(kind[ok & ~field.star] == "galaxy") >= 0.97  # faint galaxies are never lost to the stars
    stellarity = np.asarray(t["stellarity"])[row]
    assert np.all((stellarity[ok] >= 0) & (stellarity[ok] <= 1))


def test_too_faint_to_tell_is_a_galaxy_with_an_undecided_stellarity() -> None:
    field = draw_field(size=400, stars=60, galaxies=0, faintest=70, brightest=110, seed=6, gap=30)
    t = detect(field.flux, psf=field.psf).sources
    assert len(t) > 10
    assert 0.3 < np.median(t["stellarity"]) < 0.95


def test_cosmic_rays_are_artefacts() -> None:
    field = draw_field(size=300, stars=10, galaxies=10, seed=4)
    image = field.flux[0].copy()
    rng = np.random.default_rng(5)
    places = rng.integers(30, 270, size=(8, 2))
    for y, x in places:
        image[y, x : x + 3] += 400.0
    found = detect(image, psf=field.psf)
    labels = found.segmentation[places[:, 0], places[:, 1] + 1]
    alone = labels[(labels > 0) & ((np.asarray(found.sources["flags"])[labels - 1] & 4) == 0)]
    assert len(alone) >= 4
    assert (np.asarray(found.sources["kind"])[alone - 1] == "artefact").all()


def test_without_a_psf_nothing_is_called_a_star() -> None:
    field = draw_field(size=300, stars=10, galaxies=10, seed=4)
    t = detect(field.flux, options=DetectOptions(psf_from_stars=False)).sources
    assert np.isnan(t["stellarity"]).all()
    assert (np.asarray(t["kind"]) == "galaxy").all()


def test_a_saturated_star_is_a_star() -> None:
    from rosse.io import open_mosaic

    size, flux = 201, 3e6
    image = flux * psf_stamp(moffat(4.5), size) + np.random.default_rng(1).normal(size=(size, size))
    image = np.minimum(image, 2e4)
    image[:, 99:102] = np.maximum(image[:, 99:102], 1.5e4)  # the bleed trail
    found = detect(open_mosaic(image.astype(np.float32), saturation=1.4e4), psf=psf_stamp(moffat(4.5)))
    main = int(np.argmax(found.sources["npix"]))
    assert found.sources["kind"][main] == "star"
    assert found.sources["flags"][main] & 2
    assert len(found.cutouts) == np.count_nonzero(np.asarray(found.sources["kind"]) == "galaxy")
