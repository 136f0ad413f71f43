"""The start of a rebuild: the inventory that a release names, planted into an empty data directory.

The newest inventory of the source has moved on; a rebuild needs the one of then. Everything downstream is made from it
by the ordinary graph, and the source's objects are checked against the MD5s that it implies.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from biomedica_assets.lib.chunks import chunk_range
from biomedica_assets.lib.errors import PermanentFailure, Reject, RejectReason
from biomedica_assets.lib.release import manifest as manifests
from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.release.manifest import ReleaseManifest
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CHUNK_LISTING, PMC_INVENTORY, REJECTS

PLACE = "inventory"


def replant(release: Path, lake: Lake, chunk_span: int) -> ReleaseManifest:
    """Publish ``pmc_inventory`` and every ``chunk_listing`` as the release had them.

    Args:
        release: folder of the release; only its manifest and ``data/`` are read.
        lake: an empty data directory.
        chunk_span: of the settings that the release was made with.

    Returns:
        The manifest of the release, to compare with.

    Raises:
        PermanentFailure: the data directory has an inventory, or the listing is not the one the manifest names.
    """
    manifest = manifests.load(release)
    if lake.manifest(PMC_INVENTORY, None) or lake.partitions(CHUNK_LISTING):
        raise PermanentFailure(f"{lake.root} has an inventory already; give an empty data directory to rebuild into")
    listing = scan(release, CHUNK_LISTING).collect()
    gone = pl.read_parquet(sorted((release / "data" / PLACE).glob("rejects-*.parquet"))[0])
    codes = manifest.code_versions
    for chunk, version in sorted(manifest.inventory["chunks"].items()):
        ids = chunk_range(chunk, chunk_span)
        rows = listing.filter(pl.col("pmcid").is_between(ids.start, ids.stop - 1))
        rejects = _rejects(gone.filter(chunk=chunk))
        planted = lake.publish(
            CHUNK_LISTING, chunk, rows, code_version=codes[CHUNK_LISTING.name][0], inputs={}, config={},
            rejects=rejects, n_in=rows.height + len(rejects), n_out=rows.height,
        )  # fmt: skip
        if planted.data_version != version:
            raise PermanentFailure(
                f"the listing of {chunk} in {release} is not the one that its manifest names; run `biomedica verify`"
            )
    inventory = pl.read_parquet(sorted((release / "data" / PLACE).glob("chunks-*.parquet"))[0])
    rows, rejects = int(inventory["rows"].sum()), _rejects(gone.filter(pl.col("chunk").is_null()))
    lake.publish(
        PMC_INVENTORY, None, inventory, code_version=codes[PMC_INVENTORY.name][0], inputs={},
        config={"snapshot": manifest.inventory["snapshot"]}, rejects=rejects, n_in=rows + len(rejects), n_out=rows,
    )  # fmt: skip
    return manifest


def _rejects(rows: pl.DataFrame) -> list[Reject]:
    return [
        Reject(r["article_id"], r["stage"], RejectReason(r["reason"]), r["message"], r["subject"])
        for r in rows.select(REJECTS.schema.names()).iter_rows(named=True)
    ]
