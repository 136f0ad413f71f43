"""A release far away: its small files, the indexes of its recipes, and what is kept of them here.

A release is self-contained: ``recipes/<name>.index`` says where each sample of a recipe lies in its shards, so that a
recipe is streamed with no data directory.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.stream.addresses import is_remote, web_address
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.http import UNKNOWN, HttpShards, Lane
from biomedica_assets.lib.stream.index import AT_SOURCE, Index, ShardFile

RECIPES, TEXTS, SUFFIX = "recipes", "texts", ".index"
MANIFEST = "MANIFEST.json"
DEFAULT = "full"
WHOLE = 4 << 20
"""A file up to this size is read at once rather than by range: 350 000 samples of an index."""


class RemoteFile:
    """A file behind HTTP, read by range over one connection that stays open; see ``index.IndexFile``."""

    def __init__(self, base: str, path: str, token: str | None = None) -> None:
        """Ask for its size.

        Args:
            base: address below which it lies.
            path: of the file.
            token: bearer token.

        Raises:
            StreamError: it is not there or cannot be read.
        """
        self._shards = HttpShards(base, [ShardFile(path, UNKNOWN, "")], token)
        self._lane = Lane()
        self.name = f"{web_address(base)}/{path}"
        try:
            self._read(0, 1)
        except StreamError:
            self.close()
            raise
        self.size = self._shards.total(0)
        self._whole = self._read(0, self.size) if self.size <= WHOLE else None
        if self._whole is not None:
            self.close()

    @property
    def fetched(self) -> int:
        """Bytes that came."""
        return self._shards.fetched

    @property
    def tag(self) -> str:
        """What the server calls this state of the file; empty if it does not say."""
        return self._shards.tag(0)

    def at(self, start: int, length: int) -> bytes:
        """Bytes from ``start``; fewer at the end of the file."""
        end = min(start + length, self.size)
        if self._whole is not None:
            return self._whole[start:end]
        return self._read(start, end) if start < end else b""

    def close(self) -> None:
        """Close the connection."""
        self._lane.drop()

    def _read(self, start: int, end: int) -> bytes:
        return b"".join(bytes(view) for view in self._shards.body(0, start, end, self._lane))


def index_path(recipe: str, folder: str = RECIPES) -> str:
    """Where a release has the index of a recipe: in ``recipes`` over shards, in ``texts`` over text alone."""
    return f"{folder}/{recipe}{SUFFIX}"


def open_index(
    release: str, recipe: str | None, token: str | None = None, cache: Path | None = None, pictures: str | None = None
) -> Index:
    """The index of a recipe of a release.

    Args:
        release: folder, or address as ``web_address`` gives it.
        recipe: name; None for ``full``, or the only one there is.
        token: bearer token.
        cache: folder where an index from afar is kept. It is used again while the server says that it is the same, and
            when the server cannot be reached.
        pictures: ``shards``, or ``source`` for the one over text alone; None takes what the release has.

    Raises:
        StreamError: there is no release or no such recipe; the message names those that there are.
    """
    folder = TEXTS if pictures == AT_SOURCE else RECIPES
    if not is_remote(release):
        path = Path(release) / index_path(recipe or DEFAULT, folder)
        return Index(path if path.is_file() else Path(release) / _known(release, recipe, token, pictures))
    try:
        return Index(_kept(release, index_path(recipe or DEFAULT, folder), token, cache))
    except StreamError as error:
        if "status 404" not in str(error):
            raise
    return Index(_kept(release, _known(release, recipe, token, pictures), token, cache))


def manifest(release: str, token: str | None = None) -> Any:
    """``MANIFEST.json`` of a release, as it is written.

    Raises:
        StreamError: it cannot be read.
    """
    try:
        if is_remote(release):
            file = RemoteFile(release, MANIFEST, token)
            text = file.at(0, file.size)
            file.close()
        else:
            text = (Path(release) / MANIFEST).read_bytes()
        return json.loads(text)
    except OSError as error:
        raise StreamError(f"{release} is no release: {MANIFEST}: {error.strerror}") from error
    except ValueError as error:
        raise StreamError(f"{MANIFEST} of {release} is damaged ({error}); fetch or upload the release again") from error


def _known(release: str, recipe: str | None, token: str | None, pictures: str | None) -> str:
    """Path of the index that is meant, where the one that was asked for first is not there."""
    paths = [str(file["path"]) for file in manifest(release, token)["files"]]
    there: dict[str, list[str]] = {}
    for folder in (RECIPES, TEXTS):
        below = (path.removeprefix(f"{folder}/") for path in paths if path.startswith(f"{folder}/"))
        there[folder] = sorted(name.removesuffix(SUFFIX) for name in below if name.endswith(SUFFIX))
    wanted = there[RECIPES] or there[TEXTS]
    folder = RECIPES if there[RECIPES] else TEXTS
    if pictures is not None:
        folder = TEXTS if pictures == AT_SOURCE else RECIPES
        wanted = there[folder]
        if not wanted and any(there.values()):
            other = "shards" if pictures == AT_SOURCE else "source"
            raise StreamError(f"{release} holds no recipe for --pictures {pictures}; use --pictures {other}")
    if recipe in wanted or (recipe is None and DEFAULT in wanted):
        return index_path(recipe or DEFAULT, folder)
    if recipe is None and len(wanted) == 1:
        return index_path(wanted[0], folder)
    named = f"no recipe {recipe!r}" if recipe else f"no recipe {DEFAULT!r}; name one with --recipe"
    raise StreamError(f"{release} has {named}; there are: {', '.join(wanted) or 'none, it was made without'}")


def _kept(release: str, path: str, token: str | None, cache: Path | None) -> Path | RemoteFile:
    if cache is None:
        return RemoteFile(release, path, token)
    name = hashlib.blake2b(f"{release}/{path}".encode(), digest_size=16).hexdigest()
    here, tag = cache / f"{name}{SUFFIX}", cache / f"{name}.tag"
    try:
        file = RemoteFile(release, path, token)
    except StreamError as error:
        if not here.is_file() or "status" in str(error):
            raise
        print(f"biomedica stream: {error}; going on with {here}", file=sys.stderr)  # noqa: T201 - standard error
        return here
    try:
        if not (here.is_file() and tag.is_file() and file.tag and tag.read_text() == file.tag):
            atomic.write_bytes(here, file.at(0, file.size))
            atomic.write_bytes(tag, file.tag.encode())
    except (OSError, StoreError) as error:
        raise StreamError(f"cannot write to the cache {cache}: {error}; name another with --cache") from error
    finally:
        file.close()
    return here
