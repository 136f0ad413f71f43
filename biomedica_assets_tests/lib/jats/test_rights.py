"""Which licence is in force for a figure: the nearest part that speaks, strictest first."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from biomedica_assets.lib import licenses
from biomedica_assets.lib.jats.article import parse_article
from biomedica_assets.lib.jats.records import Figure
from biomedica_assets_tests.lib.jats.build import NAMESPACES

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"
TODAY = dt.date(2026, 6, 1)
ALI = 'xmlns:ali="http://www.niso.org/schemas/ali/1.0/"'
CC = "https://creativecommons.org/licenses/{}/4.0/"
BY = (
    "<permissions><copyright-statement>© 2024 The Writers</copyright-statement>"
    f"<license xlink:href='{CC.format('by')}'/></permissions>"
)
CLOSED = (
    "<permissions><copyright-statement>© 1999 Big Press</copyright-statement>"
    "<license license-type='all-rights-reserved'><license-p>All rights reserved.</license-p></license></permissions>"
)
FIG = "<fig id='F'><label>Figure 1</label><caption><p>Cells.</p></caption><graphic xlink:href='a.jpg'/>{}</fig>"
PLAIN = FIG.format("")


def terms(code: str) -> str:
    return f"<permissions><license><ali:license_ref>{CC.format(code)}</ali:license_ref></license></permissions>"


def figure(body: str = "", *, rest: str = "", article: str = BY, back: str = "") -> Figure:
    """The first figure of an article under CC BY that has a picture."""
    data = (
        f"<article {NAMESPACES} {ALI}><front><article-meta>{article}</article-meta></front><body>{body}</body>"
        f"<back>{back}</back>{rest}</article>"
    ).encode()
    return next(f for f in parse_article(data, "PMC1.1", today=TODAY).figures if f.graphics)


AROUND = {
    "fig": FIG.format("{}"),
    "fig-group": "<fig-group><caption><p>G</p></caption>" + PLAIN + "{}</fig-group>",
    "outer fig": "<fig id='O'><caption><p>O</p></caption>" + PLAIN + "{}</fig>",
    "boxed-text": "<boxed-text>" + PLAIN + "{}</boxed-text>",
    "sec": "<sec><title>T</title>{}<p>" + PLAIN + "</p></sec>",
    "sec by its sec-meta": "<sec><sec-meta>{}</sec-meta><title>T</title><sec><title>U</title>" + PLAIN + "</sec></sec>",
    "disp-quote": "<disp-quote><p>" + PLAIN + "</p>{}</disp-quote>",
    "statement": "<statement><p>" + PLAIN + "</p>{}</statement>",
    "graphic": "<fig id='F'><caption><p>C</p></caption><graphic xlink:href='a.jpg'>{}</graphic></fig>",
    "graphic among alternatives": "<fig id='F'><alternatives><graphic xlink:href='a.jpg'>{}</graphic>"
    "<graphic specific-use='thumbnail' xlink:href='t.gif'/></alternatives></fig>",
    "media beside the still": "<fig id='F'><media xlink:href='v.mp4'>{}</media><graphic xlink:href='a.jpg'/></fig>",
    "supplementary-material": "<supplementary-material>" + PLAIN + "{}</supplementary-material>",
    "table-wrap": "<table-wrap><caption><p>C</p></caption><graphic xlink:href='t.jpg'/>{}</table-wrap>",
    "table-wrap-foot": "<table-wrap><graphic xlink:href='t.jpg'/><table-wrap-foot>{}</table-wrap-foot></table-wrap>",
    "graphic of a table": "<table-wrap><caption/><graphic xlink:href='t.jpg'>{}</graphic></table-wrap>",
    "lone graphic": "<p><graphic xlink:href='lone.jpg'>{}</graphic></p>",
    "chem-struct-wrap": "<chem-struct-wrap><graphic xlink:href='c.jpg'/>{}</chem-struct-wrap>",
}
BEHIND = {
    "front-stub of a sub-article": {
        "rest": "<sub-article><front-stub>{}</front-stub><body>" + PLAIN + "</body></sub-article>"
    },
    "front of a sub-article": {
        "rest": "<sub-article><front><article-meta>{}</article-meta></front><body>" + PLAIN + "</body></sub-article>"
    },
    "response": {"rest": "<response><front-stub>{}</front-stub><body><sec>" + PLAIN + "</sec></body></response>"},
    "response within a sub-article": {
        "rest": "<sub-article><front-stub>{}</front-stub><response><body>" + PLAIN + "</body></response></sub-article>"
    },
    "app": {"back": "<app-group><app><title>A</title>" + PLAIN + "{}</app></app-group>"},
    "floats-group in a sub-article": {
        "rest": "<sub-article><front-stub>{}</front-stub><floats-group>" + PLAIN + "</floats-group></sub-article>"
    },
}
PLACES = {name: {"body": text} for name, text in AROUND.items()} | BEHIND


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("said", "code"), [(CLOSED, None), (terms("by-nc-nd"), "CC BY-NC-ND")], ids=["closed", "by-nc-nd"]
)
def test_terms_of_whatever_is_around_a_picture_hold_for_it(place: str, said: str, code: str | None) -> None:
    """A figure that somebody else owns must not leave under the article's licence, wherever the owner is named."""
    found = figure(**{name: text.format(said) for name, text in PLACES[place].items()})
    assert (found.license_code, found.license_group == "commercial") == (code, False)
    assert found.has_own_license
    assert found.license_source != "article"
    assert found.license_reason


@pytest.mark.parametrize("place", PLACES)
def test_a_part_that_says_nothing_is_under_the_articles_licence(place: str) -> None:
    """Neither an absent ``permissions`` nor the article's own statement repeated takes anything away."""
    same = "<permissions><copyright-statement>Copyright © 2024, the Writers.</copyright-statement></permissions>"
    for said in ("", same):
        found = figure(**{name: text.format(said) for name, text in PLACES[place].items()})
        assert (found.license_code, found.license_source, found.has_own_license) == ("CC BY", "article", False)


@pytest.mark.parametrize(
    ("body", "code", "source"),
    [
        ("<boxed-text>" + FIG.format(terms("by")) + CLOSED + "</boxed-text>", "CC BY", "fig"),
        ("<boxed-text>" + FIG.format(CLOSED) + terms("by") + "</boxed-text>", None, "fig"),
        ("<sec>" + CLOSED + "<fig-group>" + PLAIN + terms("by-nc") + "</fig-group></sec>", "CC BY-NC", "fig-group"),
        (
            f"<fig><graphic xlink:href='a'>{terms('by-sa')}</graphic>{CLOSED}</fig>",
            "CC BY-SA",
            "graphic",
        ),
    ],
)
def test_the_nearest_part_that_speaks_wins(body: str, code: str | None, source: str) -> None:
    """The licence of a figure is its own even inside a box under other terms; the reverse holds as well."""
    found = figure(body)
    assert (found.license_code, found.license_source) == (code, source)


def test_a_figure_may_be_freer_than_its_article_when_it_says_so() -> None:
    """Nearest wins both ways: a part's own CC BY holds in an article under CC BY-NC, in a group as in a figure."""
    for body in (FIG.format(terms("by")), f"<fig-group>{PLAIN}{terms('by')}</fig-group>"):
        assert figure(body, article=terms("by-nc")).license_code == "CC BY"


@pytest.mark.parametrize(
    ("graphics", "code"),
    [
        ((terms("by"), terms("by-nc")), "CC BY-NC"),
        ((terms("by"), CLOSED), None),
        ((terms("by-nc"), ""), "CC BY-NC"),
        ((terms("by"), ""), "CC BY"),
        (("", CLOSED), None),
    ],
)
def test_of_several_graphics_the_strictest_counts(graphics: tuple[str, str], code: str | None) -> None:
    """A row has one licence for all its pictures; a picture without terms of its own keeps those around it."""
    inside = "".join(f"<graphic xlink:href='{n}'>{said}</graphic>" for n, said in enumerate(graphics))
    assert figure(f"<fig>{inside}</fig>").license_code == code
    freer = figure(f"<fig>{inside}</fig>", article=terms("by-nc-nd"))
    assert freer.license_code in {code, "CC BY-NC-ND"}
    if "" in graphics:
        assert freer.license_group != "commercial"


def _licence(url: str = "", text: str = "", **attributes: str) -> str:
    said = "".join(f" {name.replace('_', '-')}='{value}'" for name, value in attributes.items())
    href = f" xlink:href='{url}'" if url else ""
    return f"<license{said}{href}><license-p>{text}</license-p></license>"


SEVERAL = {
    "two that are known": (_licence(CC.format("by")) + _licence(CC.format("by-nc")), "CC BY-NC"),
    "the stricter first": (_licence(CC.format("by-nc-nd")) + _licence(CC.format("by")), "CC BY-NC-ND"),
    "one that is not known": (_licence(CC.format("by")) + _licence(text="Standard publication model."), None),
    "a waiver for the data": (
        _licence(CC.format("by")) + _licence("https://creativecommons.org/publicdomain/zero/1.0/"),
        "CC BY",
    ),
    "a grant for mining beside it": (
        "<license><ali:license_ref specific-use='tdm'>https://www.example.org/tdm/userlicense</ali:license_ref></license>"
        + _licence(CC.format("by")),
        "CC BY",
    ),
    "nothing but a grant for mining": (
        "<license><ali:license_ref specific-use='tdm'>https://www.example.org/tdm/userlicense</ali:license_ref></license>",
        None,
    ),
    "translations of one": (
        _licence(CC.format("by"), "Open", xml_lang="en") + _licence(CC.format("by"), "Aberto"),
        "CC BY",
    ),
    "refs that differ": (
        f"<license><ali:license_ref specific-use='vor'>{CC.format('by-nc')}</ali:license_ref>"
        f"<ali:license_ref specific-use='am'>{CC.format('by')}</ali:license_ref></license>",
        "CC BY-NC",
    ),
    "a ref outside a licence": (f"<ali:license_ref>{CC.format('by-nc')}</ali:license_ref>", "CC BY-NC"),
    "a comment inside the ref": (
        "<license><ali:license_ref>http://creativecommons.org<!-- -->/licenses/by-nc/4.0/</ali:license_ref></license>",
        "CC BY-NC",
    ),
    "a denial beside the name": (_licence(text="It is not covered by the CC-BY 4.0 licence."), None),
    "reserved although named": (_licence(CC.format("by"), "All rights reserved."), None),
    "a harmless spelling": (_licence(license_type="CC BY 4.0 Deed"), "CC BY"),
    "an empty licence": ("<license/>", None),
    "begun": (f"<ali:license_ref start_date='2026-01-01'>{CC.format('by')}</ali:license_ref>", "CC BY"),
    "not begun": (f"<ali:license_ref start_date='2027-01-01'>{CC.format('by')}</ali:license_ref>", None),
    "not begun, within a licence": (
        f"<license><ali:license_ref start_date='2099'>{CC.format('by')}</ali:license_ref></license>",
        None,
    ),
    "a stricter one until then": (
        f"<ali:license_ref>{CC.format('by-nc-nd')}</ali:license_ref>"
        f"<ali:license_ref start_date='2027-01-01'>{CC.format('by')}</ali:license_ref>",
        None,
    ),
    "free to read": (f"<ali:free_to_read/>{_licence(CC.format('by-nc'))}", "CC BY-NC"),
    "free to read from a day gone by": (
        f"<ali:free_to_read start_date='2020-05-05'/>{_licence(CC.format('by'))}",
        "CC BY",
    ),
    "under embargo": (f"<ali:free_to_read start_date='2026-06-02'/>{_licence(CC.format('by'))}", None),
    "free to read no more": (
        f"<ali:free_to_read start_date='2020-01' end_date='2021-12'/>{_licence(CC.format('by'))}",
        None,
    ),
    "free to read until later": (
        f"<ali:free_to_read end_date='2026-06-01'/>{_licence(CC.format('by'))}",
        "CC BY",
    ),
    "a date that is none": (f"<ali:license_ref start_date='soon'>{CC.format('by')}</ali:license_ref>", "CC BY"),
}


@pytest.mark.parametrize("statement", SEVERAL)
def test_several_statements_in_one_place(statement: str) -> None:
    """The strictest counts; what has not begun or has ended is not in force; the figure of a part as the article's."""
    inside, code = SEVERAL[statement]
    said = f"<permissions>{inside}</permissions>"
    assert figure(FIG.format(said)).license_code == code
    if statement not in {
        "a denial beside the name",
        "reserved although named",
    }:  # of a whole article this is boilerplate
        assert figure(PLAIN, article=said).license_code == code


@pytest.mark.parametrize(
    "said",
    [
        "<permissions><copyright-statement>© 2019 Elsevier</copyright-statement></permissions>",
        "<permissions><copyright-year>2019</copyright-year><copyright-holder>Wiley</copyright-holder></permissions>",
        "<copyright-statement>Copyright 2003 Nature Publishing Group</copyright-statement>",
    ],
)
def test_the_copyright_of_another_without_a_licence_allows_nothing(said: str) -> None:
    """The last is how files of before the ``permissions`` element put it."""
    found = figure(FIG.format(said))
    assert (found.license_code, found.license_source) == (None, "fig")


def test_free_to_read_alone_is_no_licence_and_takes_none_away() -> None:
    assert figure(FIG.format("<permissions><ali:free_to_read/></permissions>")).license_code == "CC BY"
    assert figure(PLAIN, article="<permissions><ali:free_to_read/></permissions>").license_code is None


def test_an_embargo_of_the_article_says_so_and_bars_what_the_metadata_names() -> None:
    said = f"<permissions><ali:license_ref start_date='2099-01-01'>{CC.format('by')}</ali:license_ref></permissions>"
    data = (
        f"<article {NAMESPACES} {ALI}><front><article-meta>{said}</article-meta></front><body>{PLAIN}</body></article>"
    )
    parsed = parse_article(data.encode(), "PMC1.1", today=TODAY)
    assert (parsed.article.license_code, parsed.article.license_barred) == (None, "the licence begins on 2099-01-01")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("<fig><caption><p>Reprinted with permission from Big Press.</p></caption>{}</fig>", None),
        ("<fig><caption><p>C</p></caption>{}<attrib>© 2019 Big Press</attrib></fig>", None),
        ("<fig><graphic xlink:href='a'><attrib>© 2019 Big Press</attrib></graphic></fig>", None),
        ("<fig-group><caption><p>Adapted from X with permission.</p></caption><fig>{}</fig></fig-group>", None),
        ("<fig><caption><p>© 2019 Big Press</p></caption><fig>{}</fig></fig>", None),
        ("<boxed-text><attrib>Reproduced from Smith 2010.</attrib><fig>{}</fig></boxed-text>", None),
        (
            "<table-wrap>{}<table-wrap-foot><p>Reprinted with permission from X.</p></table-wrap-foot></table-wrap>",
            None,
        ),
        ("<fig><caption><p>Photo by A. Writer, CC BY-NC 2.0.</p></caption>{}</fig>", "CC BY-NC"),
        ("<fig><caption><p>Image: NASA, CC0.</p></caption>{}</fig>", "CC BY"),
        ("<fig><caption><p>Adapted from Smith 2010.</p></caption>{}</fig>", "CC BY"),
        ("<fig><caption><p>© 2024 The Writers</p></caption>{}</fig>", "CC BY"),
        (f"<fig><caption><p>Used with permission.</p></caption>{{}}{terms('by')}</fig>", None),
        ("<fig-group><caption><p>© 2019 X</p></caption><fig>{}" + terms("by") + "</fig></fig-group>", "CC BY"),
    ],
)
def test_credit_lines_can_only_make_it_stricter(body: str, code: str | None) -> None:
    """Where the part that decides is nearer than the credit line, as in the last, the line is about something else."""
    found = figure(body.replace("{}", "<graphic xlink:href='a.jpg'/>"))
    assert found.license_code == code
    assert licenses.freedom(found.license_code) <= licenses.freedom("CC BY")


def test_a_credit_line_in_a_caption_that_is_taken_from_the_figure_around_counts() -> None:
    """Though the inner figure states a licence itself: the caption is its own now."""
    inner = f"<fig><graphic xlink:href='a.jpg'/>{terms('by')}</fig>"
    found = figure(f"<fig><caption><p>Reprinted with permission from Big Press.</p></caption>{inner}</fig>")
    assert found.caption is not None
    assert (found.caption.inherited, found.license_code) == (True, None)


@pytest.mark.skipif(not CASES.is_dir(), reason="the inputs are not at ../shared/cases")
def test_the_parts_of_the_shared_input() -> None:
    data = (CASES / "rights_of_parts.xml").read_bytes()
    found = {f.graphics[0].href: f.license_code for f in parse_article(data).figures if f.graphics}
    closed = ("a1.jpg", "a2a.jpg", "a2b.jpg", "a3.jpg", "a4.jpg", "a5.jpg", "a6.jpg")
    assert found == dict.fromkeys(closed, None) | {"a7.jpg": "CC BY-NC-ND"}
