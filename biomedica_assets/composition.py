"""Where subjects of the library meet: what one of them is given of another.

Belongs here: adapters of a few lines between ``lib`` packages, which do not import one another. An asset calls one of
these where it would otherwise have to build something.
"""

from collections.abc import Callable, Mapping

import polars as pl

from biomedica_assets.lib.clip import data as clip_data
from biomedica_assets.lib.clip.models import architecture
from biomedica_assets.lib.clip.profile import Profile
from biomedica_assets.lib.clip.stage import Candidate, TrainingData, Validate
from biomedica_assets.lib.evaluate.adapters.memory import frame_source, retrieval_task
from biomedica_assets.lib.evaluate.encoder import open_model
from biomedica_assets.lib.evaluate.index import index_task
from biomedica_assets.lib.evaluate.models import ModelSpec
from biomedica_assets.lib.evaluate.scoring import EvalConfig, score_retrieval
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream.find import find_index
from biomedica_assets.lib.stream.urls import pipe_pattern
from biomedica_assets.lib.stream.virtual import Selection
from biomedica_assets.lib.tables import CAPTIONS, IMAGES, RECIPE


def training_data(lake: Lake, recipe: str, profile: Profile) -> Callable[[int], TrainingData]:
    """The training split of a recipe as virtual shards, cut for a number of loader workers."""

    def cut(workers: int) -> TrainingData:
        streams = max(workers, profile.virtual_shards or 4 * workers)
        wanted = Selection(split="train", caption=profile.caption)
        chosen = architecture(profile.model, lake.root / "models")
        context = profile.context_length or chosen.config["text_cfg"].get("context_length", 77)
        return TrainingData(
            pattern=pipe_pattern(find_index(lake.root, recipe), str(lake.root), wanted, streams),
            samples=clip_data.training_samples(lake, recipe),
            virtual_shards=streams,
            truncation=clip_data.truncation(lake, recipe, chosen.name, context),
        )

    return cut


def held_out_pairs(lake: Lake, recipe: str, split: str) -> pl.DataFrame:
    """Images and captions of a split of a recipe: item_id, path, caption, group (article)."""
    images = lake.scan(IMAGES).select("media_id", "figure_id", "path")
    captions = lake.scan(CAPTIONS).select("figure_id", "caption")
    rows = lake.read_lazy(RECIPE, recipe).filter(pl.col("split") == split)
    found = rows.join(images, on="media_id").join(captions, on="figure_id")
    return found.select(
        pl.col("media_id").alias("item_id"), "path", "caption", pl.col("article_id").alias("group")
    ).collect()


def validation(lake: Lake, recipe: str) -> Validate:
    """Scores a candidate by retrieval on the validation split; the mean of both recalls at 1 decides about alpha."""
    task = retrieval_task(f"{recipe}-validation", f"validation split of {recipe}", domain="all")
    source = frame_source(task, held_out_pairs(lake, recipe, "validation"), lake.root)
    index = index_task(source)

    def score(candidate: Candidate) -> Mapping[str, float]:
        spec = ModelSpec(
            candidate.role,
            str(candidate.weights.parent / "model.json"),
            str(candidate.weights),
            "ours",
            alpha=candidate.alpha,
        )
        scores = score_retrieval(source, index, open_model(spec), None, EvalConfig(replicates=100))
        found = {
            f"{direction}_{scored.metric}": scored.estimate.value
            for direction, every in scores.retrieved.items()
            for scored in every
        }
        at_1 = [value for name, value in found.items() if name.endswith("recall_at_1")]
        return {"recall_at_1": sum(at_1) / len(at_1), **found}

    return score
