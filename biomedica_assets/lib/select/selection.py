"""Which samples a recipe takes, step by step, with what each step left out.

The steps: evaluation images, licences, concepts, the SQL condition, captions, the fit of picture and caption,
duplicates, semantic duplicates, caps, splits, weights. Those that look at one sample alone run chunk by chunk, so
memory holds all columns of one chunk and few columns of what is selected.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence

import polars as pl

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.progress import Progress, track
from biomedica_assets.lib.select import concepts, language, predicate, quotas, semantic, splits
from biomedica_assets.lib.select.catalog_view import read_samples
from biomedica_assets.lib.select.concepts import Vocabulary
from biomedica_assets.lib.select.definition import Recipe, SelectsNothing
from biomedica_assets.lib.select.held_out import held_of
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    DUPLICATES,
    EVALUATION_MATCHES,
    FIGURE_LABELS,
    PAIR_SCORES,
    PANEL_BOXES,
    PANEL_SHARDS,
    SHARDS,
    TAXONOMY,
)

_RANGES = ("media_id", "article_id", "license_group", "shard", "start", "end", "check", "image_ext")
_NAMES = frozenset({"media_id", "article_id", "license_group", "shard", "image_ext", "sha256", "width", "height"})


@dataclasses.dataclass(slots=True)
class Tally:
    """How many samples there were and where they went.

    Attributes:
        considered: samples in the shards.
        left_out: by step.
        available: samples of the shards by top concept.
        sources: selected samples that carry a label, by the sources behind it.
        sureness: for each of them the sum of the labels' confidence.
    """

    considered: int = 0
    left_out: Counter[str] = dataclasses.field(default_factory=Counter[str])
    available: Counter[str] = dataclasses.field(default_factory=Counter[str])
    sources: Counter[str] = dataclasses.field(default_factory=Counter[str])
    sureness: dict[str, float] = dataclasses.field(default_factory=dict[str, float])

    def keep(self, frame: pl.DataFrame, mask: pl.Series, why: str) -> pl.DataFrame:
        """The rows of the mask; the others are counted under ``why``."""
        kept = frame.filter(mask)
        self.left_out[why] += frame.height - kept.height
        return kept


def select(
    lake: Lake, recipe: Recipe, chunks: Sequence[str], tally: Tally, *, labelled: bool, progress: Progress
) -> tuple[pl.DataFrame, Vocabulary | None]:
    """Samples that pass every step but the splits, with ``concept`` and ``repeat``."""
    asked = recipe.concepts
    if asked.needed and not labelled:
        raise StoreError("this recipe names concepts, but figure_labels is not complete; materialise it first")
    vocabulary = Vocabulary(lake.read(TAXONOMY, None)) if lake.manifest(TAXONOMY, None) else None
    if asked.needed and vocabulary is None:
        raise StoreError("this recipe names concepts, but taxonomy has not been materialised; do that first")
    caps = {vocabulary.find_top(c): n for c, n in asked.caps.items()} if vocabulary else {}
    weights = {vocabulary.find_top(c): w for c, w in asked.weights.items()} if vocabulary else {}
    language.check(recipe.captions.languages)
    if recipe.semantic_dedup is not None:
        semantic.check(lake)
    check_scores(lake, recipe)
    condition = predicate.check(recipe.where, vocabulary.ids if vocabulary else ())
    used = lake.read(EVALUATION_MATCHES, None)["media_id"] if recipe.decontaminate else pl.Series(dtype=pl.String)
    found: list[pl.DataFrame] = []
    for chunk in track(chunks, progress, "select", len(chunks), "chunks"):
        names = {*_NAMES, *condition.columns, *((*concepts.LABEL_COLUMNS, "global_provenance") if labelled else ())}
        names |= {"mesh_headings"} if recipe.mesh else set[str]()
        names |= {"keyword_groups"} if recipe.keywords else set[str]()
        names |= {"journal"} if recipe.journals else set[str]()
        names |= {"caption"} if recipe.captions.measured or recipe.captions.languages else set[str]()
        names |= {"language"} if recipe.captions.languages else set[str]()
        names |= {"pair_score"} if recipe.min_pair_score is not None else set[str]()
        names |= {"pixel_hash"} if recipe.dedup == "pixels" else set[str]()
        rows = _rows(lake, chunk, names, recipe, tally)
        found.append(_of_chunk(rows, recipe, condition, vocabulary, used, tally, labelled=labelled))
    selected = pl.concat(found) if found else pl.DataFrame()
    if not selected.height:
        return selected, vocabulary
    selected = tally.keep(selected, _first_of_group(lake, recipe, selected), "left_out_duplicate")
    if recipe.semantic_dedup is not None:
        thin = semantic.thinned(lake, selected, recipe.semantic_dedup, progress=progress)
        selected = tally.keep(selected, thin, "left_out_semantic_duplicate")
    selected = selected.with_columns(quotas.rarest(selected["tops"]).alias("concept"))
    if asked.balance is not None:
        selected = tally.keep(selected, selected["concept"].is_not_null(), "left_out_unlabelled")
        sizes = dict(selected["concept"].value_counts().iter_rows())
        cap = quotas.balancing_cap(sizes.values(), asked.balance)
        caps = {concept: min(cap, caps.get(concept, cap)) for concept in sizes}
    if caps:
        within = quotas.within_caps(selected["concept"], selected["sample_key"], caps, recipe.seed)
        selected = tally.keep(selected, within, "left_out_cap")
    repeat = quotas.repeats(selected["concept"], selected["sample_key"], weights, recipe.seed)
    return selected.with_columns(repeat.alias("repeat")), vocabulary


def check_labels(lake: Lake, name: str, recipe: Recipe) -> None:
    """Make sure that some image has a label that a recipe asks for, where all that can be labelled is.

    Args:
        lake: reads ``figure_labels``; nothing is said while a chunk of the shards has none.
        name: of the recipe.
        recipe: what it is.

    Raises:
        SelectsNothing: no image has one.
        RecipeError: the definition names an unknown concept.
    """
    asked, chunks = recipe.concepts, lake.partitions(SHARDS)
    complete = bool(chunks) and set(chunks) <= set(lake.partitions(FIGURE_LABELS))
    if not complete or lake.manifest(TAXONOMY, None) is None or not (asked.include or asked.balance):
        return
    named = (
        concepts.concepts_by(asked.sources, asked.min_confidence)
        if asked.sources
        else concepts.concepts_of(asked.min_confidence)
    )
    if asked.include:
        wanted = sorted(Vocabulary(lake.read(TAXONOMY, None)).with_narrower(asked.include))
        has = named.list.set_intersection(pl.lit(wanted)).list.len() > 0
    else:
        has = concepts.top_concepts_of(asked.min_confidence).list.len() > 0
    if lake.scan(FIGURE_LABELS, chunks).filter(has).head(1).collect().is_empty():
        raise SelectsNothing(
            f"labels: none of the images has one that recipe {name} asks for",
            "label clusters (`biomedica annotate`), take more articles, or ask for less in the recipe",
        )


def check_scores(lake: Lake, recipe: Recipe) -> None:
    """Make sure that pairs were scored, where a recipe asks for scores.

    Raises:
        SelectsNothing: no pair of the shards has a score.
    """
    if recipe.min_pair_score is None:
        return
    made = (lake.manifest(PAIR_SCORES, chunk) for chunk in lake.partitions(SHARDS))
    if not any(manifest is not None and manifest.rows for manifest in made):
        raise SelectsNothing(
            f"scores of pairs: min_pair_score {recipe.min_pair_score} is asked for, and no CLIP model scored any",
            "set pair_model to one (ARCHITECTURE@FILE, or a name that `biomedica evaluate` lists) and make pair_scores",
        )


def _rows(lake: Lake, chunk: str, names: Collection[str], recipe: Recipe, tally: Tally) -> pl.DataFrame:
    """Samples of a chunk with the columns that are asked for: whole pictures, or panels in the place of what was cut.

    Raises:
        StoreError: panels are asked for and were not written.
    """
    places = ("start", "end", "check")
    whole = read_samples(lake, chunk, names, extra=places).with_columns(source_sha256=pl.col("sha256"))
    tally.considered += whole.height
    if recipe.unit == "figure":
        return whole
    made = lake.manifest(PANEL_SHARDS, chunk)
    if made is None or not made.config.get("wanted"):
        raise StoreError(
            f"this recipe takes panels, and those of {chunk} were not written; `biomedica run --select panel_shards` "
            "writes them"
        )
    single = lake.read_lazy(PANEL_BOXES, chunk).filter(n_panels=1).select("media_id").collect()["media_id"]
    whole = tally.keep(whole, whole["media_id"].is_in(single.implode()), "left_out_compound")
    extra = (*places, "source_sha256", "link_score")
    panels = read_samples(lake, chunk, names, extra=extra, samples=PANEL_SHARDS)
    tally.considered += panels.height
    panels = tally.keep(panels, panels["link_score"] >= recipe.min_link_score, "left_out_link_score")
    return pl.concat([whole, panels.select(whole.columns)])


def _of_chunk(
    rows: pl.DataFrame,
    recipe: Recipe,
    condition: predicate.Predicate,
    vocabulary: Vocabulary | None,
    used: pl.Series,
    tally: Tally,
    *,
    labelled: bool,
) -> pl.DataFrame:
    """Rows of one chunk that pass the steps that look at one sample alone."""
    asked = recipe.concepts
    none = pl.lit([], dtype=pl.List(pl.String))
    rows = rows.with_columns(
        (concepts.concepts_of(asked.min_confidence) if labelled else none).alias("concepts"),
        (concepts.top_concepts_of(asked.min_confidence) if labelled else none).alias("tops"),
    )
    if labelled and vocabulary and asked.sources:
        named = concepts.concepts_by(asked.sources, asked.min_confidence)
        rows = rows.with_columns(concepts=named).with_columns(
            tops=pl.col("concepts").list.set_intersection(pl.lit(sorted(vocabulary.tops)))
        )
    tally.available.update(rows["tops"].explode(empty_as_null=False).drop_nulls().to_list())
    rows = tally.keep(rows, ~rows["media_id"].is_in(used.implode()), "left_out_evaluation")
    rows = tally.keep(rows, rows["license_group"].is_in(list(recipe.licenses)), "left_out_license")
    if vocabulary and asked.include:
        wanted = list(vocabulary.with_narrower(asked.include))
        rows = tally.keep(rows, _has_any(rows, wanted), "left_out_concept")
    if vocabulary and asked.exclude:
        unwanted = list(vocabulary.with_narrower(asked.exclude))
        rows = tally.keep(rows, ~_has_any(rows, unwanted), "left_out_concept")
    rows = _by_words(rows, recipe, tally)
    rows = tally.keep(rows, predicate.matches(condition, rows), "left_out_where")
    rows = _by_caption(rows, recipe, tally)
    if recipe.min_pair_score is not None:
        fits = (rows["pair_score"] >= recipe.min_pair_score).fill_null(value=False)
        rows = tally.keep(rows, fits, "left_out_pair_score")
    area = (pl.col("width").cast(pl.Int64) * pl.col("height")).fill_null(0).alias("area")
    digest = pl.col("pixel_hash") if recipe.dedup == "pixels" else pl.col("source_sha256")
    if labelled:
        _note_sources(rows, tally)
    return rows.select("sample_key", *_RANGES, "tops", area, digest.alias("digest"))


def _note_sources(rows: pl.DataFrame, tally: Tally) -> None:
    counted = rows.drop_nulls("global_provenance").group_by("global_provenance")
    for source, n, sure in counted.agg(pl.len(), pl.col("global_confidence").sum()).iter_rows():
        tally.sources[source] += n
        tally.sureness[source] = tally.sureness.get(source, 0.0) + float(sure or 0.0)


def _by_words(rows: pl.DataFrame, recipe: Recipe, tally: Tally) -> pl.DataFrame:
    """Samples whose article has one of the subject headings, keywords and journals asked for, letter case aside."""
    one = pl.element()
    asked = {
        "left_out_mesh": (recipe.mesh, "mesh_headings", one.struct.field("descriptor")),
        "left_out_keyword": (recipe.keywords, "keyword_groups", None),
    }
    for why, (words, column, field) in asked.items():
        if words:
            found = pl.col(column).list.eval(
                (
                    one.struct.field("keywords").list.explode(keep_nulls=False, empty_as_null=False)
                    if field is None
                    else field
                ).str.to_lowercase()
            )
            wanted = pl.lit([word.lower() for word in words])
            rows = tally.keep(
                rows, rows.select(found.list.set_intersection(wanted).list.len().fill_null(0) > 0).to_series(), why
            )
    if recipe.journals:
        wanted = [journal.lower() for journal in recipe.journals]
        mask = rows["journal"].str.to_lowercase().is_in(wanted).fill_null(value=False)
        rows = tally.keep(rows, mask, "left_out_journal")
    return rows


def _by_caption(rows: pl.DataFrame, recipe: Recipe, tally: Tally) -> pl.DataFrame:
    """Samples whose caption has the length and one of the languages asked for."""
    asked = recipe.captions
    if asked.measured:
        caption = pl.col("caption").fill_null("")
        words, chars = caption.str.extract_all(r"\S+").list.len(), caption.str.len_chars()
        within = [words >= asked.min_words, chars >= asked.min_chars]
        within += [words <= asked.max_words] if asked.max_words is not None else []
        within += [chars <= asked.max_chars] if asked.max_chars is not None else []
        mask = rows.select(pl.all_horizontal(within)).to_series()
        rows = tally.keep(rows, mask, "left_out_caption_length")
    if asked.languages:
        written = language.languages(rows["caption"], rows["language"])
        rows = tally.keep(rows, written.is_in(list(asked.languages)), "left_out_caption_language")
    return rows


def _has_any(rows: pl.DataFrame, wanted: list[str]) -> pl.Series:
    return rows.select(pl.col("concepts").list.set_intersection(pl.lit(wanted)).list.len() > 0).to_series()


def _first_of_group(lake: Lake, recipe: Recipe, selected: pl.DataFrame) -> pl.Series:
    """Which samples stand for their duplicate group; panels go with the image that they were cut from."""
    if recipe.dedup == "none":
        return pl.repeat(value=True, n=selected.height, eager=True)
    if recipe.dedup == "near":
        groups = lake.read_lazy(DUPLICATES, None).select("media_id", "group").collect()
        return quotas.first_of_group(selected, groups)
    return quotas.first_of(selected["digest"], selected)


def split(lake: Lake, recipe: Recipe, selected: pl.DataFrame, tally: Tally) -> tuple[pl.DataFrame, splits.Split]:
    """The samples with their split; weights hold in training alone.

    Raises:
        StoreError: ``held_out`` is not there, or does not fit the duplicates.
    """
    ties = splits.tie(lake.read(DUPLICATES, None))
    split = splits.assign(selected, ties, held_of(lake), recipe.splits)
    selected = selected.with_columns(split.names.alias("split"))
    selected = tally.keep(selected, selected["split"].is_not_null(), "left_out_widespread")
    training = pl.col("split") == splits.TRAIN
    selected = selected.with_columns(pl.when(training).then("repeat").otherwise(1).cast(pl.Int32).alias("repeat"))
    return tally.keep(selected, selected["repeat"] > 0, "left_out_weight"), split
