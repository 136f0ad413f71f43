"""``biomedica plan``: a forecast from shipped rates, and one from a sample of a source through the real stages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from biomedica_assets import cli
from biomedica_assets.lib.forecast import rates
from biomedica_assets.lib.forecast.contents import PUBMED_CENTRAL
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import PMC_INVENTORY
from biomedica_assets_tests.lib.select.lakes import publish

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def planned(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def plan(*words):
        capsys.readouterr()
        assert cli.main(["plan", "--json", "--data-dir", str(tmp_path / "d"), *words]) == 0
        return json.loads(capsys.readouterr().out)

    return plan


def test_without_an_inventory_it_is_for_all_of_pubmed_central_and_nothing_is_made(tmp_path, planned):
    told = planned("--cores", "16", "--jobs", "8", "--price", "2")
    assert told["contents"] == PUBMED_CENTRAL.model_dump()
    forecast = told["forecast"]
    made = {stage["asset"] for stage in forecast["stages"]}
    left = {asset for asset, _ in forecast["without"]}
    assert {"article_xml", "images", "shards"} <= made and "checkpoints" in left
    assert forecast["money"] == pytest.approx(forecast["seconds"] / 3600 * 2)
    assert forecast["fetched"] == PUBMED_CENTRAL.xml_bytes + PUBMED_CENTRAL.media_bytes
    assert forecast["bottleneck"] and forecast["assumptions"]
    assert told["measured"]["command"].startswith("biomedica plan --measure")
    assert not (tmp_path / "d").exists()


def test_more_cores_machines_and_bandwidth_never_make_it_longer(planned):
    def seconds(*words):
        return planned(*words)["forecast"]["seconds"]

    few = seconds("--cores", "4", "--bandwidth", "100")
    many = seconds("--cores", "64", "--bandwidth", "100")
    assert few > many > seconds("--cores", "64", "--bandwidth", "100", "--machines", "4")
    assert seconds("--cores", "64", "--bandwidth", "1") > many >= seconds("--cores", "64")


def test_an_encoder_is_forecast_where_its_rate_is_known(planned):
    def without(*words):
        return dict(planned("--cores", "16", *words)["forecast"]["without"])

    assert without()["embeddings"].startswith("no rate of encoder vit_large_patch14_reg4_dinov2.lvd142m")
    assert "embeddings" not in without("--cards", "1")
    assert "embeddings" in without("--cards", "1", "--card", "an abacus")


def test_it_is_for_what_the_inventory_lists(tmp_path, planned):
    row = {"snapshot": "s", "gone": 0, "digest": "d", "added": 0, "changed": 0, "absent": 0, "removed": 0}
    listed = {"PMC007-0360": 7, "PMC007-0380": 5, "PMC011-0600": 8}
    publish(Lake(tmp_path / "d"), PMC_INVENTORY, None, [row | {"chunk": c, "rows": n} for c, n in listed.items()])
    contents = planned()["contents"]
    assert (contents["articles"], contents["chunks"], contents["shelves"], contents["figures"]) == (20, 3, 2, 60)
    assert planned("--articles", "4000000")["contents"]["chunks"] == 325


def test_people_read_a_line_for_each_stage_the_whole_the_bottleneck_and_what_it_stands_on(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plan", "--cores", "8", "--data-dir", str(tmp_path / "d")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("8,000,000 articles, 24,000,000 figures")
    assert lines[1].split()[:3] == ["stage", "partitions", "time"]
    assert any(line.startswith("article_xml") and "650" in line for line in lines)
    for start in ("together: ", "bottleneck: ", "assumed: rates of ", "not in it: "):
        assert any(line.startswith(start) for line in lines), start
    assert not any("…" in line for line in lines)


def test_rates_that_are_none_are_refused(tmp_path, capsys):
    assert cli.main(["plan", "--rates", "nobody", "--data-dir", str(tmp_path / "d")]) == 1
    assert "no rates 'nobody'" in capsys.readouterr().err


@pytest.mark.full
def test_a_machine_and_a_source_are_timed_by_a_sample_that_is_thrown_away(tmp_path, demo_mirror):
    """The real stages; in a process of its own, as it points its process at the sample's data directory."""
    command = [sys.executable, "-m", "biomedica_assets.cli", "plan", "--measure", "--sample", "20", "--json"]
    command += ["--source", str(demo_mirror), "--data-dir", str(tmp_path / "d"), "--save", str(tmp_path / "mine.yaml")]
    environment = os.environ | {"BIOMEDICA_ENCODER": "texture", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["contents"]["articles"] >= 55 and told["contents"]["chunks"] == 5
    assert told["forecast"]["assumptions"][1].startswith("wall times as measured here a moment ago")
    found = rates.load(tmp_path / "mine.yaml")
    assert {"pmc_inventory", "article_xml", "figures", "images", "embeddings", "shards", "release_shelf"} <= {
        stage.asset for stage in found.stages
    }
    images = found.of("images")
    assert images is not None and images.partitions >= 5 and 10 < images.units < told["contents"]["images"]
    assert images.wall.of(5, images.units) > 0 and images.peak_bytes > 1 << 20
    assert found.encoder == "texture" and "folder" in found.source and str(tmp_path) not in ended.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.yaml"]
