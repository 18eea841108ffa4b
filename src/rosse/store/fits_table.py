"""A FITS binary table, written row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa

from rosse import __version__
from rosse.errors import InputError
from rosse.store.records import Extent, Slot, measure, pack, slot
from rosse.store.schema import about

BLOCK = 2880
FORMS = {">i2": "I", ">i4": "J", ">i8": "K", ">u1": "B", ">f4": "E", ">f8": "D"}
# Header cards are ASCII; these are the letters that astronomers put into descriptions.
ASCII = str.maketrans(
    {"σ": "sigma", "±": "+-", "χ": "chi", "²": "^2", "µ": "u", "μ": "u", "Å": "Angstrom", "°": "deg", "×": "x"}
)


def write_fits(stream: IO[bytes], schema: pa.Schema, tables: Callable[[], Iterable[pa.Table]]) -> None:
    """Write rows as the first extension, with TUNITn and TCOMMn.

    A missing integer is TNULLn, a missing float NaN, a missing text blank.

    Parameters
    ----------
    stream : binary file.
    schema : columns with units and descriptions.
    tables : gives the rows anew at each call; they are read twice, since a header comes before its rows.
    """
    extent = measure(schema, tables())
    slots = [_slot(column, extent) for column in schema]
    size = sum(np.dtype(place.dtype).itemsize for place in slots)
    stream.write(_primary_header())
    stream.write(_table_header(schema, slots, extent, size).tostring().encode("ascii"))
    for table in tables():
        stream.write(pack(table, slots))
    stream.write(b"\0" * (-extent.rows * size % BLOCK))


def _slot(column: pa.Field, extent: Extent) -> Slot:
    name = column.name
    if name in extent.not_ascii:
        raise InputError(f"column {name!r} holds letters beyond ASCII, which FITS cannot; export to .vot or .parquet")
    if not pa.types.is_integer(column.type):
        return slot(column, extent, null=np.nan)
    place = slot(column, extent, null=0)
    if not extent.nulls.get(name):
        return place
    if place.dtype == ">u1":
        place = Slot(name=name, dtype=">i2", null=0)
    limits = np.iinfo(place.dtype)
    low, high = extent.range.get(name, (0, 0))
    if low == limits.min and high == limits.max:
        raise InputError(
            f"column {name!r} uses the smallest and the largest {limits.bits}-bit number, which leaves none "
            "to stand for missing values in FITS; export to .vot or .parquet"
        )
    return Slot(name=name, dtype=place.dtype, null=int(limits.min if low > limits.min else limits.max))


def _primary_header() -> bytes:
    from astropy.io.fits import PrimaryHDU

    header = PrimaryHDU().header
    header["CREATOR"] = f"rosse {__version__}"
    return bytes(header.tostring().encode("ascii"))


def _table_header(schema: pa.Schema, slots: Sequence[Slot], extent: Extent, size: int) -> Any:
    from astropy.io.fits import Header

    header = Header()
    header["XTENSION"] = ("BINTABLE", "binary table")
    header["BITPIX"], header["NAXIS"] = 8, 2
    header["NAXIS1"], header["NAXIS2"] = (size, "bytes per row"), (extent.rows, "rows")
    header["PCOUNT"], header["GCOUNT"], header["TFIELDS"] = 0, 1, len(slots)
    header["EXTNAME"] = "CATALOGUE"
    for number, (column, place) in enumerate(zip(schema, slots, strict=True), start=1):
        unit, description = about(column)
        header[f"TTYPE{number}"] = _ascii(column.name)
        header[f"TFORM{number}"] = _form(column, place)
        if unit:
            header[f"TUNIT{number}"] = _unit(unit)
        if extent.nulls.get(column.name) and pa.types.is_integer(column.type):
            header[f"TNULL{number}"] = place.null
        if description:
            header[f"TCOMM{number}"] = _ascii(description)
    return header


def _form(column: pa.Field, place: Slot) -> str:
    if pa.types.is_boolean(column.type):
        return "L"
    return f"{place.dtype[1:]}A" if place.codec else FORMS[place.dtype]


def _unit(text: str) -> str:
    """The unit as FITS spells it, or as it is where astropy does not know it."""
    from astropy.units import Unit

    try:
        return str(Unit(text).to_string("fits"))
    except ValueError:
        return _ascii(text)


def _ascii(text: str) -> str:
    return " ".join(text.translate(ASCII).encode("ascii", "replace").decode().split())
