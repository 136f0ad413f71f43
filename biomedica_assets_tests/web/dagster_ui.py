"""``biomedica ui`` as real processes: web server, code location and daemon, asked by GraphQL as the browser asks.

Belongs here: starting, asking, waiting and ending; what is asked for belongs to the tests.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import httpx

from biomedica_assets_tests.web.annotation_server import free_port

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")
_LAUNCH = """mutation($job:String!,$assets:[AssetKeyInput!],$tags:[ExecutionTag!]){launchRun(executionParams:{selector:{
repositoryLocationName:"biomedica",repositoryName:"__repository__",jobName:$job,assetSelection:$assets},
runConfigData:{},executionMetadata:{tags:$tags}}){__typename ... on LaunchRunSuccess{run{runId}}
... on PythonError{message}}}"""
_STATUS = "query($id:ID!){runOrError(runId:$id){... on Run{status}}}"
_LOCATION = "{workspaceOrError{... on Workspace{locationEntries{locationOrLoadError{__typename}}}}}"
_ENDED = ("SUCCESS", "FAILURE", "CANCELED")


def until(found: Callable[[], T | None], what: str, seconds: float = 180) -> T:
    """What ``found`` returns as soon as it is something; the limit is for a machine that is stuck."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if got := found():
            return got
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


class DagsterUi:
    """The UI of a data directory, on a free port.

    Args:
        data: the data directory.
        log: where the processes write.
        environment: more variables for them.
    """

    def __init__(self, data: Path, log: Path, environment: Mapping[str, str] | None = None) -> None:
        port = free_port()
        self._url, self._log = f"http://127.0.0.1:{port}/graphql", log
        env = {**os.environ, "BIOMEDICA_DATA_DIR": str(data), "OMP_NUM_THREADS": "1", **(environment or {})}
        # The tests' own home is not this data directory's.
        env.pop("DAGSTER_HOME", None)
        command = [sys.executable, "-m", "biomedica_assets.cli", "ui", "--data-dir", data, "--port", port]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(word) for word in command], env=env, cwd=ROOT, stdout=output, stderr=output, start_new_session=True
            )
        try:
            until(self._serves, "the UI answers with its code location")
        except BaseException:
            self.close()
            raise

    def _serves(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        with contextlib.suppress(httpx.TransportError):
            (entry,) = self.ask(_LOCATION)["workspaceOrError"]["locationEntries"]
            loaded = entry["locationOrLoadError"]
            assert loaded is None or loaded["__typename"] == "RepositoryLocation", self._log.read_text()
            return loaded is not None
        return False

    def ask(self, text: str, **variables: object) -> dict:
        """The data of an answer without errors."""
        answer = httpx.post(self._url, json={"query": text, "variables": variables}, timeout=180).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def launch(self, job: str = "__ASSET_JOB", assets: Sequence[str] = (), partition: str | None = None) -> str:
        """Launch a job, or assets, as the button does; the run's id."""
        tags = [{"key": "dagster/partition", "value": partition}] if partition else []
        keys = [{"path": [asset]} for asset in assets] or None
        got = self.ask(_LAUNCH, job=job, assets=keys, tags=tags)["launchRun"]
        assert got["__typename"] == "LaunchRunSuccess", got
        return got["run"]["runId"]

    def status(self, run: str) -> str:
        """SUCCESS, STARTED, …"""
        return self.ask(_STATUS, id=run)["runOrError"]["status"]

    def ended(self, run: str, seconds: float = 180) -> str:
        """How a run ended."""

        def end() -> str | None:
            status = self.status(run)
            return status if status in _ENDED else None

        return until(end, "the run ends", seconds)

    def close(self) -> None:
        """End web server, code location and daemon, which have groups of their own: asked first, then at once."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
