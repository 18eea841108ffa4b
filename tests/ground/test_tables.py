"""Tables keep values, units, descriptions and missing entries on the way to Arrow and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rosse.errors import InputError
from rosse.tables import Column, build_table, to_arrow, to_astropy

COLUMNS = (
    Column(name="id", description="identifier", dtype="str"),
    Column(name="r_e", unit="arcsec", description="half-light semi-major axis"),
    Column(name="mag", unit="mag", description="AB magnitude", dtype="f4"),
    Column(name="npix", description="pixels", dtype="i4"),
    Column(name="blended", description="shares light with a neighbour", dtype="bool"),
)
DTYPES = ("f8", "f4", "i8", "i4", "i2", "u1", "bool", "U5", ">f4", ">i4")


def values(rows: int) -> dict[str, Any]:
    return {
        "id": [f"galaxy {i}" for i in range(rows)],
        "r_e": np.linspace(0.5, 2, rows),
        "mag": np.full(rows, np.nan),
        "npix": np.arange(rows),
        "blended": np.arange(rows) % 2 == 0,
    }


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_build_table_carries_units_and_descriptions(rows: int) -> None:
    table = build_table(COLUMNS, values(rows))
    assert len(table) == rows
    assert table.colnames == [column.name for column in COLUMNS]
    assert str(table["r_e"].unit) == "arcsec"
    assert table["mag"].description == "AB magnitude"
    assert table["mag"].dtype == np.float32


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_an_empty_table_has_the_same_types_as_a_full_one(rows: int) -> None:
    schema = to_arrow(build_table(COLUMNS, values(rows))).schema
    assert [field.type for field in schema] == [pa.string(), pa.float64(), pa.float32(), pa.int32(), pa.bool_()]


def test_build_table_names_what_lacks() -> None:
    some = values(2)
    del some["mag"]
    some["colour"] = [0.1, 0.2]
    with pytest.raises(InputError, match=r"colour.*mag.*lack a value or a description"):
        build_table(COLUMNS, some)


@st.composite
def masked_columns(draw: st.DrawFn) -> Table:
    """A table of one to four columns of any type, with some entries masked."""
    rows = draw(st.integers(0, 6))
    table = Table()
    for i, dtype in enumerate(draw(st.lists(st.sampled_from(DTYPES), min_size=1, max_size=4))):
        text = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=5)
        data = draw(hnp.arrays(np.dtype(dtype), rows, elements=text if dtype == "U5" else None))
        mask = draw(hnp.arrays(bool, rows))
        unit, description = draw(st.sampled_from([("mag", "a magnitude"), (None, None), ("arcsec", "a length")]))
        table[f"c{i}"] = MaskedColumn(data, mask=mask, unit=unit, description=description)
    return table


@given(masked_columns())
def test_round_trip_by_arrow(table: Table) -> None:
    back = to_astropy(to_arrow(table))
    assert back.colnames == table.colnames
    for name in table.colnames:
        before, after = table[name], back[name]
        assert str(before.unit or "") == str(after.unit or "")
        assert (before.description or None) == (after.description or None)
        mask = np.ma.getmaskarray(before)
        assert np.array_equal(np.ma.getmaskarray(np.ma.asarray(after)), mask)
        old, new = np.ma.getdata(before)[~mask], np.ma.getdata(after)[~mask]
        assert old.dtype.kind == new.dtype.kind
        np.testing.assert_array_equal(old, new)  # NaN equals NaN here


def test_arrow_fields_hold_unit_and_description() -> None:
    field = to_arrow(build_table(COLUMNS, values(3))).schema.field("r_e")
    assert field.metadata == {b"unit": b"arcsec", b"description": b"half-light semi-major axis"}


def test_nan_is_a_value_and_null_is_not() -> None:
    table = Table({"x": MaskedColumn([1.0, np.nan, 3.0], mask=[True, False, False])})
    arrow = to_arrow(table)
    assert arrow["x"].null_count == 1
    back = to_astropy(arrow)["x"]
    assert back.mask.tolist() == [True, False, False]
    assert np.isnan(back[1])


def test_vectors_in_a_column() -> None:
    table = Table({"flux": np.arange(6.0).reshape(3, 2)})
    assert to_arrow(table)["flux"].to_pylist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]


@pytest.mark.parametrize("rows", [0, 3])
def test_vectors_have_their_type_without_rows_too(rows: int) -> None:
    table = Table({"flux": np.zeros((rows, 2), dtype="f4")})
    assert to_arrow(table).schema.field("flux").type == pa.list_(pa.float32())
