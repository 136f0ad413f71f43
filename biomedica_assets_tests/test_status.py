"""One screen: what is here, what is behind, what waits for whom, what to type next; nothing is changed by looking."""

from __future__ import annotations

import pytest

from biomedica_assets import cli, settings
from biomedica_assets.commands.graph import _selection
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLE_INDEX, CLUSTER_MODEL, EXPERT_VOTES, IMAGES, PMC_INVENTORY, RELEASE
from biomedica_assets_tests.lib.select.lakes import publish
from biomedica_assets_tests.support.listings import list_chunk
from biomedica_assets_tests.support.mirrors import MirrorBuilder

CHUNK = "PMC007-0360"


@pytest.fixture
def shown(tmp_path, capsys):
    def show(*more):
        capsys.readouterr()
        assert cli.main(["status", "--data-dir", str(tmp_path / "d"), *more]) == 0
        return capsys.readouterr().out.splitlines()

    return show


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path / "d")
    publish(lake, PMC_INVENTORY, None, [])
    list_chunk(lake, CHUNK)
    publish(lake, IMAGES, CHUNK, [{"media_id": "m1", "article_id": "PMC1.1"}])
    return lake


def test_an_empty_directory_is_said_to_be_one_and_stays_so(tmp_path, shown):
    assert shown() == [
        f"{tmp_path / 'd'} holds no data yet",
        f"next: biomedica run --data-dir {tmp_path / 'd'} --source DIR|s3://pmc-oa-opendata",
    ]
    assert not (tmp_path / "d").exists()


def test_what_is_here_behind_and_waiting_fits_one_screen(tmp_path, lake, shown):
    lines = shown()
    assert len(lines) <= 40
    assert lines[0].startswith(f"{tmp_path / 'd'}: source ") and lines[0].endswith("1 chunks")
    assert [line.split() for line in lines if line.startswith("figures")] == [["figures", "1", "1", "0", "0.0"]]
    (behind,) = [n for n, line in enumerate(lines) if line.startswith("out of date: ")]
    assert lines[behind + 1].startswith("  ") and "`biomedica stale` lists all" in "".join(lines)
    waiting = [line for line in lines if line.startswith("waiting: ")]
    assert any(f"embeddings@{CHUNK} for the weights of encoder" in line for line in waiting)
    (those,) = [line for line in lines if line.startswith("waiting for those: ")]
    assert {"neighbours", "embedding_shelf", "cluster_model", "search_vectors"} <= set(those.split(": ")[1].split(", "))
    assert lines[-1] == f"next: biomedica refresh --data-dir {tmp_path / 'd'}"
    assert not (tmp_path / "d" / settings.FILE).exists()


def test_each_asset_is_told_apart_if_asked(lake, shown):
    assert any(line.split()[:3] == ["images", "1", "1"] for line in shown("--all"))


@pytest.mark.parametrize(
    ("there", "votes", "expected"),
    [
        ((), 0, ("run",)),
        ((CLUSTER_MODEL,), 0, ("annotate", "run")),
        ((CLUSTER_MODEL, RELEASE), 0, ("annotate", "ui")),
        ((CLUSTER_MODEL, RELEASE), 1, ("ui",)),
    ],
)
def test_the_next_command_follows_from_what_is_there(tmp_path, there, votes, expected):
    from biomedica_assets.commands.status import next_commands

    lake = Lake(tmp_path)
    for table in there:
        publish(lake, table, None, [])
    publish(lake, EXPERT_VOTES, None, [{"vote_id": "v"}] * votes)
    assert next_commands(lake, any_behind=False) == expected
    assert next_commands(lake, any_behind=True) == ("refresh",)


def test_a_selection_of_chunks_begins_with_the_inventory_where_none_was_read(tmp_path, lake, capsys):
    """It said: 0 partitions made, everything is current."""
    empty = settings.Settings(data_dir=tmp_path / "empty")
    assert _selection(empty, "shards") == ["pmc_inventory", "shards"]
    assert "pmc_inventory is made first" in capsys.readouterr().err
    assert _selection(empty, "taxonomy") == ["taxonomy"]
    assert _selection(settings.Settings(data_dir=tmp_path / "d"), "shards") == ["shards"]


def test_a_selection_is_made_in_an_empty_directory_inventory_first(tmp_path, monkeypatch, capsys):
    for name in ("DAGSTER_HOME", "DAGSTER_DISABLE_TELEMETRY", "BIOMEDICA_DATA_DIR"):
        monkeypatch.setenv(name, "")  # put back afterwards
    monkeypatch.setenv("BIOMEDICA_ENCODER", "texture")
    builder, data = MirrorBuilder(tmp_path / "mirror"), str(tmp_path / "d")
    builder.article("PMC7360001.1")
    builder.inventory("2026-11-21T01-00Z")
    assert cli.main(["run", "--data-dir", data, "--source", str(builder.root), "--select", "article_index"]) == 0
    told, made = capsys.readouterr(), Lake(tmp_path / "d").partitions(ARTICLE_INDEX)
    assert "pmc_inventory is made first" in told.err and " 0 failed" in told.out
    assert made == [CHUNK]
