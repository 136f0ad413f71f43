"""Where the pictures are that a release does not hold: PubMed Central's bucket, as a stream asks it.

Every stream of a training comes here when it starts: no Polars, no DuckDB, no pyarrow. They took 2 s of CPU of each
stream, this takes 0.1.
"""

from __future__ import annotations

from biomedica_assets.lib.pmc.source import PMC_BUCKET, KeyRefused, ObjectMissing, PmcSource, SourceError, open_source
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.pictures import Lost


class Bucket:
    """A source of articles as a stream asks it for pictures."""

    def __init__(self, source: PmcSource) -> None:
        """Args: source: the bucket, or a directory in its layout."""
        self._source = source

    @property
    def location(self) -> str:
        """For people."""
        return self._source.location

    def get(self, key: str) -> bytes | Lost:
        """See ``lib.stream.pictures.Source``."""
        try:
            return self._source.get(key)
        except (ObjectMissing, KeyRefused) as error:
            return Lost(str(error))
        except SourceError as error:
            raise StreamError(f"{error}; start again when the source answers") from error


def open_bucket(place: str, in_flight: int) -> Bucket:
    """A bucket or a directory in its layout.

    Args:
        place: ``s3://bucket``, ``http(s)://endpoint/bucket`` of another S3, or a directory.
        in_flight: connections that stay open.

    Raises:
        PermanentFailure: it is none of these.
    """
    if place.startswith(("http://", "https://")):
        endpoint, _, bucket = place.rstrip("/").rpartition("/")
        if "://" not in endpoint or endpoint.endswith("/") or not bucket:
            raise StreamError(f"--source {place} names no bucket; give http(s)://host/bucket, or s3://{PMC_BUCKET}")
        return Bucket(open_source(f"s3://{bucket}", endpoint=endpoint, concurrency=in_flight))
    return Bucket(open_source(place, concurrency=in_flight))
