"""The resources every group uses: settings, data directory, source, engine, progress."""

import contextlib
import logging
from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from biomedica_assets.lib.compute import Engine
from biomedica_assets.lib.compute.engines import open_engine
from biomedica_assets.lib.pmc.source import PmcSource, open_source
from biomedica_assets.lib.progress import LogProgress, Progress
from biomedica_assets.lib.store import lease
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.settings import Settings


class SettingsResource(dg.ConfigurableResource):
    """The validated settings of this data directory."""

    values: dict[str, Any]

    @classmethod
    def of(cls, settings: Settings) -> "SettingsResource":
        """Resource for settings that were read already."""
        return cls(values=settings.model_dump(mode="json", exclude_none=True))

    def open(self) -> Settings:
        """The settings object."""
        return Settings(**self.values)


class LakeResource(dg.ConfigurableResource):
    """The data directory."""

    data_dir: str

    def open(self) -> Lake:
        """The data directory as the library sees it, for reading."""
        return Lake(self.data_dir)

    @contextlib.contextmanager
    def hold(self, context: dg.AssetExecutionContext) -> Generator[Lake]:
        """The data directory with the lease of the partition that the step makes: no second run can write it."""
        names = [key.to_user_string() for key in context.selected_asset_keys]
        with lease.hold(Path(self.data_dir), names, context.partition_key if context.has_partition_key else None):
            yield Lake(self.data_dir)


class SourceResource(dg.ConfigurableResource):
    """Where articles come from: a directory in the bucket's layout, or the bucket."""

    location: str
    endpoint: str | None = None
    region: str = "us-east-1"
    concurrency: int = 64
    retries: int = 5
    timeout: float = 60.0

    def open(self) -> PmcSource:
        """The source; fails with a clear message if it cannot be one."""
        return open_source(
            self.location,
            endpoint=self.endpoint,
            region=self.region,
            concurrency=self.concurrency,
            retries=self.retries,
            timeout=self.timeout,
        )


class EngineResource(dg.ConfigurableResource):
    """Where the fan-out inside a step runs."""

    data_dir: str
    workers: int = 0
    ray: str = ""

    def open(self, kind: Literal["threads", "processes"]) -> Engine:
        """An engine of threads (decoding, hashing, reading) or processes (parsing); a cluster's, if one is set."""
        return open_engine(kind, workers=self.workers, ray=self.ray, disk=Path(self.data_dir))


class Progressing:
    """How steps show progress: log lines in a run; the command line puts bars in its place.

    A plain object, not a ``ConfigurableResource``: it has no configuration, and a bar has state that a copy would lose.
    """

    def open(self, log: logging.Logger) -> Progress:
        """Progress that writes to a run's log."""
        return LogProgress(log)
