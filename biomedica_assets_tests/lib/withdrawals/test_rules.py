"""What links and lists mean, by the values that the JATS tag library, PubMed Central and SciELO give."""

import pytest

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CHUNK_LISTING
from biomedica_assets.lib.withdrawals.listed import absent, read_withdrawn
from biomedica_assets.lib.withdrawals.rules import of_link, target
from biomedica_assets_tests.lib.select.lakes import publish

CHUNK = "PMC000-0000"


@pytest.mark.parametrize(
    ("article_type", "link_type", "said"),
    [
        ("retraction", "retracted-article", ("retraction", False)),
        ("retraction", "Retracted-Article ", ("retraction", False)),
        ("retraction", "retracted_article", ("retraction", False)),
        ("editorial", "retracted-article", ("retraction", False)),
        ("retraction", "corrected-article", ("retraction", False)),
        ("retraction", None, ("retraction", False)),
        ("retraction", "original-article", ("retraction", False)),
        ("retraction", "retraction", ("retraction", False)),
        ("retraction", "companion", None),
        ("retraction", "article-reference", None),
        ("research-article", "retraction-forward", ("retraction", True)),
        ("research-article", "retraction", ("retraction", True)),
        ("correction", "retraction-forward", ("retraction", True)),
        ("partial-retraction", "retracted-article", ("correction", False)),
        ("partial-retraction", "partial-retraction", ("correction", False)),
        ("research-article", "partial-retraction", ("correction", True)),
        ("expression-of-concern", "object-of-concern", ("concern", False)),
        ("expression-of-concern", None, ("concern", False)),
        ("expression-of-concern", "expression-of-concern", ("concern", False)),
        ("research-article", "expression-of-concern", ("concern", True)),
        ("research-article", "concern-forward", ("concern", True)),
        ("correction", "corrected-article", ("correction", False)),
        ("correction", "retracted-article", ("retraction", False)),
        ("research-article", "correction-forward", ("correction", True)),
        ("research-article", "corrected-article", ("correction", False)),
        ("addendum", "addended-article", ("correction", False)),
        ("research-article", "addendum", ("correction", True)),
        ("research-article", "commentary", None),
        ("research-article", "companion", None),
        ("research-article", "preprint", None),
        ("research-article", "republished-article", None),
        ("research-article", None, None),
        (None, None, None),
    ],
)
def test_a_link_says_what_its_type_and_that_of_its_article_say(article_type, link_type, said):
    assert of_link(article_type, link_type) == said


@pytest.mark.parametrize(
    ("id_type", "text", "found"),
    [
        ("pmc", "PMC123", ("pmcid", "123")), ("pmc", "123", ("pmcid", "123")), ("pmcid", "pmc123.2", ("pmcid", "123")),
        (None, "PMC123", ("pmcid", "123")), ("uri", "https://pmc.ncbi.nlm.nih.gov/articles/PMC123/", ("pmcid", "123")),
        ("uri", "http://www.ncbi.nlm.nih.gov/pmc/articles/PMC123", ("pmcid", "123")),
        ("pubmed", "456", ("pmid", "456")), ("pmid", "PMID: 456", ("pmid", "456")),
        ("uri", "https://pubmed.ncbi.nlm.nih.gov/456/", ("pmid", "456")),
        ("doi", "10.1000/AbC.1", ("doi", "10.1000/abc.1")), ("uri", "https://doi.org/10.1000/x", ("doi", "10.1000/x")),
        (None, "doi:10.1000/x.", ("doi", "10.1000/x")),
        (None, "456", None), ("doi", "456", None), ("pmc", "", None), ("pmc", None, None), ("pubmed", "12a", None),
        ("issn", "1234-5678", None),
    ],
)  # fmt: skip
def test_what_a_link_names(id_type, text, found):
    assert target(id_type, text) == found


def test_a_list_has_ids_with_reasons(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("\ufeff# ours\nPMC12 # asked by the authors\n\n13\nPMC14.2#\n", encoding="utf-8")
    assert read_withdrawn(path) == {"PMC12": "asked by the authors", "PMC13": "", "PMC14.2": ""}
    path.write_text("")
    assert read_withdrawn(path) == {}


@pytest.mark.parametrize("line", ["PMC0", "PMCx", "12 13", "10.1000/x", "PMC12.", "-12"])
def test_a_line_that_is_no_pmcid_is_named(tmp_path, line):
    path = tmp_path / "list.txt"
    path.write_text(f"PMC1\n{line}\n")
    with pytest.raises(PermanentFailure, match=r"list\.txt, line 2"):
        read_withdrawn(path)
    path.write_bytes(b"PMC1 # \xff\n")
    with pytest.raises(PermanentFailure, match=r"list\.txt cannot be read"):
        read_withdrawn(path)
    with pytest.raises(PermanentFailure, match=r"gone\.txt cannot be read"):
        read_withdrawn(tmp_path / "gone.txt")


def test_ids_that_pubmed_central_does_not_have_are_told_from_those_it_took_out(tmp_path):
    lake = Lake(tmp_path)
    publish(lake, CHUNK_LISTING, CHUNK, [{"article_id": f"PMC{n}.1", "pmcid": n, "version": 1} for n in (5, 6)])
    found = absent(lake, {"pmcids_file": {"PMC5", "PMC6.2", "PMC100", "PMC9"}, "withdrawals_file": {"PMC6.1"}})
    assert [name for _, name, _ in found] == ["PMC6.2", "PMC9", "PMC100"]
    assert {setting for setting, _, _ in found} == {"pmcids_file"}
    assert absent(lake, {}) == []
