"""One quick look at a source: what is none is named in one line, and what is one passes."""

from __future__ import annotations

import pytest

from biomedica_assets.lib.pmc.look import fault
from biomedica_assets_tests.support.mirrors import MirrorBuilder
from biomedica_assets_tests.support.s3_standin import S3StandIn


@pytest.mark.parametrize("folder", ["metadata", "inventory-reports", "PMC123.1"])
def test_a_directory_with_any_part_of_the_layout_is_a_source(tmp_path, folder):
    (tmp_path / folder).mkdir()
    assert fault(str(tmp_path)) == ""


def test_other_directories_and_addresses_are_named(tmp_path):
    (tmp_path / "holiday").mkdir()
    assert "holds no folder metadata" in fault(str(tmp_path))
    assert "is not a directory" in fault(str(tmp_path / "absent"))
    assert "names no bucket" in fault("s3://")


def test_a_bucket_is_asked_for_its_inventories(tmp_path):
    builder = MirrorBuilder(tmp_path / "mirror")
    builder.article("PMC123.1")
    with S3StandIn(builder.root) as server:
        assert "has no inventory below inventory-reports" in fault("s3://pmc-oa-opendata", endpoint=server.endpoint)
        builder.inventory("2026-11-21T01-00Z")
        assert fault("s3://pmc-oa-opendata", endpoint=server.endpoint) == ""
        assert fault("s3://pmc-oa-opendata/elsewhere", endpoint=server.endpoint) != ""


def test_a_bucket_that_does_not_answer_is_named_without_times_that_change():
    """Port 9 of the loopback interface is closed: nothing listens there."""
    said = fault("s3://pmc-oa-opendata", endpoint="http://127.0.0.1:9")
    assert "does not answer" in said and said == fault("s3://pmc-oa-opendata", endpoint="http://127.0.0.1:9")
