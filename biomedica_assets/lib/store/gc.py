"""What nothing refers to any more: found, measured, and taken away when asked to.

Reruns write beside what is there (``lake.py``, ``named.py``), so files of earlier runs stay. One of them is garbage
when no manifest names it, no index of a recipe in use points into it, no release links to it, and no process that could
hold its path is left: none that makes its partition, none that began before it was replaced, none that has the index
open. What was replaced within the grace time stays too, for readers that no lease tells of, on other machines perhaps.

Which files there are and whom they belong to is ``owners.py``; releases, sources, votes and what people put into a data
directory themselves are nobody's garbage.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import re
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.store import indexes, lease
from biomedica_assets.lib.store.atomic import TEMPORARY_PREFIX
from biomedica_assets.lib.store.lake import MANIFEST, Lake
from biomedica_assets.lib.store.manifest import Manifest
from biomedica_assets.lib.store.owners import Owner, owned
from biomedica_assets.lib.tables import CHECKPOINTS, PANEL_SHARDS, RECIPE, SHARDS, TABLES

GRACE_SECONDS = 3600.0
_INDEX = re.compile(r"recipes/[^/\s\"]+/[^/\s\"]+\.index")


@dataclasses.dataclass(frozen=True, slots=True)
class Garbage:
    """A file that nothing refers to.

    Attributes:
        path: below the data directory.
        bytes: what its removal frees; 0 if a release holds the same file by a link of its own.
        owner: asset and partition that wrote it.
    """

    path: str
    bytes: int
    owner: Owner


@dataclasses.dataclass(frozen=True, slots=True)
class Survey:
    """What a look over the data directory found.

    Attributes:
        garbage: what can go now.
        waiting: what nothing refers to either, but was replaced too recently, or somebody may be reading: path -> why.
    """

    garbage: tuple[Garbage, ...]
    waiting: Mapping[str, str]

    @property
    def bytes(self) -> int:
        """What removing the garbage frees."""
        return sum(one.bytes for one in self.garbage)


def survey(lake: Lake, *, grace: float = GRACE_SECONDS, progress: Progress = SILENT) -> Survey:
    """Look for files that nothing refers to; nothing is changed.

    Args:
        lake: the data directory.
        grace: seconds for which a file stays after the last write that may have replaced it.
        progress: told of each file.
    """
    return _Look(lake, grace).survey(progress)


def remove(lake: Lake, found: Survey, *, grace: float = GRACE_SECONDS, progress: Progress = SILENT) -> Survey:
    """Remove garbage, partition by partition, each looked at once more under its lease.

    Args:
        lake: the data directory.
        found: of ``survey``.
        grace: as for ``survey``.
        progress: told of each file.

    Returns:
        What was removed, and what was not and why.

    Raises:
        StoreError: a file cannot be removed.
    """
    removed: list[Garbage] = []
    waiting = dict(found.waiting)
    # Indexes first: once one is gone nobody can begin to read the shards that only it named.
    assets = sorted({one.owner.asset for one in found.garbage}, key=lambda asset: (asset != RECIPE.name, asset))
    for asset in track(assets, progress, "remove", len(assets), "assets"):
        mine = [one for one in found.garbage if one.owner.asset == asset]
        with contextlib.ExitStack() as leases:
            mine_to_make = set[Owner]()
            for owner in sorted({one.owner for one in mine}, key=str):
                with contextlib.suppress(lease.PartitionBusy):
                    leases.enter_context(lease.hold(lake.root, [asset], owner.partition))
                    mine_to_make.add(owner)
            # Since the survey a file may have been written again under the same name, or opened by a reader.
            look = _Look(lake, grace, only=asset, held_here=mine_to_make).survey(SILENT)
            still = {one.path for one in look.garbage}
            for one in mine:
                why = look.waiting.get(one.path, "is referred to again")
                if one.path in still:
                    why = _unlink(lake.root / one.path) if one.owner in mine_to_make else f"{one.owner} is being made"
                if why:
                    waiting[one.path] = why
                else:
                    removed.append(one)
    return Survey(tuple(removed), waiting)


def told(found: Survey, *, removed: bool, each: bool = False) -> str:
    """What was found or removed, for people: by asset, with bytes, and what stays and why.

    Args:
        found: of ``survey`` or ``remove``.
        removed: whether it is gone now.
        each: also every file.
    """
    lines = [f"{one.path}\t{one.bytes:,}" for one in found.garbage] if each else []
    by_asset: dict[str, list[int]] = {}
    for one in found.garbage:
        by_asset.setdefault(one.owner.asset, []).append(one.bytes)
    for asset, sizes in sorted(by_asset.items(), key=lambda item: -sum(item[1])):
        lines.append(f"{asset:<20} {len(sizes):>8,} files {sum(sizes) / 1e6:>14,.1f} MB")
    what = "were removed" if removed else "are referred to by nothing"
    lines.append(f"{len(found.garbage):,} files, {found.bytes / 1e6:,.1f} MB {what}")
    reasons: dict[str, int] = {}
    for why in found.waiting.values():
        reasons[why] = reasons.get(why, 0) + 1
    lines += [f"{n:,} more stay for now: {why}" for why, n in sorted(reasons.items(), key=lambda item: -item[1])]
    if found.garbage and not removed:
        lines.append("nothing was removed; `biomedica gc --remove` does it")
    return "\n".join(lines)


class _Look:
    """One look: what is named, what is in use, and since when the rest is not."""

    def __init__(self, lake: Lake, grace: float, only: str | None = None, held_here: Collection[Owner] = ()) -> None:
        self._lake, self._only = lake, only
        ours = set(map(str, held_here))
        running = {name: since for name, since in lease.held(lake.root).items() if name not in ours}
        # A process that began before a file was replaced may hold its path.
        self._before = min([time.time() - grace, *running.values()])
        self._busy = set(running)
        self._named = self._manifested()
        self._manifest_times: dict[Owner, float] = {}

    def survey(self, progress: Progress) -> Survey:
        written = dict(owned(self._lake.root, {RECIPE.name}, indexes.SUFFIX))
        used = {path: why for path, owner in written.items() if (why := self._index_in_use(path, owner))}
        pointed = {path: indexes.shards_of(self._lake.root / path) for path in used}
        in_shards = {shard for shards in pointed.values() for shard in shards or ()}
        unread = next((path for path, shards in pointed.items() if shards is None), None)
        links = _link_targets(self._lake.root)
        garbage: list[Garbage] = []
        waiting: dict[str, str] = {}
        wanted = set(TABLES) if self._only is None else {self._only}
        for path, owner in track(owned(self._lake.root, wanted), progress, "look for garbage", None, "files"):
            if path in self._named or path in in_shards or path in links or self._kept_checkpoint(path):
                continue
            if unread is not None and owner.asset in {SHARDS.name, PANEL_SHARDS.name}:
                waiting[path] = f"may be named by {unread}, which cannot be read: build that recipe again"
                continue
            if why := used.get(path) or self._why_waiting(path, owner):
                waiting[path] = why
                continue
            with contextlib.suppress(FileNotFoundError):  # another gc, or its writer, was faster
                status = (self._lake.root / path).lstat()
                garbage.append(Garbage(path, status.st_size if status.st_nlink == 1 else 0, owner))
        return Survey(tuple(sorted(garbage, key=lambda one: one.path)), dict(sorted(waiting.items())))

    def _manifested(self) -> set[str]:
        """Every file that a manifest names; for one asset its own manifests, and those of recipes for their indexes."""
        named: set[str] = set()
        for _, manifest in manifests(self._lake, None if self._only is None else {self._only, RECIPE.name}):
            named |= {entry.path for entry in manifest.stored}
        return named

    def _why_waiting(self, path: str, owner: Owner) -> str | None:
        if str(owner) in self._busy:
            return f"{owner} is being made"
        try:
            replaced = max((self._lake.root / path).lstat().st_mtime, self._replaced(owner))
        except FileNotFoundError:
            return None
        return None if replaced <= self._before else "was replaced too recently for what may be reading it"

    def _replaced(self, owner: Owner) -> float:
        """The latest moment at which files of a partition may have been replaced."""
        if owner not in self._manifest_times:
            folder = self._lake.folder(TABLES[owner.asset], owner.partition)
            times = [p.stat().st_mtime for p in (folder / MANIFEST, folder) if p.exists()]
            # The folder's own time tells when a manifest was taken away; where there is one, it alone counts.
            self._manifest_times[owner] = times[0] if times else 0.0
        return self._manifest_times[owner]

    def _index_in_use(self, path: str, owner: Owner) -> str | None:
        if path in self._named:
            return "is named by its recipe"
        if self._training_reads(path):
            return "is read by a training"
        if _is_locked(self._lake.root / path):
            return "is being read"
        try:
            if (self._lake.root / path).stat().st_atime > self._before:
                return "was read too recently"
        except FileNotFoundError:
            return None
        return self._why_waiting(path, owner)

    def _training_reads(self, path: str) -> bool:
        """Whether a training that is under way, or that can be gone on with, names this index."""
        return path in {index for folder in self._trainings() for index in _indexes_of(folder)}

    def _trainings(self) -> Iterator[Path]:
        """Folders of trainings under way."""
        for recipe in (self._lake.root / "checkpoints").glob("*/"):
            if str(Owner(CHECKPOINTS.name, recipe.name)) in self._busy:
                yield from recipe.glob("*/")

    def _kept_checkpoint(self, path: str) -> bool:
        """Whether a file beside weights goes with them, or belongs to a training that a rerun would go on with."""
        parts = path.split("/")
        if parts[0] != "checkpoints" or parts[-1].startswith(TEMPORARY_PREFIX):
            return False
        if len(parts) == 3:  # articles a model was trained on
            return any(
                version.startswith(Path(path).stem.rpartition("-")[2]) for version in self._trained_versions(parts[1])
            )
        folder = "/".join(parts[:3]) + "/"
        if any(name.startswith(folder) for name in self._named):
            return not path.endswith(".safetensors")
        return bool(self._named.intersection(_indexes_of(self._lake.root / folder)))

    def _trained_versions(self, recipe: str) -> list[str]:
        made = self._lake.manifest(CHECKPOINTS, recipe)
        now = self._lake.version(RECIPE, recipe)
        return [*(made.inputs.values() if made else ()), *([now] if now else ())]


def manifests(lake: Lake, assets: Collection[str] | None = None) -> Iterator[tuple[Owner, Manifest]]:
    """Every partition that exists, with its manifest, in the order of the tables.

    Raises:
        StoreError: a manifest is damaged: what it names is not known, so nothing may be called garbage.
    """
    for table in (table for table in TABLES.values() if assets is None or table.name in assets):
        keys: list[str | None] = [None] if table.partitioning == "none" else [*lake.partitions(table)]
        for key in keys:
            if manifest := lake.manifest(table, key):
                yield Owner(table.name, key), manifest


def _indexes_of(training: Path) -> Collection[str]:
    """Indexes that the command line of a training names."""
    try:
        return set(_INDEX.findall((training / "spec.json").read_text(encoding="utf-8")))
    except OSError:
        return ()


def _link_targets(root: Path) -> set[str]:
    """Shards that releases point to where the file system has no hard links."""
    found: set[str] = set()
    for link in (root / "release").glob("*/shards/*/*.tar"):
        if link.is_symlink():
            with contextlib.suppress(ValueError):
                found.add(link.resolve().relative_to(root.resolve()).as_posix())
    return found


def _is_locked(path: Path) -> bool:
    """Whether a reader holds an index (``lib.stream.index`` locks what it reads)."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _unlink(path: Path) -> str | None:
    """Remove a file, and its folder if it was the last; why not, if a reader came first."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror}; fix its permissions and run again") from error
    try:
        # A reader that opens it now waits for this lock, and then sees that the file has no name any more.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        with contextlib.suppress(OSError):
            path.parent.rmdir()
    except BlockingIOError:
        return "is being read"
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror}; fix its permissions and run again") from error
    finally:
        os.close(descriptor)
    return None
