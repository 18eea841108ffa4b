"""PSFs from files. Truth: GalSim's reader of PSFEx models, analytic profiles."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import galsim
import numpy as np
import pytest
from astropy.io import fits
from galsim.des import DES_PSFEx
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rosse.errors import FileError, InputError, OptionError
from rosse.io import FieldPsf, read_psf

EXPOSURES = "legacy-exposures"


def moffat(size: int, fwhm: float = 4.0, scale: float = 1.0, ellipticity: float = 0.0) -> NDArray[np.float64]:
    """A round or elliptical Moffat stamp drawn by GalSim, centred on pixel size // 2."""
    profile = galsim.Convolve(galsim.Moffat(beta=3, fwhm=fwhm).shear(g1=ellipticity), galsim.Pixel(1.0))
    shift = galsim.PositionD(0.5 * scale, 0.5 * scale) if size % 2 == 0 else galsim.PositionD(0, 0)
    image = profile.drawImage(nx=size, ny=size, scale=scale, method="no_pixel", offset=shift / scale)
    return np.asarray(image.array, dtype=np.float64)


def galsim_stamp(path: Path, x: float, y: float, size: int) -> NDArray[np.float64]:
    """PSF at a position (from 0) as GalSim draws it from a PSFEx file, unit sum."""
    profile = DES_PSFEx(str(path)).getPSF(galsim.PositionD(x + 1, y + 1))
    image = profile.drawImage(nx=size, ny=size, scale=1.0, method="no_pixel").array.astype(np.float64)
    return np.asarray(image / image.sum())


def field(sampling: float = 0.6, degree: int = 2, size: int = 33, seed: int = 1) -> FieldPsf:
    """A PSF that varies over a field of 2000 pixels, sampled at `sampling`."""
    rng = np.random.default_rng(seed)
    basis = [moffat(size, scale=sampling)]
    for _ in range((degree + 1) * (degree + 2) // 2 - 1):
        basis.append(0.1 * (moffat(size, scale=sampling, ellipticity=rng.uniform(-0.5, 0.5)) - basis[0]))
    return FieldPsf(basis=np.array(basis)[None], degree=degree, x_zero=1000.0, y_zero=900.0, x_scale=800.0,
                    y_scale=700.0, sampling=sampling)  # fmt: skip


@pytest.mark.parametrize("sampling", [0.5, 0.75, 1.0, 1.3])
@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (1900.0, 30.5), (1000.0, 1999.0)])
def test_our_files_are_psfex_files(tmp_path: Path, sampling: float, x: float, y: float) -> None:
    psf = field(sampling)
    psf.to_fits(tmp_path / "a.psf")
    ours = psf.at(x, y)[0, 0]
    theirs = galsim_stamp(tmp_path / "a.psf", x, y, ours.shape[0])
    assert np.abs(ours - theirs).max() < 2e-4 * theirs.max()


@pytest.mark.parametrize(
    "pattern",
    [
        "mzlsbass3/calib/90prime/psfex/*/*/*.fits",
        "mzlsbass3/calib/mosaic/psfex/*/*/*.fits",
        "testcase3/calib/psfex-single/decam/*/*/*/*/*.fits",
        "testcase6/calib/psfex/decam/*/*/*/*.fits",
    ],
)
def test_survey_models_against_galsim(real_data: Path, tmp_path: Path, pattern: str) -> None:
    """Bok, Mosaic3 and DECam models of the Legacy Surveys at several places: 1e-4 of the peak.

    GalSim wants header cards that these tables do not have, so it reads the file that `to_fits` writes; that the
    coefficients in it are those of the survey's file is checked as well.
    """
    paths = sorted((real_data / EXPOSURES).glob(pattern))[:2]
    assert paths
    for path in paths:
        psf = read_psf(path)
        with fits.open(path) as hdus:
            np.testing.assert_array_equal(psf.basis[0], hdus[1].data["psf_mask"][0])
        psf.to_fits(tmp_path / "a.psf")
        for x, y in ((0, 0), (1000, 3000), (2047, 30.5)):
            ours = psf.at(x, y)[0, 0]
            theirs = galsim_stamp(tmp_path / "a.psf", x, y, ours.shape[0])
            assert ours.sum() == pytest.approx(1, abs=1e-5)
            assert np.abs(ours - theirs).max() < 1e-4 * theirs.max()


def test_resampling_keeps_the_profile() -> None:
    """A Moffat sampled finely comes out as the Moffat drawn on pixels: truth that is not an interpolation."""
    psf = FieldPsf(basis=moffat(81, scale=0.4)[None, None], sampling=0.4)
    ours = psf.at(0, 0)[0, 0]
    truth = moffat(ours.shape[0])
    assert ours.shape == (33, 33)
    assert np.abs(ours - truth / truth.sum()).max() < 1e-3 * ours.max()


def test_positions_start_at_zero(tmp_path: Path) -> None:
    """POLZERO counts pixels from 1, as FITS does; `at` from 0."""
    field().to_fits(tmp_path / "a.psf")
    assert fits.getheader(tmp_path / "a.psf", 1)["POLZERO1"] == 1001.0
    assert read_psf(tmp_path / "a.psf").x_zero == 1000.0


def test_round_trip_is_exact(tmp_path: Path) -> None:
    psf = FieldPsf(basis=np.concatenate([field(seed=1).basis, field(seed=2).basis]), degree=2, x_zero=3.7,
                   x_scale=1 / 3, sampling=0.6, has_pixel=False, bands=("g", "r"))  # fmt: skip
    psf.to_fits(tmp_path / "a.psf")
    back = read_psf(tmp_path / "a.psf")
    np.testing.assert_array_equal(back.basis, psf.basis)
    for name in ("degree", "x_zero", "y_zero", "x_scale", "y_scale", "sampling", "has_pixel", "bands"):
        assert getattr(back, name) == getattr(psf, name)


def test_bands_without_names_come_back_in_their_order(tmp_path: Path) -> None:
    psf = FieldPsf(basis=np.concatenate([field(seed=i).basis for i in (1, 2, 3)]), degree=2)
    psf.to_fits(tmp_path / "a.psf")
    back = read_psf(tmp_path / "a.psf")
    np.testing.assert_array_equal(back.basis, psf.basis)
    assert back.bands == ()
    assert read_psf(tmp_path / "a.psf", ["g", "r", "z"]).bands == ("g", "r", "z")
    np.testing.assert_array_equal(read_psf(f"{tmp_path}/a.psf[plane1]").basis, psf.basis[1:2])


def test_at_takes_many_positions() -> None:
    psf = field()
    many = psf.at([0, 500, 1999], [0, 100, 1999])
    assert many.shape == (3, 1, 21, 21)
    assert many.dtype == np.float32
    np.testing.assert_allclose(many[1], psf.at(500, 100)[0], atol=1e-8)
    np.testing.assert_allclose(many.sum((2, 3)), 1, atol=1e-5)
    assert pickle.loads(pickle.dumps(psf)).at(0, 0).shape == (1, 1, 21, 21)
    with pytest.raises(InputError, match="not finite"):
        psf.at(np.nan, 0)


@given(size=st.integers(2, 40), sampling=st.floats(0.3, 2.0))
def test_stamps_come_out_odd_and_centred(size: int, sampling: float) -> None:
    stamp = np.zeros((size, size))
    stamp[size // 2, size // 2] = 1.0
    out = FieldPsf(basis=stamp[None, None], sampling=sampling).at(0, 0)[0, 0]
    assert out.shape[0] % 2 == out.shape[1] % 2 == 1
    assert np.unravel_index(out.argmax(), out.shape) == (out.shape[0] // 2, out.shape[1] // 2)


@pytest.mark.parametrize("size", [20, 21])
@pytest.mark.parametrize("suffix", ["fits", "npy"])
def test_stamps(tmp_path: Path, size: int, suffix: str) -> None:
    stamp, path = moffat(size), tmp_path / f"a.{suffix}"
    np.save(path, stamp) if suffix == "npy" else fits.writeto(path, stamp)
    out = read_psf(path).at(0, 0)
    assert out.shape == (1, 1, 21, 21)
    np.testing.assert_allclose(out[0, 0, :size, :size], stamp / stamp.sum(), atol=1e-7)
    np.testing.assert_array_equal(read_psf(stamp).at(5, 5), out)


def test_a_cube_has_bands(tmp_path: Path) -> None:
    cube = np.stack([moffat(21, fwhm) for fwhm in (3, 4, 5)])
    fits.writeto(tmp_path / "a.fits", cube, fits.Header({"BANDS": "grz"}))
    psf = read_psf(tmp_path / "a.fits", bands=["z", "g"])
    assert psf.bands == ("z", "g")
    np.testing.assert_allclose(psf.at(0, 0)[0, 0], cube[2] / cube[2].sum(), atol=1e-7)
    with pytest.raises(InputError, match="lacks band i; it has bands g, r, z"):
        read_psf(tmp_path / "a.fits", bands=["i"])
    fits.writeto(tmp_path / "b.fits", cube)
    assert read_psf(tmp_path / "b.fits", bands=["g", "r", "i"]).bands == ("g", "r", "i")
    with pytest.raises(InputError, match="3 planes without names"):
        read_psf(tmp_path / "b.fits", bands=["g"])
    assert read_psf(moffat(21), bands=["g", "r"]).at(0, 0).shape == (1, 2, 21, 21)


def test_a_file_for_each_band(tmp_path: Path) -> None:
    """Different degrees, zero points, samplings and sizes are brought together without loss."""
    parts = {"g": field(0.6, 2), "r": field(0.8, 1, size=29), "z": FieldPsf.constant(moffat(25))}
    other = FieldPsf(**{**vars_of(parts["r"]), "x_zero": 10.0, "y_scale": 50.0})
    parts["i"] = other
    for band, part in parts.items():
        part.to_fits(tmp_path / f"{band}.psf")
    psf = read_psf({band: tmp_path / f"{band}.psf" for band in parts}, bands=["z", "g", "r", "i"])
    for x, y in ((0, 0), (1500, 300)):
        together = psf.at(x, y)[0]
        for i, band in enumerate(psf.bands):
            alone = parts[band].at(x, y)[0, 0]
            margin = (together.shape[1] - alone.shape[0]) // 2
            inner = together[i, margin : margin + alone.shape[0], margin : margin + alone.shape[1]]
            np.testing.assert_allclose(inner, alone, atol=2e-7)
            assert together[i].sum() == pytest.approx(1, abs=1e-5)


def vars_of(psf: FieldPsf) -> dict[str, Any]:
    return {name: getattr(psf, name) for name in FieldPsf.__dataclass_fields__}


def merged(path: Path, *, expnum: bool = True) -> NDArray[np.float64]:
    """Models of three CCDs in one table, padded to the largest, as the Legacy Surveys merge them."""
    masks = np.zeros((3, 6, 25, 25), dtype="f4")
    rng = np.random.default_rng(0)
    sizes, degrees = (25, 21, 25), (2, 1, 0)
    for i, (size, degree) in enumerate(zip(sizes, degrees, strict=True)):
        terms = (degree + 1) * (degree + 2) // 2
        masks[i, :terms, :size, :size] = rng.normal(0, 1e-3, (terms, size, size))
        masks[i, 0, :size, :size] = moffat(size)
    columns = [
        fits.Column("psf_mask", "3750E", dim="(25,25,6)", array=masks),
        fits.Column("ccdname", "3A", array=["N4", "S4", "S9"]),
        fits.Column("poldeg1", "K", array=degrees), fits.Column("psfaxis1", "K", array=sizes),
        fits.Column("psfaxis2", "K", array=sizes), fits.Column("psf_samp", "D", array=[0.7, 0.8, 1.0]),
        *(fits.Column(f"polzero{k}", "D", array=[1001.0, 2.0, 3.0]) for k in (1, 2)),
        *(fits.Column(f"polscal{k}", "D", array=[500.0, 600.0, 700.0]) for k in (1, 2)),
    ]  # fmt: skip
    if expnum:
        columns.append(fits.Column("expnum", "K", array=[7, 7, 7]))
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(path)
    return masks.astype(float)


def test_tables_of_many_ccds(tmp_path: Path) -> None:
    masks = merged(tmp_path / "a.fits")
    psf = read_psf(f"{tmp_path / 'a.fits'}[S4]")
    assert (psf.degree, psf.sampling, psf.x_zero, psf.x_scale) == (1, 0.8, 1.0, 600.0)
    np.testing.assert_array_equal(psf.basis[0], masks[1, :3, :21, :21])
    assert read_psf(f"{tmp_path / 'a.fits'}[s9]").degree == 0
    with pytest.raises(FileError, match=r"3 PSF models: N4/7, S4/7, S9/7; name one"):
        read_psf(tmp_path / "a.fits")
    with pytest.raises(FileError, match="no PSF model 'S10'; it holds N4/7"):
        read_psf(f"{tmp_path / 'a.fits'}[S10]")


def test_models_of_many_chips_in_one_psf_file(tmp_path: Path) -> None:
    field(seed=1).to_fits(tmp_path / "a.psf")
    field(seed=2).to_fits(tmp_path / "b.psf")
    with fits.open(tmp_path / "a.psf") as one, fits.open(tmp_path / "b.psf") as two:
        fits.HDUList([one[0], one[1], two[1]]).writeto(tmp_path / "both.psf")
    with pytest.raises(FileError, match="2 PSF models"):
        read_psf(tmp_path / "both.psf")
    np.testing.assert_array_equal(read_psf(f"{tmp_path / 'both.psf'}[2]").basis, field(seed=2).basis)


def test_psf_that_does_not_sum_to_one(caplog: pytest.LogCaptureFixture) -> None:
    np.testing.assert_allclose(read_psf(5 * moffat(21)).at(0, 0).sum(), 1, atol=1e-6)
    assert "does not sum to one" in caplog.text
    caplog.clear()
    read_psf(moffat(41) / moffat(41).sum())
    assert not caplog.text


def test_one_plane_serves(caplog: pytest.LogCaptureFixture) -> None:
    psf = FieldPsf.constant(moffat(21), bands=["r"])
    assert read_psf(psf, bands=["band"]).bands == ("band",)
    assert read_psf(psf, bands=["r"]).bands == ("r",)
    assert not caplog.records
    psf.select(["g"])
    assert "PSF of band r is used for band g" in caplog.text
    with pytest.raises(InputError, match="lacks band g"):
        psf.select(["r", "g"])


def test_psf_off_its_centre_is_said(caplog: pytest.LogCaptureFixture) -> None:
    stamp = np.roll(moffat(31), 2, axis=1)
    read_psf(stamp / stamp.sum())
    assert "centroid is" in caplog.text


@pytest.mark.parametrize(
    ("stamp", "message"),
    [(np.zeros((5, 5)), "sums to 0"), (np.full((5, 5), -1.0), "sums to -25"), (np.full((5, 5), np.nan), "not finite")],
)
def test_impossible_psfs(stamp: NDArray[np.float64], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_psf(stamp)


def test_impossible_requests(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="empty mapping"):
        read_psf({})
    with pytest.raises(FileError, match="no such file"):
        read_psf(tmp_path / "gone.psf")
    with pytest.raises(InputError, match="6, h, w"):
        FieldPsf(basis=np.zeros((1, 3, 5, 5)), degree=2)
    field().to_fits(tmp_path / "a.psf")
    (tmp_path / "cut.psf").write_bytes((tmp_path / "a.psf").read_bytes()[:9000])
    with pytest.raises(FileError, match=r"cut\.psf.*truncated"):
        read_psf(tmp_path / "cut.psf")


def test_a_file_remembers_that_its_psf_was_assumed(tmp_path: Path) -> None:
    for assumed in (True, False):
        field = FieldPsf(basis=np.ones((2, 1, 5, 5)) / 25, bands=("g", "r"), assumed=assumed)
        field.to_fits(tmp_path / "psf.fits")
        assert read_psf(tmp_path / "psf.fits").assumed is assumed
        assert read_psf(tmp_path / "psf.fits", ["r"]).assumed is assumed
