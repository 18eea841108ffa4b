"""Files as surveys ship them: what is read is what astropy reads, and what their makers say of them."""

from __future__ import annotations

import bz2
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from rosse.io import list_cutouts, load_cutouts, open_mosaic, read_cutouts, read_psf

ALL = slice(None)


def test_eso_field(real_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """16-bit integers scaled by BSCALE and BZERO, coordinates that are not the sky's, cards by MIDAS."""
    path = real_data / "eso-ntt-field" / "image.fits"
    mosaic = open_mosaic(path)
    assert (mosaic.wcs, mosaic.shape, mosaic.bands) == (None, (256, 256), ("band",))
    assert np.isnan([mosaic.scale, *mosaic.zeropoint, *mosaic.gain]).all()
    flux = mosaic.section(slice(40, 90), slice(100, 180)).flux[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = fits.getdata(path)
    np.testing.assert_allclose(flux, truth[40:90, 100:180], rtol=2e-7)
    assert not caplog.records


def test_decals_cube(real_data: Path) -> None:
    path = real_data / "decals-grz-cubes" / "example_a.fits"
    mosaic = open_mosaic(path, survey="decals")
    assert mosaic.bands == ("g", "r", "z")
    assert mosaic.scale == pytest.approx(0.262, rel=1e-3)
    assert mosaic.zeropoint.tolist() == [22.5] * 3
    np.testing.assert_array_equal(mosaic.section(slice(7, 99), ALL).flux, fits.getdata(path)[:, 7:99])


def exposures(real_data: Path, pattern: str) -> list[Path]:
    found = sorted((real_data / "legacy-exposures").glob(pattern))
    assert found
    return found


@pytest.mark.parametrize(
    ("pattern", "camera"),
    [
        ("testcase[36]/images/decam/**/*_ooi_*.fits", "decals"),
        ("mzlsbass3/images/**/*_ooi_*.fits", "bass-mzls"),
    ],
)
def test_single_exposures(real_data: Path, pattern: str, camera: str) -> None:
    """DECam, Bok and Mosaic3: TPV coordinates, inverse variance and data quality in files of their own."""
    for path in exposures(real_data, pattern):
        weight, quality = (path.with_name(path.name.replace("_ooi_", f"_oo{kind}_")) for kind in "wd")
        if not (weight.exists() and quality.exists()):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            mosaic = open_mosaic(path, survey=camera, ivar=weight, mask=quality)
        with fits.open(path) as hdus, fits.open(weight) as weights, fits.open(quality) as flags:
            truth, ivar, flag = (h[1].data.astype(float) for h in (hdus, weights, flags))
            bad = ~np.isfinite(truth) | ~(ivar > 0) | (flag != 0)
            section = mosaic.section(ALL, ALL)
            np.testing.assert_array_equal(section.bad[0], bad)
            np.testing.assert_array_equal(section.flux[0][~bad], truth[~bad])
            assert section.ivar is not None
            np.testing.assert_allclose(section.ivar[0], np.where(bad, 0, ivar), rtol=1e-6)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                sky = WCS(hdus[1].header).all_pix2world([[3.0, 5.0]], 0)
            assert mosaic.wcs is not None
            np.testing.assert_allclose(mosaic.wcs.all_pix2world([[3.0, 5.0]], 0), sky, atol=1e-9)
            zero = next((h.header["MAGZERO"] for h in hdus if "MAGZERO" in h.header), 22.5)
        assert mosaic.zeropoint.tolist() == [pytest.approx(zero)]
        assert mosaic.scale == pytest.approx(0.45 if "90prime" in str(path) else 0.262, rel=0.02)
        assert mosaic.bands[0] in "grz"


def test_the_same_exposure_in_other_forms(real_data: Path, tmp_path: Path) -> None:
    """An SDSS frame comes as .fits.bz2, a community-pipeline exposure as .fits.fz: the pixels are the same."""
    path = exposures(real_data, "testcase3/images/decam/**/*_ooi_r_*.fits")[0]
    (tmp_path / "a.fits.bz2").write_bytes(bz2.compress(path.read_bytes()))
    with fits.open(path) as hdus:
        packed = fits.CompImageHDU(hdus[1].data, hdus[1].header, compression_type="GZIP_2", quantize_level=0)
        fits.HDUList([fits.PrimaryHDU(header=hdus[0].header), packed]).writeto(tmp_path / "a.fits.fz")
    one, *others = (open_mosaic(p) for p in (path, tmp_path / "a.fits.bz2", tmp_path / "a.fits.fz"))
    part = slice(11, 70), slice(20, 90)
    for other in others:
        np.testing.assert_array_equal(other.section(*part).flux, one.section(*part).flux)
        assert other.wcs is not None
        assert one.wcs is not None
        assert other.wcs.wcs.compare(one.wcs.wcs, 1)  # apart from what astropy notes about the file
        np.testing.assert_array_equal(other.saturation, one.saturation)


def test_legacy_surveys_cutout(real_data: Path) -> None:
    """The Legacy Surveys' service: image and invvar of three bands as extensions, PSFs as one HDU each."""
    folder = real_data / "hsc-pysersic" / "examp_gals"
    name = "cutout_59.1067_-30.4848.fits"
    cutouts = read_cutouts(folder / name, survey="decals", ivar="{image}", psf=folder / name.replace("cutout", "copsf"))
    assert cutouts.bands == ("g", "r", "z")
    with fits.open(folder / name) as hdus:
        for i in range(3):
            np.testing.assert_array_equal(cutouts.flux[0, i].numpy(), hdus[2 * i + 1].data)
            np.testing.assert_array_equal(cutouts.ivar[0, i].numpy(), hdus[2 * i + 2].data)
    assert cutouts.ra.tolist() == [pytest.approx(59.1067, abs=1e-3)]
    assert cutouts.dec.tolist() == [pytest.approx(-30.4848, abs=1e-3)]
    psf = read_psf(folder / name.replace("cutout", "copsf"), bands=["z", "r", "g"])
    with fits.open(folder / name.replace("cutout", "copsf")) as hdus:
        np.testing.assert_allclose(psf.at(0, 0)[0, 0], hdus[2].data, atol=1e-6)


def test_galmoss_folder(real_data: Path) -> None:
    folder = real_data / "galmoss-sdss"
    cutouts = read_cutouts(folder, survey="sdss", bands=["r"])
    assert [name[:5] for name in cutouts.id] == ["J0928", "J1002", "J1621"]
    assert cutouts.frame == (128, 128)
    for i, name in enumerate(cutouts.id):
        sigma, mask = (fits.getdata(folder / f"{name}_{kind}.fits") for kind in ("sigma", "mask"))
        left_out = (mask != 0) & (mask != mask[64, 64])
        np.testing.assert_array_equal(cutouts.ivar[i, 0].numpy() == 0, left_out)
        np.testing.assert_allclose(cutouts.ivar[i, 0].numpy()[~left_out], sigma[~left_out] ** -2.0, rtol=1e-5)


@pytest.mark.parametrize(("telescope", "scale"), [("KiDS", 0.2), ("SDSS", 0.339)])
def test_profit_pairs(real_data: Path, telescope: str, scale: float) -> None:
    """Galaxies of different sizes; segmentation or mask, as the caller says."""
    folder = real_data / "kids-sdss-pairs" / telescope
    cutouts = read_cutouts(folder, pattern="profit", scale=scale, zeropoint=0.0)
    pattern = {"image": "{name}fitim.fits", "sigma": "{name}sigma.fits", "psf": "{name}psfim.fits"}
    masked = read_cutouts(folder, pattern={**pattern, "mask": "{name}mskim.fits"}, scale=scale, zeropoint=0.0)
    assert len(cutouts) == len(masked) == 10
    for i, name in enumerate(cutouts.id):
        segmentation, mask = (fits.getdata(folder / f"{name}{kind}.fits") for kind in ("segim", "mskim"))
        height, width = segmentation.shape
        other = (segmentation != 0) & (segmentation != segmentation[height // 2, width // 2])
        assert int((cutouts.ivar[i] > 0).sum()) == height * width - other.sum()
        assert int((masked.ivar[i] > 0).sum()) == height * width - (mask != 0).sum()


def test_pysersic_arrays(real_data: Path) -> None:
    cutouts = read_cutouts(real_data / "hsc-pysersic" / "examp_gals", survey="hsc", bands=["i"])
    assert cutouts.id.tolist() == ["gal1", "gal2", "gal3"]
    assert cutouts.frame == (121, 121)  # one of them has 120 pixels
    mask = np.load(real_data / "hsc-pysersic" / "examp_gals" / "gal2_mask.npy")
    np.testing.assert_array_equal(cutouts.ivar[1, 0].numpy() == 0, mask != 0)


@pytest.mark.parametrize(
    ("source", "count"),
    [("decals-rings", 267), ("decals-rings/labels.csv", 267), ("gz1-sdss", 4030), ("efigi/labels.csv", 2682)],
)
def test_picture_folders(real_data: Path, source: str, count: int) -> None:
    entries = list_cutouts(real_data / source)
    assert len(entries) >= count
    cutouts, broken = load_cutouts(entries[:20])
    assert cutouts is not None
    assert cutouts.bands == ("R", "G", "B")
    assert len(cutouts) + len(broken) == 20
    assert len(broken) <= 2
    assert not np.isfinite(cutouts.scale.numpy()).any()
