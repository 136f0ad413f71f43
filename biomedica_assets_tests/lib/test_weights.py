"""Files of weights as disks and downloads leave them are refused in one line that names the file."""

import json
import math

import pytest
import safetensors.torch
import torch

from biomedica_assets.lib.clip import interpolate
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.evaluate.encoder import open_model
from biomedica_assets.lib.evaluate.models import ModelSpec, WeightsMissing
from biomedica_assets.lib.weights import BadWeights, check_file, check_finite, file_digest

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0\n"
WHOLE = safetensors.torch.save({"a": torch.arange(40, dtype=torch.float32), "b": torch.ones(3)})


def _archive(path):
    torch.save({"state_dict": {"a": torch.ones(64)}}, path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (POINTER, "is a Git LFS pointer"),
        (b"", "is empty"),
        (b"<!doctype html><title>Not found</title>", "is a web page"),
        (WHOLE[:5], "is cut off after 5 bytes"),
        (WHOLE[:30], "is cut off"),
        (WHOLE[:-1], "is cut off: "),
        (b"\x10" + b"\0" * 7 + b"{this is no json", "damaged safetensors header"),
        (b"PK\x03\x04 a zip by another name", "is no safetensors file"),
    ],
)
@pytest.mark.parametrize("reader", ["check", "training", "evaluation"])
def test_what_is_no_whole_file_of_weights_is_refused_in_one_line(tmp_path, content, said, reader):
    """Training and evaluation read weights with different libraries; both refuse them in the same words."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(PermanentFailure, match=said) as refused:
        if reader == "check":
            check_file(path)
        elif reader == "training":
            interpolate.load(path)
        else:
            open_model(ModelSpec("mine", "ViT-B-32", str(path), "other"))
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("length", range(0, len(WHOLE), 7))
def test_a_safetensors_file_cut_anywhere_is_seen(tmp_path, length):
    path = tmp_path / "w.safetensors"
    path.write_bytes(WHOLE[:length])
    with pytest.raises(BadWeights):
        check_file(path)


def test_whole_files_of_both_formats_pass(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(WHOLE)
    check_file(tmp_path / "w.safetensors")
    whole = _archive(tmp_path / "w.pt")
    check_file(tmp_path / "w.pt")
    (tmp_path / "w.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadWeights, match="an archive without its end"):
        check_file(tmp_path / "w.pt")


def test_numbers_that_are_none_are_counted_and_named():
    bad = torch.tensor([1.0, math.nan, math.inf])
    with pytest.raises(BadWeights, match=r"m cannot be used: 2 of 3 numbers of the parameter b are NaN or infinite"):
        check_finite({"a": torch.ones(2), "n": torch.tensor([1]), "b": bad}, "m")


def test_evaluation_refuses_weights_with_a_nan(tmp_path):
    """Scores of such a model are chance, and nothing else says why."""
    import open_clip

    config = {
        "embed_dim": 16, "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
    }  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "m.json")
    weights = open_clip.create_model("m").state_dict()
    weights["visual.proj"][0, 0] = math.nan
    safetensors.torch.save_file({k: v.contiguous() for k, v in weights.items()}, tmp_path / "w.safetensors")
    spec = ModelSpec("mine", str(tmp_path / "m.json"), str(tmp_path / "w.safetensors"), "other")
    with pytest.raises(WeightsMissing, match=r"model mine: .*1 of 512 numbers of the parameter visual.proj are NaN"):
        open_model(spec)


def test_a_replaced_file_has_another_digest(tmp_path):
    path = tmp_path / "w.bin"
    path.write_bytes(b"one")
    first = file_digest(path)
    assert file_digest(path) == first
    (tmp_path / "other").write_bytes(b"two")
    (tmp_path / "other").replace(path)
    assert file_digest(path) != first
