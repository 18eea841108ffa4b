"""Real images: SExtractor's own catalogue of a real field, and large galaxies that must stay whole."""

from pathlib import Path

import numpy as np
import pytest

from rosse.detection import Detection, detect

from .galsim_field import nearest

# Columns of image.cat, from its header; SExtractor counts pixels from 1.
X, Y, FLUX, SIGMA = 1, 2, 15, 16


@pytest.fixture(scope="module")
def field(real_data: Path) -> Detection:
    return detect(real_data / "eso-ntt-field" / "image.fits")


@pytest.fixture(scope="module")
def sextractor(real_data: Path) -> np.ndarray:
    return np.loadtxt(real_data / "eso-ntt-field" / "image.cat")


def distances(x: np.ndarray, y: np.ndarray, to_x: np.ndarray, to_y: np.ndarray) -> np.ndarray:
    return np.asarray(np.hypot(x[:, None] - to_x[None, :], y[:, None] - to_y[None, :]))


def test_what_sextractor_lists_is_found_and_nothing_else(field: Detection, sextractor: np.ndarray) -> None:
    ours = field.sources
    x, y = (np.asarray(ours[name]) for name in ("x_image", "y_image"))
    sure = sextractor[(sextractor[:, SIGMA] > 0) & (sextractor[:, FLUX] >= 5 * sextractor[:, SIGMA])]
    found = distances(sure[:, X] - 1, sure[:, Y] - 1, x, y).min(1) < 2
    assert found.mean() >= 0.97
    bright = np.asarray(ours["snr"]) >= 5
    listed = distances(x[bright], y[bright], sextractor[:, X] - 1, sextractor[:, Y] - 1).min(1) < 2
    assert listed.mean() >= 0.97


def test_bright_magnitudes_are_sextractors(field: Detection, sextractor: np.ndarray) -> None:
    """At S/N of 100 and more; below, its catalogue has Kron radii of a fraction of a star's, cut off by no minimum."""
    high = sextractor[(sextractor[:, SIGMA] > 0) & (sextractor[:, FLUX] >= 100 * sextractor[:, SIGMA])]
    apart = distances(high[:, X] - 1, high[:, Y] - 1, *(np.asarray(field.sources[c]) for c in ("x_image", "y_image")))
    ours = np.asarray(field.sources["flux_auto"])[apart.argmin(1)]
    assert len(high) >= 4
    np.testing.assert_allclose(-2.5 * np.log10(ours / high[:, FLUX]), 0.0, atol=0.05)


@pytest.mark.parametrize(
    ("name", "middle", "radius"), [("example_a", (254, 253.5), 25), ("example_b", (81.4, 80.1), 12)]
)
def test_a_large_galaxy_is_one_source(real_data: Path, name: str, middle: tuple[float, float], radius: float) -> None:
    found = detect(real_data / "decals-grz-cubes" / f"{name}.fits", survey="decals").sources
    away = np.hypot(found["x_image"] - middle[0], found["y_image"] - middle[1])
    inside = found[np.asarray(away) < radius]
    assert len(inside) == 1
    others = np.asarray(found["flux_auto_r"])[np.asarray(away) >= radius]
    # the companion of example_a, a nucleus of its own 30 pixels away, and a star on the other side stay what they are
    assert float(inside["flux_auto_r"][0]) > 0.5 * others.max()
    assert float(inside["r_half"][0]) > 1.0
    assert int(inside["npix"][0]) > 1000


@pytest.mark.parametrize("survey", ["decals", None])
@pytest.mark.parametrize(("name", "middle", "body"), [("example_a", 254.0, 22.0), ("example_b", 80.5, 12.0)])
def test_a_large_galaxy_owns_the_pixels_around_it(
    real_data: Path, name: str, middle: float, body: float, survey: str | None
) -> None:
    found = detect(real_data / "decals-grz-cubes" / f"{name}.fits", survey=survey)
    t = found.sources
    away = np.hypot(np.asarray(t["x_image"]) - middle, np.asarray(t["y_image"]) - middle)
    main = int(np.argmin(away))
    assert np.count_nonzero(away < body) == 1
    assert t["npix"][main] == max(t["npix"])
    y, x = np.indices(found.segmentation.shape)
    around = np.hypot(x - middle, y - middle)
    # Nearly all of the light around belongs to it; the rest to the second nucleus (a), to the companion (b).
    lit = (around < 3 * body) & (found.segmentation > 0)
    assert np.mean(found.segmentation[lit] == main + 1) > 0.7
    owners = np.unique(found.segmentation[lit])
    assert len(owners) <= 8
    assert t["kind"][main] == "galaxy"


def test_neighbours_in_the_halo_are_separate(real_data: Path) -> None:
    """Second nucleus, companions and stars of a brightest cluster galaxy; the companion of the other galaxy."""
    for name, places in (
        ("example_a", [(283, 263), (278, 188), (348, 174), (464, 356), (340, 438), (148, 221)]),
        ("example_b", [(90, 94), (37, 58), (97, 40)]),
    ):
        t = detect(real_data / "decals-grz-cubes" / f"{name}.fits", survey="decals").sources
        at = np.stack([t["x_image"], t["y_image"]], axis=1)
        distance, row = nearest(at, np.array(places, dtype=float))
        assert (distance < 5.0).all(), (name, distance)
        assert len(set(row.tolist())) == len(places)


def test_a_galaxy_that_fills_its_frame_is_found_and_flagged(real_data: Path) -> None:
    found = detect(next((real_data / "galmoss-sdss").glob("J092800*_image.fits")))
    main = int(np.argmax(found.sources["npix"]))
    assert np.hypot(found.sources["x_image"][main] - 64, found.sources["y_image"][main] - 64) < 3
    assert found.sources["flags"][main] & 32


def test_masked_star_with_bleed_trail_is_one_star(real_data: Path) -> None:
    folder = real_data / "legacy-exposures" / "testcase6" / "images" / "decam" / "CP" / "V4.8.2a" / "CP20181213"
    name = "c4d_181214_050844_{}_g_ls9.S9.fits"
    found = detect(folder / name.format("ooi"), weight=folder / name.format("oow"), mask=folder / name.format("ood"))
    assert len(found) == 1
    assert found.sources["kind"][0] == "star"
    assert found.sources["flags"][0] & 2


@pytest.mark.parametrize("name", ["hsc_cosmos", "hsc_cosmos_35"])
def test_crowded_hsc_scenes_hold_what_their_catalogues_list(real_data: Path, name: str) -> None:
    scene = np.load(real_data / "hsc-hst-scenes" / f"{name}.npz", allow_pickle=True)
    found = detect(scene["images"], survey="hsc", bands=tuple("grizy"), psf=scene["psfs"])
    at = np.stack([found.sources["x_image"], found.sources["y_image"]], axis=1)
    listed = np.stack([scene["catalog"]["x"], scene["catalog"]["y"]], axis=1)
    distance, row = nearest(at, listed.astype(float))
    near = distance < 2.5  # two faint ones of hsc_cosmos_35 lie in the light of its main galaxy
    assert near.sum() >= len(listed) - 2
    assert len(set(row[near].tolist())) == near.sum()
    assert len(found) <= len(listed) + 1
    main = int(np.argmax(found.sources["npix"]))
    assert found.sources["kind"][main] == "galaxy"
    assert found.sources["npix"][main] > 800
