"""The stage of the asset ``figure_labels``: every source of labels, put together chunk by chunk."""

from __future__ import annotations

import dataclasses

import polars as pl

from biomedica_assets.lib.annotate import labels
from biomedica_assets.lib.annotate.corrections import read_audited
from biomedica_assets.lib.annotate.form import QUESTIONS
from biomedica_assets.lib.annotate.labels import HUMAN, MODEL, PROPAGATED, Calibration, label_images, propagate
from biomedica_assets.lib.annotate.sources import combine
from biomedica_assets.lib.annotate.sources.claims import gather
from biomedica_assets.lib.annotate.sources.combine import combined
from biomedica_assets.lib.annotate.sources.trust import read_trust
from biomedica_assets.lib.annotate.tally import read_votes
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy, load
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    ANNOTATIONS,
    CLUSTERS,
    FIGURE_LABELS,
    IMAGES,
    LABEL_CALIBRATION,
    LABEL_CORRECTIONS,
    LABEL_TRUST,
    MODEL_LABELS,
    NEIGHBOURS,
    PANELS,
    RELEASED_LABELS,
    TEXT_LABELS,
    Table,
)

VERSION = f"{labels.VERSION}.{combine.VERSION}"
BEFORE_AUDIT: tuple[Table, ...] = (
    CLUSTERS,
    ANNOTATIONS,
    TEXT_LABELS,
    RELEASED_LABELS,
    MODEL_LABELS,
    LABEL_TRUST,
    NEIGHBOURS,
)
"""Sources that speak if they are there."""
WITHOUT: tuple[Table, ...] = (*BEFORE_AUDIT, LABEL_CALIBRATION, LABEL_CORRECTIONS)
"""The same, and what the audit says is to be done to their labels."""


def stage_labels(lake: Lake, chunk: str) -> Report:
    """Publish ``figure_labels`` of one chunk from votes, panels and every other source of labels that is there.

    Without an encoder there are no clusters, and without clusters no votes on them: then the text, the panel detector
    and released labels speak. An image that has no cluster has a row, too.
    """
    taxonomy, (votes, votes_input) = load(), read_votes(lake)
    inputs = inputs_of(lake, chunk)
    frame, said = label_chunk(lake, chunk, votes, taxonomy)
    manifest = lake.publish(
        FIGURE_LABELS,
        chunk,
        frame,
        code_version=VERSION,
        inputs=inputs | votes_input,
        config={"taxonomy_version": taxonomy.version},
        n_in=frame.height,
        n_out=frame.height,
    )
    shares = {f"labelled_{q}": int(frame[f"{q}_provenance"].is_not_null().sum()) for q in QUESTIONS}
    shares |= {f"claims_{source}": n for source, n in said.group_by("source").len().sort("source").iter_rows()}
    by_provenance = dict(frame.group_by("panel_type_provenance").len().drop_nulls().iter_rows())
    return Report(
        asset=FIGURE_LABELS.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=frame.height,
        n_out=frame.height,
        bytes_written=manifest.bytes,
        metrics={
            **shares,
            **{f"panel_type_{p}": by_provenance.get(p, 0) for p in (HUMAN, PROPAGATED, MODEL)},
            "calibrated": bool(frame["calibrated"].any()),
            "simulated": bool(frame["simulated"].any()),
        },
        preview=tuple(
            frame.select("media_id", "panel_type", "global_provenance", "global_confidence")
            .head(10)
            .iter_rows(named=True)
        ),
    )


def inputs_of(lake: Lake, chunk: str, without: tuple[Table, ...] = WITHOUT) -> dict[str, str]:
    """What labels of a chunk are made from beside the votes, as it is now, for a manifest."""
    optional = [(table, None) for table in without if table.partitioning == "none"]
    optional += [(table, chunk) for table in without if table.partitioning == "chunk"]
    there = [(table, partition) for table, partition in optional if lake.manifest(table, partition)]
    return lake.inputs((IMAGES, chunk), (PANELS, chunk), *there)


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of the images of a chunk before anybody looked at a single one.

    Attributes:
        assignments: ``clusters`` for all images, nulls where an image has none.
        annotations: ``annotations`` of the same cluster model.
        panels: ``panels``.
        claims: of all sources.
        combined: their combination, None if no source says anything.
        neighbours: table of that name, None if it is not there.
    """

    assignments: pl.DataFrame
    annotations: pl.DataFrame
    panels: pl.DataFrame
    claims: pl.DataFrame
    combined: pl.DataFrame | None
    neighbours: pl.DataFrame | None

    def propagated(self, calibration: Calibration) -> pl.DataFrame:
        """Labels of clusters alone."""
        return propagate(self.assignments, self.annotations, calibration, self.neighbours)


def read_sources(lake: Lake, chunk: str, taxonomy: Taxonomy) -> Known:
    """Read whatever sources there are."""
    assignments = _assignments(lake, chunk)
    annotations = lake.read(ANNOTATIONS, None) if lake.manifest(ANNOTATIONS, None) else ANNOTATIONS.empty()
    said = gather(lake, chunk, taxonomy)
    models = assignments["model"].drop_nulls().unique().to_list()
    annotations = annotations.filter(pl.col("cluster_model").is_in(models))
    together = combined(said, read_trust(lake), taxonomy) if said.height else None
    neighbours = lake.read(NEIGHBOURS, chunk) if lake.manifest(NEIGHBOURS, chunk) else None
    return Known(assignments, annotations, lake.read(PANELS, chunk), said, together, neighbours)


def label_chunk(lake: Lake, chunk: str, votes: pl.DataFrame, taxonomy: Taxonomy) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of ``figure_labels`` of a chunk, and the claims behind them.

    Args:
        lake: reads whatever sources there are.
        chunk: which.
        votes: ``expert_votes``; without those on single images every label is as if nobody had looked.
        taxonomy: the vocabulary.
    """
    known = read_sources(lake, chunk, taxonomy)
    frame = label_images(
        known.assignments,
        known.annotations,
        known.panels,
        votes,
        read_audited(lake),
        taxonomy,
        known.combined,
        known.neighbours,
    )
    return frame, known.claims


def _assignments(lake: Lake, chunk: str) -> pl.DataFrame:
    """Rows of ``clusters`` for all images of a chunk, those without a cluster with nulls."""
    images = lake.read_lazy(IMAGES, chunk).select("media_id").collect()
    clusters = lake.read(CLUSTERS, chunk) if lake.manifest(CLUSTERS, chunk) else CLUSTERS.empty()
    return images.join(clusters, on="media_id", how="left", maintain_order="left")
