"""What each invented article is: its numbers, licence, flags, wrapper and the constructs it has to contain.

The cast is fixed: articles that show every construct and every fault at least once. The rest are ordinary articles with
a construct here and there. No XML and no pictures here.
"""

from __future__ import annotations

import dataclasses
from typing import TypedDict

import numpy as np

from biomedica_assets.lib.demo.draw.canvas import Rng, pick
from biomedica_assets.lib.demo.words import JOURNALS, Journal

# Two shelves and five chunks at chunk_span 20 000; the share of the articles that each gets.
CHUNK_STARTS = (7_340_000, 7_360_000, 7_380_000, 11_120_000, 11_140_000)
SHARES = (0.25, 0.2, 0.2, 0.2, 0.15)
CC = "https://creativecommons.org/licenses"


@dataclasses.dataclass(frozen=True, slots=True)
class Licence:
    """How an article states its licence: code as the JSON spells it, URL in the XML, normalised code."""

    raw: str | None
    url: str | None
    code: str | None

    @property
    def allowed(self) -> bool:
        """Whether the default selection takes it (groups commercial and noncommercial)."""
        return self.code is not None and self.code.startswith("CC")


LICENCES: dict[str, Licence] = {
    "by": Licence("CC BY", f"{CC}/by/4.0/", "CC BY"),
    "by3": Licence("cc-by", "http://creativecommons.org/licenses/by/3.0", "CC BY"),
    "by long": Licence("CC BY 4.0", f"{CC}/by/4.0/legalcode", "CC BY"),
    "by-sa": Licence("CC BY-SA", f"{CC}/by-sa/4.0/", "CC BY-SA"),
    "by-nd": Licence("CC BY-ND", f"{CC}/by-nd/4.0/", "CC BY-ND"),
    "by-nc": Licence("CC BY-NC", f"{CC}/by-nc/4.0/", "CC BY-NC"),
    "by-nc-nd": Licence("CC BY-NC-ND", f"{CC}/by-nc-nd/4.0/", "CC BY-NC-ND"),
    "by-nc-sa": Licence("CC-BY-NC-SA", f"{CC}/by-nc-sa/3.0/", "CC BY-NC-SA"),
    "cc0": Licence("CC0", "https://creativecommons.org/publicdomain/zero/1.0/", "CC0"),
    "none": Licence(None, None, None),
    "no code": Licence("NO-CC CODE", None, None),
    "tdm": Licence("TDM", None, "TDM"),
}
USUAL = ("by",) * 9 + ("by3", "by long", "by-nc", "by-nc", "by-nc-nd", "by-nc-sa", "by-sa", "by-nd", "cc0", "none")


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One article version to be written.

    Attributes:
        pmcid: number of the article.
        version: its version.
        stream: what its random numbers are seeded with beside the seed; versions of one article share it.
        licence: how it is licensed.
        journal: where it appeared.
        date: year, month, day; the last one or two may be None.
        figures: ordinary figures in its results, before those that constructs add.
        constructs: names of ``constructs.CONSTRUCTS``.
        wrapper: plain, oai, namespaced or set: what surrounds the article in its file.
        article_type: as in JATS.
        flags: which of manuscript, ocr, retracted, closed hold.
        faults: which of malformed, xml_md5, json_fields, json_broken are done to its files.
        superseded: a newer version of it exists.
        retracts: number of the article that this one retracts, if any.
    """

    pmcid: int
    version: int
    stream: int
    licence: Licence
    journal: Journal
    date: tuple[int, int | None, int | None]
    figures: int
    constructs: tuple[str, ...]
    wrapper: str = "plain"
    article_type: str = "research-article"
    flags: frozenset[str] = frozenset()
    faults: frozenset[str] = frozenset()
    superseded: bool = False
    retracts: int | None = None

    @property
    def article_id(self) -> str:
        """``PMC123.1``."""
        return f"PMC{self.pmcid}.{self.version}"

    @property
    def left_out_because(self) -> str | None:
        """Why the default selection does not take it, as ``article_index`` names it; None if it does."""
        reasons = (
            ("not_newest_version", self.superseded),
            ("not_open_access", "closed" in self.flags),
            ("retracted", "retracted" in self.flags),
            ("historical_ocr", "ocr" in self.flags),
            ("license_not_allowed", not self.licence.allowed),
        )
        return next((reason for reason, holds in reasons if holds), None)


class Traits(TypedDict, total=False):
    """What differs from an ordinary article; values as in ``Plan``, words separated by blanks where it has sets."""

    licence: str
    figures: int
    wrapper: str
    article_type: str
    flags: str
    faults: str
    versions: tuple[int, ...]
    key: str
    retracts: str
    late: bool


# Constructs, traits. Together they show everything at least once; "late" ones copy images of earlier articles.
CAST: tuple[tuple[str, Traits], ...] = (
    ("fig_group in_list", {}),
    ("nested_fig multi_rid", {}),
    ("several_graphics in_italics", {"licence": "by3"}),
    ("alternatives in_table", {"licence": "by long"}),
    ("floats_group range_dash", {"figures": 4}),
    ("boxed_text range_to", {"figures": 4}),
    ("author_response in_footnote", {"licence": "by-nc"}),
    ("translation in_abstract", {"licence": "by-sa"}),
    ("appendix range_through", {"figures": 4}),
    ("graphical_abstract in_title", {}),
    ("supplementary_fig empty_range", {"figures": 4}),
    ("table_image scheme", {}),
    ("chemical_structure formula_images", {"licence": "cc0"}),
    ("inline_graphic media_video bare_graphic", {}),
    ("caption_list caption_math caption_markup", {}),
    ("no_caption no_label no_id nothing_but_graphic", {}),
    ("fig_permissions placing_xref", {}),
    ("source_data_in_caption citing_caption", {}),
    ("no_ref_type panel_range comment_and_instruction", {"figures": 4}),
    ("fig_in_paragraph fig_in_list fig_in_footnote", {}),
    ("similar_ids map_figure", {}),
    ("href_no_extension href_other_extension href_upper_case", {}),
    ("href_with_path href_with_doi", {"licence": "by-nc-nd"}),
    ("name_with_spaces name_with_quote name_not_ascii", {}),
    ("form_png form_gif form_webp", {}),
    ("form_tif form_pages form_cmyk form_png16 form_palette", {}),
    ("multi_rid", {"wrapper": "oai"}),
    ("fig_group", {"wrapper": "namespaced", "licence": "by-nd"}),
    ("alternatives", {"wrapper": "set"}),
    ("copies", {"late": True}),
    ("copies", {"late": True}),
    ("in_list", {"flags": "retracted", "key": "retracted"}),
    ("", {"article_type": "retraction", "figures": 0, "retracts": "retracted"}),
    ("caption_markup", {"versions": (1, 2)}),
    ("in_table", {"versions": (2, 10)}),
    ("", {"flags": "manuscript", "licence": "tdm"}),
    ("several_graphics", {"flags": "manuscript"}),
    ("", {"flags": "ocr", "licence": "none", "figures": 1}),
    ("", {"flags": "closed"}),
    ("", {"licence": "no code"}),
    ("", {"licence": "none"}),
    ("", {"figures": 4}),
    ("range_dash", {"faults": "malformed", "figures": 3}),
    ("", {"faults": "xml_md5"}),
    ("in_footnote", {"faults": "json_fields"}),
    ("", {"faults": "json_broken"}),
    ("truncated_jpeg missing_object", {}),
    ("missing_entry html_for_image", {}),
    ("image_md5 ambiguous_href", {}),
    ("fig_without_graphic", {"licence": "by-nc-sa"}),
)
SPICE = (
    "in_italics",
    "several_graphics",
    "multi_rid",
    "in_list",
    "caption_markup",
    "href_no_extension",
    "form_png",
    "alternatives",
    "fig_group",
    "table_image",
    "scheme",
    "in_abstract",
    "supplementary_fig",
)
MINIMUM = sum(len(traits.get("versions", (1,))) for _, traits in CAST)


def plans(seed: int, articles: int) -> list[Plan]:
    """Every article version of a mirror, in the order in which they are made (copies last).

    Args:
        seed: of everything random.
        articles: how many article versions; at least ``MINIMUM``, which the cast needs.

    Raises:
        ValueError: fewer articles than the cast has.
    """
    if articles < MINIMUM:
        raise ValueError(
            f"a demo mirror needs at least {MINIMUM} articles to show every construct, {articles} asked for"
        )
    rng = np.random.default_rng([seed, 1])
    numbers = _numbers(rng, articles)
    known: dict[str, int] = {}
    made: list[tuple[bool, Plan]] = []
    for stream, (constructs, traits) in enumerate([*CAST, *_ordinary(rng, articles - MINIMUM)]):
        pmcid = numbers[stream]
        if key := traits.get("key"):
            known[key] = pmcid
        versions = traits.get("versions", (1,))
        journal, date = pick(rng, JOURNALS), _date(rng)
        for version in versions:
            plan = Plan(
                pmcid=pmcid,
                version=version,
                stream=stream,
                licence=LICENCES[traits.get("licence", "by")],
                journal=journal,
                date=date,
                figures=traits.get("figures", 3),
                constructs=tuple(constructs.split()),
                wrapper=traits.get("wrapper", "plain"),
                article_type=traits.get("article_type", "research-article"),
                flags=frozenset(traits.get("flags", "").split()),
                faults=frozenset(traits.get("faults", "").split()),
                superseded=version != versions[-1],
                retracts=known[traits["retracts"]] if "retracts" in traits else None,
            )
            made.append((traits.get("late", False), plan))
    return [plan for late in (False, True) for is_late, plan in made if is_late is late]


def _ordinary(rng: Rng, count: int) -> list[tuple[str, Traits]]:
    """Articles beyond the cast: two to five figures, a usual licence, seldom a construct."""
    rows: list[tuple[str, Traits]] = []
    for _ in range(count):
        spice = pick(rng, SPICE) if rng.random() < 0.4 else ""
        rows.append((spice, {"licence": pick(rng, USUAL), "figures": int(rng.integers(2, 6))}))
    return rows


def _numbers(rng: Rng, articles: int) -> list[int]:
    """PMCIDs, no two alike, spread over the chunks by ``SHARES`` and mixed."""
    chunks = rng.choice(len(CHUNK_STARTS), size=articles, p=SHARES)
    offsets = rng.choice(20_000, size=articles, replace=False)
    return [CHUNK_STARTS[int(c)] + int(o) for c, o in zip(chunks, offsets, strict=True)]


def _date(rng: Rng) -> tuple[int, int | None, int | None]:
    """A date from 2005 to 2026; every tenth has no day, every tenth no month either."""
    year, month, day = int(rng.integers(2005, 2027)), int(rng.integers(1, 13)), int(rng.integers(1, 29))
    precision = rng.random()
    return year, (month if precision > 0.1 else None), (day if precision > 0.2 else None)
