"""What a Parquet file says about its columns beyond Arrow's own field metadata, for readers that look elsewhere.

TOPCAT finds units, descriptions and UCDs in a VOTable without data (VOParquet 1.0), astropy's ``Table.read`` in the
header that astropy's own writer makes.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from rosse.store.schema import is_text
from rosse.store.votable import describe_columns
from rosse.tables import to_astropy


def with_descriptions(schema: pa.Schema) -> pa.Schema:
    """The schema with what these readers need, all but the lengths of texts."""
    from astropy.table.meta import get_yaml_from_table

    header = get_yaml_from_table(to_astropy(schema.empty_table()))
    return with_lengths(schema.with_metadata({b"table_meta_yaml": "\n".join(header).encode()}), {})


def with_lengths(schema: pa.Schema, lengths: dict[str, int]) -> pa.Schema:
    """The schema with the length of the longest text in each column, which astropy warns about if it is not told."""
    metadata = {f"table::len::{name}".encode(): str(length).encode() for name, length in lengths.items()}
    votable = {
        b"IVOA.VOTable-Parquet.version": b"1.0",
        b"IVOA.VOTable-Parquet.content": describe_columns(schema, lengths).encode(),
    }
    return schema.with_metadata({**schema.metadata, **votable, **metadata})


def text_lengths(table: pa.Table) -> dict[str, int]:
    """Characters of the longest text in each text column, at least 1."""
    texts = {field.name: table.column(field.name) for field in table.schema if is_text(field.type)}
    return {name: max(pc.max(pc.utf8_length(column)).as_py() or 1, 1) for name, column in texts.items()}
