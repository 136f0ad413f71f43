"""The reading form of a caption: its text with what position on the page says written out, so that no number changes.

Belongs here: how raised, lowered and stacked characters are written in one line. Lines, blanks and what is left out are
as ``text.py`` has them. The rules:

* **Raised** (``sup``): ``10^6``, ``Ca^2+``, ``R^2``; in brackets where it is longer than one sign and word, or a letter
  or digit follows: ``10^(6)m``. Marks without letters and digits (``*``, ``NAD+``, ``Apoe-/-``) and ordinals (``1st``)
  stand as they are; a raised o before C or F is ``°``; a raised TM is ``™``.
* **Lowered** (``sub``): as it stands where no digits would join (``H2O``, ``IC50``, ``Vmax``), else behind ``_``
  (``x1_2``); in brackets where it holds more than a word (``x_(i+1)``).
* **Formulae** (MathML): ``1/2``, ``(a+b)/c``, ``x^2``, ``x_1``, ``x_1^2``, ``√2``, ``√(a+b)``, ``(x)^(1/3)``,
  ``∑_(i=1)^n``, a table as ``[a, b; c, d]``, accents behind their letter. Digits of two parts that are no
  neighbours in one number are parted by a blank. TeX stays TeX; a formula
  that is a picture alone is ``[formula]``.

The law: two digits stand side by side only if they do so on one line of the page.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from biomedica_assets.lib.jats.text import Walk, collapse, texts
from biomedica_assets.lib.jats.vocabulary import LOCAL_NAMES, ROLE_OF, Element, Role

PICTURED = "[formula]"
"""Stands for a formula that the file has as a picture alone: "mean ± sd" is no "meansd"."""

# Characters that XML 1.0 cannot hold: ends of what is raised and lowered, and a place where a blank may be needed.
_SUP, _SUP_END, _SUB, _SUB_END, _GAP = "\x01", "\x02", "\x03", "\x04", "\x05"
_INNERMOST = re.compile("\x01([^\x01-\x04]*)\x02|\x03([^\x01-\x04]*)\x04")
_ENDS = {"sup": (_SUP, _SUP_END), "sub": (_SUB, _SUB_END)}
_SIMPLE = re.compile(r"[+\-−–±]?[\w.,%′'*∗]+[+\-−–]?")  # noqa: RUF001
_WORD = re.compile(r"\w[\w.,%′']*")  # noqa: RUF001
_ORDINALS = frozenset({"st", "nd", "rd", "th", "er", "e", "ème", "o", "a", "º", "ª"})
_SIGNS = frozenset("+-−–")  # noqa: RUF001
_XREF = Role.XREF  # looked up once, as in ``text.py``
_POSITIONED = ("{*}sup", "{*}sub", "{*}math", "{*}inline-graphic", "{*}disp-formula")
_TOKENS = frozenset({"mi", "mn", "mo", "mtext", "ms"})
_NOTHING = frozenset(
    {"annotation", "annotation-xml", "mphantom", "none", "mprescripts", "maligngroup", "malignmark", ""}
)
_UNSEEN = str.maketrans({"\u2061": "", "\u2063": ",", "\u2064": "+", "\u200b": ""})
_TIMES = "\u2062"
_ATOM = re.compile(r"[\w.′'%]+|.|\(.*\)|√\w+", re.DOTALL)  # noqa: RUF001


def has_position(element: Element) -> bool:
    """Whether anything in an element is raised, lowered or a formula: else its reading form is its text."""
    return next(element.iterdescendants(*_POSITIONED), None) is not None


def reading_text(element: Element) -> str:
    """Text of an element in the reading form; ``""`` if it has none."""
    return _ReadingWalk(element, ()).text()


class _ReadingWalk(Walk):
    """A walk that writes down where raised and lowered characters begin and end."""

    __slots__ = ()

    def inside(self, element: Element, skip: int) -> None:
        ends = _ENDS.get(LOCAL_NAMES[element.tag])
        if ends is not None:
            self.pieces.append(ends[0])
        if text := element.text:
            self.pieces.append(text)
        for child in element:
            role = ROLE_OF[child.tag]
            if role <= _XREF:
                self.inside(child, skip)
            else:
                self.other(child, role, skip)
            if tail := child.tail:
                self.pieces.append(tail)
        if ends is not None:
            self.pieces.append(ends[1])

    def formula(self, element: Element, role: Role) -> None:
        before = len(self.pieces)
        super().formula(element, role)
        pictured = role in {Role.FORMULA, Role.DISPLAY} and not "".join(self.pieces[before:]).strip()
        if pictured and next(element.iterdescendants("{*}inline-graphic", "{*}graphic"), None) is not None:
            self.pieces.append(f" {PICTURED} ")

    def math(self, element: Element) -> None:
        written, made_up = _linear(element)
        self.pieces.append(f"{_GAP}{written}{_GAP}" if made_up else written)

    def text(self) -> str:
        return collapse(_resolved("".join(self.pieces)))


def _resolved(raw: str) -> str:
    """Marks of position written out, from the inside out: one pass over the text for each depth of nesting."""
    while _SUP in raw or _SUB in raw:
        raw = _INNERMOST.sub(_written, raw)
    parts = raw.split(_GAP)
    out = [parts[0]]
    last = parts[0][-1:]
    for part in parts[1:]:
        if part:
            out.append(f" {part}" if _is_word(last) and _is_word(part[0]) else part)
            last = part[-1]
    return "".join(out)


def _written(found: re.Match[str]) -> str:
    content: str = found[1] if found[2] is None else found[2]
    text = content.strip()
    if not text:
        return content
    start = content.index(text)
    lead, trail = content[:start], content[start + len(text) :]  # blanks stand on the line, not above it
    before = lead[-1:] or _visible_before(found.string, found.start())
    after = trail[:1] or _visible_after(found.string, found.end())
    return f"{lead}{(_raised if found[2] is None else _lowered)(text, before, after)}{trail}"


def _visible_before(raw: str, at: int) -> str:
    """The character before a place that a reader sees on the same line; ``""`` at its beginning."""
    while at and raw[at - 1] in "\x02\x04\x05":
        at -= 1
    return "" if not at or raw[at - 1] in "\x01\x03" else raw[at - 1]


def _visible_after(raw: str, at: int) -> str:
    """The character behind a place; ``^`` if that is raised, which never joins."""
    while at < len(raw) and raw[at] in "\x02\x03\x04\x05":
        at += 1
    return raw[at : at + 1].replace(_SUP, "^")


@functools.lru_cache(maxsize=1024)  # half of what is raised is one of ten texts
def _raised(text: str, before: str, after: str) -> str:
    if not any(c.isalnum() or c in _SIGNS for c in text):
        return text
    if all(c in _SIGNS or c == "/" for c in text) and not _is_word(after):
        return text
    if text in {"TM", "tm"}:
        return "™"
    if text in {"o", "O", "º"} and after in {"C", "F"} and (before.isdigit() or before in {"", " ", "\u00a0"}):
        return "°"
    if text in _ORDINALS and before.isdigit() and not _is_word(after):
        return text
    return f"^{text}" if _SIMPLE.fullmatch(text) and not _is_word(after) else f"^({text})"


@functools.lru_cache(maxsize=1024)
def _lowered(text: str, before: str, after: str) -> str:
    if not _WORD.fullmatch(text):
        return text if not any(c.isalnum() for c in text) else f"_({text})"
    joins = (before.isnumeric() and text[0].isnumeric()) or (text[-1].isnumeric() and after.isnumeric())
    joins = joins or (text[-1] in ".," and after.isnumeric()) or (before in {".", ","} and text[0].isnumeric())
    if not joins:
        return text
    return f"_({text})" if _is_word(after) else f"_{text}"


def _is_word(character: str) -> bool:
    return bool(character) and (character.isalnum() or character in "^_")


def _linear(element: Element) -> tuple[str, bool]:  # noqa: PLR0911 - a case for each kind of element
    """A formula in one line, and whether it is made up of more than what stands on one line of the page."""
    name = LOCAL_NAMES[element.tag]
    if name in _NOTHING:
        return "", False
    if name == "mspace":
        return " ", False
    if name in _TOKENS:
        return _token(element), False
    if name == "mmultiscripts":
        return _multiscripts(element), True
    parts = [child for child in element if LOCAL_NAMES[child.tag] not in _NOTHING or LOCAL_NAMES[child.tag] == "none"]
    if name == "mtable":
        rows = [", ".join(_linear(cell)[0] for cell in row if LOCAL_NAMES[cell.tag]) for row in parts]
        return f"[{'; '.join(rows)}]", True
    # Each part is written once, whatever becomes of it: twice would double the cost with every level of nesting.
    written = [_linear(part) for part in parts[:1] if name == "semantics"] or [_linear(part) for part in parts]
    if name == "semantics":
        return written[0] if written else ("", False)
    if name in _STACKED and len(parts) >= _STACKED[name]:
        return _stacked(name, element, [line for line, _ in written]), True
    if name == "mfenced":
        signs = (element.get("separators") or ",").replace(" ", "") or ","
        inside = written[0][0] if written else ""
        for i, (line, _) in enumerate(written[1:]):
            inside += signs[min(i, len(signs) - 1)] + line
        return f"{element.get('open', '(')}{inside}{element.get('close', ')')}", True
    row = _row(parts, written, element.text)
    return (f"√{_atom(row)}", True) if name == "msqrt" else (row, any(made_up for _, made_up in written))


_STACKED = {
    "mfrac": 2, "msup": 2, "msub": 2, "munder": 2, "mover": 2, "mroot": 2, "msubsup": 3, "munderover": 3,
}  # fmt: skip


def _stacked(name: str, element: Element, lines: Sequence[str]) -> str:  # noqa: PLR0911 - a case for each element
    base, second = lines[0], lines[1]
    if name == "mfrac":
        if element.get("linethickness") in {"0", "0pt", "0px"}:
            return f"({base} over {second})"
        return f"{_atom(base, signed=True)}/{_atom(second)}"
    if name == "mroot":
        return f"{_bracketed(base)}^(1/{_atom(second)})"
    if name in {"munder", "mover"} and len(second.strip()) == 1 and not second.strip().isalnum():
        return f"{base}{second.strip()}"  # an accent, a bar, a brace
    base = base if name in {"munder", "mover", "munderover"} else _atom(base)
    if name in {"msup", "mover"}:
        return f"{base}{_script('^', second)}"
    if name in {"msub", "munder"}:
        return f"{base}{_script('_', second)}"
    return f"{base}{_script('_', second)}{_script('^', lines[2])}"


def _multiscripts(element: Element) -> str:
    """Base with scripts before and behind it: pairs of lowered and raised."""
    base, behind, before, ahead = "", list[str](), list[str](), False
    for i, child in enumerate(child for child in element if LOCAL_NAMES[child.tag]):
        if LOCAL_NAMES[child.tag] == "mprescripts":
            ahead = True
        elif not i:
            base = _linear(child)[0]
        else:
            (before if ahead else behind).append(_linear(child)[0])
    written = [
        "".join(_script("_^"[i % 2], script) for i, script in enumerate(scripts)) for scripts in (before, behind)
    ]
    gap = " " if written[0] and _is_word(written[0][-1]) and base[:1].isdigit() else ""
    return f"{written[0]}{gap}{_atom(base)}{written[1]}"


def _row(parts: Sequence[Element], lines: Sequence[tuple[str, bool]], text: str | None) -> str:
    """Neighbours on one line; a blank where letters or digits of a made-up part would join what stands beside it."""
    out, out_made_up = " ".join((text or "").split()), False
    for part, (written, made_up) in zip(parts, lines, strict=True):
        if out and written and (made_up or out_made_up) and _is_word(out[-1]) and _is_word(written[0]):
            out += " "
        out, out_made_up = out + written, made_up if written else out_made_up
        tail = " ".join((part.tail or "").split())
        if tail:
            out, out_made_up = out + tail, False
    if _TIMES not in out:
        return out
    # Times that is not printed: it must not make one number of two.
    return re.sub(rf"{_TIMES}", "", re.sub(rf"(?<=\d){_TIMES}+(?=\d)", "·", out))


def _token(element: Element) -> str:
    raw = (element.text or "") if not len(element) else "".join(texts(element))
    if raw.isascii() and raw.isalnum():
        return raw
    raw = raw.translate(_UNSEEN)
    return " ".join(raw.split()) if raw.strip() else " " if raw else ""


def _script(sign: str, text: str) -> str:
    text = text.strip()
    return f"{sign}{_atom(text, signed=True)}" if text else ""


def _atom(text: str, *, signed: bool = False) -> str:
    """In brackets unless it is one thing already."""
    if not text:
        return ""
    bare = text[1:] if signed and text[:1] in _SIGNS else text
    return text if _ATOM.fullmatch(bare) and _balanced(bare) else f"({text})"


def _bracketed(text: str) -> str:
    return text if text.startswith("(") and _balanced(text) and text.endswith(")") else f"({text})"


def _balanced(text: str) -> bool:
    """Whether a text that begins with a bracket is closed by its last character and not before."""
    if not text.startswith("("):
        return True
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if not depth:
            return i == len(text) - 1
    return False
