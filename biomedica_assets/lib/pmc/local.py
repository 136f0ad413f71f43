"""A directory in the bucket's layout, as ``aws s3 sync`` makes it, as a source."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.pmc.source import (
    PMC_BUCKET,
    FetchFailed,
    KeyRefused,
    ListedObject,
    ObjectMissing,
    SourceError,
    check_key,
    fetch_concurrently,
)

T = TypeVar("T")
_ARTICLE_DIR = re.compile(r"PMC[1-9]\d{0,8}\.\d{1,4}")


class LocalSource:
    """See ``PmcSource``. Symbolic links are followed as long as they stay below the root."""

    def __init__(self, root: Path | str, *, concurrency: int = 32, bucket: str = PMC_BUCKET) -> None:
        """Args: root: the directory; concurrency: files read at once; bucket: name that URLs in metadata carry.

        Raises:
            PermanentFailure: there is no such directory.
        """
        if not Path(root).is_dir():
            raise PermanentFailure(
                f"source {str(root)!r} is not a directory: give one in the layout of s3://{PMC_BUCKET} "
                f"(what `aws s3 sync` makes), or s3://{PMC_BUCKET} itself"
            )
        self.root = Path(root).resolve()
        self.location = str(self.root)
        self.buckets = frozenset({bucket})
        self._concurrency = min(concurrency, 32)  # more threads than this do not read a disk faster

    def get(self, key: str) -> bytes:
        """See ``PmcSource.get``; refuses keys and symbolic links that leave the root, and what is not a plain file."""
        path = self._path(key)
        try:
            with open(path, "rb", opener=_open_plain_file) as handle:
                return handle.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise ObjectMissing(key, f"the source has no file {key}") from error
        except OSError as error:
            raise FetchFailed(key, f"{key} cannot be read: {error.strerror or error}") from error

    def get_many(self, items: Iterable[T], key: Callable[[T], str]) -> Iterator[tuple[T, bytes | SourceError]]:
        """See ``PmcSource.get_many``."""

        def get(wanted: str, _stop: threading.Event) -> bytes:
            return self.get(wanted)

        return fetch_concurrently(get, items, key, self._concurrency)

    def list_dirs(self, prefix: str) -> list[str]:
        """See ``PmcSource.list_dirs``; a folder that does not exist has none."""
        folder = self._path(prefix.rstrip("/")) if prefix else self.root
        try:
            with os.scandir(folder) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def list_metadata(self) -> Iterator[ListedObject]:
        """See ``PmcSource.list_metadata``: ``metadata/*.json``, and article folders that have no copy there."""
        metadata = self.root / "metadata"
        names = sorted(entry.name for entry in os.scandir(metadata)) if metadata.is_dir() else []
        seen = {name.removesuffix(".json") for name in names if name.endswith(".json")}
        keys = [f"metadata/{name}" for name in names if name.endswith(".json")]
        keys += [f"{d}/{d}.json" for d in self.list_dirs("") if _ARTICLE_DIR.fullmatch(d) and d not in seen]
        for key, data in self.get_many(keys, str):
            if isinstance(data, ObjectMissing):
                continue  # an article folder without JSON is no article yet
            if isinstance(data, SourceError):
                raise data
            yield ListedObject(key, hashlib.md5(data, usedforsecurity=False).hexdigest())

    def _path(self, key: str) -> Path:
        path = self.root / check_key(key)
        if not Path(os.path.realpath(path)).is_relative_to(self.root):
            raise KeyRefused(key, f"{key} is a symbolic link that leaves {self.root}; it is not followed")
        return path


def _open_plain_file(path: str, flags: int) -> int:
    """Opener that refuses devices and pipes (opening a pipe to read would wait for ever)."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(path)
    raise PermissionError(0, "it is not a plain file", path)
