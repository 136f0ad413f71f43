"""One quick look at a source before work: is it there, and has it the bucket's layout. Nothing is copied.

Belongs here: what is wrong with a source, in one line. Trying again and again is for those who fetch.
"""

from __future__ import annotations

import itertools
import os
import re
import threading
from pathlib import Path

from biomedica_assets.lib.errors import BiomedicaError
from biomedica_assets.lib.pmc.snapshots import FOLDER, names
from biomedica_assets.lib.pmc.source import PMC_BUCKET, ObjectMissing, PmcSource, open_source

PATIENCE = 10.0
"""Seconds until a bucket that says nothing counts as one that is not there; one that is answers in less than one."""
_HOLDS = ("metadata", "inventory-reports", "PMC")
_LOOKED_AT = 10_000
"""Folders of a directory that are looked at: a copy of the whole bucket has millions, and the first ones tell."""
_TIMES = re.compile(r" in \d[\d.]*\w?s\b")


def fault(location: str, *, endpoint: str | None = None, region: str = "us-east-1", patience: float = PATIENCE) -> str:
    """What is wrong with a source; empty if articles can be had from it.

    Args:
        location: a directory, or ``s3://bucket[/prefix]``.
        endpoint: other S3 endpoint than Amazon's.
        region: region of the bucket.
        patience: seconds that a bucket is given to answer.
    """
    try:
        source = open_source(location, endpoint=endpoint, region=region, retries=0, timeout=patience)
    except BiomedicaError as error:
        return str(error)
    if not location.startswith("s3://"):
        return _of_directory(Path(location))
    said: list[str] = []
    # A resolver without a network knows no timeout: a thread that nobody waits for any longer.
    asking = threading.Thread(target=lambda: said.append(_of_bucket(source)), daemon=True)
    asking.start()
    asking.join(patience)
    return said[0] if said else f"{source.location} does not answer within {patience:g} s"


def _of_directory(root: Path) -> str:
    try:
        with os.scandir(root) as entries:
            if any(entry.name.startswith(_HOLDS) for entry in itertools.islice(entries, _LOOKED_AT)):
                return ""
    except OSError as error:
        return f"{root} cannot be read: {error.strerror or error}"
    return f"{root} holds no folder {', '.join(_HOLDS)}…: it has not the layout of s3://{PMC_BUCKET}"


def _of_bucket(source: PmcSource) -> str:
    try:
        found = names(source)
    except ObjectMissing:
        return f"{source.location} does not exist"
    except BiomedicaError as error:
        return f"{source.location} does not answer: {_TIMES.sub('', ' '.join(str(error).split()))}"
    return "" if found else f"{source.location} has no inventory below {FOLDER}: it has not the layout of {PMC_BUCKET}"
