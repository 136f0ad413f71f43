"""SQL over the catalog through the command: every type becomes text, and nothing is written unasked."""

from __future__ import annotations

import csv
import io
import json

import duckdb
import pytest

from biomedica_assets import cli
from biomedica_assets.lib.store import catalog, sql
from biomedica_assets.lib.store.lake import Lake

EVERY_TYPE = """
select 'a'::blob || '\\xff'::blob as bytes, [1, null, 3] as numbers, {'a': [1], 'b': 'x"y'} as parts,
  map {'k': 1.5} as pairs, interval 1 day as span, '0b0d5e86-32cb-4d1b-9b9d-8c4c7c8b9b4c'::uuid as id,
  1.5::decimal(3, 1) as price, '101'::bit as bits, 'nan'::double as nothing, ['inf'::double] as far,
  date '2026-11-27' as day, E'two\\nlines' as text, null as absent, '' as empty, true as yes, 7 as n, 8 as n
"""


@pytest.fixture
def data_dir(tmp_path):
    catalog.build(Lake(tmp_path / "mine"))
    return str(tmp_path / "mine")


def _ask(data_dir, query, *options):
    return cli.main(["sql", "--data-dir", data_dir, *options, query])


def test_csv_holds_every_type_and_lists_as_json(data_dir, capsys):
    assert _ask(data_dir, EVERY_TYPE, "--format", "csv") == 0
    heads, row = csv.reader(io.StringIO(capsys.readouterr().out))
    found = dict(zip(heads, row, strict=True))
    assert found["bytes"] == "a\\xFF"
    assert json.loads(found["numbers"]) == [1, None, 3]
    assert json.loads(found["parts"]) == {"a": [1], "b": 'x"y'}
    assert json.loads(found["pairs"]) == {"k": 1.5}
    assert (found["text"], found["day"], found["span"]) == ("two\nlines", "2026-11-27", "1 day")
    assert (found["n"], found["n_1"], found["absent"]) == ("7", "8", "")


def test_json_lines_hold_every_type_and_are_strict(data_dir, capsys):
    assert _ask(data_dir, EVERY_TYPE, "--format", "jsonl") == 0

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert found["bytes"] == "a\\xFF"
    assert (found["numbers"], found["parts"]) == ([1, None, 3], {"a": [1], "b": 'x"y'})
    assert (found["nothing"], found["far"], found["absent"]) == (None, [None], None)
    assert (found["price"], found["yes"], found["n"], found["n_1"]) == (1.5, True, 7, 8)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_all_rows_come_over_several_batches(data_dir, capsys, monkeypatch, form):
    monkeypatch.setattr(sql, "BATCH", 100)
    assert _ask(data_dir, "select i from range(5000) t(i)", "--format", form) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5000 + (form == "csv")


def test_an_answer_without_rows_still_has_its_columns(data_dir, capsys):
    assert _ask(data_dir, "select figure_id, label from figures", "--format", "csv") == 0
    assert capsys.readouterr().out == "figure_id,label\n"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "0 SQL statements were given"),
        ("select 1; select 2", "2 SQL statements were given"),
        ("selekt", "refused: Parser Error"),
        ("select * from figurez", 'Did you mean "figures"?'),
        ("create table x (i int)", "this statement writes (CREATE)"),
        ("copy (select 1) to 'x.csv'", "this statement writes (COPY)"),
        ("select 'x'::int", "refused: Conversion Error"),
    ],
)
def test_a_wrong_statement_is_one_line(data_dir, capsys, tmp_path, monkeypatch, query, says):
    monkeypatch.chdir(tmp_path)
    assert _ask(data_dir, query) == 1
    said = capsys.readouterr()
    assert (len(said.err.splitlines()), said.out) == (1, "")
    assert says in said.err
    assert not (tmp_path / "x.csv").exists()


def test_with_leave_a_view_of_ones_own_stays_and_files_are_written(data_dir, tmp_path, capsys):
    assert _ask(data_dir, "create view mine as select 1 as one", "--write") == 0
    assert _ask(data_dir, "from mine", "--format", "jsonl") == 0
    assert capsys.readouterr().out == '{"one":1}\n'
    assert _ask(data_dir, f"copy (from mine) to '{tmp_path}/mine.csv'", "--write") == 0
    assert (tmp_path / "mine.csv").read_text() == "one\n1\n"


def test_a_catalog_that_somebody_writes_or_that_is_none_is_one_line(data_dir, tmp_path, capsys):
    (tmp_path / "mine" / catalog.FILE).write_bytes(b"no database" * 1000)
    assert _ask(data_dir, "from figures") == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_catalog_is_open_for_reading_alone(data_dir, monkeypatch):
    opened = []
    connect = duckdb.connect

    def recording(*arguments, **named):
        opened.append(named)
        return connect(*arguments, **named)

    monkeypatch.setattr(duckdb, "connect", recording)
    assert _ask(data_dir, "select 1") == 0
    assert opened == [{"read_only": True}]
