"""The Dagster instance of a data directory: its folder, its first configuration, opening it.

Belongs here: what has to be there before anything of Dagster runs. It imports Dagster only where it opens an instance.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biomedica_assets import postgres
from biomedica_assets import settings as settings_module
from biomedica_assets.lib.compute.local import available_cores
from biomedica_assets.lib.store import atomic
from biomedica_assets.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

CONFIG = "dagster.yaml"
LOCATION = "biomedica"
"""Name of the code location: in the workspace of the UI, and in every run's record."""
PROCESSES = "processes"
IDENTITY = "identity"
PROCESS_TAG = "biomedica/process"
_mine: list[Any] = []
"""Name and open descriptor of this process's lock file."""


def prepare(settings: Settings) -> Path:
    """Make the data directory ready: remembered settings, the instance's folder with its configuration.

    Also points ``DAGSTER_HOME`` and ``BIOMEDICA_DATA_DIR`` of this process at it, which is what the processes that
    Dagster starts read.
    """
    settings_module.remember(settings)
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    _configure(home / CONFIG, settings.postgres)
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    os.environ[f"{settings_module.PREFIX}DATA_DIR"] = str(settings.data_dir.absolute())
    return home


def _configure(path: Path, url: str) -> None:
    """Write Dagster's configuration if there is none, and have in it the storage that the settings ask for."""
    try:
        there = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = ""
    wanted = postgres.configured(there or template().decode(), url, str(path))
    if wanted != there:
        atomic.write_bytes(path, wanted.encode())


def template() -> bytes:
    """The checked ``dagster.yaml`` that a new instance starts with."""
    text = resources.files("biomedica_assets").joinpath("dagster_template.yaml").read_text(encoding="utf-8")
    # As many steps of a pool as the machine has cores: with less, runs that are made side by side would wait in line.
    return text.replace("default_limit: 2", f"default_limit: {max(2, available_cores())}").encode()


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The persistent instance of the data directory, the one that the UI shows.

    Raises:
        RecordsUnreachable: the Postgres server of the settings cannot be used; said within two seconds.
        PermanentFailure: it holds the records of another data directory.
    """
    if settings.postgres:
        postgres.check(settings.postgres)
    import dagster as dg

    from biomedica_assets.automation.engines import keep_engines

    keep_engines()
    home = prepare(settings)
    # Two commands that create the databases of a new instance at once leave it broken for good (measured with dagster
    # 1.13.27: "Version table 'alembic_version' has more than one head present").
    with (home / "opening.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        instance = dg.DagsterInstance.get()
        if settings.postgres:
            postgres.claim(instance, _identity(home), settings.postgres)
        _bury(instance, home / PROCESSES)
        _announce(home / PROCESSES)
        return instance


def _identity(home: Path) -> str:
    """What tells data directories apart; travels with them. Called under the opening lock."""
    path = home / IDENTITY
    if not path.exists():
        atomic.write_bytes(path, uuid.uuid4().hex.encode())
    return path.read_text(encoding="ascii").strip()


def process_tags() -> dict[str, str]:
    """Tags of the runs that this process executes itself, by which the next command finds them if it is killed."""
    return {PROCESS_TAG: _mine[0]} if _mine else {}


def _announce(folder: Path) -> None:
    """Hold a lock file as long as this process lives; the kernel lets go of it, also after SIGKILL."""
    if not _mine:
        folder.mkdir(exist_ok=True)
        name = uuid.uuid4().hex
        _mine[:] = [name, os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)]
        fcntl.flock(_mine[1], fcntl.LOCK_EX)


def _bury(instance: dg.DagsterInstance, folder: Path) -> None:
    """End the runs of processes that were killed, and give back their places in the pools.

    Dagster frees a place when the step ends, and a killed step never does: two commands killed in one pool of two made
    every later one wait for ever, without a word (seen with dagster 1.13.27). Called under the opening lock.
    """
    import dagster as dg

    for path in sorted(folder.glob("*")):
        with path.open("rb") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            for run in instance.get_runs(dg.RunsFilter(tags={PROCESS_TAG: path.name})):
                instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
                if not run.is_finished:
                    instance.report_run_failed(run, "the process that executed this run was killed")
            path.unlink()
