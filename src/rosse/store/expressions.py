"""Conditions that a user types, such as ``n > 4 and status = 'ok'``: checked, then as SQL that is ours.

DuckDB's parser turns the text into a tree; only a tree made of columns of the catalogue, constants, comparisons,
arithmetic and a few functions is turned back into SQL. What the user typed is never executed.
"""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rosse.errors import InputError, unknown_name
from rosse.store.layout import HEALPIX
from rosse.store.query import ROWS, Condition, connect, without_nan

if TYPE_CHECKING:
    import duckdb

# fmt: off
# What can give NaN, by name and by sign.
NUMERIC = frozenset((
    "abs", "acos", "asin", "atan", "atan2", "cbrt", "ceil", "ceiling", "cos", "degrees", "exp", "floor", "ln", "log",
    "log10", "log2", "mod", "pow", "power", "radians", "round", "sin", "sqrt", "tan", "trunc", "+", "-", "*", "/",
    "**", "^", "%",
))
OTHERS = frozenset((
    "concat", "contains", "ends_with", "greatest", "least", "left", "length", "lower", "pi", "prefix",
    "regexp_matches", "right", "sign", "starts_with", "strlen", "substr", "substring", "suffix", "trim", "upper",
    "//", "&", "|", "~", "<<", ">>", "||", "@", "~~", "!~~", "~~*", "!~~*",
))
# fmt: on
NODES = frozenset(("CONSTANT", "COMPARISON", "CONJUNCTION", "OPERATOR", "BETWEEN", "CASE", "CAST", "FUNCTION", "TYPE"))
OPERATOR_TYPES = frozenset(
    ("OPERATOR_NOT", "OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL", "OPERATOR_COALESCE", "COMPARE_IN", "COMPARE_NOT_IN")
)
FORBIDDEN = {"SUBQUERY": "a sub-selection", "PARAMETER": "a parameter", "WINDOW": "a window function", "STAR": "a star"}
_HEAD = "SELECT 1 FROM t WHERE "


def check(text: str, schema: pa.Schema) -> Condition:
    """The condition if it is one over the catalogue's columns, else an error that says what is wrong.

    Parameters
    ----------
    text : what the user wrote.
    schema : the catalogue's columns.

    Notes
    -----
    NaN counts as missing, as comparisons with it fail everywhere else in Python. DuckDB by itself holds NaN for larger
    than every number, so that failed fits would pass ``n > 4`` and negative fluxes ``log10(flux) > 2``.
    """
    try:
        return _check(text, schema)
    except RecursionError:
        raise InputError(f"condition {text[:60]!r}... has too many brackets in each other") from None


def _check(text: str, schema: pa.Schema) -> Condition:
    with closing(connect()) as connection:
        tree = _parse(text, connection)
        node = tree["statements"][0]["node"]
        rewriting = _Rewriting(text, schema, connection)
        node["where_clause"] = rewriting.rewrite(node["where_clause"])
        if not rewriting.columns:
            raise InputError(f"condition {text!r} has no column in it")
        ((sql,),) = connection.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]).fetchall()
        assert sql.startswith(_HEAD)
        condition = Condition(text=text.strip(), sql=sql.removeprefix(_HEAD), columns=tuple(rewriting.columns))
        kind = _type(condition, schema, connection)
    if kind != "BOOLEAN":
        raise InputError(f"condition {text!r} gives {kind.lower()}, not true or false; compare it with something")
    return condition


def _parse(text: str, connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Syntax tree of the condition; only a lone WHERE clause passes."""
    if not text.strip():
        raise InputError("condition is empty; write for example where(\"n > 4 and status = 'ok'\")")
    # The line break ends a comment, which would swallow the bracket.
    ((found,),) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [f"{_HEAD}({text}\n)"]).fetchall()
    tree: dict[str, Any] = json.loads(found)
    if tree.get("error"):
        raise InputError(f"condition {text!r} is not understood: {tree.get('error_message')}")
    node = tree["statements"][0]["node"]
    alone = len(tree["statements"]) == 1 and node["type"] == "SELECT_NODE" and not node["modifiers"]
    extras = ("group_expressions", "group_sets", "having", "qualify", "sample")
    if not alone or any(node.get(extra) for extra in extras):
        raise InputError(f"condition {text!r} holds more than one condition; join conditions with and, or, not")
    return tree


def _type(condition: Condition, schema: pa.Schema, connection: duckdb.DuckDBPyConnection) -> str:
    """DuckDB's type of the condition, which is tried on a row of nulls, so that impossible constants come to light."""
    import duckdb

    fields = [schema.field(name) for name in condition.columns]
    nulls = pa.table([pa.nulls(1, field.type) for field in fields], schema=pa.schema(fields))
    connection.register(ROWS, without_nan(nulls))
    try:
        connection.execute(f"SELECT {condition.sql} AS outcome FROM {ROWS}").fetchall()
        described = connection.execute(f"DESCRIBE SELECT {condition.sql} AS outcome FROM {ROWS}").fetchall()
    except duckdb.Error as err:
        reason = str(err).partition("\n")[0]
        raise InputError(f"condition {condition.text!r} cannot be evaluated: {reason}") from err
    return str(described[0][1])


class _Rewriting:
    """A walk over the tree: every expression is checked to be harmless, and results that may be NaN become null.

    Parameters
    ----------
    text : what the user wrote, for messages.
    schema : the catalogue's columns.
    connection : makes the tree of ``nullif(..., NaN)``, whose form differs between versions of DuckDB.

    Notes
    -----
    DuckDB before 2.0 raises where a logarithm or root of a negative number is NaN; TRY (since 1.3) makes it null.
    """

    def __init__(self, text: str, schema: pa.Schema, connection: duckdb.DuckDBPyConnection) -> None:
        self.text = text
        self.columns: dict[str, None] = {}
        self._names = {name.lower(): name for name in schema.names}
        sign, function = (
            _parse(f"nullif({x}, 'nan'::DOUBLE)", connection)["statements"][0]["node"]["where_clause"]
            for x in ("_x", "TRY(_x)")
        )
        self._nullif = {name: function if name.isalnum() else sign for name in NUMERIC}

    def rewrite(self, tree: Any) -> Any:
        if isinstance(tree, list):
            return [self.rewrite(item) for item in tree]
        if not isinstance(tree, dict):
            return tree
        kind = tree.get("class")
        if kind == "COLUMN_REF":
            name = _column(tree, self.text, self._names)
            self.columns[name] = None
            return {**tree, "column_names": [name]}
        if kind is not None:
            _check_node(tree, self.text)
        inner = {key: self.rewrite(value) for key, value in tree.items()}
        return self._without_nan(inner) if kind == "FUNCTION" and inner["function_name"] in NUMERIC else inner

    def _without_nan(self, node: dict[str, Any]) -> Any:
        def put(tree: Any) -> Any:
            if isinstance(tree, list):
                return [put(item) for item in tree]
            if not isinstance(tree, dict):
                return tree
            if tree.get("class") == "COLUMN_REF":
                return node
            return {key: put(value) for key, value in tree.items()}

        return put(self._nullif[node["function_name"]])


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
    if name not in NUMERIC | OTHERS or node.get("schema") or node.get("filter"):
        raise InputError(f"condition {text!r}: {unknown_name('function', name, filter(str.isalnum, NUMERIC | OTHERS))}")


def _column(node: dict[str, Any], text: str, names: dict[str, str]) -> str:
    name = ".".join(node["column_names"])
    if name.lower() in names:
        return names[name.lower()]
    hint = f" (text stands in single quotes: '{name}')" if f'"{name}"' in text else ""
    offered = (known for known in names.values() if known != HEALPIX)
    raise InputError(unknown_name("column", name, offered) + hint)
