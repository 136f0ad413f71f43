"""The start of a rebuild: the origins that a release carries, planted into an empty data directory.

The newest inventory of the source has moved on; a rebuild needs the one of then. Everything downstream is made from it
by the ordinary graph, and the source's objects are checked against the MD5s that it implies. Votes are planted by
whoever knows how votes are kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import polars as pl

from biomedica_assets.lib.chunks import chunk_range
from biomedica_assets.lib.errors import PermanentFailure, Reject, RejectReason
from biomedica_assets.lib.release import history
from biomedica_assets.lib.release import manifest as manifests
from biomedica_assets.lib.release.contents import NEEDED, OPTIONAL
from biomedica_assets.lib.release.copies import FOLDER, scan
from biomedica_assets.lib.release.manifest import ReleaseManifest
from biomedica_assets.lib.release.origins import PLACE, RECIPES
from biomedica_assets.lib.release.stage import READS
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    ARTICLE_INDEX,
    CHUNK_LISTING,
    EVALUATION_MATCHES,
    EXPERT_VOTES,
    LEADERBOARD,
    PMC_INVENTORY,
    RECIPE,
    REJECTS,
    RELEASE,
    RELEASE_SHELF,
)

MARK = "rebuild.json"
"""Says which release a data directory is being rebuilt from: an interrupted rebuild goes on, any other is refused."""
PLANTED = (PMC_INVENTORY.name, CHUNK_LISTING.name, EXPERT_VOTES.name, EVALUATION_MATCHES.name, LEADERBOARD.name)
"""Assets that a rebuild is given and must not make."""


def replant(release: Path, lake: Lake, chunk_span: int) -> ReleaseManifest:
    """Publish inventory, listings and matches with evaluation tasks as the release had them; copy recipe definitions.

    Args:
        release: folder of the release; only its manifest, ``data/`` and ``recipes/`` are read.
        lake: an empty data directory, or one in which a rebuild of the same release was interrupted.
        chunk_span: of the settings that the release was made with.

    Returns:
        The manifest of the release, to compare with.

    Raises:
        PermanentFailure: the data directory is another's, or a table is not the one the manifest names.
    """
    manifest = manifests.load(release)
    _mark(lake, manifest)
    listing = scan(release, CHUNK_LISTING).collect()
    gone = pl.read_parquet(sorted((release / FOLDER / PLACE).glob("rejects-*.parquet"))[0])
    codes = manifest.code_versions
    for chunk, version in sorted(manifest.inventory["chunks"].items()):
        ids = chunk_range(chunk, chunk_span)
        rows = listing.filter(pl.col("pmcid").is_between(ids.start, ids.stop - 1))
        rejects = _rejects(gone.filter(chunk=chunk))
        planted = lake.publish(
            CHUNK_LISTING, chunk, rows, code_version=codes[CHUNK_LISTING.name][0], inputs={}, config={},
            rejects=rejects, n_in=rows.height + len(rejects), n_out=rows.height,
        )  # fmt: skip
        _check(planted.data_version, version, f"the listing of {chunk}", release)
    global_ = gone.filter(pl.col("chunk").is_null())
    tests = pl.col("stage") == EVALUATION_MATCHES.name
    inventory = pl.read_parquet(sorted((release / FOLDER / PLACE).glob("chunks-*.parquet"))[0])
    rows, rejects = int(inventory["rows"].sum()), _rejects(global_.filter(~tests))
    lake.publish(
        PMC_INVENTORY, None, inventory, code_version=codes[PMC_INVENTORY.name][0], inputs={},
        config={"snapshot": manifest.inventory["snapshot"]}, rejects=rejects, n_in=rows + len(rejects), n_out=rows,
    )  # fmt: skip
    if version := manifest.inputs.get(EVALUATION_MATCHES.name):
        matches, rejects = scan(release, EVALUATION_MATCHES).collect(), _rejects(global_.filter(tests))
        planted = lake.publish(
            EVALUATION_MATCHES, None, matches, code_version=codes[EVALUATION_MATCHES.name][0], inputs={}, config={},
            rejects=rejects, n_in=matches.height + len(rejects), n_out=matches.height,
        )  # fmt: skip
        _check(planted.data_version, version, EVALUATION_MATCHES.name, release)
    if LEADERBOARD.name in manifest.inputs:
        # Scores of models; a rebuild of the data trains none.
        scores = scan(release, LEADERBOARD).collect()
        lake.publish(
            LEADERBOARD, None, scores, code_version=codes[LEADERBOARD.name][0], inputs={}, config={},
            n_in=scores.height, n_out=scores.height,
        )  # fmt: skip
    history.plant(release, lake)
    for path in sorted((release / RECIPES).glob("*.yaml")):
        atomic.write_bytes(lake.root / RECIPES / path.name, path.read_bytes())
    return manifest


def made_of(release: Path) -> set[str]:
    """Names of the tables that the release was made of, itself included."""
    named = {name.partition("@")[0] for name in manifests.load(release).inputs}
    return {RELEASE.name, *named, *scan(release, RELEASE_SHELF).select("table").collect()["table"]}


def scope(made: Collection[str], parents: Callable[[str], Iterable[str]]) -> list[str]:
    """Assets that a rebuild makes: those the release was made of and what these need, and none that it did without.

    Args:
        made: from ``made_of``.
        parents: what an asset reads.

    Returns:
        Names, sorted. What a release would take in if it were there (``OPTIONAL``, recipes, labels) is left out if the
        release has none of it: it would change its content.
    """
    telling = {table.name for table in (*NEEDED, *OPTIONAL, *READS)}
    found: set[str] = set()
    todo = [RELEASE.name]
    while todo:
        asset = todo.pop()
        if asset not in found and (asset in made or asset not in telling):
            found.add(asset)
            todo += () if asset == LEADERBOARD.name else parents(asset)
    return sorted(found.difference(PLANTED))


def chunks_of(release: Path) -> list[str]:
    """Chunks that were worked on; the inventory may list many more."""
    return scan(release, RELEASE_SHELF).filter(table=ARTICLE_INDEX.name).sort("chunk").collect()["chunk"].to_list()


def recipes_of(release: Path) -> set[str]:
    """Recipes that the release has."""
    named = (name.partition("@") for name in manifests.load(release).inputs)
    return {key for table, _, key in named if table == RECIPE.name}


def _mark(lake: Lake, manifest: ReleaseManifest) -> None:
    path = lake.root / MARK
    mark = {"release": manifest.version, "key": manifest.key}
    begun = path.exists() and json.loads(path.read_bytes()) == mark
    if not begun and (path.exists() or lake.manifest(PMC_INVENTORY, None) or lake.partitions(CHUNK_LISTING)):
        raise PermanentFailure(f"{lake.root} has an inventory already; give an empty data directory to rebuild into")
    atomic.write_bytes(path, (json.dumps(mark) + "\n").encode())


def _check(planted: str, wanted: str, what: str, release: Path) -> None:
    if planted != wanted:
        raise PermanentFailure(
            f"{what} in {release} is not the one that its manifest names; run `biomedica verify` on the release"
        )


def _rejects(rows: pl.DataFrame) -> list[Reject]:
    return [
        Reject(r["article_id"], r["stage"], RejectReason(r["reason"]), r["message"], r["subject"])
        for r in rows.select(REJECTS.schema.names()).iter_rows(named=True)
    ]
