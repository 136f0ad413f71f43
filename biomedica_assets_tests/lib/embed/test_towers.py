"""Encoders with weights, on the smallest networks there are, with weights drawn here."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from biomedica_assets.lib.embed import open_encoder, towers
from biomedica_assets.lib.embed.encoder import BatchTooLarge
from biomedica_assets.lib.errors import PermanentFailure, WaitingFor

NAME = "vit_small_patch14_dinov2.lvd142m"


@pytest.fixture(scope="module")
def timm_weights(tmp_path_factory) -> Path:
    """Seeded weights of a DINOv2 ViT-S as published: position embeddings for 518 pixels."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model(NAME, pretrained=False, num_classes=0)
    # Untrained, every block is scaled by 1e-5 and all images would have one vector.
    for name, value in model.named_parameters():
        if name.endswith("gamma"):
            value.data.fill_(1.0)
    path = tmp_path_factory.mktemp("weights") / "dinov2.safetensors"
    save_file(model.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def tower(timm_weights: Path):
    return open_encoder(NAME, weights=timm_weights, device="cpu")


def batch(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 224, 224, 3), dtype=np.uint8)


def test_a_batch_of_one_has_two_dimensions(tower):
    """A squeeze once made the last batch of one image a ragged row of 1 024 scalars."""
    assert tower.encode(batch(1)).shape == (1, 384)


def test_vectors_do_not_depend_on_the_batch_they_came_in(tower):
    images = batch(3)
    together = tower.encode(images).astype(np.float16)
    apart = np.concatenate([tower.encode(images[i : i + 1]) for i in range(3)]).astype(np.float16)
    np.testing.assert_array_equal(together, apart)


def test_mean_and_deviation_are_applied_before_the_network(tower, timm_weights):
    """BIOMEDICA fed DINOv2 without them; the two preprocessings must give the vectors of their own normalisation."""
    import torch

    image = batch(1)
    pixels = torch.from_numpy(image).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    plain = open_encoder(NAME, weights=timm_weights, preprocessing="biomedica", device="cpu")
    with torch.inference_mode():
        normalised, raw = tower._model((pixels - mean) / std).numpy(), tower._model(pixels).numpy()
    np.testing.assert_allclose(tower.encode(image), normalised, atol=1e-4)
    np.testing.assert_allclose(plain.encode(image), raw, atol=1e-4)
    assert np.abs(raw - normalised).max() > 0.01
    assert plain.digest != tower.digest


def test_the_digest_follows_the_weights(tower, timm_weights, tmp_path):
    from safetensors.torch import load_file, save_file

    changed = load_file(timm_weights)
    changed["cls_token"] += 1
    save_file(changed, tmp_path / "other.safetensors")
    assert open_encoder(NAME, weights=tmp_path / "other.safetensors", device="cpu").digest != tower.digest
    assert open_encoder(NAME, weights=timm_weights, device="cpu").digest == tower.digest


def test_a_file_of_another_network_is_refused_with_the_setting_to_change(tmp_path):
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / "strange.safetensors")
    with pytest.raises(PermanentFailure, match=r"(?s)cannot be opened from .*strange.safetensors.*encoder_weights"):
        open_encoder(NAME, weights=tmp_path / "strange.safetensors", device="cpu")


class Boom:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("boom-was-here"),))


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Boom(), protocol=2))
    with pytest.raises(PermanentFailure, match=r"cannot be opened from .*evil.pth"):
        open_encoder(NAME, weights=tmp_path / "evil.pth", device="cpu")
    assert not (tmp_path / "boom-was-here").exists()


def test_a_pickle_of_tensors_alone_gives_the_vectors_of_its_safetensors(tower, timm_weights, tmp_path):
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(timm_weights), tmp_path / "plain.pth")
    pickled = open_encoder(NAME, weights=tmp_path / "plain.pth", device="cpu")
    np.testing.assert_array_equal(pickled.encode(batch(1)), tower.encode(batch(1)))


def test_weights_that_cannot_be_had_are_named_with_the_setting(monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    expected = (
        r"model.safetensors of timm/vit_large_patch14_reg4_dinov2.lvd142m is not in.*set encoder_weights to the file"
    )
    with pytest.raises(WaitingFor, match=expected):
        open_encoder(towers.DEFAULT, device="cpu")


def test_a_missing_weights_file_is_named(tmp_path):
    with pytest.raises(
        WaitingFor, match=r"absent.safetensors does not exist; put it there, or correct encoder_weights"
    ):
        open_encoder(NAME, weights=tmp_path / "absent.safetensors")


def test_an_unknown_name_says_which_names_there_are():
    with pytest.raises(PermanentFailure, match=r"'vit_gigantic' is not known to timm .* take texture"):
        open_encoder("vit_gigantic")
    with pytest.raises(PermanentFailure, match=r"'RN1' is not known to open_clip"):
        open_encoder("open_clip/RN1/openai")


def test_an_open_clip_model_without_a_tag_lists_the_tags():
    with pytest.raises(PermanentFailure, match=r"names no published weights; write open_clip/ViT-B-32/<tag> .*openai"):
        open_encoder("open_clip/ViT-B-32")


def test_a_device_that_is_not_there_names_the_setting():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(PermanentFailure, match=r"device 'cuda' cannot be used here; set device"):
        open_encoder(NAME, device="cuda")


def test_an_open_clip_image_tower_gives_its_image_features(tmp_path, monkeypatch):
    import json

    import open_clip
    import torch
    from safetensors.torch import save_file

    tiny = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
    }
    (tmp_path / "tiny-clip.json").write_text(json.dumps(tiny))
    open_clip.add_model_config(tmp_path / "tiny-clip.json")
    torch.manual_seed(1)
    model = open_clip.create_model("tiny-clip").eval()
    save_file(model.state_dict(), tmp_path / "tiny.safetensors")
    encoder = open_encoder("open_clip/tiny-clip", weights=tmp_path / "tiny.safetensors", device="cpu")
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    shown = model.visual.preprocess_cfg
    mean, std = (torch.tensor(shown[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        expected = model.encode_image((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std).numpy()
    assert encoder.name == "open_clip-tiny-clip"
    assert encoder.prepare.size == 32
    np.testing.assert_allclose(encoder.encode(images), expected, atol=1e-5)


def test_a_device_without_room_says_so_in_the_words_of_the_library(tower, monkeypatch):
    import torch

    def full(_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(tower, "_model", full)
    with pytest.raises(BatchTooLarge, match="2 images do not fit on cpu"):
        tower.encode(batch(2))
