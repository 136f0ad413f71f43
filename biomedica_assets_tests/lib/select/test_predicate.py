"""The SQL of a recipe is one condition on one sample, and can reach nothing else."""

from __future__ import annotations

import polars as pl
import pytest

from biomedica_assets.lib.select import predicate
from biomedica_assets.lib.select.definition import RecipeError

CONCEPTS = ("kind-plot", "kind-microscopy")


@pytest.mark.parametrize(
    "sql",
    [
        "width >= 224 and height >= 224",
        "list_contains(global, 'kind-plot') and not is_retracted",
        "global && ['kind-plot', 'kind-microscopy']",
        "caption ilike '%mri%' or regexp_matches(caption, 'T[12]-weighted')",
        "year between 2000 and 2010 and article_language = 'en'",
        "len(list_filter(subjects, lambda s: s = 'Radiology')) > 0",
        "case when width > height then true else width * 1.0 / height > 0.5 end",
        "coalesce(global_confidence, 0) >= 0.5",
        "pmid is not null",
    ],
)
def test_conditions_are_accepted(sql: str) -> None:
    assert predicate.check(sql, CONCEPTS).columns


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("widht >= 224", "no column 'widht' .did you mean 'width'"),
        ("list_contains(global, 'kind-plto')", "no concept 'kind-plto' .did you mean 'kind-plot'"),
        ("lowr(caption) = 'x'", "function lowr is not allowed .did you mean 'lower'"),
        ("width >", "syntax error"),
        ("width > 'wide'", "'wide'"),
    ],
)
def test_mistakes_are_named_with_a_suggestion(sql: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        predicate.check(sql, CONCEPTS)


@pytest.mark.parametrize(
    "sql",
    [
        "true) from read_csv('/etc/passwd') where (true",
        "true); drop table samples; select (true",
        "true; select 1",
        "true) --",
        "true /*",
        "(select count(*) from samples) > 1",
        "exists (from read_text('/etc/passwd'))",
        "width in (select 1)",
        "count(*) over () > 1",
        "count(*) > 1",
        "max(width) > 1",
        "read_text('/etc/passwd') is not null",
        "getenv('HOME') = 'x'",
        "current_setting('home_directory') = 'x'",
        "random() > 0.5",
        "columns(*) is null",
        "*",
        "$1",
        "samples.width > 1",
    ],
)
def test_anything_but_a_condition_is_refused(sql: str) -> None:
    with pytest.raises(RecipeError):
        predicate.check(sql, CONCEPTS)


@pytest.mark.parametrize(
    "sql",
    [
        "read_text('/etc/passwd') is not null",
        "(select count(*) from read_csv('/etc/passwd')) > 0",
        "(select count(*) from duckdb_secrets()) > 0 or (select max(content) from glob('/*')) is null",
        "(select count(*) from somewhere) > 0",
    ],
)
def test_the_second_fence_holds_alone(sql: str) -> None:
    """Were the check of the parse tree fooled, the database still reaches no file and no Python variable."""
    somewhere = pl.DataFrame({"a": [1]})
    with pytest.raises(RecipeError):
        predicate.matches(predicate.Predicate(sql, frozenset()), pl.DataFrame({"width": [1]}))
    assert somewhere.height == 1


def test_null_counts_as_no() -> None:
    samples = pl.DataFrame({"width": [1, None, 3]})
    assert predicate.matches(predicate.check("width > 1"), samples).to_list() == [False, False, True]


def test_an_empty_condition_takes_all_and_reads_nothing() -> None:
    found = predicate.check("  ")
    assert (found.columns, predicate.matches(found, pl.DataFrame({"width": [1, 2]})).to_list()) == (
        frozenset(),
        [True, True],
    )
