"""Licence and copyright of an article or of one figure, from its ``permissions``.

Belongs here: where in JATS a licence is stated. What a licence text or URL means is ``lib.licenses``.
"""

from __future__ import annotations

import dataclasses
import re

from biomedica_assets.lib import licenses
from biomedica_assets.lib.jats.text import lines_of, text_of
from biomedica_assets.lib.jats.vocabulary import Element, href_of, local_name

_CC_URL = re.compile(
    r"(?:https?://)?(?:www\.)?creativecommons\.org/(?:licen[sc]es?|publicdomain)/[^\s)\]>,;\"']+", re.I
)
# The name of a licence inside a sentence, up to the word licence; what it means is decided by lib.licenses.
_CC_NAME = re.compile(
    r"(?:creative\s+commons\s+|\bCC[\s-])(?:CC[\s-]?)?(?:attribution|BY|zero|0)"
    r"(?:[\w\s,.\u2010\u2013-]|\((?:CC[\w\s-]*|https?[^)]*)\))*?"
    r"(?=\s*(?:licen[sc]e|\(|[.;:]?$))",
    re.I,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Permissions:
    """What a ``permissions`` element states.

    Attributes:
        license_url: URL of the licence.
        license_code: normalised code, None if none that is known is stated.
        license_version: version read from the URL.
        license_text: licence paragraphs.
        copyright: copyright statement.
        has_license: whether a ``license`` stands there at all.
    """

    license_url: str | None = None
    license_code: str | None = None
    license_version: str | None = None
    license_text: str | None = None
    copyright: str | None = None
    has_license: bool = False


NONE = Permissions()


def read_permissions(parent: Element) -> Permissions:
    """Permissions of an element (``article-meta`` or ``fig``), from its ``permissions`` children.

    Articles of before JATS 1.0 have ``copyright-statement`` and ``license`` as children of ``article-meta`` itself.
    """
    holders = [*parent.iterchildren("{*}permissions")] or [parent]
    found: list[Element] = []
    statement: str | None = None
    for holder in holders:
        found += holder.iterchildren("{*}license", "{*}license_ref")
        for element in holder.iterchildren("{*}copyright-statement"):
            statement = statement or text_of(element) or None
    if not found:
        return Permissions(copyright=statement) if statement else NONE
    text = lines_of(found) or None
    stated = [url for element in found for url in _urls(element)]
    if text:
        stated += [match[0].rstrip(".") for match in _CC_URL.finditer(text)]
    url, code, version = _first_known(stated)
    if code is None:
        code = next(filter(None, (licenses.normalise(el.get("license-type")) for el in found)), None) or _named(text)
    return Permissions(url, code, version, text, statement, has_license=True)


def _urls(element: Element) -> list[str]:
    urls = [href_of(element), element.text if local_name(element) == "license_ref" else None]
    links = element.iterdescendants("{*}license_ref", "{*}ext-link", "{*}uri")
    urls += [href_of(link) or (None if len(link) else link.text) for link in links]
    return [url.strip() for url in urls if url and url.strip()]


def _first_known(urls: list[str]) -> tuple[str | None, str | None, str | None]:
    """First URL whose licence is known, else the first URL at all."""
    for url in urls:
        code, version = licenses.from_url(url)
        if code:
            return url, code, version
    return (urls[0] if urls else None), None, None


def _named(text: str | None) -> str | None:
    """Code of the licence that a text names; None if it names none, or several that differ."""
    codes = {licenses.normalise(match[0]) for match in _CC_NAME.finditer(text or "")}
    return codes.pop() if len(codes) == 1 else None
