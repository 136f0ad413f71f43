"""Commands around evaluation: which tasks can run on this machine."""

from __future__ import annotations

import argparse

from biomedica_assets import settings
from biomedica_assets.lib.errors import PermanentFailure


def tasks(arguments: argparse.Namespace) -> int:
    """``biomedica tasks``: ready or not, and how to get what is missing."""
    from biomedica_assets import test_sets

    found = test_sets.statuses(settings.load(data_dir=arguments.data_dir))
    if arguments.task and arguments.task not in {status.task.name for status in found}:
        raise PermanentFailure(f"--task {arguments.task!r} is no task; `biomedica tasks` lists them")
    ready = [status for status in found if status.ready]
    for status in sorted(found, key=lambda s: (not s.ready, s.task.suite, s.task.name)):
        mark = "ready  " if status.ready else "missing"
        print(f"{mark} {status.task.name:32} {status.task.suite:14} {status.task.domain:16} {status.task.title}")
        if not status.ready and (arguments.how or arguments.task == status.task.name):
            print(f"        {status.missing}\n        {status.how}")
    print(f"{len(ready)} of {len(found)} tasks are ready; --how says how to get the others")
    return 0
