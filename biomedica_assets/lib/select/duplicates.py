"""Groups of images that are the same picture: equal bytes, equal pixels or alike to the eye, across all articles.

Two images are linked if their files are equal, if their pixels are, or if their perceptual hashes differ in at most
``max_distance`` bits and their pixels agree. A group is what links connect.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from biomedica_assets.lib.compute import Engine, results
from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.images.canonical import VERSION as CANONICAL
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.select import hamming, likeness, looks
from biomedica_assets.lib.select.components import connected_components
from biomedica_assets.lib.select.copies import whole_agreement
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import DUPLICATES, IMAGE_FINGERPRINTS

VERSION = f"2.{CANONICAL}"
MAX_DISTANCE = 4
LEAST_CORRELATION = 0.93
"""On 136 real figures and 1 088 copies, the pixels cost no recall (0.993 to 1; 0.85 for 1 % of border cropped, which
the hash misses). Of 76 links by hash in the invented corpus they refuse 68, nearly all between plots alike in shape
with other data. A distance of 8 finds every copy but those cropped by 3 %, and 5 % false pairs without the pixels, none
with them; it is not the default for the time it takes (benchmarks/near_duplicates.py)."""
LEAST_AGREEMENT = 0.96
"""Of 40 real figures and 281 copies of them every pair that hash and correlation link agrees by 0.97 or more when one
is laid over the other. Of 23 such links between 250 drawn pictures it refuses 6: formulae and scatter plots of one
form with other content."""
PLAIN_BITS = 2
"""A pHash has 32 bits set, or close to it, unless the picture has next to no structure (blank, one line): hashes with
at most so many bits set, or unset, say nothing and are not compared."""
_BATCH = 256

I64 = NDArray[np.int64]
Edges = tuple[I64, I64]


@dataclasses.dataclass(frozen=True, slots=True)
class DuplicateRules:
    """What counts as the same picture.

    Attributes:
        max_distance: bits in which perceptual hashes may differ.
        least_correlation: how much pairs that only their hashes link must correlate (``likeness.same_picture``); costs
            two small decodings a pair. None believes the hashes.
        least_agreement: how much the structure of pairs that correlate must agree when one is laid over the other
            (``agreement.Agreement.smooth``), for another two decodings a pair. None believes the correlation.
    """

    max_distance: int = MAX_DISTANCE
    least_correlation: float | None = LEAST_CORRELATION
    least_agreement: float | None = LEAST_AGREEMENT


def build_duplicates(
    lake: Lake, rules: DuplicateRules | None = None, *, engine: Engine | None = None, progress: Progress = SILENT
) -> Report:
    """Stage of the asset ``duplicates``: one row per image that is not alone.

    Reads ``image_fingerprints`` of all shelves; a digest is compared by its first 64 bits (two of 24 million different
    files agree by chance with probability 2e-5).

    Args:
        lake: the data directory.
        rules: what counts as the same picture.
        engine: where pixels are compared; None compares them here.
        progress: told of pairs compared.
    """
    began, rules = time.perf_counter(), rules or DuplicateRules()
    inputs = lake.inputs(*((IMAGE_FINGERPRINTS, shelf) for shelf in lake.partitions(IMAGE_FINGERPRINTS)))
    images = _images(lake)
    n = images.height
    sha, pixels = _digits(images, "sha256"), _digits(images, "pixel_hash")
    phash = images["phash"].to_numpy()
    told = _tells(phash)
    near, uncompared = _near(phash, pixels, told, rules.max_distance)
    kept = _confirmed(near, images["path"], lake.root, rules, engine, progress)
    same_bytes, same_pixels = _to_first(sha), _to_first(pixels)
    left, right = (np.concatenate(ends) for ends in zip(same_bytes, same_pixels, kept, strict=True))
    label = connected_components(n, left, right)
    _, inverse, size = np.unique(label, return_inverse=True, return_counts=True)
    grouped = size[inverse] > 1
    match = np.select([_shared(sha)[grouped], _shared(pixels)[grouped]], ["bytes", "pixels"], default="perceptual")
    first = label[grouped]
    frame = pl.DataFrame(
        {
            "media_id": images["media_id"].filter(pl.Series(grouped)),
            "article_id": images["article_id"].filter(pl.Series(grouped)),
            "group": images["media_id"].gather(first),
            "match": match.astype(str),
            "distance": np.bitwise_count(phash[grouped] ^ phash[first]).astype(np.int32),
            "group_size": size[inverse][grouped].astype(np.int32),
        },
        schema=DUPLICATES.schema,
    ).sort("group", "media_id")
    metrics: dict[str, int | float | str | bool | None] = {
        "images": n,
        "groups": int((size > 1).sum()),
        "largest_group": int(size.max(initial=0)),
        "superfluous": int((size - 1).sum()),
        "matched_bytes": int((match == "bytes").sum()),
        "matched_pixels": int((match == "pixels").sum()),
        "matched_perceptual": int((match == "perceptual").sum()),
        "links_by_hash": len(near[0]),
        "links_confirmed": len(kept[0]),
        "without_structure": int((~told).sum()),
        "uncompared_in_large_buckets": uncompared,
    }
    manifest = lake.publish(
        DUPLICATES,
        None,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config=dataclasses.asdict(rules),
        n_in=n,
        n_out=n,
        metrics=metrics,
    )
    return Report(
        asset=DUPLICATES.name,
        partition=None,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=n,
        n_out=n,
        bytes_written=manifest.bytes,
        seconds=time.perf_counter() - began,
        metrics=metrics,
        preview=tuple(frame.head(10).iter_rows(named=True)),
    )


def _images(lake: Lake) -> pl.DataFrame:
    """All images in the order of chunks and ids: the first of a group is the one from the lowest PMCIDs."""
    wanted = ["media_id", "article_id", "path", "sha256", "pixel_hash", "phash"]
    digests = [pl.col(c).str.slice(0, 16).str.to_integer(base=16, dtype=pl.UInt64) for c in ("sha256", "pixel_hash")]
    return lake.scan(IMAGE_FINGERPRINTS).sort("chunk", "media_id").select(wanted).with_columns(digests).collect()


def _digits(images: pl.DataFrame, column: str) -> NDArray[np.uint64]:
    return images[column].to_numpy()


def _tells(phash: NDArray[np.uint64]) -> NDArray[np.bool_]:
    bits = np.bitwise_count(phash)
    return (bits > PLAIN_BITS) & (bits < hamming.BITS - PLAIN_BITS)


def _near(
    phash: NDArray[np.uint64], pixels: NDArray[np.uint64], told: NDArray[np.bool_], distance: int
) -> tuple[Edges, int]:
    """Links between images of different pixels whose hashes are near, one image standing for all with its hash."""
    nodes = np.flatnonzero(told)
    hashes, first, inverse = np.unique(phash[nodes], return_index=True, return_inverse=True)
    equal = (nodes, nodes[first[inverse]])
    other = pixels[equal[0]] != pixels[equal[1]]
    pairs = hamming.near_pairs(hashes, distance)
    one, two = (nodes[first[np.searchsorted(hashes, side)]] for side in (pairs.left, pairs.right))
    edges = np.concatenate([equal[0][other], one]), np.concatenate([equal[1][other], two])
    return edges, pairs.uncompared


def _to_first(values: NDArray[np.uint64]) -> Edges:
    """Links from each later image to the first with its value."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    here = np.arange(len(values))
    later = first[inverse] != here
    return here[later], first[inverse][later]


def _shared(values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    return count[inverse] > 1


def _confirmed(
    edges: Edges, paths: pl.Series, root: Path, rules: DuplicateRules, engine: Engine | None, progress: Progress
) -> Edges:
    """The links whose pictures are alike."""
    if (least := rules.least_correlation) is None:
        return edges
    likeness.portrait.cache_clear()  # files may have changed since an earlier run of this process
    looks.grey_file.cache_clear()
    order = np.lexsort((edges[0], edges[1]))  # pairs of one picture in a row: it is decoded once
    left, right = edges[0][order], edges[1][order]

    def batches() -> Iterator[Pairs]:
        for low in range(0, len(left), _BATCH):
            ends = (paths.gather(side[low : low + _BATCH]) for side in (left, right))
            yield Pairs(root, tuple(zip(*ends, strict=True)), least, rules.least_agreement)

    verdicts: list[bool] = []
    answers = results(engine, compare, batches())
    for answer in track(answers, progress, "compare pictures", None, f"batches of {_BATCH} pairs"):
        verdicts.extend(answer)
    keep = np.array(verdicts, dtype=np.bool_)
    return left[keep], right[keep]


@dataclasses.dataclass(frozen=True, slots=True)
class Pairs:
    """Work for one worker: pairs of paths below ``root``, and how much they must correlate, then agree."""

    root: Path
    paths: tuple[tuple[str, str], ...]
    least: float
    agreement: float | None


def compare(pairs: Pairs) -> list[bool]:
    """Whether the pictures of each pair are alike.

    Raises:
        StoreError: a file of the mirror cannot be read.
    """
    try:
        return [_same(pairs.root / one, pairs.root / other, pairs) for one, other in pairs.paths]
    except OSError as error:
        raise StoreError(f"an image of the mirror cannot be read ({error}); materialise images again") from error


def _same(one: Path, other: Path, asked: Pairs) -> bool:
    if not likeness.same_picture(likeness.portrait(one), likeness.portrait(other), asked.least):
        return False
    if asked.agreement is None:
        return True
    found = whole_agreement(looks.grey_file(one), looks.grey_file(other))
    return found is not None and found.smooth >= asked.agreement
