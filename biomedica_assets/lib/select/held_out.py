"""The pictures that no recipe trains on, chosen before any recipe: all of them are scored on all of these.

Belongs here: the stage of ``held_out``, and what recipes ask of it. Whole articles are held out, with every article
that shares a picture with them (``splits``); of these the table has one picture of each group of duplicates, and none
that a registered test set uses.
"""

from __future__ import annotations

import dataclasses
import time

import polars as pl

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.select import concepts, quotas, splits
from biomedica_assets.lib.select.catalog_view import read_samples
from biomedica_assets.lib.select.definition import Splits
from biomedica_assets.lib.select.shelves import DESCRIBING, check_current
from biomedica_assets.lib.select.splits import Held
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    DUPLICATES,
    EVALUATION_MATCHES,
    FIGURE_LABELS,
    HELD_OUT,
    SAMPLE_SHELF,
    SHARDS,
)

VERSION = "1"
SURE = 0.5
"""Labels below this confidence are no truth to be scored by."""


def build_held_out(lake: Lake, held: Held, *, progress: Progress = SILENT) -> Report:
    """Fill the table ``held_out``.

    Args:
        lake: the data directory.
        held: the share of the articles, and the seed of the draw.
        progress: told of each chunk.

    Returns:
        Report; items are the samples of held-out articles.

    Raises:
        StoreError: a table that it needs has not been materialised, or was made anew since ``sample_shelf`` was.
    """
    began = time.monotonic()
    shelves = [(SAMPLE_SHELF, shelf) for shelf in lake.partitions(SAMPLE_SHELF)]
    inputs = lake.inputs(*shelves, (DUPLICATES, None), (EVALUATION_MATCHES, None))
    check_current(lake, DESCRIBING)
    chunks = lake.partitions(SHARDS)
    labelled = bool(chunks) and set(chunks) <= set(lake.partitions(FIGURE_LABELS))
    duplicates, used = lake.read(DUPLICATES, None), lake.read(EVALUATION_MATCHES, None)["media_id"]
    ties = splits.tie(duplicates)
    found: list[pl.DataFrame] = []
    considered, left_out = 0, dict.fromkeys(("left_out_widespread", "left_out_evaluation", "left_out_duplicate"), 0)
    for chunk in track(chunks, progress, "hold out", len(chunks), "chunks"):
        rows = _samples(lake, chunk, labelled=labelled)
        considered += rows.height
        split = splits.assign(rows, ties, held, Splits(validation=0)).names
        widespread = split.is_null()
        left_out["left_out_widespread"] += int(widespread.sum())
        rows = rows.filter(split == splits.TEST)
        clean = ~rows["media_id"].is_in(used.implode())
        left_out["left_out_evaluation"] += rows.height - int(clean.sum())
        found.append(rows.filter(clean))
    empty = HELD_OUT.empty().drop("concept").with_columns(tops=pl.lit([], pl.List(pl.String)))
    together = pl.concat(found) if found else empty
    if together.height:
        first = quotas.first_of_group(together, duplicates)
        left_out["left_out_duplicate"] = together.height - int(first.sum())
        together = together.filter(first)
    frame = together.with_columns(concept=quotas.rarest(together["tops"]).cast(pl.String))
    frame = frame.select(HELD_OUT.schema.names()).sort("media_id")
    n_in = frame.height + sum(left_out.values())
    metrics = {"considered": considered, "articles": frame["article_id"].n_unique(), **left_out}
    manifest = lake.publish(
        HELD_OUT,
        None,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config=dataclasses.asdict(held),
        n_in=frame.height,
        n_out=frame.height,
        metrics=metrics,
    )
    return Report(
        asset=HELD_OUT.name,
        partition=None,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=frame.height,
        n_out=frame.height,
        bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
        metrics=metrics | {"samples_of_held_out_articles": n_in},
        preview=tuple(frame.head(8).iter_rows(named=True)),
    )


def held_of(lake: Lake) -> Held:
    """What is held out, as ``held_out`` says.

    Raises:
        StoreError: it has not been materialised, or was from other duplicates than there are now.
    """
    manifest = lake.manifest(HELD_OUT, None)
    if manifest is None:
        raise StoreError("held_out has not been materialised; do that first")
    if manifest.inputs.get(DUPLICATES.name) != lake.version(DUPLICATES, None):
        raise StoreError("held_out was chosen by other duplicates than there are now; materialise it first")
    return Held(float(manifest.config["share"]), int(manifest.config["seed"]))


def _samples(lake: Lake, chunk: str, *, labelled: bool) -> pl.DataFrame:
    """media_id, sample_key, article_id, area, tops of the samples of a chunk."""
    names = {"media_id", "article_id", "width", "height", *(concepts.LABEL_COLUMNS if labelled else ())}
    rows = read_samples(lake, chunk, names)
    none = pl.lit([], dtype=pl.List(pl.String))
    return rows.select(
        "media_id",
        "sample_key",
        "article_id",
        area=(pl.col("width").cast(pl.Int64) * pl.col("height")).fill_null(0),
        tops=concepts.top_concepts_of(SURE) if labelled else none,
    )
