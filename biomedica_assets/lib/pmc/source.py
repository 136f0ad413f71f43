"""The port to PubMed Central's files: one key layout, whatever holds it.

Keys are those of ``s3://pmc-oa-opendata``: ``PMC<id>.<version>/…``, ``metadata/PMC<id>.<version>.json`` and
``inventory-reports/…``. Belongs here: the protocol, its errors, the rule for keys, the choice of adapter.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from biomedica_assets.lib.errors import BiomedicaError, PermanentFailure

T = TypeVar("T")
PMC_BUCKET = "pmc-oa-opendata"
MAX_KEY_BYTES = 1024  # of S3


class SourceError(BiomedicaError):
    """An object could not be had; ``key`` names it."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class ObjectMissing(SourceError):
    """The source does not have the object (404, no such file)."""


class KeyRefused(SourceError):
    """The key is not one that may be asked for: it climbs out of the source, or is no key at all."""


class FetchFailed(SourceError):
    """The source did not deliver, after all tries; trying again later may help."""


@dataclasses.dataclass(frozen=True, slots=True)
class ListedObject:
    """A metadata JSON found by looking instead of in an inventory: its key and the MD5 of its bytes."""

    key: str
    etag: str


class PmcSource(Protocol):
    """Where articles come from. Adapters are safe to use from several threads.

    Attributes:
        location: the source as a person would name it.
        buckets: bucket names that URLs in metadata may carry.
    """

    @property
    def location(self) -> str:
        """See above."""
        ...

    @property
    def buckets(self) -> frozenset[str]:
        """See above."""
        ...

    def get(self, key: str) -> bytes:
        """Bytes of one object, as they came: not verified against anything.

        Raises:
            ObjectMissing, KeyRefused, FetchFailed: see there.
        """
        ...

    def get_many(self, items: Iterable[T], key: Callable[[T], str]) -> Iterator[tuple[T, bytes | SourceError]]:
        """Fetch the object of every item, several at once; an item's failure is its result.

        Results come as they are ready, in any order. Items are drawn from ``items`` in the calling thread as results
        are taken, so that memory stays bounded by the concurrency, whatever the number of items.
        """
        ...

    def list_dirs(self, prefix: str) -> list[str]:
        """Names of the folders directly below ``prefix`` (which ends with ``/``, or is empty), sorted."""
        ...

    def list_metadata(self) -> Iterator[ListedObject]:
        """Metadata JSONs found by looking, for a source without inventory.

        Raises:
            PermanentFailure: the source is too large to be looked through; the message says what to do.
        """
        ...


def check_key(key: str) -> str:
    """Return ``key`` if it is one: relative, no empty, ``.`` or ``..`` segment, no control character.

    Raises:
        KeyRefused: it is not.
    """
    fault = None
    if not key or len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        fault = f"a key has 1 to {MAX_KEY_BYTES} bytes"
    elif any(segment in {"", ".", ".."} for segment in key.split("/")):
        fault = "a key is relative and has no empty, '.' or '..' segment"
    elif any(ord(c) < 0x20 or ord(c) == 0x7F or 0xD800 <= ord(c) <= 0xDFFF for c in key):
        fault = "a key has no control characters"
    if fault:
        raise KeyRefused(key, f"key {key[:200]!r} is refused: {fault}")
    return key


def open_source(
    url_or_path: str | Path,
    *,
    endpoint: str | None = None,
    region: str = "us-east-1",
    concurrency: int = 32,
    retries: int = 5,
    timeout: float = 60.0,
    backoff: float = 0.2,
) -> PmcSource:
    """Open a source.

    Args:
        url_or_path: a directory in the bucket's layout, or ``s3://bucket`` or ``s3://bucket/prefix``.
        endpoint: other S3 endpoint than Amazon's, for example ``http://127.0.0.1:9000``.
        region: region of the bucket.
        concurrency: objects asked for at once, at most; a source that protests is asked less.
        retries: tries after the first, for one object.
        timeout: seconds until a request counts as failed.
        backoff: seconds before the first retry, doubled for each further one.

    Raises:
        PermanentFailure: it is neither a directory nor an S3 URL.
    """
    # The adapters import this module.
    from biomedica_assets.lib.pmc.local import LocalSource
    from biomedica_assets.lib.pmc.retry import RetryPolicy
    from biomedica_assets.lib.pmc.s3 import S3Source

    text = str(url_or_path)
    if not text.startswith("s3://"):
        if "://" in text:
            raise PermanentFailure(f"source {text!r}: use a directory or s3://{PMC_BUCKET}")
        return LocalSource(text, concurrency=concurrency)
    bucket, prefix = urlsplit(text).netloc, text.removeprefix("s3://").partition("/")[2].strip("/")
    if not bucket:
        raise PermanentFailure(f"source {text!r} names no bucket; use s3://{PMC_BUCKET}")
    policy = RetryPolicy(retries, backoff)
    return S3Source(
        bucket, prefix, endpoint=endpoint, region=region, concurrency=concurrency, retry=policy, timeout=timeout
    )


def fetch_concurrently(
    get: Callable[[str, threading.Event], bytes], items: Iterable[T], key: Callable[[T], str], concurrency: int
) -> Iterator[tuple[T, bytes | SourceError]]:
    """``PmcSource.get_many`` for adapters: calls ``get(key, stop)`` in ``concurrency`` threads.

    ``stop`` is set when the caller takes no more results, so that a thread waiting for its next try gives up.
    """
    done: queue.SimpleQueue[tuple[T, bytes | SourceError | BaseException]] = queue.SimpleQueue()
    stop = threading.Event()

    def work(item: T) -> None:
        try:
            done.put((item, get(key(item), stop)))
        except SourceError as error:
            done.put((item, error))
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            done.put((item, error))

    flying = 0
    with concurrent.futures.ThreadPoolExecutor(concurrency, thread_name_prefix="fetch") as pool:
        try:
            waiting = iter(items)
            exhausted = False
            while flying or not exhausted:
                while not exhausted and flying < concurrency:
                    try:
                        pool.submit(work, next(waiting))
                    except StopIteration:
                        exhausted = True
                    else:
                        flying += 1
                if flying:
                    item, result = done.get()
                    flying -= 1
                    if not isinstance(result, bytes | SourceError):
                        raise result
                    yield item, result
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
