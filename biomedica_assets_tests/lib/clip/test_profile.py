"""Training profiles: the shipped ones say what they claim, a wrong one is refused with the field's name."""

import subprocess
import sys

import pytest

from biomedica_assets.lib.clip import models, profile
from biomedica_assets.lib.clip.supervise import Device, check_precision
from biomedica_assets.lib.clip.training import Plan, TrainingData, arguments
from biomedica_assets.lib.errors import PermanentFailure, WaitingFor

GOOD = {"model": "ViT-B-32", "pretrained": None, "batch_size": 8, "learning_rate": 1e-3, "epochs": 1, "source": "ours"}


def test_all_shipped_profiles_load():
    assert profile.names() == ["bmc-clip", "card", "demo", "laptop", "lit", "long-captions", "lora", "siglip"]
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
        ({"alphas": [0.5, 1.0]}, "expected a list of numbers between 0 and 1"),
        ({"context_length": 4096}, "context_length is 4096, expected 8 to 512"),
        ({"epochs": 2.5}, "epochs is 2.5, expected a number above 0, a whole one"),
        ({"epochs": True}, "epochs is True, expected a number above 0"),
        ({"beta2": 1.5}, "beta2 is 1.5, expected a number from 0 to below 1"),
        ({"scheduler": "linear"}, "scheduler is 'linear', expected one of cosine, const"),
        ({"image_size": 0}, "image_size is 0, expected 16 to 2048 pixels"),
        ({"alphas": "0.5"}, "alphas is '0.5', expected a list of numbers between 0 and 1"),
        ({"alphas": ["0.5"]}, r"alphas is \['0.5'\], expected a list of numbers between 0 and 1"),
        ({"alphas": [0.251, 0.252]}, "two would be called 0.25"),
        ({"alphas": [0.001]}, "two would be called 0.00"),
        ({"learning_rate": "1e-3"}, "learning_rate is '1e-3', expected a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, expected a number above 0"),
        ({"siglip": "no"}, "siglip is 'no', expected true or false, without quotes"),
        ({"siglip": 1}, "siglip is 1, expected true or false"),
        ({"weight_decay": -1}, "weight_decay is -1, expected a number of 0 or more"),
        ({"epochs_by_recipe": {"full": 0.5}}, "epochs_by_recipe is .*expected recipes and their passes"),
        ({"model": ""}, "model is '', expected text"),
        ({"model": 32}, "model is 32, expected text"),
        ({"batch_size": None}, "batch_size is None, expected a number above 0"),
        ({"max_samples": 0}, "max_samples is 0, expected a number above 0, a whole one or null"),
        ({"batch_size": 10**30}, "expected a number above 0, a whole one up to 1,048,576"),
        ({"lora_rank": 1_000_000}, "lora_rank is 1000000, expected 1 to 1,024, a whole number or null"),
        ({"caption": "a||b"}, "caption is 'a..b', expected names of fields joined by"),
        ({"caption": "+"}, "caption is '.', expected names of fields joined by"),
        ({"caption": "no such field"}, "expected names of fields joined by"),
        ({"lora_rank": 4, "lock_image": True}, "lora_rank is 4 and a tower is locked"),
        ({"lock_image": True, "lock_text": True}, "nothing would be trained"),
        ({"keep_best": True}, "keep_every must say"),
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
    with pytest.raises(PermanentFailure, match="there is no training profile 'bmc'; there are bmc-clip, card, demo"):
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


def test_a_profile_that_does_not_fit_the_recipe_or_the_devices_is_refused():
    small = profile.parse(GOOD | {"batch_size": 4}, "m", "m")
    with pytest.raises(PermanentFailure, match="batch_size 4 is too small for 8 devices"):
        profile.check_training(small, "full", samples=100, unreadable=0, devices=8)
    wide = profile.load("bmc-clip")
    with pytest.raises(
        WaitingFor, match=r"full has 8,191 \(7 more are in formats.*a batch of the profile bmc-clip takes"
    ):
        profile.check_training(wide, "full", samples=8191, unreadable=7, devices=4)
    with pytest.raises(WaitingFor, match=r"full has 24,576, which make 27 steps .* warms up for 1,000"):
        profile.check_training(wide, "full", samples=3 * 8192, unreadable=0, devices=4)
    profile.check_training(wide, "full", samples=112 * 8192, unreadable=0, devices=4)
    capped = profile.parse(GOOD | {"batch_size": 8, "max_samples": 4}, "m", "m")
    with pytest.raises(PermanentFailure, match="batch_size 8 is more than max_samples 4") as refused:
        profile.check_training(capped, "full", samples=100, unreadable=0, devices=1)
    assert not isinstance(refused.value, WaitingFor), "no data would ever make it fit"


def test_numbers_in_scientific_notation_are_numbers_and_text_stays_text(tmp_path):
    """YAML 1.1, which PyYAML reads, takes 1e-3 for text; whoever writes a learning rate means YAML 1.2."""
    body = "{{model: m, pretrained: null, batch_size: 4, learning_rate: {}, epochs: 1, source: x}}"
    for text, value in (("1e-3", 1e-3), ("1.5E-4", 1.5e-4), ("2.0e-6", 2e-6), ("3", 3)):
        (tmp_path / "mine.yaml").write_text(body.format(text))
        assert profile.load("mine", tmp_path).learning_rate == value
    (tmp_path / "mine.yaml").write_text(body.format("'1e-3'"))
    with pytest.raises(PermanentFailure, match=r"mine.yaml: learning_rate is '1e-3', expected a number above 0"):
        profile.load("mine", tmp_path)
    (tmp_path / "mine.yaml").write_text(body.format("1").replace("source: x", "source: 1e-3x"))
    assert profile.load("mine", tmp_path).source == "1e-3x"


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


def test_a_configuration_is_read_without_open_clip_and_is_the_same(tmp_path):
    """Importing it takes ten seconds, which every look at what is out of date would pay."""
    import open_clip

    (tmp_path / "own.json").write_text('{"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}}')
    (tmp_path / "ViT-B-32.json").write_text('{"embed_dim": 9, "vision_cfg": {}, "text_cfg": {}}')
    for name in (*open_clip.list_models(), "biomedica-demo"):
        assert models.configuration(name) == models.architecture(name).config, name
    for name in ("own", str(tmp_path / "own.json")):
        assert models.configuration(name, tmp_path)["embed_dim"] == 8
    assert models.configuration("ViT-B-32", tmp_path)["embed_dim"] == 9, "one's own comes first"
    with pytest.raises(PermanentFailure, match="'nobody' is unknown"):
        models.configuration("nobody", tmp_path)
    program = (
        "import sys; from biomedica_assets.lib.clip import models; models.configuration('ViT-B-32'); "
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
