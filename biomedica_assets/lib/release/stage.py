"""Build a release: decide, copy, count, describe, sign, publish. The folder appears complete or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
import re
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import polars as pl

from biomedica_assets.lib.errors import PermanentFailure, Reject
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.release import (
    card,
    cohort,
    copies,
    croissant,
    embeddings,
    history,
    indexes,
    label_statistics,
    origins,
    pairs,
    papers,
    plots,
    tars,
    texts,
    verify,
    votes,
)
from biomedica_assets.lib.release import manifest as manifests
from biomedica_assets.lib.release.contents import OPTIONAL, whole_chunks
from biomedica_assets.lib.release.manifest import ReleaseFile, ReleaseManifest
from biomedica_assets.lib.release.rights import Allowed, Rules, allowed
from biomedica_assets.lib.release.statistics import CountTokens, all_statistics
from biomedica_assets.lib.report import Picture, Report
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.manifest import FileEntry, digest
from biomedica_assets.lib.tables import (
    ANNOTATIONS,
    ARTICLE_INDEX,
    ARTICLES,
    CAPTIONS,
    CHUNK_LISTING,
    CLUSTER_MODEL,
    DUPLICATES,
    EMBEDDING_SHELF,
    EVALUATION_MATCHES,
    EXPERT_VOTES,
    FIGURES,
    IMAGES,
    LABEL_AUDIT,
    LABEL_CALIBRATION,
    LABEL_CORRECTIONS,
    LABEL_TRUST,
    LEADERBOARD,
    MENTIONS,
    PMC_INVENTORY,
    RECIPE,
    RELEASE,
    RELEASE_SHELF,
    RULE_SCORES,
    SHARDS,
    SOURCE_LEADERBOARD,
    TAXONOMY,
    TOMBSTONES,
    Table,
)

VERSION = "release-9"
FOLDER = "release"
WHOLE: tuple[Table, ...] = (
    *(DUPLICATES, TAXONOMY, ANNOTATIONS, LABEL_AUDIT, LABEL_CALIBRATION, LABEL_CORRECTIONS, LABEL_TRUST),
    *(SOURCE_LEADERBOARD, RULE_SCORES, CLUSTER_MODEL, LEADERBOARD),
)
"""Unpartitioned tables that a release copies where they exist; ``origins.py`` adds those that a rebuild begins with."""
READS: tuple[Table, ...] = (
    *(RELEASE_SHELF, PMC_INVENTORY, RECIPE, EVALUATION_MATCHES, EXPERT_VOTES, EMBEDDING_SHELF),
    *WHOLE,
)
"""What the asset depends on: the manifest names every partition of these that exists."""
_BY_CHUNK = (
    *(ARTICLE_INDEX, ARTICLES, FIGURES, CAPTIONS, MENTIONS, IMAGES),
    *(table for table in OPTIONAL if table is not TOMBSTONES),  # of articles that a release does not have
)
_DECIDING_PACKAGES = (
    "biomedica-assets", "polars", "pyarrow", "duckdb", "numpy", "lxml", "pillow", "simplejpeg", "ImageHash", "torch",
    "open_clip_torch", "timm", "scikit-learn", "matplotlib",
)  # fmt: skip
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclasses.dataclass(frozen=True, slots=True)
class ReleaseConfig:
    """The choices of a release.

    Attributes:
        name: of the dataset.
        version: of the release; empty: the inventory's name and the first digits of the key.
        rules: which licences it takes.
        settings: all settings that shape content, recorded so that it can be rebuilt.
        pmcids: articles that the settings name by number, by their digest; empty if they do not.
        withdrawn: articles that the user's list withdraws.
        pairs: whether samples are also written as Parquet with embedded images.
        invented: whether the articles come from a generator; every document and row says so.
        pictures: whether the release holds pictures; without, it holds keys, digests and text, and no pairs.
    """

    name: str = "biomedica-assets"
    version: str = ""
    rules: Rules = dataclasses.field(default_factory=Rules)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    pmcids: frozenset[str] = frozenset()
    withdrawn: frozenset[str] = frozenset()
    pairs: bool = True
    invented: bool = False
    pictures: bool = True

    def recorded(self) -> dict[str, Any]:
        """As the partition's manifest records them."""
        return {
            "name": self.name,
            "version": self.version,
            "pairs": self.pairs,
            **({} if self.pictures else {"pictures": False}),
            "invented": self.invented,
            **self.rules.recorded(),
            "settings": dict(self.settings),
        }


def build_release(
    lake: Lake,
    *,
    config: ReleaseConfig,
    write_index: indexes.WriteIndex,
    count_tokens: CountTokens | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Write ``release/<version>/`` and publish its list of files.

    What went in decides the version; a folder of that version with the same key is left as it is, unless a file of it
    is damaged: then it is made again, to the same bytes.

    Args:
        lake: the data directory.
        config: name, version, rules and settings.
        write_index: writes the index of a recipe, by which it is streamed.
        count_tokens: tokenizer for the statistics of captions.
        progress: counts chunks.

    Raises:
        PermanentFailure: the version is taken by another content, or there is no chunk to release.
        StoreError: an input is missing or the disk cannot be written.
    """
    began = time.monotonic()
    inputs = lake.inputs(*_inputs(lake))
    packages = _packages()
    # Not the version: a rebuild that is given the name of the original has its key, too.
    chosen = json.dumps({**config.recorded(), "version": ""}, sort_keys=True)
    released = votes.released(lake)
    given = {EXPERT_VOTES: released[0]}
    if ANNOTATIONS.name in inputs:
        given[ANNOTATIONS] = votes.renamed(lake.read(ANNOTATIONS, None), released[1])
    if LEADERBOARD.name in inputs:
        given[LEADERBOARD] = lake.read(LEADERBOARD, None)
    read = inputs | {t.name: origins.version_of(rows) for t, rows in given.items() if t.name in inputs}
    made_of = digest(VERSION, chosen, *(f"{name}={value}" for name, value in sorted({**read, **packages}.items())))
    snapshot = _snapshot(lake)

    def name_of(key: str) -> str:
        return config.version or f"{_NOT_IN_A_NAME.sub('-', snapshot)[:40]}-{key[:10]}"

    decisions = {chunk: allowed(lake, chunk, config.rules) for chunk in _chunks(lake)}
    before = history.find(lake, lake.root / FOLDER)
    found = history.same(lake.root / FOLDER, made_of, name_of)
    damaged = found is not None and _is_damaged(lake.root / FOLDER / found.version, progress)
    if found is not None and damaged:
        before = history.before(found, lake.root / FOLDER)  # not the damaged one, which was published last
    if found is None or damaged:
        key = found.key if found else digest(made_of, before.key if before else "")
        home = lake.root / FOLDER / name_of(key)
        if home.exists() and not damaged:
            raise PermanentFailure(
                f"release {home.name} exists and holds other content; releases are never changed. Give another "
                "release_version, or none, so that the content names it"
            )
        with _building(home) as folder:
            manifest = _fill(
                lake, folder, home, decisions, config, (home.name, key, made_of), read, released, packages, snapshot,
                before, write_index, count_tokens, progress,
            )  # fmt: skip
            atomic.write_bytes(folder / manifests.NAME, manifest.to_json())
    else:
        manifest = found
    home, skipped = lake.root / FOLDER / manifest.version, found is not None and not damaged
    return _publish(lake, home, manifest, decisions, config, inputs, skipped, time.monotonic() - began)


def _inputs(lake: Lake) -> list[tuple[Table, str | None]]:
    wanted: list[tuple[Table, str | None]] = []
    for table in READS:
        if table.partitioning == "none":
            wanted += [(table, None)] if lake.manifest(table, None) else []
        else:
            wanted += [(table, key) for key in lake.partitions(table)]
    return wanted


def _chunks(lake: Lake) -> list[str]:
    chunks = whole_chunks(lake)
    if not chunks:
        raise PermanentFailure("no chunk has been made up to its shards; run `biomedica run` first")
    return chunks


def _snapshot(lake: Lake) -> str:
    manifest = lake.manifest(PMC_INVENTORY, None)
    return str(manifest.config.get("snapshot", "unknown")) if manifest else "unknown"


def _packages() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _DECIDING_PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


@contextlib.contextmanager
def _building(home: Path) -> Generator[Path]:
    """A folder beside the release, which takes its name when all is well; what killed builds left is removed.

    Of a release that is there, and damaged, the files are replaced one by one, the manifest last: a kill in between
    leaves a release that is still found by its manifest, and still damaged.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    for leftover in home.parent.glob(f"{atomic.TEMPORARY_PREFIX}{home.name}-*"):
        shutil.rmtree(leftover)
    folder = home.parent / f"{atomic.TEMPORARY_PREFIX}{home.name}-{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        yield folder
        if home.exists():
            _replace_files(folder, home)
        else:
            folder.rename(home)
        atomic.sync(home.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_damaged(home: Path, progress: Progress) -> bool:
    """Whether a file of a release is not what was written; files that somebody put beside them are no damage."""
    return any(one.kind is not verify.Kind.SURPLUS for one in verify.verify(home, progress))


def _replace_files(folder: Path, home: Path) -> None:
    made = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    for path in sorted(made, key=lambda path: (path.name == manifests.NAME, path)):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).replace(home / path)


def _fill(
    lake: Lake, folder: Path, home: Path, decisions: Mapping[str, Allowed], config: ReleaseConfig,
    called: tuple[str, str, str], inputs: Mapping[str, str], released: tuple[pl.DataFrame, dict[str, str]],
    packages: Mapping[str, str], snapshot: str, before: history.Before | None, write_index: indexes.WriteIndex,
    count_tokens: CountTokens | None, progress: Progress,
) -> ReleaseManifest:  # fmt: skip
    version, key, made_of = called
    files, shards = _shards(lake, folder, home, decisions, progress)
    for table in _BY_CHUNK:
        files += copies.write_table(folder, table, _rows(lake, table, decisions))
    files += origins.write(folder, lake, released[0], config.pmcids, config.withdrawn)
    media = pl.concat([decision.media for decision in decisions.values()])
    for table in WHOLE:
        if lake.manifest(table, None):
            rows = lake.read(table, None)
            rows = votes.renamed(rows, released[1]) if table is ANNOTATIONS else rows
            kept = rows.filter(pl.col("media_id").is_in(media.implode())) if "media_id" in rows.columns else rows
            files += copies.write_splits(folder, folder / copies.FOLDER / table.name, [(copies.SPLIT, kept)])
    files += [] if config.pictures else texts.write(folder, shards)
    for name in lake.partitions(RECIPE):
        made = lake.manifest(RECIPE, name)
        if made is None or made.config.get("unit") == "panel":
            continue  # a panel is a changed picture: a release holds pictures as the source has them
        rows = tars.follow(lake.read(RECIPE, name), copies.scan(folder, SHARDS))
        parts = ((str(split), part) for (split,), part in rows.group_by("split", maintain_order=True))
        files += copies.write_splits(folder, folder / copies.FOLDER / RECIPE.name / name, parts)
        if rows.height:
            seed = _seed(lake, name)
            files.append(
                indexes.write(folder, name, rows, copies.scan(folder, SHARDS), seed, write_index)
                if config.pictures
                else texts.write_index(folder, name, rows, seed, write_index)
            )
    if not config.pictures:
        shutil.rmtree(folder / SHARDS.name, ignore_errors=True)
        files = [file for file in files if file.kind != "shard"]
    elif config.pairs:
        splits = _splits(folder)
        files += pairs.write(
            folder, shards, lambda table, chunk: _kept(lake, table, chunk, decisions[chunk]), splits,
            invented=config.invented,
        )  # fmt: skip
    vectors, told = embeddings.write(folder, lake, media)
    files += vectors
    rejects = ((r.article_id, r.reason.value) for decision in decisions.values() for r in decision.rejects)
    gone = history.withdrawals(lake, rejects)
    files += history.write(folder, lake, before, snapshot, gone)
    files.append(papers.attribution(folder, invented=config.invented))
    files.append(papers.tombstones(folder, gone.select("article_id", "reason").iter_rows()))
    files.append(papers.dictionary(folder, papers.present(folder)))
    found = {statistic.name: statistic for statistic in all_statistics(folder, count_tokens)}
    found |= {statistic.name: statistic for statistic in label_statistics.found(folder)}
    found["stages"] = cohort.stages(lake, (ARTICLE_INDEX, *_BY_CHUNK[1:], SHARDS))
    found |= {told.name: told} if told else {}
    files += papers.statistics(folder, found.values(), plots.draw(found))
    files.append(
        card.write(folder, config.name, version, snapshot, config.rules, found, files, invented=config.invented)
    )
    warning = card.warning(folder, invented=config.invented)
    tables = papers.present(folder)
    files.append(croissant.write(folder, config.name, version, snapshot, files, tables, warning=warning))
    files.sort(key=lambda file: file.path)
    counts = Counter[str]()
    for file in files:
        if file.kind in {"table", "shard", texts.KIND} and file.rows:
            counts[file.path.split("/")[1] if file.kind == "table" else "samples"] += file.rows
    return ReleaseManifest(
        name=config.name, version=version, key=key,
        inventory={
            "snapshot": snapshot, "article_versions": counts[CHUNK_LISTING.name],
            "chunks": {chunk: lake.version(CHUNK_LISTING, chunk) for chunk in lake.partitions(CHUNK_LISTING)},
        },
        rules=config.rules.recorded(), settings=dict(config.settings), code_versions=_code_versions(lake),
        packages=packages, inputs=inputs, counts=dict(sorted(counts.items())),
        left_out=dict(sorted(Counter(str(r.reason) for d in decisions.values() for r in d.rejects).items())),
        files=tuple(files), made_of=made_of, before=before.recorded() if before else {},
    )  # fmt: skip


def _shards(
    lake: Lake, folder: Path, home: Path, decisions: Mapping[str, Allowed], progress: Progress
) -> tuple[list[ReleaseFile], list[tuple[str, pl.DataFrame]]]:
    files: list[ReleaseFile] = []
    parts: list[tuple[str, pl.DataFrame]] = []
    for chunk, decision in track(decisions.items(), progress, "build the release", len(decisions), "chunks"):
        rows, tarred = tars.add_shards(lake, folder, home, chunk, decision.media)
        parts.append((chunk, rows))
        files += tarred
    return files + copies.write_table(folder, SHARDS, parts), parts


def _seed(lake: Lake, recipe: str) -> int:
    manifest = lake.manifest(RECIPE, recipe)
    return int(manifest.config.get("seed", 0)) if manifest else 0


def _splits(folder: Path) -> pl.DataFrame | None:
    """Sample keys and splits of the recipe that splits the pairs, if the release has it."""
    found = sorted((folder / copies.FOLDER / RECIPE.name / pairs.RECIPE).glob("*.parquet"))
    return pl.read_parquet(found, columns=["sample_key", "split"]) if found else None


def _kept(lake: Lake, table: Table, chunk: str, decision: Allowed) -> pl.DataFrame:
    if lake.manifest(table, chunk) is None:
        return table.empty()
    return decision.keep(lake.read_lazy(table, chunk)).collect()


def _rows(lake: Lake, table: Table, decisions: Mapping[str, Allowed]) -> Generator[tuple[str, pl.DataFrame]]:
    for chunk, decision in decisions.items():
        if lake.manifest(table, chunk):
            yield chunk, decision.keep(lake.read_lazy(table, chunk)).collect()


def _code_versions(lake: Lake) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {RELEASE.name: {VERSION}}
    for table in (CHUNK_LISTING, *_BY_CHUNK, SHARDS, *READS):
        keys: Sequence[str | None] = [None] if table.partitioning == "none" else lake.partitions(table)
        for key in keys:
            if manifest := lake.manifest(table, key):
                found.setdefault(table.name, set()).add(manifest.code_version)
    return {name: sorted(versions) for name, versions in sorted(found.items())}


def _publish(
    lake: Lake, home: Path, manifest: ReleaseManifest, decisions: Mapping[str, Allowed], config: ReleaseConfig,
    inputs: Mapping[str, str], skipped: bool, seconds: float,
) -> Report:  # fmt: skip
    files = [*manifest.files, manifests.entry(home, home / manifests.NAME, "manifest")]
    rows: list[dict[str, object]] = [{"version": manifest.version, **dataclasses.asdict(file)} for file in files]
    below = lake.path_below(home)
    rejects: list[Reject] = [reject for decision in decisions.values() for reject in decision.rejects]
    n_in = sum(decision.n_figures for decision in decisions.values())
    published = lake.publish(
        RELEASE, None, RELEASE.frame(rows).sort("path"), code_version=VERSION, inputs=inputs, config=config.recorded(),
        rejects=rejects, n_in=n_in, n_out=n_in - len(rejects),
        # Shards are links to files that the manifests of shards count already.
        files=[FileEntry(f"{below}/{file.path}", file.bytes, file.sha256) for file in files if file.kind != "shard"],
        metrics={"version": manifest.version},
    )  # fmt: skip
    growth = home / "statistics" / "per_year.png"
    pictures = (Picture("Growth by year", growth.read_bytes()),) if growth.exists() else ()
    return Report(
        asset=RELEASE.name, partition=None, data_version=published.data_version, rows=len(rows), n_in=n_in,
        n_out=published.n_out, rejects=published.rejects, bytes_written=published.bytes, seconds=seconds,
        metrics={"version": manifest.version, "folder": below, **{f"rows/{k}": v for k, v in manifest.counts.items()}},
        preview=tuple({"path": f.path, "kind": f.kind, "bytes": f.bytes, "rows": f.rows} for f in files[:8]),
        pictures=pictures, skipped=skipped,
    )  # fmt: skip
