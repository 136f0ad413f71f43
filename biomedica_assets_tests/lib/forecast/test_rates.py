"""Files of rates: those that are shipped can be read, and one that is none says where."""

from __future__ import annotations

import pytest

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.forecast import rates
from biomedica_assets.lib.forecast.rates import Line
from biomedica_assets.lib.tables import TABLES
from biomedica_assets_tests.lib.forecast import made_up


def test_the_shipped_rates_say_where_when_and_how_they_were_measured():
    for name in rates.names():
        found = rates.load(name)
        assert found.command.startswith("biomedica plan --measure") and found.date and found.versions
        assert found.machine.cores and found.contents.articles
        assert {stage.asset for stage in found.stages} <= set(TABLES)
        assert all(TABLES[stage.asset].partitioning == stage.per for stage in found.stages)


def test_what_cards_do_names_the_command_that_measures_it():
    assert all(rate.command and rate.date and rate.cores and rate.asset in TABLES for rate in rates.cards())


def test_rates_are_read_back_as_they_were_written():
    stage = made_up.stage("images", wall=Line(each=0.5), processor=Line(unit=0.25), peak_bytes=123_456_789)
    given = made_up.rates(stage, bandwidth=1e8)
    assert rates.parse(rates.dump(given), "here") == given


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1", "rates mine.yaml: no YAML"),
        ("source: x", "rates mine.yaml: machine: Field required; measure anew with `biomedica plan --measure`"),
    ],
)
def test_a_file_that_holds_none_says_where(tmp_path, text, said):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PermanentFailure, match="rates"):
        rates.load(path)
    with pytest.raises(PermanentFailure) as error:
        rates.parse(text, "mine.yaml")
    assert str(error.value).startswith(said)


def test_a_name_that_is_none_lists_those_that_are():
    with pytest.raises(PermanentFailure, match=r"no rates 'corpsu': there are corpus, or a file\.yaml"):
        rates.load("corpsu")
