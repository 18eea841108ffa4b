"""``where``: right answers, NaN as missing, and nothing but conditions gets through."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rosse.errors import InputError
from rosse.store import Catalogue, write_catalogue
from store.galaxy_rows import galaxies, without_positions

Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [dict(row) for row in galaxies(300, seed=11).to_pylist()]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return write_catalogue(tmp_path_factory.mktemp("c") / "c", [galaxies(300, seed=11)], threshold=60)


def ids(catalogue: Catalogue) -> set[str]:
    return set(catalogue.to_arrow()["id"].to_pylist())


def there(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


CASES: list[tuple[str, Callable[[Row], bool]]] = [
    ("n > 4", lambda r: there(r["n"]) and r["n"] > 4),
    ("n > 4 and status = 'ok'", lambda r: there(r["n"]) and r["n"] > 4 and r["status"] == "ok"),
    ("n != 3", lambda r: there(r["n"])),
    ("not (n > 4)", lambda r: there(r["n"]) and not r["n"] > 4),
    ("n is null", lambda r: not there(r["n"])),
    ("n is not null", lambda r: there(r["n"])),
    ("r_e is null or npix is null", lambda r: r["r_e"] is None or r["npix"] is None),
    ("n between 1 and 2.5", lambda r: there(r["n"]) and 1 <= r["n"] <= 2.5),
    ("flags & 4 = 0", lambda r: not r["flags"] & 4),
    ("flags in (1, 2, 3)", lambda r: r["flags"] in (1, 2, 3)),
    ("flags not in (1, 2, 3)", lambda r: r["flags"] not in (1, 2, 3)),
    ("id like 'g_1%'", lambda r: (len(r["id"]) > 3 and r["id"][2] == "1") or r["id"] == "g_1"),
    ("blended", lambda r: bool(r["blended"])),
    ("not blended", lambda r: r["blended"] is False),
    ("RA > 150 AND Dec < 2", lambda r: r["ra"] > 150 and r["dec"] < 2),
    ("log10(n - 4) > 0", lambda r: there(r["n"]) and r["n"] > 5),
    ("sqrt(n - 4) >= 0", lambda r: there(r["n"]) and r["n"] >= 4),
    ("(n - 4) ** 0.5 >= 0", lambda r: there(r["n"]) and r["n"] >= 4),
    ("(r_e - r_e) / (n - n) > 0", lambda r: False),
    ("case when n > 4 then flags = 1 else flags = 2 end", lambda r: r["flags"] == 2 - (there(r["n"]) and r["n"] > 4)),
    ("coalesce(n, 99) > 50", lambda r: not there(r["n"])),
    ("abs(dec - 2) < 0.5 or r_e * 2 > 17", lambda r: abs(r["dec"] - 2) < 0.5 or (r["r_e"] or 0) * 2 > 17),
    ("upper(status) = 'OK' -- a comment", lambda r: r["status"] == "ok"),
    ("npix > 4611686018427387000", lambda r: r["npix"] is not None and r["npix"] > 4611686018427387000),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "wanted"), CASES, ids=[condition for condition, _ in CASES])
def test_rows_that_meet_it(
    catalogue: Catalogue, rows: list[Row], condition: str, wanted: Callable[[Row], bool]
) -> None:
    right = {row["id"] for row in rows if wanted(row)}
    found = catalogue.where(condition)
    assert ids(found) == right
    assert len(found) == len(right)


def test_order_stays(catalogue: Catalogue) -> None:
    everything = catalogue.to_arrow()["id"].to_pylist()
    some = catalogue.where("n > 2").to_arrow()["id"].to_pylist()
    assert some == [name for name in everything if name in set(some)]


def test_a_second_where_narrows(catalogue: Catalogue) -> None:
    both = catalogue.where("n > 4 or flags = 1").where("status = 'ok' or flags = 2")
    assert ids(both) == ids(catalogue.where("(n > 4 or flags = 1) and (status = 'ok' or flags = 2)"))


def test_columns_need_not_be_selected(catalogue: Catalogue) -> None:
    assert catalogue.where("n > 4").select(["id"]).to_arrow().schema.names == ["id"]
    assert len(catalogue.select(["id"]).where("n > 4")) == len(catalogue.where("n > 4"))


def test_a_float_that_is_all_nan_in_a_partition(tmp_path: Path) -> None:
    """Parquet's extremes leave NaN out; a reader that trusts them skips such row groups."""
    table = pa.table({"id": ["a", "b"], "n": [float("nan"), 1.0]})
    catalogue = write_catalogue(tmp_path / "c", [table], threshold=1)
    assert ids(catalogue.where("n is null")) == {"a"}
    assert ids(catalogue.where("n > 0")) == {"b"}


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("nn > 4", "unknown column 'nn'; did you mean 'n'?"),
        ("n > 4 and sttus = 'ok'", "unknown column 'sttus'; did you mean 'status'?"),
        ('status = "ok"', "(text stands in single quotes: 'ok')"),
        ("", "condition is empty"),
        ("n >", "is not understood: syntax error"),
        ("n", "gives double, not true or false"),
        ("n > 'abc'", "cannot be evaluated"),
        ("flags = 'x'", "cannot be evaluated"),
        ("isnan(n)", "write 'is null'"),
        ("1 = 1", "no column"),
        ("n > 4; drop table t", "is not understood"),
        ("n > (select 1)", "a sub-selection"),
        ("exists (select 1)", "a sub-selection"),
        ("n in (select 1)", "a sub-selection"),
        ("n > 4) or (n < 2", None),
        ("n > 4) group by (n", "more than one condition"),
        ("n > 4) order by (n", "more than one condition"),
        ("n > 4) limit (3", "more than one condition"),
        ("n > 4) union select (1", "more than one condition"),
        ("not " * 2000 + "n > 4", ""),
        ("n > 4 /*", "is not understood"),
        ("max(n) > 4", "unknown function 'max'"),
        ("row_number() over () > 4", "a window function"),
        ("n > ?", "a parameter"),
        ("n > $a", "a parameter"),
        ("read_text('/etc/passwd') > id", "unknown function 'read_text'"),
        ("n > getenv('HOME')", "unknown function 'getenv'"),
        ("current_setting('threads') = id", "unknown function"),
        ("columns(*) > 4", "a star"),
        ("list_transform([n], lambda x: x)[1] > 2", "cannot"),
        ("other.n > 4", "unknown column 'other.n'"),
        ("_rows.n > 4", "unknown column '_rows.n'"),
        ("main.abs(n) > 4", "unknown function"),
        ("'a' || id", "gives varchar"),
    ],
)
def test_what_is_no_condition(catalogue: Catalogue, condition: str, message: str | None) -> None:
    if message is None:  # it closes our bracket and opens another: harmless, and all of it counts
        assert ids(catalogue.where(condition).where("flags = 1")) <= ids(catalogue.where("flags = 1"))
        return
    with pytest.raises(InputError) as caught:
        catalogue.where(condition)
    assert message in str(caught.value)


def test_errors_that_only_values_can_show(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "c", [pa.table({"id": ["a"], "text": ["x"], "zero": [0]})])
    with pytest.raises(InputError, match="cannot be evaluated"):
        len(catalogue.where("cast(text as integer) > 1"))


WORDS = [
    "n",
    "ra",
    "id",
    ">",
    "=",
    "4",
    "'x'",
    "and",
    "or",
    "not",
    "(",
    ")",
    ";",
    "--",
    "/*",
    "select",
    "null",
    "is",
    ",",
    "*",
    "?",
    "union",
    "from",
    "'",
    '"',
    "\\",
    "|",
    "\n",
]


@given(text=st.text(max_size=30) | st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join))
def test_any_text_is_a_condition_or_an_input_error(catalogue: Catalogue, text: str) -> None:
    try:
        found = catalogue.where(text)
    except InputError:
        return
    assert ids(found) <= ids(catalogue)


def test_plain_catalogues_filter_the_same(tmp_path: Path, rows: list[Row]) -> None:
    catalogue = write_catalogue(tmp_path / "c", [without_positions(galaxies(300, seed=11))], threshold=50)
    assert ids(catalogue.where("n > 4")) == {row["id"] for row in rows if there(row["n"]) and row["n"] > 4}
