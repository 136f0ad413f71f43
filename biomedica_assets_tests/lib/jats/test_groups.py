"""Groups, figures in figures, legends in paragraphs, sets of articles, nodes that say nothing, and cost by size."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path

import orjson
import pytest

from biomedica_assets.lib.jats import mentions as mentions_module
from biomedica_assets.lib.jats.article import parse_article, parse_articles
from biomedica_assets.lib.jats.jsonl import as_json, parse_files
from biomedica_assets.lib.jats.rows import MOST_TEXT, Known, Rows
from biomedica_assets_tests.lib.jats.build import NAMESPACES, document, fig, figures, mentions, meta, parse

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"
GROUP = '<fig-group id="g"><label>Figure 1</label><caption><p>Shared.</p></caption>{}</fig-group>'
TO_GROUP = '<p>See <xref ref-type="fig" rid="g">Fig. 1</xref>.</p>'


def cited(body: str) -> list[tuple[str | None, bool]]:
    return [(name, mention.inferred) for name, mention in mentions(body)]


def test_a_citation_of_a_group_counts_for_its_parts():
    body = TO_GROUP + GROUP.format(fig("a") + fig("b"))
    assert cited(body) == [("a", True), ("b", True)]
    assert [f.n_mentions for f in figures(body)] == [1, 1]


def test_a_part_that_is_cited_itself_is_not_inferred_as_well():
    body = '<p><xref rid="g">1</xref> and <xref rid="a">1a</xref></p>' + GROUP.format(fig("a") + fig("b"))
    assert cited(body) == [("a", False), ("b", True)]


def test_two_ids_in_one_xref_may_be_a_group_and_a_figure():
    body = '<p><xref rid="g c">1, 2</xref></p>' + GROUP.format(fig("a")) + fig("c")
    assert cited(body) == [("c", False), ("a", True)]


def test_groups_in_groups_reach_the_innermost_parts():
    inner = '<fig-group id="h">' + fig("a") + "</fig-group>"
    assert cited(TO_GROUP + GROUP.format(inner)) == [("a", True)]


def test_a_caption_of_the_group_that_cites_the_group_infers_its_parts_once():
    body = '<fig-group id="g"><caption><p><xref rid="g">x</xref></p></caption>' + fig("a") + "</fig-group>"
    assert cited(body) == [("a", True)]


def test_ids_of_groups_count_in_their_own_sub_article():
    sub = f"<sub-article><body>{TO_GROUP}{GROUP.format(fig('a2'))}</body></sub-article>"
    assert cited(TO_GROUP + GROUP.format(fig("a1"))) == [("a1", True)]
    parsed = parse(TO_GROUP + GROUP.format(fig("a1")), rest=sub)
    ids = {f.figure_id: f.xml_id for f in parsed.figures}
    assert [ids[m.figure_id] for m in parsed.mentions] == ["a1", "a2"]


@pytest.mark.parametrize(
    "picture",
    [
        '<graphic xlink:href="p.jpg"/>',
        '<alternatives><graphic xlink:href="p.jpg"/><graphic xlink:href="p.tif"/></alternatives>',
        '<graphic xlink:href="p.jpg"/><graphic xlink:href="q.jpg"/>',
    ],
)
def test_a_graphic_directly_in_a_group_is_its_picture(picture):
    (row,) = parse(TO_GROUP + GROUP.format(picture)).figures
    assert (row.element, row.kind, row.label, row.n_mentions) == ("fig-group", "figure", "Figure 1", 1)
    assert row.caption is not None and (row.caption.text, row.caption.inherited) == ("Shared.", False)
    assert row.graphics[0].href == "p.jpg"


def test_a_group_with_a_picture_and_parts_has_rows_for_each():
    rows = parse(TO_GROUP + GROUP.format('<graphic xlink:href="p.jpg"/>' + fig("a"))).figures
    assert sorted((row.element, row.n_mentions) for row in rows) == [("fig", 1), ("fig-group", 1)]


OUTER = '<fig id="n"><label>3</label><caption><p>Outer.</p></caption>{}</fig>'


@pytest.mark.parametrize(
    ("inner", "text", "source"),
    [
        ('<fig id="i"><graphic xlink:href="i.jpg"/></fig>', "Outer.", "fig"),
        ('<fig id="i"><caption><p>Own.</p></caption></fig>', "Own.", "caption"),
        ('<fig id="i"><caption><p> </p></caption></fig>', "Outer.", "fig"),
        ('<fig id="i"><p>A legend.</p></fig>', "A legend.", "p"),
        ('<fig-group><caption><p>Group.</p></caption><fig id="i"/></fig-group>', "Group.", "fig-group"),
        ('<p><fig id="i"/></p>', "Outer.", "fig"),
    ],
)
def test_a_part_without_a_caption_has_that_of_what_is_nearest(inner, text, source):
    found = next(f for f in figures(OUTER.format(inner)) if f.xml_id == "i").caption
    assert found is not None and (found.text, found.source) == (text, source)
    assert found.inherited == (source in {"fig", "fig-group"})


def test_a_figure_that_only_holds_parts_is_cited_for_them():
    body = '<p><xref rid="n">3</xref></p>' + OUTER.format(fig("i") + fig("j"))
    assert cited(body) == [("n", False), ("i", True), ("j", True)]


def test_a_figure_with_a_picture_of_its_own_is_not_cited_for_its_supplements():
    body = '<p><xref rid="n">3</xref></p>' + OUTER.format('<graphic xlink:href="n.jpg"/>' + fig("i"))
    assert cited(body) == [("n", False)]


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("<p>Legend.</p>", "Legend."),
        ("<p>One.</p><p>Two.</p>", "One.\nTwo."),
        ("<caption><p>Short.</p></caption><p>And on.</p>", "Short.\nAnd on."),
        ("<caption><p>Short.</p></caption><p><fig id='x'/></p>", "Short."),
    ],
)
def test_a_legend_in_paragraphs_is_not_lost(inside, text):
    found = figures(f'<fig id="f">{inside}</fig>')[0].caption
    assert found is not None and found.text == text


@pytest.mark.skipif(not CASES.is_dir(), reason="the small inputs of ../shared/cases are not here")
def test_the_groups_of_the_cases():
    parsed = parse_article((CASES / "groups_and_nesting.xml").read_bytes())
    by_id = {f.xml_id: f for f in parsed.figures}
    assert by_id["g1a"].n_mentions == 1 and by_id["g1b"].n_mentions == 1
    assert by_id["n2"].caption.text == "Outer words." and by_id["n2"].caption.inherited
    assert (by_id["g2"].label, by_id["g2"].caption.text) == ("Figure 2", "Graphic directly in the group.")
    assert [g.href for g in by_id["g2"].graphics] == ["p2.jpg"]
    assert by_id["z"].caption.text == "Legend given as a paragraph of the figure itself."


def article(number: int | None, body: str = "<p/>") -> str:
    front = meta(f'<article-id pub-id-type="pmcid">PMC{number}</article-id>' if number else "")
    return f"<article {NAMESPACES}><front>{front}</front><body>{body}</body></article>"


def lines(tmp_path, name: str, text: str) -> tuple[list[dict], int, str]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    out, err = io.StringIO(), io.StringIO()
    code = parse_files([path], out, err)
    return [json.loads(line) for line in out.getvalue().splitlines()], code, err.getvalue()


def test_a_set_gives_a_line_for_each_article(tmp_path):
    text = f"<pmc-articleset>{article(71, fig('f'))}{article(72, fig('f'))}{article(None)}</pmc-articleset>"
    found, code, _ = lines(tmp_path, "set.xml", text)
    assert code == 0
    assert [line["article"]["article_id"] for line in found] == ["PMC71", "PMC72", "set-3"]
    assert len({f["figure_id"] for line in found for f in line["figures"]}) == 2


def test_in_a_set_the_article_that_the_file_is_named_after_has_its_name(tmp_path):
    found, _, _ = lines(tmp_path, "PMC72.3.xml", f"<pmc-articleset>{article(71)}{article(72)}</pmc-articleset>")
    assert [line["article"]["article_id"] for line in found] == ["PMC71", "PMC72.3"]


def test_an_article_of_a_set_without_content_is_a_reject_and_not_silence(tmp_path):
    found, code, err = lines(tmp_path, "set.xml", f"<pmc-articleset>{article(71)}<article/></pmc-articleset>")
    assert code == 1 and "1 <article> of 2" in err
    assert [line["article"] is None for line in found] == [False, True]


def test_the_library_gives_all_articles_of_a_set():
    data = f"<pmc-articleset>{article(71)}{article(72)}</pmc-articleset>".encode()
    found, without = parse_articles(data)
    assert [one.article.article_id for one in found] == ["PMC71", "PMC72"] and without == 0
    assert parse_article(data, "PMC72.1", wanted_pmcid=72).article.pmcid == 72


@pytest.mark.parametrize("node", ["<!-- 9 -->", "<?pi 9?>"])
def test_comments_and_instructions_change_nothing(node):
    def made(n: str) -> object:
        front = meta(
            f'<article-id pub-id-type="pmcid">PM{n}C7{n}1</article-id>'
            f'<article-id pub-id-type="pmid">1{n}2</article-id>'
            f'<article-id pub-id-type="pmcid-ver">PMC71.{n}4</article-id>'
            f'<article-id pub-id-type="doi">10.{n}1/x</article-id>'
            f"<title-group><article-title>A ti{n}tle</article-title></title-group>"
            f"<contrib-group><contrib><collab>The {n}group<contrib-group/></collab></contrib></contrib-group>"
            f"<pub-date><year>20{n}21</year></pub-date>"
        )
        body = (
            f'<p>As <xref rid="f">Fi{n}g. 1</xref></p><fig id="f"><label>Fig{n}ure 1</label>'
            f"<caption><title>A {n}b</title>"
            f"<p>10<sup>{n}6</sup> c{n}d</p></caption>{n}<graphic xlink:href='a.jpg'/></fig>"
        )
        return parse_article(document(body, front=front), xml=False)

    assert made(node) == made("")


def hostile(n: int, words: int) -> bytes:
    figs = "".join(fig(f"f{i}", f"Figure {i}") for i in range(1, n + 1))
    cites = "".join(f'<xref rid="f{i}">{i}</xref> {"word " * words}' for i in range(1, n + 1))
    return document(f"<p>{cites}</p>{figs}")


def sizes(data: bytes) -> tuple[int, int, int]:
    """Bytes of the JSON and of the table rows, and the peak of memory."""
    tracemalloc.start()
    parsed = parse_article(data, "PMC1.1", xml=False)
    plain = len(orjson.dumps(as_json(parsed)))
    rows = Rows()
    rows.add(Known("PMC1.1", 1, 1, "x", "m", None, False), parsed)
    texts = sum(len(row["text"]) + 16 * len(row["spans"]) for row in rows.mentions)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return plain, texts, peak


def test_cost_grows_no_faster_than_the_input():
    """One paragraph that cites all figures; 4 times of both once gave 16 times of output and memory."""
    small, large = hostile(300, 20), hostile(1200, 20)
    growth = len(large) / len(small)
    for before, after in zip(sizes(small), sizes(large), strict=True):
        assert after < 1.35 * growth * before


def test_a_long_paragraph_is_cut_around_the_citation():
    parsed = parse_article(hostile(400, 20), "PMC1.1", xml=False)
    rows = Rows()
    rows.add(Known("PMC1.1", 1, 1, "x", "m", None, False), parsed)
    assert len(rows.mentions) == 400
    whole = parsed.mentions[0].text
    for number, row in enumerate(rows.mentions, start=1):
        assert len(row["text"]) <= MOST_TEXT + 1
        assert row["text"][row["start"] : row["end"]] == str(number)
        assert whole[row["text_start"] :].startswith(row["text"]) and row["paragraph_chars"] == len(whole)


def test_paragraphs_stand_once_and_mentions_point_into_them():
    body = (
        '<p>See <xref rid="a">Fig. 1</xref> and <xref rid="b">2</xref>.</p>'
        + fig("a", "Figure 1")
        + fig("b", "Figure 2")
    )
    found = as_json(parse(body))
    (paragraph,) = found["paragraphs"]
    assert paragraph["text"] == "See Fig. 1 and 2."
    assert [(m["paragraph"], paragraph["text"][m["start"] : m["end"]]) for m in found["mentions"]] == [
        (paragraph["id"], "Fig. 1"),
        (paragraph["id"], "2"),
    ]


def test_ranges_over_thousands_of_figures_have_a_limit_that_is_named(monkeypatch):
    monkeypatch.setattr(mentions_module, "MOST_INFERRED", 50)
    figs = "".join(fig(f"f{i}", f"Figure {i}") for i in range(1, 41))
    ranges = '<p><xref rid="f1">1</xref>-<xref rid="f40">40</xref></p>' * 3
    parsed = parse(ranges + figs)
    assert sum(m.inferred for m in parsed.mentions) == 50 and parsed.n_inferred_left_out == 64
    (reject,) = as_json(parsed)["rejects"]
    assert reject["reason"] == "too_many_mentions" and "64 are left out" in reject["message"]
