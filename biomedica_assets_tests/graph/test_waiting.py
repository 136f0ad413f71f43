"""What waits for something from outside is not begun, has not failed, and says what to do; what needs it waits, too."""

from __future__ import annotations

import dagster as dg
import pytest

from biomedica_assets import definitions, settings
from biomedica_assets.automation import runner
from biomedica_assets.automation.planner import open_planner
from biomedica_assets.automation.readiness import Readiness
from biomedica_assets.automation.runs import execute
from biomedica_assets.commands.graph import print_outcome, print_stale
from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CLUSTERS, FIGURE_LABELS, IMAGES, PANELS, RECIPE, TEXT_LABELS
from biomedica_assets_tests.lib.select.lakes import CHUNKS, Sample, make_lake, publish
from biomedica_assets_tests.support.listings import list_chunk

EMBEDDED = ["embeddings", "embedding_shelf", "cluster_model", "clusters"]
TRAINED = ["recipe", "checkpoints", "contamination", "zero_shot_scores", "retrieval_scores", "leaderboard"]


class Site:
    """A data directory with its own instance and the planner that the commands use."""

    def __init__(self, root, **more):
        self.settings = settings.Settings(data_dir=root, device="cpu", **more)
        self.instance = dg.DagsterInstance.ephemeral()
        self.definitions = definitions.build(self.settings)
        self.planner = open_planner(self.settings, self.definitions.resolve_asset_graph())

    def walk(self, select):
        return runner.walk(self.definitions, self.instance, self.planner, select=select)

    def runs(self):
        return self.instance.get_runs()

    def by_hand(self, partition, *assets):
        """As the UI does: assets of one partition in one run, whatever the planner thinks of it."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return execute(job, self.instance, assets=assets, partition=partition)


def without_images(root):
    """Two chunks with articles and no image."""
    lake = Lake(root)
    for chunk in CHUNKS:
        list_chunk(lake, chunk)
        publish(lake, IMAGES, chunk, [])
    return lake


def with_samples(root, n=40):
    """Samples that no vote and no rule has labelled."""
    lake = make_lake(root, [Sample(number, article=number + 1) for number in range(n)])
    list_chunk(lake, CHUNKS[0])
    return lake


def told(outcome):
    return {at: held.reason.detail for at, held in outcome.waiting.items()}


def test_an_encoder_that_cannot_be_had_is_looked_for_once_and_nothing_fails(tmp_path, monkeypatch, capsys):
    """It took 23 s in each chunk, and a failed run."""
    without_images(tmp_path)
    looks = []
    monkeypatch.setattr("biomedica_assets.lib.hub.why_not", lambda *_: looks.append(1) or "there is no network")
    site = Site(tmp_path)
    outcome = site.walk(EMBEDDED)
    assert outcome.ok and len(looks) == 1 and site.runs() == []
    assert {asset for asset, _ in outcome.waiting} == {*EMBEDDED}
    assert print_outcome(outcome, 1.0, ()) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "waiting" in line]
    assert len(lines) == 2 and "there is no network" in lines[0] and "set encoder to texture" in lines[0]
    assert lines[1] == "  waiting for those: embedding_shelf (2), cluster_model, clusters (2)"


def test_what_only_the_step_finds_out_stops_the_others_of_its_kind(tmp_path, monkeypatch):
    without_images(tmp_path)
    monkeypatch.setattr(Readiness, "waits_for", lambda *_: None)
    site = Site(tmp_path)
    outcome = site.walk(EMBEDDED)
    assert outcome.ok and outcome.materialised == [] and outcome.runs == len(site.runs()) == 1
    assert {asset for asset, _ in outcome.waiting} == {*EMBEDDED}


def test_a_step_begun_by_hand_that_waits_fails_nothing_and_says_what_for(tmp_path):
    without_images(tmp_path)
    site = Site(tmp_path)
    result = site.by_hand(CHUNKS[0], "embeddings")
    assert result.success and result.get_asset_materialization_events() == []
    checks = [evaluation for evaluation in result.get_asset_check_evaluations() if not evaluation.passed]
    assert {(str(one.asset_key.to_user_string()), one.severity) for one in checks} == {
        ("embeddings", dg.AssetCheckSeverity.WARN)
    }
    for one in checks:
        assert one.description.startswith("waiting for the weights of encoder vit_large")
        assert "set encoder to texture" in one.description
    told = [event.message for event in result.all_events if event.is_step_skipped]
    assert not any(event.is_step_failure for event in result.all_events) and told == []


def test_what_reads_a_step_that_waits_is_skipped_and_made_once_it_need_not_wait(tmp_path):
    """By hand in one run, as the UI does it; the warnings are gone with the next run that makes the partition."""
    without_images(tmp_path)
    site = Site(tmp_path)
    result = site.by_hand(CHUNKS[0], "embeddings", "clusters")
    assert result.success and result.get_asset_materialization_events() == []
    assert [event.step_key for event in result.all_events if event.is_step_skipped] == ["clusters"]


def test_no_image_is_nothing_to_cluster_and_no_failure(tmp_path):
    without_images(tmp_path)
    outcome = Site(tmp_path, encoder="texture").walk(EMBEDDED)
    assert outcome.ok and {asset for asset, _ in outcome.materialised} == {"embeddings", "embedding_shelf"}
    found = told(outcome)
    assert found["cluster_model", None].startswith("for images: none of the articles")
    assert found["clusters", CHUNKS[0]] == "for cluster_model"


def test_too_little_data_and_no_votes_make_recipes_and_checkpoints_wait(tmp_path, capsys):
    with_samples(tmp_path)
    site = Site(tmp_path, encoder="texture")
    outcome = site.walk(TRAINED)
    assert outcome.ok
    assert set(outcome.materialised) == {("recipe", "full"), ("contamination", "full")}
    found = told(outcome)
    assert "a batch of the profile laptop takes 128; take more articles" in found["checkpoints", "full"]
    assert found["zero_shot_scores", "full"] == "for checkpoints@full"
    assert "label clusters (`biomedica annotate`)" in found["recipe", "filtered"]
    assert found["checkpoints", "filtered"] == "for recipe@filtered"
    assert found["leaderboard", None].startswith("for checkpoints@")
    assert len(site.runs()) == 1, "what can be known before costs no run"
    assert all("checkpoints" not in {key.to_user_string() for key in run.asset_selection} for run in site.runs())
    before = len(site.runs())
    again = site.walk(TRAINED)
    assert again.ok and again.waiting.keys() == outcome.waiting.keys() and len(site.runs()) == before
    capsys.readouterr()
    assert print_stale(site.planner, TRAINED) == 0
    shown = capsys.readouterr()
    assert f"; {len(found)} wait for something from outside" in shown.err
    assert "zero_shot_scores\tfull\twaiting: for checkpoints@full" in shown.out


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        ("batch_size: 8\nwarmup: 100", "steps of batch_size 8 in 1 epochs; the profile own warms up for 100"),
        ("batch_size: 8\npretrained: absent.safetensors", "for the base weights absent.safetensors of ViT-B-32"),
        ("batch_size: 8\npretrained: laion2b_s34b_b79k", "the hub is switched off (HF_HUB_OFFLINE)"),
    ],
)
def test_checkpoints_say_which_of_their_needs_is_not_met(tmp_path, profile, says):
    with_samples(tmp_path)
    (tmp_path / "profiles").mkdir()
    given = {"model": "ViT-B-32", "pretrained": "null", "learning_rate": "1e-3", "epochs": "1", "source": "tests"}
    given |= dict(line.split(": ") for line in profile.splitlines())
    (tmp_path / "profiles" / "own.yaml").write_text("".join(f"{name}: {value}\n" for name, value in given.items()))
    site = Site(tmp_path, encoder="texture", training_profile="own")
    assert site.walk(["recipe"]).ok
    assert says in site.planner.waits_for("checkpoints", "full").reason.detail


LABELLED = ["label_claims", "label_trust", "figure_labels", "sample_shelf"]


def with_text(root, concept="kind-fluorescence-microscopy"):
    """Samples without labels whose captions speak of microscopy, and no encoder with which to make clusters."""
    lake = with_samples(root)
    lake.remove(FIGURE_LABELS, CHUNKS[0])
    publish(lake, PANELS, CHUNKS[0], [])
    said = [{"figure_id": f"f{n:04d}", "concept_id": concept, "rule": "r", "place": "head"} for n in range(30)]
    publish(lake, TEXT_LABELS, CHUNKS[0], [one | {"words": "GFP", "trust": 0.9} for one in said])
    return lake


def test_without_an_encoder_the_text_labels_images_and_recipes_of_concepts_are_made(tmp_path):
    """There are no clusters then, and nobody could vote on them: the text alone waited for both."""
    lake = with_text(tmp_path)
    outcome = Site(tmp_path).walk([*EMBEDDED, *LABELLED, *TRAINED])
    assert outcome.ok and {("recipe", "full"), ("recipe", "filtered")} <= {*outcome.materialised}
    labels = lake.read(FIGURE_LABELS, CHUNKS[0])
    assert labels.height == 40 and labels["cluster"].null_count() == 40
    assert labels["global"].drop_nulls().explode().unique().to_list() == ["kind-microscopy"]
    assert labels["global_provenance"].drop_nulls().unique().to_list() == ["text"]
    assert lake.read(RECIPE, "filtered").height == 30
    assert told(outcome)["clusters", CHUNKS[0]] == "for cluster_model"


def test_clusters_that_come_later_make_labels_out_of_date(tmp_path):
    lake = with_text(tmp_path)
    site = Site(tmp_path)
    site.walk(LABELLED)
    assert [*Site(tmp_path).planner.all_stale(["figure_labels"])] == []
    publish(lake, CLUSTERS, CHUNKS[0], [{"media_id": "m0001", "model": "m"}])
    (behind,) = Site(tmp_path).planner.all_stale(["figure_labels"])
    assert f"clusters@{CHUNKS[0]}" in str(behind.reasons)
    Site(tmp_path).walk(LABELLED)
    assert f"clusters@{CHUNKS[0]}" in lake.manifest(FIGURE_LABELS, CHUNKS[0]).inputs
    assert lake.read(FIGURE_LABELS, CHUNKS[0])["cluster"].null_count() == 39


def test_a_recipe_of_concepts_waits_where_nothing_says_what_pictures_are(tmp_path):
    lake = with_text(tmp_path)
    publish(lake, TEXT_LABELS, CHUNKS[0], [])
    outcome = Site(tmp_path).walk([*LABELLED, *TRAINED])
    assert outcome.ok and ("recipe", "full") in outcome.materialised
    assert "label clusters (`biomedica annotate`)" in told(outcome)["recipe", "filtered"]


def test_the_check_shows_what_waits_with_its_cure(tmp_path):
    without_images(tmp_path)
    site = Site(tmp_path)
    (verdict,) = [v for v in runner.conclude(site.definitions, site.instance) if v.check == "nothing_waits"]
    assert not verdict.passed and int(verdict.facts["waiting"]) > len(EMBEDDED)
    assert "set encoder to texture" in verdict.facts["recover_with"]


@pytest.mark.parametrize("keep_going", [False, True])
def test_the_same_failure_in_three_partitions_ends_an_asset_and_is_said_once(tmp_path, monkeypatch, capsys, keep_going):
    lake = without_images(tmp_path)
    for chunk in ("PMC002-0000", "PMC003-0000", "PMC003-0020"):
        list_chunk(lake, chunk)
        publish(lake, IMAGES, chunk, [])

    def fails(_lake, chunk, **_):
        raise StoreError(f"/disk/{chunk}: No space left on device")

    monkeypatch.setattr("biomedica_assets.lib.embed.embed_chunk", fails)
    site = Site(tmp_path, encoder="texture")
    outcome = runner.walk(
        site.definitions, site.instance, site.planner, select=[*EMBEDDED, "image_views"], keep_going=keep_going
    )
    assert sum("embeddings" in batch.assets for batch in outcome.failed) == (5 if keep_going else 3)
    assert keep_going or len(outcome.failed) == 3
    assert outcome.stopped == ({} if keep_going else {"embeddings": 3})
    made = [asset for asset, _ in outcome.materialised]
    assert made == ["image_views"] * 5, "what does not need it is made"
    print_outcome(outcome, 1.0, ())
    assert capsys.readouterr().out.count("--keep-going tries all") == (not keep_going)


def test_what_is_current_waits_for_nothing(tmp_path, monkeypatch):
    """Vectors that are there are used, though their encoder is gone."""
    without_images(tmp_path)
    assert Site(tmp_path, encoder="texture").walk(["embeddings"]).ok
    site = Site(tmp_path, encoder="texture")
    monkeypatch.setattr(Readiness, "waits_for", lambda _, asset, __: 1 / 0 if asset == "embeddings" else None)
    assert site.planner.waits_for("embedding_shelf", "PMC000") is None
    assert ("embedding_shelf", "PMC000") in site.walk(["embedding_shelf"]).materialised


def test_a_walk_that_later_makes_what_waited_has_not_left_it_waiting():
    held = runner.Outcome(waiting={("recipe", "full"): runner.Held("samples", "take more articles")})
    made = runner.Outcome(materialised=[("recipe", "full")])
    assert runner.together([held, made]).waiting == {}
    assert runner.together([made, held]).waiting.keys() == {(RECIPE.name, "full")}


def test_a_recipe_with_labels_of_other_concepts_is_told_apart_from_one_without_any(tmp_path):
    """Plots alone: `balanced` takes them, `filtered` waits for others; what no look shows, the step says."""
    samples = [Sample(number, article=number + 1, tops=("kind-plot",)) for number in range(40)]
    lake = make_lake(tmp_path, samples)
    list_chunk(lake, CHUNKS[0])
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "wide.yaml").write_text("where: width > 100000\n")
    site = Site(tmp_path, encoder="texture")
    outcome = site.walk(["recipe"])
    assert outcome.ok and {key for _, key in outcome.materialised} == {"balanced", "full"}
    found = told(outcome)
    assert found["recipe", "filtered"].startswith("for labels: none of the images has one that recipe filtered asks")
    assert "left_out_where 40; take more articles" in found["recipe", "wide"]
    assert len(site.runs()) == 3, "only the one that had to be tried"
