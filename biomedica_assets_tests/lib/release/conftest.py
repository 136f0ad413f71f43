"""One release of a small demo, made once; tests that change something work on a copy."""

from __future__ import annotations

import shutil

import pytest

from biomedica_assets.lib.demo import load_truth
from biomedica_assets.lib.demo.pubmed import write_pubmed
from biomedica_assets_tests.lib.release import lakes


@pytest.fixture(scope="session")
def pubmed(tmp_path_factory, demo_mirror):
    """PubMed beside the demo."""
    root = tmp_path_factory.mktemp("pubmed")
    write_pubmed(root, load_truth(demo_mirror.parent / "demo_truth.json"))
    return root


@pytest.fixture(scope="session")
def lake(tmp_path_factory, demo_mirror, pubmed):
    """Everything up to shards of all licence groups, so that a release has something to leave out."""
    return lakes.make(tmp_path_factory.mktemp("release") / "data", demo_mirror, pubmed=str(pubmed))


@pytest.fixture(scope="session")
def release(lake):
    """Its release, never written to."""
    return lakes.release(lake)


@pytest.fixture
def copy(tmp_path, release):
    """A release that a test may damage."""
    return shutil.copytree(release, tmp_path / "copy")
