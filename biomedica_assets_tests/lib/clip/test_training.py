"""Real, very small runs of ``open_clip_train`` under supervision: resumed, cancelled, broken, exploding."""

import dataclasses
import io
import json
import os
import shutil
import tarfile
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from biomedica_assets.lib.clip import interpolate, models, profile, supervise, training
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.stream import index, urls, virtual

pytestmark = pytest.mark.full  # real trainings

MICRO = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
}
CPU = supervise.Device("cpu", 1, loader_workers=1, threads=1)
PROFILE = profile.parse(
    {"model": "micro", "pretrained": None, "batch_size": 8, "learning_rate": 1e-3, "epochs": 3, "source": "tests"},
    "tests", "tests",
)  # fmt: skip


def draw_shards(root):
    """Two shards of 16 samples."""
    rng = np.random.default_rng(0)
    for shard in range(2):
        with tarfile.open(root / f"s{shard}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for n in range(16):
                buffer = io.BytesIO()
                PIL.Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8)).save(buffer, "PNG")
                for name, data in (("png", buffer.getvalue()), ("txt", f"figure {shard} {n}".encode())):
                    info = tarfile.TarInfo(f"s{shard}-{n}.{name}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


def make_place(root):
    """Shards, a model configuration and its base weights."""
    draw_shards(root)
    (root / "micro.json").write_text(json.dumps(MICRO))
    chosen = models.architecture("micro", root)
    interpolate.save(models.create(chosen, PROFILE, 0).state_dict(), root / "base.safetensors", {})
    return root, chosen, training.TrainingData(f"pipe:cat {root}/s{{0..1}}.tar", 32, 2)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_place(tmp_path_factory.mktemp("clip"))


def plan_of(place, folder, *, given=None, profile=PROFILE, device=CPU):
    root, chosen, data = place
    return training.Plan(folder, root / "base.safetensors", chosen, profile, given or data, profile.epochs, device)


def train(place, folder, *, on_event=lambda event: None, given=None, profile=PROFILE, device=CPU, **limits):
    folder.mkdir(exist_ok=True)
    plan = plan_of(place, folder, given=given, profile=profile, device=device)
    spec = supervise.RunSpec(
        arguments=training.arguments(plan), events=str(folder / training.EVENTS),
        model_folders=plan.chosen.folders, sample_buffer=16, **limits,
    )  # fmt: skip
    supervise.run(spec, folder, device, on_event)
    return folder


def weights(folder):
    return interpolate.load_training_checkpoint(folder / "run" / "checkpoints" / "epoch_latest.pt")


def processes(folder):
    """Processes that name the folder on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(folder) in line:
                found.append(line)
    return found


@pytest.fixture(scope="module")
def uninterrupted(place, tmp_path_factory):
    return train(place, tmp_path_factory.mktemp("whole") / "a")


def test_a_run_tells_its_steps_and_what_it_cost(uninterrupted):
    events = [json.loads(line) for line in (uninterrupted / "events.jsonl").read_text().splitlines()]
    steps = [e for e in events if e["kind"] == "step"]
    assert {e["epoch"] for e in steps} == {0, 1, 2}
    assert all(e["of"] == 32 for e in steps)
    assert events[-1]["kind"] == "done" and events[-1]["peak_bytes"] > 0
    assert {n: e["samples"] for n, e in training.Told.read(uninterrupted).epochs.items()} == {0: 32, 1: 32, 2: 32}
    assert weights(uninterrupted)[0] == 3


def gated(folder, root):
    """Shards that go through a shell which holds back the last of the three epochs while ``held`` exists.

    A cancellation reaches the trainer some time after the step that caused it, and three epochs of two batches take
    less than that on a busy machine: without the gate the run sometimes ended before it was told to.
    """
    folder.mkdir()
    (folder / "gate.sh").write_text(
        f"echo opened >> {folder}/opens\n"
        f"while [ -e {folder}/held ] && [ $(wc -l < {folder}/opens) -gt 4 ]; do sleep 0.05; done\n"
        'exec cat "$1"\n'
    )
    return training.TrainingData(f"pipe:sh {folder}/gate.sh {root}/s{{0..1}}.tar", 32, 2)


def test_a_cancelled_run_leaves_no_process_and_a_resumed_one_ends_with_the_same_weights(place, uninterrupted, tmp_path):
    """Same order, same augmentation, same number of samples: an epoch is seeded by its number, not by its history."""
    folder = tmp_path / "b"
    data = gated(folder, place[0])
    (folder / "held").touch()

    def cancel(event):
        if event["kind"] == "step" and event["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(place, folder, given=data, on_event=cancel)
    assert processes(folder) == []
    assert weights(folder)[0] in (1, 2)
    (folder / "held").unlink()
    train(place, folder, given=data)
    (epoch, resumed), (_, whole) = weights(folder), weights(uninterrupted)
    assert epoch == 3
    assert all(bool((resumed[name] == tensor).all()) for name, tensor in whole.items())
    told, once = training.Told.read(folder), training.Told.read(uninterrupted)
    assert {n: e["samples"] for n, e in told.epochs.items()} == {n: e["samples"] for n, e in once.epochs.items()}
    assert [s["loss"] for s in told.steps] == [s["loss"] for s in once.steps]


def test_an_exploding_loss_stops_the_run_and_keeps_the_last_good_checkpoint(place, uninterrupted, tmp_path):
    train(place, tmp_path / "c", profile=dataclasses.replace(PROFILE, epochs=1))
    good = (tmp_path / "c" / "run" / "checkpoints" / "epoch_latest.pt").read_bytes()
    wild = dataclasses.replace(PROFILE, epochs=8, learning_rate=1e36, grad_clip_norm=None)
    with pytest.raises(PermanentFailure, match="the loss is not a finite number"):
        train(place, tmp_path / "c", profile=wild)
    assert (tmp_path / "c" / "run" / "checkpoints" / "epoch_latest.pt").read_bytes() == good


def test_a_shard_that_cannot_be_read_ends_the_run_or_is_counted(place, tmp_path):
    root, _, _ = place
    broken = training.TrainingData(f"pipe:cat {root}/s{{0..2}}.tar", 32, 3)
    with pytest.raises(supervise.TrainingFailed, match="virtual shards could not be read"):
        train(place, tmp_path / "d", given=broken, stream_retries=1)
    once = dataclasses.replace(PROFILE, epochs=1)
    train(place, tmp_path / "e", given=broken, stream_retries=1, most_broken_streams=9, profile=once)
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "e" / "events.jsonl").read_text().splitlines()]
    assert {"retry", "broken", "done"} <= set(kinds)


def test_a_lost_physical_shard_breaks_the_streams_of_the_real_command(place, tmp_path):
    """Two virtual shards, each of one physical shard; the second file is gone when training asks for it."""
    files = [shutil.copy(place[0] / f"s{n}.tar", tmp_path) for n in range(2)]
    rows = []
    for number, path in enumerate(files):
        with tarfile.open(path) as tar:
            starts = [member.offset for member in tar if member.name.endswith(".png")]
            rows += [(number, *span) for span in zip(starts, [*starts[1:], tar.offset], strict=True)]
    split = dict(zip(("shard", "start", "end"), np.array(rows, dtype=np.int64).T, strict=True))
    split["repeat"] = split["check"] = np.ones(len(rows), dtype=np.int64)
    shards = [(f"s{n}.tar", Path(path).stat().st_size, "png") for n, path in enumerate(files)]
    index.write(tmp_path / "r.index", recipe="r", seed=0, shards=shards, splits={"train": split})
    wanted = virtual.Selection(shuffle=False)
    given = training.TrainingData(urls.pipe_pattern(tmp_path / "r.index", str(tmp_path), wanted, 2), 32, 2)
    Path(files[1]).unlink()
    once = dataclasses.replace(PROFILE, epochs=1)
    with pytest.raises(supervise.TrainingFailed, match="1 virtual shards could not be read"):
        train(place, tmp_path / "k", given=given, stream_retries=1, profile=once)
    told = training.Told.read(tmp_path / "k")
    assert (told.retried, told.broken) == (1, 1)
    assert "s1.tar" in (tmp_path / "k" / "output.log").read_text()
    train(place, tmp_path / "l", given=given, stream_retries=0, most_broken_streams=9, profile=once)
    told = training.Told.read(tmp_path / "l")
    assert told.broken >= 1 and told.epochs[0]["samples"] == 32


def test_a_killed_supervisor_takes_its_run_with_it(place, tmp_path):
    import signal
    import subprocess
    import sys

    program = (
        "import sys, pathlib\n"
        "from biomedica_assets.lib.clip import supervise\n"
        "from biomedica_assets.lib.clip.spec import RunSpec\n"
        "folder = pathlib.Path(sys.argv[1]); spec = RunSpec.read(folder / 'given.json')\n"
        "supervise.run(spec, folder, supervise.Device('cpu', 1, 1, 1), lambda event: print('event', flush=True))\n"
    )
    folder = tmp_path / "f"
    folder.mkdir()
    plan = plan_of(place, folder, profile=dataclasses.replace(PROFILE, epochs=500))
    spec = supervise.RunSpec(
        arguments=training.arguments(plan), events=str(folder / training.EVENTS),
        model_folders=plan.chosen.folders, sample_buffer=16,
    )  # fmt: skip
    spec.write(folder / "given.json")
    parent = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE)
    assert parent.stdout is not None and parent.stdout.readline() == b"event\n"
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 300
    while processes(folder) and time.monotonic() < until:
        time.sleep(0.2)
    assert processes(folder) == []


def test_a_loader_whose_streams_hold_less_than_a_batch_ends_the_run(place, tmp_path):
    """Without a word such a loader gives nothing, and the epoch would be shorter than what is accounted for."""
    root, _, _ = place
    shares = training.TrainingData(f"pipe:cat {root}/s{{0..1}}.tar", 32, 2)
    wide = dataclasses.replace(PROFILE, batch_size=24, epochs=1)
    two = supervise.Device("cpu", 1, loader_workers=2, threads=1)
    with pytest.raises(PermanentFailure, match=r"had 0 of 2 batches of 24: .*lower batch_size or loader_workers"):
        train(place, tmp_path / "g", given=shares, profile=wide, device=two)


@pytest.mark.parametrize("precision", ["bf16", "amp_bf16"])
def test_arithmetic_of_less_precision_trains_on_the_cpu(place, tmp_path, precision):
    train(place, tmp_path / "h", profile=dataclasses.replace(PROFILE, epochs=1, precision=precision))
    assert weights(tmp_path / "h")[0] == 1


def test_accumulation_counts_only_what_was_learned_from(place, tmp_path):
    """The last micro-batches of an epoch that fill no whole step are read and thrown away by open_clip_train."""
    odd = dataclasses.replace(PROFILE, epochs=1, batch_size=24, accumulate=3)
    train(place, tmp_path / "i", profile=odd)
    assert training.Told.read(tmp_path / "i").epochs[0]["samples"] == 24


def test_two_processes_share_a_batch_and_count_together(place, tmp_path):
    """The CPU stands in for two GPUs: torchrun, gradients averaged by DDP, one checkpoint."""
    both = supervise.Device("cpu", 2, loader_workers=1, threads=1)
    train(place, tmp_path / "j", profile=dataclasses.replace(PROFILE, epochs=2), device=both)
    told = training.Told.read(tmp_path / "j")
    assert {n: e["samples"] for n, e in told.epochs.items()} == {0: 32, 1: 32}
    assert len(told.done) == 1
    assert weights(tmp_path / "j")[0] == 2
    assert processes(tmp_path / "j") == []
