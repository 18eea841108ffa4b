"""Conditions that a user types, such as ``n > 4 and status = 'ok'``: checked, then as SQL that is ours.

DuckDB's parser turns the text into a tree; only a tree made of columns of the catalogue, constants, comparisons,
arithmetic and a few functions is turned back into SQL. What the user typed is never executed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rosse.errors import InputError, unknown_name
from rosse.store.layout import COMMON_METADATA, DATASET
from rosse.store.query import Condition, connect, literal

if TYPE_CHECKING:
    import duckdb

# fmt: off
FUNCTIONS = frozenset((
    "abs", "acos", "asin", "atan", "atan2", "cbrt", "ceil", "ceiling", "concat", "contains", "cos", "degrees",
    "ends_with", "exp", "floor", "greatest", "least", "left", "length", "ln", "log", "log10", "log2", "lower", "mod",
    "pi", "pow", "power", "prefix", "radians", "regexp_matches", "right", "round", "sign", "sin", "sqrt",
    "starts_with", "strlen", "substr", "substring", "suffix", "tan", "trim", "trunc", "upper",
))
OPERATORS = frozenset((
    "+", "-", "*", "/", "//", "%", "**", "^", "&", "|", "~", "<<", ">>", "||", "@", "~~", "!~~", "~~*", "!~~*",
))
# fmt: on
NODES = frozenset(("CONSTANT", "COMPARISON", "CONJUNCTION", "OPERATOR", "BETWEEN", "CASE", "CAST", "FUNCTION", "TYPE"))
OPERATOR_TYPES = frozenset(
    ("OPERATOR_NOT", "OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL", "OPERATOR_COALESCE", "COMPARE_IN", "COMPARE_NOT_IN")
)
FORBIDDEN = {"SUBQUERY": "a sub-selection", "PARAMETER": "a parameter", "WINDOW": "a window function", "STAR": "a star"}
_HEAD = "SELECT 1 FROM t WHERE "


def check(text: str, schema: pa.Schema, directory: Path) -> Condition:
    """The condition if it is one over the catalogue's columns, else an error that says what is wrong.

    Parameters
    ----------
    text : what the user wrote.
    schema : the catalogue's columns.
    directory : where the catalogue lies; only the file that holds the types is read.
    """
    with closing(connect(directory)) as connection:
        tree = _parse(text, connection)
        names = {name.lower(): name for name in schema.names}
        used = dict.fromkeys(_columns(tree["statements"][0]["node"]["where_clause"], text, names))
        sql = _sql(tree, connection)
        kind = _type(sql, text, directory, connection)
    if kind != "BOOLEAN":
        raise InputError(f"condition {text!r} gives {kind.lower()}, not true or false; compare it with something")
    return Condition(text=text.strip(), sql=sql, columns=tuple(used))


def _parse(text: str, connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Syntax tree of the condition; only a lone WHERE clause passes."""
    if not text.strip():
        raise InputError("condition is empty; write for example where(\"n > 4 and status = 'ok'\")")
    # The line break ends a comment, which would swallow the bracket.
    row = connection.execute("SELECT json_serialize_sql(?)", [f"{_HEAD}({text}\n)"]).fetchone()
    assert row is not None
    tree: dict[str, Any] = json.loads(row[0])
    if tree.get("error"):
        raise InputError(f"condition {text!r} is not understood: {tree.get('error_message')}")
    node = tree["statements"][0]["node"]
    alone = len(tree["statements"]) == 1 and node["type"] == "SELECT_NODE" and not node["modifiers"]
    extras = ("group_expressions", "group_sets", "having", "qualify", "sample")
    if not alone or any(node.get(extra) for extra in extras):
        raise InputError(f"condition {text!r} holds more than one condition; join conditions with and, or, not")
    return tree


def _sql(tree: dict[str, Any], connection: duckdb.DuckDBPyConnection) -> str:
    row = connection.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]).fetchone()
    assert row is not None
    assert str(row[0]).startswith(_HEAD)
    return str(row[0]).removeprefix(_HEAD)


def _type(sql: str, text: str, directory: Path, connection: duckdb.DuckDBPyConnection) -> str:
    """DuckDB's type of the condition; nothing is evaluated."""
    import duckdb

    types = literal(str(directory.resolve() / DATASET / COMMON_METADATA))
    try:
        row = connection.execute(f"DESCRIBE SELECT {sql} AS outcome FROM read_parquet({types})").fetchone()
    except duckdb.Error as err:
        raise InputError(f"condition {text!r} cannot be evaluated: {str(err).partition(chr(10))[0]}") from err
    assert row is not None
    return str(row[1])


def _columns(tree: Any, text: str, names: dict[str, str]) -> Iterator[str]:
    """Columns in the tree, every expression of which is checked to be harmless."""
    if isinstance(tree, list):
        for item in tree:
            yield from _columns(item, text, names)
    elif isinstance(tree, dict):
        if tree.get("class") == "COLUMN_REF":
            yield _column(tree, text, names)
        elif "class" in tree:
            _check_node(tree, text)
        for value in tree.values():
            yield from _columns(value, text, names)


def _check_node(node: dict[str, Any], text: str) -> None:
    kind = node["class"]
    if kind == "FUNCTION":
        _check_function(node, text)
    elif kind == "OPERATOR" and node["type"] not in OPERATOR_TYPES:
        raise InputError(f"condition {text!r} uses {node['type'].lower().replace('_', ' ')}, which conditions cannot")
    elif kind not in NODES:
        raise InputError(
            f"condition {text!r} holds {FORBIDDEN.get(kind, kind.lower())}; "
            "only columns, constants, comparisons and arithmetic are allowed"
        )


def _check_function(node: dict[str, Any], text: str) -> None:
    name = str(node["function_name"]).lower()
    if name in ("isnan", "isfinite"):
        raise InputError(f"condition {text!r}: NaN counts as missing here; write 'is null' or 'is not null' for {name}")
    if name not in FUNCTIONS | OPERATORS or node.get("schema") or node.get("filter"):
        raise InputError(f"condition {text!r}: {unknown_name('function', name, FUNCTIONS)}")


def _column(node: dict[str, Any], text: str, names: dict[str, str]) -> str:
    name = ".".join(node["column_names"])
    if name.lower() in names:
        return names[name.lower()]
    hint = f" (text stands in single quotes: '{name}')" if f'"{name}"' in text else ""
    raise InputError(unknown_name("column", name, names.values()) + hint)
