"""The stage that fills ``checkpoints``: train on a recipe's stream, interpolate, validate, account for it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from biomedica_assets.lib.clip import accounting, interpolate, models, plots, supervise
from biomedica_assets.lib.clip.card import model_card
from biomedica_assets.lib.clip.profile import Profile
from biomedica_assets.lib.clip.spec import RunSpec
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report, Scalar
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake, file_entry
from biomedica_assets.lib.tables import CHECKPOINTS, RECIPE

VERSION = "checkpoints-1"
RUN = "run"


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingData:
    """Where the samples come from.

    Attributes:
        pattern: WebDataset pattern of the virtual shards of the training split; ``--epoch 0`` in it becomes the epoch.
        samples: samples of an epoch that the reader can decode.
        virtual_shards: how many streams the pattern has.
        truncation: share of captions longer than the model's context, and similar, for the record.
    """

    pattern: str
    samples: int
    virtual_shards: int
    truncation: Mapping[str, float] = dataclasses.field(default_factory=dict[str, float])


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """One set of weights to be validated.

    Attributes:
        role: base, trained or interpolated.
        alpha: weight of the trained model: 0 for base, 1 for trained.
        weights: safetensors file.
        architecture: the model the weights belong to.
    """

    role: str
    alpha: float
    weights: Path
    architecture: models.Architecture


Validate = Callable[[Candidate], Mapping[str, float]]
"""Scores of a candidate on the validation split; the first one decides which alpha is best."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How much is put up with, and how hard the machine works; shapes speed, not content."""

    sample_buffer: int = 5000
    stream_retries: int = 2
    most_broken_streams: int = 0


def build_checkpoints(
    lake: Lake,
    recipe: str,
    *,
    profile: Profile,
    data: Callable[[int], TrainingData],
    validate: Validate,
    device: supervise.Device,
    seed: int = 0,
    limits: Limits | None = None,
    model_folder: Path | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Train, interpolate and validate one recipe.

    Args:
        lake: reads the manifest of ``recipe``.
        recipe: partition key.
        profile: how to train.
        data: gives the streams, cut for a number of loader workers.
        validate: scores a candidate on articles that were held out.
        device: where to train.
        seed: of initial weights, order and augmentation.
        limits: buffers and tolerance for broken streams.
        model_folder: user's folder of model configurations.
        progress: told of samples.

    Raises:
        PermanentFailure: base weights are missing, the loss became NaN, or a profile does not fit its model.
        TrainingFailed: the training process ended early; a second call goes on at the last complete checkpoint.
    """
    began, limits = time.monotonic(), limits or Limits()
    inputs = lake.inputs((RECIPE, recipe))
    chosen = models.architecture(profile.model, model_folder)
    given = data(max(1, device.loader_workers * device.count))
    config = {"profile": profile.as_config(), "seed": seed, "architecture": chosen.config}
    identity = hashlib.sha256(json.dumps([config, inputs, given.samples], sort_keys=True).encode()).hexdigest()[:16]
    folder = lake.root / "checkpoints" / recipe / identity
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / "base.safetensors"
    model = models.create(chosen, profile, seed)
    base_sha = interpolate.save(model.state_dict(), base, {"role": "base"})
    atomic.write_bytes(folder / "model.json", (json.dumps(chosen.config, indent=1, sort_keys=True) + "\n").encode())
    size, context = _sizes(chosen, profile)
    operations = accounting.flops_per_sample(model, size, context)
    epochs = profile.epochs_of(recipe)
    steps = _train(folder, base, chosen, profile, given, epochs, device, seed, limits, progress)
    epoch, trained = interpolate.load_training_checkpoint(folder / RUN / "checkpoints" / "epoch_latest.pt")
    if epoch != epochs:
        raise supervise.TrainingFailed(f"training ended after {epoch} of {epochs} epochs; run again to go on")
    candidates = [Candidate("base", 0.0, base, chosen)]
    before, shas = interpolate.load(base), {base: base_sha}
    for alpha in (*profile.alphas, 1.0):
        role = "trained" if math.isclose(alpha, 1.0) else "interpolated"
        path = folder / ("trained.safetensors" if role == "trained" else f"interpolated-{alpha:.2f}.safetensors")
        weights = trained if role == "trained" else interpolate.interpolate(before, trained, alpha)
        shas[path] = interpolate.save(weights, path, {"role": role, "alpha": f"{alpha:g}"})
        candidates.append(Candidate(role, alpha, path, chosen))
    scores = {c.alpha: dict(validate(c)) for c in candidates}
    metric = next(iter(scores[1.0]))
    between = [c for c in candidates if c.role == "interpolated"]
    best = max(between or candidates, key=lambda c: (scores[c.alpha][metric], -c.alpha))
    seen = sum(1 for _ in range(epochs)) * _per_epoch(given, profile, device)
    account: dict[str, Any] = {
        "samples_seen": seen, "epochs": epochs, "batch_size": profile.batch_size,
        "text_tokens": seen * context, "flops_per_sample": operations, "flops": operations * seen,
        "parameters": sum(p.numel() for p in model.parameters()), "metric": metric, "best_alpha": best.alpha,
        "data_digest": next(iter(inputs.values())), "final_loss": steps[-1]["loss"] if steps else None,
        **{f"captions_{name}": value for name, value in given.truncation.items()},
    }  # fmt: skip
    rows: list[dict[str, object]] = [
        {
            "name": f"{recipe}-{c.role}" + (f"-{c.alpha:.2f}" if c.role == "interpolated" else ""), "role": c.role,
            "alpha": c.alpha, "best": c is best, "model": chosen.name, "config": lake.path_below(folder / "model.json"),
            "path": lake.path_below(c.weights), "sha256": shas[c.weights], "metric": metric,
            "score": scores[c.alpha][metric], "scores": json.dumps(scores[c.alpha], sort_keys=True),
            "samples_seen": seen if c.role != "base" else 0,
        }
        for c in candidates
    ]  # fmt: skip
    cost = _cost(steps, device, time.monotonic() - began, folder)
    atomic.write_bytes(folder / "README.md", model_card(recipe, profile, rows, account, cost).encode())
    files = [file_entry(lake, c.weights, shas[c.weights]) for c in candidates]
    manifest = lake.publish(
        CHECKPOINTS, recipe, CHECKPOINTS.frame(rows), code_version=VERSION, inputs=inputs, config=config,
        n_in=len(rows), n_out=len(rows), files=[*files, file_entry(lake, folder / "model.json")],
        metrics={**account, "cost": cost, "card": lake.path_below(folder / "README.md")},
    )  # fmt: skip
    _remove_earlier(folder)
    metrics: dict[str, Scalar] = {k: v for k, v in {**account, **cost}.items() if isinstance(v, int | float | str)}
    return Report(
        asset="checkpoints", partition=recipe, data_version=manifest.data_version, rows=len(rows),
        n_in=len(rows), n_out=len(rows), bytes_written=manifest.bytes, seconds=time.monotonic() - began,
        metrics=metrics,
        preview=tuple({k: _scalar(r[k]) for k in ("name", "role", "alpha", "best", "score")} for r in rows),
        pictures=(
            *((plots.loss_curve(steps, f"{recipe}: {seen:,} samples seen"),) if steps else ()),
            plots.alpha_curve({a: s[metric] for a, s in scores.items()}, metric, f"{recipe}, validation split"),
        ),
    )  # fmt: skip


def _train(
    folder: Path,
    base: Path,
    chosen: models.Architecture,
    profile: Profile,
    given: TrainingData,
    epochs: int,
    device: supervise.Device,
    seed: int,
    limits: Limits,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Run or go on with the training of a folder; returns its step events, those of an earlier part included."""
    events = folder / "events.jsonl"
    latest = folder / RUN / "checkpoints" / "epoch_latest.pt"
    done = interpolate.load_training_checkpoint(latest)[0] if latest.exists() else 0
    if done < epochs:
        spec = RunSpec(
            arguments=arguments(folder, base, chosen, profile, given, epochs, device, seed),
            events=str(events), model_folders=chosen.folders, seed=seed, threads=device.threads,
            sample_buffer=limits.sample_buffer, stream_retries=limits.stream_retries,
            most_broken_streams=limits.most_broken_streams,
        )  # fmt: skip
        total = given.samples * epochs
        progress.start(f"train {folder.parent.name}", total, "samples")
        told = done * given.samples
        progress.advance(told)

        def on_event(event: Mapping[str, Any]) -> None:
            nonlocal told
            if event["kind"] == "step":
                now = min(total, int(event["epoch"]) * given.samples + min(int(event["samples"]), given.samples))
                progress.advance(max(0, now - told))
                told = max(told, now)

        try:
            supervise.run(spec, folder, device, on_event)
        finally:
            progress.finish()
    if not events.exists():
        return []
    lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    # A run that was killed and resumed tells the steps of its broken epoch twice; the later telling counts.
    last = {(e["epoch"], e["samples"]): e for e in lines if e["kind"] == "step"}
    return [last[key] for key in sorted(last)]


def arguments(
    folder: Path,
    base: Path,
    chosen: models.Architecture,
    profile: Profile,
    given: TrainingData,
    epochs: int,
    device: supervise.Device,
    seed: int,
) -> tuple[str, ...]:
    """Command line of ``open_clip_train`` for a profile."""
    per_device = profile.batch_size // (profile.accumulate * device.count)
    if per_device < 1:
        raise PermanentFailure(
            f"profile {profile.name}: batch_size {profile.batch_size} is too small for {device.count} devices with "
            f"{profile.accumulate} accumulation steps"
        )
    wanted: dict[str, object] = {
        "train-data": given.pattern, "train-num-samples": _samples(given, profile), "dataset-type": "webdataset",
        "model": chosen.name, "pretrained": base, "logs": folder, "name": RUN, "resume": "latest",
        "batch-size": per_device, "accum-freq": profile.accumulate, "epochs": epochs, "lr": profile.learning_rate,
        "warmup": profile.warmup, "lr-scheduler": profile.scheduler, "beta1": profile.beta1, "beta2": profile.beta2,
        "eps": profile.epsilon, "wd": profile.weight_decay, "precision": profile.precision,
        "workers": device.loader_workers, "seed": seed, "save-frequency": 0, "log-every-n-steps": 10,
        "device": device.kind,
        "grad-clip-norm": profile.grad_clip_norm, "force-context-length": profile.context_length,
        "force-image-size": profile.image_size,
    }  # fmt: skip
    flags = {"save-most-recent": True, "siglip": profile.siglip, "grad-checkpointing": profile.grad_checkpointing}
    if device.count > 1:
        flags |= {"local-loss": True, "gather-with-grad": True}
    pairs = [part for name, value in wanted.items() if value is not None for part in (f"--{name}", str(value))]
    return (*pairs, *(f"--{name}" for name, on in flags.items() if on))


def _samples(given: TrainingData, profile: Profile) -> int:
    return min(given.samples, profile.max_samples) if profile.max_samples else given.samples


def _per_epoch(given: TrainingData, profile: Profile, device: supervise.Device) -> int:
    """Samples of an epoch as ``open_clip_train`` rounds them: whole batches for every loader worker."""
    batch = profile.batch_size // profile.accumulate
    workers = max(1, device.loader_workers)
    return math.ceil(math.ceil(_samples(given, profile) / batch) / workers) * workers * batch


def _sizes(chosen: models.Architecture, profile: Profile) -> tuple[int, int]:
    size = profile.image_size or chosen.config["vision_cfg"].get("image_size", 224)
    context = profile.context_length or chosen.config["text_cfg"].get("context_length", 77)
    return (size if isinstance(size, int) else size[0]), context


def _cost(steps: list[dict[str, Any]], device: supervise.Device, seconds: float, folder: Path) -> dict[str, Any]:
    """What cannot be the same twice; it stays out of everything that is digested."""
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    done = [event for event in lines if event["kind"] == "done"]
    rates = sorted(step["rate"] for step in steps)
    return {
        "wall_seconds": round(seconds, 1),
        "training_seconds": round(sum(event["seconds"] for event in done), 1),
        "device_seconds": round(sum(event["seconds"] for event in done) * device.count, 1),
        "samples_per_second": round(rates[len(rates) // 2], 1) if rates else None,
        "peak_bytes": max((int(event["peak_bytes"]) for event in done), default=None),
        "broken_streams": sum(event["kind"] == "broken" for event in lines),
        "retried_streams": sum(event["kind"] == "retry" for event in lines),
        "device": f"{device.count} x {device.kind}",
        "energy_joules": done[-1].get("energy_joules") if done else None,
        "git_commit": accounting.git_commit(),
        "versions": accounting.versions(),
        "cores": os.cpu_count(),
    }


def _remove_earlier(folder: Path) -> None:
    """Folders of earlier profiles or data of the recipe: no manifest names them any more."""
    for other in folder.parent.iterdir():
        if other.is_dir() and other != folder:
            shutil.rmtree(other)


def _scalar(value: object) -> Scalar:
    return value if isinstance(value, int | float | str | bool) or value is None else str(value)
