"""The stage ``contact_sheets``: which images stand for a cluster, and the sheets and pages that show them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from biomedica_assets.lib.cluster.model import load_model
from biomedica_assets.lib.cluster.pages import Cell, Sheet, draw_sheet, overview, write_pages
from biomedica_assets.lib.cluster.sample import ranks
from biomedica_assets.lib.compute import Engine
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.images.canonical import VERSION as CANONICAL
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Picture, Report
from biomedica_assets.lib.store.lake import Lake, file_entry
from biomedica_assets.lib.store.manifest import digest
from biomedica_assets.lib.tables import CAPTIONS, CLUSTER_MODEL, CLUSTERS, CONTACT_SHEETS, IMAGES, Table

VERSION = f"1.{CANONICAL}"
FOLDER = "annotations/contact_sheets"
ROLES = ("central", "random", "border")
COLUMNS = 5  # pictures per row of a sheet


@dataclasses.dataclass(frozen=True, slots=True)
class SheetSettings:
    """What shapes the sheets: images per role, side of a cell in pixels, seed of the random images."""

    per_role: int = 10
    side: int = 160
    seed: int = 0


def make_contact_sheets(
    lake: Lake, *, engine: Engine, settings: SheetSettings | None = None, progress: Progress = SILENT
) -> Report:
    """One sheet and one page per cluster, and an index page, below ``annotations/contact_sheets``.

    An image stands on a sheet once: central ones are chosen first, then border ones, then random ones. The clusters are
    read chunk by chunk; memory holds three times ``per_role`` rows per cluster and role. Sheets of equal content that
    an interrupted run has drawn are kept.

    Raises:
        PermanentFailure: a chunk was assigned by another model, or its images changed since.
        StoreError: clusters or images do not exist, or the disk cannot be written.
    """
    began = time.monotonic()
    settings = settings or SheetSettings()
    model = load_model(lake)
    chunks = lake.partitions(CLUSTERS)
    # All that a change of could change a sheet; which images are shown is only known afterwards.
    inputs = lake.inputs(
        (CLUSTER_MODEL, None),
        *((table, key) for table in (CLUSTERS, IMAGES, CAPTIONS) for key in lake.partitions(table)),
    )
    chosen, sizes = choose(lake, chunks, model.digest, settings)
    shown = _described(lake, chosen).join(sizes, on="cluster")
    key = digest(VERSION, model.digest, str(settings), shown.write_json())[:16]
    folder = lake.root / FOLDER / key
    folder.mkdir(parents=True, exist_ok=True)
    sheets = [_sheet(lake, folder, part, settings) for part in shown.partition_by("cluster", maintain_order=True)]
    jobs = track(engine.map_batches(draw_sheet, sheets), progress, "draw sheets", len(sheets), "sheets")
    for _, result in jobs:
        if isinstance(result, Exception):
            raise result
    pages = write_pages(folder, sheets, model.card)
    cells = pl.DataFrame(
        [
            {"media_id": cell.media_id, "sheet": lake.path_below(sheet.path), "x": cell.x, "y": cell.y}
            for sheet in sheets
            for cell in sheet.cells
        ],
        schema={"media_id": pl.String, "sheet": pl.String, "x": pl.Int32, "y": pl.Int32},
    )
    frame = shown.join(cells, on="media_id").with_columns(
        pl.lit(settings.side, pl.Int32).alias("side"), pl.lit(model.digest).alias("model")
    )
    frame = frame.select(CONTACT_SHEETS.schema.names()).sort("cluster", "role", "rank")
    manifest = lake.publish(
        CONTACT_SHEETS,
        None,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config=dataclasses.asdict(settings),
        n_in=sizes.height,
        n_out=len(sheets),
        files=[file_entry(lake, path) for path in (*(sheet.path for sheet in sheets), *pages)],
        metrics={"model": model.digest},
    )
    return Report(
        asset=CONTACT_SHEETS.name,
        partition=None,
        data_version=manifest.data_version,
        rows=manifest.rows,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
        metrics={
            "model": model.digest,
            "sheets": len(sheets),
            "images_shown": frame.height,
            "clusters_without_images": len(model.centroids) - len(sheets),
            "index": lake.path_below(folder / "index.html"),
        },
        pictures=(Picture("The largest clusters, central images", overview(sheets), "image/webp"),) if sheets else (),
    )


def choose(lake: Lake, chunks: Sequence[str], model: str, settings: SheetSettings) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The images to show, one row each with its role and rank, and the number of images of each cluster."""
    # What a role may lose to the roles before it is fetched in excess.
    excess = {"central": 1, "border": 2, "random": 3}
    best: dict[str, pl.DataFrame] = {}
    sizes = pl.DataFrame(schema={"cluster": pl.Int32, "n_images": pl.Int64})
    outdated: list[str] = []
    for chunk in chunks:
        rows = lake.read(CLUSTERS, chunk)
        if rows.filter(pl.col("model") != model).height:
            outdated.append(chunk)
            continue
        rows = rows.select(
            "media_id",
            "cluster",
            "distance",
            (pl.col("runner_up_distance") - pl.col("distance")).alias("margin"),
            pl.Series("rank", ranks(rows["media_id"], settings.seed), pl.UInt64),
            pl.lit(chunk).alias("chunk"),
        )
        counted = rows.group_by("cluster").agg(pl.len().cast(pl.Int64).alias("n_images"))
        sizes = pl.concat([sizes, counted]).group_by("cluster").agg(pl.col("n_images").sum())
        for role, by in (("central", "distance"), ("border", "margin"), ("random", "rank")):
            pool = pl.concat([best[role], rows]) if role in best else rows
            best[role] = _first(pool, by, excess[role] * settings.per_role)
    if outdated:
        raise PermanentFailure(
            f"clusters of {', '.join(outdated[:10])}{' and more' if len(outdated) > 10 else ''} come from another "
            "model than the current one; materialise them again"
        )
    taken: list[pl.DataFrame] = []
    for role, by in (("central", "distance"), ("border", "margin"), ("random", "rank")):
        if role not in best:
            continue
        pool = best[role]
        for other in taken:
            pool = pool.join(other, on="media_id", how="anti")
        pool = _first(pool, by, settings.per_role)
        numbered = pl.int_range(pl.len(), dtype=pl.Int32).over("cluster").alias("rank")
        taken.append(pool.with_columns(numbered, pl.lit(role).alias("role")))
    return pl.concat(taken) if taken else pl.DataFrame(), sizes.sort("cluster")


def _first(rows: pl.DataFrame, by: str, n: int) -> pl.DataFrame:
    """The first ``n`` rows of each cluster by a column, ties by id."""
    ordered = rows.sort("cluster", by, "media_id", nulls_last=True)
    return ordered.group_by("cluster", maintain_order=True).head(n).select(rows.columns)


def _described(lake: Lake, chosen: pl.DataFrame) -> pl.DataFrame:
    """The chosen images with path, figure, article and caption."""
    parts: list[pl.DataFrame] = []
    for (chunk,), rows in sorted(chosen.group_by("chunk")) if chosen.height else ():
        key = str(chunk)
        images = lake.read_lazy(IMAGES, key).select("media_id", "figure_id", "article_id", "path", "sha256")
        found = rows.join(images.collect(), on="media_id", how="inner")
        if found.height < rows.height:
            raise PermanentFailure(
                f"{rows.height - found.height} clustered images of {key} are no longer in images; materialise "
                f"embeddings and clusters of {key} again"
            )
        parts.append(found.join(_captions(lake, CAPTIONS, key), on="figure_id", how="left"))
    if not parts:
        raise PermanentFailure("no image has a cluster yet; materialise clusters of a chunk with images first")
    return pl.concat(parts).sort("cluster", "role", "rank")


def _captions(lake: Lake, table: Table, chunk: str) -> pl.DataFrame:
    if lake.version(table, chunk) is None:
        return table.empty().select("figure_id", "caption")
    return lake.read_lazy(table, chunk).select("figure_id", "caption").collect()


def _sheet(lake: Lake, folder: Path, rows: pl.DataFrame, settings: SheetSettings) -> Sheet:
    """Where each image of a cluster goes on its sheet."""
    number = int(rows["cluster"][0])
    cells: list[Cell] = []
    top = 0
    for role in ROLES:
        part: Iterable[dict[str, object]] = rows.filter(pl.col("role") == role).sort("rank").iter_rows(named=True)
        placed = [
            Cell(
                role=role,
                media_id=str(row["media_id"]),
                article_id=str(row["article_id"]),
                caption=None if row["caption"] is None else str(row["caption"]),
                path=str(lake.root / str(row["path"])),
                distance=float(str(row["distance"])),
                margin=None if row["margin"] is None else float(str(row["margin"])),
                x=position % COLUMNS * settings.side,
                y=top + position // COLUMNS * settings.side,
            )
            for position, row in enumerate(part)
        ]
        cells += placed
        top += -(-len(placed) // COLUMNS) * settings.side
    size = (COLUMNS * settings.side, top)
    return Sheet(
        number, int(rows["n_images"][0]), folder / f"cluster-{number:05d}.webp", size, settings.side, tuple(cells)
    )
