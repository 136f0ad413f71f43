"""Metadata JSON and the daily inventory, in the form of the bucket.

The inventory names nothing but ``metadata/*.json`` with its MD5; each JSON carries the MD5 of every object of its
article version, so one changed object changes one row. Source: README.txt of the bucket and the S3 Inventory format.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store import atomic

BUCKET = "pmc-oa-opendata"
FIRST_DATE = "2026-11-21"
BASE = f"inventory-reports/{BUCKET}/metadata"
PARTS = 2
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_FOLDER = re.compile(r"(\d{4}-\d{2}-\d{2})T01-00Z")


def url_of(key: str, data: bytes | None, md5: str | None = None) -> str:
    """``s3://pmc-oa-opendata/<key>?md5=<hex>``, as the metadata JSON names objects."""
    return f"s3://{BUCKET}/{key}?md5={md5 or hashlib.md5(data or b'', usedforsecurity=False).hexdigest()}"


def write_metadata(root: Path, article_id: str, body: bytes) -> None:
    """Write a metadata JSON to both places where the bucket has it."""
    for key in (f"{article_id}/{article_id}.json", f"metadata/{article_id}.json"):
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def metadata_bytes(record: Mapping[str, Any]) -> bytes:
    """A metadata record as the bucket writes it: indented by one, fields in their order."""
    return json.dumps(record, indent=1, ensure_ascii=False).encode()


def publish_inventory(root: Path, date: str) -> Path:
    """Write the inventory of one day over the metadata that is there.

    Rows whose MD5 is that of the inventory before keep their time of change, the others get the day before ``date``.

    Args:
        root: the mirror.
        date: ``2026-11-22``; later than the newest inventory that is there.

    Returns:
        The folder of the inventory.

    Raises:
        PermanentFailure: the date is not later than the last, or is none.
    """
    if not _DATE.fullmatch(date):
        raise PermanentFailure(f"{date!r} is not a date of the form 2026-11-22")
    dates = inventory_dates(root)
    if dates and date <= dates[-1]:
        raise PermanentFailure(f"inventory date {date} is not later than {dates[-1]}, the newest in {root}")
    before = {key: (etag, changed) for key, changed, etag in read_inventory(root, dates[-1])} if dates else {}
    changed_at = f"{_day_before(date)}T01:02:03.000Z"
    rows: list[tuple[str, str, str]] = []
    for path in sorted((root / "metadata").glob("*.json")):
        key = f"metadata/{path.name}"
        etag = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        old = before.get(key)
        rows.append((key, old[1] if old and old[0] == etag else changed_at, etag))
    files: list[dict[str, Any]] = []
    for part in range(PARTS):
        data = _part(rows[part::PARTS])
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        key = f"{BASE}/data/{UUID(md5)}.csv.gz"
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)
        files.append({"key": key, "size": len(data), "MD5checksum": md5})
    manifest = {
        "sourceBucket": BUCKET,
        "destinationBucket": f"arn:aws:s3:::{BUCKET}",
        "version": "2016-11-30",
        "creationTimestamp": str(int(datetime.fromisoformat(f"{date}T01:00:00+00:00").timestamp()) * 1000),
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, LastModifiedDate, ETag",
        "files": files,
    }
    body = json.dumps(manifest).encode()
    folder = root / BASE / f"{date}T01-00Z"
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(folder / "manifest.json", body)
    checksum = hashlib.md5(body, usedforsecurity=False).hexdigest()
    atomic.write_bytes(folder / "manifest.checksum", f"{checksum}\n".encode())
    return folder


def inventory_dates(root: Path) -> list[str]:
    """Dates of the inventories of a mirror, oldest first."""
    base = root / BASE
    found = (_FOLDER.fullmatch(entry.name) for entry in base.iterdir()) if base.is_dir() else ()
    return sorted(match[1] for match in found if match)


def read_inventory(root: Path, date: str) -> list[tuple[str, str, str]]:
    """Rows of one inventory: key, time of change, MD5."""
    manifest = json.loads((root / BASE / f"{date}T01-00Z" / "manifest.json").read_bytes())
    rows: list[tuple[str, str, str]] = []
    for entry in manifest["files"]:
        text = gzip.decompress((root / entry["key"]).read_bytes()).decode()
        rows += [(key, changed, etag) for _, key, changed, etag in csv.reader(io.StringIO(text))]
    return rows


def _part(rows: list[tuple[str, str, str]]) -> bytes:
    lines = "".join(f'"{BUCKET}","{key}","{changed}","{etag}"\n' for key, changed, etag in rows)
    return gzip.compress(lines.encode(), mtime=0)


def _day_before(date: str) -> str:
    noon = datetime.fromisoformat(f"{date}T12:00:00+00:00").timestamp()
    return datetime.fromtimestamp(noon - 86_400, tz=UTC).strftime("%Y-%m-%d")
