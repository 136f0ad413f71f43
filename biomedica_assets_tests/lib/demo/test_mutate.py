"""A change changes what its name says, its checksums, and nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from biomedica_assets.lib.demo import DemoSummary, Truth, mutate
from biomedica_assets.lib.demo.inventory import FIRST_DATE, publish_inventory, read_inventory
from biomedica_assets.lib.errors import PermanentFailure

NEXT = "2026-11-22"


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture
def article_id(truth: Truth) -> str:
    return next(a.article_id for a in truth.articles if a.parsed and not a.constructs and a.figures)


def apply(name: str, root: Path, article_id: str) -> mutate.Mutation:
    if name == "add_article":
        return mutate.add_article(root, 7_341_999)
    return getattr(mutate, name)(root, article_id)


NAMES = ("change_caption", "change_licence", "retract", "replace_image", "remove_article", "add_article", "add_version")


@pytest.mark.parametrize("name", NAMES)
def test_exactly_the_named_keys_change(name: str, copy: Path, article_id: str) -> None:
    before = contents(copy)
    done = apply(name, copy, article_id)
    after = contents(copy)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert changed == set(done.keys)
    assert done.name == name
    assert all(done.article_id in key for key in changed)


@pytest.mark.parametrize("name", NAMES)
def test_checksums_of_a_changed_article_are_right(name: str, copy: Path, article_id: str) -> None:
    done = apply(name, copy, article_id)
    path = copy / "metadata" / f"{done.article_id}.json"
    if name == "remove_article":
        assert not path.exists()
        return
    record = json.loads(path.read_bytes())
    for url in [record["xml_url"], record["text_url"], *record["media_urls"]]:
        key, _, digest = url.removeprefix("s3://pmc-oa-opendata/").partition("?md5=")
        assert hashlib.md5((copy / key).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("name", NAMES)
def test_the_next_inventory_differs_in_one_row(name: str, copy: Path, article_id: str) -> None:
    done = apply(name, copy, article_id)
    publish_inventory(copy, NEXT)
    before, after = (set(read_inventory(copy, date)) for date in (FIRST_DATE, NEXT))
    assert {key for key, _, _ in before ^ after} == {f"metadata/{done.article_id}.json"}
    assert len(after - before) == (0 if name == "remove_article" else 1)


def test_only_the_caption_of_the_xml_changes(copy: Path, article_id: str) -> None:
    path = copy / article_id / f"{article_id}.xml"
    before = path.read_text()
    mutate.change_caption(copy, article_id, "Corrected & <better>")
    after = path.read_text()
    assert "Corrected &amp; &lt;better&gt;" in after
    start = next(k for k, (a, b) in enumerate(zip(before, after, strict=False)) if a != b)
    assert before[:start].rfind("<caption>") > before[:start].rfind("</caption>")


def test_a_licence_change_shows_in_metadata_and_xml(copy: Path, article_id: str) -> None:
    mutate.change_licence(copy, article_id, "CC BY-NC")
    assert json.loads((copy / "metadata" / f"{article_id}.json").read_bytes())["license_code"] == "CC BY-NC"
    xml = (copy / article_id / f"{article_id}.xml").read_text()
    assert "licenses/by-nc/4.0/" in xml
    assert "licenses/by/4.0/" not in xml


def test_retracting_sets_one_field(copy: Path, article_id: str, summary: DemoSummary) -> None:
    mutate.retract(copy, article_id)
    before, after = (json.loads((r / "metadata" / f"{article_id}.json").read_bytes()) for r in (summary.root, copy))
    assert {k for k in after if after[k] != before[k]} == {"is_retracted"}


def test_a_new_version_comes_with_its_truth(copy: Path, article_id: str) -> None:
    done = mutate.add_version(copy, article_id)
    assert done.article is not None
    assert done.article.article_id == article_id.replace(".1", ".2")
    assert len(done.article.figures) == 3


def test_mistakes_are_refused_with_the_way_out(copy: Path, article_id: str) -> None:
    with pytest.raises(PermanentFailure, match=r"no article version PMC1\.1"):
        mutate.retract(copy, "PMC1.1")
    with pytest.raises(PermanentFailure, match="already"):
        mutate.add_article(copy, int(article_id[3:].split(".", maxsplit=1)[0]))
    with pytest.raises(PermanentFailure, match="GPL"):
        mutate.change_licence(copy, article_id, "GPL")
    with pytest.raises(PermanentFailure, match=r"nothing\.jpg"):
        mutate.replace_image(copy, article_id, "nothing.jpg")
