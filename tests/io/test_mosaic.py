"""Mosaics: which HDU, which noise, which mask, which units and coordinates."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from PIL import Image

from rosse.errors import FileError, InputError, OptionError
from rosse.io import local_frame, open_mosaic
from rosse.io.mosaic import Mosaic, Section

RNG = np.random.default_rng(3)
SHAPE = (40, 50)
FLUX = RNG.normal(10, 2, SHAPE).astype("f4")
SIGMA = RNG.uniform(1, 3, SHAPE).astype("f4")
ALL = slice(None)


def write(path: Path, *hdus: tuple[str, Any], **cards: Any) -> Path:
    """A file with these named image HDUs; the first is the primary one if its name is empty."""
    made = [fits.PrimaryHDU(hdus[0][1])] if hdus[0][0] == "" else [fits.PrimaryHDU()]
    made += [fits.ImageHDU(data, name=name) for name, data in hdus if name]
    target = made[0] if hdus[0][0] == "" else made[1]
    for key, value in cards.items():
        target.header[key] = value
    fits.HDUList(made).writeto(path)
    return path


def everything(mosaic: Mosaic) -> Section:
    return mosaic.section(ALL, ALL)


def ivar_of(section: Section) -> NDArray[np.float32]:
    assert section.ivar is not None
    return np.asarray(section.ivar)


def tan(scale: float = 0.262, centre: tuple[float, float] = (150.0, 2.0), **extra: Any) -> dict[str, Any]:
    return {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": centre[0], "CRVAL2": centre[1], "CRPIX1": 25.5,
        "CRPIX2": 20.5, "CD1_1": -scale / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": scale / 3600, **extra,
    }  # fmt: skip


# --- which HDU ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hdus",
    [
        [("", FLUX)],
        [("", FLUX), ("WHT", SIGMA), ("MASK", SIGMA)],
        [("", FLUX), ("EXTRA", SIGMA)],
        [("SCI", FLUX), ("ERR", SIGMA), ("DQ", SIGMA)],
        [("WHT", SIGMA), ("SCI", FLUX)],
        [("ERR", SIGMA), ("S4", FLUX)],
        [("IMAGE", FLUX), ("MASK", SIGMA), ("VARIANCE", SIGMA)],
        [("SCI", FLUX), ("CON", SIGMA), ("VAR_POISSON", SIGMA), ("VAR_RNOISE", SIGMA)],
        [("N4", FLUX)],
    ],
    ids=lambda hdus: "+".join(name or "primary" for name, _ in hdus),
)
def test_the_image_is_found(tmp_path: Path, hdus: list[tuple[str, Any]]) -> None:
    path = write(tmp_path / "a.fits", *hdus)
    np.testing.assert_array_equal(everything(open_mosaic(path)).flux[0], FLUX)


@pytest.mark.parametrize("extension", ["SCI", "sci", 2])
@pytest.mark.parametrize("by", ["name", "argument"])
def test_the_image_is_named(tmp_path: Path, extension: str | int, by: str) -> None:
    path = write(tmp_path / "a.fits", ("FOO", SIGMA), ("SCI", FLUX))
    mosaic = open_mosaic(f"{path}[{extension}]") if by == "name" else open_mosaic(path, extension=extension)
    assert open_mosaic(f"{path}[-1]").planes[0].label == mosaic.planes[0].label
    np.testing.assert_array_equal(everything(mosaic).flux[0], FLUX)


def test_versions_of_one_name(tmp_path: Path) -> None:
    first, second = fits.ImageHDU(SIGMA, name="SCI", ver=1), fits.ImageHDU(FLUX, name="SCI", ver=2)
    fits.HDUList([fits.PrimaryHDU(), first, second]).writeto(tmp_path / "a.fits")
    np.testing.assert_array_equal(everything(open_mosaic(f"{tmp_path}/a.fits[SCI,2]")).flux[0], FLUX)
    with pytest.raises(FileError, match="SCI"):
        open_mosaic(tmp_path / "a.fits")


def test_several_chips_are_not_guessed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", ("S29", FLUX), ("S31", FLUX), ("S25", FLUX))
    with pytest.raises(FileError, match=r"3 images.*1 S29 40 x 50, 2 S31.*'.*\[S29\]'"):
        open_mosaic(path)


def test_unknown_extension_lists_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", ("SCI", FLUX), ("WHT", SIGMA))
    with pytest.raises(FileError, match=r"no extension 'SIC'.*1 SCI 40 x 50, 2 WHT"):
        open_mosaic(f"{path}[SIC]")


def test_no_image(tmp_path: Path) -> None:
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([fits.Column("a", "E")])]).writeto(
        tmp_path / "a.fits"
    )
    with pytest.raises(FileError, match="no image with two axes"):
        open_mosaic(tmp_path / "a.fits")


# --- bands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cards", [{"BANDS": "grz"}, {"BANDS": "g,r,z"}, {"BAND0": "g", "BAND1": "r", "BAND2": "z"},
              {"BAND1": "g", "BAND2": "r", "BAND3": "z"}],
)  # fmt: skip
def test_cubes_name_their_bands(tmp_path: Path, cards: dict[str, str]) -> None:
    cube = np.stack([FLUX, 2 * FLUX, 3 * FLUX])
    mosaic = open_mosaic(write(tmp_path / "a.fits", ("", cube), **cards))
    assert mosaic.bands == ("g", "r", "z")
    np.testing.assert_array_equal(everything(mosaic).flux, cube)


@pytest.mark.parametrize("form", ["f4", "i2 scaled", "tiles"])
def test_sections_of_cubes(tmp_path: Path, form: str) -> None:
    cube = np.stack([FLUX, 2 * FLUX, 3 * FLUX])
    path = tmp_path / "a.fits"
    if form == "tiles":
        fits.CompImageHDU(cube, quantize_level=0, compression_type="GZIP_1", tile_shape=(1, 9, 20)).writeto(path)
    else:
        hdu = fits.PrimaryHDU(cube)
        if form != "f4":
            hdu.scale("int16", bscale=0.01, bzero=5.0)
        hdu.writeto(path)
    part = slice(3, 31), slice(8, 44)
    np.testing.assert_allclose(open_mosaic(path).section(*part).flux, fits.getdata(path)[:, *part], rtol=1e-6)


def test_bands_of_a_cube_are_chosen(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", ("", np.stack([FLUX, 2 * FLUX, 3 * FLUX])), BANDS="grz")
    mosaic = open_mosaic(path, bands=["z", "g"], survey="decals")
    assert mosaic.bands == ("z", "g")
    np.testing.assert_array_equal(everything(mosaic).flux, np.stack([3 * FLUX, FLUX]))


def test_bands_from_the_survey_are_said(caplog: pytest.LogCaptureFixture) -> None:
    assert open_mosaic(np.stack([FLUX] * 3), survey="decals").bands == ("g", "r", "z")
    assert "taken as decals's g, r, z" in caplog.text


def test_bands_by_name() -> None:
    assert open_mosaic(np.stack([FLUX] * 2), bands="gr").bands == ("g", "r")
    assert open_mosaic(FLUX, bands="F814W").bands == ("F814W",)
    assert open_mosaic(np.stack([FLUX] * 2)).bands == ("band0", "band1")
    with pytest.raises(OptionError, match="2 planes"):
        open_mosaic(np.stack([FLUX] * 2), bands=["g", "r", "z"])
    with pytest.raises(OptionError, match="must differ"):
        open_mosaic(np.stack([FLUX] * 2), bands=["g", "g"])


def test_one_file_per_band(tmp_path: Path) -> None:
    paths = {band: write(tmp_path / f"{band}.fits", ("", k * FLUX)) for k, band in enumerate("rg", start=1)}
    sigma = {band: write(tmp_path / f"{band}s.fits", ("", k * SIGMA)) for k, band in enumerate("gr", start=1)}
    mosaic = open_mosaic(paths, sigma=sigma)
    assert mosaic.bands == ("r", "g")
    section = everything(mosaic)
    np.testing.assert_array_equal(section.flux, np.stack([FLUX, 2 * FLUX]))
    np.testing.assert_allclose(ivar_of(section), np.stack([(2 * SIGMA) ** -2.0, SIGMA**-2.0]), rtol=1e-5)


def test_missing_band_of_a_map(tmp_path: Path) -> None:
    path = write(tmp_path / "g.fits", ("", FLUX))
    with pytest.raises(InputError, match="sigma lacks band r; it has band g"):
        open_mosaic({"g": path, "r": path}, sigma={"g": path})


def test_bands_of_different_sizes(tmp_path: Path) -> None:
    paths = {"g": write(tmp_path / "g.fits", ("", FLUX)), "r": write(tmp_path / "r.fits", ("", FLUX[:-1]))}
    with pytest.raises(InputError, match="different sizes"):
        open_mosaic(paths)


def test_bands_on_different_grids(tmp_path: Path) -> None:
    first = write(tmp_path / "g.fits", ("", FLUX), **tan())
    second = write(tmp_path / "r.fits", ("", FLUX), **tan(centre=(150.001, 2.0)))
    with pytest.raises(InputError, match="not on the pixel grid"):
        open_mosaic({"g": first, "r": second})


def test_a_stack_of_extensions_by_band(tmp_path: Path) -> None:
    """The Legacy Surveys' cut-out service: image and invvar of each band as extensions."""
    hdus = [fits.PrimaryHDU()]
    for k, band in enumerate("grz", start=1):
        for kind, data in (("image", k * FLUX), ("invvar", k * SIGMA)):
            hdus.append(fits.ImageHDU(data, header=fits.Header([("IMAGETYP", kind), ("BAND", band)])))
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    mosaic = open_mosaic(tmp_path / "a.fits", ivar=tmp_path / "a.fits")
    assert mosaic.bands == ("g", "r", "z")
    section = everything(mosaic)
    np.testing.assert_array_equal(section.flux, np.stack([FLUX, 2 * FLUX, 3 * FLUX]))
    np.testing.assert_allclose(ivar_of(section), np.stack([SIGMA, 2 * SIGMA, 3 * SIGMA]), rtol=1e-6)


# --- noise -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values"), [("sigma", SIGMA), ("variance", SIGMA**2), ("ivar", SIGMA**-2.0)]
)  # fmt: skip
def test_kinds_of_noise_agree(kind: str, values: Any) -> None:
    section = everything(open_mosaic(FLUX, **{kind: values}))
    np.testing.assert_allclose(ivar_of(section)[0], SIGMA.astype(float) ** -2, rtol=1e-5)
    assert not section.bad.any()


def test_no_noise_map_is_none() -> None:
    mosaic = open_mosaic(FLUX)
    assert not mosaic.has_noise
    assert everything(mosaic).ivar is None


def test_noise_as_a_number() -> None:
    section = everything(open_mosaic(np.stack([FLUX, FLUX]), sigma=0.5))
    np.testing.assert_array_equal(ivar_of(section), np.full((2, *SHAPE), 4.0))


def test_noise_in_the_same_file(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.fits", ("SCI", FLUX), ("WHT", SIGMA**-2.0), ("ERR", SIGMA), ("DQ", (FLUX > 12).astype("i2"))
    )
    for noise in ({"sigma": path}, {"sigma": f"{path}[ERR]"}, {"ivar": f"{path}[WHT]"}):
        section = everything(open_mosaic(path, mask=path, **noise))
        good = FLUX <= 12
        np.testing.assert_allclose(ivar_of(section)[0][good], SIGMA[good] ** -2.0, rtol=1e-5)
        assert (ivar_of(section)[0][~good] == 0).all()
        np.testing.assert_array_equal(section.bad[0], ~good)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_impossible_numbers_as_noise(value: float) -> None:
    with pytest.raises(OptionError, match="positive number"):
        open_mosaic(FLUX, sigma=value)


def test_weights_of_the_same_chip(tmp_path: Path) -> None:
    """Image and weight of a camera in two files with the same extension names, as DECam's."""
    image = write(tmp_path / "ooi.fits", ("S1", 2 * FLUX), ("S4", FLUX))
    weight = write(tmp_path / "oow.fits", ("S1", 7 * SIGMA), ("S4", SIGMA))
    for mosaic in (open_mosaic(f"{image}[S4]", ivar=weight), open_mosaic(image, extension="S4", ivar=weight)):
        np.testing.assert_array_equal(ivar_of(everything(mosaic))[0], SIGMA)


def test_a_weight_extension_may_be_inverse_variance(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", ("SCI", FLUX), ("MSK", np.zeros(SHAPE, "i2")), ("WGT", SIGMA))
    np.testing.assert_array_equal(ivar_of(everything(open_mosaic(path, ivar=path)))[0], SIGMA)


def test_two_noise_maps_are_refused() -> None:
    with pytest.raises(OptionError, match="sigma and ivar came"):
        open_mosaic(FLUX, sigma=SIGMA, ivar=SIGMA)


def test_the_image_is_not_its_noise(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", ("", FLUX))
    with pytest.raises(InputError, match="both"):
        open_mosaic(path, sigma=path)


def test_noise_of_another_size() -> None:
    with pytest.raises(InputError, match=r"sigma.*39 x 50.*40 x 50"):
        open_mosaic(FLUX, sigma=SIGMA[:-1])


@pytest.mark.parametrize("kind", ["sigma", "variance", "ivar"])
def test_impossible_noise_is_left_out_and_counted(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    values = np.ones(SHAPE)
    values[0, :4] = 0, -1, np.nan, np.inf
    noise: dict[str, Any] = {kind: values}
    mosaic = open_mosaic(FLUX, **noise)
    section = everything(mosaic)
    assert section.bad[0, 0, :4].all()
    assert section.bad.sum() == 4
    assert (ivar_of(section)[0, 0, :4] == 0).all()
    counted = 3  # zero weight and infinite sigma mean "no data", nothing impossible
    assert f"{kind} is zero, negative or not finite in {counted} of 2000 pixels" in caplog.text
    caplog.clear()
    everything(mosaic)
    everything(pickle.loads(pickle.dumps(mosaic)))  # as for every partition of a run
    assert not caplog.text  # said once


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_relative_weights_are_scaled_to_the_sky(scale: float, caplog: pytest.LogCaptureFixture) -> None:
    """A field with sources and a gradient in depth: ivar of the sky comes out within a few per cent."""
    rng = np.random.default_rng(11)
    sigma = np.linspace(1.0, 3.0, 600)[None, :] * np.ones((600, 1))
    flux = rng.normal(50, sigma)
    y, x = np.indices(flux.shape)
    for _ in range(60):
        flux += 300 * np.exp(-0.5 * ((y - rng.uniform(0, 600)) ** 2 + (x - rng.uniform(0, 600)) ** 2) / 9)
    caplog.set_level(logging.INFO)
    section = everything(open_mosaic(flux, weight=scale * sigma**-2))
    np.testing.assert_allclose(ivar_of(section)[0] * sigma**2, 1.0, rtol=0.04)
    assert "scaled to the scatter of the sky" in caplog.text


def test_relative_weights_without_noise_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be scaled"):
        open_mosaic(np.zeros(SHAPE), weight=np.ones(SHAPE))
    with pytest.raises(InputError, match="cannot be scaled"):
        open_mosaic(FLUX, weight=np.zeros(SHAPE))


# --- masks -------------------------------------------------------------------------------------------------------


def test_masks() -> None:
    mask = np.zeros(SHAPE, dtype=np.int16)
    mask[0, :4] = 1, 2, 4, 6
    assert everything(open_mosaic(FLUX, mask=mask)).bad[0, 0, :5].tolist() == [True, True, True, True, False]
    bits = everything(open_mosaic(FLUX, mask=mask, mask_bits=0b100)).bad
    assert bits[0, 0, :5].tolist() == [False, False, True, True, False]
    assert bits.sum() == 2
    unsigned = mask.astype(np.uint64) << np.uint64(60)
    assert everything(open_mosaic(FLUX, mask=unsigned, mask_bits=1 << 62)).bad.sum() == 2
    assert everything(open_mosaic(FLUX, mask=mask.astype(float), mask_bits=1)).bad.sum() == 1
    assert everything(open_mosaic(FLUX, mask=mask.astype(bool))).bad.sum() == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_kind": "bits"}, "belong together"),
        ({"mask_kind": "bool", "mask_bits": 3}, "belong together"),
        ({"mask_kind": "bit"}, "did you mean 'bits'"),
        ({"mask_bits": 0}, "positive"),
        ({"mask_kind": "segmentation"}, "belongs to cutouts"),
    ],
)
def test_impossible_masks(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        open_mosaic(FLUX, mask=np.zeros(SHAPE), **options)


def test_bits_without_a_mask() -> None:
    with pytest.raises(OptionError, match="without a mask"):
        open_mosaic(FLUX, mask_bits=3)


# --- units -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cards", "zeropoint"),
    [
        ({"MAGZP": 25.0}, 25.0), ({"MAGZERO": "26.5"}, 26.5), ({"ZEROPNT": 27.0}, 27.0), ({"PHOTZP": 0.0}, 0.0),
        ({"MAGZP": -99.0}, np.nan), ({"MAGZP": "INDEF"}, np.nan), ({}, np.nan),
        ({"BUNIT": "nanomaggy"}, 22.5), ({"BUNIT": "uJy"}, 23.9), ({"BUNIT": "nJy"}, 31.4),
        ({"BUNIT": "10.0*nanoJansky"}, 28.9), ({"BUNIT": "Jy"}, 8.9), ({"BUNIT": "mJy"}, 16.4),
        ({"BUNIT": "MJy"}, -6.1),
        ({"BUNIT": "ADU"}, np.nan), ({"FLUXMAG0": 63095734448.0194}, 27.0),
        # HST ACS/WFC F814W and JWST NIRCam at 0.04 arcsec: the values that the archives' documents derive
        ({"PHOTFLAM": 7.0332e-20, "PHOTPLAM": 8045.5}, 25.946),
        ({"BUNIT": "MJy/sr", "PIXAR_SR": (0.04 / 206264.806) ** 2}, 27.462),
    ],
)  # fmt: skip
def test_zero_points_of_headers(tmp_path: Path, cards: dict[str, Any], zeropoint: float) -> None:
    mosaic = open_mosaic(write(tmp_path / "a.fits", ("", FLUX), **cards))
    np.testing.assert_allclose(mosaic.zeropoint, [zeropoint], atol=0.002)


def test_order_of_zero_points(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.fits", ("", FLUX), MAGZP=25.0)
    assert open_mosaic(path, survey="des").zeropoint == 25.0
    assert "zeropoint 25 is taken from the header (MAGZP), not the survey's 30" in caplog.text
    assert open_mosaic(path, survey="des", zeropoint=26.0).zeropoint == 26.0
    assert open_mosaic(write(tmp_path / "b.fits", ("", FLUX)), survey="des").zeropoint == 30.0


def test_zero_points_of_the_primary_header(tmp_path: Path) -> None:
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(FLUX)])
    hdus[0].header["MAGZERO"] = 26.0
    hdus.writeto(tmp_path / "a.fits")
    assert open_mosaic(tmp_path / "a.fits").zeropoint == 26.0


def test_values_by_band(tmp_path: Path) -> None:
    cube = np.stack([FLUX, FLUX])
    mosaic = open_mosaic(cube, bands="gr", zeropoint={"g": 25.0}, gain=[1.0, 2.0], saturation=6e4)
    np.testing.assert_array_equal(mosaic.zeropoint, [25.0, np.nan])
    np.testing.assert_array_equal(mosaic.gain, [1.0, 2.0])
    np.testing.assert_array_equal(mosaic.saturation, [6e4, 6e4])
    with pytest.raises(OptionError, match="zeropoint is given for band z"):
        open_mosaic(cube, bands="gr", zeropoint={"z": 25.0})
    with pytest.raises(OptionError, match="one number or 2"):
        open_mosaic(cube, bands="gr", zeropoint=[1.0, 2.0, 3.0])


def test_band_of_the_filter_card(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", ("", FLUX), FILTER="r DECam SDSS c0002 6415.0 1480.0")
    assert open_mosaic(path, survey="decals").bands == ("r",)
    assert open_mosaic(path).bands == ("r",)
    csst = open_mosaic(FLUX, survey="csst", bands=["i"])
    assert csst.zeropoint == 26.1
    assert np.isnan(open_mosaic(FLUX, survey="csst").zeropoint).all()  # which band is not known, nor its zero point


@pytest.mark.parametrize(
    ("cards", "gain", "saturation"),
    [
        ({"GAIN": 2.0, "SATURATE": 5e4}, 2.0, 5e4),
        ({"GAIN": 2.0, "BUNIT": "ADU", "SATURATE": 5e4}, 2.0, 5e4),
        ({"GAIN": 2.0, "BUNIT": "counts/s", "EXPTIME": 100.0, "SATURATE": 5e4}, 200.0, np.nan),
        ({"BUNIT": "ELECTRONS/S", "EXPTIME": 2028.0}, 2028.0, np.nan),
        ({"BUNIT": "electron"}, 1.0, np.nan),
        ({"GAIN": 2.0, "BUNIT": "nanomaggy", "SATURATE": 5e4}, np.nan, np.nan),
        ({"GAIN": 0.0}, np.nan, np.nan),
    ],
)
def test_gain_and_saturation(tmp_path: Path, cards: dict[str, Any], gain: float, saturation: float) -> None:
    mosaic = open_mosaic(write(tmp_path / "a.fits", ("", FLUX), **cards))
    np.testing.assert_array_equal(mosaic.gain, [gain])
    np.testing.assert_array_equal(mosaic.saturation, [saturation])


def test_the_surveys_gain_follows_the_flux_unit(tmp_path: Path) -> None:
    """Electrons per flux unit: a unit 2.5 mag fainter holds ten times fewer."""
    of_survey = open_mosaic(FLUX, survey="decals", bands=["r"]).gain
    np.testing.assert_allclose(open_mosaic(FLUX, survey="decals", bands=["r"], zeropoint=25.0).gain, of_survey / 10)


# --- coordinates -------------------------------------------------------------------------------------------------


def test_scale_and_orientation(tmp_path: Path) -> None:
    mosaic = open_mosaic(write(tmp_path / "a.fits", ("", FLUX), **tan(0.262)))
    assert mosaic.scale == pytest.approx(0.262, rel=1e-6)
    frame = local_frame(mosaic.wcs, 24.5, 19.5)
    assert frame.ra == pytest.approx(150.0)
    assert frame.dec == pytest.approx(2.0)
    assert frame.north == pytest.approx(np.pi / 2, abs=1e-6)
    assert frame.parity == 1


@pytest.mark.parametrize("angle", [0.0, 30.0, 135.0, -100.0])
@pytest.mark.parametrize("parity", [1, -1])
@pytest.mark.parametrize("dec", [2.0, -60.0, 89.99])
def test_local_frame_of_turned_images(angle: float, parity: int, dec: float) -> None:
    """North is turned by `angle` from +y; truth: where astropy puts a point one arcsec to the north and to the east."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [150.0, dec], [10.0, 20.0]
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    wcs.wcs.cd = 0.3 / 3600 * np.array([[-parity * c, s], [parity * s, c]])
    wcs.wcs.set()
    frame = local_frame(wcs, 9.0, 19.0)
    here = np.array([9.0, 19.0])
    north = wcs.all_world2pix([[150.0, dec + 1 / 3600]], 0)[0] - here
    east = wcs.all_world2pix([[150.0 + 1 / 3600 / np.cos(np.deg2rad(dec)), dec]], 0)[0] - here
    assert np.cos(frame.north - np.arctan2(north[1], north[0])) == pytest.approx(1, abs=1e-5)
    assert frame.scale == pytest.approx(0.3, rel=1e-4)
    turn = north[0] * east[1] - north[1] * east[0]  # > 0: east is counter-clockwise of north
    assert frame.parity == np.sign(turn)


def distorted(kind: str) -> dict[str, Any]:
    if kind == "SIP":
        return tan(0.4, CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP", A_ORDER=2, B_ORDER=2, A_2_0=1e-4, B_0_2=-2e-4,
                   B_1_1=5e-5)  # fmt: skip
    return tan(0.4, CTYPE1="RA---TPV", CTYPE2="DEC--TPV", PV1_0=0.0, PV1_1=1.01, PV1_4=0.5, PV2_0=0.0, PV2_1=1.01)


@pytest.mark.parametrize("kind", ["SIP", "TPV"])
def test_distortions_are_kept(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.fits", ("", FLUX), **distorted(kind))
    points = np.array([[0.0, 0.0], [49.0, 39.0], [10.0, 30.0]])
    truth = WCS(fits.getheader(path)).all_pix2world(points, 0)
    linear = WCS(fits.Header({**tan(0.4)})).all_pix2world(points, 0)
    mosaic = open_mosaic(path)
    for copy in (mosaic, pickle.loads(pickle.dumps(mosaic))):
        assert copy.wcs is not None
        np.testing.assert_allclose(copy.wcs.all_pix2world(points, 0), truth, atol=1e-10)
    assert np.abs(truth - linear).max() > 1e-6
    assert mosaic.scale == pytest.approx(0.4 if kind == "SIP" else 0.404, rel=2e-3)


def test_cubes_have_celestial_coordinates(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", ("", np.stack([FLUX, FLUX])), **tan(), CTYPE3="FREQ", CRVAL3=1.0)
    assert open_mosaic(path).scale == pytest.approx(0.262, rel=1e-6)


@pytest.mark.parametrize(
    "cards",
    [
        {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"},
        {"CTYPE1": "        ", "CTYPE2": "        ", "CRVAL1": 1.0},
        tan(CD1_1=0.0, CD2_2=0.0),
        tan(CTYPE1="RA---XYZ", CTYPE2="DEC--XYZ"),
        {"CTYPE1": "RA---TAN", "CTYPE2": "GLAT-TAN"},
    ],
)
def test_coordinates_that_are_not_the_sky(tmp_path: Path, cards: dict[str, Any]) -> None:
    mosaic = open_mosaic(write(tmp_path / "a.fits", ("", FLUX), **cards))
    assert mosaic.wcs is None
    assert np.isnan(mosaic.scale)


def test_scales_that_disagree_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.fits", ("", FLUX), **tan(0.262))
    assert open_mosaic(path, survey="decals").scale == pytest.approx(0.262)
    assert "disagree" not in caplog.text
    assert open_mosaic(path, survey="sdss", bands=["r"]).scale == pytest.approx(0.262)
    assert "WCS 0.262, survey sdss 0.396" in caplog.text
    assert open_mosaic(path, scale=0.5).scale == 0.5
    assert "argument 0.5, WCS 0.262" in caplog.text
    assert open_mosaic(FLUX, survey="hsc", bands=["i"]).scale == 0.168
    with pytest.raises(OptionError, match="positive"):
        open_mosaic(path, scale=0.0)


def test_coordinates_of_an_array() -> None:
    wcs = WCS(fits.Header({**tan(0.3)}))
    assert open_mosaic(FLUX, wcs=wcs).scale == pytest.approx(0.3)


# --- names and arrays ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "name"), [("field.fits", "field"), ("a.b.fits.gz", "a.b"), ("x.fits.fz", "x"), ("y.fit", "y")]
)
def test_names(tmp_path: Path, file: str, name: str) -> None:
    write(tmp_path / "plain.fits", ("", FLUX)).rename(tmp_path / file)
    assert open_mosaic(tmp_path / file).name == name
    assert open_mosaic(tmp_path / file, name="mine").name == "mine"


def test_name_of_an_extension(tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", FLUX)
    assert open_mosaic(tmp_path / "z.npy").name == "z"
    assert open_mosaic(FLUX).name == "image"
    path = write(tmp_path / "a.fits", ("S1", FLUX), ("S2", FLUX))
    assert open_mosaic(f"{path}[S2]").name == "a_S2"


def test_masked_arrays() -> None:
    array = np.ma.masked_where(FLUX > 12, FLUX)
    np.testing.assert_array_equal(everything(open_mosaic(array)).bad[0], FLUX > 12)


def test_colours_in_the_last_axis() -> None:
    with pytest.raises(InputError, match="moveaxis"):
        open_mosaic(np.zeros((40, 50, 3)))


def test_asinh_magnitudes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="asinh"):
        open_mosaic(write(tmp_path / "a.fits", ("", FLUX), BSOFTEN=10.0, BOFFSET=1.0))


def test_many_planes_without_names() -> None:
    stack = np.zeros((100, 40, 50))
    with pytest.raises(InputError, match="stack of galaxies"):
        open_mosaic(stack)
    assert len(open_mosaic(stack, bands=[f"b{i}" for i in range(100)]).bands) == 100


def test_pictures_have_no_survey_units(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((24, 20, 3), np.uint8)).save(tmp_path / "a.png")
    mosaic = open_mosaic(tmp_path / "a.png", survey="sdss")
    assert mosaic.bands == ("R", "G", "B")
    assert np.isnan([*mosaic.zeropoint, *mosaic.gain, mosaic.scale]).all()
    assert open_mosaic(tmp_path / "a.png", scale=0.4, zeropoint=20.0).scale == 0.4


def test_distortion_tables_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.fits", ("", FLUX), **tan(), CPDIS1="LOOKUP", CPDIS2="LOOKUP", D2IMDIS1="LOOKUP")
    assert open_mosaic(path).wcs is not None
    assert "keeps in tables are left out" in caplog.text


@pytest.mark.parametrize("value", [np.zeros(5), np.zeros((2, 2, 2, 2)), np.array([["a"]]), np.zeros((0, 5))])
def test_impossible_arrays(value: Any) -> None:
    with pytest.raises(InputError, match="wanted"):
        open_mosaic(value)


def test_flux_beyond_float32_is_bad() -> None:
    flux = FLUX.astype(float)
    flux[2, 3] = 1e300
    section = everything(open_mosaic(flux))
    assert section.bad.sum() == 1
    assert section.flux[0, 2, 3] == 0
