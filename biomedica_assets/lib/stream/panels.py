"""The parts of a caption that speak of one panel each: "Title. (A) Control. (B) Treated." gives two.

JATS has no element for them: authors write letters into the running text. The rule is ours, and cautious: what it is
not sure of stays whole. It splits where letters of one notation, in alphabetical order from A, open clauses; a caption
that only refers to its panels ("treated cells (B) and controls (A)") is left alone, as is one whose letters skip.
"""

from __future__ import annotations

import re

_LETTERS = r"([A-Za-z])(?:\s*[-–—]\s*([A-Za-z])|((?:\s*(?:,|&|and)\s*[A-Za-z])+))?"  # noqa: RUF001 - dashes as printed
# A clause begins at the start, after punctuation, or after "and"; each pattern is one notation.
_BEGIN = r"(?:^|(?<=[.;:,])|(?<=[.;:,]\s)|(?<=\n)|(?<=\band\s))\s*"
_NOTATIONS = (
    re.compile(_BEGIN + r"\(\s*" + _LETTERS + r"\s*\)[\s:.,]*"),  # (A) Control
    re.compile(_BEGIN + r"(?<!\()" + _LETTERS + r"\)[\s:.,]*"),  # A) Control
    re.compile(_BEGIN + _LETTERS + r"[:.,]\s+(?=\S)"),  # A, control  A: control  A. Control
)
_SENTENCE = (".", ":", ";", "\n")


def panels(caption: str) -> list[str]:
    """Texts of the panels in order, without their letters; empty where the caption cannot be split.

    What stands before the first panel belongs to the figure and is in none. A clause for several panels ("(A, B)",
    "(C-E)") is one text.
    """
    found = (_split(caption, notation) for notation in _NOTATIONS)
    return max(found, key=len)


def _split(caption: str, notation: re.Pattern[str]) -> list[str]:
    due, cuts = 0, list[tuple[int, int]]()
    lower = False
    for match in notation.finditer(caption):
        letters = _letters(match)
        if not cuts:
            before = caption[: match.start()].rstrip(" ")
            if before and not before.endswith(_SENTENCE):
                continue
            lower = match[1].islower()
        if letters != list(range(due, due + len(letters))) or match[1].islower() != lower:
            continue
        due += len(letters)
        cuts.append((match.start(), match.end()))
    if due < 2 or len(cuts) < 2:
        return []
    ends = [*(start for start, _ in cuts[1:]), len(caption)]
    texts = [_clean(caption[start:end]) for (_, start), end in zip(cuts, ends, strict=True)]
    return texts if all(len(text) > 1 for text in texts) else []


def _letters(match: re.Match[str]) -> list[int]:
    """Places of the letters in the alphabet: "A", "A-C", "A, B and C"."""
    first, last, more = (part.lower() if part else "" for part in match.groups())
    if last:
        return list(range(ord(first) - 97, ord(last) - 96))
    rest = re.findall(r"[a-z]", more.replace("and", ""))
    return [ord(letter) - 97 for letter in (first, *rest)]


def _clean(text: str) -> str:
    return re.sub(r"[\s,;]+(?:and)?\s*$", "", text.strip())
