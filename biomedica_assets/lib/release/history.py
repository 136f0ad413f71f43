"""What a release changes against the one before it, and what is withdrawn: for those who hold an older copy.

Belongs here: which release is the one before, the rows of ``changes`` and ``withdrawn``, and ``CHANGES.md``. The rules:

* The release before is the one that the data directory published last. What is there already is not built once more.
* An article *changed* if its version, its XML or the bytes of any of its pictures did; it was *relicensed* if its
  licence is another. It can be both. What is gone was *withdrawn* if a source says so, else *left out* (other rules, a
  licence that is not taken, a picture that cannot be had).
* A withdrawn article stays on the list of all later releases, with what the last release that held it had of it, as
  long as a source says that it is withdrawn.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl

from biomedica_assets.lib.errors import PermanentFailure, RejectReason, StoreError
from biomedica_assets.lib.release import copies, papers
from biomedica_assets.lib.release import manifest as manifests
from biomedica_assets.lib.release.manifest import ReleaseFile, ReleaseManifest, entry
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    ARTICLE_INDEX,
    ARTICLES,
    CHANGES,
    CHUNK_LISTING,
    RELEASE,
    SHARDS,
    TOMBSTONES,
    WITHDRAWN,
)

LIST, TEXT = "withdrawn.parquet", "CHANGES.md"
PLANTED = "release_before"
"""Folder of a data directory into which a rebuild puts what the release said of the one before it."""
KINDS = ("added", "changed", "relicensed", "withdrawn", "left_out")
GONE = frozenset({RejectReason.RETRACTED.value, RejectReason.WITHDRAWN.value, RejectReason.REMOVED.value})
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_SAID = "A copy of an earlier release is brought up to date by deleting the samples that `withdrawn.parquet` names."


@dataclasses.dataclass(frozen=True, slots=True)
class Before:
    """The release before: version, key, and its folder, or a folder with what a rebuild was given in its place."""

    version: str
    key: str
    folder: Path
    planted: bool = False

    def recorded(self) -> dict[str, str]:
        """As the manifest of a release names it."""
        return {"version": self.version, "key": self.key}


def find(lake: Lake, home: Path) -> Before | None:
    """The release before one that is to be built; None if there is none.

    Args:
        lake: the data directory.
        home: folder of releases.
    """
    if lake.manifest(RELEASE, None) is None:
        return _planted(lake.root / PLANTED)
    last = home / str(lake.read(RELEASE, None)["version"][0])
    if not (last / manifests.NAME).is_file():
        return None
    found = _manifest(last)
    return Before(found.version, found.key, last)


def before(release: ReleaseManifest, home: Path) -> Before | None:
    """The release that was the one before when a release was made, which is to be made again.

    Args:
        release: its manifest.
        home: folder of releases.

    Raises:
        PermanentFailure: it is gone, so that nothing says any more what changed.
    """
    if not release.before:
        return None
    folder = home / release.before["version"]
    if not (folder / manifests.NAME).is_file() or manifests.load(folder).key != release.before["key"]:
        raise PermanentFailure(
            f"release {release.version} is damaged and cannot be made again: {folder}, the release before it, is gone. "
            f"Bring that back, or move {home / release.version} away and make a new one"
        )
    return Before(release.before["version"], release.before["key"], folder)


def same(home: Path, made_of: str, name: Callable[[str], str]) -> ReleaseManifest | None:
    """A release that was made of the same before, under the name that it would be given.

    Args:
        home: folder of releases.
        made_of: digest of what goes in.
        name: version by key.

    Raises:
        PermanentFailure: a manifest is damaged, so that nobody knows whether it is that release.
    """
    for path in sorted(home.glob(f"*/{manifests.NAME}")):
        found = _manifest(path.parent)
        if found.made_of == made_of and path.parent.name == name(found.key):
            return found
    return None


def _manifest(folder: Path) -> ReleaseManifest:
    """The manifest of a release in the folder of releases: nothing of a data directory makes it again."""
    try:
        return manifests.load(folder)
    except StoreError as error:
        raise PermanentFailure(
            f"{folder / manifests.NAME} is damaged ({error.__cause__ or error}): bring it back from a copy of the "
            f"release, or move {folder} away; the release is then made again"
        ) from error


def _planted(folder: Path) -> Before | None:
    if not (folder / "before.json").is_file():
        return None
    return Before(**json.loads((folder / "before.json").read_bytes()), folder=folder, planted=True)


def plant(release: Path, lake: Lake) -> None:
    """Give a rebuild what the release said of the one before it, which is not at hand."""
    told = manifests.load(release).before
    if not told:
        return
    folder = lake.root / PLANTED
    copies.scan(release, CHANGES).collect().write_parquet(_made(folder / "changes.parquet"))
    atomic.write_bytes(folder / LIST, (release / LIST).read_bytes())
    atomic.write_bytes(folder / "before.json", (json.dumps(dict(told)) + "\n").encode())


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write(release: Path, lake: Lake, before: Before | None, snapshot: str, gone: pl.DataFrame) -> list[ReleaseFile]:
    """Write ``changes``, ``withdrawn.parquet`` and ``CHANGES.md``.

    Args:
        release: folder whose tables are written.
        lake: what it is made from.
        before: from ``find``.
        snapshot: inventory it is made from.
        gone: from ``withdrawals``.
    """
    if before is not None and before.planted:
        changes = CHANGES.validate(pl.read_parquet(before.folder / "changes.parquet"))
        withdrawn = WITHDRAWN.validate(pl.read_parquet(before.folder / LIST))
    else:
        changes = _changes(release, before.folder, gone) if before else CHANGES.empty()
        withdrawn = _withdrawn(gone, before, snapshot)
    files: list[ReleaseFile] = []
    if changes.height:
        files += copies.write_splits(release, release / copies.FOLDER / CHANGES.name, [(copies.SPLIT, changes)])
    path = release / LIST
    with atomic.replacing(path) as temporary:
        withdrawn.write_parquet(temporary, compression="zstd", statistics=True)
    files.append(entry(release, path, "withdrawn", withdrawn.height))
    files.append(papers.text_file(release, TEXT, list(_text(changes, withdrawn, before, snapshot)), "document"))
    return files


def withdrawals(lake: Lake, left_out: Iterable[tuple[str, str]] = ()) -> pl.DataFrame:
    """Article versions that are retracted, removed or withdrawn: ``article_id``, ``reason``, ``sources``.

    What the user's list says beside the identity of an article is private and not read.

    Args:
        lake: the data directory.
        left_out: article and reason of what the release itself left out.
    """
    rows: list[tuple[str, str, list[str]]] = []
    for chunk in lake.partitions(ARTICLE_INDEX):
        index = lake.read_lazy(ARTICLE_INDEX, chunk).filter(pl.col("left_out_because").is_in(sorted(GONE)))
        rows += [(a, r, ["pmc"]) for a, r in index.select("article_id", "left_out_because").collect().iter_rows()]
    rows += lake.scan(TOMBSTONES).select("article_id", "reason", "sources").collect().rows()
    for chunk in lake.partitions(CHUNK_LISTING):
        rejects = lake.read_rejects(CHUNK_LISTING, chunk).filter(pl.col("reason").is_in(sorted(GONE)))
        rows += [(a, r, ["inventory"]) for a, r in rejects.select("article_id", "reason").iter_rows()]
    # A release calls whatever it leaves out of a withdrawn article retracted: the sources know better.
    known = {article for article, _, _ in rows}
    rows += [(article, reason, []) for article, reason in left_out if reason in GONE and article not in known]
    schema = {"article_id": pl.String(), "reason": pl.String(), "sources": pl.List(pl.String())}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    joined = frame.group_by("article_id", "reason").agg(
        pl.col("sources").list.explode(keep_nulls=False, empty_as_null=False).unique().sort()
    )
    return joined.sort("article_id", "reason")


def _state(release: Path) -> pl.DataFrame:
    """One row per article: what is compared. ``content`` is comparable within this process only."""
    samples = (
        copies.scan(release, SHARDS)
        .group_by("article_id")
        .agg(
            pl.len().cast(pl.Int64).alias("samples"),
            pl.concat_str("sample_key", "sha256").hash().sum().alias("pictures"),
        )
    )
    articles = copies.scan(release, ARTICLES).select("article_id", "license_code", "xml_md5")
    joined = articles.join(samples, on="article_id", how="left").with_columns(
        pl.col("samples").fill_null(0), pl.col("pictures").fill_null(0), _number(pl.col("article_id"))
    )
    return joined.collect()


def _number(article_id: pl.Expr) -> pl.Expr:
    return article_id.str.extract(r"^PMC(\d+)").cast(pl.Int64).alias("pmcid")


def _changes(release: Path, before: Path, gone: pl.DataFrame) -> pl.DataFrame:
    joined = _state(before).join(_state(release), on="pmcid", how="full", coalesce=True, suffix="_now")
    here, there = pl.col("article_id_now").is_not_null(), pl.col("article_id").is_not_null()
    both = here & there
    withdrawn = pl.col("pmcid").is_in(gone.select(_number(pl.col("article_id")))["pmcid"].implode())
    other = pl.any_horizontal(
        *(pl.col(name).ne_missing(pl.col(f"{name}_now")) for name in ("article_id", "xml_md5", "pictures"))
    )
    kinds = {
        "added": here & ~there,
        "changed": both & other,
        "relicensed": both & pl.col("license_code").ne_missing(pl.col("license_code_now")),
        "withdrawn": there & ~here & withdrawn,
        "left_out": there & ~here & ~withdrawn,
    }
    parts = [joined.filter(rule).with_columns(change=pl.lit(kind)) for kind, rule in kinds.items()]
    renamed = {
        "article_id": "article_id_before", "article_id_now": "article_id", "license_code": "license_code_before",
        "license_code_now": "license_code", "samples": "samples_before", "samples_now": "samples",
    }  # fmt: skip
    frame = pl.concat(parts).rename(renamed).with_columns(pl.col("samples", "samples_before").fill_null(0))
    return CHANGES.validate(frame.select(CHANGES.schema.names()).sort("pmcid", "change"))


def _withdrawn(gone: pl.DataFrame, before: Before | None, snapshot: str) -> pl.DataFrame:
    day = _DAY.match(snapshot)
    date = dt.date.fromisoformat(day[0]) if day else None
    rows = gone.with_columns(_number(pl.col("article_id")))
    held = pl.DataFrame(
        schema={"article_id": pl.String(), "samples": pl.List(pl.String()), "shards": pl.List(pl.String())}
    )
    known = WITHDRAWN.empty()
    if before is not None:
        samples = copies.scan(before.folder, SHARDS).filter(pl.col("article_id").is_in(rows["article_id"].implode()))
        held = (
            samples.group_by("article_id")
            .agg(pl.col("sample_key").sort().alias("samples"), pl.col("shard").unique().sort().alias("shards"))
            .collect()
        )
        if (before.folder / LIST).is_file():
            known = WITHDRAWN.validate(pl.read_parquet(before.folder / LIST))
    version = before.version if before else None
    now = rows.join(held, on="article_id", how="left").with_columns(
        since=pl.lit(snapshot), date=pl.lit(date, pl.Date()),
        last_in=pl.when(pl.col("samples").is_not_null()).then(pl.lit(version, pl.String())),
        **{name: pl.col(name).fill_null([]) for name in ("samples", "shards")},
    )  # fmt: skip
    earlier = known.select("article_id", "reason", *(pl.col(n).alias(f"was_{n}") for n in _KEPT))
    joined = now.join(earlier, on=["article_id", "reason"], how="left")
    # What an earlier release said stands; that it was said today, too, is nothing new.
    was = pl.col("was_since").is_not_null()
    frame = joined.with_columns(pl.when(was).then(f"was_{name}").otherwise(name).alias(name) for name in _KEPT)
    return WITHDRAWN.validate(frame.select(WITHDRAWN.schema.names()).sort("article_id", "reason"))


_KEPT = ("since", "date", "last_in", "samples", "shards")


def _text(changes: pl.DataFrame, withdrawn: pl.DataFrame, before: Before | None, snapshot: str) -> Iterable[str]:
    yield from ("# Changes", "")
    if before is None:
        yield from (f"The first release of its series, from the inventory `{snapshot}`.", "")
    else:
        yield from (f"Against release `{before.version}`, from the inventory `{snapshot}`.", "")
        yield from ("| articles | number | samples before | samples now |", "|---|---|---|---|")
        for kind in KINDS:
            part = changes.filter(change=kind)
            was, now = (int(part[name].sum()) for name in ("samples_before", "samples"))
            yield f"| {kind.replace('_', ' ')} | {part.height:,} | {was:,} | {now:,} |"
        yield from ("", "Every one of them is a row of the table `changes`.", "")
    listed = withdrawn.group_by("reason").len().sort("reason").rows()
    said = ", ".join(f"{n:,} {reason}" for reason, n in listed) or "none"
    yield from (f"Withdrawn up to now: {said}. {_SAID}",)
