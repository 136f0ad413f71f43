"""Caps, balance and weights per top concept.

A sample with several top concepts counts for the rarest of them, so that the scarce ones are not spent on samples that
also show a plot. Which samples of a concept stay is drawn by a keyed hash of the sample's key: a sample's luck does not
depend on which others there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray


def luck(keys: Iterable[str], salt: str) -> NDArray[np.float64]:
    """A number in 0..1 for each key, float64 (n,), fixed by key and salt."""
    seeded = hashlib.blake2b(salt.encode(), digest_size=8)
    numbers: list[int] = []
    for key in keys:
        mine = seeded.copy()
        mine.update(key.encode())
        numbers.append(int.from_bytes(mine.digest(), "little"))
    return np.array(numbers, dtype=np.uint64) / 2.0**64


def first_of(digest: pl.Series, samples: pl.DataFrame) -> pl.Series:
    """Which samples stand for those of their digest: those of the image with most pixels, the lowest id among equals.

    Panels go with the image that they were cut from: all that are left of one, or none.

    Args:
        digest: of the image of each sample.
        samples: media_id, area.
    """
    images = samples.select("media_id", "area", digest.alias("digest")).unique("media_id")
    best = images.sort("digest", "area", "media_id", descending=[False, True, False])
    return samples["media_id"].is_in(best.unique("digest", keep="first", maintain_order=True)["media_id"].implode())


def first_of_group(samples: pl.DataFrame, groups: pl.DataFrame) -> pl.Series:
    """The same by group of duplicates; a sample that is in none stands for itself.

    Args:
        samples: media_id, area.
        groups: media_id, group.
    """
    named = samples.select("media_id").join(
        groups.select("media_id", "group"), on="media_id", how="left", maintain_order="left"
    )
    return first_of(named.select(pl.col("group").fill_null(pl.col("media_id"))).to_series(), samples)


def rarest(tops: pl.Series) -> pl.Series:
    """The rarest of each sample's top concepts; null where it has none.

    Args:
        tops: list[str] per sample.
    """
    frame = pl.DataFrame({"row": pl.int_range(len(tops), eager=True), "top": tops}).explode("top").drop_nulls()
    counts = frame.group_by("top").len("n")
    best = frame.join(counts, on="top").sort("row", "n", "top").unique("row", keep="first")
    rows = pl.DataFrame({"row": pl.int_range(len(tops), eager=True)})
    return rows.join(best, on="row", how="left", maintain_order="left")["top"]


def balancing_cap(counts: Iterable[int], share: float) -> int:
    """The largest cap under which the concepts together keep at most ``share`` of their samples; at least 1."""
    sizes = sorted(counts)
    budget = share * sum(sizes)
    low, high = 1, max(sizes, default=1)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(size, middle) for size in sizes) <= budget:
            low = middle
        else:
            high = middle - 1
    return low


def within_caps(concepts: pl.Series, keys: pl.Series, caps: Mapping[str, int], seed: int) -> pl.Series:
    """Which samples stay under the caps, a Boolean per sample.

    Args:
        concepts: the concept each sample counts for, null for none; those are not capped.
        keys: sample keys.
        caps: most samples by concept; a concept without one is not capped.
        seed: of the draw.
    """
    frame = pl.DataFrame({"concept": concepts, "key": keys}).with_row_index("row")
    most = pl.DataFrame(
        {"concept": list(caps), "cap": list(caps.values())}, schema={"concept": pl.String, "cap": pl.Int64}
    )
    capped = frame.join(most, on="concept", how="inner", maintain_order="left")
    capped = capped.with_columns(pl.Series("luck", luck(capped["key"], f"cap/{seed}")))
    order = pl.struct("luck", "key").rank("ordinal").over("concept")
    out = capped.filter(order > pl.col("cap"))["row"]
    return ~frame["row"].is_in(out.implode())


def repeats(concepts: pl.Series, keys: pl.Series, weights: Mapping[str, float], seed: int) -> pl.Series:
    """How often each sample comes in an epoch, int32: its weight, the fraction drawn once and for all."""
    weight = concepts.replace_strict(dict(weights), default=1.0, return_dtype=pl.Float64).fill_null(1.0).to_numpy()
    whole = np.floor(weight)
    drawn = luck(keys, f"weight/{seed}") < weight - whole if weights else np.zeros(len(weight))
    return pl.Series((whole + drawn).astype(np.int32))
