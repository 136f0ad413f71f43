"""PubMed Central figures and captions as a Dagster asset graph.

How to find things: ``definitions`` shows the groups; each module of ``assets`` is one group, and each asset in it makes
one call into ``lib``; each package of ``lib`` is one subject and can be used without Dagster. ``settings`` has every
knob, ``configs`` turns knobs into the library's configuration objects, ``metadata`` turns the library's reports into
Dagster's results. ``cli`` is the ``biomedica`` command.

Arrow of imports: definitions -> assets, checks, automation -> resources, configs, metadata -> lib; never back.

From Python: ``biomedica_assets.open("data/demo")`` gives a ``Dataset``: tables, SQL, search, pictures, recipes; the
folder or address of a release gives a ``Release`` with the same calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from biomedica_assets.lib.dataset.dataset import Dataset
    from biomedica_assets.lib.dataset.release import Release

__all__ = ["open"]


def open(path: Path | str) -> Dataset | Release:
    """Open a data directory or a release for reading.

    Args:
        path: a data directory, as ``biomedica run --data-dir`` or ``biomedica demo`` made it; or a release: its folder,
            ``https://…``, ``s3://bucket/prefix`` or ``hf://datasets/owner/name[@revision]``.

    Returns:
        A ``lib.dataset.dataset.Dataset``, or a ``lib.dataset.release.Release``, which has the same calls but for
        search and lineage.

    Raises:
        PermanentFailure: it is neither.
    """
    from pathlib import Path

    if "://" in str(path) or (Path(path).expanduser() / "MANIFEST.json").is_file():
        from biomedica_assets.lib.dataset.release import Release

        return Release(path)
    from biomedica_assets.lib.dataset.dataset import Dataset

    return Dataset(path)
