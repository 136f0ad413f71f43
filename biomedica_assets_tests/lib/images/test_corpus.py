"""Real articles from their hrefs to verified images: what is there is found, what is not has its reason."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from lxml import etree

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.resolve import ArticleMedia, Found, MediaObject
from biomedica_assets.lib.images.stage import build_images
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLE_INDEX, FIGURES, IMAGES
from biomedica_assets_tests.lib.images.generated import FakeMirror, figure, index_row, publish

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "corpus" / "mirror"
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="the real articles of ../shared/corpus are not here"),
]
XLINK = "{http://www.w3.org/1999/xlink}href"
CHUNK = "PMC000-0000"


def articles_with_media() -> dict[str, list[Path]]:
    """Media that the metadata JSON lists, by article."""
    found: dict[str, list[Path]] = {}
    for path in sorted(CORPUS.glob("PMC*/PMC*.json")):
        urls = json.loads(path.read_text())["media_urls"]
        if urls:
            found[path.stem] = [path.parent / url.split("?")[0].rsplit("/", 1)[-1] for url in urls]
    return found


def hrefs(article_id: str) -> list[str]:
    root = etree.parse(
        CORPUS / article_id / f"{article_id}.xml", etree.XMLParser(resolve_entities=False, no_network=True)
    )
    named = root.iter("{*}graphic", "{*}inline-graphic")
    return list(dict.fromkeys(href for element in named if (href := element.get(XLINK))))


def test_every_image_is_a_row_and_the_svg_a_reject(tmp_path):
    articles = articles_with_media()
    lake = Lake(tmp_path)
    contents = {f"{a}/{path.name}": path.read_bytes() for a, paths in articles.items() for path in paths}
    mirror = FakeMirror(lake, contents)
    publish(lake, ARTICLE_INDEX, CHUNK, [index_row(a, mirror.media(a)) for a in articles])
    publish(lake, FIGURES, CHUNK, [figure(f"{a[3:-2]}-f", a, hrefs(a)) for a in articles if hrefs(a)])
    report = build_images(
        lake, CHUNK, fetch=mirror.fetch, limits=ImageLimits(min_side=1), engine=LocalEngine("threads", 2)
    )
    assert report.reconciles
    assert report.rejects.keys() <= {"media_missing", "image_format_unsupported"}
    assert report.rejects["image_format_unsupported"] == 1
    images = lake.read(IMAGES, CHUNK)
    assert images.height > 140
    assert set(images["match"]) >= {"exact", "extension_added"}
    # Where a figure comes as gif and jpg, the gif is the thumbnail.
    both = images.filter(pl.col("article_id").is_in(["PMC1762412.1", "PMC2270912.1"]))
    assert set(both["format"]) == {"jpeg"}


def test_no_object_that_an_article_names_in_full_is_missed():
    for article_id, paths in articles_with_media().items():
        index = ArticleMedia(MediaObject(article_id, f"{article_id}/{p.name}", p.name) for p in paths)
        named = set(hrefs(article_id))
        for path in paths:
            for href in named & {path.name, path.stem}:
                found = index.resolve(href)
                assert isinstance(found, Found)
                assert Path(found.object.name).stem == path.stem
