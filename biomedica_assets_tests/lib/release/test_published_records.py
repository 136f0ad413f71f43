"""Our export against records of BIOMEDICA: fields, types, words for nothing; each difference is a listed one.

Two records are at hand: one of the released data (six fields), and one that its serialiser wrote of an invented article
(all fields). Their articles are not ours, so what is compared is form, field by field.
"""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from biomedica_assets.lib.release import compat
from biomedica_assets.lib.release.compat_export import export_biomedica

pytestmark = [pytest.mark.full, pytest.mark.corpus]
FACTS = Path(__file__).resolve().parents[4] / "shared" / "facts" / "biomedica.md"
NOTHING = ("None", [""], "", None)
"""How BIOMEDICA writes that there is no value."""
DIFFERING = {
    # field -> why its type is another one here, as ``compat.DIFFERENCES`` tells
    "article_text": "null: see the article",
}
UNLABELLED = {
    *("image_label_id", "image_panel_type", "image_panel_subtype", "image_primary_label", "image_secondary_label"),
}
"""Fields of labels: nobody labelled the release that is exported here."""


@pytest.fixture(scope="module")
def published() -> list[dict[str, Any]]:
    """The records as they are printed; what is left out of a list is cut."""
    if not FACTS.exists():
        pytest.skip("the published records are not here (../shared/facts)")
    text = FACTS.read_text(encoding="utf-8").partition("## 2.2 Example records")[2].partition("## 2.3")[0]
    real = text.partition("```json")[2].partition("```")[0]
    made = text.partition("[X t4.py]: `")[2].partition("`;")[0]
    made = re.sub(r"\{…[^}]*\}", "{}", made.replace("\n", ""))
    return [json.loads(real), json.loads(made)]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory, release: Path) -> list[dict[str, Any]]:
    target = tmp_path_factory.mktemp("published") / "export"
    export_biomedica(release, target)
    records: list[dict[str, Any]] = []
    for path in sorted(target.rglob("*.tar")):
        with tarfile.open(path) as tar:
            texts = (tar.extractfile(member) for member in tar if member.name.endswith(".json"))
            records.extend(json.loads(stream.read()) for stream in texts if stream)
    return records


def kind(value: Any) -> str:
    """Type of a value as a reader meets it; lists by what they hold."""
    if isinstance(value, list):
        return f"list of {kind(value[0])}" if value else "list"
    return type(value).__name__


def test_the_fields_and_their_order_are_the_serialisers(published, ours):
    _, made = published
    assert tuple(made) == compat.JSON_FIELDS
    assert all(tuple(record) == tuple(made) for record in ours)


def test_every_value_has_the_type_that_the_published_records_have(published, ours):
    """A reader written for theirs meets nothing else, but for null where they have a word for nothing."""
    never = set()
    for theirs in published:
        for field, value in theirs.items():
            if value in NOTHING or field in DIFFERING:
                continue
            found = {kind(record[field]) for record in ours} - {"NoneType", "list"}
            assert found <= {kind(value)}, field
            never |= set() if found else {field}
    assert never == UNLABELLED, "what the release has no value of was not compared"


def test_the_words_of_the_panel_fields_are_theirs(published, ours):
    real, _ = published
    found = {record["image_panel_type"] for record in ours}
    assert real["image_panel_type"] in {"single", "multiple"} and found <= {"single", "multiple", None}
    named = re.compile(r"[^/]+\.\w+")
    assert all(named.fullmatch(r["image_file_name"]) for r in [real, *ours])
    assert all(r["image_file_name"].rpartition(".")[0] == r["image_cluster_id"] for r in [real, *ours])
    assert all(re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{63}", r["image_hash"]) for r in [real, *ours])
    assert all(r["image_label_id"] is None or r["image_label_id"].isdecimal() for r in [real, *ours])


def test_where_they_have_a_word_for_nothing_ours_is_null_or_a_value(published, ours):
    _, made = published
    empty = [field for field, value in made.items() if value in NOTHING]
    assert len(empty) >= 8
    for field in empty:
        assert not any(record[field] in NOTHING[:3] for record in ours), field


def test_each_difference_of_form_is_told_to_whoever_reads_the_export():
    for field in DIFFERING:
        assert f"`{field}`" in compat.DIFFERENCES
