"""One article for each source of a withdrawal: after the next refresh nothing downstream holds it, all else stays.

The law is told once, over every table and file: whatever a table is called and however it is made, it does not name the
article or its images any more, except those that say so.
"""

from __future__ import annotations

import json
import re
import tarfile

import polars as pl
import pytest

from biomedica_assets.lib import chunks
from biomedica_assets.lib.demo import inventory, load_truth, mutate
from biomedica_assets.lib.errors import RejectReason
from biomedica_assets.lib.lineage.withdrawn import remnants
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES
from biomedica_assets_tests.lib.pubmed.citations import citation, document, write
from biomedica_assets_tests.support.delta import DAYS, Site

pytestmark = pytest.mark.full
SPAN = 1_000_000
NOTICES = ("article_heads", "pubmed_records", "notice_shelf", "withdrawals")
MADE = (
    *("taxonomy", "pmc_inventory", "article_index", "article_xml", *NOTICES),
    *("articles", "captions", "figures", "mentions", "images", "shards", "image_views", "image_fingerprints"),
    *("duplicates", "evaluation_matches", "sample_shelf", "held_out", "recipe", "release_shelf", "release", "catalog"),
)
TELLING = {
    "chunk_listing", "article_index", "article_xml", "article_heads", "pubmed_records", "withdrawals", "tombstones",
}  # fmt: skip
"""Tables that say that an article is withdrawn, or stand before anything says so."""
SAYING = {"chunk_listing", "inventory", "changes", "withdrawn"}
"""Files of a release that say so."""
SOURCES = ("flag", "type", "link", "other_record", "json_pmid", "notice", "doi_notice", "listed")
TYPE = (
    '<PublicationTypeList><PublicationType UI="D016441">Retracted Publication</PublicationType></PublicationTypeList>'
)


def links(**kinds):
    found = "".join(
        f'<CommentsCorrections RefType="{kind}"><RefSource>J</RefSource><PMID>{pmid}</PMID></CommentsCorrections>'
        for kind, pmid in kinds.items()
    )
    return f"<CommentsCorrectionsList>{found}</CommentsCorrectionsList>"


class Story(Site):
    """Articles of which each is withdrawn by another source, one that is questioned, one that is corrected."""

    def __init__(self, root):
        super().__init__(root, articles=60)
        self.pubmed = root / "pubmed"
        self.environment = {"BIOMEDICA_CHUNK_SPAN": str(SPAN), "BIOMEDICA_PUBMED": str(self.pubmed)}
        truth = load_truth(self.mirror.parent / "demo_truth.json")
        self.records = [a.article_id for a in truth.articles if a.selected and self.has_ids(a.article_id)]
        with_figures = [
            a.article_id for a in truth.articles if a.parsed and len(a.figures) > 1 and a.article_id in self.records
        ]
        names = (*SOURCES, "concern", "corrected", "untouched")
        self.article = dict(zip(names, with_figures, strict=False))
        assert len(self.article) == len(names)
        xml = self.xml(self.article["json_pmid"])
        bare = re.sub(rb'<article-id pub-id-type="pmid">\d+</article-id>\s*', b"", xml)
        assert bare != xml
        self.rewrite(self.article["json_pmid"], bare)
        write(self.pubmed, 1, document(*(citation(self.pmid(a)) for a in self.records)))
        inventory.publish_inventory(self.mirror, DAYS[1])

    def has_ids(self, article):
        stated = self.metadata(article)
        return bool(stated.get("pmid") and stated.get("doi"))

    def xml(self, article):
        return (self.mirror / article / f"{article}.xml").read_bytes()

    def rewrite(self, article, xml):
        mutate._rewrite(self.mirror, "rewrite", article, {f"{article}.xml": xml})

    def metadata(self, article):
        return json.loads((self.mirror / "metadata" / f"{article}.json").read_bytes())

    def pmid(self, article):
        return int(self.metadata(article)["pmid"])

    def notice(self, pmcid, article_type, link_type, id_type, named):
        """A new article, far from the one it names, that is a notice."""
        made = mutate.add_article(self.mirror, pmcid, seed=pmcid, figures=1).article_id
        link = (
            f'<related-article related-article-type="{link_type}" ext-link-type="{id_type}" '
            f'xlink:href="{named}" xmlns:xlink="http://www.w3.org/1999/xlink"/>'
        )
        xml = re.sub(rb'article-type="[^"]*"', f'article-type="{article_type}"'.encode(), self.xml(made), count=1)
        self.rewrite(made, xml.replace(b"<abstract>", link.encode() + b"<abstract>", 1))
        return made

    def withdraw(self):
        """Every source speaks, on one day."""
        a = self.article
        mutate.retract(self.mirror, a["flag"])
        write(
            self.pubmed, 2,
            document(
                citation(self.pmid(a["type"])).replace("</Article>", f"{TYPE}</Article>"),
                citation(self.pmid(a["link"]), inside=links(RetractionIn=99_000_001)),
                citation(self.pmid(a["json_pmid"]), inside=links(RetractedandRepublishedIn=99_000_002)),
                citation(self.pmid(a["untouched"]), inside=links(RetractionOf=self.pmid(a["other_record"]))),
                citation(self.pmid(a["corrected"]), inside=links(ErratumIn=99_000_003)),
            ),
            "updatefiles",
        )  # fmt: skip
        doi = self.metadata(a["doi_notice"])["doi"]
        self.notices = [
            self.notice(19_000_101, "retraction", "retracted-article", "pmc", a["notice"].partition(".")[0]),
            self.notice(19_000_102, "retraction", "retracted-article", "doi", doi.upper()),
            self.notice(19_000_103, "expression-of-concern", "object-of-concern", "pubmed", self.pmid(a["concern"])),
        ]
        listed = self.mirror.parent / "withdrawn.txt"
        listed.write_text(f"{a['listed'].partition('.')[0]} # a patient's wish\nPMC18999999\n")
        self.environment["BIOMEDICA_WITHDRAWALS_FILE"] = str(listed)
        inventory.publish_inventory(self.mirror, DAYS[2])
        self.biomedica("run", "--select", "pmc_inventory")

    def make(self, command="refresh"):
        """The chain with the recipe that needs no labels; the others cannot be made, and are not waited for."""
        try:
            self.said = self.biomedica(command, "--select", ",".join(MADE))[0]
        except AssertionError as error:
            self.said = str(error)
            failed = [line for line in self.said.split("\n") if line.strip().startswith("failed: ")]
            if not failed or any("figure_labels is not complete" not in line for line in failed):
                raise


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    site = Story(tmp_path_factory.mktemp("withdrawals"))
    site.make("run")
    lake = Lake(site.data)
    site.media = {
        name: lake.scan(TABLES["images"]).filter(article_id=article).collect()["media_id"].to_list()
        for name, article in site.article.items()
    }
    site.before = holders(lake, site)
    site.rows = {
        table: lake.scan(TABLES[table]).collect() for table in ("articles", "figures", "captions", "images", "shards")
    }
    site.recipe, site.duplicates = lake.read(TABLES["recipe"], "full"), lake.read(TABLES["duplicates"], None)
    site.withdraw()
    site.make()
    site.after, site.told = holders(lake, site), site.said
    said = site.biomedica("stale", "--select", ",".join(MADE))[0]
    ours = [line for line in said.split("\n") if line and "balanced" not in line and "filtered" not in line]
    site.stale = [line for line in ours if not waits_for_others(line)]
    return site


def waits_for_others(line: str) -> bool:
    """Whether a line of ``stale`` only says that its partition waits: what is not made here (panels, votes) is behind.

    What is out of date in itself has a line with another reason, however many wait for it.
    """
    return all(reason.startswith("waits: ") for reason in line.split("\t")[2].split("; "))


def holders(lake, site):
    """Source -> tables that name its article or one of its images in any column."""
    found = {name: set() for name in site.article}
    for table in TABLES.values():
        keys = [None] if table.partitioning == "none" else lake.partitions(table)
        for key in keys:
            if lake.manifest(table, key) is None:
                continue
            rows = lake.read(table, key).drop("said_by", "words", strict=False)
            text = rows.with_columns(pl.selectors.binary().bin.encode("hex")).write_ndjson()
            for name, article in site.article.items():
                ids = [article, *(getattr(site, "media", {}).get(name, ()))]
                if any(re.search(rf"\b{re.escape(one)}\b", text) for one in ids):
                    found[name].add(table.name)
    return found


def test_every_article_was_everywhere_before(story):
    for name, tables in story.before.items():
        assert {"articles", "figures", "captions", "images", "shards", "recipe"} <= tables, name
    assert {"train"} <= set(story.recipe["split"])


@pytest.mark.parametrize("source", SOURCES)
def test_no_table_downstream_names_a_withdrawn_article_or_its_images(story, source):
    assert story.after[source] <= TELLING
    assert {"tombstones", "withdrawals"} <= story.after[source]


@pytest.mark.parametrize("source", SOURCES)
def test_no_file_of_the_release_holds_it_and_its_tombstone_does(story, source):
    lake, article = Lake(story.data), story.article[source]
    folder = story.data / "release" / lake.manifest(TABLES["release"], None).metrics["version"]
    assert article in (folder / "TOMBSTONES.csv").read_text()
    gone = pl.read_parquet(folder / "withdrawn.parquet").filter(article_id=article)
    assert sorted(gone["samples"].explode()) == sorted(story.rows["shards"].filter(article_id=article)["sample_key"])
    for path in folder.rglob("*.parquet"):
        if path.parent.name not in SAYING and path.stem not in SAYING:
            frame = pl.read_parquet(path, hive_partitioning=False)
            words = frame.select(name for name, dtype in frame.schema.items() if "Binary" not in str(dtype))
            assert article not in words.write_ndjson(), path
            assert not any(media in words.write_ndjson() for media in story.media[source]), path
    for path in folder.rglob("*.tar"):
        with tarfile.open(path) as tar:
            assert not any(name.startswith(tuple(story.media[source])) for name in tar.getnames())


def test_the_reason_says_who_and_what(story):
    lake = Lake(story.data)
    rows = lake.scan(TABLES["tombstones"]).collect()
    said = {row["article_id"]: row for row in rows.iter_rows(named=True)}
    because = {name: said[story.article[name]]["because"] for name in SOURCES}
    a, notice = story.article, story.notices
    assert because["flag"] == "pmc: is_retracted in PMC's metadata"
    assert because["type"] == "pubmed: PubMed's publication type is Retracted Publication"
    assert because["link"] == "pubmed: PubMed: RetractionIn PMID 99000001"
    assert because["other_record"] == f"pubmed: PubMed: PMID {story.pmid(a['untouched'])} is RetractionOf it"
    assert "RetractedandRepublishedIn" in because["json_pmid"]
    assert (
        because["notice"] == f"notice: retraction names pmcid {a['notice'][3:].partition('.')[0]} as retracted-article"
    )
    assert because["doi_notice"].startswith("notice: retraction names doi 10.")
    assert because["listed"] == "list: named on the list of withdrawn articles"
    assert {said[a[n]]["reason"] for n in SOURCES} == {"retracted", "withdrawn"}
    assert said[a["listed"]]["reason"] == "withdrawn"
    withdrawals = lake.read(TABLES["withdrawals"], None)
    assert withdrawals.filter(article_id=a["listed"])["words"].to_list() == ["a patient's wish"]
    assert withdrawals.filter(article_id=a["notice"])["said_by"].to_list() == [notice[0]]


def test_what_was_parsed_before_is_a_reject_with_the_reason_now(story):
    lake = Lake(story.data)
    rejects = {
        row["article_id"]: row
        for chunk in lake.partitions(TABLES["articles"])
        for row in lake.read_rejects(TABLES["articles"], chunk).iter_rows(named=True)
    }
    for source in set(SOURCES) - {"flag"}:  # that one is not even fetched
        assert rejects[story.article[source]]["reason"] in (RejectReason.RETRACTED, RejectReason.WITHDRAWN)
    assert "retraction names" in rejects[story.article["notice"]]["message"]
    for table in TABLES.values():
        for key in [None] if table.partitioning == "none" else lake.partitions(table):
            made = lake.manifest(table, key)
            assert made is None or made.n_in == made.n_out + sum(made.rejects.values()), table.name


def test_nothing_else_changed(story):
    """Rows of other articles are those of before, column by column; what came is the notices and what they say."""
    lake, gone = Lake(story.data), {story.article[name] for name in SOURCES}
    for table, before in story.rows.items():
        after = lake.scan(TABLES[table]).filter(~pl.col("article_id").is_in(story.notices)).collect()
        kept = before.filter(~pl.col("article_id").is_in(sorted(gone)))
        moved = ["shard", "position", "start", "end", "image_start", "txt_start", "json_start"]
        order = list(TABLES[table].key)
        one, two = (frame.drop(moved if table == "shards" else [], strict=False).sort(order) for frame in (kept, after))
        assert one.equals(two), table
    recipe = lake.read(TABLES["recipe"], "full")
    kept = story.recipe.filter(~pl.col("article_id").is_in(sorted(gone)))
    there = recipe.filter(~pl.col("article_id").is_in(story.notices))
    splits = dict(there.select("sample_key", "split").iter_rows())
    # Of a picture in two articles the recipe had one; where that one went, the other is there now. And articles that
    # only a withdrawn one tied together are drawn anew.
    groups = dict(story.duplicates.select("media_id", "group").iter_rows())
    freed = {groups.get(media) for name in SOURCES for media in story.media[name]} - {None}
    come = set(splits) - set(kept["sample_key"])
    assert all(groups.get(media) in freed for media in there.filter(pl.col("sample_key").is_in(come))["media_id"])
    tied = tied_with(story.duplicates, gone)
    assert len(tied) < kept["article_id"].n_unique() / 2
    for key, article, split in kept.select("sample_key", "article_id", "split").iter_rows():
        assert splits[key] == split or article in tied, key


def tied_with(duplicates, articles):
    """The articles and all that share a picture with one of them, and so on."""
    found, before = set(articles), set()
    while found != before:
        before = set(found)
        groups = duplicates.filter(pl.col("article_id").is_in(sorted(found)))["group"].implode()
        found |= set(duplicates.filter(pl.col("group").is_in(groups))["article_id"])
    return found


def test_one_refresh_is_enough_and_nothing_remains(story):
    assert story.stale == []
    assert list(remnants(Lake(story.data))) == []


def test_concerns_and_corrections_are_columns_a_recipe_can_ask_for(story):
    lake = Lake(story.data)
    from biomedica_assets.lib.select.catalog_view import read_samples, view_sql

    rows = pl.concat(
        read_samples(lake, chunk, ["article_id", "has_concern", "is_corrected", "concerns", "corrections"])
        for chunk in lake.partitions(TABLES["shards"])
    )
    assert rows["has_concern"].null_count() == rows["is_corrected"].null_count() == 0
    assert set(rows.filter("has_concern")["article_id"]) == {story.article["concern"]}
    assert set(rows.filter("is_corrected")["article_id"]) == {story.article["corrected"]}
    assert rows.filter("has_concern")["concerns"][0].to_list() == [story.notices[2]]
    assert rows.filter("is_corrected")["corrections"][0].to_list() == ["PMID 99000003"]
    assert 'coalesce(article_notices."has_concern", false)' in view_sql()


def test_the_pmid_of_the_metadata_stands_where_the_file_has_none(story):
    before = story.rows["articles"].filter(article_id=story.article["json_pmid"])
    assert before["pmid"].to_list() == [story.pmid(story.article["json_pmid"])]


def test_an_id_that_pubmed_central_does_not_have_is_told(story):
    lake = Lake(story.data)
    (reject,) = lake.read_rejects(TABLES["withdrawals"], None).filter(reason="not_in_pmc").to_dicts()
    assert reject["article_id"] == "PMC18999999"
    assert "withdrawals_file names PMC18999999" in reject["message"]
    assert lake.manifest(TABLES["withdrawals"], None).metrics["not_in_pmc"] == "PMC18999999 (withdrawals_file)"
    assert "named_articles_exist" in story.told
    assert "PMC18999999" in story.told
    assert chunks.chunk_of(18_999_999, SPAN) not in lake.partitions(TABLES["chunk_listing"])


def test_what_is_taken_off_the_list_comes_back(story):
    """Last of the module: the list is emptied, and the article is where it was."""
    (story.mirror.parent / "withdrawn.txt").write_text("")
    story.make()
    lake, article = Lake(story.data), story.article["listed"]
    before = story.rows["images"].filter(article_id=article)
    assert lake.scan(TABLES["images"]).filter(article_id=article).collect().equals(before)
    assert article in set(lake.read(TABLES["recipe"], "full")["article_id"])
