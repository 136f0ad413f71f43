"""The readers under test, each as bytes in, nothing out; a failure that is not one of the project's is a finding.

Shared by the property tests (``test_readers.py``) and by the coverage-guided runs (``guided.py``).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from biomedica_assets.lib.annotate.exchange import label_studio, tables
from biomedica_assets.lib.annotate.taxonomy import model
from biomedica_assets.lib.errors import BiomedicaError
from biomedica_assets.lib.jats.article import parse_article
from biomedica_assets.lib.pmc import listing
from biomedica_assets.lib.pmc.metadata import MetadataRefused, read_metadata
from biomedica_assets.lib.pmc.snapshots import Snapshot
from biomedica_assets.lib.pmc.source import PMC_BUCKET
from biomedica_assets.lib.select import definition

_TAXONOMY = model.load()


def jats(data: bytes) -> None:
    """An article as XML."""
    parse_article(data, "PMC1.1")


def metadata(data: bytes) -> None:
    """The metadata JSON of an article version."""
    read_metadata(data, "PMC1.1", frozenset({PMC_BUCKET}))


def inventory(data: bytes) -> None:
    """A part of an inventory (plain here: what unpacks badly is refused by its MD5 before)."""
    import gzip

    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.csv.gz"
        part.write_bytes(gzip.compress(data, mtime=0))
        with listing.database(Path(folder)) as db:
            listing.load_snapshot(db, Snapshot("x", ("Bucket", "Key", "LastModifiedDate", "ETag"), (part,)))


def recipe(data: bytes) -> None:
    """A recipe as YAML."""
    definition.parse(data.decode("utf-8", "surrogateescape"), "recipe.yaml")


def votes_csv(data: bytes) -> None:
    """Votes as CSV."""
    _imported(data, tables.import_csv)


def votes_label_studio(data: bytes) -> None:
    """Votes as Label Studio exports them."""
    _imported(data, label_studio.import_annotations)


def _imported(data: bytes, read: Callable[[Path, model.Taxonomy], object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "votes"
        path.write_bytes(data)
        read(path, _TAXONOMY)


READERS: dict[str, Callable[[bytes], None]] = {
    reader.__name__: reader for reader in (jats, metadata, inventory, recipe, votes_csv, votes_label_studio)
}


def feed(name: str, data: bytes) -> None:
    """Give bytes to a reader; its named failures are right answers."""
    try:
        READERS[name](data)
    except (BiomedicaError, MetadataRefused):
        return
