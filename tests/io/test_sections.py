"""A section of a file is the same section of the whole array, whatever the file's form. Truth: astropy.io.fits."""

from __future__ import annotations

import gzip
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rosse.errors import FileError, InputError
from rosse.io import open_mosaic

HEIGHT, WIDTH = 64, 85
RNG = np.random.default_rng(7)
COUNTS = RNG.integers(0, 30_000, (HEIGHT, WIDTH))
FLUX = RNG.normal(100, 5, (HEIGHT, WIDTH))


def plain(dtype: str) -> Callable[[Path], None]:
    values = FLUX if dtype[0] == "f" else COUNTS % 250 if dtype[1] == "1" else COUNTS
    return lambda path: fits.PrimaryHDU(values.astype(dtype)).writeto(path)


def scaled(dtype: str, blank: int | None = None) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        stored = (COUNTS % 250 if dtype == "u1" else COUNTS).astype(dtype)
        hdu = fits.PrimaryHDU(stored)
        hdu.header["BSCALE"], hdu.header["BZERO"] = 0.037, -12.5
        if blank is not None:
            hdu.header["BLANK"] = blank
            hdu.data[3, 4] = blank
        raw = hdu.header.tostring(padding=True).encode() + hdu.data.astype(hdu.data.dtype.newbyteorder(">")).tobytes()
        path.write_bytes(raw + bytes(-len(raw) % 2880))

    return write


def unscaled_blank(path: Path) -> None:
    data = COUNTS.astype("i2")
    data[3, 4] = -99
    hdu = fits.PrimaryHDU(data)
    hdu.header["BLANK"] = -99
    hdu.writeto(path)


def holes(path: Path) -> None:
    data = FLUX.astype("f4")
    data[3, 4], data[5, 6], data[7, 8] = np.nan, np.inf, -np.inf
    fits.PrimaryHDU(data).writeto(path)


def in_extension(path: Path) -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=np.arange(3))])
    fits.HDUList([fits.PrimaryHDU(), table, fits.ImageHDU(FLUX.astype("f4"), name="SCI")]).writeto(path)


def degenerate_axes(path: Path) -> None:
    fits.PrimaryHDU(FLUX.astype("f4")[None, None]).writeto(path)


def tiles(values: NDArray[np.generic], **options: object) -> Callable[[Path], None]:
    return lambda path: fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(values, **options)]).writeto(path)


def tiles_with_holes(path: Path) -> None:
    data = FLUX.astype("f4")
    data[3, 4] = np.nan
    tiles(data, compression_type="RICE_1", quantize_level=16)(path)


FORMS: dict[str, Callable[[Path], None]] = {
    **{f"plain {dtype}": plain(dtype) for dtype in ("u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")},
    "scaled u1": scaled("u1"),
    "scaled i2": scaled("i2"),
    "scaled i2 with blanks": scaled("i2", -32768),
    "scaled i4": scaled("i4"),
    "integers with blanks": unscaled_blank,
    "holes": holes,
    "extension": in_extension,
    "degenerate axes": degenerate_axes,
    "RICE integers": tiles(COUNTS.astype("i2"), compression_type="RICE_1", tile_shape=(1, WIDTH)),
    "RICE quantised, tiles of 20 x 30": tiles(FLUX.astype("f4"), compression_type="RICE_1", tile_shape=(20, 30)),
    "RICE dithered": tiles(FLUX.astype("f4"), compression_type="RICE_1", quantize_method=2, dither_seed=5),
    "GZIP lossless": tiles(FLUX.astype("f4"), compression_type="GZIP_2", quantize_level=0),
    "HCOMPRESS": tiles(COUNTS.astype("i4"), compression_type="HCOMPRESS_1", tile_shape=(20, 30)),
    "PLIO mask": tiles((COUNTS % 7).astype("i2"), compression_type="PLIO_1"),
    "RICE with holes": tiles_with_holes,
}  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each form, plain and gzipped."""
    folder = tmp_path_factory.mktemp("forms")
    paths = {}
    for number, (name, write) in enumerate(FORMS.items()):
        paths[name] = folder / f"{number}.fits"
        write(paths[name])
        paths[f"{name}, gz"] = folder / f"{number}.fits.gz"
        paths[f"{name}, gz"].write_bytes(gzip.compress(paths[name].read_bytes()))
    return paths


def whole(path: Path) -> NDArray[np.float64]:
    """The image as astropy reads it."""
    with fits.open(path) as hdus:
        data = next(hdu.data for hdu in hdus if hdu.is_image and hdu.data is not None)
        return np.asarray(data, dtype=np.float64).reshape(HEIGHT, WIDTH)


@pytest.mark.parametrize("packing", ["", ", gz"])
@pytest.mark.parametrize("form", FORMS)
def test_whole_image(written: dict[str, Path], form: str, packing: str) -> None:
    path = written[form + packing]
    truth = whole(path)
    section = open_mosaic(path).section(slice(None), slice(None))
    with np.errstate(over="ignore"):
        expected = truth.astype(np.float32)
    assert section.flux.dtype == np.float32
    assert section.flux.dtype.isnative
    np.testing.assert_array_equal(section.bad[0], ~np.isfinite(truth))
    # astropy scales 16-bit integers in float32, rosse in float64
    tolerance = 2e-4 if form.startswith("scaled") else 0.0
    np.testing.assert_allclose(section.flux[0], np.where(np.isfinite(truth), expected, 0), rtol=0, atol=tolerance)


@given(data=st.data(), form=st.sampled_from(sorted(FORMS)))
def test_any_section_is_the_slice(written: dict[str, Path], data: st.DataObject, form: str) -> None:
    top, left = data.draw(st.integers(0, HEIGHT - 1)), data.draw(st.integers(0, WIDTH - 1))
    bottom, right = data.draw(st.integers(top + 1, HEIGHT + 5)), data.draw(st.integers(left + 1, WIDTH + 5))
    mosaic = open_mosaic(written[form])
    everything = mosaic.section(slice(None), slice(None))
    section = mosaic.section(slice(top, bottom), slice(left, right))
    np.testing.assert_array_equal(section.flux, everything.flux[:, top:bottom, left:right])
    np.testing.assert_array_equal(section.bad, everything.bad[:, top:bottom, left:right])
    assert (section.x0, section.y0) == (left, top)


def test_margins_over_the_edge_are_cut_off() -> None:
    section = open_mosaic(FLUX).section(slice(-20, 10), slice(WIDTH - 10, WIDTH + 20))
    assert section.flux.shape == (1, 10, 10)
    assert (section.x0, section.y0) == (WIDTH - 10, 0)


@pytest.mark.parametrize("rows", [slice(HEIGHT, HEIGHT + 5), slice(5, 5), slice(-9, 0)])
def test_sections_without_pixels_are_refused(rows: slice) -> None:
    with pytest.raises(InputError, match="hold no pixel"):
        open_mosaic(FLUX).section(rows, slice(None))


def test_sections_with_steps_are_refused() -> None:
    with pytest.raises(InputError, match="step"):
        open_mosaic(FLUX).section(slice(0, 10, 2), slice(None))


@pytest.mark.parametrize("form", ["plain f4", "scaled i2", "RICE dithered", "plain f4, gz"])
def test_mosaics_go_to_other_processes(written: dict[str, Path], form: str) -> None:
    mosaic = open_mosaic(written[form])
    text = pickle.dumps(mosaic)
    assert len(text) < 4000  # no pixels
    here, there = (m.section(slice(5, 20), slice(9, 30)) for m in (mosaic, pickle.loads(text)))
    np.testing.assert_array_equal(here.flux, there.flux)


@pytest.mark.parametrize("order", ["<f4", ">f4", "<i2", ">i4"])
def test_arrays_of_any_byte_order(order: str) -> None:
    flux = open_mosaic(COUNTS.astype(order)).section(slice(3, 9), slice(4, 8)).flux
    assert flux.dtype.isnative
    np.testing.assert_array_equal(flux[0], COUNTS[3:9, 4:8])


def test_npy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FLUX.astype(">f8"))
    np.savez(tmp_path / "b.npz", other=COUNTS, image=FLUX)
    for name in ("a.npy", "b.npz"):
        section = open_mosaic(tmp_path / name).section(slice(3, 9), slice(4, 8))
        np.testing.assert_array_equal(section.flux[0], FLUX.astype(np.float32)[3:9, 4:8])
    cube = np.stack([FLUX, COUNTS])
    np.save(tmp_path / "cube.npy", cube)
    mosaic = open_mosaic(tmp_path / "cube.npy")
    assert len(pickle.dumps(mosaic)) < 4000
    np.testing.assert_array_equal(mosaic.section(slice(3, 9), slice(4, 8)).flux, cube.astype("f4")[:, 3:9, 4:8])
    assert open_mosaic(f"{tmp_path / 'b.npz'}[other]").section(slice(0, 1), slice(0, 1)).flux == COUNTS[0, 0]


@pytest.mark.parametrize("keep", [0, 100, 3000, 2880 + HEIGHT * WIDTH * 4 - 1])
def test_truncated_files_are_refused_when_opened(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.fits"
    fits.PrimaryHDU(FLUX.astype("f4")).writeto(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileError, match=r"cut\.fits") as caught:
        open_mosaic(path)
    if keep > 2880:
        assert str(2880 + HEIGHT * WIDTH * 4) in str(caught.value)
        assert str(keep) in str(caught.value)


def test_a_file_without_the_last_padding_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "unpadded.fits"
    fits.PrimaryHDU(FLUX.astype("f4")).writeto(path)
    path.write_bytes(path.read_bytes()[: 2880 + HEIGHT * WIDTH * 4])
    assert open_mosaic(path).section(slice(-1, 99), slice(None)).flux.shape == (1, HEIGHT, WIDTH)


@pytest.mark.parametrize("form", ["plain f4, gz", "RICE integers", "RICE integers, gz"])
def test_truncated_packed_files_are_refused(written: dict[str, Path], tmp_path: Path, form: str) -> None:
    path = tmp_path / "cut.fits"
    path.write_bytes(written[form].read_bytes()[: written[form].stat().st_size // 2])
    with pytest.raises(FileError, match=r"cut\.fits.*(truncated|damaged)"):
        open_mosaic(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"SIMPLE  =  T", b"\x1f\x8bgarbage", bytes(2880)])
def test_files_that_are_no_images_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "not.fits"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"not\.fits"):
        open_mosaic(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        open_mosaic(tmp_path / "gone.fits")


def test_cards_that_break_the_standard_do_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Survey headers hold cards that astropy refuses to parse: they are left out without a word."""
    path = tmp_path / "odd.fits"
    fits.PrimaryHDU(FLUX.astype("f4")).writeto(path)
    raw = bytearray(path.read_bytes())
    end = raw.index(b"END" + b" " * 77)
    odd = [b"BADCARD = 'unclosed", b"lower   = 12", b"SP ACE  =  3", b"HIERARCH ESO INS X Y = 'a' / c", b"NOVALUE =",
           b"GAIN    = NaN", b"EXPTIME = 1.2.3", b"MAGZP   = 25.5 / zero point", b"TAB     =\t3",
           b"INDEF   = INDEF"]  # fmt: skip
    raw[end : end + 80 * (len(odd) + 1)] = b"".join(card.ljust(80) for card in odd) + b"END".ljust(80)
    path.write_bytes(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mosaic = open_mosaic(path)
    assert mosaic.zeropoint == 25.5
    np.testing.assert_array_equal(mosaic.section(slice(None), slice(None)).flux[0], FLUX.astype(np.float32))
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
