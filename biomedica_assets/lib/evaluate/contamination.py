"""Which test images a recipe trained on. Fills ``contamination`` of a recipe.

Equal bytes are looked for here; near copies (equal pixels, altered) come from ``evaluation_matches``, which compares
every image of the lake with every test image. Models trained elsewhere are not judged: their training images are not
published as hashes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import polars as pl

from biomedica_assets.lib.evaluate.index import TaskIndex, index_or_fault
from biomedica_assets.lib.evaluate.task import TaskSource
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CONTAMINATION

VERSION = "contamination-2"
EXAMPLES = 10
EXACT = "SHA-256 of the image bytes"
NEAR = f"{EXACT}; equal pixels and altered copies as in evaluation_matches"


def report_contamination(
    lake: Lake,
    recipe: str,
    training: pl.DataFrame,
    sources: Sequence[TaskSource],
    *,
    matches: pl.DataFrame | None = None,
    recorded: Mapping[str, str] | None = None,
    inputs: Mapping[str, str] | None = None,
) -> Report:
    """Compare each task's images with a recipe's training images and publish ``contamination``.

    Args:
        lake: the data directory.
        recipe: partition key.
        training: ``media_id`` and ``sha256`` of the images that were trained on.
        sources: the tasks.
        matches: ``evaluation_matches``: near copies of the test images in the lake; None if they were not looked for,
            then the table says so with a null.
        recorded: versions of the test sets, for the manifest: a new or changed one makes the partition stale.
        inputs: what ``training`` and ``matches`` were read from, for the manifest.

    Returns:
        Report; items are the distinct images of the tasks.
    """
    began = time.monotonic()
    indices = [index_or_fault(source) for source in sources]
    frame = CONTAMINATION.frame([compare(index, training, matches) for index in indices])
    n = sum(len(index.images) for index in indices)
    manifest = lake.publish(
        CONTAMINATION,
        recipe,
        frame,
        code_version=VERSION,
        inputs=dict(inputs or {}),
        config={"near": matches is not None, **(recorded or {})},
        n_in=n,
        n_out=n,
    )
    worst = frame.sort("share", descending=True, nulls_last=True).head(10)
    return Report(
        asset="contamination",
        partition=recipe,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=n,
        n_out=n,
        bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
        metrics={
            "training images": training.height,
            "task images equal to a training image": int(frame["n_exact"].sum()),
            "task images near a training image": None if matches is None else int(frame["n_near"].sum()),
        },
        preview=tuple(worst.select("task", "n_images", "n_exact", "n_near", "share").to_dicts()),
    )


def compare(index: TaskIndex, training: pl.DataFrame, matches: pl.DataFrame | None) -> dict[str, object]:
    """One row of ``contamination``; arguments as in ``report_contamination``."""
    items = pl.DataFrame(
        {"item": [e.item_id for e in index.entries], "sha256": [e.sha256 for e in index.entries]},
        schema={"item": pl.String(), "sha256": pl.String()},
    ).unique("sha256", keep="first", maintain_order=True)
    equal = training.sort("media_id").unique("sha256", keep="first", maintain_order=True)
    exact = items.join(equal, on="sha256", maintain_order="left")
    found = exact.select(pl.format("{} = {}", "item", "media_id")).to_series().to_list()
    n_near = None
    if matches is not None:
        seen = matches.filter(
            pl.col("media_id").is_in(training["media_id"].implode()) & (pl.col("task") == index.task.name)
        )
        others = items.join(exact, on="sha256", how="anti")
        near = others.join(seen.sort("media_id").unique("item", keep="first"), on="item", maintain_order="left")
        found += near.select(pl.format("{} ~ {}", "item", "media_id")).to_series().to_list()
        n_near = near.height
    return {
        "task": index.task.name,
        "suite": index.task.suite,
        "data_digest": index.data,
        "n_images": items.height,
        "n_training": training.height,
        "n_exact": exact.height,
        "n_near": n_near,
        "share": (exact.height + (n_near or 0)) / items.height if items.height else None,
        "examples": found[:EXAMPLES],
        "method": EXACT if matches is None else NEAR,
    }
