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
_DAY = len("2026-11-21")


def write(
    folder: Path, lake: Lake, votes: pl.DataFrame, pmcids: Iterable[str], withdrawn: Iterable[str] = ()
) -> list[ReleaseFile]:
    """Write the origins of a release.

    Args:
        folder: the release that is being built.
        lake: what it is made from.
        votes: from ``released_votes``.
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


def released_votes(lake: Lake) -> pl.DataFrame:
    """Votes that count, with nothing in them that tells who gave them; no rows if nobody voted.

    Annotators become ``human-1``, ``simulated-2`` … in the order of their names, so that doing it twice changes
    nothing; comments, time spent and time of day are left out.
    """
    if not lake.manifest(EXPERT_VOTES, None):
        return EXPERT_VOTES.empty()
    votes = lake.read(EXPERT_VOTES, None).filter(status="active")
    people = votes.select("source", "annotator").unique().sort("source", "annotator").rows()
    digits = len(str(len(people)))
    pseudonyms = {name: f"{source}-{number:0{digits}}" for number, (source, name) in enumerate(people, 1)}
    return votes.with_columns(
        pl.col("annotator").replace_strict(pseudonyms, return_dtype=pl.String()),
        pl.lit(None, pl.String()).alias("comment"),
        pl.lit(None, pl.Float32()).alias("seconds"),
        pl.col("time").str.slice(0, _DAY),
    ).select(EXPERT_VOTES.schema.names())


def version_of(votes: pl.DataFrame) -> str:
    """What the manifest of a release names as its input: the votes as released are all that a rebuild can have."""
    return digest(votes.write_ndjson())


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
