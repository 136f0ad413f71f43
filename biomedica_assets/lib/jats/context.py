"""Where an element stands: place, section path, language, the figures, groups and captions around it.

Belongs here: what can be known from the ancestors alone. It is worked out once per ancestor and remembered, so that an
article with thousands of citations costs one look at each of its elements and not a scan per citation.
"""

from __future__ import annotations

import dataclasses

from biomedica_assets.lib.jats.text import text_of
from biomedica_assets.lib.jats.vocabulary import LOCAL_NAMES, XML_LANG, Element


@dataclasses.dataclass(slots=True)  # not frozen: see ``records.record``
class Context:
    """What the ancestors of an element say.

    Attributes:
        place: innermost of the places in ``_PLACES``; ``article`` if there is none.
        section: titles of the sections, from the outside in, joined by `` > ``.
        language: ``xml:lang`` in force.
        scope: the ``sub-article`` or ``response`` around it; labels number anew in each.
        figures: the ``fig`` elements around it, from the inside out.
        captioned: those of ``figures`` in whose own caption it stands.
        group: the ``fig-group`` around it.
    """

    place: str = "article"
    section: str | None = None
    language: str | None = None
    scope: Element | None = None
    figures: tuple[Element, ...] = ()
    captioned: tuple[Element, ...] = ()
    group: Element | None = None


_PLACES = {
    "floats-group": "floats",
    "floats-wrap": "floats",
    "app": "appendix",
    "app-group": "appendix",
    "abstract": "abstract",
    "trans-abstract": "abstract",
    "sub-article": "sub-article",
    "response": "sub-article",
    "boxed-text": "boxed-text",
    "supplementary-material": "supplementary",
    "ack": "acknowledgements",
    "fn": "footnote",
    "fn-group": "footnote",
    "author-notes": "footnote",
    "table-wrap-foot": "footnote",
    "table-wrap": "table",
    "caption": "caption",
    "ref-list": "references",
}
# These say something only where no more telling place is around them (the body of a sub-article is sub-article).
_OUTER_PLACES = {"front": "front", "front-stub": "front", "body": "body", "back": "back"}
_TITLED = frozenset({"sec", "app", "ack", "abstract", "trans-abstract", "treatment-sec", "notes", "glossary", "bio"})
# RFC 5646 §4.4.1 has no use for a language tag of more than 35 characters; every row below one repeats it.
_MOST_LANGUAGE = 100
_SCOPES = frozenset({"sub-article", "response"})
_TELLING = frozenset({*_PLACES, *_OUTER_PLACES, *_TITLED, *_SCOPES, "fig", "fig-group"})


class Contexts:
    """Contexts of one article's elements, worked out when first asked for."""

    def __init__(self, article: Element) -> None:
        """Args: article: the element above which nothing counts, its own language aside."""
        self._known: dict[Element, Context] = {article: Context(language=article.get(XML_LANG))}

    def around(self, element: Element) -> Context:
        """Context made of the ancestors of ``element``, itself left out."""
        parent = element.getparent()
        return Context() if parent is None else self.within(parent)

    def within(self, element: Element) -> Context:
        """Context that the children of ``element`` stand in."""
        known = self._known.get(element)
        if known is None:
            known = self._known[element] = self._step(self.around(element), element)
        return known

    @staticmethod
    def _step(outer: Context, element: Element) -> Context:
        name = LOCAL_NAMES[element.tag]
        language = element.get(XML_LANG)
        language = language and language[:_MOST_LANGUAGE]
        if language is None and name not in _TELLING:
            return outer
        place = _PLACES.get(name) or (_OUTER_PLACES.get(name) if outer.place == "article" else None)
        section, figures, captioned = outer.section, outer.figures, outer.captioned
        if name in _TITLED:
            title = next(element.iterchildren("{*}title"), None)
            if title is not None and (text := text_of(title)):
                line = text.replace("\n", " ")
                section = f"{section} > {line}" if section else line
        elif name == "fig":
            figures = (element, *figures)
        elif name == "caption" and figures and element.getparent() is figures[0]:
            captioned = (figures[0], *captioned)
        return Context(
            place or outer.place,
            section,
            language or outer.language,
            element if name in _SCOPES else outer.scope,
            figures,
            captioned,
            element if name == "fig-group" else outer.group,
        )
