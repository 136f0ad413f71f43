"""The readers under test, each as bytes in, nothing out; a failure that is not one of the project's is a finding.

Shared by the property tests (``test_readers.py``) and by the coverage-guided runs (``guided.py``).
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from biomedica_assets.lib.annotate.exchange import coco, label_studio, tables
from biomedica_assets.lib.annotate.taxonomy import model
from biomedica_assets.lib.errors import BiomedicaError
from biomedica_assets.lib.jats.article import parse_article
from biomedica_assets.lib.pmc import listing
from biomedica_assets.lib.pmc.metadata import MetadataRefused, read_metadata
from biomedica_assets.lib.pmc.snapshots import Snapshot
from biomedica_assets.lib.pmc.source import PMC_BUCKET
from biomedica_assets.lib.select import definition
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets_tests.lib.jats.build import document, fig

_TAXONOMY = model.load()

ARTICLE = document(fig("f1", "Figure 1", "<caption><p>What is shown.</p></caption>") + '<p><xref rid="f1"/></p>')
METADATA = json.dumps(
    {"pmcid": "PMC1", "version": 1, "license_code": "CC BY", "is_retracted": False, "media_urls": [], "title": "T"}
).encode()
SEEDS = {
    "jats": ARTICLE,
    "metadata": METADATA,
    "inventory": b'"pmc-oa-opendata","metadata/PMC1.1.json","2026-01-08T11:47:59.000Z","0123456789abcdef"\n' * 3,
    "recipe": b"title: T\nwhere: year > 2000\nsplits: {validation: 0.1}\nsemantic_dedup: 0.1\n"
    b"captions: {min_words: 3, languages: [en]}\nconcepts: {caps: {plot: 3}}\n",
    "votes_csv": (",".join(tables.COLUMNS) + "\n" + ",".join("1" for _ in tables.COLUMNS) + "\n").encode(),
    "votes_label_studio": json.dumps([{"id": 1, "data": {"cluster": 1}, "annotations": [{"result": []}]}]).encode(),
    "votes_coco": json.dumps(
        {
            "images": [{"id": 1, "file_name": "a.png"}],
            "categories": [{"id": 1, "name": "kind-map"}],
            "annotations": [{"image_id": 1, "category_id": 1, "attributes": {"annotator": "ada"}}],
        }
    ).encode(),
}
"""Reader -> an input that is right, to start from."""


def jats(data: bytes) -> None:
    """An article as XML."""
    parse_article(data, "PMC1.1")


def metadata(data: bytes) -> None:
    """The metadata JSON of an article version."""
    read_metadata(data, "PMC1.1", frozenset({PMC_BUCKET}))


def inventory(data: bytes) -> None:
    """A part of an inventory (plain here: what unpacks badly is refused by its MD5 before)."""
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


def votes_coco(data: bytes) -> None:
    """Votes as a COCO file."""
    with tempfile.TemporaryDirectory() as folder:
        _imported(data, lambda path, taxonomy: coco.import_coco(path, taxonomy, Lake(Path(folder))))


def _imported(data: bytes, read: Callable[[Path, model.Taxonomy], object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "votes"
        path.write_bytes(data)
        read(path, _TAXONOMY)


READERS: dict[str, Callable[[bytes], None]] = {
    reader.__name__: reader for reader in (jats, metadata, inventory, recipe, votes_csv, votes_label_studio, votes_coco)
}


def feed(name: str, data: bytes) -> None:
    """Give bytes to a reader; its named failures are right answers."""
    try:
        READERS[name](data)
    except (BiomedicaError, MetadataRefused):
        return
