"""What a recipe is evaluated with: its checkpoints as models, the held-out pictures and the registered sets as tasks.

Belongs here: adapters of a few lines between the tables of other subjects and ``lib.evaluate``.
Does not belong here: scoring, which tasks exist (``lib/evaluate/suites``), or where their files are (``test_sets``).
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import polars as pl
import yaml

from biomedica_assets import composition, configs, test_sets
from biomedica_assets.lib.compute.local import available_cores
from biomedica_assets.lib.errors import PermanentFailure, Reject, WaitingFor
from biomedica_assets.lib.evaluate.adapters.csv_rows import read_lines
from biomedica_assets.lib.evaluate.adapters.memory import classification_task, frame_source, retrieval_task
from biomedica_assets.lib.evaluate.encoder import Encoder, open_model
from biomedica_assets.lib.evaluate.leaderboard import COSTS, FLOOR, OWN
from biomedica_assets.lib.evaluate.models import ModelSpec, Provenance, WeightsMissing, parse_model
from biomedica_assets.lib.evaluate.scoring import EvalConfig
from biomedica_assets.lib.evaluate.task import Item, Task, TaskSource
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CHECKPOINTS, HELD_OUT, IMAGES, RECIPE, TAXONOMY
from biomedica_assets.settings import Settings

ROLES: Mapping[str, Provenance] = {"base": "base", "interpolated": "interpolated", "trained": "ours"}
FEWEST = 2  # items of a concept that make it a class of the held-out task


def content(settings: Settings) -> dict[str, object]:
    """What manifests of scores record of how models are evaluated; the machine's devices are not asked for it."""
    return EvalConfig(seed=settings.seed).content()


def config(settings: Settings) -> EvalConfig:
    """How models are evaluated."""
    device = configs.training_device(settings).kind
    return EvalConfig(seed=settings.seed, device=device, threads=settings.workers or max(2, available_cores()))


def recorded(settings: Settings, kinds: Collection[str] = test_sets.KINDS) -> dict[str, str]:
    """What manifests of scores record of their tests; labels of your own are classification tasks."""
    labels = test_sets.recorded_labels(settings) if "single_label" in kinds else {}
    return test_sets.recorded(settings, kinds) | labels


def recorded_scores(settings: Settings, kinds: Collection[str]) -> dict[str, str]:
    """What manifests of score tables record besides how: on which tests, and beside which models of others."""
    others = {"compare": ", ".join(settings.compare)} if settings.compare else {}
    return recorded(settings, kinds) | others


def compared(settings: Settings) -> list[ModelSpec]:
    """Models of others that are scored on the tasks of every recipe (setting ``compare``).

    One that nobody knows is a model that cannot be had: it is left out with that reason, and the others are scored.
    """
    return [_parsed(text) for text in settings.compare]


def _parsed(text: str) -> ModelSpec:
    try:
        return parse_model(text)
    except WeightsMissing as error:
        name = re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip("-.") or "unnamed"
        return ModelSpec(name, text, None, "other", missing=str(error))


def pair_model(settings: Settings) -> ModelSpec | None:
    """The model that scores pairs (setting ``pair_model``); None if none is set.

    Raises:
        WaitingFor: it cannot be had.
    """
    if not settings.pair_model:
        return None
    try:
        spec = parse_model(settings.pair_model)
        spec.known_digest()
    except WeightsMissing as error:
        raise _no_pair_model(settings, error) from error
    return spec


def pair_encoder(settings: Settings) -> Encoder | None:
    """The same, loaded.

    Raises:
        WaitingFor: it cannot be had.
    """
    spec = pair_model(settings)
    try:
        return open_model(spec, configs.training_device(settings).kind) if spec else None
    except WeightsMissing as error:
        raise _no_pair_model(settings, error) from error


def _no_pair_model(settings: Settings, error: WeightsMissing) -> WaitingFor:
    return WaitingFor(
        f"the model that scores pairs, {settings.pair_model}: {error}",
        "set pair_model to a model that can be had, or to nothing",
        everywhere=True,
    )


def recorded_pair_model(settings: Settings) -> dict[str, str]:
    """What manifests of ``pair_scores`` record: the model as it is set, and the digest of its file if it is one."""
    try:
        spec = pair_model(settings)
    except WaitingFor:
        return {"pair_model": settings.pair_model, "weights": "cannot be had"}
    return {"pair_model": settings.pair_model, "weights": (spec.known_digest() or "") if spec else ""}


def models(lake: Lake, recipe: str) -> list[ModelSpec]:
    """Checkpoints of a recipe: base, trained, and the interpolation that was best on the validation split."""
    rows = lake.read(CHECKPOINTS, recipe).filter((pl.col("role") != "interpolated") | pl.col("best"))
    rows = rows.filter(pl.col("role") != "epoch")
    return [
        ModelSpec(
            name=row["name"],
            architecture=str(lake.root / row["config"]),
            weights=str(lake.root / row["path"]),
            provenance=ROLES[row["role"]],
            digest=row["sha256"],
            alpha=row["alpha"],
            samples_seen=row["samples_seen"],
        )
        for row in rows.to_dicts()
    ]


def floor(lake: Lake, recipe: str, seed: int) -> ModelSpec:
    """The architecture of a recipe's checkpoints with random weights: what no training at all scores.

    Of another seed than training's, whose base may be random too.
    """
    config = lake.read(CHECKPOINTS, recipe)["config"][0]
    return ModelSpec(f"{recipe}-{FLOOR}", str(lake.root / config), None, FLOOR, seed=seed + 1)


def contestants(lake: Lake, recipe: str, settings: Settings) -> list[ModelSpec]:
    """All models that are scored for a recipe: its checkpoints, their floor, those of others."""
    return [*models(lake, recipe), floor(lake, recipe, settings.seed), *compared(settings)]


def tasks(lake: Lake, settings: Settings) -> list[TaskSource]:
    """The held-out tasks of the lake, and every task of the registry whose files are on this machine."""
    return [*held_out(lake), *test_sets.ready(settings)]


def held_out(lake: Lake) -> list[TaskSource]:
    """Retrieval, and classification by concept, on the pictures of ``held_out``: the same for every recipe.

    Concepts are the labels of clusters, propagated to their images: a model that is right here agrees with the
    annotators and the clustering, and not always with the picture. The task's title says so wherever it is shown.
    """
    chosen = lake.read(HELD_OUT, None)
    pairs = composition.pairs_of(lake, chosen.lazy().select("media_id", "article_id"))
    title = "held-out articles"
    made = [frame_source(retrieval_task("held_out_retrieval", f"Retrieval, {title}", domain=OWN), pairs, lake.root)]
    concepts = chosen.select("media_id", "concept").drop_nulls()
    labelled = pairs.join(concepts, left_on="item_id", right_on="media_id")
    frequent = labelled.group_by("concept").len().filter(pl.col("len") >= FEWEST)["concept"]
    taxonomy = lake.read(TAXONOMY, None).filter(pl.col("concept_id").is_in(frequent.implode()))
    names: dict[str, str] = dict(taxonomy.select("concept_id", "label").iter_rows())
    if len(names) < 2:
        return [*made, *labelled_by_hand(lake, pairs)]
    captions = {concept: (f"A figure showing: {name}.", f"{name}.") for concept, name in sorted(names.items())}
    task = classification_task("held_out_kinds", f"Kind by propagated cluster labels, {title}", captions, domain=OWN)
    rows = labelled.filter(pl.col("concept").is_in(list(names))).rename({"concept": "label"})
    return [*made, frame_source(task, rows, lake.root), *labelled_by_hand(lake, pairs)]


def labelled_by_hand(lake: Lake, pairs: pl.DataFrame) -> list[TaskSource]:
    """Classification of held-out images by labels of your own.

    For each ``tasks/held_out/<name>.yaml`` (``title``, and ``captions``: class -> caption options) with a
    ``<name>.csv`` beside it (columns ``media_id`` and ``label``): the task ``<name>`` over those of its images that
    are held out. A description that cannot be meant is a source whose reading says so.
    """
    made: list[TaskSource] = []
    for path in test_sets.held_out_files(lake.root):
        try:
            task = _described(path)
        except PermanentFailure as error:
            made.append(test_sets.Fault(path, str(error)).source())
        else:
            made.append(TaskSource(task, partial(_by_hand, lake, task, path.with_suffix(".csv"), pairs)))
    return made


def _described(path: Path) -> Task:
    """The task that a description of labels of your own stands for.

    Raises:
        PermanentFailure: it is not such a description.
    """
    wanted = f"{path}: expected `title` and `captions` (class -> list of caption options)"
    try:
        said: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PermanentFailure(f"{path} cannot be read: {error}") from error
    given: Any = cast("dict[Any, Any]", said).get("captions") if isinstance(said, dict) else None
    if not isinstance(given, dict):
        raise PermanentFailure(wanted)
    options = cast("dict[Any, Any]", given)
    if not all(isinstance(texts, list) for texts in options.values()):
        raise PermanentFailure(wanted)
    captions = {str(label): tuple(map(str, texts)) for label, texts in options.items()}
    title = f"{said.get('title', path.stem)}, held-out articles"
    try:
        return classification_task(path.stem, title, captions, domain=OWN)
    except PermanentFailure as error:
        raise PermanentFailure(f"{path}: {error}") from error


def _by_hand(lake: Lake, task: Task, path: Path, pairs: pl.DataFrame) -> Iterator[Item | Reject]:
    labels: list[tuple[str, str, str]] = []
    for line in read_lines(task, path, ("media_id", "label")):
        if isinstance(line, Reject):
            yield line
        else:
            labels.append((line.values["media_id"], line.values["label"], line.where))
    given = pl.DataFrame(labels, schema={"media_id": pl.String, "label": pl.String, "where": pl.String}, orient="row")
    rows = given.rename({"media_id": "item_id"}).join(pairs.unique("item_id"), on="item_id", maintain_order="left")
    yield from frame_source(task, rows, lake.root).read()


def training_images(lake: Lake, recipe: str) -> pl.DataFrame:
    """The images a recipe trains on: media_id, sha256."""
    rows = lake.read_lazy(RECIPE, recipe).filter(split="train").select("media_id").unique()
    return rows.join(lake.scan(IMAGES).select("media_id", "sha256"), on="media_id").collect()


def costs(lake: Lake, recipes: Sequence[str]) -> pl.DataFrame:
    """What training took, by recipe and model; nothing for the base, whose training is not ours to account for."""
    rows: list[dict[str, object]] = []
    for recipe in recipes:
        manifest = lake.manifest(CHECKPOINTS, recipe)
        flops = manifest.metrics.get("flops") if manifest else None
        rows += [
            {"recipe": recipe, "model": spec.name, "compute": flops, "samples_seen": spec.samples_seen}
            for spec in (models(lake, recipe) if manifest else ())
            if spec.provenance != "base"
        ]
    return pl.DataFrame(rows, schema=COSTS)
