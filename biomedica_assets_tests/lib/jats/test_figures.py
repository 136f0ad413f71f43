"""Golden tests: what is a figure, its label, caption and graphics."""

# ruff: noqa: RUF001 - the typographic dashes and letters are what is tested

from __future__ import annotations

import pytest

from biomedica_assets_tests.lib.jats.build import caption, figure, figures, parse

G = '<graphic xlink:href="{}"/>'


def hrefs(body: str, **parts: str) -> list[str]:
    return [graphic.href for graphic in figure(body, **parts).graphics]


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        ({"body": "<sec><p><fig/></p></sec>"}, "body"),
        ({"rest": "<floats-group><fig/></floats-group>"}, "floats"),
        ({"back": "<app-group><app><fig/></app></app-group>"}, "appendix"),
        ({"back": "<sec><fig/></sec>"}, "back"),
        ({"body": "<boxed-text><p><fig/></p></boxed-text>"}, "boxed-text"),
        (
            {"front": "<article-meta><abstract abstract-type='graphical'><p><fig/></p></abstract></article-meta>"},
            "abstract",
        ),
        ({"rest": "<sub-article><body><p><fig/></p></body></sub-article>"}, "sub-article"),
        ({"rest": "<response><body><fig/></body></response>"}, "sub-article"),
        ({"body": "<list><list-item><p><fig/></p></list-item></list>"}, "body"),
        ({"body": "<p><fn><p><fig/></p></fn></p>"}, "footnote"),
        ({"body": "<p><supplementary-material><fig/></supplementary-material></p>"}, "supplementary"),
    ],
)
def test_a_fig_is_a_figure_wherever_it_stands(parts: dict[str, str], place: str) -> None:
    """Label, caption, id and graphic may all be missing; nothing around it is lost or raised."""
    found = figure(**parts)
    assert (found.place, found.kind, found.label, found.caption, found.graphics) == (place, "figure", None, None, ())


def test_a_figure_without_caption_costs_no_other_figure_and_gets_no_other_caption() -> None:
    found = figures("<fig><caption><p>One.</p></caption></fig><fig/><fig><caption><p/></caption></fig>")
    assert [f.caption.text if f.caption else None for f in found] == ["One.", None, None]


def test_caption_has_one_line_per_title_and_paragraph_and_nothing_else() -> None:
    body = (
        "<fig><label>Fig. 1</label><caption><title>T1.</title><p>Caption one.</p>\n <p>Two.</p></caption>"
        "<attrib>By me</attrib><alt-text>Alt</alt-text><permissions><copyright-statement>(c)</copyright-statement>"
        "</permissions></fig>"
    )
    found = figure(body)
    assert found.caption is not None
    assert found.caption.text == "T1.\nCaption one.\nTwo."
    assert found.caption.title == "T1."
    assert (found.attribution, found.alt_text, found.copyright) == ("By me", "Alt", "(c)")


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("<p>The <italic>B<bold>RC<sub>A</sub></bold>1</italic> gene<sup>2</sup></p>", "The BRCA1 gene2"),
        ("<p>a\n\t  b\u00a0 c\u2009d\u3000</p>", "a b\u00a0 c\u2009d\u3000"),
        ("<p>see <ext-link xlink:href='u'>the <monospace>link</monospace></ext-link>.</p>", "see the link."),
        ("<p>x<?pi y?>y<!-- z -->z</p>", "xyz"),
        (
            "<p>Items:<list><list-item><p>one</p></list-item><list-item><p>two</p></list-item></list></p>",
            "Items:\none\ntwo",
        ),
        (
            "<p>A.</p><p><supplementary-material><label>D1</label><caption><p>Data</p></caption></supplementary-material></p>",
            "A.",
        ),
        ("<p>one<break/>two</p>", "one two"),
        ("<p>a<inline-graphic xlink:href='x'><alt-text>no</alt-text></inline-graphic>b</p>", "ab"),
        ("<p>x<fn><p>note</p></fn></p>", "x\nnote"),
        ("bare text", "bare text"),
    ],
)
def test_caption_text_follows_the_rules_on_text(inside: str, text: str) -> None:
    assert caption(inside) == text


MATH = "<mml:math><mml:mi>α</mml:mi><mml:mo>=</mml:mo><mml:mn>1</mml:mn></mml:math>"
TEX = r"<tex-math>\documentclass[12pt]{minimal} \begin{document}$$\alpha$$\end{document}</tex-math>"


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        (f"<inline-formula>{MATH}</inline-formula>", "α=1"),
        (
            f"<inline-formula><alternatives>{TEX}{MATH}<inline-graphic/></alternatives></inline-formula>",
            "α=1",
        ),
        (f"<inline-formula>{TEX}{MATH}</inline-formula>", "α=1"),
        (
            f"<inline-formula><alternatives><inline-graphic xlink:href='e'/>{TEX}</alternatives></inline-formula>",
            r"$$\alpha$$",
        ),
        ("<inline-formula><tex-math>x^2</tex-math></inline-formula>", "x^2"),
        (
            f"<inline-formula><tex-math><?CDATA $x$?></tex-math>{MATH}</inline-formula>",
            "α=1",
        ),
        (
            "<inline-formula><mml:math><mml:semantics><mml:mi>x</mml:mi><mml:annotation>x^1</mml:annotation>"
            "</mml:semantics></mml:math></inline-formula>",
            "x",
        ),
        ("<inline-formula><italic>n</italic> = 3</inline-formula>", "n = 3"),
        (f"<alternatives><textual-form>alpha</textual-form>{MATH}</alternatives>", "α=1"),
    ],
)
def test_a_formula_has_one_form(formula: str, text: str) -> None:
    """Springer gives each formula as TeX, MathML and image; the reader sees one."""
    assert caption(f"<p>with {formula}.</p>") == f"with {text}."


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (G.format("a.jpg"), ["a.jpg"]),
        ('<graphic id="g" mimetype="image" content-type="x" xlink:href="b"/>', ["b"]),
        (G.format("a") + G.format("b"), ["a", "b"]),
        (f"<p>{G.format('in-p')}</p>", ["in-p"]),
        (
            G.format("info:doi/10.1371/x.g001") + G.format("dir/o'neil.tif"),
            ["info:doi/10.1371/x.g001", "dir/o'neil.tif"],
        ),
        (
            "<alternatives>"
            '<graphic specific-use="thumbnail" xlink:href="small"/><graphic xlink:href="big"/></alternatives>',
            ["big"],
        ),
        ('<alternatives><graphic content-type="thumb" xlink:href="only"/></alternatives>', ["only"]),
        ('<alternatives><graphic xlink:href=""/><graphic xlink:href="named"/></alternatives>', ["named"]),
        (
            f"<caption><p><inline-graphic xlink:href='i'/>{G.format('in-caption')}</p></caption>{G.format('own')}",
            ["own"],
        ),
        (f"<p><disp-formula>{G.format('formula')}</disp-formula></p>{G.format('own')}", ["own"]),
        (f"<p><supplementary-material>{G.format('data')}</supplementary-material></p>{G.format('own')}", ["own"]),
        (
            f"<permissions><license><license-p>{G.format('cc')}</license-p></license></permissions>{G.format('own')}",
            ["own"],
        ),
        ("<graphic/>", []),
        ("<media xlink:href='video.mp4'/>", []),
    ],
)
def test_graphics_are_those_of_the_figure_itself(inside: str, expected: list[str]) -> None:
    assert hrefs(f"<fig>{inside}</fig>") == expected


def test_renditions_stay_on_record_beside_the_chosen_one() -> None:
    body = (
        '<fig><alternatives><graphic xlink:href="a.tif" mimetype="image" mime-subtype="tiff" id="i"/>'
        '<graphic specific-use="thumb" xlink:href="a.jpg"/></alternatives></fig>'
    )
    (graphic,) = figure(body).graphics
    assert (graphic.href, graphic.mime, graphic.xml_id, graphic.renditions) == (
        "a.tif",
        "image/tiff",
        "i",
        ("a.tif", "a.jpg"),
    )


def test_nested_figures_keep_their_own_captions_and_graphics() -> None:
    """eLife's figure supplements: a fig in a p in a fig."""
    body = (
        f"<fig id='f1'><label>Figure 1</label><caption><p>Outer</p></caption>{G.format('outer')}"
        f"<p><fig id='f1s1'><label>Figure 1S</label><caption><p>Inner</p></caption>{G.format('inner')}</fig></p></fig>"
    )
    outer, inner = figures(body)
    assert [g.href for g in outer.graphics] == ["outer"]
    assert [g.href for g in inner.graphics] == ["inner"]
    assert outer.caption is not None
    assert outer.caption.text == "Outer"
    assert inner.parent_figure_id == outer.figure_id
    assert outer.parent_figure_id is None


def test_group_caption_is_kept_apart_and_inherited_only_as_such() -> None:
    body = (
        "<fig-group id='g'><label>Fig. 1</label><caption><p>Of all.</p></caption>"
        "<fig><label>A</label></fig><fig><label>B</label><caption><p>Own.</p></caption></fig></fig-group>"
    )
    first, second = figures(body)
    assert first.caption is not None
    assert second.caption is not None
    assert (first.group_label, first.group_caption, first.group_xml_id) == ("Fig. 1", "Of all.", "g")
    assert (first.caption.text, first.caption.inherited) == ("Of all.", True)
    assert (second.caption.text, second.caption.inherited, second.group_caption) == ("Own.", False, "Of all.")


@pytest.mark.parametrize(
    ("attributes", "label", "kind"),
    [
        ("", "Scheme 1", "scheme"),
        ("fig-type='scheme'", "", "scheme"),
        ("fig-type='Figure'", "Fig. 1", "figure"),
        ("", "Algorithm 2.", "algorithm"),
        ("", "Schematic", "figure"),
        ("", "Chart S1", "chart"),
        ("fig-type='featured'", "", "figure"),
    ],
)
def test_kind_comes_from_the_markup_and_is_figure_otherwise(attributes: str, label: str, kind: str) -> None:
    assert figure(f"<fig {attributes}><label>{label}</label></fig>").kind == kind


@pytest.mark.parametrize(
    ("body", "element", "kind"),
    [
        (f"<table-wrap id='t'><label>Table 1</label><alternatives>{G.format('t')}<table/></alternatives></table-wrap>",
         "table-wrap", "table"),
        (f"<p><disp-formula>{G.format('e')}</disp-formula></p>", "disp-formula", "formula"),
        (f"<p><chem-struct>{G.format('c')}</chem-struct></p>", "chem-struct", "chemical_structure"),
        (f"<sec>{G.format('b')}</sec>", "graphic", "graphic"),
        ("<p><supplementary-material id='s'><label>S1</label><media mimetype='image' xlink:href='s.tif'/>"
         "</supplementary-material></p>", "supplementary-material", "supplementary"),
    ],
)  # fmt: skip
def test_other_images_are_rows_of_their_own_kind(body: str, element: str, kind: str) -> None:
    (row,) = parse(body).figures
    assert (row.element, row.kind, len(row.graphics)) == (element, kind, 1)


def test_a_graphic_that_names_no_file_gives_no_row() -> None:
    assert parse("<sec><graphic/></sec>").figures == ()


def test_supplementary_documents_and_inline_graphics_give_no_row() -> None:
    body = (
        "<p><inline-graphic xlink:href='i.gif'/><supplementary-material><media mimetype='application' "
        "xlink:href='s.xlsx'/></supplementary-material></p>"
    )
    assert parse(body).figures == ()


def test_own_permissions_replace_those_of_the_article() -> None:
    body = (
        "<fig><permissions><copyright-statement>© Thieme</copyright-statement><license><license-p>Reproduced with "
        "permission.</license-p></license></permissions></fig>"
        "<fig><permissions><license xlink:href='https://creativecommons.org/licenses/by-nc/4.0/'/></permissions></fig><fig/>"
    )
    found = [(f.has_own_license, f.license_code) for f in figures(body)]
    assert found == [(True, None), (True, "CC BY-NC"), (False, None)]


def test_ids_are_opaque_stable_and_distinct_even_where_the_xml_repeats_them() -> None:
    found = figures("<fig id='a.b'/><fig id='a.b'/><fig/><fig/>")
    ids = [f.figure_id for f in found]
    assert len(set(ids)) == 4
    assert all(set(i) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-") for i in ids)
    assert ids == [f.figure_id for f in figures("<fig id='a.b'/><fig id='a.b'/><fig/><fig/>")]


def test_section_path_and_language_come_from_the_ancestors() -> None:
    found = figure(
        "<sec xml:lang='pt'><title>Methods</title><sec><title>Cell <italic>lines</italic></title><fig/></sec></sec>"
    )
    assert (found.section, found.language) == ("Methods > Cell lines", "pt")


def test_hrefs_are_found_under_any_binding_of_the_xlink_prefix() -> None:
    body = '<fig><graphic xmlns:x="http://www.w3.org/TR/xlink" x:href="old.jpg"/></fig>'
    assert hrefs(body) == ["old.jpg"]
