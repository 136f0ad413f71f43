"""Who labels which cluster, and what is shown: assignment with overlap, the order of work, the pictures of an item.

The pictures of a cluster are those of its contact sheet (table ``contact_sheets``: central, random, border, seeded);
the audit draws single images (``draws``). Assignment is a pure function of names, seed and overlap, so nothing
has to be stored and a crash loses nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence

import polars as pl

from biomedica_assets.lib.annotate import draws
from biomedica_assets.lib.annotate.form import QUESTIONS
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CAPTIONS, CONTACT_SHEETS, FIGURE_LABELS, IMAGES


def assigned(cluster: int, annotators: Iterable[str], overlap: int, seed: int) -> tuple[str, ...]:
    """The people who label a cluster: the ``overlap`` names with the highest hash for it.

    Rendezvous hashing (Thaler and Ravishankar 1998): one more annotator only takes over clusters, nobody else's change
    hands among themselves.
    """
    ranked = sorted(set(annotators), key=lambda name: (_hash(seed, "who", cluster, name), name), reverse=True)
    return tuple(sorted(ranked[:overlap]))


def work_order(clusters: Iterable[int], seed: int) -> list[int]:
    """Clusters in a seeded order that all annotators share, so that overlapping votes come together early."""
    return sorted(clusters, key=lambda cluster: (_hash(seed, "when", cluster), cluster))


def _hash(seed: int, *parts: object) -> str:
    return hashlib.sha256("\x00".join(map(str, (seed, *parts))).encode()).hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """One picture of an item.

    Attributes:
        media_id: image.
        role: central, border, random; ``single`` for an image that is judged alone.
        caption: of its figure, None if it has none.
        path: file below the data directory, None if the image is no longer in ``images``.
        article_id: ``PMC123.1``, None if the image is no longer in ``images``.
    """

    media_id: str
    role: str
    caption: str | None
    path: str | None
    article_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Sheets:
    """Everything there is to judge, with one cluster model.

    Attributes:
        model: digest of the model, None if there are no clusters.
        clusters: cluster -> pictures in sheet order.
        sizes: cluster -> number of its images.
        pictures: media_id -> picture, those of the sheets and of the audit.
        audit: media_ids to audit, in their order.
    """

    model: str | None
    clusters: dict[int, tuple[Picture, ...]]
    sizes: dict[int, int]
    pictures: dict[str, Picture]
    audit: tuple[str, ...]


ROLE_ORDER = {"central": 0, "random": 1, "border": 2}


def read_sheets(lake: Lake, audit: Sequence[str] = ()) -> Sheets:
    """Read what annotators are shown.

    Args:
        lake: reads ``contact_sheets``, ``images`` and, for audited images, ``captions``.
        audit: images that are judged alone, in order.

    Raises:
        PermanentFailure: the sheets mix cluster models.
    """
    sheets = lake.read(CONTACT_SHEETS, None)
    models = sheets["model"].unique().to_list()
    if len(models) > 1:
        raise PermanentFailure("contact_sheets mixes cluster models; materialise it again")
    ids = pl.Series("media_id", [*sheets["media_id"], *audit]).unique()
    images = lake.scan(IMAGES).filter(pl.col("media_id").is_in(ids.implode())).collect()
    paths: dict[str, str] = dict(images.select("media_id", "path").iter_rows())
    articles: dict[str, str] = dict(images.select("media_id", "article_id").iter_rows())
    sheets = sheets.with_columns(_order=pl.col("role").replace_strict(ROLE_ORDER, default=9)).sort(
        "cluster", "_order", "rank"
    )
    clusters: dict[int, list[Picture]] = {}
    sizes: dict[int, int] = {}
    for row in sheets.iter_rows(named=True):
        shown = clusters.setdefault(row["cluster"], [])
        if all(picture.media_id != row["media_id"] for picture in shown):  # small clusters draw an image in two roles
            media_id = row["media_id"]
            shown.append(Picture(media_id, row["role"], row["caption"], paths.get(media_id), articles.get(media_id)))
        sizes[row["cluster"]] = row["n_images"]
    pictures = {picture.media_id: picture for shown in clusters.values() for picture in shown}
    if audit:
        figures = images.filter(pl.col("media_id").is_in(list(audit))).select("media_id", "figure_id")
        text = lake.scan(CAPTIONS).select("figure_id", "caption").join(figures.lazy(), on="figure_id").collect()
        captions: dict[str, str] = dict(text.select("media_id", "caption").iter_rows())
        singles = [Picture(i, "single", captions.get(i), paths.get(i), articles.get(i)) for i in audit if i in paths]
        pictures |= {picture.media_id: picture for picture in singles if picture.media_id not in pictures}
    frozen = {cluster: tuple(shown) for cluster, shown in clusters.items()}
    known = tuple(i for i in audit if i in pictures)
    return Sheets(models[0] if models else None, frozen, sizes, pictures, known)


def draw_audit(lake: Lake, per_label: int, seed: int) -> list[str]:
    """Draw images to audit from whatever ``figure_labels`` there are, and record the draw; none before labels exist."""
    chunks = lake.partitions(FIGURE_LABELS)
    if not per_label or not chunks:
        return []
    parts = (lake.read_lazy(FIGURE_LABELS, chunk).select("media_id", *QUESTIONS).collect() for chunk in chunks)
    drawn = draws.draw(parts, per_label, draws.seed_of(lake.root, seed))
    draws.record(lake.root, drawn)
    return sorted(drawn.images["media_id"], key=lambda media_id: (_hash(seed, "audit", media_id), media_id))
