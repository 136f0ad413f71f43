"""What the UI asks: the same GraphQL, answered in this process over a real instance."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.full  # a real web server over a run of all chunks

ROOT = Path(__file__).resolve().parents[2]

# Partitions are computed when the graph is imported, so a graph over another data directory is another process.
PROGRAM = """
import json, sys
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.testclient import TestClient

with DagsterInstance.get() as instance:
    target = ModuleTarget("biomedica_assets.definitions", None, None, "biomedica")
    with WorkspaceProcessContext(instance, target) as context:
        client = TestClient(create_app_from_workspace_process_context(context))
        for line in sys.stdin:
            asked = json.loads(line)
            # The code server logs to the same standard output.
            print("ANSWER" + json.dumps(client.post("/graphql", json=asked).json()), flush=True)
"""


@pytest.fixture(scope="module")
def ask(tmp_path_factory, demo_mirror):
    """A function from a GraphQL query to its answer, over a data directory whose first chunk was made."""
    data = tmp_path_factory.mktemp("ui") / "data"
    environment = {**os.environ, "BIOMEDICA_DATA_DIR": str(data), "DAGSTER_HOME": str(data / "dagster_home")}
    command = [
        sys.executable,
        "-m",
        "biomedica_assets.cli",
        "run",
        "--data-dir",
        str(data),
        "--source",
        str(demo_mirror),
    ]
    subprocess.run(
        [*command, "--chunk", "PMC007-0360", "--select", "pmc_inventory,*shards"], check=True, cwd=ROOT, env=environment
    )
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    assert process.stdin is not None and process.stdout is not None

    def query(text, **variables):
        process.stdin.write(json.dumps({"query": text, "variables": variables}) + "\n")
        process.stdin.flush()
        line = next(line for line in process.stdout if line.startswith("ANSWER"))
        answer = json.loads(line.removeprefix("ANSWER"))
        assert "errors" not in answer, answer
        return answer["data"]

    broken = query(
        "{workspaceOrError{... on Workspace{locationEntries{locationOrLoadError{... on PythonError{message}}}}}}"
    )
    assert "message" not in json.dumps(broken), broken
    yield query
    process.stdin.close()
    process.wait(timeout=600)
    process.stdout.close()


def test_partitions_that_were_made_are_shown_as_made(ask):
    found = ask(
        '{assetNodeOrError(assetKey:{path:["shards"]}){... on AssetNode{partitionStats{numMaterialized numFailed}'
        " groupName kinds description}}}"
    )["assetNodeOrError"]
    assert found["partitionStats"] == {"numMaterialized": 1, "numFailed": 0}
    assert found["groupName"] == "shards"
    assert "WebDataset" in found["description"]


def test_a_materialisation_carries_counts_schema_lineage_and_a_picture(ask):
    found = ask(
        '{assetNodeOrError(assetKey:{path:["images"]}){... on AssetNode{assetMaterializations(limit:1){partition'
        " metadataEntries{__typename label ... on IntMetadataEntry{intValue} ... on MarkdownMetadataEntry{mdStr}"
        " ... on TableColumnLineageMetadataEntry{lineage{columnName columnDeps{columnName}}}}}}}}"
    )["assetNodeOrError"]["assetMaterializations"][0]
    entries = {entry["label"]: entry for entry in found["metadataEntries"]}
    assert found["partition"] == "PMC007-0360"
    assert entries["dagster/partition_row_count"]["intValue"] > 10
    assert entries["items_in"]["intValue"] == entries["items_out"]["intValue"] + entries["rejected"]["intValue"]
    lineage = {e["columnName"]: e["columnDeps"] for e in entries["dagster/column_lineage"]["lineage"]}
    assert lineage["figure_id"] == [{"columnName": "figure_id"}]
    assert any("data:image/" in entry.get("mdStr", "") for entry in entries.values())


def test_checks_of_a_chunk_have_passed(ask):
    found = ask(
        '{assetNodeOrError(assetKey:{path:["figures"]}){... on AssetNode{assetChecksOrError{... on AssetChecks{checks'
        "{name blocking executionForLatestMaterialization{status}}}}}}}"
    )["assetNodeOrError"]["assetChecksOrError"]["checks"]
    assert {check["name"] for check in found} == {"schema", "counts_reconcile", "rejects_within_tolerance"}
    assert all(check["blocking"] for check in found)
    assert {check["executionForLatestMaterialization"]["status"] for check in found} == {"SUCCEEDED"}


def test_the_root_of_all_lineage_has_a_data_version_per_chunk(ask):
    found = ask(
        '{assetNodeOrError(assetKey:{path:["chunk_listing"]}){... on AssetNode{isExecutable partitionStats'
        "{numMaterialized} assetMaterializations(limit:50){partition tags{key value}}}}}"
    )["assetNodeOrError"]
    assert found["isExecutable"] is False
    assert found["partitionStats"]["numMaterialized"] >= 4
    for event in found["assetMaterializations"]:
        assert any(tag["key"] == "dagster/data_version" and tag["value"] for tag in event["tags"])


def test_partitions_are_the_chunks_of_the_inventory(ask):
    """A thousand keys of which five can be made read as "0 % filled", and "Missing" offered runs that had to fail."""
    found = ask(
        '{assetNodeOrError(assetKey:{path:["shards"]}){... on AssetNode{partitionKeys}}'
        ' listing:assetNodeOrError(assetKey:{path:["chunk_listing"]}){... on AssetNode{partitionKeys'
        " partitionStats{numPartitions numMaterialized}}}}"
    )
    stats = found["listing"]["partitionStats"]
    assert stats["numPartitions"] == stats["numMaterialized"] == len(found["listing"]["partitionKeys"]) >= 4
    assert found["assetNodeOrError"]["partitionKeys"] == found["listing"]["partitionKeys"]


def test_every_missing_partition_can_be_made(ask):
    """What the button "Missing" would launch: chunks that the inventory lists and nothing was made of."""
    found = ask(
        '{assetNodeOrError(assetKey:{path:["article_index"]}){... on AssetNode{partitionKeys'
        " assetPartitionStatuses{... on DefaultPartitionStatuses{materializedPartitions unmaterializedPartitions}}}}}"
    )["assetNodeOrError"]
    statuses = found["assetPartitionStatuses"]
    assert statuses["materializedPartitions"] == ["PMC007-0360"]
    assert set(statuses["unmaterializedPartitions"]) == set(found["partitionKeys"]) - {"PMC007-0360"}


SHOWN = (
    " fragment shown on Run{runId status pipelineName assetSelection{path}"
    " repositoryOrigin{repositoryName repositoryLocationName} tags{key value}}"
)


def test_a_run_reads_the_same_wherever_it_began(ask):
    """Target, code location and partition: without them a run is missing from the timeline and has no name."""
    made = ask("{runsOrError(limit:20){... on Runs{results{...shown}}}}" + SHOWN)["runsOrError"]["results"]
    assert {run["status"] for run in made} == {"SUCCESS"}
    mine = next(run for run in made if ["article_index"] in [key["path"] for key in run["assetSelection"] or ()])
    params = {
        "selector": {
            "repositoryName": "__repository__",
            "repositoryLocationName": "biomedica",
            "pipelineName": mine["pipelineName"],
            "assetSelection": mine["assetSelection"],
        },
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "PMC007-0360"}]},
    }
    launched = ask(
        "mutation($p:ExecutionParams!){launchRun(executionParams:$p){__typename ... on LaunchRunSuccess{run{...shown}}"
        " ... on PythonError{message}}}" + SHOWN,
        p=params,
    )["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    theirs = launched["run"]
    for field in ("pipelineName", "repositoryOrigin"):
        assert mine[field] == theirs[field] is not None
    assert sorted(k["path"] for k in mine["assetSelection"]) == sorted(k["path"] for k in theirs["assetSelection"])
    for run in (mine, theirs):
        assert {"key": "dagster/partition", "value": "PMC007-0360"} in run["tags"]
    ask(
        "mutation($r:String!){terminateRun(runId:$r,terminatePolicy:MARK_AS_CANCELED_IMMEDIATELY){__typename}}",
        r=theirs["runId"],
    )


def test_runs_of_the_command_line_are_on_the_timeline(ask):
    """The timeline asks for the runs of each code location."""
    found = ask(
        "{runsFeedOrError(limit:20,view:RUNS){... on RunsFeedConnection{results{... on Run{id jobName assetSelection"
        "{path} assetCheckSelection{name} repositoryOrigin{repositoryLocationName}}}}}"
        ' runsOrError(filter:{tags:[{key:".dagster/repository",value:"__repository__@biomedica"}]})'
        "{... on Runs{count}}}"
    )
    listed = found["runsFeedOrError"]["results"]
    assert listed and all(run["repositoryOrigin"]["repositoryLocationName"] == "biomedica" for run in listed)
    assert found["runsOrError"]["count"] == len(listed)
