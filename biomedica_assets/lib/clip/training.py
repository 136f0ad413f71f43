"""One training run of a recipe: its command line, its steps and epochs, and how many samples it has really seen.

Does not belong here: the process itself (``supervise``, ``worker``) and what becomes of the weights (``stage``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biomedica_assets.lib.clip import events, interpolate, models, supervise
from biomedica_assets.lib.clip.profile import Profile
from biomedica_assets.lib.clip.spec import RunSpec
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.progress import Progress

RUN = "run"
EVENTS = "events.jsonl"


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingData:
    """Where the samples come from.

    Attributes:
        pattern: WebDataset pattern of the virtual shards of the training split; ``--epoch 0`` in it becomes the epoch.
        samples: samples of an epoch that the reader can decode.
        virtual_shards: how many streams the pattern has.
        unreadable: samples of an epoch in formats that the training stream leaves out.
        truncation: share of captions longer than the model's context, and similar, for the record.
    """

    pattern: str
    samples: int
    virtual_shards: int
    unreadable: int = 0
    truncation: Mapping[str, float] = dataclasses.field(default_factory=dict[str, float])


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How much is put up with, and how hard the machine works; shapes speed, not content."""

    sample_buffer: int = 5000
    stream_retries: int = 2
    most_broken_streams: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What a run told, every part of it: before and after it was killed.

    Attributes:
        steps: log lines, in the order of the samples.
        epochs: for each epoch the samples that it really trained on, its seconds, and joules if the device tells.
        done: one entry for each time the process came to its end.
        broken: streams that stayed broken.
        retried: streams that were opened again.
    """

    steps: tuple[Mapping[str, Any], ...]
    epochs: Mapping[int, Mapping[str, Any]]
    done: tuple[Mapping[str, Any], ...]
    broken: int
    retried: int

    @classmethod
    def read(cls, folder: Path) -> Told:
        """Read the events of a run's folder. An epoch that was begun twice is told twice; the later telling counts.

        What is no whole line is passed over.
        """
        lines = events.read(folder / EVENTS)
        steps = {(e["epoch"], e["samples"]): e for e in lines if e["kind"] == "step"}
        return cls(
            steps=tuple(steps[key] for key in sorted(steps)),
            epochs={e["epoch"]: e for e in lines if e["kind"] == "epoch"},
            done=tuple(e for e in lines if e["kind"] == "done"),
            broken=sum(e["kind"] == "broken" for e in lines),
            retried=sum(e["kind"] == "retry" for e in lines),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a run is started with."""

    folder: Path
    base: Path
    chosen: models.Architecture
    profile: Profile
    data: TrainingData
    epochs: int
    device: supervise.Device
    seed: int = 0
    preprocess: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])

    @property
    def latest(self) -> Path:
        """The last complete checkpoint."""
        return self.folder / RUN / "checkpoints" / "epoch_latest.pt"

    def kept(self, epoch: int) -> Path:
        """The checkpoint after an epoch (counted from 1) that ``keep_every`` names."""
        return self.folder / RUN / "checkpoints" / f"epoch_{epoch}.pt"

    @property
    def samples(self) -> int:
        """Samples asked for in an epoch; the loader rounds them up to whole batches of every worker."""
        most = self.profile.max_samples
        return min(self.data.samples, most) if most else self.data.samples


def train(plan: Plan, limits: Limits, progress: Progress) -> Told:
    """Run, or go on with, the training of a folder.

    Raises:
        PermanentFailure: there is nothing to train on, or the process says that another try would end the same way.
        supervise.TrainingFailed: the process ended early; a second call goes on at the last complete checkpoint.
    """
    done = interpolate.epochs_done(plan.latest) if plan.latest.exists() else 0
    if done < plan.epochs:
        _supervise(plan, limits, progress, done)
    told = Told.read(plan.folder)
    missing = [epoch for epoch in range(plan.epochs) if epoch not in told.epochs]
    if missing:
        raise PermanentFailure(
            f"{plan.folder / EVENTS} has no word of epoch {missing[0]}, so the samples seen are not known; delete "
            f"{plan.folder} to train again"
        )
    return told


def _supervise(plan: Plan, limits: Limits, progress: Progress, done: int) -> None:
    spec = RunSpec(
        arguments=arguments(plan), events=str(plan.folder / EVENTS), model_folders=plan.chosen.folders,
        seed=plan.seed, threads=plan.device.threads, sample_buffer=limits.sample_buffer,
        stream_retries=limits.stream_retries, most_broken_streams=limits.most_broken_streams,
        lora_rank=plan.profile.lora_rank or 0, lora_alpha=plan.profile.lora_alpha, fused=plan.device.kind == "cuda",
    )  # fmt: skip
    a_pass = plan.samples
    progress.start(f"train {plan.folder.parent.name}", a_pass * plan.epochs, "samples")
    told = done * a_pass
    progress.advance(told)

    def on_event(event: Mapping[str, Any]) -> None:
        nonlocal told
        if event["kind"] == "step":
            now = int(event["epoch"]) * a_pass + min(int(event["samples"]), a_pass)
            progress.advance(max(0, now - told))
            told = max(told, now)

    try:
        supervise.run(spec, plan.folder, plan.device, on_event)
    finally:
        progress.finish()


def arguments(plan: Plan) -> tuple[str, ...]:
    """Command line of ``open_clip_train``; that the profile fits is asked before, by ``profile.check_training``."""
    profile, device = plan.profile, plan.device
    per_device = profile.batch_size // (profile.accumulate * device.everywhere)
    wanted: dict[str, object] = {
        "train-data": plan.data.pattern, "train-num-samples": plan.samples, "dataset-type": "webdataset",
        "model": plan.chosen.name, "pretrained": plan.base, "logs": plan.folder, "name": RUN, "resume": "latest",
        "batch-size": per_device, "accum-freq": profile.accumulate, "epochs": plan.epochs,
        "lr": profile.learning_rate, "warmup": profile.warmup, "lr-scheduler": profile.scheduler,
        "beta1": profile.beta1, "beta2": profile.beta2, "eps": profile.epsilon, "wd": profile.weight_decay,
        "precision": profile.precision, "workers": device.loader_workers, "seed": plan.seed,
        "save-frequency": profile.keep_every or 0,
        "log-every-n-steps": 10, "device": device.kind,
        "grad-clip-norm": profile.grad_clip_norm, "force-context-length": profile.context_length,
        "force-image-size": profile.image_size,
        # With a local file open_clip takes OpenAI's; SigLIP's weights, for one, were trained with others.
        "image-mean": plan.preprocess.get("mean"), "image-std": plan.preprocess.get("std"),
        "image-interpolation": plan.preprocess.get("interpolation"),
        "image-resize-mode": plan.preprocess.get("resize_mode"),
    }  # fmt: skip
    flags = {
        "save-most-recent": True, "siglip": profile.siglip, "grad-checkpointing": profile.grad_checkpointing,
        "lock-image": profile.lock_image, "lock-text": profile.lock_text, "torchcompile": profile.compile,
    }  # fmt: skip
    if device.everywhere > 1:
        flags |= {"local-loss": True, "gather-with-grad": True}
    pairs = [part for name, value in wanted.items() if value is not None for part in _words(name, value)]
    return (*pairs, *(f"--{name}" for name, on in flags.items() if on))


def _words(name: str, value: object) -> Sequence[str]:
    several = value if isinstance(value, list | tuple) else (value,)  # pyright: ignore[reportUnknownVariableType]
    return [f"--{name}", *(str(one) for one in several)]  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
