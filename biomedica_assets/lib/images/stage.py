"""Fill the ``images`` table of one chunk: resolve, fetch, verify, publish.

Every graphic of the chosen kinds becomes one row or one reject. Files are measured once however many figures show them,
and not again while their MD5, this code and the limits stay the same.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from biomedica_assets.lib.compute import Engine
from biomedica_assets.lib.errors import PermanentFailure, Reject, RejectReason
from biomedica_assets.lib.images import strip
from biomedica_assets.lib.images.canonical import VERSION as CANONICAL
from biomedica_assets.lib.images.collect import Fetch, Located, Refusal, collect
from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.resolve import Ambiguous, ArticleMedia, Found, MediaObject
from biomedica_assets.lib.images.verify import Measurement
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import MANIFEST, Lake
from biomedica_assets.lib.tables import ARTICLE_INDEX, FIGURES, IMAGES

VERSION = f"images-3.{CANONICAL}"

# Kinds of figure rows whose graphics are pictures with captions: what lib.jats makes of <fig>. Table images, formulae,
# chemical structures, supplements and bare graphics are left to those who ask for them.
DEFAULT_KINDS = ("figure", "scheme", "chart", "map", "plate", "algorithm")

STRIP = 12
STAGE = IMAGES.name

_MEASURED = [field.name for field in dataclasses.fields(Measurement)]
_OPAQUE = re.compile(r"[a-z0-9_-]{1,80}")


@dataclasses.dataclass(frozen=True, slots=True)
class Graphic:
    """One graphic of a figure: the unit that is conserved."""

    figure_id: str
    article_id: str
    position: int
    href: str
    license_code: str | None
    license_group: str

    @property
    def media_id(self) -> str:
        """Stable key: the figure's and the position in it."""
        return f"{self.figure_id}-{self.position}"

    def reject(self, reason: RejectReason, message: str) -> Reject:
        """This graphic as a reject."""
        return Reject(self.article_id, STAGE, reason, f"{self.href}: {message}", self.media_id)


def build_images(
    lake: Lake,
    chunk: str,
    *,
    fetch: Fetch,
    limits: ImageLimits,
    engine: Engine,
    kinds: Sequence[str] = DEFAULT_KINDS,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Report:
    """Publish ``images`` of one chunk.

    Args:
        lake: reads ``figures`` and ``article_index`` of the chunk.
        chunk: partition key.
        fetch: brings the media that the figures name into the mirror.
        limits: what is still an image.
        engine: where files are decoded; threads serve best, decoders and hashes release the GIL.
        kinds: kinds of figure rows whose graphics are wanted.
        seed: draws the images of the contact strip, nothing else.
        progress: counts media.

    Raises:
        PermanentFailure: a figure_id is not opaque, or ``fetch`` breaks its contract.
        StoreError: an input is missing or the disk cannot be written.
    """
    began = time.monotonic()
    inputs = lake.inputs((FIGURES, chunk), (ARTICLE_INDEX, chunk))
    graphics = _graphics(lake.read(FIGURES, chunk), kinds)
    resolved, rejects = _resolve(graphics, lake.read(ARTICLE_INDEX, chunk))
    objects = {found.object.key: found.object for _, found in resolved}
    config = recorded(limits, kinds)
    outcome: dict[str, Located | Refusal] = dict(_known(lake, chunk, objects, config))
    reused = len(outcome)
    wanted = [obj for key, obj in objects.items() if key not in outcome]
    progress.start("verify images", len(wanted), "images")
    try:
        outcome |= collect(lake, wanted, fetch, limits, engine, progress)
    finally:
        progress.finish()

    rows: list[dict[str, object]] = []
    for graphic, found in resolved:
        result = outcome[found.object.key]
        if isinstance(result, Located):
            rows.append(_row(graphic, found, result))
        else:
            rejects.append(graphic.reject(*result))
    frame = IMAGES.frame(rows)
    manifest = lake.publish(
        IMAGES,
        chunk,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config=config,
        rejects=rejects,
        n_in=len(graphics),
        n_out=frame.height,
    )
    seconds = time.monotonic() - began
    decoded = [r.measurement for key in (o.key for o in wanted) if isinstance(r := outcome[key], Located)]
    return Report(
        asset=IMAGES.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        seconds=seconds,
        metrics={
            "objects": len(objects),
            "decoded": len(decoded),
            "reused": reused,
            "images_per_second": round(len(wanted) / seconds, 1),
            "source_megabytes": round(sum(m.bytes for m in decoded) / 1e6, 3),
            "megapixels": round(sum(m.width * m.height for m in decoded) / 1e6, 3),
            "formats": ", ".join(f"{name} {n}" for name, n in Counter(frame["format"]).most_common()),
            "matches": ", ".join(f"{name} {n}" for name, n in Counter(frame["match"]).most_common()),
        },
        preview=tuple(
            frame.select("media_id", "href", "match", "format", "mode", "width", "height", "bytes").head(5).to_dicts()
        ),
        pictures=_pictures(lake, chunk, frame, seed),
    )


def recorded(limits: ImageLimits, kinds: Sequence[str] = DEFAULT_KINDS) -> dict[str, Any]:
    """The settings that shape the table, as its manifest records them."""
    return {"kinds": sorted(kinds), **dataclasses.asdict(limits)}


def _graphics(figures: pl.DataFrame, kinds: Sequence[str]) -> list[Graphic]:
    found: list[Graphic] = []
    columns = ("figure_id", "article_id", "graphics", "license_code", "license_group")
    for row in figures.filter(pl.col("kind").is_in(list(kinds))).select(columns).iter_rows(named=True):
        if not _OPAQUE.fullmatch(row["figure_id"]):
            raise PermanentFailure(
                f"figure_id {row['figure_id']!r} cannot be part of a shard member's name: 1 to 80 of a-z 0-9 _ - can"
            )
        for position, graphic in enumerate(row["graphics"]):
            found.append(
                Graphic(
                    row["figure_id"],
                    row["article_id"],
                    position,
                    graphic["href"],
                    row["license_code"],
                    row["license_group"],
                )
            )
    return found


def _resolve(graphics: Sequence[Graphic], index: pl.DataFrame) -> tuple[list[tuple[Graphic, Found]], list[Reject]]:
    media = {
        row["article_id"]: ArticleMedia(MediaObject(row["article_id"], m["key"], m["md5"]) for m in row["media"])
        for row in index.select("article_id", "media").iter_rows(named=True)
    }
    nothing = ArticleMedia(())
    resolved: list[tuple[Graphic, Found]] = []
    rejects: list[Reject] = []
    for graphic in graphics:
        match media.get(graphic.article_id, nothing).resolve(graphic.href):
            case Found() as found:
                resolved.append((graphic, found))
            case Ambiguous(candidates):
                names = ", ".join(c.name for c in candidates)
                rejects.append(graphic.reject(RejectReason.MEDIA_AMBIGUOUS, f"fits {names} equally well"))
            case _:
                rejects.append(graphic.reject(RejectReason.MEDIA_MISSING, "the source lists no such object"))
    return resolved, rejects


def _known(
    lake: Lake, chunk: str, objects: dict[str, MediaObject], config: dict[str, Any]
) -> Iterator[tuple[str, Located]]:
    """What the previous rows of this partition say of objects that have not changed and still lie in the mirror."""
    manifest = lake.intact(IMAGES, chunk)
    if manifest is None or manifest.code_version != VERSION:
        return
    if any(manifest.config.get(field.name) != config[field.name] for field in dataclasses.fields(ImageLimits)):
        return
    verified = (lake.folder(IMAGES, chunk) / MANIFEST).stat().st_mtime_ns
    for row in lake.read(IMAGES, chunk).select("key", "path", *_MEASURED).unique("key").iter_rows(named=True):
        obj = objects.get(row["key"])
        if obj is None or obj.md5 != row["md5"] or not _untouched(lake.root / row["path"], row["bytes"], verified):
            continue
        yield obj.key, Located(row["path"], Measurement(**{name: row[name] for name in _MEASURED}))


def _untouched(path: Path, size: int, since: int) -> bool:
    """Whether a file is there, of its size, and not written since it was verified."""
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_size == size and status.st_mtime_ns <= since


def _row(graphic: Graphic, found: Found, located: Located) -> dict[str, object]:
    return {
        "media_id": graphic.media_id,
        "figure_id": graphic.figure_id,
        "article_id": graphic.article_id,
        "position": graphic.position,
        "href": graphic.href,
        "key": found.object.key,
        "path": located.path,
        "match": found.match,
        **dataclasses.asdict(located.measurement),
        "license_code": graphic.license_code,
        "license_group": graphic.license_group,
    }


def _pictures(lake: Lake, chunk: str, frame: pl.DataFrame, seed: int) -> tuple[Any, ...]:
    chosen = strip.sample(frame["media_id"], STRIP, seed)
    if not chosen:
        return ()
    paths = dict(frame.select("media_id", "path").iter_rows())
    title = f"{len(chosen)} of {frame.height:,} images of {chunk}"
    return (strip.draw(title, [lake.root / paths[media_id] for media_id in chosen]),)
