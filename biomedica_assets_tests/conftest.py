"""What every test starts from: no settings of the person who runs them, a small demo built once."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import absl.logging
import hypothesis
import pytest

# How long an example takes says how busy the machine is, nothing about the code: no deadline, no complaint of slowness.
SLOW_IS_FINE = (hypothesis.HealthCheck.too_slow,)
hypothesis.settings.register_profile("any machine", deadline=None, suppress_health_check=SLOW_IS_FINE)
hypothesis.settings.load_profile("any machine")

# Before anything imports the graph: its partitions are computed from the settings.
_HOME = tempfile.mkdtemp(prefix="biomedica-tests-")
for _name in [name for name in os.environ if name.startswith(("BIOMEDICA_", "DAGSTER_"))]:
    del os.environ[_name]
os.environ |= {"BIOMEDICA_DATA_DIR": _HOME, "DAGSTER_HOME": _HOME, "DAGSTER_DISABLE_TELEMETRY": "1"}
# One thread each: two workers with two threads each fight for two cores.
os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}

# absl (mlcroissant logs by it) keeps the standard error of the moment of its import, pytest's own, and closes it when
# Dagster configures logging while a test has its output captured: every later test of that worker was an error.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__

SHARED = Path(__file__).resolve().parents[2] / "shared"


# Files that take longest, longest first: begun last, one of them would keep one worker busy and leave the other idle.
LONGEST = (
    "faults/test_kills.py", "graph/test_refresh.py", "lib/clip/test_training.py", "web/test_terminate.py",
    "graph/test_rebuild.py", "faults/", "web/", "lib/clip/", "graph/",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; within a file the order stays."""

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        return next((n for n, start in enumerate(LONGEST) if path.startswith(start)), len(LONGEST))

    items.sort(key=rank)


def pytest_unconfigure() -> None:
    """Remove the folder that stood in for a data directory."""
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The real articles, in the bucket's layout."""
    path = SHARED / "corpus" / "mirror"
    if not path.is_dir():
        pytest.skip("the real articles are not here (../shared/corpus)")
    return path


@pytest.fixture(scope="session")
def demo_mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small invented mirror, never written to: copy it to change it."""
    from biomedica_assets.lib.demo import write_mirror

    root = tmp_path_factory.mktemp("demo") / "source"
    write_mirror(root, seed=7, articles=60)
    return root
