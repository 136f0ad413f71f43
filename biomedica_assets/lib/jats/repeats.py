"""Texts that one element of an article gives to many rows, and how much of them an article may write.

Belongs here: the limit that keeps the output of an article linear in its size. The caption of a group stands in the row
of each of its parts, the title of a section in that of each figure and mention in it, the terms of a part in that of
each figure they hold for: a group of 4 000 parts under a caption of 200 kB (0.7 MB of XML) were 2.4 GB of rows.
"""

from __future__ import annotations

from typing import overload

FREE = 500
"""Characters that every row may hold of such a text, whatever the article holds of them."""
MOST_REPEATED = 2_000_000
"""Most characters beyond ``FREE`` that all rows of an article hold of such texts. The most in 448 articles is 483."""


class Repeats:
    """What the rows of one article have been given so far.

    Attributes:
        n_cut: how many texts were cut because the article had no more room for them.
    """

    __slots__ = ("_left", "n_cut")

    def __init__(self) -> None:
        self._left = MOST_REPEATED
        self.n_cut = 0

    @overload
    def of(self, text: str) -> str: ...

    @overload
    def of(self, text: str | None) -> str | None: ...

    def of(self, text: str | None) -> str | None:
        """The text, or the beginning of it where the article has no more room for all of it."""
        if text is None or len(text) <= FREE:
            return text
        beyond = len(text) - FREE
        if beyond <= self._left:
            self._left -= beyond
            return text
        self.n_cut += 1
        return text[:FREE]

    def whole(self, *texts: str | None) -> bool:
        """Whether there is room for all of some texts, which are counted if so."""
        beyond = sum(max(0, len(text) - FREE) for text in texts if text)
        if beyond > self._left:
            self.n_cut += 1
            return False
        self._left -= beyond
        return True


def message(n_cut: int) -> str:
    """What a reject says of texts that were cut."""
    return (
        f"captions of groups, titles of sections and terms of parts stand in so many rows that {n_cut:,} of them were"
        f" cut to {FREE} characters; an article may repeat {MOST_REPEATED:,}"
    )
