"""A mirror of twenty chunks, four things that happen to it, and what the real commands then do.

The partitions are computed when the graph is imported, so a finer cut needs processes of its own; what they did is read
from Dagster's event log.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg

from biomedica_assets import configs, definitions, settings
from biomedica_assets.automation.planner import Planner
from biomedica_assets.lib import chunks
from biomedica_assets.lib.demo import inventory, load_truth, mutate, write_mirror
from biomedica_assets.lib.store import gc
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES
from biomedica_assets_tests.support.garbage import take_out

SPAN = 5_000
CHAIN = ("article_index", "article_xml", "articles", "captions", "figures", "mentions", "images", "shards")
SPINE = ("pmc_inventory", *CHAIN, "catalog")
DAYS = ("2026-11-22", "2026-11-23", "2026-11-24")


def chunk_of(article_id: str) -> str:
    """Chunk of an article at this span."""
    return chunks.chunk_of(chunks.parse_article_id(article_id)[0], SPAN)


@dataclasses.dataclass(frozen=True)
class Happened:
    """Which article each change concerns."""

    edited: str
    relicensed: str
    retracted: str
    removed: str

    @property
    def chunks(self) -> dict[str, str]:
        """Name of the change -> chunk."""
        return {name: chunk_of(article) for name, article in dataclasses.asdict(self).items()}


class Site:
    """A mirror and a data directory made from it by the command line."""

    def __init__(self, root: Path, *, articles: int = 60) -> None:
        """Invent the mirror."""
        self.mirror, self.data = root / "source", root / "data"
        self.environment: dict[str, str] = {}  # further settings of every command
        write_mirror(self.mirror, seed=7, articles=articles)
        # The invented articles lie in 19 chunks of this span; this one makes the twentieth.
        mutate.add_article(self.mirror, 7_339_001, seed=4, figures=2)
        inventory.publish_inventory(self.mirror, DAYS[0])

    def change(self) -> Happened:
        """Edit, relicense, retract and remove an article each, all in different chunks; list them a day later."""
        happened = self._pick()
        mutate.change_caption(self.mirror, happened.edited)
        mutate.change_licence(self.mirror, happened.relicensed, "CC BY-NC")
        mutate.retract(self.mirror, happened.retracted)
        mutate.remove_article(self.mirror, happened.removed)
        inventory.publish_inventory(self.mirror, DAYS[1])
        return happened

    def next_day(self) -> None:
        """A second inventory that misses the removed article: now it counts as removed."""
        inventory.publish_inventory(self.mirror, DAYS[2])

    def biomedica(self, *arguments: str, data: Path | None = None) -> tuple[str, float]:
        """Output and seconds of a command, which must succeed."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("BIOMEDICA_", "DAGSTER_"))}
        command = [sys.executable, "-m", "biomedica_assets.cli", *arguments, "--data-dir", str(data or self.data)]
        given = {"BIOMEDICA_CHUNK_SPAN": str(SPAN), "BIOMEDICA_SOURCE": str(self.mirror), "OMP_NUM_THREADS": "1"}
        given |= self.environment
        began = time.monotonic()
        done = subprocess.run(
            command, check=False, env=kept | given, capture_output=True, text=True, cwd=self.mirror.parent
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout, time.monotonic() - began

    def inventory(self) -> None:
        """Take the newest inventory."""
        self.biomedica("run", "--select", "pmc_inventory")

    def refresh(self, *more: str) -> tuple[set[tuple[str, str | None]], float]:
        """Refresh the spine; which partitions the event log says were made, and the seconds."""
        with dg.DagsterInstance.from_config(str(self.data / "dagster_home")) as instance:
            before = {name: _last(instance, name) for name in SPINE}
            _, seconds = self.biomedica("refresh", "--select", ",".join(SPINE), *more)
            return {made for name in SPINE for made in _since(instance, name, before[name])}, seconds

    def stale(self) -> dict[tuple[str, str | None], str]:
        """What is out of date in the spine: (asset, partition) -> why. The planner asks the data for the partitions."""
        values = settings.Settings(data_dir=self.data, source=str(self.mirror), chunk_span=SPAN)
        graph = definitions.build(values).resolve_asset_graph()
        planner = Planner(graph, Lake(self.data), configs.expected(values), lambda: [])
        return {(s.asset, s.partition): "; ".join(map(str, s.reasons)) for s in planner.all_stale(SPINE)}

    def files(self) -> dict[str, tuple[str, int]]:
        """Digest and time of change of every file of the spine's tables and shards; first goes what nothing names."""
        lake = Lake(self.data)
        take_out(lake)
        return {
            path.relative_to(self.data).as_posix(): (_sha256(path), path.stat().st_mtime_ns)
            for folder in ("tables", "shards")
            for path in sorted((self.data / folder).rglob("*"))
            if path.is_file()
        }

    def _pick(self) -> Happened:
        truth = load_truth(self.mirror.parent / "demo_truth.json")
        picked: list[str] = []
        for article in truth.articles:
            if not (article.selected and article.parsed and article.figures):
                continue
            metadata = json.loads((self.mirror / "metadata" / f"{article.article_id}.json").read_bytes())
            if metadata["license_code"] == "CC BY" and chunk_of(article.article_id) not in map(chunk_of, picked):
                picked.append(article.article_id)
        return Happened(*picked[:4])


def same_rows(one: Lake, other: Lake) -> list[str]:
    """Tables of the chain, and shards, that are not byte for byte the same in two data directories."""
    apart: list[str] = []
    for name in CHAIN:
        for key in sorted({*one.partitions(TABLES[name]), *other.partitions(TABLES[name])}):
            parts = [lake.part(TABLES[name], key) for lake in (one, other)]
            if not all(part.exists() for part in parts) or _sha256(parts[0]) != _sha256(parts[1]):
                apart.append(f"{name}@{key}")
    shards = [
        {
            entry.path: _sha256(lake.root / entry.path)
            for _, made in gc.manifests(lake, {"shards"})
            for entry in made.files
        }
        for lake in (one, other)
    ]
    return apart + sorted(n for n in {*shards[0], *shards[1]} if shards[0].get(n) != shards[1].get(n))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _last(instance: dg.DagsterInstance, asset: str) -> int:
    found = instance.fetch_materializations(dg.AssetKey(asset), limit=1).records
    return found[0].storage_id if found else 0


def _since(instance: dg.DagsterInstance, asset: str, storage_id: int) -> set[tuple[str, str | None]]:
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), after_storage_id=storage_id)
    return {(asset, record.partition_key) for record in instance.fetch_materializations(wanted, limit=1000).records}
