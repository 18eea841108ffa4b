"""Bad input and faults: an empty table or one clear error, never a crash, never changed settings."""

import logging
from typing import Any

import numpy as np
import pytest
import sep

from rosse.detection import DetectOptions, detect
from rosse.errors import FileError, InputError, OptionError
from rosse.io import open_mosaic

from .galsim_field import draw_field, moffat, psf_stamp

RNG = np.random.default_rng(3)
NOISE = RNG.normal(size=(90, 110)).astype(np.float32)


@pytest.mark.parametrize(
    "image",
    [
        NOISE,
        np.full((80, 80), np.nan),
        np.zeros((80, 80)),
        np.full((70, 80), 7.0),
        NOISE[:3, :3],
        NOISE[:1, :1],
        NOISE[:5],
        np.full((3, 60, 60), np.nan),
    ],
    ids=["noise", "nan", "zero", "constant", "tiny", "pixel", "strip", "cube of nan"],
)
def test_nothing_to_find_is_an_empty_table(image: Any, caplog: pytest.LogCaptureFixture) -> None:
    found = detect(image)
    assert len(found) == 0
    assert {"id", "x_image", "snr", "flags", "cutout_size"} <= set(found.sources.colnames)
    assert found.sources["flags"].dtype.kind == "i"
    assert found.sources["id"].dtype.kind == "U"
    assert any("no source was found" in record.message for record in caplog.records)
    assert len(found.cutouts) == 0
    assert list(found.cutout_batches()) == []
    assert found.segmentation.max() == 0
    assert found.plot() is not None


def test_no_cutouts_with_a_psf() -> None:
    found = detect(NOISE, psf=psf_stamp(moffat(3.0), 21))
    assert len(found.cutouts) == 0


def test_everything_masked() -> None:
    assert len(detect(NOISE, mask=np.ones(NOISE.shape, dtype=bool))) == 0
    assert len(detect(NOISE, ivar=np.zeros(NOISE.shape))) == 0


def test_no_noise_is_said(caplog: pytest.LogCaptureFixture) -> None:
    image = np.zeros((100, 100), dtype=np.float32)
    image[40:60, 40:60] = 100.0
    assert len(detect(image)) == 1
    assert any("no measurable noise" in record.message for record in caplog.records)


def test_image_smaller_than_the_mesh() -> None:
    field = draw_field(size=100, stars=1, galaxies=0, faintest=5000, seed=2)
    x, y = round(float(field.x[0])), round(float(field.y[0]))
    small = field.flux[0, max(0, y - 20) : y + 21, max(0, x - 20) : x + 21]
    found = detect(small).sources
    assert len(found) == 1
    assert found["x_image"][0] + max(0, x - 20) == pytest.approx(field.x[0], abs=0.3)


@pytest.mark.parametrize("how", ["big endian", "read only", "float64", "not contiguous", "integer"])
def test_any_array(how: str) -> None:
    flux = draw_field(size=160, stars=4, galaxies=6, seed=3, faintest=2000).flux[0] * 10
    expected = detect(flux).sources
    image: Any = {
        "big endian": flux.astype(">f4"),
        "read only": flux.copy(),
        "float64": flux.astype(np.float64),
        "not contiguous": np.repeat(flux, 2, axis=1)[:, ::2],
        "integer": np.round(flux).astype(np.int32),
    }[how]
    image.flags.writeable = how != "read only"
    before = image.copy()
    found = detect(image).sources
    assert len(found) == len(expected)
    np.testing.assert_allclose(found["x_image"], expected["x_image"], atol=0.1 if how == "integer" else 1e-3)
    np.testing.assert_array_equal(image, before)


def test_bad_pixels_cost_nothing_but_themselves() -> None:
    field = draw_field(size=300, stars=10, galaxies=25, seed=4, faintest=1500)
    image = field.flux[0].copy()
    image[RNG.random(image.shape) < 0.02] = np.nan
    image[RNG.random(image.shape) < 0.002] = np.inf
    image[120, :] = np.nan
    clean, spoilt = (detect(a, psf=field.psf) for a in (field.flux[0], image))
    assert abs(len(clean) - len(spoilt)) <= 2
    assert np.isfinite(spoilt.flux).all()
    assert np.isfinite(spoilt.sources["flux_auto"]).all()
    assert (spoilt.ivar[0][~np.isfinite(image)] == 0).all()


def test_settings_of_sep_and_numpy_stay() -> None:
    before = (sep.get_extract_pixstack(), sep.get_sub_object_limit(), np.geterr())
    detect(draw_field(size=160, stars=4, galaxies=6, seed=3).flux)
    assert (sep.get_extract_pixstack(), sep.get_sub_object_limit(), np.geterr()) == before


def test_a_million_peaks_in_one_blend() -> None:
    """A footprint of the whole image, full of peaks: sep's deblending runs out of room here, ours does not."""
    y, x = np.indices((256, 256))
    waves = 50.0 + 40.0 * np.cos(2 * np.pi * x / 8) * np.cos(2 * np.pi * y / 8)
    image = np.zeros((300, 300), dtype=np.float32)
    image[22:278, 22:278] = waves
    noisy = (image + np.random.default_rng(2).normal(size=image.shape)).astype(np.float32)
    assert len(detect(noisy, ivar=1.0)) > 0


@pytest.mark.parametrize("factor", [1e30, 1e-30])
def test_flux_beyond_single_precision_is_refused(factor: float) -> None:
    with pytest.raises(InputError, match="single precision"):
        detect((NOISE + 5.0) * np.float32(factor))


def test_wrong_arguments_are_refused(tmp_path: Any) -> None:
    with pytest.raises(FileError, match="no such file"):
        detect(tmp_path / "none.fits")
    with pytest.raises(InputError, match="cannot be given with an open mosaic"):
        detect(open_mosaic(NOISE), mask=NOISE > 0)
    with pytest.raises(InputError):
        detect(NOISE, psf=np.ones((2, 5, 5)))
    with pytest.raises(InputError):
        detect(NOISE, psf=np.zeros((5, 5)))
    with pytest.raises(OptionError, match="threshold"):
        DetectOptions(threshold=0)
    with pytest.raises(OptionError, match="cutouts from"):
        DetectOptions(cutout_minimum=99, cutout_maximum=55)
    with pytest.raises(OptionError, match="deblend_contrast"):
        DetectOptions(deblend_contrast=-1)


def test_a_psf_larger_than_the_image() -> None:
    field = draw_field(size=60, stars=1, galaxies=0, faintest=5000, seed=1)
    found = detect(field.flux, psf=psf_stamp(moffat(4.5), 101))
    assert len(found) == 1
    assert found.sources["kind"][0] == "star"


def test_the_library_configures_no_logging() -> None:
    assert logging.getLogger("rosse.detection").handlers == []
