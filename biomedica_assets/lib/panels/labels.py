"""Panel labels as captions print them: "A", "a-c", "A, B and D", "Ai", "B2"; and the ways they are marked in text.

Belongs here: what a label is, how groups and ranges of labels are read, and the notations in which they stand in a
caption. What part of the caption a label speaks of is decided in ``subcaptions``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

# A label: one letter, perhaps with a number, a small roman numeral or primes ("A2", "Bii", "C'").
_ONE = r"[A-Za-z](?:\d{1,2}|[ivx]{1,4}(?![A-Za-z])|['′″]{1,2})?"  # noqa: RUF001
_DASH = r"[-‐-―−~]"  # noqa: RUF001
_LINK = rf"(?:\s*,\s*and\s*|\s*[,&/]\s*|\s*{_DASH}\s*|\s+(?:and|to|or|through)\s+)"
GROUP = rf"{_ONE}(?:{_LINK}{_ONE})*"
_BRACKETED = rf"[(\[]\s*{GROUP}\s*[)\]]"
NAMED = rf"{_BRACKETED}(?:{_LINK}{_BRACKETED})*"
"""Labels in brackets and what links them: "(A)", "(A-C)", "(A), (B) and (D)"."""
_LABEL = re.compile(_ONE)
_PIECES = re.compile(rf"({_LINK})|({_ONE})")
_ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")


@dataclasses.dataclass(frozen=True, slots=True)
class Marker:
    """A place in a caption where panels are named.

    Attributes:
        start: first character of the marking, brackets included.
        stop: one past its last character; the punctuation that belongs to it included.
        labels: labels it names, ranges expanded, in the order of the text.
        opens: it stands where a clause begins.
        closes: a clause ends behind it.
    """

    start: int
    stop: int
    labels: tuple[str, ...]
    opens: bool
    closes: bool


def expand(group: str) -> tuple[str, ...]:
    """Labels of a printed group: "A-C" gives A, B, C; "(a), c and d" gives a, c, d; empty if they run backwards."""
    group = re.sub(r"[()\[\]]", "", group)
    found: list[str] = []
    linked_by_range = False
    for link, label in _PIECES.findall(group):
        if link:
            linked_by_range = bool(re.search(rf"{_DASH}|\bto\b|through", link))
        elif linked_by_range and found:
            between = _between(found[-1], label)
            if not between:
                return ()
            found += between
            linked_by_range = False
        else:
            found.append(label)
    places = [main(label) for label in found]
    # "(H, F, Y, W)" are amino acids: panels are named in order
    return tuple(dict.fromkeys(found)) if places == sorted(places) else ()


def _between(first: str, last: str) -> list[str]:
    """Labels after ``first`` up to ``last``; empty where they make no range."""
    if len(first) == 1 and len(last) == 1:
        if first.islower() != last.islower() or ord(last) <= ord(first):
            return []
        return [chr(code) for code in range(ord(first) + 1, ord(last) + 1)]
    if first[0] == last[0] and first[1:].isdigit() and last[1:].isdigit() and int(first[1:]) < int(last[1:]):
        return [f"{first[0]}{n}" for n in range(int(first[1:]) + 1, int(last[1:]) + 1)]
    if first[0] == last[0] and first[1:] in _ROMAN and last[1:] in _ROMAN:
        steps = range(_ROMAN.index(first[1:]) + 1, _ROMAN.index(last[1:]) + 1)
        return [first[0] + _ROMAN[n] for n in steps]
    return []


LETTER, PART, PLACE = "letter", "part", "place"


def kind_of(labels: Sequence[str]) -> str:
    """How panels are named: by letters ("A"), some by a letter and more ("Ai", "B2"), or by words of place ("left")."""
    if not all(_LABEL.fullmatch(label) for label in labels):
        return PLACE
    return LETTER if all(len(label) == 1 for label in labels) else PART


def main(label: str) -> int:
    """Place in the alphabet of the label's letter: 0 for A and a."""
    return ord(label[0].lower()) - ord("a")


def roman(label: str) -> int:
    """Place of a roman numeral, 0 for "i"; -1 where it is none."""
    return _ROMAN.index(label.lower()) if label.lower() in _ROMAN else -1
