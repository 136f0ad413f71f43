"""Captions cut into what they say of each panel: every notation, directions, shared parts, and what is no label."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.panels.labels import expand
from biomedica_assets.lib.panels.subcaptions import subcaptions


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
