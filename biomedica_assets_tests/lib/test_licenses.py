"""Licence spellings seen in PMC metadata, JATS files and other indexes, each with the code it must become."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib import licenses

SPELLINGS = {
    "CC0": "CC0|cc0|CC-0|CC 0|CC0 1.0|CC0-1.0|CC Zero|cc0license|CC0 1.0 Universal|Creative Commons Zero"
    "|Creative Commons CC0 Public Domain Dedication",
    "CC BY": "CC BY|CC-BY|cc by|CCBY|CC BY 4.0|CC-BY-4.0|CC BY 3.0 US|CC BY 3.0 IGO|CC_BY|CC  BY |cc-by-2.0-uk"
    "|ccbylicense|cc-by license|Creative Commons Attribution|Creative Commons Attribution License"
    "|Creative Commons CC BY 4.0|Creative Commons Attribution 4.0 International License"
    "|Creative Commons Attribution 3.0 Unported"
    "|The Creative Commons Attribution Licence",
    "CC BY-SA": "CC BY-SA|CC-BY-SA|cc by sa|CC BY-SA 4.0|ccbysalicense"
    "|Creative Commons Attribution-ShareAlike 4.0 International",
    "CC BY-ND": "CC BY-ND|CC-BY-ND|CC BY ND 3.0|Creative Commons Attribution-NoDerivs"
    "|Creative Commons Attribution-NoDerivatives 4.0 International",
    "CC BY-NC": "CC BY-NC|CC-BY-NC|CC BY NC|cc-by-nc-4.0|ccbynclicense|CC BY-NC 4.0"
    "|Creative Commons Attribution Non-Commercial License|Creative Commons Attribution-NonCommercial 3.0 Unported",
    "CC BY-NC-SA": "CC BY-NC-SA|CC-BY-NC-SA|CC BY-SA-NC|ccbyncsalicense|CC BY-NC-SA 3.0",
    "CC BY-NC-ND": "CC BY-NC-ND|CC-BY-NC-ND|CC BY-ND-NC|ccbyncndlicense|CC BY NC ND 4.0"
    "|Creative Commons Attribution-NonCommercial-NoDerivatives 4.0 International Public License",
    "PD": "Public Domain|public-domain|Public Domain Mark 1.0|CC-PDDC",
    "TDM": "TDM|tdm|author_manuscript",
}
NOT_UNDERSTOOD = [
    None,
    "",
    " ",
    "NO-CC CODE",
    "none",
    "null",
    "CC",
    "BY",
    "open-access",
    "custom",
    "Elsevier user license",
]
NOT_UNDERSTOOD += [
    "CC BY 4.0 NC",
    "CC BY or CC BY-NC",
    "CC BY, except Figure 2",
    "CC BY-XX",
    "CC BYE",
    "not CC BY",
    "GPL",
]
NOT_UNDERSTOOD += [
    "CC BY-SA-ND",
    "All rights reserved",
    "CC0 where applicable",
    "CC BY-NonProfit",
    "public domain in the USA",
]
URLS = {
    "http://creativecommons.org/licenses/by/4.0/": ("CC BY", "4.0"),
    "https://creativecommons.org/licenses/by/4.0": ("CC BY", "4.0"),
    "https://www.creativecommons.org/licenses/by-nc/4.0/legalcode": ("CC BY-NC", "4.0"),
    "http://creativecommons.org/licenses/by/2.0/uk/": ("CC BY", "2.0"),
    "http://creativecommons.org/licenses/by/3.0/igo/legalcode": ("CC BY", "3.0"),
    "http://creativecommons.org/licenses/CC-BY/4.0": ("CC BY", "4.0"),
    "HTTPS://CreativeCommons.org/Licenses/BY-NC-ND/4.0/deed.en": ("CC BY-NC-ND", "4.0"),
    "creativecommons.org/licences/by-nc-sa/3.0": ("CC BY-NC-SA", "3.0"),
    "http://https://creativecommons.org/licenses/by/4.0/": ("CC BY", "4.0"),
    " https://creativecommons.org/license/by-sa/4.0/. ": ("CC BY-SA", "4.0"),
    "https://creativecommons.org/licenses/by-nd/4.0/": ("CC BY-ND", "4.0"),
    "http://creativecommons.org/licenses/by-nd-nc/1.0/": ("CC BY-NC-ND", "1.0"),
    "http://creativecommons.org/licenses/by-nc/": ("CC BY-NC", None),
    "https://creativecommons.org/publicdomain/zero/1.0/": ("CC0", "1.0"),
    "http://creativecommons.org/publicdomain/mark/1.0/": ("PD", "1.0"),
    "http://creativecommons.org/licenses/publicdomain/": ("PD", None),
    "http://creativecommons.org/licenses/devnations/2.0/": (None, None),
    "http://creativecommons.org/licenses/sampling+/1.0/": (None, None),
    "http://creativecommons.org/": (None, None),
    "http://creativecommons.org/licenses/by/4": ("CC BY", "4.0"),
    "http://creativecommons.org/licenses/by/nc/4.0": (None, None),
    "http://creativecommons.org/licenses/by/4.0/nc": (None, None),
    "http://creativecommons.org/licenses/by/4.0/ http://creativecommons.org/licenses/by-nc/4.0/": (None, None),
    "https://example.org/licenses/by/4.0/": (None, None),
    "https://creativecommons.org.example.org/licenses/by/4.0/": (None, None),
    "http://www.elsevier.com/open-access/userlicense/1.0/": (None, None),
    "": (None, None),
}


@pytest.mark.parametrize(("text", "code"), [(t, code) for code, texts in SPELLINGS.items() for t in texts.split("|")])
def test_every_known_spelling_gets_its_code(text, code):
    assert licenses.normalise(text) == code


@pytest.mark.parametrize("text", NOT_UNDERSTOOD)
def test_what_is_not_understood_as_a_whole_has_no_code_and_is_never_commercial(text):
    assert licenses.normalise(text) is None
    assert licenses.group_of(licenses.normalise(text)) == "other"


@pytest.mark.parametrize(("url", "expected"), URLS.items())
def test_creative_commons_urls_tell_code_and_version(url, expected):
    assert licenses.from_url(url) == expected


def test_a_url_is_a_spelling_too():
    assert licenses.normalise("https://creativecommons.org/licenses/by-nc/4.0/") == "CC BY-NC"


def test_codes_are_their_own_spelling():
    assert [licenses.normalise(code) for code in licenses.CODES] == list(licenses.CODES)


def test_groups_are_those_of_pubmed_central_and_author_manuscripts_are_in_none():
    groups = {code: licenses.group_of(code) for code in licenses.CODES}
    assert [c for c, g in groups.items() if g == "commercial"] == ["CC0", "CC BY", "CC BY-SA", "CC BY-ND"]
    assert [c for c, g in groups.items() if g == "noncommercial"] == ["CC BY-NC", "CC BY-NC-SA", "CC BY-NC-ND"]
    assert groups["TDM"] == groups["PD"] == licenses.group_of(None) == "other"


def test_groups_are_data_that_a_user_may_replace():
    assert licenses.group_of("CC BY-ND", {"derivable": ("CC0", "CC BY")}) == "other"
    assert licenses.codes_of(("noncommercial",)) == ("CC BY-NC", "CC BY-NC-SA", "CC BY-NC-ND")
    with pytest.raises(ValueError, match="unknown; there are commercial, noncommercial"):
        licenses.codes_of(("commerical",))


@given(st.text(max_size=30))
def test_no_text_that_says_noncommercial_is_ever_commercial(noise):
    for text in (f"CC BY {noise} NC", f"CC BY-NC {noise}", f"{noise} non-commercial CC BY"):
        assert licenses.group_of(licenses.normalise(text)) != "commercial"
