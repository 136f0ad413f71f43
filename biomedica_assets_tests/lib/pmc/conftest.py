"""A mirror and its two sources: the directory itself, and the same directory behind a loopback S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from biomedica_assets.lib.pmc.source import PmcSource, open_source
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets_tests.support.mirrors import MirrorBuilder
from biomedica_assets_tests.support.s3_standin import S3StandIn

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "corpus" / "mirror"


@pytest.fixture
def mirror(tmp_path: Path) -> MirrorBuilder:
    return MirrorBuilder(tmp_path / "source")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "data")


@pytest.fixture
def s3(mirror: MirrorBuilder) -> Iterator[S3StandIn]:
    with S3StandIn(mirror.root) as server:
        yield server


@pytest.fixture
def bucket(s3: S3StandIn) -> PmcSource:
    """The S3 adapter, impatient: three retries, 10 ms before the first."""
    return open_source(
        "s3://pmc-oa-opendata", endpoint=s3.endpoint, concurrency=8, retries=3, timeout=60.0, backoff=0.01
    )


@pytest.fixture(params=["directory", "bucket"])
def source(request: pytest.FixtureRequest, mirror: MirrorBuilder) -> PmcSource:
    """Either adapter over the same mirror: what holds for one must hold for the other."""
    return open_source(mirror.root) if request.param == "directory" else request.getfixturevalue("bucket")


@pytest.fixture
def corpus() -> Path:
    if not CORPUS.is_dir():
        pytest.skip("the real articles are not here (../shared/corpus)")
    return CORPUS
