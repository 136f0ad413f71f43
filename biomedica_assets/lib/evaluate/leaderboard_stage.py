"""Fills ``leaderboard``: gathers the scores of all recipes, writes the pages and plots to ``scores/leaderboard/``."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence

import polars as pl

from biomedica_assets.lib.evaluate import leaderboard, leaderboard_page
from biomedica_assets.lib.evaluate.adapters.opening import TaskStatus
from biomedica_assets.lib.evaluate.leaderboard_plots import pictures
from biomedica_assets.lib.evaluate.significance import SCHEMA
from biomedica_assets.lib.evaluate.zero_shot_stage import comparisons_of
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake, file_entry
from biomedica_assets.lib.tables import CONTAMINATION, LEADERBOARD, RETRIEVAL_SCORES, ZERO_SHOT_SCORES

VERSION = "leaderboard-4"
MOST_NAMED = 4
"""Tasks of one reason that are named one by one."""


def publish_leaderboard(
    lake: Lake,
    *,
    costs: pl.DataFrame | None = None,
    not_ready: Sequence[TaskStatus] = (),
    inputs: Mapping[str, str] | None = None,
) -> Report:
    """Gather what the recipes' scores say and publish ``leaderboard``.

    Args:
        lake: the data directory; every partition of the score tables that exists is taken.
        costs: training compute and samples of the models (``leaderboard.COSTS``); None if nothing is known.
        not_ready: registered tasks that are not on this machine, shown with what they need.
        inputs: what ``costs`` was read from, for the manifest.

    Returns:
        Report; items are rows of the table. What could not be scored is listed on the page with its reason.
    """
    began = time.monotonic()
    tables = (ZERO_SHOT_SCORES, RETRIEVAL_SCORES, CONTAMINATION)
    inputs = {**lake.inputs(*((t, key) for t in tables for key in lake.partitions(t))), **(inputs or {})}
    zero_shot, retrieval, contamination = (lake.scan(t).collect() for t in tables)
    costs = costs if costs is not None else pl.DataFrame(schema=leaderboard.COSTS)
    board = leaderboard.build(zero_shot, retrieval, contamination, costs)
    plots = pictures(board)
    page = leaderboard_page.Board(
        board, _details(zero_shot, retrieval, contamination), _excluded(zero_shot, retrieval),
        _comparisons(lake, zero_shot), [_placeless(status, lake) for status in not_ready], plots,
    )  # fmt: skip
    folder = lake.root / "scores" / "leaderboard"
    written = {
        "leaderboard.html": leaderboard_page.to_html(page).encode(),
        "leaderboard.md": leaderboard_page.to_markdown(page).encode(),
        "leaderboard.csv": leaderboard_page.to_csv(page).encode(),
        **{f"{p.title.lower().replace(' ', '_').replace(',', '')}.png": p.data for p in plots},
    }
    for name, data in written.items():
        atomic.write_bytes(folder / name, data)
    for stale in set(folder.iterdir()) - {folder / name for name in written}:
        stale.unlink()
    n = board.height
    manifest = lake.publish(
        LEADERBOARD,
        None,
        board,
        code_version=VERSION,
        inputs=inputs,
        config={},
        n_in=n,
        n_out=n,
        files=[file_entry(lake, folder / name) for name in sorted(written)],
    )
    ranked = leaderboard.ranking(board)
    return Report(
        asset="leaderboard",
        partition=None,
        data_version=manifest.data_version,
        rows=n,
        n_in=n,
        n_out=n,
        bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
        metrics={
            "recipes": len(set(zero_shot["recipe"])),
            "tasks": zero_shot["task"].n_unique() + retrieval["task"].n_unique(),
            "page": lake.path_below(folder / "leaderboard.html"),
        }
        | ({"best model": ranked["model"][0], "best mean": ranked["value"][0]} if ranked.height else {}),
        preview=tuple(ranked.select("model", "recipe", "provenance", "value", "low", "high", "n_tasks").to_dicts()),
        pictures=tuple(plots),
    )


def _placeless(status: TaskStatus, lake: Lake) -> TaskStatus:
    """Without the place of this data directory: two demos from one seed differed in this page alone."""
    return dataclasses.replace(status, how=status.how.replace(f"{lake.root.absolute()}{os.sep}", "<data directory>/"))


def _details(zero_shot: pl.DataFrame, retrieval: pl.DataFrame, contamination: pl.DataFrame) -> pl.DataFrame:
    """What stands behind each value of a task; see ``leaderboard_page.DETAILS``."""
    searched = retrieval.with_columns(name=leaderboard.direction_name())
    columns = ["recipe", "model", "name", "task", "title", "n", "n_groups", "status"]
    both = pl.concat(
        [f.filter("primary").select(columns) for f in (zero_shot.with_columns(name="task"), searched)]
    ).filter(pl.col("status") == "scored")
    overlap = contamination.select("recipe", "task", "share")
    found = both.join(overlap, on=["recipe", "task"], how="left", maintain_order="left")
    return found.select(leaderboard_page.DETAILS.names())


def _excluded(zero_shot: pl.DataFrame, retrieval: pl.DataFrame) -> pl.DataFrame:
    both = pl.concat([f.select("task", "model", "status", "reason") for f in (zero_shot, retrieval)])
    left_out = both.filter(pl.col("status") == "excluded").unique(maintain_order=True)
    # A model that could not be had has the same reason on every task: one line, not one for each.
    together = left_out.group_by("model", "reason", maintain_order=True).agg(pl.col("task").unique(maintain_order=True))
    n = pl.col("task").list.len()
    named = pl.when(n > MOST_NAMED).then(pl.format("{} tasks", n)).otherwise(pl.col("task").list.join(", "))
    return together.select(named.alias("task"), "model", "reason")


def _comparisons(lake: Lake, zero_shot: pl.DataFrame) -> pl.DataFrame:
    found = [
        pl.read_parquet(comparisons_of(lake, recipe), hive_partitioning=False).with_columns(recipe=pl.lit(recipe))
        for recipe in sorted(set(zero_shot["recipe"]))
    ]
    return pl.concat(found) if found else pl.DataFrame(schema={**SCHEMA, "recipe": pl.String()})
