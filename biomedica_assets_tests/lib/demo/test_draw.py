"""Pictures: every kind draws, equal state gives equal bytes, attributes are seen."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from biomedica_assets.lib.demo import art, captions
from biomedica_assets.lib.demo.draw import FIGURE_KINDS, KINDS, draw, panels

SIZE = (176, 160)


def drawn(kind: str, *state: int) -> np.ndarray:
    return np.asarray(draw(kind, np.random.default_rng(state), SIZE).image.convert("RGB"), dtype=float)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_draws_in_the_size_asked_for_and_is_not_blank(kind: str) -> None:
    drawing = draw(kind, np.random.default_rng([1, 2]), SIZE)
    assert drawing.kind == kind
    assert drawing.image.size == SIZE
    assert np.asarray(drawing.image).std() > 5


@pytest.mark.parametrize("kind", KINDS)
def test_equal_state_gives_equal_pixels_and_another_state_others(kind: str) -> None:
    digests = {hashlib.sha256(drawn(kind, *state).tobytes()).digest() for state in ((3, 1), (3, 1), (3, 2))}
    assert len(digests) == 2


@pytest.mark.parametrize("kind", FIGURE_KINDS)
def test_every_attribute_value_of_a_kind_changes_its_caption(kind: str) -> None:
    """A caption that leaves an attribute out would make retrieval among pictures of one kind impossible."""
    drawings = [draw(kind, np.random.default_rng([4, k]), (96, 96)) for k in range(60)]
    for name in {name for drawing in drawings for name in drawing.attributes}:
        for drawing in drawings[:20]:
            if name not in drawing.attributes:
                continue
            values = {d.attributes[name] for d in drawings if name in d.attributes} - {drawing.attributes[name]}
            for value in values:
                if (kind, name) in DEPENDENT and not DEPENDENT[kind, name](drawing.attributes | {name: value}):
                    continue
                words = [
                    captions.describe(kind, attributes, np.random.default_rng(9))
                    for attributes in (drawing.attributes, drawing.attributes | {name: value})
                ]
                assert words[0] != words[1], (name, value, words)


# Changing one attribute alone may ask for another that is not there.
DEPENDENT = {
    ("chest_radiograph", "finding"): lambda a: "side" in a or a["finding"] in {"clear", "cardiomegaly"},
    ("ct", "lesion"): lambda a: "side" in a or a["lesion"] == "none",
    ("ultrasound", "finding"): lambda a: "count" in a or a["finding"] != "cyst",
    ("bar_plot", "trend"): lambda a: "group" in a or a["trend"] != "tallest",
}


def test_the_side_of_an_opacity_is_where_the_caption_says() -> None:
    """Radiological convention: the patient's left lung is at the right of the picture."""
    brighter: dict[str, list[bool]] = {"left": [], "right": []}
    for k in range(120):
        drawing = draw("chest_radiograph", np.random.default_rng([5, k]), SIZE)
        if drawing.attributes["finding"] != "opacity":
            continue
        shown = np.asarray(drawing.image, dtype=float)[40:110]
        left_half, right_half = shown[:, 20:70].mean(), shown[:, -70:-20].mean()
        brighter[drawing.attributes["side"]].append(bool(right_half > left_half))
    assert all(brighter["left"])
    assert not any(brighter["right"])
    assert min(map(len, brighter.values())) >= 5


def test_the_optic_disc_stands_on_the_side_of_the_eye() -> None:
    for k in range(20):
        drawing = draw("fundus", np.random.default_rng([6, k]), (160, 160))
        shown = np.asarray(drawing.image, dtype=float)[70:90, :, 2]
        assert (shown[:, 80:].mean() > shown[:, :80].mean()) == (drawing.attributes["eye"] == "right")


def test_kinds_can_be_told_apart_by_coarse_pixels() -> None:
    """Nearest class mean on 8 x 8 thumbnails: well above chance (1 in 17), or no small model could learn them."""

    def features(start: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        rows = [
            np.asarray(Image.fromarray(drawn(kind, start, k).astype(np.uint8)).resize((8, 8))).ravel()
            for kind in FIGURE_KINDS
            for k in range(n)
        ]
        return np.array(rows, dtype=float), np.repeat(np.arange(len(FIGURE_KINDS)), n)

    x, y = features(7, 12)
    means = np.stack([x[y == c].mean(axis=0) for c in range(len(FIGURE_KINDS))])
    x, y = features(8, 6)
    guess = ((x[:, None] - means[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (guess == y).mean() > 0.5


@pytest.mark.parametrize("count", range(2, 7))
def test_a_compound_figure_has_its_panels_letters_and_words(count: int) -> None:
    made = art.compound(np.random.default_rng([9, count]), ["ct"] * (count - 1) + ["map"])
    assert [panel.kind for panel in made.panels] == ["ct"] * (count - 1) + ["map"]
    assert made.kind == art.MIXED
    for letter in panels.LETTERS[:count]:
        assert f"({letter}) " in made.paragraphs[0]
    assert f"({panels.LETTERS[count]}) " not in made.paragraphs[0] if count < 6 else True


def test_a_compound_figure_of_one_kind_is_of_that_kind() -> None:
    assert art.compound(np.random.default_rng(1), ["gel", "gel"]).kind == "gel"
