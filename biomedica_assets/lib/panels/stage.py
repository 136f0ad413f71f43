"""The stages of the assets ``subcaptions`` and ``panel_boxes``: captions cut, pictures looked at, both tied together.

Belongs here: what is read and published, what is kept of an earlier run, and what the report shows. How captions and
pictures are cut is decided in ``subcaptions`` and ``find``.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from biomedica_assets.lib.compute import Engine, results
from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.images.canonical import VERSION as CANONICAL
from biomedica_assets.lib.images.canonical import open_canonical
from biomedica_assets.lib.panels import find
from biomedica_assets.lib.panels import subcaptions as grammar
from biomedica_assets.lib.panels.align import BY_LABEL, BY_ORDER, align_named
from biomedica_assets.lib.panels.find import Panel
from biomedica_assets.lib.panels.labels import kind_of
from biomedica_assets.lib.panels.sheet import Shown, strip
from biomedica_assets.lib.panels.subcaptions import MAX_CHARS, Span, subcaptions
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Picture, Report, Scalar
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.manifest import digest
from biomedica_assets.lib.tables import CAPTIONS, IMAGES, PANEL_BOXES, SUBCAPTIONS

SUBCAPTIONS_VERSION = f"1.{grammar.VERSION}"
BOXES_VERSION = f"1.{find.VERSION}.{CANONICAL}"
SHOWN = 3  # pictures in the report
_CAPTIONS, _PICTURES = 200, 8  # in a batch: about 0.1 s and 1 s of work

Row = dict[str, object]
Told = tuple[tuple[str, ...], ...]
"""Labels of each sub-caption of a caption, in order."""


# --- captions ---------------------------------------------------------------------------------------------------------


def build_subcaptions(lake: Lake, chunk: str, *, engine: Engine | None = None, progress: Progress = SILENT) -> Report:
    """Stage of the asset ``subcaptions``: every caption of a chunk, cut.

    All are cut anew each time, which costs less than looking at one picture in a hundred.

    Args:
        lake: reads ``captions`` of the chunk.
        chunk: partition key.
        engine: where captions are cut; None does it here.
        progress: told of each batch of captions.
    """
    began = time.perf_counter()
    inputs = lake.inputs((CAPTIONS, chunk))
    captions = lake.read(CAPTIONS, chunk).select("figure_id", "article_id", "caption", "caption_reading")
    captions = captions.sort("figure_id")
    texts = captions.select("caption", "caption_reading").rows()
    batches = [tuple(texts[i : i + _CAPTIONS]) for i in range(0, len(texts), _CAPTIONS)]
    cut: list[list[Row]] = []
    for part in track(results(engine, cut_batch, batches), progress, "cut captions", len(batches), "batches"):
        cut += part
    rows: list[Row] = []
    rejects: list[Reject] = []
    for (figure_id, article_id, caption, _), parts in zip(captions.iter_rows(), cut, strict=True):
        if len(caption) > MAX_CHARS:
            message = f"the caption has {len(caption):,} characters; above {MAX_CHARS:,} it is a text of its own"
            rejects.append(Reject(article_id, SUBCAPTIONS.name, RejectReason.CAPTION_TOO_LONG, message, figure_id))
        rows += [{"figure_id": figure_id, "article_id": article_id, "part": i, **p} for i, p in enumerate(parts)]
    frame = SUBCAPTIONS.frame(rows)
    n_cut = frame["figure_id"].n_unique()
    kinds = Counter(frame["kind"].to_list())
    metrics: dict[str, Scalar] = {"captions_cut": n_cut, "captions_left_whole": captions.height - n_cut - len(rejects)}
    metrics |= {f"named_by_{kind}": n for kind, n in sorted(kinds.items())}
    manifest = lake.publish(
        SUBCAPTIONS,
        chunk,
        frame,
        code_version=SUBCAPTIONS_VERSION,
        inputs=inputs,
        config={},
        rejects=rejects,
        n_in=captions.height,
        n_out=captions.height - len(rejects),
        metrics=metrics,
    )
    return Report(
        asset=SUBCAPTIONS.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        seconds=time.perf_counter() - began,
        metrics=metrics,
        preview=tuple(_worded(frame.head(12))),
    )


def cut_batch(texts: Sequence[tuple[str, str]]) -> list[list[Row]]:
    """Sub-captions of captions given as printed and in the reading form; of the module, so that a worker can run it."""
    return [_cut(caption, reading) for caption, reading in texts]


def _cut(caption: str, reading: str) -> list[Row]:
    parts = subcaptions(caption)
    # The words come from the reading form, in which no number changed its value, as long as it is cut alike.
    read = subcaptions(reading) if parts and reading != caption else parts
    alike = [(part.labels, len(part.spans)) for part in read] == [(part.labels, len(part.spans)) for part in parts]
    source, told = (reading, read) if alike else (caption, parts)
    rows: list[Row] = []
    for part, same in zip(parts, told, strict=True):
        words = [source[start:stop].strip() for start, stop in same.spans]
        rows.append(
            {
                "labels": list(part.labels),
                "kind": kind_of(part.labels),
                "text": " ".join(words),
                "words": words,
                "spans": _spans(part.spans),
                "own": _spans(part.own),
            }
        )
    return rows


def _spans(spans: Iterable[Span]) -> list[dict[str, int]]:
    return [{"start": start, "end": end} for start, end in spans]


def _worded(frame: pl.DataFrame) -> Iterator[Mapping[str, Scalar]]:
    labels = pl.col("labels").list.join(", ")
    yield from frame.select("figure_id", labels, "kind", "text").iter_rows(named=True)


# --- pictures ---------------------------------------------------------------------------------------------------------


def build_panel_boxes(lake: Lake, chunk: str, *, engine: Engine | None = None, progress: Progress = SILENT) -> Report:
    """Stage of the asset ``panel_boxes``: the panels of every picture of a chunk, tied to the sub-captions.

    Where a figure has several pictures, its caption speaks of all of them: each is cut by what stands on it alone, and
    tied by letters only. Pictures whose file and labels are as before keep their rows.

    Args:
        lake: reads ``images`` and ``subcaptions`` of the chunk.
        chunk: partition key.
        engine: where pictures are looked at; None does it here.
        progress: told of each picture.
    """
    began = time.perf_counter()
    inputs = lake.inputs((IMAGES, chunk), (SUBCAPTIONS, chunk))
    images = lake.read(IMAGES, chunk).select("media_id", "figure_id", "article_id", "path", "sha256").sort("media_id")
    captions = lake.read(SUBCAPTIONS, chunk).sort("figure_id", "part")
    told = _labels(captions)
    pictures_of = Counter(images["figure_id"].to_list())
    alone = {figure_id for figure_id, n in pictures_of.items() if n == 1}
    figures: list[str] = images["figure_id"].to_list()
    known = [digest(str(figure_id in alone), repr(told.get(figure_id, ()))) for figure_id in figures]
    wanted = images.with_columns(pl.Series("told", known, dtype=pl.String))
    key = ["media_id", "sha256", "told"]
    earlier = lake.intact(PANEL_BOXES, chunk)
    old = lake.read(PANEL_BOXES, chunk) if earlier and earlier.code_version == BOXES_VERSION else PANEL_BOXES.empty()
    kept = old.join(wanted.select(key), on=key, how="semi")
    todo = wanted.join(kept.select("media_id").unique(), on="media_id", how="anti", maintain_order="left")
    rows: list[Row] = []
    rejects: list[Reject] = []
    looks = _looks(lake.root, todo, told, alone, engine)
    seen = track(looks, progress, "find panels", todo.height, "images")
    for image, found in zip(todo.drop("path").iter_rows(named=True), seen, strict=True):
        if isinstance(found, str):
            reject = Reject(
                image["article_id"], PANEL_BOXES.name, RejectReason.IMAGE_UNDECODABLE, found, image["media_id"]
            )
            rejects.append(reject)
            continue
        figure_id: str = image["figure_id"]
        rows += [image | row for row in _rows(found, told.get(figure_id, ()), by_order=figure_id in alone)]
    frame = pl.concat([kept, PANEL_BOXES.frame(rows)]).sort("media_id", "panel")
    metrics = _metrics(frame, captions, reused=kept["media_id"].n_unique())
    manifest = lake.publish(
        PANEL_BOXES,
        chunk,
        frame,
        code_version=BOXES_VERSION,
        inputs=inputs,
        config={},
        rejects=rejects,
        n_in=wanted.height,
        n_out=frame["media_id"].n_unique(),
        metrics=metrics,
    )
    preview, pictures = _shown(lake.root, frame, images, captions)
    return Report(
        asset=PANEL_BOXES.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        seconds=time.perf_counter() - began,
        metrics=metrics,
        preview=preview,
        pictures=pictures,
    )


def look_at_batch(batch: tuple[str, tuple[tuple[str, Told], ...]]) -> list[list[Panel] | str]:
    """Panels of each picture, or what is wrong with its file; of the module, so that a worker can run it.

    Args:
        batch: the data directory, and path below it and labels told of each picture.
    """
    root, items = batch
    found: list[list[Panel] | str] = []
    for path, told in items:
        try:
            found.append(find.find_named(open_canonical(Path(root) / path), told))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            found.append(f"{path} cannot be decoded: {error}")
    return found


def _looks(
    root: Path, todo: pl.DataFrame, told: Mapping[str, Told], alone: set[str], engine: Engine | None
) -> Iterator[list[Panel] | str]:
    named = todo.select("path", "figure_id").iter_rows()
    items = [(path, told.get(figure_id, ()) if figure_id in alone else ()) for path, figure_id in named]
    batches = [(str(root), tuple(items[i : i + _PICTURES])) for i in range(0, len(items), _PICTURES)]
    for found in results(engine, look_at_batch, batches):
        yield from found


def _labels(captions: pl.DataFrame) -> dict[str, Told]:
    found: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    for figure_id, labels in captions.select("figure_id", "labels").iter_rows():
        found[figure_id].append(tuple(labels))
    return {figure_id: tuple(labels) for figure_id, labels in found.items()}


def _rows(panels: Sequence[Panel], told: Told, *, by_order: bool) -> list[Row]:
    """What the table says of the panels of one picture, but for the picture's names."""
    links = {link.panel: link for link in align_named(panels, told, by_order=by_order).links}
    rows: list[Row] = []
    for i, panel in enumerate(panels):
        link = links.get(i)
        rows.append(
            {
                "panel": i,
                "n_panels": len(panels),
                "label": panel.label,
                **dict(zip(("x0", "y0", "x1", "y1"), panel.box, strict=True)),
                "score": panel.score,
                "method": panel.method,
                "parts": list(link.parts) if link else None,
                "link_score": link.score if link else None,
                "link_method": link.method if link else None,
            }
        )
    return rows


def _metrics(frame: pl.DataFrame, captions: pl.DataFrame, *, reused: int) -> dict[str, Scalar]:
    """Counts, and what is left over on both sides: panels nothing speaks of, sub-captions of no panel."""
    several = frame.filter(pl.col("n_panels") > 1)
    linked = several.filter(pl.col("parts").is_not_null())
    spoken = frame.select("figure_id", pl.col("parts").alias("part")).explode("part").drop_nulls().unique()
    here = captions.select("figure_id", "part").join(frame.select("figure_id").unique(), on="figure_id", how="semi")
    by = Counter(linked["link_method"].to_list())
    return {
        "single": frame.filter(pl.col("n_panels") == 1).height,
        "compound": several["media_id"].n_unique(),
        "panels_of_compound": several.height,
        "linked_by_label": by[BY_LABEL],
        "linked_by_order": by[BY_ORDER],
        "panels_left_over": several.height - linked.height,
        "subcaptions_left_over": here.join(spoken, on=["figure_id", "part"], how="anti").height,
        "reused": reused,
    }


def _shown(
    root: Path, frame: pl.DataFrame, images: pl.DataFrame, captions: pl.DataFrame
) -> tuple[tuple[Mapping[str, Scalar], ...], tuple[Picture, ...]]:
    """Rows and a picture for people: compound figures of which most panels are tied, the surest first."""
    several = frame.filter(pl.col("n_panels") > 1)
    sure = several.group_by("media_id").agg(pl.col("link_score").fill_null(0).mean().alias("sure"))
    first: list[str] = sure.sort("sure", "media_id", descending=[True, False]).head(SHOWN)["media_id"].to_list()
    if not first:
        return (), ()
    paths: dict[str, str] = dict(images.select("media_id", "path").iter_rows())
    texts: dict[tuple[str, int], str] = {(f, p): t for f, p, t in captions.select("figure_id", "part", "text").rows()}
    preview: list[Mapping[str, Scalar]] = []
    shown: list[Shown] = []
    for media_id in first:
        rows: list[dict[str, Any]] = several.filter(media_id=media_id).sort("panel").to_dicts()
        boxes = [(row["x0"], row["y0"], row["x1"], row["y1"]) for row in rows]
        shown.append(Shown(root / paths[media_id], boxes, [row["label"] or "" for row in rows]))
        preview += [
            {
                "media_id": media_id,
                "panel": row["panel"],
                "label": row["label"],
                "box": ", ".join(map(str, box)),
                "method": row["method"],
                "says": " ".join(texts.get((row["figure_id"], part), "") for part in row["parts"] or ()) or None,
            }
            for row, box in zip(rows, boxes, strict=True)
        ]
    drawn = strip(shown)
    return tuple(preview), (Picture("Panels as found", drawn, "image/webp"),) if drawn else ()
