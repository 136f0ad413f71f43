"""Where subjects of the library meet: what one of them is given of another.

Belongs here: adapters of a few lines between ``lib`` packages, which do not import one another. An asset calls one of
these where it would otherwise have to build something.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import polars as pl

from biomedica_assets.lib.clip import data as clip_data
from biomedica_assets.lib.clip.models import architecture, context_length
from biomedica_assets.lib.clip.profile import Profile, check_validation
from biomedica_assets.lib.clip.stage import MODEL, Candidate, Validate
from biomedica_assets.lib.clip.training import TrainingData
from biomedica_assets.lib.evaluate.adapters.memory import frame_source, retrieval_task
from biomedica_assets.lib.evaluate.encoder import open_model
from biomedica_assets.lib.evaluate.index import index_task
from biomedica_assets.lib.evaluate.models import ModelSpec
from biomedica_assets.lib.evaluate.scoring import EvalConfig, score_retrieval
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream.find import find_index
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.stream.urls import pipe_pattern
from biomedica_assets.lib.stream.virtual import Selection, chunks, open_source
from biomedica_assets.lib.tables import CAPTIONS, IMAGES, RECIPE


def training_data(lake: Lake, recipe: str, profile: Profile) -> Callable[[int], TrainingData]:
    """The training split of a recipe as virtual shards, cut for a number of loader workers."""

    def cut(workers: int) -> TrainingData:
        wanted = Selection(split="train", caption=profile.caption)
        chosen, path = architecture(profile.model, lake.root / "models"), find_index(lake.root, recipe)
        samples, unreadable = clip_data.training_samples(lake, recipe)
        streams = clip_data.streams_for(samples + unreadable, workers, profile.virtual_shards)
        return TrainingData(
            pattern=pipe_pattern(path, str(lake.root), wanted, streams),
            samples=samples,
            virtual_shards=streams,
            unreadable=unreadable,
            truncation=clip_data.truncation(
                clip_data.texts(_pieces(path, lake.root, wanted)) if samples else [],
                chosen.name,
                context_length(chosen, profile),
            ),
        )

    return cut


def _pieces(index: Path, root: Path, wanted: Selection) -> Iterator[bytes | memoryview]:
    opened = Index(index)
    return chunks(opened, open_source(opened, str(root)), wanted._replace(of=1))


def held_out_pairs(lake: Lake, recipe: str, split: str) -> pl.DataFrame:
    """Images and captions of a split of a recipe; see ``pairs_of``."""
    # Of a recipe of panels, the pictures they were cut from: the same held-out pairs as for whole pictures.
    rows = lake.read_lazy(RECIPE, recipe).filter(pl.col("split") == split).unique("media_id", maintain_order=True)
    return pairs_of(lake, rows.select("media_id", "article_id"))


def pairs_of(lake: Lake, chosen: pl.LazyFrame) -> pl.DataFrame:
    """Images with their captions: item_id, path, caption, group (article).

    Args:
        lake: holds ``images`` and ``captions``.
        chosen: media_id, article_id.
    """
    images = lake.scan(IMAGES).select("media_id", "figure_id", "path")
    captions = lake.scan(CAPTIONS).select("figure_id", "caption")
    found = chosen.join(images, on="media_id").join(captions, on="figure_id")
    return found.select(
        pl.col("media_id").alias("item_id"), "path", "caption", pl.col("article_id").alias("group")
    ).collect()


def _drawn(item: str) -> int:
    return int.from_bytes(hashlib.sha256(item.encode()).digest()[:7], "big")


def validation(lake: Lake, recipe: str, *, most: int = 5000, device: str = "cpu") -> Validate:
    """Scores a candidate by retrieval on the validation split; the mean of both recalls at 1 decides about alpha.

    Where one image or caption has several answers in the split, any of them counts. The number of pairs is one of the
    scores: the choice among alphas on a few dozen pairs is mostly chance.

    Args:
        lake: holds the recipe, its images and captions.
        recipe: partition key.
        most: pairs looked at; of more, those whose ids have the least hashes: the same for every candidate and run.
        device: where the candidates run.

    Raises:
        WaitingFor: the split has fewer than two pairs; nothing could be told apart.
    """
    return scorer(held_out_pairs(lake, recipe, "validation"), lake.root, recipe, most=most, device=device)


def scorer(pairs: pl.DataFrame, root: Path, recipe: str, *, most: int, device: str) -> Validate:
    """Scores a candidate by retrieval among pairs, as ``validation`` says.

    Args:
        pairs: as ``held_out_pairs`` gives them.
        root: what their paths are below.
        recipe: for names.
        most: pairs looked at.
        device: where the candidates run.

    Raises:
        WaitingFor: there are fewer than two pairs.
    """
    check_validation(recipe, pairs.height)
    if pairs.height > most:
        pairs = pairs.with_columns(pl.col("item_id").map_elements(_drawn, pl.Int64).alias("drawn"))
        pairs = pairs.sort("drawn", "item_id").head(most).drop("drawn").sort("item_id")
    task = retrieval_task(f"{recipe}-validation", f"validation split of {recipe}", domain="all")
    source = frame_source(task, pairs, root)
    index = index_task(source)

    def score(candidate: Candidate) -> Mapping[str, float]:
        architecture_file = candidate.weights.parent / MODEL
        spec = ModelSpec(candidate.name, str(architecture_file), str(candidate.weights), "ours", alpha=candidate.alpha)
        scores = score_retrieval(source, index, open_model(spec, device), None, EvalConfig(replicates=100))
        found = {
            f"{direction}_{scored.metric}": scored.estimate.value
            for direction, every in scores.retrieved.items()
            for scored in every
        }
        at_1 = [value for name, value in found.items() if name.endswith("recall_at_1")]
        return {"recall_at_1": sum(at_1) / len(at_1), "pairs": float(pairs.height), **found}

    return score
