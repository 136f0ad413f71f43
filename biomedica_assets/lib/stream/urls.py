"""``pipe:`` URLs of virtual shards, for webdataset, open_clip_train and whatever reads WebDatasets."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from biomedica_assets.lib.stream.virtual import Selection


def pipe_urls(index: Path, base: str, wanted: Selection, of: int, *, python: str = sys.executable) -> list[str]:
    """One URL for each virtual shard of an epoch.

    Args:
        index: the recipe's index file. Named rather than the recipe, so that a run that has begun keeps its samples
            when the recipe is built again.
        base: folder or address of the physical shards.
        wanted: split, epoch, order and caption; its ``shard`` and ``of`` are not used.
        of: number of virtual shards.
        python: interpreter that has this package.
    """
    return [f"pipe:{shlex.join(_command(index, base, wanted, str(n), of, python))}" for n in range(of)]


def pipe_pattern(
    index: Path, base: str, wanted: Selection, of: int, *, more: Sequence[str] = (), python: str = sys.executable
) -> str:
    """The same as one pattern with braces, as ``open_clip_train --train-data`` takes it.

    Args:
        index: the recipe's index file.
        base: folder or address of the physical shards.
        wanted: split, epoch, order and caption.
        of: number of virtual shards.
        more: further arguments of the command, such as those of a cache.
        python: interpreter that has this package.

    Raises:
        ValueError: a path holds braces or ``::``, which that notation cannot express.
    """
    command = shlex.join([*_command(index, base, wanted, "SHARD", of, python), *more])
    if any(mark in command for mark in ("{", "}", "::")):
        raise ValueError(
            f"braces and '::' have a meaning in WebDataset patterns; rename what this command names: {command}"
        )
    return f"pipe:{command}".replace("--shard SHARD", f"--shard {{0..{of - 1}}}")


def _command(index: Path, base: str, wanted: Selection, shard: str, of: int, python: str) -> Sequence[str]:
    command = [python, "-m", "biomedica_assets.cli", "stream", "--index", str(index), "--base", base]
    command += ["--split", wanted.split, "--shard", shard, "--of", str(of), "--epoch", str(wanted.epoch)]
    command += [] if wanted.shuffle else ["--no-shuffle"]
    for name, value in (("--caption", wanted.caption), ("--ext", wanted.ext)):
        command += [name, value] if value is not None else []
    return command
