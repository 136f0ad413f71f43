"""Real figures checked by hand: the truth holds together, and panels, spans and links are as right as was measured.

Floors lie a little below what ``benchmarks/panels_real.py`` prints; the fold "test" was not tuned on.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import pytest

from biomedica_assets.lib.panels.find import find_panels
from biomedica_assets.lib.panels.score import Found, box_f1, exact_count, links_right, named_spans, set_f1
from biomedica_assets.lib.panels.subcaptions import subcaptions
from biomedica_assets_tests.lib.panels.real import MIRROR, Caption, Figure, digest, figures, other_captions

here = pytest.mark.skipif(not MIRROR.is_dir(), reason="the real articles are not at ../shared/corpus")


def test_no_article_lies_in_both_folds():
    folds = {fold: {figure.key.split("/")[0] for figure in figures(fold)} for fold in ("dev", "test")}
    assert folds["dev"] and folds["test"]
    assert not folds["dev"] & folds["test"]


def test_labels_of_a_figure_are_told_once_and_boxes_have_an_inside():
    for figure in figures():
        named = [label for label, _ in figure.panels if label]
        assert len(named) == len(set(named)), figure.key
        assert all(x0 < x1 and y0 < y1 for _, (x0, y0, x1, y1) in figure.panels), figure.key
        assert (figure.kind == "multiple") == (len(figure.panels) > 1), figure.key
        assert (figure.kind == "unclear") == (not figure.panels), figure.key


@pytest.mark.corpus
@here
def test_the_truth_fits_pictures_and_captions():
    """Boxes lie in their picture; spans lie in the caption as it is read now, and no two own the same characters."""
    for figure in figures():
        width, height = figure.picture().size
        assert all(min(x0, y0) >= 0 and x1 <= width and y1 <= height for _, (x0, y0, x1, y1) in figure.panels)
        if figure.caption is None:
            assert not figure.parts
            continue
        spans = sorted(span for _, own in figure.parts for span in own)
        assert all(0 <= a < b <= len(figure.caption) for a, b in spans), figure.key
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans)), figure.key


def spans_f1(some: Sequence[Figure | Caption]) -> float:
    given = [(one, one.caption) for one in some]
    pairs = [(one, text) for one, text in given if text is not None]
    found = [named_spans([(p.labels, p.own) for p in subcaptions(text)], text) for _, text in pairs]
    return set_f1(found, [named_spans(one.parts, text) for one, text in pairs])[2]


@pytest.mark.corpus
@here
@pytest.mark.parametrize(("fold", "least"), [("dev", 0.95), ("test", 0.95)])
def test_spans_of_captions_of_checked_figures_are_exact(fold, least):
    assert spans_f1(figures(fold)) >= least


@pytest.mark.corpus
@here
def test_spans_of_captions_of_other_articles_are_exact():
    assert spans_f1(other_captions()) >= 0.9


@pytest.mark.full  # about 140 pictures
@pytest.mark.corpus
@here
@pytest.mark.parametrize(("fold", "counted", "boxes"), [("dev", 0.81, 0.8), ("test", 0.93, 0.86)])
def test_panels_of_checked_figures_are_found_as_well_as_recorded(fold, counted, boxes):
    some = [figure for figure in figures(fold) if figure.kind != "unclear"]
    found = [
        [Found(panel.box, panel.label, panel.score) for panel in find_panels(figure.picture(), figure.caption)]
        for figure in some
    ]
    truths = [figure.boxes for figure in some]
    assert exact_count(found, truths) >= counted
    assert box_f1(found, truths, 0.5) >= boxes


@pytest.mark.corpus
@here
def test_a_changed_caption_is_told_and_not_scored():
    figure = next(figure for figure in figures() if figure.parts)
    assert figure.figure_id is not None
    assert figure.caption is not None
    changed = dataclasses.replace(figure, caption_digest=digest(figure.caption + " "))
    with pytest.raises(ValueError, match=figure.figure_id):
        _ = changed.caption


def test_measures_of_counts_spans_and_links_agree_with_counting_by_hand():
    one, two = Found((0, 0, 10, 10), "A", 1.0), Found((20, 0, 30, 10), "B", 1.0)
    truth = [("A", (0, 0, 10, 10)), ("B", (20, 0, 30, 10)), (None, (40, 0, 50, 10))]
    assert links_right([one, two], [["A"], ["A"]], truth) == (1, 2)
    assert links_right([one, two], [None, ["B"]], truth) == (1, 2)
    assert exact_count([[one, two], [one]], [[one.box, two.box], [one.box, two.box]]) == 0.5
    caption = "(A) Cells. (B, C) Tissue."
    parts = [(("A",), [(3, 10)]), (("B", "C"), [(18, 25)])]
    assert named_spans(parts, caption) == {(("A",), 4, 9), (("B", "C"), 18, 24)}
    assert named_spans(parts, caption, each=True) == {(("A",), 4, 9), (("B",), 18, 24), (("C",), 18, 24)}
    one_of_two = [{(("A",), 4, 9), (("B",), 0, 1)}]
    assert set_f1(one_of_two, [{(("A",), 4, 9)}]) == (0.5, 1.0, pytest.approx(2 / 3))
