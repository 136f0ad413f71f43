"""Weights between two models."""

import json

import pytest
import safetensors
import torch

from biomedica_assets.lib.clip import interpolate
from biomedica_assets.lib.errors import PermanentFailure

BASE = {"w": torch.tensor([0.0, 2.0]), "n": torch.tensor([1, 2])}
TRAINED = {"w": torch.tensor([1.0, 6.0]), "n": torch.tensor([3, 4])}


def test_the_ends_are_the_models_and_the_middle_is_between():
    assert torch.equal(interpolate.interpolate(BASE, TRAINED, 0.0)["w"], BASE["w"])
    assert torch.equal(interpolate.interpolate(BASE, TRAINED, 1.0)["w"], TRAINED["w"])
    assert torch.equal(interpolate.interpolate(BASE, TRAINED, 0.25)["w"], torch.tensor([0.25, 3.0]))
    assert torch.equal(interpolate.interpolate(BASE, TRAINED, 0.25)["n"], TRAINED["n"])


def test_half_precision_is_mixed_in_full_and_returned_as_it_came():
    half = {
        name: tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor for name, tensor in TRAINED.items()
    }
    assert interpolate.interpolate(BASE, half, 0.5)["w"].dtype == torch.bfloat16


def test_models_that_differ_are_refused_by_name():
    with pytest.raises(PermanentFailure, match="only one of them has the parameter x"):
        interpolate.interpolate(BASE, TRAINED | {"x": torch.zeros(1)}, 0.5)
    with pytest.raises(PermanentFailure, match=r"w is \(2,\) and \(3,\)"):
        interpolate.interpolate(BASE, TRAINED | {"w": torch.zeros(3)}, 0.5)


def test_equal_weights_give_equal_files(tmp_path):
    one = interpolate.save(BASE, tmp_path / "a.safetensors", {"role": "base"})
    two = interpolate.save(dict(reversed(BASE.items())), tmp_path / "b.safetensors", {"role": "base"})
    assert one == two
    assert torch.equal(interpolate.load(tmp_path / "a.safetensors")["w"], BASE["w"])


def test_equal_weights_with_several_metadata_give_equal_files(tmp_path):
    """safetensors orders entries by a hash that is new each time: two trainings differed in their digests alone."""
    pairs = [("role", "interpolated"), ("alpha", "0.5"), ("model", "m"), ("recipe", "full")]
    given = [dict(pairs), dict(reversed(pairs))] * 8
    assert len({interpolate.save(BASE, tmp_path / "a.safetensors", metadata) for metadata in given}) == 1
    with safetensors.safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert json.loads(file.metadata()[interpolate.METADATA]) == dict(pairs)


def test_a_damaged_file_and_a_pickle_with_code_are_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(PermanentFailure, match="is no safetensors file"):
        interpolate.load(tmp_path / "x.safetensors")
    torch.save({"epoch": 1, "state_dict": {"w": print}}, tmp_path / "x.pt")
    with pytest.raises(PermanentFailure, match="is not a training checkpoint"):
        interpolate.load_training_checkpoint(tmp_path / "x.pt")


def test_a_checkpoint_with_nan_is_not_taken(tmp_path):
    torch.save({"epoch": 1, "state_dict": {"module.w": torch.tensor([float("nan")])}}, tmp_path / "x.pt")
    with pytest.raises(PermanentFailure, match="1 of 1 numbers of the parameter w are NaN or infinite"):
        interpolate.load_training_checkpoint(tmp_path / "x.pt")
