"""Models: how they are named, loaded and told apart, and what a missing one says."""

import contextlib
import hashlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.evaluate.encoder import UNDECODABLE, decode, open_model
from biomedica_assets.lib.evaluate.models import ModelSpec, WeightsMissing, known_model, known_models
from biomedica_assets_tests.lib.evaluate.fakes import png

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.json"
    path.write_text(json.dumps(TINY))
    return path


def test_vectors_are_unit_length_and_the_same_whatever_the_batch(tiny):
    encoder = open_model(ModelSpec("a", str(tiny), None, "ours", seed=1))
    prepared = [encoder.prepare(png(c, i)) for i, c in enumerate(["red", "green", "blue"] * 3)]
    whole = encoder.images(prepared)
    parts = np.concatenate([encoder.images(prepared[:4]), encoder.images(prepared[4:])])
    assert np.linalg.norm(whole, axis=1) == pytest.approx(np.ones(9), abs=1e-6)
    assert whole == pytest.approx(parts, abs=1e-5)
    assert encoder.texts(["a", "b"]).shape == (2, 16)


def test_digests_tell_weights_and_configs_apart(tiny, tmp_path):
    first = open_model(ModelSpec("a", str(tiny), None, "ours", seed=1)).digest
    assert first == open_model(ModelSpec("other name", str(tiny), None, "base", seed=1)).digest
    assert first != open_model(ModelSpec("a", str(tiny), None, "ours", seed=2)).digest
    same_name = tmp_path / "tiny.json"
    same_name.write_text(json.dumps(TINY | {"embed_dim": 8}))
    other = open_model(ModelSpec("a", str(same_name), None, "ours", seed=1))
    assert other.digest != first
    assert other.texts(["a"]).shape == (1, 8), "two configs of the same file name must not be mixed up"


def test_safetensors_of_a_checkpoint_load_and_are_known_by_their_bytes(tiny, tmp_path):
    from safetensors.torch import save_file

    source = open_model(ModelSpec("a", str(tiny), None, "ours", seed=3))
    weights = tmp_path / "w.safetensors"
    save_file({k: v.contiguous() for k, v in source._model.state_dict().items()}, weights)
    spec = ModelSpec("b", str(tiny), str(weights), "ours")
    loaded = open_model(spec)
    assert (loaded.texts(["x"]) == source.texts(["x"])).all()
    before = spec.known_digest()
    weights.write_bytes(weights.read_bytes() + b" ")
    assert spec.known_digest() != before


def test_a_flipped_byte_of_a_checkpoint_is_noticed_before_it_is_evaluated(tiny, tmp_path):
    """Weights with one byte changed load without a word and score almost as well."""
    from safetensors.torch import save_file

    source = open_model(ModelSpec("a", str(tiny), None, "ours", seed=3))
    weights = tmp_path / "w.safetensors"
    save_file({k: v.contiguous() for k, v in source._model.state_dict().items()}, weights)
    spec = ModelSpec("b", str(tiny), str(weights), "ours", digest=hashlib.sha256(weights.read_bytes()).hexdigest())
    open_model(spec)
    data = bytearray(weights.read_bytes())
    data[-9] ^= 1
    weights.write_bytes(data)
    with pytest.raises(WeightsMissing, match=r"w\.safetensors is damaged .*fsck --repair"):
        open_model(spec)


def test_missing_weights_and_configs_say_what_to_set(tiny, tmp_path):
    gone = ModelSpec("m", str(tiny), str(tmp_path / "gone.safetensors"), "ours")
    with pytest.raises(WeightsMissing, match=r"model m: .*gone\.safetensors cannot be read .*name a file that exists"):
        gone.known_digest()
    with pytest.raises(WeightsMissing, match=r"gone\.safetensors cannot be read .*name a file that exists"):
        open_model(gone)
    with pytest.raises(WeightsMissing, match=r"model m: .*no\.json cannot be read .*name a file that exists"):
        ModelSpec("m", str(tmp_path / "no.json"), None, "ours").known_digest()
    (tmp_path / "odd.json").write_text('{"a": 1}')
    with pytest.raises(WeightsMissing, match="is not an open_clip model config"):
        open_model(ModelSpec("m", str(tmp_path / "odd.json"), None, "ours"))


def test_weights_that_run_code_are_not_loaded(tiny, tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    bad = tmp_path / "w.pt"
    bad.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(Exception, match=r"m|weights"):
        open_model(ModelSpec("m", str(tiny), str(bad), "ours"))
    assert not (tmp_path / "ran").exists()


def test_published_models_say_where_they_are_to_be_had(tmp_path):
    models = known_models()
    assert {"biomedclip", "bmc-clip-cf", "pmc-clip"} <= set(models)
    for model in models.values():
        assert model.get
        assert model.source
        assert model.spec.provenance == "other"
    with pytest.raises(WeightsMissing, match=r"BMC_CLIP_CF.pt.*gated"):
        known_model("bmc-clip-cf")
    assert known_model("bmc-clip-cf", str(tmp_path / "w.pt")).weights == str(tmp_path / "w.pt")
    with pytest.raises(WeightsMissing, match="is none of biomedclip"):
        known_model("nothing")


def test_hub_models_without_network_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsMissing, match=r"biomedclip.*could not be loaded.*HF_HOME"):
        open_model(known_model("biomedclip"))


@given(st.binary(max_size=200), st.integers(0, 100))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_bytes_come_decoding_gives_rgb_or_a_known_error(data, cut):
    for candidate in (data, png("red")[:cut], b"GIF89a" + data, b"\x89PNG\r\n\x1a\n" + data):
        with contextlib.suppress(*UNDECODABLE):
            assert decode(candidate).mode == "RGB"


def test_grey_and_colour_pixels_become_rgb():
    assert decode(np.zeros((4, 5), np.uint8)).size == (5, 4)
    assert decode(np.zeros((4, 5, 3), np.uint8)).mode == "RGB"
