"""``Engine`` on the nodes of a Ray cluster: every batch is a task, the function travels once.

Belongs here: all that knows Ray, which is imported when work is first handed out and not before. A batch is small
(paths, byte ranges, captions); the files it names lie on a disk that all nodes see under the same path. Nothing is kept
in Ray's object store: results are copied out, so that they can be written to as those of other engines can.

What a task needs to come out as it would here is checked on each worker once: the same files, the same code, the same
versions of what decides about bytes. A node that lacks them ends the work with its name; it would otherwise turn every
file that it cannot see into a reject.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psutil

from biomedica_assets.lib.compute.attempt import attempt
from biomedica_assets.lib.errors import BiomedicaError, PermanentFailure
from biomedica_assets.lib.machine import Fault, no_answer

A = TypeVar("A")
B = TypeVar("B")

PATTERN = r"^(auto|(ray://)?[A-Za-z0-9_.-]+:\d{1,5})?$"
EXTRA = "pip install 'biomedica-assets[ray]'"
MARK = ".shared-disk"
"""File of the data directory by which a worker knows that it sees the same disk."""
LOST_WORKERS = 5
"""Times that a batch is begun anew because its worker or node is gone; memory that ran out there does not count."""
_RESIZED = 2.0
"""Seconds after which the cluster is asked again how large it is: it may grow for what waits."""
_PACKAGE = Path(__file__).resolve().parents[2]
_DECIDES_ABOUT_BYTES = (
    "lxml", "numpy", "opencv-python-headless", "pillow", "polars", "scikit-image", "scikit-learn", "simplejpeg",
)  # fmt: skip
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Of workers: the order of sums must not depend on a node's cores."""
_JOIN = "start a node here (ray start --address HOST:PORT), or give ray://HOST:10001, which needs none"
_LOCK = threading.Lock()
_addresses: list[str] = []
"""Where this process is connected to."""


class ClusterUnreachable(PermanentFailure):
    """No Ray cluster can be used; the message says why and what to do."""


class WorkerLost(BiomedicaError):
    """A batch was not finished by any worker: they died, or its result does not travel."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Place:
    """What a worker must find as it is here.

    Attributes:
        generation: of one map; what a worker remembers of an earlier one is forgotten.
        folder: working directory, to which paths may be relative.
        disk: a folder that all see, empty for none; ``mark`` is what its file ``MARK`` says.
        made_of: what ``made_of`` says here.
    """

    generation: str
    folder: str
    disk: str
    mark: str
    made_of: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class _Refused:
    """What a worker answers that is not in a place to work."""

    why: str


class RayEngine:
    """Work on Ray's nodes, by address. Connects when work is first handed out; one connection serves a process."""

    def __init__(self, address: str, disk: Path | None = None) -> None:
        """Where to work.

        Args:
            address: ``auto``, ``HOST:PORT`` (a node of the cluster has to run here) or ``ray://HOST:PORT``.
            disk: data directory that all nodes must see under this path; None does not ask.
        """
        self.address, self._disk = address, disk

    @property
    def workers(self) -> int:
        """Cores of the cluster now."""
        return _room(connect(self.address), 1, 0)

    def map_batches(
        self, fn: Callable[[A], B], batches: Iterable[A], *, cpus: float = 1, gpus: float = 0, retries: int = 0
    ) -> Iterator[tuple[A, B | Exception]]:
        """See ``Engine.map_batches``. A batch whose worker or node is lost is done anew, ``LOST_WORKERS`` times.

        So a function may run twice for a batch, never two results come of it: what it writes has to be replaced in one
        step. When the iterator is closed, waiting batches are taken back and running ones interrupted.

        Raises:
            ClusterUnreachable: there is no cluster, or none of its nodes has so many cores and cards.
            PermanentFailure: the function cannot travel, or a node does not see the disk or has other code.
        """
        ray = connect(self.address)
        _require_room(ray, self.address, cpus, gpus)
        name = _name(fn)
        place = self._place()
        sent = ray.put(_packed(ray, fn, name))
        task = ray.remote(_run).options(
            num_cpus=cpus, num_gpus=gpus, max_retries=LOST_WORKERS, retry_exceptions=False, name=name
        )
        flying: deque[tuple[A, Any]] = deque()
        most, asked = 2 * _room(ray, cpus, gpus), time.monotonic()
        try:
            for batch in batches:
                flying.append((batch, task.remote(place, sent, _packed(ray, batch, name), retries)))
                if len(flying) >= most:
                    yield _next(ray, flying)
                    if time.monotonic() - asked > _RESIZED:
                        most, asked = 2 * _room(ray, cpus, gpus), time.monotonic()
            while flying:
                yield _next(ray, flying)
        finally:
            for _, reference in flying:
                with contextlib.suppress(Exception):  # done meanwhile, or the cluster is gone: nothing is left to stop
                    ray.cancel(reference)

    def _place(self) -> _Place:
        disk = self._disk.absolute() if self._disk else None
        return _Place(uuid.uuid4().hex, str(Path.cwd()), str(disk or ""), _marked(disk) if disk else "", made_of())


def fault(address: str) -> Fault | None:
    """Why a cluster cannot be used, None if nothing speaks against it; within two seconds and without loading Ray."""
    if importlib.util.find_spec("ray") is None:
        return Fault("the package for it is not installed", EXTRA)
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    if address != "auto":
        parts = urlsplit(address if "://" in address else f"ray://{address}")
        if parts.hostname and parts.port and (why := no_answer(parts.hostname, parts.port)):
            return Fault(why, "start the cluster (ray start --head), or correct the address")
    # Ray looks for the node that a program joins through among the processes of its machine, and waits a minute for it.
    if not address.startswith("ray://") and not _node_runs_here():
        return Fault("no node of a Ray cluster runs on this machine", _JOIN)
    return None


def connect(address: str) -> Any:
    """The module ``ray``, connected; the connection lasts as long as the process.

    Raises:
        ClusterUnreachable: it says why, and what to do.
    """
    with _LOCK:
        if _addresses == [address] and _ray().is_initialized():
            return _ray()
        if (found := fault(address)) is not None:
            raise ClusterUnreachable(f"ray {address}: {found.why}; {found.cure}")
        ray = _ray()
        if _addresses:
            ray.shutdown()
            _addresses.clear()
        if not ray.is_initialized():
            with _own_signals():
                try:
                    ray.init(address=address, log_to_driver=False, logging_level="error", runtime_env=_environment())
                except Exception as error:  # its own kinds, and those of sockets, grpc and files
                    words = " ".join(str(error).split())[:400]
                    raise ClusterUnreachable(
                        f"ray {address}: {words}; the same versions of Ray and Python have to run on all nodes"
                    ) from error
        # What is told of dying workers goes to standard output otherwise, whatever log_to_driver says (ray 2.60.0).
        ray._private.worker._worker_logs_enabled = False
        _addresses.append(address)
        return ray


def disconnect() -> None:
    """Leave the cluster; what this process still has there is stopped."""
    with _LOCK:
        if _addresses:
            _ray().shutdown()
            _addresses.clear()


@functools.cache
def made_of() -> dict[str, str]:
    """What decides about results and could differ between nodes: this package's files, and versions of libraries."""
    code = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        code.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    found = {"biomedica_assets": code.hexdigest()[:16]}
    for name in _DECIDES_ABOUT_BYTES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _ray() -> Any:
    import ray

    return ray


def _name(fn: Callable[..., Any]) -> str:
    """Name of a function, as Ray's tools show it."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return getattr(fn, "__qualname__", type(fn).__qualname__)


def _packed(ray: Any, thing: Any, name: str) -> bytes:
    try:
        return ray.cloudpickle.dumps(thing)
    except Exception as error:  # whatever a __reduce__ raises
        raise PermanentFailure(f"{name} cannot be sent to another machine: {' '.join(str(error).split())}") from error


def _next(ray: Any, flying: deque[tuple[A, Any]]) -> tuple[A, Any]:
    batch, reference = flying[0]
    try:
        answer = _unpacked(ray.get(reference))
    except ray.exceptions.RayTaskError as error:
        answer = WorkerLost(f"a worker could not begin: {_last_line(str(error))}; install the same on every node")
    except ray.exceptions.RayError as error:
        answer = WorkerLost(f"no worker finished a batch in {LOST_WORKERS + 1} tries: {_first_line(str(error))}")
    flying.popleft()
    if isinstance(answer, _Refused):
        raise PermanentFailure(answer.why)
    return batch, answer


def _unpacked(data: bytes) -> Any:
    try:
        return pickle.loads(data)  # noqa: S301 - written by our own task
    except Exception as error:  # noqa: BLE001 - whatever an __init__ raises
        return WorkerLost(f"a result arrived that cannot be read: {type(error).__name__}: {error}")


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:300]


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")[:300]


def _room(ray: Any, cpus: float, gpus: float) -> int:
    """How many tasks run at once."""
    there = ray.cluster_resources()
    by = [there.get(kind, 0.0) / wanted for kind, wanted in (("CPU", cpus), ("GPU", gpus)) if wanted > 0]
    return max(1, int(min(by, default=1)))


def _require_room(ray: Any, address: str, cpus: float, gpus: float) -> None:
    """Refuse what no node could ever run: Ray would wait for such a node without a word."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        raise ClusterUnreachable(
            f"ray {address}: none of its {len(nodes)} nodes has {cpus:g} cores and {gpus:g} cards; add one that has"
        )


def _environment() -> dict[str, Any]:
    """Variables of workers; they travel with a task, nothing is fetched."""
    variables = dict(_ONE_THREAD)
    if path := os.environ.get("PYTHONPATH"):
        variables["PYTHONPATH"] = os.pathsep.join(str(Path(part).absolute()) for part in path.split(os.pathsep) if part)
    return {"env_vars": variables}


def _node_runs_here() -> bool:
    return any(process.info["name"] == "raylet" for process in psutil.process_iter(["name"]))


@contextlib.contextmanager
def _own_signals() -> Generator[None]:
    """Keep the handlers of this process: on connecting, Ray puts its own for SIGTERM in their place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def _marked(disk: Path) -> str:
    """What the mark of a folder says; one is made if there is none, whoever else makes one at the same time."""
    path = disk / MARK
    if not path.exists():
        disk.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=disk, prefix=MARK)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(uuid.uuid4().hex)
            with contextlib.suppress(FileExistsError):
                os.link(name, path)
        finally:
            Path(name).unlink()
    return path.read_text(encoding="ascii")


# What follows runs in workers.

_seen: set[tuple[str, str]] = set()
_held: dict[str, Any] = {}
"""Generation -> its function, of the last one alone."""


def _run(place: _Place, packed: bytes, batch: bytes, retries: int) -> bytes:
    """One batch. What comes and goes is packed by us: Ray's arrays would be read-only, and stay in its store."""
    if (why := _misplaced(place)) is not None:
        return pickle.dumps(_Refused(why))
    if place.generation not in _held:
        _held.clear()
        _forget()
        _held[place.generation] = pickle.loads(packed)  # noqa: S301 - as in _unpacked
    answer = attempt(_held[place.generation], pickle.loads(batch), retries)  # noqa: S301
    try:
        return _ray().cloudpickle.dumps(answer)
    except Exception as error:  # noqa: BLE001 - whatever a __reduce__ raises
        return pickle.dumps(WorkerLost(f"a result cannot be sent: {type(error).__name__}: {error}"))


def _misplaced(place: _Place) -> str | None:
    """Why this worker must not work, None if it may."""
    with contextlib.suppress(OSError):
        os.chdir(place.folder)
    if (place.disk, place.mark) in _seen:
        return None
    here = f"the Ray node {os.uname().nodename}"
    if differing := sorted(name for name, what in place.made_of.items() if made_of().get(name) != what):
        said = ", ".join(f"{name} {made_of().get(name, 'missing')} for {place.made_of[name]}" for name in differing)
        return f"{here} has other code than this command ({said}); install the same on every node"
    if place.disk:
        try:
            found = (Path(place.disk) / MARK).read_text(encoding="ascii")
        except OSError:
            found = ""
        if found != place.mark:
            return f"{here} does not see {place.disk} as it is here; mount the shared disk there, under the same path"
    _seen.add((place.disk, place.mark))
    return None


def _forget() -> None:
    """Empty what functions of this project remember: files may have changed since an earlier map."""
    for name, module in [*sys.modules.items()]:
        if name.startswith("biomedica_assets") and name != __name__:
            for value in [*vars(module).values()]:
                if callable(clear := getattr(value, "cache_clear", None)) and hasattr(value, "cache_info"):
                    clear()
