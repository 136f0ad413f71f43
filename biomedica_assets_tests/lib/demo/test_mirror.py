"""The mirror: the bucket's layout, right checksums, the same bytes each time."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import random
import re
from pathlib import Path

import pytest
from lxml import etree

from biomedica_assets.lib import chunks
from biomedica_assets.lib.demo import DemoSummary, Truth, write_mirror
from biomedica_assets.lib.demo.inventory import BASE, FIRST_DATE, inventory_dates, publish_inventory, read_inventory
from biomedica_assets.lib.demo.plan import MINIMUM, plans
from biomedica_assets.lib.errors import PermanentFailure, RejectReason


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def records(root: Path) -> dict[str, dict]:
    """Metadata by article id, the broken one left out."""
    found = {}
    for path in sorted((root / "metadata").glob("*.json")):
        try:
            found[path.stem] = json.loads(path.read_bytes())
        except json.JSONDecodeError:
            continue
    return found


def test_two_writes_give_the_same_bytes(summary: DemoSummary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another time zone and another order of directory entries must not show."""
    listing = Path.glob

    def shuffled(self: Path, pattern: str) -> list[Path]:
        found = list(listing(self, pattern))
        random.Random(3).shuffle(found)
        return found

    monkeypatch.setattr(Path, "glob", shuffled)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    again = write_mirror(tmp_path / "mirror", seed=7, articles=MINIMUM)
    assert digests(again.root) == digests(summary.root)
    assert again.truth_path.read_bytes() == summary.truth_path.read_bytes()


def test_another_seed_gives_another_mirror() -> None:
    assert [plan.pmcid for plan in plans(7, MINIMUM)] != [plan.pmcid for plan in plans(8, MINIMUM)]


def test_every_key_is_one_that_the_bucket_could_have(summary: DemoSummary) -> None:
    allowed = re.compile(
        r"README\.txt|metadata/PMC\d+\.\d+\.json|(PMC\d+\.\d+)/(\1\.(xml|json|txt)|[^/]+\.(jpg|png|gif|tif|webp|csv|mp4))"
        rf"|{BASE}/(data/[0-9a-f-]{{36}}\.csv\.gz|\d{{4}}-\d\d-\d\dT01-00Z/manifest\.(json|checksum))"
    )
    assert [key for key in digests(summary.root) if not allowed.fullmatch(key)] == []


def test_the_truth_is_not_inside_the_mirror(summary: DemoSummary) -> None:
    assert not summary.truth_path.is_relative_to(summary.root)


def test_both_copies_of_a_metadata_json_are_equal(summary: DemoSummary) -> None:
    for path in (summary.root / "metadata").glob("*.json"):
        assert (summary.root / path.stem / path.name).read_bytes() == path.read_bytes()


def test_every_md5_is_right_but_for_the_planted_ones(summary: DemoSummary, truth: Truth) -> None:
    wrong, gone = set(), set()
    for article_id, record in records(summary.root).items():
        urls = [record["xml_url"], *record["media_urls"], *filter(None, [record.get("text_url")])]
        for url in urls:
            key, _, digest = url.removeprefix("s3://pmc-oa-opendata/").partition("?md5=")
            path = summary.root / key
            if not path.is_file():
                gone.add(article_id)
            elif md5(path.read_bytes()) != digest:
                wrong.add(article_id)

    def planted(reason: RejectReason) -> set[str]:
        return {reject.article_id for reject in truth.rejects if reject.reason == reason}

    assert wrong == planted(RejectReason.CHECKSUM_MISMATCH)
    assert gone == planted(RejectReason.OBJECT_MISSING)
    assert len(wrong) == 2
    assert len(gone) == 1


def test_the_inventory_lists_every_metadata_json_with_its_md5(summary: DemoSummary) -> None:
    rows = {key: etag for key, _, etag in read_inventory(summary.root, FIRST_DATE)}
    assert rows == {f"metadata/{p.name}": md5(p.read_bytes()) for p in (summary.root / "metadata").iterdir()}
    folder = summary.root / BASE / f"{FIRST_DATE}T01-00Z"
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert (folder / "manifest.checksum").read_text().strip() == md5((folder / "manifest.json").read_bytes())
    for entry in manifest["files"]:
        data = (summary.root / entry["key"]).read_bytes()
        assert (len(data), md5(data)) == (entry["size"], entry["MD5checksum"])
        for row in csv.reader(io.StringIO(gzip.decompress(data).decode())):
            assert len(row) == len(manifest["fileSchema"].split(","))


def test_articles_lie_on_two_shelves_in_several_chunks(summary: DemoSummary) -> None:
    assert {chunks.shelf_of_chunk(chunk) for chunk in summary.chunks} == {"PMC007", "PMC011"}
    assert len(summary.chunks) >= 4


def test_only_the_planted_xml_is_malformed(summary: DemoSummary, truth: Truth) -> None:
    broken = set()
    for path in summary.root.glob("PMC*/*.xml"):
        try:
            etree.parse(path)
        except etree.XMLSyntaxError:
            broken.add(path.stem)
    assert broken == {r.article_id for r in truth.rejects if r.reason == RejectReason.XML_MALFORMED}
    assert len(broken) == 1


def test_versions_are_of_one_article_and_ten_is_newer_than_two(summary: DemoSummary, truth: Truth) -> None:
    versions: dict[int, list[int]] = {}
    for article in truth.articles:
        pmcid, version = chunks.parse_article_id(article.article_id)
        versions.setdefault(pmcid, []).append(version)
    assert sorted(v for v in versions.values() if len(v) > 1) == [[1, 2], [2, 10]]
    selected = {a.article_id.split(".")[1] for a in truth.articles if a.left_out_because == "not_newest_version"}
    assert selected == {"1", "2"}


def test_too_few_articles_are_refused() -> None:
    with pytest.raises(ValueError, match=str(MINIMUM)):
        plans(0, MINIMUM - 1)


def test_a_folder_that_is_no_demo_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(PermanentFailure, match="no demo mirror"):
        write_mirror(tmp_path, articles=MINIMUM)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_inventory_date_has_to_be_later_than_the_last(copy: Path) -> None:
    with pytest.raises(PermanentFailure, match="not later"):
        publish_inventory(copy, FIRST_DATE)
    with pytest.raises(PermanentFailure, match="not a date"):
        publish_inventory(copy, "tomorrow")
    publish_inventory(copy, "2026-11-22")
    assert inventory_dates(copy) == [FIRST_DATE, "2026-11-22"]
    assert read_inventory(copy, "2026-11-22") == read_inventory(copy, FIRST_DATE)
