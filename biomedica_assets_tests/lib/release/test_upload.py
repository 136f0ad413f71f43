"""What is sent, and above all what is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import polars as pl
import pytest

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.release import manifest as manifests
from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.release.upload import refusals, upload
from biomedica_assets.lib.release.verify import verify
from biomedica_assets.lib.tables import ARTICLES, FIGURES, PUBMED_RECORDS, SHARDS
from biomedica_assets_tests.lib.release.hub import Hub


def rewrite(release, table, change):
    """Change a table of a release and sign it again: a release that was built wrongly, not one that was damaged."""
    (path,) = sorted((release / "data" / table.name).glob("*.parquet"))[:1]
    frame = pl.read_parquet(path).with_columns(**change)
    path.unlink()
    frame.write_parquet(path)
    resign(release)


def resign(release):
    path = release / manifests.NAME
    values = json.loads(path.read_text())
    for file in values["files"]:
        file["bytes"] = (release / file["path"]).stat().st_size
        file["sha256"] = manifests.sha256_of(release / file["path"])
    path.write_text(json.dumps(values))


def test_a_sound_release_is_listed_and_nothing_is_sent(release):
    with Hub() as hub:
        found = upload(release, "lab/figures", endpoint=hub.endpoint)
    assert hub.requests == []
    assert found.address is None
    assert found.bytes == sum(path.stat().st_size for path in release.rglob("*") if path.is_file())


def test_a_changed_file_is_not_passed_on(copy):
    (copy / "README.md").write_text("other")
    with Hub() as hub, pytest.raises(PermanentFailure, match=r"README\.md"):
        upload(copy, "lab/figures", dry_run=False, endpoint=hub.endpoint)
    assert hub.requests == []


@pytest.mark.parametrize("code", [None, "TDM", "PD"])
@pytest.mark.parametrize("table", [FIGURES, ARTICLES], ids=["figure", "article"])
def test_a_sample_without_an_open_licence_is_not_passed_on(copy, table, code):
    rewrite(copy, table, {"license_code": pl.lit(code, dtype=pl.String())})
    assert verify(copy) == []
    with Hub() as hub, pytest.raises(PermanentFailure, match="licence"):
        upload(copy, "lab/figures", dry_run=False, endpoint=hub.endpoint)
    assert hub.requests == []


@pytest.mark.parametrize("who", ["pmc", "pubmed", "tombstone"])
def test_a_retracted_article_is_not_passed_on(copy, who):
    if who == "pmc":
        rewrite(copy, ARTICLES, {"is_retracted": pl.lit(value=True)})
    elif who == "pubmed":
        rewrite(copy, PUBMED_RECORDS, {"is_retracted": pl.lit(value=True)})
    else:
        article = scan(copy, SHARDS).select("article_id").collect().item(0, 0)
        (copy / "TOMBSTONES.csv").write_text(f"article_id,reason\n{article},removed\n")
        resign(copy)
    assert any("retract" in sentence for sentence in refusals(copy))


def test_an_article_that_nobody_attributes_is_not_passed_on(copy):
    lines = (copy / "ATTRIBUTION.csv").read_text().splitlines(keepends=True)
    (copy / "ATTRIBUTION.csv").write_text("".join(lines[:1]))
    resign(copy)
    assert any(sentence.startswith("attribution") for sentence in refusals(copy))


def test_what_arrives_is_the_release(release, tmp_path):
    """In a process of its own, as the client reads its environment once; without Xet, whose protocol is not public."""
    program = (
        "import sys; from pathlib import Path; from biomedica_assets.lib.release.upload import upload; "
        "print(upload(Path(sys.argv[1]), 'lab/figures', dry_run=False, token='t', endpoint=sys.argv[2]).address)"
    )
    with Hub() as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        environment["HF_HOME"] = str(tmp_path / "hf")
        command = [sys.executable, "-c", program, str(release), hub.endpoint]
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr[-2000:]
    assert out.stdout.strip().endswith("/commit/1")
    assert hub.created[0]["type"] == "dataset"
    assert hub.created[0].get("private", hub.created[0].get("visibility") == "private")
    for path, data in hub.files.items():
        target = tmp_path / "arrived" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    assert verify(tmp_path / "arrived") == []
