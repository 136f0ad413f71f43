"""A quiet run shows no library's warnings; what the libraries say elsewhere is still heard."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from biomedica_assets.lib import quiet
from biomedica_assets.lib.clip import models
from biomedica_assets.lib.clip.profile import load
from biomedica_assets.lib.evaluate.encoder import open_model
from biomedica_assets.lib.evaluate.models import parse_model
from biomedica_assets_tests.support.mirrors import MirrorBuilder

pytestmark = pytest.mark.full  # a run of everything


def test_opening_a_model_at_random_says_nothing_and_leaves_logging_as_it_was(caplog):
    before = list(logging.getLogger().handlers), list(logging.getLogger().filters)
    profile = load("demo")
    models.create(models.architecture(profile.model), profile, 0)
    assert caplog.records == []
    assert (list(logging.getLogger().handlers), list(logging.getLogger().filters)) == before
    logging.getLogger().warning("heard again")
    assert caplog.messages == ["heard again"]


def test_an_unknown_tag_is_one_error_and_no_list_of_all_tags(caplog):
    with pytest.raises(Exception, match="nonsense"):
        open_model(parse_model("ViT-B-32@nonsense"))
    assert caplog.records == []


def test_what_is_critical_is_heard(caplog):
    with quiet.while_opening_a_model():
        logging.getLogger("huggingface_hub").warning("retrying")
        logging.getLogger().critical("no memory")
    assert caplog.messages == ["no memory"]


def test_a_run_prints_no_librarys_warning(tmp_path):
    mirror = MirrorBuilder(tmp_path / "mirror")
    mirror.article("PMC20001.1")
    command = [
        "run",
        "--data-dir",
        str(tmp_path / "d"),
        "--source",
        str(mirror.root),
        "--select",
        "group:article_index",
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "biomedica_assets.cli", *command],
        env=os.environ | {"BIOMEDICA_DATA_DIR": str(tmp_path / "d")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "arning" not in ended.stderr
    assert "WARNING" not in ended.stderr
