"""The smallest mirror that has every construct, written once for the whole folder; tests that change it take a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from biomedica_assets.lib.demo import DemoSummary, Truth, load_truth, write_mirror
from biomedica_assets.lib.demo.plan import MINIMUM


@pytest.fixture(scope="package")
def summary(tmp_path_factory: pytest.TempPathFactory) -> DemoSummary:
    """A mirror of the cast alone, at seed 7."""
    return write_mirror(tmp_path_factory.mktemp("demo") / "mirror", seed=7, articles=MINIMUM)


@pytest.fixture(scope="package")
def truth(summary: DemoSummary) -> Truth:
    """What is true of it, read back from its file."""
    return load_truth(summary.truth_path)


@pytest.fixture
def copy(summary: DemoSummary, tmp_path: Path) -> Path:
    """A copy of the mirror to change."""
    return Path(shutil.copytree(summary.root, tmp_path / "mirror"))
