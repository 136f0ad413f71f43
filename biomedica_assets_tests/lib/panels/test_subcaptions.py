"""Captions cut into what they say of each panel: every notation, directions, shared parts, and what is no label."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.panels.labels import expand
from biomedica_assets.lib.panels.subcaptions import panel_texts, subcaptions


def cut(caption: str) -> dict[str, list[str]]:
    """Own texts by label set."""
    return {",".join(p.labels): [caption[a:b] for a, b in p.own] for p in subcaptions(caption)}


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("Cells. (A) Control. (B) Treated.", {"A": ["Control."], "B": ["Treated."]}),
        ("Cells. A, control; B, treated.", {"A": ["control"], "B": ["treated."]}),
        ("Cells. A: control. B: treated.", {"A": ["control."], "B": ["treated."]}),
        ("Cells. A) Control. B) Treated.", {"A": ["Control."], "B": ["Treated."]}),
        ("Cells. A. Control. B. Treated.", {"A": ["Control."], "B": ["Treated."]}),
        ("Cells.\na Control cells. b Treated cells.", {"a": ["Control cells."], "b": ["Treated cells."]}),
        ("Cells. [A] Control. [B] Treated.", {"A": ["Control."], "B": ["Treated."]}),
        ("Cells. ( A ) Control. ( B ) Treated.", {"A": ["Control."], "B": ["Treated."]}),
        ("(A, B) Slices. (C) Score.", {"A,B": ["Slices."], "C": ["Score."]}),
        ("(A–C) Slices. (D) Score.", {"A,B,C": ["Slices."], "D": ["Score."]}),  # noqa: RUF001
        ("(A) and (B) Slices. (C) Score.", {"A,B": ["Slices."], "C": ["Score."]}),
        ("a–c Slices. d Score of all.", {"a,b,c": ["Slices."], "d": ["Score of all."]}),  # noqa: RUF001
        ("(Ai) Whole. (Aii) Detail. (B) Score.", {"Ai": ["Whole."], "Aii": ["Detail."], "B": ["Score."]}),
        ("(A1) Whole. (A2) Detail. (B) Score.", {"A1": ["Whole."], "A2": ["Detail."], "B": ["Score."]}),
        ("Axial CT (a) and sagittal CT (b).", {"a": ["Axial CT"], "b": ["sagittal CT"]}),
        ("Liver. Before (a), after (b).", {"a": ["Before"], "b": ["after"]}),
        ("MRI showing (a) axial, (b) sagittal and (c) coronal views.",
         {"a": ["axial"], "b": ["sagittal"], "c": ["coronal views."]}),
        ("Water. (A) Course 2 (B) Course 3.", {"A": ["Course 2"], "B": ["Course 3."]}),
        ("Left: before. Right: after.", {"left": ["before."], "right": ["after."]}),
        ("Top row: MRI. Bottom row: CT.", {"top": ["MRI."], "bottom": ["CT."]}),
        ("Panel A: before. Panel B: after.", {"A": ["before."], "B": ["after."]}),
        ("(i) First step. (ii) Second step.", {"i": ["First step."], "ii": ["Second step."]}),
        ("(A) One. (B) Two. (A) Again.", {"A": ["One.", "Again."], "B": ["Two."]}),
        ("(A) Blot. (B, C) Levels in (B) liver and (C) lung. (D) Map.",
         {"A": ["Blot."], "B,C": ["Levels in"], "B": ["liver"], "C": ["lung."], "D": ["Map."]}),
        ("(A) Blot. (B) Plot. In (A), bars are means. (C) Map. Arrows in (A) and (B) mark bands.",
         {"A": ["Blot.", "bars are means."], "B": ["Plot."], "C": ["Map."],
          "A,B": ["Arrows in (A) and (B) mark bands."]}),
        ("Weight after (a) saline or (b) drug. (c) Survival of both.",
         {"a,b": ["Weight after"], "a": ["saline"], "b": ["drug."], "c": ["Survival of both."]}),
        ("Sites: (A) inner; (B) outer. Javan: (C) inner; (D) outer.",
         {"A,B": ["Sites"], "A": ["inner"], "B": ["outer."], "C,D": ["Javan"], "C": ["inner"], "D": ["outer."]}),
        ("D1 is red (A); D2 is green (B); the merge (C) shows both.",
         {"A": ["D1 is red"], "B": ["D2 is green"], "C": ["the merge", "shows both."]}),
        ("(A)–(C) Mice. (D) Blot showing cytoplasmic (C) and nuclear (N) lysates.",  # noqa: RUF001
         {"A,B,C": ["Mice."], "D": ["Blot showing cytoplasmic (C) and nuclear (N) lysates."]}),
        ("Species a Apis mellifera, dark b Apis cerana c Bombus terrestris. Bar 1 mm.",
         {"a": ["Apis mellifera, dark"], "b": ["Apis cerana"], "c": ["Bombus terrestris."]}),
        ("Change for a mean salinity and b salt content.", {"a": ["mean salinity"], "b": ["salt content."]}),
        ("Panel (a) shows a clique. (b) shows a star.", {"a": ["shows a clique."], "b": ["shows a star."]}),
        ("The left panel shows men. The right panel shows women.",
         {"left": ["shows men."], "right": ["shows women."]}),
        ("(A) Cells: a, control; b, treated; c, washed. (B) Score.",
         {"A": ["Cells: a, control; b, treated; c, washed."], "B": ["Score."]}),
    ],
)  # fmt: skip
def test_every_notation_is_cut_at_its_labels(caption, found):
    assert cut(caption) == found


@pytest.mark.parametrize(
    "caption",
    [
        "A histogram of all ages. A line marks the mean.",
        "Residues (H, F, Y, W) and (A, C, V, L) are grouped.",
        "As shown in (A), nothing happened.",
        "Vitamin A, vitamin B and others.",
        "The curves (upper) and (lower) denote the bounds.",
        "Two reasons: (i) it is slow; (ii) it is dear.",
        "",
        "Only (A) is here.",
    ],
)
def test_what_names_no_panels_is_left_whole(caption):
    assert subcaptions(caption) == []


def test_preamble_and_closing_remarks_are_shared_by_all_panels():
    """A reader of panel B alone needs the title, the scale bar and the abbreviations."""
    caption = "Retina. (A) Fundus. (B) OCT with drusen. Scale bars, 200 µm. OCT, optical coherence tomography."
    a, b = subcaptions(caption)
    assert a.shared == b.shared
    assert [caption[x:y] for x, y in a.shared] == ["Retina.", "Scale bars, 200 µm. OCT, optical coherence tomography."]
    assert b.text(caption) == "Retina. OCT with drusen. Scale bars, 200 µm. OCT, optical coherence tomography."


def test_a_reference_within_a_clause_does_not_begin_a_panel():
    caption = "(A) Cells. (B) Region boxed in (A), enlarged; compare (C). (C) Score of (A) and (B)."
    assert [p.labels for p in subcaptions(caption)] == [("A",), ("B",), ("C",)]


@pytest.mark.parametrize(
    ("group", "labels"),
    [("A-C", "ABC"), ("a, c and d", "acd"), ("B–D", "BCD"), ("D-A", ""), ("H, F", "")],  # noqa: RUF001
)
def test_groups_are_expanded_and_nonsense_is_none(group, labels):
    assert "".join(expand(group)) == labels


@pytest.mark.parametrize(
    ("caption", "texts"),
    [
        ("Rats. (A, B) Liver. (C) Kidney. Scale bar, 1 mm.", {"A": "Liver.", "B": "Liver.", "C": "Kidney."}),
        ("(A) Map. (B, C) Levels in (B) liver and (C) lung.",
         {"A": "Map.", "B": "Levels in liver", "C": "Levels in lung."}),
        ("Scheme: (A) before; (B) after.", {"A": "before", "B": "after."}),
        ("Images. A, Fundus. B, OCT scan.", {"A": "Fundus.", "B": "OCT scan."}),
        ("Hepatitis A. B cells were counted.", {}),
        ("Vitamin A, B and C in serum.", {}),
        ("(A) (B)", {}),
    ],
)  # fmt: skip
def test_a_panel_has_its_groups_words_and_its_own_and_nothing_that_all_share(caption, texts):
    assert panel_texts(caption) == texts


@given(st.lists(st.text("xyz", min_size=2, max_size=9), min_size=2, max_size=12), st.booleans())
def test_a_caption_of_panels_gives_them_back(parts, lower):
    first = ord("a" if lower else "A")
    caption = "Title. " + " ".join(f"({chr(first + n)}) {part}." for n, part in enumerate(parts))
    assert list(panel_texts(caption).values()) == [f"{part}." for part in parts]


PIECES = st.lists(
    st.sampled_from(
        ["(A) ", "(B) ", "(C) ", "A, ", "b ", "cells. ", "Scale bar, 5 µm. ", "(A-C) ", "\n", "Left: ", "x"]
    ),
    max_size=24,
)


@given(PIECES)
def test_spans_lie_within_the_caption_and_no_character_is_two_panels_own(pieces):
    """Whatever the caption: spans are ordered, inside, own spans never overlap each other nor what is shared."""
    caption = "".join(pieces)
    parts = subcaptions(caption)
    taken: list[tuple[int, int]] = []
    for part in parts:
        assert all(0 <= a < b <= len(caption) for a, b in part.spans)
        taken += part.own
    taken += parts[0].shared if parts else ()
    ordered = sorted(taken)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ordered))


def test_time_grows_with_the_caption():
    """A hostile caption of 50 000 characters is read in well under the test's limit; longer ones are left whole."""
    subcaptions("(A) " * 12_000)
    assert subcaptions("(A) x (B) y " * 10_000) == []


def test_hand_checked_captions_keep_their_spans():
    """Captions invented after the styles of real articles, spans checked by eye."""
    for case in json.loads(Path(__file__).with_name("captions.json").read_text()):
        assert cut(case["caption"]) == case["own"], case["caption"]
