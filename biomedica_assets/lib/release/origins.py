"""What a rebuild begins with: everything that the graph is given and does not make, as a release carries it.

The inventory of then, the images that evaluation tasks use, the votes, the definitions of the recipes, and the list of
articles that were asked for by number. ``replant.py`` puts them into an empty data directory; articles come from the
source, and PubMed's files from whoever rebuilds.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path

import polars as pl
import yaml

from biomedica_assets.lib.release import copies
from biomedica_assets.lib.release.manifest import ReleaseFile, entry
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.manifest import digest
from biomedica_assets.lib.tables import (
    CHUNK_LISTING,
    EVALUATION_MATCHES,
    EXPERT_VOTES,
    PMC_INVENTORY,
    RECIPE,
    RELEASE_SHELF,
)

PLACE = "inventory"
RECIPES = "recipes"
PMCIDS, WITHDRAWN = "pmcids.txt", "withdrawn.txt"


def write(
    folder: Path, lake: Lake, votes: pl.DataFrame, pmcids: Iterable[str], withdrawn: Iterable[str] = ()
) -> list[ReleaseFile]:
    """Write the origins of a release.

    Args:
        folder: the release that is being built.
        lake: what it is made from.
        votes: from ``votes.released``.
        pmcids: articles that the settings name by number; none if they do not.
        withdrawn: articles that the user's list withdraws; the reasons in it are not passed on.
    """
    listing = ((chunk, lake.read(CHUNK_LISTING, chunk)) for chunk in lake.partitions(CHUNK_LISTING))
    files = copies.write_table(folder, CHUNK_LISTING, listing)
    files += copies.write_splits(folder, folder / copies.FOLDER / PLACE, _inventory(lake))
    # Rows on images that are not passed on, too: whoever rebuilds has to leave out the same.
    wholes = {EXPERT_VOTES: votes, RELEASE_SHELF: lake.scan(RELEASE_SHELF).drop(RELEASE_SHELF.partitioning).collect()}
    if lake.manifest(EVALUATION_MATCHES, None):
        wholes[EVALUATION_MATCHES] = lake.read(EVALUATION_MATCHES, None)
    for table, rows in wholes.items():
        if rows.height:
            files += copies.write_splits(folder, folder / copies.FOLDER / table.name, [(copies.SPLIT, rows)])
    for name in lake.partitions(RECIPE):
        manifest = lake.manifest(RECIPE, name)
        text = yaml.safe_dump(dict(manifest.config) if manifest else {}, sort_keys=True, allow_unicode=True)
        path = folder / RECIPES / f"{name}.yaml"
        atomic.write_bytes(path, text.encode())
        files.append(entry(folder, path, "metadata"))
    for name, ids in ((PMCIDS, pmcids), (WITHDRAWN, withdrawn)):
        if asked := sorted(ids):
            atomic.write_bytes(folder / name, ("\n".join(asked) + "\n").encode())
            files.append(entry(folder, folder / name, "metadata"))
    return files


def version_of(rows: pl.DataFrame) -> str:
    """What the manifest of a release names as its input of votes and scores: as released is all a rebuild can have."""
    return digest(rows.write_ndjson())


def _inventory(lake: Lake) -> Generator[tuple[str, pl.DataFrame]]:
    """Beside ``chunk_listing``: the chunks of the inventory, what was withdrawn, test images that could not be read."""
    if lake.manifest(PMC_INVENTORY, None):
        yield "chunks", lake.read(PMC_INVENTORY, None)
    gone = [
        lake.read_rejects(CHUNK_LISTING, key).with_columns(chunk=pl.lit(key)) for key in lake.partitions(CHUNK_LISTING)
    ]
    beyond = [
        lake.read_rejects(table, None).with_columns(chunk=pl.lit(None, dtype=pl.String()))
        for table in (PMC_INVENTORY, EVALUATION_MATCHES)
    ]
    yield "rejects", pl.concat([*beyond, *gone])
