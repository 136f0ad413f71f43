"""A small data directory to look at: figures with labels, copies, a cluster, recipes; some of it not to be shown."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from biomedica_assets.lib.errors import Reject
from biomedica_assets.lib.select.search import stage
from biomedica_assets.lib.shards.config import ShardConfig
from biomedica_assets.lib.shards.stage import build_shards
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import write_vectors
from biomedica_assets.lib.tables import (
    CLUSTER_MODEL,
    CONTACT_SHEETS,
    DUPLICATES,
    EMBEDDING_MAP,
    EMBEDDING_SHELF,
    FIGURE_LABELS,
    PUBMED_RECORDS,
    RECIPE,
    TEXT_LABELS,
    TOMBSTONES,
)
from biomedica_assets_tests.lib.images.generated import publish, row_of
from biomedica_assets_tests.lib.shards.world import CHUNK, World, jpeg

DIMENSION = 4


@dataclasses.dataclass(frozen=True)
class Thing:
    """A figure of an article of its own: who allows what, and whether the article was withdrawn later."""

    number: int
    figure: str | None = "CC BY"
    article: str | None = "CC BY"
    withdrawn: bool = False
    year: int = 2020
    journal: str = "Open Retina"
    concepts: tuple[str, ...] = ("kind-plot",)
    confidence: float = 0.9
    words: str = "fundus photograph"
    mesh: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        return (
            bool(self.figure and self.article and self.figure != "TDM" and self.article != "TDM") and not self.withdrawn
        )

    @property
    def article_id(self) -> str:
        return f"PMC{7 + self.number}.1"

    @property
    def figure_id(self) -> str:
        return f"pmc{7 + self.number}-1-f{self.number:04d}"

    @property
    def media_id(self) -> str:
        return f"{self.figure_id}-0"

    @property
    def secret(self) -> str:
        """A word that stands in caption, title and mentions of this figure and nowhere else."""
        return f"zyx{self.number:04d}q"


def group_of(code: str | None) -> str:
    from biomedica_assets.lib.licenses import group_of as found

    return found(code)


def make(root: Path, things: Sequence[Thing]) -> Lake:
    """Everything is made while all of it was allowed to be there; withdrawals come last, and nothing is made again."""
    world = World(root)
    for thing in things:
        world.add(
            thing.figure_id,
            [jpeg(thing.number % 5, 64, 48)],
            article_id=thing.article_id,
            caption=f"{thing.words}, number {thing.secret}",
            group=group_of(thing.figure),
            mentions=[f"Fig shows {thing.secret}"],
            article={
                "title": f"On {thing.secret}", "year": thing.year, "journal": thing.journal,
                "license_code": thing.article, "license_group": group_of(thing.article), "pmcid": 7 + thing.number,
            },
            label=f"Figure {thing.number}",
        )  # fmt: skip
        world.figures[-1]["license_code"] = world.images[-1]["license_code"] = thing.figure
    lake = world.publish()
    labels = [
        row_of(
            FIGURE_LABELS, media_id=t.media_id, cluster=0, panel_type="panel-single", panel_type_confidence=0.8,
            panel_type_provenance="propagated", local=list(t.concepts), local_confidence=t.confidence,
            claims=[{"concept_id": c, "source": "text", "confidence": t.confidence} for c in t.concepts],
        )
        for t in things
    ]  # fmt: skip
    for label in labels:
        label["global"] = label["content"] = []
    publish(lake, FIGURE_LABELS, CHUNK, labels)
    publish(lake, PUBMED_RECORDS, CHUNK, [_record(t) for t in things])
    build_shards(lake, CHUNK, config=ShardConfig(license_groups=("commercial", "noncommercial", "other")))
    stage.index_shelf(lake, "PMC000")
    rng = np.random.default_rng(0)
    array = rng.normal(size=(len(things), DIMENSION)).astype(np.float16)
    folder = lake.root / "embeddings" / "numbers" / "shelf=PMC000"
    entry = write_vectors(lake, folder, [array], len(things), DIMENSION)
    ids = sorted(t.media_id for t in things)
    rows = [{"media_id": one, "row": n, "source_chunk": CHUNK} for n, one in enumerate(ids)]
    put(lake, EMBEDDING_SHELF, "PMC000", rows, files=[entry])
    places = [
        row_of(EMBEDDING_MAP, media_id=t.media_id, x=place(n, len(things))[0], y=place(n, len(things))[1])
        for n, t in enumerate(things)
    ]
    publish(lake, EMBEDDING_MAP, CHUNK, places)
    twins = [
        row_of(DUPLICATES, media_id=t.media_id, article_id=t.article_id, group="g", match="bytes", group_size=2)
        for t in things if t.number % 5 == 0
    ]  # fmt: skip
    put(lake, DUPLICATES, None, twins)
    put(lake, CLUSTER_MODEL, None, [row_of(CLUSTER_MODEL, cluster=0)])
    sheets = [
        row_of(
            CONTACT_SHEETS, cluster=0, role="central", rank=n, media_id=t.media_id, figure_id=t.figure_id,
            article_id=t.article_id, caption=t.secret, n_images=len(things),
        )
        for n, t in enumerate(things)
    ]  # fmt: skip
    put(lake, CONTACT_SHEETS, None, sheets)
    for name, share in (("all", 1), ("half", 2)):
        members = [
            row_of(
                RECIPE, position=n, sample_key=t.media_id, media_id=t.media_id, article_id=t.article_id,
                split="test" if t.number % 3 == 0 else "train",
            )
            for n, t in enumerate(things) if t.number % share == 0
        ]  # fmt: skip
        put(lake, RECIPE, name, members)
    withdraw(lake, [t for t in things if t.withdrawn])
    return lake


def _record(thing: Thing) -> dict:
    headings = [{"ui": None, "descriptor": one, "major": False, "qualifiers": []} for one in thing.mesh]
    return row_of(PUBMED_RECORDS, article_id=thing.article_id, mesh=headings)


def place(number: int, of: int) -> tuple[float, float]:
    """Where a thing stands on the map: on a circle, the first to the right."""
    return 0.9 * math.cos(math.tau * number / of), 0.9 * math.sin(math.tau * number / of)


def withdraw(lake: Lake, things: Sequence[Thing]) -> None:
    """Tombstones for these articles and no others."""
    stones = [row_of(TOMBSTONES, article_id=t.article_id, pmcid=7 + t.number, reason="retracted") for t in things]
    publish(lake, TOMBSTONES, CHUNK, stones)


def put(lake: Lake, table, partition, rows, files=()) -> None:
    frame = table.frame(rows) if rows else pl.DataFrame(schema=table.schema)
    n = len(rows)
    lake.publish(
        table, partition, frame, code_version="t", inputs={}, config={}, n_in=n, n_out=n, files=list(files)
    )  # fmt: skip


def reject(lake: Lake, rejects: Sequence[Reject]) -> None:
    """A stage that left these out and kept nothing."""
    frame, n = TEXT_LABELS.empty(), len(rejects)
    lake.publish(
        TEXT_LABELS, CHUNK, frame, code_version="t", inputs={}, config={}, n_in=n, n_out=0, rejects=rejects
    )  # fmt: skip
