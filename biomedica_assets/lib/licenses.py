"""Licence spellings -> normalised codes -> groups.

Belongs here: what counts as which licence, and which licences form which group. Groups are data (``DEFAULT_GROUPS``).
Does not belong here: where a licence is read from (metadata JSON: ``lib.pmc``; JATS permissions: ``lib.jats``).

One rule stands above all others: a text that is not understood completely has no code, so it never becomes commercial.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

CC0, PD, TDM = "CC0", "PD", "TDM"
CODES = ("CC0", "CC BY", "CC BY-SA", "CC BY-ND", "CC BY-NC", "CC BY-NC-SA", "CC BY-NC-ND", "PD", "TDM")

# Groups as PubMed Central defines them (https://pmc.ncbi.nlm.nih.gov/tools/openftlist/), equal to BIOMEDICA's.
# PD (public domain mark) and TDM (author manuscripts: text mining and fair use only) are in neither: they are "other".
DEFAULT_GROUPS: Mapping[str, tuple[str, ...]] = {
    "commercial": ("CC0", "CC BY", "CC BY-SA", "CC BY-ND"),
    "noncommercial": ("CC BY-NC", "CC BY-NC-SA", "CC BY-NC-ND"),
}
OTHER = "other"

# Spellings that follow no pattern, compared after everything but letters and digits is removed.
_SPELLINGS: Mapping[str, str] = {
    "cc0": CC0,
    "cczero": CC0,
    "creativecommonszero": CC0,
    "creativecommons0": CC0,
    "creativecommonscc0": CC0,
    "creativecommonscczero": CC0,
    "creativecommonspublicdomaindedication": CC0,
    "creativecommonszeropublicdomaindedication": CC0,
    "creativecommonscc0publicdomaindedication": CC0,
    "cc0publicdomaindedication": CC0,
    "publicdomain": PD,
    "publicdomainmark": PD,
    "ccpublicdomainmark": PD,
    "creativecommonspublicdomainmark": PD,
    "ccpdm": PD,
    "ccpddc": PD,
    "pdm": PD,
    "pd": PD,
    "tdm": TDM,
    "authormanuscript": TDM,
}
_ELEMENTS: Mapping[str, str] = {
    "nc": "NC",
    "noncommercial": "NC",
    "noncomercial": "NC",
    "noncommercialuse": "NC",
    "sa": "SA",
    "sharealike": "SA",
    "nd": "ND",
    "noderivs": "ND",
    "noderivatives": "ND",
    "noderivative": "ND",
    "noderivativeworks": "ND",
}
_ELEMENT = "|".join(sorted(_ELEMENTS, key=len, reverse=True))
# What may follow a code: version, then the name or country of a port. The look-ahead keeps "CC BY 4.0 NC" from reading
# as CC BY ported to a country called NC.
_TAIL = (
    r"(?:licen[sc]es?)?(?:version|ver|v)?(?:\d{1,2})?"
    r"(?:international|intl|int|unported|universal|generic|igo|(?<=\d)(?!nc|nd|sa|by|cc|de(?:ed)?)[a-z]{2}|(?<=\d)de(?!ed))?"
    r"(?:public)?(?:licen[sc]es?)?(?:terms)?(?:humanreadablesummary)?(?:legalcode|deed)?(?:en)?"
)
_NAME = rf"(?:the)?(?:creativecommons|cc)(?:cc)?(?:by|attribution)(?P<elements>(?:{_ELEMENT})*){_TAIL}"
_CREATIVE_COMMONS = re.compile(_NAME)
# One name after the other, as in "Attribution 4.0 International (CC BY 4.0)"; the first may lack "CC".
_FIRST_OF_TWO = re.compile(
    rf"(?:the)?(?:creativecommons|cc)?(?:cc)?(?:by|attribution)(?P<elements>(?:{_ELEMENT})*){_TAIL}"
)
_TAIL_ONLY = re.compile(_TAIL)
# Where a sentence names a licence; a longer name is never cut to a shorter one.
_DASH = "\u2010-\u2015\u2212\\-"
_SPOKEN_ELEMENT = (
    rf"(?:[\s{_DASH},/]*(?:and\s+)?(?:non[\s{_DASH}]?comm?ercial(?:\s+use)?|share[\s{_DASH}]?alike|"
    rf"no[\s{_DASH}]?deriv(?:ative|ate)?s?(?:\s+works?)?|\bnc\b|\bnd\b|\bsa\b))"
)
_IN_TEXT = re.compile(
    r"(?:https?://)?(?:www\.)?creativecommons\.org/(?:licen[sc]es?|publicdomain)/[^\s)\]>,;\"'\u201d]+"
    # Of "cc by" in small letters only the spelling with a hyphen is a licence: "5 cc by injection" is none.
    rf"|(?:\bcreative\s+commons|\b(?-i:CC)|\bcc(?=[{_DASH}]by))[\s{_DASH}]*(?:(?:\(?cc\)?)[\s{_DASH}]*)?(?:attribution|by)\b{_SPOKEN_ELEMENT}*"
    rf"|\bcc[\s{_DASH}]?(?:0|zero)\b|\bcreative\s+commons\s+zero\b",
    re.I,
)
_URL = re.compile(
    r"(?:https?:?/*)*(?:www\.)?creativecommons\.org(?::\d+)?/+(?:licen[sc]es?|publicdomain)/+(?P<name>[a-z0-9+-]+)"
    # The name ends the path, or a version follows it; anything else ("licenses/by/nc/4.0") is not understood.
    r"(?:/+v?(?P<version>\d(?:\.\d)?)\b(?!\.\d|/+(?:nc|nd|sa)\b)\S*|(?:/+(?:legalcode|deed)\S*)?[/.,;)]*)"
)
_URL_NAMES: Mapping[str, str] = {"zero": CC0, "cc0": CC0, "cc-zero": CC0, "mark": PD, "publicdomain": PD, "pdm": PD}
_COMBINATIONS: Mapping[frozenset[str], str] = {
    frozenset(code.removeprefix("CC BY").strip("-").split("-")) - {""}: code
    for code in CODES
    if code.startswith("CC BY")
}


def normalise(text: str | None) -> str | None:
    """Normalised code of a licence code, name, URL or JATS content type.

    ``CC-BY-4.0``, ``cc by``, ``Creative Commons Attribution 4.0 International License``, ``ccbylicense`` and
    ``https://creativecommons.org/licenses/by/4.0/`` are all ``CC BY``. Versions are dropped (``from_url`` tells them).

    Returns:
        One of ``CODES``; None for null, for ``NO-CC CODE`` and for everything that is not understood as a whole.
    """
    if not text:
        return None
    if "creativecommons.org" in text.casefold():
        return from_url(text)[0]
    compact = re.sub(r"[^a-z0-9]", "", text.casefold())
    if match := _CREATIVE_COMMONS.fullmatch(compact):
        return _code(match["elements"])
    if both := _named_twice(compact) or _page_title(text):
        return both
    for spelling, code in _SPELLINGS.items():
        if compact.startswith(spelling) and _TAIL_ONLY.fullmatch(compact.removeprefix(spelling)):
            return code
    return None


def named_in(text: str) -> Iterator[str]:
    """Codes of the licences that a running text names, in order, each as often as it is named.

    By URL or by name (``CC BY-NC 4.0``, ``Creative Commons Attribution License``); what is only half understood, as "a
    Creative Commons licence", is not there.
    """
    for match in _IN_TEXT.finditer(text):
        if code := normalise(match[0].rstrip(".")):
            yield code


def strictest(codes: Iterable[str | None]) -> str | None:
    """The code that allows least; None, which allows nothing, is the strictest.

    The group decides first (other, noncommercial, commercial), so that the result is never in a freer group than any of
    the codes; within a group it is ND before SA before neither.

    Raises:
        ValueError: there are no codes.
    """
    return min(codes, key=freedom)


def freedom(code: str | None) -> tuple[int, int]:
    """How much a code allows, for comparing; see ``strictest``."""
    if code is None:
        return -1, 0
    group = (OTHER, "noncommercial", "commercial").index(group_of(code))
    return group, 3 if code == CC0 else 0 if code.endswith("-ND") else 1 if code.endswith("-SA") else 2


def from_url(url: str | None) -> tuple[str | None, str | None]:
    """Code and version that a creativecommons.org URL names: ``("CC BY", "4.0")``.

    Deeds, legal codes, ports, missing schemes or versions, ``licences``, upper case and ``licenses/CC-BY`` are known.

    Returns:
        ``(None, None)`` for any other URL; the version alone may be None.
    """
    match = _URL.fullmatch((url or "").strip().casefold())
    if not match:
        return None, None
    name = match["name"].strip("-")
    code = _URL_NAMES.get(name) or normalise(name if name.startswith("cc") else f"cc-{name}")
    version = match["version"]
    if code is None or version is None:
        return code, None
    return code, version if "." in version else f"{version}.0"


def group_of(code: str | None, rules: Mapping[str, tuple[str, ...]] = DEFAULT_GROUPS) -> str:
    """Group of a normalised code, ``other`` when no group of ``rules`` names it."""
    return next((group for group, codes in rules.items() if code in codes), OTHER)


def codes_of(groups: tuple[str, ...], rules: Mapping[str, tuple[str, ...]] = DEFAULT_GROUPS) -> tuple[str, ...]:
    """Codes of some groups, in the order of ``CODES``.

    Raises:
        ValueError: ``rules`` has no such group.
    """
    if unknown := [group for group in groups if group not in rules]:
        raise ValueError(f"licence group {', '.join(unknown)} is unknown; there are {', '.join(rules)}")
    wanted = {code for group in groups for code in rules[group]}
    return tuple(code for code in CODES if code in wanted)


def _code(elements: str) -> str | None:
    """``ncsa`` -> ``CC BY-NC-SA``; contradictions (SA with ND) have no code."""
    return _COMBINATIONS.get(frozenset(_ELEMENTS[word] for word in re.findall(_ELEMENT, elements)))


def _named_twice(compact: str) -> str | None:
    """Code of two names of one licence, one behind the other; None if they differ or are no names."""
    for at in (
        match.start() for match in re.finditer("creativecommons|cc(?:by|attribution)", compact) if match.start()
    ):
        first, second = _FIRST_OF_TWO.fullmatch(compact[:at]), _CREATIVE_COMMONS.fullmatch(compact[at:])
        if first and second and (code := _code(first["elements"])) and code == _code(second["elements"]):
            return code
    return None


def _page_title(text: str) -> str | None:
    """Code of a deed's page by its title: ``CC BY 4.0 Deed | Attribution 4.0 International | Creative Commons``."""
    if "|" not in text:
        return None
    compacts = [re.sub(r"[^a-z0-9]", "", part.casefold()) for part in text.split("|")]
    names = [_FIRST_OF_TWO.fullmatch(part) for part in compacts if part != "creativecommons"]
    codes = {match and _code(match["elements"]) for match in names}
    return codes.pop() if len(codes) == 1 and compacts[0].startswith("cc") else None
