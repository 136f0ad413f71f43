"""Small lakes with known samples for the tests of selection."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from biomedica_assets.lib.chunks import shelf_of_chunk
from biomedica_assets.lib.select.held_out import build_held_out
from biomedica_assets.lib.select.shelves import build_sample_shelf
from biomedica_assets.lib.select.splits import Held
from biomedica_assets.lib.store.lake import Lake, file_entry
from biomedica_assets.lib.store.manifest import FileEntry
from biomedica_assets.lib.tables import (
    ARTICLES,
    CAPTIONS,
    DUPLICATES,
    EVALUATION_MATCHES,
    FIGURE_LABELS,
    FIGURES,
    IMAGE_VIEWS,
    IMAGES,
    SHARDS,
    TAXONOMY,
    Table,
)

CHUNKS = ("PMC000-0000", "PMC001-0020")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One sample, as far as a test says."""

    number: int
    article: int = 1
    tops: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    license_group: str = "commercial"
    width: int = 100
    caption: str = "a caption"
    confidence: float = 1.0
    sha256: str | None = None
    image: bytes | None = None

    @property
    def media_id(self) -> str:
        return f"m{self.number:04d}"

    @property
    def article_id(self) -> str:
        return f"PMC{self.article}.1"

    @property
    def chunk(self) -> str:
        return CHUNKS[self.article >= 1_020_000]


def frame(table: Table, rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Rows in the table's schema; what is required and not given is filled with something empty."""
    empty: dict[type, Any] = {pl.String: "", pl.Boolean: False, pl.List: []}
    filled = [
        {c.name: row.get(c.name, None if c.nullable else empty.get(type(c.dtype), 0)) for c in table.columns}
        for row in rows
    ]
    return pl.DataFrame(filled, schema=table.schema, orient="row")


def publish(
    lake: Lake, table: Table, partition: str | None, rows: Sequence[dict[str, Any]], files: Sequence[FileEntry] = ()
) -> None:
    made = frame(table, rows)
    n = made.height
    lake.publish(table, partition, made, code_version="t", inputs={}, config={}, n_in=n, n_out=n, files=files)


def write_shard(lake: Lake, path: str, samples: Sequence[Sample]) -> tuple[FileEntry, list[tuple[int, int]]]:
    """A tar as the shards are, and where each sample lies in it."""
    target = lake.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    where: list[tuple[int, int]] = []
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            start = tar.offset
            for ext, data in (
                ("jpg", sample.image or b"x" * (sample.number + 1)),
                ("txt", sample.caption.encode()),
                ("json", b"{}"),
            ):
                info = tarfile.TarInfo(f"{sample.media_id}.{ext}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            where.append((start, tar.offset))
    return file_entry(lake, target), where


HELD = Held(0.05, 0)


def make_lake(root: Path, samples: Sequence[Sample], *, labels: bool = True, held: Held = HELD) -> Lake:
    """A lake with everything that a recipe reads."""
    lake = Lake(root)
    for chunk in sorted({sample.chunk for sample in samples}):
        here = [sample for sample in samples if sample.chunk == chunk]
        path = f"shards/{chunk}/000000.tar"
        entry, where = write_shard(lake, path, here)
        ids = [
            {
                "sample_key": s.media_id, "media_id": s.media_id, "figure_id": f"f{s.number:04d}",
                "article_id": s.article_id, "license_group": s.license_group,
                "sha256": s.sha256 or hashlib.sha256(s.media_id.encode()).hexdigest(),
                "pixel_hash": hashlib.sha256(s.media_id.encode()).hexdigest(),
            }
            for s in here
        ]  # fmt: skip
        ranges = [{"image_ext": "jpg", "shard": path, "start": start, "end": end} for start, end in where]
        publish(lake, SHARDS, chunk, [i | r for i, r in zip(ids, ranges, strict=True)], [entry])
        sizes = [{"width": s.width, "height": 100, "position": 3} for s in here]
        publish(lake, IMAGES, chunk, [i | s for i, s in zip(ids, sizes, strict=True)])
        look = {"frames": [0, 0, 100, 100], "n_own": 1, "descriptions": bytes(2 * 128)}
        publish(lake, IMAGE_VIEWS, chunk, [i | look for i in ids])
        publish(lake, FIGURES, chunk, [i | {"kind": "figure"} for i in ids])
        publish(lake, CAPTIONS, chunk, [i | {"caption": s.caption} for i, s in zip(ids, here, strict=True)])
        publish(lake, ARTICLES, chunk, [{"article_id": a, "year": 2020} for a in {s.article_id for s in here}])
        if labels:
            publish(
                lake, FIGURE_LABELS, chunk,
                [
                    {"media_id": s.media_id, "global": list(s.tops), "local": list(s.local),
                     "global_confidence": s.confidence, "local_confidence": s.confidence}
                    for s in here
                ],
            )  # fmt: skip
    for shelf in sorted({shelf_of_chunk(sample.chunk) for sample in samples}):
        build_sample_shelf(lake, shelf)
    publish(lake, TAXONOMY, None, TAXONOMY_ROWS)
    publish(lake, DUPLICATES, None, [])
    publish(lake, EVALUATION_MATCHES, None, [])
    if samples:
        build_held_out(lake, held)
    return lake


def _concept(concept: str, label: str, broader: str | None = None, alt: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "concept_id": concept, "axis": "kind", "label": label, "broader": broader, "top": broader or concept,
        "alt": list(alt),
    }  # fmt: skip


TAXONOMY_ROWS = [
    _concept("kind-plot", "plot or chart", alt=["chart"]),
    _concept("kind-bar-plot", "bar plot", "kind-plot"),
    _concept("kind-microscopy", "microscopy"),
    _concept("kind-light-microscopy", "light microscopy", "kind-microscopy", ["histology"]),
    _concept("kind-clinical-imaging", "clinical imaging"),
    _concept("kind-assay", "immuno or gel assay"),
    _concept("kind-laboratory-specimen", "laboratory specimen or culture"),
]
