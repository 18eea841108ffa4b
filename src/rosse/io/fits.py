"""FITS images as surveys ship them, read by section.

A plain file is read by seeking to the rows that are wanted, an fpacked one (``.fz``) tile by tile, a ``.gz`` from an
unpacked copy (see `streams`). Headers are taken as they come: a card that cannot be parsed is left out.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from rosse.errors import FileError
from rosse.io.planes import native
from rosse.io.streams import open_stream, stream_size

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class FitsPlane:
    """One plane of an image HDU. It holds names and numbers only, so that it can be sent to another process.

    Parameters
    ----------
    path, hdu : the file and the HDU's number in it.
    label : name for messages.
    index : position along the axes before the last two, empty for a plain image.
    shape : height and width.
    layout : where an uncompressed plane lies in the file; None for a compressed one.
    """

    path: str
    hdu: int
    label: str
    index: tuple[int, ...]
    shape: tuple[int, int]
    layout: Layout | None

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """The pixels of a section; see `planes.Plane`."""
        if self.layout is None:
            return self._read_tiles(rows, columns)
        with open_stream(self.path) as stream:
            return self.layout.scaled(self._read_rows(stream, self.layout, rows, columns))

    def _read_rows(self, stream: IO[bytes], layout: Layout, rows: slice, columns: slice) -> NDArray[Any]:
        height, width = rows.stop - rows.start, columns.stop - columns.start
        raw = np.empty((height, width), dtype=layout.dtype)
        row_bytes = self.shape[1] * raw.itemsize
        start = layout.offset + rows.start * row_bytes + columns.start * raw.itemsize
        if width == self.shape[1]:
            _fill(stream, start, raw.reshape(-1), self.label)
            return raw
        for i in range(height):
            _fill(stream, start + i * row_bytes, raw[i], self.label)
        return raw

    def _read_tiles(self, rows: slice, columns: slice) -> NDArray[Any]:
        with open_hdus(self.path, self.hdu) as (hdus, _):
            try:
                return native(np.asarray(hdus[self.hdu].section[(*self.index, rows, columns)]))
            except Exception as err:  # the decompressors raise whatever they like on damaged tiles
                raise FileError(f"{self.label}: its tiles cannot be unpacked, the file is damaged ({err})") from err


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where and how the pixels of one uncompressed plane are stored."""

    offset: int
    bitpix: int
    scale: float
    zero: float
    blank: int | None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored type: FITS is big-endian."""
        return np.dtype({8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}[self.bitpix])

    def scaled(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Physical values (FITS standard 4.0, section 4.4.2.5): zero + scale * stored, NaN where blank."""
        values = native(raw)
        if self.bitpix > 0 and self.blank is None and self.scale == 1 and float(self.zero).is_integer():
            if self.zero == 2.0**63:  # unsigned 64-bit integers: flipping the sign bit adds 2**63 without rounding
                return values.view(np.uint64) ^ np.uint64(1 << 63)
            return values if self.zero == 0 else values.astype(np.int64) + int(self.zero)
        if self.scale == 1 and self.zero == 0 and self.bitpix < 0:
            return values
        out = values.astype(np.float64) * self.scale + self.zero
        if self.blank is not None and self.bitpix > 0:
            out[values == self.blank] = np.nan
        return out


def _fill(stream: IO[bytes], start: int, buffer: NDArray[Any], label: str) -> None:
    stream.seek(start)
    view = memoryview(buffer.view(np.uint8))  # type: ignore[arg-type] # arrays are buffers, the stubs do not say so
    while view:  # an unbuffered read may stop early
        count = stream.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise FileError(f"{label} ends {len(view)} bytes too early; the file was cut while it was being read")
        view = view[count:]


@contextmanager
def open_hdus(path: str, last: int | None = None) -> Iterator[tuple[fits.HDUList, int]]:
    """HDUs of a file (up to number `last`) and its size in bytes, without astropy's remarks on header style."""
    with open_stream(path) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stream.seek(0)
        try:
            hdus = fits.open(stream, memmap=False)
            found = len(hdus) if last is None else hdus[last]  # reads the headers: what is no FITS file fails here
        except (OSError, ValueError, TypeError, KeyError, IndexError, fits.VerifyError) as err:
            why = str(err).partition(" If this is really a FITS file")[0]  # astropy's advice is about its own options
            raise FileError(f"{path} cannot be read as FITS: {why}") from err
        if found == 0:
            raise FileError(f"{path} holds no HDU")
        yield hdus, stream_size(stream)


def planes_of(path: str, hdus: fits.HDUList, number: int, file_size: int) -> list[FitsPlane]:
    """The planes of one image HDU, after checking that the file is long enough to hold them."""
    hdu = hdus[number]
    label = hdu_label(path, hdus, number)
    _check_size(hdu, label, file_size)
    if "BSOFTEN" in hdu.header:
        raise FileError(f"{label} holds asinh magnitudes (BSOFTEN, as Pan-STARRS writes them); make it linear first")
    shape = tuple(int(n) for n in hdu.shape)
    leading = shape[:-2]
    height, width = shape[-2:]
    compressed = isinstance(hdu, fits.CompImageHDU)
    planes = []
    for i, index in enumerate(np.ndindex(*leading)):
        layout = None if compressed else _layout(hdu, i * height * width)
        name = label if np.prod(leading, dtype=int) == 1 else f"{label} plane {i}"
        planes.append(FitsPlane(path=path, hdu=number, label=name, index=index, shape=(height, width), layout=layout))
    return planes


def hdu_label(path: str, hdus: fits.HDUList, number: int) -> str:
    """``file.fits[SCI]`` or ``file.fits[2]``; just the path for a file with one image."""
    if number == 0:
        return path
    name = hdus[number].name
    versions = [hdu.ver for hdu in hdus if hdu.name == name]
    if not name:
        return f"{path}[{number}]"
    return f"{path}[{name}]" if len(versions) == 1 else f"{path}[{name},{hdus[number].ver}]"


def _layout(hdu: Any, pixels_before: int) -> Layout:
    header = hdu.header
    bitpix = int(header["BITPIX"])
    blank = number(header, "BLANK", np.nan)
    return Layout(
        offset=int(hdu.fileinfo()["datLoc"]) + pixels_before * abs(bitpix) // 8,
        bitpix=bitpix,
        scale=number(header, "BSCALE", 1.0),
        zero=number(header, "BZERO", 0.0),
        blank=int(blank) if blank.is_integer() else None,
    )


def _check_size(hdu: Any, label: str, file_size: int) -> None:
    stored = hdu._bintable if isinstance(hdu, fits.CompImageHDU) else hdu  # the table that holds the tiles
    wanted = int(hdu.fileinfo()["datLoc"]) + int(stored.header.data_size)
    if file_size < wanted:
        raise FileError(
            f"{label} is truncated: its header announces {wanted} bytes, the file has {file_size}; fetch it again"
        )


def card(header: fits.Header, key: str) -> Any:
    """Value of a card, None where it is missing, empty or cannot be parsed."""
    if key not in header:
        return None
    try:
        with warnings.catch_warnings():  # astropy warns when it reads a card that breaks the standard
            warnings.simplefilter("ignore")
            value = header[key]
    except (fits.VerifyError, ValueError):
        return None
    return None if isinstance(value, fits.card.Undefined) else value


def number(header: fits.Header, key: str, default: float) -> float:
    """A card's number, also where it is written as text; the default where there is none."""
    value = card(header, key)
    if value is None or isinstance(value, bool):
        return default
    try:
        return float(value)
    except (TypeError, ValueError):
        return default


def clean_header(header: fits.Header) -> fits.Header:
    """The cards that can be parsed, so that nothing that reads the header later stumbles over the others."""
    out = fits.Header()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in header.cards:
            try:
                if one.keyword in ("COMMENT", "HISTORY", "", "CONTINUE"):
                    continue
                one.verify("exception")
                out.append(fits.Card(one.keyword, one.value), end=True)
            except (fits.VerifyError, ValueError, TypeError):
                continue
    return out
