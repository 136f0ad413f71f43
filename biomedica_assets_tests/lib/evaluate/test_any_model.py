"""Models of others: how they are named, and their scores without a recipe."""

import dataclasses

import polars as pl
import pytest

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.evaluate.adapters.memory import list_source, retrieval_task
from biomedica_assets.lib.evaluate.any_model import SCHEMA, score_models
from biomedica_assets.lib.evaluate.models import WeightsMissing, parse_model
from biomedica_assets.lib.evaluate.probes import ProbeConfig
from biomedica_assets.lib.evaluate.scoring import EvalConfig
from biomedica_assets.lib.evaluate.task import Item
from biomedica_assets_tests.lib.evaluate.fakes import Opener, colour_items, colour_task, png, spec

CONFIG = EvalConfig(replicates=50, probe=ProbeConfig(folds=3, neighbours=3, strengths=(1.0,)))


@pytest.mark.parametrize(
    ("text", "name", "architecture", "weights"),
    [
        ("biomedclip", "biomedclip", "hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224", None),
        ("bmc-clip-cf@w/BMC_CLIP_CF.pt", "bmc-clip-cf", "ViT-L-14", "w/BMC_CLIP_CF.pt"),
        ("ViT-B-32@laion2b_s34b_b79k", "vit-b-32-laion2b-s34b-b79k", "ViT-B-32", "laion2b_s34b_b79k"),
        ("ViT-B-32@/models/my net.safetensors", "vit-b-32-my-net", "ViT-B-32", "/models/my net.safetensors"),
        ("/m/tiny.json@/m/a.safetensors", "tiny-a", "/m/tiny.json", "/m/a.safetensors"),
        ("ViT-B-32@random", "vit-b-32-random", "ViT-B-32", None),
        ("hf-hub:some/repo", "some-repo", "hf-hub:some/repo", None),
    ],
)
def test_a_model_is_named_by_a_known_name_a_repository_or_an_architecture_with_weights(
    text, name, architecture, weights
):
    found = parse_model(text)
    assert (found.name, found.architecture, found.weights) == (name, architecture, weights)
    assert found.provenance == "other"


@pytest.mark.parametrize("text", ["ViT-B-32", "biomedclop", "bmc-clip-cf"])
def test_a_model_without_weights_is_refused_with_what_to_write(text):
    with pytest.raises(WeightsMissing, match=r"ARCHITECTURE@FILE|needs a local weights file"):
        parse_model(text)


def test_models_are_scored_on_tasks_of_all_kinds_without_a_recipe(tmp_path):
    pairs = [Item(f"i{n}", png(c, n), captions=(f"a {c} thing",)) for n, c in enumerate(("red", "green", "blue"))]
    sources = [
        list_source(colour_task(), colour_items(30)),
        list_source(retrieval_task("pairs", "Pairs", domain="painting"), pairs),
    ]
    models = (spec("good", "other"), spec("bad", "other"))
    found = score_models(models, sources, tmp_path, config=CONFIG, opener=Opener(wrong=["bad"]))
    assert found.schema == SCHEMA
    primary = found.filter("primary")
    values = {(r["model"], r["task"], r["direction"]): r["value"] for r in primary.to_dicts()}
    assert values[("good", "colours", None)] == 1.0
    assert values[("bad", "colours", None)] == pytest.approx(1 / 3)
    assert values[("good", "pairs", "image_to_text")] == 1.0
    assert values[("bad", "pairs", "text_to_image")] == pytest.approx(1 / 3)
    assert primary.select(pl.col("low").le(pl.col("value")).all()).item()


def test_a_task_that_cannot_be_scored_is_left_out_with_its_reason_and_no_value(tmp_path):
    items = [Item("broken", b"no image", answer=0)]
    found = score_models([spec("good")], [list_source(colour_task(), items)], tmp_path, config=CONFIG, opener=Opener())
    row = found.row(0, named=True)
    assert row["status"] == "excluded"
    assert row["value"] is None
    assert row["reason"]


def test_two_models_of_one_name_are_refused(tmp_path):
    with pytest.raises(PermanentFailure, match="unique"):
        score_models([spec("good"), spec("good")], [], tmp_path, opener=Opener())


def test_of_several_models_one_that_cannot_be_had_is_left_out_with_its_reason(tmp_path):
    sources = [list_source(colour_task(), colour_items(12))]
    gone = dataclasses.replace(spec("gone", "other"), missing="gone: not to be had")
    config = EvalConfig(replicates=20, with_probes=False)
    found = score_models([gone, spec("good")], sources, tmp_path, config=config, opener=Opener())
    assert found.filter(model="gone").select("status", "reason").unique().rows() == [
        ("excluded", "gone: not to be had")
    ]
    assert found.filter(model="good", status="scored").height
    with pytest.raises(WeightsMissing, match="gone: not to be had"):
        score_models([gone], sources, tmp_path, config=config, opener=Opener())
