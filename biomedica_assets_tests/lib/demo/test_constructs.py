"""Every construct is in the XML as it should be, seen by XPath alone."""

from __future__ import annotations

import json

import pytest
from lxml import etree

from biomedica_assets.lib.demo import DemoSummary, Truth
from biomedica_assets.lib.demo.constructs import CONSTRUCTS
from biomedica_assets.lib.demo.plan import CAST

NS = {"x": "http://www.w3.org/1999/xlink", "m": "http://www.w3.org/1998/Math/MathML"}
XPATHS = {
    "fig_group": "//*[local-name()='fig-group'][*[local-name()='label']][count(*[local-name()='fig'])=2]",
    "nested_fig": "//fig[label]/fig[graphic]",
    "several_graphics": "//fig[count(graphic)=3]",
    "alternatives": "//*[local-name()='fig']/*[local-name()='alternatives'][count(*)=2][*[@specific-use='thumbnail']]",
    "floats_group": "/article/floats-group/fig[@position='float']",
    "boxed_text": "//boxed-text/fig",
    "author_response": "/article/sub-article[@article-type='reply']//fig",
    "translation": "/article/sub-article[@article-type='translation'][@xml:lang='es']//fig",
    "appendix": "//back/app-group/app/fig",
    "graphical_abstract": "//abstract[@abstract-type='graphical']//fig",
    "supplementary_fig": "//supplementary-material/fig",
    "table_image": "//table-wrap/graphic",
    "scheme": "//fig[@fig-type='scheme']",
    "map_figure": "//fig[@fig-type='map']",
    "chemical_structure": "//chem-struct-wrap/chem-struct/graphic",
    "formula_images": "//disp-formula/graphic | //inline-formula/inline-graphic | //fig/caption//inline-graphic",
    "inline_graphic": "//p/inline-graphic",
    "bare_graphic": "//p/graphic",
    "media_video": "//media[@mimetype='video']",
    "caption_list": "//fig/caption/p/list/list-item/p",
    "caption_math": "//fig/caption/p[count(inline-formula/m:math)=2]",
    "caption_markup": "//fig[caption/p[sup][sub][italic]][alt-text][attrib]",
    "no_caption": "//fig[@id][label][not(caption)]",
    "no_label": "//fig[@id][caption][not(label)]",
    "no_id": "//fig[not(@id)][label]",
    "nothing_but_graphic": "//fig[not(@id)][not(label)][not(caption)]",
    "fig_permissions": "//fig/permissions/license[contains(@x:href,'by-nc-nd')]",
    "source_data_in_caption": "//fig/caption//supplementary-material/media",
    "fig_in_paragraph": "//p[fig][xref]",
    "fig_in_list": "//list-item/fig",
    "fig_in_footnote": "//fn/fig",
    "similar_ids": "//fig[@id='F-90'] | //fig[@id='F.90']",
    "fig_without_graphic": "//fig[caption][not(.//graphic)]",
    "multi_rid": "//*[local-name()='xref'][contains(@rid,' ')]",
    "range_dash": "//p[count(xref[@ref-type='fig'])=2][contains(.,'\u2013')]",
    "range_to": "//p[count(xref)=2][starts-with(.,'All stages')][contains(.,' to ')]",
    "range_through": "//p[count(xref)=2][contains(.,' through ')]",
    "empty_range": "//p[count(xref)=4][count(xref[not(node())])=2]",
    "in_italics": "//p/italic/xref",
    "in_list": "//list-item/p/xref",
    "in_table": "//td/xref",
    "in_footnote": "//fn/p/xref",
    "in_abstract": "//abstract/p/xref",
    "in_title": "//sec/title/xref",
    "placing_xref": "//p[xref[not(node())]][count(xref)=1]",
    "citing_caption": "//fig[@id='Fcite']/caption/p[xref[@rid='Fcite']][count(xref)=2]",
    "no_ref_type": "//p/xref[not(@ref-type)]",
    "panel_range": "//p[count(xref)=2][xref[1]/@rid=xref[2]/@rid]",
    "comment_and_instruction": "//p[comment()][processing-instruction()]",
}
UNSEEN = {name for name in CONSTRUCTS if name.startswith(("href_", "name_", "form_"))} | {
    "copies",
    "truncated_jpeg",
    "html_for_image",
    "missing_object",
    "missing_entry",
    "image_md5",
    "ambiguous_href",
}


def tree(summary: DemoSummary, article_id: str) -> etree._ElementTree:
    return etree.parse(summary.root / article_id / f"{article_id}.xml")


def test_every_construct_has_a_path_or_is_about_files() -> None:
    assert XPATHS.keys() | UNSEEN == CONSTRUCTS.keys()


def test_the_cast_plays_every_construct() -> None:
    assert {name for constructs, _ in CAST for name in constructs.split()} == CONSTRUCTS.keys()


@pytest.mark.parametrize("name", XPATHS)
def test_a_construct_is_in_the_xml_of_its_articles(name: str, summary: DemoSummary, truth: Truth) -> None:
    articles = [a for a in truth.articles if name in a.constructs and a.parsed]
    assert articles
    for article in articles:
        assert tree(summary, article.article_id).xpath(XPATHS[name], namespaces=NS), article.article_id


@pytest.mark.parametrize("name", XPATHS)
def test_a_construct_is_not_everywhere(name: str, summary: DemoSummary, truth: Truth) -> None:
    """Else its path would prove nothing."""
    plain = next(a for a in truth.articles if not a.constructs and a.parsed and a.figures)
    assert not tree(summary, plain.article_id).xpath(XPATHS[name], namespaces=NS)


def test_roots_come_plain_wrapped_and_namespaced(summary: DemoSummary, truth: Truth) -> None:
    roots = {tree(summary, a.article_id).getroot().tag for a in truth.articles if a.parsed}
    assert roots == {
        "article",
        "pmc-articleset",
        "{https://jats.nlm.nih.gov/ns/archiving/1.3/}article",
        "{http://www.openarchives.org/OAI/2.0/}OAI-PMH",
    }


def test_names_of_media_are_as_awkward_as_publishers_make_them(truth: Truth) -> None:
    names = [image.key.split("/", 1)[1] for image in truth.images]
    assert any(" " in name for name in names)
    assert any('"' in name and "'" in name for name in names)
    assert any(not name.isascii() for name in names)
    assert any(name.startswith("plox.") and name.count(".") == 3 for name in names)


def test_every_licence_spelling_and_flag_occurs(summary: DemoSummary) -> None:
    records = []
    for path in (summary.root / "metadata").glob("*.json"):
        try:
            records.append(json.loads(path.read_bytes()))
        except json.JSONDecodeError:
            continue
    spelled = {record["license_code"] for record in records}
    assert {"CC BY", "cc-by", "CC BY 4.0", "CC0", "CC BY-ND", "CC BY-NC", "NO-CC CODE", "TDM", None} <= spelled
    for flag in ("is_retracted", "is_manuscript", "is_historical_ocr"):
        assert any(record.get(flag) for record in records)
    assert any(not record["is_pmc_openaccess"] for record in records)
    assert any("citation" not in record for record in records)
    assert any("mid" in record for record in records)


def test_the_retraction_notice_names_the_retracted_article(summary: DemoSummary, truth: Truth) -> None:
    retracted = next(a for a in truth.articles if a.left_out_because == "retracted")
    notice = next(a for a in truth.articles if a.metadata["article_type"] == "retraction")
    (related,) = tree(summary, notice.article_id).xpath("//related-article/@x:href", namespaces=NS)
    assert related == retracted.article_id.split(".")[0]
