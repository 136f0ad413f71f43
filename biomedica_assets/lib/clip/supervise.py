"""Run the training process and keep it on a leash: follow its events, end the whole group, say why it failed."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from biomedica_assets.lib.clip.spec import RunSpec
from biomedica_assets.lib.compute.local import available_cores
from biomedica_assets.lib.errors import BiomedicaError, PermanentFailure

GRACE_SECONDS = 10.0


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
    """

    kind: str
    count: int = 1
    loader_workers: int = 2
    threads: int = 2


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
        TrainingFailed: the process failed otherwise; the message ends with the last lines of its output.

    However this function is left, no process of the run is left: the group is asked to end, then killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spec.write(folder / "spec.json")
    events, output = Path(spec.events), folder / "output.log"
    start = events.stat().st_size if events.exists() else 0
    with output.open("ab") as log:
        process = subprocess.Popen(
            command(folder / "spec.json", device), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True, env=environment(device),
        )  # fmt: skip
    try:
        for event in _follow(events, start, process):
            on_event(event)
    finally:
        end_group(process)
    if process.returncode == 0:
        return
    if failure := _last_failure(events, start):
        if failure["permanent"]:
            raise PermanentFailure(f"training stopped: {failure['why']}. The last good checkpoint is in {folder}")
        raise TrainingFailed(f"training stopped: {failure['why']}. See `broken` events in {events}")
    tail = "\n".join(output.read_text(errors="replace").splitlines()[-12:])
    raise TrainingFailed(f"the training process ended with {process.returncode}; its last words:\n{tail}")


def command(spec: Path, device: Device) -> list[str]:
    """The command line: the worker, under ``torchrun`` if there is more than one device."""
    worker = [sys.executable, "-m", "biomedica_assets.lib.clip.worker", str(spec)]
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


def _follow(events: Path, start: int, process: subprocess.Popen[bytes]) -> Iterator[Mapping[str, Any]]:
    """Events as they are appended, until the process has ended and all are read."""
    position, rest = start, b""
    while True:
        ended = process.poll() is not None
        if events.exists():
            with events.open("rb") as handle:
                handle.seek(position)
                fresh = handle.read()
            position += len(fresh)
            *lines, rest = (rest + fresh).split(b"\n")
            for line in lines:
                yield json.loads(line)
        if ended:
            return
        time.sleep(0.2)


def _last_failure(events: Path, start: int) -> Mapping[str, Any] | None:
    if not events.exists():
        return None
    told = [json.loads(line) for line in events.read_bytes()[start:].splitlines()]
    return next((event for event in reversed(told) if event["kind"] == "failed"), None)
