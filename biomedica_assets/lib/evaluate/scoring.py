"""One model on one task: features, answers, metrics.

Belongs here: the order of the steps for each kind of task, and which tasks cannot be scored at all. Files and tables of
a whole recipe are ``zero_shot_stage`` and ``retrieval_stage``.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from pathlib import Path

import numpy as np

from biomedica_assets.lib.evaluate import probes, ranks, retrieval, zero_shot
from biomedica_assets.lib.evaluate.bootstrap import I64, UNDEFINED, Resampler
from biomedica_assets.lib.evaluate.encoder import F32, Encoder
from biomedica_assets.lib.evaluate.features import Features, ensemble, image_features, text_features
from biomedica_assets.lib.evaluate.index import TaskIndex, keep, texts_of
from biomedica_assets.lib.evaluate.metrics import Scored, accuracies
from biomedica_assets.lib.evaluate.task import TaskSource
from biomedica_assets.lib.evaluate.zero_shot import Answers
from biomedica_assets.lib.images.canonical import VERSION as CANONICAL
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.store.manifest import digest

_PLACE = re.compile(r"^\S+ (?:line|row|sample) \S+: ")
VERSION = f"evaluate-1.{CANONICAL}.{zero_shot.VERSION}.{retrieval.VERSION}.{probes.VERSION}"


@dataclasses.dataclass(frozen=True, slots=True)
class EvalConfig:
    """How models are evaluated.

    Attributes:
        replicates: draws of the bootstrap.
        seed: of the bootstrap and the folds.
        precision: fp32, bf16 or fp16: of the model.
        with_probes: also fit a linear probe and nearest neighbours on single-label tasks.
        probe: how.
        device: cpu, or a torch device; shapes speed only.
        batch_size: images per forward pass; shapes speed only.
        threads: decoding threads, None for one per core (at least two); shapes speed only.
    """

    replicates: int = 1000
    seed: int = 0
    precision: str = "fp32"
    with_probes: bool = True
    probe: probes.ProbeConfig = dataclasses.field(default_factory=probes.ProbeConfig)
    device: str = "cpu"
    batch_size: int = 64
    threads: int | None = None

    def content(self) -> dict[str, object]:
        """The part that shapes the scores, for manifests and score keys."""
        shape = dataclasses.asdict(self)
        return {k: v for k, v in shape.items() if k not in ("device", "batch_size", "threads")}


@dataclasses.dataclass(frozen=True, slots=True)
class Scores:
    """A task's result for one model.

    Attributes:
        index: the items that were scored and those left out.
        metrics: values with intervals; empty if the task is excluded.
        answers: right or wrong per unit; None for retrieval and for excluded tasks.
        retrieved: values by direction, of retrieval.
        ranks: of retrieval.
        excluded: why the task cannot be scored, None if it was.
    """

    index: TaskIndex
    metrics: tuple[Scored, ...] = ()
    answers: Answers | None = None
    retrieved: dict[str, list[Scored]] = dataclasses.field(default_factory=dict[str, list[Scored]])
    ranks: ranks.Ranks | None = None
    excluded: str | None = None


def exclusion(index: TaskIndex) -> str | None:
    """Why a task cannot be scored: it has no item, or none that meets the rules; None if it can."""
    if index.entries:
        return None
    if index.fault:
        return index.fault
    if not index.rejects:
        return "empty: the files hold no item"
    (message, n), *_ = Counter(_PLACE.sub("", r.message) for r in index.rejects).most_common(1)
    return f"none of {index.n_in:,} items can be scored; {n:,} times: {message}"


def score_key(model_digest: str, index: TaskIndex, config: EvalConfig) -> str:
    """Digest of everything that decides a score."""
    task = index.task
    words = repr([dataclasses.astuple(c) for c in task.classes])
    return digest(VERSION, model_digest, index.data, task.kind, words, repr(sorted(config.content().items())))


def score_zero_shot(
    source: TaskSource,
    index: TaskIndex,
    encoder: Encoder,
    cache: Path | None,
    config: EvalConfig,
    progress: Progress = SILENT,
) -> Scores:
    """Score a task that asks for a class or an option.

    Args:
        source: the task, to read images from.
        index: what a pass over it found.
        encoder: the model.
        cache: folder of the feature cache, None for none.
        config: see ``EvalConfig``.
        progress: told of each image.
    """
    if why := exclusion(index):
        return Scores(index, excluded=why)
    features = _features(source, index, encoder, cache, config, progress)
    index = keep(index, features.bad)
    if why := exclusion(index):
        return Scores(index, excluded=why)
    images = features.vectors[[features.row[e.sha256] for e in index.entries]]
    answers = _answers(index, images, encoder, cache)
    metrics = zero_shot.score_answers(answers, replicates=config.replicates, seed=config.seed)
    if config.with_probes and index.task.kind == "single_label":
        metrics += _probe_metrics(answers, images, config)
    return Scores(index, tuple(metrics), answers)


def score_retrieval(
    source: TaskSource,
    index: TaskIndex,
    encoder: Encoder,
    cache: Path | None,
    config: EvalConfig,
    progress: Progress = SILENT,
) -> Scores:
    """Score a retrieval task; arguments as in ``score_zero_shot``."""
    if why := exclusion(index):
        return Scores(index, excluded=why)
    features = _features(source, index, encoder, cache, config, progress)
    index = keep(index, features.bad)
    if len(index.entries) < 2:
        why = exclusion(index) or "one image is left: nothing to search among"
        return Scores(index, excluded=why)
    images = features.vectors[[features.row[e.sha256] for e in index.entries]]
    captions = [c for e in index.entries for c in e.captions]
    image_of: I64 = np.repeat(np.arange(len(index.entries)), [len(e.captions) for e in index.entries])
    found = ranks.exact_ranks(images, text_features(captions, encoder, cache), image_of, config.device)
    scored = retrieval.score_ranks(found, index.groups(), image_of, replicates=config.replicates, seed=config.seed)
    return Scores(index, retrieved=scored, ranks=found)


def _features(
    source: TaskSource, index: TaskIndex, encoder: Encoder, cache: Path | None, config: EvalConfig, progress: Progress
) -> Features:
    return image_features(
        source, index, encoder, cache, batch_size=config.batch_size, threads=config.threads, progress=progress
    )


def _answers(index: TaskIndex, images: F32, encoder: Encoder, cache: Path | None) -> Answers:
    classes = index.task.classes
    if index.task.kind == "single_label":
        captions = ensemble([c.captions for c in classes], encoder, cache)
        return zero_shot.answer_classes(index, images, captions, encoder.logit_scale)
    if index.task.kind == "multi_label":
        positive = ensemble([c.captions for c in classes], encoder, cache)
        negative = ensemble([c.negative_captions for c in classes], encoder, cache)
        return zero_shot.answer_labels(index, images, positive, negative)
    texts = texts_of(index.entries)
    return zero_shot.answer_options(index, images, texts, text_features(texts, encoder, cache))


def _probe_metrics(answers: Answers, images: F32, config: EvalConfig) -> list[Scored]:
    """Balanced accuracy of the probes: classes of test sets are rarely even."""
    resampler = Resampler(answers.n_groups, config.replicates, config.seed)
    made: list[Scored] = []
    for name, fit in (("linear_probe", probes.linear_probe), ("knn", probes.nearest_neighbours)):
        try:
            predicted = fit(images, answers.truth, answers.groups, config.probe, config.seed)
        except probes.TooFewForProbe as error:
            made.append(Scored(name, None, UNDEFINED, len(answers.truth), str(error)))
            continue
        right = predicted == answers.truth
        scored = accuracies(right, answers.truth, answers.groups, answers.classes, resampler)
        balanced = next(s for s in scored if s.metric == "balanced_accuracy")
        made.append(dataclasses.replace(balanced, metric=name))
    return made
