"""Small named changes to a mirror, for tests of updates: exactly what the name says changes, and its MD5s with it.

A change shows to the pipeline only after ``inventory.publish_inventory`` has written the next day's inventory.
"""

from __future__ import annotations

import dataclasses
import html
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from biomedica_assets.lib import chunks
from biomedica_assets.lib.demo import art as arts
from biomedica_assets.lib.demo.inventory import metadata_bytes, url_of, write_metadata
from biomedica_assets.lib.demo.mirror import write_article
from biomedica_assets.lib.demo.plan import LICENCES, Plan
from biomedica_assets.lib.demo.truth import TruthArticle
from biomedica_assets.lib.demo.words import JOURNALS
from biomedica_assets.lib.errors import PermanentFailure

_CAPTION = re.compile(rb"(<caption>.*?<(title|p)>)(.*?)(</\2>)", re.DOTALL)
_LICENCE_URL = re.compile(rb"https?://creativecommons\.org/[a-z0-9./-]+")
_MD5 = re.compile(r"\?md5=[0-9a-f]{32}$")


@dataclasses.dataclass(frozen=True, slots=True)
class Mutation:
    """What a change did.

    Attributes:
        name: which change.
        article_id: article version concerned.
        keys: keys whose bytes were written or removed, sorted.
        article: truth of an article version that is new; None for other changes.
    """

    name: str
    article_id: str
    keys: tuple[str, ...]
    article: TruthArticle | None = None


def change_caption(root: Path, article_id: str, text: str = "This caption was corrected.") -> Mutation:
    """Replace the first block of the first caption in an article's XML by ``text`` (plain words)."""
    name = f"{article_id}.xml"
    xml = _read(root, article_id, name)
    body = html.escape(text, quote=False).encode()
    changed, n = _CAPTION.subn(lambda match: match[1] + body + match[4], xml, count=1)
    if not n:
        raise PermanentFailure(f"{article_id} has no caption to change; name another article")
    return _rewrite(root, "change_caption", article_id, {name: changed})


def change_licence(root: Path, article_id: str, code: str = "CC BY-NC") -> Mutation:
    """Give an article another licence, in its metadata and in its XML."""
    licence = next((entry for entry in LICENCES.values() if entry.raw == code), None)
    if licence is None or licence.url is None:
        raise PermanentFailure(
            f"no demo licence is spelled {code!r}; there are {sorted(str(v.raw) for v in LICENCES.values())}"
        )
    name = f"{article_id}.xml"
    xml = _LICENCE_URL.sub(licence.url.encode(), _read(root, article_id, name))
    return _rewrite(root, "change_licence", article_id, {name: xml}, {"license_code": code})


def retract(root: Path, article_id: str) -> Mutation:
    """Mark an article as retracted in its metadata; its files stay as they are."""
    return _rewrite(root, "retract", article_id, {}, {"is_retracted": True})


def replace_image(
    root: Path, article_id: str, name: str | None = None, *, kind: str = "map", seed: int = 1
) -> Mutation:
    """Replace one JPEG of an article, the first by default, by a new picture of a kind."""
    media = sorted(path.name for path in (root / article_id).glob("*.jpg"))
    if not media or (name or media[0]) not in media:
        raise PermanentFailure(f"{article_id} has no image {name or 'at all'}; there are {media}")
    picture = arts.single(np.random.default_rng([seed, 4]), kind)
    return _rewrite(root, "replace_image", article_id, {name or media[0]: arts.encoded(picture.image, "jpg")})


def remove_article(root: Path, article_id: str) -> Mutation:
    """Remove an article version altogether: prefix and metadata."""
    folder = _folder(root, article_id)
    keys = sorted(path.relative_to(root).as_posix() for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
    key = f"metadata/{article_id}.json"
    (root / key).unlink()
    return Mutation("remove_article", article_id, (*keys, key))


def add_article(root: Path, pmcid: int, *, seed: int = 1, figures: int = 3) -> Mutation:
    """Add version 1 of a new ordinary article."""
    return _add(root, "add_article", pmcid, 1, seed, figures)


def add_version(root: Path, article_id: str, *, seed: int = 1, figures: int = 3) -> Mutation:
    """Add the next version of an article that is there."""
    _folder(root, article_id)
    pmcid, version = chunks.parse_article_id(article_id)
    return _add(root, "add_version", pmcid, version + 1, seed, figures)


def _add(root: Path, name: str, pmcid: int, version: int, seed: int, figures: int) -> Mutation:
    article_id = chunks.article_id(pmcid, version)
    if (root / article_id).exists():
        raise PermanentFailure(f"{article_id} is in {root} already; name another article")
    plan = Plan(
        pmcid=pmcid,
        version=version,
        stream=pmcid,
        licence=LICENCES["by"],
        journal=JOURNALS[pmcid % len(JOURNALS)],
        date=(2026, 11, 20),
        figures=figures,
        constructs=(),
    )
    _, article = write_article(root, plan, seed, [])
    keys = sorted(path.relative_to(root).as_posix() for path in (root / article_id).iterdir())
    return Mutation(name, article_id, (*keys, f"metadata/{article_id}.json"), article)


def _rewrite(
    root: Path, name: str, article_id: str, files: Mapping[str, bytes], fields: Mapping[str, Any] | None = None
) -> Mutation:
    """Write files of an article, their MD5s and further fields of its metadata, in both copies."""
    record: dict[str, Any] = json.loads(_read(root, article_id, f"{article_id}.json"))
    fresh = {f"{article_id}/{file}": data for file, data in files.items()}

    def renewed(url: str | None) -> str | None:
        key = _MD5.sub("", url).split("/", 3)[3] if url else ""
        return url_of(key, fresh[key]) if key in fresh else url

    for field in ("xml_url", "text_url", "pdf_url"):
        if field in record:
            record[field] = renewed(record[field])
    record["media_urls"] = [renewed(url) for url in record["media_urls"]]
    record |= fields or {}
    for key, data in fresh.items():
        (root / key).write_bytes(data)
    write_metadata(root, article_id, metadata_bytes(record))
    keys = sorted([*fresh, f"{article_id}/{article_id}.json"])
    return Mutation(name, article_id, (*keys, f"metadata/{article_id}.json"))


def _folder(root: Path, article_id: str) -> Path:
    folder = root / article_id
    if not folder.is_dir():
        raise PermanentFailure(f"{root} has no article version {article_id}")
    return folder


def _read(root: Path, article_id: str, name: str) -> bytes:
    return (_folder(root, article_id) / name).read_bytes()
