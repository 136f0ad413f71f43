"""PubMed Central figures and captions as a Dagster asset graph.

How to find things: ``definitions`` shows the groups; each module of ``assets`` is one group, and each asset in it makes
one call into ``lib``; each package of ``lib`` is one subject and can be used without Dagster. ``settings`` has every
knob, ``configs`` turns knobs into the library's configuration objects, ``metadata`` turns the library's reports into
Dagster's results. ``cli`` is the ``biomedica`` command.

Arrow of imports: definitions -> assets, checks, automation -> resources, configs, metadata -> lib; never back.

From Python: ``biomedica_assets.open("data/demo")`` gives a ``Dataset``: tables, SQL, search, pictures, recipes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from biomedica_assets.lib.dataset.dataset import Dataset

__all__ = ["open"]


def open(path: Path | str) -> Dataset:
    """Open a data directory for reading; see ``lib.dataset.dataset.Dataset``.

    Args:
        path: as ``biomedica run --data-dir`` or ``biomedica demo`` made it.

    Raises:
        PermanentFailure: it is no data directory.
    """
    from biomedica_assets.lib.dataset.dataset import Dataset

    return Dataset(path)
