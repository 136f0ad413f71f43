"""What may be passed on."""

from __future__ import annotations

import tarfile

import polars as pl
import pytest

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.release.manifest import load
from biomedica_assets.lib.release.rights import Rules, allowed
from biomedica_assets.lib.release.stage import ReleaseConfig
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLES, CAPTIONS, FIGURES, IMAGES, MENTIONS, PUBMED_RECORDS, SHARDS
from biomedica_assets_tests.lib.release import lakes
from biomedica_assets_tests.lib.select.lakes import publish

CHUNK = "PMC000-0000"


def decide(tmp_path, articles, figures, rules=None, retracted=()):
    """article -> code, figure -> (article, code); returns kept figures and reasons."""
    lake = Lake(tmp_path)
    rows = [{"article_id": a, "license_code": c, "is_retracted": a.endswith("9.1")} for a, c in articles.items()]
    publish(lake, ARTICLES, CHUNK, rows)
    named = [{"figure_id": f, "article_id": a, "license_code": c} for f, (a, c) in figures.items()]
    publish(lake, FIGURES, CHUNK, named)
    publish(lake, IMAGES, CHUNK, [{**row, "media_id": f"{row['figure_id']}-m"} for row in named])
    publish(lake, PUBMED_RECORDS, CHUNK, [{"article_id": a, "is_retracted": True} for a in retracted])
    found = allowed(lake, CHUNK, rules or Rules())
    assert [m.removesuffix("-m") for m in found.media] == found.figures.to_list()
    assert found.n_figures == found.figures.len() + len(found.rejects)
    return found.figures.to_list(), {r.subject: r.reason.value for r in found.rejects}


def test_a_figures_own_permission_decides_against_its_articles_licence(tmp_path):
    kept, why = decide(
        tmp_path,
        {"PMC1.1": "CC BY"},
        {"own": ("PMC1.1", None), "tdm": ("PMC1.1", "TDM"), "same": ("PMC1.1", "CC BY"), "nc": ("PMC1.1", "CC BY-NC")},
    )
    assert kept == ["same", "nc"]
    assert why == {"own": "license_not_allowed", "tdm": "license_not_allowed"}


def test_an_open_figure_does_not_open_a_closed_article(tmp_path):
    kept, _ = decide(tmp_path, {"PMC1.1": None, "PMC2.1": "TDM"}, {"a": ("PMC1.1", "CC BY"), "b": ("PMC2.1", "CC0")})
    assert kept == []


def test_nothing_of_a_retracted_article_goes_on_whoever_says_so(tmp_path):
    kept, why = decide(
        tmp_path,
        {"PMC9.1": "CC BY", "PMC2.1": "CC BY", "PMC3.1": "CC BY"},
        {"pmc": ("PMC9.1", "CC BY"), "pubmed": ("PMC2.1", "CC BY"), "fine": ("PMC3.1", "CC BY")},
        retracted=["PMC2.1"],
    )
    assert kept == ["fine"]
    assert why == {"pmc": "retracted", "pubmed": "retracted"}


@pytest.mark.parametrize(("nd", "kept"), [(True, ["a", "b"]), (False, [])])
def test_licences_without_derivatives_can_be_left_out(tmp_path, nd, kept):
    figures = {"a": ("PMC1.1", "CC BY-ND"), "b": ("PMC1.1", "CC BY-NC-ND")}
    assert decide(tmp_path, {"PMC1.1": "CC BY-ND"}, figures, Rules(no_derivatives=nd))[0] == kept


def test_no_release_takes_the_group_other():
    with pytest.raises(PermanentFailure, match="other"):
        Rules(("commercial", "other"))


def test_no_table_and_no_shard_of_a_release_names_what_may_not_be_passed_on(lake, release):
    """The demo's shards were made with all groups, so they do hold such samples."""
    before = lake.scan(SHARDS).filter(license_group="other").collect()
    assert before.height
    assert load(release).left_out["license_not_allowed"] > 0
    for table in (ARTICLES, FIGURES, IMAGES, SHARDS):
        assert "other" not in set(scan(release, table).select("license_group").collect().to_series())
    figures = set(scan(release, FIGURES).select("figure_id").collect().to_series())
    for table in (CAPTIONS, MENTIONS, IMAGES, SHARDS):
        assert set(scan(release, table).select("figure_id").collect().to_series()) <= figures
    gone = set(before["sample_key"])
    for tar in sorted((release / "shards").rglob("*.tar")):
        with tarfile.open(tar) as opened:
            assert not gone & {name.partition(".")[0] for name in opened.getnames()}, tar


def test_a_shard_of_which_samples_are_left_out_keeps_the_bytes_of_the_others(lake, release):
    theirs = {row["sample_key"]: row for row in lake.scan(SHARDS).collect().iter_rows(named=True)}
    rewritten = 0
    for row in scan(release, SHARDS).collect().iter_rows(named=True):
        old = theirs[row["sample_key"]]
        rewritten += row["shard"] != old["shard"]
        for start, size in (("image_start", "image_bytes"), ("txt_start", "txt_bytes"), ("json_start", "json_bytes")):
            with (release / row["shard"]).open("rb") as new, (lake.root / old["shard"]).open("rb") as was:
                new.seek(row[start])
                was.seek(old[start])
                assert new.read(row[size]) == was.read(old[size])
    assert rewritten == 0, "the demo keeps licence groups apart, so no shard mixes them"


def test_leaving_out_some_licences_of_a_shard_rewrites_it(lake):
    config = ReleaseConfig(version="without-nd", rules=Rules(no_derivatives=False))
    release = lakes.release(lake, config)
    samples = scan(release, SHARDS).collect()
    codes = scan(release, FIGURES).select("figure_id", "license_code").collect()
    assert not codes["license_code"].str.ends_with("ND").any()
    assert samples["shard"].is_in(lake.scan(SHARDS).select("shard").collect().to_series().implode()).not_().any()
    for (name,), part in samples.group_by("shard"):
        with tarfile.open(release / name) as tar:
            by_name = {member.name: member.offset_data for member in tar.getmembers()}
        for row in part.iter_rows(named=True):
            key = row["sample_key"]
            assert by_name[f"{key}.{row['image_ext']}"] == row["image_start"]
            assert (by_name[f"{key}.txt"], by_name[f"{key}.json"]) == (row["txt_start"], row["json_start"])
        assert part.height * 3 == len(by_name)


def test_tombstones_name_what_is_retracted(release):
    rows = pl.read_csv(release / "TOMBSTONES.csv")
    assert "retracted" in set(rows["reason"])
    assert not set(rows["article_id"]) & set(scan(release, ARTICLES).select("article_id").collect().to_series())
