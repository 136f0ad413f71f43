"""The stage around a real, very small training: what is published, what loads, what a full disk leaves."""

import dataclasses
import errno
import json
from importlib import metadata
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from biomedica_assets.lib.clip import interpolate, models, profile, stage, supervise, training
from biomedica_assets.lib.errors import PermanentFailure, StoreError
from biomedica_assets.lib.evaluate.encoder import open_model
from biomedica_assets.lib.evaluate.models import ModelSpec
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.named import plain
from biomedica_assets.lib.tables import CHECKPOINTS, RECIPE
from biomedica_assets_tests.lib.clip.test_training import CPU, MICRO, draw_shards
from biomedica_assets_tests.support.garbage import take_out

pytestmark = pytest.mark.full  # trainings

PROFILE = profile.parse(
    {
        "model": "micro", "pretrained": None, "batch_size": 12, "learning_rate": 1e-3, "epochs": 2, "source": "tests",
        "context_length": 512, "image_size": 24, "alphas": [0.5, 0.25],
    },
    "tests", "tests",
)  # fmt: skip


def build(lake, given=PROFILE):
    root = lake.root.parent
    data = training.TrainingData(f"pipe:cat {root}/s{{0..1}}.tar", 32, 2, unreadable=3, truncation={"max_tokens": 5.0})
    return stage.build_checkpoints(
        lake, "full", profile=given, data=lambda workers: data, device=CPU, model_folder=root,
        validate=lambda candidate: {"recall_at_1": 1 - abs(candidate.alpha - 0.3), "pairs": 9.0},
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("stage")
    draw_shards(root)
    (root / "micro.json").write_text(json.dumps(MICRO))
    lake = Lake(root / "data")
    lake.publish(RECIPE, "full", RECIPE.empty(), code_version="1", inputs={}, config={}, n_in=0, n_out=0)
    return lake, build(lake)


def test_base_trained_and_interpolated_are_told_apart_and_the_best_alpha_is_recorded(made):
    lake, _ = made
    rows = lake.read(CHECKPOINTS, "full").sort("alpha")
    assert rows["name"].to_list() == ["full-base", "full-interpolated-0.25", "full-interpolated-0.50", "full-trained"]
    assert rows.filter("best")["alpha"].to_list() == [0.25]
    assert lake.manifest(CHECKPOINTS, "full").metrics["best_alpha"] == 0.25


def test_samples_are_counted_as_they_were_learned_from(made):
    """32 samples make three batches of 12: open_clip_train repeats four of them, and 72 were seen in two epochs."""
    lake, report = made
    metrics = lake.manifest(CHECKPOINTS, "full").metrics
    assert (metrics["samples_seen"], metrics["samples_an_epoch"], metrics["samples_unreadable"]) == (72, 32, 3)
    assert metrics["text_tokens"] == 72 * 512
    assert metrics["flops"] == 72 * metrics["flops_per_sample"] > 0
    assert metrics["captions_max_tokens"] == 5
    assert report.metrics["samples_seen"] == 72
    assert set(lake.read(CHECKPOINTS, "full").filter(role="base")["samples_seen"]) == {0}


def test_weights_load_with_open_clip_at_the_sizes_of_the_profile(made):
    """model.json has the profile's context and image size, not the architecture's, or the weights would not fit."""
    import open_clip

    lake, _ = made
    for row in lake.read(CHECKPOINTS, "full").to_dicts():
        open_clip.add_model_config(lake.root / row["config"])
        model, _, prepare = open_clip.create_model_and_transforms("model", pretrained=str(lake.root / row["path"]))
        assert model.context_length == 512
        assert open_clip.get_tokenizer("model")(["a " * 600]).shape == (1, 512)
        assert model.visual.image_size in (24, (24, 24)) and prepare.transforms[0].size in (24, (24, 24))
        assert all(bool(p.isfinite().all()) for p in model.parameters())


def test_the_manifest_records_what_the_planner_expects_and_no_clock(made):
    lake, _ = made
    manifest = lake.manifest(CHECKPOINTS, "full")
    expected = stage.recorded(PROFILE, 0, lake.root.parent)
    assert json.loads(json.dumps(expected)) == json.loads(json.dumps(dict(manifest.config)))
    assert set(manifest.inputs) == {"recipe@full"}
    cost = json.loads((lake.root / manifest.metrics["cost"]).read_text())
    assert (
        cost["training_seconds"] > 0
        and cost["peak_bytes"] > 0
        and cost["versions"]["torch"] == metadata.version("torch")
    )
    assert not set(cost) & set(manifest.metrics)
    assert "samples seen" in (lake.root / manifest.metrics["card"]).read_text()


def test_another_alpha_needs_no_training_and_a_full_disk_leaves_what_was_published(made, monkeypatch):
    lake, _ = made
    other = dataclasses.replace(PROFILE, alphas=(0.3,))
    before = lake.manifest(CHECKPOINTS, "full")
    monkeypatch.setattr(supervise, "run", lambda *args: pytest.fail("trained again"))
    write = Path.write_bytes

    def full(path, data):
        if "interpolated-0.30" in path.name:
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_bytes", full)
        with pytest.raises(StoreError, match="No space left on device"):
            build(lake, other)
    assert lake.manifest(CHECKPOINTS, "full") == before
    assert all((lake.root / entry.path).stat().st_size == entry.bytes for entry in before.files)
    assert not list(lake.root.rglob(".tmp-*"))
    build(lake, other)
    assert all((lake.root / entry.path).exists() for entry in before.files), "whoever evaluates them goes on"
    take_out(lake)
    named = {entry.path for entry in lake.manifest(CHECKPOINTS, "full").files}
    there = {lake.path_below(path) for path in (lake.root / "checkpoints").rglob("*.safetensors")}
    assert there == {path for path in named if path.endswith(".safetensors")}
    assert sorted(map(plain, there)) == ["base.safetensors", "interpolated-0.30.safetensors", "trained.safetensors"]


def test_a_device_without_the_arithmetic_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(PermanentFailure, match="precision fp16 does not work"):
        build(Lake(tmp_path / "data"), dataclasses.replace(PROFILE, precision="fp16"))
    assert list(tmp_path.iterdir()) == []


def test_evaluation_prepares_images_as_the_weights_were_trained(tmp_path):
    """open_clip takes OpenAI's mean and std for every local file; with those a model of others scores differently."""
    base = models.create(models.architecture("micro", micro_folder(tmp_path)), PROFILE, 0)
    said = {"mean": [0.5, 0.4, 0.3], "std": [0.9, 0.8, 0.7], "interpolation": "bilinear", "resize_mode": "squash"}
    pixels = np.random.default_rng(0).integers(0, 255, (40, 24, 3), np.uint8)
    found = {}
    for name, entries in (("told", {"preprocessing": said}), ("silent", {})):
        path = tmp_path / f"{name}.safetensors"
        interpolate.save(base.state_dict(), path, entries)
        opened = open_model(ModelSpec(name, str(tmp_path / "model.json"), str(path), "ours"))
        prepared = opened.prepare(pixels)
        found[name] = (prepared, opened.images([prepared]), opened.digest)
    resized = PIL.Image.fromarray(pixels).resize((24, 24), PIL.Image.Resampling.BILINEAR)
    expected = (np.asarray(resized, np.float32) / 255 - np.float32(said["mean"])) / np.float32(said["std"])
    assert np.allclose(found["told"][0].numpy().transpose(1, 2, 0), expected, atol=1e-5)
    assert float((found["told"][1] * found["silent"][1]).sum()) < 0.999
    assert found["told"][2] != found["silent"][2]


def micro_folder(folder):
    """The architecture, and the configuration with the profile's sizes."""
    (folder / "micro.json").write_text(json.dumps(MICRO))
    config = models.effective_config(models.architecture("micro", folder), PROFILE)
    (folder / "model.json").write_text(json.dumps(config))
    return folder


def test_all_weights_of_a_recipe_name_their_preprocessing(made):
    import safetensors

    lake, _ = made
    for path in lake.read(CHECKPOINTS, "full")["path"]:
        with safetensors.safe_open(lake.root / path, "pt") as file:
            said = json.loads(file.metadata()[interpolate.METADATA])["preprocessing"]
        assert set(said) == {"mean", "std", "interpolation", "resize_mode"} and len(said["mean"]) == 3
