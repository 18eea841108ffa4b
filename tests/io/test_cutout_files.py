"""Cutouts from files: which files, which masks, what happens to broken ones."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

from rosse.cutouts import Cutouts
from rosse.errors import FileError, InputError, OptionError
from rosse.io import CutoutFiles, FieldPsf, list_cutouts, load_cutouts, loading, open_mosaic, read_cutouts

RNG = np.random.default_rng(5)
SIZE = 32


def stamp(size: int = SIZE, seed: int = 0) -> NDArray[np.float64]:
    y, x = np.indices((size, size)) - size // 2
    return np.asarray(np.random.default_rng(seed).normal(0, 1, (size, size)) + 50 * np.exp(-(x**2 + y**2) / 18))


PSF = np.exp(-(np.hypot(*(np.indices((11, 11)) - 5)) ** 2) / 4)
PSF /= PSF.sum()


def folder(path: Path, names: tuple[str, ...] = ("a", "b", "c"), sizes: tuple[int, ...] = (SIZE,) * 3) -> Path:
    """Galaxies as GALMOSS names them."""
    path.mkdir(exist_ok=True)
    for i, (name, size) in enumerate(zip(names, sizes, strict=True)):
        fits.writeto(path / f"{name}_image.fits", stamp(size, i))
        fits.writeto(path / f"{name}_sigma.fits", np.full((size, size), 1.0 + i))
        fits.writeto(path / f"{name}_psf.fits", PSF)
        mask = np.zeros((size, size), dtype=np.int16)
        mask[size // 2 - 4 : size // 2 + 4, size // 2 - 4 : size // 2 + 4] = 3
        mask[:2, :2] = 7
        fits.writeto(path / f"{name}_mask.fits", mask)
    return path


# --- naming patterns ---------------------------------------------------------------------------------------------


def test_folder_in_the_default_pattern(tmp_path: Path) -> None:
    cutouts = read_cutouts(folder(tmp_path / "g"), survey="sdss", bands=["r"])
    assert cutouts.id.tolist() == ["a", "b", "c"]
    assert cutouts.bands == ("r",)
    for i in range(3):
        np.testing.assert_array_equal(cutouts.flux[i, 0].numpy(), stamp(seed=i).astype("f4"))
    left_out = cutouts.ivar[:, 0] == 0
    assert left_out[:, :2, :2].all()  # another source of the segmentation
    assert left_out.sum() == 3 * 4  # the galaxy's own segment is kept
    np.testing.assert_allclose(cutouts.ivar[:, 0, 20, 3].numpy(), [1, 1 / 4, 1 / 9])
    assert cutouts.psf is not None
    np.testing.assert_allclose(cutouts.psf[0, 0].numpy(), PSF, atol=1e-7)
    assert cutouts.scale.tolist() == [0.396] * 3
    assert cutouts.zeropoint.tolist() == [22.5]


@pytest.mark.parametrize(("centre", "bad"), [(2, [1, 7]), (0, [1, 2, 7]), (7, [1, 2])])
def test_segmentation_with_any_value_at_the_centre(tmp_path: Path, centre: int, bad: list[int]) -> None:
    """GALMOSS's convention: the value at the centre is the galaxy, also if it is not 1; zero is sky."""
    segmentation = np.zeros((SIZE, SIZE), dtype=np.int32)
    for value, corner in ((1, 0), (2, 4), (7, 8)):
        segmentation[corner : corner + 3, :3] = value
    segmentation[SIZE // 2 - 2 : SIZE // 2 + 3, SIZE // 2 - 2 : SIZE // 2 + 3] = centre
    fits.writeto(tmp_path / "a_image.fits", stamp())
    fits.writeto(tmp_path / "a_sigma.fits", np.ones((SIZE, SIZE)))
    fits.writeto(tmp_path / "a_mask.fits", segmentation)
    cutouts = read_cutouts(tmp_path)
    np.testing.assert_array_equal(cutouts.ivar[0, 0].numpy() == 0, np.isin(segmentation, bad))


@pytest.mark.parametrize(("kind", "bits", "left_out"), [("bool", None, 12), ("bits", 2, 8), (None, 1, 4), (None, 2, 8)])
def test_masks_of_other_kinds(tmp_path: Path, kind: str | None, bits: int | None, left_out: int) -> None:
    mask = np.zeros((SIZE, SIZE), dtype=np.int16)
    mask[0, :4], mask[1, :8] = 1, 2
    fits.writeto(tmp_path / "a_image.fits", stamp())
    fits.writeto(tmp_path / "a_sigma.fits", np.ones((SIZE, SIZE)))
    fits.writeto(tmp_path / "a_mask.fits", mask)
    cutouts = read_cutouts(tmp_path, mask_kind=kind, mask_bits=bits)
    assert int((cutouts.ivar == 0).sum()) == left_out


def test_a_segmentation_read_as_mask_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_cutouts(folder(tmp_path / "g"), mask_kind="bool")
    assert caplog.text.count("say mask_kind='segmentation'") == 1


@pytest.mark.parametrize(
    "pattern",
    [
        {"image": "im/{name}.fits", "variance": "noise/{name}_var.fits"},
        {"image": "im/{name}.fits", "sigma": "noise/{name}_rms.fits"},
    ],
)
def test_patterns_over_folders(tmp_path: Path, pattern: dict[str, str]) -> None:
    (tmp_path / "im").mkdir()
    (tmp_path / "noise").mkdir()
    for i in range(3):
        fits.writeto(tmp_path / "im" / f"g{i}.fits", stamp(seed=i))
        fits.writeto(tmp_path / "noise" / f"g{i}_var.fits", np.full((SIZE, SIZE), 4.0))
        fits.writeto(tmp_path / "noise" / f"g{i}_rms.fits", np.full((SIZE, SIZE), 2.0))
    cutouts = read_cutouts(tmp_path, pattern=pattern)
    assert cutouts.id.tolist() == ["g0", "g1", "g2"]
    assert (cutouts.ivar == 0.25).all()
    assert cutouts.psf is None


def test_a_file_for_each_band(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for k, band in enumerate("zgr", start=1):
            fits.writeto(tmp_path / f"{name}-{band}.fits", k * stamp())
            fits.writeto(tmp_path / f"{name}-{band}.rms.fits", np.full((SIZE, SIZE), float(k)))
    pattern = {"image": "{name}-{band}.fits", "sigma": "{name}-{band}.rms.fits"}
    cutouts = read_cutouts(tmp_path, pattern=pattern, survey="decals")
    assert cutouts.bands == ("g", "r", "z")
    np.testing.assert_allclose(cutouts.ivar[1, :, 3, 3].numpy(), [1 / 4, 1 / 9, 1])
    np.testing.assert_array_equal(cutouts.flux[1, 1].numpy(), (3 * stamp()).astype("f4"))
    assert read_cutouts(tmp_path, pattern=pattern, bands=["r"]).bands == ("r",)


def test_numpy_files_by_their_pattern(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    np.save(tmp_path / "gal1_im.npy", stamp())
    np.save(tmp_path / "gal1_sig.npy", np.ones((SIZE, SIZE), dtype=">f4"))
    np.save(tmp_path / "gal1_mask.npy", np.eye(SIZE))
    np.save(tmp_path / "gal1_psf.npy", PSF)
    cutouts = read_cutouts(tmp_path)
    assert cutouts.id.tolist() == ["gal1"]
    assert int((cutouts.ivar == 0).sum()) == SIZE
    assert "its pattern is used" in caplog.text


def test_gzipped_and_fpacked_files(tmp_path: Path) -> None:
    fits.writeto(tmp_path / "a_image.fits.gz", stamp())
    fits.writeto(tmp_path / "a_sigma.fits.gz", np.ones((SIZE, SIZE)))
    fits.CompImageHDU(stamp().astype("f4"), quantize_level=0, compression_type="GZIP_1").writeto(
        tmp_path / "b_image.fits.fz"
    )
    fits.CompImageHDU(np.ones((SIZE, SIZE), "i2")).writeto(tmp_path / "b_sigma.fits.fz")
    cutouts = read_cutouts(tmp_path)
    assert cutouts.id.tolist() == ["a", "b"]
    np.testing.assert_array_equal(cutouts.flux[0].numpy(), cutouts.flux[1].numpy())


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ({"image": "a.fits"}, "lacks"),
        ({"sigma": "{name}.fits"}, "no template for the image"),
        ({"image": "{name}.fits", "simga": "{name}_s.fits"}, "did you mean 'sigma'"),
        ({"image": "{name}.fits", "sigma": "{name}_s.fits", "ivar": "{name}_i.fits"}, "sigma and ivar"),
        ("galmos", "did you mean 'galmoss'"),
    ],
)
def test_impossible_patterns(tmp_path: Path, pattern: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        list_cutouts(tmp_path, pattern=pattern)


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no images"):
        read_cutouts(tmp_path)
    with pytest.raises(FileError, match="no file that matches"):
        read_cutouts(tmp_path, pattern="{name}_sci.fits")


# --- lists of files ----------------------------------------------------------------------------------------------


def test_lists_find_what_lies_beside(tmp_path: Path) -> None:
    place = folder(tmp_path / "g")
    cutouts = read_cutouts([place / "c_image.fits", place / "a_image.fits"])
    assert cutouts.id.tolist() == ["c", "a"]
    assert cutouts.psf is not None
    assert int((cutouts.ivar[0] == 0).sum()) == 4
    assert read_cutouts(place / "b_image.fits").id.tolist() == ["b"]
    assert len(read_cutouts(str(place / "*_image.fits"))) == 3


def test_lists_with_templates_and_shared_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("x", "y"):
        fits.writeto(tmp_path / f"{name}.fits", stamp())
        fits.writeto(tmp_path / f"{name}.inv.fits", np.full((SIZE, SIZE), 3.0))
    fits.writeto(tmp_path / "shared_psf.fits", PSF)
    images = [tmp_path / "x.fits", tmp_path / "y.fits"]
    cutouts = read_cutouts(images, ivar="{name}.inv.fits", psf=tmp_path / "shared_psf.fits")
    assert cutouts.id.tolist() == ["x", "y"]
    assert (cutouts.ivar == 3).all()
    assert cutouts.psf is not None
    assert cutouts.psf.shape[0] == 1  # shared, not copied
    inverse = [tmp_path / "y.inv.fits", tmp_path / "x.inv.fits"]
    assert len(read_cutouts(images, ivar=inverse, psf=PSF)) == 2
    assert (read_cutouts(images, sigma=2.0, psf=FieldPsf.constant(PSF)).ivar == 0.25).all()
    with pytest.raises(OptionError, match="1 files came as ivar for 2 images"):
        read_cutouts(images, ivar=inverse[:1])
    monkeypatch.chdir(tmp_path)
    assert len(read_cutouts(["x.fits"], ivar="x.inv.fits", psf="shared_psf.fits")) == 1


def test_an_extension_is_no_glob(tmp_path: Path) -> None:
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(stamp(), name="S1"), fits.ImageHDU(2 * stamp(), name="S2")]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    for source in (f"{tmp_path}/a.fits[S2]", [f"{tmp_path}/a.fits[S2]"]):
        cutouts = read_cutouts(source, sigma=1.0)
        assert cutouts.id.tolist() == ["a[S2]"]
        np.testing.assert_array_equal(cutouts.flux[0, 0].numpy(), (2 * stamp()).astype("f4"))
    with pytest.raises(FileError, match="no file matches"):
        read_cutouts(f"{tmp_path}/b*.fits", sigma=1.0)


def test_noise_of_the_same_extension(tmp_path: Path) -> None:
    for name, factor in (("a", 1.0), ("a_rms", 0.5)):
        hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(factor * k * np.ones((SIZE, SIZE)), name=f"S{k}") for k in (1, 2))]
        fits.HDUList(hdus).writeto(tmp_path / f"{name}.fits")
    assert (read_cutouts(tmp_path / "a.fits", extension="S2", sigma="{name}_rms.fits").ivar == 1).all()


def test_packed_files_beside_packed_images(tmp_path: Path) -> None:
    for kind, data in (("image", stamp()), ("sigma", np.ones((SIZE, SIZE)))):
        fits.writeto(tmp_path / f"a_{kind}.fits.gz", data)
    assert read_cutouts([tmp_path / "a_image.fits.gz"]).id.tolist() == ["a"]
    fits.writeto(tmp_path / "a_image.fits", 3 * stamp())  # beside its packed copy: the plain one is read
    np.testing.assert_array_equal(read_cutouts(tmp_path).flux[0, 0].numpy(), (3 * stamp()).astype("f4"))


def test_templates_with_bands(tmp_path: Path) -> None:
    for k, band in enumerate("gr", start=1):
        fits.writeto(tmp_path / f"a_{band}.fits", stamp())
        fits.writeto(tmp_path / f"a_{band}.rms.fits", np.full((SIZE, SIZE), float(k)))
    cutouts = read_cutouts(tmp_path, pattern="{name}_{band}.fits", sigma="{name}_{band}.rms.fits")
    assert cutouts.bands == ("g", "r")
    np.testing.assert_allclose(cutouts.ivar[0, :, 0, 0].numpy(), [1, 0.25])


def test_one_psf_and_one_sigma_for_all_bands_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fits.writeto(tmp_path / "a.fits", np.stack([stamp(), stamp()]), fits.Header({"BANDS": "gr"}))
    fits.writeto(tmp_path / "s.fits", np.ones((SIZE, SIZE)))
    cutouts = read_cutouts(tmp_path / "a.fits", sigma=tmp_path / "s.fits", psf=PSF)
    assert cutouts.psf is not None
    assert cutouts.psf.shape == (1, 2, 11, 11)
    assert "one PSF serves for all bands (g, r)" in caplog.text
    assert "one sigma serves for all bands (g, r)" in caplog.text


def test_everything_in_one_file(tmp_path: Path) -> None:
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(stamp(), name="SCI"),
        fits.ImageHDU(np.full((SIZE, SIZE), 2.0), name="ERR"),
    ]
    hdus += [fits.ImageHDU(np.eye(SIZE, dtype="i2"), name="DQ"), fits.ImageHDU(PSF, name="PSF")]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    cutouts = read_cutouts(tmp_path / "a.fits", sigma="{image}[ERR]", mask="{image}[DQ]", psf="{image}[PSF]")
    assert int((cutouts.ivar == 0.25).sum()) == SIZE**2 - SIZE
    assert cutouts.psf is not None
    again = read_cutouts(tmp_path / "a.fits", sigma="{image}", mask="{image}", psf="{image}")
    assert torch.equal(again.ivar, cutouts.ivar)
    with pytest.raises(FileError, match="both the image and its sigma"):
        read_cutouts(tmp_path / "a.fits", sigma="{image}[SCI]")


def test_ids_that_come_twice(tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder(tmp_path / name)
    with pytest.raises(InputError, match="more than once: a; give a manifest"):
        list_cutouts([tmp_path / "one" / "a_image.fits", tmp_path / "two" / "a_image.fits"])


# --- manifests ---------------------------------------------------------------------------------------------------


def manifest(tmp_path: Path, **columns: Any) -> pd.DataFrame:
    folder(tmp_path / "g")
    names = ["a", "b", "c"]
    table: dict[str, Any] = {
        "id": ["588848901532418163", "588848901532418164", "0012"],
        **{role: [f"g/{n}_{role}.fits" for n in names] for role in ("image", "sigma", "psf", "mask")},
    }
    return pd.DataFrame(table | columns)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_manifests(tmp_path: Path, suffix: str) -> None:
    table = manifest(tmp_path, ra=[10.0, 20.0, 30.0], dec=[-1.0, 0.0, 1.0], scale=[0.2, 0.3, 0.4], label=["x", "", "z"])
    path = tmp_path / f"m.{suffix}"
    if suffix == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="," if suffix == "csv" else "\t")
    cutouts = read_cutouts(path, mask_kind="segmentation", zeropoint=25.0, scale=9.0)
    assert cutouts.id.tolist() == ["588848901532418163", "588848901532418164", "0012"]  # 18 digits, leading zeros
    assert cutouts.ra.tolist() == [10, 20, 30]
    assert cutouts.scale.tolist() == [0.2, 0.3, 0.4]
    assert cutouts.zeropoint.tolist() == [25.0]
    assert int((cutouts.ivar == 0).sum()) == 12


def test_manifest_of_a_spreadsheet(tmp_path: Path) -> None:
    """A byte order mark, blanks around the commas, Windows line ends."""
    manifest(tmp_path)
    text = "id, image, sigma, note\r\nx, g/a_image.fits, g/a_sigma.fits, é\r\n"
    (tmp_path / "m.csv").write_bytes(text.encode("utf-8-sig"))
    assert read_cutouts(tmp_path / "m.csv").id.tolist() == ["x"]


def test_integer_ids_of_parquet(tmp_path: Path) -> None:
    table = manifest(tmp_path, id=np.array([588848901532418163, 2**62, 3], dtype=np.int64))
    table.to_parquet(tmp_path / "m.parquet")
    assert list_cutouts(tmp_path / "m.parquet")[1].id == str(2**62)


def test_manifest_with_columns_for_bands(tmp_path: Path) -> None:
    for band in "gr":
        fits.writeto(tmp_path / f"{band}.fits", stamp())
        fits.writeto(tmp_path / f"{band}_w.fits", np.ones((SIZE, SIZE)))
    row = {"id": "x", "image_g": "g.fits", "image_r": "r.fits", "ivar_g": "g_w.fits", "ivar_r": "r_w.fits"}
    pd.DataFrame([row]).to_csv(tmp_path / "m.csv", index=False)
    cutouts = read_cutouts(tmp_path / "m.csv")
    assert cutouts.bands == ("g", "r")
    assert (cutouts.ivar == 1).all()
    pd.DataFrame([{k: v for k, v in row.items() if k != "ivar_r"}]).to_csv(tmp_path / "n.csv", index=False)
    with pytest.raises(InputError, match="lacks the column ivar_r"):
        read_cutouts(tmp_path / "n.csv")


def test_manifest_with_different_zero_points(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest(tmp_path, zeropoint=[25.0, 27.5, 25.0]).to_csv(tmp_path / "m.csv", index=False)
    cutouts = read_cutouts(tmp_path / "m.csv", mask_kind="segmentation")
    assert "zero points run from 25 to 27.5" in caplog.text
    assert cutouts.zeropoint.tolist() == [25.0]
    # one flux unit of the second is 2.5 mag fainter, so it counts a tenth; its S/N does not change
    np.testing.assert_allclose(cutouts.flux[1, 0].numpy(), stamp(seed=1) / 10, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(cutouts.ivar[1, 0, 20, 20], 100 / 4, rtol=1e-5)
    # alone, as in another chunk of a run, it comes in the same unit
    alone, _ = load_cutouts(list_cutouts(tmp_path / "m.csv", mask_kind="segmentation")[1:2])
    assert alone is not None
    assert torch.equal(alone.flux, cutouts[1].flux)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["a", "a", "b"]}, "more than once: a"),
        ({"id": ["a", "", "b"]}, "empty in row 2"),
        ({"ivar": ["x.fits"] * 3}, "sigma and ivar"),
    ],
)
def test_impossible_manifests(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    manifest(tmp_path, **columns).to_csv(tmp_path / "m.csv", index=False)
    with pytest.raises(InputError, match=message):
        list_cutouts(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("imgae", "image"), ("sigma_file", "sigma"), ("rms", "sigma"), ("PSF_FITS", "psf"), ("zero_point", "zeropoint")],
)
def test_columns_that_were_meant_are_named(
    tmp_path: Path, wrong: str, right: str, caplog: pytest.LogCaptureFixture
) -> None:
    table = manifest(tmp_path, zeropoint=[22.5] * 3).rename(columns={right: wrong})
    table.to_csv(tmp_path / "m.csv", index=False)
    if right in ("image", "sigma"):
        with pytest.raises(InputError, match="rename 'imgae' to 'image'" if right == "image" else "no noise came"):
            list_cutouts(tmp_path / "m.csv")
    else:
        list_cutouts(tmp_path / "m.csv")
    assert f"its column '{wrong}' is not used; did you mean '{right}'?" in caplog.text


def test_columns_of_a_catalogue_are_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    others = {name: [1.0, 2.0, 3.0] for name in ("mass", "size", "deg", "z", "RA_ERR", "mag_r", "class", "sigma_file")}
    manifest(tmp_path, **others).to_csv(tmp_path / "m.csv", index=False)
    list_cutouts(tmp_path / "m.csv")
    assert not caplog.records


def test_capital_letters_of_columns_do_not_matter(tmp_path: Path) -> None:
    table = manifest(tmp_path, RA=[10.0, 20.0, 30.0], Dec=[-1.0, 0.0, 1.0], X=[5.0] * 3)
    table.rename(columns={"image": "Image", "id": "ID"}).to_csv(tmp_path / "m.csv", index=False)
    entries = list_cutouts(tmp_path / "m.csv")
    assert [entry.ra for entry in entries] == [10, 20, 30]
    assert entries[2].id == "0012"
    assert np.isnan(entries[0].x)  # of which image, and counted from where, nobody knows


def test_numbers_that_are_none_cost_one_galaxy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = manifest(tmp_path, ra=["10", "12:00", "3"], dec=[1, 2, 3], scale=[0.2, 0.2, "small"])
    table.to_csv(tmp_path / "m.csv", index=False)
    cutouts, broken = load_cutouts(list_cutouts(tmp_path / "m.csv"))
    assert cutouts is not None
    assert cutouts.id.tolist() == table["id"].tolist()[:2]
    np.testing.assert_array_equal(cutouts.ra, [10, np.nan])
    assert "m.csv: ra is no number of degrees: row 2 '12:00'; the position is" in caplog.text
    assert [one.reason for one in broken] == ["scale is 'small' in m.csv; a number is wanted"]


def test_manifest_without_images(tmp_path: Path) -> None:
    pd.DataFrame({"id": ["a"], "class": ["spiral"]}).to_csv(tmp_path / "m.csv", index=False)
    with pytest.raises(InputError, match="no image column"):
        list_cutouts(tmp_path / "m.csv")
    (tmp_path / "n.csv").write_text("")
    with pytest.raises(FileError, match="cannot be read as a table"):
        list_cutouts(tmp_path / "n.csv")
    with pytest.raises(FileError, match="no such file"):
        list_cutouts(tmp_path / "gone.csv")


# --- broken files ------------------------------------------------------------------------------------------------


def test_broken_files_are_named_and_the_rest_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = tuple("abcdefgh")
    place = folder(tmp_path / "g", names, (SIZE,) * 8)
    (place / "a_sigma.fits").unlink()
    (place / "b_image.fits").unlink()
    (place / "c_image.fits").write_bytes((place / "c_image.fits").read_bytes()[:5000])
    fits.writeto(place / "d_mask.fits", np.zeros((5, 5)), overwrite=True)
    sigma = np.ones((SIZE, SIZE))
    sigma[3, 4:7] = 0, -1, np.nan
    fits.writeto(place / "e_sigma.fits", sigma, overwrite=True)
    fits.writeto(place / "f_psf.fits", np.zeros((11, 11)), overwrite=True)
    (place / "g_image.fits").write_text("not a fits file")
    cutouts, broken = load_cutouts(list_cutouts(place))
    assert cutouts is not None
    assert cutouts.id.tolist() == ["h"]
    reasons = {one.id: one.reason for one in broken}
    assert sorted(reasons) == list("abcdefg")
    for name, part in {
        "a": "a_sigma.fits: there is no such file", "b": "b_image.fits: there is no such file", "c": "truncated",
        "d": "5 x 5", "e": "zero, negative or NaN in 3 pixels", "f": "sums to 0", "g": "cannot be read as FITS",
    }.items():  # fmt: skip
        assert part in reasons[name], reasons[name]
    assert read_cutouts(place).id.tolist() == ["h"]
    assert "7 of 8 cutouts could not be read: a:" in caplog.text
    assert "also f, g" in caplog.text
    with pytest.raises(FileError, match="7 of 8"):
        read_cutouts(place, skip_broken=False)
    (place / "h_image.fits").unlink()
    with pytest.raises(FileError, match="8 of 8"):
        read_cutouts(place)


def test_errors_of_other_kinds_are_of_one_galaxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = list_cutouts(folder(tmp_path / "g"))
    load = loading._load

    def fragile(entry: CutoutFiles) -> Cutouts:
        if entry.id == "b":
            raise ZeroDivisionError("in some decompressor")
        return load(entry)

    monkeypatch.setattr(loading, "_load", fragile)
    cutouts, broken = load_cutouts(entries)
    assert cutouts is not None
    assert cutouts.id.tolist() == ["a", "c"]
    assert broken[0].reason == "ZeroDivisionError: in some decompressor"


def test_nothing_readable() -> None:
    cutouts, broken = load_cutouts(list_cutouts(["nowhere/a.fits"], sigma=1.0))
    assert cutouts is None
    assert [one.id for one in broken] == ["a"]


def test_nan_pixels_and_masked_noise(tmp_path: Path) -> None:
    image, sigma = stamp(), np.ones((SIZE, SIZE))
    image[3, 4] = np.nan
    sigma[3, 4] = np.nan  # no noise is wanted where there is no flux, nor where the mask is
    sigma[5, 6] = -1
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[5, 6] = True
    for name, data in (("image", image), ("sigma", sigma), ("mask", mask.astype("i2"))):
        fits.writeto(tmp_path / f"a_{name}.fits", data)
    ivar = read_cutouts(tmp_path, mask_kind="bool").ivar[0, 0]
    assert int((ivar == 0).sum()) == 2


def test_all_nan_cutout_is_read(tmp_path: Path) -> None:
    """It carries no weight: the fit says so; reading is not where it fails."""
    fits.writeto(tmp_path / "a_image.fits", np.full((SIZE, SIZE), np.nan))
    fits.writeto(tmp_path / "a_sigma.fits", np.ones((SIZE, SIZE)))
    assert not read_cutouts(tmp_path).ivar.any()


def test_different_sizes_are_padded(tmp_path: Path) -> None:
    cutouts = read_cutouts(folder(tmp_path / "g", ("a", "b", "c"), (20, 33, 26)))
    assert cutouts.frame == (33, 33)
    for i, size in enumerate((20, 33, 26)):
        start = 33 // 2 - size // 2
        inner = slice(start, start + size)
        np.testing.assert_array_equal(cutouts.flux[i, 0, inner, inner].numpy(), stamp(size, i).astype("f4"))
        assert cutouts.corner[i].tolist() == [-start, -start]
        assert int((cutouts.ivar[i] > 0).sum()) == size**2 - 4


# --- noise -------------------------------------------------------------------------------------------------------


def test_noise_is_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fits.writeto(tmp_path / f"{name}_image.fits", stamp())
    with pytest.raises(InputError, match=r"no noise came for 2 of 2 cutouts.*estimate_noise=True"):
        read_cutouts(tmp_path)
    with pytest.raises(OptionError, match="sigma and variance came"):
        read_cutouts(tmp_path, sigma=1.0, variance=1.0)


@pytest.mark.parametrize("gain", [None, 2.0])
def test_noise_is_measured(tmp_path: Path, gain: float | None, caplog: pytest.LogCaptureFixture) -> None:
    y, x = np.indices((101, 101)) - 50
    galaxy = 500 * np.exp(-np.hypot(x, y) / 6)
    image = galaxy + np.random.default_rng(2).normal(30.0, 3.0, galaxy.shape)
    fits.writeto(tmp_path / "a_image.fits", image)
    cutouts = read_cutouts(tmp_path, estimate_noise=True, gain=gain)
    variance = 1 / cutouts.ivar[0, 0].numpy()
    assert np.median(variance[:5]) == pytest.approx(9, rel=0.25)
    centre = 9 + (500 / gain if gain else 0)
    assert variance[50, 50] == pytest.approx(centre, rel=0.1)
    assert caplog.text.count("the noise is measured from the sky") == 1


def test_weights_are_scaled(tmp_path: Path) -> None:
    image = np.random.default_rng(2).normal(0, 3.0, (101, 101))
    fits.writeto(tmp_path / "a.fits", image)
    fits.writeto(tmp_path / "a_w.fits", np.full(image.shape, 17.0))
    cutouts = read_cutouts(tmp_path / "a.fits", weight="{name}_w.fits")
    assert cutouts.ivar.mean() == pytest.approx(1 / 9, rel=0.05)


# --- PSFs, bands, coordinates --------------------------------------------------------------------------------------


def test_a_psf_that_varies_is_taken_at_the_galaxy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    y, x = np.indices((15, 15)) - 7
    wide, narrow = (np.exp(-(x**2 + y**2) / (2 * s**2)) / (2 * np.pi * s**2) for s in (2.0, 1.5))
    psf = FieldPsf(basis=np.array([[narrow, wide - narrow, np.zeros_like(wide)]]), degree=1, x_scale=1000.0)
    psf.to_fits(tmp_path / "field.psf")
    for name in ("a", "b"):
        fits.writeto(tmp_path / f"{name}.fits", stamp())
    rows = {"id": ["a", "b"], "image": ["a.fits", "b.fits"], "x": [0, 1000], "y": [5, 5], "psf": ["field.psf"] * 2}
    pd.DataFrame(rows).to_csv(tmp_path / "m.csv", index=False)
    cutouts = read_cutouts(tmp_path / "m.csv", sigma=1.0)
    assert cutouts.psf is not None
    np.testing.assert_allclose(cutouts.psf[0, 0].numpy(), narrow / narrow.sum(), atol=1e-7)
    np.testing.assert_allclose(cutouts.psf[1, 0].numpy(), wide / wide.sum(), atol=1e-7)
    assert "psf" not in caplog.text.lower()
    read_cutouts([tmp_path / "a.fits", tmp_path / "b.fits"], sigma=1.0, psf=tmp_path / "field.psf")
    assert caplog.text.count("taken at the middle") == 1


def test_psfs_that_do_not_sum_to_one_are_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = folder(tmp_path / "g")
    for name in "abc":
        fits.writeto(place / f"{name}_psf.fits", 3 * PSF, overwrite=True)
    cutouts = read_cutouts(place)
    assert cutouts.psf is not None
    np.testing.assert_allclose(cutouts.psf.sum((2, 3)).numpy(), 1, atol=1e-6)
    assert caplog.text.count("does not sum to one") == 1


def test_psf_of_any_size(tmp_path: Path) -> None:
    place = folder(tmp_path / "g")
    big = np.pad(PSF, 30)
    fits.writeto(place / "a_psf.fits", big, overwrite=True)  # larger than the image
    fits.writeto(place / "b_psf.fits", PSF[:-1, :-1], overwrite=True)  # even: the centre is pixel 5 of 10
    cutouts = read_cutouts(place)
    assert cutouts.psf is not None
    assert cutouts.psf.shape == (3, 1, 71, 71)
    assert [int(p.argmax()) for p in cutouts.psf[:, 0]] == [35 * 71 + 35] * 3


def test_missing_psf_of_one_galaxy(tmp_path: Path) -> None:
    place = folder(tmp_path / "g")
    (place / "b_psf.fits").unlink()
    _, broken = load_cutouts(list_cutouts(place))
    assert [one.id for one in broken] == ["b"]


def test_cutouts_know_where_they_are(tmp_path: Path) -> None:
    header = fits.Header(
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": SIZE // 2 + 1.0,
         "CRPIX2": SIZE // 2 + 1.0, "CD1_1": 0.0, "CD1_2": 1e-4, "CD2_1": 1e-4, "CD2_2": 0.0}
    )  # fmt: skip
    fits.writeto(tmp_path / "a.fits", stamp(), header)
    cutouts = read_cutouts(tmp_path / "a.fits", sigma=1.0)
    assert cutouts.ra.tolist() == [pytest.approx(150.0)]
    assert cutouts.dec.tolist() == [pytest.approx(2.0)]
    assert cutouts.scale.tolist() == [pytest.approx(0.36)]
    assert cutouts.north.tolist() == [pytest.approx(0.0, abs=1e-6)]  # north along +x, east along +y
    assert cutouts.parity.tolist() == [1.0]


def test_header_zero_points_that_differ(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, zero in (("a", 25.0), ("b", 27.5)):
        fits.writeto(tmp_path / f"{name}.fits", stamp(), fits.Header({"MAGZP": zero}))
    cutouts = read_cutouts([tmp_path / "a.fits", tmp_path / "b.fits"], sigma=1.0)
    assert cutouts.zeropoint.tolist() == [22.5]
    np.testing.assert_allclose(cutouts.flux[:, 0].numpy(), [stamp() / 10, stamp() / 100], rtol=1e-5, atol=1e-6)
    assert "zero points differ" in caplog.text


def test_other_bands_than_the_first_galaxy(tmp_path: Path) -> None:
    fits.writeto(tmp_path / "a.fits", np.stack([stamp()] * 2), fits.Header({"BANDS": "gr"}))
    fits.writeto(tmp_path / "b.fits", np.stack([stamp()] * 2), fits.Header({"BANDS": "gz"}))
    _, broken = load_cutouts(list_cutouts([tmp_path / "a.fits", tmp_path / "b.fits"], sigma=1.0))
    assert "it has bands g, z, the first galaxy bands g, r" in broken[0].reason


def test_entries_go_to_other_processes(tmp_path: Path) -> None:
    entries = list_cutouts(folder(tmp_path / "g"), survey="sdss", psf=PSF)
    here, there = load_cutouts(entries)[0], load_cutouts(pickle.loads(pickle.dumps(entries)))[0]
    assert here is not None
    assert there is not None
    assert torch.equal(here.flux, there.flux)
    assert here.id.tolist() == there.id.tolist()


# --- pictures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGB", "png"), ("L", "png"), ("RGBA", "png"), ("RGB", "jpg"), ("P", "png")]
)
def test_pictures(tmp_path: Path, mode: str, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 60, (24, 20, 3)).astype(np.uint8)
    for name in ("p1", "p2"):
        Image.fromarray(pixels).convert(mode).save(tmp_path / f"{name}.{suffix}")
    (tmp_path / "labels.csv").write_text("objid,ra,dec,class\np1,10,20,spiral\np2,11,21,ring\n")
    cutouts = read_cutouts(tmp_path, survey="sdss" if mode == "L" else None)
    assert cutouts.id.tolist() == ["p1", "p2"]
    assert cutouts.ra.tolist() == [10, 11]
    assert cutouts.bands == (("band",) if mode == "L" else ("R", "G", "B"))
    assert cutouts.psf is None
    assert bool(torch.isnan(cutouts.scale).all())
    if mode in ("RGB", "RGBA") and suffix == "png":
        np.testing.assert_array_equal(cutouts.flux[0].numpy(), pixels[::-1].transpose(2, 0, 1))
    assert (cutouts.ivar > 0).all()
    assert caplog.text.count("the noise is measured from the sky") == 1


def test_black_pictures_and_broken_ones(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((24, 20), np.uint8)).save(tmp_path / "black.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "black.png").read_bytes()[:40])
    (tmp_path / "text.jpg").write_text("hello")
    cutouts, broken = load_cutouts(list_cutouts(tmp_path))
    assert cutouts is not None
    np.testing.assert_allclose(cutouts.ivar.numpy(), 12.0)  # a step of one grey level, uniformly distributed
    assert [one.id for one in broken] == ["cut", "text"]


def test_pictures_found_by_their_ids(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((24, 20), np.uint8)).save(tmp_path / "images" / "588848901532418163.jpg")
    (tmp_path / "labels.csv").write_text("objid,class\n588848901532418163,spiral\n588848901532418164,ring\n")
    cutouts, broken = load_cutouts(list_cutouts(tmp_path / "labels.csv"))
    assert cutouts is not None
    assert cutouts.id.tolist() == ["588848901532418163"]
    assert [one.id for one in broken] == ["588848901532418164"]
    assert "pictures are found by objid" in caplog.text


# --- what is left out on purpose, given by band, or not there at all -----------------------------------------------


def test_no_psf_and_no_mask_whatever_lies_beside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    galaxies = folder(tmp_path / "g")
    assert read_cutouts(galaxies, psf=False).psf is None
    images = sorted(galaxies.glob("*_image.fits"))
    assert read_cutouts(images, psf=False).psf is None
    assert (read_cutouts(galaxies, mask=False).ivar > 0).all()
    assert not caplog.records
    for file in galaxies.glob("*_psf.fits"):
        file.unlink()
    assert read_cutouts(galaxies).psf is None
    assert [record.message for record in caplog.records] == [
        "a: no PSF came; the model is not blurred, so that sizes are those of the blurred galaxy"
    ]


def test_an_image_for_each_band(tmp_path: Path) -> None:
    galaxies = folder(tmp_path / "g")
    image = {"g": galaxies / "a_image.fits", "r": galaxies / "b_image.fits"}
    sigma = {"r": galaxies / "b_sigma.fits", "g": galaxies / "a_sigma.fits"}
    cutouts = read_cutouts(image, sigma=sigma, psf=dict.fromkeys("gr", galaxies / "a_psf.fits"))
    assert cutouts.bands == ("g", "r")
    assert cutouts.id.tolist() == ["a"]
    np.testing.assert_allclose(cutouts.ivar[0, :, 5, 5].numpy(), [1.0, 0.25])
    with pytest.raises(OptionError, match="sigma lacks a file for band r; it has g"):
        read_cutouts(image, sigma={"g": galaxies / "a_sigma.fits"})
    with pytest.raises(OptionError, match="nobody says which bands the images have"):
        read_cutouts(galaxies / "a_image.fits", sigma=sigma)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="there is no such file or folder"):
        read_cutouts(tmp_path / "nothing")


@pytest.mark.parametrize("value", [0.0, -2.0])
def test_impossible_gains(tmp_path: Path, value: float) -> None:
    with pytest.raises(OptionError, match=r"gain is -?[02]; a positive number is wanted"):
        list_cutouts(folder(tmp_path / "g"), gain=value)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("what", ["scale", "sigma", "ivar", "variance", "weight"])
def test_impossible_numbers_are_refused_before_a_file_is_read(tmp_path: Path, what: str, value: float) -> None:
    fits.writeto(tmp_path / "a.fits", stamp())
    with pytest.raises(OptionError, match=rf"{what} is (0|-1|nan|inf); a positive number"):
        list_cutouts(tmp_path / "a.fits", **{"sigma": 1.0, what: value} if what == "scale" else {what: value})


def test_a_map_named_for_a_band_that_the_image_does_not_name(tmp_path: Path) -> None:
    for name in ("a", "w"):
        fits.writeto(tmp_path / f"{name}.fits", np.ones((SIZE, SIZE)))
    with pytest.raises(InputError, match=r"ivar is given for band r, but the image's band has no name; .*--bands r"):
        open_mosaic(tmp_path / "a.fits", ivar={"r": tmp_path / "w.fits"})


# --- units of flux ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [25, -19, -30])
@pytest.mark.parametrize("kind", ["sigma", "variance", "ivar"])
def test_any_unit_of_flux(tmp_path: Path, kind: str, exponent: int, caplog: pytest.LogCaptureFixture) -> None:
    """What an image in erg/s/cm^2/Hz holds is beyond float32: S/N and magnitudes are those of any other unit."""
    unit, power = 10.0**exponent, {"sigma": 1, "variance": 2, "ivar": -2}[kind]
    fits.writeto(tmp_path / "a.fits", stamp() * unit)
    fits.writeto(tmp_path / "n.fits", np.full((SIZE, SIZE), unit**power))
    read = read_cutouts([tmp_path / "a.fits"], **{kind: tmp_path / "n.fits"}, zeropoint=2.5 * exponent)
    truth = read_cutouts([tmp_path / "a.fits"], sigma=unit, zeropoint=2.5 * exponent)
    for cutouts in (read, truth):
        np.testing.assert_allclose((cutouts.flux * cutouts.ivar.sqrt())[0, 0].numpy(), stamp(), rtol=1e-5, atol=1e-6)
        mag = cutouts.zeropoint[0] - 2.5 * torch.log10(cutouts.flux.double().sum())
        assert float(mag) == pytest.approx(-2.5 * np.log10(stamp().sum()), abs=1e-4)
        assert 1e-6 < float(cutouts.ivar.median()) ** -0.5 < 1e6
    assert "fluxes are given in units of 1e" in caplog.text
    with pytest.raises(FileError, match=r"beyond single precision; tell its zero point"):
        read_cutouts([tmp_path / "a.fits"], **{kind: tmp_path / "n.fits"})


@pytest.mark.parametrize("unit", [1e25, 1e-30])
def test_a_mosaic_in_a_unit_beyond_single_precision_is_refused(unit: float) -> None:
    mosaic = open_mosaic(stamp() * unit, sigma=np.full((SIZE, SIZE), unit))
    with pytest.raises(InputError, match=r"the noise is 1.0e[+-]\d\d in the image's unit of flux, beyond single"):
        mosaic.section(slice(None), slice(None))
    nothing = open_mosaic(stamp(), sigma=np.zeros((SIZE, SIZE)))
    assert nothing.section(slice(None), slice(None)).bad.all()


def test_units_of_flux_that_differ_by_far_are_brought_to_one(tmp_path: Path) -> None:
    for name, exponent in (("a", 0), ("b", -30)):
        fits.writeto(tmp_path / f"{name}.fits", stamp() * 10.0**exponent)
        fits.writeto(tmp_path / f"{name}_s.fits", np.full((SIZE, SIZE), 10.0**exponent))
    lines = "a,a.fits,a_s.fits,22.5\nb,b.fits,b_s.fits,-52.5\n"
    (tmp_path / "m.csv").write_text("id,image,sigma,zeropoint\n" + lines)
    cutouts = read_cutouts(tmp_path / "m.csv")
    assert torch.allclose(cutouts.flux[0], cutouts.flux[1], rtol=1e-5)
    assert torch.allclose(cutouts.ivar[0], cutouts.ivar[1], rtol=1e-5)


def test_a_psf_finer_than_the_image_is_used_as_it_is(tmp_path: Path) -> None:
    fine = np.exp(-0.5 * ((np.mgrid[:21, :21] - 10) ** 2).sum(0) / 4.0)
    fits.writeto(tmp_path / "psf.fits", fine)
    fits.writeto(tmp_path / "a.fits", np.random.default_rng(0).normal(0, 1, (24, 24)))
    read = read_cutouts(tmp_path / "a.fits", sigma=1.0, psf=tmp_path / "psf.fits", psf_oversampling=3)
    assert read.psf_oversampling == 3
    np.testing.assert_allclose(read.psf[0, 0], fine / fine.sum(), rtol=1e-5)
    with pytest.raises(OptionError, match="psf_oversampling is 0; a whole number"):
        read_cutouts(tmp_path / "a.fits", sigma=1.0, psf=tmp_path / "psf.fits", psf_oversampling=0)
