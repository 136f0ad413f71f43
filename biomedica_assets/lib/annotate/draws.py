"""Which images an audit asks about, drawn by lot, and with what probability each was drawn.

Belongs here: the draw and its record, ``annotations/draws/<digest>.json``. Each label gets its images, so rare ones are
drawn far oftener than common ones: 10 of 12 where another label gives 10 of 100 000. Without the probabilities nothing
that is counted on them speaks of the data.

Each image has a number from a hash of its id, uniform in 0..1 (permanent random numbers: Ohlsson 1995); a label takes
the images with the smallest. Given all other numbers an image is drawn exactly if its own lies below the largest, over
its labels, of the (k+1)-th smallest, which is thus its probability (rank conditioning: Cohen and Kaplan 2007, PODC).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from biomedica_assets.lib.annotate.form import QUESTIONS, SETS
from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.store import atomic

NONE = "none"
"""Reason of an image that has no label of a question: what labels miss is found only where there are none, too."""
_PLACES = {"media_id": pl.String, "place": pl.Float64}
_WANTED = pl.Schema({"media_id": pl.String, "reason": pl.String, "place": pl.Float64})


@dataclasses.dataclass(frozen=True)
class Draw:
    """Images that were drawn.

    Attributes:
        seed: of the numbers of the images.
        per_label: images per label; 0 if it is not known.
        n_images: from how many they were drawn; 0 likewise.
        images: media_id, reasons (list of ``question:concept``), inclusion (f64: probability with which it was drawn).
    """

    seed: int
    per_label: int
    n_images: int
    images: pl.DataFrame


def draw(parts: Iterable[pl.DataFrame], per_label: int, seed: int) -> Draw:
    """Draw images per label for people to judge.

    Args:
        parts: ``figure_labels`` in any number of pieces (at least media_id and the questions), each image in one.
        per_label: images per (question, concept), and per question of those without a label; fewer if it is rarer.
        seed: of the draw. Each image has its own place in it, so further images never reshuffle it.

    Returns:
        The images sorted by media_id; one is drawn once though several labels ask for it.
    """
    n, smallest = 0, pl.DataFrame(schema=_WANTED)
    for part in parts:
        n += part.height
        wanted = pl.concat([_wanted(part, question) for question in QUESTIONS])
        ids = wanted["media_id"].unique()
        places = pl.DataFrame({"media_id": ids, "place": [_place(i, seed) for i in ids]}, schema_overrides=_PLACES)
        smallest = _smallest(
            pl.concat([smallest, wanted.join(places, on="media_id").select(_WANTED.names())]), per_label + 1
        )
    rank = pl.col("place").rank("ordinal").over("reason")
    rows = smallest.with_columns(
        rank=rank, inclusion=pl.col("place").filter(rank > per_label).first().over("reason").fill_null(1.0)
    ).filter(pl.col("rank") <= per_label)
    images = rows.group_by("media_id").agg(reasons=pl.col("reason").sort(), inclusion=pl.col("inclusion").max())
    return Draw(seed, per_label, n, images.sort("media_id"))


def _wanted(labels: pl.DataFrame, question: str) -> pl.DataFrame:
    """media_id, reason: by what images of one question ask to be drawn."""
    one = labels.select("media_id", concept=pl.col(question))
    if question in SETS:
        one = one.explode("concept", empty_as_null=True)
    return one.select("media_id", reason=pl.lit(f"{question}:") + pl.col("concept").fill_null(NONE))


def _smallest(wanted: pl.DataFrame, most: int) -> pl.DataFrame:
    smallest = wanted.sort("reason", "place", "media_id").group_by("reason").head(most)
    return smallest.select(_WANTED.names())


def _place(media_id: str, seed: int) -> float:
    digits = hashlib.sha256(f"{seed}:{media_id}".encode()).hexdigest()[:13]
    return (int(digits, 16) + 0.5) / 16**13


def record(root: Path, drawn: Draw) -> Path:
    """Write a draw below the data directory; the same draw a second time changes nothing."""
    plain = {"seed": drawn.seed, "per_label": drawn.per_label, "n_images": drawn.n_images}
    images = dict(drawn.images.select("media_id", "inclusion").iter_rows())
    text = json.dumps(plain | {"images": images}, sort_keys=True, indent=0).encode()
    path = _folder(root) / f"{hashlib.sha256(text).hexdigest()[:16]}.json"
    if not path.exists():
        atomic.write_bytes(path, text)
    return path


def plant(root: Path, votes: pl.DataFrame, seed: int) -> None:
    """Record the draw behind votes of ``expert_votes`` that came from elsewhere, with the seed that was used there."""
    images = votes.drop_nulls("inclusion").group_by("media_id").agg(pl.col("inclusion").max()).sort("media_id")
    if images.height:
        record(root, Draw(seed, 0, 0, images))


def seed_of(root: Path, wanted: int) -> int:
    """Seed of further draws: that of the recorded ones, since probabilities of other numbers do not go together."""
    recorded = sorted({seed for seed, _ in _recorded(root)})
    return recorded[0] if recorded else wanted


def inclusion_of(root: Path) -> dict[str, float]:
    """Probability with which each image was drawn in any recorded draw; images that were picked by hand have none.

    An image that a draw left out has, in that draw, a limit below its number; so the largest limit of the draws that
    took it is the largest of all.
    """
    seeds = _recorded(root)
    first = min((seed for seed, _ in seeds), default=0)
    found: dict[str, float] = {}
    for seed, images in seeds:
        if seed == first:
            found |= {media_id: max(p, found.get(media_id, 0.0)) for media_id, p in images.items()}
    return found


def _recorded(root: Path) -> list[tuple[int, dict[str, float]]]:
    """Seed and images of each record.

    Raises:
        StoreError: a record is not what ``record`` wrote.
    """
    found: list[tuple[int, dict[str, float]]] = []
    for path in sorted(_folder(root).glob("*.json")):
        try:
            plain: dict[str, Any] = json.loads(path.read_bytes())
            images: dict[str, Any] = plain["images"]
            found.append((int(plain["seed"]), {media_id: float(p) for media_id, p in images.items()}))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{path} is no record of an audit's draw; what was judged by it cannot be weighted. Bring the file "
                "back, or move it away: its images then count as picked by hand"
            ) from error
    return found


def _folder(root: Path) -> Path:
    return root / "annotations" / "draws"
