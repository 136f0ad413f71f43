"""What the last inventory brought, per chunk and kind: new, changed, relicensed, retracted and withdrawn articles.

The kept copy of the inventory says which article versions came, changed or went. Licence and retraction stand in the
metadata, so they are found by comparing ``article_index`` with an excerpt of the rows it had before that inventory.
The excerpt (``changes/<chunk>.parquet``) is history: it is no part of any partition, and nothing is made from it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import polars as pl

from biomedica_assets.lib import chunks
from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake, input_name
from biomedica_assets.lib.tables import ARTICLE_INDEX, CHUNK_LISTING, PMC_INVENTORY

FOLDER = "changes"
_COMPARED = ("article_id", "etag", "license_code", "license_group", "is_retracted", "xml_md5", "media")


class Kind(enum.StrEnum):
    """What happened to an article version; the first that applies, in this order, except that flags add up."""

    ADDED = "added"
    NEW_VERSION = "new_version"
    REMOVED = "removed"
    ABSENT = "absent"
    RETRACTED = "retracted"
    REINSTATED = "reinstated"
    LICENCE_CHANGED = "licence_changed"
    XML_CHANGED = "xml_changed"
    MEDIA_CHANGED = "media_changed"
    METADATA_CHANGED = "metadata_changed"
    NOT_READ_YET = "not_read_yet"


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One thing that the last inventory brought.

    Attributes:
        chunk: chunk key.
        article_id: article version.
        kind: what happened.
        detail: for people, for example ``CC BY -> CC BY-NC``; empty if the kind says all.
    """

    chunk: str
    article_id: str
    kind: Kind
    detail: str = ""


def keep_before(lake: Lake, chunk: str) -> None:
    """Keep what ``article_index`` said before the listing of its chunk changed; call it before it is made anew.

    Nothing is kept if the listing is still the one it was made of (a rerun), or if there is no earlier partition: a run
    that was killed while it published has kept the excerpt already.
    """
    manifest, listing = lake.intact(ARTICLE_INDEX, chunk), lake.version(CHUNK_LISTING, chunk)
    if manifest is None or manifest.inputs.get(input_name(CHUNK_LISTING.name, chunk)) == listing:
        return
    excerpt = lake.read(ARTICLE_INDEX, chunk).select(_COMPARED)
    with atomic.replacing(_excerpt(lake, chunk)) as temporary:
        excerpt.write_parquet(temporary)


def last_changes(lake: Lake) -> Iterator[Change]:
    """What the newest inventory brought against the one before, by chunk and article.

    Raises:
        StoreError: no inventory has been read.
    """
    inventory = lake.read(PMC_INVENTORY, None)
    touched = inventory.filter(pl.sum_horizontal("added", "changed", "absent", "removed") > 0).sort("chunk")
    if not touched.height:
        return
    path = lake.root / "inventory" / f"{touched['snapshot'][0]}.parquet"
    if not path.exists():
        raise StoreError(f"{path} is missing; `biomedica run --select pmc_inventory` takes the inventory again")
    span = int(str(_manifest_config(lake)["chunk_span"]))
    for chunk in touched["chunk"]:
        numbers = chunks.chunk_range(chunk, span)
        rows = pl.scan_parquet(path).filter(pl.col("pmcid").is_between(numbers.start, numbers.stop - 1)).collect()
        yield from _of_chunk(lake, chunk, rows)


def counts(changes: Iterable[Change]) -> dict[str, dict[Kind, int]]:
    """Chunk -> kind -> number of changes."""
    counted: dict[str, Counter[Kind]] = {}
    for change in changes:
        counted.setdefault(change.chunk, Counter())[change.kind] += 1
    return {chunk: dict(sorted(kinds.items())) for chunk, kinds in sorted(counted.items())}


def _of_chunk(lake: Lake, chunk: str, rows: pl.DataFrame) -> Iterator[Change]:
    before, after = _before(lake, chunk), _after(lake, chunk)
    rows = rows.with_columns(article_id=pl.format("PMC{}.{}", "pmcid", "version"))
    known = rows.filter(pl.col("change").is_null() | (pl.col("change") != "added"))
    oldest = dict(known.group_by("pmcid").agg(pl.col("version").min()).iter_rows())
    moved = rows.filter(pl.col("change").is_not_null()).sort("pmcid", "version")
    for pmcid, version, article, change in moved.select("pmcid", "version", "article_id", "change").iter_rows():
        match change:
            case "added" if oldest.get(pmcid, version) < version:
                yield Change(chunk, article, Kind.NEW_VERSION, f"after version {oldest[pmcid]}")
            case "added" | "removed" | "absent":
                yield Change(chunk, article, Kind(change))
            case _ if after is None or article not in before:
                yield Change(chunk, article, Kind.NOT_READ_YET, "`biomedica refresh` reads what changed")
            case _:
                for kind, detail in _differences(before[article], after.get(article)):
                    yield Change(chunk, article, kind, detail)


def _differences(old: Mapping[str, object], new: Mapping[str, object] | None) -> list[tuple[Kind, str]]:
    if new is None:
        return [(Kind.METADATA_CHANGED, "its metadata cannot be read any more; see the rejects of article_index")]
    found: list[tuple[Kind, str]] = []
    if bool(old["is_retracted"]) != bool(new["is_retracted"]):
        found.append((Kind.RETRACTED if new["is_retracted"] else Kind.REINSTATED, ""))
    if old["license_code"] != new["license_code"]:
        found.append((Kind.LICENCE_CHANGED, f"{old['license_code']} -> {new['license_code']}"))
    if old["xml_md5"] != new["xml_md5"]:
        found.append((Kind.XML_CHANGED, ""))
    if old["media"] != new["media"]:
        found.append((Kind.MEDIA_CHANGED, ""))
    return found or [(Kind.METADATA_CHANGED, "")]


def _before(lake: Lake, chunk: str) -> dict[str, dict[str, object]]:
    path = _excerpt(lake, chunk)
    return _by_article(pl.read_parquet(path)) if path.exists() else {}


def _after(lake: Lake, chunk: str) -> dict[str, dict[str, object]] | None:
    """Rows of ``article_index`` if it was made of the present listing."""
    manifest = lake.manifest(ARTICLE_INDEX, chunk)
    listing = lake.version(CHUNK_LISTING, chunk)
    if manifest is None or manifest.inputs.get(input_name(CHUNK_LISTING.name, chunk)) != listing:
        return None
    return _by_article(lake.read(ARTICLE_INDEX, chunk).select(_COMPARED))


def _by_article(frame: pl.DataFrame) -> dict[str, dict[str, object]]:
    return {str(row["article_id"]): row for row in frame.iter_rows(named=True)}


def _manifest_config(lake: Lake) -> Mapping[str, object]:
    manifest = lake.manifest(PMC_INVENTORY, None)
    if manifest is None:
        raise StoreError("pmc_inventory has not been materialised; `biomedica run --select pmc_inventory` does it")
    return manifest.config


def _excerpt(lake: Lake, chunk: str) -> Path:
    return lake.root / FOLDER / f"{chunk}.parquet"
