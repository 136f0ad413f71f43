"""The training process: ``open_clip_train`` with what it lacks put around it.

Started by ``supervise`` as ``python -m biomedica_assets.lib.clip.worker SPEC`` (through ``torchrun`` when there is more
than one device). What is put around ``open_clip_train.main``, which stays as it is:

* it dies with the process that started it;
* every step's loss is looked at on the device, and a loss that is no number stops the run before it is saved;
* the samples of an epoch are counted where they are learned from;
* a checkpoint is written under a temporary name, synced and renamed;
* a stream that breaks off is opened again where it broke; one that stays broken is counted, and above a limit the run
  fails (open_clip_train logs such errors and trains on);
* progress, and what it cost, are appended to a file of JSON lines.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib
import logging
import os
import random
import re
import signal
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from biomedica_assets.lib.clip import accounting, lora, streams
from biomedica_assets.lib.clip.events import Events
from biomedica_assets.lib.clip.spec import FAILED, RunSpec
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.weights import one_line

_LINE = re.compile(
    r"Train Epoch: (?P<epoch>\d+) \[\s*(?P<done>\d+)/(?P<total>\d+).*?Data \(t\): (?P<data>[\d.]+).*?"
    r"Batch \(t\): (?P<batch>[\d.]+), (?P<rate>[\d.e+]+)/s.*?LR: (?P<lr>[\d.e-]+).*?"
    r"Logit Scale: (?P<scale>[\d.]+|nan|inf).*?\bLoss: (?P<loss>[\d.e+-]+|nan|inf)"
)


class LossNotFinite(Exception):
    """The loss became NaN or infinite."""


class EpochShort(Exception):
    """An epoch had fewer batches than it should."""


class LossGuard:
    """Remembers on the device whether a loss was no number, and refuses to save then.

    Asking after every step would wait for the device each time; asking at each log line and before each save costs
    nothing.
    """

    def __init__(self) -> None:
        self._bad: Any = None
        self.batches = 0

    def watch(self, backward: Callable[..., Any]) -> Callable[..., Any]:
        """``backward`` that looks at the loss first, and counts the batches."""

        def watched(total_loss: Any, scaler: Any) -> Any:
            self.batches += 1
            bad = ~total_loss.detach().isfinite()
            self._bad = bad if self._bad is None else self._bad | bad
            return backward(total_loss, scaler)

        return watched

    def check(self, content: object = None) -> None:
        """Raise if any loss so far was no number, or a weight about to be saved is none.

        The weights tell what another device's loss, or the last update of an epoch, has done.
        """
        if self._bad is not None and bool(self._bad):
            raise LossNotFinite("the loss is not a finite number; lower the learning rate or use fp32 or bf16")
        weights: Any = cast("dict[str, Any]", content).get("state_dict", {}) if isinstance(content, dict) else {}
        for name, tensor in weights.items():
            if not bool(tensor.isfinite().all()):
                raise LossNotFinite(f"the weights {name} are not finite numbers; lower the learning rate")


class ProgressHandler(logging.Handler):
    """Turns open_clip_train's log lines into events."""

    def __init__(self, events: Events, guard: LossGuard) -> None:
        super().__init__()
        self._events, self._guard = events, guard

    def emit(self, record: logging.LogRecord) -> None:
        """Write an event for a line that tells progress, and stop the run if a loss was no number.

        An exception raised here is not caught by ``logging`` and ends the training loop that logged.
        """
        match = _LINE.search(record.getMessage())
        if match:
            self._guard.check()
            number = {name: float(value) for name, value in match.groupdict().items()}
            self._events.write(
                kind="step", epoch=int(number["epoch"]), samples=int(number["done"]), of=int(number["total"]),
                data_seconds=number["data"], batch_seconds=number["batch"], rate=number["rate"],
                learning_rate=number["lr"], logit_scale=number["scale"], loss=number["loss"],
            )  # fmt: skip


def durable_save(save: Callable[..., Any], guard: LossGuard) -> Callable[..., Any]:
    """``torch.save`` that checks the run first and leaves the old file or the new one, whatever happens."""

    def saved(content: Any, target: Any, *args: Any, **kwargs: Any) -> None:
        if not isinstance(target, str | os.PathLike):
            save(content, target, *args, **kwargs)
            return
        guard.check(content)
        with atomic.replacing(Path(os.fspath(cast("str", target)))) as temporary:
            save(content, temporary, *args, **kwargs)

    return saved


def install(spec: RunSpec) -> None:
    """Put the guards around ``open_clip_train``, and make an epoch the same whether or not a run was resumed at it."""
    open_clip: Any = importlib.import_module("open_clip")
    data: Any = importlib.import_module("open_clip_train.data")
    main_module: Any = importlib.import_module("open_clip_train.main")
    train: Any = importlib.import_module("open_clip_train.train")
    torch: Any = importlib.import_module("torch")

    events, guard = Events(Path(spec.events)), LossGuard()
    train.backward = guard.watch(train.backward)
    torch.save = durable_save(torch.save, guard)
    epochs: list[Any] = []

    class SharedEpoch(data.SharedEpoch):  # pyright: ignore[reportUntypedBaseClass]
        """open_clip_train's, remembered: loader workers are forked from here and read the epoch through it."""

        def __init__(self, epoch: int = 0) -> None:
            super().__init__(epoch)  # pyright: ignore[reportUnknownMemberType]
            epochs.append(self)

    def samples_of(src: Iterable[dict[str, Any]], handler: object = None) -> Iterator[streams.Sample]:
        epoch, loader = epochs[0].get_value(), torch.utils.data.get_worker_info()
        place = f"{spec.seed}:{epoch}:{os.environ.get('RANK', '0')}:{loader.id if loader else 0}"
        _seed(torch, place)
        urls = (str(stream["url"]).replace("--epoch 0", f"--epoch {epoch}") for stream in src)
        samples = streams.samples_of_streams(
            urls, streams.read, retries=spec.stream_retries, most_broken=spec.most_broken_streams, events=events
        )
        return streams.shuffled(samples, spec.sample_buffer, place)

    def one_epoch(model: Any, loaders: Any, loss: Any, epoch: int, *args: Any, **kwargs: Any) -> Any:
        _seed(torch, f"{spec.seed}:{epoch}:{os.environ.get('RANK', '0')}:main")
        before, began, energy = guard.batches, time.monotonic(), accounting.energy_joules()
        train.train_one_epoch(model, loaders, loss, epoch, *args, **kwargs)
        options: Any = args[-1]
        due = loaders["train"].dataloader.num_batches // options.accum_freq * options.accum_freq
        after = accounting.energy_joules()
        _count(
            events, guard.batches - before, due, options, epoch=epoch, seconds=time.monotonic() - began,
            energy_joules=round(after - energy, 1) if energy is not None and after is not None else None,
        )  # fmt: skip

    data.SharedEpoch, data.tarfile_to_samples_nothrow = SharedEpoch, samples_of
    data._SAMPLE_SHUFFLE_SIZE = data._SAMPLE_SHUFFLE_INITIAL = 1  # ``streams.shuffled`` does it
    main_module.train_one_epoch = one_epoch
    parallel: Any = torch.nn.parallel
    parallel.DistributedDataParallel = _on_any_device(parallel.DistributedDataParallel)
    for folder in spec.model_folders:
        open_clip.add_model_config(folder)
    if spec.fused:
        main_module.optim = types.SimpleNamespace(AdamW=functools.partial(torch.optim.AdamW, fused=True))
    if spec.lora_rank:
        main_module.create_model_and_transforms = lora.added_to(
            main_module.create_model_and_transforms, spec.lora_rank, spec.lora_alpha
        )
    if int(os.environ.get("RANK", "0")) == 0:
        logging.getLogger().addHandler(ProgressHandler(events, guard))


def _count(events: Events, batches: int, due: int, options: Any, **facts: Any) -> None:
    """Tell how many samples an epoch has trained on, over all devices, beside other facts.

    A loader worker whose streams hold less than one batch gives none at all, without a word.
    """
    if batches < due:
        raise EpochShort(
            f"epoch {facts['epoch']} had {batches} of {due} batches of {options.batch_size}: a loader worker's streams "
            "hold less than a batch; lower batch_size or loader_workers"
        )
    if options.rank == 0:
        events.write(kind="epoch", samples=batches * options.batch_size * options.world_size, **facts)


def _on_any_device(wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """``DistributedDataParallel`` also on the CPU, where it wants no list of devices and open_clip_train gives one."""

    def wrapped(model: Any, device_ids: list[Any] | None = None, **kwargs: Any) -> Any:
        on_cpu = device_ids is not None and str(device_ids[0]) == "cpu"
        return wrapper(model, device_ids=None if on_cpu else device_ids, **kwargs)

    return wrapped


def _seed(torch: Any, place: str) -> None:
    """Seed what augmentation draws from, by epoch and place, so that a resumed epoch draws what it would have drawn."""
    number = int.from_bytes(hashlib.sha256(place.encode()).digest()[:7], "big")
    torch.manual_seed(number)
    random.seed(number)


def die_with_parent() -> None:
    """Ask the kernel to end this process when the one that started it ends, however that happens."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() == 1:
            os._exit(1)


def launch(spec: str, devices: int, nodes: int = 1, rendezvous: str = "") -> int:
    """Train on several devices: ``torchrun`` in this process, so that it too dies with the one that started it.

    Args:
        spec: file of the run.
        devices: of this node.
        nodes: machines that train together; this function is called on each of them.
        rendezvous: HOST:PORT where they meet.
    """
    die_with_parent()
    torchrun: Any = importlib.import_module("torch.distributed.run")
    # Nodes of one run meet under its name: two runs at one place do not mix.
    name = hashlib.sha256(str(Path(spec).resolve()).encode()).hexdigest()[:16]
    meet = (
        ["--standalone", "--nnodes=1"]
        if nodes == 1
        else [f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={rendezvous}", f"--rdzv-id={name}"]
    )
    torchrun.main([*meet, f"--nproc-per-node={devices}", "-m", "biomedica_assets.lib.clip.worker", spec])
    return 0


def main(argv: list[str]) -> int:
    """Train as the specification says; exit codes as in ``spec``.

    ``SPEC`` in this process, ``SPEC N`` on N devices, ``SPEC N NODES HOST:PORT`` on N devices of each of several nodes.
    """
    if len(argv) == 2:
        return launch(argv[0], int(argv[1]))
    if len(argv) == 4:
        return launch(argv[0], int(argv[1]), int(argv[2]), argv[3])
    spec = RunSpec.read(Path(argv[0]))
    die_with_parent()
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(max(1, spec.threads))
    install(spec)
    train: Any = importlib.import_module("open_clip_train.main").main

    events = Events(Path(spec.events))
    try:
        code = train(list(spec.arguments))
    except (LossNotFinite, EpochShort, streams.StreamsBroken) as error:
        # StreamsBroken may be over in a minute (a network); the other two would come again.
        events.write(kind="failed", why=str(error), permanent=not isinstance(error, streams.StreamsBroken))
        return FAILED
    except Exception as error:
        # The traceback goes to the log, among what torch prints; the reason goes to whoever waits for it.
        events.write(kind="failed", why=reason(error), permanent=False)
        raise
    if int(os.environ.get("RANK", "0")) == 0:
        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else _peak_rss()
        events.write(kind="done", peak_bytes=peak, code=code or 0)
    return int(code or 0)


def reason(error: Exception) -> str:
    """An error of a library in one line, with what to do where that is known."""
    text = f"{type(error).__name__}: {one_line(error)}"
    if "out of memory" in text.lower() or isinstance(error, MemoryError):
        text += " (lower batch_size, raise accumulate, or set grad_checkpointing: true in the profile)"
    return text


def _peak_rss() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
