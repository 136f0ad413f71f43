"""Licence spellings -> normalised codes -> groups.

Belongs here: what counts as which licence, and which licences form which group. Groups are data (``DEFAULT_GROUPS``).
Does not belong here: where a licence is read from (metadata JSON: ``lib.pmc``; JATS permissions: ``lib.jats``).

One rule stands above all others: a text that is not understood completely has no code, so it never becomes commercial.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

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
    r"(?:licen[sc]e)?(?:version|v)?(?:\d{1,2})?"
    r"(?:international|intl|unported|universal|generic|igo|(?<=\d)(?!nc|nd|sa)[a-z]{2})?(?:public)?(?:licen[sc]e)?"
)
_CREATIVE_COMMONS = re.compile(
    rf"(?:the)?(?:creativecommons|cc)(?:cc)?(?:by|attribution)(?P<elements>(?:{_ELEMENT})*){_TAIL}"
)
_TAIL_ONLY = re.compile(_TAIL)
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
    for spelling, code in _SPELLINGS.items():
        if compact.startswith(spelling) and _TAIL_ONLY.fullmatch(compact.removeprefix(spelling)):
            return code
    return None


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
