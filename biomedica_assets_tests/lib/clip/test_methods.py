"""Ways to train that change the model or the step: each is trained, and reloaded with open_clip alone."""

import dataclasses
import json
import socket
import subprocess
from pathlib import Path

import pytest

from biomedica_assets.lib.clip import interpolate, lora, models, profile, stage, supervise, training
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.evaluate.encoder import open_model
from biomedica_assets.lib.evaluate.models import ModelSpec
from biomedica_assets.lib.lineage.stale import Expectation, reasons
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CHECKPOINTS, RECIPE
from biomedica_assets_tests.lib.clip.test_training import CPU, MICRO, PROFILE, draw_shards, make_place, plan_of


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Shards, an architecture, and base weights in a file."""
    root = tmp_path_factory.mktemp("methods")
    draw_shards(root)
    (root / "micro.json").write_text(json.dumps(MICRO))
    made = Lake(root / "data")
    made.publish(RECIPE, "full", RECIPE.empty(), code_version="1", inputs={}, config={}, n_in=0, n_out=0)
    write_base(root / "given.safetensors", 7)
    return made


def write_base(path, seed):
    chosen = models.architecture("micro", path.parent)
    interpolate.save(models.create(chosen, PROFILE, seed).state_dict(), path, {})
    return path


def build(lake, given, score=lambda candidate: 0.5):
    root = lake.root.parent
    data = training.TrainingData(f"pipe:cat {root}/s{{0..1}}.tar", 32, 2)
    return stage.build_checkpoints(
        lake, "full", profile=given, data=lambda workers: data, device=CPU, model_folder=root,
        validate=lambda candidate: {"recall_at_1": score(candidate)},
    )  # fmt: skip


def shrunk(name, root):
    """A shipped profile at the size of a test: its method and its kinds of settings, a tiny architecture."""
    wanted = profile.load(name)
    return dataclasses.replace(
        wanted, model="micro", pretrained=str(root / "given.safetensors"), batch_size=8 * wanted.accumulate, epochs=1,
        epochs_by_recipe={}, warmup=1, learning_rate=1e-3, alphas=(0.5,), compile=False,
        grad_checkpointing=wanted.grad_checkpointing, keep_every=None,
    )  # fmt: skip


def loaded(lake):
    """Role -> model, each as open_clip alone reads it."""
    import open_clip

    found = {}
    for row in lake.read(CHECKPOINTS, "full").to_dicts():
        text = (lake.root / row["config"]).read_text()
        name = f"reloaded-{abs(hash(text))}"
        config = lake.root.parent / f"{name}.json"
        config.write_text(text)
        open_clip.add_model_config(config)
        found[row["role"]] = open_clip.create_model(name, pretrained=str(lake.root / row["path"]))
        open_model(ModelSpec("mine", str(lake.root / row["config"]), str(lake.root / row["path"]), "ours"))
    return found


SHIPPED = [name for name in profile.names() if name != "demo"]


@pytest.mark.full
@pytest.mark.parametrize("name", SHIPPED)
def test_each_shipped_profile_trains_and_what_it_writes_loads_with_open_clip(lake, name):
    build(lake, shrunk(name, lake.root.parent))
    assert set(loaded(lake)) == {"base", "interpolated", "trained"}


def changed(lake):
    """Names of the parameters that training has changed."""
    rows = {row["role"]: lake.root / row["path"] for row in lake.read(CHECKPOINTS, "full").to_dicts()}
    base, trained = interpolate.load(rows["base"]), interpolate.load(rows["trained"])
    assert set(base) == set(trained)
    return {name for name, tensor in base.items() if not bool((tensor == trained[name]).all())}


@pytest.mark.full
def test_a_locked_image_tower_stays_as_it_was(lake):
    """LiT: the text tower learns to read an image tower that does not move."""
    build(lake, shrunk("lit", lake.root.parent))
    moved = changed(lake)
    assert moved and not any(name.startswith("visual.") for name in moved)


@pytest.mark.full
def test_low_rank_additions_change_the_matrices_of_both_towers_and_nothing_else(lake):
    build(lake, dataclasses.replace(shrunk("lora", lake.root.parent), lora_rank=2))
    moved = changed(lake)
    towers = {name for name in moved if not name.startswith("logit_")}
    assert {"visual.transformer.resblocks.0.attn.in_proj_weight", "transformer.resblocks.0.mlp.c_fc.weight"} <= towers
    assert all("resblocks" in name and name.endswith("weight") and ".ln_" not in name for name in towers)
    import torch

    rows = {row["role"]: lake.root / row["path"] for row in lake.read(CHECKPOINTS, "full").to_dicts()}
    name = "transformer.resblocks.0.mlp.c_fc.weight"
    step = interpolate.load(rows["trained"])[name] - interpolate.load(rows["base"])[name]
    assert int(torch.linalg.matrix_rank(step, rtol=1e-3)) <= 2


def test_a_fresh_addition_changes_nothing_and_a_merged_one_computes_the_same():
    import open_clip
    import torch

    folder = Path(models.__file__).parent / "models"
    open_clip.add_model_config(folder)
    model = open_clip.create_model("biomedica-demo").eval()
    images, texts = torch.rand(2, 3, 48, 48), torch.randint(1, 400, (2, 32))
    with torch.no_grad():
        before = model.encode_image(images), model.encode_text(texts)
        assert lora.add(model, 4, 8.0) == 16
        after = model.encode_image(images), model.encode_text(texts)
        assert all(torch.allclose(x, y, atol=1e-5) for x, y in zip(before, after, strict=True))
        for name, parameter in model.named_parameters():
            if name.endswith(".b"):
                parameter.normal_()
        wild = model.encode_image(images), model.encode_text(texts)
        assert not torch.allclose(before[0], wild[0])
        plain = open_clip.create_model("biomedica-demo").eval()
        plain.load_state_dict(lora.merged(model.state_dict()))
        again = plain.encode_image(images), plain.encode_text(texts)
    assert all(torch.allclose(x, y, atol=1e-4) for x, y in zip(wild, again, strict=True))


def test_an_architecture_without_blocks_gets_no_additions():
    import torch

    with pytest.raises(PermanentFailure, match="no transformer blocks"):
        lora.add(torch.nn.Sequential(torch.nn.Linear(2, 2)), 4, 8.0)


@pytest.mark.full
def test_sigmoid_loss_trains_an_architecture_of_softmax_and_its_weights_load(lake):
    """It used to crash after the training: the weights had a bias that the written configuration did not know."""
    build(lake, dataclasses.replace(shrunk("laptop", lake.root.parent), siglip=True))
    models_of = loaded(lake)
    assert float(models_of["base"].logit_bias) == -10 and abs(float(models_of["base"].logit_scale) - 2.302585) < 1e-5
    assert models_of["trained"].logit_bias is not None


@pytest.mark.full
def test_long_captions_interpolate_the_positions_of_the_base_weights(lake):
    build(lake, shrunk("long-captions", lake.root.parent))
    models_of = loaded(lake)
    given = interpolate.load(lake.root.parent / "given.safetensors")["positional_embedding"]
    import torch

    wide = torch.nn.functional.interpolate(given.T[None], size=256, mode="linear", align_corners=False)[0].T
    assert models_of["base"].context_length == models_of["trained"].context_length == 256
    assert torch.allclose(models_of["base"].positional_embedding, wide, atol=1e-5)


@pytest.mark.full
def test_base_weights_are_known_by_their_content(lake):
    """A file replaced under its name makes what was trained stale; its base is never put beside the old training."""
    root = lake.root.parent
    mine = dataclasses.replace(shrunk("laptop", root), pretrained=str(write_base(root / "mine.safetensors", 1)))
    build(lake, mine)
    before = {row["role"]: (row["path"], row["sha256"]) for row in lake.read(CHECKPOINTS, "full").to_dicts()}

    def why():
        now = stage.recorded(mine, 0, root)
        return [
            str(r)
            for r in reasons(lake.manifest(CHECKPOINTS, "full"), Expectation(None, now, lake.inputs((RECIPE, "full"))))
        ]

    assert why() == []
    write_base(root / "mine.safetensors", 2)
    assert len(why()) == 1 and "pretrained_sha256" in why()[0]
    build(lake, mine)
    after = {row["role"]: (row["path"], row["sha256"]) for row in lake.read(CHECKPOINTS, "full").to_dicts()}
    assert all(after[role] != before[role] for role in before)
    assert Path(after["base"][0]).parent == Path(after["trained"][0]).parent != Path(before["trained"][0]).parent
    assert why() == []


def test_bad_base_weights_are_refused_before_anything_is_made(lake):
    root = lake.root.parent
    (root / "pointer.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    folders = sorted((lake.root / "checkpoints").rglob("*")) if (lake.root / "checkpoints").exists() else []
    with pytest.raises(PermanentFailure, match=r"pointer.safetensors is a Git LFS pointer and holds no weights"):
        build(lake, dataclasses.replace(shrunk("laptop", root), pretrained=str(root / "pointer.safetensors")))
    weights = interpolate.load(root / "given.safetensors")
    weights["visual.proj"][0, 0] = float("nan")
    interpolate.save(weights, root / "nan.safetensors", {})
    with pytest.raises(PermanentFailure, match=r"nan.safetensors cannot be used: 1 of 512 numbers of .*visual.proj"):
        build(lake, dataclasses.replace(shrunk("laptop", root), pretrained=str(root / "nan.safetensors")))
    assert folders == (sorted((lake.root / "checkpoints").rglob("*")) if (lake.root / "checkpoints").exists() else [])


@pytest.mark.full
def test_epochs_are_kept_and_the_best_is_told(lake):
    root = lake.root.parent
    every = dataclasses.replace(shrunk("laptop", root), epochs=4, keep_every=1)
    build(lake, every, score=lambda c: 0.9 if c.epoch == 2 else 0.5)
    rows = lake.read(CHECKPOINTS, "full").filter(role="epoch").sort("name")
    assert rows["name"].to_list() == ["full-epoch-1", "full-epoch-2", "full-epoch-3"]
    assert rows["samples_seen"].to_list() == [32, 64, 96]
    assert lake.manifest(CHECKPOINTS, "full").metrics["best_epoch"] == 2
    build(lake, dataclasses.replace(every, keep_best=True), score=lambda c: 0.9 if c.epoch == 2 else 0.5)
    assert lake.read(CHECKPOINTS, "full").filter(role="epoch")["name"].to_list() == ["full-epoch-2"]
    assert not list((lake.root / "checkpoints").rglob("epoch_[0-9]*.pt"))


@pytest.mark.full
def test_a_fused_optimizer_trains(lake, tmp_path):
    """On a card every run has it; torch has the kernel for the CPU too, so the same line is run here."""
    place = make_place(tmp_path)
    folder = tmp_path / "run-fused"
    plan = plan_of(place, folder, profile=dataclasses.replace(PROFILE, epochs=1))
    folder.mkdir()
    spec = supervise.RunSpec(
        arguments=training.arguments(plan), events=str(folder / training.EVENTS),
        model_folders=plan.chosen.folders, sample_buffer=16, fused=True,
    )  # fmt: skip
    supervise.run(spec, folder, CPU, lambda event: None)
    assert "fused: True" in (folder / "output.log").read_text()


@pytest.mark.full
def test_two_nodes_meet_and_train_one_model(tmp_path):
    """Two starts with one rendezvous stand in for two machines with a device each."""
    place = make_place(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    device = supervise.Device("cpu", 1, loader_workers=1, threads=1, nodes=2, rendezvous=f"127.0.0.1:{port}")
    folder = tmp_path / "nodes"
    once = dataclasses.replace(PROFILE, epochs=2)
    folder.mkdir()
    plan = plan_of(place, folder, profile=once, device=device)
    spec = supervise.RunSpec(
        arguments=training.arguments(plan), events=str(folder / training.EVENTS),
        model_folders=plan.chosen.folders, sample_buffer=16,
    )  # fmt: skip
    spec.write(folder / "spec.json")
    other = subprocess.Popen(
        supervise.command(folder / "spec.json", device), env=supervise.environment(device),
        stdout=(folder / "other.log").open("wb"), stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        supervise.run(spec, folder, device, lambda event: None)
        assert other.wait(60) == 0
    finally:
        supervise.end_group(other)
    told = training.Told.read(folder)
    assert {n: e["samples"] for n, e in told.epochs.items()} == {0: 32, 1: 32}
    assert "total 2" in (folder / "output.log").read_text() + (folder / "other.log").read_text()


@pytest.mark.full
def test_a_failure_says_its_reason_and_names_the_log(tmp_path):
    place = make_place(tmp_path)
    lost = dataclasses.replace(plan_of(place, tmp_path), base=tmp_path / "gone.safetensors")
    folder = tmp_path / "failed"
    folder.mkdir()
    spec = supervise.RunSpec(
        arguments=training.arguments(lost), events=str(folder / training.EVENTS), model_folders=lost.chosen.folders
    )
    with pytest.raises(supervise.TrainingFailed) as failed:
        supervise.run(spec, folder, CPU, lambda event: None)
    said = str(failed.value)
    assert said.startswith("training stopped: ") and "gone.safetensors" in said
    assert str(folder / "output.log") in said and "\n" not in said
