"""Single or compound, image by image: from the gutters in the pixels and the panel letters in the caption.

A cluster's panel type is wrong for many of its members (BIOMEDICA's issue #13: multi-panel images labelled single), so
each image is looked at. Belongs here: the two kinds of evidence, the probability made of them, and the stage. There is
no trained network: two counts, three coefficients.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image, UnidentifiedImageError

from biomedica_assets.lib.annotate.form import MULTIPLE, SINGLE
from biomedica_assets.lib.compute import Engine, results
from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.images.canonical import VERSION as CANONICAL
from biomedica_assets.lib.images.canonical import open_canonical
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CAPTIONS, IMAGES, PANELS

VERSION = f"1.{CANONICAL}"
SIDE = 400  # pixels of the longer side that are looked at: gutters of 1 % still have 4
INK = 24  # grey levels off the ground that count as ink; JPEG noise on white stays below 16
MIN_PART = 0.15  # a block must span this share of the picture's width and height to be a panel, not a title or a legend
MIN_GUTTER = 0.012  # share of the side: narrower gaps lie between letters and lines of text
DEPTH = 3
_BATCH = 64

Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """What was found.

    Attributes:
        n_blocks: blocks of panel size that gutters cut the picture into; 1 if there are none.
        gutter: width of the widest of those gutters, share of the side they cross.
        n_letters: panels that the caption names in order; 0 if none.
    """

    n_blocks: int
    gutter: float
    n_letters: int

    @property
    def p_multiple(self) -> float:
        """Probability of several panels (0..1).

        Logistic in log2(blocks) and log2(1 + letters); the coefficients were fitted on the development half of the
        hand-checked figures (``panel_types.csv`` of the tests), with an L2 penalty, and rounded.
        """
        score = -1.2 + 1.9 * math.log2(self.n_blocks) + 1.3 * math.log2(1 + self.n_letters)
        return 1.0 / (1.0 + math.exp(-score))


def blocks_of(gray: npt.NDArray[np.uint8]) -> tuple[int, float]:
    """Count the blocks of panel size that straight gutters cut a picture into, and measure the widest gutter.

    Recursive X-Y cut (Nagy and Seth 1984) on whatever differs from the ground.

    Args:
        gray: picture, height x width, uint8, longer side about SIDE.
    """
    edge = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    best = (1, 0.0)
    # white gutters run between dark photographs too, whose edge is then not the ground
    for ground in {255, int(np.median(edge))}:
        ink = np.abs(gray.astype(np.int16) - ground) > INK
        height, width = ink.shape
        found = _cut(ink, (max(2, round(MIN_PART * height)), max(2, round(MIN_PART * width))), DEPTH)
        best = max(best, found)
    return best


def _cut(ink: Mask, smallest: tuple[int, int], depth: int) -> tuple[int, float]:
    """Blocks of at least ``smallest`` (height, width) and the widest gutter among them, by recursive cuts."""
    ink = _trim(ink)
    if ink.shape[0] < smallest[0] or ink.shape[1] < smallest[1]:
        return 0, 0.0
    if depth == 0:
        return 1, 0.0
    best = (1, 0.0)
    for axis in (0, 1):
        parts, widest = _split(ink, axis)
        if len(parts) < 2:
            continue
        counted = [_cut(part, smallest, depth - 1) for part in parts]
        n = sum(count for count, _ in counted)
        if n > best[0]:
            best = (n, max(widest, *(gutter for _, gutter in counted)))
    return best


def _trim(ink: Mask) -> Mask:
    """Without the empty margin."""
    rows, cols = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return ink[:0, :0]
    return ink[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]


def _split(ink: Mask, axis: int) -> tuple[list[Mask], float]:
    """Cut along all gutters that run across the whole block; rows for axis 0, columns for axis 1."""
    share = ink.mean(axis=1 - axis)
    empty = share <= 0.004  # a stray letter or scale bar does not close a gutter
    length = len(share)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], empty, [False]]).astype(np.int8)))
    cuts: list[tuple[int, int]] = []
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        wide = stop - start >= max(3, MIN_GUTTER * length)
        # between photographs a line of one or two pixels is enough, if both sides are filled up to it
        near = (share[max(0, start - 4) : start], share[stop : stop + 4])
        dense = all(len(side) and side.mean() > 0.7 for side in near)
        if start > 0 and stop < length and (wide or dense):
            cuts.append((start, stop))
    bounds = [0, *(edge for cut in cuts for edge in cut), length]
    pairs = zip(bounds[::2], bounds[1::2], strict=True)
    parts = [ink[a:b] if axis == 0 else ink[:, a:b] for a, b in pairs]
    return parts, max(((stop - start) / length for start, stop in cuts), default=0.0)


_GROUP = re.compile(r"\(\s*([A-Za-z](?:\s*(?:[-–—,;&/]|and|to)\s*[A-Za-z])*)\s*\)")  # noqa: RUF001 - dashes as printed
_BARE = re.compile(r"(?:^|[.;:\n]\s*|\s)([A-Z](?:\s*[-–—,&]\s*[A-Z])*)\s*[:.,)]\s")  # noqa: RUF001
_LOWER = re.compile(r"(?:^|[.;:\n]\s*)([a-h](?:\s*[-–—,&]\s*[a-h])*)\s*[:.,)]?\s+(?=[A-Z])")  # noqa: RUF001
_SIDES = re.compile(r"\b(left|right|top|bottom|upper|lower|middle)\s+(?:panels?|rows?|columns?|images?|plots?)\b", re.I)


def letters_of(caption: str) -> int:
    """How many panels a caption names in order: "(A) ... (B-D) ..." gives 4; 2 for "left panel ... right panel"."""
    best = 0
    for pattern in (_GROUP, _BARE, _LOWER):
        named = {letter.upper() for match in pattern.finditer(caption) for letter in _expand(match[1])}
        run = 0
        while run < 26 and chr(65 + run) in named:
            run += 1
        best = max(best, run if run >= 2 else 0)
    sides = {match[1].lower() for match in _SIDES.finditer(caption)}
    return max(best, 2 if len(sides) >= 2 else 0)


def _expand(text: str) -> list[str]:
    """Letters of "A", "A, B", "A-C" or "A to C"."""
    letters: list[str] = []
    for piece in re.split(r"\s*(?:[,;&/]|and)\s*", text):
        ends = re.split(r"\s*(?:[-–—]|to)\s*", piece)  # noqa: RUF001
        if len(ends) == 2 and all(len(e) == 1 for e in ends) and ends[0].upper() <= ends[1].upper():
            letters += [chr(code) for code in range(ord(ends[0].upper()), ord(ends[1].upper()) + 1)]
        else:
            letters += [end for end in ends if len(end) == 1]
    return letters


def look(path: Path, caption: str | None) -> Evidence:
    """Look at one image file and its caption.

    Raises:
        OSError, ValueError, SyntaxError: the file cannot be decoded.
    """
    picture = open_canonical(path, at_least=SIDE)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    gray = np.asarray(picture.convert("L"), dtype=np.uint8)
    n_blocks, gutter = blocks_of(gray)
    return Evidence(n_blocks, gutter, letters_of(caption or ""))


Item = tuple[str, str, str, str | None]  # media_id, article_id, path, caption


def look_at_batch(batch: tuple[str, tuple[Item, ...]]) -> list[Evidence | str]:
    """Evidence per item, or what was wrong with its file. Module level, so that a worker process can run it."""
    root, items = batch
    found: list[Evidence | str] = []
    for _, _, path, caption in items:
        try:
            found.append(look(Path(root) / path, caption))
        except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            found.append(f"{path} cannot be decoded: {error}")
    return found


def caption_digest(caption: str | None) -> str | None:
    """Digest of a caption, None without one."""
    return None if caption is None else hashlib.sha256(caption.encode()).hexdigest()[:16]


def stage_panels(lake: Lake, chunk: str, engine: Engine, progress: Progress = SILENT) -> Report:
    """Publish ``panels`` of one chunk from ``images`` and ``captions``; unchanged images keep their earlier row."""
    inputs = lake.inputs((IMAGES, chunk), (CAPTIONS, chunk))
    images = lake.read(IMAGES, chunk).select("media_id", "article_id", "figure_id", "path", "sha256")
    captions = lake.read(CAPTIONS, chunk).select("figure_id", "caption")
    wanted = images.join(captions, on="figure_id", how="left").sort("media_id")
    wanted = wanted.with_columns(
        pl.Series("caption_digest", [caption_digest(c) for c in wanted["caption"]], dtype=pl.String)
    )
    earlier = lake.intact(PANELS, chunk)
    old = lake.read(PANELS, chunk) if earlier and earlier.code_version == VERSION else PANELS.empty()
    key = ["media_id", "sha256", "caption_digest"]
    kept = old.join(wanted.select(key), on=key, how="semi", nulls_equal=True)
    todo = wanted.join(kept.select("media_id"), on="media_id", how="anti")
    rows: list[dict[str, object]] = []
    rejects: list[Reject] = []
    facts = {row["media_id"]: row for row in todo.select(key).iter_rows(named=True)}
    for item, found in track(_looked_at(lake.root, todo, engine), progress, "find panels", todo.height, "images"):
        media_id, article_id, _, _ = item
        if isinstance(found, str):
            rejects.append(Reject(article_id, PANELS.name, RejectReason.IMAGE_UNDECODABLE, found, media_id))
            continue
        p = found.p_multiple
        row: dict[str, object] = {**facts[media_id], **dataclasses.asdict(found), "p_multiple": p}
        rows.append(row | {"panel_type": MULTIPLE if p >= 0.5 else SINGLE})
    frame = pl.concat([kept, PANELS.frame(rows)]).sort("media_id")
    manifest = lake.publish(
        PANELS,
        chunk,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config={},
        rejects=rejects,
        n_in=wanted.height,
        n_out=frame.height,
    )
    return Report(
        asset=PANELS.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=wanted.height,
        n_out=frame.height,
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        metrics={"multiple": frame.filter(pl.col("panel_type") == MULTIPLE).height, "reused": kept.height},
        preview=tuple(frame.select("media_id", "n_blocks", "n_letters", "p_multiple").head(10).iter_rows(named=True)),
    )


def _looked_at(root: Path, todo: pl.DataFrame, engine: Engine) -> Iterator[tuple[Item, Evidence | str]]:
    items: list[Item] = todo.select("media_id", "article_id", "path", "caption").rows()
    batches = [(str(root), tuple(items[i : i + _BATCH])) for i in range(0, len(items), _BATCH)]
    for (_, batch), result in zip(batches, results(engine, look_at_batch, batches), strict=True):
        yield from zip(batch, result, strict=True)
