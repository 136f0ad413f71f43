"""Types of command-line options: a wrong value is refused with the value and what is allowed, exit code 2.

Imports nothing heavy: every command loads it.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable


class ShowVersion(argparse.Action):
    """``--version``; the installed packages are looked at only if it is given."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print and end."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            said = version("biomedica-assets")
        except PackageNotFoundError:
            said = "of a folder that is not installed"
        sys.stdout.write(f"biomedica {said}\n")
        parser.exit()


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number in a range, as the type of an option."""

    def read(text: str) -> int:
        if (
            not text.isascii()
            or not text.isdecimal()
            or not least <= int(text) <= (int(text) if most is None else most)
        ):
            span = f"from {least}" + (f" to {most:,}" if most is not None else "")
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {span}")
        return int(text)

    return read


def host_and_port(text: str) -> tuple[str, int]:
    """Where something listens: HOST:PORT."""
    host, colon, number = text.rpartition(":")
    if not host or not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, port(number)


def hours(text: str) -> float:
    """Hours, not negative."""
    return _from_zero(text, "a number of hours")


def amount(text: str) -> float:
    """A number, not negative."""
    return _from_zero(text, "a number")


def _from_zero(text: str, what: str) -> float:
    try:
        n = float(text)
    except ValueError:
        n = -1.0
    if not 0 <= n < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what} from 0")
    return n


positive, natural, port = whole(1), whole(0), whole(1, 65_535)
