"""Where the index of a recipe lies: its manifest names it.

The manifest is read here by itself because ``lib.store.lake`` brings Polars with it.
"""

from __future__ import annotations

import re
from pathlib import Path

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.store.manifest import Manifest
from biomedica_assets.lib.stream.failures import StreamError

SUFFIX = ".index"
PANELS = "panel_shards"
_SHARD = re.compile(r"(PMC\d+-\d+)-.+\.tar")


def cure_of(data_dir: Path, shard: str) -> str:
    """What to do about a shard that is missing or damaged: it can be made again only while its chunk still has it.

    Args:
        data_dir: where shards lie.
        shard: path below it.
    """
    match = _SHARD.fullmatch(shard.rpartition("/")[2])
    if match is None:
        return "Build the recipe again: `biomedica run --select recipe`"
    asset = PANELS if shard.startswith(f"{PANELS}/") else "shards"
    path = data_dir / "tables" / asset / f"chunk={match[1]}" / "_manifest.json"
    try:
        present = {entry.path for entry in Manifest.from_json(path.read_bytes(), str(path)).files}
    except (OSError, StoreError):
        present = set[str]()
    if shard in present:
        return f"Make it again: `biomedica run --select {asset} --chunk {match[1]}`; the recipe stays as it is"
    return (
        f"The shards of {match[1]} were made again since, and those of before were removed. Build the recipe again "
        "(`biomedica run --select recipe`) and begin anew with it"
    )


def find_index(data_dir: Path, recipe: str) -> Path:
    """Path of the index of a recipe that has been built.

    Raises:
        StreamError: there is no such recipe; the message names those that there are.
    """
    folder = data_dir / "tables" / "recipe"
    path = folder / f"recipe={recipe}" / "_manifest.json"
    try:
        manifest = Manifest.from_json(path.read_bytes(), str(path))
    except FileNotFoundError:
        built = sorted(p.parent.name.removeprefix("recipe=") for p in folder.glob("recipe=*/_manifest.json"))
        there = f"built are: {', '.join(built)}" if built else f"none is built in {data_dir}"
        raise StreamError(f"recipe {recipe!r} has not been built; {there}. Materialise recipe first.") from None
    for entry in manifest.files:
        if entry.path.endswith(SUFFIX):
            return data_dir / entry.path
    raise StreamError(f"{path} names no index; build the recipe again")
