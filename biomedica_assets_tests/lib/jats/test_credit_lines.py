"""Credit lines: sentences as they stand in captions, each with the rule it must meet. All are invented."""

# ruff: noqa: RUF001 - typographic apostrophes and dashes are what is tested

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.jats import credit_lines
from biomedica_assets.lib.jats.credit_lines import read_credit, same_copyright

TAKEN = {
    "permission": (
        "Reproduced with permission from Smith et al. (2010).",
        "Cells at rest (reprinted with permission from ref. 12).",
        "Adapted from [4] with the authors’ permission.",
        "Redrawn after Jones, with kind permission of Big Press.",
        "Used by permission of the Museum of Bones.",
        "By kind permission of A. Person.",
        "Reprinted with permission from Child Development Press.",
        "Image published with the permission of the Herbarium.",
        "Figure 2 is modified from Smith (2001), with permission.",
        "Permission obtained from Big Press.",
        "Permission to reproduce this figure was granted by Big Press.",
        "(Figure sources: panel A [28]; panel B [110]; used with permission).",
        "Photograph of a moth reprinted with written permission from its owner, A. B. Smith.",
        "Mit freundlicher Genehmigung des Verlags.",
        "Reproduit avec la permission de l'éditeur.",
        "Reproducido con permiso de la editorial.",
        "May not be copied without permission from the publisher.",
    ),
    "copyright": (
        "© 2019 Big Press.",
        "Map of the area, vector © Land Survey.",
        "Reconstruction copyright Anna Painter.",
        "Copyright 2017 Big Press",
        "Copyright (2017) Big Press",
        "(c) 2019 Big Press",
        "Copyright held by the museum.",
        "Imagery © Globe Pictures, map data © OpenStreetMap contributors.",
        "Made in Viewer© 2019 Big Maker.",
    ),
    "reserved": ("All rights reserved.", "Copyright 2004 A. Person. All Rights Reserved."),
    "not_covered": (
        "This panel is not covered by the CC BY licence of the article.",
        "The photograph is not included in the Creative Commons licence.",
        "Excluded from the open access licence.",
    ),
    "verbatim": (
        "Reproduced from Smith et al., 2010.",
        "Reproduced from Figs. 1\u20134 from Ref. [23].",
        "Reprinted from figure 2 of Smith et al. (2010).",
        "Image reproduced from Fig. 3B in Smith and Jones 2004.",
        "The map was reprinted from an atlas of 1901.",
        "Panel B: image republished from [7].",
        "(reproduced and enlarged from Smith 2010)",
    ),
}
SPARED = (
    "Adapted from Smith et al. 2010.",
    "Modified from [13].",
    "Redrawn after Jones (1999).",
    "Image credit: A. Person.",
    "Photo courtesy of A. Person.",
    "Photograph of the hand, published with permission of the patient.",
    "Face of the child; parental permission was obtained.",
    "Shown with the patient’s written permission.",
    "Permission was given by both parents for this picture.",
    "Samples were collected with permission from the Ministry of Forests.",
    "Sites where we had permission to dig.",
    "File permissions of the store.",
    "Public domain; no permission is required.",
    "Permissive temperature.",
    "Own permissions in the figure.",
    "Map data © OpenStreetMap contributors.",
    "© The Author(s) 2024.",
    "Analysed with Viewer© software.",
    "Icons are copyright-free.",
    "Out of copyright.",
    "(a) 2016, (b) 2017, (c) 2018 Rain in June.",
    "Data were reproduced from three independent runs.",
    "The effect is reproduced based on ref. 5.",
    "Relative effects are reproduced in mice.",
    "Reproduced from the data of this study.",
    "Reproduced from Fig. 2 in the main text.",
    "Panels A and B are reproduced from Figure 3 and Figure 4.",
    "Reproduced from Fig. 2A of this article.",
    "Silhouettes are freely available for reuse under Creative Commons licenses.",
    "Reproduced from a survey of 1901, public domain.",
    "5 cc by injection.",
    "The right to vote is reserved.",
)
NAMED = {
    "Reproduced from Smith (2019) under CC BY-NC 4.0.": ("CC BY-NC",),
    "© 2019 Smith et al. Licensed under CC BY 4.0.": ("CC BY",),
    "Reprinted with permission from Smith. This figure is distributed under CC BY-SA 3.0.": ("CC BY-SA",),
    "Photo: A. Person (CC BY-NC-ND 2.0).": ("CC BY-NC-ND",),
    "Image from the web, https://creativecommons.org/licenses/by-nc/4.0/.": ("CC BY-NC",),
    "Creative Commons Attribution-ShareAlike 3.0 Unported license; another, CC0.": ("CC BY-SA", "CC0"),
}


@pytest.mark.parametrize(("rule", "line"), [(rule, line) for rule, lines in TAKEN.items() for line in lines])
def test_a_line_by_which_the_picture_is_anothers_withholds_it(rule: str, line: str) -> None:
    """Alone and behind the words of a caption."""
    for text in (line, f"Cells under the microscope. {line}", f"Cells.\n{line}"):
        found = read_credit(text, "© 2024 The Writers")
        assert found is not None
        assert (found.rule, found.withheld, found.codes) == (rule, True, ())
        assert line.strip("()") in found.text or found.text in line


@pytest.mark.parametrize("line", SPARED)
def test_what_only_sounds_like_it_is_spared(line: str) -> None:
    """Consent, leave to collect, sources redrawn, product names, the article's own statement."""
    found = read_credit(f"Cells under the microscope. {line}", "© 2024 The Writers")
    assert found is None or (found.rule, found.withheld, found.codes) == ("source", False, ())


@pytest.mark.parametrize(("line", "codes"), NAMED.items())
def test_a_licence_named_with_it_takes_the_place_of_none(line: str, codes: tuple[str, ...]) -> None:
    found = read_credit(line)
    assert found is not None
    assert (found.withheld, found.codes) == (False, codes)


def test_a_licence_of_another_panel_does_not_free_the_first() -> None:
    found = read_credit("Panel A reprinted with permission from Big Press. Panel B by A. Person, CC BY 4.0.")
    assert found is not None
    assert found.withheld


def test_the_articles_own_statement_is_recognised_in_other_spellings() -> None:
    assert same_copyright("© 2024, Smith et al.", "Copyright © 2024 Smith et al")
    assert same_copyright("© The Author(s) 2024", "© 2024. The Authors.") is False  # the order is another
    assert not same_copyright("© 2010 Smith et al", "© 2024 Smith et al")
    assert not same_copyright(None, None)


@given(st.text(max_size=200), st.sampled_from([line for lines in TAKEN.values() for line in lines]))
def test_no_words_before_a_credit_line_hide_it(before: str, line: str) -> None:
    """Whatever a caption says on lines of its own, the line behind it is still read."""
    found = read_credit(f"{before}\n{line}")
    assert found is not None
    assert found.withheld or found.codes or "(b)" in before.casefold()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "Permission",
                "PERMIS",
                "genehmigung",
                "autorización",
                "autorisation",
                "©",
                "(C) 2019",
                "( c )",
                "Copyright",
            ]
        )
        | st.sampled_from(
            ["copywrite", "rights", "Re-produced", "reprinted", "republished", "licence", "License", "adapted"]
        )
        | st.sampled_from(
            ["creative common", "CC BY", "cc-by", "CC0", "cc\u20110", "cc zero", "accby", "credits", "x", ". "]
        ),
        max_size=4,
    )
)
def test_the_quick_look_misses_nothing_that_the_rules_would_see(words):
    text = " ".join(words)
    assert not credit_lines._SPOKEN.search(text) or credit_lines._may_speak(text)
