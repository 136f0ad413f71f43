"""Where the index of a recipe lies: its manifest names it.

The manifest is read here by itself because ``lib.store.lake`` brings Polars with it.
"""

from __future__ import annotations

from pathlib import Path

from biomedica_assets.lib.store.manifest import Manifest
from biomedica_assets.lib.stream.failures import StreamError

SUFFIX = ".index"


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
