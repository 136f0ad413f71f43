"""What a supervisor hands to its training process, and the exit code that says it stopped itself."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from biomedica_assets.lib.store import atomic

FAILED = 65
"""Exit code of a run that stopped itself; the last event says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class RunSpec:
    """One training run.

    Attributes:
        arguments: command line of ``open_clip_train``.
        events: file of JSON lines that the run appends to.
        model_folders: folders of model configurations to add to open_clip's.
        seed: seed of the process.
        threads: threads of torch on the CPU.
        sample_buffer: samples in the shuffle buffer of each loader worker.
        stream_retries: how often a broken stream is opened again.
        most_broken_streams: streams of one loader worker that may stay broken before the run fails.
        lora_rank: rank of the additions to every matrix, 0 to train the matrices.
        lora_alpha: an addition is scaled by this over its rank.
        fused: AdamW in one kernel.
    """

    arguments: tuple[str, ...]
    events: str
    model_folders: tuple[str, ...] = ()
    seed: int = 0
    threads: int = 1
    sample_buffer: int = 5000
    stream_retries: int = 2
    most_broken_streams: int = 0
    lora_rank: int = 0
    lora_alpha: float = 16.0
    fused: bool = False

    def write(self, path: Path) -> None:
        """Write as JSON."""
        atomic.write_bytes(path, (json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> RunSpec:
        """Read what ``write`` wrote."""
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        values: dict[str, Any] = raw | {name: tuple(raw[name]) for name in ("arguments", "model_folders")}
        return cls(**values)
