"""The anonymous bucket, or any S3 endpoint in its layout, as a source; through obstore."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.pmc.retry import RetryPolicy, Throttle
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
R = TypeVar("R")


class S3Source:
    """See ``PmcSource``.

    Proxy and AWS variables of the environment are without effect: what is read depends on the arguments alone.
    Retries are ours, not obstore's, because a retry must also slow the other requests down.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        region: str = "us-east-1",
        concurrency: int = 32,
        retry: RetryPolicy | None = None,
        timeout: float = 60.0,
    ) -> None:
        """See ``open_source``; ``prefix`` is put before every key."""
        # obstore's own `prefix=` has been applied twice in some releases (developmentseed/obstore#744).
        self._prefix = f"{prefix}/" if prefix else ""
        self.location = f"s3://{bucket}/{self._prefix}" + (f" at {endpoint}" if endpoint else "")
        self.buckets = frozenset({bucket, PMC_BUCKET})
        self.throttle = Throttle(concurrency)
        self._concurrency = concurrency
        self._retry = retry or RetryPolicy()
        address = endpoint or f"https://s3.{region}.amazonaws.com"
        self._store = S3Store(
            bucket,
            # AWS_ENDPOINT_URL_S3 in the environment wins over `endpoint` (obstore 0.12.1), but not over its own name.
            aws_endpoint_url_s3=address,  # pyright: ignore[reportCallIssue] - missing in obstore's stub
            region=region,
            skip_signature=True,  # without it object_store asks the EC2 metadata service and stalls
            virtual_hosted_style_request=False,
            client_options={
                "allow_http": address.startswith("http://"),
                "timeout": timedelta(seconds=timeout),
                "connect_timeout": timedelta(seconds=min(timeout, 10.0)),
                "pool_max_idle_per_host": str(concurrency),
                "user_agent": "biomedica-assets",
                # A proxy that no request may use keeps reqwest from taking the environment's.
                "proxy_url": "http://127.0.0.1:9",
                "proxy_excludes": "0.0.0.0/0,::/0,*",
            },
            retry_config={"max_retries": 0},
        )

    def get(self, key: str) -> bytes:
        """See ``PmcSource.get``; tries again after 5xx, 429, time-outs, resets and bodies that are too short."""
        return self._get(key, threading.Event())

    def get_many(self, items: Iterable[T], key: Callable[[T], str]) -> Iterator[tuple[T, bytes | SourceError]]:
        """See ``PmcSource.get_many``."""
        return fetch_concurrently(self._get, items, key, self._concurrency)

    def list_dirs(self, prefix: str) -> list[str]:
        """See ``PmcSource.list_dirs``."""
        full = self._prefix + prefix

        def ask() -> list[str]:
            # The stub's return type is partly unknown to the type checker.
            return list(obstore.list_with_delimiter(self._store, full)["common_prefixes"])  # pyright: ignore[reportUnknownMemberType]

        found = self._attempt(full, threading.Event(), ask)
        return sorted(name.rstrip("/").rpartition("/")[2] for name in found)

    def list_metadata(self) -> Iterator[ListedObject]:
        """Refuse: the bucket has about 8 million article versions; listing it takes thousands of requests in a row."""
        raise PermanentFailure(
            f"{self.location} has no complete inventory below inventory-reports/{PMC_BUCKET}/metadata/. Copy the "
            "articles you want to a directory (aws s3 sync --no-sign-request) and use that directory as the source: it "
            "is listed without an inventory. Or use s3://" + PMC_BUCKET + ", which has one every day."
        )

    def _get(self, key: str, stop: threading.Event) -> bytes:
        full = self._prefix + check_key(key)
        return self._attempt(key, stop, lambda: bytes(obstore.get(self._store, full).bytes()))

    def _attempt(self, key: str, stop: threading.Event, ask: Callable[[], R]) -> R:
        """Ask until it is answered or the tries are used up."""
        with self.throttle.place():
            for attempt in range(self._retry.retries + 1):
                epoch = self.throttle.epoch()
                try:
                    answer = ask()
                except FileNotFoundError as error:
                    raise ObjectMissing(key, f"the source has no object {key}") from error
                except ValueError as error:
                    raise KeyRefused(key, f"key {key!r} is refused: {error}") from error
                except (PermissionDeniedError, UnauthenticatedError) as error:
                    raise FetchFailed(key, f"{self.location} refuses {key}: {_first_line(error)}") from error
                except (BaseError, OSError) as error:
                    self.throttle.failed(epoch)
                    last = attempt == self._retry.retries
                    if last or stop.wait(self._retry.delay(key, attempt)):
                        raise FetchFailed(
                            key, f"{key} could not be fetched in {attempt + 1} tries: {_first_line(error)}"
                        ) from error
                else:
                    self.throttle.succeeded()
                    return answer
        raise AssertionError("unreachable: the loop returns or raises")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
