"""A real Ray cluster on this machine for a test: each node has a session of its own and ends by its process group."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

from biomedica_assets.lib import machine

STORE = 100_000_000
"""Bytes of a node's object store."""
# A node whose processes are gone is noticed in 5 seconds instead of 15; one that is slow has as long as ever.
_ENVIRONMENT = {"RAY_health_check_period_ms": "1000", "RAY_USAGE_STATS_ENABLED": "0"}
_TRIES = 4
"""Ray gives a node 30 seconds to start, which a machine under load does not always keep."""


def _die_with_parent() -> None:
    """A node ends its processes when the test's process is gone, however it went."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def installed() -> bool:
    """Whether Ray is there."""
    return importlib.util.find_spec("ray") is not None


class Cluster:
    """Nodes, the first of them the head."""

    def __init__(self, folder: Path, ports: tuple[int, int]) -> None:
        self.folder, self.address, self.client = folder, f"127.0.0.1:{ports[0]}", f"ray://127.0.0.1:{ports[1]}"
        self._ports, self._nodes = ports, list[subprocess.Popen[bytes]]()

    def add(self) -> int:
        """Start a node of one core and wait for it; returns its number."""
        number = len(self._nodes)
        given = ["--num-cpus=1", f"--object-store-memory={STORE}", "--min-worker-port=0", "--max-worker-port=0"]
        given += ["--node-ip-address=127.0.0.1", "--include-log-monitor=False", "--disable-usage-stats", "--block"]
        if number:
            given += [f"--address={self.address}"]
        else:
            given += ["--head", f"--port={self._ports[0]}", f"--ray-client-server-port={self._ports[1]}"]
            given += ["--include-dashboard=false"]
        for tried in range(_TRIES):
            log = self.folder / f"{number}-{tried}.log"
            node = self._start([*given, f"--temp-dir={self.folder / f'{number}{tried}'}"], log)
            while node.poll() is None:
                if "Ray runtime started" in log.read_text():
                    self._nodes.append(node)
                    return number
                time.sleep(0.1)
            _end(node)
            if "timed out during startup" not in log.read_text():
                break
        raise AssertionError(log.read_text())

    def _start(self, given: list[str], log: Path) -> subprocess.Popen[bytes]:
        # The program beside the interpreter: `python -m ray...` would put the working directory on its path.
        program = Path(sys.executable).with_name("ray")
        with log.open("w") as out:
            return subprocess.Popen(
                [program, "start", *given],
                stdout=out,
                stderr=out,
                cwd=self.folder,
                env=os.environ | _ENVIRONMENT,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it calls the kernel alone
            )

    def lose(self, number: int) -> None:
        """A node is gone at once, with everything on it."""
        _end(self._nodes[number])

    def end(self) -> None:
        """All of them."""
        for number in reversed(range(len(self._nodes))):
            self.lose(number)


def _end(node: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(node.pid, signal.SIGKILL)
    node.wait(30)


@contextlib.contextmanager
def running(nodes: int = 2) -> Generator[Cluster]:
    """A cluster with so many nodes."""
    # Sockets lie in it, and their paths may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="bm-ray-"))
    # Two test processes that start a cluster at once look at different ports.
    first = machine.free_port(40_000 + os.getpid() % 500 * 20)
    second = machine.free_port((first or 0) + 1)
    assert first is not None and second is not None
    made = Cluster(folder, (first, second))
    try:
        for _ in range(nodes):
            made.add()
        yield made
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)
