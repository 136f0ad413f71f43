"""Files of NLM's server: order, updates, deletions, checksums."""

from __future__ import annotations

import pytest

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.demo import load_truth
from biomedica_assets.lib.demo.pubmed import write_pubmed
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.pubmed.archive import Archive
from biomedica_assets_tests.lib.pubmed.citations import citation, document, write


def archive(tmp_path, store="store"):
    return Archive(tmp_path / "pubmed", tmp_path / store, LocalEngine("serial"))


def titles(frame):
    return dict(frame.select("pmid", "title").iter_rows())


def test_later_numbers_win_and_a_deletion_holds_until_the_record_comes_again(tmp_path):
    root = tmp_path / "pubmed"
    write(root, 1, document(citation(1, "old"), citation(2, "two"), citation(3, "three")))
    write(root, 2, document(citation(1, "new"), deleted=[2, 3]), "updatefiles")
    write(root, 3, document(citation(3, "again")), "updatefiles")
    assert titles(archive(tmp_path).records([1, 2, 3, 4])) == {1: "new", 3: "again"}


def test_order_is_by_number_and_not_by_name(tmp_path):
    root = tmp_path / "pubmed"
    for number in range(1, 11):
        write(root, number, document(citation(1, f"n{number}")), "baseline" if number < 9 else "updatefiles")
    # Five digits come after four, and sort before them as text.
    for path in (root / "updatefiles").glob("pubmed26n0010*"):
        path.rename(path.with_name(path.name.replace("n0010", "n00010")))
    assert titles(archive(tmp_path).records([1])) == {1: "n10"}


def test_the_newest_version_of_a_record_in_one_file_is_the_last_one(tmp_path):
    write(tmp_path / "pubmed", 1, document(citation(1, "first"), citation(1, "second", version=2)))
    assert titles(archive(tmp_path).records([1])) == {1: "second"}


def test_files_of_the_year_before_are_left_aside(tmp_path):
    root = tmp_path / "pubmed"
    write(root, 1, document(citation(1, "this year")), year=27)
    write(root, 1500, document(citation(1, "last year")), "updatefiles", year=26)
    assert titles(archive(tmp_path).records([1])) == {1: "this year"}


def test_a_file_is_read_once_and_again_only_when_it_changed(tmp_path):
    root = tmp_path / "pubmed"
    path = write(root, 1, document(citation(1, "a")))
    mine = archive(tmp_path)
    before = mine.recorded()
    mine.records([1])
    path.write_bytes(b"no longer readable, which nobody notices")
    assert titles(mine.records([1])) == {1: "a"}
    write(root, 1, document(citation(1, "b")))
    assert titles(mine.records([1])) == {1: "b"}
    assert mine.recorded() != before
    assert len(list((tmp_path / "store").glob("*.parquet"))) == 1


@pytest.mark.parametrize("fault", ["md5", "no md5", "gap", "empty"])
def test_what_cannot_be_trusted_is_refused_with_the_way_out(tmp_path, fault):
    root = tmp_path / "pubmed"
    path = write(root, 1, document(citation(1)))
    if fault == "md5":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    elif fault == "no md5":
        path.with_name(path.name + ".md5").unlink()
    elif fault == "gap":
        write(root, 3, document(citation(1)), "updatefiles")
    else:
        path.unlink()
    with pytest.raises(PermanentFailure, match=r"(?i)fetch|expected"):
        archive(tmp_path).records([1])


def test_what_the_demo_invents_is_read_again(tmp_path, demo_mirror):
    truth = load_truth(demo_mirror.parent / "demo_truth.json")
    written = write_pubmed(tmp_path / "pubmed", truth, files=3)
    wanted = [int(article.metadata["pmid"]) for article in truth.articles]
    found = archive(tmp_path).records(wanted)
    assert set(found["pmid"]) == written.citations.keys()
    for row in found.iter_rows(named=True):
        expected = written.citations[row["pmid"]]
        assert row["title"] == " ".join(expected.title.split())
        assert [(h["ui"], h["major"]) for h in row["mesh"]] == [(ui, major) for ui, _, major, _ in expected.mesh]
        assert [t["name"] for t in row["publication_types"]] == list(expected.publication_types)
        assert [(link["kind"], link["pmid"]) for link in row["links"]] == list(expected.links)
        assert [r["pmid"] for r in row["references"]] == list(expected.references)
