"""The group annotations in Dagster: votes are noticed, reach the labels, and a bad consensus fails its check."""

import dagster as dg
import polars as pl
import pytest

from biomedica_assets import partitions, resources, settings
from biomedica_assets.assets import annotations as group
from biomedica_assets.assets import labels as label_group
from biomedica_assets.automation.votes import expert_votes_sensor
from biomedica_assets.checks import annotations as checks
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.chunks import chunk_range
from biomedica_assets.lib.tables import ANNOTATIONS, EXPERT_VOTES, FIGURE_LABELS
from biomedica_assets.links import SHOWN
from biomedica_assets_tests.lib.annotate import synthetic
from biomedica_assets_tests.lib.annotate.voting import BAR, vote
from biomedica_assets_tests.support.listings import list_chunk

CHUNK = "PMC000-0000"


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "CHUNK", CHUNK)
    lake = synthetic.synthetic_lake(tmp_path / "data", clusters=3, members=2)
    list_chunk(lake, CHUNK)
    partitions.follow(lake.root)
    box = BallotBox(lake.root, load())
    for name in ("ada", "ben"):
        box.register.ensure(name)
        box.append([vote(f"{name}-1", name, 1, BAR)])
    return lake


@pytest.fixture
def given(lake):
    return resources.build(settings.Settings(data_dir=lake.root))


def look(instance, given, cursor=None):
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources={"lake": given["lake"]}) as context:
        return expert_votes_sensor(context)


def test_the_sensor_reports_new_votes_once_with_the_version_of_the_table(lake, given):
    with dg.DagsterInstance.ephemeral() as instance:
        first = look(instance, given)
        (event,) = first.asset_events
        version = lake.manifest(EXPERT_VOTES, None).data_version
        assert event.tags["dagster/data_version"] == version
        assert isinstance(look(instance, given, first.cursor), dg.SkipReason)
        BallotBox(lake.root, load()).append([vote("ada-2", "ada", 2, BAR)])
        (event,) = look(instance, given, first.cursor).asset_events
        assert event.tags["dagster/data_version"] == lake.manifest(EXPERT_VOTES, None).data_version != version


def run(given, instance, *assets, partition=None):
    definitions = dg.Definitions(
        assets=dg.load_assets_from_modules([group, label_group], include_specs=True),
        asset_checks=dg.load_asset_checks_from_modules([checks]),
        resources=given,
        executor=dg.in_process_executor,
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey(name) for name in assets]
    return job.execute_in_process(
        instance=instance, asset_selection=keys, partition_key=partition, raise_on_error=False
    )


def test_votes_reach_the_labels_of_a_chunk(lake, given):
    with dg.DagsterInstance.ephemeral() as instance:
        look(instance, given)
        assert run(given, instance, "taxonomy", "annotations", "annotator_agreement", "annotator_confusion").success
        assert run(given, instance, "panels", partition=CHUNK).success
        assert run(given, instance, "label_verdicts", "audited_labels", partition=CHUNK[:6]).success
        assert run(given, instance, "label_audit", "label_calibration", "label_corrections").success
        assert run(given, instance, "figure_labels", partition=CHUNK).success
        made = [
            instance.get_latest_materialization_event(dg.AssetKey(name)).asset_materialization
            for name in ("figure_labels", "annotations")
        ]
    pages = [one.metadata[SHOWN] for one in made]
    assert all(isinstance(page, dg.UrlMetadataValue) for page in pages)
    first = chunk_range(CHUNK, settings.Settings().chunk_span)[0]
    assert [page.url for page in pages] == [
        f"http://127.0.0.1:8766/?pmcids={first}-{first + 19_999}", "http://127.0.0.1:8766/clusters",
    ]  # fmt: skip
    labels = dict(lake.read(FIGURE_LABELS, CHUNK).select("cluster", "local").iter_rows())
    assert labels == {0: None, 1: ["kind-bar-plot"], 2: None}


def test_a_consensus_against_the_hierarchy_fails_its_blocking_check(lake, given):
    with dg.DagsterInstance.ephemeral() as instance:
        look(instance, given)
        assert run(given, instance, "taxonomy", "annotations").success
        bad = pl.when(pl.col("question") == "global").then(pl.lit(["kind-map"])).otherwise("answer")
        rows = list(lake.read(ANNOTATIONS, None).with_columns(answer=bad).iter_rows(named=True))
        synthetic.publish(lake, ANNOTATIONS, None, rows)
        found = checks.hierarchy_holds(given["lake"])
    assert not found.passed
    assert "needs the global concept 'plot or chart'" in found.metadata["first"].value
