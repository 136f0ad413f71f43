"""A small lake for the annotation tests: pictures of a few kinds, clusters of them, their contact sheets."""

import hashlib
from pathlib import Path

import polars as pl
from PIL import Image, ImageDraw

from biomedica_assets.lib.annotate.taxonomy.model import stage_taxonomy
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CAPTIONS, CLUSTER_MODEL, CLUSTERS, CONTACT_SHEETS, IMAGES, Table

CHUNK = "PMC000-0000"
MODEL = "model-a"
KINDS = ("bars", "line", "spots", "halves")


def draw(kind: str, number: int) -> Image.Image:
    """A picture of 240 x 180 pixels; ``halves`` is two micrographs side by side."""
    image = Image.new("RGB", (240, 180), "white")
    pen = ImageDraw.Draw(image)
    tint = (40 + number * 37 % 160, 80 + number * 53 % 150, 160)
    if kind == "bars":
        pen.line([(30, 10), (30, 160), (230, 160)], fill="black", width=2)
        for i in range(5):
            pen.rectangle([45 + i * 36, 150 - (number * 13 + i * 29) % 120, 68 + i * 36, 158], fill=tint)
    elif kind == "line":
        pen.line([(30, 10), (30, 160), (230, 160)], fill="black", width=2)
        pen.line([(30 + i * 20, 140 - (number + i * i * 7) % 110) for i in range(10)], fill=tint, width=3)
    else:
        boxes = [(0, 0, 239, 179)] if kind == "spots" else [(0, 0, 113, 179), (126, 0, 239, 179)]
        for left, top, right, bottom in boxes:
            pen.rectangle([left, top, right, bottom], fill=(30, 20, 60))
            for i in range(12):
                x, y = left + (i * 47 + number * 11) % (right - left - 12), top + (i * 31 + number * 7) % 160
                pen.ellipse([x, y, x + 10, y + 10], fill=tint)
    return image


def row(table: Table, **values: object) -> dict[str, object]:
    """A row with the given values; other required columns get a harmless value of their type."""
    plain = {pl.String: "x", pl.Int32: 0, pl.Int64: 0, pl.Float32: 0.0, pl.Boolean: False, pl.UInt64: 0}
    blank = {c.name: None if c.nullable else plain.get(type(c.dtype), []) for c in table.columns}
    return blank | values


def publish(lake: Lake, table: Table, partition: str | None, rows: list[dict[str, object]]) -> None:
    """Publish rows as a partition that came from nowhere."""
    n = len(rows)
    lake.publish(table, partition, table.frame(rows), code_version="t", inputs={}, config={}, n_in=n, n_out=n)


def synthetic_lake(root: Path, *, clusters: int = 10, members: int = 6) -> Lake:
    """Clusters of ``members`` pictures, cluster c showing KINDS[c % 4], with images, captions, clusters and sheets."""
    lake = Lake(root)
    images, captions, assignments, sheets = [], [], [], []
    (root / "mirror").mkdir(parents=True)
    for cluster in range(clusters):
        for member in range(members):
            media = f"m{cluster:03d}-{member:02d}"
            path = f"mirror/{media}.png"
            draw(KINDS[cluster % 4], cluster * members + member).save(root / path)
            sha = hashlib.sha256((root / path).read_bytes()).hexdigest()
            shared = {"media_id": media, "figure_id": f"f-{media}", "article_id": f"PMC{cluster + 1}.1"}
            text = f"Figure {member + 1}. Cluster {cluster}, picture {member} of kind {KINDS[cluster % 4]}."
            caption = f"{text} (A) before, (B) after." if KINDS[cluster % 4] == "halves" else text
            images.append(row(IMAGES, **shared, path=path, width=240, height=180, sha256=sha))
            captions.append(row(CAPTIONS, figure_id=f"f-{media}", article_id=shared["article_id"], caption=caption))
            distance = 0.1 + 0.12 * member
            runner = {"runner_up": (cluster + 1) % clusters, "runner_up_distance": 1.0}
            assignments.append(row(CLUSTERS, media_id=media, cluster=cluster, distance=distance, model=MODEL, **runner))
            role = "central" if member < 3 else "random" if member < 5 else "border"
            sheet = {"cluster": cluster, "role": role, "rank": member, "caption": caption, "n_images": members}
            sheets.append(row(CONTACT_SHEETS, **shared, **sheet, distance=distance, model=MODEL))
    publish(lake, IMAGES, CHUNK, images)
    publish(lake, CAPTIONS, CHUNK, captions)
    publish(lake, CLUSTERS, CHUNK, assignments)
    publish(lake, CONTACT_SHEETS, None, sheets)
    publish(lake, CLUSTER_MODEL, None, [row(CLUSTER_MODEL, cluster=c, model=MODEL) for c in range(clusters)])
    stage_taxonomy(lake)
    return lake
