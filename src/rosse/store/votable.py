"""VOTables: a whole one written row by row, and the description of columns alone that Parquet files carry."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rosse.store.records import NUMBERS, Extent, Slot, measure, pack, slot
from rosse.store.schema import about, is_text

TYPES = {">i2": "short", ">i4": "int", ">i8": "long", ">u1": "unsignedByte", ">f4": "float", ">f8": "double"}
UCDS = {"id": "meta.id;meta.main", "ra": "pos.eq.ra;meta.main", "dec": "pos.eq.dec;meta.main"}
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
    '<RESOURCE type="results">\n<TABLE name="catalogue">\n'
)
_TAIL = "</TABLE>\n</RESOURCE>\n</VOTABLE>\n"


def write_votable(stream: IO[bytes], schema: pa.Schema, tables: Callable[[], Iterable[pa.Table]]) -> None:
    """Write rows as a VOTable 1.4 in its BINARY2 form, in which every type can have missing values.

    Parameters
    ----------
    stream : binary file.
    schema : columns with units and descriptions.
    tables : gives the rows anew at each call; they are read twice, since text columns have a fixed length.
    """
    extent = measure(schema, tables())
    slots = [_slot(column, extent) for column in schema]
    fields = [_field(column, _kind(column, place)) for column, place in zip(schema, slots, strict=True)]
    head = [_HEAD, *fields, '<DATA>\n<BINARY2>\n<STREAM encoding="base64">\n']
    stream.write("".join(head).encode())
    before: list[tuple[str, Any]] = [("missing", ("u1", (-(-len(slots) // 8),)))]
    rest = b""
    for table in tables():
        rest += pack(table, slots, _flag_missing, before)
        whole = len(rest) - len(rest) % 57  # 57 bytes are one line of base64
        stream.write(_lines(rest[:whole]))
        rest = rest[whole:]
    stream.write(_lines(rest))
    stream.write(f"</STREAM>\n</BINARY2>\n</DATA>\n{_TAIL}".encode())


def describe_columns(schema: pa.Schema, lengths: Mapping[str, int]) -> str:
    """A VOTable without data, which Parquet files carry so that TOPCAT shows units and descriptions (VOParquet 1.0).

    Parameters
    ----------
    schema : columns with units and descriptions.
    lengths : text column → characters of the longest, where known.
    """
    fields = [_field(column, _parquet_kind(column, lengths)) for column in schema]
    return "".join([_HEAD, *fields, _TAIL])


def _parquet_kind(column: pa.Field, lengths: Mapping[str, int]) -> str:
    if is_text(column.type):
        return f'datatype="char" arraysize="{lengths.get(column.name, "*")}"'
    if pa.types.is_boolean(column.type):
        return 'datatype="boolean"'
    nested = pa.types.is_nested(column.type)
    number = column.type.value_type if nested and hasattr(column.type, "value_type") else column.type
    kind = TYPES.get(NUMBERS.get(number, ""), "char")
    return f'datatype="{kind}"' + (' arraysize="*"' if nested or kind == "char" else "")


def _slot(column: pa.Field, extent: Extent) -> Slot:
    return slot(column, extent, null=np.nan if pa.types.is_floating(column.type) else 0)


def _kind(column: pa.Field, place: Slot) -> str:
    if place.codec == "ascii":
        return f'datatype="char" arraysize="{place.dtype[1:]}"'
    if place.codec:
        return f'datatype="unicodeChar" arraysize="{int(place.dtype[1:]) // 2}"'
    return 'datatype="boolean"' if pa.types.is_boolean(column.type) else f'datatype="{TYPES[place.dtype]}"'


def _field(column: pa.Field, kind: str) -> str:
    unit, description = about(column)
    ucd = f" ucd={quoteattr(UCDS[column.name])}" if column.name in UCDS else ""
    unit = f" unit={quoteattr(unit)}" if unit else ""
    inside = f"<DESCRIPTION>{escape(description)}</DESCRIPTION>" if description else ""
    return f"<FIELD name={quoteattr(column.name)} {kind}{unit}{ucd}>{inside}</FIELD>\n"


def _flag_missing(records: NDArray[np.void], table: pa.Table) -> None:
    for number, column in enumerate(table.columns):
        if column.null_count:
            flag = column.is_null().to_numpy().astype("u1") * (0x80 >> number % 8)
            records["missing"][:, number // 8] |= flag


def _lines(data: bytes) -> bytes:
    encoded = b64encode(data)
    return b"".join(encoded[start : start + 76] + b"\n" for start in range(0, len(encoded), 76))
