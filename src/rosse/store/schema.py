"""One schema for a whole catalogue: types that stay, units and descriptions in every file."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from rosse.errors import CatalogueError
from rosse.store.layout import HEALPIX, RESERVED
from rosse.tables import Column

ABOUT_HEALPIX = {"unit": "", "description": "HEALPix pixel of (ra, dec) at order 29, nested; the spatial index of HATS"}


def unify(parts: Iterable[tuple[str, pa.Schema]]) -> pa.Schema:
    """Schema that every part fits, in the column order of the first.

    Parameters
    ----------
    parts : (name, schema) of each part; the name is for messages.

    Notes
    -----
    A column without a type (all null in that part) takes the type that it has elsewhere, float64 if it has none
    anywhere. ``string`` and ``large_string`` are the same, dictionaries count as their values. Anything else that
    differs is an error: a type that changed silently would be found much later. A `_healpix_29` that came along is
    left out, since it is computed anew.
    """
    fields: dict[str, pa.Field] = {}
    origin: dict[str, str] = {}
    first = ""
    for name, schema in parts:
        _check_names(name, schema)
        columns = {field.name: _plain(field) for field in schema if field.name != HEALPIX}
        if not fields:
            fields, origin, first = columns, dict.fromkeys(columns, name), name
            continue
        _check_same_columns(name, set(columns), first, set(fields))
        for column, field in columns.items():
            known = fields[column]
            if pa.types.is_null(known.type) and not pa.types.is_null(field.type):
                fields[column], origin[column] = field.with_metadata({**_metadata(field), **_metadata(known)}), name
            elif not pa.types.is_null(field.type) and not field.type.equals(known.type):
                raise CatalogueError(
                    f"part {name}: column {column!r} is {field.type}, but {known.type} in part {origin[column]}; "
                    "every part must hold the same type"
                )
            elif not known.metadata and field.metadata:
                fields[column] = known.with_metadata(field.metadata)
    return pa.schema([_described(field) for field in fields.values()])


def with_index(schema: pa.Schema) -> pa.Schema:
    """The schema with the spatial index in front."""
    return pa.schema([pa.field(HEALPIX, pa.int64(), metadata=ABOUT_HEALPIX), *schema])


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A part's rows in the catalogue's types and column order, (rows unchanged)."""
    arrays = []
    for field in schema:
        column = table.column(field.name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        arrays.append(column.cast(field.type))
    return pa.table(arrays, schema=schema)


def described_columns(schema: pa.Schema) -> tuple[Column, ...]:
    """What each column holds, for people."""
    return tuple(
        Column(name=field.name, unit=about(field)[0], description=about(field)[1], dtype=_numpy_name(field.type))
        for field in schema
    )


def about(field: pa.Field) -> tuple[str, str]:
    """Unit and description of a field, each empty if there is none."""
    metadata = _metadata(field)
    return metadata.get(b"unit", b"").decode(), metadata.get(b"description", b"").decode()


def is_text(kind: pa.DataType) -> bool:
    """Whether values of this type are text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _plain(field: pa.Field) -> pa.Field:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    kind = pa.string() if pa.types.is_large_string(kind) else kind
    return pa.field(field.name, kind, nullable=True, metadata=field.metadata)


def _described(field: pa.Field) -> pa.Field:
    unit, description = about(field)
    kind = pa.float64() if pa.types.is_null(field.type) else field.type
    return pa.field(field.name, kind, nullable=True, metadata={"unit": unit, "description": description})


def _metadata(field: pa.Field) -> dict[bytes, bytes]:
    return dict(field.metadata or {})


def _check_names(part: str, schema: pa.Schema) -> None:
    seen: dict[str, str] = {}
    for name in schema.names:
        if name.lower() in seen:
            raise CatalogueError(
                f"part {part}: columns {seen[name.lower()]!r} and {name!r} have the same name but for case, "
                "which FITS and SQL cannot tell apart; rename one"
            )
        if name in RESERVED or not name:
            raise CatalogueError(f"part {part}: column name {name!r} is taken by the directory layout; rename it")
        seen[name.lower()] = name


def _check_same_columns(part: str, columns: set[str], first: str, wanted: set[str]) -> None:
    if columns == wanted:
        return
    missing, extra = sorted(wanted - columns), sorted(columns - wanted)
    problems = [f"lacks columns {missing} of part {first}"] if missing else []
    problems += [f"has columns {extra} that part {first} lacks"] if extra else []
    raise CatalogueError(f"part {part} {' and '.join(problems)}; every part needs the same columns")


def _numpy_name(kind: pa.DataType) -> str:
    if is_text(kind):
        return "str"
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        letter = "f" if pa.types.is_floating(kind) else "u" if pa.types.is_unsigned_integer(kind) else "i"
        return f"{letter}{kind.bit_width // 8}"
    return str(kind)
