"""``pairs/``: image, caption, labels and licence of each sample in one row of Parquet, for who wants rows and not tars.

Belongs here: what a row of the pairs is, and how it is written. The shards hold the same samples for training; this is
what ``load_dataset(RELEASE)``, the viewer of the Hub, DuckDB and polars read. The rules:

* One folder for each licence group, so that a commercial user takes ``pairs/commercial`` and nothing else; in it files
  named by split, one series for each shelf, rows in the order of the shards.
* Splits are those of the recipe ``full`` where it is in the release; ``rest`` are samples that it leaves out (copies of
  others, pictures of test sets). Without it every sample is in ``train``.
* Images are embedded as they were deposited. Row groups of ``ROW_GROUP`` rows: the viewer reads one at a time.
* Types are stated in the schema, also for Hugging Face (key ``huggingface``): image, closed vocabularies, dates.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]  # it ships no types
import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]  # it ships no types

from biomedica_assets.lib import licenses
from biomedica_assets.lib.chunks import shelf_of_chunk
from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.release.manifest import ReleaseFile, entry
from biomedica_assets.lib.tables import FIGURE_LABELS

FOLDER = "pairs"
RECIPE = "full"
SPLITS = ("train", "validation", "test", "rest")
ROW_GROUP = 100
KIND = "pairs"
GROUPS = tuple(sorted(licenses.DEFAULT_GROUPS))
PANELS = ("single", "multiple")

_arrow: Any = pa
_parquet: Any = pq
_TYPES: dict[str, tuple[Any, dict[str, Any]]] = {
    "string": (_arrow.string(), {"dtype": "string", "_type": "Value"}),
    "integer": (_arrow.int64(), {"dtype": "int64", "_type": "Value"}),
    "boolean": (_arrow.bool_(), {"dtype": "bool", "_type": "Value"}),
    "confidence": (_arrow.float32(), {"dtype": "float32", "_type": "Value"}),
    "date": (_arrow.date32(), {"dtype": "date32", "_type": "Value"}),
    "strings": (
        _arrow.list_(_arrow.string()),
        {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
    ),
    "image": (_arrow.struct([("bytes", _arrow.binary()), ("path", _arrow.string())]), {"_type": "Image"}),
    "group": (_arrow.int64(), {"names": list(GROUPS), "_type": "ClassLabel"}),
    "panel": (_arrow.int64(), {"names": list(PANELS), "_type": "ClassLabel"}),
}
_RECORD: tuple[tuple[str, str, str], ...] = (
    ("sample_key", "string", "key of the sample, the name of its members in the shards"),
    ("media_id", "string", "image, as in the table images"),
    ("figure_id", "string", "figure, as in the table figures"),
    ("article_id", "string", "article version, as in the table articles"),
    ("pmcid", "integer", "PMC id as a number"),
    ("pmid", "integer", "PubMed id"),
    ("doi", "string", "DOI of the article"),
    ("title", "string", "title of the article"),
    ("journal", "string", "title of the journal"),
    ("year", "integer", "year of publication"),
    ("license_code", "string", "licence in force for the figure"),
    ("license_group", "string", "commercial or noncommercial; also the name of the folder"),
    ("license_url", "string", "licence URL as the article or the figure states it"),
    ("attribution", "string", "credit line of the figure"),
    ("kind", "string", "figure, scheme, chart, map, plate, ..."),
    ("label", "string", "label of the figure, for example Figure 2"),
    ("section", "string", "section the figure stands in"),
    ("language", "string", "language in force, as xml:lang has it"),
    ("width", "integer", "pixels of the upright picture"),
    ("height", "integer", "pixels of the upright picture"),
    ("image_format", "string", "jpeg, png, gif, tiff, webp or bmp, by content"),
    ("sha256", "string", "SHA-256 of the image file"),
    ("pixel_hash", "string", "BLAKE3 of the pixels of the canonical picture"),
    ("source_key", "string", "key of the image in the PMC bucket"),
)
"""What the record of a sample in the shards says, too."""
_LABELS: tuple[tuple[str, str, str], ...] = tuple(
    column
    for name, kind, what in (
        ("panel_type", "string", "single or multiple panels"),
        ("panel_subtype", "string", "narrower panel concept"),
        ("global", "strings", "top kind concepts"),
        ("local", "strings", "narrower kind concepts"),
        ("content", "strings", "content concepts"),
    )
    for column in (
        (name, kind, f"{what}, as in the table figure_labels"),
        (f"{name}_provenance", "string", f"where {name} comes from: human, model, propagated, text"),
        (f"{name}_confidence", "confidence", f"how far {name} can be trusted, 0 to 1"),
    )
)
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("image", "image", "the image file as it was deposited"),
    ("caption", "string", "caption of the figure in its reading form"),
    ("mentions", "strings", "paragraphs that cite the figure"),
    *_RECORD,
    ("published", "date", "day of publication, where it is known to the day"),
    ("license_class", "group", f"license_group as a class: {', '.join(GROUPS)}"),
    ("panel_class", "panel", f"panel_type as a class: {', '.join(PANELS)}"),
    *_LABELS,
    ("labels_simulated", "boolean", "true if any label rests on a simulated vote"),
    ("invented", "boolean", "true if the article comes from a generator"),
)
"""Name, kind and meaning of each column. ``label`` is the figure's (Figure 2); those of people and rules come later."""


def schema() -> Any:
    """The Arrow schema of the files, with the features of Hugging Face in its metadata."""
    features = {name: _TYPES[kind][1] for name, kind, _ in COLUMNS}
    fields = [_arrow.field(name, _TYPES[kind][0]) for name, kind, _ in COLUMNS]
    return _arrow.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def write(
    release: Path,
    chunks: Iterable[tuple[str, pl.DataFrame]],
    rows_of: Callable[[Any, str], pl.DataFrame],
    splits: pl.DataFrame | None,
    *,
    invented: bool,
) -> list[ReleaseFile]:
    """Write the pairs of a release; a chunk is held in memory but for its pictures, of those a row group.

    Args:
        release: folder whose shards are in place.
        chunks: key and rows of the ``shards`` table of each chunk, as they are in the release, keys rising.
        rows_of: rows of a table for a chunk that may be passed on.
        splits: ``sample_key`` and ``split`` of the recipe that decides; None: all in train.
        invented: whether articles are of a generator, said in each row.

    Raises:
        StoreError: a shard is shorter than its index says.
    """
    known = dict(splits.select("sample_key", "split").iter_rows()) if splits is not None else None
    drafts: dict[tuple[str, str], list[tuple[Path, int]]] = {}
    for shelf, part in _by_shelf(chunks):
        for group in sorted({str(g) for _, rows in part for g in rows["license_group"].unique()}):
            with _Writers(release / FOLDER / group, shelf) as writers:
                for chunk, rows in part:
                    here = rows.filter(pl.col("license_group") == group).sort("shard", "start")
                    if here.height:
                        for row in _pairs(release, here, rows_of, chunk, invented):
                            split = "train" if known is None else known.get(str(row["sample_key"]), "rest")
                            writers.add(split, row)
            for split, draft in writers.done.items():
                drafts.setdefault((group, split), []).append(draft)
    found: list[ReleaseFile] = []
    for (group, split), files in sorted(drafts.items()):
        for number, (draft, n) in enumerate(files):
            name = f"{split}-{number:05d}-of-{len(files):05d}.parquet"
            found.append(entry(release, draft.rename(release / FOLDER / group / name), KIND, n))
    return found


def _by_shelf(
    chunks: Iterable[tuple[str, pl.DataFrame]],
) -> Iterator[tuple[str, list[tuple[str, pl.DataFrame]]]]:
    shelf, part = "", list[tuple[str, pl.DataFrame]]()
    for key, rows in chunks:
        if part and shelf_of_chunk(key) != shelf:
            yield shelf, part
            part = []
        shelf = shelf_of_chunk(key)
        part.append((key, rows))
    if part:
        yield shelf, part


def _pairs(
    release: Path, rows: pl.DataFrame, rows_of: Callable[[Any, str], pl.DataFrame], chunk: str, invented: bool
) -> Iterator[dict[str, Any]]:
    labels = {str(row["media_id"]): row for row in rows_of(FIGURE_LABELS, chunk).iter_rows(named=True)}
    for (shard,), part in rows.group_by("shard", maintain_order=True):
        with (release / str(shard)).open("rb") as tar:
            for row in part.iter_rows(named=True):
                image = _read(tar, row["image_start"], row["image_bytes"], str(shard))
                caption = _read(tar, row["txt_start"], row["txt_bytes"], str(shard))
                record = json.loads(_read(tar, row["json_start"], row["json_bytes"], str(shard)))
                label = labels.get(row["media_id"], {})
                yield _row(row, image, caption.decode(), record, label, invented)


def _row(
    row: Mapping[str, Any], image: bytes, caption: str, record: Mapping[str, Any], label: Mapping[str, Any],
    invented: bool,
) -> dict[str, Any]:  # fmt: skip
    group, panel = record["license_group"], label.get("panel_type")
    date = str(record["date"] or "")
    return {
        "image": {"bytes": image, "path": f"{row['sample_key']}.{row['image_ext']}"},
        "caption": caption,
        "mentions": [mention["text"] for mention in record["mentions"]],
        **{name: record.get(name) for name, _, _ in _RECORD},
        "published": _day(date),
        "license_class": GROUPS.index(group) if group in GROUPS else None,
        "panel_class": PANELS.index(panel) if panel in PANELS else None,
        **{name: label.get(name) for name, _, _ in _LABELS},
        "labels_simulated": bool(label.get("simulated")),
        "invented": invented,
    }


def _day(date: str) -> dt.date | None:
    """The day of publication; null where only the month or the year is known."""
    import datetime as dt

    try:
        return dt.date.fromisoformat(date) if len(date) == len("2021-03-09") else None
    except ValueError:
        return None


def _read(tar: Any, start: int, size: int, shard: str) -> bytes:
    tar.seek(start)
    data: bytes = tar.read(size)
    if len(data) != size:
        raise StoreError(f"{shard} is shorter than its index says; materialise shards again")
    return data


class _Writers:
    """One open file for each split of a group, in a shelf."""

    def __init__(self, folder: Path, shelf: str) -> None:
        self.done: dict[str, tuple[Path, int]] = {}
        self._folder, self._shelf = folder, shelf
        self._open: dict[str, Any] = {}
        self._waiting: dict[str, list[dict[str, Any]]] = {}

    def __enter__(self) -> _Writers:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def add(self, split: str, row: dict[str, Any]) -> None:
        waiting = self._waiting.setdefault(split, [])
        waiting.append(row)
        if len(waiting) == ROW_GROUP:
            self._flush(split)

    def _flush(self, split: str) -> None:
        rows = self._waiting.pop(split, [])
        if not rows:
            return
        path = self._folder / f"draft-{split}-{self._shelf}"
        if split not in self._open:
            # Pictures are compressed already; captions beside them are worth a little time.
            self._open[split] = _parquet.ParquetWriter(
                path, schema(), compression={"image.bytes": "none", "caption": "zstd", "mentions.list.element": "zstd"},
                use_dictionary=False, write_page_index=True,
            )  # fmt: skip
            self.done[split] = (path, 0)
        self._open[split].write_table(_arrow.Table.from_pylist(rows, schema=schema()), row_group_size=ROW_GROUP)
        self.done[split] = (path, self.done[split][1] + len(rows))

    def __exit__(self, *_: object) -> None:
        for split in list(self._waiting):
            self._flush(split)
        for writer in self._open.values():
            writer.close()
