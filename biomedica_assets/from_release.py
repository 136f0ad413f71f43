"""Training from a release elsewhere: its index comes here, its samples are streamed while they are learned from.

Belongs here: what stands in for the tables of a data directory (the recipe, the training split, the held-out pairs).
The training is that of the asset ``checkpoints`` (``lib.clip.stage``), into a folder of its own.
"""

from __future__ import annotations

import dataclasses
import json
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import polars as pl

from biomedica_assets.commands.streaming import selected
from biomedica_assets.lib.clip import data as clip_data
from biomedica_assets.lib.clip.models import architecture, context_length
from biomedica_assets.lib.clip.profile import Profile
from biomedica_assets.lib.clip.streams import IMAGES, OTHERS
from biomedica_assets.lib.clip.training import TrainingData
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store import named
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream import afar
from biomedica_assets.lib.stream.cache import SampleCache, bytes_of
from biomedica_assets.lib.stream.index import AT_SOURCE, Index
from biomedica_assets.lib.stream.urls import pipe_pattern
from biomedica_assets.lib.stream.virtual import Count, Pictures, Selection, chunks, open_source
from biomedica_assets.lib.tables import RECIPE, SHARDS

TEXTS = 100
"""Texts that truncation is measured on: each comes with its picture, so fewer than from a disk."""
HELD_OUT = "held_out"


@dataclasses.dataclass(frozen=True, slots=True)
class Afar:
    """A release and how it is reached.

    Attributes:
        given: as the person wrote it; streams are started with it.
        place: folder or ``http(s)://`` address that it means.
        token: bearer token.
        cache: folder where samples are kept, and their limit as text.
        stats: file in which each stream tells what it fetched.
        holds: ``shards`` or ``source``; None takes what the release has.
        pictures: where pictures come from that the release does not hold.
    """

    given: str
    place: str
    stats: Path
    token: str | None = None
    cache: tuple[Path, str] | None = None
    holds: str | None = None
    pictures: Pictures = dataclasses.field(default_factory=Pictures)

    def arguments(self, index: Index) -> list[str]:
        """What the command of a stream is given beside index and place."""
        more = ["--stats", str(self.stats)]
        more += ["--cache", str(self.cache[0]), "--cache-size", self.cache[1]] if self.cache else []
        if index.pictures == AT_SOURCE:
            more += ["--source", self.pictures.place, "--in-flight", str(self.pictures.in_flight)]
            more += ["--shrink", str(self.pictures.shrink)] if self.pictures.shrink else []
        return more

    def kept(self) -> SampleCache | None:
        """The cache, opened."""
        variant = f" shrunk to {self.pictures.shrink}" if self.pictures.shrink else ""
        return SampleCache(self.cache[0], bytes_of(self.cache[1]), variant) if self.cache else None


def bring_recipe(lake: Lake, release: Afar, recipe: str | None, where: str | None) -> tuple[str, Path]:
    """Take the index of a recipe into a folder, under its digest: what has begun keeps its samples.

    Args:
        lake: folder that is trained into.
        release: where it is.
        recipe: name; None for ``full`` or the only one.
        where: condition on its samples; None for all.

    Returns:
        Name of the recipe and path of its index.

    Raises:
        PermanentFailure: the folder is a data directory with shards of its own.
        StreamError: the release cannot be read.
    """
    if lake.partitions(SHARDS):
        raise PermanentFailure(
            f"{lake.root} has shards of its own; materialise checkpoints there, or name an empty folder with --data-dir"
        )
    key = str(afar.manifest(release.place, release.token)["key"])
    if where is not None:
        opened = Index(selected(release.place, recipe, where, release.token, lake.root / "recipes", release.holds))
    else:
        opened = afar.open_index(release.place, recipe, release.token, pictures=release.holds)
    draft = lake.root / "recipes" / opened.recipe / f"draft{afar.SUFFIX}"
    opened.copy(draft)
    opened.close()
    entry = named.keep(lake, draft)
    config: dict[str, Any] = {"release": release.given, "where": where}
    lake.publish(
        RECIPE, opened.recipe, RECIPE.empty(), code_version="release", inputs={"release": key}, config=config, n_in=0,
        n_out=0, files=[entry],
    )  # fmt: skip
    return opened.recipe, lake.root / entry.path


def training_data(index: Path, release: Afar, profile: Profile, models: Path) -> Callable[[int], TrainingData]:
    """The training split as virtual shards that are fetched, cut for a number of loader workers."""
    opened = Index(index)
    counted = Counter[bool]()
    split = opened.split("train")
    for first, last, shard in zip(split.run_first, (*split.run_first[1:], split.entries), split.run_shard, strict=True):
        counted[opened.shards[shard].ext in IMAGES] += last - first
    wanted = Selection(split="train", caption=profile.caption)

    def cut(workers: int) -> TrainingData:
        streams = clip_data.streams_for(split.entries, workers, profile.virtual_shards)
        texts = clip_data.texts(_told(opened, release, wanted._replace(of=1)), TEXTS) if split.entries else []
        name = architecture(profile.model, models)
        return TrainingData(
            pattern=pipe_pattern(index, release.given, wanted, streams, more=release.arguments(opened)),
            samples=counted[True],
            virtual_shards=streams,
            unreadable=counted[False],
            truncation=clip_data.truncation(texts, name.name, context_length(name, profile)),
        )

    return cut


def held_out_pairs(lake: Lake, recipe: str, index: Path, release: Afar, most: int) -> pl.DataFrame:
    """Images and captions of the validation split, fetched into the folder: item_id, path, caption, group (article).

    Args:
        lake: folder that is trained into.
        recipe: its name.
        index: its index.
        release: where it is.
        most: pairs; of more, the first in the recipe's seeded order.
    """
    folder = lake.root / HELD_OUT / recipe / index.stem
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, str]] = {}
    pieces = _told(Index(index), release, Selection(split="validation", of=1))
    with tarfile.open(fileobj=cast("Any", clip_data.as_file(pieces)), mode="r|") as tar:
        for member in tar:
            key, _, ext = member.name.partition(".")
            if key not in rows and len(rows) == most:
                break
            row = rows.setdefault(key, {"item_id": key})
            handle = tar.extractfile(member)
            data = handle.read() if handle else b""
            if ext == "txt":
                row["caption"] = data.decode()
            elif ext == "json":
                row["group"] = str(json.loads(data)["article_id"])
            elif ext in (*IMAGES, *OTHERS):
                (folder / member.name).write_bytes(data)
                row["path"] = lake.path_below(folder / member.name)
    schema: dict[str, pl.DataType] = dict.fromkeys(("item_id", "path", "caption", "group"), pl.String())
    return pl.DataFrame(list(rows.values()), schema=schema).drop_nulls().sort("item_id")


def _told(index: Index, release: Afar, wanted: Selection) -> Iterator[bytes | memoryview]:
    """A stream of this process, told in the same file as those of the loaders."""
    source, count = open_source(index, release.place, release.token, release.pictures), Count()
    cache = release.kept()
    try:
        yield from chunks(index, source, wanted, cache, count)
    finally:
        told = {"samples": count.samples, "bytes": count.bytes, "fetched": getattr(source, "fetched", 0)}
        with release.stats.open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")


def network(stats: Path) -> Counter[str]:
    """What all streams told: samples, bytes, fetched, cached, skipped; and ``peak_bytes``, the most of any."""
    total = Counter[str]()
    for line in stats.read_text(encoding="utf-8").splitlines() if stats.is_file() else []:
        told: dict[str, Any] = json.loads(line)
        peak = max(total["peak_bytes"], int(told.pop("peak_bytes", 0)))
        told.pop("seconds", None)
        total.update({name: int(n) for name, n in told.items()})
        total["peak_bytes"] = peak
    return total
