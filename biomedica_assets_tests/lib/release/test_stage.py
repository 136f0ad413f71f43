"""The folder of a release: complete, described, immutable, equal for equal input."""

from __future__ import annotations

import csv
import dataclasses
import json
import os

import polars as pl
import pytest

from biomedica_assets import configs, settings
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.release import stage
from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.release.manifest import load
from biomedica_assets.lib.release.replant import replant
from biomedica_assets.lib.release.stage import ReleaseConfig, build_release
from biomedica_assets.lib.release.statistics import all_statistics
from biomedica_assets.lib.release.verify import compare, verify
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream import index
from biomedica_assets.lib.tables import ARTICLES, CAPTIONS, FIGURES, RELEASE, SHARDS
from biomedica_assets_tests.lib.release import lakes


def test_it_is_what_its_manifest_says(release):
    assert verify(release) == []


def test_the_table_lists_every_file_with_its_digest(lake, release):
    build_release(lake, config=ReleaseConfig(), write_index=index.write)
    rows = lake.read(RELEASE, None)
    assert set(rows["path"]) == {p.relative_to(release).as_posix() for p in release.rglob("*") if p.is_file()}
    named = {file.path: file.sha256 for file in load(release).files}
    assert {p: s for p, s in rows.select("path", "sha256").iter_rows() if p != "MANIFEST.json"} == named


def test_shards_are_on_the_disk_once(lake, release):
    shards = [file.path for file in load(release).kind("shard")]
    assert shards
    for path in shards:
        assert (release / path).samefile(lake.root / path)


def test_without_hard_links_shards_are_referenced(lake, monkeypatch):
    def refuse(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    release = lakes.release(lake, ReleaseConfig(version="referenced"))
    assert all((release / file.path).is_symlink() for file in load(release).kind("shard"))
    assert verify(release) == []


def test_nothing_is_written_a_second_time(lake, release):
    before = {path: path.stat().st_mtime_ns for path in release.rglob("*")}
    report = build_release(lake, config=ReleaseConfig(), write_index=index.write)
    assert report.skipped
    assert {path: path.stat().st_mtime_ns for path in release.rglob("*")} == before


def test_a_version_that_is_taken_by_other_content_is_refused(lake):
    lakes.release(lake, ReleaseConfig(version="v1"))
    with pytest.raises(PermanentFailure, match="never changed"):
        build_release(lake, config=ReleaseConfig(version="v1", name="other"), write_index=index.write)


def test_a_build_that_fails_leaves_no_release(lake, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("power cut")

    monkeypatch.setattr(stage.papers, "attribution", fail)
    with pytest.raises(RuntimeError):
        build_release(lake, config=ReleaseConfig(version="broken"), write_index=index.write)
    assert not list((lake.root / "release").glob("*broken*"))


def test_figures_reconcile_and_every_one_left_out_has_a_reason(lake, release):
    manifest = load(release)
    total = lake.scan(FIGURES).select(pl.len()).collect().item()
    assert total == manifest.counts["figures"] + sum(manifest.left_out.values())


def test_the_manifest_names_no_path_of_this_machine(lake, release):
    text = (release / "MANIFEST.json").read_text()
    assert str(lake.root) not in text
    assert "/tmp" not in text


def test_it_is_rebuilt_byte_by_byte_from_its_inventory(tmp_path, demo_mirror, pubmed, release):
    """Also after the source's inventory has moved on, in another place, time zone and locale."""
    lake = Lake(tmp_path / "anew")
    wanted = replant(release, lake, 20_000)
    lakes.make(tmp_path / "anew", demo_mirror, listed=True, pubmed=str(pubmed))
    made = load(lakes.release(lake, ReleaseConfig(version=wanted.version)))
    assert compare(wanted, made) == []
    assert (lake.root / "release" / wanted.version / "MANIFEST.json").read_bytes() == (
        release / "MANIFEST.json"
    ).read_bytes()


def test_a_rebuild_wants_an_empty_place(lake, release):
    with pytest.raises(PermanentFailure, match="empty"):
        replant(release, lake, 20_000)


def test_every_article_is_attributed(release):
    with (release / "ATTRIBUTION.csv").open(newline="") as handle:
        rows = {row["article_id"]: row for row in csv.DictReader(handle)}
    articles = scan(release, ARTICLES).collect()
    assert set(rows) == set(articles["article_id"])
    for article in articles.iter_rows(named=True):
        row = rows[article["article_id"]]
        assert row["license_code"] == article["license_code"]
        assert row["authors"] == "; ".join(article["authors"])
        assert row["url"] == f"https://pmc.ncbi.nlm.nih.gov/articles/{article['article_id'].split('.')[0]}/"


def test_tables_and_pairs_load_with_hugging_face_datasets(release, tmp_path, monkeypatch):
    import datasets
    import yaml

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    header = yaml.safe_load((release / "README.md").read_text().split("---")[1])
    for config in header["configs"]:
        if config["config_name"] not in {"articles", "captions", "shards"}:
            continue
        files = {d["split"]: str(release / d["path"]) for d in config["data_files"]}
        found = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path))
        assert found["rows"].num_rows == load(release).counts[config["config_name"]]


def test_croissant_is_valid_and_reads_records(release):
    import mlcroissant

    dataset = mlcroissant.Dataset(release / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    records = list(dataset.records("captions"))
    assert len(records) == load(release).counts["captions"]
    named = {file["@id"] for file in json.loads((release / "croissant.json").read_text())["distribution"]}
    assert {file.path for file in load(release).kind("shard")} <= named


def test_statistics_count_what_is_there(release):
    found = {s.name: s.frame for s in all_statistics(release, lambda texts: [len(t.split()) for t in texts])}
    totals = dict(found["totals"].iter_rows())
    assert totals["samples (image and caption)"] == scan(release, SHARDS).collect().height
    assert found["by_license"]["articles"].sum() == totals["articles"]
    assert found["by_license"]["samples"].sum() == totals["samples (image and caption)"]
    years = found["per_year"]
    assert years["articles"].sum() == totals["articles"] == years["articles_up_to"][-1]
    assert found["license_by_year"].drop("year").sum_horizontal().sum() == totals["articles"]
    lengths = {row["what"]: row for row in found["text_lengths"].iter_rows(named=True)}
    captions = scan(release, CAPTIONS).collect()["caption"]
    assert lengths["caption, characters"]["sum"] == captions.str.len_chars().sum()
    assert lengths["caption, tokens"]["sum"] == sum(len(c.split()) for c in captions)
    assert "None" not in set(found["mesh"]["descriptor"])
    per = {row["what"]: row for row in found["per_article"].iter_rows(named=True)}
    assert per["samples per article"]["sum"] == totals["samples (image and caption)"]


def test_no_cell_of_the_statistics_says_none(release):
    assert "None" not in (release / "STATISTICS.md").read_text().replace("None stated", "")


@pytest.mark.full  # real articles
@pytest.mark.corpus
def test_a_release_of_real_articles_is_rebuilt_byte_by_byte(tmp_path, corpus):
    span = {"chunk_span": 1_000_000}
    first = lakes.release(lakes.make(tmp_path / "first", corpus, **span))
    assert verify(first) == []
    lake = Lake(tmp_path / "second")
    wanted = replant(first, lake, 1_000_000)
    second = lakes.release(
        lakes.make(tmp_path / "second", corpus, listed=True, **span), ReleaseConfig(version=wanted.version)
    )
    assert compare(wanted, load(second)) == []
    assert (first / "MANIFEST.json").read_bytes() == (second / "MANIFEST.json").read_bytes()


@pytest.mark.full  # a rebuild
def test_a_list_of_withdrawn_articles_travels_without_its_reasons_and_a_rebuild_keeps_it(tmp_path, demo_mirror):
    """Whoever rebuilds has to leave out the same articles; why the user did so is nobody's business."""
    values = settings.Settings(data_dir=tmp_path / "none", license_groups=lakes.ALL_GROUPS)
    lake = lakes.make(tmp_path / "plain", demo_mirror)
    article = lake.scan(ARTICLES).collect()["article_id"][0]
    listed = tmp_path / "mine.txt"
    listed.write_text(f"{article} # a private reason\n")

    def made(root, path, **more):
        given = values.model_copy(update={"data_dir": root, "withdrawals_file": path})
        config = dataclasses.replace(configs.release_config(given), settings={}, **more)
        return lakes.release(lakes.make(root, demo_mirror, withdrawals_file=path, listed=bool(more)), config)

    first = made(tmp_path / "first", listed)
    assert (first / "withdrawn.txt").read_text() == f"{article}\n"
    assert article not in set(scan(first, ARTICLES).collect()["article_id"])
    assert f"{article},withdrawn\n" in (first / "TOMBSTONES.csv").read_text()
    for path in first.rglob("*"):
        assert not path.is_file() or b"a private reason" not in path.read_bytes()
    wanted = replant(first, Lake(tmp_path / "second"), 20_000)
    second = made(tmp_path / "second", first / "withdrawn.txt", version=wanted.version)
    assert compare(wanted, load(second)) == []
    assert (first / "MANIFEST.json").read_bytes() == (second / "MANIFEST.json").read_bytes()
