"""``vectors/``: the embedding of each image as Parquet, by shelf, aligned with the other tables by ``media_id``.

Belongs here: which vectors may be passed on, and how they are written. The rules:

* A vector goes where its picture may go, and nowhere else: images that the release leaves out have none here.
* No vector of a picture under an ND licence: such a picture is passed on unchanged or not at all, and what a model made
  of it is not the picture unchanged. Who holds the picture computes the vector.
* float16, as the encoder's file has it: 2 kB an image at 1 024 dimensions, 49 GB for 24 million.
* A file has at most ``FILE_BYTES``, so that every reader can take it whole; a row group ``ROW_GROUP`` rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]  # it ships no types
import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]  # it ships no types

from biomedica_assets.lib.release.copies import SPLIT
from biomedica_assets.lib.release.manifest import ReleaseFile, entry
from biomedica_assets.lib.release.statistics import Statistic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import DTYPE, vectors_of
from biomedica_assets.lib.tables import EMBEDDING_SHELF, IMAGES, VECTORS

FOLDER = VECTORS.name
KIND = "vectors"
FILE_BYTES = 1 << 30
ROW_GROUP = 8192

_arrow: Any = pa
_parquet: Any = pq


def write(
    release: Path, lake: Lake, media: pl.Series, file_bytes: int = FILE_BYTES
) -> tuple[list[ReleaseFile], Statistic | None]:
    """Write the vectors of a release; a row group is in memory at a time, and the ids of a shelf.

    Args:
        release: folder that is built; its table ``images`` is written.
        lake: holds the vectors.
        media: images that may be passed on.
        file_bytes: most bytes of vectors in a file.

    Returns:
        The files, and what became of all vectors; none if the data directory has none.

    Raises:
        StoreError: vectors are not what their ids were written for.
    """
    shelves = lake.partitions(EMBEDDING_SHELF)
    if not shelves:
        return [], None
    codes = pl.scan_parquet(sorted((release / "data" / IMAGES.name).glob("*.parquet"))) if media.len() else None
    free = (
        codes.filter(~pl.col("license_code").str.ends_with("ND")).select("media_id").collect()["media_id"]
        if codes is not None
        else pl.Series("media_id", [], dtype=pl.String())
    )
    counted = {"in": 0, "left out: the image is not passed on": 0, "left out: the licence allows no derivatives": 0}
    folder, drafts = release / FOLDER, list[tuple[Path, int]]()
    encoders: set[str] = set()
    for shelf in shelves:
        ids = lake.read(EMBEDDING_SHELF, shelf).sort("row")
        allowed = ids.filter(pl.col("media_id").is_in(media.implode()))
        kept = allowed.filter(pl.col("media_id").is_in(free.implode()))
        counted["in"] += ids.height
        counted["left out: the image is not passed on"] += ids.height - allowed.height
        counted["left out: the licence allows no derivatives"] += allowed.height - kept.height
        manifest = lake.manifest(EMBEDDING_SHELF, shelf)
        encoder = str(manifest.metrics["encoder"]) if manifest else "unknown"
        encoders.add(encoder)
        if kept.height:
            folder.mkdir(parents=True, exist_ok=True)
            drafts += _shelf(lake, folder, shelf, kept, encoder, file_bytes, len(drafts))
    counted["out"] = sum(rows for _, rows in drafts)
    files = [
        entry(release, draft.rename(folder / f"{SPLIT}-{n:05d}-of-{len(drafts):05d}.parquet"), KIND, rows)
        for n, (draft, rows) in enumerate(drafts)
    ]
    frame = pl.DataFrame(list(counted.items()), schema={"vectors": pl.String(), "number": pl.Int64()}, orient="row")
    note = f"Encoder: {', '.join(sorted(encoders))}."
    return files, Statistic("vectors", "Vectors", note, frame)


def _shelf(
    lake: Lake, folder: Path, shelf: str, kept: pl.DataFrame, encoder: str, file_bytes: int, first: int
) -> Iterator[tuple[Path, int]]:
    vectors = vectors_of(lake, EMBEDDING_SHELF, shelf)
    a_file = max(1, file_bytes // max(1, vectors.dimension * DTYPE.itemsize))
    schema = _arrow.schema(
        [
            _arrow.field("media_id", _arrow.string()),
            _arrow.field("source_chunk", _arrow.string()),
            _arrow.field("vector", _arrow.list_(_arrow.float16(), vectors.dimension)),
        ],
        metadata={"encoder": encoder, "shelf": shelf},
    )
    rows = kept["row"].to_numpy()
    for number, start in enumerate(range(0, kept.height, a_file)):
        path = folder / f"draft-{first + number:05d}"
        stop = min(start + a_file, kept.height)
        # Numbers of a model do not compress; ids beside them do.
        with _parquet.ParquetWriter(path, schema, compression="zstd", use_dictionary=["source_chunk"]) as writer:
            for low in range(start, stop, ROW_GROUP):
                high = min(low + ROW_GROUP, stop)
                at = rows[low:high]
                # Rows rise, so one span of the file is read and what lies between is dropped.
                span = vectors.read(int(at[0]), int(at[-1]) + 1)
                block = np.ascontiguousarray(span[at - at[0]])
                values = _arrow.FixedSizeListArray.from_arrays(_arrow.array(block.ravel()), vectors.dimension)
                columns = [kept["media_id"][low:high].to_list(), kept["source_chunk"][low:high].to_list(), values]
                writer.write_table(
                    _arrow.Table.from_arrays([_arrow.array(c) for c in columns[:2]] + [values], schema=schema)
                )
        yield path, stop - start
