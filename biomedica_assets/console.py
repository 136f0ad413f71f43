"""What the command line draws: bars on a terminal, a line now and then elsewhere.

Belongs here: progress and tables for people. What is computed comes from ``automation`` and ``lib``.
"""

import contextlib
import logging
import sys
from collections.abc import Generator, Sequence

import rich.console
import rich.progress

from biomedica_assets.automation.planner import Held, Wave
from biomedica_assets.automation.runner import Batch, Listener
from biomedica_assets.lib.progress import LogProgress, Progress
from biomedica_assets.resources import Progressing


@contextlib.contextmanager
def bar(console: rich.console.Console) -> Generator[Progress]:
    """One bar for work outside a run."""
    with _bars(console) as bars:
        yield _StepBar(bars)


def _bars(console: rich.console.Console) -> rich.progress.Progress:
    return rich.progress.Progress(
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn("{task.description}", table_column=rich.progress.Column(min_width=44)),
        rich.progress.BarColumn(bar_width=24),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TextColumn("{task.fields[rate]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class Bars(Progressing, Listener):
    """Two bars: the partitions of the wave, and the step that is running.

    Off a terminal (a pipe, a CI log) bars would be noise: there a line is printed per wave and per failure, and steps
    that take longer than ten seconds log their rate.
    """

    def __init__(self) -> None:
        """Draws on standard error, so that standard output stays clean for results."""
        self.console = rich.console.Console(stderr=True)
        self._bars = _bars(self.console)
        self._wave = self._bars.add_task("", total=None, rate="", visible=False)
        self._step = _StepBar(self._bars)
        self._partitions = 0
        self._told: set[tuple[str, Held]] = set()

    def __enter__(self) -> "Bars":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def open(self, log: logging.Logger) -> Progress:
        """The bar of the running step, or log lines off a terminal."""
        if self.console.is_terminal:
            return self._step
        plain = logging.getLogger("biomedica")
        if not plain.handlers:
            plain.addHandler(logging.StreamHandler(sys.stderr))
            plain.setLevel(logging.INFO)
            plain.propagate = False
        return LogProgress(plain)

    def wave(self, wave: Wave, partitions: Sequence[str | None]) -> None:
        """A wave begins."""
        self._partitions = len(partitions)
        names = ", ".join(wave.assets)
        unit = {"chunk": "chunks", "shelf": "shelves", "recipe": "recipes"}.get(wave.partitioning, "")
        self.console.print(f"[bold]{names}[/]" + (f"  ({len(partitions)} {unit})" if unit else ""), highlight=False)
        self._bars.reset(self._wave, total=len(partitions), visible=bool(unit), description=unit, rate="")

    def batch(self, batch: Batch) -> None:
        """A run begins."""
        what = batch.assets[0] if len(batch.assets) == 1 else f"{batch.assets[0]} … {batch.assets[-1]}"
        self._bars.update(self._wave, description=f"{batch.partition or ''} {what}".strip())

    def waiting(self, batch: Batch, message: str) -> None:
        """Another process makes this partition."""
        self.console.print(f"[yellow]waiting[/]: {message.partition(';')[0]}", highlight=False, soft_wrap=True)

    def partition_done(self, partition: str | None) -> None:
        """A partition is current, or its run failed."""
        self._bars.advance(self._wave)

    def held(self, asset: str, partition: str | None, held: Held) -> None:
        """A partition waits for something from outside; what waits with it is told when all is done."""
        if held.cure and (asset, held) not in self._told:
            self._told.add((asset, held))
            self.console.print(f"[yellow]waiting[/] {asset} for {held.what}", highlight=False, soft_wrap=True)

    def failure(self, batch: Batch, message: str) -> None:
        """A run failed."""
        where = f" of {batch.partition}" if batch.partition else ""
        self.console.print(f"[red]failed[/] {batch.assets[0]}{where}: {message}", highlight=False, markup=True)

    def stopped(self, batch: Batch, failures: int) -> None:
        """An asset failed so often in the same way that it is left alone."""
        self.console.print(
            f"[red]stopped[/] {batch.assets[0]}: {failures} partitions failed alike; its others are not tried",
            highlight=False,
            soft_wrap=True,
        )


class _StepBar:
    """``Progress`` on one bar that is shown while an activity runs."""

    def __init__(self, bars: rich.progress.Progress) -> None:
        self._bars = bars
        self._task = bars.add_task("", total=None, rate="", visible=False)
        self._unit = ""

    def start(self, what: str, total: int | None, unit: str) -> None:
        self._unit = unit
        self._bars.reset(self._task, total=total, description=f"  {what}", visible=True, rate="")

    def advance(self, n: int = 1) -> None:
        self._bars.advance(self._task, n)
        speed = self._bars.tasks[-1].speed
        self._bars.update(self._task, rate=f"{speed:,.0f} {self._unit}/s" if speed else "")

    def finish(self) -> None:
        self._bars.update(self._task, visible=False)
