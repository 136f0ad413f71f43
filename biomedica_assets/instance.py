"""The Dagster instance of a data directory: its folder, its first configuration, opening it.

Belongs here: what has to be there before anything of Dagster runs. It imports Dagster only where it opens an instance.
"""

from __future__ import annotations

import fcntl
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from biomedica_assets import settings as settings_module
from biomedica_assets.lib.store import atomic
from biomedica_assets.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

CONFIG = "dagster.yaml"


def prepare(settings: Settings) -> Path:
    """Make the data directory ready: remembered settings, the instance's folder with its configuration.

    Also points ``DAGSTER_HOME`` and ``BIOMEDICA_DATA_DIR`` of this process at it, which is what the processes that
    Dagster starts read.
    """
    settings_module.remember(settings)
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    if not (home / CONFIG).exists():
        atomic.write_bytes(home / CONFIG, template())
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    os.environ[f"{settings_module.PREFIX}DATA_DIR"] = str(settings.data_dir.absolute())
    return home


def template() -> bytes:
    """The checked ``dagster.yaml`` that a new instance starts with."""
    return resources.files("biomedica_assets").joinpath("dagster_template.yaml").read_bytes()


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The persistent instance of the data directory, the one that the UI shows."""
    import dagster as dg

    home = prepare(settings)
    # Two commands that create the databases of a new instance at once leave it broken for good (measured with dagster
    # 1.13.27: "Version table 'alembic_version' has more than one head present").
    with (home / "opening.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        return dg.DagsterInstance.get()
