"""The reading form of captions: what is raised, lowered or stacked keeps its meaning, and no two numbers become one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from biomedica_assets.lib.jats.article import parse_article
from biomedica_assets.lib.jats.reading_form import reading_text
from biomedica_assets_tests.lib.jats.build import NAMESPACES, figure

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"


def read(inside: str) -> str:
    return reading_text(etree.fromstring(f"<p {NAMESPACES}>{inside}</p>"))


def math(inside: str) -> str:
    prefixed = re.sub(r"<(/?)", r"<\1mml:", inside)
    return f"<inline-formula><mml:math>{prefixed}</mml:math></inline-formula>"


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("10<sup>6</sup> cells", "10^6 cells"),
        ("10<sup>−6</sup> M", "10^−6 M"),  # noqa: RUF001
        ("5 × 10<sup>6</sup>8", "5 × 10^(6)8"),  # noqa: RUF001
        ("10<sup>6 </sup>cells", "10^6 cells"),
        ("10<sup>10<sup>2</sup></sup>", "10^(10^2)"),
        ("Ca<sup>2+</sup> ions", "Ca^2+ ions"),
        ("CD4<sup>+</sup> cells", "CD4+ cells"),
        ("Apoe<sup>−/−</sup> mice", "Apoe−/− mice"),  # noqa: RUF001
        ("x<sup>+</sup>5", "x^(+)5"),
        ("the 1<sup>st</sup> day", "the 1st day"),
        ("<sup>13</sup>C", "^(13)C"),
        ("P<sup>*</sup> and <sup>†</sup>", "P* and †"),
        ("37<sup>o</sup>C", "37°C"),
        ("Kit<sup>TM</sup>", "Kit™"),
        ("r<sup>a b</sup>", "r^(a b)"),
        ("H<sub>2</sub>O", "H2O"),
        ("CO<sub>2</sub> 5", "CO2 5"),
        ("x1<sub>2</sub>", "x1_2"),
        ("x<sub>1</sub>2", "x_(1)2"),
        ("x<sub>i+1</sub>", "x_(i+1)"),
        ("SO<sub>4</sub><sup>2−</sup>", "SO4^2−"),  # noqa: RUF001
        ("a<sub>1</sub><sub>2</sub>", "a_(1)_2"),
        ("<italic>V</italic><sub>max</sub>", "Vmax"),
        (math("<mfrac><mn>1</mn><mn>2</mn></mfrac>"), "1/2"),
        ("2" + math("<mfrac><mn>1</mn><mn>2</mn></mfrac>"), "2 1/2"),
        (math("<mn>2</mn><mfrac><mn>1</mn><mn>2</mn></mfrac>"), "2 1/2"),
        (
            math("<mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mrow><mn>2</mn><mi>c</mi></mrow></mfrac>"),
            "(a+b)/2c",
        ),
        (math("<msup><mn>10</mn><mn>6</mn></msup>"), "10^6"),
        (math("<msup><mn>10</mn><mrow><mo>-</mo><mn>6</mn></mrow></msup><mn>5</mn>"), "10^-6 5"),
        (math("<msup><mrow><mo>(</mo><mi>a</mi><mo>)</mo></mrow><mn>2</mn></msup>"), "(a)^2"),
        (math("<msub><mi>x</mi><mn>1</mn></msub>"), "x_1"),
        (math("<msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup>"), "x_1^2"),
        (math("<msub><mi/><mn>2</mn></msub>"), "_2"),
        (math("<msqrt><mn>2</mn></msqrt>"), "√2"),
        (math("<msqrt><mn>2</mn><mo>+</mo><mn>3</mn></msqrt>"), "√(2+3)"),
        (math("<mroot><mi>x</mi><mn>3</mn></mroot>"), "(x)^(1/3)"),
        (
            math(
                "<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover><msub><mi>x</mi><mi>i</mi></msub>"
            ),
            "∑_(i=1)^n x_i",
        ),
        (math("<mover><mi>x</mi><mo>¯</mo></mover>"), "x¯"),
        (
            math(
                "<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr><mtr><mtd><mn>3</mn></mtd></mtr></mtable>"
            ),
            "[1, 2; 3]",
        ),
        (math("<mfenced><mn>1</mn><mn>2</mn></mfenced>"), "(1,2)"),
        (math("<mmultiscripts><mi>C</mi><mprescripts/><none/><mn>13</mn></mmultiscripts>"), "^13C"),
        (math("<mn>2</mn><mo>\u2062</mo><mn>3</mn>"), "2·3"),
        (math("<mi>δ</mi><mo>\u2062</mo><mi>θ</mi>"), "δθ"),
        (math("<mfrac linethickness='0'><mi>n</mi><mi>k</mi></mfrac>"), "(n over k)"),
        (math("<semantics><mi>z</mi><annotation>\\zeta</annotation></semantics>"), "z"),
        ("a <!-- 9 -->b<sup>2<?x 8?></sup>", "a b^2"),
        ('mean<inline-formula><inline-graphic xlink:href="e.gif"/></inline-formula>sd', "mean [formula] sd"),
        ('a<inline-graphic xlink:href="icon.gif"/>b', "ab"),
        (
            "<inline-formula><tex-math>x</tex-math><inline-graphic xlink:href='e.gif'/></inline-formula>",
            "x",
        ),
    ],
)
def test_position_is_written_out(inside, expected):
    assert read(inside) == expected


NUMBER = st.text("0123456789", min_size=1, max_size=3)
SHAPES = (
    ("x{0}<sup>{1}</sup>", 2),
    ("{0}<sub>{1}</sub>", 2),
    ("{0}<sup>{1}<sub>{2}</sub></sup>", 3),
    ("y<sub>{0}</sub><sup>{1}</sup>", 2),
    ("<bold>{0}</bold><sup>{1}</sup><sub>{2}</sub>", 3),
    (math("<mfrac><mn>{0}</mn><mn>{1}</mn></mfrac>"), 2),
    (math("<msup><mn>{0}</mn><mn>{1}</mn></msup>"), 2),
    (math("<msubsup><mi>x</mi><mn>{0}</mn><mn>{1}</mn></msubsup>"), 2),
    (math("<msqrt><mn>{0}</mn></msqrt><mfrac><mn>{1}</mn><mn>{2}</mn></mfrac>"), 3),
    (math("<munderover><mo>∑</mo><mn>{0}</mn><mn>{1}</mn></munderover><mn>{2}</mn>"), 3),
    (math("<mtable><mtr><mtd><mn>{0}</mn></mtd><mtd><mn>{1}</mn></mtd></mtr></mtable>"), 2),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(SHAPES), NUMBER, NUMBER, NUMBER), min_size=1, max_size=6), NUMBER, st.booleans()
)
def test_numbers_that_the_eye_tells_apart_stay_apart_and_in_order(drawn, after, spaced):
    """Also with a number right behind what is raised, lowered or a fraction."""
    inside, numbers = "", list[str]()
    for (shape, n), *values in drawn:
        inside += ("; " if spaced else "|") + shape.format(*values)
        numbers += values[:n]
    assert re.findall(r"[0-9]+", read(inside + after)) == [*numbers, after]


def test_the_caption_stays_the_files_own_text():
    found = figure("<fig><caption><p>10<sup>6</sup> cells</p></caption></fig>").caption
    assert found is not None and (found.text, found.reading) == ("106 cells", "10^6 cells")


def test_a_caption_without_positions_is_its_own_reading_form():
    found = figure("<fig><caption><title>T</title><p>words  here</p></caption></fig>").caption
    assert found is not None and found.text == found.reading == "T\nwords here"


FORMS = {
    "unclosed": r"<tex-math>\documentclass[12pt]{minimal}\begin{document}$$\beta$$</tex-math>",
    "bare-preamble": r"<tex-math>\documentclass[12pt]{minimal} \usepackage{amsmath} $$\beta$$</tex-math>",
    "setlength": r"<tex-math>\setlength{\oddsidemargin}{-69pt}\begin{document}$$\beta$$\end{document}</tex-math>",
    "end-alone": r"<tex-math>$$\beta$$\end{document}</tex-math>",
    "text-beside": r"<textual-form>b</textual-form><tex-math>$$\beta$$</tex-math>",
    "empty-math": r"<alternatives><mml:math/><tex-math>$$\beta$$</tex-math></alternatives>",
    "annotated-math": (
        "<alternatives><mml:math><mml:annotation>x</mml:annotation></mml:math>"
        r"<tex-math>$$\beta$$</tex-math></alternatives>"
    ),
    "empty-tex-first": r"<alternatives><tex-math> </tex-math><textual-form>$$\beta$$</textual-form></alternatives>",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_formula_has_one_form_that_has_content(form):
    found = figure(f"<fig><caption><p>a <inline-formula>{FORMS[form]}</inline-formula> z</p></caption></fig>").caption
    assert found is not None and found.text == r"a $$\beta$$ z"


@pytest.mark.parametrize(
    "inside",
    [
        "<alternatives><textual-form>5:1</textual-form></alternatives><mml:math><mml:mn>5</mml:mn><mml:mo>:</mml:mo><mml:mn>1</mml:mn></mml:math>",
        "<mml:math><mml:mn>5:1</mml:mn></mml:math><tex-math>5:1</tex-math>",
        "<alternatives><tex-math>5:1</tex-math><mml:math><mml:mn>5:1</mml:mn></mml:math></alternatives><textual-form>5:1</textual-form>",
        "<textual-form>5:1</textual-form>",
        "5:<mml:math><mml:mn>1</mml:mn></mml:math>",
    ],
)
def test_a_formula_stands_once(inside):
    found = figure(f"<fig><caption><p>a <inline-formula>{inside}</inline-formula> z</p></caption></fig>").caption
    assert found is not None and found.text == "a 5:1 z"


@pytest.mark.skipif(not CASES.is_dir(), reason="the small inputs of ../shared/cases are not here")
def test_the_formulae_of_the_cases():
    parsed = parse_article((CASES / "formulae.xml").read_bytes())
    by_id = {f.xml_id: f.caption for f in parsed.figures}
    assert {i: c.text for i, c in by_id.items() if c} == {
        "a": "One form: α1 end.",  # noqa: RUF001
        "b": r"TeX opened, never closed: $$\beta$$ end.",
        "c": "Ratio 5:1 end.",
        "f": "Half is 12 and 106 cells.",
        "g": "Annotated: z end.",
    }
    assert by_id["f"].reading == "Half is 1/2 and 10^6 cells."
