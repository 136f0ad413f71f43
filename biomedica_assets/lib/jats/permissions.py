"""Licence and copyright of an article or of a part of it, from its ``permissions``.

Belongs here: where in JATS a licence is stated, and what several statements in one place come to. What a licence text
or URL means is ``lib.licenses``; which part of an article decides for a figure is ``rights.py``. The rules, for one
place (an ``article-meta``, a ``fig``, a ``sec``, ...):

* Several ``license`` elements, and ``license_ref`` elements beside them, all count; the strictest decides. One that is
  not known allows nothing. A grant for text mining alone (``specific-use`` or type ``tdm``) that is no Creative Commons
  licence adds to the others and takes nothing away.
* A licence that begins on a later day (``start_date``), or ended (``end_date``), is not in force.
* ``free_to_read`` grants reading, not use: it is no licence. One that begins on a later day, or has ended, is an
  embargo: nothing of the place may be passed on.
* Of a part, not of an article: words such as "not covered by the licence" or "all rights reserved" in a licence weigh
  more than a licence named beside them, and a copyright statement without a licence, other than the article's own, is
  the work of somebody who gave none.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re

from biomedica_assets.lib import licenses
from biomedica_assets.lib.jats.credit_lines import read_credit, same_copyright
from biomedica_assets.lib.jats.text import lines_of, text_of
from biomedica_assets.lib.jats.vocabulary import Element, href_of, local_name

_CC_URL = re.compile(r"creativecommons\.org/(?:licen[sc]es?|publicdomain)/[^\s)\]>,;\"']+", re.I)
_BEFORE_HOST = re.compile(r"(?:https?://)?(?:www\.)?\Z", re.I)
# The name of a licence inside a sentence, up to the word licence; what it means is decided by lib.licenses.
_CC_NAME = re.compile(
    r"(?:creative\s+commons\s+|\bCC[\s-])(?:CC[\s-]?)?(?:attribution|BY|zero|0)"
    r"(?:[\w\s,.\u2010\u2013-]|\((?:CC[\w\s-]*|https?[^)]*)\))*?"
    r"(?=\s*(?:licen[sc]e|\(|[.;:]?$))",
    re.I,
)
_MINING = re.compile(r"\b(?:tdm|text-?\s?(?:and-data-)?mining)\b", re.I)
_STATED = ("{*}license", "{*}license_ref")
_DATE = re.compile(r"\d{4}(?:-\d\d(?:-\d\d)?)?")


@dataclasses.dataclass(frozen=True, slots=True)
class Permissions:
    """What the ``permissions`` of one place state.

    Attributes:
        license_url: URL of the licence.
        license_code: normalised code, None if none that is known is stated or none is in force.
        license_version: version read from the URL.
        license_text: licence paragraphs.
        copyright: copyright statement, or the holder's name where there is no statement.
        has_license: whether a licence, or an embargo, stands there at all.
        reason: why there is no code although a licence is named; None where there is nothing to say.
    """

    license_url: str | None = None
    license_code: str | None = None
    license_version: str | None = None
    license_text: str | None = None
    copyright: str | None = None
    has_license: bool = False
    reason: str | None = None


NONE = Permissions()


@dataclasses.dataclass(frozen=True, slots=True)
class _Licence:
    """One licence: URL, code, version, text, and why it does not hold."""

    url: str | None
    code: str | None
    version: str | None
    text: str | None
    reason: str | None = None


def read_permissions(parent: Element, today: dt.date | None = None, *, part: bool = False) -> Permissions:
    """Permissions of a place, from its ``permissions`` children.

    Articles of before JATS 1.0 have ``copyright-statement`` and ``license`` as children of the place itself.

    Args:
        parent: the element that has them.
        today: the day on which dates are judged; None takes the clock's. Asked for only where there are dates.
        part: whether it is a part of an article (the rules for parts hold).
    """
    holders = [*parent.iterchildren("{*}permissions")] or [parent]
    found: list[Element] = []
    statement = holder_name = embargo = None
    for holder in holders:
        found += holder.iterchildren(*_STATED)
        for element in holder.iterchildren("{*}copyright-statement"):
            statement = statement or text_of(element) or None
        for element in holder.iterchildren("{*}copyright-holder"):
            holder_name = holder_name or text_of(element) or None
        for element in holder.iterdescendants("{*}free_to_read"):
            embargo = embargo or _not_in_force(element, today)
    owner = statement or (holder_name if part else None)
    if not found:
        if embargo:
            return Permissions(copyright=owner, has_license=True, reason=f"free to read {embargo}")
        return Permissions(copyright=owner) if owner else NONE
    every = [_licence(element, today, part=part) for element in found]
    counting = [one for element, one in zip(found, every, strict=True) if one.code or not _for_mining(element)] or every
    decisive = min(counting, key=lambda one: licenses.freedom(one.code))
    text = lines_of(found) or None
    reason = decisive.reason
    code = decisive.code
    if embargo:
        code, reason = None, f"free to read {embargo}"
    return Permissions(decisive.url, code, decisive.version, text, owner, has_license=True, reason=reason)


def speaks(permissions: Permissions, article_copyright: str | None) -> bool:
    """Whether the permissions of a part say anything other than that it is the article's."""
    if permissions.has_license:
        return True
    return permissions.copyright is not None and not same_copyright(permissions.copyright, article_copyright)


def _licence(element: Element, today: dt.date | None, *, part: bool) -> _Licence:
    text = text_of(element) or None
    stated = _urls(element)
    if text:
        stated += _cc_urls(text)
    url, code, version = _strictest_known(stated)
    if code is None:
        kinds = [element.get("license-type"), element.get("content-type")]
        kinds += [ref.get("content-type") for ref in element.iterdescendants("{*}license_ref")]
        code = next(filter(None, map(licenses.normalise, kinds)), None) or _named(text)
    reason: str | None = None
    for dated in (element, *element.iterdescendants("{*}license_ref")):
        if (until := _not_in_force(dated, today)) and _is_of(dated, code):
            code, reason = None, f"the licence {until}"
    if part and text and code is not None:
        credit = read_credit(text)
        if credit and credit.withheld and credit.rule in {"reserved", "not_covered"}:
            code, reason = None, credit.text
    return _Licence(url, code, version, text, reason)


def _cc_urls(text: str) -> list[str]:
    """Addresses of Creative Commons licences in a text, as they stand.

    What may stand before the host is looked at afterwards: an expression that begins with it is tried at each character
    of a licence, which took 2 % of parsing.
    """
    if "reative" not in text and "REATIVE" not in text:
        return []
    found: list[str] = []
    for match in _CC_URL.finditer(text):
        start = match.start()
        before = _BEFORE_HOST.search(text, max(0, start - len("https://www.")), start)
        found.append(f"{before[0] if before else ''}{match[0]}".rstrip("."))
    return found


def _is_of(element: Element, code: str | None) -> bool:
    """Whether a dated element is about the licence that was read: it is, unless it names another one."""
    url = text_of(element) if local_name(element) == "license_ref" else href_of(element)
    named = licenses.from_url(url)[0]
    return named is None or named == code


def _not_in_force(element: Element, today: dt.date | None) -> str | None:
    """Why a dated element does not hold today: "begins on ..." or "ended on ..."; None if it does or has no date."""
    start, end = _date(element, "start_date", first=True), _date(element, "end_date", first=False)
    if start is None and end is None:
        return None
    now = today or dt.datetime.now(dt.UTC).date()
    if start is not None and start > now:
        return f"begins on {start}"
    return f"ended on {end}" if end is not None and end < now else None


def _date(element: Element, name: str, *, first: bool) -> dt.date | None:
    """A date attribute, whichever namespace it is in; a year or month stands for its first or last day."""
    stated = next((str(value) for key, value in element.items() if str(key).rpartition("}")[2] == name), "")
    match = _DATE.match(stated.strip())
    if not match:
        return None
    year, month, day = (*map(int, match[0].split("-")), 0, 0)[:3]
    try:
        if day:
            return dt.date(year, month, day)
        if first:
            return dt.date(year, month or 1, 1)
        last = month or 12
        return dt.date(year + last // 12, last % 12 + 1, 1) - dt.timedelta(days=1)
    except ValueError:
        return None


def _for_mining(element: Element) -> bool:
    said = " ".join(filter(None, (element.get(name) for name in ("specific-use", "license-type", "content-type"))))
    refs = [ref.get("specific-use") or "" for ref in element.iterdescendants("{*}license_ref")]
    return _MINING.search(said) is not None or (bool(refs) and all(map(_MINING.search, refs)))


def _urls(element: Element) -> list[str]:
    urls = [href_of(element), text_of(element) if local_name(element) == "license_ref" else None]
    links = element.iterdescendants("{*}license_ref", "{*}ext-link", "{*}uri")
    urls += [href_of(link) or text_of(link) for link in links]
    return [url.strip() for url in urls if url and url.strip()]


def _strictest_known(urls: list[str]) -> tuple[str | None, str | None, str | None]:
    """The URL whose licence is known and allows least, the first of equals; else the first URL at all."""
    known = [(url, code, version) for url in urls for code, version in [licenses.from_url(url)] if code]
    if known:
        return min(known, key=lambda one: licenses.freedom(one[1]))
    return (urls[0] if urls else None), None, None


def _named(text: str | None) -> str | None:
    """Code of the licence that a text names; None if it names none, or several that differ."""
    codes = {licenses.normalise(match[0]) for match in _CC_NAME.finditer(text or "")}
    return codes.pop() if len(codes) == 1 else None
