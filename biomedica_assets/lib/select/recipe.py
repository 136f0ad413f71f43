"""The stage of the asset ``recipe``: from a definition to the list of samples, their byte ranges and splits.

A recipe is a query with a record: which samples were there, how many each step left out and why, which definition and
which data it was. Nothing is copied; training reads the list through virtual shards (``lib.stream``).
"""

from __future__ import annotations

import dataclasses
import time

import polars as pl

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Picture, Report, Scalar
from biomedica_assets.lib.select import plots, selection, splits
from biomedica_assets.lib.select.concepts import Vocabulary
from biomedica_assets.lib.select.definition import NAME, Recipe, RecipeError, SelectsNothing
from biomedica_assets.lib.select.selection import Tally
from biomedica_assets.lib.select.shelves import DESCRIBING, check_current
from biomedica_assets.lib.store import indexes
from biomedica_assets.lib.store.lake import Lake, file_entry
from biomedica_assets.lib.store.manifest import FileEntry
from biomedica_assets.lib.tables import (
    DUPLICATES,
    EVALUATION_MATCHES,
    FIGURE_LABELS,
    HELD_OUT,
    PANEL_SHARDS,
    RECIPE,
    SAMPLE_SHELF,
    SHARDS,
    TAXONOMY,
    Table,
)

VERSION = "5"
READS: tuple[Table, ...] = (SAMPLE_SHELF, TAXONOMY, DUPLICATES, EVALUATION_MATCHES, HELD_OUT)
"""What the manifest of a recipe names; ``sample_shelf`` stands for all tables by chunk."""


def build_recipe(
    lake: Lake, name: str, recipe: Recipe, *, write_index: indexes.WriteIndex, progress: Progress = SILENT
) -> Report:
    """Fill one partition of ``recipe``: the list of samples, and beside it the index for virtual shards.

    Args:
        lake: the data directory.
        name: of the recipe, the partition key.
        recipe: what it is.
        write_index: how the index is written.
        progress: told of each chunk.

    Raises:
        RecipeError: the definition names an unknown column or concept.
        SelectsNothing: no sample is what it asks for.
        StoreError: a table that it needs has not been materialised, or was made anew since ``sample_shelf`` was.
    """
    began = time.perf_counter()
    if not NAME.fullmatch(name):
        raise RecipeError(f"{name!r} cannot be a recipe's name: a-z, 0-9, _ and -, at most 63")
    inputs = _inputs(lake)
    check_current(lake, DESCRIBING)
    chunks = lake.partitions(SHARDS)
    labelled = bool(chunks) and set(chunks) <= set(lake.partitions(FIGURE_LABELS))
    tally = Tally()
    try:
        selected, vocabulary = selection.select(lake, recipe, chunks, tally, labelled=labelled, progress=progress)
    except SelectsNothing:
        raise
    except RecipeError as error:
        raise RecipeError(f"recipe {name}: {error}") from error
    if not selected.height:
        raise nothing_selected(name, recipe, tally)
    selected, split = selection.split(lake, recipe, selected, tally)
    order = pl.col("split").replace_strict({s: n for n, s in enumerate(splits.NAMES)}, return_dtype=pl.Int8)
    selected = selected.sort(order, "shard", "start").with_row_index("position").cast({"position": pl.Int64})
    frame = selected.select(RECIPE.schema.names())
    index = _publish_index(lake, name, recipe, selected, write_index)
    metrics = _metrics(frame, tally, split)
    manifest = lake.publish(
        RECIPE,
        name,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config=recipe.model_dump(mode="json"),
        n_in=frame.height,
        n_out=frame.height,
        files=[index],
        metrics=metrics,
    )
    return Report(
        asset=RECIPE.name,
        partition=name,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=frame.height,
        n_out=frame.height,
        bytes_written=manifest.bytes,
        seconds=time.perf_counter() - began,
        metrics=metrics,
        preview=tuple(frame.head(8).select("sample_key", "split", "concept", "repeat").iter_rows(named=True)),
        pictures=(_picture(name, frame, tally, vocabulary),),
    )


def nothing_selected(name: str, recipe: Recipe, tally: Tally) -> SelectsNothing:
    """What a recipe waits for that selects none of the samples there are."""
    left_out = ", ".join(f"{why} {n:,}" for why, n in sorted(tally.left_out.items()) if n) or "nothing"
    what = f"samples: recipe {name} selects none of {tally.considered:,} samples; left out: {left_out}"
    votes = "label clusters (`biomedica annotate`), " if recipe.concepts.needed else ""
    return SelectsNothing(what, f"{votes}take more articles, or ask for less in the recipe")


def _inputs(lake: Lake) -> dict[str, str]:
    wanted: list[tuple[Table, str | None]] = []
    for table in READS:
        if table.partitioning == "shelf":
            wanted += [(table, shelf) for shelf in lake.partitions(table)]
        elif lake.manifest(table, None):
            wanted.append((table, None))
    return lake.inputs(*wanted)


def _publish_index(
    lake: Lake, name: str, recipe: Recipe, frame: pl.DataFrame, write_index: indexes.WriteIndex
) -> FileEntry:
    """Write the index under the name of its digest: one that a training run has open is never another's."""
    sizes: dict[str, int] = {}
    for table in (SHARDS, PANEL_SHARDS) if recipe.unit == "panel" else (SHARDS,):
        for chunk in lake.partitions(table):
            manifest = lake.manifest(table, chunk)
            sizes |= {entry.path: entry.bytes for entry in (manifest.files if manifest else ())}
    if missing := sorted(set(frame["shard"]) - set(sizes)):
        raise StoreError(f"the manifests of shards do not list {missing[0]}; make the shards again")
    folder = lake.root / "recipes" / name
    draft = folder / f"draft{indexes.SUFFIX}"
    indexes.write(draft, name, recipe.seed, frame, sizes, write_index)
    entry = file_entry(lake, draft)
    final = draft.rename(folder / f"{entry.sha256[:16]}{indexes.SUFFIX}")
    return dataclasses.replace(entry, path=lake.path_below(final))


def _metrics(frame: pl.DataFrame, tally: Tally, split: splits.Split) -> dict[str, Scalar]:
    counts = dict(frame["split"].value_counts().iter_rows())
    size = frame["end"] - frame["start"]
    metrics: dict[str, Scalar] = {
        "considered": tally.considered,
        "selected": frame.height,
        "samples_per_epoch": int(frame.filter(split=splits.TRAIN)["repeat"].sum()),
        "articles": frame["article_id"].n_unique(),
        "selected_bytes": int(size.sum()),
        "split_components": split.components,
        "largest_component_articles": split.largest,
    }
    metrics |= {name: counts.get(name, 0) for name in splits.NAMES}
    if tally.sources:
        said = (f"{s}: {n:,} at {tally.sureness[s] / n:.2f}" for s, n in tally.sources.most_common())
        metrics["labels_come_from"] = "; ".join(said)
    return metrics | dict(sorted(tally.left_out.items()))


def _picture(name: str, frame: pl.DataFrame, tally: Tally, vocabulary: Vocabulary | None) -> Picture:
    if vocabulary and tally.available:
        taken: dict[str, int] = dict(frame["concept"].drop_nulls().value_counts().iter_rows())
        named = {vocabulary.labels.get(c, c): (n, taken.get(c, 0)) for c, n in tally.available.items()}
        return plots.taken_of_available(f"Recipe {name}: samples by top concept", named)
    groups: dict[str, int] = dict(frame["license_group"].value_counts().iter_rows())
    return plots.taken_of_available(
        f"Recipe {name}: samples by licence group", {group: (n, n) for group, n in groups.items()}
    )
