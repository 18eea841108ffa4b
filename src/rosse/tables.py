"""Typed tables: every column has a unit and a description, in memory and in every file.

A result hands out an `astropy.table.Table`; files hold Arrow. These functions go between the two without losing
units, descriptions or missing values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from rosse.errors import InputError

if TYPE_CHECKING:
    from astropy.table import Table


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a column holds.

    Parameters
    ----------
    name : column name.
    unit : unit as astropy and the VO write it (``"arcsec"``, ``"mag"``, ``"deg"``), empty for a pure number.
    description : one sentence.
    dtype : numpy type of the values, ``"f8"``, ``"i4"``, ``"bool"``, ``"str"``.
    """

    name: str
    unit: str = ""
    description: str
    dtype: str = "f8"


def table_of(entries: Iterable[tuple[Column, Any]]) -> Table:
    """Table from columns that come with their values, (B,) array-like each."""
    known = list(entries)
    return build_table([column for column, _ in known], {column.name: values for column, values in known})


def build_table(columns: Sequence[Column], values: Mapping[str, Any]) -> Table:
    """Table from column descriptions and their values, in the order of the descriptions.

    Parameters
    ----------
    columns : what each column holds.
    values : name → (B,) array-like; every column must be there and nothing else.
    """
    from astropy.table import Column as AstropyColumn
    from astropy.table import Table

    names = [column.name for column in columns]
    if sorted(names) != sorted(values):
        raise InputError(f"columns {sorted(set(names) ^ set(values))} lack a value or a description")
    table = Table()
    for column in columns:
        data = np.asarray(values[column.name]).astype(column.dtype)
        table[column.name] = AstropyColumn(data, unit=column.unit or None, description=column.description)
    return table


def to_arrow(table: Table) -> pa.Table:
    """Arrow table of an astropy table; NaN stays NaN, masked entries become null.

    Each field's metadata hold ``unit`` and ``description``; the table's meta is not carried.
    """
    arrays: list[pa.Array] = []
    fields: list[pa.Field] = []
    for name in table.colnames:
        column = table[name]
        mask = np.ma.getmaskarray(column) if np.ma.isMaskedArray(column) else None
        data = np.asarray(np.ma.getdata(column))
        data = data.astype(data.dtype.newbyteorder("=")) if data.dtype.kind in "iufcb" else data.astype(str)
        kind = _arrow_type(data)
        array = pa.array(data.tolist() if data.dtype.kind == "U" or data.ndim > 1 else data, type=kind, mask=mask)
        metadata = {"unit": str(column.unit or ""), "description": str(column.description or "")}
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=metadata))
    return pa.table(arrays, schema=pa.schema(fields))


def to_astropy(table: pa.Table) -> Table:
    """Astropy table of an Arrow table, with units, descriptions, and nulls as masked entries."""
    from astropy.table import Column as AstropyColumn
    from astropy.table import MaskedColumn, Table

    out = Table()
    for field, chunked in zip(table.schema, table.columns, strict=True):
        metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        about = {"unit": metadata.get("unit") or None, "description": metadata.get("description") or None}
        if not chunked.null_count:
            data = chunked.to_numpy(zero_copy_only=False)
            out[field.name] = AstropyColumn(_plain(data), **about)
            continue
        mask = chunked.is_null().to_numpy(zero_copy_only=False)
        data = chunked.fill_null(_fill_value(field.type)).to_numpy(zero_copy_only=False)
        out[field.name] = MaskedColumn(_plain(data), mask=mask, **about)
    return out


def _arrow_type(data: np.ndarray[Any, Any]) -> pa.DataType:
    """Type by the column, not by its entries: a table without rows has the same schema as a full one."""
    kind = pa.string() if data.dtype.kind == "U" else pa.from_numpy_dtype(data.dtype)
    for _ in range(data.ndim - 1):
        kind = pa.list_(kind)
    return kind


def _fill_value(kind: pa.DataType) -> Any:
    """What stands under the mask where an entry is null."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return ""
    return False if pa.types.is_boolean(kind) else 0


def _plain(data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Strings out of Arrow are Python objects; astropy wants them as text."""
    return data.astype(str) if data.dtype == object and all(isinstance(v, str) for v in data) else data
