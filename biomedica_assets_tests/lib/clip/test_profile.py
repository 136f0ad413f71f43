"""Training profiles: the shipped ones say what they claim, a wrong one is refused with the field's name."""

import pytest

from biomedica_assets.lib.clip import profile
from biomedica_assets.lib.clip.supervise import Device, check_precision
from biomedica_assets.lib.clip.training import Plan, TrainingData, arguments
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

    def plan(chosen, count, samples=9000):
        given = TrainingData("pipe:x", samples, 4, unreadable=7)
        return Plan(tmp_path, tmp_path / "b", Chosen, chosen, given, 9, Device("cuda", count, 2, 1))

    line = arguments(plan(profile.load("bmc-clip"), 4))
    assert line[line.index("--batch-size") + 1] == "1024"
    assert line[line.index("--accum-freq") + 1] == "2"
    assert {"--local-loss", "--gather-with-grad", "--grad-checkpointing"} <= set(line)
    with pytest.raises(PermanentFailure, match="too small for 8 devices"):
        arguments(plan(profile.parse(GOOD | {"batch_size": 4}, "m", "m"), 8))
    with pytest.raises(PermanentFailure, match=r"more than the 8191 samples of an epoch \(7 others are in formats"):
        arguments(plan(profile.load("bmc-clip"), 4, samples=8191))


def test_images_are_prepared_as_the_base_weights_want_them(tmp_path):
    """open_clip takes OpenAI's mean for every local file, and ours is one; SigLIP was trained with 0.5."""

    class Chosen:
        name, folders, config = "ViT-B-16-SigLIP", (), {}

    wanted = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic", "resize_mode": "squash"}
    plan = Plan(
        tmp_path, tmp_path, Chosen, profile.parse(GOOD, "m", "m"), TrainingData("x", 8, 1), 1, Device("cpu"), 0, wanted
    )
    line = " ".join(arguments(plan))
    assert "--image-mean 0.5 0.5 0.5 --image-std 0.5 0.5 0.5" in line
    assert "--image-resize-mode squash" in line


@pytest.mark.parametrize("precision", ["fp16", "amp"])
def test_arithmetic_that_the_device_lacks_is_refused_with_what_there_is(precision):
    with pytest.raises(PermanentFailure, match="the profile may say fp32 or bf16 or amp_bf16"):
        check_precision(Device("cpu"), precision)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "amp_bf16"])
def test_arithmetic_that_the_cpu_has_is_allowed(precision):
    check_precision(Device("cpu"), precision)
