"""Small PMC mirrors written by tests: article versions, metadata JSONs, inventories, in the bucket's layout."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from biomedica_assets.lib.pmc.snapshots import FOLDER
from biomedica_assets.lib.pmc.source import PMC_BUCKET


def md5(data: bytes) -> str:
    """MD5 in hex."""
    return hashlib.md5(data).hexdigest()


class MirrorBuilder:
    """Writes a mirror below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def article(self, article_id: str, *, media: dict[str, bytes] | None = None, **fields: Any) -> dict[str, Any]:
        """Write an article version; ``fields`` replace those of its metadata JSON (a value of ... removes one)."""
        pmcid, _, version = article_id.partition(".")
        objects = {f"{article_id}.xml": f"<article>{article_id}</article>".encode() * 40, **(media or {})}
        urls = [self.url(self.put(f"{article_id}/{name}", data)) for name, data in objects.items()]
        metadata = {
            "pmcid": pmcid,
            "version": int(version),
            "pmid": 1234567,
            "doi": f"10.1000/{article_id}",
            "title": f"On {article_id}",
            "citation": "PLoS ONE. 2012 Mar 4; 7(3):e1. doi: 10.1000/1",
            "is_pmc_openaccess": True,
            "is_manuscript": False,
            "is_historical_ocr": False,
            "is_retracted": False,
            "license_code": "CC BY",
            "xml_url": urls[0],
            "text_url": None,
            "pdf_url": None,
            "media_urls": urls[1:],
            **fields,
        }
        metadata = {name: value for name, value in metadata.items() if value is not ...}
        data = json.dumps(metadata).encode()
        self.put(f"metadata/{article_id}.json", data)
        self.put(f"{article_id}/{article_id}.json", data)
        return metadata

    def put(self, key: str, data: bytes) -> str:
        """Write an object; returns its key."""
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return key

    def url(self, key: str) -> str:
        """URL of an object as metadata has it."""
        return f"s3://{PMC_BUCKET}/{key}?md5={md5((self.root / key).read_bytes())}"

    def remove(self, article_id: str) -> None:
        """Take an article version out of the mirror."""
        for path in [*(self.root / article_id).iterdir(), self.root / "metadata" / f"{article_id}.json"]:
            path.unlink()
        (self.root / article_id).rmdir()

    def inventory(self, name: str, *, rows: list[tuple[str, str, str]] | None = None, parts: int = 2) -> list[Path]:
        """Write the inventory of a date; without ``rows`` (key, time, etag) it lists what ``metadata/`` holds."""
        if rows is None:
            found = sorted((self.root / "metadata").glob("*.json"))
            rows = [(f"metadata/{p.name}", "2026-01-08T11:47:59.000Z", md5(p.read_bytes())) for p in found]
        files: list[dict[str, object]] = []
        for part in range(parts):
            lines = [f'"{PMC_BUCKET}","{key}","{when}","{etag}"\n' for key, when, etag in rows[part::parts]]
            data = gzip.compress("".join(lines).encode(), mtime=0)
            key = self.put(f"{FOLDER}data/{name}-{part}.csv.gz", data)
            files.append({"key": key, "size": len(data), "MD5checksum": md5(data)})
        manifest = {"fileFormat": "CSV", "fileSchema": "Bucket, Key, LastModifiedDate, ETag", "files": files}
        data = json.dumps(manifest).encode()
        self.put(f"{FOLDER}{name}/manifest.json", data)
        self.put(f"{FOLDER}{name}/manifest.checksum", md5(data).encode() + b"\n")
        self.put(f"{FOLDER}hive/dt={name}/symlink.txt", b"")
        return [self.root / str(file["key"]) for file in files]


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes; hidden folders (caches, spill files) left out."""
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    named = {path.relative_to(root).as_posix(): path for path in paths}
    return {name: path.read_bytes() for name, path in named.items() if "/." not in f"/{name}"}
