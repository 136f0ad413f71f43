"""Cost grows with the input: for each way in which one element can speak for many, four times the file is four times.

Each shape is an article with ``n`` of one thing and a text (or another ``n``) that they share. What is compared is what
four times as much of both costs: characters of the JSON lines, characters of the table rows, memory at its peak, and
time. Quadratic cost shows as sixteen times.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable

import orjson
import pytest

from biomedica_assets.lib.jats import mentions
from biomedica_assets.lib.jats.article import parse_article
from biomedica_assets.lib.jats.jsonl import as_json
from biomedica_assets.lib.jats.records import ParsedArticle
from biomedica_assets.lib.jats.repeats import FREE, MOST_REPEATED
from biomedica_assets.lib.jats.rows import Known, Rows

pytestmark = pytest.mark.full  # articles of megabytes, each kind at two sizes

Shape = Callable[[int], str]
KNOWN = Known("PMC1.1", 1, 1, "a.xml", "0" * 32, "CC BY", False)
WORD = "staining of tissue sections "
LONG = WORD * 200  # more than a row of mentions holds of a paragraph, which would grow until it holds that much
TO_GROUP = '<xref rid="g">x</xref> '
MEDIA = '<media xlink:href="a.jpg" mimetype="image"/>'
GRAPHIC = '<graphic xlink:href="a"/>'
CELL = f"<table><tr><td>{GRAPHIC}</td></tr></table>"
CREDIT = "Reproduced with permission from Elsevier. "
STATING = '<graphic xlink:href="a"><permissions><copyright-statement>© X</copyright-statement></permissions></graphic>'
TERMS = "<permissions><copyright-statement>© {}</copyright-statement><license>{}</license></permissions>"


def fig(i: int, inside: str = "", caption: str = "c") -> str:
    caption = f"<caption><p>{caption}</p></caption>" if caption else ""
    return f'<fig id="f{i}"><label>Figure {i}</label>{caption}{GRAPHIC.replace("a", f"a{i}")}{inside}</fig>'


def figs(n: int, caption: str = "c") -> str:
    return "".join(fig(i, caption=caption) for i in range(1, n + 1))


def xref(i: int, text: str | None = None) -> str:
    return f'<xref ref-type="fig" rid="f{i}">{i if text is None else text}</xref>'


def nested(n: int) -> str:
    """Figures one in the other, as deep as may be, each with a caption that its inner ones could take."""
    depth = 60
    stack = "".join(f'<fig id="f{i}"><caption><p>{WORD * 3}</p></caption>' for i in range(depth))
    return f"{stack}{figs(n, '')}{'</fig>' * depth}"


def deep_sections(n: int) -> str:
    depth = 60
    titles = "".join(f"<sec><title>{WORD * (n // 200 + 1)}</title>" for _ in range(depth))
    return f"{titles}{figs(n)}<p>{''.join(map(xref, range(1, n + 1)))}</p>{'</sec>' * depth}"


def group(n: int) -> str:
    return f'<fig-group id="g">{figs(n)}</fig-group>'


def groups_at_once(n: int) -> str:
    depth = 40
    groups = "".join(f'<fig-group id="g{i}">' for i in range(depth))
    xrefs = f'<xref rid="{" ".join(f"g{i}" for i in range(depth))}">x</xref> ' * (n // depth)
    return f"{groups}{figs(n)}{'</fig-group>' * depth}<p>{xrefs}</p>"


SHAPES: dict[str, Shape] = {
    "figures": lambda n: figs(n, WORD),
    "caption_of_a_group": lambda n: f"<fig-group><caption><p>{WORD * n}</p></caption>{figs(n, '')}</fig-group>",
    "credit_of_a_group": lambda n: f"<fig-group><caption><p>{CREDIT * n}</p></caption>{figs(n)}</fig-group>",
    "label_of_a_group": lambda n: f"<fig-group><label>{WORD * n}</label>{figs(n)}</fig-group>",
    "id_of_a_group": lambda n: f'<fig-group id="{"g" * 9 * n}">{figs(n)}</fig-group>',
    "attrib_of_a_group": lambda n: f"<fig-group><attrib>{CREDIT * n}</attrib>{figs(n)}</fig-group>",
    "formulae_of_a_group": lambda n: (
        f"<fig-group><caption><p>{'x<sup>2</sup><sub>i</sub> ' * n}</p></caption>{figs(n, '')}</fig-group>"
    ),
    "caption_of_an_outer_figure": lambda n: f"<fig><caption><p>{WORD * n}</p></caption>{figs(n, '')}</fig>",
    "figures_in_figures": nested,
    "siblings_in_a_group": lambda n: f"<fig-group>{'<p>x</p>' * n}{figs(n, '')}</fig-group>",
    "language": lambda n: f'<sec xml:lang="{"x" * 9 * n}">{figs(n)}</sec>',
    "title_of_a_section": lambda n: f"<sec><title>{WORD * n}</title>{figs(n)}</sec>",
    "title_over_mentions": lambda n: (
        f"<sec><title>{WORD * n}</title>{''.join(f'<p>see {xref(1)}</p>' for _ in range(n))}</sec>{figs(1)}"
    ),
    "titles_one_below_the_other": deep_sections,
    "terms_of_a_section": lambda n: f"<sec><sec-meta>{TERMS.format(WORD * n, WORD * n)}</sec-meta>{figs(n)}</sec>",
    "address_of_terms": lambda n: (
        f'<sec><sec-meta><permissions><license xlink:href="http://a/{"x" * 9 * n}"/></permissions></sec-meta>'
        f"{figs(n)}</sec>"
    ),
    "statements_of_a_part": lambda n: (
        f"<boxed-text>{'<permissions><copyright-statement>© X</copyright-statement></permissions>' * n}"
        f"{figs(n)}</boxed-text>"
    ),
    "statements_of_graphics": lambda n: f"<fig-group>{STATING * n}</fig-group>",
    "foot_of_tables": lambda n: (
        f"<table-wrap>{CELL * n}<table-wrap-foot><p>{CREDIT * n}</p></table-wrap-foot></table-wrap>"
    ),
    "sentences_of_credit": lambda n: fig(1, caption="(c) 2019 Alpha Beta. " * n),
    "one_paragraph_cites_all": lambda n: f"<p>{' '.join(map(xref, range(1, n + 1)))} {WORD * n}</p>{figs(n)}",
    "one_figure_cited_often": lambda n: f"<p>{xref(1) * n}</p>{figs(1)}",
    "one_range": lambda n: f"<p>{WORD * n} {xref(1)}-{xref(n)}</p>{figs(n)}",
    "one_range_often": lambda n: f"<p>{f'{xref(1)}-{xref(n)} ' * n}{LONG}</p>{figs(n)}",
    "ranges_in_one_paragraph": lambda n: (
        f"<p>{' '.join(f'{xref(1 + i % 9)}-{xref(n - i % 9)}' for i in range(n))}{LONG}</p>{figs(n)}"
    ),
    "ranges_in_paragraphs": lambda n: f"{f'<p>{xref(1)}-{xref(n)}</p>' * n}{figs(n)}",
    "a_group_cited_often": lambda n: f"<p>{TO_GROUP * n}{WORD * n}</p>{group(n)}",
    "a_group_cited_in_paragraphs": lambda n: f"{f'<p>{TO_GROUP}</p>' * n}{group(n)}",
    "groups_cited_at_once": groups_at_once,
    "figures_of_one_id": lambda n: f"{fig(1) * n}<p>{xref(1) * n}</p>",
    "one_id_in_sub_articles": lambda n: "".join(
        f"<sub-article><body>{fig(1)}<p>{xref(1)}</p></body></sub-article>" for _ in range(n)
    ),
    "ids_in_one_citation": lambda n: f'<p><xref rid="{" ".join(f"f{i}" for i in range(n))}">x</xref></p>{figs(n)}',
    "empty_citations": lambda n: f"<p>{WORD * n}{xref(1, '') * n}</p>{figs(1)}",
    "empty_citations_apart": lambda n: f"<p>{(WORD + xref(1, '')) * n}</p>{figs(1)}",
    "empty_citations_between": lambda n: f"<p>{xref(1)}{(WORD + xref(1, '')) * n}{xref(2)}</p>{figs(2)}",
    "empty_and_written_citations": lambda n: f"<p>{(WORD + xref(1, '') + xref(2)) * n}</p>{figs(2)}",
    "citations_in_a_caption": lambda n: f"{fig(1, caption=xref(1) * n)}{fig(2, caption=xref(1) * n)}",
    "graphics_of_a_figure": lambda n: f"<fig>{GRAPHIC * n}</fig>",
    "alternatives": lambda n: f"<fig><alternatives>{GRAPHIC * n}</alternatives></fig>",
    "supplements": lambda n: f"<supplementary-material>{MEDIA * n}</supplementary-material>",
    "comments": lambda n: f"<p>{'<!--x-->' * n}{xref(1)}</p>{figs(n)}",
}


def document(body: str) -> bytes:
    return (
        '<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><article-meta><permissions>'
        "<copyright-statement>© 2020 The Authors</copyright-statement></permissions></article-meta></front>"
        f"<body>{body}</body></article>"
    ).encode()


def parsed_of(data: bytes) -> tuple[ParsedArticle, int, int]:
    """The records, and the sizes of what is written of them."""
    parsed = parse_article(data, "PMC1.1")
    rows = Rows()
    rows.add(KNOWN, parsed)
    size = 0
    for row in (*rows.figures, *rows.captions, *rows.mentions):
        size += len(orjson.dumps(row))
    return parsed, len(orjson.dumps(as_json(parsed))), size


def seconds_of(data: bytes) -> float:
    best = 9e9
    for _ in range(3):
        began = time.process_time()
        parse_article(data, "PMC1.1")
        best = min(best, time.process_time() - began)
    return best


def peak_of(data: bytes) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        parsed_of(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


SIZE = 250
"""Things in the smaller article: 10 to 50 kB of XML."""


@pytest.mark.parametrize("name", SHAPES)
def test_four_times_the_article_costs_four_times(name: str) -> None:
    """Output and memory at most 1.7 and time at most 2.5 times what the growth of the file explains."""
    small, large = document(SHAPES[name](SIZE)), document(SHAPES[name](4 * SIZE))
    growth = len(large) / len(small)
    (_, json_small, rows_small), (_, json_large, rows_large) = parsed_of(small), parsed_of(large)
    assert json_large / json_small / growth < 1.7
    assert rows_large <= 1.7 * growth * max(rows_small, 1_000)
    assert peak_of(large) / peak_of(small) / growth < 1.7
    assert seconds_of(large) / max(seconds_of(small), 0.005) / growth < 2.5


def test_what_is_cut_is_told_and_nothing_is_cut_below_the_limit() -> None:
    """A text of 10 500 characters has room 200 times; then rows have its beginning, and a reject says so."""
    title = "t" * (FREE + 10_000)
    n = MOST_REPEATED // 10_000
    whole = parse_article(document(f"<sec><title>{title}</title>{figs(n)}</sec>"), "PMC1.1")
    assert whole.n_repeats_cut == 0
    assert {figure.section for figure in whole.figures} == {title}
    parsed = parse_article(document(f"<sec><title>{title}</title>{figs(n + 3)}</sec>"), "PMC1.1")
    assert parsed.n_repeats_cut == 3
    assert [figure.section for figure in parsed.figures] == [title] * n + [title[:FREE]] * 3
    (reject,) = as_json(parsed)["rejects"]
    assert reject["reason"] == "too_much_repeated"
    assert "3 of them were cut to 500 characters" in reject["message"]


def test_a_caption_that_is_lent_is_cut_in_all_its_forms() -> None:
    caption = "formula x<sup>2</sup> " * 1_000
    parsed = parse_article(document(f"<fig-group><caption><p>{caption}</p></caption>{figs(400, '')}</fig-group>"))
    first, last = parsed.figures[0].caption, parsed.figures[-1].caption
    assert first is not None
    assert last is not None
    assert (len(first.text), len(last.text), len(last.reading), last.xml) == (10_999, FREE, FREE, "")
    assert first.text.startswith(last.text)
    assert first.reading.startswith(last.reading)


def test_the_limit_of_implied_mentions_counts_each_figure_of_a_block_once() -> None:
    n = mentions.MOST_INFERRED // 100
    parsed = parse_article(document(f"{f'<p>{TO_GROUP * 3}</p>' * 103}{group(n)}"), "PMC1.1")
    assert len(parsed.mentions) == mentions.MOST_INFERRED
    assert parsed.n_inferred_left_out == 3 * n
