"""More places and forms in which the JATS tag library lets rights be stated, and every way into a freer group.

The tag library says where ``permissions`` may stand (1.3: "This element may be contained in"), what it may hold, and
how dates and types are written; each is taken once, closed in an open article and open in a closed one.
"""

from __future__ import annotations

import pytest

from biomedica_assets.lib import licenses
from biomedica_assets_tests.lib.jats.test_rights import ALI, BY, CC, CLOSED, FIG, PLACES, PLAIN, figure, terms

GRAPHIC = "<graphic xlink:href='a.jpg'/>"
MORE = {
    "array": f"<array>{GRAPHIC}{{}}</array>",
    "preformat before a group": f"<fig-group>{PLAIN}<attrib>x</attrib>{{}}</fig-group>",
    "verse-group": f"<verse-group>{PLAIN}{{}}</verse-group>",
    "table-wrap-group": f"<table-wrap-group><table-wrap>{GRAPHIC}</table-wrap>{{}}</table-wrap-group>",
    "boxed-text in a sec": f"<sec><boxed-text><sec><title>T</title>{PLAIN}</sec>{{}}</boxed-text></sec>",
    "boxed-text around a group": f"<boxed-text><fig-group>{PLAIN}</fig-group>{{}}</boxed-text>",
    "sec two levels up": f"<sec><sec-meta>{{}}</sec-meta><sec><sec>{PLAIN}</sec></sec></sec>",
    "object-meta of a figure": "<fig><object-meta>{}</object-meta><caption><p>C</p></caption>" + GRAPHIC + "</fig>",
    "caption of a figure": "<fig><caption><p>C</p>{}</caption>" + GRAPHIC + "</fig>",
    "block-alternatives": f"<block-alternatives><fig>{GRAPHIC}</fig>{{}}</block-alternatives>",
    "question": f"<question-wrap><question>{PLAIN}</question>{{}}</question-wrap>",
    "explanation": f"<explanation>{PLAIN}{{}}</explanation>",
    "media with a still": "<fig><media xlink:href='v.mp4'>{}<graphic xlink:href='a.jpg'/></media></fig>",
    "graphic in a paragraph of a caption's figure": "<fig><p><graphic xlink:href='a.jpg'>{}</graphic></p></fig>",
    "formula in a figure": "<fig><disp-formula><graphic xlink:href='a.jpg'>{}</graphic></disp-formula></fig>",
    "a namespace of its own": f"<j:sec xmlns:j='urn:j'><j:sec-meta>{{}}</j:sec-meta>{PLAIN}</j:sec>",
    "a comment and an instruction before it": "<fig><!-- c --><?pi x?>" + GRAPHIC + "<?pi?>{}<!-- c --></fig>",
}
OF_THE_FILM = {"media beside the still", "media with a still"}
"""Terms of a film bind its still, and free nothing but the film."""
ALL = PLACES | {name: {"body": text} for name, text in MORE.items()}


@pytest.mark.parametrize("place", MORE)
@pytest.mark.parametrize(("said", "code"), [(CLOSED, None), (terms("by-nc"), "CC BY-NC")], ids=["closed", "by-nc"])
def test_terms_stand_in_further_places(place, said, code):
    assert figure(MORE[place].format(said)).license_code == code
    assert figure(MORE[place].format("")).license_code == "CC BY"


@pytest.mark.parametrize("article", [terms("by-nc"), CLOSED, ""], ids=["by-nc", "closed", "silent"])
@pytest.mark.parametrize("place", ALL)
def test_a_part_frees_its_pictures_only_by_a_licence_of_its_own(place, article):
    """The first way into a freer group than the article's: the nearest part names a licence. Nothing else does it."""
    parts = {name: text.format(terms("by")) for name, text in ALL[place].items()}
    found = figure(**parts, article=article)
    if place in OF_THE_FILM:
        assert found.license_group != "commercial"
    else:
        assert (found.license_code, found.has_own_license) == ("CC BY", True)
    for said in (
        "<permissions><ali:free_to_read/></permissions>",
        "<permissions><copyright-statement>© 2024 The Writers</copyright-statement></permissions>",
        "<permissions><license><license-p>This is open access.</license-p></license></permissions>",
        "<permissions><license license-type='open-access'/></permissions>",
    ):
        parts = {name: text.format(said) for name, text in ALL[place].items()}
        assert figure(**parts, article=article).license_group != "commercial"


@pytest.mark.parametrize("article", [terms("by-nc"), CLOSED], ids=["by-nc", "closed"])
@pytest.mark.parametrize("place", ["fig", "table-wrap", "boxed-text", "sec", "app"])
def test_files_of_before_permissions_state_a_licence_in_the_part_itself(place, article):
    """The second way: ``license`` without ``permissions`` was the form of NLM's DTD 1 and 2, and is read as it."""
    said = f"<license xlink:href='{CC.format('by')}'><p>Open.</p></license>"
    parts = {name: text.format(said) for name, text in ALL[place].items()}
    assert figure(**parts, article=article).license_code == "CC BY"


@pytest.mark.parametrize(
    "spelling", ["CC BY 4.0 Deed", "CC BY 4.0 DEED | Attribution 4.0 International | Creative Commons"]
)
def test_a_harmless_spelling_is_known(spelling):
    """The third way: what was not understood, and so allowed nothing, is a name of CC BY."""
    said = f"<permissions><license><license-p>{spelling}</license-p></license></permissions>"
    typed = f"<permissions><license license-type='{spelling}'/></permissions>"
    assert figure(FIG.format(typed), article=terms("by-nc")).license_code == "CC BY"
    assert figure(FIG.format(said), article=terms("by-nc")).license_code in ("CC BY", None)


def test_the_articles_own_statement_repeated_takes_nothing_away():
    """The fourth way: before, a figure that repeated the article's copyright line had no licence at all."""
    own = "<permissions><copyright-statement>© 2024, The Writers.</copyright-statement></permissions>"
    assert figure(FIG.format(own)).license_code == "CC BY"
    assert figure(FIG.format(own), article=BY.replace("Writers", "Authors")).license_code is None
    holder = (
        "<permissions><copyright-year>2024</copyright-year><copyright-holder>Writers</copyright-holder></permissions>"
    )
    assert licenses.freedom(figure(FIG.format(holder)).license_code) <= licenses.freedom("CC BY")


FORMS = {
    "type and href": (f"<license license-type='creative-commons' xlink:href='{CC.format('by-nc')}'/>", "CC BY-NC"),
    "content type of the ref": (
        f"<license><ali:license_ref content-type='ccbynclicense'>{CC.format('by-nc')}</ali:license_ref></license>",
        "CC BY-NC",
    ),
    "content type alone": (
        "<license><ali:license_ref content-type='ccbyncndlicense'/></license>", "CC BY-NC-ND",
    ),
    "a link in the text": (
        f"<license><license-p>See <ext-link xlink:href='{CC.format('by-nc')}'>here</ext-link>.</license-p></license>",
        "CC BY-NC",
    ),
    "a uri in the text": (f"<license><license-p><uri>{CC.format('by-sa')}</uri></license-p></license>", "CC BY-SA"),
    "a name in the text": (
        "<license><license-p>Creative Commons Attribution-NonCommercial 4.0 International</license-p></license>",
        "CC BY-NC",
    ),
    "p for license-p": (f"<license><p><uri>{CC.format('by-nc')}</uri></p></license>", "CC BY-NC"),
    "http, no slash, upper case": (
        "<license xlink:href='HTTP://CREATIVECOMMONS.ORG/LICENSES/BY-NC/3.0'/>", "CC BY-NC",
    ),
    "a port": ("<license xlink:href='http://creativecommons.org/licenses/by-nc/2.5/ca/deed.fr'/>", "CC BY-NC"),
    "two permissions": (
        f"</permissions><permissions><license xlink:href='{CC.format('by-nc')}'/>", "CC BY-NC",
    ),
    "two permissions, one closed": (
        f"<license xlink:href='{CC.format('by')}'/></permissions><permissions><license><license-p>All rights reserved."
        "</license-p></license>", None,
    ),
    "two holders": (
        "<copyright-holder>A</copyright-holder><copyright-holder>B</copyright-holder>"
        f"<license xlink:href='{CC.format('by')}'/>", "CC BY",
    ),
    "a statement of another beside a licence": (
        f"<copyright-statement>© 2019 Elsevier</copyright-statement><license xlink:href='{CC.format('by')}'/>", "CC BY",
    ),
    "text that takes the licence back": (
        f"<license xlink:href='{CC.format('by')}'><license-p>Excluded from the article's CC BY license.</license-p>"
        "</license>", None,
    ),
    "a year that has not begun": (
        f"<license><ali:license_ref start_date='2027'>{CC.format('by')}</ali:license_ref></license>", None,
    ),
    "a month that has": (
        f"<license><ali:license_ref start_date='2026-05'>{CC.format('by')}</ali:license_ref></license>", "CC BY",
    ),
    "an open one after a closed one that ended: the strictest of both": (
        f"<license><ali:license_ref end_date='2025-12-31'>https://example.org/own</ali:license_ref></license>"
        f"<license><ali:license_ref start_date='2026-01-01'>{CC.format('by')}</ali:license_ref></license>",
        None,
    ),
    "free to read with a licence still to come": (
        f"<ali:free_to_read/><license><ali:license_ref start_date='2099-01-01'>{CC.format('by')}</ali:license_ref>"
        "</license>", None,
    ),
    "author manuscript": ("<license license-type='author-manuscript'/>", "TDM"),
    "a publisher's own licence": (
        "<license xlink:href='https://www.elsevier.com/open-access/userlicense/1.0/'/>", None,
    ),
    "government work": (
        "<license><license-p>This is a U.S. Government work in the public domain.</license-p></license>", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_licence(form):
    inside, code = FORMS[form]
    found = figure(FIG.format(f"<permissions>{inside}</permissions>"))
    assert found.license_code == code
    assert "ali" in ALI
