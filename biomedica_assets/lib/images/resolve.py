"""Graphic href -> object of the article: pure functions of names, no disk and no network.

Publishers write the name of a graphic with or without an extension, with the extension of the file they submitted
(``.tif``) instead of the one that is distributed (``.jpg``), in another case, behind a path, a URL or an ``info:doi/``
prefix. The rules are tried from the strictest to the laxest and the first that finds anything decides:

======================  =====================================================================================
``exact``               the name is the href
``extension_added``     the name is the href plus a known extension
``extension_removed``   the href is the name plus a known extension
``other_extension``     both carry a known extension and agree up to it
``case``                one of the above after Unicode NFC and case folding
``basename``            one of the above for the last part of a path or URL (query cut, %xx decoded); for a DOI also
                        for what follows each dot of its suffix (``journal.pone.0093988.g001`` ... ``g001``)
======================  =====================================================================================

A rule that finds several objects takes the one whose extension stands first in ``PREFERENCE``. Several of the same
extension are ambiguous, unless their MD5 is the same.
"""

from __future__ import annotations

import dataclasses
import unicodedata
import urllib.parse
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

Match = Literal["exact", "extension_added", "extension_removed", "other_extension", "case", "basename"]

# When a stem comes in several renditions: first what every training reader decodes (open_clip_train takes jpg, png,
# jpeg and webp only), then what only some decode, then gif, which beside a jpg of the same stem is PubMed Central's
# thumbnail, last what is no raster image, so that its reject names the real cause.
PREFERENCE = (
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "tif", "tiff", "bmp", "gif",
    "jp2", "avif", "heic", "svg", "svgz", "eps", "ps", "pdf", "emf", "wmf",
)  # fmt: skip
_RANK = {extension: rank for rank, extension in enumerate(PREFERENCE)}


@dataclasses.dataclass(frozen=True, slots=True)
class MediaObject:
    """One object of an article in the source: article, key in the bucket, MD5 in hex."""

    article_id: str
    key: str
    md5: str

    @property
    def name(self) -> str:
        """Last part of the key: the publisher's file name."""
        return self.key.rsplit("/", 1)[-1]


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """The object a href names, and the rule that found it."""

    object: MediaObject
    match: Match


@dataclasses.dataclass(frozen=True, slots=True)
class Ambiguous:
    """Several objects fit equally well."""

    candidates: tuple[MediaObject, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Missing:
    """No object fits."""


def split_extension(name: str) -> tuple[str, str | None]:
    """``fig1.TIF`` -> (``fig1``, ``tif``); ``pone.0000133.g001`` -> (itself, None): ``g001`` is no known extension."""
    stem, dot, extension = name.rpartition(".")
    known = extension.lower()
    return (stem, known) if dot and stem and known in _RANK else (name, None)


class ArticleMedia:
    """The objects of one article, indexed for look-up by href; the order in which they are given does not matter."""

    def __init__(self, objects: Iterable[MediaObject]) -> None:
        """Args: objects: all objects of one article version; a key that comes twice counts once."""
        unique = sorted(set(objects), key=lambda o: (o.key, o.md5))
        self._plain = _Index(unique, str)
        self._folded = _Index(unique, fold)

    def resolve(self, href: str) -> Found | Ambiguous | Missing:
        """Find the object that ``href`` names, by the rules at the head of this module."""
        name = href.strip()
        for match, candidates in self._attempts(name):
            if candidates:
                best = _best(candidates)
                return Found(best[0], match) if len(best) == 1 else Ambiguous(tuple(best))
        return Missing()

    def _attempts(self, name: str) -> Iterator[tuple[Match, list[MediaObject]]]:
        if not name:
            return
        yield from self._plain.attempts(name)
        for _, found in self._folded.attempts(name):
            yield "case", found
        for short in basenames(name):
            for index in (self._plain, self._folded):
                for _, found in index.attempts(short):
                    yield "basename", found


class _Index:
    """Objects by name and by stem, names passed through ``key``."""

    def __init__(self, objects: Iterable[MediaObject], key: Callable[[str], str]) -> None:
        self._key = key
        by_name: defaultdict[str, list[MediaObject]] = defaultdict(list)
        by_stem: defaultdict[str, list[MediaObject]] = defaultdict(list)
        for obj in objects:
            by_name[key(obj.name)].append(obj)
            stem, extension = split_extension(obj.name)
            if extension:
                by_stem[key(stem)].append(obj)
        self._by_name: Mapping[str, list[MediaObject]] = dict(by_name)
        self._by_stem: Mapping[str, list[MediaObject]] = dict(by_stem)

    def attempts(self, name: str) -> Iterator[tuple[Match, list[MediaObject]]]:
        """The four rules that look at whole names, strictest first."""
        yield "exact", self._by_name.get(self._key(name), [])
        yield "extension_added", self._by_stem.get(self._key(name), [])
        stem, extension = split_extension(name)
        if extension:
            yield "extension_removed", self._by_name.get(self._key(stem), [])
            yield "other_extension", self._by_stem.get(self._key(stem), [])


def fold(name: str) -> str:
    """Name for comparison without regard to case and to how accents are composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def basenames(href: str) -> Iterator[str]:
    """What a href with a path, URL or DOI prefix may be called as a file, longest first."""
    text = href
    if "://" in text:
        text = text.split("#", 1)[0].split("?", 1)[0]
    last = urllib.parse.unquote(text).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    if last and last != href:
        yield last
    lowered = href.lower()
    if lowered.startswith(("info:doi", "doi:")) or "doi.org/" in lowered:
        while "." in last:
            last = last.split(".", 1)[1]
            if last:
                yield last


def _best(candidates: list[MediaObject]) -> list[MediaObject]:
    """The candidates of the preferred extension; one of them if all have the same bytes."""

    def rank(obj: MediaObject) -> int:
        return _RANK.get(split_extension(obj.name)[1] or "", len(PREFERENCE))

    first = min(map(rank, candidates))
    best = [obj for obj in candidates if rank(obj) == first]
    return best[:1] if len({obj.md5 for obj in best}) == 1 else best
