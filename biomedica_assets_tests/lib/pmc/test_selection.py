"""Which articles go on: every rule alone, their order, and what a user may ask for."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.pmc.selection import LeftOut, SelectionRules, read_ids, select
from biomedica_assets.lib.tables import ARTICLE_INDEX

DEFAULTS = {
    "version": 1,
    "etag": "e",
    "title": "Chest radiographs",
    "citation": "PLoS ONE. 2012; doi: x",
    "journal": "PLoS ONE",
    "year": 2012,
    "license_code": "CC BY",
    "license_group": "commercial",
    "is_pmc_openaccess": True,
    "is_manuscript": False,
    "is_historical_ocr": False,
    "is_retracted": False,
    "xml_key": "x",
    "xml_md5": "m",
    "media": [],
    "media_refused": [],
}
SCHEMA = {k: v for k, v in ARTICLE_INDEX.schema.items() if k not in {"selected", "left_out_because"}}


def reasons(rules, *articles):
    rows = []
    for number, fields in enumerate(articles, 1):
        row = {**DEFAULTS, "pmcid": number, **fields}
        rows.append({"article_id": f"PMC{row['pmcid']}.{row['version']}", **row})
    index = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    newest = index.group_by("pmcid").agg(newest=pl.col("version").max())
    frame = select(index, newest, rules)
    assert frame["selected"].to_list() == [reason is None for reason in frame["left_out_because"]]
    return dict(frame.select("article_id", "left_out_because").rows())


def reason(rules=None, **fields):
    (found,) = reasons(rules or SelectionRules(), fields).values()
    return found


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"is_pmc_openaccess": False}, "not_open_access"),
        ({"is_retracted": True}, "retracted"),
        ({"is_historical_ocr": True}, "historical_ocr"),
        ({"license_code": None}, "license_not_allowed"),
        ({"license_code": "TDM"}, "license_not_allowed"),
        ({"license_code": "CC BY-NC-ND"}, None),
        ({"is_manuscript": True}, None),
        ({"xml_key": None}, "no_xml"),
        ({"year": None, "journal": None, "title": None, "citation": None}, None),
    ],
)
def test_the_default_takes_what_is_open_licensed_and_not_retracted(fields, expected):
    assert reason(**fields) == expected


def test_versions_are_compared_as_numbers():
    found = reasons(SelectionRules(), *({"pmcid": 7, "version": v} for v in (1, 2, 10)))
    assert found == {"PMC7.1": "not_newest_version", "PMC7.2": "not_newest_version", "PMC7.10": None}


def test_an_older_version_does_not_stand_in_for_a_retracted_newer_one():
    found = reasons(SelectionRules(), {"pmcid": 7}, {"pmcid": 7, "version": 2, "is_retracted": True})
    assert found == {"PMC7.1": "not_newest_version", "PMC7.2": "retracted"}


def test_all_versions_can_be_had():
    assert set(
        reasons(SelectionRules(newest_version_only=False), {"pmcid": 7}, {"pmcid": 7, "version": 2}).values()
    ) == {None}


@pytest.mark.parametrize(
    ("rules", "taken", "reason_of_the_others"),
    [
        ({"ids": frozenset({"PMC1", "PMC3.1"})}, {1, 3}, "not_in_list"),
        ({"ids": frozenset({"PMC1.2"})}, set(), "not_in_list"),
        ({"license_codes": ("CC0",)}, {2}, "license_not_allowed"),
        ({"journals": ("nature  METHODS",)}, {2}, "journal"),
        ({"year_from": 2013}, {2}, "year"),
        ({"year_to": 2012}, {1}, "year"),
        ({"words": ("mri",)}, {3}, "words"),
        ({"words": ("radiograph",)}, set(), "words"),
        ({"words": ("chest RADIOGRAPHS", "mri")}, {1, 3}, "words"),
        ({"words": ("a.b",)}, set(), "words"),
        ({"limit": 2}, {1, 2}, "over_limit"),
        ({"include_manuscripts": False}, {1, 2}, "manuscript"),
    ],
)
def test_a_cut_of_ones_own(rules, taken, reason_of_the_others):
    articles = [
        {},
        {"journal": "Nature methods", "year": 2020, "title": "axb", "citation": None, "license_code": "CC0"},
        {"journal": None, "year": None, "title": "Mrinal's cats", "citation": "An MRI. 1", "is_manuscript": True},
    ]
    found = reasons(SelectionRules(**rules), *articles)
    assert found == {f"PMC{n}.1": None if n in taken else reason_of_the_others for n in (1, 2, 3)}


def test_unknown_licences_can_be_asked_for_by_name():
    rules = SelectionRules(license_codes=("CC BY", None))
    assert (reason(rules, license_code=None), reason(rules), reason(rules, license_code="TDM")) == (
        None,
        None,
        "license_not_allowed",
    )


def test_a_licence_code_that_does_not_exist_is_refused():
    with pytest.raises(PermanentFailure, match="CC-BY is unknown; there are CC0, CC BY"):
        SelectionRules(license_codes=("CC-BY",))


def test_the_limit_counts_only_what_the_other_rules_take():
    articles = [{"is_retracted": True}, {}, {"is_retracted": True}, {}, {}]
    assert list(reasons(SelectionRules(limit=2), *articles).values()) == [
        "retracted",
        None,
        "retracted",
        None,
        "over_limit",
    ]


@given(st.permutations(range(1, 7)), st.integers(0, 7))
def test_the_limit_takes_the_lowest_numbers_whatever_the_order(order, limit):
    found = reasons(SelectionRules(limit=limit), *({"pmcid": n} for n in order))
    assert [found[f"PMC{n}.1"] for n in range(1, 7)] == [None] * min(limit, 6) + ["over_limit"] * max(0, 6 - limit)


def test_every_reason_is_in_the_vocabulary():
    given = {"not_in_list", "not_newest_version", "not_open_access", "retracted", "historical_ocr", "manuscript"}
    given |= {"license_not_allowed", "journal", "year", "words", "no_xml", "over_limit"}
    assert {str(reason) for reason in LeftOut} == given


def test_equal_cuts_have_equal_digests_and_different_ones_do_not():
    one = SelectionRules(journals=("a", "b"), ids=frozenset({"PMC1", "PMC2"}))
    assert one.digest() == SelectionRules(journals=("b", "a"), ids=frozenset({"PMC2", "PMC1"})).digest()
    others = [
        SelectionRules(),
        SelectionRules(journals=("a",)),
        SelectionRules(limit=1),
        SelectionRules(ids=frozenset({"PMC1"})),
    ]
    assert len({rules.digest() for rules in [one, *others]}) == 5


def test_a_long_list_of_ids_is_recorded_by_its_digest():
    config = SelectionRules(ids=frozenset(f"PMC{n}" for n in range(10_000))).as_config()
    assert config["ids"].startswith("10000 ids, sha256 ")


def test_a_file_of_ids_takes_the_forms_people_write(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("\ufeffPMC12\n\n 34 \n# a comment\npmc56.2  # the second\r\n", encoding="utf-8")
    assert read_ids(path) == {"PMC12", "PMC34", "PMC56.2"}


@pytest.mark.parametrize(
    ("text", "message"), [("PMC1\nPMID 7\n", "line 2"), ("# none\n", "names none"), ("PMC0\n", "line 1")]
)
def test_a_file_of_ids_with_a_mistake_names_the_line(tmp_path, text, message):
    path = tmp_path / "ids.txt"
    path.write_text(text)
    with pytest.raises(PermanentFailure, match=message):
        read_ids(path)
    with pytest.raises(PermanentFailure, match="cannot be read"):
        read_ids(tmp_path / "none.txt")
