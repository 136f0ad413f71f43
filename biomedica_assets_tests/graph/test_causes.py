"""One truth about what is out of date: for every cause the command `stale` and the UI's GraphQL say the same."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from biomedica_assets import cli, configs, definitions, instance, settings
from biomedica_assets.automation import runner
from biomedica_assets.automation.planner import open_planner
from biomedica_assets.lib import chunks
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.tally import collect_votes, current_model
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.clip import interpolate, models, profile, stage
from biomedica_assets.lib.demo import inventory, mutate
from biomedica_assets.lib.store.lake import MANIFEST, Lake
from biomedica_assets.lib.tables import CHECKPOINTS, EXPERT_VOTES, PANELS, RECIPE, SHARDS, TABLES, TAXONOMY
from biomedica_assets_tests.lib.annotate.voting import BAR, vote
from biomedica_assets_tests.lib.clip.test_training import MICRO
from biomedica_assets_tests.lib.evaluate.fakes import png
from biomedica_assets_tests.test_test_sets import SUITE
from biomedica_assets_tests.web.test_graphql import PROGRAM, ROOT

pytestmark = pytest.mark.full  # nearly the whole graph, and a web server

CHUNK = "PMC007-0360"
SHELF = chunks.shelf_of_chunk(CHUNK)
LEFT_OUT = {"retrieval_scores", "zero_shot_scores", "leaderboard", "release", "contact_sheets"}
"""What takes longest and is out of date for no cause of its own kind."""
WEIGHTS = "base.safetensors"
QUERY = (
    '{assetNodeOrError(assetKey:{path:["chunk_listing"]}){... on AssetNode{assetChecksOrError{... on AssetChecks{'
    "checks{name executionForLatestMaterialization{status evaluation{success metadataEntries{label"
    " ... on MarkdownMetadataEntry{mdStr} ... on IntMetadataEntry{intValue} ... on TextMetadataEntry{text}}}}}}}}}}"
)


@dataclasses.dataclass
class Site:
    """A data directory of one chunk, in which nothing is out of date, and the UI's server over it."""

    root: Path
    values: settings.Settings
    dagster: dg.DagsterInstance
    ask: subprocess.Popen[str] | None = None

    @property
    def lake(self):
        return Lake(self.values.data_dir)

    def walk(self, values=None, **more):
        graph = definitions.build(values or self.values)
        planner = open_planner(values or self.values, graph.resolve_asset_graph())
        select = [asset for asset in planner.assets if asset not in {*LEFT_OUT, "checkpoints"}]
        return runner.walk(graph, self.dagster, planner, **({"select": select} | more))

    def behind(self, capsys):
        """What `biomedica stale` says is out of date: (asset, partition) -> reasons, without what is waiting."""
        waits = ("waits: ", "waiting: ", "missing: ")
        return {at: why for at, why in self.stale(capsys).items() if not why.startswith(waits)}

    def stale(self, capsys):
        """What `biomedica stale` prints: (asset, partition) -> reasons."""
        capsys.readouterr()
        assert cli.main(["stale", "--data-dir", str(self.values.data_dir)]) == 0
        rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        return {(asset, key): why for asset, key, why in rows}

    def shown(self, values, check="nothing_out_of_date", count="out_of_date"):
        """What the UI shows of a check, asked anew: the same, from its GraphQL."""
        runner.conclude(definitions.build(values), self.dagster)
        self.ask.stdin.write(json.dumps({"query": QUERY}) + "\n")
        self.ask.stdin.flush()
        line = next(line for line in self.ask.stdout if line.startswith("ANSWER"))
        checks = json.loads(line.removeprefix("ANSWER"))["data"]["assetNodeOrError"]["assetChecksOrError"]["checks"]
        (found,) = [one for one in checks if one["name"] == check]
        evaluation = found["executionForLatestMaterialization"]["evaluation"]
        told = {entry["label"]: entry for entry in evaluation["metadataEntries"]}
        table = [line.strip("| ").split(" | ") for line in told["partitions"]["mdStr"].splitlines()[2:]]
        assert told[count]["intValue"] == len(table) and evaluation["success"] == (not table)
        return {(asset, key): why for asset, key, why in table}


@pytest.fixture(scope="module")
def site(tmp_path_factory, demo_mirror):
    root = tmp_path_factory.mktemp("causes")
    mirror = root / "source"
    of_chunk = [
        path.name
        for path in demo_mirror.glob("PMC*.*")
        if chunks.chunk_of(chunks.parse_article_id(path.name)[0], 20_000) == CHUNK
    ]
    (mirror / "metadata").mkdir(parents=True)
    for name in of_chunk:
        (mirror / name).mkdir()
        for path in [*(demo_mirror / name).iterdir(), demo_mirror / "metadata" / f"{name}.json"]:
            (mirror / path.relative_to(demo_mirror)).write_bytes(path.read_bytes())
    inventory.publish_inventory(mirror, "2026-11-21")
    own_files(root / "data", root / "tests")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DAGSTER_HOME", "BIOMEDICA_DATA_DIR"):
            patch.setenv(name, os.environ.get(name, ""))  # put back afterwards
        patch.setenv("BIOMEDICA_ENCODER", "texture")
        values = settings.load(
            data_dir=root / "data", source=str(mirror), device="cpu", training_profile="own", clusters=4
        )
        instance.prepare(values)
        with dg.DagsterInstance.from_config(str(values.dagster_home)) as dagster:
            made = Site(root, values, dagster)
            collect_votes(made.lake)  # as every `run` does
            outcome = made.walk()
            assert outcome.ok, outcome.failed
            pretend_trained(made)
            made.ask = subprocess.Popen(
                [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
            )
            yield made
            made.ask.stdin.close()
            made.ask.wait(timeout=600)
            made.ask.stdout.close()


def own_files(data, tests):
    """A test set, a profile with base weights in a file, and a recipe that validates on some of few articles."""
    for folder in ("tasks", "profiles", "models", "recipes"):
        (data / folder).mkdir(parents=True)
    tests.mkdir()
    names = [(f"{n}.png", colour) for n, colour in enumerate(("red", "green", "blue") * 2)]
    for n, (name, colour) in enumerate(names):
        (tests / name).write_bytes(png(colour, n, 40))
    lines = ["path,label,caption", *(f"{name},{colour},thing {name}" for name, colour in names)]
    (tests / "labels.csv").write_text("\n".join(lines) + "\n")
    (data / "tasks" / "mine.yaml").write_text(SUITE)
    (data / "tasks" / "places.yaml").write_text(f"mine: {tests}\n")
    (data / "models" / "micro.json").write_text(json.dumps(MICRO))
    given = {"model": "micro", "pretrained": str(data / WEIGHTS), "batch_size": 1, "learning_rate": 0.001}
    (data / "profiles" / "own.yaml").write_text(json.dumps(given | {"epochs": 1, "source": "tests"}))
    (data / "recipes" / "full.yaml").write_text("splits: {validation: 0.5}\n")
    scratch = profile.parse(given | {"pretrained": None, "epochs": 1, "source": "tests"}, "own", "own")
    chosen = models.architecture("micro", data / "models")
    interpolate.save(models.create(chosen, scratch, 1).state_dict(), data / WEIGHTS, {})


def pretend_trained(site):
    """A checkpoint as far as its manifest goes; training one would take minutes and decide nothing here."""
    site.lake.publish(
        CHECKPOINTS, "full", CHECKPOINTS.empty(), code_version=stage.VERSION,
        inputs=site.lake.inputs((RECIPE, "full")), config=dict(configs.expected(site.values)["checkpoints"]("full")),
        n_in=0, n_out=0,
    )  # fmt: skip


@contextlib.contextmanager
def put_back(*paths):
    """Files that are as they were afterwards, times included."""
    kept = [(path, path.read_bytes(), path.stat()) for path in paths]
    try:
        yield
    finally:
        for path, data, status in kept:
            path.write_bytes(data)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def manifest_of(site, table, partition):
    return site.lake.folder(table, partition) / MANIFEST


@contextlib.contextmanager
def changed_settings(site):
    yield site.values.model_copy(update={"min_side": 22})


@contextlib.contextmanager
def other_code(site):
    path = manifest_of(site, PANELS, CHUNK)
    with put_back(path):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"code_version": "of last year"}))
        yield site.values


@contextlib.contextmanager
def other_taxonomy(site):
    with put_back(manifest_of(site, TAXONOMY, None)):
        made = site.lake.manifest(TAXONOMY, None)
        frame = site.lake.read(TAXONOMY, None).with_columns(pl.col("label") + "!")
        site.lake.publish(
            TAXONOMY, None, frame, code_version=made.code_version, inputs=made.inputs, config=made.config,
            n_in=made.n_in, n_out=made.n_out,
        )  # fmt: skip
        yield site.values


@contextlib.contextmanager
def new_votes(site):
    with put_back(manifest_of(site, EXPERT_VOTES, None)):
        box = BallotBox(site.lake.root, load())
        box.register.ensure("ada")
        box.append([vote("ada-1", "ada", 0, BAR, cluster_model=current_model(site.lake)[0])])
        collect_votes(site.lake)
        yield site.values


@contextlib.contextmanager
def other_weights(site):
    path = site.values.data_dir / WEIGHTS
    with put_back(path):
        chosen = models.architecture("micro", site.values.data_dir / "models")
        scratch = dataclasses.replace(configs.training_profile(site.values), pretrained=None)
        interpolate.save(models.create(chosen, scratch, 2).state_dict(), path, {})
        yield site.values


@contextlib.contextmanager
def other_test_set(site):
    path = site.root / "tests" / "labels.csv"
    with put_back(path):
        path.write_text(path.read_text().replace("0.png,red", "0.png,blue"))
        yield site.values


@contextlib.contextmanager
def replaced_shards(site):
    with put_back(manifest_of(site, SHARDS, CHUNK)):
        made = site.walk(site.values.model_copy(update={"shard_samples": 2}), select=["shards"])
        assert ("shards", CHUNK) in made.materialised
        yield site.values.model_copy(update={"shard_samples": 2})


@contextlib.contextmanager
def file_changed(site):
    path = site.lake.part(PANELS, CHUNK)
    with put_back(path):
        path.write_bytes(path.read_bytes()[:-100])
        yield site.values


@contextlib.contextmanager
def file_lost(site):
    path = site.values.data_dir / site.lake.manifest(SHARDS, CHUNK).files[0].path
    with put_back(path):
        path.unlink()
        yield site.values


CAUSES = {
    changed_settings: {("images", CHUNK): "settings: min_side: 21 -> 22"},
    other_code: {("panels", CHUNK): "code: of last year -> "},
    other_taxonomy: {
        ("annotations", "-"): "input_changed: taxonomy",
        ("recipe", "full"): "input_changed: taxonomy",
        ("contamination", "full"): "input_changed: taxonomy",
    },
    new_votes: {("annotations", "-"): "input_changed: expert_votes", ("figure_labels", CHUNK): "input_changed: expert"},
    other_weights: {("checkpoints", "full"): "settings: pretrained_sha256: "},
    other_test_set: {
        ("evaluation_matches", "-"): "settings: test set colours",
        ("contamination", "full"): "settings: test set colours",
    },
    replaced_shards: {
        ("sample_shelf", SHELF): f"input_changed: shards@{CHUNK}",
        ("recipe", "full"): f"input_replaced: shards@{CHUNK} was made again",
    },
    file_changed: {("panels", CHUNK): "damaged: "},
    file_lost: {("shards", CHUNK): "damaged: "},
}
"""What is done -> partitions that are out of date by it, and how their reason begins."""


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
def test_the_command_and_the_ui_name_the_same_partitions_and_reasons(site, cause, capsys, monkeypatch):
    assert site.behind(capsys) == {} == site.shown(site.values)
    with cause(site) as values:
        for name in ("min_side", "shard_samples"):
            monkeypatch.setenv(f"BIOMEDICA_{name.upper()}", str(getattr(values, name)))
        behind = site.behind(capsys)
        for at, begins in CAUSES[cause].items():
            assert behind[at].startswith(begins), behind
        assert site.shown(values) == behind


def test_the_command_and_the_ui_name_the_same_that_waits_with_the_same_cures(site, capsys, monkeypatch):
    monkeypatch.setenv("BIOMEDICA_TRAINING_PROFILE", "laptop")
    waiting = {at: why for at, why in site.stale(capsys).items() if why.startswith("waiting: ")}
    assert "a batch of the profile laptop takes 128; take more articles" in waiting["checkpoints", "full"]
    shown = site.shown(site.values.model_copy(update={"training_profile": "laptop"}), "nothing_waits", "waiting")
    assert {at: f"waiting: {why}" for at, why in shown.items()} == waiting


def test_a_new_inventory_is_a_cause_like_the_others(site, capsys):
    """Last, since it is not taken back: a second inventory with one changed article."""
    article = sorted(path.name for path in (site.root / "source").glob("PMC*.*"))[0]
    mutate.change_licence(site.root / "source", article, "CC BY-NC")
    inventory.publish_inventory(site.root / "source", "2026-11-22")
    site.walk(select=["pmc_inventory"])
    behind = site.behind(capsys)
    assert behind["article_index", CHUNK] == f"input_changed: chunk_listing@{CHUNK}"
    assert site.shown(site.values) == behind
    assert set(TABLES) > {asset for asset, _ in behind}
