"""One release of a small demo, made once; tests that change something work on a copy."""

from __future__ import annotations

import shutil
import threading

import pytest

from biomedica_assets.lib.demo import load_truth
from biomedica_assets.lib.demo.pubmed import write_pubmed
from biomedica_assets.lib.release.stage import ReleaseConfig
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets_tests.lib.release import lakes
from biomedica_assets_tests.lib.stream.served import Handler, Server, never


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


@pytest.fixture(scope="session")
def with_recipe(lake, tmp_path_factory):
    """A release with the recipe ``full``, of a lake of its own."""
    copy = Lake(shutil.copytree(lake.root, tmp_path_factory.mktemp("recipes") / "data"))
    lakes.recipe(copy)
    return lakes.release(copy, ReleaseConfig(version="with-recipe", pairs=False))


@pytest.fixture(scope="session")
def without_pictures(with_recipe):
    """A release without pictures, of the same lake as ``with_recipe``."""
    return lakes.release(Lake(with_recipe.parents[1]), ReleaseConfig(version="light", pictures=False))


@pytest.fixture(params=["folder", "http"])
def place(request, with_recipe):
    """Where it lies, and what counts the bytes that were served, if any are."""
    if request.param == "folder":
        yield str(with_recipe), None
        return
    kind = type("Played", (Handler,), {"root": with_recipe, "trouble": never, "requests": [], "sent": []})
    server = Server(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", kind
    server.shutdown()
    server.server_close()
