"""Golden tests: what is a mention, its block, its spans, and what a range implies."""

# ruff: noqa: RUF001 - the typographic dashes and letters are what is tested

from __future__ import annotations

import pytest

from biomedica_assets.lib.jats.citations import number_of
from biomedica_assets_tests.lib.jats.build import fig, mentions, meta

F1, F2, F3, F4 = (fig(f"F{n}", f"Figure {n}.") for n in range(1, 5))
X = '<xref ref-type="fig" rid="{}">{}</xref>'


def cited(body: str, **parts: str) -> list[tuple[str | None, list[str], bool]]:
    """(figure, texts of the spans, inferred) of each mention."""
    return [(i, [m.text[a:b] for a, b in m.spans], m.inferred) for i, m in mentions(body, **parts)]


def test_several_citations_of_a_block_are_spans_in_one_text() -> None:
    first, second, third = X.format("F1", "Fig. 1"), X.format("F2", "2"), X.format("F1", "Fig.<sup>1</sup>")
    body = f"<p>We saw ({first}) and {second}, again {third}.</p>{F1}{F2}"
    found = mentions(body)
    assert [m.text for _, m in found] == ["We saw (Fig. 1) and 2, again Fig.1."] * 2
    assert cited(body) == [("F1", ["Fig. 1", "Fig.1"], False), ("F2", ["2"], False)]


@pytest.mark.parametrize(
    ("before", "after", "block"),
    [
        ("<p>", "</p>", "p"),
        ("<p><italic><bold>", "</bold></italic></p>", "p"),
        ("<sec><title>", "</title></sec>", "title"),
        ("<table-wrap><table><tr><td>", "</td></tr></table></table-wrap>", "td"),
        ("<table-wrap><table><tr><th><p>", "</p></th></tr></table></table-wrap>", "p"),
        ("<list><list-item>", "</list-item></list>", "list-item"),
        ("<def-list><def-item><def>", "</def></def-item></def-list>", "def"),
        ("<nomenclature><nomenclature-citation>", "</nomenclature-citation></nomenclature>", "nomenclature"),
        ("<fn><p>", "</p></fn>", "p"),
        ("<boxed-text><p>", "</p></boxed-text>", "p"),
        ("<fig><caption><p>", "</p></caption></fig>", "p"),
        ("<p><fig><attrib>", "</attrib></fig></p>", "attrib"),
        ("<disp-quote><attrib>", "</attrib></disp-quote>", "attrib"),
    ],
)
def test_the_block_is_the_nearest_one_around_the_xref(before: str, after: str, block: str) -> None:
    ((xml_id, mention),) = mentions(f"{before}a {X.format('F1', 'Fig. 1')} b{after}{F1}")
    assert (xml_id, mention.block, mention.text, mention.spans) == ("F1", block, "a Fig. 1 b", ((2, 8),))


@pytest.mark.parametrize("ref_type", ['ref-type="fig"', 'ref-type="scheme"', 'ref-type="bibr"', 'ref-type=""', ""])
def test_any_ref_type_counts(ref_type: str) -> None:
    assert cited(f'<p><xref {ref_type} rid="F1">here</xref></p>{F1}') == [("F1", ["here"], False)]


def test_mentions_come_from_abstract_acknowledgements_and_sub_articles() -> None:
    found = mentions(
        F1,
        front=meta(f"<abstract><p>{X.format('F1', 'a')}</p></abstract>"),
        back=f"<ack><p>{X.format('F1', 'b')}</p></ack>",
        rest=f"<sub-article><body><p>{X.format('F1', 'c')}</p></body></sub-article>",
    )
    assert [(m.text, m.place) for _, m in found] == [("a", "abstract"), ("b", "acknowledgements"), ("c", "sub-article")]


def test_floats_are_left_out_of_the_text_and_inline_code_and_formulae_are_kept() -> None:
    body = (
        f"<p>One {X.format('F1', 'Fig. 1')}.{F1}<table-wrap><label>T</label></table-wrap>Two <code>f(x)</code> "
        "<inline-formula><mml:math><mml:mi>y</mml:mi></mml:math></inline-formula>.</p>"
    )
    ((_, mention),) = mentions(body)
    assert mention.text == "One Fig. 1. Two f(x) y."


def test_several_rids_are_several_figures_and_ids_are_exact() -> None:
    body = f"<p>{X.format('F-1  F.1 nowhere', 'Figs 1, 2')}</p>{fig('F-1')}{fig('F.1')}{fig('F1')}"
    assert cited(body) == [("F-1", ["Figs 1, 2"], False), ("F.1", ["Figs 1, 2"], False)]


def test_the_own_caption_is_no_mention_but_the_caption_of_another_figure_is() -> None:
    inside = f"<caption><p>{X.format('F1', 'Fig. 1')} and {X.format('F2', 'Fig. 2')}</p></caption>"
    assert cited(fig("F1", "Figure 1", inside) + F2) == [("F2", ["Fig. 2"], False)]


def test_data_in_the_own_caption_is_the_own_caption() -> None:
    inside = (
        "<caption><p>A</p><p><supplementary-material><caption><p>Data of "
        f"{X.format('F1', 'Figure 1')}</p></caption></supplementary-material></p></caption>"
    )
    assert cited(fig("F1", "Figure 1", inside)) == []


@pytest.mark.parametrize(
    ("text", "inferred"),
    [
        ("{1}–{4}", ["F2", "F3"]),
        ("{1}-{4}", ["F2", "F3"]),
        ("{1} − {4}", ["F2", "F3"]),
        ("{1} to {4}", ["F2", "F3"]),
        ("{1} through {4}", ["F2", "F3"]),
        ("<bold>{1}</bold>–<italic>{4}</italic>", ["F2", "F3"]),
        ("{1} to Fig. {4}", ["F2", "F3"]),
        ("{1}–{2}", []),
        ("{1}, {4}", []),
        ("{1} and {4}", []),
        ("{4}–{1}", []),
        ("{1} is similar to {4}", []),
        ("{1}–{3}, {2}", []),
    ],
)
def test_a_range_implies_the_figures_numbered_between(text: str, inferred: list[str]) -> None:
    filled = text.format(*(X.format(f"F{n}", n) for n in range(5)))
    # document order differs from the numbers: a range goes by label
    found = cited(f"<p>Figs {filled}.</p>{F3}{F1}{F4}{F2}")
    assert sorted(str(i) for i, _, implied in found if implied) == inferred


def test_the_span_of_an_implied_figure_is_the_whole_range() -> None:
    found = cited(f"<p>Figs {X.format('F1', '1')}–{X.format('F3', '3')}.</p>{F1}{F2}{F3}")
    assert ("F2", ["1–3"], True) in found


def test_panels_of_one_figure_imply_nothing() -> None:
    found = cited(f"<p>{X.format('F1', 'Fig. 1A')}–{X.format('F1', 'C')}</p>{F1}{F2}{F3}")
    assert found == [("F1", ["Fig. 1A", "C"], False)]


def test_series_do_not_mix_in_a_range() -> None:
    others = fig("S2", "Figure S2") + fig("P", "Plate 2") + fig("F2a", "Figure 2A") + fig("none")
    found = cited(f"<p>{X.format('F1', '1')}–{X.format('F3', '3')}</p>{F1}{others}{F3}{F2}")
    assert [i for i, _, implied in found if implied] == ["F2"]


def test_a_figure_whose_label_reaches_beyond_a_range_is_not_implied_by_it() -> None:
    wide = fig("W", "Figures 2-4")
    found = cited(f"<p>{X.format('F1', '1')}–{X.format('F4', '4')}</p>{F1}{F2}{F3}{wide}{F4}")
    assert [i for i, _, implied in found if implied] == ["F2", "F3"]


def test_translated_figures_of_a_sub_article_are_a_series_of_their_own() -> None:
    sub = f"<sub-article><body>{fig('T2', 'Figure 2')}</body></sub-article>"
    found = cited(f"<p>{X.format('F1', '1')}–{X.format('F3', '3')}</p>{F1}{F2}{F3}", rest=sub)
    assert [i for i, _, implied in found if implied] == ["F2"]


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("{1}–{e2}{3}", ["F1", "F2", "F3"]),
        ("{1}{e2}{e3}–{4}", ["F1", "F2", "F3", "F4"]),
        ("see Fig. {e1} for", ["F1"]),
        ("as in Figs. {e1} and {e2}.", ["F1", "F2"]),
        ("({e1})", ["F1"]),
        ("{e1}", []),
        ("the end of the sentence.{e1}", []),
        ("diagram {e1}{e2}(cf. {3})", ["F3"]),
        ("{1}. Next {e2}sentence", ["F1"]),
    ],
)
def test_an_empty_xref_cites_in_a_range_or_where_a_name_is_called_for(text: str, figures: list[str]) -> None:
    names = {str(n): X.format(f"F{n}", n) for n in range(1, 5)}
    empty = {f"e{n}": X.format(f"F{n}", "") for n in range(1, 5)}
    for key, value in (names | empty).items():
        text = text.replace(f"{{{key}}}", value)
    found = cited(f"<p>{text}</p>{F1}{F2}{F3}{F4}")
    assert sorted(str(i) for i, _, _ in found) == figures
    assert not any(implied for _, _, implied in found)


def test_an_anchor_that_says_so_only_places_the_figure() -> None:
    assert cited(f'<p>see Fig. <xref ref-type="fig-anchor" rid="F1"/></p>{F1}') == []


def test_spans_survive_pretty_printing() -> None:
    xref = X.format("F1", "  Fig.\n 1 ")
    body = f"<p>\n  We\n  saw <bold>\n {xref} </bold>\n  and more\n</p>{F1}"
    ((_, mention),) = mentions(body)
    ((start, end),) = mention.spans
    assert mention.text == "We saw Fig. 1 and more"
    assert mention.text[start:end] == "Fig. 1"


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("Figure 3.", ("fig", 3, 3)),
        ("FIG. 3", ("fig", 3, 3)),
        ("Figs 4–6", ("fig", 4, 6)),
        ("Fig. S12", ("figs", 12, 12)),
        ("FigS12", ("figs", 12, 12)),
        ("Figure 1—figure supplement 2.", ("fig1figsupplement", 2, 2)),
        ("Figure 2.3", ("fig2", 3, 3)),
        ("Figura 7", ("fig", 7, 7)),
        ("Figure 3 (continued)", ("fig", 3, 3)),
        ("Figure 3. Overview", ("fig", 3, 3)),
        ("3", ("", 3, 3)),
        ("Fig. 3A", None),
        ("Figure", None),
        ("", None),
    ],
)
def test_the_number_of_a_label(label: str, expected: tuple[str, int, int] | None) -> None:
    number = number_of(label)
    assert (number and (number.series, number.first, number.last)) == expected


def test_two_thousand_citations_in_one_paragraph_cost_linear_time() -> None:
    """One span per citation, all at their places, in a text of 2,000 citations."""
    body = "".join(f"word {X.format('F1', f'Fig. {n}')},\n " for n in range(2000))
    ((_, mention),) = mentions(f"<p>{body}</p>{F1}")
    assert [mention.text[a:b] for a, b in mention.spans] == [f"Fig. {n}" for n in range(2000)]
