"""Training profiles: the shipped ones say what they claim, a wrong one is refused with the field's name."""

import pytest

from biomedica_assets.lib.clip import profile
from biomedica_assets.lib.clip.stage import TrainingData, arguments
from biomedica_assets.lib.clip.supervise import Device
from biomedica_assets.lib.errors import PermanentFailure

GOOD = {"model": "ViT-B-32", "pretrained": None, "batch_size": 8, "learning_rate": 1e-3, "epochs": 1, "source": "ours"}


def test_all_shipped_profiles_load():
    assert profile.names() == ["bmc-clip", "demo", "laptop", "siglip"]
    for name in profile.names():
        assert profile.load(name).name == name


def test_bmc_clip_is_the_published_recipe():
    """arXiv 2501.07171 v1: 24 M x 9, 8 M x 27 and 6 M x 36 are the same 216 million samples."""
    found = profile.load("bmc-clip")
    assert (found.model, found.pretrained) == ("ViT-L-14", "commonpool_xl_clip_s13b_b90k")
    assert (found.batch_size, found.learning_rate, found.warmup) == (8192, 1e-6, 1000)
    assert (found.beta1, found.beta2, found.scheduler) == (0.9, 0.95, "cosine")
    assert [found.epochs_of(name) for name in ("full", "balanced", "filtered", "mine")] == [9, 27, 36, 9]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"learning_rat": 1}, r"unknown field 'learning_rat'; did you mean 'learning_rate'\?"),
        ({"batch_size": 0}, "batch_size is 0, expected a number above 0"),
        ({"precision": "fp8"}, "precision is 'fp8', expected one of fp32, bf16"),
        ({"accumulate": 3}, "batch_size 8 is no multiple of accumulate 3"),
        ({"alphas": [0.5, 1.0]}, "expected numbers between 0 and 1"),
        ({"context_length": 4096}, "context_length is 4096, expected 8 to 512"),
    ],
)
def test_a_wrong_field_is_named(change, said):
    with pytest.raises(PermanentFailure, match=said):
        profile.parse(GOOD | change, "mine", "mine.yaml")


def test_a_missing_field_is_named():
    with pytest.raises(PermanentFailure, match=r"mine.yaml: missing epochs"):
        profile.parse({k: v for k, v in GOOD.items() if k != "epochs"}, "mine", "mine.yaml")


def test_a_profile_of_the_data_directory_replaces_a_shipped_one(tmp_path):
    (tmp_path / "demo.yaml").write_text(
        "{model: RN50, pretrained: null, batch_size: 4, learning_rate: 1, epochs: 1, source: x}"
    )
    assert profile.load("demo", tmp_path).model == "RN50"
    with pytest.raises(PermanentFailure, match="there is no training profile 'bmc'; there are bmc-clip, demo"):
        profile.load("bmc", tmp_path)


def test_a_batch_is_shared_by_devices_and_accumulation(tmp_path):
    class Chosen:
        name, folders, config = "ViT-L-14", (), {}

    given = TrainingData("pipe:x", 1000, 4)
    line = arguments(tmp_path, tmp_path / "b", Chosen, profile.load("bmc-clip"), given, 9, Device("cuda", 4, 2, 1), 0)
    assert line[line.index("--batch-size") + 1] == "1024"
    assert line[line.index("--accum-freq") + 1] == "2"
    assert {"--local-loss", "--gather-with-grad", "--grad-checkpointing"} <= set(line)
    with pytest.raises(PermanentFailure, match="too small for 8 devices"):
        arguments(
            tmp_path,
            tmp_path,
            Chosen,
            profile.parse(GOOD | {"batch_size": 4}, "m", "m"),
            given,
            1,
            Device("cuda", 8),
            0,
        )
