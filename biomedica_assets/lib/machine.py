"""What a machine offers, looked at without changing anything: one ``Finding`` per question, with the way out.

Belongs here: looks that need no settings object and no Dagster, each within a second. Which of them a data directory
needs is decided by ``commands/doctor.py``.
"""

from __future__ import annotations

import dataclasses
import enum
import fcntl
import importlib.metadata
import importlib.util
import os
import queue
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import psutil

T = TypeVar("T")

DISTRIBUTION = "biomedica-assets"
EXTRA = "graph"
"""Of the distribution: what makes the data. Without it only what reads is installed."""
OLDEST, NEWEST = (3, 11), (3, 13)
"""Python versions that ``requires-python`` of pyproject.toml allows."""
GIB = 1 << 30
LEAST_MEMORY = 4 * GIB
"""Twice what comparing two inventories of 8 million rows takes (1.98 GB, benchmarks/inventory_diff.py)."""
LEAST_DISK, LITTLE_DISK = 1 * GIB, 50 * GIB
"""Below the first nothing can be made; a chunk of PubMed Central is about 45 GB (10 000 articles of 4.5 MB)."""
LEAST_SHARED = 256 << 20
"""Loaders hand batches over in shared memory: 128 pictures of 224 x 224 x 3 float32 are 77 MB, and each worker has two
on the way."""
LEAST_FILES = 1024
TIMEOUT = 1.5
"""Seconds until a host that does not answer counts as unreachable."""


class Verdict(enum.StrEnum):
    """What a look says."""

    OK = "ok"
    LOOK = "look"  # works, but not for everything or not for long
    BROKEN = "broken"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question.

    Attributes:
        check: what was looked at, in one word or two.
        verdict: see ``Verdict``.
        found: what is there, in one line.
        cure: what to do, in one line; empty if nothing is to be done.
    """

    check: str
    verdict: Verdict
    found: str
    cure: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """Why something cannot be used, and what to do."""

    why: str
    cure: str


def ok(check: str, found: str) -> Finding:
    """A finding that asks for nothing."""
    return Finding(check, Verdict.OK, found)


def look(check: str, found: str, cure: str) -> Finding:
    """A finding that limits what can be done."""
    return Finding(check, Verdict.LOOK, found, cure)


def broken(check: str, found: str, cure: str) -> Finding:
    """A finding that stops everything or something for certain."""
    return Finding(check, Verdict.BROKEN, found, cure)


def python(version: tuple[int, ...] = sys.version_info[:3], where: str = sys.executable) -> Finding:
    """Whether this Python is one that the project runs on."""
    said = f"{'.'.join(map(str, version))} ({where})"
    if OLDEST <= version[:2] <= NEWEST:
        return ok("python", said)
    span = f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
    return broken("python", said, f"install with a Python {span}: uv venv --python {OLDEST[0]}.{NEWEST[1] - 1}")


def packages(requirements: Iterable[str] | None = None) -> Finding:
    """Whether every required package is installed in a version that is allowed.

    Args:
        requirements: as ``pyproject.toml`` writes them; None takes those of the installed project.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    if requirements is None:
        try:
            requirements = importlib.metadata.requires(DISTRIBUTION) or ()
        except importlib.metadata.PackageNotFoundError:
            return look(
                "packages", f"{DISTRIBUTION} is not installed, only imported", "pip install --editable '.[graph]'"
            )
    faults: list[str] = []
    n = 0
    for text in requirements:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        if wanted.marker and not any(wanted.marker.evaluate({"extra": extra}) for extra in ("", EXTRA)):
            continue
        n += 1
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            faults.append(f"{wanted.name} is missing")
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            faults.append(f"{wanted.name} is {version}, needed {wanted.specifier}")
    if not faults:
        return ok("packages", f"all {n} that are required")
    more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
    return broken(
        "packages",
        "; ".join(faults[:3]) + more,
        f"pip install --upgrade '{DISTRIBUTION}[{EXTRA}]', or `make` in a checkout",
    )


def memory(total: int | None = None, available: int | None = None) -> Finding:
    """Memory that this process may use: the machine's, or less where a container has a limit.

    Args:
        total: bytes; None asks the machine.
        available: bytes that are free now; None asks the machine.
    """
    if total is None or available is None:
        machine = psutil.virtual_memory()
        limit = _container_limit()
        total, available = min(machine.total, limit), min(machine.available, limit)
    said = f"{available / GIB:.1f} of {total / GIB:.1f} GiB free"
    if available >= LEAST_MEMORY:
        return ok("memory", said)
    cure = "the inventory of all of PubMed Central needs 2 GB and training more; end other programs, or set workers = 1"
    return look("memory", said, cure)


def _container_limit() -> int:
    """Bytes that the control group allows; the largest number if it sets no limit."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():
            return int(text)
    return sys.maxsize


def processor(cores: int | None = None) -> Finding:
    """How many cores this process may use."""
    if cores is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ok("processor", f"{cores} core{'s' if cores > 1 else ''}")


def shared_memory(loader_workers: int, path: Path = Path("/dev/shm")) -> Finding | None:  # noqa: S108 - looked at only
    """Whether loader processes can hand batches over; None where there is no such place (macOS)."""
    if not path.is_dir():
        return None
    free = shutil.disk_usage(path).free
    said = f"{free / GIB:.1f} GiB free in {path}"
    if not loader_workers or free >= LEAST_SHARED:
        return ok("shared memory", said)
    return look(
        "shared memory", said, "training's loaders need it: docker run --shm-size=2g, or set loader_workers = 0"
    )


def open_files(limit: int | None = None) -> Finding:
    """How many files a process may have open at once."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    said = "no limit" if limit in (resource.RLIM_INFINITY, sys.maxsize) else f"at most {limit:,} at once"
    if limit == resource.RLIM_INFINITY or limit >= LEAST_FILES:
        return ok("open files", said)
    return look("open files", said, f"ulimit -n {LEAST_FILES} before the command; fetching opens many connections")


def disk(folder: Path) -> Finding:
    """Room, permission and locks where a folder lies or will lie."""
    here = folder.absolute()
    while not here.exists() and here != here.parent:
        here = here.parent
    if not here.is_dir():
        return broken("disk", f"{here} is a file", "name another data directory with --data-dir")
    try:
        free = shutil.disk_usage(here).free
        with tempfile.TemporaryFile(dir=here) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except PermissionError:
        return broken("disk", f"{here} cannot be written", "change its owner, or name another with --data-dir")
    except OSError as error:
        cure = "free space, or name a data directory on a local disk with --data-dir (locks must work there)"
        return broken("disk", f"{here}: {error.strerror or error}", cure)
    said = f"{free / GIB:,.1f} GiB free at {here}"
    if free < LEAST_DISK:
        return broken("disk", said, "free space, or name a data directory on another disk with --data-dir")
    if free < LITTLE_DISK:
        cure = "enough for the demo; a chunk of PubMed Central takes about 45 GB: set limit_per_chunk, or another disk"
        return look("disk", said, cure)
    return ok("disk", said)


def card(device: str) -> Finding:
    """Graphics cards, and whether the installed torch was built for them; torch is not loaded.

    Args:
        device: the setting: ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """
    cards, built = _cards(), _torch_cuda()
    if device == "cpu":
        return ok("card", f"{', '.join(cards) or 'none'}; device = cpu uses none")
    if not cards:
        if device == "cuda":
            return broken("card", "none that nvidia-smi shows", "set device = auto or cpu, or install NVIDIA's driver")
        if device == "mps" or (device == "auto" and sys.platform == "darwin"):
            return ok("card", "whatever Metal offers")
        return look("card", "none", "everything runs on the processor: embedding and training take days at full size")
    if built is None:
        cure = "install torch for CUDA: pip install torch --index-url https://download.pytorch.org/whl/cu128"
        return (broken if device == "cuda" else look)(
            "card", f"{', '.join(cards)}, but torch is built without CUDA", cure
        )
    return ok("card", f"{', '.join(cards)}; torch is built for CUDA {built}")


def _cards() -> list[str]:
    """Names and memory of NVIDIA cards; empty where there is no driver."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        ended = subprocess.run(
            [command, "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=2 * TIMEOUT, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in ended.stdout.splitlines() if line.strip()] if ended.returncode == 0 else []


def _torch_cuda() -> str | None:
    """The CUDA version that torch was built for, read from its file: importing it would take more than a second."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^cuda(?:: [^=]+)? = '([^']+)'", text, re.MULTILINE)
    return found[1] if found else None


def port(number: int, use: str) -> Finding:
    """Whether a server could listen on a port of the loopback interface."""
    check = f"port {number}"
    if is_free(number):
        return ok(check, f"free for {use}")
    free = free_port(number)
    cure = f"{use} is up already, or take --port {free}" if free else f"end what listens there to use {use}"
    return look(check, "taken", cure)


def is_free(number: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could bind this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as web servers do
        try:
            probe.bind((host, number))
        except OSError:
            return False
        return True


def free_port(after: int) -> int | None:
    """The first free port of the loopback interface above one that is taken; None if the next hundred are taken."""
    return next((other for other in range(after + 1, min(after + 100, 65_536)) if is_free(other)), None)


def unreachable(url: str, timeout: float = TIMEOUT) -> str | None:
    """Why no connection to the host of a URL can be made; None if one can. A proxy of the environment stands for it.

    Args:
        url: ``https://host`` or ``http://host:port``.
        timeout: seconds until no answer counts as no connection.
    """
    parts = urlsplit(url)
    proxy = "" if urllib.request.proxy_bypass(parts.hostname or "") else urllib.request.getproxies().get(parts.scheme)
    if proxy:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    host, number = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    why = no_answer(host, number, timeout)
    return f"proxy: {why}" if why and proxy else why


def no_answer(host: str, number: int, timeout: float = TIMEOUT) -> str | None:
    """Why nothing answers at a port of a host, asked directly; None if something does."""
    late = f"{host} does not answer within {timeout} s"
    return answer_within(timeout, lambda: _refusal(host, number, timeout), late)


def answer_within(seconds: float, ask: Callable[[], T], late: T) -> T:
    """What a question that may hang is answered with, or ``late``.

    The resolver and a host that swallows what is sent know no limit: a thread that nobody waits for asks.
    """
    said: queue.SimpleQueue[T] = queue.SimpleQueue()
    threading.Thread(target=lambda: said.put(ask()), daemon=True).start()
    try:
        return said.get(timeout=seconds)
    except queue.Empty:
        return late


def _refusal(host: str, number: int, timeout: float) -> str | None:
    try:
        with socket.create_connection((host, number), timeout):
            return None
    except socket.gaierror:
        return f"the name {host} is not known here (no network?)"
    except OSError as error:
        return f"{host}:{number}: {error.strerror or error}"
