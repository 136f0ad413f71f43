"""Where a caption is cut into its panels, and where it must not be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.stream.panels import panels


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("Effect of X. (A) Control cells. (B) Treated cells.", ["Control cells.", "Treated cells."]),
        ("(a) Blot, (b) its quantification and (c) survival", ["Blot", "its quantification", "survival"]),
        ("Images. A, Fundus. B, OCT scan.", ["Fundus.", "OCT scan."]),
        ("A: map; B: tree", ["map", "tree"]),
        ("a) First view. b) Second view.", ["First view.", "Second view."]),
        ("Rats. (A, B) Liver. (C-E) Kidney (see B).", ["Liver.", "Kidney (see B)."]),
        ("(A) One.\n(B) Two.", ["One.", "Two."]),
        ("Scheme: (A) before; (B) after.", ["before", "after."]),
    ],
)  # fmt: skip
def test_letters_that_open_clauses_in_order_cut_the_caption(caption: str, expected: list[str]) -> None:
    assert panels(caption) == expected


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "A single photograph of a liver.",
        "Treated cells (B) and controls (A).",
        "Survival of mice (A) and weight (B).",
        "(A) Only one panel is named.",
        "Cells. (B) Second. (C) Third.",
        "(A) One. (C) Three.",
        "(A) (B)",
        "Vitamin A, B and C in serum.",
        "Hepatitis A. B cells were counted.",
    ],
)
def test_what_is_not_sure_stays_whole(caption: str) -> None:
    assert panels(caption) == []


@given(st.text("ABab(),.;: and-\n", max_size=80))
def test_every_part_is_a_piece_of_the_caption_in_order(caption: str) -> None:
    place = 0
    for part in panels(caption):
        place = caption.index(part, place) + len(part)


@given(st.lists(st.text("xyz", min_size=2, max_size=9), min_size=2, max_size=12), st.booleans())
def test_a_caption_of_panels_gives_them_back(parts: list[str], lower: bool) -> None:
    first = ord("a" if lower else "A")
    assert panels("Title. " + " ".join(f"({chr(first + n)}) {part}." for n, part in enumerate(parts))) == [
        f"{part}." for part in parts
    ]
