"""Panels of pictures: letters read, gutters and seams cut, single pictures left whole, links to the caption."""

import io
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from biomedica_assets.lib.demo.draw import draw
from biomedica_assets.lib.demo.draw.compound import compound
from biomedica_assets.lib.panels.align import align
from biomedica_assets.lib.panels.find import GRID, GUTTERS, LETTERS, WHOLE, find_panels
from biomedica_assets.lib.panels.jsonl import print_panels
from biomedica_assets.lib.panels.letters import find_letters
from biomedica_assets.lib.panels.score import Found, average_precision, box_f1, iou, matches
from biomedica_assets.lib.panels.subcaptions import subcaptions


def page(letters: str, *, gutter: int = 24, ground: str = "white", kind: str = "scatter_plot") -> Image.Image:
    """Two columns of drawings of one kind, letters above each."""
    rng = np.random.default_rng(3)
    rows = -(-len(letters) // 2)
    picture = Image.new("RGB", (2 * 240 + 3 * gutter, rows * (200 + 26 + gutter) + gutter), ground)
    pen = ImageDraw.Draw(picture)
    for k, letter in enumerate(letters):
        x, y = gutter + k % 2 * (240 + gutter), gutter + k // 2 * (226 + gutter)
        picture.paste(draw(kind, rng, (240, 200)).image.convert("RGB").resize((240, 200)), (x, y + 26))
        pen.text((x, y), letter, "black" if ground == "white" else "white", ImageFont.load_default(20))
    return picture


@pytest.mark.parametrize("letters", ["AB", "ABCD", "abcdef"])
@pytest.mark.parametrize("ground", ["white", "black"])
def test_letters_beside_their_panels_are_read_and_each_gets_a_panel(letters, ground):
    found = find_panels(page(letters, ground=ground, kind="ct" if ground == "black" else "scatter_plot"))
    assert [panel.label for panel in found] == list(letters)
    assert {panel.method for panel in found} <= {LETTERS, GUTTERS}


@pytest.mark.parametrize("kind", ["ct", "histology", "scatter_plot", "flowchart", "table", "map", "bar_plot", "fundus"])
def test_a_single_picture_is_one_whole_panel(kind):
    picture = draw(kind, np.random.default_rng(5), (400, 300)).image.convert("RGB")
    (panel,) = find_panels(picture)
    assert (panel.method, panel.box) == (WHOLE, (0, 0, *picture.size))


def test_photographs_that_touch_are_parted_at_their_seam():
    """Montages without a gutter were taken for one picture."""
    rng = np.random.default_rng(1)
    picture = Image.new("RGB", (600, 300))
    picture.paste(draw("fundus", rng, (300, 300)).image.convert("RGB"), (0, 0))
    picture.paste(draw("dermoscopy", rng, (300, 300)).image.convert("RGB"), (300, 0))
    found = find_panels(picture, "(A) Retina. (B) Lesion.")
    assert [panel.label for panel in found] == ["A", "B"]
    assert abs(found[0].box[2] - 300) <= 4
    assert abs(found[1].box[0] - 300) <= 4


def montage(columns: int, rows: int, side: int = 120, ground: int = 3) -> Image.Image:
    """Photographs of like things that touch; the paper of each is ``ground`` levels lighter than the last but one."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:side, :side]
    page = np.zeros((rows * side, columns * side))
    for row in range(rows):
        for column in range(columns):
            wide, high = rng.uniform(0.25, 0.32), rng.uniform(0.32, 0.4)
            thing = ((x - side / 2) / (wide * side)) ** 2 + ((y - side / 2) / (high * side)) ** 2 < 1
            cell = np.where(thing, 90 + 20 * rng.random(), 240 + ground * ((row + column) % 2))
            page[row * side : (row + 1) * side, column * side : (column + 1) * side] = cell
    noisy = page + rng.normal(0, 2, page.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).convert("RGB")


@pytest.mark.parametrize(("columns", "rows"), [(3, 1), (5, 3), (4, 4)])
def test_like_photographs_without_a_gutter_are_a_grid(columns, rows):
    found = find_panels(montage(columns, rows))
    assert {panel.method for panel in found} == {GRID}
    assert [panel.box for panel in found] == [
        (120 * c, 120 * r, 120 * (c + 1), 120 * (r + 1)) for r in range(rows) for c in range(columns)
    ]


def test_things_in_a_row_on_one_ground_are_no_grid():
    """Where the ground does not change between them it is one photograph of several things."""
    assert GRID not in {panel.method for panel in find_panels(montage(4, 1, ground=0))}


def test_the_caption_says_how_many_parts_to_cut():
    rng = np.random.default_rng(2)
    picture = Image.new("RGB", (640, 260), "white")
    for k in range(2):
        picture.paste(draw("line_plot", rng, (290, 240)).image.convert("RGB").resize((290, 240)), (10 + k * 320, 10))
    assert len(find_panels(picture, "Left: dose. Right: response.")) == 2


def test_letters_are_read_on_dark_and_on_light():
    for ground, ink in (("white", "black"), ("black", "white")):
        picture = Image.new("L", (400, 200), ground)
        pen = ImageDraw.Draw(picture)
        for k, letter in enumerate("ABC"):
            pen.text((20 + k * 130, 20), letter, ink, ImageFont.load_default(22))
        assert [letter.label for letter in find_letters(np.asarray(picture))] == ["A", "B", "C"]


def test_words_are_no_panel_letters():
    picture = Image.new("L", (500, 120), "white")
    ImageDraw.Draw(picture).text((20, 40), "Abacus BADGE cab CAD", "black", ImageFont.load_default(22))
    assert find_letters(np.asarray(picture)) == []


@pytest.mark.full  # a hundred figures
def test_generated_figures_are_found_as_well_as_recorded():
    """Floor under the figures of benchmarks/panels.py: 40 figures of all layouts."""
    figures = [compound(np.random.default_rng([9, i])) for i in range(40)]
    found = [[Found(p.box, p.label, p.score) for p in find_panels(figure.picture)] for figure in figures]
    truths = [figure.boxes for figure in figures]
    assert box_f1(found, truths, 0.5) >= 0.8
    assert average_precision(found, truths, 0.5) >= 0.66


def test_equal_pictures_give_equal_panels():
    figure = compound(np.random.default_rng(4)).picture
    assert find_panels(figure) == find_panels(figure.copy())


def test_links_are_by_label_and_leftovers_are_named():
    panels = find_panels(page("ABCD"))
    parts = subcaptions("(A) One. (B) Two. (E) Five.")
    found = align(panels, parts)
    assert [(link.panel, link.parts, link.method) for link in found.links] == [(0, (0,), "label"), (1, (1,), "label")]
    assert found.panels_left == (2, 3)
    assert found.parts_left == (2,)


def test_the_command_prints_a_line_for_each_file_and_goes_on_behind_a_broken_one(tmp_path):
    good, broken = tmp_path / "good.png", tmp_path / "broken.png"
    page("AB").save(good)
    broken.write_bytes(b"no picture")
    out, err = io.StringIO(), io.StringIO()

    def read(path):
        return Image.open(path).convert("RGB")

    assert print_panels([broken, good], "(A) One. (B) Two.", read, out, err) == 1
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert first["panels"] is None
    assert "broken.png" in err.getvalue()
    assert [panel["label"] for panel in second["panels"]] == ["A", "B"]
    assert [panel["subcaptions"] for panel in second["panels"]] == [[0], [1]]


def test_measures_agree_with_counting_by_hand():
    truth = [(0, 0, 10, 10), (20, 0, 30, 10)]
    found = [Found((0, 0, 10, 10), None, 0.9), Found((40, 0, 50, 10), None, 0.8)]
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert matches(found, truth, 0.5) == [(0, 0)]
    assert box_f1([found], [truth], 0.5) == 0.5
    assert average_precision([found], [truth], 0.5) == 0.5
