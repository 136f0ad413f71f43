"""The head of a file says what its parse says, whatever stands around it, and costs a fraction of it."""

import dataclasses
from pathlib import Path

import pytest

from biomedica_assets.lib.jats.article import parse_article
from biomedica_assets.lib.jats.heads import build_heads, read_head
from biomedica_assets.lib.jats.reading import UnreadableXml
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLE_HEADS, ARTICLE_XML

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "corpus" / "mirror"
FRONT = (
    '<front><article-meta><article-id pub-id-type="pmid">12</article-id><article-id pub-id-type="doi">10.1/a'
    '</article-id><related-article related-article-type="retracted-article" ext-link-type="pmc" '
    'xlink:href="PMC7"/></article-meta></front>'
)
HEAD = {
    "article_type": "retraction",
    "pmid": 12,
    "doi": "10.1/a",
    "related": [{"kind": "retracted-article", "id_type": "pmc", "id": "PMC7"}],
}


def article(front=FRONT, before="", body="<body><p>x</p></body>", ns='xmlns:xlink="http://www.w3.org/1999/xlink"'):
    return f'{before}<article article-type="retraction" {ns}>{front}{body}</article>'.encode()


@pytest.mark.parametrize(
    "data",
    [
        article(),
        article(before='<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE article SYSTEM "JATS.dtd">\n<!-- </front> -->'),
        article(FRONT.replace("<front>", "<front><!-- </front> -->")),
        article(FRONT.replace("<article-meta>", "<article-meta><?pi </front>?>")),
        article(FRONT.replace(">12<", "><?pi x?>12<!-- y --><")),
        article(FRONT.replace("10.1/a", "10.1/&#97;")),
        article().decode().replace("<article ", '<?xml version="1.0" encoding="UTF-16"?><article ', 1).encode("utf-16"),
        b"<pmc-articleset>" + article() + b"</pmc-articleset>",
        article(body="<body/><sub-article><front-stub><article-id>9</article-id></front-stub></sub-article>"),
        article(FRONT.replace("front>", "front-stub>").replace("<article-meta>", "").replace("</article-meta>", "")),
        article(body="<body><p>broken <b></p></body>"),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_stands_around_changes_nothing(data):
    assert read_head(data) == HEAD


def test_entities_and_damage_are_judged_as_a_parse_judges_them():
    named = article(FRONT.replace("10.1/a", "10.1/&alpha;"), before='<!DOCTYPE article SYSTEM "JATS.dtd">')
    assert read_head(named)["doi"] == "10.1/\u03b1"
    for data in (b"", b"<html/>", article(FRONT.replace("</article-meta>", ""))):
        with pytest.raises(UnreadableXml):
            read_head(data)


def test_a_file_that_is_not_there_or_no_article_is_a_reject(tmp_path):
    lake = Lake(tmp_path)
    (tmp_path / "a.xml").write_bytes(article())
    (tmp_path / "b.xml").write_bytes(b"<html/>")
    rows = [
        {"article_id": f"PMC{n}.1", "key": "k", "path": f"{name}.xml", "md5": "m", "bytes": 1}
        for n, name in enumerate("abc", 1)
    ]
    lake.publish(
        ARTICLE_XML, "PMC000-0000", ARTICLE_XML.frame(rows), code_version="t", inputs={}, config={}, n_in=3, n_out=3
    )
    report = build_heads(lake, "PMC000-0000")
    assert report.reconciles
    assert dict(report.rejects) == {"xml_not_jats": 1, "object_missing": 1}
    assert lake.read(ARTICLE_HEADS, "PMC000-0000").to_dicts() == [{"article_id": "PMC1.1", "pmcid": 1, **HEAD}]


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is not there")
def test_heads_of_real_articles_are_those_of_their_parse():
    files = sorted(CORPUS.glob("PMC*/*.xml"))[::4]
    assert len(files) > 100
    for path in files:
        parsed = parse_article(path.read_bytes()).article
        head = read_head(path.read_bytes())
        assert head == {
            "article_type": parsed.article_type, "pmid": parsed.pmid, "doi": parsed.doi,
            "related": [dataclasses.asdict(one) for one in parsed.related],
        }, path  # fmt: skip
