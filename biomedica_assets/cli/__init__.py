"""The ``biomedica`` command: arguments in, one function of ``commands`` called, exit code out.

Belongs here: what every command has in common: exit codes, signals, errors as one line. Names, options and help are in
``arguments``, types of options in ``options``. Imports nothing heavy, so that ``biomedica stream`` and ``biomedica
parse`` start in a fraction of a second.
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path
from typing import Any

from biomedica_assets.cli.arguments import parser
from biomedica_assets.lib.errors import BiomedicaError


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 if all went well, 1 if something failed or was rejected, 2 if the command was not understood, 130 or 143 if a
        signal ended it.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["stream"]:
        # One process for each virtual shard of a training run: straight to it, without building the other commands.
        from biomedica_assets.lib.stream.command import main as stream

        return stream(_with_data_dir(given[1:]), _selected, _bucket)
    arguments = parser().parse_args(given)
    from biomedica_assets.stopping import STOP

    try:
        with STOP.watching():
            return int(arguments.run(arguments))
    except BiomedicaError as error:
        # Libraries that are quoted (YAML's, DuckDB's) draw over several lines; a message is one.
        print(f"biomedica: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except BrokenPipeError as error:
        gone = _reader_is_gone()
        if not gone:
            print(f"biomedica: the connection to another process broke: {error}", file=sys.stderr)
        return int(not gone)
    except OSError as error:
        # Disks fail in the middle of anything; with ``python -X dev`` the traceback shows.
        if sys.flags.dev_mode:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"biomedica: {where}{error.strerror or error}. What was finished is kept; free space or fix what is named, "
            "and run the same command to go on",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt as stopped:
        print("biomedica: interrupted; what was finished is kept, run the same command to go on", file=sys.stderr)
        return getattr(stopped, "code", 130)


def _selected(*given: Any) -> Path:
    """The index of a condition; what it needs is imported only then."""
    from biomedica_assets.commands.streaming import selected

    return selected(*given)


def _bucket(place: str, in_flight: int) -> Any:
    """Where pictures are that a release does not hold."""
    from biomedica_assets.lib.dataset.pictures import open_bucket

    return open_bucket(place, in_flight)


def _reader_is_gone() -> bool:
    """Whether what reads our output (head, a training job that has had enough) went away, which is its right.

    A pipe to a worker that died breaks in the same words, and is a failure.
    """
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return False
    look = select.poll()
    look.register(descriptor, 0)
    if not look.poll(0):
        return False
    # What is left in the buffer goes nowhere, so that the interpreter does not complain of it at its end.
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nowhere.fileno(), descriptor)
    return True


def _with_data_dir(given: list[str]) -> list[str]:
    """The environment's data directory for a command that does not load the settings (that would take 0.2 s)."""
    named = any(word == "--data-dir" or word.startswith("--data-dir=") for word in given)
    directory = os.environ.get("BIOMEDICA_DATA_DIR")
    return given if named or not directory else [*given, "--data-dir", directory]
