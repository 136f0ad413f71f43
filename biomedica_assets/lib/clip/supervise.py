"""Run the training process and keep it on a leash: follow its events, end the whole group, say why it failed."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from biomedica_assets.lib.clip import events
from biomedica_assets.lib.clip.spec import RunSpec
from biomedica_assets.lib.compute.local import available_cores
from biomedica_assets.lib.errors import BiomedicaError, PermanentFailure

GRACE_SECONDS = 10.0
_ERROR = re.compile(r"(?:\[rank\d+\]: ?)?((?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt)\b(?:: .*)?)$")
"""The last line of a traceback, with torchrun's mark of the process before it."""


class TrainingFailed(BiomedicaError):
    """The training process ended before it was done; the last complete checkpoint is kept and a rerun goes on there."""


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """Where a run trains.

    Attributes:
        kind: ``cpu``, ``cuda`` or ``mps``.
        count: how many devices; more than one runs under ``torchrun``.
        loader_workers: processes per device that read and decode.
        threads: threads of torch per process on the CPU.
        nodes: machines that train together, each with ``count`` devices; all see the data directory.
        rendezvous: HOST:PORT where they meet: the first one's.
    """

    kind: str
    count: int = 1
    loader_workers: int = 2
    threads: int = 2
    nodes: int = 1
    rendezvous: str = ""

    @property
    def everywhere(self) -> int:
        """Devices over all nodes."""
        return self.count * self.nodes


def pick_device(kind: str, count: int, loader_workers: int, threads: int) -> Device:
    """A device for what was asked for.

    Args:
        kind: ``cpu``, ``cuda``, ``mps``, or ``auto`` for the best there is.
        count: how many, 0 for all there are.
        loader_workers: processes per device.
        threads: threads of torch on the CPU, 0 for one per core.

    Raises:
        PermanentFailure: it is not there; the message says what is.
    """
    torch: Any = importlib.import_module("torch")
    there = {"cpu": 1, "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0}
    there["mps"] = int(torch.backends.mps.is_available())
    chosen = next(name for name in ("cuda", "mps", "cpu") if there[name]) if kind == "auto" else kind
    available = there.get(chosen, 0)
    if available < max(1, count) and chosen != "cpu":
        listed = ", ".join(f"{n} x {name}" for name, n in there.items() if n)
        raise PermanentFailure(f"{max(1, count)} x {chosen} asked for; this machine has {listed}")
    number = (count or available) if chosen == "cuda" else 1
    return Device(chosen, number, loader_workers, threads or max(1, available_cores() // number))


def check_precision(device: Device, precision: str) -> None:
    """Refuse arithmetic that a kind of device lacks, before anything is loaded.

    float16 on a CPU has no fast kernels and its gradients are not scaled there; on Apple's GPUs only fp32 is allowed,
    because nothing else was tried. bfloat16 wants compute capability 8.

    Raises:
        PermanentFailure: the message names what can be set instead.
    """
    allowed = {"cpu": ("fp32", "bf16", "amp_bf16"), "mps": ("fp32",)}.get(device.kind)
    if device.kind == "cuda":
        torch: Any = importlib.import_module("torch")
        old = torch.cuda.is_available() and torch.cuda.get_device_capability()[0] < 8
        allowed = ("fp32", "fp16", "amp") if old else None
    if allowed is not None and precision not in allowed:
        raise PermanentFailure(
            f"precision {precision} does not work on this machine's {device.kind}; the profile may say "
            f"{' or '.join(allowed)}"
        )


def run(spec: RunSpec, folder: Path, device: Device, on_event: Callable[[Mapping[str, Any]], None]) -> None:
    """Train until the process is done.

    Args:
        spec: the run; written to ``folder/spec.json``.
        folder: of the run; the process's output goes to ``folder/output.log``.
        device: where.
        on_event: called with each event as it comes.

    Raises:
        PermanentFailure: the loss became NaN or infinite, or the streams are too short for a batch.
        TrainingFailed: the process failed otherwise.

    Either message says the reason and names the log.

    However this function is left, no process of the run is left: the group is asked to end, then killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spec.write(folder / "spec.json")
    path, output = Path(spec.events), folder / "output.log"
    if device.nodes > 1:
        logging.getLogger(__name__).warning(
            "waiting for %d nodes at %s; on each of the others run: %s",
            device.nodes, device.rendezvous, shlex.join(command(folder / "spec.json", device)),
        )  # fmt: skip
    start = events.close_last_line(path)
    before = output.stat().st_size if output.exists() else 0
    with output.open("ab") as log:
        process = subprocess.Popen(
            command(folder / "spec.json", device), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True, env=environment(device),
        )  # fmt: skip
    try:
        for event in _follow(path, start, process):
            on_event(event)
    finally:
        end_group(process)
    if process.returncode == 0:
        return
    failure = next((e for e in reversed(events.read(path, start)) if e["kind"] == "failed"), None)
    why = str(failure["why"]) if failure else _unsaid(process.returncode, output, before)
    message = f"training stopped: {why}. The log is {output}; the last good checkpoint is in {folder}"
    raise (PermanentFailure if failure and failure["permanent"] else TrainingFailed)(message)


def _unsaid(code: int, output: Path, start: int) -> str:
    """Why a process ended that had no time to say so: its signal, or the last error in its log."""
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return "the process was killed, most often for want of memory; lower batch_size or loader_workers"
    if code < 0:
        return f"the process ended by signal {signal.Signals(-code).name}"
    with output.open("rb") as log:
        log.seek(start)
        lines = log.read().decode(errors="replace").splitlines()
    said = [match.group(1) for line in lines if (match := _ERROR.match(line))]
    return said[-1][:500] if said else f"the process ended with {code} and said nothing"


def command(spec: Path, device: Device) -> list[str]:
    """The command line: the worker, under ``torchrun`` if there is more than one device or node."""
    worker = [sys.executable, "-m", "biomedica_assets.lib.clip.worker", str(spec)]
    if device.nodes > 1:
        return [*worker, str(device.count), str(device.nodes), device.rendezvous]
    return worker if device.count == 1 else [*worker, str(device.count)]


def environment(device: Device) -> dict[str, str]:
    """Environment of the run: bounded threads, no tokens asked for, no devices where the CPU is meant."""
    wanted = {**os.environ, "OMP_NUM_THREADS": str(device.threads), "TOKENIZERS_PARALLELISM": "false"}
    if device.kind == "cpu":
        wanted["CUDA_VISIBLE_DEVICES"] = ""
    return wanted


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything in its session; returns when the process is gone."""
    for wish in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, wish)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=GRACE_SECONDS)
            if not _group_exists(process.pid):
                return
    process.wait()


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _follow(path: Path, start: int, process: subprocess.Popen[bytes]) -> Iterator[Mapping[str, Any]]:
    """Events as they are appended, until the process has ended and all are read."""
    position, rest = start, b""
    while True:
        ended = process.poll() is not None
        if path.exists():
            with path.open("rb") as handle:
                handle.seek(position)
                fresh = handle.read()
            position += len(fresh)
            *lines, rest = (rest + fresh).split(b"\n")
            yield from (event for line in lines if (event := events.parse(line)) is not None)
        if ended:
            return
        time.sleep(0.2)
