"""Processes that execute runs side by side: each has the graph open and takes one run after the other.

Belongs here: starting them when there is enough to do, giving them runs, noticing that one died, ending them. What is
run when is the walk's (``runner``). A process costs 3 to 4 seconds until it has imported Dagster and the graph, so the
same ones serve to the end.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import multiprocessing
import multiprocessing.connection
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

import psutil

from biomedica_assets.automation.ran import Batch, Ran
from biomedica_assets.lib.compute.local import available_cores
from biomedica_assets.lib.embed.registry import TEXTURE
from biomedica_assets.lib.errors import BiomedicaError
from biomedica_assets.lib.tables import EMBEDDINGS, PAIR_SCORES
from biomedica_assets.settings import Settings

MOST, MOST_ON_A_SERVER = 8, 64
"""Runs at once unless told otherwise: Dagster's SQLite carries a handful, a Postgres server more."""
BYTES_EACH = 2 << 30
"""Memory that must be free for each: a chunk's step takes 0.5 to 1.5 GB at its peak."""
_GOODBYE = 2.0
"""Seconds in which a process that is told to end records its run as canceled."""
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


def jobs_for(wanted: int, most: int = MOST) -> int:
    """How many runs at once; 0 asks for half as many as there are cores, as memory and ``most`` allow.

    Half, because steps use several cores themselves, and the process that plans wants one.
    """
    room = psutil.virtual_memory().available // BYTES_EACH
    return wanted or max(1, min(available_cores() // 2, room, most))


def most_at_once(values: Settings) -> int:
    """How many runs at once Dagster's records carry."""
    return MOST_ON_A_SERVER if values.postgres else MOST


@dataclasses.dataclass(slots=True)
class _Hand:
    """One process, the pipe to it, and what it works on."""

    process: Any
    pipe: multiprocessing.connection.Connection[Any, Any]
    batch: Batch | None = None


class Crew:
    """The processes of one walk."""

    def __init__(self, values: Settings, jobs: int, tags: Mapping[str, str] | None = None) -> None:
        """Args: values: settings of the data directory; jobs: how many processes; tags: of every run."""
        self.jobs = jobs
        self.light = frozenset(
            {
                *({EMBEDDINGS.name} if values.encoder == TEXTURE else ()),
                *(() if values.pair_model else {PAIR_SCORES.name}),
            }
        )
        """Assets of the pool for cards that need none."""
        self._values, self._tags = values, dict(tags or {})
        self._hands: list[_Hand] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_there(self) -> bool:
        """Whether any process was started."""
        return bool(self._hands)

    def begin(self, batch: Batch) -> None:
        """Give a run to a process that has none; one must be free."""
        hand = next((hand for hand in self._hands if hand.batch is None), None) or self._hire()
        hand.batch = batch
        hand.pipe.send((batch, self._tags))

    def wait(self) -> tuple[Batch, Ran]:
        """Wait until a run ends; one must be under way. A process that died has failed."""
        working = {hand.pipe: hand for hand in self._hands if hand.batch is not None}
        ready = multiprocessing.connection.wait([*working])
        hand = working[next(pipe for pipe in working if pipe in ready)]
        batch, hand.batch = hand.batch, None
        if batch is None:
            raise AssertionError("only hands with a batch are waited for")
        try:
            return batch, hand.pipe.recv()
        except (EOFError, OSError):
            self._hands.remove(hand)
            hand.process.join()
            return batch, Ran(
                ok=False, at=batch.assets[0], message=f"{batch.assets[0]}: {_ended(hand.process.exitcode)}"
            )

    def close(self) -> None:
        """End all processes: those without a run leave, the others cancel theirs."""
        for hand in self._hands:
            with contextlib.suppress(OSError):
                hand.pipe.close()
            if hand.batch is not None:
                hand.process.terminate()
        for hand in self._hands:
            hand.process.join(_GOODBYE)
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
        self._hands.clear()

    def _hire(self) -> _Hand:
        # spawn: forking a process that holds Polars' or torch's threads deadlocks.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        given = self._values.model_dump(mode="json", exclude_none=True)
        process = context.Process(target=serve, args=(theirs, given, self.jobs), name="biomedica run", daemon=False)
        process.start()
        theirs.close()
        hand = _Hand(process, ours)
        self._hands.append(hand)
        return hand


def serve(pipe: multiprocessing.connection.Connection[Any, Any], given: dict[str, Any], jobs: int) -> None:
    """A process of the crew: run what comes through the pipe until it is closed."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_DIES_WITH_PARENT, signal.SIGTERM)
    from biomedica_assets import definitions, instance
    from biomedica_assets.automation.ran import ran
    from biomedica_assets.automation.runs import execute
    from biomedica_assets.partitions import follow
    from biomedica_assets.stopping import STOP, Stopped

    values = Settings(**given)
    with contextlib.suppress(Stopped), STOP.watching():
        try:
            with instance.open_instance(values) as records:
                job = definitions.build(share_of(values, jobs)).resolve_implicit_global_asset_job_def()

                def do(batch: Batch, tags: Mapping[str, str]) -> Ran:
                    follow(values.data_dir)
                    return ran(execute(job, records, assets=batch.assets, partition=batch.partition, tags=tags))

                answer(pipe, do)
        except Exception as error:  # noqa: BLE001 - this process has nobody to tell but the one that waits for a run
            cannot = f"a process for runs cannot start: {_words(error)}"
            answer(pipe, lambda batch, _: Ran(ok=False, at=batch.assets[0], message=cannot))


def answer(
    pipe: multiprocessing.connection.Connection[Any, Any], do: Callable[[Batch, Mapping[str, str]], Ran]
) -> None:
    """Do what comes through a pipe, until it is closed. What goes wrong is the answer, and the next one is taken.

    Args:
        pipe: brings batches with their tags, takes what came of each.
        do: one run.
    """
    while True:
        try:
            batch, tags = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            told = do(batch, tags)
        except Exception as error:  # noqa: BLE001 - Dagster's records may be locked or full: words, not "ended with code 1"
            told = Ran(ok=False, at=batch.assets[0], message=f"{batch.assets[0]}: {_words(error)}")
        with contextlib.suppress(OSError):  # the walk ended meanwhile; the pipe is closed, and the next look says so
            pipe.send(told)


def _words(error: Exception) -> str:
    """What an error says, on one line, with its kind where it is not one that was written for people."""
    said = " ".join(str(error).split())
    return said if isinstance(error, BiomedicaError) else f"{type(error).__name__}: {said}"


def share_of(values: Settings, jobs: int) -> Settings:
    """Settings for one of several processes: its share of cores and of requests to the source."""
    workers = max(1, (values.workers or available_cores()) // jobs)
    return values.model_copy(update={"workers": workers, "fetch_concurrency": max(1, values.fetch_concurrency // jobs)})


def _ended(code: int | None) -> str:
    """Why a process that ended in the middle of a run did."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "; memory may have run out: give fewer --jobs" if name == "SIGKILL" else ""
        return f"the process of the run was ended by {name}{hint}"
    return f"the process of the run ended with code {code}"
