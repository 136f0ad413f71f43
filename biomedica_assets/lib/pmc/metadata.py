"""The metadata JSON of an article version, read leniently where that is safe and strictly where it is not.

Lenient: null or missing fields, ``"yes"``/``"no"`` for booleans, numbers as strings. Strict: which article it is, and
where its URLs point. The fields are described in the bucket's ``README.txt``.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any, cast

from biomedica_assets.lib import chunks
from biomedica_assets.lib.errors import RejectReason
from biomedica_assets.lib.pmc.source import KeyRefused, check_key

_URL = re.compile(r"s3://(?P<bucket>[^/?#]+)/(?P<key>.+?)(?:\?md5=(?P<md5>[^?&]*))?", re.DOTALL)
_MD5 = re.compile(r"[0-9a-f]{32}")
_TRUE, _FALSE = frozenset({"yes", "true", "1", "y"}), frozenset({"no", "false", "0", "n", ""})


class MetadataRefused(ValueError):
    """The JSON cannot be used; ``reason`` is what goes into the reject."""

    def __init__(self, reason: RejectReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclasses.dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of an article version: its key as the source has it, and the MD5 of its bytes."""

    key: str
    md5: str


@dataclasses.dataclass(frozen=True, slots=True)
class ArticleMetadata:
    """What the metadata JSON says. ``refused`` holds media URLs that are not used, each with the reason."""

    pmid: int | None
    doi: str | None
    manuscript_id: str | None
    title: str | None
    citation: str | None
    license_raw: str | None
    is_pmc_openaccess: bool
    is_manuscript: bool
    is_historical_ocr: bool
    is_retracted: bool
    xml: StoredObject | None
    media: tuple[StoredObject, ...]
    refused: tuple[tuple[str, str], ...]


def read_metadata(data: bytes, article_id: str, buckets: frozenset[str]) -> ArticleMetadata:
    """Read a metadata JSON.

    A flag that is null or missing counts as false: an article that is not said to be open access is not taken.

    Args:
        data: the bytes.
        article_id: the article version its key names.
        buckets: names of buckets that its URLs may carry.

    Raises:
        MetadataRefused: it is not JSON, names another article, has a value that cannot be understood, or its XML lies
            elsewhere than below the article's prefix. A medium with such a fault is left out and noted instead.
    """
    try:
        raw: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MetadataRefused(RejectReason.METADATA_INVALID, f"not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise MetadataRefused(RejectReason.METADATA_INVALID, f"a JSON {type(raw).__name__}, expected an object")
    fields = cast("dict[str, Any]", raw)
    _check_identity(fields, article_id)
    media: dict[str, StoredObject] = {}
    refused: list[tuple[str, str]] = []
    urls: Any = fields.get("media_urls") or []
    for url in cast("list[Any]", urls if isinstance(urls, list) else [urls]):
        try:
            found = parse_url(url, article_id, buckets)
            media[found.key] = found
        except MetadataRefused as error:
            refused.append((str(url)[:1000], str(error)))
    xml_url = fields.get("xml_url")
    return ArticleMetadata(
        pmid=_number(fields, "pmid"),
        doi=_text(fields, "doi"),
        manuscript_id=_text(fields, "mid"),
        title=_text(fields, "title"),
        citation=_text(fields, "citation"),
        license_raw=_text(fields, "license_code"),
        is_pmc_openaccess=_flag(fields, "is_pmc_openaccess"),
        is_manuscript=_flag(fields, "is_manuscript"),
        is_historical_ocr=_flag(fields, "is_historical_ocr"),
        is_retracted=_flag(fields, "is_retracted"),
        xml=parse_url(xml_url, article_id, buckets) if xml_url else None,
        media=tuple(media[key] for key in sorted(media)),
        refused=tuple(sorted(refused)),
    )


def parse_url(url: object, article_id: str, buckets: frozenset[str]) -> StoredObject:
    """``s3://bucket/PMC1.1/a.jpg?md5=<hex>`` -> key and MD5.

    The key is taken as it stands: S3 URLs are not percent-encoded, and a publisher's name may hold ``%20``, ``+`` or
    ``?``. (``Mirror`` tries the decoded key when the source does not have this one.)

    Raises:
        MetadataRefused: another form, another bucket, a key outside the article's prefix, or no MD5.
    """
    if not isinstance(url, str) or (match := _URL.fullmatch(url)) is None:
        raise MetadataRefused(RejectReason.UNSAFE_URL, f"{str(url)[:300]!r} is not s3://bucket/key?md5=hex")
    key, md5 = match["key"], (match["md5"] or "").lower()
    if match["bucket"] not in buckets:
        raise MetadataRefused(
            RejectReason.UNSAFE_URL, f"{url[:300]!r} points into another bucket than {sorted(buckets)}"
        )
    try:
        check_key(key)
    except KeyRefused as error:
        raise MetadataRefused(RejectReason.UNSAFE_URL, str(error)) from error
    if not key.startswith(f"{article_id}/"):
        raise MetadataRefused(RejectReason.UNSAFE_URL, f"{url[:300]!r} leaves the article's prefix {article_id}/")
    if not _MD5.fullmatch(md5):
        raise MetadataRefused(RejectReason.METADATA_INVALID, f"{url[:300]!r} carries no MD5, so it cannot be verified")
    return StoredObject(key, md5)


def _check_identity(fields: dict[str, Any], article_id: str) -> None:
    pmcid, version = chunks.parse_article_id(article_id)
    stated = str(fields.get("pmcid") or "").strip().upper().removeprefix("PMC")
    if stated not in {str(pmcid), article_id.removeprefix("PMC")}:
        raise MetadataRefused(
            RejectReason.ARTICLE_ID_MISMATCH, f"states pmcid {fields.get('pmcid')!r}, key says {article_id}"
        )
    if (number := _number(fields, "version")) not in {None, version}:
        raise MetadataRefused(RejectReason.ARTICLE_ID_MISMATCH, f"states version {number}, its key says {article_id}")


def _text(fields: dict[str, Any], name: str) -> str | None:
    """A string without white space around it; null, missing and empty are None."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        # A lone surrogate cannot be written to Parquet.
        return str(value).encode("utf-8", "replace").decode().strip() or None
    raise MetadataRefused(RejectReason.METADATA_INVALID, f"{name} is {value!r:.100}, expected a text")


def _number(fields: dict[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62:
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,18}\s*", value):
        return int(value)
    raise MetadataRefused(RejectReason.METADATA_INVALID, f"{name} is {value!r:.100}, expected a whole number")


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name)
    text = "" if value is None else str(value).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise MetadataRefused(RejectReason.METADATA_INVALID, f"{name} is {value!r:.100}, expected true or false")
