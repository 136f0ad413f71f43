"""The stage that fills ``checkpoints``: train on a recipe's stream, interpolate, validate, account for it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from biomedica_assets.lib.clip import accounting, interpolate, models, plots, supervise
from biomedica_assets.lib.clip.card import model_card
from biomedica_assets.lib.clip.profile import Profile, check_training
from biomedica_assets.lib.clip.training import Limits, Plan, Told, TrainingData, train
from biomedica_assets.lib.images.canonical import VERSION as CANONICAL
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report, Scalar
from biomedica_assets.lib.store import atomic, named
from biomedica_assets.lib.store.lake import Lake, file_entry
from biomedica_assets.lib.store.manifest import FileEntry
from biomedica_assets.lib.tables import CHECKPOINTS, RECIPE
from biomedica_assets.lib.weights import file_digest

VERSION = f"checkpoints-4.{CANONICAL}"
MODEL, COST, CARD = "model.json", "cost.json", "README.md"


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """One set of weights to be validated.

    Attributes:
        role: base, trained, interpolated, or epoch for weights of an earlier epoch that were kept.
        alpha: weight of the trained model: 0 for base, 1 for trained and for earlier epochs.
        weights: safetensors file; ``model.json`` beside it is its architecture.
        epoch: passes behind it, of an earlier epoch.
    """

    role: str
    alpha: float
    weights: Path
    epoch: int = 0

    @property
    def name(self) -> str:
        """Role, and alpha where it tells candidates apart."""
        told = {"interpolated": f"-{self.alpha:.2f}", "epoch": f"-{self.epoch}"}
        return self.role + told.get(self.role, "")


Validate = Callable[[Candidate], Mapping[str, float]]
"""Scores of a candidate on the validation split; the first one decides which alpha is best."""


def recorded(profile: Profile, seed: int, model_folder: Path | None = None) -> dict[str, Any]:
    """Settings that shape the content, as the manifest records them.

    A file of base weights is among them by its digest: another file under the same name makes what was trained stale.
    """
    given = models.pretrained_file(profile)
    return {
        "profile": profile.as_config(),
        "seed": seed,
        "architecture": models.configuration(profile.model, model_folder),
        "pretrained_sha256": file_digest(given) if given is not None and given.is_file() else None,
    }


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
        PermanentFailure: base weights are missing or no weights, the loss became NaN, or a profile does not fit its
            model, the devices or the number of samples.
        TrainingFailed: the training process ended early; a second call goes on at the last complete checkpoint.
        StoreError: the disk cannot be written; the checkpoints published before are whole.
    """
    began = time.monotonic()
    supervise.check_precision(device, profile.precision)
    inputs = lake.inputs((RECIPE, recipe))
    chosen = models.architecture(profile.model, model_folder)
    given = data(max(1, device.loader_workers) * device.everywhere)
    check_training(profile, recipe, samples=given.samples, unreadable=given.unreadable, devices=device.everywhere)
    model = models.create(chosen, profile, seed)
    config = recorded(profile, seed, model_folder)
    # By the numbers that training starts from, not by what they are called: base and trained weights never mix.
    start = interpolate.content_digest(model.state_dict())
    folder = lake.root / "checkpoints" / recipe / _identity(config, inputs, start)
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = models.preprocessing(model)
    base, base_file = _saved(
        lake, folder, "base", 0.0, model.state_dict(), {"role": "base", "preprocessing": preprocess}
    )
    effective = models.effective_config(chosen, profile)
    atomic.write_bytes(folder / MODEL, (json.dumps(effective, indent=1, sort_keys=True) + "\n").encode())
    epochs = profile.epochs_of(recipe)
    plan = Plan(folder, base.weights, chosen, profile, given, epochs, device, seed, preprocess)
    told = train(plan, limits or Limits(), progress)
    candidates = _interpolated(lake, plan, base, base_file) | _earlier(lake, plan, recipe)
    scores = {c: dict(validate(c)) for c in candidates}
    metric = next(iter(scores[base]))
    of_role = {role: [c for c in candidates if c.role == role] for role in ("interpolated", "trained", "epoch")}
    best = max(of_role["interpolated"] or [*candidates], key=lambda c: (scores[c][metric], -c.alpha))
    best_epoch = max([*of_role["trained"], *of_role["epoch"]], key=lambda c: (scores[c][metric], c.epoch == 0))
    if profile.keep_best:
        candidates = {c: file for c, file in candidates.items() if c.role != "epoch" or c is best_epoch}
    seen, context = (
        sum(told.epochs[epoch]["samples"] for epoch in range(epochs)),
        effective["text_cfg"]["context_length"],
    )
    operations = accounting.flops_per_sample(model, models.image_size(effective), context)
    account: dict[str, Any] = {
        "samples_seen": seen, "samples_an_epoch": given.samples, "samples_unreadable": given.unreadable,
        "epochs": epochs, "batch_size": profile.batch_size, "text_tokens": seen * context,
        "flops_per_sample": operations, "flops": operations * seen,
        "parameters": sum(p.numel() for p in model.parameters()), "metric": metric, "best_alpha": best.alpha,
        "best_epoch": best_epoch.epoch or epochs, "base_digest": start,
        "data_digest": next(iter(inputs.values())), "final_loss": told.steps[-1]["loss"] if told.steps else None,
        **{f"captions_{name}": value for name, value in given.truncation.items()},
    }  # fmt: skip
    rows: list[dict[str, object]] = [
        {
            "name": f"{recipe}-{c.name}", "role": c.role, "alpha": c.alpha, "best": c is best, "model": chosen.name,
            "config": lake.path_below(folder / MODEL), "path": file.path, "sha256": file.sha256,
            "metric": metric, "score": scores[c][metric],
            "scores": json.dumps(scores[c], sort_keys=True), "samples_seen": _seen(told, c, epochs),
        }
        for c, file in candidates.items()
    ]  # fmt: skip
    cost = _cost(told, device, time.monotonic() - began)
    atomic.write_bytes(folder / COST, (json.dumps(cost, indent=1, sort_keys=True) + "\n").encode())
    atomic.write_bytes(folder / CARD, model_card(recipe, profile, rows, {**account, **preprocess}, cost).encode())
    # Copies of what lies beside as safetensors: of the last epoch, which open_clip_train always writes, and kept ones.
    for copy in folder.glob("run/checkpoints/epoch_[0-9]*.pt"):
        copy.unlink()
    manifest = lake.publish(
        CHECKPOINTS, recipe, CHECKPOINTS.frame(rows), code_version=VERSION, inputs=inputs, config=config,
        n_in=len(rows), n_out=len(rows), files=[*candidates.values(), file_entry(lake, folder / MODEL)],
        metrics={**account, "card": lake.path_below(folder / CARD), "cost": lake.path_below(folder / COST)},
    )  # fmt: skip
    metrics: dict[str, Scalar] = {k: v for k, v in {**account, **cost}.items() if isinstance(v, int | float | str)}
    return Report(
        asset="checkpoints", partition=recipe, data_version=manifest.data_version, rows=len(rows),
        n_in=len(rows), n_out=len(rows), bytes_written=manifest.bytes, seconds=time.monotonic() - began,
        metrics=metrics,
        preview=tuple({k: _scalar(r[k]) for k in ("name", "role", "alpha", "best", "score")} for r in rows),
        pictures=(
            *((plots.loss_curve(told.steps, f"{recipe}: {seen:,} samples seen"),) if told.steps else ()),
            plots.alpha_curve(
                {c.alpha: s[metric] for c, s in scores.items() if c.role != "epoch"}, metric,
                f"{recipe}, validation split",
            ),
        ),
    )  # fmt: skip


_AFTERWARDS = frozenset(("alphas", "source", "keep_best", "validation_pairs"))
"""Fields of a profile that decide what is done with trained weights, and not what they are."""


def _identity(config: Mapping[str, Any], inputs: Mapping[str, str], start: str) -> str:
    """Name of the folder of a training: what decides the trained weights, so not at which alphas they are mixed."""
    profile = {name: value for name, value in config["profile"].items() if name not in _AFTERWARDS}
    told = {name: value for name, value in config.items() if name != "pretrained_sha256"}
    text = json.dumps([VERSION, {**told, "profile": profile}, dict(inputs), start], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _saved(
    lake: Lake,
    folder: Path,
    role: str,
    alpha: float,
    weights: Mapping[str, Any],
    told: Mapping[str, Any],
    epoch: int = 0,
) -> tuple[Candidate, FileEntry]:
    """A model on the disk, in a file that is named by its content: a training never writes over another's weights."""
    draft = folder / f"{Candidate(role, alpha, folder, epoch).name}.safetensors"
    entry = named.keep(lake, draft, interpolate.save(weights, draft, told))
    return Candidate(role, alpha, lake.root / entry.path, epoch), entry


def _interpolated(lake: Lake, plan: Plan, base: Candidate, base_file: FileEntry) -> dict[Candidate, FileEntry]:
    """Base, every interpolation and the trained weights, with their files."""
    epoch, trained = interpolate.load_training_checkpoint(plan.latest)
    if epoch != plan.epochs:
        raise supervise.TrainingFailed(f"training ended after {epoch} of {plan.epochs} epochs; run again to go on")
    before, found = interpolate.load(base.weights), {base: base_file}
    for alpha in (*sorted(plan.profile.alphas), 1.0):
        role = "trained" if math.isclose(alpha, 1.0) else "interpolated"
        weights = trained if role == "trained" else interpolate.interpolate(before, trained, alpha)
        told = {"role": role, "alpha": f"{alpha:g}", "preprocessing": dict(plan.preprocess)}
        candidate, file = _saved(lake, plan.folder, role, alpha, weights, told)
        found[candidate] = file
    return found


def _earlier(lake: Lake, plan: Plan, recipe: str) -> dict[Candidate, FileEntry]:
    """Weights of the epochs that ``keep_every`` names, with their files.

    Those of an earlier call that kept only the best are gone, and are not trained again for it.
    """
    found: dict[Candidate, FileEntry] = {}
    for epoch in plan.profile.kept_epochs(recipe):
        if plan.kept(epoch).exists():
            _, weights = interpolate.load_training_checkpoint(plan.kept(epoch))
            told = {"role": "epoch", "epoch": str(epoch), "preprocessing": dict(plan.preprocess)}
            candidate, file = _saved(lake, plan.folder, "epoch", 1.0, weights, told, epoch)
            found[candidate] = file
            continue
        for path in sorted(plan.folder.glob(f"epoch-{epoch}-*.safetensors")):
            found = {c: file for c, file in found.items() if c.epoch != epoch}
            found[Candidate("epoch", 1.0, path, epoch)] = file_entry(lake, path)
    return found


def _seen(told: Told, candidate: Candidate, epochs: int) -> int:
    """Samples that a candidate's weights have been trained on."""
    passes = 0 if candidate.role == "base" else candidate.epoch or epochs
    return sum(told.epochs[epoch]["samples"] for epoch in range(passes))


def _cost(told: Told, device: supervise.Device, seconds: float) -> dict[str, Any]:
    """What cannot be the same twice; it lies beside the weights and stays out of everything that is digested."""
    rates: Sequence[float] = sorted(step["rate"] for step in told.steps)
    training = sum(epoch["seconds"] for epoch in told.epochs.values())
    return {
        "wall_seconds": round(seconds, 1),
        "training_seconds": round(training, 1),
        "device_seconds": round(training * device.everywhere, 1),
        "samples_per_second": round(rates[len(rates) // 2], 1) if rates else None,
        "peak_bytes": max((int(event["peak_bytes"]) for event in told.done), default=None),
        "broken_streams": told.broken,
        "retried_streams": told.retried,
        "device": f"{device.everywhere} x {device.kind}",
        "energy_joules": sum(epoch["energy_joules"] or 0 for epoch in told.epochs.values()) or None,
        "git_commit": accounting.git_commit(),
        "versions": accounting.versions(),
        "cores": os.cpu_count(),
    }


def _scalar(value: object) -> Scalar:
    return value if isinstance(value, int | float | str | bool) or value is None else str(value)
