"""The truth agrees with the files, and reads back as it was written."""

from __future__ import annotations

import io
from pathlib import Path

import imagehash
import pytest
from lxml import etree
from PIL import Image

from biomedica_assets.lib.demo import DemoSummary, Truth, load_truth
from biomedica_assets.lib.demo.draw import FIGURE_KINDS, KINDS
from biomedica_assets.lib.demo.truth import write_truth
from biomedica_assets.lib.errors import PermanentFailure

HREF = "{http://www.w3.org/1999/xlink}href"


def test_the_truth_survives_its_file(truth: Truth, tmp_path: Path) -> None:
    write_truth(tmp_path / "truth.json", truth)
    assert load_truth(tmp_path / "truth.json") == truth


@pytest.mark.parametrize("content", [None, b"{", b'{"format": 99}', b'{"format": 1, "seed": 0}', b"[]"])
def test_a_damaged_truth_is_an_error_that_names_the_file(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "truth.json").write_bytes(content)
    with pytest.raises(PermanentFailure, match=r"truth\.json"):
        load_truth(tmp_path / "truth.json")


def test_every_fig_element_is_a_figure_of_the_truth_in_order(summary: DemoSummary, truth: Truth) -> None:
    for article in truth.articles:
        if not article.parsed:
            continue
        root = etree.parse(summary.root / article.article_id / f"{article.article_id}.xml")
        elements = list(root.iter("{*}fig"))
        assert [e.get("id") for e in elements] == [f.xml_id for f in article.figures]
        assert [e.findtext("{*}label") for e in elements] == [f.label for f in article.figures]


def test_every_href_is_in_the_xml_and_leads_to_a_file_or_to_a_planned_reject(
    summary: DemoSummary, truth: Truth
) -> None:
    keys = truth.by_key().keys()
    for article in truth.articles:
        if not article.parsed:
            continue
        root = etree.parse(summary.root / article.article_id / f"{article.article_id}.xml")
        written = {element.get(HREF) for element in root.iter("{*}graphic", "{*}inline-graphic")}
        for figure in (*article.figures, *article.others):
            for graphic in figure.graphics:
                assert graphic.href in written
                assert (graphic.key is None) == (graphic.reject is not None)
                if graphic.key:
                    assert (summary.root / graphic.key).is_file()
                    assert graphic.key in keys


def test_every_image_decodes(summary: DemoSummary, truth: Truth) -> None:
    for image in truth.images:
        with Image.open(summary.root / image.key) as opened:
            opened.load()
            assert min(opened.size) >= 21


def test_every_visual_kind_is_drawn_and_every_caption_names_something(truth: Truth) -> None:
    assert {panel.kind for image in truth.images for panel in image.panels} == KINDS.keys()
    assert {image.kind for image in truth.images} >= set(FIGURE_KINDS) - {"map"}
    assert any(len(image.panels) >= 4 for image in truth.images)


def test_kind_of_answers_to_keys_and_hrefs(truth: Truth) -> None:
    article = next(a for a in truth.articles if "href_no_extension" in a.constructs)
    odd = [g for f in article.figures for g in f.graphics if g.key and g.href != g.key.split("/", 1)[1]]
    assert odd
    for graphic in odd:
        assert graphic.key is not None
        assert truth.kind_of(article.article_id, graphic.href) == truth.kind_of(article.article_id, graphic.key)
        assert truth.kind_of(article.article_id, graphic.href) == truth.kinds()[graphic.key]
    assert truth.kind_of(article.article_id, "no-such-file.jpg") is None


def test_copies_are_what_they_say(summary: DemoSummary, truth: Truth) -> None:
    copies = [image for image in truth.images if image.duplicate_of]
    assert {image.change for image in copies} == {"exact", "resized", "recompressed", "cropped"}
    for image in copies:
        data = (summary.root / image.key).read_bytes()
        original = (summary.root / str(image.duplicate_of)).read_bytes()
        assert (data == original) == (image.change == "exact")
        assert image.key.split("/")[0] != str(image.duplicate_of).split("/", maxsplit=1)[0]
        if image.change in {"resized", "recompressed"}:
            hashes = [imagehash.phash(Image.open(io.BytesIO(d))) for d in (data, original)]
            assert hashes[0] - hashes[1] <= 10
    groups = truth.duplicate_groups()
    assert sum(len(group) - 1 for group in groups) == len(copies)


def test_articles_that_are_left_out_have_no_images_to_find(truth: Truth) -> None:
    left_out = {a.article_id for a in truth.articles if not a.selected}
    assert left_out
    assert not [image for image in truth.images if image.key.split("/")[0] in left_out]
