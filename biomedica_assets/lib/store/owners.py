"""Which files of a data directory the graph writes, and which partition of which asset each belongs to.

Listed here is what assets write under names of its content, and may thus leave behind. Not listed, so never touched:
releases, the mirror, inventories, votes and people, caches, sources, settings, Dagster's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from biomedica_assets.lib.store.atomic import TEMPORARY_PREFIX
from biomedica_assets.lib.store.damage import MARK
from biomedica_assets.lib.store.lake import ALL, MANIFEST
from biomedica_assets.lib.tables import (
    CHECKPOINTS,
    CLUSTER_MODEL,
    CONTACT_SHEETS,
    EMBEDDING_SHELF,
    EMBEDDINGS,
    PANEL_SHARDS,
    RECIPE,
    RELEASE,
    SEARCH_VECTORS,
    SHARDS,
    TABLES,
    ZERO_SHOT_SCORES,
)

_SHARD = re.compile(r"(PMC\d+-\d+)-.+\.tar")
_LEFT = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}(PMC\d+-\d+)-.+")


class Owner(NamedTuple):
    """Asset and partition that write a file."""

    asset: str
    partition: str | None

    def __str__(self) -> str:
        """As inputs and leases are named."""
        return self.asset if self.partition is None else f"{self.asset}@{self.partition}"


def owned(root: Path, assets: Collection[str], suffix: str = "") -> Iterator[tuple[str, Owner]]:
    """Files that assets wrote: path below the data directory, and owner; manifests excepted.

    Args:
        root: the data directory.
        assets: whose files.
        suffix: only files whose names end so.
    """
    for asset in TABLES:
        if asset in assets:
            for path, partition in _of_asset(root, asset):
                if path.name.endswith(suffix):
                    yield path.relative_to(root).as_posix(), Owner(asset, partition)


def owner_of_shard(path: str) -> str:
    """Asset and partition of a shard, from its name."""
    match = _SHARD.fullmatch(Path(path).name)
    asset = PANEL_SHARDS if path.startswith(f"{PANEL_SHARDS.name}/") else SHARDS
    return str(Owner(asset.name, match[1])) if match else path


def _of_asset(root: Path, asset: str) -> Iterator[tuple[Path, str | None]]:
    prefix = f"{TABLES[asset].partitioning}="
    for folder in (root / "tables" / asset).glob("*/"):
        if folder.name == ALL or folder.name.startswith(prefix):
            key = None if folder.name == ALL else folder.name.removeprefix(prefix)
            yield from ((path, key) for path in sorted(folder.iterdir()) if path.name not in (MANIFEST, MARK))
    if asset in _BESIDE:
        yield from _BESIDE[asset](root)


def _shards(base: str) -> Callable[[Path], Iterator[tuple[Path, str | None]]]:
    """Tars below ``base`` in folders of licence groups."""

    def files(root: Path) -> Iterator[tuple[Path, str | None]]:
        for path in sorted((root / base).glob("*/*")):
            if match := _SHARD.fullmatch(path.name) or _LEFT.fullmatch(path.name):
                yield path, match[1]

    return files


def _by_folder(base: str, prefix: str, pattern: str) -> Callable[[Path], Iterator[tuple[Path, str | None]]]:
    """Files below ``base`` in folders named ``<prefix><partition>``."""

    def files(root: Path) -> Iterator[tuple[Path, str | None]]:
        for folder in sorted(root.glob(f"{base}/{prefix}*/")):
            key = folder.name.removeprefix(prefix)
            yield from ((path, key) for path in sorted(folder.rglob(pattern)) if not path.is_dir())

    return files


def _whole(base: str) -> Callable[[Path], Iterator[tuple[Path, str | None]]]:
    """All files below ``base``, of an asset without partitions."""

    def files(root: Path) -> Iterator[tuple[Path, str | None]]:
        yield from ((path, None) for path in sorted((root / base).rglob("*")) if not path.is_dir())

    return files


def _unfinished_releases(root: Path) -> Iterator[tuple[Path, str | None]]:
    for folder in sorted((root / "release").glob(f"{TEMPORARY_PREFIX}*/")):
        yield from ((path, None) for path in sorted(folder.rglob("*")) if not path.is_dir())


_BESIDE: dict[str, Callable[[Path], Iterator[tuple[Path, str | None]]]] = {
    SHARDS.name: _shards("shards"),
    PANEL_SHARDS.name: _shards(PANEL_SHARDS.name),
    RECIPE.name: _by_folder("recipes", "", "*.index"),
    EMBEDDINGS.name: _by_folder("embeddings/*", "chunk=", "*"),
    SEARCH_VECTORS.name: _by_folder("search", "shelf=", "*"),
    EMBEDDING_SHELF.name: _by_folder("embeddings/*", "shelf=", "*"),
    CLUSTER_MODEL.name: _whole("models/clusters"),
    CONTACT_SHEETS.name: _whole("annotations/contact_sheets"),
    CHECKPOINTS.name: _by_folder("checkpoints", "", "*"),
    ZERO_SHOT_SCORES.name: _by_folder("scores", "recipe=", "*"),
    RELEASE.name: _unfinished_releases,
}
