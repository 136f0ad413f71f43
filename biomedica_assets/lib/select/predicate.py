"""The SQL of a recipe: one condition on one sample, checked before it runs, run where nothing can be reached.

Two fences, each enough alone. The parse tree may hold nothing but columns of the view, constants, comparisons, casts,
CASE and functions of a list; no subquery, no window, no aggregate, no second statement. And it runs in a DuckDB in
memory that has no access to files, network or Python variables and whose configuration is locked.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection, Iterator
from typing import Any, cast

import duckdb
import polars as pl

from biomedica_assets.lib.select.catalog_view import BY_NAME
from biomedica_assets.lib.select.definition import RecipeError, suggestion

_CLASSES = frozenset(
    """
    COLUMN_REF CONSTANT COMPARISON CONJUNCTION OPERATOR FUNCTION CAST BETWEEN CASE TYPE COLLATE LAMBDA
    """.split()  # noqa: SIM905 - see below
)
_FUNCTIONS = frozenset(
    """
    abs ceil ceiling floor round sign sqrt ln log log2 log10 pow power exp greatest least mod + - * / // % ^ **
    lower upper length strlen len contains starts_with ends_with prefix suffix trim ltrim rtrim substring substr left
    right replace reverse strpos instr position concat concat_ws || split_part string_split regexp_matches
    regexp_full_match regexp_extract regexp_replace ~~ !~~ ~~* !~~* like_escape not_like_escape ilike_escape
    not_ilike_escape ~ !~ ^@ list_contains list_has array_contains list_has_any list_has_all list_length array_length
    list_value list_filter list_transform list_any_value list_extract array_extract list_position list_distinct
    list_sort coalesce ifnull nullif if try_cast hash md5 && @> <@
    """.split()  # noqa: SIM905 - a list of words reads better than 90 quoted ones
)
_CONCEPT = re.compile(r"(?:kind|content|panel)-[a-z0-9-]+")
_SEALED = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
    "threads": "2",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Predicate:
    """A condition that passed the checks: its text and the columns of the view that it reads."""

    sql: str
    columns: frozenset[str]


def check(sql: str, concepts: Collection[str] = ()) -> Predicate:
    """Parse a condition and refuse what is not one.

    Args:
        sql: an expression, for example ``width >= 224 AND kind = 'figure'``; empty is true.
        concepts: ids of the vocabulary; a text that looks like an id and is none is refused. Empty checks nothing.

    Raises:
        RecipeError: syntax error, more than an expression, an unknown column, function or concept.
    """
    if not sql.strip():
        return Predicate("true", frozenset())
    tree = _parse(sql)
    columns: set[str] = set()
    for node, bound in _walk(tree, frozenset()):
        kind = str(node.get("class"))
        if kind not in _CLASSES:
            raise RecipeError(f"where: {kind.lower()} is not allowed; give one condition on the columns of a sample")
        if kind == "FUNCTION":
            _check_function(node)
        elif kind == "COLUMN_REF":
            name = ".".join(node["column_names"])
            if name in bound:
                continue
            if name not in BY_NAME:
                raise RecipeError(f"where: there is no column {name!r}{suggestion(name, BY_NAME)}; {_known()}")
            columns.add(name)
        elif kind == "CONSTANT" and concepts:
            text = str(node.get("literal", {}).get("text", ""))
            if _CONCEPT.fullmatch(text) and text not in concepts:
                raise RecipeError(f"where: there is no concept {text!r}{suggestion(text, concepts)}")
    predicate = Predicate(sql, frozenset(columns))
    # One row of nulls: types that do not fit show now and not after an hour of reading.
    schema = {name: BY_NAME[name].dtype for name in sorted(columns or {"sample_key"})}
    matches(predicate, pl.DataFrame([dict.fromkeys(schema)], schema=schema))
    return predicate


def matches(predicate: Predicate, samples: pl.DataFrame) -> pl.Series:
    """Which samples meet the condition, a Boolean per row; null counts as no.

    Raises:
        RecipeError: the condition cannot be computed, for example compares a text with a number.
    """
    with duckdb.connect(config=cast("dict[str, Any]", _SEALED)) as connection:
        numbered = pl.DataFrame({"row of the recipe": pl.int_range(samples.height, eager=True)})
        numbered = numbered.with_columns(samples.select(sorted(predicate.columns)))
        connection.register("samples", cast("object", numbered.to_arrow()))
        try:
            found = connection.execute(
                f'SELECT "row of the recipe" FROM samples WHERE (\n{predicate.sql}\n)'  # noqa: S608 - checked above
            ).fetchnumpy()["row of the recipe"]
        except duckdb.Error as error:
            first = str(error).strip().splitlines()[0]
            raise RecipeError(f"where: {first}") from error
    return pl.select(pl.int_range(samples.height)).to_series().is_in(pl.Series(found, dtype=pl.Int64).implode())


def _parse(sql: str) -> dict[str, Any]:
    with duckdb.connect(config=cast("dict[str, Any]", _SEALED)) as connection:
        row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [f"SELECT (\n{sql}\n)"]).fetchone()
    answer: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
    if answer["error"]:
        raise RecipeError(f"where: {answer.get('error_message', 'cannot be parsed')}: {sql.strip()[:200]}")
    statements = answer["statements"]
    node: dict[str, Any] = statements[0]["node"]
    empty = ("modifiers", "group_expressions", "group_sets", "where_clause", "having", "qualify", "sample")
    plain = (
        len(statements) == 1
        and node["type"] == "SELECT_NODE"
        and len(node["select_list"]) == 1
        and node["from_table"]["type"] == "EMPTY"
        and not node["cte_map"]["map"]
        and not statements[0]["named_param_map"]
        and not any(node[name] for name in empty)
    )
    if not plain:
        raise RecipeError(f"where: give one condition, not a statement: {sql.strip()[:200]}")
    return node["select_list"][0]


def _walk(node: Any, bound: frozenset[str]) -> Iterator[tuple[dict[str, Any], frozenset[str]]]:
    """Every expression of a tree, with the names that lambdas around it bind."""
    if isinstance(node, list):
        for child in cast("list[Any]", node):
            yield from _walk(child, bound)
    elif isinstance(node, dict):
        mapping = cast("dict[str, Any]", node)
        if "class" in mapping:
            if mapping["class"] == "LAMBDA":
                names = (n for n, _ in _walk(mapping["lhs"], frozenset()) if n["class"] == "COLUMN_REF")
                bound |= {".".join(n["column_names"]) for n in names}
            yield mapping, bound
        for child in mapping.values():
            yield from _walk(child, bound)


def _check_function(node: dict[str, Any]) -> None:
    name = str(node["function_name"]).lower()
    if node["schema"] or node["catalog"] or name not in _FUNCTIONS:
        words = [known for known in _FUNCTIONS if known[0].isalpha()]
        raise RecipeError(f"where: function {name} is not allowed{suggestion(name, words)}")
    if node["filter"] or node["distinct"] or node["order_bys"]["orders"]:
        raise RecipeError(f"where: {name} is used as an aggregate; give one condition on a single sample")


def _known() -> str:
    return f"columns are {', '.join(BY_NAME)}"
