"""What the text says of a figure: labelling functions over caption, mentions, subject headings and kind of element.

Belongs here: where rules are looked for, what takes a match back, and the stage. A match is taken back where it is
negated ("no CT was done", "histology not shown"), or where the phrase only says where numbers or a diagnosis come from
("quantification of the western blots", "confirmed by MRI"): then another picture is shown. The idea of a short list of
triggers with a scope of a few words is NegEx's (Chapman et al. 2001).
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterable, Mapping

import polars as pl

from biomedica_assets.lib.annotate.sources.rules import Rule, Rules, shipped
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CAPTIONS, FIGURES, MENTIONS, PUBMED_RECORDS, TEXT_LABELS

VERSION = "2"
PLACES = ("kind", "head", "panel", "caption", "mention", "mesh")
"""Where a rule matched, strongest first: kind of element, head (first sentence) of the caption, right behind a panel's
letter ("(B) Western blot of"), the rest of the caption, a sentence that cites the figure, a subject heading."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z(\[])|\n+")
_CLAUSE = re.compile(r"[;:()\[\]]|,\s+(?:but|whereas|while|and)\b")
_PANEL = re.compile(
    r"(?:\(\s*[A-Za-z](?:\s*[-\u2010-\u2013,&]\s*[A-Za-z])*\s*\)|^[A-Z](?:\s*[-\u2010-\u2013,&]\s*[A-Z])*[.:,)]?(?=\s))"
    r"[^.;:()]{0,40}$"
)
_BEFORE = re.compile(
    r"(?i)\b(?:no|not|without|lacks?|lacking|absence of|instead of|rather than|unlike|neither|nor|never|negative for|"
    r"unavailable|excluding|except)\s+(?:[\w-]+\s+){0,3}$"
)
_AFTER = re.compile(
    r"(?i)^(?:\W+[\w-]+){0,5}?\W+(?:not shown|not done|not performed|not available|not included|unavailable|"
    r"(?:was|were|is|are) not|data not shown|omitted)\b"
)
_DERIVED = re.compile(
    r"(?i)\b(?:quantifications?|quantified|quantitation|quantitative analysis|densitometry|densitometric analysis|"
    r"confirmed|detected|determined|measured|assessed|evaluated|analy[sz]ed|diagnosed|calculated|estimated|verified|"
    r"validated|derived|obtained|identified|counted|monitored|screened|undergoing|underwent|prior|before|after|"
    r"according|see|based|compared|corresponding|correlat\w+|relative)\s+(?:(?:of|by|with|using|from|in|on|to|through|"
    r"via|at|for|the|an?|all|three|independent|representative|both|routine|our)\s+){0,4}$"
)
_DERIVING = frozenset({"kind-plot", "kind-pcr"})
"""Tops to which the second list does not apply: numbers that were measured, compared and counted are plotted."""
_WINDOW = 90  # characters before and after a match that are looked at
_MAX_TEXT = 20_000  # a caption longer than this is a supplement gone astray


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """One claim of the text: the rule that matched, where, and the words."""

    rule: Rule
    place: str
    words: str


def taken_back(text: str, start: int, end: int, *, shows_numbers: bool = False) -> bool:
    """Whether the words around a match say that it is not shown.

    Args:
        text: one sentence.
        start: first character of the match.
        end: one past its last.
        shows_numbers: the rule speaks of plots, for which "measured by" and the like take nothing back.
    """
    before = _CLAUSE.split(text[max(0, start - _WINDOW) : start])[-1]
    after = re.split(r"[;]", text[end : end + _WINDOW])[0]
    if _BEFORE.search(before) or _AFTER.match(after):
        return True
    return not shows_numbers and bool(_DERIVED.search(before))


def read_caption(caption: str, rules: Rules, top: Mapping[str, str]) -> list[Found]:
    """Claims of a caption: of its first sentence (``head``), behind a panel's letter, and of the rest (``caption``)."""
    found: list[Found] = []
    sentences = [s for s in _SENTENCE.split(caption[:_MAX_TEXT]) if s.strip()]
    for number, sentence in enumerate(sentences):
        found += _of_sentence(sentence, "head" if number == 0 else "caption", rules, top)
    return found


def read_mention(text: str, start: int, end: int, rules: Rules, top: Mapping[str, str]) -> list[Found]:
    """Claims of the sentence that cites a figure; characters ``start`` to ``end`` are the citation."""
    begin = 0
    for gap in _SENTENCE.finditer(text):
        if gap.start() >= end:
            return _of_sentence(text[begin : gap.start()], "mention", rules, top)
        if gap.end() <= start:
            begin = gap.end()
    return _of_sentence(text[begin:], "mention", rules, top)


def _of_sentence(sentence: str, place: str, rules: Rules, top: Mapping[str, str]) -> list[Found]:
    found: list[Found] = []
    for start, end, matched in rules.matches(sentence):
        for rule in matched:
            numbers = top[rule.concepts[0]] in _DERIVING
            if not taken_back(sentence, start, end, shows_numbers=numbers):
                behind_letter = place == "caption" and bool(_PANEL.search(sentence[max(0, start - _WINDOW) : start]))
                found.append(Found(rule, "panel" if behind_letter else place, sentence[start:end]))
    return found


def claims_of(
    figures: pl.DataFrame,
    captions: pl.DataFrame,
    mentions: pl.DataFrame,
    headings: Mapping[str, Iterable[str]],
    rules: Rules,
) -> pl.DataFrame:
    """What the text says of each figure, in the schema of ``text_labels``.

    Args:
        figures: figure_id, article_id, kind.
        captions: figure_id, caption.
        mentions: figure_id, text, start, end, inferred.
        headings: article_id -> MeSH descriptors.
        rules: what is looked for.

    Returns:
        One row per figure, concept, rule and place; the words are those of the first match.
    """
    taxonomy = load()
    top = {concept: taxonomy.top(concept) for concept in taxonomy.concepts}
    rows: dict[tuple[str, str, str, str], dict[str, object]] = {}

    def note(figure: str, found: Iterable[Found]) -> None:
        for one in found:
            for concept in one.rule.concepts:
                key = (figure, concept, one.rule.name, one.place)
                said: dict[str, object] = {"words": one.words, "trust": one.rule.trust}
                rows.setdefault(key, {**dict(zip(TEXT_LABELS.key, key, strict=True)), **said})

    for figure, article, kind in figures.select("figure_id", "article_id", "kind").iter_rows():
        note(figure, [Found(rule, "kind", kind) for rule in rules.of_kind.get(kind, ())])
        for heading in headings.get(article, ()):
            note(figure, [Found(rule, "mesh", heading) for rule in rules.of_mesh.get(heading.casefold(), ())])
    for figure, caption in captions.select("figure_id", "caption").iter_rows():
        note(figure, read_caption(caption, rules, top))
    cited = mentions.filter(~pl.col("inferred")).select("figure_id", "text", "start", "end")
    for figure, text, start, end in cited.iter_rows():
        note(figure, read_mention(text, start, end, rules, top))
    return TEXT_LABELS.frame(list(rows.values())).sort(TEXT_LABELS.key)


def stage_text_labels(lake: Lake, chunk: str) -> Report:
    """Publish ``text_labels`` of one chunk; subject headings are read where ``pubmed_records`` is there.

    ``n_in`` and ``n_out`` count figures: one of which the text says nothing is no loss.
    """
    began = time.perf_counter()
    rules = shipped(lake.root / "rules")
    reads = [(FIGURES, chunk), (CAPTIONS, chunk), (MENTIONS, chunk)]
    known = lake.manifest(PUBMED_RECORDS, chunk) is not None
    inputs = lake.inputs(*reads, *([(PUBMED_RECORDS, chunk)] if known else []))
    headings: dict[str, list[str]] = {}
    if known:
        for article, mesh in lake.read(PUBMED_RECORDS, chunk).select("article_id", "mesh").iter_rows():
            headings[article] = [str(heading["descriptor"]) for heading in mesh or ()]
    figures = lake.read_lazy(FIGURES, chunk).select("figure_id", "article_id", "kind").collect()
    captions = lake.read_lazy(CAPTIONS, chunk).select("figure_id", "caption").collect()
    mentions = lake.read_lazy(MENTIONS, chunk).select("figure_id", "text", "start", "end", "inferred").collect()
    frame = claims_of(figures, captions, mentions, headings, rules)
    manifest = lake.publish(
        TEXT_LABELS,
        chunk,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config={"rules": sorted(rules.all), "taxonomy_version": load().version},
        n_in=figures.height,
        n_out=figures.height,
    )
    spoken = frame["figure_id"].n_unique()
    return Report(
        asset=TEXT_LABELS.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=figures.height,
        n_out=figures.height,
        bytes_written=manifest.bytes,
        seconds=time.perf_counter() - began,
        metrics={
            "figures_with_a_label": spoken,
            "rules_that_matched": frame["rule"].n_unique(),
            **{f"from_{place}": frame.filter(place=place).height for place in PLACES},
        },
        preview=tuple(frame.head(12).iter_rows(named=True)),
    )
