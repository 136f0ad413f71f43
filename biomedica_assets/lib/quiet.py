"""What libraries say on standard error that is no news for who runs a command.

Belongs here: which words are held back and why. What matters is raised or reported by the code that called the library.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Generator

LIBRARIES = ("open_clip", "timm", "huggingface_hub", "transformers")
DAGSTER_ABOUT_ITSELF = r"Parameter `(owners|include_sources)` of "
"""Dagster 1.13.27 warns that parameters are in beta which it passes itself, whatever its caller gives: on attaching
resources to a sensor, and on ``group:NAME`` in a selection."""


def hold_back_dagsters_own() -> None:
    """Ignore warnings that Dagster gives about calls of its own, in this process; ours are still shown."""
    warnings.filterwarnings("ignore", message=DAGSTER_ABOUT_ITSELF)


@contextlib.contextmanager
def while_opening_a_model() -> Generator[None]:
    """Hold back what is logged while a model is opened, below critical.

    open_clip logs with the root logger ("No pretrained weights loaded" for a model that is to start at random, all tags
    there are for one that is unknown), the hub's client logs every try. Whoever opens the model raises one error with
    the way out. open_clip's first line would also give the root logger a handler for good.
    """
    root, silent = logging.getLogger(), logging.NullHandler()
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    root.addFilter(_is_critical)
    root.addHandler(silent)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        root.removeFilter(_is_critical)
        root.removeHandler(silent)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _is_critical(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.CRITICAL
