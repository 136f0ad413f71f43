"""Altered copies: what is proposed, how it is laid over, what counts as one."""

from __future__ import annotations

import csv
import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from biomedica_assets.lib.panels.find import split_at_gutters
from biomedica_assets.lib.select import copies, looks
from biomedica_assets.lib.select.agreement import Agreement, CopyRules
from biomedica_assets.lib.select.altered import TEST_SIDE
from biomedica_assets.lib.select.copies import Copy, find_copy, likest
from biomedica_assets.lib.select.frames import frames_of
from biomedica_assets.lib.select.registration import register
from biomedica_assets.lib.select.views import (
    ORIENTATIONS,
    View,
    corpus_views,
    describe,
    permutations,
    probe_views,
    turned,
    turning,
    unit_vectors,
)
from biomedica_assets_tests.lib.evaluate.fakes import eval_images
from biomedica_assets_tests.lib.select.alterations import ALTERATIONS, compound, lettered, scene

RULES = CopyRules()
OTHERS = [scene(seed) for seed in range(100, 108)]


def picture_of(image: Image.Image) -> tuple[np.ndarray, copies.Described]:
    """A picture as a chunk's stage looks at it."""
    small = looks.reduced(image, looks.SIDE)
    grey, frames = looks.grey_of(small), frames_of(small, split_at_gutters)
    views = corpus_views(frames, 1)
    return grey, copies.Described(views, describe(grey, views))


def look_for(test: Image.Image, image: Image.Image) -> Copy | None:
    """The stages of the library for one pair: is the second a copy of the first?"""
    grey = looks.grey_of(looks.reduced(test, TEST_SIDE))
    views = probe_views(grey)
    page, seen = picture_of(image)
    return find_copy(grey, views, describe(grey, views), page, seen, RULES)


@pytest.mark.parametrize("name", ALTERATIONS)
def test_a_copy_is_found_however_it_was_altered(name: str) -> None:
    for seed in range(3):
        image = scene(seed)
        assert look_for(image, ALTERATIONS[name](image, random.Random(f"{name}{seed}"), OTHERS)), seed


def test_strangers_are_no_copies() -> None:
    for one, other in itertools.combinations([*range(4), 100, 101], 2):
        assert look_for(scene(one), scene(other)) is None


def test_a_stranger_in_a_compound_figure_is_not_found() -> None:
    page = compound(scene(1), random.Random(5), OTHERS)
    assert look_for(scene(1), page)
    assert look_for(scene(2), page) is None


def test_same_axes_with_other_data_are_no_copy() -> None:
    """Frames, ticks and letters agree in two plots of one article; what they show does not."""

    def plot(seed: int) -> Image.Image:
        rng = np.random.default_rng(seed)
        made = np.full((300, 400, 3), 255, np.uint8)
        made[20:280, 40:43] = made[277:280, 40:380] = 0
        for at in range(40, 380, 34):
            made[280:290, at : at + 2] = 0
        heights = rng.integers(40, 240, 10)
        for bar, height in enumerate(heights):
            made[277 - height : 277, 50 + 32 * bar : 72 + 32 * bar] = (60, 90, 160)
        return Image.fromarray(made)

    assert look_for(plot(1), ALTERATIONS["JPEG 50"](plot(1), random.Random(0), []))
    for other in range(2, 8):
        assert look_for(plot(1), plot(other)) is None, other


def test_a_blank_picture_is_a_copy_of_nothing() -> None:
    blank = Image.new("RGB", (120, 90), (200, 200, 200))
    for other in (blank, scene(1), lettered(blank, random.Random(1))):
        assert look_for(blank, other) is None
        assert look_for(other, blank) is None
    assert not describe(looks.grey_of(blank), [View((0, 0, 120, 90))]).any()


def test_place_and_orientation_say_where_the_copy_is() -> None:
    image, page = scene(3), Image.new("RGB", (420, 200), "white")
    page.paste(OTHERS[0], (20, 20))
    page.paste(Image.fromarray(turned(np.asarray(image), 6)), (220, 20))
    found = look_for(image, page)
    assert found is not None
    assert found.orientation == 6
    assert np.abs(np.array(found.frame) - (220, 20, 380, 180)).max() <= 6


@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
def test_orientations_of_a_description_are_permutations_of_it(orientation: int) -> None:
    grey = looks.grey_of(scene(4, 96))
    whole = View((0, 0, 96, 96))
    upright, other = describe(grey, [whole]), describe(np.ascontiguousarray(turned(grey, orientation)), [whole])
    assert np.abs(upright[0][permutations()[orientation]].astype(int) - other[0]).max() <= 1
    x, y, _ = turning(orientation, 96) @ (10, 70, 1)
    assert turned(grey, orientation)[70, 10] == grey[round(y), round(x)]


def test_registration_finds_the_place_to_a_fraction_of_a_pixel() -> None:
    """A crop whose corner is known, from a guess that is off by 4 % of the side."""
    grey = looks.grey_of(scene(5, 128))
    part = np.ascontiguousarray(grey[20:116, 12:108])
    overlay = register(part, View((0, 0, 96, 96)), grey, View((16, 16, 112, 112)), 0)
    assert overlay is not None
    assert np.abs(overlay.matrix[:2] - [[1, 0, 12], [0, 1, 20]]).max() < 0.25
    assert abs(overlay.stretch - 1) < 0.005
    assert overlay.common.all()
    assert register(part, View((0, 0, 96, 96)), looks.grey_of(scene(6, 128)), View((16, 16, 112, 112)), 0) is None


def test_rules_refuse_stretched_barely_covered_and_plain_pictures() -> None:
    good = Agreement(0.99, 0.98, 0.5, 1.0, 1.0, 64)
    assert good.passes(RULES)
    assert good.score == 0.99
    for change, passes in (
        ({"smooth": 0.5}, True),
        ({"smooth": 0.5, "trimmed": 0.9}, False),
        ({"smooth": 0.5, "trimmed": 0.95}, True),
        ({"smooth": 0.5, "trimmed": 0.95, "stretch": 1.03}, False),
        ({"smooth": 0.94, "trimmed": 0.5, "stretch": 1.001}, True),
        ({"smooth": 0.94, "trimmed": 0.5, "stretch": 1.01}, False),
        ({"stretch": 1.2}, False),
        ({"smooth": 0.96, "trimmed": 0.96, "side": 32}, False),
        ({"side": 32}, True),
        ({"overlap": 0.2}, False),
        ({"structure": 0.1}, False),
        ({"structure": 0.1, "smooth": 0.999, "trimmed": 0.999}, True),
    ):
        values = {name: getattr(good, name) for name in Agreement.__slots__} | change
        assert Agreement(**values).passes(RULES) is passes, change


def test_the_likest_come_first_whatever_the_number_of_views() -> None:
    """Against a plain comparison of everything with everything; a picture counts by its best view."""
    greys = [looks.grey_of(scene(seed, 64)) for seed in range(9)]
    tests = np.stack([describe(grey, probe_views(grey)) for grey in greys[:4]])
    seen = [describe(grey, [View((0, 0, 64, 64))] * (1 + n % 3)) for n, grey in enumerate(greys)]
    owner = np.repeat(np.arange(9), [len(one) for one in seen])
    for test, (numbers, values) in enumerate(likest(tests, np.concatenate(seen), owner, most=5)):
        every = unit_vectors(tests[test])[:, permutations()].reshape(-1, 128)
        plain = np.array([(every @ unit_vectors(one).T).max() for one in seen])
        assert numbers[0] == test
        assert np.allclose(values, np.sort(plain[plain >= copies.LEAST_LIKENESS])[::-1][:5], atol=1e-5)


def test_frames_are_the_whole_what_borders_surround_and_panels() -> None:
    page = Image.new("RGB", (420, 220), "white")
    page.paste(OTHERS[0], (30, 30))
    page.paste(OTHERS[1], (230, 30))
    found = np.array(frames_of(page, split_at_gutters))
    assert found[0].tolist() == [0, 0, 420, 220]
    for wanted in ((30, 30, 390, 190), (30, 30, 190, 190), (230, 30, 390, 190)):
        assert (np.abs(found - wanted).max(axis=1) <= 4).any(), wanted
    assert frames_of(Image.new("RGB", (9, 5)), split_at_gutters) == [(0, 0, 9, 5)]


LABELLED = {"mednist": 40, "wbc_blood_smear": 20}


@pytest.mark.full  # real pictures
@pytest.mark.corpus
@pytest.mark.parametrize("dataset", LABELLED)
def test_copies_of_labelled_images_are_found(dataset: str) -> None:
    """Each alteration of every 40th and 20th labelled image; all of it is in benchmarks/altered_copies.py."""
    if not eval_images().is_dir():
        pytest.skip("../shared/eval_images is not there")
    with (eval_images() / "labels.csv").open(newline="") as handle:
        paths = [eval_images() / r["path"] for r in csv.DictReader(handle) if r["dataset"] == dataset]
    images = [Image.open(Path(path)).convert("RGB") for path in paths[:: LABELLED[dataset]]]
    others = [Image.open(Path(path)).convert("RGB") for path in paths[1 :: LABELLED[dataset]]]
    found = {
        name: sum(
            look_for(image, change(image, random.Random(f"{name}{n}"), others)) is not None
            for n, image in enumerate(images)
        )
        for name, change in ALTERATIONS.items()
    }
    total = sum(found.values())
    assert total >= 0.95 * len(images) * len(ALTERATIONS), found
    assert min(found.values()) >= 0.8 * len(images), found
    strangers = [look_for(a, b) for a, b in itertools.pairwise(images)]
    assert strangers.count(None) == len(strangers)
