"""Materialise outside the UI what the UI would: the same job, the same instance.

Belongs here: walking the planner's waves, running each batch through Dagster's implicit asset job, in this process or
side by side in those of a crew, and telling what happened. What is current is not run again.
"""

import contextlib
import dataclasses
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import dagster as dg

from biomedica_assets.automation.crew import Crew
from biomedica_assets.automation.jobs import check_everything
from biomedica_assets.automation.planner import Held, Planner, Wave
from biomedica_assets.automation.ran import Batch, Ran, ran, why
from biomedica_assets.automation.runs import execute
from biomedica_assets.lib.store import lease
from biomedica_assets.partitions import follow

ROOT = "pmc_inventory"
"""Always asked first: only the source knows whether something changed there."""
_WALK = "walk"
"""Name of the lease by which two walks keep out of each other's partitions, also between two steps."""
_LOOK_AGAIN = 0.5
"""Seconds between two looks at partitions that are all being made by others."""
SAME_FAILURES = 3
"""Partitions of an asset that fail alike before the others are left alone."""
_VARYING = re.compile(r"\S*[/\d]\S*")
"""Words of a message that differ from partition to partition: keys, paths, counts."""
_SHORT = (dg.IntMetadataValue, dg.TextMetadataValue)
WORTH = 20.0
"""Seconds of work from which a crew is worth its start, which takes each of its processes 3 to 4 seconds."""


@dataclasses.dataclass(slots=True)
class Outcome:
    """What a walk over the graph did.

    ``waiting`` holds what cannot be made before something comes from outside; ``stopped`` the assets that were given up
    and in how many partitions they had failed; ``left`` says that the walk stopped at its limit with work to do.
    """

    runs: int = 0
    materialised: list[tuple[str, str | None]] = dataclasses.field(default_factory=list)
    failed: dict[Batch, str] = dataclasses.field(default_factory=dict)
    waiting: dict[tuple[str, str | None], Held] = dataclasses.field(default_factory=dict)
    stopped: dict[str, int] = dataclasses.field(default_factory=dict)
    left: bool = False
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed


def together(outcomes: Iterable[Outcome]) -> Outcome:
    """Several walks as one; what failed in one and was made in a later one has not failed."""
    whole = Outcome()
    for outcome in outcomes:
        whole.runs += outcome.runs
        whole.materialised += outcome.materialised
        made = set(outcome.materialised)
        kept = {b: why for b, why in whole.failed.items() if not {(a, b.partition) for a in b.assets} <= made}
        whole.failed = kept | outcome.failed
        whole.waiting = {at: held for at, held in whole.waiting.items() if at not in made} | outcome.waiting
        whole.stopped |= outcome.stopped
        whole.left |= outcome.left
        whole.seconds += outcome.seconds
    return whole


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What a check of the whole data directory found; ``facts`` are its numbers and the command that mends it."""

    check: str
    passed: bool
    facts: dict[str, str]


class Listener:
    """What a caller is told while the runner works; every method may be overridden."""

    def wave(self, wave: Wave, partitions: Sequence[str | None]) -> None:
        """A wave begins; ``partitions`` are the ones that may be worked on."""

    def batch(self, batch: Batch) -> None:
        """A run begins."""

    def partition_done(self, partition: str | None) -> None:
        """A partition is current, or its run failed."""

    def waiting(self, batch: Batch, message: str) -> None:
        """Another process makes this partition: the walk goes on with others and comes back to it."""

    def held(self, asset: str, partition: str | None, held: Held) -> None:
        """A partition waits for something from outside and is not begun."""

    def failure(self, batch: Batch, message: str) -> None:
        """A run failed; the walk goes on with the other partitions."""

    def stopped(self, batch: Batch, failures: int) -> None:
        """The batch's asset failed so often in the same way that the walk leaves it alone."""


def walk(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    planner: Planner,
    *,
    select: Iterable[str] | None = None,
    chunks: Sequence[str] | None = None,
    listener: Listener | None = None,
    prune: Callable[[Wave, str | None], bool] | None = None,
    most_runs: int | None = None,
    tags: Mapping[str, str] | None = None,
    keep_going: bool = False,
    crew: Crew | None = None,
) -> Outcome:
    """Make everything that is out of date, wave by wave.

    Args:
        definitions: the graph with its resources.
        instance: Dagster instance that records the runs.
        planner: says what is out of date.
        select: assets to consider; None takes all.
        chunks: chunk keys to consider; None takes all that the inventory lists. Shelves, recipes and unpartitioned
            assets are not limited by it.
        listener: told about progress.
        prune: returns True for a (wave, partition) that is to be left alone.
        most_runs: stop after so many runs; None goes on to the end.
        tags: of every run.
        keep_going: go on with an asset that failed in ``SAME_FAILURES`` partitions in the same way.
        crew: processes in which partitions are made side by side; None makes one after the other in this one.

    Returns:
        What was run, what was made and what failed. A failed partition does not stop the others, unless several failed
        in the same way; what depends on it is not made, because it stays out of date.
    """
    told, began = listener or Listener(), time.monotonic()
    assets = list(select) if select is not None else planner.assets
    walking = _Walk(definitions, instance, planner, told, prune, most_runs, tags, keep_going=keep_going, crew=crew)
    follow(planner.data_dir)
    if ROOT in assets:
        walking.root()
        follow(planner.data_dir)
        assets = [asset for asset in assets if asset != ROOT]
    for wave in planner.waves(assets):
        keys = planner.partitions(wave.partitioning)
        if wave.partitioning == "chunk" and chunks is not None:
            keys = [key for key in keys if key in set(chunks)]
        told.wave(wave, keys)
        walking.wave(wave, keys)
        if walking.outcome.left:
            break
    walking.outcome.seconds = time.monotonic() - began
    return walking.outcome


class _Walk:
    """One walk: what it runs through, and what came of it so far."""

    def __init__(
        self,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        planner: Planner,
        told: Listener,
        prune: Callable[[Wave, str | None], bool] | None,
        most_runs: int | None,
        tags: Mapping[str, str] | None,
        *,
        keep_going: bool,
        crew: Crew | None,
    ) -> None:
        self._job = definitions.resolve_implicit_global_asset_job_def()
        self._instance, self._planner, self._told, self._prune = instance, planner, told, prune
        self._most_runs, self._tags, self._crew = most_runs, tags, crew
        self._keep_going, self._alike = keep_going, Counter[tuple[str, str]]()
        self._blocked: set[str] = set()
        self._waited: set[str | None] = set()
        self.outcome = Outcome()

    def root(self) -> None:
        """Ask the source; another run that does so comes first."""
        batch = Batch(tuple(sorted(self._planner.together(ROOT))), None)
        while not self._alone(batch, lambda: batch):
            time.sleep(_LOOK_AGAIN)

    def wave(self, wave: Wave, keys: Sequence[str | None]) -> None:
        """Make what is out of date of these partitions; those that another run works on come last."""
        left, busy = deque(keys), list[str | None]()
        pace = 0.0  # seconds that the last partition with work to do took
        while left or busy:
            crew = self._crew if self._crew is not None and self._crew.jobs > 1 and len(left) > 1 else None
            if crew is not None and (crew.is_there or pace * len(left) > WORTH):
                self._side_by_side(crew, wave, [*left, *busy])
                return
            if not left:
                time.sleep(_LOOK_AGAIN)
                self._planner.forget()  # another run writes
                left.extend(busy)
                busy.clear()
            key, runs, began = left.popleft(), self.outcome.runs, time.monotonic()
            if not self._partition(wave, key):
                busy.append(key)
            elif self.outcome.runs > runs:
                pace = time.monotonic() - began

    def _side_by_side(self, crew: Crew, wave: Wave, keys: Sequence[str | None]) -> None:
        """As ``wave``, several partitions at once; the lease of each is held here while a process makes it."""
        left, busy = deque(keys), list[str | None]()
        going: dict[Batch, contextlib.ExitStack] = {}
        try:
            while left or going or busy:
                for _ in range(len(left)):
                    if len(going) == crew.jobs or self.outcome.left:
                        break
                    self._begin(crew, wave, left, busy, going)
                if going:
                    batch, came = crew.wait()
                    going.pop(batch).close()
                    if not self._settle(batch, came):
                        busy.append(batch.partition)
                    elif batch in self.outcome.failed:
                        self._finish(wave, batch.partition)
                    else:
                        left.appendleft(batch.partition)
                elif self.outcome.left:
                    return
                elif busy and not left:
                    time.sleep(_LOOK_AGAIN)
                    self._planner.forget()  # another run writes
                    left.extend(busy)
                    busy.clear()
        finally:
            for leases in going.values():
                leases.close()

    def _begin(
        self,
        crew: Crew,
        wave: Wave,
        left: deque[str | None],
        busy: list[str | None],
        going: dict[Batch, contextlib.ExitStack],
    ) -> None:
        """Begin the next run of the next partition; one that wants a card waits while another has it."""
        key = left.popleft()
        if (batch := self._next(wave, key)) is None:
            self._finish(wave, key)
            return
        if self._most_runs is not None and self.outcome.runs + len(going) >= self._most_runs:
            left.appendleft(key)
            self.outcome.left = True
            return
        if any(self._planner.on_card(each.assets, crew.light) for each in going) and self._planner.on_card(
            batch.assets, crew.light
        ):
            left.append(key)
            return
        if (taken := self._take(batch, lambda: self._next(wave, key))) is None:
            busy.append(key)
            return
        leases, now = taken
        if now is None:
            leases.close()
            self._finish(wave, key)
            return
        going[now] = leases
        self._told.batch(now)
        crew.begin(now)

    def _partition(self, wave: Wave, key: str | None) -> bool:
        """False if another run works on the partition: it may be current afterwards."""
        while not self.outcome.left and (batch := self._next(wave, key)) is not None:
            if self._most_runs is not None and self.outcome.runs >= self._most_runs:
                self.outcome.left = True
                return True
            if not self._alone(batch, lambda: self._next(wave, key)):
                return False
            if any(failed.partition == key and {*failed.assets} & {*wave.assets} for failed in self.outcome.failed):
                break
        self._finish(wave, key)
        return True

    def _finish(self, wave: Wave, key: str | None) -> None:
        """Nothing more is made of a partition."""
        self._hold(wave, key)
        self._told.partition_done(key)

    def _hold(self, wave: Wave, key: str | None) -> None:
        """Note what of a partition waits for something from outside."""
        if self._prune is not None and self._prune(wave, key):
            return
        for asset in wave.assets:
            if (held := self._planner.waits_for(asset, key)) is not None:
                self.outcome.waiting[asset, key] = held
                self._told.held(asset, key, held)

    def _next(self, wave: Wave, key: str | None) -> Batch | None:
        if self._prune is not None and self._prune(wave, key):
            return None
        names = self._planner.next_batch([asset for asset in wave.assets if asset not in self._blocked], key)
        return Batch(tuple(names), key) if names else None

    def _alone(self, batch: Batch, again: Callable[[], Batch | None]) -> bool:
        """Run what is to be run of a partition unless another process works on it, which says False."""
        if (taken := self._take(batch, again)) is None:
            return False
        leases, now = taken
        with leases:
            if now is None:
                return True
            self._told.batch(now)
            return self._settle(
                now,
                ran(execute(self._job, self._instance, assets=now.assets, partition=now.partition, tags=self._tags)),
            )

    def _take(
        self, batch: Batch, again: Callable[[], Batch | None]
    ) -> tuple[contextlib.ExitStack, Batch | None] | None:
        """The lease of a partition and what is to be run of it now; None while another process works on it."""
        key, root = batch.partition, self._planner.data_dir
        with contextlib.ExitStack() as leases:
            try:
                leases.enter_context(lease.hold(root, [_WALK], key))
                with lease.hold(root, batch.assets, key):
                    pass  # a run of the UI takes no more than the leases of its steps
            except lease.PartitionBusy as error:
                if key not in self._waited:
                    self._waited.add(key)
                    self._told.waiting(batch, str(error))
                return None
            self._planner.forget()  # another walk may have made it a moment ago
            return leases.pop_all(), again()
        return None

    def _settle(self, batch: Batch, came: Ran) -> bool:
        """Note what came of a run; False if another process began to make the partition meanwhile."""
        self._planner.forget()
        self.outcome.runs += 1
        self.outcome.materialised += [(asset, batch.partition) for asset in batch.assets if asset in came.made]
        if came.ok:
            return True
        if came.taken:
            return False
        for asset, waiting in came.waits():
            self._planner.learn(asset, batch.partition, waiting)
        if came.only_waits:
            return True
        self.outcome.failed[batch] = came.message
        self._told.failure(batch, came.message)
        if batch.partition is None and ROOT not in batch.assets:
            self._blocked |= self._planner.descendants(batch.assets, needing=True)
        self._give_up(batch, came)
        return True

    def _give_up(self, batch: Batch, came: Ran) -> None:
        """Leave an asset alone that failed in the same way again and again: the cause is not in its partitions."""
        at = came.at or batch.assets[0]
        alike = (at, _VARYING.sub("", came.message))
        self._alike[alike] += 1
        if batch.partition is None or self._keep_going or self._alike[alike] < SAME_FAILURES:
            return
        mine = {at} & {*batch.assets} or {*batch.assets}
        self.outcome.stopped |= dict.fromkeys(mine, self._alike[alike])
        failed = {one for asset in mine for one in self._planner.together(asset)}
        self._blocked |= self._planner.descendants(failed, needing=True)
        self._told.stopped(batch, self._alike[alike])


def conclude(definitions: dg.Definitions, instance: dg.DagsterInstance) -> list[Verdict]:
    """Ask the checks of the whole data directory; called when a walk is over, since before that much is not made yet.

    The verdicts are recorded in the instance, where the UI shows them. A check that breaks has not passed.
    """
    result = execute(definitions.resolve_job_def(check_everything.name), instance)
    found = [
        Verdict(
            evaluation.check_name,
            evaluation.passed,
            {name: str(value.value) for name, value in evaluation.metadata.items() if isinstance(value, _SHORT)},
        )
        for evaluation in result.get_asset_check_evaluations()
    ]
    broken = [] if result.success else [Verdict(check_everything.name, False, {"error": why(result)})]
    return sorted([*found, *broken], key=lambda verdict: verdict.check)
