"""Taking in and joining released labels: seconds and peak memory for each million records, and for BIOMEDICA's 24.

Records have BIOMEDICA's field names and types, as Parquet without pictures and as a tar with them; the lake has an
image for two records of three. Run: ``python benchmarks/released_labels.py [records] [records in tars]``.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import polars as pl
from PIL import Image

from biomedica_assets.lib.annotate.released import intake, join
from biomedica_assets.lib.annotate.released.definition import load_definition
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.chunks import chunk_of
from biomedica_assets.lib.images.phash import hash_of_file
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CAPTIONS, CHUNK_LISTING, IMAGES, RELEASED_RECORDS, Table

SPAN, PER_ARTICLE, PER_FILE, WHOLE = 20_000, 5, 100_000, 24_076_288


def _blank(table: Table, n: int, **columns: pl.Series) -> pl.DataFrame:
    values = {pl.String: "x", pl.Boolean: False}
    made = [
        columns[c.name].alias(c.name)
        if c.name in columns
        else pl.repeat(None if c.nullable else values.get(type(c.dtype), 0), n, eager=True, dtype=c.dtype).alias(c.name)
        for c in table.columns
    ]
    return pl.DataFrame(made)


def _names(first: int, n: int) -> pl.DataFrame:
    number = pl.int_range(first, first + n, eager=True)
    pmcid, file = number // PER_ARTICLE + 1, (number % PER_ARTICLE).cast(pl.String)
    return pl.DataFrame({"pmcid": pmcid, "file": "journal-" + pmcid.cast(pl.String) + "-g00" + file})


def _lake(root: Path, n: int) -> Lake:
    lake = Lake(root)
    for first in range(0, n, SPAN * PER_ARTICLE):
        rows = _names(first, min(SPAN * PER_ARTICLE, n - first))
        for (chunk,), part in rows.with_columns(
            chunk=pl.col("pmcid").map_elements(lambda p: chunk_of(p, SPAN), return_dtype=pl.String)
        ).group_by("chunk", maintain_order=True):
            article = "PMC" + part["pmcid"].cast(pl.String) + ".1"
            some = part.height * 2 // 3
            one = {"media_id": part["file"], "figure_id": part["file"], "article_id": article, "href": part["file"]}
            images = _blank(IMAGES, part.height, **one, key=part["file"] + ".jpg").head(some)
            captions = _blank(CAPTIONS, part.height, figure_id=part["file"], article_id=article).head(some)
            for table, frame in ((IMAGES, images), (CAPTIONS, captions), (CHUNK_LISTING, CHUNK_LISTING.empty())):
                made = {"code_version": "b", "inputs": {}, "config": {}, "n_in": frame.height, "n_out": frame.height}
                lake.publish(table, str(chunk), frame, **made)
    return lake


def _parquet(folder: Path, n: int) -> list[str]:
    places: list[str] = []
    for first in range(0, n, PER_FILE):
        rows = _names(first, min(PER_FILE, n - first))
        frame = rows.select(
            article_accession_id="PMC" + pl.col("pmcid").cast(pl.String),
            image_file_name=pl.col("file") + ".jpg",
            txt="A caption of " + pl.col("file") + " that is as long as many captions are, with a sentence. " * 6,
            image_primary_label=pl.concat_list(pl.lit("Plots and Charts")),
            image_secondary_label=pl.concat_list(pl.lit("bar plot")),
            article_text=pl.lit("full text " * 200),
        )
        places.append(str(folder / f"{first:09d}.parquet"))
        frame.write_parquet(places[-1])
    return places


def _tar(folder: Path, n: int) -> list[str]:
    out = io.BytesIO()
    Image.effect_noise((700, 500), 60).convert("RGB").save(out, "JPEG", quality=75)
    place = folder / "000000.tar"
    with tarfile.open(place, "w") as tar:
        for pmcid, file in _names(0, n).iter_rows():
            fields = {"article_accession_id": f"PMC{pmcid}", "image_file_name": f"{file}.jpg"}
            fields |= {
                "image_primary_label": ["Plots and Charts"],
                "image_secondary_label": [],
                "article_text": "t" * 40_000,
            }
            for extension, data in {
                "json": json.dumps(fields).encode(),
                "txt": b"Text.",
                "jpg": out.getvalue(),
            }.items():
                info = tarfile.TarInfo(f"PMC{pmcid}_{file}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return [str(place)]


def _peak() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()  # ru_maxrss is the parent's after a spawn
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _measured(root: Path, places: list[str]) -> tuple[intake.TakenIn, float, float, float, float]:
    """Counts, seconds of the intake and of the join, peak memory and that before, in MiB."""
    lake, before, began = Lake(root), _peak(), time.perf_counter()
    found = intake.take_in(lake, load_definition(None, "biomedica", load()), places, chunk_span=SPAN)
    taken = time.perf_counter() - began
    began = time.perf_counter()
    for chunk in lake.partitions(RELEASED_RECORDS):
        join.stage_labels(lake, chunk)
    return found, taken, time.perf_counter() - began, _peak(), before


def main() -> None:
    """Print seconds and MiB."""
    n, n_tar = (int(word) for word in (*sys.argv[1:], "1000000", "2000")[:2])
    definition = load_definition(None, "biomedica", load())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lake, places = _lake(folder / "data", n), _parquet(folder, n)
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:  # a process that did not make the records
            found, taken, joined, peak, before = alone.submit(_measured, lake.root, places).result()
        print(f"{found.records:,} records of Parquet, {len(found.versions)} chunks: {join.joins(lake)}")
        each = 1e6 / found.records
        print(
            f"a million: {taken * each:.1f} s taken in, {joined * each:.1f} s joined, "
            f"peak {peak:.0f} MiB ({before:.0f} before)"
        )
        print(f"BIOMEDICA's {WHOLE:,}, projected: {(taken + joined) / found.records * WHOLE / 60:.0f} minutes")
        for hashing, say in ((None, "without pictures"), (hash_of_file, "with pictures hashed")):
            other, began = Lake(folder / say.replace(" ", "-")), time.perf_counter()
            got = intake.take_in(other, definition, _tar(folder, n_tar), chunk_span=SPAN, hash_picture=hashing)
            per = (time.perf_counter() - began) / got.records
            print(f"WebDataset {say} (writing the tar included): {per * 1e3:.2f} ms a record")


if __name__ == "__main__":
    main()
