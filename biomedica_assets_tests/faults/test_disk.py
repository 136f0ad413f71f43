"""Disks that are full, failing, read-only or not ours: a message, and what was there before stays whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLE_XML
from biomedica_assets_tests.faults import runs

pytestmark = pytest.mark.full  # whole commands on disks that fail

AS_ROOT = os.geteuid() == 0
PUBLISH = """
import hashlib
import sys
from biomedica_assets.lib.errors import BiomedicaError
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLE_XML
n = int(sys.argv[2])
md5 = [hashlib.md5(b"%d" % i).hexdigest() for i in range(n)]
rows = [{"article_id": f"PMC{i}.1", "key": md5[i] * 2, "path": "p", "md5": md5[i], "bytes": i}
        for i in range(n)]
try:
    Lake(sys.argv[1]).publish(ARTICLE_XML, "PMC007-0360", ARTICLE_XML.frame(rows), code_version="1", inputs={},
                              config={}, n_in=n, n_out=n)
except BiomedicaError as error:
    sys.exit(f"biomedica: {error}")
"""


def publish(root: Path, n: int, env: dict[str, str] | None = None, **more) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PUBLISH, str(root), str(n)]
    return subprocess.run(command, check=False, env=env, capture_output=True, text=True, **more)


def readable(root: Path) -> int | None:
    """Rows of the partition, None if it does not exist; a partition that is only half there raises."""
    lake = Lake(root)
    return lake.read(ARTICLE_XML, "PMC007-0360").height if lake.manifest(ARTICLE_XML, "PMC007-0360") else None


@pytest.fixture
def library(tmp_path):
    found = runs.preload(tmp_path)
    if found is None:
        pytest.skip("needs a C compiler (gcc or cc) for the library that strikes")
    return found


@pytest.mark.full
@pytest.mark.parametrize(("kind", "says"), [("full", "No space left on device"), ("eio", "Input/output error")])
def test_whichever_change_fails_the_partition_is_the_old_one_the_new_one_or_absent(tmp_path, library, kind, says):
    root = tmp_path / "data"
    assert publish(root, 10, runs.environment(root, library)).returncode == 0
    operations = runs.counted(root)
    assert operations >= 5
    seen = set()
    for at in range(1, operations + 3, max(1, operations // 6)):
        assert publish(root, 10).returncode == 0
        ended = publish(root, 20, runs.environment(root, library, kind, at))
        seen.add(found := readable(root))
        assert found in {10, 20, None}
        assert "Traceback" not in ended.stderr
        # Only the last step, making the rename durable, can fail with the new partition in its place.
        assert ended.returncode or found == 20
        if ended.returncode:
            assert says in ended.stderr and "run again" in ended.stderr
        assert publish(root, 30).returncode == 0 and readable(root) == 30
        assert not list(root.rglob(".tmp-*")), "leftovers are swept by the next run"
    assert 10 in seen


@pytest.mark.parametrize(("kind", "says"), [("full", "No space left on device"), ("eio", "Input/output error")])
def test_a_disk_that_fails_under_the_invented_mirror_is_named(tmp_path, library, kind, says):
    data = tmp_path / "data"
    ended = runs.run(data, tmp_path, runs.environment(data, library, kind, at=300), course=runs.Course.DEMO)
    assert ended.code == 1
    assert f"cannot write the invented mirror {data / 'source'}: {says}" in ended.output
    assert "Traceback" not in ended.output


@pytest.mark.skipif(not AS_ROOT, reason="mounting a small file system needs root")
def test_a_full_file_system_is_named_and_earlier_data_stay(tmp_path):
    root = tmp_path / "small"
    root.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", root], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        assert publish(root, 50).returncode == 0
        ended = publish(root, 20_000)
        assert ended.returncode == 1
        assert "No space left on device" in ended.stderr and "Traceback" not in ended.stderr
        assert readable(root) == 50
        assert publish(root, 60).returncode == 0 and readable(root) == 60
    finally:
        subprocess.run(["umount", root], check=True)


@pytest.mark.skipif(not AS_ROOT, reason="mounting read-only needs root")
def test_a_read_only_directory_is_named_and_earlier_data_stay(tmp_path):
    root = tmp_path / "fixed"
    root.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", root], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        assert publish(root, 50).returncode == 0
        subprocess.run(["mount", "-o", "remount,ro", root], check=True)
        ended = publish(root, 60)
        assert ended.returncode == 1
        assert "Read-only file system" in ended.stderr and "Traceback" not in ended.stderr
        assert readable(root) == 50
    finally:
        subprocess.run(["umount", root], check=True)


def test_a_directory_of_somebody_else_is_named(tmp_path):
    """Root may write anywhere, so as root this is done by a user who may not."""
    root = tmp_path / "theirs"
    root.mkdir()
    publish(root, 50)
    for folder in [root, *root.rglob("*")]:
        folder.chmod(0o555 if folder.is_dir() else 0o444)
    for parent in [tmp_path, *tmp_path.parents]:
        if AS_ROOT and parent.stat().st_mode & 0o005 != 0o005:
            pytest.skip(f"an ordinary user cannot reach {parent}")
    ended = publish(root, 60, user=65534, group=65534) if AS_ROOT else publish(root, 60)
    for folder in [root, *root.rglob("*")]:
        folder.chmod(0o755 if folder.is_dir() else 0o644)
    if "ModuleNotFoundError" in ended.stderr or "can't open file" in ended.stderr:
        pytest.skip("an ordinary user cannot read this checkout")
    assert ended.returncode == 1
    assert "Permission denied" in ended.stderr and "Traceback" not in ended.stderr
    assert readable(root) == 50


def test_a_folder_where_a_file_belongs_is_named(tmp_path):
    (tmp_path / "tables").write_text("a file")
    with pytest.raises(StoreError, match="cannot write"):
        Lake(tmp_path).publish(
            ARTICLE_XML, "PMC007-0360", ARTICLE_XML.empty(), code_version="1", inputs={}, config={}, n_in=0, n_out=0
        )
