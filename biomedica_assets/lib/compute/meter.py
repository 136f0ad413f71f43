"""What a piece of work costs: wall time, processor time, and the most memory it held."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import resource
import sys
import time
from pathlib import Path

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
_RESET_PEAK = "5"
"""What /proc/self/clear_refs takes for "begin the peak anew" (man 5 proc)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of work took.

    Attributes:
        seconds: wall time.
        cpu_seconds: processor time of this process and of its children that ended meanwhile, such as a pool's.
        peak_bytes: the most memory that this process held (its children's is not in it); 0 where nobody says.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


class Meter:
    """Measures from one ``lap`` to the next. Other threads of the process count as well."""

    def __init__(self) -> None:
        """Begin the first lap."""
        self._start()

    def lap(self) -> Cost:
        """What it cost since the last lap, or since the beginning."""
        cost = Cost(time.monotonic() - self._wall, _processor() - self._cpu, _peak())
        self._start()
        return cost

    def _start(self) -> None:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # not allowed in some sandboxes: then the peak is that of the process
                Path("/proc/self/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
        self._wall, self._cpu = time.monotonic(), _processor()


def _processor() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak() -> int:
    try:
        found = _PEAK.search(Path("/proc/self/status").read_text(encoding="ascii", errors="replace"))
    except OSError:
        return 0
    return int(found[1]) << 10 if found else 0
